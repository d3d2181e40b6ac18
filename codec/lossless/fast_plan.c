/* Planner of the fast coder. For each tensor: scale, which base exponents are
 * coded by value, groups of neighbouring exponents with their histograms. For
 * all tensors together: a few tables, found by clustering the groups, and for
 * each tensor the runs of exponents that use them. Integers only, so that two
 * makers of an update make the same bytes. */
#include "codec/base/array.h"
#include "codec/entropy/cluster.h"
#include "codec/lossless/fast_shift.h"
#include "codec/lossless/fast_stats.h"

#include <stdlib.h>

/* Costs are in 1/65536 bit. */
#define BIT ((uint64_t)1 << 16)

/* Bits of a run in a coding, and of what else is in it. */
#define RUN_BITS    12u
#define CODING_BITS 41u
/* Bits that shifts must save, beside their own. */
#define SHIFT_BITS 64u
/* Bits that a group must save before tables are known. */
#define GROUP_BITS 24u
/* Bits that a base must save, beside 1/1024, to be used at all. */
#define MARGIN_BITS 64u
/* What a symbol without a frequency is taken to cost beyond the escape. */
#define ESCAPE_BITS 16u

/* Neighbouring exponents of a tensor that will share a table. */
struct group {
    uint8_t first_exponent;
    uint64_t hist[FREQ_SYMS];
};

/* The same as kept for all tensors; fast_stats counts no more than 2^31. */
struct kept_group {
    uint8_t first_exponent;
    uint32_t hist[FREQ_SYMS];
};

struct entry {
    struct fast_coding coding; /* runs unset until solved */
    uint64_t raw_bits;
    uint64_t bits; /* after solving */
    size_t group_first;
    unsigned group_count; /* after them one of shifts, if there are any */
};

struct fast_plan {
    struct entry *entry;
    size_t entry_count, entry_cap;
    struct kept_group *group;
    size_t group_count, group_cap;
};

/* One way of coding a tensor, before it is kept. */
struct draft {
    struct fast_coding coding;
    uint64_t raw_bits;
    uint64_t cost;
    unsigned group_count;
    struct group group[CLASSES_EXPONENTS];
    uint32_t shift[FREQ_SYMS];
};

struct fast_plan *fast_plan_new(void)
{
    return calloc(1, sizeof(struct fast_plan));
}

void fast_plan_free(struct fast_plan *plan)
{
    if (!plan)
        return;
    free(plan->entry);
    free(plan->group);
    free(plan);
}

static void add_values(struct fast_value_counts *sum,
                       const struct fast_value_counts *counts)
{
    for (unsigned i = 0; i < FAST_VALUES + 2; i++)
        sum->count[i] += counts->count[i];
}

/* The first of the 30 neighbouring half octaves that hold most values. */
static unsigned best_window(const struct fast_value_counts *counts,
                            unsigned limit)
{
    unsigned last = limit < FAST_VALUES ? limit : FAST_VALUES;
    uint64_t sum = 0, best = 0;
    unsigned at = 0;
    for (unsigned h = 0; h < last; h++) {
        sum += counts->count[1 + h];
        if (h >= CLASSES_SYM_LAST)
            sum -= counts->count[1 + h - CLASSES_SYM_LAST];
        if (sum > best) {
            best = sum;
            at = h;
        }
    }
    return at >= CLASSES_SYM_LAST ? at - CLASSES_SYM_LAST + 1 : 0;
}

/* Adds the symbols of values in the window to hist; returns their raw bits. */
static uint64_t value_syms(const struct fast_value_counts *counts,
                           const struct classes_format *format, unsigned window,
                           uint64_t hist[FREQ_SYMS])
{
    uint64_t wide = counts->count[1 + FAST_VALUES];
    uint64_t raw = wide * format->width;
    hist[0] += counts->count[0];
    hist[FREQ_SYM_ESCAPE] += wide;
    for (unsigned h = 0; h < FAST_VALUES; h++) {
        uint64_t count = counts->count[1 + h];
        if (!count)
            continue;
        unsigned sym = classes_sym_direct(h, window);
        hist[sym] += count;
        raw += count *
               (sym == FREQ_SYM_ESCAPE ? format->width : format->mantissa_bits);
    }
    return raw;
}

