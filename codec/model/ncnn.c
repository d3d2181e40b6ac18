/* Reads the text line by line and follows the weights through the binary in
 * the order in which each layer loads them. */
#include "codec/model/ncnn.h"

#include "codec/base/checked.h"
#include "codec/model/collect.h"
#include "codec/model/scan.h"

#include <stdio.h>
#include <stdlib.h>

#define NCNN_MAGIC          "7767517"
#define NCNN_SCRATCH_BUDGET ((size_t)1 << 20)
#define NCNN_PARAMS         32u
#define NCNN_COUNT_MAX      ((int64_t)INT32_MAX)
#define NCNN_LAYERS_MAX     (1 << 20)
#define NCNN_VALUES_MAX     (UINT64_C(1) << 48)
#define NCNN_RANK_MAX       5u
#define NCNN_TABLE_SIZE     256u

/* Marks before weights that may be packed. */
#define NCNN_MARK_F16 0x01306b47u
#define NCNN_MARK_I8  0x000d4b38u
#define NCNN_MARK_F32 0x0002c056u

struct ncnn_layer {
    struct bytes type;
    struct bytes name;
    int64_t params[NCNN_PARAMS];
    bool given[NCNN_PARAMS]; /* as a whole number */
};

struct ncnn {
    struct diag *diag;
    struct collect collect;
    struct scan scan; /* of the binary */
    size_t bin;       /* its index */
    uint64_t pos;     /* in it */
    bool over;        /* weights would end behind its end */
    bool strange;     /* a layer came that is not known for sure: there */
    size_t strange_count;
    uint64_t strange_pos;
};

/* ---- weights ---- */

/* What one load of a layer is: so many values in this shape. */
struct ncnn_weights {
    const char *name;
    uint64_t count;
    uint32_t rank;
    uint64_t shape[NCNN_RANK_MAX];
    bool marked; /* a mark comes before it, else f32 */
};

static bool ncnn_room(struct ncnn *nc, uint64_t size)
{
    if (nc->over || size > nc->scan.source->size - nc->pos)
        nc->over = true;
    return !nc->over;
}

static enum status ncnn_name(const struct ncnn_layer *layer, const char *what,
                             char *out, size_t size, struct bytes *name)
{
    int length = snprintf(out, size, "%.*s.%s", (int)(layer->name.size & 0xfff),
                          (const char *)layer->name.data, what);
    *name = bytes_of(out, length > 0 && (size_t)length < size ? (size_t)length
                                                              : size - 1);
    return STATUS_OK;
}

/* count values of a type, then bytes up to a whole word. */
static enum status ncnn_take(struct ncnn *nc, const struct ncnn_layer *layer,
                             const struct ncnn_weights *w, const char *what,
                             enum dtype dtype)
{
    char buf[4096 + 32];
    struct bytes name;
    uint64_t flat = w->count, product = 1;
    uint64_t size = w->count * (dtype_bits(dtype) / 8);
    struct tensor tensor = {
        .dtype = dtype,
        .rank = 1,
        .file = (uint32_t)nc->bin,
        .shape = &flat,
        .offset = nc->pos,
        .size = size,
    };
    if (w->count > NCNN_VALUES_MAX)
        nc->over = true;
    if (!ncnn_room(nc, (size + 3) & ~UINT64_C(3)))
        return STATUS_OK;
    nc->pos += (size + 3) & ~UINT64_C(3);
    for (uint32_t i = 0; i < w->rank; i++)
        if (!checked_mul_u64(product, w->shape[i], &product))
            product = 0;
    if (w->rank && product == w->count) {
        tensor.rank = w->rank;
        tensor.shape = w->shape;
    }
    if (!w->count)
        return STATUS_OK;
    enum status status = ncnn_name(layer, what, buf, sizeof(buf), &name);
    return status ? status : collect_add(&nc->collect, name, &tensor);
}

