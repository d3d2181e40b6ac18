/* The pickle machine: a stack, marks on it, a memo, and values that only
 * grow. Opcodes are named as in pickletools. */
#include "codec/model/pickle.h"

#include "codec/base/reader.h"

#define PICKLE_BLOCK    (1u << PICKLE_BLOCK_LOG)
#define PICKLE_PROTOCOL 5u
/* Longer names of globals are none that anyone knows. */
#define PICKLE_NAME_MAX 512u

/* A list of numbers that grows in the arena. */
struct pickle_refs {
    pickle_ref *refs;
    uint32_t count;
    uint32_t cap;
};

struct pickle_machine {
    struct pickle *out;
    struct reader rd;
    struct arena *arena;
    struct diag *diag;
    struct pickle_refs stack;
    struct pickle_refs marks; /* heights of the stack */
    struct pickle_refs memo;
    bool done;
};

/* ---- values ---- */

struct pickle_value *pickle_value(const struct pickle *pickle, pickle_ref ref)
{
    return &pickle->values[ref >> PICKLE_BLOCK_LOG][ref & (PICKLE_BLOCK - 1)];
}

const struct pickle_item *pickle_item(const struct pickle *pickle,
                                      pickle_ref ref)
{
    return &pickle->items[ref >> PICKLE_BLOCK_LOG][ref & (PICKLE_BLOCK - 1)];
}

struct pickle_value *pickle_at(const struct pickle *pickle,
                               const struct pickle_value *list, uint32_t place)
{
    pickle_ref item = list->first;
    if (place >= list->item_count ||
        (list->kind != PICKLE_TUPLE && list->kind != PICKLE_LIST))
        return pickle_value(pickle, 0);
    while (place--)
        item = pickle_item(pickle, item)->next;
    return pickle_value(pickle, pickle_item(pickle, item)->value);
}

bool pickle_is_global(const struct pickle_value *value, const char *text)
{
    return value->kind == PICKLE_GLOBAL &&
           bytes_equal(value->text, bytes_of_text(text));
}

/* ---- failures ---- */

static void pickle_fail(struct pickle_machine *pm, enum status status,
                        const char *what)
{
    if (pm->rd.status)
        return;
    reader_fail(&pm->rd,
                diag_fail(pm->diag, status, "pickle, before byte %llu: %s",
                          (unsigned long long)reader_offset(&pm->rd), what));
}

static bool pickle_ok(const struct pickle_machine *pm)
{
    return !pm->rd.status;
}

static void *pickle_alloc(struct pickle_machine *pm, size_t count, size_t size)
{
    void *at = arena_alloc(pm->arena, count, size);
    if (!at)
        reader_fail(&pm->rd, STATUS_NO_MEMORY);
    return at;
}

/* ---- growing ---- */

static pickle_ref pickle_new(struct pickle_machine *pm, enum pickle_kind kind)
{
    struct pickle *out = pm->out;
    pickle_ref ref = out->value_count;
    if (ref == PICKLE_VALUES_MAX)
        pickle_fail(pm, STATUS_LIMIT, "too many values");
    if (!pickle_ok(pm))
        return 0;
    if (!(ref & (PICKLE_BLOCK - 1)))
        out->values[ref >> PICKLE_BLOCK_LOG] =
            pickle_alloc(pm, PICKLE_BLOCK, sizeof(struct pickle_value));
    if (!pickle_ok(pm))
        return 0;
    pickle_value(out, ref)->kind = kind;
    out->value_count++;
    return ref;
}

static pickle_ref pickle_new_int(struct pickle_machine *pm,
                                 enum pickle_kind kind, int64_t integer)
{
    pickle_ref ref = pickle_new(pm, kind);
    if (ref)
        pickle_value(pm->out, ref)->integer = integer;
    return ref;
}

