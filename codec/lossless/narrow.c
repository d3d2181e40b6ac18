/* Tables and codings of the narrow coder: their bytes, and how a coding becomes
 * contexts. */
#include "codec/lossless/narrow.h"

#include "codec/base/bits.h"
#include "codec/lossless/narrow_context.h"

#include <string.h>

#define COUNT_BITS 5

bool narrow_dtype_ok(enum dtype dtype)
{
    struct narrow_format format;
    return narrow_format(dtype, &format);
}

unsigned narrow_elem_bytes(enum dtype dtype)
{
    struct narrow_format format;
    (void)narrow_format(dtype, &format);
    return format.width / 8u;
}

void narrow_tables_write(const struct narrow_tables *tables, struct writer *wr)
{
    struct bit_writer bw;
    bit_writer_init(&bw, wr);
    bit_writer_put(&bw, tables->count, COUNT_BITS);
    for (unsigned i = 0; i < tables->count; i++)
        freq_write(&tables->table[i], &bw);
    bit_writer_finish(&bw);
}

enum status narrow_tables_read(struct reader *rd, struct narrow_tables *tables)
{
    memset(tables, 0, sizeof(*tables));
    struct bit_reader br;
    bit_reader_init(&br, rd);
    unsigned count = bit_reader_get(&br, COUNT_BITS);
    if (count > NARROW_TABLES_MAX)
        reader_fail(rd, STATUS_LIMIT);
    for (unsigned i = 0; i < count && !reader_status(rd); i++)
        freq_read(&br, &tables->table[i]);
    bit_reader_finish(&br);
    if (!reader_status(rd))
        tables->count = count;
    return reader_status(rd);
}

static bool all_same(const struct narrow_run *run)
{
    for (unsigned i = 1; i < NARROW_SIDES; i++)
        if (run->table[i] != run->table[0])
            return false;
    return true;
}

static void run_write(struct bit_writer *bw, const struct narrow_run *run,
                      bool has_lost)
{
    bit_writer_put(bw, run->table[0], 4);
    if (!has_lost)
        return;
    bool same = all_same(run);
    bit_writer_put(bw, same, 1);
    for (unsigned i = 1; i < NARROW_SIDES && !same; i++)
        bit_writer_put(bw, run->table[i], 4);
}

void narrow_coding_write(const struct narrow_coding *coding, enum dtype dtype,
                         struct writer *wr)
{
    struct narrow_format format;
    (void)narrow_format(dtype, &format);
    struct bit_writer bw;
    bit_writer_init(&bw, wr);
    bool delta = coding->mode == NARROW_DELTA, real = format.mantissa_bits;
    bit_writer_put(&bw, coding->mode, 1);
    if (delta) {
        bit_writer_put(&bw, coding->has_lost, 1);
        bit_writer_put(&bw, coding->run_count - 1u, 4);
    }
    if (real && delta) {
        bit_writer_put(&bw, coding->scale, 9);
        bit_writer_put(&bw, coding->direct_end, 9);
    }
    if (real && coding->direct_end)
        bit_writer_put(&bw, coding->direct_first, 9);
    if (!real)
        bit_writer_put(&bw, coding->row, 4);
    if (!real && !delta)
        bit_writer_put(&bw, coding->centre, 1);
    for (unsigned i = 0; i < coding->run_count; i++) {
        const struct narrow_run *run = &coding->run[i];
        if (i)
            bit_writer_gamma(
                &bw, (uint32_t)(run->first_exponent - run[-1].first_exponent));
        run_write(&bw, run, coding->has_lost);
    }
    bit_writer_finish(&bw);
}

/* Whether a run is as our writer writes it. */
static bool run_read(struct bit_reader *br, bool has_lost, unsigned table_count,
                     struct narrow_run *run)
{
    unsigned first = bit_reader_get(br, 4);
    bool same = !has_lost || bit_reader_get(br, 1);
    bool ok = true;
    for (unsigned i = 0; i < NARROW_SIDES; i++) {
        unsigned table = same || !i ? first : bit_reader_get(br, 4);
        ok = ok && table < table_count;
        run->table[i] = (uint8_t)table;
    }
    return ok && (same || !all_same(run));
}

