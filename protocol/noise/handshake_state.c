/* HandshakeState: one token at a time, for any pattern.
 *
 * Ref: The Noise Protocol Framework, revision 34, sections 5.3 and 9. */
#include "protocol/noise/handshake_state.h"

#include "codec/base/reader.h"

#include <string.h>

/* Whether this side sends a message with that index. */
static bool handshake_state_sends(const struct handshake_state *hs,
                                  unsigned message)
{
    return (message % 2 == 0) == hs->initiator;
}

/* Whether this side's static key occurs: known beforehand, or sent. */
static bool handshake_state_needs_s(const struct handshake_state *hs)
{
    const struct noise_pattern *pattern = &hs->pattern;
    if (hs->initiator ? pattern->pre_initiator : pattern->pre_responder)
        return true;
    for (unsigned m = 0; m < pattern->message_count; m++)
        if (handshake_state_sends(hs, m) &&
            memchr(pattern->tokens[m], NOISE_TOKEN_S, pattern->token_counts[m]))
            return true;
    return false;
}

static bool handshake_state_needs_rs(const struct handshake_state *hs)
{
    return hs->initiator ? hs->pattern.pre_responder
                         : hs->pattern.pre_initiator;
}

static enum status
handshake_state_take_keys(struct handshake_state *hs,
                          const struct handshake_config *config,
                          struct diag *diag)
{
    if (handshake_state_needs_s(hs)) {
        if (!config->s)
            return diag_fail(diag, STATUS_USAGE, "%s needs a static key",
                             hs->pattern.name);
        hs->s = *config->s;
        crypto_dh_public(&hs->s, &hs->s_public);
        hs->has_s = true;
    }
    if (handshake_state_needs_rs(hs)) {
        if (!config->rs)
            return diag_fail(diag, STATUS_USAGE,
                             "%s needs the remote static key",
                             hs->pattern.name);
        hs->rs = *config->rs;
        hs->has_rs = true;
    }
    if (config->psk_count != hs->pattern.psk_count ||
        config->psk_count > LIMIT_NOISE_PSKS)
        return diag_fail(diag, STATUS_USAGE, "%s needs %u psks, not %zu",
                         hs->pattern.name, hs->pattern.psk_count,
                         config->psk_count);
    if (config->psk_count)
        memcpy(hs->psks, config->psks, config->psk_count * sizeof(hs->psks[0]));
    return STATUS_OK;
}

/* The ephemeral is made at once, so that the state needs no source later. */
static enum status handshake_state_take_e(struct handshake_state *hs,
                                          const struct handshake_config *config,
                                          struct diag *diag)
{
    if (hs->pattern.one_way && !hs->initiator)
        return STATUS_OK;
    if (config->e)
        hs->e = *config->e;
    else if (config->rng)
        crypto_dh_key_generate(config->rng, &hs->e);
    else
        return diag_fail(diag, STATUS_USAGE, "no source of random bytes");
    crypto_dh_public(&hs->e, &hs->e_public);
    hs->has_e = true;
    return STATUS_OK;
}

static struct bytes handshake_public_bytes(const struct crypto_dh_public *key)
{
    return bytes_of(key->b, sizeof(key->b));
}

static void handshake_state_begin(struct handshake_state *hs,
                                  struct bytes prologue)
{
    const struct crypto_dh_public *initiator =
        hs->initiator ? &hs->s_public : &hs->rs;
    const struct crypto_dh_public *responder =
        hs->initiator ? &hs->rs : &hs->s_public;
    symmetric_state_init(&hs->sym, hs->pattern.hash, hs->pattern.name);
    symmetric_state_mix_hash(&hs->sym, prologue);
    if (hs->pattern.pre_initiator)
        symmetric_state_mix_hash(&hs->sym, handshake_public_bytes(initiator));
    if (hs->pattern.pre_responder)
        symmetric_state_mix_hash(&hs->sym, handshake_public_bytes(responder));
}

enum status handshake_state_init(struct handshake_state *hs,
                                 const struct handshake_config *config,
                                 struct diag *diag)
{
    *hs = (struct handshake_state){0};
    hs->pattern = *config->pattern;
    hs->initiator = config->initiator;
    enum status status = handshake_state_take_keys(hs, config, diag);
    if (!status)
        status = handshake_state_take_e(hs, config, diag);
    if (status) {
        handshake_state_deinit(hs);
        hs->status = status;
        return status;
    }
    handshake_state_begin(hs, config->prologue);
    return STATUS_OK;
}