/* Indices into a table of their own. */
static enum status ncnn_take_table(struct ncnn *nc,
                                   const struct ncnn_layer *layer,
                                   const struct ncnn_weights *w)
{
    char what[32];
    struct ncnn_weights table = {.count = NCNN_TABLE_SIZE};
    snprintf(what, sizeof(what), "%s_table", w->name);
    enum status status = ncnn_take(nc, layer, &table, what, DTYPE_F32);
    return status ? status : ncnn_take(nc, layer, w, w->name, DTYPE_U8);
}

static enum status ncnn_load(struct ncnn *nc, const struct ncnn_layer *layer,
                             const struct ncnn_weights *w)
{
    uint8_t mark[4] = {0};
    if (!w->marked)
        return ncnn_take(nc, layer, w, w->name, DTYPE_F32);
    if (!ncnn_room(nc, sizeof(mark)))
        return STATUS_OK;
    enum status status = scan_read(&nc->scan, nc->pos, mark, sizeof(mark));
    nc->pos += sizeof(mark);
    if (status)
        return status;
    switch (load_le32(mark)) {
    case NCNN_MARK_F16:
        return ncnn_take(nc, layer, w, w->name, DTYPE_F16);
    case NCNN_MARK_I8:
        return ncnn_take(nc, layer, w, w->name, DTYPE_I8);
    case NCNN_MARK_F32:
    case 0:
        return ncnn_take(nc, layer, w, w->name, DTYPE_F32);
    default:
        return ncnn_take_table(nc, layer, w);
    }
}

/* ---- layers ---- */

/* A parameter that counts something; other where it is not given. */
static uint64_t ncnn_param(const struct ncnn_layer *layer, unsigned id,
                           uint64_t other)
{
    if (!layer->given[id] || layer->params[id] < 0 ||
        layer->params[id] > NCNN_COUNT_MAX)
        return layer->given[id] ? 0 : other;
    return (uint64_t)layer->params[id];
}

static enum status ncnn_plain(struct ncnn *nc, const struct ncnn_layer *layer,
                              const char *name, uint64_t count)
{
    struct ncnn_weights w = {.name = name, .count = count};
    return ncnn_load(nc, layer, &w);
}

static enum status ncnn_marked(struct ncnn *nc, const struct ncnn_layer *layer,
                               const char *name, uint64_t count, uint64_t rows)
{
    struct ncnn_weights w = {.name = name, .count = count, .marked = true};
    if (rows && count % rows == 0) {
        w.rank = 2;
        w.shape[0] = rows;
        w.shape[1] = count / rows;
    }
    return ncnn_load(nc, layer, &w);
}

/* Weights as [outputs, inputs, (depth, height,) width]; kernel: dimensions. */
static enum status ncnn_kernel(struct ncnn *nc, const struct ncnn_layer *layer,
                               uint64_t outputs, unsigned kernel)
{
    uint64_t width = ncnn_param(layer, 1, 0);
    uint64_t height = kernel > 1 ? ncnn_param(layer, 11, width) : 1;
    uint64_t depth = kernel > 2 ? ncnn_param(layer, 21, width) : 1;
    struct ncnn_weights w = {
        .name = "weight", .count = ncnn_param(layer, 6, 0), .marked = true};
    uint64_t each = 1;
    if (checked_mul_u64(outputs, width, &each) &&
        checked_mul_u64(each, height, &each) &&
        checked_mul_u64(each, depth, &each) && each && w.count % each == 0) {
        w.shape[w.rank++] = outputs;
        w.shape[w.rank++] = w.count / each;
        if (kernel > 2)
            w.shape[w.rank++] = depth;
        if (kernel > 1)
            w.shape[w.rank++] = height;
        w.shape[w.rank++] = width;
    }
    return ncnn_load(nc, layer, &w);
}

/* Scales of int8 layers: of the weights, of the input, perhaps of the output.
 */
static enum status ncnn_scales(struct ncnn *nc, const struct ncnn_layer *layer,
                               uint64_t count, uint64_t term)
{
    enum status status = STATUS_OK;
    if (!term)
        return STATUS_OK;
    status = ncnn_plain(nc, layer, "weight_scales", count);
    if (!status)
        status = ncnn_plain(nc, layer, "input_scale", 1);
    if (!status && term > 100)
        status = ncnn_plain(nc, layer, "output_scale", 1);
    return status;
}

