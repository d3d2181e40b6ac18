/* Walks ModelProto down to every TensorProto; numbers of fields are those of
 * onnx.proto. */
#include "codec/model/onnx.h"

#include "codec/base/checked.h"
#include "codec/model/collect.h"
#include "codec/model/protobuf.h"

#define ONNX_SCRATCH_BUDGET ((size_t)1 << 20)
/* More outermost fields has no model, but some other file. */
#define ONNX_PROBE_FIELDS_MAX 65536u

enum {
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_TRAINING = 20,
    MODEL_FUNCTIONS = 25,
    TRAINING_INITIALIZATION = 1,
    TRAINING_ALGORITHM = 2,
    FUNCTION_NODE = 7,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    NODE_OUTPUT = 2,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_G = 6,
    ATTRIBUTE_TENSORS = 10,
    ATTRIBUTE_GRAPHS = 11,
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
};

/* TensorProto.DataType. bits 0: text; dtype is what elements of fewer than
 * eight bits, or unknown to us, are shown as when only their bytes are. */
struct onnx_type {
    uint8_t bits;
    enum dtype dtype;
};

#define ONNX_TYPE_FLOAT      1u
#define ONNX_TYPE_DOUBLE     11u
#define ONNX_TYPE_COMPLEX64  14u
#define ONNX_TYPE_COMPLEX128 15u

static const struct onnx_type onnx_types[] = {
    [1] = {32, DTYPE_F32},     [2] = {8, DTYPE_U8},
    [3] = {8, DTYPE_I8},       [4] = {16, DTYPE_U16},
    [5] = {16, DTYPE_I16},     [6] = {32, DTYPE_I32},
    [7] = {64, DTYPE_I64},     [8] = {0, DTYPE_U8},
    [9] = {8, DTYPE_BOOL},     [10] = {16, DTYPE_F16},
    [11] = {64, DTYPE_F64},    [12] = {32, DTYPE_U32},
    [13] = {64, DTYPE_U64},    [14] = {64, DTYPE_C64},
    [15] = {128, DTYPE_C128},  [16] = {16, DTYPE_BF16},
    [17] = {8, DTYPE_F8_E4M3}, [18] = {8, DTYPE_F8_E4M3FNUZ},
    [19] = {8, DTYPE_F8_E5M2}, [20] = {8, DTYPE_F8_E5M2FNUZ},
    [21] = {4, DTYPE_U4},      [22] = {4, DTYPE_I4},
    [23] = {4, DTYPE_F4},      [24] = {8, DTYPE_F8_E8M0},
    [25] = {2, DTYPE_U8},      [26] = {2, DTYPE_U8},
};

#define ONNX_TYPE_COUNT (sizeof(onnx_types) / sizeof(onnx_types[0]))

struct onnx {
    const struct part_set *set;
    size_t index; /* of the file parsed */
    struct scan scan;
    struct collect collect;
    struct diag *diag;
    uint8_t *text; /* COLLECT_NAME_MAX bytes for a name or location */
    uint8_t *key;  /* as many for another */
    size_t graphs; /* depth */
};

/* A range of the file; count says how often it was there. */
struct onnx_range {
    uint64_t offset;
    uint64_t size;
    uint64_t count;
};

struct onnx_tensor {
    struct onnx_range name;
    struct onnx_range raw, floats, doubles;
    struct onnx_range location;
    uint64_t external_offset, external_size;
    bool has_external_size;
    bool external;
    bool segmented;
    uint64_t type;
    uint64_t shape[TENSOR_RANK_MAX];
    uint32_t rank;
    uint64_t end; /* of the message */
};

static bool onnx_is(const struct protobuf_field *field, uint32_t number,
                    enum protobuf_wire wire)
{
    return field->number == number && field->wire == wire;
}

/* The last of several fields counts, as everywhere in protobuf. */
static void onnx_range(struct onnx_range *range,
                       const struct protobuf_field *field)
{
    *range = (struct onnx_range){field->offset, field->value, range->count + 1};
}

/* Loads a range into buf, cut at COLLECT_NAME_MAX. */
static enum status onnx_text(struct onnx *on, const struct onnx_range *range,
                             uint8_t *buf, struct bytes *out)
{
    size_t size =
        range->size < COLLECT_NAME_MAX ? (size_t)range->size : COLLECT_NAME_MAX;
    *out = bytes_of(buf, size);
    return scan_read(&on->scan, range->offset, buf, size);
}

/* ---- one tensor's fields ---- */

