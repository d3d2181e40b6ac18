/* The topology unit: in what form it carries the graph of a model. What it
 * carries does not influence how tensors are read and is passed over.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR_TPL. */
#ifndef CODEC_NNC_TOPOLOGY_H
#define CODEC_NNC_TOPOLOGY_H

#include "codec/nnc/nnr_bits.h"

/* topology_storage_format. */
enum topology_format {
    TOPOLOGY_NONE = 0,
    TOPOLOGY_NNEF = 1,
    TOPOLOGY_ONNX = 2,
    TOPOLOGY_PYTORCH = 3,
    TOPOLOGY_TENSORFLOW = 4,
    TOPOLOGY_PRUNING = 5,
    TOPOLOGY_REFERENCES = 6,
};

struct topology {
    uint8_t storage_format;     /* enum topology_format, or one not known */
    uint8_t compression_format; /* 0: as it is, 1: deflate */
};

/* The two fields of the header; the status is in the reader. */
static inline void topology_read(struct nnr_bits *in, struct topology *topology)
{
    topology->storage_format = (uint8_t)nnr_bits_u(in, 8);
    topology->compression_format = (uint8_t)nnr_bits_u(in, 8);
}

#endif
