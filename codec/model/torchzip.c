/* From the archive, or the older stream, to storages; from the pickle to
 * tensors in them. */
#include "codec/model/torchzip.h"

#include "codec/base/checked.h"
#include "codec/model/collect.h"
#include "codec/model/pickle.h"
#include "codec/model/zip.h"

#include <stdio.h>
#include <stdlib.h>

#define TORCHZIP_SCRATCH_BUDGET ((size_t)128 << 20)
#define TORCHZIP_DEPTH_MAX      64u
#define TORCHZIP_KEY_MAX        4096u

/* A run of elements that tensors view. */
struct torchzip_storage {
    struct bytes key;
    uint64_t offset; /* in the file */
    uint64_t size;
    enum dtype dtype;  /* of the first tensor in it */
    struct bytes name; /* of the tensor for which it is taken whole */
    bool stored;
    bool seen;    /* dtype is known */
    bool whole;   /* some tensor in it is not in order */
    bool covered; /* a tensor of it was taken */
};

/* A value on the way from the root to the tensors. */
struct torchzip_step {
    pickle_ref value;
    pickle_ref key;  /* TEXT or INT; 0: see number */
    uint32_t number; /* UINT32_MAX: of the same name as its parent */
    uint32_t parent; /* step */
    uint32_t depth;
};

struct torchzip {
    const struct source *file;
    struct arena *scratch;
    struct collect collect;
    struct diag *diag;
    size_t index;
    struct torchzip_storage *storages; /* sorted by key */
    size_t storage_count;
    const char *section; /* "data", "constants": names the storages */
    struct pickle pickle;
    struct torchzip_step *steps;
    uint32_t step_count;
    uint32_t *found; /* steps that are tensors */
    uint32_t found_count;
    char *name; /* COLLECT_NAME_MAX bytes */
};

/* A tensor as the pickle tells it. */
struct torchzip_tensor {
    struct torchzip_storage *storage;
    struct tensor tensor; /* without name */
    uint64_t shape[TENSOR_RANK_MAX];
    bool understood;
    bool in_order; /* its elements follow each other, row-major */
};

/* ---- element types ---- */