static enum status onnx_dim(struct onnx *on, struct onnx_tensor *t,
                            uint64_t dim, uint64_t at)
{
    if (t->rank == TENSOR_RANK_MAX)
        return diag_fail(on->diag, STATUS_LIMIT,
                         "tensor before offset %llu has more than %u dims",
                         (unsigned long long)at, TENSOR_RANK_MAX);
    if (dim >> 63)
        return diag_fail(on->diag, STATUS_CORRUPT,
                         "tensor before offset %llu has a negative dimension",
                         (unsigned long long)at);
    t->shape[t->rank++] = dim;
    return STATUS_OK;
}

static enum status onnx_dims(struct onnx *on, const struct protobuf *pb,
                             const struct protobuf_field *field,
                             struct onnx_tensor *t)
{
    uint64_t dim;
    enum status status = STATUS_OK;
    if (field->wire == PROTOBUF_VARINT)
        return onnx_dim(on, t, field->value, pb->pos);
    struct protobuf packed = protobuf_sub(pb, field);
    while (!status && protobuf_next_varint(&packed, &dim))
        status = onnx_dim(on, t, dim, packed.pos);
    return status ? status : packed.status;
}

static enum status onnx_number(struct onnx *on, struct bytes text,
                               uint64_t *out)
{
    uint64_t value = 0;
    bool good = text.size > 0;
    for (size_t i = 0; i < text.size && good; i++)
        good = text.data[i] >= '0' && text.data[i] <= '9' &&
               checked_mul_u64(value, 10, &value) &&
               checked_add_u64(value, (uint64_t)(text.data[i] - '0'), &value);
    if (!good)
        return diag_fail(on->diag, STATUS_CORRUPT,
                         "external data: offset or length is no number");
    *out = value;
    return STATUS_OK;
}

static enum status onnx_external_value(struct onnx *on, struct bytes key,
                                       const struct onnx_range *value,
                                       struct onnx_tensor *t)
{
    struct bytes text;
    bool is_size = bytes_equal(key, bytes_of_text("length"));
    if (bytes_equal(key, bytes_of_text("location"))) {
        t->location = *value;
        return STATUS_OK;
    }
    if (!is_size && !bytes_equal(key, bytes_of_text("offset")))
        return STATUS_OK;
    enum status status = onnx_text(on, value, on->text, &text);
    if (status)
        return status;
    t->has_external_size |= is_size;
    return onnx_number(on, text,
                       is_size ? &t->external_size : &t->external_offset);
}

static enum status onnx_external_entry(struct onnx *on, struct protobuf pb,
                                       struct onnx_tensor *t)
{
    struct onnx_range key_range = {0}, value = {0};
    struct protobuf_field field;
    struct bytes key;
    while (protobuf_next(&pb, &field)) {
        if (onnx_is(&field, ENTRY_KEY, PROTOBUF_BYTES))
            onnx_range(&key_range, &field);
        else if (onnx_is(&field, ENTRY_VALUE, PROTOBUF_BYTES))
            onnx_range(&value, &field);
    }
    if (pb.status)
        return pb.status;
    enum status status = onnx_text(on, &key_range, on->key, &key);
    return status ? status : onnx_external_value(on, key, &value, t);
}

static enum status onnx_tensor_bytes(struct onnx *on, const struct protobuf *pb,
                                     const struct protobuf_field *field,
                                     struct onnx_tensor *t)
{
    switch (field->number) {
    case TENSOR_DIMS:
        return onnx_dims(on, pb, field, t);
    case TENSOR_SEGMENT:
        t->segmented = true;
        break;
    case TENSOR_FLOAT_DATA:
        onnx_range(&t->floats, field);
        break;
    case TENSOR_DOUBLE_DATA:
        onnx_range(&t->doubles, field);
        break;
    case TENSOR_NAME:
        onnx_range(&t->name, field);
        break;
    case TENSOR_RAW_DATA:
        onnx_range(&t->raw, field);
        break;
    case TENSOR_EXTERNAL_DATA:
        return onnx_external_entry(on, protobuf_sub(pb, field), t);
    default:
        break;
    }
    return STATUS_OK;
}

/* Values that are not packed are each a field of their own: bytes. */
static enum status onnx_tensor_scalar(struct onnx *on,
                                      const struct protobuf *pb,
                                      const struct protobuf_field *field,
                                      struct onnx_tensor *t)
{
    if (onnx_is(field, TENSOR_DIMS, PROTOBUF_VARINT))
        return onnx_dims(on, pb, field, t);
    if (onnx_is(field, TENSOR_DATA_TYPE, PROTOBUF_VARINT))
        t->type = field->value;
    else if (onnx_is(field, TENSOR_DATA_LOCATION, PROTOBUF_VARINT))
        t->external = field->value == 1;
    else if (onnx_is(field, TENSOR_FLOAT_DATA, PROTOBUF_FIXED32))
        t->floats.count = UINT32_MAX;
    else if (onnx_is(field, TENSOR_DOUBLE_DATA, PROTOBUF_FIXED64))
        t->doubles.count = UINT32_MAX;
    return STATUS_OK;
}

