/* Signed envelopes: COSE_Sign (RFC 9052, tag 98) in deterministic CBOR, with
 * an empty body header, empty unprotected headers, an attached payload and 1
 * to 16 Ed25519 signatures. Each signature names its key in its protected
 * header; signatures ascend strictly by key, so that one set of signatures
 * over one payload is one sequence of bytes.
 *
 * Byte by byte in PROTOCOL.md, "Signed envelopes (COSE)". */
#ifndef PROTOCOL_COSE_H
#define PROTOCOL_COSE_H

#include "codec/base/writer.h"
#include "protocol/crypto.h"
#include "protocol/limits.h"

struct cose_signature {
    struct node_id key;
    struct crypto_signature sig;
};

struct cose_envelope {
    struct bytes payload; /* a view of the parsed bytes */
    size_t signature_count;
    struct cose_signature signatures[LIMIT_RECORD_SIGNATURES];
};

/* Reads an envelope. Verifies no signature: the caller asks cose_verify_one
 * for the keys it trusts before it looks into the payload.
 *
 * LIMIT        over LIMIT_RECORD_BYTES, too deep, or more than 16 signatures
 * TRUNCATED, CORRUPT  malformed; a header that should be empty; keys out of
 *              order; no signature
 * UNSUPPORTED  another COSE tag, or another algorithm than EdDSA: named in
 *              diag */
enum status cose_parse(struct bytes in, struct cose_envelope *out,
                       struct diag *diag) MUST_CHECK;

/* Verifies the signature at index < signature_count. BAD_SIGNATURE; LIMIT
 * when the payload exceeds LIMIT_RECORD_BYTES. */
enum status cose_verify_one(const struct cose_envelope *envelope, size_t index)
    MUST_CHECK;

/* The bytes that key signs for payload (the Sig_structure): what a client with
 * the private key elsewhere gets to sign. */
void cose_to_be_signed(struct bytes payload, const struct node_id *key,
                       struct writer *out);

/* Signs payload here. LIMIT when it exceeds LIMIT_RECORD_BYTES. */
enum status cose_sign(struct bytes payload, const struct crypto_sign_key *key,
                      struct cose_signature *out) MUST_CHECK;

/* Writes the envelope of payload with these signatures, in any order; they are
 * written sorted. USAGE: none, too many, or one key twice. LIMIT: over
 * LIMIT_RECORD_BYTES; else the writer's status. */
enum status cose_encode(struct bytes payload,
                        const struct cose_signature *signatures, size_t count,
                        struct writer *out) MUST_CHECK;

/* The general form, of which the envelope above is a profile: any COSE_Sign
 * or COSE_Sign1, tagged or not, with an attached payload and deterministic
 * CBOR. */
struct cose_signer {
    struct bytes protected_header; /* content of the byte string */
    struct bytes unprotected;      /* the encoded map */
    struct bytes signature;
};

struct cose_message {
    bool single;                   /* COSE_Sign1, tag 18; else tag 98 */
    struct bytes protected_header; /* of the body; empty with single */
    struct bytes unprotected;      /* of the body; empty with single */
    struct bytes payload;
    size_t signer_count; /* 1 with single */
    struct cose_signer signers[LIMIT_RECORD_SIGNATURES];
};

/* Views of in. UNSUPPORTED: another tag, or a detached payload. */
enum status cose_message_parse(struct bytes in, struct cose_message *out,
                               struct diag *diag) MUST_CHECK;

/* The Sig_structure of one signer (RFC 9052 section 4.4). */
void cose_message_to_be_signed(const struct cose_message *msg, size_t index,
                               struct bytes external_aad, struct writer *out);

/* Verifies the signature of one signer by key. UNSUPPORTED: its algorithm is
 * not EdDSA, named in diag; BAD_SIGNATURE; LIMIT: over LIMIT_RECORD_BYTES. */
enum status cose_message_verify(const struct cose_message *msg, size_t index,
                                const struct node_id *key,
                                struct bytes external_aad, struct diag *diag)
    MUST_CHECK;

/* The algorithm (label 1) of a protected header. NOT_FOUND: none; UNSUPPORTED:
 * named by text. */
enum status cose_header_alg(struct bytes protected_header, int64_t *alg)
    MUST_CHECK;

/* The registered name of an algorithm, or "unknown". Static. */
const char *cose_alg_name(int64_t alg);

#define COSE_ALG_EDDSA (-8)

#endif
