/* Records are written against what the one before makes likely: the base goes
 * on where it ended, sizes and codings repeat. */
#include "codec/update/record.h"

#include "codec/lossless/gather_code.h"
#include "codec/lossless/narrow_float.h"
#include "codec/lossless/packed.h"

#include <stdlib.h>

/* The first byte: mode, how the base is given, how the size is given. */
#define RECORD_MODE_BITS 2u
#define RECORD_BASE_BITS 2u
#define RECORD_SIZES     15u /* sizes remembered */

enum record_base {
    RECORD_BASE_NONE,
    RECORD_BASE_NEXT,   /* where the last base ended */
    RECORD_BASE_MOVED,  /* elsewhere */
    RECORD_BASE_STRETCH /* elsewhere, and of another size than the target */
};

/* The second byte of a CODED record. The types of floats, and so much more for
 * the lattice coder. */
#define RECORD_DTYPE_MASK 31u
#define RECORD_LATTICE    16u
#define RECORD_SMALL      32u
#define RECORD_STEP       32u /* of the lattice coder: another step follows */
#define RECORD_CODING_NEW 64u
#define RECORD_PREDICT    128u

/* The third one, if there is one: what else makes the prediction. */
#define RECORD_CAST     1u
#define RECORD_WINDOW   2u
#define RECORD_LOW_RANK 4u
#define RECORD_SCALED   8u
#define RECORD_AUX_NEW  16u
#define RECORD_SCALE    32u
#define RECORD_FLAGS    63u

/* A coding as it was written last for a kind and dtype. */
struct record_coding {
    bool known;
    uint8_t size;
    uint8_t bytes[CODING_BYTES_MAX];
    struct coding coding;
};

/* A coding of levels that are no matrix, as it was last for a dtype. */
struct record_levels {
    bool known;
    struct lattice_coding coding;
};

/* What both sides remember from record to record. */
struct record_state {
    uint64_t base_next;
    uint64_t sizes[RECORD_SIZES]; /* most recent first, 0: none */
    uint32_t aux;
    uint64_t tables_size; /* of the auxiliary segment begun last */
    /* Static ones, small, lattice. */
    struct record_coding codings[3][DTYPE_COUNT];
    struct record_levels levels[DTYPE_COUNT];
};

void record_list_deinit(struct record_list *list)
{
    free(list->records);
    free(list->runs);
    *list = (struct record_list){0};
}

struct update_record *record_list_push(struct record_list *list)
{
    if (list->count == list->cap) {
        uint32_t cap = list->cap ? 2 * list->cap : 16;
        struct update_record *more =
            realloc(list->records, cap * sizeof(*more));
        if (!more)
            return NULL;
        list->records = more;
        list->cap = cap;
    }
    struct update_record *record = &list->records[list->count++];
    memset(record, 0, sizeof(*record));
    return record;
}

static bool record_room_for_runs(struct record_list *list, uint32_t more)
{
    uint32_t need = list->run_count + more;
    if (need <= list->run_cap)
        return true;
    uint32_t cap = list->run_cap ? 2 * list->run_cap : 64;
    cap = cap < need ? need : cap;
    struct gather_run *runs = realloc(list->runs, cap * sizeof(*runs));
    if (!runs)
        return false;
    list->runs = runs;
    list->run_cap = cap;
    return true;
}

struct gather_run *record_list_push_runs(struct record_list *list,
                                         const struct gather_run *runs,
                                         uint32_t count)
{
    if (!record_room_for_runs(list, count))
        return NULL;
    struct gather_run *out = list->runs + list->run_count;
    if (count)
        memcpy(out, runs, count * sizeof(*runs));
    list->run_count += count;
    return out;
}

void record_uncode(struct update_record *record)
{
    *record = (struct update_record){
        .target_offset = record->target_offset,
        .size = record->size,
        .base_offset = record->base_offset,
        .base_size = record->base_size,
        .mode = UPDATE_BYTES,
        .aux = record->aux,
    };
}

