/* The sample is runs of numbers, evenly spread over all tensors, but for those
 * that are so large that they are not quantised. */
#include "codec/nnc/nnc_step.h"

#include "codec/nnc/nnc_element.h"
#include "codec/quant/qp.h"

#include <math.h>

#define SAMPLE_MAX ((uint64_t)1 << 16)
#define RUN_ELEMS  512u
#define WIDTH_MAX  8u
/* Levels are at most this. */
#define LEVEL_CEILING 0x1p30

struct sample {
    const struct nnc_write_params *params;
    float *values;
    size_t count;
    uint64_t every; /* a run begins each so many elements */
    uint8_t bytes[2][RUN_ELEMS * WIDTH_MAX];
};

const struct tensor *nnc_step_base(const struct nnc_write_params *params,
                                   size_t index)
{
    const struct tensor *tensor = &params->model->tensors[index];
    size_t at;
    if (!params->base ||
        !nnc_names_find(params->base_names, params->names->name[index], &at))
        return NULL;
    const struct tensor *base = &params->base_model->tensors[at];
    return base->dtype == tensor->dtype && tensor_same_shape(base, tensor)
               ? base
               : NULL;
}

static bool is_sampled(const struct tensor *tensor)
{
    return tensor->rank > 1 &&
           nnc_element_carry(tensor->dtype) == NNC_CARRY_FLOATS;
}

static enum status take_run(struct sample *s, const struct tensor *tensor,
                            const struct tensor *base, uint64_t first,
                            size_t count)
{
    size_t width = dtype_bits(tensor->dtype) / 8;
    float *to = s->values + s->count;
    enum status status =
        source_read(s->params->source, tensor->offset + first * width,
                    s->bytes[0], count * width);
    if (!status && base)
        status = source_read(s->params->base, base->offset + first * width,
                             s->bytes[1], count * width);
    if (status)
        return status;
    nnc_element_floats(tensor->dtype, s->bytes[0], base ? s->bytes[1] : NULL,
                       count, to);
    unsigned density = s->params->rules.density;
    double most = LEVEL_CEILING * qp_step(qp_max(density), density);
    for (size_t i = 0; i < count; i++)
        if ((double)fabsf(to[i]) <= most) /* and a number */
            s->values[s->count++] = to[i];
    return STATUS_OK;
}

static enum status take_tensor(struct sample *s, size_t index, uint64_t *at)
{
    const struct tensor *tensor = &s->params->model->tensors[index];
    const struct tensor *base = nnc_step_base(s->params, index);
    uint64_t elem_count = tensor_elem_count(tensor);
    enum status status = STATUS_OK;
    if (!is_sampled(tensor) || (s->params->base && !base))
        return STATUS_OK;
    for (; !status && *at < elem_count && s->count + RUN_ELEMS <= SAMPLE_MAX;
         *at += s->every) {
        uint64_t left = elem_count - *at;
        status = take_run(s, tensor, base, *at,
                          left < RUN_ELEMS ? (size_t)left : RUN_ELEMS);
    }
    *at -= elem_count < *at ? elem_count : *at;
    return status;
}

static double error_at(const struct sample *s, int qp)
{
    double step = qp_step(qp, s->params->rules.density), sum = 0;
    for (size_t i = 0; i < s->count; i++) {
        double value = (double)s->values[i];
        double lost = value - step * nearbyint(value / step);
        sum += lost * lost;
    }
    return sum;
}

static double square_sum(const struct sample *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->count; i++)
        sum += (double)s->values[i] * (double)s->values[i];
    return sum;
}

/* The largest qp whose error is at most most; without any error the least. */
static int search(const struct sample *s, double most)
{
    int low = qp_min(s->params->rules.density);
    int high = qp_max(s->params->rules.density);
    if (!(most > 0))
        return low;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (error_at(s, middle) <= most)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

enum status nnc_step_find(const struct nnc_write_params *params, double share,
                          int *qp)
{
    uint64_t total = 0, at = 0;
    struct sample *s = calloc(1, sizeof(*s));
    for (size_t i = 0; i < params->model->tensor_count; i++)
        if (is_sampled(&params->model->tensors[i]))
            total += tensor_elem_count(&params->model->tensors[i]);
    if (!s)
        return STATUS_NO_MEMORY;
    s->params = params;
    s->every = RUN_ELEMS * (total / SAMPLE_MAX + 1);
    s->values = malloc(SAMPLE_MAX * sizeof(*s->values));
    enum status status = s->values ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < params->model->tensor_count; i++)
        status = take_tensor(s, i, &at);
    if (!status)
        *qp = search(s, share * share * square_sum(s));
    free(s->values);
    free(s);
    return status;
}