/* Convolutions and deconvolutions; dynamic: the parameter that says that the
 * weights are an input. */
static enum status ncnn_any_conv(struct ncnn *nc,
                                 const struct ncnn_layer *layer,
                                 unsigned kernel, unsigned dynamic)
{
    uint64_t outputs = ncnn_param(layer, 0, 0);
    if (ncnn_param(layer, dynamic, 0))
        return STATUS_OK;
    enum status status = ncnn_kernel(nc, layer, outputs, kernel);
    if (!status && ncnn_param(layer, 5, 0))
        status = ncnn_plain(nc, layer, "bias", outputs);
    return status;
}

static enum status ncnn_conv(struct ncnn *nc, const struct ncnn_layer *layer)
{
    enum status status = ncnn_any_conv(nc, layer, 2, 19);
    if (status || ncnn_param(layer, 19, 0))
        return status;
    return ncnn_scales(nc, layer, ncnn_param(layer, 0, 0),
                       ncnn_param(layer, 8, 0));
}

/* int8: one scale a group, or (2, 102) one for all. */
static enum status ncnn_conv_depthwise(struct ncnn *nc,
                                       const struct ncnn_layer *layer)
{
    uint64_t term = ncnn_param(layer, 8, 0);
    bool each = term == 1 || term == 101;
    enum status status = ncnn_any_conv(nc, layer, 2, 19);
    if (status || ncnn_param(layer, 19, 0))
        return status;
    return ncnn_scales(nc, layer, each ? ncnn_param(layer, 7, 1) : 1, term);
}

static enum status ncnn_conv_1d(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_any_conv(nc, layer, 1, 19);
}

static enum status ncnn_conv_3d(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_any_conv(nc, layer, 3, NCNN_PARAMS - 1);
}

static enum status ncnn_deformable(struct ncnn *nc,
                                   const struct ncnn_layer *layer)
{
    return ncnn_any_conv(nc, layer, 2, NCNN_PARAMS - 1);
}

static enum status ncnn_deconv(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_any_conv(nc, layer, 2, 28);
}

static enum status ncnn_deconv_1d(struct ncnn *nc,
                                  const struct ncnn_layer *layer)
{
    return ncnn_any_conv(nc, layer, 1, 28);
}

static enum status ncnn_inner_product(struct ncnn *nc,
                                      const struct ncnn_layer *layer)
{
    uint64_t outputs = ncnn_param(layer, 0, 0);
    enum status status =
        ncnn_marked(nc, layer, "weight", ncnn_param(layer, 2, 0), outputs);
    if (!status && ncnn_param(layer, 1, 0))
        status = ncnn_plain(nc, layer, "bias", outputs);
    if (!status && ncnn_param(layer, 8, 0))
        status = ncnn_scales(nc, layer, outputs, 1);
    return status;
}

static enum status ncnn_embed(struct ncnn *nc, const struct ncnn_layer *layer)
{
    enum status status = ncnn_marked(
        nc, layer, "weight", ncnn_param(layer, 3, 0), ncnn_param(layer, 1, 0));
    if (!status && ncnn_param(layer, 2, 0))
        status = ncnn_plain(nc, layer, "bias", ncnn_param(layer, 0, 0));
    if (!status && ncnn_param(layer, 18, 0))
        status = ncnn_plain(nc, layer, "weight_scale", 1);
    return status;
}

static enum status ncnn_batch_norm(struct ncnn *nc,
                                   const struct ncnn_layer *layer)
{
    static const char *const names[] = {"slope", "mean", "var", "bias"};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 4 && !status; i++)
        status = ncnn_plain(nc, layer, names[i], ncnn_param(layer, 0, 0));
    return status;
}

