/* The public face of reading NNC streams: deltamesh/nnc.h, "Reading". */
#include "codec/api/adapt.h"
#include "codec/api/nnc_kept.h"
#include "codec/nnc/nnc_dec.h"

#include <assert.h>
#include <deltamesh/nnc.h>

struct dmc_nnc_dec {
    struct dmc_nnc_dec_params params;
    struct adapt_source from;
    struct nnc_dec *dec;
    bool failed;
    bool has_tensor;
    struct dmc_nnc_tensor tensor, product;
    struct diag diag; /* of the call that runs */
};

#define READ_SAME(name)                                   \
    static_assert((int)DMC_NNC_##name == (int)NNC_##name, \
                  "public names are ours")

READ_SAME(INT);
READ_SAME(UNIFORM);
READ_SAME(CODEBOOK);
READ_SAME(ALONE);
READ_SAME(WEIGHT);
READ_SAME(G);
READ_SAME(H);
READ_SAME(LOCAL_SCALING);
READ_SAME(BN_BETA);
READ_SAME(BN_GAMMA);
READ_SAME(BN_MEAN);
READ_SAME(BN_VAR);
READ_SAME(BIAS);
static_assert((int)DMC_NNC_RAW == (int)NNC_RAW_FLOAT, "public names are ours");
static_assert(NNC_RANK_MAX == 32, "what the header says");

static enum status read_shape(void *ctx, const char *name, uint32_t *rank,
                              uint64_t shape[NNC_RANK_MAX])
{
    const struct dmc_nnc_dec *dec = ctx;
    return adapt_answer(
        dec->params.shape_of(dec->params.shape_ctx, name, rank, shape));
}

static enum status read_begin(struct dmc_nnc_dec *dec,
                              const struct dmc_source *source,
                              const struct dmc_nnc_dec_params *params)
{
    struct dmc_nnc_dec_params *own = &dec->params;
    enum status status = STATUS_OK;
    if (params)
        status =
            adapt_params(params, sizeof(*own), own, sizeof(*own), &dec->diag);
    if (!status)
        status = adapt_source_init(&dec->from, source, &dec->diag);
    if (status)
        return status;
    const struct nnc_dec_params ours = {
        .in = &dec->from.source,
        .limits = {own->elem_count_max, own->elem_total_max, 0},
        .state = own->state ? own->state->state : NULL,
        .shape_of = own->shape_of ? read_shape : NULL,
        .shape_ctx = dec,
        .diag = &dec->diag,
    };
    return nnc_dec_new(&ours, &dec->dec);
}

enum dmc_status dmc_nnc_dec_new(const struct dmc_source *source,
                                const struct dmc_nnc_dec_params *params,
                                struct dmc_nnc_dec **dec,
                                struct dmc_error *error)
{
    *dec = NULL;
    struct dmc_nnc_dec *made = calloc(1, sizeof(*made));
    if (!made)
        return adapt_end(STATUS_NO_MEMORY, NULL, error);
    dmc_nnc_tensor_init(&made->tensor);
    dmc_nnc_tensor_init(&made->product);
    enum status status = read_begin(made, source, params);
    enum dmc_status told = adapt_end(status, &made->diag, error);
    if (status)
        dmc_nnc_dec_free(made);
    else
        *dec = made;
    return told;
}

void dmc_nnc_dec_free(struct dmc_nnc_dec *dec)
{
    if (!dec)
        return;
    nnc_dec_free(dec->dec);
    free(dec);
}

static void read_tell(struct dmc_nnc_dec *dec, const struct nnc_tensor *from)
{
    dec->tensor = (struct dmc_nnc_tensor){
        .struct_size = sizeof(dec->tensor),
        .name = from->name,
        .shape = from->shape,
        .elem_count = from->elem_count,
        .rank = from->rank,
        .kind = (uint32_t)from->kind,
        .part = (uint32_t)from->part,
        .qp = from->qp,
        .qp_density = from->qp_density,
        .dq = from->dq,
        .codebook = from->codebook.size ? from->codebook.values : NULL,
        .codebook_size = from->codebook.size,
        .codebook_zero = from->codebook.zero,
        .unary = from->unary,
        .scan_order = from->scan_order,
        .device_id = from->device_id,
        .parameter_id = from->parameter_id,
        .put_node_depth = from->put_node_depth,
        .has_parent = from->has_parent,
        .temporal = from->temporal,
        .coded_size = from->coded_size,
    };
}

static void read_tell_product(struct dmc_nnc_dec *dec)
{
    const struct nnc_product *from = nnc_dec_product(dec->dec);
    dec->product.name = from ? from->name : NULL;
    if (!from)
        return;
    dec->product.shape = from->shape;
    dec->product.rank = from->rank;
    dec->product.elem_count = from->elem_count;
}

enum dmc_status dmc_nnc_dec_next(struct dmc_nnc_dec *dec,
                                 const struct dmc_nnc_tensor **tensor,
                                 struct dmc_error *error)
{
    const struct nnc_tensor *next = NULL;
    *tensor = NULL;
    dec->has_tensor = false;
    diag_reset(&dec->diag);
    if (dec->failed)
        return adapt_end(
            diag_fail(&dec->diag, STATUS_USAGE, "the stream has failed"),
            &dec->diag, error);
    enum status status = nnc_dec_next(dec->dec, &next);
    dec->failed = status != STATUS_OK;
    if (!status && next) {
        read_tell(dec, next);
        read_tell_product(dec);
        dec->has_tensor = true;
        *tensor = &dec->tensor;
    }
    return adapt_end(status, &dec->diag, error);
}

const int32_t *dmc_nnc_dec_levels(const struct dmc_nnc_dec *dec)
{
    return dec->has_tensor ? nnc_dec_levels(dec->dec) : NULL;
}

static bool read_within(uint64_t first, uint64_t count, uint64_t all)
{
    return first <= all && count <= all - first;
}

enum dmc_status dmc_nnc_dec_values(const struct dmc_nnc_dec *dec,
                                   uint64_t first, uint64_t count, void *out)
{
    if (!dec->has_tensor || !read_within(first, count, dec->tensor.elem_count))
        return DMC_USAGE;
    if (count)
        nnc_dec_values(dec->dec, first, count, out);
    return DMC_OK;
}

const struct dmc_nnc_tensor *dmc_nnc_dec_product(const struct dmc_nnc_dec *dec)
{
    return dec->has_tensor && dec->product.name ? &dec->product : NULL;
}

enum dmc_status dmc_nnc_dec_product_values(const struct dmc_nnc_dec *dec,
                                           uint64_t first, uint64_t count,
                                           float *out)
{
    const struct dmc_nnc_tensor *product = dmc_nnc_dec_product(dec);
    if (!product || !read_within(first, count, product->elem_count))
        return DMC_USAGE;
    if (count)
        nnc_dec_product_values(dec->dec, first, count, out);
    return DMC_OK;
}

enum dmc_status dmc_nnc_dec_stream(const struct dmc_nnc_dec *dec,
                                   struct dmc_nnc_stream *stream)
{
    const struct nnc_stream *from = nnc_dec_stream(dec->dec);
    const struct dmc_nnc_stream own = {
        .profile = from->profile,
        .qp_density = from->qp_density,
        .incremental = from->incremental,
        .topology_format = from->topology_format,
        .offset = from->offset,
    };
    return (enum dmc_status)adapt_result(&own, sizeof(own), sizeof(own),
                                         stream);
}