static pickle_ref pickle_new_text(struct pickle_machine *pm, struct bytes text)
{
    pickle_ref ref = pickle_new(pm, PICKLE_TEXT);
    if (ref)
        pickle_value(pm->out, ref)->text = text;
    return ref;
}

static void pickle_append(struct pickle_machine *pm, pickle_ref list,
                          pickle_ref key, pickle_ref value)
{
    struct pickle *out = pm->out;
    pickle_ref ref = out->item_count;
    if (ref == PICKLE_VALUES_MAX)
        pickle_fail(pm, STATUS_LIMIT, "too many items");
    if (pickle_ok(pm) && !(ref & (PICKLE_BLOCK - 1)))
        out->items[ref >> PICKLE_BLOCK_LOG] =
            pickle_alloc(pm, PICKLE_BLOCK, sizeof(struct pickle_item));
    if (!pickle_ok(pm) || !list)
        return;
    struct pickle_value *to = pickle_value(out, list);
    struct pickle_item *item =
        &out->items[ref >> PICKLE_BLOCK_LOG][ref & (PICKLE_BLOCK - 1)];
    *item = (struct pickle_item){key, value, 0};
    if (to->item_count++)
        out->items[to->last >> PICKLE_BLOCK_LOG][to->last & (PICKLE_BLOCK - 1)]
            .next = ref;
    else
        to->first = ref;
    to->last = ref;
    out->item_count++;
}

/* Makes room for count numbers. */
static bool pickle_reserve(struct pickle_machine *pm, struct pickle_refs *refs,
                           uint32_t count)
{
    uint32_t cap = refs->cap ? refs->cap : 64;
    if (count > PICKLE_VALUES_MAX)
        pickle_fail(pm, STATUS_LIMIT, "stack or memo is too large");
    if (!pickle_ok(pm))
        return false;
    if (count <= refs->cap)
        return true;
    while (cap < count)
        cap *= 2;
    pickle_ref *grown = pickle_alloc(pm, cap, sizeof(*grown));
    if (!grown)
        return false;
    if (refs->count)
        memcpy(grown, refs->refs, refs->count * sizeof(*grown));
    refs->refs = grown;
    refs->cap = cap;
    return true;
}

/* ---- the stack ---- */

static void pickle_push(struct pickle_machine *pm, pickle_ref ref)
{
    if (pickle_reserve(pm, &pm->stack, pm->stack.count + 1))
        pm->stack.refs[pm->stack.count++] = ref;
}

/* The height that an opcode must not go below. */
static uint32_t pickle_floor(const struct pickle_machine *pm)
{
    return pm->marks.count ? pm->marks.refs[pm->marks.count - 1] : 0;
}

static pickle_ref pickle_pop(struct pickle_machine *pm)
{
    if (pm->stack.count <= pickle_floor(pm))
        pickle_fail(pm, STATUS_CORRUPT, "the stack is empty");
    return pickle_ok(pm) ? pm->stack.refs[--pm->stack.count] : 0;
}

static pickle_ref pickle_top(struct pickle_machine *pm)
{
    pickle_ref ref = pickle_pop(pm);
    pickle_push(pm, ref);
    return ref;
}

static void pickle_mark(struct pickle_machine *pm)
{
    if (pickle_reserve(pm, &pm->marks, pm->marks.count + 1))
        pm->marks.refs[pm->marks.count++] = pm->stack.count;
}

/* Takes the last mark away: what stands above it begins at the result. */
static uint32_t pickle_unmark(struct pickle_machine *pm)
{
    if (!pm->marks.count)
        pickle_fail(pm, STATUS_CORRUPT, "no mark on the stack");
    return pickle_ok(pm) ? pm->marks.refs[--pm->marks.count] : 0;
}

