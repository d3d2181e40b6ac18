/* Planner of the narrow coder. For each tensor: scale or row, which exponents
 * are coded by value, groups of neighbouring exponents with their histograms.
 * For all tensors together: a few tables, and for each tensor the runs of
 * exponents that use them. Integers only, so that two makers of an update make
 * the same bytes. */
#include "codec/base/array.h"
#include "codec/entropy/cluster.h"
#include "codec/lossless/narrow_stats.h"

#include <stdlib.h>
#include <string.h>

/* Costs are in 1/65536 bit. */
#define BIT ((uint64_t)1 << 16)

/* Bits of a run in a coding, of three more tables, and of what else is in a
 * coding. */
#define RUN_BITS    8u
#define LOST_BITS   12u
#define CODING_BITS 32u
/* Bits that a group must save before tables are known. */
#define GROUP_BITS 20u
/* Bits that a prediction must save, beside 1/1024, to be used at all. */
#define MARGIN_BITS 64u
/* What a symbol without a frequency is taken to cost beyond the escape. */
#define ESCAPE_BITS 16u

/* Neighbouring exponents of a tensor that will share tables. */
struct group {
    unsigned first_exponent;
    uint64_t own; /* entropy of hist */
    uint64_t hist[NARROW_SIDES][FREQ_SYMS];
};

/* One histogram as kept for all tensors; narrow_stats counts at most 2^31. */
struct kept_hist {
    uint32_t count[FREQ_SYMS];
};

struct entry {
    struct narrow_coding coding; /* runs: tables unset until solved */
    uint64_t raw_bits;
    uint64_t bits; /* after solving */
    size_t hist_first;
    unsigned group_count;
    uint8_t sides; /* histograms of a group: 1 or NARROW_SIDES */
};

struct narrow_plan {
    struct entry *entry;
    size_t entry_count, entry_cap;
    struct kept_hist *hist;
    size_t hist_count, hist_cap;
};

/* One way of coding a tensor, before it is kept. */
struct draft {
    struct narrow_coding coding;
    uint64_t raw_bits;
    uint64_t cost;
    unsigned group_count;
    unsigned sides;
    struct group group[NARROW_EXPONENTS];
};

/* What rows are tried with. draft comes last: its groups are set when they are
 * added. */
struct trial {
    const struct narrow_stats *stats;
    unsigned sides;
    narrow_entry rows[NARROW_ROWS][FREQ_SYMS];
    uint64_t cost[NARROW_EXPONENTS][NARROW_ROW_MAX + 1];
    struct narrow_value_counts sum;
    struct draft draft;
};

struct narrow_plan *narrow_plan_new(void)
{
    return calloc(1, sizeof(struct narrow_plan));
}

void narrow_plan_free(struct narrow_plan *plan)
{
    if (!plan)
        return;
    free(plan->entry);
    free(plan->hist);
    free(plan);
}

static void add_values(struct narrow_value_counts *sum,
                       const struct narrow_value_counts *counts)
{
    for (unsigned i = 0; i < NARROW_VALUES + 2; i++)
        sum->count[i] += counts->count[i];
}

/* The first of the 30 neighbouring half octaves that hold most values. */
static unsigned best_window(const struct narrow_value_counts *counts,
                            unsigned half_octaves)
{
    unsigned last = FREQ_SYM_ESCAPE - 1;
    uint64_t sum = 0, best = 0;
    unsigned at = 0;
    for (unsigned h = 0; h < half_octaves; h++) {
        sum += counts->count[1 + h];
        if (h >= last)
            sum -= counts->count[1 + h - last];
        if (sum > best) {
            best = sum;
            at = h;
        }
    }
    return at >= last ? at - last + 1 : 0;
}

/* Adds the symbols of values in the window to hist; returns their raw bits. */
static uint64_t value_syms(const struct narrow_value_counts *counts,
                           const struct narrow_format *format, unsigned window,
                           uint64_t hist[FREQ_SYMS])
{
    uint64_t raw = 0;
    hist[0] += counts->count[0];
    for (unsigned h = 0; h <= NARROW_VALUES; h++) {
        uint64_t count = counts->count[1 + h];
        if (!count)
            continue;
        unsigned sym = h < format->half_octaves ? narrow_sym_direct(h, window)
                                                : FREQ_SYM_ESCAPE;
        hist[sym] += count;
        raw += count *
               (sym == FREQ_SYM_ESCAPE ? format->width : format->mantissa_bits);
    }
    return raw;
}

