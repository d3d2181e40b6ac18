/* Frequency tables: normalisation, compact form, costs. */
#include "codec/entropy/freq.h"

#include "codec/base/checked.h"

#include <string.h>

/* A symbol rarer than this share is left to the escape: a frequency of 1 would
 * cost all the others more than the escapes do. */
#define RARE_SHARE 16384u

/* Rounds of moving one frequency by one step. */
#define REFINE_MAX 96u

uint32_t freq_log2(uint64_t v)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(v);
    uint64_t x = top > 31 ? v >> (top - 31) : v << (31 - top);
    uint32_t result = top;
    /* x is v in 1 .. 2 with 31 bits; each squaring yields one more bit. */
    for (int i = 0; i < 16; i++) {
        x = x * x >> 31;
        uint32_t bit = (uint32_t)(x >> 32);
        x >>= bit;
        result = result << 1 | bit;
    }
    return result;
}

/* The forms a frequency may take, 0, 1 .. 15, (8 .. 15) << n. */
static unsigned step_down(unsigned f)
{
    if (f < 16)
        return f;
    unsigned shift = 28 - (unsigned)__builtin_clz(f);
    return f >> shift << shift;
}

static unsigned next_up(unsigned f)
{
    if (f < 16)
        return f + 1;
    return f + (1u << (28 - __builtin_clz(f)));
}

static unsigned next_down(unsigned f)
{
    if (f <= 16)
        return f - 1;
    return step_down(f - 1);
}

/* What changes, in 1/65536 bit, when a symbol that occurs hits times goes from
 * one frequency to another: negative is better. */
static int64_t change(uint64_t hits, unsigned from, unsigned to)
{
    return ((int64_t)freq_log2(from) - (int64_t)freq_log2(to)) * (int64_t)hits;
}

struct move {
    int64_t gain; /* negative */
    unsigned sym;
    unsigned to;
};

static void try_move(const uint64_t hits[FREQ_SYMS],
                     const struct freq_table *table, unsigned sym, unsigned to,
                     struct move *best)
{
    unsigned from = table->freq[sym], pivot = table->freq[table->pivot];
    if (!to || pivot + from <= to)
        return;
    int64_t gain = change(hits[sym], from, to) +
                   change(hits[table->pivot], pivot, pivot + from - to);
    if (gain < best->gain)
        *best = (struct move){gain, sym, to};
}

/* Moves single frequencies a step up or down, the pivot paying, as long as the
 * histogram gets cheaper. */
static void refine(const uint64_t hits[FREQ_SYMS], struct freq_table *table)
{
    for (unsigned round = 0; round < REFINE_MAX; round++) {
        struct move best = {0, 0, 0};
        for (unsigned s = 0; s < FREQ_SYMS; s++) {
            unsigned f = table->freq[s];
            if (!f || s == table->pivot)
                continue;
            try_move(hits, table, s, next_up(f), &best);
            try_move(hits, table, s, next_down(f), &best);
        }
        if (!best.to)
            return;
        uint16_t *pivot = &table->freq[table->pivot];
        *pivot = (uint16_t)(*pivot + table->freq[best.sym] - best.to);
        table->freq[best.sym] = (uint16_t)best.to;
    }
}

/* Scales the histogram to at most 2^32 in all and moves what is too rare to the
 * escape. Returns the total. */
static uint64_t prepare(const uint64_t hist[FREQ_SYMS],
                        uint64_t hits[FREQ_SYMS])
{
    uint64_t total = 0;
    unsigned shift = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        if (__builtin_add_overflow(total, hist[s], &total))
            total = UINT64_MAX;
    while (total >> shift > UINT32_MAX)
        shift++;
    memset(hits, 0, FREQ_SYMS * sizeof(*hits));
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        bool rare = hist[s] < total / RARE_SHARE;
        hits[rare ? FREQ_SYM_ESCAPE : s] += hist[s] >> shift;
    }
    total = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        total += hits[s];
    return total;
}