static bool runs_read(struct bit_reader *br, unsigned table_count,
                      struct narrow_coding *coding)
{
    unsigned exponent = 0;
    bool ok = coding->run_count <=
              (coding->has_lost ? NARROW_LOST_RUNS_MAX : NARROW_RUNS_MAX);
    for (unsigned i = 0; ok && i < coding->run_count; i++) {
        if (i)
            exponent += bit_reader_gamma(br);
        coding->run[i].first_exponent = (uint8_t)exponent;
        ok = exponent < NARROW_EXPONENTS &&
             run_read(br, coding->has_lost, table_count, &coding->run[i]);
    }
    return ok;
}

enum status narrow_coding_read(struct reader *rd, enum dtype dtype,
                               unsigned table_count,
                               struct narrow_coding *coding)
{
    memset(coding, 0, sizeof(*coding));
    struct narrow_format format;
    if (!narrow_format(dtype, &format))
        reader_fail(rd, STATUS_CORRUPT);
    struct bit_reader br;
    bit_reader_init(&br, rd);
    coding->mode = (uint8_t)bit_reader_get(&br, 1);
    bool delta = coding->mode == NARROW_DELTA, real = format.mantissa_bits;
    coding->run_count = 1;
    if (delta) {
        coding->has_lost = (uint8_t)bit_reader_get(&br, 1);
        coding->run_count = (uint8_t)(1 + bit_reader_get(&br, 4));
    }
    coding->direct_end = real && !delta ? NARROW_EXPONENTS : 0;
    if (real && delta) {
        coding->scale = (uint16_t)bit_reader_get(&br, 9);
        coding->direct_end = (uint16_t)bit_reader_get(&br, 9);
    }
    if (coding->direct_end)
        coding->direct_first = (uint16_t)bit_reader_get(&br, 9);
    if (!real)
        coding->row = (uint8_t)bit_reader_get(&br, 4);
    if (!real && !delta)
        coding->centre = (uint8_t)bit_reader_get(&br, 1);
    bool ok = runs_read(&br, table_count, coding);
    bit_reader_finish(&br);
    if (!reader_status(rd) &&
        (!ok || coding->row > NARROW_ROW_MAX ||
         coding->direct_end > NARROW_EXPONENTS ||
         (coding->direct_end && coding->direct_first >= format.half_octaves)))
        reader_fail(rd, STATUS_CORRUPT);
    return reader_status(rd);
}

static unsigned row_of(const struct narrow_context *context, unsigned exponent)
{
    if (!context->format.mantissa_bits)
        return context->row;
    if (exponent < context->direct_end)
        return NARROW_ROW_DIRECT;
    return narrow_row_float(context->scale, exponent);
}

static void set_runs(struct narrow_context *context,
                     const struct narrow_coding *coding)
{
    context->run_count = coding->run_count;
    for (unsigned i = 0; i < coding->run_count; i++) {
        const struct narrow_run *run = &coding->run[i];
        context->run_first[i] = run->first_exponent;
        context->run_table[i] = (uint8_t)(run->table[0] << 4);
        for (unsigned side = 0; context->has_lost && side < NARROW_SIDES;
             side++)
            context->run_sides[i * NARROW_SIDES + side] =
                (uint8_t)(run->table[side] << 4);
    }
}

