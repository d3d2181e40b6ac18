/* A weight, or a part of it, sent as G and H.
 *
 * How a difference to a base travels that is a low rank part and levels of
 * what is left, which no unit can hold together:
 *
 *   1. a unit of G and H alone, with a parent. Its names are the weight's with
 *      "_G" and "_H"; ids and depths are counted by these names, so they are a
 *      chain of their own, with a parameter_id beyond those of the model's
 *      tensors.
 *   2. next to it, the unit of the weight's name with a parent: the levels.
 *
 * Each is a difference; both are added, G * H as nnc_dec.h says and the levels'
 * values, in one binary32 sum, and that to the base (nnc_model_read.h). Either
 * may be missing. */
#ifndef CODEC_NNC_NNC_LOWRANK_H
#define CODEC_NNC_NNC_LOWRANK_H

#include "codec/nnc/nnc_enc.h"
#include "codec/quant/rd_lowrank.h"

/* Bytes of such a unit besides numbers and twice its name, about. */
#define NNC_LOWRANK_UNIT_BYTES 52u

/* The endings of names. */
#define NNC_LOWRANK_G "_G"
#define NNC_LOWRANK_H "_H"

/* Appends the unit of G and H.
 *
 * weight  name, rank, shape, has_parent; device_id, parameter_id and
 *         put_node_depth are those of the unit
 * low     rank > 0, rows * columns = elements of the weight
 * size    out: bytes of the unit; 0: all its numbers are zeros and it has a
 *         parent, so nothing is written
 *
 * As nnc_enc_block. */
enum status nnc_lowrank_put(struct nnc_enc *enc,
                            const struct nnc_tensor *weight,
                            const struct rd_lowrank *low, uint64_t *size)
    MUST_CHECK;

#endif
