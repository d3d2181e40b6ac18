/* What the lattice coder remembers: adaptive models, and the neighbours of an
 * element. */
#ifndef CODEC_LOSSLESS_LATTICE_STATE_H
#define CODEC_LOSSLESS_LATTICE_STATE_H

#include "codec/lossless/lattice.h"
#include "codec/lossless/small_state.h"

#define LATTICE_SETS  2u /* vectors, matrices */
#define LATTICE_FLAGS 4u /* not zero, greater than 1, 2, 3 */
#define LATTICE_BLOCK 16u
/* Running means have 12 bits after the point. Below this one blocks may be
 * skipped. */
#define LATTICE_SPARSE     512
#define LATTICE_MEAN_COUNT 60u
/* What factors are expected to be. */
#define LATTICE_FACTOR_MEAN (8 << 12)

#define LATTICE_ACTS    12u
#define LATTICE_LEVELS  8u
#define LATTICE_MEANS   36u
#define LATTICE_COARSE  8u
#define LATTICE_SIZES   16u
#define LATTICE_OCTAVES 25u
#define LATTICE_TAPS    9u
#define LATTICE_OFFS    16u

/* Models of one kind of tensor. */
struct lattice_set {
    /* By flag; the last is flag 0 of the first that is not zero. */
    small_prob act[LATTICE_FLAGS + 1][LATTICE_ACTS * LATTICE_LEVELS];
    small_prob mean[LATTICE_FLAGS][LATTICE_MEANS * 3];
    small_prob size[LATTICE_FLAGS + 1][LATTICE_COARSE * LATTICE_SIZES];
    small_prob first[LATTICE_COARSE * LATTICE_BLOCK];
    int32_t flag_w[LATTICE_FLAGS + 1][3];
    small_prob block_mean[LATTICE_MEANS];
    small_prob block_near[16];
    small_prob block_past[LATTICE_ACTS];
    int32_t block_w[3];
    small_prob sign_near[27];
    small_prob sign_mean[64];
    small_prob sign_pred[2 * LATTICE_SIZES];
    int32_t sign_w[3];
    small_prob octave[LATTICE_COARSE][LATTICE_OCTAVES];
    small_prob low[LATTICE_OCTAVES][4];
    int32_t last_mean; /* where the last piece ended */

    /* The same with guesses. */
    small_prob guess[LATTICE_FLAGS + 1][LATTICE_MEANS * LATTICE_OFFS];
    int32_t guess_w[LATTICE_FLAGS + 1][4];
    small_prob sign_guess[LATTICE_MEANS * LATTICE_OFFS];
    int32_t sign_guess_w[4];
    small_prob octave_act[LATTICE_ACTS * LATTICE_LEVELS][LATTICE_OCTAVES];
    small_prob octave_mean[LATTICE_MEANS][LATTICE_OCTAVES];
    small_prob octave_size[LATTICE_COARSE * LATTICE_SIZES][LATTICE_OCTAVES];
    int32_t octave_w[LATTICE_OCTAVES][3];
};

/* What is remembered of the elements of a piece before this one. */
struct lattice_past {
    uint32_t left;        /* magnitude, at most 2 */
    unsigned side, side2; /* 0 none, 1 up, 2 down */
    int32_t act;          /* fast running mean of magnitudes */
    int32_t mean;         /* slow one */
    uint32_t mean_count;
    int32_t blocks;     /* running mean of blocks that are not zero */
    int32_t sign;       /* running mean of signs, 0 .. 2047 */
    unsigned in_last;   /* levels not zero in the last block, at most 3 */
    unsigned off_block; /* 1: the last block had residuals */
    uint32_t col;       /* column of the next element */

    /* Of guesses. In 1/16 levels: */
    int32_t before[3]; /* the last levels */
    int32_t up_left;
    int32_t weight[LATTICE_TAPS];
    uint64_t power[LATTICE_TAPS]; /* running sums of the taps' squares */
    int32_t cost[3];              /* running means of what no, half, all of
                                     the guess leaves, in half octaves */
};

struct lattice_models {
    struct small_tables tables;
    struct lattice_set set[LATTICE_SETS];
    small_prob off_block[2 * 2];
    small_prob off[LATTICE_SIZES * 3];
    small_prob off_sign[2];
    small_prob off_octave[LATTICE_SIZES][64];
    small_prob off_low[64][4];

    /* Of the element above each column; one more at the end is 0. */
    uint8_t side[LATTICE_COLUMNS_MAX + LATTICE_BLOCK];
    uint16_t level[LATTICE_COLUMNS_MAX + LATTICE_BLOCK]; /* running means */
    uint8_t sign[LATTICE_COLUMNS_MAX + LATTICE_BLOCK];
    int32_t up[LATTICE_COLUMNS_MAX]; /* 1/16 levels */
    int32_t drift[LATTICE_COLUMNS_MAX];

    struct lattice_past past; /* of the piece */
    uint64_t next_elem;       /* after the last one; 0: none in this segment */
};

/* What holds for a piece. */
struct lattice_context {
    struct lattice_coding coding;
    enum dtype dtype;
    unsigned set;
    uint32_t columns; /* at least 1 */
    /* The prediction's exponent. */
    unsigned mant;
    uint64_t field_mask;
    int zero_field; /* of class 0 */
};

void lattice_models_init(struct lattice_models *m);
void lattice_models_reset(struct lattice_models *m);

/* Lets the first piece expect magnitudes of this mean, in 1 / 4096. */
void lattice_models_expect(struct lattice_models *m, int32_t mean);

/* Sets the context of a piece and forgets the elements before it; or leaves all
 * as it is where the piece goes on with what the last one ended with. */
void lattice_context_set(struct lattice_context *cx, struct lattice_models *m,
                         const struct lattice_coding *coding, enum dtype dtype,
                         size_t elem_count, uint64_t first_elem);

/* The half octave of a running mean, from 4 / 4096 on. */
static inline unsigned lattice_mean_class(int32_t mean)
{
    unsigned class = mean < 4 ? 0 : small_class((uint64_t)mean) - 3;
    return class < LATTICE_MEANS ? class : LATTICE_MEANS - 1;
}

#endif