/* Adds the symbols of one side's bins in a row; returns their raw bits. */
static uint64_t diff_syms(const struct trial *trial, const uint32_t *bins,
                          unsigned row, uint64_t hist[FREQ_SYMS])
{
    uint64_t raw = 0;
    for (unsigned bin = 0; bin < NARROW_BINS; bin++) {
        unsigned sym = trial->stats->syms[row][bin];
        hist[sym] += bins[bin];
        raw += bins[bin] * (uint64_t)(trial->rows[row][sym] & 0xff);
    }
    return raw;
}

static uint64_t diff_cost(const struct trial *trial, const uint32_t *bins,
                          unsigned row)
{
    uint64_t hist[FREQ_SYMS] = {0};
    uint64_t raw = diff_syms(trial, bins, row, hist);
    return freq_entropy(hist) + raw * BIT;
}

/* What the values at an exponent cost with symbols of their own. */
static uint64_t value_cost(const struct narrow_stats *stats, unsigned e)
{
    uint64_t hist[FREQ_SYMS] = {0};
    const struct narrow_value_counts *counts = &stats->value[e];
    unsigned window = best_window(counts, stats->format.half_octaves);
    uint64_t raw = value_syms(counts, &stats->format, window, hist);
    return freq_entropy(hist) + raw * BIT;
}

static void try_rows(struct trial *trial)
{
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++) {
        if (!trial->stats->seen[e])
            continue;
        for (unsigned row = 0; row <= NARROW_ROW_MAX; row++)
            for (unsigned side = 0; side < trial->sides; side++)
                trial->cost[e][row] +=
                    diff_cost(trial, trial->stats->diff[e].count[side], row);
    }
}

/* The scale with which differences, or values where these are cheaper, take
 * the least. */
static uint16_t choose_scale(const struct trial *trial)
{
    const struct narrow_stats *stats = trial->stats;
    uint64_t value[NARROW_EXPONENTS], least = UINT64_MAX;
    uint8_t seen[NARROW_EXPONENTS];
    unsigned count = 0;
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++) {
        if (!stats->seen[e])
            continue;
        value[e] = value_cost(stats, e);
        seen[count++] = (uint8_t)e;
    }
    /* Beyond these all rows are the lowest or the highest. */
    unsigned last = seen[count - 1] + NARROW_ROW_MAX, best = 0;
    for (unsigned s = seen[0]; s <= last; s++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < count; i++) {
            unsigned e = seen[i];
            uint64_t cost = trial->cost[e][narrow_row_float(s, e)];
            sum += cost < value[e] ? cost : value[e];
        }
        if (sum < least) {
            least = sum;
            best = s;
        }
    }
    return (uint16_t)best;
}

/* The row that codes all differences of an integer with the least. */
static uint8_t choose_row(struct trial *trial)
{
    const struct narrow_stats *stats = trial->stats;
    struct narrow_diff_counts sum = {{{0}}};
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++)
        for (unsigned side = 0; stats->seen[e] && side < trial->sides; side++)
            for (unsigned bin = 0; bin < NARROW_BINS; bin++)
                sum.count[side][bin] += stats->diff[e].count[side][bin];
    uint64_t least = UINT64_MAX;
    unsigned best = 0;
    for (unsigned row = 0; row <= NARROW_ROW_MAX; row++) {
        uint64_t cost = 0;
        for (unsigned side = 0; side < trial->sides; side++)
            cost += diff_cost(trial, sum.count[side], row);
        if (cost < least) {
            least = cost;
            best = row;
        }
    }
    return (uint8_t)best;
}

