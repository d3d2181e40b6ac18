/* Models that change their structure: the base element of every target element
 * is known, and what a match gathers is compared with it. */
#include "codec/base/rng.h"
#include "codec/lossless/match.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/tiny_model.h"

#include "tests/support/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TENSORS_MAX 1024
#define NOISE       0.01f

/* A tensor and, for one of the target, the base value of each element (NAN for
 * none). */
struct grid {
    char name[64];
    uint32_t dims[4];
    uint32_t rank;
    enum dtype dtype;
    size_t count;
    float *values;
    float *truth;
};

struct net {
    struct grid grids[TENSORS_MAX];
    size_t count;
    uint8_t *file;
    size_t size;
    uint64_t reads, bytes;
    struct source source;
    struct model *model;
};

struct fixture {
    struct rng_seeded seeded;
    struct rng rng;
    struct net base, target;
    struct match_list list;
};

static float normal(struct fixture *fx)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(rng_u64(&fx->rng) >> 11) / 9007199254740992.0 - 0.5;
    return (float)sum;
}

static struct grid *add(struct net *net, const char *name, uint32_t rank,
                        const uint32_t *dims)
{
    struct grid *g = &net->grids[net->count++];
    assert_true(net->count < TENSORS_MAX);
    snprintf(g->name, sizeof(g->name), "%s", name);
    g->rank = rank;
    g->dtype = DTYPE_F32;
    g->count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        g->dims[i] = dims[i];
        g->count *= dims[i];
    }
    g->values = calloc(g->count + 1, sizeof(float));
    g->truth = calloc(g->count + 1, sizeof(float));
    return g;
}

#define DIMS(...)                                                      \
    sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]) \
    {                                                                  \
        __VA_ARGS__                                                    \
    }

/* A base tensor of random values. */
static const struct grid *old(struct fixture *fx, const char *name,
                              uint32_t rank, const uint32_t *dims)
{
    struct grid *g = add(&fx->base, name, rank, dims);
    for (size_t i = 0; i < g->count; i++)
        g->values[i] = normal(fx);
    return g;
}

/* Sets an element of a target tensor from its base element, with noise. */
static void set(struct fixture *fx, struct grid *g, size_t at, float base,
                float noise)
{
    g->truth[at] = base;
    g->values[at] = isnan(base) ? normal(fx) : base + noise * normal(fx);
}

/* Which of `from` indices remain: `to` of them, in order. */
static uint32_t *keep(struct fixture *fx, uint32_t from, uint32_t to)
{
    uint32_t *kept = malloc((to + 1) * sizeof(*kept)), count = 0;
    for (uint32_t i = 0; i < from; i++)
        if (rng_below(&fx->rng, from - i) < to - count)
            kept[count++] = i;
    assert_int_equal(count, to);
    return kept;
}

/* A target tensor of chosen rows and columns of [rows, columns, inner]; NULL:
 * as many as there are, those beyond the base's are new. */
static struct grid *pick(struct fixture *fx, const struct grid *from,
                         const char *name, uint32_t rows, const uint32_t *row,
                         uint32_t columns, const uint32_t *column, float noise)
{
    uint32_t dims[4];
    memcpy(dims, from->dims, sizeof(dims));
    dims[0] = rows;
    if (from->rank > 1)
        dims[1] = columns;
    struct grid *g = add(&fx->target, name, from->rank, dims);
    size_t width = from->rank > 1 ? from->dims[1] : 1;
    size_t inner = from->count / from->dims[0] / width, at = 0;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < columns; j++)
            for (size_t k = 0; k < inner; k++) {
                size_t r = row ? row[i] : i, c = column ? column[j] : j;
                bool new = r >= from->dims[0] || c >= width;
                set(fx, g, at++,
                    new ? NAN : from->values[(r * width + c) * inner + k],
                    noise);
            }
    return g;
}

