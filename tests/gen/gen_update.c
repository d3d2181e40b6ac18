/* Writes an update whose records are drawn at random from all that the format
 * has: every mode, type, coder, cast, window, table, in combinations that no
 * plan would choose. For golden updates and for comparing decoders.
 *
 *   gen_update SEED BASE TARGET UPDATE [RECORDS]
 *
 * Seeds from 1000 on have records of the lattice coder, too; from 2000 on their
 * levels are guessed.
 *
 * The base is the same for every seed. Integer arithmetic and the predictions'
 * own make all numbers: the same files on every machine. */
#include "codec/base/rng.h"
#include "codec/lossless/coding_plan.h"
#include "codec/lossless/packed.h"
#include "codec/update/header_write.h"
#include "codec/update/predictor.h"
#include "codec/update/segment_enc.h"
#include "codec/update/update_file.h"

#include <stdio.h>
#include <stdlib.h>

#define REGION_ELEMS  512u /* of each dtype, one region after the other */
#define PATTERN_BYTES 65536u
#define ELEMS_MAX     400u
#define ELEMS_MIX     150u /* and 40 more: of one coded record */
#define RECORDS_MAX   200u
#define FACTORS_MAX   4096u
#define BASE_MAX      (DTYPE_COUNT * REGION_ELEMS * 8u + PATTERN_BYTES)

/* A record, and what only its maker knows of it. */
struct made {
    struct small_coding small;
    struct lattice_coding lattice;
    size_t plan; /* index of its static coding */
    int16_t factors[FACTORS_MAX];
    int32_t scales[ELEMS_MAX];
};

struct gen {
    struct rng rng;
    bool lattices, guessed;
    uint8_t base[BASE_MAX];
    size_t base_size;
    size_t region[DTYPE_COUNT];
    size_t pattern;
    struct writer target;
    struct update_header header;
    struct made made[RECORDS_MAX];
    struct coding_stats *stats;
    struct small_stats *small;
    struct coding_plan *plan;
    struct writer aux[RECORDS_MAX];
    struct writer coded; /* all segments */
};

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "gen_update: %s\n", what);
    exit(1);
}

static void ok(enum status status)
{
    check(!status, status_text(status));
}

static uint32_t draw(struct gen *g, uint32_t bound)
{
    return (uint32_t)rng_below(&g->rng, bound);
}

/* Close to normal, in units of 1/1000. */
static double noise(struct gen *g)
{
    int sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (int)draw(g, 1001) - 500;
    return sum / 1000.0;
}

static void store(uint8_t *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t load(const uint8_t *at, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)at[i] << 8 * i;
    return v;
}

/* A number as an element; other types than predictions know get an integer. */
static void element(enum dtype dtype, double number, uint8_t *out)
{
    uint8_t bytes[8];
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    store(bytes, bits, 8);
    struct predict cast = {.dtype = dtype, .from = DTYPE_F64, .columns = 1};
    uint8_t lost;
    if (dtype == DTYPE_F64)
        memcpy(out, bytes, 8);
    else if (predict_ok(&cast) && predict_dtype_ok(dtype))
        predict_elems(&cast, 0, bytes, 1, out, &lost);
    else
        store(out, (uint64_t)(int64_t)number, packed_unit_bytes(dtype));
}

static bool is_float(enum dtype dtype)
{
    return dtype_is_float(dtype) || dtype == DTYPE_F8_E5M2 ||
           dtype == DTYPE_F8_E4M3;
}

static void make_base(struct gen *g)
{
    for (enum dtype d = 0; d < DTYPE_COUNT; d++) {
        enum coding_kind kind;
        if (!coding_kind_of(d, &kind))
            continue;
        unsigned width = packed_unit_bytes(d);
        g->region[d] = g->base_size;
        for (unsigned i = 0; i < REGION_ELEMS; i++) {
            uint8_t *at = g->base + g->base_size;
            element(d, noise(g) * (is_float(d) ? 0.2 : 90), at);
            if (draw(g, 40) == 0) /* NaNs, infinities, all else */
                rng_fill(&g->rng, at, width);
            if (draw(g, 60) == 0 && is_float(d))
                store(at,
                      draw(g, 5) + ((uint64_t)draw(g, 2) << (8 * width - 1)),
                      width);
            g->base_size += width;
        }
    }
    g->pattern = g->base_size;
    for (unsigned i = 0; i < PATTERN_BYTES; i++)
        g->base[g->base_size++] = (uint8_t)(i >> 7);
}

