/* NNC bitstreams that must decode to given integers and values bit for bit, and
 * malformed ones that must be refused.
 *
 *     test_nnc_vectors DIR...
 *
 * Each folder has an index.json: `cases` (stream, expect, levels; base, history
 * and base_device_id as what the receiver has before; known_dims; chain) and
 * `reject` (streams that are refused without effect, by any receiver or by one
 * that has their `base`). In a chain the state that
 * a step leaves must be the base of the next one. */
#include "codec/base/bytes.h"
#include "codec/nnc/nnc_dec.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suite {
    const char *folder;
    const json_t *index;
    unsigned passed, failed;
    char why[512];
};

static bool fails(struct suite *suite, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Notes why, unless something is noted already. */
static bool fails(struct suite *suite, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (!*suite->why)
        vsnprintf(suite->why, sizeof(suite->why), fmt, args);
    va_end(args);
    return false;
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

static uint64_t number_of(const json_t *object, const char *member)
{
    return (uint64_t)json_integer_value(json_object_get(object, member));
}

/* ---- files ---- */

struct blob {
    uint8_t *data;
    size_t size;
};

static bool blob_load(struct suite *suite, const char *name, struct blob *blob)
{
    char path[4096];
    *blob = (struct blob){0};
    snprintf(path, sizeof(path), "%s/%s", suite->folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return fails(suite, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    blob->data = malloc((size_t)size + 1);
    if (blob->data)
        blob->size = fread(blob->data, 1, (size_t)size, file);
    fclose(file);
    return blob->data && blob->size == (size_t)size
               ? true
               : fails(suite, "%s cannot be read", path);
}

static bool shape_of(const json_t *tensor, uint32_t *rank,
                     uint64_t shape[NNC_RANK_MAX], uint64_t *elem_count)
{
    const json_t *list = json_object_get(tensor, "shape");
    size_t count = json_array_size(list);
    if (count < 1 || count > NNC_RANK_MAX)
        return false;
    *rank = (uint32_t)count;
    *elem_count = 1;
    for (size_t i = 0; i < count; i++) {
        shape[i] = (uint64_t)json_integer_value(json_array_get(list, i));
        *elem_count *= shape[i];
    }
    return true;
}

/* The bytes of a listed tensor in its file; NULL when they are not there. */
static const uint8_t *bytes_in(const struct blob *blob, const json_t *tensor,
                               uint64_t size)
{
    uint64_t offset = number_of(tensor, "offset");
    return offset <= blob->size && size <= blob->size - offset
               ? blob->data + offset
               : NULL;
}

static int32_t *levels_in(const struct blob *blob, const json_t *tensor,
                          uint64_t count)
{
    const uint8_t *from = bytes_in(blob, tensor, 4 * count);
    int32_t *levels = malloc((size_t)(4 * count + 4));
    for (uint64_t i = 0; from && levels && i < count; i++)
        levels[i] = (int32_t)load_le32(from + 4 * i);
    if (from)
        return levels;
    free(levels);
    return NULL;
}

/* ---- the receiver's state ---- */

static bool put_base(struct suite *suite, const json_t *tensor,
                     const struct blob *blob, struct nnc_state *state)
{
    struct nnc_node node = {.name = text_of(tensor, "name"), .has_ids = true};
    node.parameter_id = (uint32_t)number_of(tensor, "parameter_id");
    node.put_node_depth = (uint32_t)number_of(tensor, "put_node_depth");
    if (!shape_of(tensor, &node.rank, node.shape, &node.elem_count))
        return fails(suite, "a base without a shape");
    int32_t *levels = levels_in(blob, tensor, node.elem_count);
    node.levels = levels;
    bool good = levels && !nnc_state_put(state, &node);
    free(levels);
    return good ? true : fails(suite, "a base without levels");
}

static bool put_history(struct suite *suite, const json_t *tensor,
                        const struct blob *blob, struct nnc_state *state)
{
    const struct nnc_node *before =
        nnc_state_find(state, text_of(tensor, "name"));
    struct nnc_node node = {.name = text_of(tensor, "name")};
    if (before)
        node = *before;
    if (!shape_of(tensor, &node.rank, node.shape, &node.elem_count))
        return fails(suite, "a history without a shape");
    node.history = bytes_in(blob, tensor, node.elem_count);
    /* The copy is made before the node it came from goes. */
    return node.history && !nnc_state_put(state, &node)
               ? true
               : fails(suite, "a history without bytes");
}

typedef bool (*put_fn)(struct suite *suite, const json_t *tensor,
                       const struct blob *blob, struct nnc_state *state);

static bool put_listed(struct suite *suite, const json_t *list, put_fn put,
                       struct nnc_state *state)
{
    struct blob blob;
    bool good = true;
    if (!list)
        return true;
    if (!blob_load(suite, text_of(list, "file"), &blob))
        return false;
    const json_t *tensors = json_object_get(list, "tensors");
    for (size_t i = 0; good && i < json_array_size(tensors); i++)
        good = put(suite, json_array_get(tensors, i), &blob, state);
    free(blob.data);
    return good;
}

/* What the receiver has before a case. */
static struct nnc_state *state_before(struct suite *suite, const json_t *vector)
{
    struct nnc_state *state;
    if (nnc_state_new(&state))
        return NULL;
    const json_t *device = json_object_get(vector, "base_device_id");
    if (json_is_integer(device))
        nnc_state_set_device(state, (uint32_t)json_integer_value(device));
    if (put_listed(suite, json_object_get(vector, "base"), put_base, state) &&
        put_listed(suite, json_object_get(vector, "history"), put_history,
                   state))
        return state;
    nnc_state_free(state);
    return NULL;
}

static bool same_node(const struct nnc_node *a, const struct nnc_node *b)
{
    return !strcmp(a->name, b->name) && a->rank == b->rank &&
           !memcmp(a->shape, b->shape, a->rank * sizeof(*a->shape)) &&
           a->parameter_id == b->parameter_id &&
           a->put_node_depth == b->put_node_depth && !a->levels == !b->levels &&
           (!a->levels || !memcmp(a->levels, b->levels,
                                  (size_t)a->elem_count * sizeof(int32_t)));
}

/* All nodes, their levels and places in the tree. */
static bool same_state(struct suite *suite, const struct nnc_state *got,
                       const struct nnc_state *want)
{
    uint32_t device[2];
    size_t count = nnc_state_count(got);
    if (count != nnc_state_count(want))
        return fails(suite, "%zu nodes in the state, %zu expected", count,
                     nnc_state_count(want));
    for (size_t i = 0; i < count; i++)
        if (!same_node(nnc_state_at(got, i), nnc_state_at(want, i)))
            return fails(suite, "the state of '%s' differs",
                         nnc_state_at(want, i)->name);
    bool known = nnc_state_device(got, &device[0]);
    return known == nnc_state_device(want, &device[1]) && device[0] == device[1]
               ? true
               : fails(suite, "the device differs");
}

/* ---- decoding ---- */

static enum status known_dims(void *ctx, const char *name, uint32_t *rank,
                              uint64_t shape[NNC_RANK_MAX])
{
    const json_t *list = ctx;
    uint64_t count;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *known = json_array_get(list, i);
        if (!strcmp(text_of(known, "name"), name) &&
            shape_of(known, rank, shape, &count))
            return STATUS_OK;
    }
    return STATUS_NOT_FOUND;
}

/* A decoder over one stream, with what it borrows. */
struct run {
    struct blob blob;
    struct source source;
    struct diag diag;
    struct nnc_dec *dec;
};

static enum status run_begin(const json_t *vector, struct nnc_state *state,
                             struct run *run)
{
    run->source = source_of_bytes(bytes_of(run->blob.data, run->blob.size));
    diag_reset(&run->diag);
    struct nnc_dec_params params = {.in = &run->source,
                                    .state = state,
                                    .diag = &run->diag,
                                    .limits = {(uint64_t)1 << 27, 0, 0}};
    const json_t *dims = json_object_get(vector, "known_dims");
    if (dims) {
        params.shape_of = known_dims;
        params.shape_ctx = (void *)(uintptr_t)dims;
    }
    return nnc_dec_new(&params, &run->dec);
}

static bool check_shape(struct suite *suite, const struct nnc_tensor *got,
                        const json_t *want)
{
    uint32_t rank;
    uint64_t shape[NNC_RANK_MAX];
    uint64_t count;
    const char *name = text_of(want, "name");
    if (strcmp(got->name, name))
        return fails(suite, "tensor '%s' where '%s' is expected", got->name,
                     name);
    if (!shape_of(want, &rank, shape, &count) || rank != got->rank ||
        memcmp(shape, got->shape, rank * sizeof(*shape)) ||
        count != got->elem_count)
        return fails(suite, "the shape of '%s' differs", name);
    return true;
}

static bool check_details(struct suite *suite, const struct nnc_tensor *got,
                          const json_t *want)
{
    static const char *const methods[] = {"int", "uniform", "codebook", "raw"};
    const json_t *qp = json_object_get(want, "qp");
    const json_t *method = json_object_get(want, "method");
    if (json_is_integer(qp) && got->kind != NNC_INT &&
        got->kind != NNC_RAW_FLOAT && json_integer_value(qp) != got->qp)
        return fails(suite, "'%s' has qp %d, not %d", got->name, got->qp,
                     (int)json_integer_value(qp));
    if (json_is_string(method) &&
        strcmp(json_string_value(method), methods[got->kind]))
        return fails(suite, "'%s' is %s, not %s", got->name, methods[got->kind],
                     json_string_value(method));
    if ((got->kind == NNC_INT) != !strcmp(text_of(want, "dtype"), "int32"))
        return fails(suite, "'%s' has another dtype", got->name);
    return true;
}

/* All values, and again in two halves. */
static bool check_values(struct suite *suite, const struct nnc_dec *dec,
                         const struct nnc_tensor *got, const json_t *want,
                         const struct blob *blob)
{
    uint64_t count = got->elem_count;
    const uint8_t *expected = bytes_in(blob, want, 4 * count);
    uint32_t *values = calloc((size_t)count + 1, 4);
    uint32_t *halves = calloc((size_t)count + 1, 4);
    bool good = expected && values && halves;
    if (good) {
        nnc_dec_values(dec, 0, count, values);
        nnc_dec_values(dec, 0, count / 2, halves);
        nnc_dec_values(dec, count / 2, count - count / 2, halves + count / 2);
        good = !memcmp(values, halves, (size_t)count * 4);
    }
    for (uint64_t i = 0; good && i < count; i++)
        good = values[i] == load_le32(expected + 4 * i);
    free(values);
    free(halves);
    return good ? true : fails(suite, "the values of '%s' differ", got->name);
}

static bool check_levels(struct suite *suite, const struct nnc_dec *dec,
                         const struct nnc_tensor *got, const json_t *want,
                         const struct blob *blob)
{
    const int32_t *levels = nnc_dec_levels(dec);
    if (!levels)
        return true;
    int32_t *expected = levels_in(blob, want, got->elem_count);
    bool good = expected && !memcmp(expected, levels,
                                    (size_t)got->elem_count * sizeof(int32_t));
    free(expected);
    return good ? true : fails(suite, "the levels of '%s' differ", got->name);
}

/* Of the same list, found by name: raw tensors may be left out of it. */
static const json_t *named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(text_of(json_array_get(list, i), "name"), name))
            return json_array_get(list, i);
    return NULL;
}

/* What a case has to compare with. */
struct expected {
    const json_t *values, *levels;
    struct blob value_blob, level_blob;
};

static bool check_tensor(struct suite *suite, const struct nnc_dec *dec,
                         const struct nnc_tensor *got, size_t index,
                         const struct expected *expected)
{
    const json_t *want = json_array_get(expected->values, index);
    if (!want)
        return fails(suite, "tensor '%s' is one too many", got->name);
    if (!check_shape(suite, got, want) || !check_details(suite, got, want) ||
        !check_values(suite, dec, got, want, &expected->value_blob))
        return false;
    want = named(expected->levels, got->name);
    return !want || check_levels(suite, dec, got, want, &expected->level_blob);
}

static bool decode(struct suite *suite, const json_t *vector,
                   struct nnc_state *state, const struct expected *expected)
{
    struct run run = {0};
    const struct nnc_tensor *tensor = NULL;
    size_t count = 0;
    if (!blob_load(suite, text_of(vector, "stream"), &run.blob))
        return false;
    enum status rc = run_begin(vector, state, &run);
    bool good = true;
    while (!rc && good && !(rc = nnc_dec_next(run.dec, &tensor)) && tensor)
        good = check_tensor(suite, run.dec, tensor, count++, expected);
    if (rc)
        good = fails(suite, "%s: %s", status_text(rc), run.diag.text);
    if (good && count != json_array_size(expected->values))
        good = fails(suite, "%zu tensors only", count);
    nnc_dec_free(run.dec);
    free(run.blob.data);
    return good;
}

static bool load_expected(struct suite *suite, const json_t *vector,
                          struct expected *expected)
{
    const json_t *values = json_object_get(vector, "expect");
    const json_t *levels = json_object_get(vector, "levels");
    *expected = (struct expected){.values = json_object_get(values, "tensors"),
                                  .levels = json_object_get(levels, "tensors")};
    if (!blob_load(suite, text_of(values, "file"), &expected->value_blob))
        return false;
    return !levels ||
           blob_load(suite, text_of(levels, "file"), &expected->level_blob);
}

/* The case of the same chain one step on. */
static const json_t *next_in_chain(const struct suite *suite,
                                   const json_t *vector)
{
    const json_t *chain = json_object_get(vector, "chain");
    const json_t *cases = json_object_get(suite->index, "cases");
    for (size_t i = 0; chain && i < json_array_size(cases); i++) {
        const json_t *other = json_array_get(cases, i);
        const json_t *link = json_object_get(other, "chain");
        if (link && !strcmp(text_of(link, "name"), text_of(chain, "name")) &&
            number_of(link, "step") == number_of(chain, "step") + 1)
            return other;
    }
    return NULL;
}

static bool check_chain(struct suite *suite, const json_t *vector,
                        const struct nnc_state *state)
{
    const json_t *next = next_in_chain(suite, vector);
    if (!next || !json_object_get(next, "base"))
        return true;
    struct nnc_state *want = state_before(suite, next);
    bool good = want && same_state(suite, state, want);
    nnc_state_free(want);
    return good;
}

static bool run_case(struct suite *suite, const json_t *vector)
{
    struct expected expected = {0};
    struct nnc_state *state = state_before(suite, vector);
    bool good = state && load_expected(suite, vector, &expected);
    bool alone =
        !json_object_get(vector, "base") && !json_object_get(vector, "history");
    if (good && alone)
        good = decode(suite, vector, NULL, &expected);
    if (good)
        good = decode(suite, vector, state, &expected) &&
               check_chain(suite, vector, state);
    free(expected.value_blob.data);
    free(expected.level_blob.data);
    nnc_state_free(state);
    return good;
}

/* ---- refusals ---- */

static bool refused(struct suite *suite, const json_t *vector,
                    struct nnc_state *state)
{
    struct run run = {0};
    const struct nnc_tensor *tensor = NULL;
    if (!blob_load(suite, text_of(vector, "stream"), &run.blob))
        return false;
    enum status rc = run_begin(vector, state, &run);
    while (!rc && !(rc = nnc_dec_next(run.dec, &tensor)) && tensor)
        continue;
    nnc_dec_free(run.dec);
    free(run.blob.data);
    if (!rc)
        return fails(suite, "accepted: %s", text_of(vector, "reason"));
    return *run.diag.text ? true : fails(suite, "refused without a word");
}

static bool run_reject(struct suite *suite, const json_t *vector)
{
    struct nnc_state *state = state_before(suite, vector);
    struct nnc_state *before = state_before(suite, vector);
    bool good =
        state && before &&
        (json_object_get(vector, "base") || refused(suite, vector, NULL)) &&
        refused(suite, vector, state) && same_state(suite, state, before);
    nnc_state_free(state);
    nnc_state_free(before);
    return good;
}

/* ---- folders ---- */

static void run_list(struct suite *suite, const char *member,
                     bool (*run)(struct suite *, const json_t *))
{
    const json_t *list = json_object_get(suite->index, member);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *vector = json_array_get(list, i);
        *suite->why = 0;
        if (run(suite, vector)) {
            suite->passed++;
            continue;
        }
        suite->failed++;
        printf("FAIL %s: %s\n", text_of(vector, "id"), suite->why);
    }
}

static void run_folder(struct suite *suite, const char *folder)
{
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/index.json", folder);
    json_t *index = json_load_file(path, 0, &error);
    suite->folder = folder;
    suite->index = index;
    if (!index) {
        printf("FAIL %s: line %d: %s\n", path, error.line, error.text);
        suite->failed++;
    }
    run_list(suite, "cases", run_case);
    run_list(suite, "reject", run_reject);
    json_decref(index);
}

int main(int argc, char **argv)
{
    struct suite suite = {0};
    char own[4096];
    const char *root = getenv("DM_SRCDIR");
    snprintf(own, sizeof(own), "%s/tests/vectors/nnc", root ? root : ".");
    for (int i = 1; i < argc; i++)
        run_folder(&suite, argv[i]);
    if (argc < 2)
        run_folder(&suite, own);
    printf("%u passed, %u failed\n", suite.passed, suite.failed);
    return suite.failed || fflush(stdout) ? 1 : 0;
}
