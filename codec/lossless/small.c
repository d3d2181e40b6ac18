/* Codings of the small coder in bits, and the start of its models. */
#include "codec/lossless/small_state.h"

#include "codec/lossless/columns_field.h"

/* e^(-1/256) in 32 bits after the point. */
#define STRETCH_STEP UINT64_C(4278222805)

bool small_dtype_ok(enum dtype dtype)
{
    unsigned bits = dtype_bits(dtype);
    return dtype != DTYPE_C64 &&
           (bits == 8 || bits == 16 || bits == 32 || bits == 64);
}

static void make_squash(struct small_tables *m)
{
    uint64_t e = UINT64_C(1) << 32; /* e^(-k/256) */
    for (unsigned k = 0; k <= SMALL_SQUASH_MAX; k++) {
        uint32_t p =
            (uint32_t)((UINT64_C(1) << 48) / ((UINT64_C(1) << 32) + e));
        p = p > 65535 ? 65535 : p;
        m->squash[SMALL_SQUASH_MAX + k] = (uint16_t)p;
        m->squash[SMALL_SQUASH_MAX - k] = (uint16_t)(65536 - p);
        e = e * STRETCH_STEP >> 32;
    }
}

static void make_stretch(struct small_tables *m)
{
    int at = -SMALL_STRETCH_MAX;
    for (unsigned i = 0; i < 4096; i++) {
        while (at < SMALL_STRETCH_MAX &&
               m->squash[at + SMALL_SQUASH_MAX] < i * 16 + 8)
            at++;
        m->stretch[i] = (int16_t)at;
    }
}

void small_tables_init(struct small_tables *m)
{
    make_squash(m);
    make_stretch(m);
    for (unsigned n = 0; n <= SMALL_COUNT_MAX; n++)
        m->rate[n] = (struct small_rate){(uint16_t)(16384 / (2 * n + 3)),
                                         n < SMALL_COUNT_MAX};
}

void small_models_init(struct small_models *m)
{
    small_tables_init(&m->tables);
}

/* The share of differences below u sixteenths of a step when they are expected
 * to be of half octave q: of a logistic distribution, 16 bits. */
static uint32_t share_below(const struct small_models *m, int q, int u)
{
    int half = q & 1, octave = (q - half) / 2;
    int64_t slope = ((int64_t)(half ? 4015 : 5678) << 20) >> (octave + 4);
    int64_t x = slope * u >> 24;
    x = x > SMALL_SQUASH_MAX ? SMALL_SQUASH_MAX : x;
    x = x < -SMALL_SQUASH_MAX ? -SMALL_SQUASH_MAX : x;
    return m->tables.squash[x + SMALL_SQUASH_MAX];
}

small_prob small_state_of(uint64_t part, uint64_t all, unsigned count)
{
    uint32_t p = all ? (uint32_t)((part << 22) / all) : 1u << 21;
    p = p < 4096 ? 4096 : p;
    p = p > (1u << 22) - 4096 ? (1u << 22) - 4096 : p;
    return p << 10 | count;
}

static void fill(small_prob *at, size_t count, small_prob state)
{
    for (size_t i = 0; i < count; i++)
        at[i] = state;
}

/* Shares of what lies beyond half a step and beyond three halves, on the side
 * where the prediction was before rounding and on the other. */
struct tails {
    uint32_t over[2], far[2];
};

static struct tails tails_of(const struct small_models *m, int q, unsigned lost)
{
    struct tails sum = {{0}, {0}};
    unsigned from = lost ? lost : 1, to = lost ? lost : 4;
    for (unsigned t = from; t <= to; t++) {
        int f = 2 * (int)t - 1;
        sum.over[0] += 65536 - share_below(m, q, 8 - f);
        sum.over[1] += share_below(m, q, -8 - f);
        sum.far[0] += 65536 - share_below(m, q, 24 - f);
        sum.far[1] += share_below(m, q, -24 - f);
    }
    if (!lost) {
        sum.over[0] = sum.over[1] = (sum.over[0] + sum.over[1]) / 8;
        sum.far[0] = sum.far[1] = (sum.far[0] + sum.far[1]) / 8;
    }
    return sum;
}

static void expect_size(struct small_models *m, unsigned size, int q)
{
    for (unsigned lost = 0; lost < 5; lost++) {
        struct tails tails = tails_of(m, q, lost);
        uint32_t over = tails.over[0] + tails.over[1];
        unsigned at = size * 8 + lost;
        m->zero[at] = small_state_of(over, 65536, 12);
        fill(&m->zero_a[at * 8], 8, m->zero[at]);
        m->sign[at] = small_state_of(tails.over[1], over, 12);
        fill(&m->sign_a[at * 32], 32, m->sign[at]);
        for (unsigned side = 0; side < 2; side++)
            m->one[at * 2 + side] =
                small_state_of(tails.far[side], tails.over[side], 12);
    }
}

static void expect_octaves(struct small_models *m, unsigned size, int q,
                           bool has_one)
{
    uint32_t mass[16];
    uint32_t above = 65536;
    for (unsigned j = 0; j < 8; j++) {
        int u = (32 << j) - (has_one ? 8 : 0);
        uint32_t next = j < 7 ? 65536 - share_below(m, q, u) : 0;
        mass[8 + j] = j || !has_one ? above - next + 16 : 1;
        above = next;
    }
    for (unsigned i = 7; i; i--)
        mass[i] = mass[2 * i] + mass[2 * i + 1];
    for (unsigned i = 1; i < 8; i++) {
        small_prob state = small_state_of(mass[2 * i + 1], mass[i], 4);
        m->octave[size * 16 + i] = m->octave[size * 16 + 8 + i] = state;
    }
}