void handshake_state_deinit(struct handshake_state *hs)
{
    crypto_wipe(hs, sizeof(*hs));
}

bool handshake_state_done(const struct handshake_state *hs)
{
    return !hs->status && hs->next == hs->pattern.message_count;
}

bool handshake_state_writes_next(const struct handshake_state *hs)
{
    return !hs->status && hs->next < hs->pattern.message_count &&
           handshake_state_sends(hs, hs->next);
}

static enum status handshake_state_mix_dh(struct handshake_state *hs,
                                          bool own_static, bool remote_static)
{
    uint8_t shared[CRYPTO_DH_BYTES];
    const struct crypto_dh_key *own = own_static ? &hs->s : &hs->e;
    const struct crypto_dh_public *remote = remote_static ? &hs->rs : &hs->re;
    if (!(own_static ? hs->has_s : hs->has_e) ||
        !(remote_static ? hs->has_rs : hs->has_re))
        return STATUS_INTERNAL;
    enum status status = crypto_dh(own, remote, shared);
    if (!status)
        symmetric_state_mix_key(&hs->sym, bytes_of(shared, sizeof(shared)));
    crypto_wipe(shared, sizeof(shared));
    return status;
}

/* The tokens that both sides treat alike. */
static enum status handshake_state_mix(struct handshake_state *hs,
                                       enum noise_token token)
{
    const struct crypto_secret *psk;
    switch (token) {
    case NOISE_TOKEN_EE:
        return handshake_state_mix_dh(hs, false, false);
    case NOISE_TOKEN_ES:
        return handshake_state_mix_dh(hs, !hs->initiator, hs->initiator);
    case NOISE_TOKEN_SE:
        return handshake_state_mix_dh(hs, hs->initiator, !hs->initiator);
    case NOISE_TOKEN_SS:
        return handshake_state_mix_dh(hs, true, true);
    case NOISE_TOKEN_PSK:
        psk = &hs->psks[hs->psks_used++];
        symmetric_state_mix_key_and_hash(&hs->sym,
                                         bytes_of(psk->b, sizeof(psk->b)));
        return STATUS_OK;
    default:
        return STATUS_INTERNAL;
    }
}

/* With psks an ephemeral is mixed into the key too, so that no two messages
 * are sealed under one key (section 9.2). */
static void handshake_state_mix_e(struct handshake_state *hs,
                                  const struct crypto_dh_public *e)
{
    symmetric_state_mix_hash(&hs->sym, handshake_public_bytes(e));
    if (hs->pattern.psk_count)
        symmetric_state_mix_key(&hs->sym, handshake_public_bytes(e));
}

static enum status handshake_state_seal(struct handshake_state *hs,
                                        struct bytes plain, struct writer *out)
{
    size_t size = plain.size + cipher_state_overhead(&hs->sym.cipher);
    uint8_t nothing[1];
    uint8_t *at = size ? writer_reserve(out, size) : nothing;
    return at ? symmetric_state_seal(&hs->sym, plain, at) : out->status;
}

static enum status handshake_state_write_token(struct handshake_state *hs,
                                               enum noise_token token,
                                               struct writer *out)
{
    switch (token) {
    case NOISE_TOKEN_E:
        writer_bytes(out, hs->e_public.b, sizeof(hs->e_public.b));
        handshake_state_mix_e(hs, &hs->e_public);
        return out->status;
    case NOISE_TOKEN_S:
        return handshake_state_seal(hs, handshake_public_bytes(&hs->s_public),
                                    out);
    default:
        return handshake_state_mix(hs, token);
    }
}

static enum status handshake_state_write_all(struct handshake_state *hs,
                                             struct bytes payload,
                                             struct writer *out)
{
    const uint8_t *tokens = hs->pattern.tokens[hs->next];
    size_t start = out->size;
    if (payload.size > LIMIT_NOISE_MESSAGE_BYTES)
        return STATUS_LIMIT;
    for (unsigned i = 0; i < hs->pattern.token_counts[hs->next]; i++) {
        enum status status =
            handshake_state_write_token(hs, (enum noise_token)tokens[i], out);
        if (status)
            return status;
    }
    enum status status = handshake_state_seal(hs, payload, out);
    if (!status && out->size - start > LIMIT_NOISE_MESSAGE_BYTES)
        return STATUS_LIMIT;
    return status;
}

