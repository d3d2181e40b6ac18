/* A few frequency tables for many histograms: each histogram uses the table
 * that codes it best, each table is made of the histograms that use it. Integer
 * arithmetic only, so that everyone finds the same tables. */
#ifndef CODEC_ENTROPY_CLUSTER_H
#define CODEC_ENTROPY_CLUSTER_H

#include "codec/base/status.h"
#include "codec/entropy/freq.h"

#define CLUSTER_TABLES_MAX 16u
/* Histograms looked at; of more, an even choice. */
#define CLUSTER_HISTS_MAX 4096u

/* Finds 1 to CLUSTER_TABLES_MAX tables for hist_count > 0 histograms of
 * FREQ_SYMS counts each. hist[i] is borrowed. A symbol that a table does not
 * have is taken to cost escape_bits more than the escape. The size of the
 * tables themselves is part of what is kept small. NO_MEMORY. */
enum status cluster_tables(const uint32_t *const *hist, size_t hist_count,
                           unsigned escape_bits,
                           struct freq_table table[CLUSTER_TABLES_MAX],
                           unsigned *table_count) MUST_CHECK;

/* What a histogram costs with these costs of symbols, in their unit. */
static inline uint64_t cluster_cost(const uint32_t hist[FREQ_SYMS],
                                    const uint32_t cost[FREQ_SYMS])
{
    uint64_t sum = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        sum += (uint64_t)hist[s] * cost[s];
    return sum;
}

#endif
