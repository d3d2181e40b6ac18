/* An unordered array of addresses: at most a few hundred. */
#include "protocol/gossip/links.h"

#include <stdio.h>
#include <stdlib.h>

struct links {
    struct links_config config;
    struct links_entry **entries;
    size_t count, cap;
    uint64_t hint_ns; /* no hint is dialled before */
};

enum status links_new(const struct links_config *config, struct links **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return STATUS_NO_MEMORY;
    (*out)->config = *config;
    return STATUS_OK;
}

static void free_entry(struct links_entry *entry)
{
    free(entry->addr);
    free(entry);
}

void links_free(struct links *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        free_entry(l->entries[i]);
    free(l->entries);
    free(l);
}

static struct links_entry *find(const struct links *l, const char *addr)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->entries[i]->addr, addr))
            return l->entries[i];
    return NULL;
}

/* Goes before b: hints before addresses of the roster, then what failed more.
 */
static bool worse(const struct links_entry *a, const struct links_entry *b)
{
    if (a->source != b->source)
        return a->source > b->source;
    return a->failures > b->failures;
}

/* Makes room in a full book: the worst address that is not in use, and not of a
 * better source than the new one. */
static bool evict(struct links *l, enum links_source source)
{
    size_t worst = l->count;
    for (size_t i = 0; i < l->count; i++) {
        const struct links_entry *e = l->entries[i];
        if (e->source == LINKS_STATIC || e->source < source || e->link)
            continue;
        if (worst == l->count || worse(e, l->entries[worst]))
            worst = i;
    }
    if (worst == l->count)
        return false;
    free_entry(l->entries[worst]);
    l->entries[worst] = l->entries[--l->count];
    return true;
}

static enum status grow(struct links *l, enum links_source source)
{
    if (l->count == LIMIT_LINKS_ADDRS)
        return evict(l, source) ? STATUS_OK : STATUS_LIMIT;
    if (l->count < l->cap)
        return STATUS_OK;
    size_t cap = l->cap ? 2 * l->cap : 8;
    struct links_entry **entries = realloc(l->entries, cap * sizeof *entries);
    if (!entries)
        return STATUS_NO_MEMORY;
    l->entries = entries;
    l->cap = cap;
    return STATUS_OK;
}

/* Addresses that other nodes told go to logs and to the resolver. */
static bool is_printable(const char *addr)
{
    for (; *addr; addr++)
        if (*addr <= ' ' || *addr > '~')
            return false;
    return true;
}

static void set_node(struct links_entry *entry, const struct node_id *node)
{
    entry->has_node = true;
    entry->node = *node;
}

enum status links_add(struct links *l, const char *addr,
                      enum links_source source, const struct node_id *node,
                      uint64_t now_ns)
{
    size_t size = strlen(addr) + 1;
    struct links_entry *entry = find(l, addr);
    if (size < 2 || size > LIMIT_ADDR_BYTES + 1)
        return STATUS_LIMIT;
    if (source != LINKS_STATIC && !is_printable(addr))
        return STATUS_CORRUPT;
    if (!entry) {
        enum status status = grow(l, source);
        if (status)
            return status;
        entry = calloc(1, sizeof *entry);
        char *copy = malloc(size);
        if (!entry || !copy) {
            free(entry);
            free(copy);
            return STATUS_NO_MEMORY;
        }
        memcpy(copy, addr, size);
        entry->addr = copy;
        entry->source = source;
        entry->next_try_ns = now_ns;
        l->entries[l->count++] = entry;
    }
    if (source < entry->source)
        entry->source = source;
    if (node && !entry->has_node)
        set_node(entry, node);
    return STATUS_OK;
}

/* Whether it may be dialled at all, time aside. */
static bool wanted(const struct links *l, const struct links_entry *entry)
{
    if (entry->link || entry->self)
        return false;
    return !entry->has_node || !l->config.linked(l->config.ctx, &entry->node);
}

static unsigned roster_dialled(const struct links *l)
{
    unsigned n = 0;
    for (size_t i = 0; i < l->count; i++)
        if (l->entries[i]->link && l->entries[i]->source != LINKS_STATIC)
            n++;
    return n;
}

static uint64_t ready_ns(const struct links *l, const struct links_entry *entry)
{
    if (entry->source == LINKS_HINT && l->hint_ns > entry->next_try_ns)
        return l->hint_ns;
    return entry->next_try_ns;
}

/* One of the due addresses of that kind that failed least, each with equal
 * chance. */
static struct links_entry *choose(struct links *l, bool fixed, uint64_t now_ns)
{
    struct links_entry *chosen = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct links_entry *entry = l->entries[i];
        if ((entry->source == LINKS_STATIC) != fixed)
            continue;
        if (!wanted(l, entry) || ready_ns(l, entry) > now_ns)
            continue;
        if (chosen && entry->failures > chosen->failures)
            continue;
        if (chosen && entry->failures < chosen->failures)
            seen = 0;
        if (!rng_below(&l->config.rng, ++seen))
            chosen = entry;
    }
    return chosen;
}

struct links_entry *links_next(struct links *l, uint64_t now_ns)
{
    struct links_entry *entry = choose(l, true, now_ns);
    if (!entry && roster_dialled(l) < l->config.dial_max)
        entry = choose(l, false, now_ns);
    if (entry && entry->source == LINKS_HINT)
        l->hint_ns = now_ns + LINKS_HINT_NS;
    return entry;
}

uint64_t links_deadline_ns(const struct links *l)
{
    bool room = roster_dialled(l) < l->config.dial_max;
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < l->count; i++) {
        const struct links_entry *entry = l->entries[i];
        if ((entry->source != LINKS_STATIC && !room) || !wanted(l, entry))
            continue;
        uint64_t at = ready_ns(l, entry);
        if (at < due)
            due = at;
    }
    return due;
}

struct links_entry *links_of(struct links *l, uint32_t link)
{
    for (size_t i = 0; link && i < l->count; i++)
        if (l->entries[i]->link == link)
            return l->entries[i];
    return NULL;
}

void links_up(struct links *l, struct links_entry *entry,
              const struct node_id *node)
{
    (void)l;
    entry->failures = 0;
    entry->error[0] = '\0';
    set_node(entry, node);
}

/* 1 s doubled for each failure, 60 s at most, between half and all of it. */
static uint64_t backoff_ns(const struct links *l, unsigned failures)
{
    uint64_t wait = LINKS_BACKOFF_MIN_NS;
    for (unsigned i = 1; i < failures && wait < LINKS_BACKOFF_MAX_NS; i++)
        wait *= 2;
    if (wait > LINKS_BACKOFF_MAX_NS)
        wait = LINKS_BACKOFF_MAX_NS;
    return wait / 2 + rng_below(&l->config.rng, wait / 2 + 1);
}

void links_down(struct links *l, struct links_entry *entry, const char *why,
                bool punished, uint64_t now_ns)
{
    entry->link = 0;
    if (entry->failures < 64)
        entry->failures++;
    if (punished && entry->failures < 8)
        entry->failures = 8;
    (void)snprintf(entry->error, sizeof entry->error, "%s", why);
    entry->next_try_ns = now_ns + backoff_ns(l, entry->failures);
}

size_t links_count(const struct links *l)
{
    return l->count;
}

const struct links_entry *links_at(const struct links *l, size_t index)
{
    return l->entries[index];
}
