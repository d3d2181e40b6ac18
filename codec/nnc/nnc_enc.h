/* Writes an NNC bitstream: whole models or incremental updates, given the
 * integers (levels) of each tensor. What the integers are is the caller's
 * business; how they are coded in the fewest bytes is this module's.
 *
 *     nnc_enc_new(&params, &enc);
 *     nnc_enc_tensor(enc, &tensor, &data);  ... once a tensor, in any order
 *     nnc_enc_finish(enc);                  ... the stream is in params.out
 *     nnc_enc_free(enc);
 *
 * Streams are deterministic: the same calls give the same bytes on every
 * machine. What is written by default is read by NNCodec 2.0, with the
 * exceptions named at nnc_enc_block and NNC_RAW_FLOAT.
 *
 * Incremental streams (params.incremental) refer to what the receiver has: a
 * tensor with has_parent set is a difference to the node put_node_depth - 1 of
 * the same parameter_id, and is *dropped* if all its levels are zero: the
 * receiver then keeps its depth and its levels of the last one sent, and so
 * must the caller; nnc_enc_tensor says whether it was sent.
 *
 * Ref: ISO/IEC 15938-17:2024; what we write is in codec/FORMAT.md, "NNC". */
#ifndef CODEC_NNC_NNC_ENC_H
#define CODEC_NNC_NNC_ENC_H

#include "codec/base/status.h"
#include "codec/base/writer.h"
#include "codec/nnc/nnc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who decides: the encoder by cost, or the caller. */
enum nnc_choice {
    NNC_BY_COST,
    NNC_NEVER,
    NNC_ALWAYS,
};

/* All zeroes: the fewest bytes the search can find. */
struct nnc_enc_rules {
    /* Parameter sets of contexts; NNC_NEVER: all contexts start from set 0. */
    enum nnc_choice sets;
    enum nnc_choice row_skip; /* where the syntax has it */
    /* Look at the levels of the update before, where the caller gives them. */
    enum nnc_choice temporal;
    /* cabac_unary_length_minus1; NNC_NEVER: as nnc_tensor.unary says, and 11
     * where that is 0. */
    enum nnc_choice unary;
    /* NNC_NEVER: as nnc_tensor.scan_order says. By cost the scan is that one or
     * row by row, whichever is shorter and, with dependent quantisation, fits
     * the levels. */
    enum nnc_choice scan;
    /* Dependent quantisation may be left off for a tensor that asks for it if
     * its levels are shorter without (the values are the same). */
    enum nnc_choice uniform;
    /* A tensor whose levels are all equal may be coded as a codebook of one
     * entry, some eight bytes shorter. Its kind is then NNC_CODEBOOK (NNCodec
     * hands it out in binary64) and the levels a receiver keeps are 0, so in
     * incremental streams it is done for zeros only. Profile 1. */
    bool single;
    /* node_id_present_flag of tensors without a parent in streams that are not
     * incremental. By cost they have none, which is what NNCodec reads as well;
     * device_id, parameter_id and put_node_depth are then not in the stream:
     * ask for them where incremental streams will follow that a receiver checks
     * against this one. */
    enum nnc_choice node_ids;
    /* An (empty) topology unit. By cost there is none. */
    enum nnc_choice topology;
    /* cabac_unary_length_flag and other fields that may be left out are
     * written, as NNCodec does. */
    bool long_headers;
};

struct nnc_enc_params {
    /* The stream is appended here; borrowed until nnc_enc_free. */
    struct writer *out;
    uint8_t profile;    /* general_profile_idc: 1 (the default to use), or 0 */
    uint8_t qp_density; /* 0 .. 7, for all tensors; 2 is usual */
    /* mps_parent_signalling_enabled_flag; profile 1 only. */
    bool incremental;
    /* No STR, MPS and TPL are written: units are appended to a stream that has
     * them. So several threads, each with an encoder and a writer of its own,
     * can make the units of one stream, which are put together after. */
    bool continues;
    struct nnc_enc_rules rules;
    struct diag *diag; /* or NULL; borrowed until nnc_enc_free */
};

