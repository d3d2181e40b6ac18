/* Model, SubGraph, Tensor and Buffer; numbers of fields are those of the
 * schema. */
#include "codec/model/tflite.h"

#include "codec/base/checked.h"
#include "codec/model/collect.h"
#include "codec/model/flatbuf.h"

#define TFLITE_SCRATCH_BUDGET ((size_t)8 << 20)

enum {
    MODEL_SUBGRAPHS = 2,
    MODEL_BUFFERS = 4,
    SUBGRAPH_TENSORS = 0,
    TENSOR_SHAPE = 0,
    TENSOR_TYPE = 1,
    TENSOR_BUFFER = 2,
    TENSOR_NAME = 3,
    TENSOR_QUANTIZATION = 4,
    QUANTIZATION_SCALE = 2,
    QUANTIZATION_ZERO_POINT = 3,
    BUFFER_DATA = 0,
    BUFFER_OFFSET = 1,
    BUFFER_SIZE = 2,
};

/* TensorType. bits 0: the bytes are shown as they are. */
struct tflite_type {
    uint8_t bits;
    enum dtype dtype;
};

static const struct tflite_type tflite_types[] = {
    [0] = {32, DTYPE_F32},   [1] = {16, DTYPE_F16},  [2] = {32, DTYPE_I32},
    [3] = {8, DTYPE_U8},     [4] = {64, DTYPE_I64},  [5] = {0, DTYPE_U8},
    [6] = {8, DTYPE_BOOL},   [7] = {16, DTYPE_I16},  [8] = {64, DTYPE_C64},
    [9] = {8, DTYPE_I8},     [10] = {64, DTYPE_F64}, [11] = {128, DTYPE_C128},
    [12] = {64, DTYPE_U64},  [13] = {0, DTYPE_U8},   [14] = {0, DTYPE_U8},
    [15] = {32, DTYPE_U32},  [16] = {16, DTYPE_U16}, [17] = {4, DTYPE_I4},
    [18] = {16, DTYPE_BF16},
};

#define TFLITE_TYPE_COUNT (sizeof(tflite_types) / sizeof(tflite_types[0]))

struct tflite_buffer {
    uint64_t offset;
    uint64_t size;
};

struct tflite {
    struct scan scan;
    struct flatbuf fb;
    struct collect collect;
    struct diag *diag;
    size_t index;
    struct tflite_buffer *buffers;
    uint32_t buffer_count;
    uint64_t steps_left; /* subgraphs and tensors that may still be walked */
    uint8_t *name;
};

static enum status tflite_identifier(struct tflite *tf)
{
    uint8_t head[8];
    if (tf->scan.source->size < sizeof(head))
        return diag_fail(tf->diag, STATUS_TRUNCATED,
                         "file of %llu bytes is too short for a model",
                         (unsigned long long)tf->scan.source->size);
    enum status status = scan_read(&tf->scan, 0, head, sizeof(head));
    if (!status && memcmp(head + 4, "TFL3", 4))
        status = diag_fail(tf->diag, STATUS_CORRUPT,
                           "identifier at offset 4 is not TFL3");
    return status;
}

/* offset is valid only above 1: 0 and 1 say that data is used. */
static enum status tflite_buffer(struct tflite *tf,
                                 const struct flatbuf_table *table,
                                 uint32_t number)
{
    struct tflite_buffer *buffer = &tf->buffers[number];
    struct flatbuf_vector data = flatbuf_vector(&tf->fb, table, BUFFER_DATA, 1);
    uint64_t offset = flatbuf_u64(&tf->fb, table, BUFFER_OFFSET, 0);
    uint64_t size = flatbuf_u64(&tf->fb, table, BUFFER_SIZE, 0);
    uint64_t file = tf->scan.source->size;
    if (tf->fb.status)
        return tf->fb.status;
    if (data.count || offset <= 1) {
        *buffer = (struct tflite_buffer){data.pos, data.count};
        return STATUS_OK;
    }
    if (offset > file || size > file - offset)
        return diag_fail(tf->diag, STATUS_CORRUPT,
                         "buffer %u ends behind the end of the file", number);
    *buffer = (struct tflite_buffer){offset, size};
    return STATUS_OK;
}

