/* The end of a codeword, and the tables of a context's moves. */
#include "codec/entropy/cabac_dec.h"

#include "codec/entropy/cabac_dec_fast.h"

enum status cabac_dec_finish(struct cabac_dec *dec)
{
    cabac_dec_fill(dec);
    bool stop = cabac_dec_split(dec, 2);
    uint64_t size = (uint64_t)(dec->end - dec->start);
    uint64_t loaded = (uint64_t)(dec->pos - dec->start) + dec->past;
    uint64_t used = 8 * loaded - (uint64_t)dec->bits;
    if (used > 8 * size)
        return STATUS_TRUNCATED;
    if (!stop || dec->outside || (used + 7) / 8 != size)
        return STATUS_CORRUPT;
    /* The last bit used is the stop bit, below it is padding. */
    unsigned stop_bit = 1u << (8 * size - used);
    unsigned low = dec->end[-1] & (2 * stop_bit - 1);
    return low == stop_bit ? STATUS_OK : STATUS_CORRUPT;
}

/* The gain of an estimate, sign being that of the bin; clamped to where the
 * table has steps, which estimates never leave. */
static int gain_of(int sign, int estimate, int shift)
{
    int index = 16 + (sign * estimate >> 7);
    index = index < 0 ? 0 : index > 31 ? 31 : index;
    return sign * (cabac_step[index] >> shift);
}

static void init_gains(struct cabac_dec_moves *moves, unsigned set, int bin)
{
    const struct cabac_set *params = &cabac_sets[set];
    int sign = bin ? 1 : -1;
    for (int i = 0; i < CABAC_MOVES_COUNT; i++) {
        /* Any of the estimates that share the entry. */
        int estimate = (i - CABAC_MOVES_MIDDLE) * 128 + 1 - bin;
        moves->gain[set][bin][0][i] =
            (int16_t)gain_of(sign, estimate, params->slow_shift);
        moves->gain[set][bin][1][i] =
            (int16_t)(16 * gain_of(sign, estimate, params->fast_shift));
    }
}

static uint64_t rows_of(unsigned column)
{
    uint64_t rows = 0;
    for (unsigned row = 0; row < 8; row++)
        rows |= (uint64_t)cabac_range_lps[32 * row + column] << (8 * row);
    return rows;
}

void cabac_dec_moves_init(struct cabac_dec_moves *moves)
{
    for (unsigned set = 0; set < CABAC_SETS; set++)
        for (int bin = 0; bin < 2; bin++)
            init_gains(moves, set, bin);
    for (int state = -32; state < 32; state++) {
        int column = state < 0 ? -state : state;
        moves->rows[state + 32] = rows_of(column > 31 ? 31u : (unsigned)column);
    }
}