static struct grid *copy(struct fixture *fx, const struct grid *from,
                         const char *name, float noise)
{
    return pick(fx, from, name, from->dims[0], NULL,
                from->rank > 1 ? from->dims[1] : 1, NULL, noise);
}

static void store(const struct grid *g, uint8_t *out)
{
    uint32_t bits;
    for (size_t i = 0; i < g->count; i++) {
        memcpy(&bits, &g->values[i], 4);
        if (g->dtype == DTYPE_BF16)
            store_le16(out + 2 * i, (uint16_t)(bits >> 16));
        else
            store_le32(out + 4 * i, bits);
    }
}

static enum status net_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    struct net *net = ctx;
    net->reads++;
    net->bytes += size;
    memcpy(out, net->file + offset, size);
    return STATUS_OK;
}

static void net_close_file(struct net *net)
{
    char *json = malloc(256 * (net->count + 1)), *at = json;
    size_t size = 0;
    for (size_t i = 0; i < net->count; i++)
        size += net->grids[i].count * dtype_bits(net->grids[i].dtype) / 8;
    uint8_t *data = malloc(size + 1);
    size = 0;
    for (size_t i = 0; i < net->count; i++) {
        const struct grid *g = &net->grids[i];
        size_t end = size + g->count * dtype_bits(g->dtype) / 8;
        at += sprintf(at, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                      i ? ',' : '{', g->name, dtype_name(g->dtype));
        for (uint32_t k = 0; k < g->rank; k++)
            at += sprintf(at, "%s%u", k ? "," : "", g->dims[k]);
        at += sprintf(at, "],\"data_offsets\":[%zu,%zu]}", size, end);
        store(g, data + size);
        size = end;
    }
    strcpy(at, "}");
    net->file = tiny_file_new(json, data, size, &net->size);
    net->source = (struct source){net_read, net, net->size};
    free(json);
    free(data);
    assert_int_equal(
        model_parse_file(&net->source, "m.safetensors", &net->model, NULL),
        STATUS_OK);
    assert_int_equal(net->model->tensor_count, net->count);
    net->reads = net->bytes = 0;
}

static const struct grid *grid_of(const struct net *net,
                                  const struct tensor *tensor)
{
    for (size_t i = 0; i < net->count; i++)
        if (!strcmp(net->grids[i].name, tensor->name))
            return &net->grids[i];
    fail_msg("no tensor %s", tensor->name);
    return NULL;
}

static void run(struct fixture *fx)
{
    net_close_file(&fx->base);
    net_close_file(&fx->target);
    assert_int_equal(match_contents(&fx->base.source, fx->base.model,
                                    &fx->target.source, fx->target.model,
                                    &fx->list),
                     STATUS_OK);
    uint64_t at = 0;
    for (size_t i = 0; i < fx->list.count; i++) {
        const struct match *m = &fx->list.items[i];
        assert_int_equal(m->target_offset, at);
        assert_true(m->size > 0);
        at += m->size;
    }
    assert_int_equal(at, fx->target.size);
}

/* Elements of one match that have the right base, a wrong one, or none. */
struct verdict {
    size_t right, wrong, none, new;
};

static void judge_match(struct fixture *fx, const struct match *m,
                        struct verdict *v)
{
    const struct grid *g = grid_of(&fx->target, m->tensor);
    size_t width = dtype_bits(g->dtype) / 8;
    size_t first = (size_t)(m->target_offset - m->tensor->offset) / width;
    size_t count = (size_t)m->size / width;
    uint8_t *out = calloc(count, 4);
    if (match_has_places(m)) {
        struct gather gather = match_gather(m);
        uint64_t reach;
        assert_int_equal(m->base_dtype, DTYPE_F32);
        assert_int_equal(gather_check(&gather, count, fx->base.size, &reach),
                         STATUS_OK);
        assert_true(reach <= m->base_size);
        assert_int_equal(match_gather_read(m, &fx->base.source, 0, count, out),
                         STATUS_OK);
    }
    for (size_t i = 0; i < count; i++) {
        float base, truth = g->truth[first + i];
        uint32_t bits = load_le32(out + 4 * i);
        memcpy(&base, &bits, 4);
        if (isnan(truth))
            v->new ++;
        else if (base == truth)
            v->right++;
        else if (base == 0)
            v->none++;
        else
            v->wrong++;
    }
    free(out);
}