/* Finds up to which exponent values are cheaper than differences. */
static void choose_direct(struct trial *trial, struct narrow_coding *coding)
{
    const struct narrow_stats *stats = trial->stats;
    const struct narrow_format *format = &stats->format;
    uint64_t diff = 0, best = 0;
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++) {
        if (!stats->seen[e])
            continue;
        uint64_t hist[FREQ_SYMS] = {0};
        diff += trial->cost[e][narrow_row_float(coding->scale, e)];
        add_values(&trial->sum, &stats->value[e]);
        unsigned window = best_window(&trial->sum, format->half_octaves);
        uint64_t raw = value_syms(&trial->sum, format, window, hist);
        uint64_t cost = freq_entropy(hist) + (raw + RUN_BITS) * BIT;
        if (cost < diff && diff - cost > best) {
            best = diff - cost;
            coding->direct_end = (uint16_t)(e + 1);
            coding->direct_first = (uint16_t)window;
        }
    }
}

static uint64_t sides_entropy(uint64_t (*hist)[FREQ_SYMS], unsigned sides)
{
    uint64_t sum = 0;
    for (unsigned side = 0; side < sides; side++)
        sum += freq_entropy(hist[side]);
    return sum;
}

static void add_sides(uint64_t (*sum)[FREQ_SYMS], uint64_t (*hist)[FREQ_SYMS],
                      unsigned sides)
{
    for (unsigned side = 0; side < sides; side++)
        for (unsigned s = 0; s < FREQ_SYMS; s++)
            sum[side][s] += hist[side][s];
}

/* What it costs that two groups share tables. */
static uint64_t merge_cost(struct group *a, struct group *b, unsigned sides)
{
    uint64_t both[NARROW_SIDES][FREQ_SYMS];
    memcpy(both, a->hist, sizeof(both));
    add_sides(both, b->hist, sides);
    uint64_t joint = sides_entropy(both, sides);
    return joint > a->own + b->own ? joint - a->own - b->own : 0;
}

/* Joins neighbouring groups, the cheapest first, until there are few enough
 * and each is worth its place. place says where those that are left are. */
static unsigned join_groups(struct draft *draft,
                            uint8_t place[NARROW_EXPONENTS])
{
    uint64_t cost[NARROW_EXPONENTS];
    unsigned n = draft->group_count, sides = draft->sides;
    unsigned most = sides > 1 ? NARROW_LOST_RUNS_MAX : NARROW_RUNS_MAX;
    struct group *group = draft->group;
    for (unsigned i = 0; i + 1 < n; i++)
        cost[i] = merge_cost(&group[i], &group[i + 1], sides);
    while (n > 1) {
        unsigned at = 0;
        for (unsigned i = 1; i + 1 < n; i++)
            if (cost[i] < cost[at])
                at = i;
        if (n <= most && cost[at] > GROUP_BITS * BIT)
            break;
        struct group *to = &group[place[at]];
        add_sides(to->hist, group[place[at + 1]].hist, sides);
        to->own = sides_entropy(to->hist, sides);
        n--;
        memmove(place + at + 1, place + at + 2, n - at - 1);
        if (at + 1 < n)
            memmove(cost + at, cost + at + 1, (n - at - 1) * sizeof(*cost));
        if (at > 0)
            cost[at - 1] = merge_cost(&group[place[at - 1]], to, sides);
        if (at + 1 < n)
            cost[at] = merge_cost(to, &group[place[at + 1]], sides);
    }
    return n;
}

static void merge_groups(struct draft *draft)
{
    uint8_t place[NARROW_EXPONENTS];
    for (unsigned i = 0; i < draft->group_count; i++) {
        place[i] = (uint8_t)i;
        draft->group[i].own = sides_entropy(draft->group[i].hist, draft->sides);
    }
    draft->group_count = join_groups(draft, place);
    for (unsigned i = 1; i < draft->group_count; i++)
        if (place[i] != i)
            draft->group[i] = draft->group[place[i]];
}

static void sum_groups(struct draft *draft)
{
    draft->cost = (draft->raw_bits + CODING_BITS) * BIT;
    for (unsigned i = 0; i < draft->group_count; i++)
        draft->cost +=
            sides_entropy(draft->group[i].hist, draft->sides) + RUN_BITS * BIT;
}

static struct group *add_group(struct draft *draft)
{
    struct group *group = &draft->group[draft->group_count++];
    memset(group, 0, sizeof(*group));
    return group;
}

