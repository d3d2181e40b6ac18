/* Histograms to frequency tables that sum to a power of two, their compact
 * form in a header, and the logarithm that costs are counted with. */
#ifndef CODEC_ENTROPY_FREQ_H
#define CODEC_ENTROPY_FREQ_H

#include "codec/base/bits.h"
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

/* A table near to the histogram. Symbols that occur get a frequency of at least
 * 1 unless they are fewer than 1 in 16384, in which case the escape stands for
 * them. An empty histogram is all escapes. */
void freq_normalise(const uint64_t hist[FREQ_SYMS], struct freq_table *table);

/* CORRUPT unless table obeys the rules above. */
enum status freq_check(const struct freq_table *table) MUST_CHECK;

void freq_write(const struct freq_table *table, struct bit_writer *bw);

/* Bits that freq_write takes. */
unsigned freq_bits(const struct freq_table *table);

/* A failure is noted in the reader below br: TRUNCATED or CORRUPT. The table is
 * then unspecified. */
void freq_read(struct bit_reader *br, struct freq_table *table);

/* log2(v) in 1/65536, at most 4/65536 too small; v > 0. Rises with v. */
uint32_t freq_log2(uint64_t v);

/* The cost of each symbol in 1/65536 bit; that of the escape plus
 * escape_bits for a symbol without a frequency. */
void freq_costs(const struct freq_table *table, unsigned escape_bits,
                uint32_t cost[FREQ_SYMS]);

/* Least bits, in 1/65536, of coding the histogram with its own frequencies. */
uint64_t freq_entropy(const uint64_t hist[FREQ_SYMS]);

#endif