/* -233: the scale is an input. */
static enum status ncnn_scale(struct ncnn *nc, const struct ncnn_layer *layer)
{
    uint64_t count = ncnn_param(layer, 0, 0);
    enum status status = ncnn_plain(nc, layer, "scale", count);
    if (!status && ncnn_param(layer, 1, 0))
        status = ncnn_plain(nc, layer, "bias", count);
    return status;
}

static enum status ncnn_slope(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_plain(nc, layer, "slope", ncnn_param(layer, 0, 0));
}

static enum status ncnn_bias(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_plain(nc, layer, "bias", ncnn_param(layer, 0, 0));
}

static enum status ncnn_normalize(struct ncnn *nc,
                                  const struct ncnn_layer *layer)
{
    return ncnn_plain(nc, layer, "scale", ncnn_param(layer, 3, 0));
}

static enum status ncnn_affine(struct ncnn *nc, const struct ncnn_layer *layer,
                               uint64_t count, uint64_t affine)
{
    enum status status = STATUS_OK;
    if (affine)
        status = ncnn_plain(nc, layer, "gamma", count);
    if (affine && !status)
        status = ncnn_plain(nc, layer, "beta", count);
    return status;
}

static enum status ncnn_group_norm(struct ncnn *nc,
                                   const struct ncnn_layer *layer)
{
    return ncnn_affine(nc, layer, ncnn_param(layer, 1, 0),
                       ncnn_param(layer, 3, 1));
}

/* LayerNorm and InstanceNorm. */
static enum status ncnn_layer_norm(struct ncnn *nc,
                                   const struct ncnn_layer *layer)
{
    return ncnn_affine(nc, layer, ncnn_param(layer, 0, 0),
                       ncnn_param(layer, 2, 1));
}

static enum status ncnn_rms_norm(struct ncnn *nc,
                                 const struct ncnn_layer *layer)
{
    if (!ncnn_param(layer, 2, 1))
        return STATUS_OK;
    return ncnn_plain(nc, layer, "gamma", ncnn_param(layer, 0, 0));
}

/* w, h, d, c: those not given are 1, once one is. 21: 0 says a mark comes. */
static enum status ncnn_memory_data(struct ncnn *nc,
                                    const struct ncnn_layer *layer)
{
    static const unsigned ids[] = {2, 11, 1, 0};
    struct ncnn_weights w = {.name = "data", .count = 1};
    w.marked = !ncnn_param(layer, 21, 1);
    for (size_t i = 0; i < 4; i++) {
        uint64_t dim = ncnn_param(layer, ids[i], 0);
        if (!dim)
            continue;
        w.shape[w.rank++] = dim;
        if (!checked_mul_u64(w.count, dim, &w.count) ||
            w.count > (uint64_t)NCNN_COUNT_MAX) {
            nc->over = true;
            return STATUS_OK;
        }
    }
    return w.rank ? ncnn_load(nc, layer, &w) : STATUS_OK;
}

/* gates: of the cell; biases: vectors of it. */
static enum status ncnn_recurrent(struct ncnn *nc,
                                  const struct ncnn_layer *layer,
                                  uint64_t gates, uint64_t biases)
{
    uint64_t outputs = ncnn_param(layer, 0, 0);
    uint64_t ways = ncnn_param(layer, 2, 0) == 2 ? 2 : 1;
    uint64_t hidden = ncnn_param(layer, 3, outputs);
    uint64_t wide = gates * hidden * ways;
    if (outputs > 0xffffff || hidden > 0xffffff) {
        nc->over = true;
        return STATUS_OK;
    }
    enum status status =
        ncnn_marked(nc, layer, "weight_xc", ncnn_param(layer, 1, 0), wide);
    if (!status)
        status = ncnn_marked(nc, layer, "bias_c", biases * hidden * ways,
                             biases * ways);
    if (!status)
        status = ncnn_marked(nc, layer, "weight_hc", wide * outputs, wide);
    if (!status && hidden != outputs)
        status = ncnn_marked(nc, layer, "weight_hr", hidden * outputs * ways,
                             outputs * ways);
    return status;
}

static enum status ncnn_lstm(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_recurrent(nc, layer, 4, 4);
}