const char *record_mode_name(const struct update_record *record)
{
    static const char *const names[] = {"same", "bytes", "diff"};
    if (record->mode != UPDATE_CODED)
        return names[record->mode];
    if (record->coding.kind == CODING_LATTICE && !record->rank)
        return "lattice";
    if (!coding_has_base(&record->coding))
        return "full";
    if (record->rank)
        return "low rank";
    if (record->scaled || record->base_scale > 0)
        return "scaled";
    if (record->from != record->dtype)
        return "cast";
    return record->window.on ? "window" : "delta";
}

uint64_t record_elems(const struct update_record *record)
{
    return record->size / packed_unit_bytes(record->dtype);
}

uint64_t record_rows(const struct update_record *record)
{
    uint64_t elems = record_elems(record);
    if (!record->columns)
        return 1;
    return elems / record->columns + (elems % record->columns != 0);
}

bool record_has_tables(const struct update_record *record)
{
    return record->mode == UPDATE_CODED && (record->rank || record->scaled);
}

bool record_is_plain(const struct update_record *record)
{
    return record->from == record->dtype && !record_has_tables(record) &&
           !(record->base_scale > 0);
}

uint64_t record_tables_size(const struct update_record *record)
{
    uint64_t rows = record_rows(record);
    uint64_t size = 2 * record->rank * (rows + record->columns) +
                    (record->scaled ? 4 * rows : 0);
    return size < RECORD_TABLES_LEAST ? RECORD_TABLES_LEAST : size;
}

bool record_tables_ok(const struct update_record *record)
{
    uint64_t rows = record_rows(record), elems = record_elems(record);
    return record->rank * (rows + record->columns) <= elems &&
           (!record->scaled || rows <= elems / 8) &&
           record_tables_size(record) <= RECORD_TABLES_MAX;
}

static bool record_has_lattice(const struct update_record *record)
{
    return record->mode == UPDATE_CODED &&
           record->coding.kind == CODING_LATTICE;
}

bool record_list_has_lattice(const struct record_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (record_has_lattice(&list->records[i]))
            return true;
    return false;
}

bool record_list_guessed(const struct record_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (record_has_lattice(&list->records[i]))
            return list->records[i].coding.lattice.guessed;
    return false;
}

void record_list_set_guessed(struct record_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (record_has_lattice(&list->records[i]))
            list->records[i].coding.lattice.guessed = true;
}

uint32_t record_of_aux(const struct record_list *list, uint32_t aux)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (list->records[mid].aux < aux)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void record_gather(const struct record_list *list,
                   const struct update_record *record, struct gather *gather)
{
    const struct record_window *window = &record->window;
    *gather = (struct gather){
        .base_offset = record->base_offset,
        .elem_bytes = packed_unit_bytes(record->from),
    };
    if (!window->on)
        return;
    gather->columns = record->columns;
    gather->base_stride = window->stride;
    gather->transposed = window->transposed;
    gather->runs = list->runs ? list->runs + window->run_first : NULL;
    gather->run_count = window->run_count;
}

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
    if (record->mode != UPDATE_CODED && record->base_size != record->size)
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

static struct record_coding *record_coding_of(struct record_state *st,
                                              const struct update_record *rec)
{
    unsigned which = rec->coding.kind == CODING_LATTICE ? 2
                     : rec->coding.kind == CODING_SMALL ? 1
                                                        : 0;
    return &st->codings[which][rec->dtype];
}

static void record_coding_bytes(const struct update_record *record,
                                struct record_coding *out)
{
    struct writer wr;
    writer_init(&wr, out->bytes, sizeof(out->bytes));
    coding_write(&record->coding, record->dtype, &wr);
    out->size = (uint8_t)wr.size;
    out->coding = record->coding;
    out->known = true;
}

static bool record_coding_same(const struct record_coding *a,
                               const struct record_coding *b)
{
    return a->known && a->size == b->size &&
           !memcmp(a->bytes, b->bytes, b->size);
}

/* True when a coding is the last one of levels but for its step, which is near:
 * *move is what leads there. */
