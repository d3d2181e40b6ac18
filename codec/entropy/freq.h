/* Histograms to frequency tables that sum to a power of two, their compact
 * form in a header, and the logarithm that costs are counted with. */
#ifndef CODEC_ENTROPY_FREQ_H
#define CODEC_ENTROPY_FREQ_H

#include "codec/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FREQ_SCALE_BITS 11u
#define FREQ_SCALE      (1u << FREQ_SCALE_BITS)
#define FREQ_SYMS       32u
/* Always has a frequency, so that every value can be coded. */
#define FREQ_SYM_ESCAPE (FREQ_SYMS - 1)
/* Most bits of a serialised table. */
#define FREQ_TABLE_BITS_MAX 512u

/* freq sums to FREQ_SCALE. All but freq[pivot] are of the form 0, 1 .. 15 or
 * (8 .. 15) << n, so that they fit few bits; the pivot takes the rest. */
struct freq_table {
    uint16_t freq[FREQ_SYMS];
    uint8_t pivot;
};

/* Bits, least significant first in each byte. */
struct freq_bits {
    uint8_t *data; /* NULL: only counts; const when reading */
    size_t size;   /* bytes there are */
    size_t pos;    /* bit position */
    enum status status;
};

/* The table nearest to the histogram. Symbols that occur get a frequency of at
 * least 1 unless they are fewer than about 1 in 16384, in which case the escape
 * stands for them. An empty histogram is all escapes. */
void freq_normalise(const uint64_t hist[FREQ_SYMS], struct freq_table *table);

/* CORRUPT unless table obeys the rules above. */
enum status freq_check(const struct freq_table *table) MUST_CHECK;

void freq_write(const struct freq_table *table, struct freq_bits *bits);

/* TRUNCATED, CORRUPT. */
enum status freq_read(struct freq_bits *bits, struct freq_table *table)
    MUST_CHECK;

void freq_bits_put(struct freq_bits *bits, uint32_t value, unsigned count);
uint32_t freq_bits_get(struct freq_bits *bits, unsigned count);

/* log2(v) in 1/65536, rounded down; v > 0. Exact to 1/65536. */
uint32_t freq_log2(uint64_t v);

/* The cost of each symbol in 1/65536 bit; that of the escape plus
 * escape_bits for a symbol without a frequency. */
void freq_costs(const struct freq_table *table, unsigned escape_bits,
                uint32_t cost[FREQ_SYMS]);

/* Least bits, in 1/65536, of coding the histogram with its own frequencies. */
uint64_t freq_entropy(const uint64_t hist[FREQ_SYMS]);

#endif