/* The coding by differences. */
static void draft_delta(struct trial *trial)
{
    const struct narrow_stats *stats = trial->stats;
    struct draft *draft = &trial->draft;
    struct narrow_coding *coding = &draft->coding;
    bool real = stats->format.mantissa_bits;
    trial->sides = draft->sides = stats->has_lost ? NARROW_SIDES : 1;
    coding->mode = NARROW_DELTA;
    coding->has_lost = stats->has_lost;
    if (real) {
        try_rows(trial);
        coding->scale = choose_scale(trial);
        choose_direct(trial, coding);
    } else {
        coding->row = choose_row(trial);
    }
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++) {
        if (!stats->seen[e])
            continue;
        struct group *group = add_group(draft);
        group->first_exponent = e;
        if (e < coding->direct_end) {
            draft->raw_bits += value_syms(&stats->value[e], &stats->format,
                                          coding->direct_first, group->hist[0]);
            continue;
        }
        unsigned row = real ? narrow_row_float(coding->scale, e) : coding->row;
        for (unsigned side = 0; side < draft->sides; side++)
            draft->raw_bits += diff_syms(trial, stats->diff[e].count[side], row,
                                         group->hist[side]);
    }
    merge_groups(draft);
    sum_groups(draft);
}

/* The row and centre that code an integer's values best. */
static void full_integers(struct trial *trial)
{
    struct draft *draft = &trial->draft;
    uint64_t least = UINT64_MAX;
    for (unsigned centre = 0; centre < 2; centre++) {
        const uint32_t *bins = trial->stats->whole[centre];
        for (unsigned row = 0; row <= NARROW_ROW_MAX; row++) {
            uint64_t cost = diff_cost(trial, bins, row);
            if (cost < least) {
                least = cost;
                draft->coding.row = (uint8_t)row;
                draft->coding.centre = (uint8_t)centre;
            }
        }
    }
    draft->raw_bits =
        diff_syms(trial, trial->stats->whole[draft->coding.centre],
                  draft->coding.row, draft->group[0].hist[0]);
}

static void full_floats(struct trial *trial)
{
    struct draft *draft = &trial->draft;
    const struct narrow_stats *stats = trial->stats;
    for (unsigned e = 0; e < NARROW_EXPONENTS; e++)
        if (stats->seen[e])
            add_values(&trial->sum, &stats->value[e]);
    unsigned window = best_window(&trial->sum, stats->format.half_octaves);
    draft->coding.direct_end = NARROW_EXPONENTS;
    draft->coding.direct_first = (uint16_t)window;
    draft->raw_bits = value_syms(&trial->sum, &stats->format, window,
                                 draft->group[0].hist[0]);
}

/* The coding without a prediction. */
static void draft_full(struct trial *trial)
{
    struct draft *draft = &trial->draft;
    draft->coding.mode = NARROW_FULL;
    draft->sides = 1;
    (void)add_group(draft);
    if (trial->stats->format.mantissa_bits)
        full_floats(trial);
    else
        full_integers(trial);
    sum_groups(draft);
}

static struct trial *trial_new(const struct narrow_stats *stats)
{
    struct trial *trial = malloc(sizeof(*trial));
    if (!trial)
        return NULL;
    memset(trial, 0, offsetof(struct trial, draft.group));
    trial->stats = stats;
    narrow_rows_init(trial->rows, stats->format.width);
    return trial;
}

/* The cheaper of the two ways; NULL: no memory. free() it. */
static struct trial *best_trial(const struct narrow_stats *stats)
{
    struct trial *full = trial_new(stats), *delta = trial_new(stats);
    if (!full || !delta) {
        free(full);
        free(delta);
        return NULL;
    }
    full->draft.cost = delta->draft.cost = UINT64_MAX;
    draft_full(full);
    if (stats->has_pred && stats->elem_count)
        draft_delta(delta);
    uint64_t cost = delta->draft.cost, other = full->draft.cost;
    /* What differences save must be more than chance. */
    bool better =
        cost < other && other - cost > other / 1024 + MARGIN_BITS * BIT;
    if (better) {
        free(full);
        return delta;
    }
    free(delta);
    return full;
}

