/* Frequency tables: normalisation, compact form, costs. */
#include "codec/entropy/freq.h"

#include "codec/base/checked.h"

#include <string.h>

/* A symbol rarer than this share is left to the escape: a frequency of 1 would
 * cost all the others more than the escapes do. */
#define RARE_SHARE 16384u

/* Rounds of moving one frequency by one step. */
#define REFINE_MAX 96u

/* 65536 log2(1 + i / 256), rounded down; test_freq computes it anew. */
static const uint32_t log2_table[257] = {
    0,     368,   735,   1101,  1465,  1828,  2190,  2550,  2909,  3266,  3622,
    3977,  4331,  4683,  5034,  5383,  5731,  6078,  6424,  6769,  7112,  7454,
    7794,  8134,  8472,  8809,  9145,  9480,  9813,  10146, 10477, 10807, 11136,
    11463, 11790, 12115, 12440, 12763, 13085, 13406, 13726, 14045, 14363, 14680,
    14995, 15310, 15624, 15936, 16248, 16558, 16868, 17176, 17484, 17790, 18096,
    18400, 18704, 19006, 19308, 19608, 19908, 20207, 20505, 20801, 21097, 21392,
    21686, 21980, 22272, 22563, 22854, 23143, 23432, 23720, 24007, 24293, 24578,
    24862, 25146, 25429, 25710, 25991, 26272, 26551, 26829, 27107, 27384, 27660,
    27935, 28210, 28483, 28756, 29028, 29300, 29570, 29840, 30109, 30377, 30644,
    30911, 31177, 31442, 31707, 31971, 32234, 32496, 32757, 33018, 33278, 33538,
    33796, 34054, 34312, 34568, 34824, 35079, 35334, 35588, 35841, 36093, 36345,
    36596, 36847, 37096, 37346, 37594, 37842, 38089, 38336, 38582, 38827, 39071,
    39315, 39559, 39801, 40044, 40285, 40526, 40766, 41006, 41245, 41483, 41721,
    41959, 42195, 42431, 42667, 42902, 43136, 43370, 43603, 43836, 44068, 44299,
    44530, 44760, 44990, 45219, 45448, 45676, 45904, 46131, 46357, 46583, 46808,
    47033, 47257, 47481, 47704, 47927, 48149, 48371, 48592, 48813, 49033, 49253,
    49472, 49690, 49909, 50126, 50343, 50560, 50776, 50992, 51207, 51421, 51635,
    51849, 52062, 52275, 52487, 52699, 52910, 53121, 53331, 53541, 53751, 53960,
    54168, 54376, 54584, 54791, 54998, 55204, 55410, 55615, 55820, 56024, 56228,
    56432, 56635, 56837, 57040, 57242, 57443, 57644, 57844, 58044, 58244, 58443,
    58642, 58841, 59039, 59236, 59433, 59630, 59827, 60023, 60218, 60413, 60608,
    60802, 60996, 61190, 61383, 61576, 61768, 61960, 62152, 62343, 62534, 62724,
    62914, 63104, 63293, 63482, 63671, 63859, 64047, 64234, 64421, 64608, 64794,
    64980, 65165, 65351, 65536,
};

uint32_t freq_log2(uint64_t v)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(v);
    uint64_t x = v << (63 - top) << 1; /* the fraction, 64 bits */
    uint32_t i = (uint32_t)(x >> 56), rest = (uint32_t)(x >> 40) & 0xffff;
    uint32_t low = log2_table[i], step = log2_table[i + 1] - low;
    return (top << 16) + low + (step * rest >> 16);
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
