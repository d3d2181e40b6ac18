/* Values are put apart while a stream is read, since its tensors come in an
 * order of their own, and names and shapes, which a file begins with, are known
 * at its end only. */
#include "codec/nnc/nnc_model_read.h"

#include "codec/base/array.h"
#include "codec/base/checked.h"
#include "codec/model/safetensors.h"
#include "codec/model/safetensors_write.h"

#include <math.h>

#define ENTRIES_BUDGET ((size_t)256 << 20)
#define PIECE_ELEMS    ((size_t)1 << 15)

struct reading {
    const struct nnc_read_params *params;
    struct nnc_entries *out;
    struct nnc_dec *dec;
    uint32_t *piece; /* PIECE_ELEMS */
    /* The last entry is a product and a difference, to which the next unit may
     * add; so nothing of it was put yet, and held has it if it is to be put. */
    bool waits;
    float *held;
};

enum status nnc_shape_of_model(void *ctx, const char *name, uint32_t *rank,
                               uint64_t shape[NNC_RANK_MAX])
{
    const struct nnc_shapes *shapes = ctx;
    size_t index;
    if (!nnc_names_find(shapes->names, name, &index))
        return STATUS_NOT_FOUND;
    const struct tensor *tensor = &shapes->model->tensors[index];
    if (tensor->rank > NNC_RANK_MAX)
        return STATUS_NOT_FOUND;
    *rank = tensor->rank ? tensor->rank : 1;
    shape[0] = 1;
    for (uint32_t i = 0; i < tensor->rank; i++)
        shape[i] = tensor->shape[i];
    return STATUS_OK;
}

struct nnc_dec_limits nnc_limits_of_model(const struct model *model)
{
    struct nnc_dec_limits limits = {NNC_MODEL_SLACK, NNC_MODEL_SLACK, 0};
    for (size_t i = 0; i < model->tensor_count; i++) {
        uint64_t count = tensor_elem_count(&model->tensors[i]);
        count *= NNC_MODEL_TIMES; /* a content has at most 2^36 bytes */
        if (count > limits.elem_count_max)
            limits.elem_count_max = count;
        limits.elem_total_max += count;
    }
    return limits;
}

static enum status add_entry(struct reading *r, const struct nnc_tensor *tensor,
                             const struct nnc_product *product)
{
    struct nnc_entries *out = r->out;
    if (out->count == NNC_ENTRIES_MAX)
        return diag_fail(r->params->dec.diag, STATUS_LIMIT,
                         "the stream has more than %zu tensors",
                         NNC_ENTRIES_MAX);
    enum status status = array_grow((void **)&out->items, sizeof(*out->items),
                                    out->count + 1, &out->cap);
    if (status)
        return status;
    const char *name = product ? product->name : tensor->name;
    const uint64_t *shape = product ? product->shape : tensor->shape;
    uint32_t rank = product ? product->rank : tensor->rank;
    char *own = arena_text(&out->arena, name, strlen(name));
    uint64_t *dims = arena_alloc(&out->arena, rank, sizeof(*dims));
    if (!own || !dims)
        return out->arena.spent ? STATUS_LIMIT : STATUS_NO_MEMORY;
    memcpy(dims, shape, rank * sizeof(*dims));
    out->items[out->count++] = (struct nnc_entry){
        .name = own,
        .rank = rank,
        .shape = dims,
        .elem_count = product ? product->elem_count : tensor->elem_count,
        .ints = tensor->kind == NNC_INT,
        .difference = tensor->has_parent,
        .offset = out->values_size,
    };
    return STATUS_OK;
}

/* In place, from this machine's order of bytes. */
static struct bytes to_le(uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, words + i, sizeof(word));
        store_le32((uint8_t *)(words + i), word);
    }
    return bytes_of(words, count * 4);
}

static void add_held(const struct reading *r, uint64_t first, size_t count)
{
    for (size_t i = 0; r->held && i < count; i++) {
        float value;
        memcpy(&value, r->piece + i, sizeof(value));
        value = r->held[first + i] + value;
        if (isnan(value))
            value = NAN; /* whatever NaN the machine makes of infinities */
        memcpy(r->piece + i, &value, sizeof(value));
    }
}

static enum status put_values(struct reading *r, bool product)
{
    const struct nnc_entry *entry = &r->out->items[r->out->count - 1];
    enum status status = STATUS_OK;
    for (uint64_t at = 0; !status && r->params->put && at < entry->elem_count;
         at += PIECE_ELEMS) {
        uint64_t left = entry->elem_count - at;
        size_t count = left < PIECE_ELEMS ? (size_t)left : PIECE_ELEMS;
        if (product)
            nnc_dec_product_values(r->dec, at, count, (float *)r->piece);
        else
            nnc_dec_values(r->dec, at, count, r->piece);
        add_held(r, at, count);
        status = r->params->put(r->params->put_ctx, to_le(r->piece, count));
    }
    return status;
}

