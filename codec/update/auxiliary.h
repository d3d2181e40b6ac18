/* Where a decoder gets the auxiliary segments of its update: the bytes that
 * several segments need and that belong to no block.
 *
 * Ref: codec/FORMAT.md, "Auxiliary segments". */
#ifndef CODEC_UPDATE_AUXILIARY_H
#define CODEC_UPDATE_AUXILIARY_H

#include "codec/base/writer.h"
#include "codec/update/header.h"

/* A place that has them: a file, a store. */
struct update_aux {
    /* Appends the coded bytes of auxiliary segment index to out. NOT_FOUND:
     * it is not there; any other error is handed on. */
    enum status (*read)(void *ctx, uint32_t index, struct writer *out);
    void *ctx;
};

/* Reads auxiliary segment index < header->aux_count and checks that it is what
 * the directory promises.
 *
 * aux  NULL: there is no such place
 * out  heap writer of at least UPDATE_AUX_CODED_MAX; emptied first
 *
 * NOT_FOUND  it cannot be had
 * MISMATCH   what the place has is damaged
 * NO_MEMORY, or what the place answers. */
enum status update_aux_read(const struct update_aux *aux,
                            const struct update_header *header, uint32_t index,
                            struct writer *out, struct diag *diag) MUST_CHECK;

#endif