static bool record_step_only(const struct record_state *st,
                             const struct update_record *record, uint8_t *move)
{
    const struct record_levels *last = &st->levels[record->dtype];
    const struct lattice_coding *a = &last->coding, *b;
    if (record->coding.kind != CODING_LATTICE)
        return false;
    b = &record->coding.lattice;
    int step = b->qp - a->qp;
    if (!last->known || b->columns || a->has_pred != b->has_pred ||
        a->has_residual != b->has_residual || a->density != b->density ||
        step < -128 || step > 127)
        return false;
    *move = (uint8_t)(step >= 0 ? 2 * step : -2 * step - 1);
    return true;
}

static void record_levels_note(struct record_state *st,
                               const struct update_record *record)
{
    if (record->coding.kind == CODING_LATTICE &&
        !record->coding.lattice.columns)
        st->levels[record->dtype] =
            (struct record_levels){true, record->coding.lattice};
}

/* ---- writing ---- */

static unsigned record_flags(const struct record_state *st,
                             const struct update_record *record)
{
    unsigned flags = 0;
    if (record->from != record->dtype)
        flags |= RECORD_CAST;
    if (record->window.on)
        flags |= RECORD_WINDOW;
    if (record->rank)
        flags |= RECORD_LOW_RANK;
    if (record->scaled)
        flags |= RECORD_SCALED;
    if (record->base_scale > 0)
        flags |= RECORD_SCALE;
    if (record_has_tables(record) && record->aux != st->aux)
        flags |= RECORD_AUX_NEW;
    return flags;
}

static void record_write_base(const struct record_state *st,
                              const struct update_record *record,
                              enum record_base base, struct writer *wr)
{
    if (base >= RECORD_BASE_MOVED)
        writer_varint(wr, record_zigzag(st->base_next, record->base_offset));
    if (base == RECORD_BASE_STRETCH)
        writer_varint(wr, record->base_size);
}

static void record_write_coded(struct record_state *st,
                               const struct record_list *list,
                               const struct update_record *record,
                               enum record_base base, struct writer *wr)
{
    struct record_coding *last = record_coding_of(st, record), coding;
    unsigned flags = record_flags(st, record);
    unsigned second = (unsigned)record->dtype;
    if (record->coding.kind == CODING_LATTICE)
        second += RECORD_LATTICE;
    record_coding_bytes(record, &coding);
    uint8_t move = 0;
    bool fresh = !record_coding_same(last, &coding);
    bool step = fresh && record_step_only(st, record, &move);
    second |= record->coding.kind == CODING_SMALL ? RECORD_SMALL : 0;
    second |= step ? RECORD_STEP : fresh ? RECORD_CODING_NEW : 0;
    second |= flags ? RECORD_PREDICT : 0;
    writer_u8(wr, (uint8_t)second);
    if (flags)
        writer_u8(wr, (uint8_t)flags);
    if (flags & RECORD_CAST)
        writer_u8(wr, (uint8_t)record->from);
    record_write_base(st, record, base, wr);
    if (flags & RECORD_WINDOW) {
        struct gather gather;
        record_gather(list, record, &gather);
        gather_write(&gather, wr);
    } else if (flags & (RECORD_LOW_RANK | RECORD_SCALED)) {
        writer_varint(wr, record->columns);
    }
    if (flags & RECORD_LOW_RANK) {
        writer_u8(wr, record->rank);
        writer_u8(wr, (uint8_t)(record->shift - PREDICT_SHIFT_MIN));
    }
    if (flags & RECORD_SCALED)
        writer_u8(wr, (uint8_t)(record->scale_shift - PREDICT_SCALE_SHIFT_MIN));
    if (flags & RECORD_SCALE)
        writer_le32(wr, float_bits(record->base_scale));
    if (step)
        writer_u8(wr, move);
    else if (fresh)
        writer_bytes(wr, coding.bytes, coding.size);
    *last = coding;
    record_levels_note(st, record);
}

static void record_state_next(struct record_state *st,
                              const struct update_record *record,
                              unsigned found)
{
    record_size_remember(st, record->size, found);
    if (record->base_size)
        st->base_next = record->base_offset + record->base_size;
    st->aux = record->aux;
}

