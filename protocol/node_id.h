/* The name of a node or of a signer: its Ed25519 public key. */
#ifndef PROTOCOL_NODE_ID_H
#define PROTOCOL_NODE_ID_H

#include "codec/base/bytes.h"

#define NODE_ID_BYTES    32u
#define NODE_ID_HEX_SIZE (2 * NODE_ID_BYTES + 1)

struct node_id {
    uint8_t b[NODE_ID_BYTES];
};

static inline bool node_id_equal(const struct node_id *a,
                                 const struct node_id *b)
{
    return !memcmp(a->b, b->b, NODE_ID_BYTES);
}

/* Below, at or above 0 as a is less than, equal to or greater than b, byte by
 * byte: "the lesser id" of PROTOCOL.md. */
static inline int node_id_compare(const struct node_id *a,
                                  const struct node_id *b)
{
    return memcmp(a->b, b->b, NODE_ID_BYTES);
}

static inline bool node_id_is_zero(const struct node_id *id)
{
    static const struct node_id zero;
    return node_id_equal(id, &zero);
}

/* Lower-case hex with a NUL; out has NODE_ID_HEX_SIZE bytes. */
void node_id_hex(const struct node_id *id, char *out);

/* False, and *out untouched, unless text is exactly 64 hex digits. */
bool node_id_from_hex(const char *text, struct node_id *out);

#endif
