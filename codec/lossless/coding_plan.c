/* The coder of each record is chosen when it is added, by what its histograms
 * cost at best: so the static tables are made for the records that use them. */
#include "codec/lossless/coding_plan.h"

#include <stdlib.h>

/* The adaptive coder is some ten times slower: it must save 1 in so many. */
#define PLAN_SMALL_GAIN 40u
/* So must levels: they are for what was quantised. */
#define PLAN_LATTICE_GAIN 32u
/* Static tables are priced as if each record had its own; sharing them, and
 * their states, take 1 in so many more. */
#define PLAN_FIXED_MORE 64u

/* What each coder would take; UINT64_MAX for one that is not considered. */
struct prices {
    uint64_t fixed;
    uint64_t small;
    uint64_t lattice;
    struct small_coding coding;
    struct lattice_coding levels;
};

struct coding_stats {
    enum coding_speed speed;
    enum coding_kind kind; /* of the coder with static tables */
    struct fast_stats *fast;
    struct narrow_stats *narrow;
    struct small_stats *small;
    struct lattice_stats *lattice;
    enum dtype dtype;
    bool by_levels;       /* coding_stats_begin_lattice */
    bool levels_alone;    /* nothing else was added */
    struct prices prices; /* of what was added, if known */
    bool priced;
};

struct coding_stats *coding_stats_new(enum coding_speed speed)
{
    struct coding_stats *stats = calloc(1, sizeof(*stats));
    if (stats)
        stats->speed = speed;
    return stats;
}

void coding_stats_free(struct coding_stats *stats)
{
    if (!stats)
        return;
    fast_stats_free(stats->fast);
    narrow_stats_free(stats->narrow);
    small_stats_free(stats->small);
    lattice_stats_free(stats->lattice);
    free(stats);
}

static bool stats_small(const struct coding_stats *stats)
{
    return stats->speed != CODING_SPEED_FAST;
}

static bool stats_lattice(const struct coding_stats *stats)
{
    return stats->speed != CODING_SPEED_FAST && lattice_dtype_ok(stats->dtype);
}

enum status coding_stats_reset(struct coding_stats *stats, enum dtype dtype,
                               uint64_t columns)
{
    (void)coding_kind_of(dtype, &stats->kind);
    stats->priced = stats->by_levels = stats->levels_alone = false;
    stats->dtype = dtype;
    bool fast = stats->kind == CODING_FAST;
    bool narrow = stats->kind == CODING_NARROW;
    if (fast && !stats->fast)
        stats->fast = fast_stats_new();
    if (narrow && !stats->narrow)
        stats->narrow = narrow_stats_new();
    if (stats_small(stats) && !stats->small)
        stats->small = small_stats_new();
    if (stats_lattice(stats) && !stats->lattice)
        stats->lattice = lattice_stats_new();
    if ((fast && !stats->fast) || (narrow && !stats->narrow) ||
        (stats_small(stats) && !stats->small) ||
        (stats_lattice(stats) && !stats->lattice))
        return STATUS_NO_MEMORY;
    if (fast)
        fast_stats_reset(stats->fast, dtype);
    if (narrow)
        narrow_stats_reset(stats->narrow, dtype);
    if (stats_small(stats))
        small_stats_reset(stats->small, dtype, columns);
    if (stats_lattice(stats))
        lattice_stats_reset(stats->lattice, dtype, columns);
    return STATUS_OK;
}

void coding_stats_add(struct coding_stats *stats, const uint8_t *pred,
                      const uint8_t *lost, const uint8_t *target,
                      size_t elem_count)
{
    stats->priced = false;
    if (stats->kind == CODING_FAST)
        fast_stats_add(stats->fast, pred, target, elem_count);
    if (stats->kind == CODING_NARROW)
        narrow_stats_add(stats->narrow, pred, lost, target, elem_count);
    if (stats_small(stats))
        small_stats_add(stats->small, pred, lost, target, elem_count);
    if (stats_lattice(stats))
        lattice_stats_sample(stats->lattice, pred, target, elem_count);
}

bool coding_stats_find_lattice(const struct coding_stats *stats,
                               struct lattice_coding *coding)
{
    return stats_lattice(stats) && lattice_detect(stats->lattice, coding);
}

bool coding_stats_begin_lattice(struct coding_stats *stats,
                                const struct lattice_coding *coding, bool alone)
{
    if (!stats_lattice(stats))
        return false;
    stats->priced = false;
    stats->by_levels = true;
    stats->levels_alone = alone;
    lattice_stats_begin(stats->lattice, coding);
    return true;
}

void coding_stats_add_lattice(struct coding_stats *stats, const uint8_t *pred,
                              const uint8_t *target, size_t elem_count)
{
    stats->priced = false;
    lattice_stats_add(stats->lattice, pred, target, elem_count);
}