/* The last count values become a list of a kind in their place. */
static void pickle_gather(struct pickle_machine *pm, enum pickle_kind kind,
                          uint32_t count)
{
    if (pm->stack.count - pickle_floor(pm) < count)
        pickle_fail(pm, STATUS_CORRUPT, "the stack is empty");
    pickle_ref list = pickle_new(pm, kind);
    for (uint32_t i = 0; i < count && pickle_ok(pm); i++)
        pickle_append(pm, list, 0, pm->stack.refs[pm->stack.count - count + i]);
    if (pickle_ok(pm))
        pm->stack.count -= count;
    pickle_push(pm, list);
}

static void pickle_gather_marked(struct pickle_machine *pm,
                                 enum pickle_kind kind)
{
    uint32_t from = pickle_unmark(pm);
    if (pickle_ok(pm))
        pickle_gather(pm, kind, pm->stack.count - from);
}

/* Adds what stands from a height on, single or in pairs, to what is there
 * below it. */
static void pickle_add_from(struct pickle_machine *pm, uint32_t from,
                            bool pairs)
{
    if (!pickle_ok(pm))
        return;
    if (from <= pickle_floor(pm)) {
        pickle_fail(pm, STATUS_CORRUPT, "nothing to add to");
        return;
    }
    uint32_t step = pairs ? 2 : 1, end = pm->stack.count;
    pickle_ref list = pm->stack.refs[from - 1];
    enum pickle_kind kind = pickle_value(pm->out, list)->kind;
    if ((end - from) % step ||
        (kind != PICKLE_OBJECT && kind != (pairs ? PICKLE_DICT : PICKLE_LIST)))
        pickle_fail(pm, STATUS_CORRUPT, "items that do not fit");
    for (uint32_t i = from; i < end && pickle_ok(pm); i += step)
        pickle_append(pm, list, pairs ? pm->stack.refs[i] : 0,
                      pm->stack.refs[i + step - 1]);
    pm->stack.count = from;
}

static void pickle_add_one(struct pickle_machine *pm, bool pair)
{
    uint32_t count = pair ? 2 : 1;
    if (pm->stack.count - pickle_floor(pm) < count + 1)
        pickle_fail(pm, STATUS_CORRUPT, "the stack is empty");
    pickle_add_from(pm, pm->stack.count - count, pair);
}

/* DICT: a new one of the pairs above the mark. */
static void pickle_dict_marked(struct pickle_machine *pm)
{
    uint32_t from = pickle_unmark(pm);
    pickle_ref dict = pickle_new(pm, PICKLE_DICT);
    if (!pickle_ok(pm))
        return;
    if ((pm->stack.count - from) % 2)
        pickle_fail(pm, STATUS_CORRUPT, "a key without value");
    for (uint32_t i = from; i < pm->stack.count && pickle_ok(pm); i += 2)
        pickle_append(pm, dict, pm->stack.refs[i], pm->stack.refs[i + 1]);
    pm->stack.count = from;
    pickle_push(pm, dict);
}

/* ---- objects ---- */

/* REDUCE, NEWOBJ and the like: the arguments, then the callable below. */
static void pickle_call(struct pickle_machine *pm)
{
    pickle_ref args = pickle_pop(pm);
    pickle_ref callable = pickle_pop(pm);
    pickle_ref ref = pickle_new(pm, PICKLE_OBJECT);
    if (ref) {
        pickle_value(pm->out, ref)->callable = callable;
        pickle_value(pm->out, ref)->args = args;
    }
    pickle_push(pm, ref);
}

/* OBJ: class and arguments above the mark. */
static void pickle_call_marked(struct pickle_machine *pm)
{
    uint32_t from = pickle_unmark(pm);
    if (pickle_ok(pm) && pm->stack.count == from)
        pickle_fail(pm, STATUS_CORRUPT, "no class to make");
    if (!pickle_ok(pm))
        return;
    pickle_gather(pm, PICKLE_TUPLE, pm->stack.count - from - 1);
    pickle_call(pm);
}

static void pickle_build(struct pickle_machine *pm)
{
    pickle_ref state = pickle_pop(pm);
    pickle_ref ref = pickle_top(pm);
    if (pickle_ok(pm) && pickle_value(pm->out, ref)->kind == PICKLE_OBJECT)
        pickle_value(pm->out, ref)->state = state;
}

