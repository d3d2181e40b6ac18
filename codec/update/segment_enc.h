/* Codes one segment at a time: the two or three ways that can be smallest, and
 * keeps the smallest. Several may work on one update at once, each with scratch
 * of its own: up to 20 MiB while a frame is made. */
#ifndef CODEC_UPDATE_SEGMENT_ENC_H
#define CODEC_UPDATE_SEGMENT_ENC_H

#include "codec/update/predictor.h"
#include "codec/update/update_enc.h"

/* Everything is borrowed. */
struct segment_enc_params {
    const struct source *base; /* NULL: none */
    const struct source *target;
    const struct update_header *header; /* its shape, records and tables */
    const struct predictor_aux *aux;
    enum update_effort effort;
};

/* How a segment uses the records it lies in. */
enum segment_use {
    SEGMENT_USE_NONE,  /* not at all */
    SEGMENT_USE_COPY,  /* their base is the target */
    SEGMENT_USE_PIECES /* as they say */
};

struct segment_enc;

/* NULL: no memory. */
struct segment_enc *segment_enc_new(const struct segment_enc_params *params);
void segment_enc_free(struct segment_enc *se);

/* Codes segment index.
 *
 * out  a view until the next call; size 0: it changes nothing
 *
 * NO_MEMORY, or what the sources answer. */
enum status segment_enc_code(struct segment_enc *se, uint32_t index,
                             struct bytes *out, enum segment_use *use)
    MUST_CHECK;

#endif