/* Of what has a base, so much in a hundred has found it, at most so much is
 * coded over another. */
static void expect(struct fixture *fx, const char *name, size_t right,
                   size_t wrong)
{
    struct verdict v = {0};
    for (size_t i = 0; i < fx->list.count; i++) {
        const struct match *m = &fx->list.items[i];
        if (m->tensor && (!name || !strcmp(m->tensor->name, name)))
            judge_match(fx, m, &v);
    }
    size_t all = v.right + v.wrong + v.none;
    assert_true(all > 0);
    if (100 * v.right < right * all || 100 * v.wrong > wrong * all)
        fail_msg("%s: %zu right, %zu wrong, %zu without, %zu new",
                 name ? name : "all", v.right, v.wrong, v.none, v.new);
}

static int setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof(*fx));
    rng_seeded_init(&fx->seeded, 7);
    fx->rng = rng_from_seeded(&fx->seeded);
    *state = fx;
    return 0;
}

static void net_free(struct net *net)
{
    for (size_t i = 0; i < net->count; i++) {
        free(net->grids[i].values);
        free(net->grids[i].truth);
    }
    model_free(net->model);
    free(net->file);
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    match_list_free(&fx->list);
    net_free(&fx->base);
    net_free(&fx->target);
    free(fx);
    return 0;
}

static void equal_names_and_shapes_read_nothing(void **state)
{
    struct fixture *fx = *state;
    copy(fx, old(fx, "a", DIMS(40, 30)), "a", 1);
    copy(fx, old(fx, "b", DIMS(40)), "b", 1);
    run(fx);
    assert_int_equal(fx->base.bytes + fx->target.bytes, 0);
    expect(fx, NULL, 100, 0);
}

static void renamed_layers_are_found_by_their_values(void **state)
{
    struct fixture *fx = *state;
    const struct grid *weights[200], *biases[200];
    char name[64];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "layers.%u.w.weight", i);
        weights[i] = old(fx, name, DIMS(24, 16));
        snprintf(name, sizeof(name), "layers.%u.w.bias", i);
        biases[i] = old(fx, name, DIMS(5));
    }
    /* Two are gone, one is new, all are trained and bear other names. */
    for (unsigned i = 0, n = 0; i < 200; i++) {
        if (i == 20 || i == 120)
            continue;
        if (i == 70) {
            snprintf(name, sizeof(name), "blocks.%u.w.weight", n++);
            struct grid *g = add(&fx->target, name, DIMS(24, 16));
            for (size_t k = 0; k < g->count; k++)
                set(fx, g, k, NAN, 0);
        }
        snprintf(name, sizeof(name), "blocks.%u.w.weight", n);
        copy(fx, weights[i], name, 0.2f);
        snprintf(name, sizeof(name), "blocks.%u.w.bias", n++);
        copy(fx, biases[i], name, 0.2f);
    }
    run(fx);
    expect(fx, NULL, 100, 0);
    /* At most 4 KiB a tensor. */
    assert_true(fx->base.bytes + fx->target.bytes <= 800 * 4096);
}

static void names_of_other_frameworks_are_the_same(void **state)
{
    struct fixture *fx = *state;
    /* Values do not tell: so much have they changed. */
    copy(fx, old(fx, "Layer1/Conv/kernel:0", DIMS(9, 9)),
         "module.layer1.conv.weight", 5);
    copy(fx, old(fx, "model.bn.running_var", DIMS(9, 9)), "bn/moving_variance",
         5);
    copy(fx, old(fx, "bn/beta", DIMS(9, 9)), "bn.bias", 5);
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void moved_rows_are_found_on_the_first_axis(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 64, 40), *two = keep(fx, 3000, 2900);
    pick(fx, old(fx, "conv", DIMS(64, 8, 3, 3)), "conv", 40, kept, 8, NULL,
         0.2f);
    pick(fx, old(fx, "table", DIMS(3000, 20)), "table", 2900, two, 20, NULL,
         0.2f);
    run(fx);
    expect(fx, "conv", 100, 0);
    expect(fx, "table", 95, 0);
    free(kept);
    free(two);
}

