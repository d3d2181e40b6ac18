/* The bytes of a tree held here, wherever they are: in the folder of a version
 * in place, in one being filled that is complete, or made again from updates
 * of the store into a nameless file. */
#ifndef DAEMON_CONTENT_H
#define DAEMON_CONTENT_H

#include "codec/base/source.h"
#include "codec/model/model.h"
#include "codec/update/auxiliary.h"
#include "daemon/activate.h"
#include "daemon/fileset.h"
#include "protocol/manifest.h"

/* Updates that are followed one after the other to make a content. */
#define CONTENT_CHAIN_MAX 8u

struct content {
    struct source source;
    struct hash tree;
    bool has_manifest;        /* of a version with this tree; else one file */
    struct manifest manifest; /* views of manifest_bytes */
    uint8_t *manifest_bytes;
    char **paths;              /* of its files; made by content_model */
    struct fileset *files;     /* of a plain copy, or NULL */
    int scratch;               /* of a made one, or -1; the whole content */
    struct content_lazy *lazy; /* decodes what is read, or NULL */
};

/* Opens the content of a tree. job may be NULL: its cancellation ends the work
 * with CLOSED.
 *
 * NOT_FOUND  not held whole
 * MISMATCH   what was made does not have the tree's leaves
 * NO_SPACE, IO, NO_MEMORY, and what decoding answers */
enum status content_open(const struct places *places, const struct hash *tree,
                         struct job *job, struct content **out,
                         struct diag *diag) MUST_CHECK;
void content_close(struct content *content);

/* As content_open for a reader of few places: what lies in no files is not
 * made, each read decodes the segment it needs, of an update from nothing if
 * there is one, else over at most two others. NOT_FOUND also where that does
 * not suffice. */
enum status content_open_look(const struct places *places,
                              const struct hash *tree, struct content **out,
                              struct diag *diag) MUST_CHECK;

/* Its tensors; model_free it before content_close. */
enum status content_model(struct content *content, struct model **out,
                          struct diag *diag) MUST_CHECK;

/* Reads every block and compares it with the manifest's leaves; fn is called
 * for each that differs (it may be NULL). MISMATCH when one does. USAGE
 * without a manifest. */
enum status content_check(const struct content *content, struct job *job,
                          void (*fn)(void *ctx, uint32_t block), void *ctx)
    MUST_CHECK;

/* The store as the place that has an update's auxiliary segments. */
struct content_aux {
    const struct places *places;
    struct hash update;
    struct update_aux aux; /* for decoders; points to this struct */
};

/* places is borrowed; aux must not move while it is used. */
void content_aux_init(struct content_aux *aux, const struct places *places,
                      const struct hash *update);

/* Decodes a complete update of the store over base (NULL: none) and hands each
 * segment to put, in order.
 *
 * leaves  of the target, to check each block (MISMATCH); NULL: unchecked */
enum status content_decode(const struct places *places,
                           const struct hash *update,
                           const struct content *base,
                           const struct hash *leaves, struct job *job,
                           enum status (*put)(void *ctx, uint64_t offset,
                                              const uint8_t *data, size_t size),
                           void *ctx, struct diag *diag) MUST_CHECK;

/* Makes the content of a tree from updates alone and hands it to put. The
 * leaves are those of its manifest. NOT_FOUND. */
enum status content_make(const struct places *places, const struct hash *tree,
                         const struct hash *leaves, struct job *job,
                         enum status (*put)(void *ctx, uint64_t offset,
                                            const uint8_t *data, size_t size),
                         void *ctx, struct diag *diag) MUST_CHECK;

/* The manifest of a version, parsed: *bytes is a heap copy the views hold in
 * (free it). NOT_FOUND. */
enum status content_manifest(struct store_txn *txn, const struct hash *version,
                             uint8_t **bytes, size_t *size,
                             struct manifest *out) MUST_CHECK;

#endif
