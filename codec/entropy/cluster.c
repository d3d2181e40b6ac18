/* Starts with one table for all and adds, one at a time, what the worst served
 * histogram would like; after each the usual two steps: assign, renew. */
#include "codec/entropy/cluster.h"

#include <stdlib.h>
#include <string.h>

/* Costs are in 1/65536 bit. */
#define BIT   ((uint64_t)1 << 16)
#define STEPS 3u
/* So many tables in a row that made nothing cheaper: more will not. */
#define PATIENCE 3u

/* A set of tables while they are being made. */
struct trainer {
    const uint32_t **hist;
    size_t hist_count;
    unsigned escape_bits;
    uint8_t *best;    /* table of each histogram */
    uint64_t *own;    /* entropy of each histogram */
    uint64_t *excess; /* cost above that */
    struct freq_table table[CLUSTER_TABLES_MAX];
    unsigned table_count;
    uint64_t cost; /* of all histograms, and of the tables */
};

static void add_hist(uint64_t sum[FREQ_SYMS], const uint32_t hist[FREQ_SYMS])
{
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        sum[s] += hist[s];
}

/* Gives each histogram its best table. False when all have it already. */
static bool assign(struct trainer *trainer)
{
    bool changed = false;
    uint32_t cost[CLUSTER_TABLES_MAX][FREQ_SYMS];
    trainer->cost = 0;
    for (unsigned t = 0; t < trainer->table_count; t++) {
        freq_costs(&trainer->table[t], trainer->escape_bits, cost[t]);
        trainer->cost += freq_bits(&trainer->table[t]) * BIT;
    }
    for (size_t i = 0; i < trainer->hist_count; i++) {
        uint64_t least = UINT64_MAX;
        uint8_t before = trainer->best[i];
        for (unsigned t = 0; t < trainer->table_count; t++) {
            uint64_t sum = cluster_cost(trainer->hist[i], cost[t]);
            if (sum < least) {
                least = sum;
                trainer->best[i] = (uint8_t)t;
            }
        }
        changed |= trainer->best[i] != before;
        trainer->cost += least;
        uint64_t own = trainer->own[i];
        trainer->excess[i] = least > own ? least - own : 0;
    }
    return changed;
}

/* Makes each table anew from the histograms that use it; drops unused ones. */
static void renew(struct trainer *trainer)
{
    uint64_t sum[CLUSTER_TABLES_MAX][FREQ_SYMS] = {{0}};
    bool used[CLUSTER_TABLES_MAX] = {false};
    for (size_t i = 0; i < trainer->hist_count; i++) {
        add_hist(sum[trainer->best[i]], trainer->hist[i]);
        used[trainer->best[i]] = true;
    }
    unsigned kept = 0;
    for (unsigned t = 0; t < trainer->table_count; t++)
        if (used[t])
            freq_normalise(sum[t], &trainer->table[kept++]);
    trainer->table_count = kept;
}

/* Adds the table that the worst served histogram would like. */
static void add_table(struct trainer *trainer)
{
    size_t worst = 0;
    for (size_t i = 1; i < trainer->hist_count; i++)
        if (trainer->excess[i] > trainer->excess[worst])
            worst = i;
    uint64_t hist[FREQ_SYMS] = {0};
    add_hist(hist, trainer->hist[worst]);
    freq_normalise(hist, &trainer->table[trainer->table_count++]);
    for (unsigned step = 0; step < STEPS; step++) {
        /* Tables of the same histograms would be the same again. */
        if (!assign(trainer) && step)
            return;
        renew(trainer);
    }
    (void)assign(trainer);
}

static void train(struct trainer *trainer, struct freq_table *table,
                  unsigned *table_count)
{
    memset(trainer->best, 0, trainer->hist_count);
    for (size_t i = 0; i < trainer->hist_count; i++) {
        uint64_t hist[FREQ_SYMS] = {0};
        add_hist(hist, trainer->hist[i]);
        trainer->own[i] = freq_entropy(hist);
    }
    trainer->table_count = 1;
    renew(trainer);
    (void)assign(trainer);
    uint64_t best = UINT64_MAX;
    unsigned vain = 0;
    for (unsigned n = 1; n <= CLUSTER_TABLES_MAX && vain < PATIENCE; n++) {
        if (n > 1 && trainer->table_count < CLUSTER_TABLES_MAX)
            add_table(trainer);
        vain++;
        if (trainer->cost >= best)
            continue;
        vain = 0;
        best = trainer->cost;
        *table_count = trainer->table_count;
        memcpy(table, trainer->table, sizeof(trainer->table));
    }
}

enum status cluster_tables(const uint32_t *const *hist, size_t hist_count,
                           unsigned escape_bits,
                           struct freq_table table[CLUSTER_TABLES_MAX],
                           unsigned *table_count)
{
    size_t step = hist_count / CLUSTER_HISTS_MAX + 1;
    size_t count = (hist_count + step - 1) / step;
    struct trainer *trainer = calloc(1, sizeof(*trainer));
    if (!trainer)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_NO_MEMORY;
    trainer->hist = calloc(count, sizeof(*trainer->hist));
    trainer->best = calloc(count, 1);
    trainer->own = calloc(count, sizeof(*trainer->own));
    trainer->excess = calloc(count, sizeof(*trainer->excess));
    if (trainer->hist && trainer->best && trainer->own && trainer->excess) {
        trainer->hist_count = count;
        trainer->escape_bits = escape_bits;
        for (size_t i = 0; i < count; i++)
            trainer->hist[i] = hist[i * step];
        train(trainer, table, table_count);
        status = STATUS_OK;
    }
    free(trainer->hist);
    free(trainer->best);
    free(trainer->own);
    free(trainer->excess);
    free(trainer);
    return status;
}
