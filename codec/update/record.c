/* Records are written against what the one before makes likely: the base goes
 * on where it ended, sizes repeat. */
#include "codec/update/record.h"

#include <assert.h>
#include <stdlib.h>

/* The first byte: mode, how the base is given, how the size is given. */
#define RECORD_MODE_BITS 2u
#define RECORD_BASE_BITS 2u
#define RECORD_SIZES     15u /* sizes remembered */

enum record_base {
    RECORD_BASE_NONE,
    RECORD_BASE_NEXT,   /* where the last base ended, as long as the target */
    RECORD_BASE_MOVED,  /* elsewhere, as long as the target */
    RECORD_BASE_STRETCH /* elsewhere, of another size */
};

/* A FLOAT record's second byte: dtype, and whether a coding follows. */
#define RECORD_DTYPE_BITS 2u
#define RECORD_CODING_NEW (1u << RECORD_DTYPE_BITS)

static const enum dtype record_dtypes[1u << RECORD_DTYPE_BITS] = {
    DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16};

/* What both sides remember from record to record. */
struct record_state {
    uint64_t base_next;
    uint64_t sizes[RECORD_SIZES]; /* most recent first, 0: none */
    struct fast_coding coding;
    enum dtype coding_dtype;
    bool has_coding;
};

/* 1 .. RECORD_SIZES, or 0 when the size is not remembered. */
static unsigned record_size_find(const struct record_state *st, uint64_t size)
{
    for (unsigned i = 0; i < RECORD_SIZES; i++)
        if (st->sizes[i] == size)
            return i + 1;
    return 0;
}

static void record_size_remember(struct record_state *st, uint64_t size,
                                 unsigned found)
{
    unsigned last = found ? found - 1 : RECORD_SIZES - 1;
    for (unsigned i = last; i > 0; i--)
        st->sizes[i] = st->sizes[i - 1];
    st->sizes[0] = size;
}

static enum record_base record_base_kind(const struct record_state *st,
                                         const struct update_record *record)
{
    if (!record->base_size)
        return RECORD_BASE_NONE;
    if (record->base_size != record->size)
        return RECORD_BASE_STRETCH;
    return record->base_offset == st->base_next ? RECORD_BASE_NEXT
                                                : RECORD_BASE_MOVED;
}

static uint64_t record_zigzag(uint64_t from, uint64_t to)
{
    uint64_t step = to - from;
    return to >= from ? step << 1 : ((0 - step) << 1) - 1;
}

static uint64_t record_unzigzag(uint64_t from, uint64_t v)
{
    return v & 1 ? from - (v >> 1) - 1 : from + (v >> 1);
}

static bool record_coding_equal(const struct fast_coding *a,
                                const struct fast_coding *b)
{
    if (a->mode != b->mode || a->run_count != b->run_count ||
        a->scale != b->scale || a->direct_end != b->direct_end ||
        a->direct_first != b->direct_first)
        return false;
    for (unsigned i = 0; i < a->run_count; i++)
        if (a->run[i].first_exponent != b->run[i].first_exponent ||
            a->run[i].table != b->run[i].table)
            return false;
    return true;
}

static bool record_coding_known(const struct record_state *st,
                                const struct update_record *record)
{
    return st->has_coding && st->coding_dtype == record->dtype &&
           record_coding_equal(&st->coding, &record->coding);
}

static void record_state_next(struct record_state *st,
                              const struct update_record *record,
                              unsigned found)
{
    record_size_remember(st, record->size, found);
    if (record->base_size)
        st->base_next = record->base_offset + record->base_size;
    if (record->mode != UPDATE_FLOAT)
        return;
    st->coding = record->coding;
    st->coding_dtype = record->dtype;
    st->has_coding = true;
}

const char *record_mode_name(const struct update_record *record)
{
    static const char *const names[] = {"same", "bytes", "diff"};
    if (record->mode == UPDATE_FLOAT)
        return record->coding.mode == FAST_DELTA ? "delta" : "full";
    return names[record->mode];
}

static unsigned record_dtype_index(enum dtype dtype)
{
    unsigned i = 0;
    while (i + 1 < sizeof(record_dtypes) / sizeof(record_dtypes[0]) &&
           record_dtypes[i] != dtype)
        i++;
    assert(record_dtypes[i] == dtype);
    return i;
}

static void record_write_float(const struct record_state *st,
                               const struct update_record *record,
                               struct writer *wr)
{
    bool known = record_coding_known(st, record);
    unsigned second = record_dtype_index(record->dtype);
    if (!known)
        second |= RECORD_CODING_NEW;
    writer_u8(wr, (uint8_t)second);
    if (!known)
        fast_coding_write(&record->coding, wr);
}

static void record_write(struct record_state *st,
                         const struct update_record *record, uint64_t left,
                         struct writer *wr)
{
    bool last = record->size == left;
    unsigned found = record_size_find(st, record->size);
    enum record_base base = record_base_kind(st, record);
    unsigned first = (unsigned)record->mode | (unsigned)base
                                                  << RECORD_MODE_BITS;
    if (!last)
        first |= found << (RECORD_MODE_BITS + RECORD_BASE_BITS);
    writer_u8(wr, (uint8_t)first);
    if (last || !found)
        writer_varint(wr, last ? 0 : record->size);
    if (base >= RECORD_BASE_MOVED)
        writer_varint(wr, record_zigzag(st->base_next, record->base_offset));
    if (base == RECORD_BASE_STRETCH)
        writer_varint(wr, record->base_size);
    if (record->mode == UPDATE_FLOAT)
        record_write_float(st, record, wr);
    record_state_next(st, record, found);
}