/* What kernels want to know. */
static void set_window(struct narrow_context *context)
{
    const struct narrow_format *format = &context->format;
    context->is_plain =
        context->direct_end &&
        context->direct_first + FREQ_SYM_ESCAPE - 1u > UINT8_MAX;
    context->low_signed = (uint8_t)narrow_signed_count(
        format->mantissa_bits || context->row ? NARROW_ROW_FLOAT : 0);
    if (!context->has_pred || !format->mantissa_bits)
        return;
    uint8_t of[NARROW_EXPONENTS];
    unsigned run = 0, first = 0, last = format->exponent_mask;
    for (unsigned e = 0; e <= last; e++) {
        while (run + 1u < context->run_count &&
               e >= context->run_first[run + 1])
            run++;
        of[e] = (uint8_t)(run << 4 | row_of(context, e));
    }
    while (last && of[last - 1] == of[last])
        last--;
    while (first < last && of[first + 1] == of[0])
        first++;
    context->window_first = (uint8_t)first;
    context->window_last = (uint8_t)last;
    context->window_parts = (uint8_t)((last - first) / 16 + 1);
    memcpy(context->window, of + first, last - first + 1);
}

/* The context of an exponent at a level. */
static uint16_t context_of(const struct narrow_context *context,
                           const struct narrow_coding *coding, unsigned run,
                           unsigned row, unsigned level)
{
    bool mirrored = context->has_pred && row != NARROW_ROW_DIRECT;
    unsigned table = coding->run[run].table[narrow_side(level)];
    unsigned flip = mirrored && level < 4 ? NARROW_FLIP : 0;
    return (uint16_t)(table << RANS_TABLE_SHIFT | flip |
                      row << NARROW_ROW_SHIFT);
}

static void set_contexts(struct narrow_context *context,
                         const struct narrow_coding *coding)
{
    const struct narrow_format *format = &context->format;
    const unsigned exponents =
        context->has_pred ? format->exponent_mask + 1u : 1;
    const bool real = format->mantissa_bits;
    unsigned run = 0;
    context->top_shift = real ? format->mantissa_bits : format->exponent_shift;
    for (unsigned e = 0; e < exponents; e++) {
        while (run + 1u < coding->run_count &&
               e >= coding->run[run + 1].first_exponent)
            run++;
        unsigned row = row_of(context, e), top = e ^ format->exponent_flip;
        if (context->has_lost) {
            uint16_t *ctx = &context->ctx[e * NARROW_LEVELS];
            for (unsigned level = 0; level < NARROW_LEVELS; level++)
                ctx[level] = context_of(context, coding, run, row, level);
            continue;
        }
        /* An integer's exponent has its sign in it. */
        bool negative = !real && format->is_signed && top >= 128;
        context->ctx[top] =
            context_of(context, coding, run, row, negative ? 3 : 4);
        if (real)
            context->ctx[exponents + e] =
                context_of(context, coding, run, row, 3);
    }
    if (!context->has_pred)
        context->ctx[0] = context_of(context, coding, 0, row_of(context, 0), 4);
}

static void set_rows(struct narrow_context *context, unsigned width)
{
    if (context->rows_width == width)
        return;
    context->rows_width = width;
    narrow_rows_init(context->rows, width);
}

void narrow_context_set(struct narrow_context *context,
                        const struct narrow_coding *coding, enum dtype dtype)
{
    struct narrow_format *format = &context->format;
    if (context->is_set && context->dtype == dtype &&
        !memcmp(&context->coding, coding, sizeof(*coding)))
        return;
    context->is_set = true;
    context->dtype = dtype;
    context->coding = *coding;
    (void)narrow_format(dtype, format);
    set_rows(context, format->width);
    context->has_pred = coding->mode == NARROW_DELTA;
    context->has_lost = context->has_pred && coding->has_lost;
    context->full_pred =
        (uint16_t)(coding->centre ? 1u << (format->width - 1) : 0);
    context->scale = coding->scale;
    context->row = coding->row;
    context->direct_end = coding->direct_end;
    context->direct_first = coding->direct_first;
    if (coding->direct_end)
        narrow_row_direct(context->rows[NARROW_ROW_DIRECT], format,
                          coding->direct_first);
    set_runs(context, coding);
    set_window(context);
    set_contexts(context, coding);
}
