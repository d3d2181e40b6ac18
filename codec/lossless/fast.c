/* Tables and codings of the fast coder: their bytes, and how a coding becomes
 * contexts. */
#include "codec/lossless/fast.h"

#include "codec/lossless/fast_shift.h"

#include <string.h>

#define COUNT_BITS 5

bool fast_dtype_ok(enum dtype dtype)
{
    struct classes_format format;
    return classes_format(dtype, &format);
}

void fast_tables_write(const struct fast_tables *tables, struct writer *wr)
{
    struct bit_writer bw;
    bit_writer_init(&bw, wr);
    bit_writer_put(&bw, tables->count, COUNT_BITS);
    for (unsigned i = 0; i < tables->count; i++)
        freq_write(&tables->table[i], &bw);
    bit_writer_finish(&bw);
}

enum status fast_tables_read(struct reader *rd, struct fast_tables *tables)
{
    memset(tables, 0, sizeof(*tables));
    struct bit_reader br;
    bit_reader_init(&br, rd);
    unsigned count = bit_reader_get(&br, COUNT_BITS);
    if (count > FAST_TABLES_MAX)
        reader_fail(rd, STATUS_LIMIT);
    for (unsigned i = 0; i < count && !reader_status(rd); i++)
        freq_read(&br, &tables->table[i]);
    bit_reader_finish(&br);
    if (!reader_status(rd))
        tables->count = count;
    return reader_status(rd);
}

void fast_coding_write(const struct fast_coding *coding, struct writer *wr)
{
    struct bit_writer bw;
    bit_writer_init(&bw, wr);
    bool delta = coding->mode == FAST_DELTA;
    bit_writer_put(&bw, coding->mode, 1);
    if (delta) {
        bit_writer_put(&bw, coding->run_count - 1u, 4);
        bit_writer_put(&bw, coding->shifted, 1);
        if (coding->shifted)
            bit_writer_put(&bw, coding->shift_table, 4);
        bit_writer_put(&bw, coding->scale, 10);
        bit_writer_put(&bw, coding->direct_end, 9);
    } else if (!coding->direct_end) {
        bit_writer_put(&bw, coding->scale, 10);
    }
    if (coding->direct_end)
        bit_writer_put(&bw, coding->direct_first, 12);
    for (unsigned i = 0; i < coding->run_count; i++) {
        if (i)
            bit_writer_put(&bw, coding->run[i].first_exponent, 8);
        bit_writer_put(&bw, coding->run[i].table, 4);
    }
    bit_writer_finish(&bw);
}

static bool tables_ok(const struct fast_coding *coding, unsigned table_count)
{
    if (coding->shift_table >= table_count)
        return false;
    for (unsigned i = 0; i < coding->run_count; i++) {
        const struct fast_run *run = &coding->run[i];
        if (run->table >= table_count ||
            (i && run->first_exponent <= run[-1].first_exponent))
            return false;
    }
    return true;
}

enum status fast_coding_read(struct reader *rd, enum dtype dtype,
                             unsigned table_count, struct fast_coding *coding)
{
    memset(coding, 0, sizeof(*coding));
    struct classes_format format = {0};
    if (!classes_format(dtype, &format))
        reader_fail(rd, STATUS_CORRUPT);
    struct bit_reader br;
    bit_reader_init(&br, rd);
    coding->mode = (uint8_t)bit_reader_get(&br, 1);
    coding->run_count = 1;
    bool is_float = format.mantissa_bits != 0;
    coding->direct_end = is_float ? CLASSES_EXPONENTS : 0;
    if (coding->mode == FAST_FULL && !is_float)
        coding->scale = (uint16_t)bit_reader_get(&br, 10);
    if (coding->mode == FAST_DELTA) {
        coding->run_count = (uint8_t)(1 + bit_reader_get(&br, 4));
        coding->shifted = (uint8_t)bit_reader_get(&br, 1);
        if (coding->shifted)
            coding->shift_table = (uint8_t)bit_reader_get(&br, 4);
        coding->scale = (uint16_t)bit_reader_get(&br, 10);
        coding->direct_end = (uint16_t)bit_reader_get(&br, 9);
    }
    if (coding->direct_end)
        coding->direct_first = (uint16_t)bit_reader_get(&br, 12);
    for (unsigned i = 0; i < coding->run_count; i++) {
        if (i)
            coding->run[i].first_exponent = (uint8_t)bit_reader_get(&br, 8);
        coding->run[i].table = (uint8_t)bit_reader_get(&br, 4);
    }
    bit_reader_finish(&br);
    bool ok = tables_ok(coding, table_count) &&
              (is_float ? coding->direct_end <= CLASSES_EXPONENTS &&
                              coding->direct_first < format.half_octaves
                        : coding->run_count == 1 && !coding->direct_end &&
                              !coding->shifted);
    if (!reader_status(rd) && !ok)
        reader_fail(rd, STATUS_CORRUPT);
    return reader_status(rd);
}

