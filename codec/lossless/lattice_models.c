/* The start of the lattice coder's models, and of pieces. */
#include "codec/lossless/lattice_state.h"

#define WEIGHT_FIRST       22000
#define WEIGHT_FIRST_GUESS 16500 /* of flags, of which four states speak */

void lattice_models_init(struct lattice_models *m)
{
    small_tables_init(&m->tables);
}

static void fill(small_prob *at, size_t count, small_prob state)
{
    for (size_t i = 0; i < count; i++)
        at[i] = state;
}

#define FILL(array, state) \
    fill((small_prob *)(array), sizeof(array) / sizeof(small_prob), state)

/* A state that expects magnitudes of a mean, in 1 / 4096. */
static small_prob state_of_mean(uint32_t mean, unsigned flag)
{
    uint64_t part = mean, all = 4096 + (uint64_t)mean;
    if (flag) {
        part += 128;
        all += 128;
    }
    return small_state_of(part, all, 2);
}

/* The smallest mean of a class, and half an octave more. */
static uint32_t mean_of_class(unsigned class)
{
    unsigned half = class + 3;
    return class ? (half & 1 ? 3u : 2u) << (half / 2) >> 1 : 1;
}

static void set_act(struct lattice_set *s, unsigned flag, unsigned set)
{
    unsigned as = flag == LATTICE_FLAGS ? 0 : flag;
    for (unsigned i = 0; i < LATTICE_ACTS * LATTICE_LEVELS; i++) {
        unsigned level = i % LATTICE_LEVELS, act = i / LATTICE_LEVELS;
        uint32_t a = mean_of_class(3 * act), b = level ? 64u << level : 1;
        s->act[flag][i] = state_of_mean(set ? (a + b) / 2 : a, as);
    }
}

static void set_flag(struct lattice_set *s, unsigned flag)
{
    unsigned as = flag == LATTICE_FLAGS ? 0 : flag;
    for (unsigned i = 0; i < LATTICE_MEANS && flag < LATTICE_FLAGS; i++)
        fill(&s->mean[flag][3 * i], 3, state_of_mean(mean_of_class(i), as));
    for (unsigned i = 0; i < LATTICE_COARSE; i++)
        fill(&s->size[flag][i * LATTICE_SIZES], LATTICE_SIZES,
             state_of_mean(mean_of_class(5 * i + 2), as));
    for (unsigned i = 0; i < 3; i++)
        s->flag_w[flag][i] = WEIGHT_FIRST;
}

static void set_guess(struct lattice_set *s, unsigned flag)
{
    for (unsigned i = 0; i < LATTICE_MEANS; i++)
        fill(&s->guess[flag][i * LATTICE_OFFS], LATTICE_OFFS,
             flag == LATTICE_FLAGS ? small_state_of(1, 8, 2)
                                   : state_of_mean(mean_of_class(i), flag));
    for (unsigned i = 0; i < 4; i++)
        s->guess_w[flag][i] = WEIGHT_FIRST_GUESS;
}

/* Of what is above the flags. */
static void set_octave(small_prob *octave, uint64_t mean)
{
    uint64_t above = ((mean + 128) << 16) / (4096 + mean + 128);
    for (unsigned i = 0; i < LATTICE_OCTAVES; i++) {
        octave[i] = small_state_of(above, 65536, 2);
        above = above * above >> 16;
    }
}

/* class may be beyond those that means have. */
static void set_octave_of(const struct lattice_set *s, small_prob *octave,
                          unsigned class)
{
    if (class < LATTICE_MEANS)
        memcpy(octave, s->octave_mean[class], sizeof(s->octave_mean[0]));
    else
        set_octave(octave, mean_of_class(class));
}

/* Classes of means that contexts have in common have the same states. */
static void set_octaves(struct lattice_set *s)
{
    const size_t size = sizeof(s->octave_mean[0]);
    for (unsigned i = 0; i < LATTICE_MEANS; i++)
        set_octave(s->octave_mean[i], mean_of_class(i));
    for (unsigned i = 0; i < LATTICE_ACTS * LATTICE_LEVELS; i++)
        memcpy(s->octave_act[i], s->octave_mean[i / LATTICE_LEVELS * 3], size);
    for (unsigned i = 0; i < LATTICE_COARSE * LATTICE_SIZES; i++)
        set_octave_of(s, s->octave_size[i], i / LATTICE_SIZES * 5 + 2);
    for (unsigned i = 0; i < LATTICE_COARSE; i++)
        set_octave_of(s, s->octave[i], 5 * i + 2);
    for (unsigned i = 0; i < LATTICE_OCTAVES; i++)
        for (unsigned k = 0; k < 3; k++)
            s->octave_w[i][k] = WEIGHT_FIRST;
}

