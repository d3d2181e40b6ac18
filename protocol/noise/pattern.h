/* Handshake patterns of the Noise Protocol Framework, revision 34: the one-way
 * (7.4), interactive (7.5) and deferred (18.1) ones as data, with any number of
 * psk modifiers (9.4), and the parsing of protocol names (8). */
#ifndef PROTOCOL_NOISE_PATTERN_H
#define PROTOCOL_NOISE_PATTERN_H

#include "codec/base/status.h"
#include "protocol/crypto.h"

#include <stdbool.h>
#include <stdint.h>

enum noise_token {
    NOISE_TOKEN_E = 1,
    NOISE_TOKEN_S,
    NOISE_TOKEN_EE,
    NOISE_TOKEN_ES,
    NOISE_TOKEN_SE,
    NOISE_TOKEN_SS,
    NOISE_TOKEN_PSK
};

#define NOISE_PATTERN_NAME_MAX     255u
#define NOISE_PATTERN_MESSAGES_MAX 5u
#define NOISE_PATTERN_TOKENS_MAX   8u /* in one message, psks included */

/* A whole protocol: the pattern with its modifiers applied, and the hash. */
struct noise_pattern {
    char name[NOISE_PATTERN_NAME_MAX + 1]; /* the full protocol name */
    enum crypto_hash_kind hash;
    bool pre_initiator; /* the responder knows the initiator's s beforehand */
    bool pre_responder; /* the initiator knows the responder's s beforehand */
    bool one_way;       /* after the handshake only the initiator sends */
    unsigned psk_count; /* psk tokens in all; > 0 changes what e does */
    unsigned message_count;
    unsigned token_counts[NOISE_PATTERN_MESSAGES_MAX];
    uint8_t tokens[NOISE_PATTERN_MESSAGES_MAX][NOISE_PATTERN_TOKENS_MAX];
};

/* Parses a name such as "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b". The hash is
 * BLAKE2b or SHA256.
 *
 * CORRUPT      not of that form, a psk past the last message or given twice
 * UNSUPPORTED  another pattern, modifier, DH, cipher or hash: named in diag
 * LIMIT        name too long */
enum status noise_pattern_parse(const char *name, struct noise_pattern *out,
                                struct diag *diag) MUST_CHECK;

/* Names of the patterns known ("N", "K", ... "I1X1"), NULL past the last. */
const char *noise_pattern_known(size_t index);

#endif