static enum dtype draw_dtype(struct gen *g, bool predicted)
{
    enum coding_kind kind;
    enum dtype d;
    do
        d = (enum dtype)draw(g, DTYPE_COUNT);
    while (!coding_kind_of(d, &kind) || (predicted && !predict_dtype_ok(d)));
    return d;
}

/* ---- one coded record ---- */

/* Columns and rows picked anew, or turned over, within the region. */
static void draw_window(struct gen *g, struct update_record *r)
{
    struct gather_run runs[8];
    uint32_t count = 0, rows = (uint32_t)record_rows(r), left = r->columns;
    uint32_t room = REGION_ELEMS / rows; /* base elements a row or column */
    r->window.on = true;
    r->window.transposed = draw(g, 2);
    while (count < 7 && left) {
        struct gather_run *run = &runs[count];
        bool none = draw(g, 4) == 0 && count &&
                    runs[count - 1].base_column != GATHER_NONE;
        run->count = count == 6 ? left : 1 + draw(g, left);
        run->base_column = GATHER_NONE;
        if (!none) {
            if (run->count > room)
                run->count = room;
            run->base_column = draw(g, room - run->count + 1);
            uint32_t last =
                count ? runs[count - 1].base_column + runs[count - 1].count : 0;
            if (count && runs[count - 1].base_column != GATHER_NONE &&
                run->base_column == last)
                break;
        }
        left -= run->count;
        count++;
    }
    bool plain = left || (count == 1 && !runs[0].base_column);
    for (uint32_t i = 2; i < count; i++) /* goes on behind a gap: one form */
        plain |= runs[i - 1].base_column == GATHER_NONE &&
                 runs[i].base_column == GATHER_NONE;
    if (plain || !count)
        count = 0;
    r->window.stride = r->window.transposed ? rows : room;
    if (!count && (r->columns > room || r->columns * rows > REGION_ELEMS))
        r->window.on = false;
    r->window.run_first = g->header.records.run_count;
    r->window.run_count = r->window.on ? count : 0;
    if (r->window.run_count)
        check(record_list_push_runs(&g->header.records, runs, count),
              "no memory");
}

static void draw_tables(struct gen *g, struct update_record *r, struct made *m)
{
    uint64_t elems = record_elems(r), rows = record_rows(r);
    bool to_int = !is_float(r->dtype);
    uint64_t most = elems / (rows + r->columns);
    if (draw(g, 2) && most) {
        r->rank = (uint8_t)(1 + draw(g, most < 6 ? (uint32_t)most : 6));
        r->shift = to_int ? (int8_t)(-(int)draw(g, 24)) : -22;
        for (uint64_t i = 0; i < r->rank * (rows + r->columns); i++)
            m->factors[i] = (int16_t)(noise(g) * (to_int ? 20 : 900));
        if (draw(g, 8) == 0)
            m->factors[0] = -32768;
    }
    if (draw(g, 4) == 0 && (!to_int || is_float(r->from))) {
        r->base_scale = (float)(0.9 + draw(g, 1000) / 4096.0);
    } else if (draw(g, 2) && rows <= elems / 8) {
        r->scaled = true;
        r->scale_shift = -24;
        for (uint64_t i = 0; i < rows; i++)
            m->scales[i] = (1 << 24) + (int)(noise(g) * 900) * 1024;
        if (draw(g, 8) == 0)
            m->scales[0] = (1 << 24) - (1 << 25);
    }
}

static void predict_of(const struct update_record *r, const struct made *m,
                       struct predict *p)
{
    *p = (struct predict){
        .dtype = r->dtype,
        .from = r->from,
        .columns = r->columns ? r->columns : UINT32_MAX,
        .rank = r->rank,
        .shift = r->shift,
        .u = m->factors,
        .v = m->factors + r->rank * record_rows(r),
        .row_scale = r->scaled ? m->scales : NULL,
        .scale_shift = r->scale_shift,
        .base_scale = r->base_scale,
    };
}