static enum status tflite_buffers(struct tflite *tf,
                                  const struct flatbuf_table *model,
                                  struct arena *scratch)
{
    struct flatbuf_vector list =
        flatbuf_vector(&tf->fb, model, MODEL_BUFFERS, 4);
    enum status status = tf->fb.status;
    if (!status && list.count > TFLITE_BUFFERS_MAX)
        return diag_fail(tf->diag, STATUS_LIMIT, "%u buffers are over %u",
                         list.count, TFLITE_BUFFERS_MAX);
    tf->buffer_count = list.count;
    tf->buffers = arena_alloc(scratch, list.count, sizeof(*tf->buffers));
    if (!tf->buffers)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; !status && i < list.count; i++) {
        struct flatbuf_table table = flatbuf_element(&tf->fb, &list, i);
        status = tflite_buffer(tf, &table, i);
    }
    return status;
}

static enum status tflite_fail(struct tflite *tf, uint32_t number,
                               const char *what)
{
    return diag_fail(tf->diag, STATUS_CORRUPT, "tensor %u of a subgraph: %s",
                     number, what);
}

static enum status tflite_shape(struct tflite *tf,
                                const struct flatbuf_table *table,
                                uint32_t number, uint64_t *shape,
                                uint32_t *rank)
{
    struct flatbuf_vector list =
        flatbuf_vector(&tf->fb, table, TENSOR_SHAPE, 4);
    if (!tf->fb.status && list.count > TENSOR_RANK_MAX)
        return diag_fail(tf->diag, STATUS_LIMIT,
                         "tensor %u of a subgraph has %u dimensions", number,
                         list.count);
    for (uint32_t i = 0; i < list.count; i++) {
        uint8_t buf[4];
        flatbuf_read(&tf->fb, list.pos + 4 * (uint64_t)i, buf, sizeof(buf));
        shape[i] = load_le32(buf);
        if (shape[i] >> 31)
            return tflite_fail(tf, number, "a dimension is negative");
    }
    *rank = list.count;
    return tf->fb.status;
}

static enum status tflite_name(struct tflite *tf,
                               const struct flatbuf_table *table,
                               struct bytes *name)
{
    struct flatbuf_vector text = flatbuf_vector(&tf->fb, table, TENSOR_NAME, 1);
    size_t size = text.count < COLLECT_NAME_MAX ? text.count : COLLECT_NAME_MAX;
    flatbuf_read(&tf->fb, text.pos, tf->name, size);
    *name = bytes_of(tf->name, size);
    return tf->fb.status;
}

/* The shape where it takes all bytes of the buffer, else one dimension. */
static enum status tflite_emit(struct tflite *tf, struct bytes name,
                               uint8_t type, struct tensor *tensor)
{
    struct tflite_type known = {0, DTYPE_U8};
    uint64_t size;
    if (type < TFLITE_TYPE_COUNT)
        known = tflite_types[type];
    tensor->dtype = known.dtype;
    if (known.bits &&
        !tensor_size_of(known.dtype, tensor->shape, tensor->rank, &size) &&
        size == tensor->size)
        return collect_add(&tf->collect, name, tensor);
    if (known.bits < 8 || tensor->size % (known.bits / 8)) {
        known.bits = 8;
        known.dtype = DTYPE_U8;
    }
    return collect_add_flat(&tf->collect, name, known.dtype, tensor->file,
                            tensor->offset, tensor->size / (known.bits / 8));
}

/* One vector of the quantisation, called name.what. */
static enum status tflite_quant_vector(struct tflite *tf,
                                       const struct flatbuf_table *table,
                                       unsigned field, struct bytes name,
                                       const char *what, enum dtype dtype)
{
    uint32_t elem = dtype_bits(dtype) / 8;
    struct flatbuf_vector list = flatbuf_vector(&tf->fb, table, field, elem);
    size_t size = strlen(what);
    if (tf->fb.status || list.count < TFLITE_QUANT_SIZE_MIN / elem)
        return tf->fb.status;
    if (name.size > COLLECT_NAME_MAX - size)
        name.size = COLLECT_NAME_MAX - size;
    memcpy(tf->name + name.size, what, size);
    return collect_add_flat(&tf->collect, bytes_of(tf->name, name.size + size),
                            dtype, (uint32_t)tf->index, list.pos, list.count);
}