void record_list_write(const struct update_record *records, uint32_t count,
                       uint64_t target_size, struct writer *wr)
{
    struct record_state st = {0};
    for (uint32_t i = 0; i < count; i++)
        record_write(&st, &records[i], target_size - records[i].target_offset,
                     wr);
}

/* The size: remembered, given, or all that is left. */
static void record_read_size(struct reader *rd, struct record_state *st,
                             unsigned found, uint64_t left,
                             struct update_record *record)
{
    if (found) {
        record->size = st->sizes[found - 1];
        if (!record->size || record->size >= left)
            reader_fail(rd, STATUS_CORRUPT);
        return;
    }
    uint64_t size = reader_varint(rd);
    if (size >= left || (size && record_size_find(st, size)))
        reader_fail(rd, STATUS_CORRUPT);
    record->size = size ? size : left;
}

static void record_read_base(struct reader *rd, struct record_state *st,
                             enum record_base base, uint64_t base_size,
                             struct update_record *record)
{
    if (base == RECORD_BASE_NONE)
        return;
    record->base_offset = st->base_next;
    record->base_size = record->size;
    if (base >= RECORD_BASE_MOVED)
        record->base_offset = record_unzigzag(st->base_next, reader_varint(rd));
    if (base == RECORD_BASE_STRETCH)
        record->base_size = reader_varint(rd);
    if (record_base_kind(st, record) != base ||
        record->base_offset > base_size ||
        record->base_size > base_size - record->base_offset)
        reader_fail(rd, STATUS_CORRUPT);
}

static void record_read_float(struct reader *rd, struct record_state *st,
                              unsigned table_count,
                              struct update_record *record)
{
    unsigned second = reader_u8(rd);
    if (second >= 2 * RECORD_CODING_NEW)
        reader_fail(rd, STATUS_CORRUPT);
    record->dtype = record_dtypes[second & (RECORD_CODING_NEW - 1)];
    if (reader_status(rd))
        return;
    if (second & RECORD_CODING_NEW) {
        enum status status =
            fast_coding_read(rd, record->dtype, table_count, &record->coding);
        if (status || record_coding_known(st, record))
            reader_fail(rd, status ? status : STATUS_CORRUPT);
    } else if (st->has_coding && st->coding_dtype == record->dtype) {
        record->coding = st->coding;
    } else {
        reader_fail(rd, STATUS_CORRUPT);
    }
    if ((record->coding.mode == FAST_DELTA) != (record->base_size != 0) ||
        record->size % (dtype_bits(record->dtype) / 8))
        reader_fail(rd, STATUS_CORRUPT);
}

/* Which modes go with which bases. */
static bool record_base_fits(enum update_mode mode, enum record_base base)
{
    switch (mode) {
    case UPDATE_BYTES:
        return true;
    case UPDATE_FLOAT:
        return base != RECORD_BASE_STRETCH;
    default:
        return base == RECORD_BASE_NEXT || base == RECORD_BASE_MOVED;
    }
}

static enum status record_read(struct reader *rd, struct record_state *st,
                               uint64_t left, uint64_t base_size,
                               unsigned table_count,
                               struct update_record *record)
{
    unsigned first = reader_u8(rd);
    enum record_base base = (enum record_base)(first >> RECORD_MODE_BITS &
                                               ((1u << RECORD_BASE_BITS) - 1));
    record->mode = (enum update_mode)(first & ((1u << RECORD_MODE_BITS) - 1));
    if (!record_base_fits(record->mode, base))
        reader_fail(rd, STATUS_CORRUPT);
    record_read_size(rd, st, first >> (RECORD_MODE_BITS + RECORD_BASE_BITS),
                     left, record);
    record_read_base(rd, st, base, base_size, record);
    if (record->mode == UPDATE_FLOAT)
        record_read_float(rd, st, table_count, record);
    if (reader_status(rd))
        return reader_status(rd);
    record_state_next(st, record, record_size_find(st, record->size));
    return STATUS_OK;
}

/* Room for one more record; never for many more than bytes are left. */
static enum status record_grow(struct update_record **list, uint32_t count,
                               uint32_t *cap)
{
    if (count < *cap)
        return STATUS_OK;
    uint32_t grown = *cap ? 2 * *cap : 16;
    struct update_record *more = realloc(*list, grown * sizeof(**list));
    if (!more)
        return STATUS_NO_MEMORY;
    *list = more;
    *cap = grown;
    return STATUS_OK;
}

enum status record_list_read(struct reader *rd, uint64_t target_size,
                             uint64_t base_size, unsigned table_count,
                             uint32_t count_max, struct update_record **out,
                             uint32_t *count)
{
    struct record_state st = {0};
    struct update_record *list = NULL;
    enum status status = reader_status(rd);
    uint32_t n = 0, cap = 0;
    for (uint64_t at = 0; !status && at < target_size; n++) {
        if (n == count_max)
            status = STATUS_LIMIT;
        else
            status = record_grow(&list, n, &cap);
        if (status)
            break;
        list[n] = (struct update_record){.target_offset = at};
        status = record_read(rd, &st, target_size - at, base_size, table_count,
                             &list[n]);
        at += list[n].size;
    }
    if (status) {
        free(list);
        list = NULL;
        n = 0;
    }
    *out = list;
    *count = n;
    return status;
}