static uint64_t diff_syms(const struct fast_diff_counts *counts,
                          const struct classes_format *format, unsigned row,
                          const classes_entry *entries,
                          uint64_t hist[FREQ_SYMS])
{
    uint64_t raw = 0;
    hist[0] += counts->count[0];
    for (unsigned c = 0; c < FAST_DIFFS; c++) {
        uint64_t count = counts->count[1 + c];
        if (!count)
            continue;
        unsigned sym =
            c < 2u * format->width - 2 ? classes_sym(c, row) : FREQ_SYM_ESCAPE;
        hist[sym] += count;
        raw += count * (entries[sym] & 0xff);
    }
    return raw;
}

/* The coding without a base. */
static void draft_full(const struct fast_stats *stats, struct draft *draft)
{
    struct fast_value_counts *sum = calloc(1, sizeof(*sum));
    memset(draft, 0, sizeof(*draft));
    draft->cost = UINT64_MAX;
    if (!sum)
        return;
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++)
        if (stats->plain.seen[e])
            add_values(sum, &stats->plain.value[e]);
    unsigned window = best_window(sum, stats->format.half_octaves);
    draft->coding.mode = FAST_FULL;
    draft->coding.run_count = 1;
    draft->coding.direct_end = CLASSES_EXPONENTS;
    draft->coding.direct_first =
        (uint16_t)(window + 2u * stats->format.exponent_bias);
    draft->group_count = 1;
    draft->raw_bits =
        value_syms(sum, &stats->format, window, draft->group[0].hist);
    draft->cost = freq_entropy(draft->group[0].hist) + draft->raw_bits * BIT;
    free(sum);
}

/* Symbols and raw bits of the differences at each exponent. */
struct diff_plan {
    classes_entry rows[CLASSES_ROWS][FREQ_SYMS];
    struct fast_value_counts sum;
    uint64_t hist[CLASSES_EXPONENTS][FREQ_SYMS];
    uint64_t raw_bits[CLASSES_EXPONENTS];
};

static void plan_diffs(const struct fast_counts *counts,
                       const struct classes_format *format, unsigned scale,
                       struct diff_plan *diffs)
{
    classes_rows_init(diffs->rows, format->width);
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        for (unsigned half = 0; counts->seen[e] && half < 2; half++) {
            unsigned row = classes_row(format, scale + half, e);
            diffs->raw_bits[e] += diff_syms(&counts->diff[half][e], format, row,
                                            diffs->rows[row], diffs->hist[e]);
        }
    }
}

/* Finds up to which exponent values are cheaper than differences. */
static void choose_direct(const struct fast_counts *counts,
                          const struct classes_format *format,
                          struct diff_plan *diffs, struct fast_coding *coding)
{
    uint64_t diff_cost = 0, best = 0;
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        if (!counts->seen[e])
            continue;
        uint64_t hist[FREQ_SYMS] = {0};
        diff_cost += freq_entropy(diffs->hist[e]) + diffs->raw_bits[e] * BIT;
        add_values(&diffs->sum, &counts->value[e]);
        unsigned window = best_window(&diffs->sum, format->half_octaves);
        uint64_t raw = value_syms(&diffs->sum, format, window, hist);
        uint64_t cost = freq_entropy(hist) + (raw + RUN_BITS) * BIT;
        if (cost < diff_cost && diff_cost - cost > best) {
            best = diff_cost - cost;
            coding->direct_end = (uint16_t)(e + 1);
            coding->direct_first =
                (uint16_t)(window + 2u * format->exponent_bias);
        }
    }
}

static void add_hist(uint64_t sum[FREQ_SYMS], const uint64_t hist[FREQ_SYMS])
{
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        sum[s] += hist[s];
}

static uint64_t merge_cost(const struct group *a, const struct group *b)
{
    uint64_t both[FREQ_SYMS];
    memcpy(both, a->hist, sizeof(both));
    add_hist(both, b->hist);
    uint64_t apart = freq_entropy(a->hist) + freq_entropy(b->hist);
    uint64_t joint = freq_entropy(both);
    return joint > apart ? joint - apart : 0;
}

/* Joins neighbouring groups, the cheapest first, until there are few enough
 * and each is worth its place. */