enum status handshake_state_write(struct handshake_state *hs,
                                  struct bytes payload, struct writer *out)
{
    size_t start = out->size;
    if (hs->status)
        return hs->status;
    if (!handshake_state_writes_next(hs))
        return STATUS_USAGE;
    hs->status = out->status;
    if (!hs->status)
        hs->status = handshake_state_write_all(hs, payload, out);
    if (hs->status)
        out->size = start;
    else
        hs->next++;
    return hs->status;
}

static enum status handshake_state_read_e(struct handshake_state *hs,
                                          struct reader *rd)
{
    reader_copy(rd, hs->re.b, sizeof(hs->re.b));
    if (rd->status)
        return rd->status;
    hs->has_re = true;
    handshake_state_mix_e(hs, &hs->re);
    return STATUS_OK;
}

static enum status handshake_state_read_s(struct handshake_state *hs,
                                          struct reader *rd)
{
    size_t size = sizeof(hs->rs.b) + cipher_state_overhead(&hs->sym.cipher);
    struct bytes sealed = reader_bytes(rd, size);
    if (rd->status)
        return rd->status;
    enum status status = symmetric_state_open(&hs->sym, sealed, hs->rs.b);
    hs->has_rs = !status;
    return status;
}

static enum status handshake_state_read_token(struct handshake_state *hs,
                                              enum noise_token token,
                                              struct reader *rd)
{
    switch (token) {
    case NOISE_TOKEN_E:
        return handshake_state_read_e(hs, rd);
    case NOISE_TOKEN_S:
        return handshake_state_read_s(hs, rd);
    default:
        return handshake_state_mix(hs, token);
    }
}

static enum status handshake_state_read_payload(struct handshake_state *hs,
                                                struct reader *rd,
                                                struct writer *out)
{
    struct bytes sealed = reader_bytes(rd, reader_left(rd));
    size_t overhead = cipher_state_overhead(&hs->sym.cipher);
    uint8_t nothing[1];
    if (sealed.size < overhead)
        return STATUS_TRUNCATED;
    size_t size = sealed.size - overhead;
    uint8_t *at = size ? writer_reserve(out, size) : nothing;
    return at ? symmetric_state_open(&hs->sym, sealed, at) : out->status;
}

static enum status handshake_state_read_all(struct handshake_state *hs,
                                            struct bytes msg,
                                            struct writer *out)
{
    const uint8_t *tokens = hs->pattern.tokens[hs->next];
    struct reader rd;
    if (msg.size > LIMIT_NOISE_MESSAGE_BYTES)
        return STATUS_LIMIT;
    reader_init(&rd, msg);
    for (unsigned i = 0; i < hs->pattern.token_counts[hs->next]; i++) {
        enum status status =
            handshake_state_read_token(hs, (enum noise_token)tokens[i], &rd);
        if (status)
            return status;
    }
    return handshake_state_read_payload(hs, &rd, out);
}

enum status handshake_state_read(struct handshake_state *hs, struct bytes msg,
                                 struct writer *out)
{
    size_t start = out->size;
    if (hs->status)
        return hs->status;
    if (handshake_state_done(hs) || handshake_state_writes_next(hs))
        return STATUS_USAGE;
    hs->status = out->status;
    if (!hs->status)
        hs->status = handshake_state_read_all(hs, msg, out);
    if (hs->status)
        out->size = start;
    else
        hs->next++;
    return hs->status;
}

const struct crypto_dh_public *
handshake_state_remote_static(const struct handshake_state *hs)
{
    return hs->has_rs ? &hs->rs : NULL;
}

const struct crypto_dh_public *
handshake_state_remote_ephemeral(const struct handshake_state *hs)
{
    return hs->has_re ? &hs->re : NULL;
}

struct bytes handshake_state_hash(const struct handshake_state *hs)
{
    return symmetric_state_hash(&hs->sym);
}

enum status handshake_state_split(const struct handshake_state *hs,
                                  struct cipher_state *send,
                                  struct cipher_state *recv)
{
    *send = (struct cipher_state){0};
    *recv = (struct cipher_state){0};
    if (!handshake_state_done(hs))
        return STATUS_USAGE;
    if (hs->initiator)
        symmetric_state_split(&hs->sym, send, recv);
    else
        symmetric_state_split(&hs->sym, recv, send);
    return STATUS_OK;
}