static enum status tflite_quantization(struct tflite *tf,
                                       const struct flatbuf_table *tensor,
                                       struct bytes name)
{
    struct flatbuf_table table;
    if (!flatbuf_sub(&tf->fb, tensor, TENSOR_QUANTIZATION, &table))
        return tf->fb.status;
    enum status status = tflite_quant_vector(tf, &table, QUANTIZATION_SCALE,
                                             name, ".scale", DTYPE_F32);
    if (!status)
        status = tflite_quant_vector(tf, &table, QUANTIZATION_ZERO_POINT, name,
                                     ".zero_point", DTYPE_I64);
    return status;
}

static enum status tflite_tensor(struct tflite *tf,
                                 const struct flatbuf_table *table,
                                 uint32_t number)
{
    uint64_t shape[TENSOR_RANK_MAX];
    struct bytes name;
    uint32_t buffer = flatbuf_u32(&tf->fb, table, TENSOR_BUFFER, 0);
    uint8_t type = flatbuf_u8(&tf->fb, table, TENSOR_TYPE, 0);
    struct tensor tensor = {.file = (uint32_t)tf->index, .shape = shape};
    if (tf->fb.status || (!buffer && !tf->buffer_count))
        return tf->fb.status;
    if (buffer >= tf->buffer_count)
        return tflite_fail(tf, number, "its buffer does not exist");
    tensor.offset = tf->buffers[buffer].offset;
    tensor.size = tf->buffers[buffer].size;
    if (!tensor.size)
        return STATUS_OK;
    enum status status = tflite_shape(tf, table, number, shape, &tensor.rank);
    if (!status)
        status = tflite_name(tf, table, &name);
    if (!status)
        status = tflite_emit(tf, name, type, &tensor);
    return status ? status : tflite_quantization(tf, table, name);
}

static enum status tflite_step(struct tflite *tf)
{
    if (!tf->steps_left--)
        return diag_fail(tf->diag, STATUS_LIMIT,
                         "tensors are more than the file has room for");
    return STATUS_OK;
}

static enum status tflite_subgraph(struct tflite *tf,
                                   const struct flatbuf_table *graph)
{
    struct flatbuf_vector list =
        flatbuf_vector(&tf->fb, graph, SUBGRAPH_TENSORS, 4);
    enum status status = tf->fb.status;
    for (uint32_t i = 0; !status && i < list.count; i++) {
        status = tflite_step(tf);
        if (status)
            break;
        struct flatbuf_table table = flatbuf_element(&tf->fb, &list, i);
        status = tflite_tensor(tf, &table, i);
    }
    return status;
}

static enum status tflite_model(struct tflite *tf, struct arena *scratch)
{
    enum status status = tflite_identifier(tf);
    if (status)
        return status;
    struct flatbuf_table model = flatbuf_root(&tf->fb);
    status = tflite_buffers(tf, &model, scratch);
    if (status)
        return status;
    struct flatbuf_vector list =
        flatbuf_vector(&tf->fb, &model, MODEL_SUBGRAPHS, 4);
    status = tf->fb.status;
    for (uint32_t i = 0; !status && i < list.count; i++) {
        status = tflite_step(tf);
        if (status)
            break;
        struct flatbuf_table graph = flatbuf_element(&tf->fb, &list, i);
        status = tflite_subgraph(tf, &graph);
    }
    return status ? status : collect_finish(&tf->collect);
}

enum status tflite_parse(const struct part_set *set, size_t index,
                         struct arena *arena, struct tensor **tensors,
                         size_t *tensor_count, struct diag *diag)
{
    struct part_window window;
    struct source file = part_source(set, index, &window);
    struct tflite tf = {.diag = diag, .index = index};
    struct arena scratch;
    arena_init(&scratch, TFLITE_SCRATCH_BUDGET);
    collect_init(&tf.collect, arena, file.size, diag);
    tf.steps_left = file.size / 8; /* each has an offset and a table */
    enum status status = scan_init(&tf.scan, &file, &scratch);
    tf.fb = (struct flatbuf){.scan = &tf.scan, .diag = diag};
    tf.name = arena_alloc(&scratch, COLLECT_NAME_MAX, 1);
    if (!status)
        status = tf.name ? tflite_model(&tf, &scratch) : STATUS_NO_MEMORY;
    arena_deinit(&scratch);
    *tensors = status ? NULL : tf.collect.items;
    *tensor_count = status ? 0 : tf.collect.count;
    return status;
}

bool tflite_probe(const struct source *file)
{
    uint8_t head[8];
    return !source_read(file, 0, head, sizeof(head)) &&
           !memcmp(head + 4, "TFL3", 4);
}
