/* Codings of the small coder in bits, and the start of its models. */
#include "codec/lossless/small_state.h"

#include "codec/base/bits.h"

/* e^(-1/256) in 32 bits after the point. */
#define STRETCH_STEP UINT64_C(4278222805)

bool small_dtype_ok(enum dtype dtype)
{
    unsigned bits = dtype_bits(dtype);
    return dtype != DTYPE_C64 &&
           (bits == 8 || bits == 16 || bits == 32 || bits == 64);
}

static void make_squash(struct small_models *m)
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

static void make_stretch(struct small_models *m)
{
    int at = -SMALL_STRETCH_MAX;
    for (unsigned i = 0; i < 4096; i++) {
        while (at < SMALL_STRETCH_MAX &&
               m->squash[at + SMALL_SQUASH_MAX] < i * 16 + 8)
            at++;
        m->stretch[i] = (int16_t)at;
    }
}

void small_models_init(struct small_models *m)
{
    make_squash(m);
    make_stretch(m);
    for (unsigned n = 0; n <= SMALL_COUNT_MAX; n++)
        m->rate[n] = (struct small_rate){(uint16_t)(16384 / (2 * n + 3)),
                                         n < SMALL_COUNT_MAX};
}

static void fill(small_prob *at, size_t size)
{
    for (size_t i = 0; i < size / sizeof(*at); i++)
        at[i] = UINT32_C(1) << 31;
}

static void fill_weights(int32_t (*w)[3], size_t count)
{
    for (size_t i = 0; i < count; i++)
        w[i][0] = w[i][1] = w[i][2] = SMALL_WEIGHT_FIRST;
}

#define FILL(array) fill(m->array, sizeof(m->array))
#define FILL_WEIGHTS(array) \
    fill_weights(m->array, sizeof(m->array) / sizeof(m->array[0]))

void small_models_reset(struct small_models *m)
{
    m->next_elem = 0;
    FILL(zero_a);
    FILL(zero_b);
    FILL(zero_c);
    FILL_WEIGHTS(zero_w);
    FILL(sign_a);
    FILL(sign_b);
    FILL(sign_c);
    FILL_WEIGHTS(sign_w);
    FILL(octave);
    FILL(more);
    FILL(low);
    FILL(value_sign);
    FILL(value);
    FILL(value_low);
}

static int context_of(int q)
{
    if (q < 10)
        return q < -8 ? 0 : q + 8;
    return q < 36 ? 18 + (q - 10) / 2 : 31;
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
                                 .qi = (uint8_t)context_of(q),
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

static void columns_write(struct bit_writer *bw, uint32_t columns)
{
    bit_writer_put(bw, columns != 0, 1);
    if (!columns)
        return;
    unsigned below = 31 - (unsigned)__builtin_clz(columns);
    bit_writer_put(bw, below, 4);
    bit_writer_put(bw, columns & ((1u << below) - 1), below);
}

static uint32_t columns_read(struct bit_reader *br)
{
    if (!bit_reader_get(br, 1))
        return 0;
    unsigned below = bit_reader_get(br, 4);
    uint32_t columns = 1u << below | bit_reader_get(br, below);
    if (columns < 2 || columns > SMALL_COLUMNS_MAX)
        reader_fail(br->rd, STATUS_CORRUPT);
    return columns;
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
    columns_write(&bw, coding->columns);
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
    coding->columns = columns_read(&br);
    bit_reader_finish(&br);
    if (reader_status(rd))
        *coding = (struct small_coding){0};
    return reader_status(rd);
}
