/* Finds the lattice that a tensor lies on, and measures what its levels take:
 * by the models themselves, which add up bits instead of writing them. */
#include "codec/lossless/small_bits.h"

#include <math.h>
#include <stdlib.h>

#define COST_LOG  12u /* of the table of costs */
#define COST_UNIT 16u /* bits after the point of a cost */

struct small_coder {
    uint64_t bits; /* COST_UNIT after the point */
    const uint32_t *costs;
};

SMALL_INLINE unsigned small_code(struct small_coder *coder, uint32_t p,
                                 unsigned bit)
{
    coder->bits += coder->costs[(bit ? p : 65536 - p) >> (16 - COST_LOG)];
    return bit;
}

SMALL_INLINE uint64_t small_raw(struct small_coder *coder, uint64_t value,
                                unsigned bits)
{
    coder->bits += (uint64_t)bits << COST_UNIT;
    return value & (((uint64_t)1 << bits) - 1);
}

#include "codec/lossless/lattice_model.inc"

#define SAMPLE_MAX 1024u
/* Taken from one call at most, so that all parts of a tensor are seen. */
#define SAMPLE_CALL 128u
/* The fewest that tell a lattice from chance. */
#define SAMPLE_MIN 4u
/* A step is told from the spacing of numbers if it is so many times wider. */
#define SPACING_TIMES 2
/* Octaves below the median difference in which steps are looked for. */
#define OCTAVES_LOOKED 16
/* One in so many may lie elsewhere. */
#define OFF_PART    8u
#define CODING_BITS 24u /* about what a coding takes */

struct lattice_stats {
    enum dtype dtype;
    uint64_t columns;
    bool has_pred;
    uint32_t sample_count;
    uint64_t sample[SAMPLE_MAX][2]; /* predictions and targets */

    struct lattice_coding coding;
    uint64_t elem_count, off_count;
    struct lattice_context context;
    struct small_coder coder;
    struct lattice_models models;
    uint32_t costs[(1u << COST_LOG) + 1];
    int32_t levels[LATTICE_STRETCH];
    int64_t residuals[LATTICE_STRETCH];
};

/* log2 in COST_UNIT bits after the point; v > 0. */
static uint32_t log2_of(uint32_t v)
{
    unsigned top = 31 - (unsigned)__builtin_clz(v);
    uint64_t x = (uint64_t)v << (31 - top);
    uint32_t log = top << COST_UNIT;
    for (unsigned i = COST_UNIT; i--;) {
        x = x * x >> 31;
        if (x >> 32) {
            x >>= 1;
            log |= UINT32_C(1) << i;
        }
    }
    return log;
}

struct lattice_stats *lattice_stats_new(void)
{
    struct lattice_stats *stats = calloc(1, sizeof(*stats));
    if (!stats)
        return NULL;
    for (uint32_t i = 0; i <= 1u << COST_LOG; i++)
        stats->costs[i] = ((COST_LOG + 1) << COST_UNIT) - log2_of(2 * i + 1);
    stats->costs[1u << COST_LOG] = 0;
    lattice_models_init(&stats->models);
    return stats;
}

void lattice_stats_free(struct lattice_stats *stats)
{
    free(stats);
}

void lattice_stats_reset(struct lattice_stats *stats, enum dtype dtype,
                         uint64_t columns)
{
    stats->dtype = dtype;
    stats->columns = columns;
    stats->sample_count = 0;
    stats->elem_count = 0;
}

void lattice_stats_sample(struct lattice_stats *stats, const uint8_t *pred,
                          const uint8_t *target, size_t elem_count)
{
    unsigned width = dtype_bits(stats->dtype), taken = 0;
    stats->has_pred = pred != NULL;
    for (size_t i = 0; i < elem_count && taken < SAMPLE_CALL &&
                       stats->sample_count < SAMPLE_MAX;
         i++) {
        size_t at = i * (width / 8);
        uint64_t p = pred ? small_load(pred + at, width) : 0;
        uint64_t t = small_load(target + at, width);
        if (p == t)
            continue;
        stats->sample[stats->sample_count][0] = p;
        stats->sample[stats->sample_count][1] = t;
        stats->sample_count++;
        taken++;
    }
}

/* ---- the lattice ---- */

/* A difference of the sample, and how far apart numbers of the type lie where
 * its target is. */
struct difference {
    double v, spacing;
    uint64_t pred, target;
};

static double spacing_of(enum dtype dtype, double v)
{
    struct small_format format = small_format(dtype);
    int e, least = dtype == DTYPE_F64   ? -1074
                   : dtype == DTYPE_F16 ? -24
                   : dtype == DTYPE_F32 ? -149
                                        : -133;
    (void)frexp(v, &e);
    e -= 1 + format.mant;
    return ldexp(1, e < least ? least : e);
}

static uint32_t differences(const struct lattice_stats *stats,
                            struct difference *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < stats->sample_count; i++) {
        double p = lattice_value(stats->dtype, stats->sample[i][0]);
        double t = lattice_value(stats->dtype, stats->sample[i][1]);
        double v = t - p;
        if (!isfinite(v) || v == 0)
            continue;
        out[count++] = (struct difference){
            .v = v,
            .spacing = spacing_of(stats->dtype, t),
            .pred = stats->sample[i][0],
            .target = stats->sample[i][1],
        };
    }
    return count;
}