static void a_dimension_of_one_may_grow(void **state)
{
    struct fixture *fx = *state;
    pick(fx, old(fx, "stem", DIMS(24, 1, 3, 3)), "stem", 24, NULL, 3, NULL,
         NOISE);
    pick(fx, old(fx, "head", DIMS(1, 40)), "head", 3, NULL, 40, NULL, NOISE);
    pick(fx, old(fx, "less", DIMS(24, 4, 3, 3)), "less", 24, NULL, 1, NULL,
         NOISE);
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void long_rows_lose_columns(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 50000, 49000);
    pick(fx, old(fx, "down", DIMS(30, 50000)), "down", 30, NULL, 49000, kept,
         NOISE);
    run(fx);
    expect(fx, NULL, 99, 1);
    free(kept);
}

static void more_runs_than_a_window_has_make_two(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 40000, 30000);
    unsigned windows = 0;
    pick(fx, old(fx, "table", DIMS(40000, 8)), "table", 30000, kept, 8, NULL,
         NOISE);
    run(fx);
    expect(fx, NULL, 99, 1);
    for (size_t i = 0; i < fx->list.count; i++)
        windows += fx->list.items[i].columns != 0;
    assert_int_equal(windows, 2);
    free(kept);
}

static void channels_are_found_on_the_second_axis(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 64, 40), *two = keep(fx, 200, 150);
    pick(fx, old(fx, "conv", DIMS(50, 64, 3, 3)), "conv", 50, NULL, 40, kept,
         0.2f);
    pick(fx, old(fx, "linear", DIMS(100, 200)), "linear", 100, NULL, 150, two,
         0.2f);
    pick(fx, old(fx, "grown", DIMS(100, 20)), "grown", 100, NULL, 26, NULL,
         0.2f);
    run(fx);
    expect(fx, "conv", 100, 0);
    expect(fx, "linear", 100, 0);
    expect(fx, "grown", 100, 0);
    free(kept);
    free(two);
}

/* A chain of convolutions that lost channels everywhere, then was trained. */
static void a_pruned_network_is_followed_from_layer_to_layer(void **state)
{
    struct fixture *fx = *state;
    uint32_t *a = keep(fx, 32, 20), *b = keep(fx, 48, 30),
             *c = keep(fx, 96, 64);
    pick(fx, old(fx, "bn1.bias", DIMS(32)), "bn1.bias", 20, a, 1, NULL, NOISE);
    pick(fx, old(fx, "conv1", DIMS(32, 3, 3, 3)), "conv1", 20, a, 3, NULL,
         NOISE);
    pick(fx, old(fx, "conv2", DIMS(48, 32, 3, 3)), "conv2", 30, b, 20, a,
         NOISE);
    pick(fx, old(fx, "bn2.bias", DIMS(48)), "bn2.bias", 30, b, 1, NULL, NOISE);
    pick(fx, old(fx, "conv3", DIMS(96, 48, 1, 1)), "conv3", 64, c, 30, b,
         NOISE);
    pick(fx, old(fx, "head", DIMS(10, 96)), "head", 10, NULL, 64, c, NOISE);
    run(fx);
    expect(fx, NULL, 100, 0);
    free(a);
    free(b);
    free(c);
}

