/* Noise vectors: {"vectors": [{protocol_name, init_*, resp_*, messages}]}. Both
 * sides run; messages alternate from the initiator on (with one-way patterns
 * all are the initiator's), and those after the handshake are transport
 * messages. */
#include "tests/conformance/suite.h"

#include "protocol/noise/handshake_state.h"

#define SIDE_COUNT 2

struct side {
    struct handshake_state hs;
    struct cipher_state send, recv;
};

struct run {
    struct noise_pattern pattern;
    struct side sides[SIDE_COUNT]; /* initiator, responder */
    char *why;
    size_t why_size;
};

/* One 32-byte member of init_* or resp_*. NULL when missing. */
static const uint8_t *side_key(const json_t *vector, bool initiator,
                               const char *what, struct suite_blob *out,
                               bool *bad)
{
    char member[64];
    snprintf(member, sizeof(member), "%s_%s", initiator ? "init" : "resp",
             what);
    if (!suite_hex(vector, member, out) ||
        (out->size && out->size != CRYPTO_DH_BYTES))
        *bad = true;
    return out->size == CRYPTO_DH_BYTES ? out->b : NULL;
}

static bool side_psks(const json_t *vector, bool initiator,
                      struct crypto_secret *psks, size_t *count)
{
    const json_t *list =
        json_object_get(vector, initiator ? "init_psks" : "resp_psks");
    static struct suite_blob blob;
    if (!list)
        list = json_object_get(vector, "init_psks");
    *count = json_array_size(list);
    for (size_t i = 0; i < *count && i < LIMIT_NOISE_PSKS; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !suite_hex_text(text, &blob) ||
            blob.size != sizeof(psks[i].b))
            return false;
        memcpy(psks[i].b, blob.b, blob.size);
    }
    return true;
}

/* The key the other side is known by: the vector's, else derived. */
static const struct crypto_dh_public *
side_remote(const json_t *vector, bool initiator, struct suite_blob *blob,
            struct crypto_dh_public *out, bool *bad)
{
    const uint8_t *key =
        side_key(vector, initiator, "remote_static", blob, bad);
    if (key) {
        memcpy(out->b, key, sizeof(out->b));
        return out;
    }
    key = side_key(vector, !initiator, "static", blob, bad);
    if (!key)
        return NULL;
    struct crypto_dh_key secret;
    memcpy(secret.b, key, sizeof(secret.b));
    crypto_dh_public(&secret, out);
    return out;
}

static enum suite_result side_init(struct run *run, const json_t *vector,
                                   bool initiator)
{
    static struct suite_blob s, e, rs, prologue;
    struct crypto_dh_public remote;
    struct crypto_secret psks[LIMIT_NOISE_PSKS];
    struct rng rng = crypto_rng();
    struct diag diag = {0};
    bool bad = false;
    struct handshake_config config = {
        .pattern = &run->pattern, .initiator = initiator, .rng = &rng};
    config.s = (const void *)side_key(vector, initiator, "static", &s, &bad);
    config.e = (const void *)side_key(vector, initiator, "ephemeral", &e, &bad);
    config.rs = side_remote(vector, initiator, &rs, &remote, &bad);
    config.psks = psks;
    if (bad || !side_psks(vector, initiator, psks, &config.psk_count) ||
        !suite_hex(vector, initiator ? "init_prologue" : "resp_prologue",
                   &prologue))
        return suite_because(SUITE_FAIL, run->why, run->why_size,
                             "%s: a key or psk is malformed",
                             run->pattern.name);
    config.prologue = suite_view(&prologue);
    if (handshake_state_init(&run->sides[initiator ? 0 : 1].hs, &config, &diag))
        return suite_because(SUITE_FAIL, run->why, run->why_size, "%s",
                             diag.text);
    return SUITE_PASS;
}

static enum status run_handshake_message(struct side *from, struct side *to,
                                         struct bytes payload,
                                         struct writer *wire,
                                         struct writer *back)
{
    enum status status = handshake_state_write(&from->hs, payload, wire);
    if (!status)
        status = handshake_state_read(&to->hs, writer_view(wire), back);
    if (!status && handshake_state_done(&from->hs)) {
        status = handshake_state_split(&from->hs, &from->send, &from->recv);
        if (!status)
            status = handshake_state_split(&to->hs, &to->send, &to->recv);
    }
    return status;
}