static enum status onnx_read_tensor(struct onnx *on, struct protobuf pb,
                                    struct onnx_tensor *t)
{
    struct protobuf_field field;
    enum status status = STATUS_OK;
    memset(t, 0, sizeof(*t));
    t->end = pb.end;
    while (!status && protobuf_next(&pb, &field))
        status = field.wire == PROTOBUF_BYTES
                     ? onnx_tensor_bytes(on, &pb, &field, t)
                     : onnx_tensor_scalar(on, &pb, &field, t);
    return status ? status : pb.status;
}

/* ---- what a tensor is ---- */

/* Names in messages are cut and harmless to a terminal. */
static const char *onnx_label(struct bytes name, char out[41])
{
    size_t i = 0;
    for (; i < name.size && i < 40; i++)
        out[i] = (name.data[i] >= ' ' && name.data[i] < 127)
                     ? (char)name.data[i]
                     : '?';
    out[i] = 0;
    return out;
}

static enum status onnx_fail(struct onnx *on, struct bytes name,
                             enum status status, const char *what)
{
    char label[41];
    return diag_fail(on->diag, status, "tensor %s: %s", onnx_label(name, label),
                     what);
}

static enum status onnx_size(struct onnx *on, const struct onnx_tensor *t,
                             struct bytes name, uint64_t *size)
{
    uint64_t bits = onnx_types[t->type].bits;
    bool fits = true, empty = false;
    for (uint32_t i = 0; i < t->rank; i++)
        empty |= !t->shape[i];
    for (uint32_t i = 0; i < t->rank && fits && !empty; i++)
        fits = checked_mul_u64(bits, t->shape[i], &bits);
    if (!fits || bits > UINT64_MAX - 7)
        return onnx_fail(on, name, STATUS_CORRUPT, "shape overflows");
    *size = empty ? 0 : (bits + 7) / 8;
    return STATUS_OK;
}

static enum status onnx_emit(struct onnx *on, const struct onnx_tensor *t,
                             struct bytes name, size_t file, uint64_t offset,
                             uint64_t size)
{
    enum dtype dtype = onnx_types[t->type].dtype;
    uint64_t exact;
    struct tensor tensor = {
        .dtype = dtype,
        .rank = t->rank,
        .file = (uint32_t)file,
        .shape = t->shape,
        .offset = offset,
        .size = size,
    };
    if (!tensor_size_of(dtype, t->shape, t->rank, &exact) && exact == size)
        return collect_add(&on->collect, name, &tensor);
    return collect_add_flat(&on->collect, name, DTYPE_U8, (uint32_t)file,
                            offset, size);
}

static enum status onnx_external(struct onnx *on, const struct onnx_tensor *t,
                                 struct bytes name, uint64_t size)
{
    struct bytes location;
    size_t file = 0;
    if (!t->location.count)
        return onnx_fail(on, name, STATUS_CORRUPT,
                         "external data has no location");
    if (t->location.size > COLLECT_NAME_MAX)
        return onnx_fail(on, name, STATUS_LIMIT,
                         "location of external data is too long");
    enum status status = onnx_text(on, &t->location, on->key, &location);
    if (status)
        return status;
    if (t->has_external_size && t->external_size != size)
        return onnx_fail(on, name, STATUS_CORRUPT,
                         "shape and length of external data disagree");
    switch (part_find(on->set, on->index, location, &file)) {
    case PART_OUTSIDE:
        return onnx_fail(on, name, STATUS_CORRUPT,
                         "external data lies out of the model's folder");
    case PART_ABSENT:
        return STATUS_OK;
    case PART_FOUND:
        break;
    }
    uint64_t room = on->set->parts[file].size;
    if (t->external_offset > room || size > room - t->external_offset)
        return onnx_fail(on, name, STATUS_TRUNCATED,
                         "external data ends behind the end of its file");
    return onnx_emit(on, t, name, file, t->external_offset, size);
}