static void record_write(struct record_state *st,
                         const struct record_list *list,
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
    if (record->mode == UPDATE_CODED)
        record_write_coded(st, list, record, base, wr);
    else
        record_write_base(st, record, base, wr);
    record_state_next(st, record, found);
}

void record_list_write(const struct record_list *list, uint64_t target_size,
                       struct writer *wr)
{
    struct record_state *st = calloc(1, sizeof(*st));
    if (!st) {
        writer_fail(wr, STATUS_NO_MEMORY);
        return;
    }
    for (uint32_t i = 0; i < list->count; i++)
        record_write(st, list, &list->records[i],
                     target_size - list->records[i].target_offset, wr);
    free(st);
}

/* ---- reading ---- */

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
        (record->mode != UPDATE_CODED &&
         record->base_size > base_size - record->base_offset))
        reader_fail(rd, STATUS_CORRUPT);
}

static void record_read_window(struct reader *rd, struct record_list *list,
                               struct update_record *record)
{
    struct record_window *window = &record->window;
    struct gather gather;
    if (!reader_status(rd) && !record_room_for_runs(list, GATHER_RUNS_MAX))
        reader_fail(rd, STATUS_NO_MEMORY);
    if (reader_status(rd))
        return;
    gather_parse(rd, list->runs + list->run_count, &gather);
    record->columns = gather.columns;
    *window = (struct record_window){
        .on = true,
        .transposed = gather.transposed,
        .stride = gather.base_stride,
        .run_first = list->run_count,
        .run_count = gather.run_count,
    };
    list->run_count += gather.run_count;
    if (list->run_count > RECORD_RUNS_MAX)
        reader_fail(rd, STATUS_LIMIT);
}

/* The stretch of the base that the elements reach over. */
static void record_check_reach(struct reader *rd,
                               const struct record_list *list,
                               uint64_t base_size, struct update_record *record)
{
    struct gather gather;
    if (reader_status(rd) || !record->base_size)
        return;
    record_gather(list, record, &gather);
    enum status status = gather_check(&gather, record_elems(record), base_size,
                                      &record->base_size);
    if (status || !record->base_size)
        reader_fail(rd, STATUS_CORRUPT);
}

/* Which auxiliary segment the tables are in, and whether it has room. */
static void record_check_tables(struct reader *rd, struct record_state *st,
                                unsigned flags, struct update_record *record)
{
    record->aux = st->aux;
    if (!record_has_tables(record)) {
        if (flags & RECORD_AUX_NEW)
            reader_fail(rd, STATUS_CORRUPT);
        return;
    }
    uint64_t size = record_tables_size(record);
    if (flags & RECORD_AUX_NEW) {
        record->aux++;
        st->tables_size = 0;
    }
    if (!record_tables_ok(record) || !record->aux ||
        st->tables_size > RECORD_TABLES_MAX - size)
        reader_fail(rd, STATUS_CORRUPT);
    st->tables_size += size;
}

/* Its prediction, with row scales that are only there or not, and without
 * factors. */
static struct predict record_predict(const struct update_record *record,
                                     int shift, int scale_shift)
{
    static const int32_t some_scale = 1;
    return (struct predict){
        .dtype = record->dtype,
        .from = record->from,
        .columns = record->columns ? record->columns : 1,
        .rank = record->rank,
        .shift = shift,
        .row_scale = record->scaled ? &some_scale : NULL,
        .scale_shift = scale_shift,
        .base_scale = record->base_scale,
    };
}

/* The steps of tables, and whether they go with the types. */
static void record_read_steps(struct reader *rd, unsigned flags,
                              struct update_record *record)
{
    int shift = 0, scale_shift = 0;
    if (flags & RECORD_LOW_RANK) {
        record->rank = reader_u8(rd);
        shift = reader_u8(rd) + PREDICT_SHIFT_MIN;
        if (!record->rank)
            reader_fail(rd, STATUS_CORRUPT);
    }
    record->scaled = flags & RECORD_SCALED;
    if (record->scaled)
        scale_shift = reader_u8(rd) + PREDICT_SCALE_SHIFT_MIN;
    if (flags & RECORD_SCALE)
        record->base_scale = float_of_bits(reader_le32(rd));
    const struct predict predict = record_predict(record, shift, scale_shift);
    bool has_scale = record->base_scale > 0;
    if (!predict_ok(&predict) || has_scale != !!(flags & RECORD_SCALE)) {
        reader_fail(rd, STATUS_CORRUPT);
        record->base_scale = 0;
        return;
    }
    record->shift = (int8_t)shift;
    record->scale_shift = (int8_t)scale_shift;
}