static enum status run_transport_message(struct side *from, struct side *to,
                                         struct bytes payload,
                                         struct writer *wire,
                                         struct writer *back)
{
    uint8_t *sealed = writer_reserve(wire, payload.size + CRYPTO_TAG_BYTES);
    if (!sealed || !writer_reserve(back, payload.size + 1))
        return STATUS_LIMIT;
    enum status status =
        cipher_state_seal(&from->send, (struct bytes){0}, payload, sealed);
    if (!status)
        status = cipher_state_open(&to->recv, (struct bytes){0},
                                   writer_view(wire), back->data);
    back->size = payload.size;
    return status;
}

static enum suite_result run_message(struct run *run, const json_t *message,
                                     size_t index)
{
    static struct suite_blob payload, ciphertext;
    static uint8_t wire_buf[SUITE_BLOB_MAX], back_buf[SUITE_BLOB_MAX];
    struct writer wire, back;
    bool handshake = index < run->pattern.message_count;
    unsigned from = index % 2 && !run->pattern.one_way ? 1 : 0;
    if (!suite_hex(message, "payload", &payload) ||
        !suite_hex(message, "ciphertext", &ciphertext) || !ciphertext.present)
        return suite_because(SUITE_FAIL, run->why, run->why_size,
                             "%s: message %zu is malformed", run->pattern.name,
                             index);
    writer_init(&wire, wire_buf, sizeof(wire_buf));
    writer_init(&back, back_buf, sizeof(back_buf));
    enum status status =
        (handshake ? run_handshake_message : run_transport_message)(
            &run->sides[from], &run->sides[1 - from], suite_view(&payload),
            &wire, &back);
    if (status)
        return suite_because(SUITE_FAIL, run->why, run->why_size,
                             "%s: message %zu: %s", run->pattern.name, index,
                             status_text(status));
    if (!bytes_equal(writer_view(&wire), suite_view(&ciphertext)) ||
        !bytes_equal(writer_view(&back), suite_view(&payload)))
        return suite_because(SUITE_FAIL, run->why, run->why_size,
                             "%s: message %zu differs", run->pattern.name,
                             index);
    return SUITE_PASS;
}

static enum suite_result run_check_hash(struct run *run, const json_t *vector)
{
    static struct suite_blob want;
    if (!suite_hex(vector, "handshake_hash", &want))
        return suite_because(SUITE_FAIL, run->why, run->why_size,
                             "handshake_hash is malformed");
    if (!want.present || !handshake_state_done(&run->sides[0].hs))
        return SUITE_PASS;
    for (int i = 0; i < SIDE_COUNT; i++)
        if (!bytes_equal(handshake_state_hash(&run->sides[i].hs),
                         suite_view(&want)))
            return suite_because(SUITE_FAIL, run->why, run->why_size,
                                 "%s: handshake hash differs",
                                 run->pattern.name);
    return SUITE_PASS;
}

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    static struct run run;
    struct diag diag = {0};
    run = (struct run){.why = why, .why_size = why_size};
    enum status status = noise_pattern_parse(
        suite_text(vector, "protocol_name"), &run.pattern, &diag);
    if (status)
        return suite_because(status == STATUS_UNSUPPORTED ? SUITE_SKIP
                                                          : SUITE_FAIL,
                             why, why_size, "%s", diag.text);
    enum suite_result result = side_init(&run, vector, true);
    if (!result)
        result = side_init(&run, vector, false);
    const json_t *messages = json_object_get(vector, "messages");
    for (size_t i = 0; !result && i < json_array_size(messages); i++)
        result = run_message(&run, json_array_get(messages, i), i);
    if (!result && !json_array_size(messages))
        result = suite_because(SUITE_FAIL, why, why_size, "no messages");
    return result ? result : run_check_hash(&run, vector);
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "noise", "vectors", "protocol_name",
                      run_vector);
}
