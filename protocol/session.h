/* One peer on one connection: received bytes to events. Noise handshake with
 * the identity of both sides, HELLO and the wire version, then messages.
 *
 * Handshake: Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b, prologue "deltamesh/1" and
 * the fleet id. Payload 1 is empty, payloads 2 and 3 are the sender's node id
 * and its certificate. Whoever lacks the fleet secret is refused by hashing
 * alone, before anything is allocated for it.
 *
 * Byte by byte in PROTOCOL.md, "Handshake and HELLO". */
#ifndef PROTOCOL_SESSION_H
#define PROTOCOL_SESSION_H

#include "protocol/message.h"
#include "protocol/noise/handshake_state.h"

#define SESSION_PROTOCOL "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b"
#define SESSION_PROLOGUE "deltamesh/1"

/* Wire versions this build speaks. */
#define SESSION_WIRE_MIN 1u
#define SESSION_WIRE_MAX 1u

#define SESSION_REPLAY_BYTES 8u

/* First messages seen: the first bytes of the ephemeral keys of the last
 * LIMIT_REPLAY_KEYS ones that knew the fleet secret. A first message is
 * accepted once. */
struct session_replays {
    uint8_t (*keys)[SESSION_REPLAY_BYTES]; /* NULL until the first */
    size_t count, next;
};
void session_replays_deinit(struct session_replays *replays);

/* Shared by the sessions of a node and borrowed by them. */
struct session_identity {
    struct noise_pattern pattern;
    struct hash fleet;
    struct crypto_secret psks[2]; /* [0] is used to dial */
    size_t psk_count;
    struct node_id id;
    struct crypto_dh_key dh;
    struct rng rng;
    struct bytes cert; /* own envelope; empty: none yet */
    struct session_replays replays;
    uint64_t instance; /* random, of this start */
    const char *software;
    uint8_t wire_min, wire_max;
};

/* Fills everything but the fleet, cert and software from the keys given; wipe
 * with deinit. USAGE: no secret, or more than two. */
enum status session_identity_init(struct session_identity *identity,
                                  const struct crypto_sign_key *key,
                                  const struct crypto_secret *psks,
                                  size_t psk_count, const struct rng *rng)
    MUST_CHECK;
void session_identity_deinit(struct session_identity *identity);

enum session_state {
    SESSION_NOISE, /* shaking hands */
    SESSION_JUDGE, /* the peer proved its id: session_admit or session_bye */
    SESSION_HELLO, /* waiting for the peer's HELLO */
    SESSION_UP,
    SESSION_DRAINING, /* BYE is queued: send what is left, then close */
    SESSION_FAILED
};

enum session_event {
    SESSION_EVENT_NONE,    /* all input is consumed */
    SESSION_EVENT_PEER,    /* session_peer is proven: judge it */
    SESSION_EVENT_UP,      /* session_peer_hello is there */
    SESSION_EVENT_MESSAGE, /* *plain is one message, BYE included */
};

struct session;

/* Starts a session; the initiator has bytes to send at once. NO_MEMORY. */
enum status session_new(struct session_identity *identity, bool initiator,
                        struct session **out) MUST_CHECK;
void session_free(struct session *s);

/* Takes bytes from the front of *in until something happened. Call again while
 * *event is not NONE. *plain holds until the next call.
 *
 *     do {
 *         status = session_recv(s, &in, &event, &plain, &diag);
 *         ...
 *     } while (!status && event);
 *
 * After PEER call session_admit or session_bye before going on.
 *
 * MISMATCH     not of this fleet (no secret), or a frame was changed
 * STALE        a first message that was seen before
 * UNSUPPORTED  no common wire version; a BYE is queued
 * CORRUPT, TRUNCATED, LIMIT  the peer broke the protocol
 * NO_MEMORY
 * After an error the link is to be closed; words in diag. */
enum status session_recv(struct session *s, struct bytes *in,
                         enum session_event *event, struct bytes *plain,
                         struct diag *diag) MUST_CHECK;

/* Lets the peer in: queues our HELLO. */
enum status session_admit(struct session *s, uint64_t fleet_seq) MUST_CHECK;

/* Queues BYE when the channel is up, and drains. */
void session_bye(struct session *s, enum message_bye_reason reason,
                 const char *text);

/* Queues one message in front of what session_seal seals; once the channel
 * stands, states JUDGE to UP. */
enum status session_queue(struct session *s, const struct message *msg)
    MUST_CHECK;

/* Bytes of the handshake, HELLO or BYE that wait to be sent, and taking at most
 * cap of them. */
size_t session_pending(const struct session *s);
size_t session_take(struct session *s, uint8_t *buf, size_t cap);

/* Seals one message to out; state UP, nothing pending. LIMIT, as
 * channel_seal. */
enum status session_seal(struct session *s, struct bytes plain,
                         struct writer *out) MUST_CHECK;

enum session_state session_state(const struct session *s);

/* Whether the peer showed that it knows the fleet secret. */
bool session_proved(const struct session *s);
bool session_initiator(const struct session *s);

/* "noise", "hello", "up", "draining". */
const char *session_state_text(const struct session *s);

/* Zero before SESSION_JUDGE. The certificate that came with the handshake is
 * an unjudged envelope, empty when there was none; it holds until
 * session_admit. */
const struct node_id *session_peer(const struct session *s);
struct bytes session_peer_cert(const struct session *s);

/* Of the peer's HELLO; zero before UP. */
struct session_hello {
    uint8_t wire; /* the version in use */
    uint64_t instance, fleet_seq, capabilities;
    char software[LIMIT_SOFTWARE_BYTES + 1];
};
const struct session_hello *session_peer_hello(const struct session *s);

#endif
