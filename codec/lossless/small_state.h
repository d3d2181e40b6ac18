/* What the small coder remembers: adaptive models, and the neighbours of an
 * element. */
#ifndef CODEC_LOSSLESS_SMALL_STATE_H
#define CODEC_LOSSLESS_SMALL_STATE_H

#include "codec/lossless/small.h"
#include "codec/lossless/small_bits.h"

#define SMALL_STRETCH_MAX  2303
#define SMALL_SQUASH_MAX   2815
#define SMALL_EXPONENTS    256u
#define SMALL_COUNT_MAX    255u
#define SMALL_SIZES        64u /* of expected differences */
#define SMALL_WEIGHT_FIRST 26000
#define SMALL_WEIGHT_MAX   ((1 << 18) - 1)

/* Adaptive probability of a 1: 22 bits of it, then 10 of a count. */
typedef uint32_t small_prob;

struct small_column {
    uint8_t side;  /* of the element above: 0 none, 1 up, 2 down */
    uint8_t level; /* running mean of rel, times 32 */
    int8_t sign;   /* running mean of the sign, times 64 */
    uint8_t pad;
};

/* How far a state goes towards a bit after so many. */
struct small_rate {
    uint16_t step;  /* 8192 / (count + 1.5) */
    uint16_t count; /* 1, or 0 after the most */
};

/* Tables that never change. */
struct small_tables {
    int16_t stretch[4096];
    uint16_t squash[2 * SMALL_SQUASH_MAX + 1];
    struct small_rate rate[SMALL_COUNT_MAX + 1];
};

/* What is remembered of the elements of a piece before this one; all but near
 * only where bits are mixed. */
struct small_past {
    unsigned near;         /* of values: the last two, latest highest */
    unsigned rel1, rel2;   /* sizes of the last two, 0 .. 7 */
    unsigned side1, side2; /* 0 none, 1 up, 2 down */
    uint32_t density;      /* running mean of "changed", 16 bits */
    int32_t sign;          /* running mean of the sign */
    uint32_t col;          /* column of the next element */
};

struct small_models {
    struct small_tables tables;
    struct small_column column[SMALL_COLUMNS_MAX];

    /* By size and lost; without and with neighbours. */
    small_prob zero[SMALL_SIZES * 8];
    small_prob zero_a[SMALL_SIZES * 8 * 8]; /* activity */
    small_prob zero_b[64 * 16];             /* row and column level, octave */
    small_prob zero_c[256 * 8];             /* exponent, lost */
    int32_t zero_w[8][3];

    small_prob sign[SMALL_SIZES * 8];
    small_prob sign_a[SMALL_SIZES * 8 * 32]; /* neighbours */
    small_prob sign_b[64 * 8];               /* row and column, lost */
    int32_t sign_w[8][3];

    small_prob one[SMALL_SIZES * 8 * 2];    /* size, lost, side */
    small_prob octave[SMALL_SIZES * 2 * 8]; /* size, side, node */
    small_prob none[SMALL_SIZES];
    small_prob more[64];
    small_prob low[SMALL_SIZES * 8 * 4];

    small_prob value_sign[4];
    small_prob value[2 * 256 * 16];
    small_prob value_low[16 * 8];

    struct small_past past; /* of the piece */
    uint64_t next_elem;     /* after the last one; 0: none in this segment */
};

/* What is expected of differences to a prediction of an exponent. */
struct small_expect {
    int16_t q;    /* half octave */
    uint8_t size; /* q in contexts, below SMALL_SIZES */
    uint8_t octs; /* octave in contexts, 0 .. 15 */
    uint8_t k0;   /* the lowest octave that has a symbol of its own */
    uint8_t flag; /* 1: "no difference" is a bit of its own */
};

/* What holds for a piece. */
struct small_context {
    struct small_coding coding;
    uint32_t columns; /* at least 1 */
    bool has_pred;
    struct small_expect expect[SMALL_EXPONENTS];
};

void small_tables_init(struct small_tables *tables);

/* A state that takes a 1 to have part of all, as sure as after count bits. */
small_prob small_state_of(uint64_t part, uint64_t all, unsigned count);

/* Restarts all models; the tables are made once. */
void small_models_init(struct small_models *m);
void small_models_reset(struct small_models *m);

/* Sets the context of a piece and forgets the elements before it; or leaves all
 * as it is where the piece goes on with what the last one ended with. */
void small_context_set(struct small_context *cx, struct small_models *m,
                       const struct small_coding *coding, enum dtype dtype,
                       bool has_pred, size_t elem_count, uint64_t first_elem);

#endif