static void fill_weights(int32_t (*w)[3], size_t count)
{
    for (size_t i = 0; i < count; i++)
        w[i][0] = w[i][1] = w[i][2] = SMALL_WEIGHT_FIRST;
}

#define FILL(array, state) \
    fill(m->array, sizeof(m->array) / sizeof(m->array[0]), state)

void small_models_reset(struct small_models *m)
{
    small_prob even = small_state_of(1, 2, 0), sure = small_state_of(1, 2, 4);
    m->next_elem = 0;
    for (unsigned size = 0; size < SMALL_SIZES; size++) {
        bool wide = size >= 18;
        expect_size(m, size, wide ? 2 * (int)size - 26 : (int)size - 8);
        expect_octaves(m, size, wide ? 8 : (int)size - 8, !wide);
    }
    FILL(zero_b, even);
    FILL(zero_c, even);
    fill_weights(m->zero_w, 8);
    FILL(sign_b, even);
    fill_weights(m->sign_w, 8);
    FILL(none, small_state_of(63, 64, 2));
    FILL(more, even);
    FILL(low, sure);
    FILL(value_sign, even);
    FILL(value, even);
    FILL(value_low, even);
}

static int size_of(int q)
{
    if (q < 10)
        return q < -8 ? 0 : q + 8;
    return q < 100 ? 18 + (q - 10) / 2 : 63;
}

static struct small_expect expect_of(const struct small_coding *coding,
                                     struct small_format format, unsigned e)
{
    int most = 2 * (format.width - 2) + 1;
    int q = (int)coding->scale - SMALL_SCALE_BIAS;
    if (format.mant)
        q -= 2 * (int)(e ? e : 1);
    q = q > most ? most : q;
    unsigned octave = q > 0 ? (unsigned)q / 2 : 0;
    unsigned k0 = octave < 5 ? 0 : octave - 4, k0_max = format.width - 8u;
    return (struct small_expect){.q = (int16_t)q,
                                 .size = (uint8_t)size_of(q),
                                 .octs = (uint8_t)(octave < 15 ? octave : 15),
                                 .k0 = (uint8_t)(k0 < k0_max ? k0 : k0_max),
                                 .flag = format.width <= 16 || octave < 5 ||
                                         coding->sparse};
}

void small_context_set(struct small_context *cx, struct small_models *m,
                       const struct small_coding *coding, enum dtype dtype,
                       bool has_pred, size_t elem_count, uint64_t first_elem)
{
    struct small_format format = small_format(dtype);
    bool goes_on = m->next_elem && m->next_elem == first_elem;
    m->next_elem = first_elem + elem_count;
    if (goes_on)
        return;
    cx->coding = *coding;
    cx->has_pred = has_pred && coding->mode == SMALL_DELTA;
    cx->columns =
        coding->columns && coding->columns <= elem_count ? coding->columns : 1;
    memset(m->column, 0, cx->columns * sizeof(m->column[0]));
    m->past = (struct small_past){
        .density = 32768,
        .col = (uint32_t)(first_elem % cx->columns),
    };
    for (unsigned e = 0; e < SMALL_EXPONENTS; e++)
        cx->expect[e] = expect_of(coding, format, e);
}

static unsigned exponent_bits(enum dtype dtype)
{
    struct small_format format = small_format(dtype);
    return format.mant ? format.width - 1u - format.mant : 0;
}

void small_coding_write(const struct small_coding *coding, enum dtype dtype,
                        struct writer *wr)
{
    unsigned field = exponent_bits(dtype);
    struct bit_writer bw;
    bit_writer_init(&bw, wr);
    bit_writer_put(&bw, coding->mode, 1);
    if (field && coding->mode == SMALL_DELTA) {
        bit_writer_put(&bw, coding->direct_end != 0, 1);
        if (coding->direct_end)
            bit_writer_put(&bw, coding->direct_end - 1u, 8);
    }
    if (coding->direct_end)
        bit_writer_put(&bw, coding->direct_top, field);
    if (coding->direct_end < SMALL_EXPONENTS) {
        bit_writer_put(&bw, coding->sparse, 1);
        bit_writer_put(&bw, coding->scale, 10);
    }
    columns_field_put(&bw, coding->columns);
    bit_writer_finish(&bw);
}

enum status small_coding_read(struct reader *rd, enum dtype dtype,
                              struct small_coding *coding)
{
    unsigned field = exponent_bits(dtype);
    struct bit_reader br;
    bit_reader_init(&br, rd);
    *coding = (struct small_coding){0};
    coding->mode = (uint8_t)bit_reader_get(&br, 1);
    if (field && coding->mode == SMALL_FULL)
        coding->direct_end = SMALL_EXPONENTS;
    else if (field && bit_reader_get(&br, 1))
        coding->direct_end = (uint16_t)(1 + bit_reader_get(&br, 8));
    if (coding->direct_end)
        coding->direct_top = (uint16_t)bit_reader_get(&br, field);
    if (coding->direct_end < SMALL_EXPONENTS) {
        coding->sparse = (uint8_t)bit_reader_get(&br, 1);
        coding->scale = (uint16_t)bit_reader_get(&br, 10);
    }
    coding->columns = columns_field_get(&br, SMALL_COLUMNS_MAX);
    bit_reader_finish(&br);
    if (reader_status(rd))
        *coding = (struct small_coding){0};
    return reader_status(rd);
}
