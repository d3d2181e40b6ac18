/* Names are compared exactly first, then without what frameworks add to them,
 * then by where their neighbours went: if features.3.conv is features.2.conv
 * of the base by its values, features.3.bias is features.2.bias. */
#include "codec/lossless/match_node.h"

#include <stdlib.h>

#define MATCH_NAME_MAX   512u
#define MATCH_DEPTH_MAX  8u
#define MATCH_PRIME      0x100000001b3u
#define MATCH_HASH_START 0xcbf29ce484222325u

static int match_compare_text(const char *a, size_t a_size, const char *b,
                              size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    if (order)
        return order;
    return (a_size > b_size) - (a_size < b_size);
}

static int match_by_name(const void *a, const void *b)
{
    const struct match_node *const *x = a, *const *y = b;
    const struct tensor *s = (*x)->tensor, *t = (*y)->tensor;
    int order =
        match_compare_text(s->name, s->name_size, t->name, t->name_size);
    return order ? order : (*x > *y) - (*x < *y);
}

void match_names_sort(struct match_side *base)
{
    qsort(base->sorted, base->count, sizeof(*base->sorted), match_by_name);
}

struct match_node *match_find_name(const struct match_side *base,
                                   const char *name, size_t size)
{
    size_t low = 0, high = base->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct tensor *t = base->sorted[mid]->tensor;
        if (match_compare_text(t->name, t->name_size, name, size) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == base->count)
        return NULL;
    const struct tensor *t = base->sorted[low]->tensor;
    return match_compare_text(t->name, t->name_size, name, size)
               ? NULL
               : base->sorted[low];
}

static bool match_is_separator(char c)
{
    return c == '.' || c == '/' || c == ':' || c == '_' || c == '-' || c == '|';
}

/* Words that say nothing, and words for the same. */
struct match_word {
    const char *word;
    const char *means; /* "": nothing */
};

static const struct match_word match_words[] = {
    {"module", ""},       {"model", ""},    {"base", ""},
    {"orig", ""},         {"mod", ""},      {"state", ""},
    {"dict", ""},         {"network", ""},  {"gamma", "weight"},
    {"kernel", "weight"}, {"beta", "bias"}, {"moving", "running"},
    {"variance", "var"},  {"w", "weight"},  {"b", "bias"},
};

static uint64_t match_hash_text(uint64_t hash, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * MATCH_PRIME;
    return hash;
}

static uint64_t match_hash_word(uint64_t hash, const char *word, size_t size)
{
    char lower[32];
    if (!size)
        return hash;
    if (size >= sizeof(lower))
        return match_hash_text((hash ^ '.') * MATCH_PRIME, word, size);
    for (size_t i = 0; i < size; i++)
        lower[i] =
            (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
    for (size_t i = 0; i < sizeof(match_words) / sizeof(match_words[0]); i++) {
        const char *means = match_words[i].means;
        if (strlen(match_words[i].word) != size ||
            memcmp(match_words[i].word, lower, size))
            continue;
        if (!*means)
            return hash;
        return match_hash_text((hash ^ '.') * MATCH_PRIME, means,
                               strlen(means));
    }
    return match_hash_text((hash ^ '.') * MATCH_PRIME, lower, size);
}

static uint64_t match_name_key(const char *name, size_t size)
{
    uint64_t hash = MATCH_HASH_START;
    size_t from = 0;
    /* The output number that TensorFlow appends. */
    if (size > 2 && name[size - 2] == ':' && name[size - 1] == '0')
        size -= 2;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && !match_is_separator(name[i]))
            continue;
        hash = match_hash_word(hash, name + from, i - from);
        from = i + 1;
    }
    return hash;
}

static int match_by_key(const void *a, const void *b)
{
    const struct match_node *const *x = a, *const *y = b;
    uint64_t s = (*x)->name_key, t = (*y)->name_key;
    return s != t ? (s < t ? -1 : 1) : (*x > *y) - (*x < *y);
}

static struct match_node *match_find_key(const struct match_side *base,
                                         uint64_t key)
{
    size_t low = 0, high = base->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (base->sorted[mid]->name_key < key)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == base->count || base->sorted[low]->name_key != key)
        return NULL;
    return base->sorted[low];
}

void match_names_loosely(struct matcher *ma)
{
    for (size_t i = 0; i < ma->base.count; i++) {
        const struct tensor *t = ma->base.nodes[i].tensor;
        ma->base.nodes[i].name_key = match_name_key(t->name, t->name_size);
    }
    qsort(ma->base.sorted, ma->base.count, sizeof(*ma->base.sorted),
          match_by_key);
    for (size_t i = 0; i < ma->target.count; i++) {
        struct match_node *node = &ma->target.nodes[i];
        const struct tensor *t = node->tensor;
        if (node->other || node->partner)
            continue;
        struct match_node *base =
            match_find_key(&ma->base, match_name_key(t->name, t->name_size));
        if (!base || !match_kinds_fit(node, base))
            continue;
        if (node->rows == base->rows && node->columns == base->columns)
            match_pair(node, base, MATCH_BY_NAME);
        else
            node->partner = base;
    }
    match_names_sort(&ma->base);
}