static void merge_groups(struct draft *draft)
{
    uint64_t cost[CLASSES_EXPONENTS];
    unsigned n = draft->group_count;
    for (unsigned i = 0; i + 1 < n; i++)
        cost[i] = merge_cost(&draft->group[i], &draft->group[i + 1]);
    while (n > 1) {
        unsigned at = 0;
        for (unsigned i = 1; i + 1 < n; i++)
            if (cost[i] < cost[at])
                at = i;
        if (n <= FAST_RUNS_MAX && cost[at] > GROUP_BITS * BIT)
            break;
        struct group *group = &draft->group[at];
        add_hist(group->hist, group[1].hist);
        n--;
        memmove(group + 1, group + 2, (n - at - 1) * sizeof(*group));
        if (at + 1 < n)
            memmove(cost + at, cost + at + 1, (n - at - 1) * sizeof(*cost));
        if (at > 0)
            cost[at - 1] = merge_cost(group - 1, group);
        if (at + 1 < n)
            cost[at] = merge_cost(group, group + 1);
    }
    draft->group_count = n;
}

/* The coding by differences. */
static void draft_delta(const struct fast_counts *counts,
                        const struct classes_format *format, unsigned scale,
                        struct draft *draft)
{
    struct diff_plan *diffs = calloc(1, sizeof(*diffs));
    memset(draft, 0, sizeof(*draft));
    draft->cost = UINT64_MAX;
    if (!diffs)
        return;
    struct fast_coding *coding = &draft->coding;
    coding->mode = FAST_DELTA;
    coding->scale = (uint16_t)scale;
    plan_diffs(counts, format, scale, diffs);
    choose_direct(counts, format, diffs, coding);
    unsigned window = coding->direct_first - 2u * format->exponent_bias;
    draft->cost = 0;
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        if (!counts->seen[e])
            continue;
        struct group *group = &draft->group[draft->group_count++];
        group->first_exponent = (uint8_t)e;
        if (e < coding->direct_end) {
            draft->raw_bits +=
                value_syms(&counts->value[e], format, window, group->hist);
        } else {
            memcpy(group->hist, diffs->hist[e], sizeof(group->hist));
            draft->raw_bits += diffs->raw_bits[e];
        }
    }
    merge_groups(draft);
    for (unsigned i = 0; i < draft->group_count; i++)
        draft->cost += freq_entropy(draft->group[i].hist) + RUN_BITS * BIT;
    draft->cost += draft->raw_bits * BIT;
    free(diffs);
}

/* The coding by differences with shifts. */
static void draft_shifted(const struct fast_stats *stats, struct draft *draft)
{
    uint64_t hist[FREQ_SYMS];
    draft->cost = UINT64_MAX;
    if (!stats->has_scale)
        return;
    draft_delta(&stats->shifted, &stats->format, stats->shift_scale, draft);
    if (draft->cost == UINT64_MAX)
        return;
    draft->coding.shifted = 1;
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        hist[s] = draft->shift[s] = stats->shift[s];
    draft->cost += freq_entropy(hist) + SHIFT_BITS * BIT;
}

/* The best row for integers: they have but one. */
static void draft_integers(const struct fast_stats *stats,
                           const struct fast_diff_counts *counts,
                           enum fast_mode mode, struct draft *draft)
{
    const struct classes_format *format = &stats->format;
    classes_entry(*rows)[FREQ_SYMS] = calloc(CLASSES_ROWS, sizeof(*rows));
    memset(draft, 0, sizeof(*draft));
    draft->cost = UINT64_MAX;
    if (!rows)
        return;
    classes_rows_init(rows, format->width);
    draft->coding.mode = (uint8_t)mode;
    draft->coding.run_count = 1;
    draft->group_count = 1;
    for (unsigned scale = 2; scale <= 2u * format->width - 2; scale++) {
        uint64_t hist[FREQ_SYMS] = {0};
        unsigned row = classes_row(format, scale, 0);
        uint64_t raw = diff_syms(counts, format, row, rows[row], hist);
        uint64_t cost = freq_entropy(hist) + (raw + RUN_BITS) * BIT;
        if (cost >= draft->cost)
            continue;
        draft->coding.scale = (uint16_t)scale;
        draft->raw_bits = raw;
        draft->cost = cost;
        memcpy(draft->group[0].hist, hist, sizeof(hist));
    }
    free(rows);
}

