/* The life of one connection, step by step: Noise messages 1 to 3, the
 * judgement of the peer, HELLO both ways, then frames that carry one message
 * each. */
#include "protocol/session.h"

#include "protocol/noise/channel.h"
#include "protocol/noise/framer.h"

#include <assert.h>
#include <stdlib.h>

/* e and the tag of an empty payload. */
#define FIRST_BYTES (CRYPTO_DH_BYTES + CRYPTO_TAG_BYTES)
#define PENDING_MAX \
    (2u * (LIMIT_HANDSHAKE_FRAME_BYTES + FRAMER_HEAD_BYTES) + 8192u)

struct session {
    struct session_identity *identity;
    enum session_state state;
    bool initiator;
    struct handshake_state *hs; /* while shaking hands */
    struct framer framer;       /* of handshake messages */
    struct channel *channel;    /* afterwards */
    struct writer out;          /* sealed, to be sent */
    size_t sent;                /* of out */
    struct node_id peer;
    uint8_t *cert; /* the peer's, until it is judged */
    size_t cert_size;
    struct session_hello hello;
};

/* ---- First messages seen. ---- */

void session_replays_deinit(struct session_replays *replays)
{
    free(replays->keys);
    *replays = (struct session_replays){0};
}

static bool replays_has(const struct session_replays *replays,
                        const uint8_t *key)
{
    for (size_t i = 0; i < replays->count; i++)
        if (!memcmp(replays->keys[i], key, SESSION_REPLAY_BYTES))
            return true;
    return false;
}

static enum status replays_add(struct session_replays *replays,
                               const uint8_t *key)
{
    if (!replays->keys)
        replays->keys = calloc(LIMIT_REPLAY_KEYS, sizeof *replays->keys);
    if (!replays->keys)
        return STATUS_NO_MEMORY;
    memcpy(replays->keys[replays->next], key, SESSION_REPLAY_BYTES);
    replays->next = (replays->next + 1) % LIMIT_REPLAY_KEYS;
    if (replays->count < LIMIT_REPLAY_KEYS)
        replays->count++;
    return STATUS_OK;
}

/* ---- The identity. ---- */

enum status session_identity_init(struct session_identity *identity,
                                  const struct crypto_sign_key *key,
                                  const struct crypto_secret *psks,
                                  size_t psk_count, const struct rng *rng)
{
    memset(identity, 0, sizeof *identity);
    if (psk_count < 1 || psk_count > 2)
        return STATUS_USAGE;
    enum status status =
        noise_pattern_parse(SESSION_PROTOCOL, &identity->pattern, NULL);
    if (status)
        return status;
    memcpy(identity->psks, psks, psk_count * sizeof *psks);
    identity->psk_count = psk_count;
    identity->id = crypto_sign_key_id(key);
    crypto_dh_key_from_sign(key, &identity->dh);
    identity->rng = *rng;
    identity->instance = rng_u64(rng);
    identity->software = "";
    identity->wire_min = SESSION_WIRE_MIN;
    identity->wire_max = SESSION_WIRE_MAX;
    return STATUS_OK;
}

void session_identity_deinit(struct session_identity *identity)
{
    session_replays_deinit(&identity->replays);
    crypto_wipe(identity, sizeof *identity);
}

/* ---- Handshake messages. ---- */

#define PROLOGUE_BYTES (sizeof SESSION_PROLOGUE - 1 + HASH_BYTES)

static void write_prologue(const struct session_identity *id,
                           uint8_t out[PROLOGUE_BYTES])
{
    memcpy(out, SESSION_PROLOGUE, sizeof SESSION_PROLOGUE - 1);
    memcpy(out + sizeof SESSION_PROLOGUE - 1, id->fleet.b, HASH_BYTES);
}