static enum status ncnn_gru(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_recurrent(nc, layer, 3, 4);
}

static enum status ncnn_rnn(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_recurrent(nc, layer, 1, 1);
}

static enum status ncnn_projection(struct ncnn *nc,
                                   const struct ncnn_layer *layer, char which,
                                   uint64_t outputs, uint64_t inputs)
{
    char weight[16], bias[16];
    snprintf(weight, sizeof(weight), "%c_weight", which);
    snprintf(bias, sizeof(bias), "%c_bias", which);
    enum status status =
        ncnn_marked(nc, layer, weight, outputs * inputs, outputs);
    return status ? status : ncnn_plain(nc, layer, bias, outputs);
}

static enum status ncnn_attention(struct ncnn *nc,
                                  const struct ncnn_layer *layer)
{
    uint64_t width = ncnn_param(layer, 0, 0);
    uint64_t inputs = width ? ncnn_param(layer, 2, 0) / width : 0;
    enum status status = ncnn_projection(nc, layer, 'q', width, inputs);
    if (!status)
        status =
            ncnn_projection(nc, layer, 'k', width, ncnn_param(layer, 3, width));
    if (!status)
        status =
            ncnn_projection(nc, layer, 'v', width, ncnn_param(layer, 4, width));
    return status ? status : ncnn_projection(nc, layer, 'o', inputs, width);
}

/* One value a channel to pad with. */
static enum status ncnn_padding(struct ncnn *nc, const struct ncnn_layer *layer)
{
    return ncnn_plain(nc, layer, "pad", ncnn_param(layer, 6, 0));
}

static enum status ncnn_quantize(struct ncnn *nc,
                                 const struct ncnn_layer *layer)
{
    return ncnn_plain(nc, layer, "scale", ncnn_param(layer, 0, 1));
}

static enum status ncnn_dequantize(struct ncnn *nc,
                                   const struct ncnn_layer *layer)
{
    enum status status = ncnn_quantize(nc, layer);
    return status ? status
                  : ncnn_plain(nc, layer, "bias", ncnn_param(layer, 1, 0));
}

static enum status ncnn_requantize(struct ncnn *nc,
                                   const struct ncnn_layer *layer)
{
    enum status status =
        ncnn_plain(nc, layer, "scale_in", ncnn_param(layer, 0, 1));
    if (!status)
        status = ncnn_plain(nc, layer, "scale_out", ncnn_param(layer, 1, 1));
    return status ? status
                  : ncnn_plain(nc, layer, "bias", ncnn_param(layer, 2, 0));
}

static const struct ncnn_kind {
    const char *type;
    enum status (*load)(struct ncnn *nc, const struct ncnn_layer *layer);
} ncnn_kinds[] = {
    {"Convolution", ncnn_conv},
    {"ConvolutionDepthWise", ncnn_conv_depthwise},
    {"Convolution1D", ncnn_conv_1d},
    {"ConvolutionDepthWise1D", ncnn_conv_1d},
    {"Convolution3D", ncnn_conv_3d},
    {"ConvolutionDepthWise3D", ncnn_conv_3d},
    {"Deconvolution", ncnn_deconv},
    {"DeconvolutionDepthWise", ncnn_deconv},
    {"Deconvolution1D", ncnn_deconv_1d},
    {"DeconvolutionDepthWise1D", ncnn_deconv_1d},
    {"Deconvolution3D", ncnn_conv_3d},
    {"DeconvolutionDepthWise3D", ncnn_conv_3d},
    {"DeformableConv2D", ncnn_deformable},
    {"Padding", ncnn_padding},
    {"InnerProduct", ncnn_inner_product},
    {"Embed", ncnn_embed},
    {"BatchNorm", ncnn_batch_norm},
    {"Scale", ncnn_scale},
    {"PReLU", ncnn_slope},
    {"Bias", ncnn_bias},
    {"Normalize", ncnn_normalize},
    {"GroupNorm", ncnn_group_norm},
    {"LayerNorm", ncnn_layer_norm},
    {"InstanceNorm", ncnn_layer_norm},
    {"RMSNorm", ncnn_rms_norm},
    {"MemoryData", ncnn_memory_data},
    {"LSTM", ncnn_lstm},
    {"GRU", ncnn_gru},
    {"RNN", ncnn_rnn},
    {"MultiHeadAttention", ncnn_attention},
    {"Quantize", ncnn_quantize},
    {"Dequantize", ncnn_dequantize},
    {"Requantize", ncnn_requantize},
};