static const struct prices *stats_prices(struct coding_stats *stats)
{
    struct prices *out = &stats->prices;
    if (stats->priced)
        return out;
    *out = (struct prices){UINT64_MAX, UINT64_MAX, UINT64_MAX, {0}, {0}};
    stats->priced = true;
    if (stats->by_levels)
        out->lattice = lattice_plan(stats->lattice, &out->levels);
    if (stats->levels_alone)
        return out;
    out->fixed = stats->kind == CODING_FAST
                     ? fast_plan_estimate(stats->fast)
                     : narrow_plan_estimate(stats->narrow);
    if (stats_small(stats))
        out->small = small_plan(stats->small, &out->coding);
    return out;
}

static bool prefer_small(const struct coding_stats *stats,
                         const struct prices *prices)
{
    if (stats->speed == CODING_SPEED_SMALL)
        return prices->small <= prices->fixed + prices->fixed / PLAN_FIXED_MORE;
    return prices->small < prices->fixed - prices->fixed / PLAN_SMALL_GAIN;
}

static bool prefer_lattice(const struct coding_stats *stats,
                           const struct prices *prices)
{
    uint64_t other =
        prefer_small(stats, prices) ? prices->small : prices->fixed;
    return stats->by_levels &&
           prices->lattice < other - other / PLAN_LATTICE_GAIN;
}

bool coding_stats_on_lattice(struct coding_stats *stats)
{
    return prefer_lattice(stats, stats_prices(stats));
}

uint64_t coding_stats_bits(struct coding_stats *stats)
{
    const struct prices *prices = stats_prices(stats);
    if (prefer_lattice(stats, prices))
        return prices->lattice;
    return prefer_small(stats, prices) ? prices->small : prices->fixed;
}

uint64_t coding_stats_changed(const struct coding_stats *stats)
{
    return stats->kind == CODING_FAST ? fast_stats_changed(stats->fast)
                                      : narrow_stats_changed(stats->narrow);
}

/* Where a record's coding is: in the plan of its coder. */
struct plan_entry {
    enum coding_kind kind;
    size_t index;  /* CODING_FAST, CODING_NARROW */
    uint64_t bits; /* but for these */
    struct small_coding small;
    struct lattice_coding lattice;
};

struct coding_plan {
    struct fast_plan *fast;
    struct narrow_plan *narrow;
    struct plan_entry *entries;
    size_t count, cap;
};

struct coding_plan *coding_plan_new(void)
{
    struct coding_plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return NULL;
    plan->fast = fast_plan_new();
    plan->narrow = narrow_plan_new();
    if (plan->fast && plan->narrow)
        return plan;
    coding_plan_free(plan);
    return NULL;
}

void coding_plan_free(struct coding_plan *plan)
{
    if (!plan)
        return;
    fast_plan_free(plan->fast);
    narrow_plan_free(plan->narrow);
    free(plan->entries);
    free(plan);
}

static enum status plan_grow(struct coding_plan *plan)
{
    if (plan->count < plan->cap)
        return STATUS_OK;
    size_t cap = plan->cap ? 2 * plan->cap : 64;
    struct plan_entry *more = realloc(plan->entries, cap * sizeof(*more));
    if (!more)
        return STATUS_NO_MEMORY;
    plan->entries = more;
    plan->cap = cap;
    return STATUS_OK;
}

enum status coding_plan_add(struct coding_plan *plan,
                            struct coding_stats *stats, size_t *index)
{
    enum status status = plan_grow(plan);
    if (status)
        return status;
    const struct prices *prices = stats_prices(stats);
    struct plan_entry *entry = &plan->entries[plan->count];
    *entry = (struct plan_entry){.kind = stats->kind};
    if (prefer_lattice(stats, prices)) {
        entry->kind = CODING_LATTICE;
        entry->lattice = prices->levels;
        entry->bits = prices->lattice;
    } else if (prefer_small(stats, prices)) {
        entry->kind = CODING_SMALL;
        entry->small = prices->coding;
        entry->bits = prices->small;
    } else if (stats->kind == CODING_FAST) {
        status = fast_plan_add(plan->fast, stats->fast, &entry->index);
    } else {
        status = narrow_plan_add(plan->narrow, stats->narrow, &entry->index);
    }
    if (!status)
        *index = plan->count++;
    return status;
}

enum status coding_plan_solve(struct coding_plan *plan,
                              struct coding_tables *tables)
{
    enum status status = fast_plan_solve(plan->fast, &tables->fast);
    return status ? status : narrow_plan_solve(plan->narrow, &tables->narrow);
}

uint64_t coding_plan_coding(const struct coding_plan *plan, size_t index,
                            struct coding *coding)
{
    const struct plan_entry *entry = &plan->entries[index];
    memset(coding, 0, sizeof(*coding));
    coding->kind = entry->kind;
    switch (entry->kind) {
    case CODING_FAST:
        return fast_plan_coding(plan->fast, entry->index, &coding->fast);
    case CODING_NARROW:
        return narrow_plan_coding(plan->narrow, entry->index, &coding->narrow);
    case CODING_LATTICE:
        coding->lattice = entry->lattice;
        return entry->bits;
    default:
        coding->small = entry->small;
        return entry->bits;
    }
}
