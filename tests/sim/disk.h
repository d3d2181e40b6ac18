/* What one simulated node has durably: records, manifests, contents, updates,
 * what runs. A crash loses nothing that is here, and all that is not. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "codec/update/header.h"
#include "protocol/node.h"
#include "protocol/slot.h"

struct disk_record {
    struct slot_id slot;
    uint64_t epoch, seq;
    uint32_t kind;
    struct hash hash;
    uint8_t *value;
    size_t size;
};

struct disk_version {
    struct hash id, tree;
    uint8_t *manifest;
    size_t manifest_size;
    struct hash *leaves; /* of the manifest */
    struct tree_shape shape;
    bool complete;
    uint8_t *content; /* shape.size bytes; blocks of the bitmap are right */
    uint8_t *bitmap;
};

struct disk_update {
    struct hash id;
    uint8_t *header;
    size_t header_size;
    struct update_header parsed;
    uint8_t **segments; /* parsed.segment_count; NULL: not there */
};

struct disk_running {
    char *model;
    struct hash version;
};

struct disk {
    struct disk_record *records;
    size_t record_count;
    struct disk_version **versions;
    size_t version_count;
    struct disk_update **updates;
    size_t update_count;
    struct disk_running *running;
    size_t running_count;
    uint64_t bad_blocks;   /* decoded blocks that did not match their leaf */
    uint64_t early_blocks; /* decodes before all auxiliary segments were here */
};

void disk_deinit(struct disk *disk);

/* False when an invariant would break: the slot would go back. */
bool disk_put_record(struct disk *disk, const struct node_record_ref *ref,
                     struct bytes value);
void disk_drop_record(struct disk *disk, const uint8_t slot[16]);
const struct disk_record *disk_record(const struct disk *disk,
                                      const struct slot_id *slot);

enum status disk_put_manifest(struct disk *disk, const struct hash *version,
                              struct bytes manifest);
/* A complete version, with its content. */
void disk_put_content(struct disk *disk, const struct hash *version,
                      struct bytes manifest, struct bytes content);
/* What runs stays. */
void disk_drop_version(struct disk *disk, const struct hash *version);
enum status disk_put_header(struct disk *disk, const struct hash *update,
                            struct bytes header);
enum status disk_put_segment(struct disk *disk, const struct hash *update,
                             uint32_t index, struct bytes coded);
enum status disk_complete(struct disk *disk, const struct hash *version);
void disk_put_running(struct disk *disk, const char *model,
                      const struct hash *version);

/* Decodes a segment into the version, checking every block; what was right
 * becomes durable together with the segment. A segment with bytes needs all
 * auxiliary ones of its update. */
enum status disk_decode(struct disk *disk, const struct hash *version,
                        const struct hash *update, uint32_t index,
                        struct bytes coded);

/* Makes the update and stores it; *header is a view of it. base NULL: full.
 * Most get auxiliary segments, the same on every node. */
enum status disk_make(struct disk *disk, const struct hash *base,
                      const struct hash *tree, struct bytes *header);

struct disk_version *disk_version(const struct disk *disk,
                                  const struct hash *id);
struct disk_version *disk_tree(const struct disk *disk,
                               const struct hash *tree);
struct disk_update *disk_update(const struct disk *disk, const struct hash *id);
const struct hash *disk_running(const struct disk *disk, const char *model);

/* Hands all of it to a new core, before node_start. */
enum status disk_load(const struct disk *disk, struct node *node);

#endif