/* Layers that are known to have no weights. */
static const char *const ncnn_bare[] = {
    "AbsVal",
    "ArgMax",
    "BinaryOp",
    "BNLL",
    "CELU",
    "Cast",
    "Clip",
    "Concat",
    "CopyTo",
    "Crop",
    "CumulativeSum",
    "DeepCopy",
    "DetectionOutput",
    "Diag",
    "Dropout",
    "ELU",
    "Einsum",
    "Eltwise",
    "Erf",
    "Exp",
    "ExpandDims",
    "Flatten",
    "Flip",
    "Fold",
    "GELU",
    "GLU",
    "Gemm",
    "GridSample",
    "HardSigmoid",
    "HardSwish",
    "Input",
    "Interp",
    "LRN",
    "Log",
    "MVN",
    "MatMul",
    "Mish",
    "Noop",
    "Packing",
    "Permute",
    "PixelShuffle",
    "Pooling",
    "Pooling1D",
    "Pooling3D",
    "Power",
    "PriorBox",
    "Proposal",
    "PSROIPooling",
    "ROIAlign",
    "ROIPooling",
    "ReLU",
    "Reduction",
    "Reorg",
    "Reshape",
    "SELU",
    "SPP",
    "Shrink",
    "ShuffleChannel",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Squeeze",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
    "UnaryOp",
    "Unfold",
    "Yolov3DetectionOutput",
    "YoloDetectionOutput",
};

static bool ncnn_is_bare(const struct ncnn_layer *layer)
{
    /* Gemm may hold constants when it says so. */
    if (layer->params[4] || layer->params[5] || layer->params[6])
        if (bytes_equal(layer->type, bytes_of_text("Gemm")))
            return false;
    for (size_t i = 0; i < sizeof(ncnn_bare) / sizeof(ncnn_bare[0]); i++)
        if (bytes_equal(layer->type, bytes_of_text(ncnn_bare[i])))
            return true;
    return false;
}

/* What int8 layers load differs between versions of ncnn (8, of an embedding
 * or attention 18, says so), and so it does for those that convert. */
