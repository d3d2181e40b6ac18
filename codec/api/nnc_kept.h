/* The public state of NNC streams is ours in a box. */
#ifndef CODEC_API_NNC_KEPT_H
#define CODEC_API_NNC_KEPT_H

#include "codec/nnc/nnc_state.h"

struct dmc_nnc_state {
    struct nnc_state *state;
};

#endif