/* Where elements move to: mostly near the prediction, a few anywhere. */
static void move(struct gen *g, const struct update_record *r, uint8_t *elems,
                 uint32_t count)
{
    unsigned width = packed_unit_bytes(r->dtype);
    unsigned spread = draw(g, 8 * width < 24 ? 8 * width : 24);
    unsigned rate = 1 + draw(g, 10);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = elems + (size_t)i * width;
        uint64_t v = load(at, width);
        if (draw(g, 10) < rate)
            v += (uint64_t)(int64_t)(noise(g) * (double)(1u << spread));
        store(at, v, width);
        if (draw(g, 100) == 0)
            rng_fill(&g->rng, at, width);
    }
}

/* Statistics of the record under both coders. */
static void measure(struct gen *g, const struct update_record *r,
                    struct made *m, const uint8_t *pred, const uint8_t *lost,
                    const uint8_t *target, uint32_t count)
{
    uint8_t from[2 * ELEMS_MAX], to[2 * ELEMS_MAX];
    enum dtype dtype = packed_coded_as(r->dtype);
    if (packed_dtype(r->dtype)) {
        packed_spread(target, count, to);
        if (pred)
            packed_spread(pred, count, from);
        pred = pred ? from : NULL;
        target = to;
        count *= 2;
    }
    ok(coding_stats_reset(g->stats, dtype, r->columns));
    coding_stats_add(g->stats, pred, lost, target, count);
    ok(coding_plan_add(g->plan, g->stats, &m->plan));
    small_stats_reset(g->small, dtype, r->columns);
    small_stats_add(g->small, pred, lost, target, count);
    small_plan(g->small, &m->small);
}

/* Whole steps away from the prediction, mostly. */
static void move_levels(struct gen *g, const struct update_record *r,
                        struct made *m, const uint8_t *pred, uint8_t *target,
                        uint32_t count)
{
    int32_t levels[ELEMS_MAX];
    struct lattice_coding *coding = &m->lattice;
    unsigned width = packed_unit_bytes(r->dtype), rate = 1 + draw(g, 40);
    double spread = (double)(1u << draw(g, 12)) / 1000;
    *coding = (struct lattice_coding){.has_pred = pred != NULL,
                                      .guessed = g->guessed};
    coding->density = (uint8_t)draw(g, 5);
    coding->qp = (int16_t)((int)draw(g, 20u << coding->density) -
                           (22 << coding->density));
    coding->columns = draw(g, 2) ? 2 + draw(g, 60) : 0;
    lattice_reduce(coding);
    for (uint32_t i = 0; i < count; i++) {
        levels[i] = draw(g, 40) < rate ? (int32_t)(noise(g) * spread * 9) : 0;
        if (draw(g, 90) == 0)
            levels[i] = (int32_t)draw(g, 1u << 24) - (1 << 23);
    }
    lattice_points(coding, r->dtype, pred, levels, count, target);
    for (uint32_t i = 0, off = draw(g, 2); off && i < count; i++) {
        if (draw(g, 30) == 0)
            rng_fill(&g->rng, target + (size_t)i * width, width);
        else if (draw(g, 10) == 0)
            target[(size_t)i * width]++;
    }
    coding->has_residual = lattice_levels(coding, r->dtype, pred, target, count,
                                          levels, NULL) != 0;
}