/* The one run of bytes that holds all elements, if there is one. */
static const struct onnx_range *onnx_run(const struct onnx_tensor *t)
{
    if (t->raw.count)
        return &t->raw;
    bool floats = t->type == ONNX_TYPE_FLOAT || t->type == ONNX_TYPE_COMPLEX64;
    bool doubles =
        t->type == ONNX_TYPE_DOUBLE || t->type == ONNX_TYPE_COMPLEX128;
    if (floats && t->floats.count == 1)
        return &t->floats;
    if (doubles && t->doubles.count == 1)
        return &t->doubles;
    return NULL;
}

/* Adds what was read, if it is a run of numbers and of size_min bytes. */
static enum status onnx_add(struct onnx *on, const struct onnx_tensor *t,
                            struct bytes name, uint64_t size_min)
{
    const struct onnx_range *run = onnx_run(t);
    uint64_t size = 0;
    if (t->type >= ONNX_TYPE_COUNT)
        return onnx_fail(on, name, STATUS_UNSUPPORTED,
                         "its element type is unknown");
    if (!onnx_types[t->type].bits || t->segmented)
        return STATUS_OK;
    enum status status = onnx_size(on, t, name, &size);
    if (status)
        return status;
    if (t->external)
        return onnx_external(on, t, name, size);
    if (run && run->size != size)
        return onnx_fail(on, name, STATUS_CORRUPT,
                         "shape and bytes of data disagree");
    if (size < size_min || (!run && size))
        return STATUS_OK;
    return onnx_emit(on, t, name, on->index, run ? run->offset : t->end, size);
}

static enum status onnx_initializer(struct onnx *on, struct protobuf pb)
{
    struct onnx_tensor t;
    struct bytes name;
    enum status status = onnx_read_tensor(on, pb, &t);
    if (!status)
        status = onnx_text(on, &t.name, on->text, &name);
    return status ? status : onnx_add(on, &t, name, 0);
}

/* The node's output names it better: many writers call all constants alike. */
static enum status onnx_attribute_tensor(struct onnx *on, struct protobuf pb,
                                         const struct onnx_range *output)
{
    struct onnx_tensor t;
    struct bytes name;
    enum status status = onnx_read_tensor(on, pb, &t);
    if (!status)
        status =
            onnx_text(on, output->size ? output : &t.name, on->text, &name);
    return status ? status : onnx_add(on, &t, name, ONNX_ATTRIBUTE_SIZE_MIN);
}

/* ---- graphs ---- */

static enum status onnx_graph(struct onnx *on, struct protobuf pb);

static enum status onnx_attribute(struct onnx *on, struct protobuf pb,
                                  const struct onnx_range *output)
{
    struct protobuf_field field;
    enum status status = STATUS_OK;
    while (!status && protobuf_next(&pb, &field)) {
        if (field.wire != PROTOBUF_BYTES)
            continue;
        if (field.number == ATTRIBUTE_T || field.number == ATTRIBUTE_TENSORS)
            status =
                onnx_attribute_tensor(on, protobuf_sub(&pb, &field), output);
        else if (field.number == ATTRIBUTE_G ||
                 field.number == ATTRIBUTE_GRAPHS)
            status = onnx_graph(on, protobuf_sub(&pb, &field));
    }
    return status ? status : pb.status;
}

static enum status onnx_node(struct onnx *on, struct protobuf pb)
{
    struct onnx_range output = {0};
    struct protobuf_field field;
    enum status status = STATUS_OK;
    while (!status && protobuf_next(&pb, &field)) {
        if (onnx_is(&field, NODE_OUTPUT, PROTOBUF_BYTES) && !output.count)
            onnx_range(&output, &field);
        else if (onnx_is(&field, NODE_ATTRIBUTE, PROTOBUF_BYTES))
            status = onnx_attribute(on, protobuf_sub(&pb, &field), &output);
    }
    return status ? status : pb.status;
}

static enum status onnx_graph(struct onnx *on, struct protobuf pb)
{
    struct protobuf_field field;
    enum status status = STATUS_OK;
    if (on->graphs == ONNX_GRAPHS_MAX)
        return diag_fail(on->diag, STATUS_LIMIT,
                         "graphs at offset %llu are nested more than %u deep",
                         (unsigned long long)pb.pos, ONNX_GRAPHS_MAX);
    on->graphs++;
    while (!status && protobuf_next(&pb, &field)) {
        if (onnx_is(&field, GRAPH_NODE, PROTOBUF_BYTES))
            status = onnx_node(on, protobuf_sub(&pb, &field));
        else if (onnx_is(&field, GRAPH_INITIALIZER, PROTOBUF_BYTES))
            status = onnx_initializer(on, protobuf_sub(&pb, &field));
    }
    on->graphs--;
    return status ? status : pb.status;
}

