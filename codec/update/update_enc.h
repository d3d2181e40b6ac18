/* Makes an update: a plan (matching, statistics, choice of codings), then one
 * segment at a time, then the header. Memory stays below 64 MiB with one
 * thread whatever the size of the contents; the same inputs give the same
 * bytes.
 *
 *     update_enc_new(&params, &enc)
 *     update_enc_plan(enc, NULL, NULL)
 *     for i < update_enc_segment_count(enc): update_enc_segment(enc, i, &coded)
 *     update_enc_header(enc, &writer)
 */
#ifndef CODEC_UPDATE_UPDATE_ENC_H
#define CODEC_UPDATE_UPDATE_ENC_H

#include "codec/base/parallel.h"
#include "codec/base/source.h"
#include "codec/base/writer.h"
#include "codec/lossless/coding_plan.h"
#include "codec/model/model.h"
#include "codec/update/header.h"
#include "codec/update/hint.h"

enum update_effort {
    UPDATE_EFFORT_FAST,  /* for updates made while a peer waits */
    UPDATE_EFFORT_SMALL, /* tries more: for what is published */
};

#define UPDATE_RANK_MAX 64u

/* Everything is borrowed and must outlive the encoder. The sources must not
 * change meanwhile; a block that does not have its leaf is MISMATCH where
 * leaves are given, else it is found by the receiver. */
struct update_enc_params {
    const struct source *base; /* NULL: a full update */
    const struct source *target;
    const struct model *base_model;   /* NULL: opaque */
    const struct model *target_model; /* NULL: opaque */
    const struct hash *base_leaves;   /* of the base's shape; NULL: computed */
    const struct hash
        *target_leaves; /* of the target's shape; NULL: computed */
    enum update_effort effort;
    enum coding_speed speed; /* which coders the plan may choose */
    unsigned max_rank;       /* of low-rank predictions, 0 .. UPDATE_RANK_MAX */
    const struct parallel *parallel;  /* NULL: one thread */
    const struct update_hints *hints; /* NULL: nothing is known */
    struct diag *diag;                /* may be NULL */
};

struct update_enc;

/* LIMIT above TREE_SIZE_MAX, NO_MEMORY. */
enum status update_enc_new(const struct update_enc_params *params,
                           struct update_enc **out) MUST_CHECK;
void update_enc_free(struct update_enc *enc);

/* Told how far the plan is; false stops it (CLOSED). */
typedef bool (*update_progress_fn)(void *ctx, uint64_t done, uint64_t total);

/* Hashes (unless leaves were given), matches and measures: reads both
 * contents in order, a bounded stretch at a time. progress may be NULL. */
enum status update_enc_plan(struct update_enc *enc, update_progress_fn progress,
                            void *ctx) MUST_CHECK;

/* After the plan. segment_count counts all segments; aux_count of them, the
 * first ones, are auxiliary. */
uint32_t update_enc_segment_count(const struct update_enc *enc);
uint32_t update_enc_aux_count(const struct update_enc *enc);
uint64_t update_enc_estimate(const struct update_enc *enc); /* bytes in all */
const struct hash *update_enc_base_tree(const struct update_enc *enc);
const struct hash *update_enc_target_tree(const struct update_enc *enc);

/* Leaves of the target, block_count of its shape; until free. */
const struct hash *update_enc_target_leaves(const struct update_enc *enc);

/* Codes one segment; each must be coded once, in order: the auxiliary ones
 * first.
 *
 * out  a view that holds until the next call; size 0: it changes nothing */
enum status update_enc_segment(struct update_enc *enc, uint32_t index,
                               struct bytes *out) MUST_CHECK;

/* Writes the header, once every segment is coded (else USAGE). */
enum status update_enc_header(struct update_enc *enc, struct writer *wr)
    MUST_CHECK;

#endif