static void make_coded(struct gen *g, struct update_record *r, struct made *m)
{
    uint8_t from[ELEMS_MAX * 8], pred[ELEMS_MAX * 8], lost[ELEMS_MAX];
    bool has_base = draw(g, 5), special = draw(g, 3);
    r->dtype = r->from = draw_dtype(g, special);
    if (special && draw(g, 2))
        r->from = draw_dtype(g, true);
    uint32_t count = 40 + draw(g, ELEMS_MIX);
    r->size = (uint64_t)count * packed_unit_bytes(r->dtype);
    r->coding.kind = draw(g, 2) ? CODING_SMALL : CODING_FAST;
    if (!has_base)
        r->from = r->dtype;
    special = has_base && special && !packed_dtype(r->dtype);
    if (special)
        r->columns = 8 + draw(g, 30);
    if (special && draw(g, 2))
        draw_window(g, r);
    if (special && draw(g, 4))
        draw_tables(g, r, m);
    if (!r->window.on && !record_has_tables(r))
        r->columns = 0;
    struct gather gather;
    r->base_offset = has_base ? g->region[r->from] : 0;
    record_gather(&g->header.records, r, &gather);
    struct source base = source_of_bytes(bytes_of(g->base, g->base_size));
    memset(pred, 0, sizeof(pred));
    struct predict p;
    predict_of(r, m, &p);
    if (has_base) {
        ok(gather_check(&gather, count, g->base_size, &r->base_size));
        ok(gather_read(&gather, &base, 0, count, from));
        check(predict_ok(&p), "no such prediction");
        if (predict_is_plain(&p))
            memcpy(pred, from, r->size);
        else
            predict_elems(&p, 0, from, count, pred, lost);
    } else {
        memcpy(pred, g->base + g->region[r->dtype], r->size);
    }
    uint8_t *target = writer_reserve(&g->target, r->size);
    check(target, "no memory");
    if (g->lattices && lattice_dtype_ok(r->dtype) && draw(g, 4)) {
        r->coding.kind = CODING_LATTICE;
        r->coding.lattice.guessed = g->guessed;
        move_levels(g, r, m, has_base ? pred : NULL, target, count);
        return;
    }
    memcpy(target, pred, r->size);
    move(g, r, target, count);
    measure(g, r, m, has_base ? pred : NULL,
            has_base && predict_has_lost(&p) ? lost : NULL, target, count);
}

/* ---- the others ---- */

static void make_plain(struct gen *g, struct update_record *r)
{
    uint8_t bytes[ELEMS_MAX + 100];
    r->mode = (enum update_mode)draw(g, 3);
    r->size = 50 + draw(g, ELEMS_MIX);
    r->base_offset = draw(g, (uint32_t)g->base_size - 1000);
    r->base_size = r->size;
    if (r->mode == UPDATE_BYTES && draw(g, 2))
        r->base_size = draw(g, 2) ? 0 : r->size + draw(g, 90);
    memcpy(bytes, g->base + r->base_offset, r->size);
    for (int i = 0; i < 9 && r->mode != UPDATE_SAME; i++)
        bytes[draw(g, (uint32_t)r->size)]++;
    if (!r->base_size)
        r->base_offset = 0;
    writer_bytes(&g->target, bytes, r->size);
}

static void make_record(struct gen *g, struct made *m, bool pattern)
{
    struct update_record *r = record_list_push(&g->header.records);
    check(r, "no memory");
    r->target_offset = g->target.size;
    if (pattern) {
        r->mode = UPDATE_SAME;
        r->size = r->base_size = PATTERN_BYTES;
        r->base_offset = g->pattern;
        writer_bytes(&g->target, g->base + g->pattern, PATTERN_BYTES);
    } else if (draw(g, 8) == 0) {
        make_plain(g, r);
    } else {
        r->mode = UPDATE_CODED;
        make_coded(g, r, m);
    }
}

/* ---- the update ---- */

/* Codings that all records together decide. One over values has no base. */
static void choose_codings(struct gen *g)
{
    struct record_list *list = &g->header.records;
    ok(coding_plan_solve(g->plan, &g->header.tables));
    uint32_t aux = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct update_record *r = &list->records[i];
        if (r->mode == UPDATE_CODED) {
            if (r->coding.kind == CODING_LATTICE)
                r->coding.lattice = g->made[i].lattice;
            else if (r->coding.kind == CODING_SMALL)
                r->coding.small = g->made[i].small;
            else
                coding_plan_coding(g->plan, g->made[i].plan, &r->coding);
        }
        if (r->mode == UPDATE_CODED && !coding_has_base(&r->coding)) {
            r->base_size = r->base_offset = 0;
            r->from = r->dtype;
            r->columns = r->rank = 0;
            r->base_scale = 0;
            r->scaled = r->window.on = false;
        }
        if (record_has_tables(r)) {
            struct predict p;
            aux += !aux || draw(g, 3) == 0;
            predict_of(r, &g->made[i], &p);
            ok(predictor_tables_write(r, &p, &g->aux[aux - 1]));
        }
        r->aux = aux;
    }
    g->header.aux_count = aux;
}

static enum status aux_read(void *ctx, uint32_t index, struct bytes *coded)
{
    struct gen *g = ctx;
    *coded = writer_view(&g->aux[index]);
    return STATUS_OK;
}