/* The numbers of one tensor; all arrays have tensor.elem_count entries, are in
 * row-major order and borrowed for the call. */
struct nnc_enc_data {
    /* NNC_INT, NNC_UNIFORM: the integers. NNC_CODEBOOK: the index less
     * codebook.zero. With dq they must be levels that the eight states can
     * produce in the scan order of the tensor. */
    const int32_t *levels;
    const float *raw; /* NNC_RAW_FLOAT */
    /* Levels of the last update sent of this tensor, or NULL. Looked at only in
     * tensors with has_parent. */
    const int32_t *temporal;
    /* A byte an element, not 0 where any update sent before had a level that
     * was not 0; or NULL. Uses hist_dep_sig_prob_enabled_flag where it saves
     * bytes; the receiver must know the same. */
    const uint8_t *history;
};

struct nnc_enc;

/* Writes STR, MPS and, if asked for, TPL, unless the stream is continued.
 *
 * STATUS_USAGE      profile, density or incremental do not fit
 * STATUS_NO_MEMORY
 * or what the writer says. *enc is NULL on failure. */
enum status nnc_enc_new(const struct nnc_enc_params *params,
                        struct nnc_enc **enc) MUST_CHECK;
void nnc_enc_free(struct nnc_enc *enc);

/* Appends one tensor. Of `tensor` are read: name, rank, shape, elem_count,
 * kind, qp (UNIFORM, CODEBOOK), unary, scan_order (0 .. 4), dq (UNIFORM),
 * codebook (CODEBOOK; egk is chosen), device_id, parameter_id, put_node_depth,
 * has_parent, temporal (that data->temporal may be used). qp_density is that
 * of the stream; part must be NNC_ALONE.
 *
 * data  see above
 * sent  out, may be NULL: what the stream says of the tensor, with the choices
 *       made (temporal, scan_order, unary, dq) and coded_size = bytes of the
 *       unit, 0 if the tensor was dropped. The pointers are those of tensor; of
 *       a codebook that rules.single made, data->levels.
 *
 * Zero-element tensors are coded (not of two dimensions and more whose first is
 * not 0, which NNCodec cannot read: they are STATUS_UNSUPPORTED). RAW_FLOAT
 * tensors should come last: NNCodec reads nothing after one.
 *
 * STATUS_USAGE      the tensor is not one that can be written: no name or NUL
 *                   in it, rank 0, shape and elem_count differ, qp out of
 *                   range, levels that dependent quantisation or the codebook
 *                   cannot produce, has_parent in a stream that is not
 *                   incremental...; diag says which. Nothing was written.
 * STATUS_LIMIT      a unit of 2^31 bytes or more
 * STATUS_NO_MEMORY */
enum status nnc_enc_tensor(struct nnc_enc *enc, const struct nnc_tensor *tensor,
                           const struct nnc_enc_data *data,
                           struct nnc_tensor *sent) MUST_CHECK;

/* Appends one BLOCK unit: the tensors of a layer under one header.
 *
 * tensors  count of them, part set, in the order of enum nnc_part without
 *          repetition, and NNC_WEIGHT or NNC_G and NNC_H among them. kind is
 *          UNIFORM, or CODEBOOK for weight, G and H (for both or neither).
 *          has_parent, ids, depth, unary, scan_order and dq are those of the
 *          first and hold for all. G is [rows, rank], H [rank, columns].
 * data     one for each
 * shape    of the weight, rank of it; with G and H their product is reshaped to
 *          it. Without G and H pass those of the weight.
 *
 * Errors are those of nnc_enc_tensor. NNCodec reads blocks of streams that are
 * not incremental and have no G and H. */
enum status nnc_enc_block(struct nnc_enc *enc, const struct nnc_tensor *tensors,
                          const struct nnc_enc_data *data, size_t count,
                          const uint64_t *shape, uint32_t rank,
                          uint64_t *coded_size) MUST_CHECK;

/* The status of all that was written. Nothing follows the last tensor in a
 * stream, so streams may be cut short here at no cost. */
enum status nnc_enc_finish(struct nnc_enc *enc) MUST_CHECK;

#endif