static void both_axes_are_found_where_values_are_kept(void **state)
{
    struct fixture *fx = *state;
    uint32_t *rows = keep(fx, 60, 45), *columns = keep(fx, 50, 35);
    pick(fx, old(fx, "alone", DIMS(60, 50)), "alone", 45, rows, 35, columns, 0);
    pick(fx, old(fx, "wider", DIMS(30, 20)), "wider", 37, NULL, 26, NULL,
         NOISE);
    run(fx);
    expect(fx, "alone", 100, 0);
    expect(fx, "wider", 100, 0);
    free(rows);
    free(columns);
}

static void an_axis_that_cannot_be_followed_is_merely_like(void **state)
{
    struct fixture *fx = *state;
    const struct grid *g = old(fx, "w", DIMS(40, 16));
    pick(fx, g, "w", 40, NULL, 12, NULL, 8);
    run(fx);
    for (size_t i = 0; i < fx->list.count; i++)
        if (fx->list.items[i].tensor)
            assert_true(fx->list.items[i].like);
}

/* Rows of several base tensors, one after the other. */
static struct grid *stack(struct fixture *fx, const char *name,
                          const struct grid *const *parts, size_t count,
                          uint32_t chunk)
{
    uint32_t dims[4];
    size_t row = parts[0]->count / parts[0]->dims[0];
    memcpy(dims, parts[0]->dims, sizeof(dims));
    for (size_t i = 1; i < count; i++)
        dims[0] += parts[i]->dims[0];
    struct grid *g = add(&fx->target, name, parts[0]->rank, dims);
    size_t at = 0;
    for (uint32_t from = 0; at < g->count; from += chunk)
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < chunk * row; k++)
                if (from * row + k < parts[i]->count)
                    set(fx, g, at++, parts[i]->values[from * row + k], 0.1f);
    return g;
}