static enum status onnx_training(struct onnx *on, struct protobuf pb)
{
    struct protobuf_field field;
    enum status status = STATUS_OK;
    while (!status && protobuf_next(&pb, &field))
        if (onnx_is(&field, TRAINING_INITIALIZATION, PROTOBUF_BYTES) ||
            onnx_is(&field, TRAINING_ALGORITHM, PROTOBUF_BYTES))
            status = onnx_graph(on, protobuf_sub(&pb, &field));
    return status ? status : pb.status;
}

static enum status onnx_function(struct onnx *on, struct protobuf pb)
{
    struct protobuf_field field;
    enum status status = STATUS_OK;
    while (!status && protobuf_next(&pb, &field))
        if (onnx_is(&field, FUNCTION_NODE, PROTOBUF_BYTES))
            status = onnx_node(on, protobuf_sub(&pb, &field));
    return status ? status : pb.status;
}

static enum status onnx_model_field(struct onnx *on, const struct protobuf *pb,
                                    const struct protobuf_field *field,
                                    bool *graph)
{
    if (field->wire != PROTOBUF_BYTES)
        return STATUS_OK;
    switch (field->number) {
    case MODEL_GRAPH:
        *graph = true;
        return onnx_graph(on, protobuf_sub(pb, field));
    case MODEL_TRAINING:
        return onnx_training(on, protobuf_sub(pb, field));
    case MODEL_FUNCTIONS:
        return onnx_function(on, protobuf_sub(pb, field));
    default:
        return STATUS_OK;
    }
}

static enum status onnx_model(struct onnx *on)
{
    struct protobuf_field field;
    struct protobuf pb;
    bool graph = false;
    enum status status = STATUS_OK;
    protobuf_init(&pb, &on->scan, 0, on->scan.source->size, on->diag);
    while (!status && protobuf_next(&pb, &field))
        status = onnx_model_field(on, &pb, &field, &graph);
    if (!status)
        status = pb.status;
    if (!status && !graph)
        status = diag_fail(on->diag, STATUS_CORRUPT,
                           "file of %llu bytes holds no graph",
                           (unsigned long long)on->scan.source->size);
    return status;
}

static enum status onnx_run_parse(struct onnx *on, const struct source *file,
                                  struct arena *scratch)
{
    enum status status = scan_init(&on->scan, file, scratch);
    on->text = arena_alloc(scratch, COLLECT_NAME_MAX, 1);
    on->key = arena_alloc(scratch, COLLECT_NAME_MAX, 1);
    if (status || !on->text || !on->key)
        return STATUS_NO_MEMORY;
    status = onnx_model(on);
    return status ? status : collect_finish(&on->collect);
}

enum status onnx_parse(const struct part_set *set, size_t index,
                       struct arena *arena, struct tensor **tensors,
                       size_t *tensor_count, struct diag *diag)
{
    struct part_window window;
    struct source file = part_source(set, index, &window);
    struct onnx on = {.set = set, .index = index, .diag = diag};
    struct arena scratch;
    arena_init(&scratch, ONNX_SCRATCH_BUDGET);
    collect_init(&on.collect, arena, file.size, diag);
    enum status status = onnx_run_parse(&on, &file, &scratch);
    arena_deinit(&scratch);
    *tensors = status ? NULL : on.collect.items;
    *tensor_count = status ? 0 : on.collect.count;
    return status;
}

/* ---- probing ---- */

static bool onnx_probe_fields(struct protobuf *pb)
{
    struct protobuf_field field;
    bool graph = false, version = false;
    size_t count = 0;
    while (protobuf_next(pb, &field)) {
        bool number = field.number == 1 || field.number == 5;
        bool known = (field.number >= 1 && field.number <= MODEL_OPSET) ||
                     field.number == 14 || field.number == MODEL_TRAINING ||
                     field.number == MODEL_FUNCTIONS || field.number == 26;
        if (!known || ++count > ONNX_PROBE_FIELDS_MAX ||
            field.wire != (number ? PROTOBUF_VARINT : PROTOBUF_BYTES))
            return false;
        version |= field.number == 1;
        graph |= field.number == MODEL_GRAPH;
    }
    return !pb->status && graph && version;
}

/* Allocates nothing: an answer must not depend on the heap. */
bool onnx_probe(const struct source *file)
{
    uint8_t pages[SCAN_PAGES * SCAN_PAGE_SIZE];
    struct scan scan;
    struct protobuf pb;
    if (source_read(file, 0, pages, 1) || pages[0] != 0x08)
        return false;
    scan_init_pages(&scan, file, pages);
    protobuf_init(&pb, &scan, 0, file->size, NULL);
    return onnx_probe_fields(&pb);
}