static void pickle_persistent(struct pickle_machine *pm, pickle_ref id)
{
    pickle_ref ref = pickle_new(pm, PICKLE_PERSISTENT);
    if (ref)
        pickle_value(pm->out, ref)->args = id;
    pickle_push(pm, ref);
}

static void pickle_global(struct pickle_machine *pm, struct bytes module,
                          struct bytes name)
{
    bool named = module.size < PICKLE_NAME_MAX && name.size < PICKLE_NAME_MAX;
    pickle_ref ref = pickle_new(pm, named ? PICKLE_GLOBAL : PICKLE_OTHER);
    char *text = NULL;
    if (ref && named)
        text = pickle_alloc(pm, module.size + name.size + 2, 1);
    if (text) {
        if (module.size)
            memcpy(text, module.data, module.size);
        text[module.size] = ' ';
        if (name.size)
            memcpy(text + module.size + 1, name.data, name.size);
        pickle_value(pm->out, ref)->text =
            bytes_of(text, module.size + name.size + 1);
    }
    pickle_push(pm, ref);
}

static void pickle_stack_global(struct pickle_machine *pm)
{
    pickle_ref name = pickle_pop(pm), module = pickle_pop(pm);
    if (!pickle_ok(pm))
        return;
    struct pickle_value *m = pickle_value(pm->out, module);
    struct pickle_value *n = pickle_value(pm->out, name);
    if (m->kind != PICKLE_TEXT || n->kind != PICKLE_TEXT)
        pickle_fail(pm, STATUS_CORRUPT, "a global has no name");
    else
        pickle_global(pm, m->text, n->text);
}

/* ---- the memo ---- */

static void pickle_put(struct pickle_machine *pm, uint64_t index)
{
    pickle_ref top = pickle_top(pm);
    if (index >= PICKLE_VALUES_MAX)
        pickle_fail(pm, STATUS_LIMIT, "a memo number is too large");
    if (!pickle_ok(pm) || !pickle_reserve(pm, &pm->memo, (uint32_t)index + 1))
        return;
    while (pm->memo.count <= index)
        pm->memo.refs[pm->memo.count++] = UINT32_MAX;
    pm->memo.refs[index] = top;
}

static void pickle_get(struct pickle_machine *pm, uint64_t index)
{
    if (index >= pm->memo.count || pm->memo.refs[index] == UINT32_MAX)
        pickle_fail(pm, STATUS_CORRUPT, "the memo has no such value");
    else
        pickle_push(pm, pm->memo.refs[index]);
}

/* ---- values of the input ---- */

/* Up to the next newline, which is taken but not part of it. */
static struct bytes pickle_line(struct pickle_machine *pm)
{
    const uint8_t *end = NULL;
    size_t left = reader_left(&pm->rd);
    if (left)
        end = memchr(pm->rd.pos, '\n', left);
    if (!end) {
        pickle_fail(pm, STATUS_TRUNCATED, "a line does not end");
        return bytes_of(NULL, 0);
    }
    struct bytes line = reader_bytes(&pm->rd, (size_t)(end - pm->rd.pos));
    reader_u8(&pm->rd);
    return line;
}

static bool pickle_decimal(struct bytes line, int64_t *out)
{
    bool minus = line.size && line.data[0] == '-';
    int64_t value = 0;
    if (line.size && line.data[line.size - 1] == 'L')
        line.size--;
    for (size_t i = minus; i < line.size; i++)
        if (line.data[i] < '0' || line.data[i] > '9' ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, line.data[i] - '0', &value))
            return false;
    *out = minus ? -value : value;
    return line.size > minus;
}

