/* The start unit and the parameter sets of a model and of a layer.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR_STR, NNR_MPS, NNR_LPS. */
#ifndef CODEC_NNC_PARAMS_H
#define CODEC_NNC_PARAMS_H

#include "codec/nnc/nnr_bits.h"

/* Bits of quantization_method_flags. */
#define PARAMS_UNIFORM  1u
#define PARAMS_CODEBOOK 2u

/* What quantised tensors are made with. */
struct quant_params {
    uint8_t methods; /* quantization_method_flags; density and parameter are
                        sent if it has either bit above */
    uint8_t qp_density;
    int16_t qp; /* added to that of each tensor */
};

struct model_params {
    bool topology_carriage;
    bool sparsification, pruning, unification, decomposition; /* maps follow */
    bool indexed_reference; /* tensors are named by an index */
    struct quant_params quant;
    /* Profile 1 only. */
    bool base_model_id, validation_performance, metric_map;
    bool parent_signalling; /* mps_parent_signalling_enabled_flag */
    bool pre;               /* nnr_pre_flag */
};

/* general_profile_idc of a start unit: 1, else 0 for all others. */
uint8_t params_read_start(struct nnr_bits *in);

/* What follows the unit's header, up to the quantisation parameter; what comes
 * after it tells of performance and is not looked at. The status is in the
 * reader. */
void params_read_model(struct nnr_bits *in, uint8_t profile,
                       struct model_params *params);

/* As above; quant is replaced if the layer has parameters. */
void params_read_layer(struct nnr_bits *in, struct quant_params *quant);

#endif