static void set_blocks(struct lattice_set *s)
{
    for (unsigned i = 0; i < LATTICE_MEANS; i++) {
        uint32_t mean = mean_of_class(i);
        s->block_mean[i] =
            small_state_of(LATTICE_BLOCK * mean,
                           4096 + (LATTICE_BLOCK - 1) * (uint64_t)mean, 2);
    }
    for (unsigned i = 0; i < LATTICE_ACTS; i++)
        s->block_past[i] = state_of_mean(mean_of_class(3 * i), 0);
    for (unsigned i = 0; i < LATTICE_COARSE * LATTICE_BLOCK; i++)
        s->first[i] = small_state_of(1, LATTICE_BLOCK - i % LATTICE_BLOCK, 2);
    FILL(s->block_near, small_state_of(1, 2, 0));
    for (unsigned i = 0; i < 3; i++)
        s->block_w[i] = s->sign_w[i] = WEIGHT_FIRST;
    for (unsigned i = 0; i < 4; i++)
        s->sign_guess_w[i] = WEIGHT_FIRST;
}

/* As set 0 is; the other has other act and last_mean. */
static void set_all(struct lattice_set *s)
{
    small_prob even = small_state_of(1, 2, 0);
    for (unsigned flag = 0; flag <= LATTICE_FLAGS; flag++) {
        set_act(s, flag, 0);
        set_flag(s, flag);
        set_guess(s, flag);
    }
    set_blocks(s);
    set_octaves(s);
    FILL(s->sign_near, even);
    FILL(s->sign_mean, even);
    FILL(s->sign_pred, even);
    FILL(s->sign_guess, even);
    FILL(s->low, even);
}

void lattice_models_reset(struct lattice_models *m)
{
    small_prob even = small_state_of(1, 2, 0);
    m->next_elem = 0;
    set_all(&m->set[0]);
    m->set[1] = m->set[0];
    for (unsigned flag = 0; flag <= LATTICE_FLAGS; flag++)
        set_act(&m->set[1], flag, 1);
    m->set[0].last_mean = 8192;
    m->set[1].last_mean = 256;
    FILL(m->off_block, small_state_of(1, 16, 2));
    FILL(m->off, small_state_of(1, 16, 2));
    FILL(m->off_sign, even);
    FILL(m->off_octave, small_state_of(1, 4, 2));
    FILL(m->off_low, even);
}

void lattice_models_expect(struct lattice_models *m, int32_t mean)
{
    for (unsigned set = 0; set < LATTICE_SETS; set++)
        m->set[set].last_mean = mean;
}

static unsigned exponent_bias(enum dtype dtype)
{
    return dtype == DTYPE_F64 ? 1023 : dtype == DTYPE_F16 ? 15 : 127;
}

void lattice_context_set(struct lattice_context *cx, struct lattice_models *m,
                         const struct lattice_coding *coding, enum dtype dtype,
                         size_t elem_count, uint64_t first_elem)
{
    struct small_format format = small_format(dtype);
    bool goes_on = m->next_elem && m->next_elem == first_elem;
    m->next_elem = first_elem + elem_count;
    if (goes_on)
        return;
    *cx = (struct lattice_context){
        .coding = *coding,
        .dtype = dtype,
        .set = coding->columns && coding->columns <= elem_count,
        .mant = format.mant,
        .field_mask = ((uint64_t)1 << (format.width - 1u - format.mant)) - 1,
        .zero_field = (int)exponent_bias(dtype) - 4 +
                      lattice_octave(coding->qp, coding->density),
    };
    cx->columns = cx->set ? coding->columns : 1;
    size_t columns = cx->columns;
    memset(m->side, 0, columns);
    memset(m->level, 0, columns * sizeof(m->level[0]));
    memset(m->sign, 128, columns);
    memset(m->up, 0, columns * sizeof(m->up[0]));
    memset(m->drift, 0, columns * sizeof(m->drift[0]));
    m->past = (struct lattice_past){
        .mean = m->set[cx->set].last_mean,
        .mean_count = 4,
        .act = m->set[cx->set].last_mean,
        .sign = 1024,
        .col = (uint32_t)(first_elem % cx->columns),
    };
}