static enum status begin_handshake(struct session *s, size_t psk)
{
    struct session_identity *id = s->identity;
    uint8_t prologue[PROLOGUE_BYTES];
    write_prologue(id, prologue);
    struct handshake_config config = {
        .pattern = &id->pattern,
        .initiator = s->initiator,
        .prologue = bytes_of(prologue, sizeof prologue),
        .s = &id->dh,
        .psks = &id->psks[psk],
        .psk_count = 1,
        .rng = &id->rng,
    };
    return handshake_state_init(s->hs, &config, NULL);
}

/* Appends one framed handshake message to what is to be sent. */
static enum status write_handshake(struct session *s, struct bytes payload)
{
    uint8_t buf[LIMIT_HANDSHAKE_FRAME_BYTES];
    struct writer wr;
    writer_init(&wr, buf, sizeof buf);
    enum status status = handshake_state_write(s->hs, payload, &wr);
    if (status)
        return status;
    writer_be16(&s->out, (uint16_t)wr.size);
    writer_bytes(&s->out, wr.data, wr.size);
    return writer_status(&s->out);
}

/* Our node id and certificate: payloads 2 and 3. */
static enum status write_identity(struct session *s)
{
    uint8_t buf[NODE_ID_BYTES + LIMIT_HANDSHAKE_CERT_BYTES];
    struct session_identity *id = s->identity;
    struct writer wr;
    writer_init(&wr, buf, sizeof buf);
    writer_bytes(&wr, id->id.b, sizeof id->id.b);
    if (id->cert.size <= LIMIT_HANDSHAKE_CERT_BYTES)
        writer_bytes(&wr, id->cert.data, id->cert.size);
    return write_handshake(s, writer_view(&wr));
}