/* The prefix of a target name, and the one it became in the base. */
struct match_route {
    uint64_t key;
    uint64_t base_key;
    const char *base;
    uint32_t base_size;
    uint32_t votes;
};

struct match_routes {
    struct match_route *items;
    size_t count;
};

static bool match_is_boundary(char c)
{
    return c == '.' || c == '/' || c == ':';
}

/* The size of a name without its last word. */
static size_t match_parent(const char *name, size_t size)
{
    while (size && !match_is_boundary(name[size - 1]))
        size--;
    return size ? size - 1 : 0;
}

static uint64_t match_prefix_key(const char *name, size_t size)
{
    return match_hash_text(MATCH_HASH_START, name, size);
}

/* Every prefix of a pair of names whose rest is the same. */
static void match_add_routes(struct match_routes *routes,
                             const struct tensor *target,
                             const struct tensor *base)
{
    size_t a = target->name_size, b = base->name_size;
    for (unsigned depth = 0; depth < MATCH_DEPTH_MAX && a && b; depth++) {
        size_t c = match_parent(target->name, a);
        size_t d = match_parent(base->name, b);
        if (a - c != b - d || memcmp(target->name + c, base->name + d, a - c))
            return;
        a = c;
        b = d;
        routes->items[routes->count++] = (struct match_route){
            match_prefix_key(target->name, a), match_prefix_key(base->name, b),
            base->name, (uint32_t)b, 1};
    }
}

static int match_by_route(const void *a, const void *b)
{
    const struct match_route *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->base_key > y->base_key) - (x->base_key < y->base_key);
}

/* One route for every prefix: the one that most pairs took. */
static void match_count_routes(struct match_routes *routes)
{
    size_t kept = 0;
    qsort(routes->items, routes->count, sizeof(*routes->items), match_by_route);
    for (size_t i = 0, n; i < routes->count; i += n) {
        struct match_route route = routes->items[i];
        for (n = 1; i + n < routes->count &&
                    !match_by_route(&route, &routes->items[i + n]);)
            n++;
        route.votes = (uint32_t)n;
        if (kept && routes->items[kept - 1].key == route.key) {
            if (routes->items[kept - 1].votes < route.votes)
                routes->items[kept - 1] = route;
            continue;
        }
        routes->items[kept++] = route;
    }
    routes->count = kept;
}

static const struct match_route *
match_find_route(const struct match_routes *routes, uint64_t key)
{
    size_t low = 0, high = routes->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (routes->items[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < routes->count && routes->items[low].key == key
               ? &routes->items[low]
               : NULL;
}

/* The base tensor that the longest known prefix leads to. */
static struct match_node *match_follow(const struct matcher *ma,
                                       const struct match_routes *routes,
                                       const struct tensor *tensor)
{
    char name[MATCH_NAME_MAX];
    size_t size = tensor->name_size;
    for (unsigned depth = 0; depth < MATCH_DEPTH_MAX && size; depth++) {
        size = match_parent(tensor->name, size);
        size_t rest = tensor->name_size - size;
        const struct match_route *route =
            match_find_route(routes, match_prefix_key(tensor->name, size));
        if (!route || route->base_size + rest > sizeof(name))
            continue;
        memcpy(name, route->base, route->base_size);
        memcpy(name + route->base_size, tensor->name + size, rest);
        return match_find_name(&ma->base, name, route->base_size + rest);
    }
    return NULL;
}

static void match_place(struct matcher *ma, const struct match_routes *routes,
                        struct match_node *node)
{
    struct match_node *base = match_follow(ma, routes, node->tensor);
    /* What is some other's by its values is not this one's by its name. */
    if (node->other && node->other->claimed && node->other != base) {
        node->other = NULL;
        node->bond = MATCH_ALONE;
    }
    if (node->partner && node->partner->claimed)
        node->partner = NULL;
    if (!base || base->claimed || !match_kinds_fit(node, base))
        return;
    if (node->rows == base->rows && node->columns == base->columns) {
        match_pair(node, base, MATCH_BY_PLACE);
        node->partner = NULL;
        return;
    }
    if (node->other || node->partner == base)
        return;
    node->partner = base;
    node->partner_named = false;
}

enum status match_places(struct matcher *ma)
{
    struct match_routes routes = {0};
    routes.items =
        calloc(ma->target.count * MATCH_DEPTH_MAX + 1, sizeof(*routes.items));
    if (!routes.items)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < ma->target.count; i++) {
        const struct match_node *node = &ma->target.nodes[i];
        if (node->bond == MATCH_BY_VALUES && !node->turned)
            match_add_routes(&routes, node->tensor, node->other->tensor);
    }
    match_count_routes(&routes);
    for (size_t i = 0; i < ma->target.count; i++)
        if (ma->target.nodes[i].bond != MATCH_BY_VALUES)
            match_place(ma, &routes, &ma->target.nodes[i]);
    free(routes.items);
    return STATUS_OK;
}