static enum status keep(struct narrow_plan *plan, struct draft *draft,
                        size_t *index)
{
    size_t hists = (size_t)draft->group_count * draft->sides;
    enum status status = array_grow((void **)&plan->entry, sizeof(*plan->entry),
                                    plan->entry_count + 1, &plan->entry_cap);
    if (!status)
        status = array_grow((void **)&plan->hist, sizeof(*plan->hist),
                            plan->hist_count + hists, &plan->hist_cap);
    if (status)
        return status;
    *index = plan->entry_count++;
    struct entry *entry = &plan->entry[*index];
    *entry = (struct entry){.coding = draft->coding,
                            .raw_bits = draft->raw_bits,
                            .hist_first = plan->hist_count,
                            .group_count = draft->group_count,
                            .sides = (uint8_t)draft->sides};
    for (unsigned g = 0; g < draft->group_count; g++) {
        entry->coding.run[g].first_exponent =
            (uint8_t)(g ? draft->group[g].first_exponent : 0);
        for (unsigned side = 0; side < draft->sides; side++) {
            struct kept_hist *kept = &plan->hist[plan->hist_count++];
            for (unsigned s = 0; s < FREQ_SYMS; s++)
                kept->count[s] = (uint32_t)draft->group[g].hist[side][s];
        }
    }
    return STATUS_OK;
}

enum status narrow_plan_add(struct narrow_plan *plan,
                            const struct narrow_stats *stats, size_t *index)
{
    struct trial *trial = best_trial(stats);
    if (!trial)
        return STATUS_NO_MEMORY;
    enum status status = keep(plan, &trial->draft, index);
    free(trial);
    return status;
}

uint64_t narrow_plan_estimate(const struct narrow_stats *stats)
{
    struct trial *trial = best_trial(stats);
    if (!trial)
        return UINT64_MAX;
    uint64_t bits = trial->draft.cost / BIT;
    free(trial);
    return bits;
}

/* Four tables, one a side, as a run may name them. */
struct choice {
    uint8_t table[NARROW_SIDES];
    uint32_t bits; /* of a run that names them */
};

/* Costs of an entry's groups with each choice of tables. */
struct solver {
    uint32_t cost[NARROW_TABLES_MAX][FREQ_SYMS];
    unsigned table_count;
    unsigned choice_count;
    struct choice choice[NARROW_TABLES_MAX + NARROW_LOST_RUNS_MAX];
    uint64_t with[NARROW_SIDES][NARROW_TABLES_MAX]; /* of one group */
};

static void cost_group(struct solver *solver, const struct kept_hist *hist,
                       unsigned sides)
{
    for (unsigned side = 0; side < sides; side++)
        for (unsigned t = 0; t < solver->table_count; t++)
            solver->with[side][t] =
                cluster_cost(hist[side].count, solver->cost[t]);
}

/* The choices that are looked at: one table for all sides, and for each group
 * what it likes best. */
static void list_choices(struct solver *solver, const struct kept_hist *hist,
                         const struct entry *entry)
{
    solver->choice_count = solver->table_count;
    for (unsigned t = 0; t < solver->table_count; t++) {
        memset(solver->choice[t].table, (int)t, NARROW_SIDES);
        solver->choice[t].bits = RUN_BITS;
    }
    for (unsigned g = 0; entry->sides > 1 && g < entry->group_count; g++) {
        struct choice *choice = &solver->choice[solver->choice_count++];
        cost_group(solver, hist + (size_t)g * NARROW_SIDES, NARROW_SIDES);
        choice->bits = RUN_BITS + LOST_BITS;
        for (unsigned side = 0; side < NARROW_SIDES; side++) {
            unsigned least = 0;
            for (unsigned t = 1; t < solver->table_count; t++)
                if (solver->with[side][t] < solver->with[side][least])
                    least = t;
            choice->table[side] = (uint8_t)least;
        }
    }
}

static uint64_t choice_cost(const struct solver *solver,
                            const struct choice *choice, unsigned sides)
{
    uint64_t sum = 0;
    for (unsigned side = 0; side < sides; side++)
        sum += solver->with[side][choice->table[side]];
    return sum;
}

#define CHOICES_MAX (NARROW_TABLES_MAX + NARROW_LOST_RUNS_MAX)

static void set_runs(const struct solver *solver, struct entry *entry,
                     const uint8_t path[NARROW_RUNS_MAX])
{
    struct narrow_coding *coding = &entry->coding;
    unsigned count = 0;
    for (unsigned g = 0; g < entry->group_count; g++) {
        const uint8_t *table = solver->choice[path[g]].table;
        if (count && !memcmp(table, coding->run[count - 1].table, NARROW_SIDES))
            continue;
        coding->run[count].first_exponent = coding->run[g].first_exponent;
        memcpy(coding->run[count++].table, table, NARROW_SIDES);
    }
    coding->run_count = (uint8_t)count;
}