static const struct torchzip_type {
    const char *name; /* of the storage class, or torch.NAME */
    enum dtype dtype;
} torchzip_types[] = {
    {"FloatStorage", DTYPE_F32},
    {"DoubleStorage", DTYPE_F64},
    {"HalfStorage", DTYPE_F16},
    {"BFloat16Storage", DTYPE_BF16},
    {"LongStorage", DTYPE_I64},
    {"IntStorage", DTYPE_I32},
    {"ShortStorage", DTYPE_I16},
    {"CharStorage", DTYPE_I8},
    {"ByteStorage", DTYPE_U8},
    {"BoolStorage", DTYPE_BOOL},
    {"ComplexFloatStorage", DTYPE_C64},
    {"ComplexDoubleStorage", DTYPE_C128},
    {"QInt8Storage", DTYPE_I8},
    {"QUInt8Storage", DTYPE_U8},
    {"QInt32Storage", DTYPE_I32},
    {"UntypedStorage", DTYPE_U8},
    {"float32", DTYPE_F32},
    {"float64", DTYPE_F64},
    {"float16", DTYPE_F16},
    {"bfloat16", DTYPE_BF16},
    {"int64", DTYPE_I64},
    {"int32", DTYPE_I32},
    {"int16", DTYPE_I16},
    {"int8", DTYPE_I8},
    {"uint8", DTYPE_U8},
    {"uint16", DTYPE_U16},
    {"uint32", DTYPE_U32},
    {"uint64", DTYPE_U64},
    {"bool", DTYPE_BOOL},
    {"complex64", DTYPE_C64},
    {"complex128", DTYPE_C128},
    {"float8_e4m3fn", DTYPE_F8_E4M3},
    {"float8_e5m2", DTYPE_F8_E5M2},
    {"float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ},
    {"float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ},
    {"float8_e8m0fnu", DTYPE_F8_E8M0},
};

/* From "torch FloatStorage", "torch.cuda FloatStorage", "torch int8". */
static bool torchzip_type(const struct pickle_value *global, enum dtype *out)
{
    const uint8_t *blank;
    if (global->kind != PICKLE_GLOBAL ||
        !(blank = memchr(global->text.data, ' ', global->text.size)))
        return false;
    size_t skip = (size_t)(blank - global->text.data) + 1;
    struct bytes name =
        bytes_of(global->text.data + skip, global->text.size - skip);
    for (size_t i = 0; i < sizeof(torchzip_types) / sizeof(torchzip_types[0]);
         i++) {
        if (bytes_equal(name, bytes_of_text(torchzip_types[i].name))) {
            *out = torchzip_types[i].dtype;
            return true;
        }
    }
    return false;
}

/* ---- storages ---- */

static int torchzip_compare_keys(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static struct torchzip_storage *torchzip_find(struct torchzip *tz,
                                              struct bytes key)
{
    size_t low = 0, high = tz->storage_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = torchzip_compare_keys(tz->storages[mid].key, key);
        if (!order)
            return &tz->storages[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* ---- one tensor ---- */

static enum status torchzip_fail(struct torchzip *tz, struct bytes key,
                                 const char *what)
{
    char label[41];
    size_t i = 0;
    for (; i < key.size && i < 40; i++)
        label[i] =
            (key.data[i] >= ' ' && key.data[i] < 127) ? (char)key.data[i] : '?';
    label[i] = 0;
    return diag_fail(tz->diag, STATUS_CORRUPT, "tensor in storage %s: %s",
                     label, what);
}

/* Wrappers whose first argument is the tensor itself. */
static bool torchzip_wraps(const struct pickle_value *callable)
{
    return pickle_is_global(callable, "torch._utils _rebuild_parameter") ||
           pickle_is_global(callable,
                            "torch._utils _rebuild_parameter_with_state");
}

/* The call that makes the tensor: callable and arguments. */
static bool torchzip_call(const struct torchzip *tz,
                          const struct pickle_value *value,
                          const struct pickle_value **callable,
                          const struct pickle_value **args)
{
    const struct pickle *pickle = &tz->pickle;
    for (unsigned i = 0; i < 4; i++) {
        if (value->kind != PICKLE_OBJECT)
            return false;
        *callable = pickle_value(pickle, value->callable);
        *args = pickle_value(pickle, value->args);
        if (!torchzip_wraps(*callable))
            break;
        value = pickle_at(pickle, *args, 0);
    }
    if (pickle_is_global(*callable, "torch._tensor _rebuild_from_type_v2")) {
        *callable = pickle_at(pickle, *args, 0);
        *args = pickle_at(pickle, *args, 2);
    }
    return pickle_is_global(*callable, "torch._utils _rebuild_tensor") ||
           pickle_is_global(*callable, "torch._utils _rebuild_tensor_v2") ||
           pickle_is_global(*callable, "torch._utils _rebuild_tensor_v3") ||
           pickle_is_global(*callable, "torch._utils _rebuild_qtensor");
}

/* The id of a storage: ('storage', type, key, location, count, ...). */
static const struct pickle_value *
torchzip_storage_id(const struct torchzip *tz, const struct pickle_value *value)
{
    const struct pickle_value *id, *kind;
    if (value->kind != PICKLE_PERSISTENT)
        return NULL;
    id = pickle_value(&tz->pickle, value->args);
    kind = pickle_at(&tz->pickle, id, 0);
    if (kind->kind != PICKLE_TEXT ||
        !bytes_equal(kind->text, bytes_of_text("storage")) ||
        pickle_at(&tz->pickle, id, 2)->kind != PICKLE_TEXT)
        return NULL;
    return id;
}

/* A number that cannot be negative; UINT64_MAX for what is none. */
static uint64_t torchzip_count(const struct pickle_value *value)
{
    return value->kind == PICKLE_INT && value->integer >= 0
               ? (uint64_t)value->integer
               : UINT64_MAX;
}

/* A tuple, or a torch.Size made of one. */
static const struct pickle_value *
torchzip_tuple(const struct torchzip *tz, const struct pickle_value *value)
{
    if (value->kind == PICKLE_OBJECT)
        value =
            pickle_at(&tz->pickle, pickle_value(&tz->pickle, value->args), 0);
    return value;
}

static enum status torchzip_dims(struct torchzip *tz, struct bytes key,
                                 const struct pickle_value *tuple,
                                 uint64_t out[TENSOR_RANK_MAX], uint32_t *rank)
{
    pickle_ref at = tuple->first;
    if (tuple->kind != PICKLE_TUPLE && tuple->kind != PICKLE_LIST)
        return torchzip_fail(tz, key, "its shape is no tuple");
    if (tuple->item_count > TENSOR_RANK_MAX)
        return torchzip_fail(tz, key, "it has more than 64 dimensions");
    for (uint32_t i = 0; i < tuple->item_count; i++) {
        const struct pickle_item *item = pickle_item(&tz->pickle, at);
        out[i] = torchzip_count(pickle_value(&tz->pickle, item->value));
        if (out[i] == UINT64_MAX)
            return torchzip_fail(tz, key,
                                 "a dimension or stride is no number >= 0");
        at = item->next;
    }
    *rank = tuple->item_count;
    return STATUS_OK;
}

/* Index behind the last element that the tensor views; false when it wraps. */
static bool torchzip_reach(const struct tensor *tensor, const uint64_t *stride,
                           uint64_t offset, uint64_t *out)
{
    uint64_t end = offset + 1, span;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (!checked_mul_u64(tensor->shape[i] - 1, stride[i], &span) ||
            !checked_add_u64(end, span, &end))
            return false;
    *out = end;
    return true;
}

static bool torchzip_in_order(const struct tensor *tensor,
                              const uint64_t *stride)
{
    uint64_t expected = 1;
    for (uint32_t i = tensor->rank; i--;) {
        if (tensor->shape[i] != 1 && stride[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

/* Where the tensor lies in its storage. */
static enum status torchzip_place(struct torchzip *tz,
                                  struct torchzip_tensor *t,
                                  const uint64_t *stride, uint64_t offset)
{
    const struct torchzip_storage *storage = t->storage;
    struct tensor *tensor = &t->tensor;
    uint64_t elem = dtype_bits(tensor->dtype) / 8, end = offset;
    bool empty = false;
    for (uint32_t i = 0; i < tensor->rank; i++)
        empty |= !tensor->shape[i];
    if (empty) { /* of no size, whatever the other dimensions */
        if (tensor_size_of(tensor->dtype, tensor->shape, tensor->rank,
                           &tensor->size))
            return torchzip_fail(tz, storage->key, "shape overflows");
    } else if (tensor_size_of(tensor->dtype, tensor->shape, tensor->rank,
                              &tensor->size) ||
               !torchzip_reach(tensor, stride, offset, &end)) {
        return torchzip_fail(tz, storage->key, "shape overflows");
    }
    if (end > storage->size / elem)
        return torchzip_fail(tz, storage->key, "it lies out of its storage");
    t->in_order = empty || torchzip_in_order(tensor, stride);
    if (t->in_order && tensor->size > storage->size - offset * elem)
        return torchzip_fail(tz, storage->key, "it lies out of its storage");
    tensor->offset = storage->offset + offset * elem;
    return STATUS_OK;
}

static enum status torchzip_view(struct torchzip *tz,
                                 const struct pickle_value *args,
                                 struct torchzip_tensor *t)
{
    const struct pickle *pickle = &tz->pickle;
    struct bytes key = t->storage->key;
    uint64_t stride[TENSOR_RANK_MAX];
    uint32_t strides = 0;
    uint64_t offset = torchzip_count(pickle_at(pickle, args, 1));
    enum status status =
        torchzip_dims(tz, key, torchzip_tuple(tz, pickle_at(pickle, args, 2)),
                      t->shape, &t->tensor.rank);
    if (!status)
        status = torchzip_dims(tz, key,
                               torchzip_tuple(tz, pickle_at(pickle, args, 3)),
                               stride, &strides);
    if (status)
        return status;
    t->tensor.shape = t->shape;
    if (strides != t->tensor.rank || offset == UINT64_MAX)
        return torchzip_fail(tz, key, "its shape and strides do not fit");
    return torchzip_place(tz, t, stride, offset);
}

static enum status torchzip_storage_of(struct torchzip *tz,
                                       const struct pickle_value *id,
                                       const struct pickle_value *dtype,
                                       struct torchzip_tensor *t)
{
    const struct pickle *pickle = &tz->pickle;
    const struct pickle_value *type = pickle_at(pickle, id, 1);
    struct bytes key = pickle_at(pickle, id, 2)->text;
    uint64_t count = torchzip_count(pickle_at(pickle, id, 4)), bytes;
    enum dtype stored = DTYPE_U8;
    bool known = torchzip_type(type, &stored);
    t->tensor.dtype = stored;
    if (dtype->kind == PICKLE_GLOBAL)
        known = torchzip_type(dtype, &t->tensor.dtype) && known;
    t->storage = torchzip_find(tz, key);
    if (!t->storage)
        return torchzip_fail(tz, key, "the storage is not there");
    if (!t->storage->stored)
        return STATUS_OK;
    if (known && (!checked_mul_u64(count, dtype_bits(stored) / 8, &bytes) ||
                  bytes != t->storage->size))
        return torchzip_fail(tz, key, "the storage has another size");
    t->understood = known;
    t->storage->whole |= !known; /* in_order is false as well */
    return STATUS_OK;
}

/* Reads what the pickle says of the tensor of a step. */
static enum status torchzip_read_tensor(struct torchzip *tz,
                                        const struct pickle_value *value,
                                        struct torchzip_tensor *t)
{
    const struct pickle_value *callable, *args, *id;
    static const struct pickle_value nothing;
    memset(t, 0, sizeof(*t));
    t->tensor.file = (uint32_t)tz->index;
    if (!torchzip_call(tz, value, &callable, &args))
        return STATUS_OK;
    id = torchzip_storage_id(tz, pickle_at(&tz->pickle, args, 0));
    if (!id)
        return STATUS_OK;
    bool typed = pickle_is_global(callable, "torch._utils _rebuild_tensor_v3");
    enum status status = torchzip_storage_of(
        tz, id, typed ? pickle_at(&tz->pickle, args, 6) : &nothing, t);
    if (status || !t->understood)
        return status;
    return torchzip_view(tz, args, t);
}

/* ---- the walk ---- */

static void torchzip_visit(struct torchzip *tz, uint32_t parent,
                           pickle_ref value, pickle_ref key, uint32_t number)
{
    struct pickle_value *v = pickle_value(&tz->pickle, value);
    uint32_t depth = tz->step_count ? tz->steps[parent].depth + 1 : 0;
    bool holds = v->kind == PICKLE_TUPLE || v->kind == PICKLE_LIST ||
                 v->kind == PICKLE_DICT || v->kind == PICKLE_OBJECT;
    if (!holds || v->marked || depth > TORCHZIP_DEPTH_MAX)
        return;
    v->marked = true;
    tz->steps[tz->step_count++] =
        (struct torchzip_step){value, key, number, parent, depth};
}

static void torchzip_visit_items(struct torchzip *tz, uint32_t parent,
                                 const struct pickle_value *value)
{
    pickle_ref at = value->first;
    for (uint32_t i = 0; i < value->item_count; i++) {
        const struct pickle_item *item = pickle_item(&tz->pickle, at);
        torchzip_visit(tz, parent, item->value, item->key, i);
        at = item->next;
    }
}

static void torchzip_walk_step(struct torchzip *tz, uint32_t step)
{
    const struct pickle_value *value =
        pickle_value(&tz->pickle, tz->steps[step].value);
    const struct pickle_value *callable, *args;
    if (torchzip_call(tz, value, &callable, &args)) {
        tz->found[tz->found_count++] = step;
        return;
    }
    torchzip_visit_items(tz, step, value);
    if (value->kind != PICKLE_OBJECT)
        return;
    torchzip_visit(tz, step, value->state, 0, UINT32_MAX);
    torchzip_visit(tz, step, value->args, 0, UINT32_MAX);
}

static enum status torchzip_walk(struct torchzip *tz)
{
    size_t count = tz->pickle.value_count;
    tz->steps = arena_alloc(tz->scratch, count, sizeof(*tz->steps));
    tz->found = arena_alloc(tz->scratch, count, sizeof(*tz->found));
    if (!tz->steps || !tz->found)
        return STATUS_NO_MEMORY;
    tz->step_count = tz->found_count = 0;
    torchzip_visit(tz, 0, tz->pickle.result, 0, UINT32_MAX);
    for (uint32_t i = 0; i < tz->step_count; i++)
        torchzip_walk_step(tz, i);
    return STATUS_OK;
}

/* ---- names ---- */

static bool torchzip_hidden(struct bytes key)
{
    return bytes_equal(key, bytes_of_text("_modules")) ||
           bytes_equal(key, bytes_of_text("_parameters")) ||
           bytes_equal(key, bytes_of_text("_buffers"));
}

/* The word a step adds to the name; empty for none. number is room for one. */
static struct bytes torchzip_word(const struct torchzip *tz,
                                  const struct torchzip_step *step,
                                  char number[24])
{
    const struct pickle_value *key = pickle_value(&tz->pickle, step->key);
    if (key->kind == PICKLE_TEXT)
        return torchzip_hidden(key->text) ? bytes_of(NULL, 0) : key->text;
    if (key->kind == PICKLE_INT)
        snprintf(number, 24, "%lld", (long long)key->integer);
    else if (step->number == UINT32_MAX)
        return bytes_of(NULL, 0);
    else
        snprintf(number, 24, "%u", step->number);
    return bytes_of_text(number);
}

/* Puts words before each other from the end of the buffer; what has no room
 * at the front is left out. */
static struct bytes torchzip_name(struct torchzip *tz, uint32_t index)
{
    size_t at = COLLECT_NAME_MAX;
    for (;; index = tz->steps[index].parent) {
        char number[24];
        struct bytes word = torchzip_word(tz, &tz->steps[index], number);
        size_t dot = word.size && at < COLLECT_NAME_MAX;
        if (word.size + dot > at)
            break;
        at -= dot;
        if (dot)
            tz->name[at] = '.';
        at -= word.size;
        if (word.size)
            memcpy(tz->name + at, word.data, word.size);
        if (!index)
            break;
    }
    if (at == COLLECT_NAME_MAX)
        return bytes_of_text("tensor");
    return bytes_of(tz->name + at, COLLECT_NAME_MAX - at);
}

/* ---- tensors and storages to the list ---- */

/* What the storage is, and whether it has to be taken whole. */
static enum status torchzip_look(struct torchzip *tz, uint32_t index)
{
    struct torchzip_tensor t;
    const struct pickle_value *value =
        pickle_value(&tz->pickle, tz->steps[index].value);
    enum status status = torchzip_read_tensor(tz, value, &t);
    if (status || !t.storage)
        return status;
    if (!t.storage->seen && t.understood) {
        t.storage->dtype = t.tensor.dtype;
        t.storage->seen = true;
    }
    t.storage->whole |= !t.in_order;
    if (!t.storage->whole || t.storage->name.size)
        return STATUS_OK;
    struct bytes name = torchzip_name(tz, index);
    const char *copy = arena_text(tz->scratch, name.data, name.size);
    t.storage->name = bytes_of(copy, copy ? name.size : 0);
    return copy ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status torchzip_take(struct torchzip *tz, uint32_t index)
{
    struct torchzip_tensor t;
    const struct pickle_value *value =
        pickle_value(&tz->pickle, tz->steps[index].value);
    enum status status = torchzip_read_tensor(tz, value, &t);
    if (status || !t.understood || t.storage->whole)
        return status;
    t.storage->covered = true;
    return collect_add(&tz->collect, torchzip_name(tz, index), &t.tensor);
}

static enum status torchzip_take_storage(struct torchzip *tz,
                                         struct torchzip_storage *storage)
{
    struct bytes name = storage->name;
    enum dtype dtype = storage->seen ? storage->dtype : DTYPE_U8;
    if (!storage->stored || storage->covered || !storage->size)
        return STATUS_OK;
    if (storage->size % (dtype_bits(dtype) / 8))
        dtype = DTYPE_U8;
    if (!name.size) {
        int size = snprintf(tz->name, COLLECT_NAME_MAX, "%s/%.*s", tz->section,
                            (int)(storage->key.size & 0xffff),
                            (const char *)storage->key.data);
        name = bytes_of(tz->name, (size_t)size < COLLECT_NAME_MAX
                                      ? (size_t)size
                                      : COLLECT_NAME_MAX - 1);
    }
    return collect_add_flat(&tz->collect, name, dtype, (uint32_t)tz->index,
                            storage->offset,
                            storage->size / (dtype_bits(dtype) / 8));
}

/* All tensors of a pickle, then the storages it leaves. */
static enum status torchzip_tensors(struct torchzip *tz, bool read)
{
    enum status status = read ? torchzip_walk(tz) : STATUS_OK;
    if (!read)
        tz->found_count = 0;
    for (uint32_t i = 0; !status && i < tz->found_count; i++)
        status = torchzip_look(tz, tz->found[i]);
    for (uint32_t i = 0; !status && i < tz->found_count; i++)
        status = torchzip_take(tz, tz->found[i]);
    for (size_t i = 0; !status && i < tz->storage_count; i++)
        status = torchzip_take_storage(tz, &tz->storages[i]);
    return status;
}

/* ---- the archive ---- */

struct torchzip_archive {
    struct zip_entry *entries;
    size_t count;
    struct bytes folder; /* with its slash */
};

static bool torchzip_ends(struct bytes name, const char *suffix)
{
    size_t size = strlen(suffix);
    return name.size >= size &&
           !memcmp(name.data + name.size - size, suffix, size);
}

static bool torchzip_begins(struct bytes name, struct bytes prefix)
{
    return name.size >= prefix.size &&
           !memcmp(name.data, prefix.data, prefix.size);
}

/* The folder that holds data.pkl, which is one deep. */
static bool torchzip_folder(struct torchzip_archive *archive)
{
    for (size_t i = 0; i < archive->count; i++) {
        struct bytes name = archive->entries[i].name;
        const uint8_t *slash =
            name.size ? memchr(name.data, '/', name.size) : NULL;
        if (!slash || !torchzip_ends(name, "/data.pkl"))
            continue;
        archive->folder = bytes_of(name.data, (size_t)(slash - name.data) + 1);
        if (archive->folder.size + strlen("data.pkl") == name.size)
            return true;
    }
    return false;
}

/* FOLDER/text; NULL when it is too long. */
static const struct zip_entry *
torchzip_entry(struct torchzip *tz, const struct torchzip_archive *archive,
               const char *text)
{
    size_t size = archive->folder.size + strlen(text);
    if (size >= COLLECT_NAME_MAX)
        return NULL;
    memcpy(tz->name, archive->folder.data, archive->folder.size);
    strcpy(tz->name + archive->folder.size, text);
    return zip_find(archive->entries, archive->count, bytes_of(tz->name, size));
}

static enum status torchzip_little(struct torchzip *tz,
                                   const struct torchzip_archive *archive,
                                   bool *little)
{
    uint8_t order[3];
    const struct zip_entry *entry = torchzip_entry(tz, archive, "byteorder");
    *little = true;
    if (!entry || !entry->stored || entry->size != sizeof(order))
        return STATUS_OK;
    enum status status =
        source_read(tz->file, entry->offset, order, sizeof(order));
    *little = memcmp(order, "big", sizeof(order));
    return status;
}

/* The stored entries of FOLDER/SECTION/; sorted as the entries are. */
static enum status torchzip_storages(struct torchzip *tz,
                                     const struct torchzip_archive *archive)
{
    struct bytes folder = archive->folder;
    size_t section = strlen(tz->section);
    tz->storages =
        arena_alloc(tz->scratch, archive->count, sizeof(*tz->storages));
    tz->storage_count = 0;
    if (!tz->storages)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < archive->count; i++) {
        const struct zip_entry *entry = &archive->entries[i];
        struct bytes name = entry->name;
        size_t skip = folder.size + section + 1;
        if (!torchzip_begins(name, folder) || name.size <= skip ||
            memcmp(name.data + folder.size, tz->section, section) ||
            name.data[skip - 1] != '/')
            continue;
        tz->storages[tz->storage_count++] = (struct torchzip_storage){
            .key = bytes_of(name.data + skip, name.size - skip),
            .offset = entry->offset,
            .size = entry->size,
            .stored = entry->stored,
        };
    }
    return STATUS_OK;
}

static enum status torchzip_load(struct torchzip *tz, uint64_t offset,
                                 uint64_t size, struct bytes *out)
{
    if (size > TORCHZIP_PICKLE_MAX)
        return diag_fail(tz->diag, STATUS_LIMIT,
                         "pickle of %llu bytes is above the limit of 16 MiB",
                         (unsigned long long)size);
    uint8_t *buf = arena_alloc(tz->scratch, (size_t)size, 1);
    if (!buf)
        return STATUS_NO_MEMORY;
    *out = bytes_of(buf, (size_t)size);
    return source_read(tz->file, offset, buf, (size_t)size);
}

static enum status torchzip_section(struct torchzip *tz,
                                    const struct torchzip_archive *archive,
                                    const char *section, const char *pickle,
                                    bool little)
{
    const struct zip_entry *entry = torchzip_entry(tz, archive, pickle);
    struct bytes text;
    bool read = entry && entry->stored && little;
    tz->section = section;
    enum status status = torchzip_storages(tz, archive);
    if (!status && read)
        status = torchzip_load(tz, entry->offset, entry->size, &text);
    if (!status && read)
        status = pickle_load(text, tz->scratch, &tz->pickle, tz->diag);
    return status ? status : torchzip_tensors(tz, read);
}

static enum status torchzip_archive(struct torchzip *tz)
{
    struct torchzip_archive archive = {NULL, 0, {NULL, 0}};
    bool little = true;
    enum status status = zip_read(tz->file, tz->scratch, &archive.entries,
                                  &archive.count, tz->diag);
    if (status)
        return status;
    if (!torchzip_folder(&archive))
        return diag_fail(tz->diag, STATUS_CORRUPT,
                         "zip of %zu entries holds no data.pkl", archive.count);
    status = torchzip_little(tz, &archive, &little);
    if (!status)
        status = torchzip_section(tz, &archive, "data", "data.pkl", little);
    if (!status)
        status = torchzip_section(tz, &archive, "constants", "constants.pkl",
                                  little);
    return status;
}

/* ---- the older form ---- */

/* 0x1950a86a20f9469cfc6c as a pickle of protocol 2. */
static const uint8_t torchzip_magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c,
                                         0xfc, 0x9c, 0x46, 0xf9, 0x20,
                                         0x6a, 0xa8, 0x50, 0x19, '.'};

static bool torchzip_is_old(const struct source *file)
{
    uint8_t head[sizeof(torchzip_magic)];
    return !source_read(file, 0, head, sizeof(head)) &&
           !memcmp(head, torchzip_magic, sizeof(head));
}

/* Bytes an element of the storage of a key takes: from its first mention. */
static enum status torchzip_old_types(struct torchzip *tz)
{
    for (pickle_ref i = 0; i < tz->pickle.value_count; i++) {
        const struct pickle_value *id =
            torchzip_storage_id(tz, pickle_value(&tz->pickle, i));
        if (!id)
            continue;
        struct bytes key = pickle_at(&tz->pickle, id, 2)->text;
        struct torchzip_storage *storage = torchzip_find(tz, key);
        if (!storage)
            return torchzip_fail(tz, key, "the storage is not there");
        if (torchzip_type(pickle_at(&tz->pickle, id, 1), &storage->dtype))
            storage->seen = true;
    }
    return STATUS_OK;
}

/* Each storage: 8 bytes that count its elements, then these. */
static enum status torchzip_old_place(struct torchzip *tz,
                                      const struct pickle *keys, uint64_t at)
{
    const struct pickle_value *list = pickle_value(keys, keys->result);
    pickle_ref item = list->first;
    for (uint32_t i = 0; i < list->item_count; i++) {
        const struct pickle_item *it = pickle_item(keys, item);
        struct bytes key = pickle_value(keys, it->value)->text;
        struct torchzip_storage *storage = torchzip_find(tz, key);
        uint8_t count[8];
        enum status status = source_read(tz->file, at, count, sizeof(count));
        if (status == STATUS_TRUNCATED)
            return torchzip_fail(tz, key, "the file ends before its storage");
        if (status)
            return status;
        if (!storage->seen)
            return torchzip_fail(tz, key, "its element type is unknown");
        at += sizeof(count);
        if (!checked_mul_u64(load_le64(count), dtype_bits(storage->dtype) / 8,
                             &storage->size) ||
            storage->size > tz->file->size - at)
            return torchzip_fail(tz, key,
                                 "its storage ends behind the end of the file");
        storage->offset = at;
        at += storage->size;
        item = it->next;
    }
    return STATUS_OK;
}

static int torchzip_by_key(const void *a, const void *b)
{
    const struct torchzip_storage *x = a, *y = b;
    return torchzip_compare_keys(x->key, y->key);
}

static enum status torchzip_old_keys(struct torchzip *tz,
                                     const struct pickle *keys)
{
    const struct pickle_value *list = pickle_value(keys, keys->result);
    pickle_ref item = list->first;
    if (list->kind != PICKLE_LIST)
        return diag_fail(tz->diag, STATUS_CORRUPT, "no list of storages");
    tz->storages =
        arena_alloc(tz->scratch, list->item_count, sizeof(*tz->storages));
    if (!tz->storages)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < list->item_count; i++) {
        const struct pickle_item *it = pickle_item(keys, item);
        tz->storages[i].key = pickle_value(keys, it->value)->text;
        tz->storages[i].stored = true;
        item = it->next;
    }
    tz->storage_count = list->item_count;
    if (tz->storage_count)
        qsort(tz->storages, tz->storage_count, sizeof(*tz->storages),
              torchzip_by_key);
    for (size_t i = 1; i < tz->storage_count; i++)
        if (!torchzip_by_key(&tz->storages[i - 1], &tz->storages[i]))
            return torchzip_fail(tz, tz->storages[i].key,
                                 "the storage occurs twice");
    return STATUS_OK;
}

/* Magic, protocol, system, the object, the keys; then the storages. */
static enum status torchzip_old(struct torchzip *tz)
{
    struct pickle ignored, keys;
    struct bytes text;
    uint64_t at = 0, size = tz->file->size;
    enum status status = torchzip_load(
        tz, 0, size < TORCHZIP_PICKLE_MAX ? size : TORCHZIP_PICKLE_MAX, &text);
    for (unsigned i = 0; !status && i < 5; i++) {
        struct pickle *out = i < 3 ? &ignored : i < 4 ? &tz->pickle : &keys;
        status = pickle_load(bytes_of(text.data + at, text.size - (size_t)at),
                             tz->scratch, out, tz->diag);
        at += status ? 0 : out->size;
    }
    tz->section = "data";
    if (!status)
        status = torchzip_old_keys(tz, &keys);
    if (!status)
        status = torchzip_old_types(tz);
    if (!status)
        status = torchzip_old_place(tz, &keys, at);
    return status ? status : torchzip_tensors(tz, true);
}

/* ---- ---- */

static enum status torchzip_run(struct torchzip *tz)
{
    enum status status;
    tz->name = arena_alloc(tz->scratch, COLLECT_NAME_MAX + 1, 1);
    if (!tz->name)
        return STATUS_NO_MEMORY;
    if (zip_probe(tz->file))
        status = torchzip_archive(tz);
    else if (torchzip_is_old(tz->file))
        status = torchzip_old(tz);
    else
        status = diag_fail(tz->diag, STATUS_CORRUPT,
                           "file of %llu bytes begins neither like a zip "
                           "archive nor like an older PyTorch file",
                           (unsigned long long)tz->file->size);
    if (!status)
        status = collect_finish(&tz->collect);
    if (status == STATUS_NO_MEMORY && tz->scratch->spent)
        status = diag_fail(tz->diag, STATUS_LIMIT,
                           "pickle and directory take too much memory");
    return status;
}

enum status torchzip_parse(const struct part_set *set, size_t index,
                           struct arena *arena, struct tensor **tensors,
                           size_t *tensor_count, struct diag *diag)
{
    struct part_window window;
    struct source file = part_source(set, index, &window);
    struct arena scratch;
    struct torchzip tz = {
        .file = &file, .scratch = &scratch, .diag = diag, .index = index};
    arena_init(&scratch, TORCHZIP_SCRATCH_BUDGET);
    collect_init(&tz.collect, arena, file.size, diag);
    enum status status = torchzip_run(&tz);
    arena_deinit(&scratch);
    *tensors = status ? NULL : tz.collect.items;
    *tensor_count = status ? 0 : tz.collect.count;
    return status;
}

bool torchzip_probe(const struct source *file)
{
    uint8_t head[30 + 255];
    if (torchzip_is_old(file))
        return true;
    if (!zip_probe(file) || source_read(file, 0, head, 30))
        return false;
    size_t size = load_le16(head + 26);
    if (size > 255 || source_read(file, 30, head + 30, size))
        return false;
    struct bytes name = bytes_of(head + 30, size);
    return torchzip_ends(name, "/data.pkl") ||
           torchzip_ends(name, "/.format_version") ||
           torchzip_ends(name, "/.storage_alignment");
}