static int by_size(const void *a, const void *b)
{
    double x = fabs(((const struct difference *)a)->v),
           y = fabs(((const struct difference *)b)->v);
    return (x > y) - (x < y);
}

/* Whether the differences are levels of the step, but for a few: among those
 * where that means something. */
static bool fits(const struct lattice_stats *stats,
                 const struct difference *diffs, uint32_t count, int qp,
                 unsigned density, bool *blind)
{
    uint32_t seen = 0, off = 0;
    double step = (double)lattice_step(qp, density);
    for (uint32_t i = 0; i < count; i++) {
        const struct difference *d = &diffs[i];
        if (step < SPACING_TIMES * d->spacing)
            continue;
        seen++;
        if (off <= count / OFF_PART)
            off += !lattice_is_point(stats->dtype, d->pred, d->target, qp,
                                     density);
    }
    *blind = seen < SAMPLE_MIN || seen < count / OFF_PART;
    return !*blind && off <= seen / OFF_PART;
}

/* The finest power of two is found first, then what of 3, 5 and 7 divides all
 * levels. */
bool lattice_detect(const struct lattice_stats *stats,
                    struct lattice_coding *coding)
{
    struct difference diffs[SAMPLE_MAX];
    uint32_t count = differences(stats, diffs);
    bool blind = false;
    int top, qp;
    if (count < SAMPLE_MIN)
        return false;
    qsort(diffs, count, sizeof(diffs[0]), by_size);
    (void)frexp(diffs[count / 2].v, &top);
    int low = top - OCTAVES_LOOKED;
    for (qp = top; qp > low && !blind; qp--)
        if (lattice_step_ok(qp, 0) && fits(stats, diffs, count, qp, 0, &blind))
            break;
    if (qp == low || blind)
        return false;
    *coding = (struct lattice_coding){
        .has_pred = stats->has_pred, .density = 0, .qp = (int16_t)qp};
    /* m * 2^qp is (4 + r) * 2^(o - 2). */
    static const uint8_t odd[3][3] = {{7, 3, 2}, {5, 1, 2}, {3, 2, 1}};
    for (unsigned i = 0; i < 3; i++) {
        int density2 = 4 * (qp + odd[i][2]) + odd[i][1];
        if (!lattice_step_ok(density2, 2) ||
            !fits(stats, diffs, count, density2, 2, &blind))
            continue;
        coding->density = 2;
        coding->qp = (int16_t)density2;
        lattice_reduce(coding);
        break;
    }
    return true;
}

/* ---- what it takes ---- */

static void set_coding(struct lattice_stats *stats,
                       const struct lattice_coding *coding)
{
    stats->coding = *coding;
    stats->coding.has_residual = false;
    stats->coding.guessed = true;
    stats->coding.columns =
        stats->columns > 1 && stats->columns <= LATTICE_COLUMNS_MAX
            ? (uint32_t)stats->columns
            : 0;
    lattice_reduce(&stats->coding);
    stats->elem_count = stats->off_count = 0;
}

void lattice_stats_begin(struct lattice_stats *stats,
                         const struct lattice_coding *coding)
{
    set_coding(stats, coding);
    stats->coder = (struct small_coder){0, stats->costs};
    lattice_models_reset(&stats->models);
}

void lattice_stats_next(struct lattice_stats *stats, enum dtype dtype,
                        uint64_t columns, const struct lattice_coding *coding)
{
    lattice_stats_reset(stats, dtype, columns);
    set_coding(stats, coding);
}

void lattice_stats_add(struct lattice_stats *stats, const uint8_t *pred,
                       const uint8_t *target, size_t elem_count)
{
    size_t width = dtype_bits(stats->dtype) / 8;
    for (size_t at = 0; at < elem_count; at += LATTICE_STRETCH) {
        size_t left = elem_count - at;
        struct lattice_piece piece = {
            .pred = pred ? pred + at * width : NULL,
            .levels = stats->levels,
            .residuals = stats->residuals,
            .elem_count = left < LATTICE_STRETCH ? left : LATTICE_STRETCH,
        };
        stats->off_count += lattice_levels(
            &stats->coding, stats->dtype, piece.pred, target + at * width,
            piece.elem_count, piece.levels, piece.residuals);
        if (!stats->off_count)
            piece.residuals = NULL;
        lattice_context_set(&stats->context, &stats->models, &stats->coding,
                            stats->dtype, piece.elem_count, stats->elem_count);
        lattice_walk(&stats->models, &stats->coder, &stats->context, &piece);
        stats->elem_count += piece.elem_count;
    }
}

uint64_t lattice_plan(const struct lattice_stats *stats,
                      struct lattice_coding *coding)
{
    *coding = stats->coding;
    coding->has_residual = stats->off_count != 0;
    return (stats->coder.bits >> COST_UNIT) + CODING_BITS;
}