/* The cheapest runs of tables over the groups of a tensor: for each group and
 * choice the best way to get there, then back. */
static void choose_runs(struct solver *solver, const struct kept_hist *hist,
                        struct entry *entry)
{
    uint64_t sum[CHOICES_MAX] = {0};
    uint8_t from[NARROW_RUNS_MAX][CHOICES_MAX] = {{0}};
    unsigned least = 0;
    list_choices(solver, hist, entry);
    for (unsigned g = 0; g < entry->group_count; g++) {
        uint64_t before = sum[least];
        unsigned jump_from = least;
        cost_group(solver, hist + (size_t)g * entry->sides, entry->sides);
        least = 0;
        for (unsigned c = 0; c < solver->choice_count; c++) {
            const struct choice *choice = &solver->choice[c];
            uint64_t jump = before + choice->bits * BIT;
            bool stay = g && sum[c] <= jump;
            from[g][c] = (uint8_t)(stay ? c : jump_from);
            sum[c] = (stay ? sum[c] : jump) +
                     choice_cost(solver, choice, entry->sides);
            if (sum[c] < sum[least])
                least = c;
        }
    }
    uint8_t path[NARROW_RUNS_MAX] = {0};
    entry->bits = entry->raw_bits + sum[least] / BIT + CODING_BITS;
    for (unsigned g = entry->group_count; g-- > 0;) {
        path[g] = (uint8_t)least;
        least = from[g][least];
    }
    set_runs(solver, entry, path);
}

/* Unused tables leave, the others keep their order. */
static void drop_unused(struct narrow_plan *plan, struct narrow_tables *tables)
{
    bool used[NARROW_TABLES_MAX] = {false};
    uint8_t place[NARROW_TABLES_MAX] = {0};
    for (size_t i = 0; i < plan->entry_count; i++)
        for (unsigned r = 0; r < plan->entry[i].coding.run_count; r++)
            for (unsigned side = 0; side < NARROW_SIDES; side++)
                used[plan->entry[i].coding.run[r].table[side]] = true;
    unsigned kept = 0;
    for (unsigned t = 0; t < tables->count; t++) {
        if (!used[t])
            continue;
        place[t] = (uint8_t)kept;
        tables->table[kept++] = tables->table[t];
    }
    tables->count = kept;
    for (size_t i = 0; i < plan->entry_count; i++)
        for (unsigned r = 0; r < plan->entry[i].coding.run_count; r++)
            for (unsigned side = 0; side < NARROW_SIDES; side++) {
                uint8_t *table = &plan->entry[i].coding.run[r].table[side];
                *table = place[*table];
            }
}

static enum status make_tables(const struct narrow_plan *plan,
                               struct narrow_tables *tables)
{
    const uint32_t **hist = calloc(plan->hist_count, sizeof(*hist));
    if (!hist)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < plan->hist_count; i++)
        hist[i] = plan->hist[i].count;
    enum status status = cluster_tables(hist, plan->hist_count, ESCAPE_BITS,
                                        tables->table, &tables->count);
    free(hist);
    return status;
}

enum status narrow_plan_solve(struct narrow_plan *plan,
                              struct narrow_tables *tables)
{
    memset(tables, 0, sizeof(*tables));
    if (!plan->entry_count)
        return STATUS_OK;
    enum status status = make_tables(plan, tables);
    if (status)
        return status;
    struct solver solver = {.table_count = tables->count};
    for (unsigned t = 0; t < tables->count; t++)
        freq_costs(&tables->table[t], ESCAPE_BITS, solver.cost[t]);
    for (size_t i = 0; i < plan->entry_count; i++) {
        struct entry *entry = &plan->entry[i];
        choose_runs(&solver, plan->hist + entry->hist_first, entry);
    }
    drop_unused(plan, tables);
    return STATUS_OK;
}

uint64_t narrow_plan_coding(const struct narrow_plan *plan, size_t index,
                            struct narrow_coding *coding)
{
    *coding = plan->entry[index].coding;
    return plan->entry[index].bits;
}