/* Integers: as they are are differences to 0. */
static void draft_full_integers(const struct fast_stats *stats,
                                struct draft *draft)
{
    struct fast_diff_counts counts;
    memcpy(counts.count, stats->plain.value[0].count, sizeof(counts.count));
    draft_integers(stats, &counts, FAST_FULL, draft);
}

static enum status keep(struct fast_plan *plan, const struct draft *draft,
                        size_t *index)
{
    enum status status = array_grow((void **)&plan->entry, sizeof(*plan->entry),
                                    plan->entry_count + 1, &plan->entry_cap);
    if (!status)
        status = array_grow((void **)&plan->group, sizeof(*plan->group),
                            plan->group_count + draft->group_count + 1,
                            &plan->group_cap);
    if (status)
        return status;
    *index = plan->entry_count++;
    plan->entry[*index] = (struct entry){
        .coding = draft->coding,
        .raw_bits = draft->raw_bits,
        .group_first = plan->group_count,
        .group_count = draft->group_count,
    };
    for (unsigned i = 0; i < draft->group_count; i++) {
        struct kept_group *kept = &plan->group[plan->group_count++];
        kept->first_exponent = draft->group[i].first_exponent;
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            kept->hist[s] = (uint32_t)draft->group[i].hist[s];
    }
    if (draft->coding.shifted) {
        struct kept_group *kept = &plan->group[plan->group_count++];
        kept->first_exponent = 0;
        memcpy(kept->hist, draft->shift, sizeof(kept->hist));
    }
    return STATUS_OK;
}

/* The ways of coding a tensor, and the best one. */
struct drafts {
    struct draft full, delta, shifted;
    const struct draft *best;
};

static void draft_deltas(const struct fast_stats *stats, struct drafts *drafts)
{
    struct draft *delta = &drafts->delta, *shifted = &drafts->shifted;
    draft_delta(&stats->plain, &stats->format, fast_counts_scale(&stats->plain),
                delta);
    draft_shifted(stats, shifted);
    if (shifted->cost < delta->cost)
        *delta = *shifted;
}

/* NULL: no memory. */
static struct drafts *drafts_new(const struct fast_stats *stats)
{
    struct drafts *drafts = malloc(sizeof(*drafts));
    if (!drafts)
        return NULL;
    struct draft *full = &drafts->full, *delta = &drafts->delta;
    delta->cost = UINT64_MAX;
    bool is_float = stats->format.mantissa_bits != 0;
    bool has_base = stats->has_base && stats->elem_count;
    if (is_float)
        draft_full(stats, full);
    else
        draft_full_integers(stats, full);
    if (has_base && is_float)
        draft_deltas(stats, drafts);
    else if (has_base)
        draft_integers(stats, &stats->plain.diff[0][0], FAST_DELTA, delta);
    /* What differences save must be more than chance. */
    uint64_t margin = full->cost / 1024 + MARGIN_BITS * BIT;
    bool saves = delta->cost < full->cost && full->cost - delta->cost > margin;
    drafts->best = saves ? delta : full;
    if (drafts->best->cost != UINT64_MAX)
        return drafts;
    free(drafts);
    return NULL;
}

enum status fast_plan_add(struct fast_plan *plan,
                          const struct fast_stats *stats, size_t *index)
{
    struct drafts *drafts = drafts_new(stats);
    enum status status =
        drafts ? keep(plan, drafts->best, index) : STATUS_NO_MEMORY;
    free(drafts);
    return status;
}

uint64_t fast_plan_estimate(const struct fast_stats *stats)
{
    struct drafts *drafts = drafts_new(stats);
    uint64_t bits = drafts ? drafts->best->cost / BIT : UINT64_MAX;
    free(drafts);
    return bits;
}

/* The cheapest runs of tables over the groups of a tensor: for each group and
 * table the best way to get there, then back. */