/* INT, LONG of protocol 0; "00" and "01" are the two truths. */
static void pickle_push_line_int(struct pickle_machine *pm)
{
    struct bytes line = pickle_line(pm);
    enum pickle_kind kind = PICKLE_INT;
    int64_t value = 0;
    if (line.size == 2 && line.data[0] == '0')
        kind = PICKLE_BOOL;
    if (!pickle_decimal(line, &value))
        kind = PICKLE_OTHER;
    pickle_push(pm, pickle_new_int(pm, kind, value));
}

static void pickle_line_memo(struct pickle_machine *pm, bool put)
{
    int64_t index = -1;
    if (!pickle_decimal(pickle_line(pm), &index) || index < 0)
        pickle_fail(pm, STATUS_CORRUPT, "no number for the memo");
    else if (put)
        pickle_put(pm, (uint64_t)index);
    else
        pickle_get(pm, (uint64_t)index);
}

/* size bytes, little-endian two's complement. */
static void pickle_push_long(struct pickle_machine *pm, uint64_t size)
{
    struct bytes in = bytes_of(NULL, 0);
    uint64_t value = 0;
    if (size <= reader_left(&pm->rd))
        in = reader_bytes(&pm->rd, (size_t)size);
    else
        pickle_fail(pm, STATUS_TRUNCATED, "a number ends early");
    if (in.size > 8) {
        pickle_push(pm, pickle_new(pm, PICKLE_OTHER));
        return;
    }
    if (in.size && in.data[in.size - 1] & 0x80)
        value = UINT64_MAX;
    for (size_t i = in.size; i--;)
        value = value << 8 | in.data[i];
    pickle_push(pm, pickle_new_int(pm, PICKLE_INT, (int64_t)value));
}

static void pickle_push_text(struct pickle_machine *pm, uint64_t size)
{
    if (size > reader_left(&pm->rd)) {
        pickle_fail(pm, STATUS_TRUNCATED, "text ends early");
        return;
    }
    struct bytes text = reader_bytes(&pm->rd, (size_t)size);
    pickle_push(pm, pickle_new_text(pm, text));
}

static void pickle_push_other(struct pickle_machine *pm, size_t size)
{
    reader_bytes(&pm->rd, size);
    pickle_push(pm, pickle_new(pm, PICKLE_OTHER));
}

static void pickle_protocol(struct pickle_machine *pm)
{
    if (reader_u8(&pm->rd) > PICKLE_PROTOCOL)
        pickle_fail(pm, STATUS_UNSUPPORTED, "unknown protocol");
}

/* ---- opcodes ---- */

static void pickle_pop_any(struct pickle_machine *pm)
{
    if (pm->marks.count && pm->stack.count == pickle_floor(pm))
        pickle_unmark(pm);
    else
        pickle_pop(pm);
}

static void pickle_pop_mark(struct pickle_machine *pm)
{
    uint32_t from = pickle_unmark(pm);
    if (pickle_ok(pm))
        pm->stack.count = from;
}

/* NEWOBJ_EX: keywords on top of the arguments. */
static void pickle_call_keywords(struct pickle_machine *pm)
{
    pickle_pop(pm);
    pickle_call(pm);
}

/* INST: class in two lines, arguments above the mark. */
static void pickle_call_lines(struct pickle_machine *pm)
{
    struct bytes module = pickle_line(pm), name = pickle_line(pm);
    pickle_gather_marked(pm, PICKLE_TUPLE);
    pickle_ref args = pickle_pop(pm);
    pickle_global(pm, module, name);
    pickle_push(pm, args);
    pickle_call(pm);
}