static bool ncnn_is_doubtful(const struct ncnn_layer *layer)
{
    static const char *const types[] = {"Quantize", "Dequantize", "Requantize"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (bytes_equal(layer->type, bytes_of_text(types[i])))
            return true;
    return layer->params[8] || layer->params[18];
}

/* What comes from here on is kept only if all of it fits. */
static void ncnn_doubt(struct ncnn *nc)
{
    if (nc->strange)
        return;
    nc->strange = true;
    nc->strange_count = nc->collect.count;
    nc->strange_pos = nc->pos;
}

static enum status ncnn_weigh(struct ncnn *nc, const struct ncnn_layer *layer)
{
    for (size_t i = 0; i < sizeof(ncnn_kinds) / sizeof(ncnn_kinds[0]); i++) {
        if (!bytes_equal(layer->type, bytes_of_text(ncnn_kinds[i].type)))
            continue;
        if (ncnn_is_doubtful(layer))
            ncnn_doubt(nc);
        return ncnn_kinds[i].load(nc, layer);
    }
    if (!ncnn_is_bare(layer))
        ncnn_doubt(nc);
    return STATUS_OK;
}

/* ---- the text ---- */

static bool ncnn_next_line(struct bytes *text, struct bytes *line)
{
    if (!text->size)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    size_t taken = end ? size + 1 : size;
    *line = bytes_of(text->data, size);
    *text = bytes_of(text->data + taken, text->size - taken);
    return true;
}

static bool ncnn_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, empty at its end. */
static struct bytes ncnn_word(struct bytes *line)
{
    size_t start = 0, end;
    while (start < line->size && ncnn_is_blank(line->data[start]))
        start++;
    for (end = start; end < line->size && !ncnn_is_blank(line->data[end]);)
        end++;
    struct bytes word = bytes_of(line->data + start, end - start);
    *line = bytes_of(line->data + end, line->size - end);
    return word;
}

static bool ncnn_integer(struct bytes text, int64_t *out)
{
    bool minus = text.size && text.data[0] == '-';
    int64_t value = 0;
    if (text.size <= minus || text.size > 18)
        return false;
    for (size_t i = minus; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = 10 * value + (text.data[i] - '0');
    }
    *out = minus ? -value : value;
    return true;
}

/* id=value; arrays and numbers with a point are none that count weights. */
static void ncnn_read_param(struct ncnn_layer *layer, struct bytes word)
{
    const uint8_t *equals = memchr(word.data, '=', word.size);
    int64_t id, value;
    if (!equals)
        return;
    size_t key = (size_t)(equals - word.data);
    if (!ncnn_integer(bytes_of(word.data, key), &id) || id < 0 ||
        id >= (int64_t)NCNN_PARAMS ||
        !ncnn_integer(bytes_of(equals + 1, word.size - key - 1), &value))
        return;
    layer->params[id] = value;
    layer->given[id] = true;
}

static enum status ncnn_fail(const struct ncnn *nc, uint64_t line,
                             const char *what)
{
    return diag_fail(nc->diag, STATUS_CORRUPT, "line %llu: %s",
                     (unsigned long long)line, what);
}

/* type name inputs outputs, the names of these, then parameters. */
static enum status ncnn_read_layer(const struct ncnn *nc, struct bytes line,
                                   uint64_t number, struct ncnn_layer *layer)
{
    struct bytes word;
    int64_t inputs, outputs;
    memset(layer, 0, sizeof(*layer));
    layer->type = ncnn_word(&line);
    layer->name = ncnn_word(&line);
    if (!ncnn_integer(ncnn_word(&line), &inputs) || inputs < 0 ||
        !ncnn_integer(ncnn_word(&line), &outputs) || outputs < 0)
        return ncnn_fail(nc, number, "a layer has no counts");
    for (int64_t i = 0; i < inputs || i - inputs < outputs; i++)
        if (!ncnn_word(&line).size)
            return ncnn_fail(nc, number,
                             "a layer has fewer blobs than it says");
    while ((word = ncnn_word(&line)).size)
        ncnn_read_param(layer, word);
    return STATUS_OK;
}

static enum status ncnn_head(const struct ncnn *nc, struct bytes *text,
                             int64_t *layers)
{
    struct bytes line;
    int64_t blobs;
    if (!ncnn_next_line(text, &line) ||
        !bytes_equal(ncnn_word(&line), bytes_of_text(NCNN_MAGIC)))
        return ncnn_fail(nc, 1, "no ncnn model (7767517)");
    if (!ncnn_next_line(text, &line) ||
        !ncnn_integer(ncnn_word(&line), layers) ||
        !ncnn_integer(ncnn_word(&line), &blobs) || *layers < 0 ||
        *layers > NCNN_LAYERS_MAX || blobs < 0)
        return ncnn_fail(nc, 2, "no counts of layers and blobs");
    return STATUS_OK;
}

/* Every layer of the text; with a binary (pair) its weights too. */
static enum status ncnn_layers(struct ncnn *nc, struct bytes text, bool pair)
{
    struct bytes line, probe;
    int64_t layers = 0, seen = 0;
    uint64_t number = 2;
    enum status status = ncnn_head(nc, &text, &layers);
    while (!status && seen < layers && ncnn_next_line(&text, &line)) {
        struct ncnn_layer layer;
        number++;
        probe = line;
        if (!ncnn_word(&probe).size)
            continue;
        seen++;
        status = ncnn_read_layer(nc, line, number, &layer);
        if (!status && pair)
            status = ncnn_weigh(nc, &layer);
    }
    if (!status && seen < layers)
        return diag_fail(nc->diag, STATUS_TRUNCATED,
                         "%lld layers of the %lld that line 2 says",
                         (long long)seen, (long long)layers);
    return status;
}

/* ---- the pair ---- */

/* What is left of the binary behind the weights. */
static enum status ncnn_rest(struct ncnn *nc)
{
    uint64_t left = nc->scan.source->size - nc->pos;
    bool words = left % 4 == 0;
    if (!left)
        return STATUS_OK;
    return collect_add_flat(&nc->collect, bytes_of_text("rest"),
                            words ? DTYPE_F32 : DTYPE_U8, (uint32_t)nc->bin,
                            nc->pos, words ? left / 4 : left);
}

static enum status ncnn_settle(struct ncnn *nc)
{
    bool exact = !nc->over && nc->pos == nc->scan.source->size;
    if (nc->over && !nc->strange)
        return diag_fail(nc->diag, STATUS_TRUNCATED,
                         "its weights need more than the %llu bytes of the "
                         ".bin file",
                         (unsigned long long)nc->scan.source->size);
    if (!exact && nc->strange) {
        nc->collect.count = nc->strange_count;
        nc->pos = nc->strange_pos;
    }
    enum status status = ncnn_rest(nc);
    return status ? status : collect_finish(&nc->collect);
}

/* X.bin for X.param. */
static bool ncnn_find_bin(const struct part_set *set, size_t index,
                          size_t *found)
{
    const char *path = part_path(set, index);
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t size = strlen(name);
    char bin[512];
    if (size < 6 || size > sizeof(bin) || strcmp(name + size - 6, ".param"))
        return false;
    snprintf(bin, sizeof(bin), "%.*s.bin", (int)(size - 6), name);
    return part_find(set, index, bytes_of_text(bin), found) == PART_FOUND;
}

static enum status ncnn_load_text(const struct source *file, struct diag *diag,
                                  uint8_t **out)
{
    if (file->size > NCNN_TEXT_MAX)
        return diag_fail(diag, STATUS_LIMIT,
                         "text of %llu bytes is above the limit of 16 MiB",
                         (unsigned long long)file->size);
    *out = malloc((size_t)file->size + 1);
    if (!*out)
        return STATUS_NO_MEMORY;
    return source_read(file, 0, *out, (size_t)file->size);
}

static enum status ncnn_run(struct ncnn *nc, const struct part_set *set,
                            size_t index, struct bytes text)
{
    struct part_window window = {NULL, 0};
    struct source bin;
    struct arena scratch;
    if (!ncnn_find_bin(set, index, &nc->bin))
        return ncnn_layers(nc, text, false);
    bin = part_source(set, nc->bin, &window);
    arena_init(&scratch, NCNN_SCRATCH_BUDGET);
    enum status status = scan_init(&nc->scan, &bin, &scratch);
    if (!status)
        status = ncnn_layers(nc, text, true);
    if (!status)
        status = ncnn_settle(nc);
    arena_deinit(&scratch);
    return status;
}

enum status ncnn_parse(const struct part_set *set, size_t index,
                       struct arena *arena, struct tensor **tensors,
                       size_t *tensor_count, struct diag *diag)
{
    struct part_window window;
    struct source file = part_source(set, index, &window);
    struct ncnn nc = {.diag = diag};
    uint8_t *text = NULL;
    collect_init(&nc.collect, arena, file.size, diag);
    enum status status = ncnn_load_text(&file, diag, &text);
    if (!status)
        status = ncnn_run(&nc, set, index, bytes_of(text, (size_t)file.size));
    free(text);
    *tensors = status ? NULL : nc.collect.items;
    *tensor_count = status ? 0 : nc.collect.count;
    return status;
}

bool ncnn_probe(const struct source *file)
{
    uint8_t head[8];
    return !source_read(file, 0, head, sizeof(head)) &&
           !memcmp(head, NCNN_MAGIC, 7) && (head[7] == '\n' || head[7] == '\r');
}