static void merged_projections_are_pieces(void **state)
{
    struct fixture *fx = *state;
    const struct grid *w[3] = {old(fx, "a.q.weight", DIMS(48, 32)),
                               old(fx, "a.k.weight", DIMS(16, 32)),
                               old(fx, "a.v.weight", DIMS(16, 32))};
    const struct grid *b[3] = {old(fx, "a.q.bias", DIMS(48)),
                               old(fx, "a.k.bias", DIMS(16)),
                               old(fx, "a.v.bias", DIMS(16))};
    copy(fx, old(fx, "out", DIMS(48, 48)), "out", NOISE);
    stack(fx, "a.qkv.weight", w, 3, 64);
    stack(fx, "a.qkv.bias", b, 3, 64);
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void heads_that_were_interleaved_are_pieces(void **state)
{
    struct fixture *fx = *state;
    const struct grid *w[3] = {old(fx, "q", DIMS(64, 32)),
                               old(fx, "k", DIMS(64, 32)),
                               old(fx, "v", DIMS(64, 32))};
    stack(fx, "qkv", w, 3, 8);
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void a_split_projection_is_pieces(void **state)
{
    struct fixture *fx = *state;
    const struct grid *w = old(fx, "qkv.weight", DIMS(96, 32));
    const struct grid *b = old(fx, "qkv.bias", DIMS(96));
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        uint32_t rows[32];
        for (uint32_t k = 0; k < 32; k++)
            rows[k] = i * 32 + k;
        snprintf(name, sizeof(name), "%c.weight", "qkv"[i]);
        pick(fx, w, name, 32, rows, 32, NULL, 0.1f);
        snprintf(name, sizeof(name), "%c.bias", "qkv"[i]);
        pick(fx, b, name, 32, rows, 1, NULL, 0.1f);
    }
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void columns_of_a_wider_matrix_are_a_window(void **state)
{
    struct fixture *fx = *state;
    const struct grid *w = old(fx, "c_attn.weight", DIMS(40, 96));
    for (uint32_t i = 0; i < 3; i++) {
        char name[16];
        uint32_t columns[32];
        for (uint32_t k = 0; k < 32; k++)
            columns[k] = i * 32 + k;
        snprintf(name, sizeof(name), "%c.weight", "qkv"[i]);
        pick(fx, w, name, 40, NULL, 32, columns, 0.1f);
    }
    run(fx);
    expect(fx, NULL, 100, 0);
}

/* Only one base tensor serves a row. */
static void a_third_of_merged_columns_has_a_base(void **state)
{
    struct fixture *fx = *state;
    const struct grid *w[3] = {old(fx, "q", DIMS(40, 32)),
                               old(fx, "k", DIMS(40, 32)),
                               old(fx, "v", DIMS(40, 32))};
    struct grid *g = add(&fx->target, "qkv", DIMS(40, 96));
    for (size_t i = 0; i < 40; i++)
        for (size_t j = 0; j < 96; j++)
            set(fx, g, i * 96 + j, w[j / 32]->values[i * 32 + j % 32], 0);
    run(fx);
    expect(fx, NULL, 33, 0);
}

/* No name says which tensors these were. */
static void pruned_layers_are_found_between_their_neighbours(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 64, 40);
    copy(fx, old(fx, "onnx::1", DIMS(30, 20)), "one", 0);
    pick(fx, old(fx, "onnx::2", DIMS(64, 30)), "two", 40, kept, 30, NULL,
         NOISE);
    pick(fx, old(fx, "onnx::3", DIMS(64)), "three", 40, kept, 1, NULL, NOISE);
    pick(fx, old(fx, "onnx::4", DIMS(20, 64)), "four", 20, NULL, 40, kept,
         NOISE);
    copy(fx, old(fx, "onnx::5", DIMS(20)), "five", 0);
    run(fx);
    expect(fx, NULL, 100, 0);
    free(kept);
}

/* Each row times a number, as when a normalisation is folded. */
static void rows_that_were_scaled_are_alike(void **state)
{
    struct fixture *fx = *state;
    for (unsigned t = 0; t < 12; t++) {
        char name[16];
        snprintf(name, sizeof(name), "a.%u", t);
        const struct grid *from = old(fx, name, DIMS(40, 30));
        snprintf(name, sizeof(name), "b.%u", 99 - t);
        struct grid *g = copy(fx, from, name, 0.01f);
        for (size_t i = 0; i < g->count; i++)
            g->values[i] *= (float)(1 + i / 30 % 9) * (i / 30 % 2 ? 1 : -1);
    }
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void turn(struct fixture *fx, const struct grid *from, const char *name,
                 float noise)
{
    uint32_t dims[2] = {from->dims[1], from->dims[0]};
    struct grid *g = add(&fx->target, name, 2, dims);
    for (size_t i = 0; i < dims[0]; i++)
        for (size_t j = 0; j < dims[1]; j++)
            set(fx, g, i * dims[1] + j, from->values[j * dims[0] + i], noise);
}

static void a_transposed_matrix_is_found_under_any_name(void **state)
{
    struct fixture *fx = *state;
    turn(fx, old(fx, "fc1.weight", DIMS(120, 30)), "onnx::MatMul_7", 0.1f);
    turn(fx, old(fx, "fc2.weight", DIMS(50, 50)), "onnx::MatMul_8", 0);
    turn(fx, old(fx, "fc3.weight", DIMS(50, 50)), "fc3.weight", 0);
    turn(fx, old(fx, "fc4.weight", DIMS(7, 80)), "fc4.weight", 0);
    run(fx);
    expect(fx, NULL, 100, 0);
}

static void a_cast_model_names_the_type_of_its_base(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 64, 40);
    copy(fx, old(fx, "a", DIMS(30, 20)), "renamed", 0)->dtype = DTYPE_BF16;
    copy(fx, old(fx, "b", DIMS(30, 20)), "b", 0)->dtype = DTYPE_BF16;
    pick(fx, old(fx, "c", DIMS(64, 20)), "c", 40, kept, 20, NULL, 0)->dtype =
        DTYPE_BF16;
    run(fx);
    expect(fx, NULL, 100, 0);
    free(kept);
}

static void odd_shapes_are_covered(void **state)
{
    struct fixture *fx = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    static const uint32_t dims[][4] = {{1, 1, 1, 1}, {0, 5, 1, 1},
                                       {3, 0, 2, 1}, {1, 7, 1, 1},
                                       {2, 3, 5, 7}, {9, 1, 1, 1}};
    for (unsigned i = 0; i < 6; i++)
        for (uint32_t rank = 0; rank < 4; rank++) {
            char name[32];
            snprintf(name, sizeof(name), "%s.%u", names[i], rank);
            old(fx, name, rank, dims[i]);
            snprintf(name, sizeof(name), "%s.%u", names[(i + 1) % 6], rank);
            struct grid *g = add(&fx->target, name, (rank + 1) % 5, dims[i]);
            for (size_t k = 0; k < g->count; k++)
                set(fx, g, k, NAN, 0);
        }
    run(fx);
    struct verdict v = {0};
    for (size_t i = 0; i < fx->list.count; i++)
        if (fx->list.items[i].tensor)
            judge_match(fx, &fx->list.items[i], &v);
    assert_int_equal(v.right + v.wrong + v.none, 0);
    match_list_free(&fx->list);
    assert_int_equal(match_contents(&fx->base.source, NULL, &fx->target.source,
                                    fx->target.model, &fx->list),
                     STATUS_OK);
}

/* Every kind of change at once, while any allocation fails. */
static void no_memory_is_an_error_and_nothing_is_lost(void **state)
{
    struct fixture *fx = *state;
    uint32_t *kept = keep(fx, 64, 40);
    const struct grid *parts[2] = {old(fx, "k", DIMS(24, 32)),
                                   old(fx, "v", DIMS(24, 32))};
    stack(fx, "kv", parts, 2, 24);
    pick(fx, old(fx, "rows", DIMS(64, 20)), "rows", 40, kept, 20, NULL, 0);
    pick(fx, old(fx, "both", DIMS(64, 64)), "both", 40, kept, 40, kept, 0);
    pick(fx, old(fx, "c_attn", DIMS(40, 96)), "q", 40, NULL, 32, NULL, 0);
    turn(fx, old(fx, "fc", DIMS(50, 70)), "turned", 0);
    run(fx);
    size_t count = fx->list.count;
    unsigned n = 0;
    for (bool failed = true; failed; n++) {
        match_list_free(&fx->list);
        alloc_fail_after(n);
        enum status status =
            match_contents(&fx->base.source, fx->base.model, &fx->target.source,
                           fx->target.model, &fx->list);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
        assert_int_equal(fx->list.count, failed ? 0 : count);
    }
    assert_true(n > 20);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(equal_names_and_shapes_read_nothing),
        TEST(renamed_layers_are_found_by_their_values),
        TEST(names_of_other_frameworks_are_the_same),
        TEST(moved_rows_are_found_on_the_first_axis),
        TEST(a_dimension_of_one_may_grow),
        TEST(long_rows_lose_columns),
        TEST(more_runs_than_a_window_has_make_two),
        TEST(channels_are_found_on_the_second_axis),
        TEST(a_pruned_network_is_followed_from_layer_to_layer),
        TEST(both_axes_are_found_where_values_are_kept),
        TEST(an_axis_that_cannot_be_followed_is_merely_like),
        TEST(merged_projections_are_pieces),
        TEST(heads_that_were_interleaved_are_pieces),
        TEST(a_split_projection_is_pieces),
        TEST(columns_of_a_wider_matrix_are_a_window),
        TEST(a_third_of_merged_columns_has_a_base),
        TEST(pruned_layers_are_found_between_their_neighbours),
        TEST(rows_that_were_scaled_are_alike),
        TEST(a_transposed_matrix_is_found_under_any_name),
        TEST(no_memory_is_an_error_and_nothing_is_lost),
        TEST(odd_shapes_are_covered),
        TEST(a_cast_model_names_the_type_of_its_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
