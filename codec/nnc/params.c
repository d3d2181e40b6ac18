#include "codec/nnc/params.h"

uint8_t params_read_start(struct nnr_bits *in)
{
    return nnr_bits_u(in, 8) == 1;
}

static void read_quant(struct nnr_bits *in, struct quant_params *quant)
{
    if (!(quant->methods & (PARAMS_UNIFORM | PARAMS_CODEBOOK)))
        return;
    quant->qp_density = (uint8_t)nnr_bits_u(in, 3);
    quant->qp = (int16_t)nnr_bits_i(in, 13);
}

static void read_profile_1(struct nnr_bits *in, struct model_params *params)
{
    params->base_model_id = nnr_bits_flag(in);
    params->validation_performance = nnr_bits_flag(in);
    params->metric_map = nnr_bits_flag(in);
    params->parent_signalling = nnr_bits_flag(in);
    bool pre = nnr_bits_flag(in); /* reserved without parent signalling */
    params->pre = params->parent_signalling && pre;
    nnr_bits_u(in, 2);
    size_t size;
    if (params->base_model_id)
        nnr_bits_text(in, &size);
    if (params->validation_performance || params->metric_map)
        nnr_bits_text(in, &size);
}

void params_read_model(struct nnr_bits *in, uint8_t profile,
                       struct model_params *params)
{
    *params = (struct model_params){0};
    params->topology_carriage = nnr_bits_flag(in);
    params->sparsification = nnr_bits_flag(in);
    params->pruning = nnr_bits_flag(in);
    params->unification = nnr_bits_flag(in);
    params->decomposition = nnr_bits_flag(in);
    params->quant.methods = (uint8_t)nnr_bits_u(in, 3);
    params->indexed_reference = nnr_bits_flag(in);
    if (profile == 1)
        read_profile_1(in, params);
    else
        nnr_bits_u(in, 7);
    read_quant(in, &params->quant);
}

void params_read_layer(struct nnr_bits *in, struct quant_params *quant)
{
    struct quant_params read = {0};
    nnr_bits_u(in, 8); /* lps_self_contained_flag, reserved */
    nnr_bits_u(in, 4); /* reserved, flags of maps */
    read.methods = (uint8_t)nnr_bits_u(in, 3);
    nnr_bits_u(in, 1);
    read_quant(in, &read);
    if (!in->status && (read.methods & (PARAMS_UNIFORM | PARAMS_CODEBOOK)))
        *quant = read;
}