/* What was held is put as it is. */
static enum status let_go(struct reading *r)
{
    enum status status = STATUS_OK;
    uint64_t elem_count =
        r->held ? r->out->items[r->out->count - 1].elem_count : 0;
    for (uint64_t at = 0; !status && at < elem_count; at += PIECE_ELEMS) {
        uint64_t left = elem_count - at;
        size_t count = left < PIECE_ELEMS ? (size_t)left : PIECE_ELEMS;
        memcpy(r->piece, r->held + at, count * sizeof(*r->piece));
        status = r->params->put(r->params->put_ctx, to_le(r->piece, count));
    }
    free(r->held);
    r->held = NULL;
    r->waits = false;
    return status;
}

/* The product just read waits for the unit behind it. */
static enum status hold(struct reading *r)
{
    uint64_t count = r->out->items[r->out->count - 1].elem_count;
    size_t size;
    r->waits = true;
    if (!r->params->put)
        return STATUS_OK;
    if (count >= SIZE_MAX ||
        !checked_mul_size((size_t)count + 1, sizeof(*r->held), &size))
        return STATUS_NO_MEMORY;
    r->held = malloc(size);
    if (!r->held)
        return STATUS_NO_MEMORY;
    nnc_dec_product_values(r->dec, 0, count, r->held);
    return STATUS_OK;
}

/* Whether the tensor is the rest of the product that is held. */
static bool is_rest(const struct reading *r, const struct nnc_tensor *tensor)
{
    if (!r->waits || tensor->part != NNC_ALONE || !tensor->has_parent ||
        tensor->kind == NNC_INT)
        return false;
    const struct nnc_entry *entry = &r->out->items[r->out->count - 1];
    return !strcmp(entry->name, tensor->name) && entry->rank == tensor->rank &&
           !memcmp(entry->shape, tensor->shape,
                   tensor->rank * sizeof(*tensor->shape));
}

static enum status read_tensor(struct reading *r,
                               const struct nnc_tensor *tensor)
{
    const struct nnc_product *product = nnc_dec_product(r->dec);
    enum status status = STATUS_OK;
    if (is_rest(r, tensor)) {
        status = put_values(r, false);
        free(r->held);
        r->held = NULL;
        r->waits = false;
        return status;
    }
    status = let_go(r);
    if (!status)
        status = add_entry(r, tensor, product);
    if (status)
        return status;
    r->out->values_size += 4 * r->out->items[r->out->count - 1].elem_count;
    return product && tensor->has_parent ? hold(r)
                                         : put_values(r, product != NULL);
}

static enum status read_tensors(struct reading *r)
{
    const struct nnc_tensor *tensor;
    enum status status;
    while (!(status = nnc_dec_next(r->dec, &tensor)) && tensor) {
        if (tensor->part == NNC_G)
            continue; /* it comes with its H */
        status = read_tensor(r, tensor);
        if (status)
            return status;
    }
    if (!status)
        status = let_go(r);
    r->out->incremental = nnc_dec_stream(r->dec)->incremental;
    return status;
}

static enum status name_entries(struct nnc_entries *out)
{
    const char **text = calloc(out->count + 1, sizeof(*text));
    if (!text)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < out->count; i++)
        text[i] = out->items[i].name;
    enum status status = nnc_names_init(&out->names, text, out->count);
    free(text);
    return status;
}

enum status nnc_model_read(const struct nnc_read_params *params,
                           struct nnc_entries *out)
{
    struct reading r = {.params = params, .out = out};
    memset(out, 0, sizeof(*out));
    arena_init(&out->arena, ENTRIES_BUDGET);
    r.piece = malloc(PIECE_ELEMS * sizeof(*r.piece));
    enum status status = r.piece ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status)
        status = nnc_dec_new(&params->dec, &r.dec);
    if (!status)
        status = read_tensors(&r);
    if (!status)
        status = name_entries(out);
    nnc_dec_free(r.dec);
    free(r.piece);
    free(r.held);
    return status;
}

void nnc_entries_deinit(struct nnc_entries *entries)
{
    nnc_names_deinit(&entries->names);
    arena_deinit(&entries->arena);
    free(entries->items);
    memset(entries, 0, sizeof(*entries));
}

/* ---- a file of its own ---- */

enum status nnc_model_file(const struct nnc_entries *entries,
                           const struct source *values, nnc_put_fn put,
                           void *put_ctx, struct diag *diag)
{
    struct writer head;
    struct tensor *tensors = calloc(entries->count + 1, sizeof(*tensors));
    writer_init_heap(&head, SAFETENSORS_HEADER_MAX + 8u);
    enum status status = tensors ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < entries->count; i++) {
        const struct nnc_entry *entry = &entries->items[i];
        const char *name = entries->names.name[i];
        tensors[i] = (struct tensor){
            .name = name,
            .name_size = (uint32_t)strlen(name),
            .dtype = entry->ints ? DTYPE_I32 : DTYPE_F32,
            .rank = entry->rank,
            .shape = entry->shape,
        };
    }
    if (!status)
        status = safetensors_write_header(tensors, entries->count, &head, diag);
    if (!status)
        status = put(put_ctx, writer_view(&head));
    if (!status)
        status = source_each(values, 0, entries->values_size, put, put_ctx);
    writer_deinit(&head);
    free(tensors);
    return status;
}