static void set_quick(struct fast_context *context, unsigned from)
{
    for (unsigned row = from; row < CLASSES_ROWS; row++) {
        for (unsigned s = 0; s < FREQ_SYMS; s++) {
            classes_entry entry = context->rows[row][s];
            unsigned bits = entry & 0xff;
            uint32_t above = bits < 32 ? entry >> 8 << bits : 0;
            context->quick[row][s] = bits | (uint64_t)above << 32;
        }
    }
}

/* Rows of differences depend on the width alone. */
static void set_rows(struct fast_context *context,
                     const struct fast_coding *coding)
{
    unsigned from = CLASSES_ROW_DIRECT;
    if (context->rows_width != context->format.width) {
        classes_rows_init(context->rows, context->format.width);
        context->rows_width = context->format.width;
        from = 0;
    }
    classes_row_direct(context->rows[CLASSES_ROW_DIRECT], &context->format,
                       coding->direct_first);
    for (unsigned i = 0; i <= 32; i++)
        context->mask[i] = (uint32_t)(((uint64_t)1 << i) - 1);
    if (context->format.width == 32)
        set_quick(context, from);
}

/* Most tensors have few contexts next to each other, which a kernel then looks
 * up without memory. */
static void set_window(struct fast_window *window, const uint16_t *ctx,
                       unsigned last)
{
    unsigned first = 0, end = last;
    while (first < last && ctx[first + 1] == ctx[0])
        first++;
    while (last > first && ctx[last - 1] == ctx[end])
        last--;
    window->on = last - first < FAST_WINDOW;
    if (first > end + 1 - FAST_WINDOW)
        first = end + 1 - FAST_WINDOW;
    window->first = (uint8_t)first;
    for (unsigned i = 0; i < FAST_WINDOW; i++) {
        window->low[i] = (uint8_t)ctx[first + i];
        window->high[i] = (uint8_t)(ctx[first + i] >> 8);
    }
}

static void set_contexts(struct fast_context *context, unsigned half)
{
    const struct fast_coding *coding = &context->coding;
    unsigned run = 0;
    for (unsigned e = 0; e < CLASSES_EXPONENTS; e++) {
        if (run + 1u < coding->run_count &&
            e >= coding->run[run + 1].first_exponent)
            run++;
        unsigned row = CLASSES_ROW_DIRECT;
        if (e >= coding->direct_end)
            row = classes_row(&context->format, coding->scale + half, e);
        context->by_exponent[half][e] =
            (uint16_t)((unsigned)coding->run[run].table << RANS_TABLE_SHIFT |
                       row << FAST_ROW_SHIFT);
    }
    /* The exponent above is of blocks that have no other. */
    set_window(&context->window[half], context->by_exponent[half],
               coding->shifted ? FAST_SHIFT_LAST : CLASSES_EXPONENTS - 1);
}

bool fast_context_set(struct fast_context *context,
                      const struct fast_coding *coding, enum dtype dtype)
{
    if (context->is_set && context->dtype == dtype &&
        !memcmp(&context->coding, coding, sizeof(*coding)))
        return false;
    context->is_set = true;
    context->dtype = dtype;
    context->coding = *coding;
    struct classes_format format = {0};
    (void)classes_format(dtype, &format);
    context->format = format;
    context->has_base = coding->mode == FAST_DELTA;
    context->is_float = format.mantissa_bits != 0;
    context->has_direct = coding->direct_end > 0;
    context->direct_first = coding->direct_first;
    context->shifted = coding->shifted;
    set_rows(context, coding);
    set_contexts(context, 0);
    if (context->shifted)
        set_contexts(context, 1);
    return true;
}

const struct fast_kernels *fast_kernels_choose(void)
{
#if CPU_X86
    if (cpu_has_avx2())
        return &fast_kernels_avx2;
#endif
    return &fast_kernels_plain;
}