static void choose_runs(const struct kept_group *group, struct entry *entry,
                        uint32_t (*cost)[FREQ_SYMS], unsigned table_count)
{
    uint64_t sum[FAST_TABLES_MAX] = {0};
    uint8_t from[FAST_RUNS_MAX][FAST_TABLES_MAX] = {{0}};
    unsigned least = 0;
    for (unsigned g = 0; g < entry->group_count; g++) {
        uint64_t jump = sum[least] + RUN_BITS * BIT;
        unsigned jump_from = least;
        least = 0;
        for (unsigned t = 0; t < table_count; t++) {
            bool stay = !g || sum[t] <= jump;
            from[g][t] = (uint8_t)(stay ? t : jump_from);
            sum[t] =
                (stay ? sum[t] : jump) + cluster_cost(group[g].hist, cost[t]);
            if (sum[t] < sum[least])
                least = t;
        }
    }
    uint8_t path[FAST_RUNS_MAX];
    unsigned t = least;
    for (unsigned g = entry->group_count; g-- > 0;) {
        path[g] = (uint8_t)t;
        t = from[g][t];
    }
    struct fast_coding *coding = &entry->coding;
    coding->run_count = 0;
    for (unsigned g = 0; g < entry->group_count; g++)
        if (!g || path[g] != path[g - 1])
            coding->run[coding->run_count++] =
                (struct fast_run){g ? group[g].first_exponent : 0, path[g]};
    entry->bits = entry->raw_bits + sum[least] / BIT + CODING_BITS +
                  RUN_BITS * (coding->run_count - 1u);
}

/* The cheapest table for the shifts of a tensor. */
static void choose_shift_table(const struct kept_group *group,
                               struct entry *entry, uint32_t (*cost)[FREQ_SYMS],
                               unsigned table_count)
{
    uint64_t least = UINT64_MAX;
    for (unsigned t = 0; t < table_count; t++) {
        uint64_t bits = cluster_cost(group->hist, cost[t]);
        if (bits >= least)
            continue;
        least = bits;
        entry->coding.shift_table = (uint8_t)t;
    }
    entry->bits += least / BIT + 4;
}

/* Unused tables leave, the others keep their order. */
static void drop_unused(struct fast_plan *plan, struct fast_tables *tables)
{
    bool used[FAST_TABLES_MAX] = {false};
    uint8_t place[FAST_TABLES_MAX] = {0};
    for (size_t i = 0; i < plan->entry_count; i++) {
        const struct fast_coding *coding = &plan->entry[i].coding;
        for (unsigned r = 0; r < coding->run_count; r++)
            used[coding->run[r].table] = true;
        if (coding->shifted)
            used[coding->shift_table] = true;
    }
    unsigned kept = 0;
    for (unsigned t = 0; t < tables->count; t++) {
        if (!used[t])
            continue;
        place[t] = (uint8_t)kept;
        tables->table[kept++] = tables->table[t];
    }
    tables->count = kept;
    for (size_t i = 0; i < plan->entry_count; i++) {
        struct fast_coding *coding = &plan->entry[i].coding;
        for (unsigned r = 0; r < coding->run_count; r++)
            coding->run[r].table = place[coding->run[r].table];
        if (coding->shifted)
            coding->shift_table = place[coding->shift_table];
    }
}

static enum status make_tables(const struct fast_plan *plan,
                               struct fast_tables *tables)
{
    const uint32_t **hist = calloc(plan->group_count, sizeof(*hist));
    if (!hist)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < plan->group_count; i++)
        hist[i] = plan->group[i].hist;
    enum status status = cluster_tables(hist, plan->group_count, ESCAPE_BITS,
                                        tables->table, &tables->count);
    free(hist);
    return status;
}

enum status fast_plan_solve(struct fast_plan *plan, struct fast_tables *tables)
{
    memset(tables, 0, sizeof(*tables));
    if (!plan->entry_count)
        return STATUS_OK;
    enum status status = make_tables(plan, tables);
    if (status)
        return status;
    uint32_t cost[FAST_TABLES_MAX][FREQ_SYMS];
    for (unsigned t = 0; t < tables->count; t++)
        freq_costs(&tables->table[t], ESCAPE_BITS, cost[t]);
    for (size_t i = 0; i < plan->entry_count; i++) {
        struct entry *entry = &plan->entry[i];
        const struct kept_group *group = plan->group + entry->group_first;
        choose_runs(group, entry, cost, tables->count);
        if (entry->coding.shifted)
            choose_shift_table(group + entry->group_count, entry, cost,
                               tables->count);
    }
    drop_unused(plan, tables);
    return STATUS_OK;
}

uint64_t fast_plan_coding(const struct fast_plan *plan, size_t index,
                          struct fast_coding *coding)
{
    *coding = plan->entry[index].coding;
    return plan->entry[index].bits;
}
