/* Decodes an update, any segment alone, from nothing but its header, the base
 * and the coded bytes. The coded bytes are hostile until their hash is checked,
 * and no more trusted afterwards: whoever made the update chose the hash. What
 * comes out must still be checked against the leaves of the target.
 *
 * Memory: some 2 MiB and, for a segment that asks for it, a stretch of the
 * base of at most UPDATE_PREFIX_MAX bytes, or the coded and decoded tables of
 * one auxiliary segment, 3 MiB. Work is proportional to the output, and to the
 * auxiliary segments that a segment needs: they are loaded again where segments
 * come in another order than theirs. Each element of a gathered base may be a
 * read of its own, each tiny record some microseconds. */
#ifndef CODEC_UPDATE_UPDATE_DEC_H
#define CODEC_UPDATE_UPDATE_DEC_H

#include "codec/base/source.h"
#include "codec/update/auxiliary.h"
#include "codec/update/header.h"

struct update_dec;

/* header  borrowed until update_dec_free
 * base    borrowed until update_dec_free; NULL exactly when the header has no
 *         base. Its size must be the header's base_size, else BAD_BASE; that
 *         its tree is base_tree is for the caller to know.
 * aux     borrowed until update_dec_free; where auxiliary segments are read
 *         when a segment needs them. May be NULL: then none can be had. */
enum status update_dec_new(const struct update_header *header,
                           const struct source *base,
                           const struct update_aux *aux,
                           struct update_dec **out) MUST_CHECK;
void update_dec_free(struct update_dec *dec);

/* Decodes segment index. Of an auxiliary one, only the hash is checked: what
 * is in it is read when a segment needs it.
 *
 * coded  its exact coded bytes; empty for one that changes nothing
 * out    size bytes; size == update_segment_target_size(header, index), 0 for
 *        an auxiliary one
 *
 * MISMATCH   the coded bytes, or those of an auxiliary segment that it needs,
 *            do not have the hash of the directory
 * NOT_FOUND  an auxiliary segment that it needs cannot be had
 * CORRUPT, TRUNCATED, LIMIT, UNSUPPORTED  the update is malformed
 * NO_MEMORY, or what the base answers. diag names segment and offset.
 * On error out is unspecified. */
enum status update_dec_segment(struct update_dec *dec, uint32_t index,
                               struct bytes coded, uint8_t *out, size_t size,
                               struct diag *diag) MUST_CHECK;

/* The coded bytes of auxiliary segment index, checked against the directory.
 *
 * coded  a view that holds until the next call
 * USAGE  index >= aux_count; else as update_aux_read */
enum status update_dec_aux(struct update_dec *dec, uint32_t index,
                           struct bytes *coded, struct diag *diag) MUST_CHECK;

#endif