static void record_read_coding(struct reader *rd, struct record_state *st,
                               const struct coding_tables *tables, bool fresh,
                               struct update_record *record)
{
    struct record_coding coding = {0};
    uint8_t move;
    struct record_coding *last = record_coding_of(st, record);
    if (!fresh) {
        if (!last->known)
            reader_fail(rd, STATUS_CORRUPT);
        record->coding = last->coding;
        return;
    }
    enum status status = coding_read(rd, record->coding.kind, record->dtype,
                                     tables, &record->coding);
    if (!status && record_step_only(st, record, &move))
        status = STATUS_CORRUPT;
    if (status) {
        reader_fail(rd, status);
        return;
    }
    record_coding_bytes(record, &coding);
    if (record_coding_same(last, &coding))
        reader_fail(rd, STATUS_CORRUPT);
    *last = coding;
}

/* The last coding of levels that are no matrix, with another step. */
static void record_read_step(struct reader *rd, struct record_state *st,
                             struct update_record *record)
{
    struct record_coding *last = record_coding_of(st, record), coding = {0};
    const struct record_levels *levels = &st->levels[record->dtype];
    struct lattice_coding *out = &record->coding.lattice;
    unsigned move = reader_u8(rd);
    *out = levels->coding;
    int qp = out->qp + (move & 1 ? -(int)(move / 2) - 1 : (int)(move / 2));
    if (!levels->known || !lattice_step_ok(qp, out->density) ||
        (out->density && !(qp & 1))) {
        reader_fail(rd, STATUS_CORRUPT);
        return;
    }
    out->qp = (int16_t)qp;
    record_coding_bytes(record, &coding);
    if (record_coding_same(last, &coding))
        reader_fail(rd, STATUS_CORRUPT);
    *last = coding;
}

/* The coder and the type of elements. */
static void record_read_kind(struct reader *rd, unsigned second,
                             struct update_record *record)
{
    enum coding_kind kind = CODING_SMALL;
    unsigned dtype = second & RECORD_DTYPE_MASK;
    bool lattice = dtype >= RECORD_LATTICE &&
                   lattice_dtype_ok((enum dtype)(dtype - RECORD_LATTICE));
    bool small = second & RECORD_SMALL && !lattice;
    record->dtype = (enum dtype)(lattice ? dtype - RECORD_LATTICE : dtype);
    if (!coding_kind_of(record->dtype, &kind) ||
        (lattice && second & RECORD_STEP && second & RECORD_CODING_NEW))
        reader_fail(rd, STATUS_CORRUPT);
    record->coding.kind = lattice ? CODING_LATTICE
                          : small ? CODING_SMALL
                                  : kind;
}

/* A base where the coding looks at one, and a prediction that says what
 * rounding lost where it looks at that. */
static void record_check_coding(struct reader *rd, enum record_base base,
                                const struct update_record *record)
{
    const struct predict predict =
        record_predict(record, record->shift, record->scale_shift);
    const struct coding *coding = &record->coding;
    if (coding_has_base(coding) != (base != RECORD_BASE_NONE) ||
        (coding_needs_lost(coding) && !predict_has_lost(&predict)))
        reader_fail(rd, STATUS_CORRUPT);
}

