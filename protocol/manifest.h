/* A manifest: what a version is. Deterministic CBOR; the version id is the
 * HASH_MANIFEST of its bytes. Files are concatenated to the content, of which
 * the leaves verify every block.
 *
 * Ref: PROTOCOL.md, "Manifest". */
#ifndef PROTOCOL_MANIFEST_H
#define PROTOCOL_MANIFEST_H

#include "codec/base/hash.h"
#include "codec/base/writer.h"
#include "codec/update/tree.h"
#include "protocol/body.h"
#include "protocol/gossip/vector.h"
#include "protocol/limits.h"

struct manifest_file {
    struct bytes path;
    uint64_t offset, length;
};

/* Ascending by key (shorter keys first); key as a label key, value any UTF-8
 * text of at most MANIFEST_META_VALUE_MAX bytes. */
#define MANIFEST_META_VALUE_MAX 4096u
struct manifest_meta {
    struct bytes key, value;
};

/* Pointers are views of the parsed bytes, or the caller's when building. About
 * 5 kB. */
struct manifest {
    struct bytes model;
    struct hash tree;
    struct tree_shape shape; /* size, block_log, block_count */
    struct bytes parents;    /* version ids, a sorted list (body.h) */
    struct vector_model vector;
    size_t file_count; /* 1..LIMIT_MANIFEST_FILES, in order of offset */
    struct manifest_file files[LIMIT_MANIFEST_FILES];
    size_t meta_count;
    struct manifest_meta meta[LIMIT_MANIFEST_META];
    const struct hash *leaves; /* shape.block_count */
    bool understood;           /* out only: no unknown key < 0 */
};

/* Inserts or replaces in order. USAGE: no legal key or value. LIMIT: full. */
enum status manifest_meta_set(struct manifest *m, struct bytes key,
                              struct bytes value) MUST_CHECK;

/* Writes m and tells its id. USAGE, with words, for what manifest_parse would
 * refuse (the tree id is taken on trust); else the writer's status. */
enum status manifest_build(const struct manifest *m, struct writer *out,
                           struct hash *id, struct diag *diag) MUST_CHECK;

/* The version id of a manifest's bytes. */
void manifest_id(struct bytes manifest, struct hash *out);

/* Reads and checks everything: names, paths, that the files cover the content
 * without gaps in order, the shape, and that the leaves give the tree id.
 *
 * CORRUPT, TRUNCATED, LIMIT  malformed or against a rule; diag says which
 * MISMATCH                   the leaves do not give the tree id */
enum status manifest_parse(struct bytes in, struct manifest *out,
                           struct diag *diag) MUST_CHECK;

/* MISMATCH, with words, unless the manifest bytes have the id and size the
 * record signed and m says the same as the record of this model. */
enum status manifest_check_record(struct bytes bytes, const struct manifest *m,
                                  struct bytes model,
                                  const struct body_version *record,
                                  struct diag *diag) MUST_CHECK;

/* The form in which it travels: one zstd frame, with a manifest that both
 * sides hold as prefix (empty: none). NO_MEMORY, or the writer's status. */
enum status manifest_pack(struct bytes manifest, struct bytes prefix,
                          struct writer *out) MUST_CHECK;

/* Undoes it into out. size is the signed one: a frame that holds another
 * count of bytes, or anything after the frame, is CORRUPT. A wrong prefix
 * yields wrong bytes or CORRUPT, so check the id. LIMIT: size above
 * LIMIT_MANIFEST_BYTES. Memory is bounded by size and prefix. */
enum status manifest_unpack(struct bytes frame, struct bytes prefix,
                            uint64_t size, struct writer *out) MUST_CHECK;

#endif