void freq_normalise(const uint64_t hist[FREQ_SYMS], struct freq_table *table)
{
    uint64_t hits[FREQ_SYMS];
    uint64_t total = prepare(hist, hits);
    memset(table, 0, sizeof(*table));
    if (!total) {
        table->pivot = FREQ_SYM_ESCAPE;
        table->freq[FREQ_SYM_ESCAPE] = FREQ_SCALE;
        return;
    }
    for (unsigned s = 1; s < FREQ_SYMS; s++)
        if (hits[s] > hits[table->pivot])
            table->pivot = (uint8_t)s;
    unsigned left = FREQ_SCALE;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        if (s == table->pivot || (!hits[s] && s != FREQ_SYM_ESCAPE))
            continue;
        unsigned f = step_down((unsigned)(hits[s] * FREQ_SCALE / total));
        table->freq[s] = (uint16_t)(f ? f : 1);
        left -= table->freq[s];
    }
    /* The pivot's share is at least 1/32, more than 31 ones rounded up. */
    table->freq[table->pivot] = (uint16_t)left;
    refine(hits, table);
}

enum status freq_check(const struct freq_table *table)
{
    unsigned sum = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        if (s != table->pivot && step_down(table->freq[s]) != table->freq[s])
            return STATUS_CORRUPT;
        sum += table->freq[s];
    }
    if (sum != FREQ_SCALE || table->pivot >= FREQ_SYMS ||
        !table->freq[table->pivot] || !table->freq[FREQ_SYM_ESCAPE])
        return STATUS_CORRUPT;
    return STATUS_OK;
}

/* Bit length of a frequency, and how many bits below the leading one follow. */
static unsigned length_of(unsigned f)
{
    return f ? 32 - (unsigned)__builtin_clz(f) : 0;
}

static unsigned low_bits(unsigned length)
{
    return length > 4 ? 3 : length ? length - 1 : 0;
}

void freq_write(const struct freq_table *table, struct bit_writer *bw)
{
    bit_writer_put(bw, table->pivot, 5);
    unsigned last = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        if (s == table->pivot)
            continue;
        unsigned f = table->freq[s], length = length_of(f);
        unsigned zigzag =
            length < last ? 2 * (last - length) - 1 : 2 * (length - last);
        bit_writer_gamma(bw, zigzag + 1);
        unsigned low = low_bits(length);
        if (length)
            bit_writer_put(bw, f >> (length - 1 - low) & ((1u << low) - 1),
                           low);
        last = length;
    }
}

unsigned freq_bits(const struct freq_table *table)
{
    unsigned bits = 5, last = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        if (s == table->pivot)
            continue;
        unsigned length = length_of(table->freq[s]);
        unsigned zigzag =
            length < last ? 2 * (last - length) - 1 : 2 * (length - last);
        bits += 2 * length_of(zigzag + 1) - 1 + low_bits(length);
        last = length;
    }
    return bits;
}

void freq_read(struct bit_reader *br, struct freq_table *table)
{
    memset(table, 0, sizeof(*table));
    table->pivot = (uint8_t)bit_reader_get(br, 5);
    unsigned length = 0, left = FREQ_SCALE;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        if (s == table->pivot)
            continue;
        unsigned zigzag = bit_reader_gamma(br) - 1;
        unsigned by = (zigzag + 1) / 2;
        if (zigzag & 1 ? by > length : by > FREQ_SCALE_BITS - length) {
            reader_fail(br->rd, STATUS_CORRUPT);
            return;
        }
        length = zigzag & 1 ? length - by : length + by;
        unsigned f = 0, low = low_bits(length);
        if (length)
            f = (1u << low | bit_reader_get(br, low)) << (length - 1 - low);
        if (f >= left) {
            reader_fail(br->rd, STATUS_CORRUPT);
            return;
        }
        table->freq[s] = (uint16_t)f;
        left -= f;
    }
    table->freq[table->pivot] = (uint16_t)left;
    if (!table->freq[FREQ_SYM_ESCAPE])
        reader_fail(br->rd, STATUS_CORRUPT);
}

void freq_costs(const struct freq_table *table, unsigned escape_bits,
                uint32_t cost[FREQ_SYMS])
{
    uint32_t escape =
        (FREQ_SCALE_BITS << 16) - freq_log2(table->freq[FREQ_SYM_ESCAPE]);
    for (unsigned s = 0; s < FREQ_SYMS; s++)
        cost[s] = table->freq[s]
                      ? (FREQ_SCALE_BITS << 16) - freq_log2(table->freq[s])
                      : escape + (escape_bits << 16);
}

uint64_t freq_entropy(const uint64_t hist[FREQ_SYMS])
{
    uint64_t total = 0, sum = 0;
    for (unsigned s = 0; s < FREQ_SYMS; s++) {
        total += hist[s];
        if (hist[s])
            sum += hist[s] * freq_log2(hist[s]);
    }
    uint64_t whole = total ? total * freq_log2(total) : 0;
    return whole > sum ? whole - sum : 0;
}
