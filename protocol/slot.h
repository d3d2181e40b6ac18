/* Slots: one writer each, of which only the newest record is kept; and the
 * table of the slots a node knows.
 *
 * Ref: PROTOCOL.md, "Records". */
#ifndef PROTOCOL_SLOT_H
#define PROTOCOL_SLOT_H

#include "codec/base/hash.h"
#include "codec/base/status.h"
#include "protocol/limits.h"
#include "protocol/node_id.h"

#define SLOT_ID_BYTES 16u

struct slot_id {
    uint8_t b[SLOT_ID_BYTES];
};

/* Who writes a slot: a role by its name, or a node by its id. */
struct slot_author {
    bool is_node;
    uint8_t size; /* NODE_ID_BYTES for a node */
    uint8_t b[LIMIT_NAME_BYTES];
};

static inline int slot_id_compare(const struct slot_id *a,
                                  const struct slot_id *b)
{
    return memcmp(a->b, b->b, SLOT_ID_BYTES);
}

static inline bool slot_id_equal(const struct slot_id *a,
                                 const struct slot_id *b)
{
    return !slot_id_compare(a, b);
}

/* name has at most LIMIT_NAME_BYTES bytes; longer ones are cut, and then are
 * no valid role. */
struct slot_author slot_author_role(struct bytes name);
struct slot_author slot_author_node(const struct node_id *id);
bool slot_author_equal(const struct slot_author *a,
                       const struct slot_author *b);

/* The author's bytes: role name or node id. Valid as long as *author. */
static inline struct bytes slot_author_bytes(const struct slot_author *author)
{
    return bytes_of(author->b, author->size);
}

/* The first 16 bytes of HASH_SLOT over the CBOR encodings of author, kind and
 * name one after the other, as they stand in the payload. */
struct slot_id slot_id_of(const struct slot_author *author, uint64_t kind,
                          struct bytes name);

/* One of two payloads signed for the same (slot, epoch, seq). */
struct slot_proof {
    struct hash hash;
    struct bytes envelope; /* owned by the entry */
};

/* What is known of a slot. Views hold until the table changes. */
struct slot_entry {
    struct slot_id id;
    struct slot_author author;
    uint64_t kind;
    uint64_t epoch, seq;
    struct hash hash;        /* of the newest payload */
    struct bytes envelope;   /* the newest, as received; owned */
    struct bytes name, body; /* views of envelope */
    bool understood;         /* false: holds what must be understood first */
    bool has_proof;          /* equivocation: nobody acts on this slot */
    uint64_t proof_epoch, proof_seq;
    struct slot_proof proof[2]; /* least and greatest payload hash */
    uint64_t author_key;        /* private to the table */
};

/* A heap entry with nothing in it, and its release with all it owns. */
struct slot_entry *slot_entry_new(void);
void slot_entry_free(struct slot_entry *entry);

/* What the digest tries compare: the first 8 bytes of the payload hash, mixed
 * with the proof when there is one. */
void slot_entry_digest(const struct slot_entry *entry, uint8_t out[8]);

/* The envelopes that tell a peer, or a restart, all of this slot, in the order
 * to hand them over: proof, newest. Views. Returns their count, 1..3. */
unsigned slot_entry_envelopes(const struct slot_entry *entry,
                              struct bytes out[3]);

/* Entries in order of their ids. */
struct slot_table;

enum status slot_table_new(struct slot_table **out) MUST_CHECK;
void slot_table_free(struct slot_table *table);
size_t slot_table_count(const struct slot_table *table);

/* NULL when unknown. */
const struct slot_entry *slot_table_find(const struct slot_table *table,
                                         const struct slot_id *id);

/* By position, 0 .. count - 1. */
const struct slot_entry *slot_table_at(const struct slot_table *table,
                                       size_t index);

/* The position of the first entry whose id is >= id. */
size_t slot_table_lower_bound(const struct slot_table *table,
                              const struct slot_id *id);

/* Inserts entry or replaces the one of its id; the table owns it on success.
 * NO_MEMORY. */
enum status slot_table_put_take(struct slot_table *table,
                                struct slot_entry *entry) MUST_CHECK;

/* False when it was not there. */
bool slot_table_remove(struct slot_table *table, const struct slot_id *id);

/* How many slots author has. */
size_t slot_table_author_count(const struct slot_table *table,
                               const struct slot_author *author);

/* The author's slot with the greatest id; NULL: none. Reads the whole table. */
const struct slot_entry *
slot_table_author_last(const struct slot_table *table,
                       const struct slot_author *author);

#endif