static bool pickle_op_stack(struct pickle_machine *pm, uint8_t op)
{
    switch (op) {
    case '.': /* STOP */
        pm->out->result = pickle_pop(pm);
        pm->done = true;
        return true;
    case '(':
        pickle_mark(pm);
        return true;
    case '0':
        pickle_pop_any(pm);
        return true;
    case '1':
        pickle_pop_mark(pm);
        return true;
    case '2': /* DUP */
        pickle_push(pm, pickle_top(pm));
        return true;
    case 'h': /* BINGET */
        pickle_get(pm, reader_u8(&pm->rd));
        return true;
    case 'j':
        pickle_get(pm, reader_le32(&pm->rd));
        return true;
    case 'q': /* BINPUT */
        pickle_put(pm, reader_u8(&pm->rd));
        return true;
    case 'r':
        pickle_put(pm, reader_le32(&pm->rd));
        return true;
    case 0x94: /* MEMOIZE */
        pickle_put(pm, pm->memo.count);
        return true;
    case 'g':
        pickle_line_memo(pm, false);
        return true;
    case 'p':
        pickle_line_memo(pm, true);
        return true;
    default:
        return false;
    }
}

static bool pickle_op_number(struct pickle_machine *pm, uint8_t op)
{
    switch (op) {
    case 'N':
        pickle_push(pm, 0);
        return true;
    case 0x88: /* NEWTRUE */
    case 0x89:
        pickle_push(pm, pickle_new_int(pm, PICKLE_BOOL, op == 0x88));
        return true;
    case 'J': /* BININT */
        pickle_push(
            pm, pickle_new_int(pm, PICKLE_INT, (int32_t)reader_le32(&pm->rd)));
        return true;
    case 'K':
        pickle_push(pm, pickle_new_int(pm, PICKLE_INT, reader_u8(&pm->rd)));
        return true;
    case 'M':
        pickle_push(pm, pickle_new_int(pm, PICKLE_INT, reader_le16(&pm->rd)));
        return true;
    case 'I':
    case 'L':
        pickle_push_line_int(pm);
        return true;
    case 0x8a: /* LONG1 */
        pickle_push_long(pm, reader_u8(&pm->rd));
        return true;
    case 0x8b:
        pickle_push_long(pm, reader_le32(&pm->rd));
        return true;
    case 'G': /* BINFLOAT */
        pickle_push_other(pm, 8);
        return true;
    case 'F':
        pickle_line(pm);
        pickle_push_other(pm, 0);
        return true;
    default:
        return false;
    }
}

static bool pickle_op_text(struct pickle_machine *pm, uint8_t op)
{
    switch (op) {
    case 'U': /* SHORT_BINSTRING */
    case 'C': /* SHORT_BINBYTES */
    case 0x8c:
        pickle_push_text(pm, reader_u8(&pm->rd));
        return true;
    case 'T': /* BINSTRING */
    case 'B': /* BINBYTES */
    case 'X': /* BINUNICODE */
        pickle_push_text(pm, reader_le32(&pm->rd));
        return true;
    case 0x8d: /* BINUNICODE8 */
    case 0x8e:
    case 0x96: /* BYTEARRAY8 */
        pickle_push_text(pm, reader_le64(&pm->rd));
        return true;
    case 'S':
    case 'V': {
        struct bytes line = pickle_line(pm);
        pickle_push(pm, pickle_new_text(pm, line));
        return true;
    }
    default:
        return false;
    }
}

static bool pickle_op_list(struct pickle_machine *pm, uint8_t op)
{
    switch (op) {
    case ')': /* EMPTY_TUPLE */
        pickle_push(pm, pickle_new(pm, PICKLE_TUPLE));
        return true;
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        pickle_gather(pm, PICKLE_TUPLE, op - 0x84u);
        return true;
    case 't':
        pickle_gather_marked(pm, PICKLE_TUPLE);
        return true;
    case 'l':
    case 0x91: /* FROZENSET */
        pickle_gather_marked(pm, PICKLE_LIST);
        return true;
    case 'd':
        pickle_dict_marked(pm);
        return true;
    case ']':
    case 0x8f: /* EMPTY_SET */
        pickle_push(pm, pickle_new(pm, PICKLE_LIST));
        return true;
    case '}':
        pickle_push(pm, pickle_new(pm, PICKLE_DICT));
        return true;
    case 'a': /* APPEND */
    case 's': /* SETITEM */
        pickle_add_one(pm, op == 's');
        return true;
    case 'e':  /* APPENDS */
    case 0x90: /* ADDITEMS */
    case 'u':  /* SETITEMS */
        pickle_add_from(pm, pickle_unmark(pm), op == 'u');
        return true;
    default:
        return false;
    }
}