/* What must hold before a record's fields are used to compute with. */
static void record_check_dtypes(struct reader *rd, unsigned flags,
                                enum record_base base,
                                struct update_record *record)
{
    enum coding_kind kind;
    bool cast = flags & RECORD_CAST;
    if (!coding_kind_of(record->dtype, &kind) ||
        !coding_kind_of(record->from, &kind) ||
        cast == (record->from == record->dtype) ||
        record->size % packed_unit_bytes(record->dtype) ||
        (packed_dtype(record->dtype) && flags) ||
        (flags && base == RECORD_BASE_NONE) || base == RECORD_BASE_STRETCH) {
        reader_fail(rd, STATUS_CORRUPT);
        record->dtype = record->from = DTYPE_U8;
    }
}

static void record_read_coded(struct reader *rd, struct record_state *st,
                              struct record_list *list, enum record_base base,
                              uint64_t base_size,
                              const struct coding_tables *tables,
                              struct update_record *record)
{
    unsigned second = reader_u8(rd), flags = 0;
    record_read_kind(rd, second, record);
    if (second & RECORD_PREDICT) {
        flags = reader_u8(rd);
        if (!flags || flags & ~RECORD_FLAGS)
            reader_fail(rd, STATUS_CORRUPT);
    }
    record->from =
        flags & RECORD_CAST ? (enum dtype)reader_u8(rd) : record->dtype;
    record_check_dtypes(rd, flags, base, record);
    record_read_base(rd, st, base, base_size, record);
    if (flags & RECORD_WINDOW) {
        record_read_window(rd, list, record);
    } else if (flags & (RECORD_LOW_RANK | RECORD_SCALED)) {
        record->columns = (uint32_t)reader_varint_max(rd, UINT32_MAX);
        if (!record->columns)
            reader_fail(rd, STATUS_CORRUPT);
    }
    record_check_reach(rd, list, base_size, record);
    record_read_steps(rd, flags, record);
    record_check_tables(rd, st, flags, record);
    if (!reader_status(rd) && record->coding.kind == CODING_LATTICE &&
        second & RECORD_STEP)
        record_read_step(rd, st, record);
    else if (!reader_status(rd))
        record_read_coding(rd, st, tables, second & RECORD_CODING_NEW, record);
    if (!reader_status(rd))
        record_levels_note(st, record);
    record_check_coding(rd, base, record);
}

/* Which modes go with which bases. */
static bool record_base_fits(enum update_mode mode, enum record_base base)
{
    if (mode == UPDATE_BYTES || mode == UPDATE_CODED)
        return true;
    return base == RECORD_BASE_NEXT || base == RECORD_BASE_MOVED;
}

static enum status record_read(struct reader *rd, struct record_state *st,
                               struct record_list *list, uint64_t left,
                               uint64_t base_size,
                               const struct coding_tables *tables,
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
    record->aux = st->aux;
    if (record->mode == UPDATE_CODED)
        record_read_coded(rd, st, list, base, base_size, tables, record);
    else
        record_read_base(rd, st, base, base_size, record);
    if (reader_status(rd))
        return reader_status(rd);
    record_state_next(st, record, record_size_find(st, record->size));
    return STATUS_OK;
}

static enum status record_list_fill(struct reader *rd, struct record_state *st,
                                    uint64_t target_size, uint64_t base_size,
                                    const struct coding_tables *tables,
                                    uint32_t count_max, struct record_list *out)
{
    for (uint64_t at = 0; at < target_size;) {
        if (out->count == count_max)
            return STATUS_LIMIT;
        struct update_record *record = record_list_push(out);
        if (!record)
            return STATUS_NO_MEMORY;
        record->target_offset = at;
        enum status status = record_read(rd, st, out, target_size - at,
                                         base_size, tables, record);
        if (status)
            return status;
        at += record->size;
    }
    return STATUS_OK;
}

enum status record_list_read(struct reader *rd, uint64_t target_size,
                             uint64_t base_size,
                             const struct coding_tables *tables,
                             uint32_t count_max, struct record_list *out)
{
    struct record_state *st = calloc(1, sizeof(*st));
    *out = (struct record_list){0};
    enum status status = st ? reader_status(rd) : STATUS_NO_MEMORY;
    if (!status)
        status = record_list_fill(rd, st, target_size, base_size, tables,
                                  count_max, out);
    free(st);
    if (status)
        record_list_deinit(out);
    return status;
}
