/* Makes updates and keeps them in the store. Coded segments gather in a
 * nameless file first, because an update is named by its header, which is
 * known last; then header and segments go to the store in small transactions.
 */
#ifndef DAEMON_MAKE_H
#define DAEMON_MAKE_H

#include "codec/update/update_enc.h"
#include "daemon/content.h"

/* How far a long job is; written by it, read by the loop. */
struct progress_mark {
    atomic_uint_fast64_t done, total;
};

struct made_update {
    struct hash id;
    bool has_base;
    struct hash base; /* tree */
    uint64_t bytes;   /* header and segments */
    uint32_t segment_count;
    uint8_t *header; /* owned: free it */
    size_t header_size;
};

struct make_input {
    struct update_enc_params params; /* diag is set by make_update */
    const char *model;               /* whose quota it counts against */
    uint64_t uptime_s;
    uint64_t bytes_max; /* larger ones are not kept: LIMIT; 0: no bound */
    struct progress_mark *mark; /* may be NULL */
};

/* LIMIT    over bytes_max; nothing is kept
 * CLOSED   the job was cancelled
 * MISMATCH a content does not have the leaves given
 * NO_SPACE, IO, NO_MEMORY, and what sources answer */
enum status make_update(const struct places *places,
                        const struct make_input *input, struct job *job,
                        struct made_update *out, struct diag *diag) MUST_CHECK;

/* An update that was made elsewhere and checked: the bytes of its header, and
 * its coded segments in a file, from an offset on. */
struct ready_update {
    struct bytes header;
    int fd;
    uint64_t segments_offset;
};

/* Keeps it in the store; of input, params are not looked at. As make_update. */
enum status make_keep(const struct places *places,
                      const struct make_input *input,
                      const struct ready_update *ready, struct job *job,
                      struct made_update *out, struct diag *diag) MUST_CHECK;

/* Most components of low rank in updates made while somebody waits. */
#define MAKE_RANK 32u

/* Two trees held here. */
struct make_pair {
    const struct hash *base; /* NULL: from nothing */
    const struct hash *target;
    enum coding_speed speed;
};

/* The update from one tree to another, with what their manifests say, made
 * while somebody waits. As make_update; NOT_FOUND: one is not held. */
enum status make_update_between(const struct places *places,
                                const struct make_pair *pair, uint64_t uptime_s,
                                struct job *job, struct made_update *out,
                                struct diag *diag) MUST_CHECK;

/* About the bytes that it would have, from a sample of both: see
 * codec/update/estimate.h and content_open_look, whose NOT_FOUND may come. */
enum status make_estimate(const struct places *places,
                          const struct make_pair *pair, uint64_t *bytes)
    MUST_CHECK;

/* Steps from what realises a version down to a full update that a version may
 * be away from it; deeper ones get an update of their own. */
#define MAKE_DEPTH_MAX 4u

/* Makes that update when the version lies deeper, and lets it realise the
 * version once it is durable; what did before is left to gc. It is one over the
 * content at the bottom of the chain where that takes at most two thirds of the
 * bytes of a full one, else a full one. *made says whether it was made; then
 * out is set. */
enum status make_shallow(const struct places *places,
                         const struct hash *version, uint64_t uptime_s,
                         struct job *job, bool *made, struct made_update *out,
                         struct diag *diag) MUST_CHECK;

#endif