static void pickle_global_lines(struct pickle_machine *pm)
{
    struct bytes module = pickle_line(pm);
    struct bytes name = pickle_line(pm);
    pickle_global(pm, module, name);
}

static bool pickle_op_object(struct pickle_machine *pm, uint8_t op)
{
    switch (op) {
    case 'c':
        pickle_global_lines(pm);
        return true;
    case 0x93:
        pickle_stack_global(pm);
        return true;
    case 'R':  /* REDUCE */
    case 0x81: /* NEWOBJ */
        pickle_call(pm);
        return true;
    case 0x92:
        pickle_call_keywords(pm);
        return true;
    case 'o':
        pickle_call_marked(pm);
        return true;
    case 'i':
        pickle_call_lines(pm);
        return true;
    case 'b':
        pickle_build(pm);
        return true;
    case 'Q': /* BINPERSID */
        pickle_persistent(pm, pickle_pop(pm));
        return true;
    case 'P': {
        struct bytes line = pickle_line(pm);
        pickle_persistent(pm, pickle_new_text(pm, line));
        return true;
    }
    default:
        return false;
    }
}

/* Extension registry, frames, and what stands out of the stream. */
static bool pickle_op_other(struct pickle_machine *pm, uint8_t op)
{
    switch (op) {
    case 0x80:
        pickle_protocol(pm);
        return true;
    case 0x95: /* FRAME */
        if (reader_le64(&pm->rd) > reader_left(&pm->rd))
            pickle_fail(pm, STATUS_TRUNCATED, "a frame ends early");
        return true;
    case 0x82: /* EXT1, EXT2, EXT4 */
    case 0x83:
    case 0x84:
        pickle_push_other(pm, (size_t)1 << (op - 0x82u));
        return true;
    case 0x97: /* NEXT_BUFFER */
        pickle_push_other(pm, 0);
        return true;
    case 0x98: /* READONLY_BUFFER */
        pickle_top(pm);
        return true;
    default:
        return false;
    }
}

static void pickle_step(struct pickle_machine *pm)
{
    uint8_t op = reader_u8(&pm->rd);
    if (!pickle_ok(pm) || pickle_op_stack(pm, op) || pickle_op_number(pm, op) ||
        pickle_op_text(pm, op) || pickle_op_list(pm, op) ||
        pickle_op_object(pm, op) || pickle_op_other(pm, op))
        return;
    pickle_fail(pm, STATUS_UNSUPPORTED, "unknown opcode");
}

/* Value 0 is the one None. */
static void pickle_begin(struct pickle_machine *pm)
{
    struct pickle *out = pm->out;
    out->values = pickle_alloc(pm, PICKLE_BLOCKS, sizeof(*out->values));
    out->items = pickle_alloc(pm, PICKLE_BLOCKS, sizeof(*out->items));
    pickle_new(pm, PICKLE_NONE);
}

enum status pickle_load(struct bytes in, struct arena *arena,
                        struct pickle *out, struct diag *diag)
{
    struct pickle_machine pm = {.out = out, .arena = arena, .diag = diag};
    memset(out, 0, sizeof(*out));
    reader_init(&pm.rd, in);
    pickle_begin(&pm);
    while (!pm.done && pickle_ok(&pm))
        pickle_step(&pm);
    out->size = reader_offset(&pm.rd);
    if (reader_status(&pm.rd) == STATUS_TRUNCATED)
        return diag_fail(diag, STATUS_TRUNCATED,
                         "pickle of %zu bytes ends before its STOP", in.size);
    return reader_status(&pm.rd);
}
