/* Signed statements in slots. A record is an envelope (cose.h) over a payload
 *
 *     [fleet, author, kind, name, epoch, seq, body]
 *
 * in deterministic CBOR. What is hashed and compared is the payload;
 * signatures are not.
 *
 * Ref: PROTOCOL.md, "Records". */
#ifndef PROTOCOL_RECORD_H
#define PROTOCOL_RECORD_H

#include "protocol/cose.h"
#include "protocol/slot.h"

enum record_kind {
    RECORD_FLEET = 1,
    RECORD_CERT = 2,
    RECORD_VERSION = 3,
    RECORD_CHANNEL = 4,
    RECORD_STATUS = 5,
    RECORD_CONTRIB = 6
};
/* Other kinds up to this are relayed within bounds. */
#define RECORD_KIND_MAX 65535u

/* "fleet", "cert"... or "unknown kind". Static. */
const char *record_kind_text(uint64_t kind);

/* What a payload says. Pointers are views of what was parsed or given. */
struct record_fields {
    bool has_fleet; /* false in fleet record 1 only */
    struct hash fleet;
    struct slot_author author;
    uint64_t kind; /* 1 .. RECORD_KIND_MAX */
    struct bytes name;
    uint64_t epoch, seq;
    struct bytes body; /* one CBOR map */
};

/* A parsed envelope. Views hold as long as the bytes that were parsed. */
struct record {
    struct record_fields f;
    struct slot_id slot;
    struct hash hash; /* HASH_RECORD of the payload */
    struct cose_envelope envelope;
};

/* Reads an envelope of at most LIMIT_RECORD_BYTES whole. Verifies no
 * signature.
 *
 * LIMIT, TRUNCATED, CORRUPT, UNSUPPORTED  as cose_parse, and CORRUPT for a
 * payload that is not of the form above, has an illegal role name, or is not
 * in its one encoding. diag says what. */
enum status record_parse(struct bytes in, struct record *out, struct diag *diag)
    MUST_CHECK;

/* Reads a payload alone, as record_parse does: what a client is asked to
 * sign. envelope of out is left empty. */
enum status record_parse_payload(struct bytes payload, struct record *out,
                                 struct diag *diag) MUST_CHECK;

/* Writes the payload. USAGE: a field out of range, a body that is no map of
 * the subset. LIMIT: over LIMIT_RECORD_BYTES; else the writer's status. */
enum status record_build_payload(const struct record_fields *fields,
                                 struct writer *out) MUST_CHECK;

/* The hash by which a payload is compared and named. */
void record_payload_hash(struct bytes payload, struct hash *out);

/* Signs payload with all keys and writes the envelope. A client whose keys lie
 * elsewhere uses cose_to_be_signed and cose_encode instead. Errors as
 * cose_encode. */
enum status record_sign(struct bytes payload,
                        const struct crypto_sign_key *const *keys,
                        size_t key_count, struct writer *out) MUST_CHECK;

#endif