/* The transport keys; the handshake's state is wiped. */
static enum status finish_handshake(struct session *s)
{
    struct cipher_state send, recv;
    enum status status = handshake_state_split(s->hs, &send, &recv);
    if (status)
        return status;
    s->channel = channel_new_take(&send, &recv);
    cipher_state_deinit(&send);
    cipher_state_deinit(&recv);
    handshake_state_deinit(s->hs);
    free(s->hs);
    s->hs = NULL;
    framer_deinit(&s->framer);
    framer_init(&s->framer, 0);
    s->state = SESSION_JUDGE;
    return s->channel ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Whether message 1 was sealed with this secret: the tokens psk and e of the
 * pattern and the empty payload, by hashing alone. No key of ours is made or
 * multiplied for whoever does not know the secret. */
static bool knows_secret(const struct session_identity *id,
                         const struct crypto_secret *psk, struct bytes msg)
{
    struct symmetric_state ss;
    uint8_t prologue[PROLOGUE_BYTES], none[1];
    struct bytes e = bytes_of(msg.data, CRYPTO_DH_BYTES);
    struct bytes sealed =
        bytes_of(msg.data + CRYPTO_DH_BYTES, msg.size - CRYPTO_DH_BYTES);
    write_prologue(id, prologue);
    symmetric_state_init(&ss, id->pattern.hash, id->pattern.name);
    symmetric_state_mix_hash(&ss, bytes_of(prologue, sizeof prologue));
    symmetric_state_mix_key_and_hash(&ss, bytes_of(psk->b, sizeof psk->b));
    symmetric_state_mix_hash(&ss, e);
    symmetric_state_mix_key(&ss, e);
    bool known = !symmetric_state_open(&ss, sealed, none);
    symmetric_state_deinit(&ss);
    return known;
}

/* Message 1: hashing only, with each secret we accept; the ephemeral is
 * remembered once the sender is known to have the secret. */
static enum status read_first(struct session *s, struct bytes msg,
                              struct diag *diag)
{
    struct session_identity *id = s->identity;
    if (msg.size != FIRST_BYTES)
        return diag_fail(diag, STATUS_CORRUPT,
                         "a first message of %zu bytes; another protocol?",
                         msg.size);
    if (replays_has(&id->replays, msg.data))
        return diag_fail(diag, STATUS_STALE, "a first message seen before");
    size_t psk = 0;
    while (psk < id->psk_count && !knows_secret(id, &id->psks[psk], msg))
        psk++;
    if (psk == id->psk_count)
        return diag_fail(diag, STATUS_MISMATCH,
                         "the peer has another fleet secret");
    uint8_t none[1];
    struct writer payload;
    writer_init(&payload, none, 0);
    s->hs = calloc(1, sizeof *s->hs);
    if (!s->hs)
        return STATUS_NO_MEMORY;
    enum status status = begin_handshake(s, psk);
    if (!status)
        status = handshake_state_read(s->hs, msg, &payload);
    if (!status)
        status = replays_add(&id->replays, msg.data);
    if (status)
        return status;
    framer_set_max(&s->framer, LIMIT_HANDSHAKE_FRAME_BYTES);
    return write_identity(s);
}

/* Who sent payload 2 or 3, and that the Noise static key is that node's. */
static enum status read_identity(struct session *s, struct bytes msg,
                                 struct diag *diag)
{
    uint8_t buf[LIMIT_HANDSHAKE_FRAME_BYTES];
    struct writer payload;
    writer_init(&payload, buf, sizeof buf);
    enum status status = handshake_state_read(s->hs, msg, &payload);
    if (status)
        return diag_fail(diag, status,
                         s->initiator ? "the peer has another fleet secret"
                                      : "the handshake does not authenticate");
    struct reader rd;
    reader_init(&rd, writer_view(&payload));
    reader_copy(&rd, s->peer.b, sizeof s->peer.b);
    s->cert_size = reader_left(&rd);
    struct bytes cert = reader_bytes(&rd, s->cert_size);
    if (reader_status(&rd) || s->cert_size > LIMIT_HANDSHAKE_CERT_BYTES)
        return diag_fail(diag, STATUS_CORRUPT, "no identity in the handshake");
    struct crypto_dh_public expected;
    status = crypto_dh_public_from_id(&s->peer, &expected);
    if (status || memcmp(expected.b, handshake_state_remote_static(s->hs)->b,
                         sizeof expected.b))
        return diag_fail(diag, STATUS_MISMATCH,
                         "the peer's key is not that of the node it claims");
    if (!s->cert_size)
        return STATUS_OK;
    s->cert = malloc(s->cert_size);
    if (!s->cert)
        return STATUS_NO_MEMORY;
    memcpy(s->cert, cert.data, cert.size);
    return STATUS_OK;
}

/* One handshake message, whichever is due. */
static enum status step_handshake(struct session *s, struct bytes msg,
                                  enum session_event *event, struct diag *diag)
{
    enum status status;
    if (!s->hs)
        return read_first(s, msg, diag);
    status = read_identity(s, msg, diag);
    if (!status && s->initiator)
        status = write_identity(s);
    if (!status)
        status = finish_handshake(s);
    if (!status)
        *event = SESSION_EVENT_PEER;
    return status;
}

/* ---- HELLO and BYE. ---- */

enum status session_queue(struct session *s, const struct message *msg)
{
    uint8_t buf[LIMIT_PEERS_ADDRS * (LIMIT_ADDR_BYTES + 3) + 64];
    struct writer wr;
    assert(s->channel);
    writer_init(&wr, buf, sizeof buf);
    enum status status = message_encode(msg, &wr);
    if (status)
        return status;
    return channel_seal(s->channel, writer_view(&wr), &s->out);
}

static enum status queue_hello(struct session *s, uint64_t fleet_seq)
{
    struct session_identity *id = s->identity;
    struct message *msg = calloc(1, sizeof *msg);
    if (!msg)
        return STATUS_NO_MEMORY;
    msg->type = MESSAGE_HELLO;
    msg->u.hello = (struct message_hello){
        .wire_min = id->wire_min,
        .wire_max = id->wire_max,
        .instance = id->instance,
        .fleet_seq = fleet_seq,
        .software = bytes_of_text(id->software),
    };
    if (msg->u.hello.software.size > LIMIT_SOFTWARE_BYTES)
        msg->u.hello.software.size = LIMIT_SOFTWARE_BYTES;
    enum status status = session_queue(s, msg);
    free(msg);
    return status;
}

enum status session_admit(struct session *s, uint64_t fleet_seq)
{
    assert(s->state == SESSION_JUDGE);
    free(s->cert);
    s->cert = NULL;
    s->cert_size = 0;
    s->state = SESSION_HELLO;
    return queue_hello(s, fleet_seq);
}

void session_bye(struct session *s, enum message_bye_reason reason,
                 const char *text)
{
    if (s->state == SESSION_DRAINING || s->state == SESSION_FAILED)
        return;
    s->state = SESSION_DRAINING;
    struct message *msg = s->channel ? calloc(1, sizeof *msg) : NULL;
    if (!msg)
        return;
    msg->type = MESSAGE_BYE;
    msg->u.bye.reason = reason;
    msg->u.bye.text = bytes_of_text(text);
    if (msg->u.bye.text.size > LIMIT_BYE_TEXT_BYTES)
        msg->u.bye.text.size = LIMIT_BYE_TEXT_BYTES;
    if (session_queue(s, msg))
        s->state = SESSION_FAILED;
    free(msg);
}

/* The peer's first message must be HELLO; or BYE when it refuses us, perhaps
 * behind PEERS. */
static enum status take_hello(struct session *s, struct bytes plain,
                              enum session_event *event, struct diag *diag)
{
    if (plain.size &&
        (plain.data[0] == MESSAGE_BYE || plain.data[0] == MESSAGE_PEERS)) {
        *event = SESSION_EVENT_MESSAGE;
        return STATUS_OK;
    }
    struct message *msg = calloc(1, sizeof *msg);
    if (!msg)
        return STATUS_NO_MEMORY;
    enum status status = message_decode(plain, msg, diag);
    const struct message_hello *m = &msg->u.hello;
    if (!status && msg->type != MESSAGE_HELLO)
        status = diag_fail(diag, STATUS_CORRUPT, "%s before HELLO",
                           message_name(msg->type));
    if (!status) {
        uint8_t mine = s->identity->wire_max;
        s->hello.wire = m->wire_max < mine ? m->wire_max : mine;
        s->hello.instance = m->instance;
        s->hello.fleet_seq = m->fleet_seq;
        s->hello.capabilities = m->capabilities;
        if (m->software.size)
            memcpy(s->hello.software, m->software.data, m->software.size);
        if (s->hello.wire < m->wire_min ||
            s->hello.wire < s->identity->wire_min)
            status = diag_fail(
                diag, STATUS_UNSUPPORTED,
                "the peer speaks wire versions %u to %u, this node %u to %u",
                m->wire_min, m->wire_max, s->identity->wire_min, mine);
    }
    free(msg);
    if (status == STATUS_UNSUPPORTED)
        session_bye(s, MESSAGE_BYE_WIRE, diag ? diag->text : "wire version");
    if (status)
        return status;
    s->state = SESSION_UP;
    *event = SESSION_EVENT_UP;
    return STATUS_OK;
}

/* ---- Bytes in. ---- */

static enum status recv_handshake(struct session *s, struct bytes *in,
                                  enum session_event *event, struct diag *diag)
{
    uint8_t *body;
    size_t size;
    bool ready;
    while (in->size && !*event) {
        enum status status = framer_take(&s->framer, in, &body, &size, &ready);
        if (status)
            return diag_fail(diag, status, "not a handshake of this protocol");
        if (!ready)
            continue;
        status = step_handshake(s, bytes_of(body, size), event, diag);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status recv_channel(struct session *s, struct bytes *in,
                                enum session_event *event, struct bytes *plain,
                                struct diag *diag)
{
    bool ready = false;
    while (in->size && !ready) {
        enum status status = channel_open(s->channel, in, plain, &ready);
        if (status)
            return diag_fail(diag, status, "a damaged frame: %s",
                             status_text(status));
    }
    if (!ready)
        return STATUS_OK;
    if (s->state == SESSION_HELLO)
        return take_hello(s, *plain, event, diag);
    *event = SESSION_EVENT_MESSAGE;
    return STATUS_OK;
}

enum status session_recv(struct session *s, struct bytes *in,
                         enum session_event *event, struct bytes *plain,
                         struct diag *diag)
{
    enum status status = STATUS_OK;
    *event = SESSION_EVENT_NONE;
    *plain = (struct bytes){NULL, 0};
    assert(s->state != SESSION_JUDGE);
    if (s->state == SESSION_DRAINING || s->state == SESSION_FAILED)
        in->size = 0;
    else if (s->state == SESSION_NOISE)
        status = recv_handshake(s, in, event, diag);
    else
        status = recv_channel(s, in, event, plain, diag);
    if (status && s->state != SESSION_DRAINING)
        s->state = SESSION_FAILED;
    return status;
}

/* ---- Bytes out. ---- */

size_t session_pending(const struct session *s)
{
    return s->state == SESSION_FAILED ? 0 : s->out.size - s->sent;
}

size_t session_take(struct session *s, uint8_t *buf, size_t cap)
{
    size_t size = session_pending(s);
    if (!size)
        return 0;
    if (size > cap)
        size = cap;
    memcpy(buf, s->out.data + s->sent, size);
    s->sent += size;
    if (s->sent < s->out.size)
        return size;
    writer_deinit(&s->out);
    writer_init_heap(&s->out, PENDING_MAX);
    s->sent = 0;
    return size;
}

enum status session_seal(struct session *s, struct bytes plain,
                         struct writer *out)
{
    assert(s->state == SESSION_UP && !session_pending(s));
    return channel_seal(s->channel, plain, out);
}

/* ---- Life. ---- */

enum status session_new(struct session_identity *identity, bool initiator,
                        struct session **out)
{
    struct session *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return STATUS_NO_MEMORY;
    s->identity = identity;
    s->initiator = initiator;
    framer_init(&s->framer,
                initiator ? LIMIT_HANDSHAKE_FRAME_BYTES : FIRST_BYTES);
    writer_init_heap(&s->out, PENDING_MAX);
    if (initiator) {
        enum status status = STATUS_NO_MEMORY;
        s->hs = calloc(1, sizeof *s->hs);
        if (s->hs)
            status = begin_handshake(s, 0);
        if (!status)
            status = write_handshake(s, bytes_of(NULL, 0));
        if (status) {
            session_free(s);
            return status;
        }
    }
    *out = s;
    return STATUS_OK;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    if (s->hs)
        handshake_state_deinit(s->hs);
    free(s->hs);
    framer_deinit(&s->framer);
    channel_free(s->channel);
    writer_deinit(&s->out);
    free(s->cert);
    free(s);
}

enum session_state session_state(const struct session *s)
{
    return s->state;
}

bool session_proved(const struct session *s)
{
    return s->channel || (s->hs && !s->initiator);
}

bool session_initiator(const struct session *s)
{
    return s->initiator;
}

const char *session_state_text(const struct session *s)
{
    static const char *const texts[] = {
        [SESSION_NOISE] = "noise",       [SESSION_JUDGE] = "noise",
        [SESSION_HELLO] = "hello",       [SESSION_UP] = "up",
        [SESSION_DRAINING] = "draining", [SESSION_FAILED] = "draining",
    };
    return texts[s->state];
}

const struct node_id *session_peer(const struct session *s)
{
    return &s->peer;
}

struct bytes session_peer_cert(const struct session *s)
{
    return bytes_of(s->cert, s->cert_size);
}

const struct session_hello *session_peer_hello(const struct session *s)
{
    return &s->hello;
}