static void add_segment(struct gen *g, uint32_t index, struct bytes coded)
{
    struct update_segment *segment = &g->header.segments[index];
    segment->size = (uint32_t)coded.size;
    update_segment_hash(coded, segment->hash);
    writer_bytes(&g->coded, coded.data, coded.size);
}

static void make_segments(struct gen *g)
{
    struct update_header *h = &g->header;
    struct source base = source_of_bytes(bytes_of(g->base, g->base_size));
    struct source target = source_of_bytes(writer_view(&g->target));
    struct predictor_aux aux = {.read = aux_read, .ctx = g};
    struct segment_enc_params params = {&base, &target, h, &aux,
                                        UPDATE_EFFORT_SMALL};
    h->segment_count =
        h->aux_count + update_header_segment_count(&h->target, 0);
    h->segments = calloc(h->segment_count, sizeof(*h->segments));
    struct segment_enc *enc = segment_enc_new(&params);
    check(enc && h->segments, "no memory");
    for (uint32_t i = 0; i < h->segment_count; i++) {
        struct bytes coded = writer_view(&g->aux[i % RECORDS_MAX]);
        enum segment_use use;
        if (i >= h->aux_count)
            ok(segment_enc_code(enc, i, &coded, &use));
        add_segment(g, i, coded);
    }
    segment_enc_free(enc);
}

static void make_header(struct gen *g)
{
    struct update_header *h = &g->header;
    struct source base = source_of_bytes(bytes_of(g->base, g->base_size));
    struct source target = source_of_bytes(writer_view(&g->target));
    struct tree_builder tree;
    h->has_base = true;
    h->base_size = g->base_size;
    ok(tree_build(&base, &tree, &h->base_tree));
    tree_builder_deinit(&tree);
    ok(tree_build(&target, &tree, &h->target_tree));
    h->target = tree.shape;
    tree_builder_deinit(&tree);
}

static void put(const char *path, struct bytes a, struct bytes b)
{
    FILE *out = fopen(path, "wb");
    check(out && fwrite(a.data, 1, a.size, out) == a.size &&
              fwrite(b.data, 1, b.size, out) == b.size && !fclose(out),
          "cannot write");
}

int main(int argc, char **argv)
{
    struct gen *g = calloc(1, sizeof(*g));
    struct rng_seeded seeded;
    check(argc >= 5, "SEED BASE TARGET UPDATE [RECORDS]");
    unsigned count = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 24;
    check(g && count && count <= RECORDS_MAX, "no memory, or no such count");
    g->stats = coding_stats_new(CODING_SPEED_FAST);
    g->small = small_stats_new();
    g->plan = coding_plan_new();
    check(g->stats && g->small && g->plan, "no memory");
    writer_init_heap(&g->target, 1u << 24);
    writer_init_heap(&g->coded, 1u << 24);
    for (unsigned i = 0; i < RECORDS_MAX; i++)
        writer_init_heap(&g->aux[i], UPDATE_AUX_CODED_MAX);
    g->rng = rng_from_seeded(&seeded);
    rng_seeded_init(&seeded, 1);
    make_base(g);
    rng_seeded_init(&seeded, strtoull(argv[1], NULL, 10));
    g->lattices = strtoull(argv[1], NULL, 10) >= 1000;
    g->guessed = strtoull(argv[1], NULL, 10) >= 2000;
    for (unsigned i = 0, at = draw(g, count); i < count; i++)
        make_record(g, &g->made[i], i == at);
    make_header(g);
    choose_codings(g);
    make_segments(g);
    struct writer head, file;
    writer_init_heap(&head, UPDATE_HEADER_MAX);
    writer_init_heap(&file, UPDATE_HEADER_MAX + 12);
    update_header_write(&g->header, &head);
    update_file_write_head(&file, writer_view(&head));
    put(argv[2], bytes_of(g->base, g->base_size), (struct bytes){0});
    put(argv[3], writer_view(&g->target), (struct bytes){0});
    put(argv[4], writer_view(&file), writer_view(&g->coded));
    coding_stats_free(g->stats);
    small_stats_free(g->small);
    coding_plan_free(g->plan);
    update_header_free(&g->header);
    for (unsigned i = 0; i < RECORDS_MAX; i++)
        writer_deinit(&g->aux[i]);
    writer_deinit(&head);
    writer_deinit(&file);
    writer_deinit(&g->target);
    writer_deinit(&g->coded);
    free(g);
    return 0;
}
