/* The reading side of handshakes. The first byte chooses the pattern and the
 * role; then come messages, each with a 2-byte length. Keys are fixed, so that
 * a corpus of whole handshakes reaches every state. */
#include "protocol/noise/handshake_state.h"

#include "codec/base/reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill_key(uint8_t *out, uint8_t byte)
{
    memset(out, byte, CRYPTO_DH_BYTES);
}

static bool make_state(struct handshake_state *hs, uint8_t choice)
{
    static const char *const names[] = {
        "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b",
        "Noise_XX_25519_ChaChaPoly_SHA256",
        "Noise_IK_25519_ChaChaPoly_BLAKE2b",
        "Noise_NNpsk0+psk2_25519_ChaChaPoly_SHA256",
        "Noise_N_25519_ChaChaPoly_BLAKE2b",
        "Noise_X1X1_25519_ChaChaPoly_BLAKE2b",
        "Noise_KK_25519_ChaChaPoly_SHA256",
        "Noise_KX1_25519_ChaChaPoly_BLAKE2b",
    };
    struct noise_pattern pattern;
    struct crypto_secret psks[LIMIT_NOISE_PSKS];
    struct crypto_dh_key s, e, other;
    struct crypto_dh_public rs;
    bool initiator = choice & 8;
    if (noise_pattern_parse(names[choice & 7], &pattern, NULL))
        abort();
    fill_key(s.b, initiator ? 1 : 2);
    fill_key(e.b, initiator ? 3 : 4);
    fill_key(other.b, initiator ? 2 : 1);
    for (size_t i = 0; i < LIMIT_NOISE_PSKS; i++)
        fill_key(psks[i].b, 5);
    crypto_dh_public(&other, &rs);
    struct handshake_config config = {.pattern = &pattern,
                                      .initiator = initiator,
                                      .s = &s,
                                      .rs = &rs,
                                      .e = &e,
                                      .psks = psks,
                                      .psk_count = pattern.psk_count};
    return !handshake_state_init(hs, &config, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[LIMIT_NOISE_MESSAGE_BYTES];
    struct reader rd;
    struct handshake_state hs;
    struct cipher_state send, recv;
    struct writer wr;
    reader_init(&rd, bytes_of(data, size));
    if (crypto_init() || !make_state(&hs, reader_u8(&rd)))
        abort();
    while (!hs.status && !handshake_state_done(&hs)) {
        writer_init(&wr, out, sizeof(out));
        if (handshake_state_writes_next(&hs)) {
            enum status status =
                handshake_state_write(&hs, bytes_of("hello", 5), &wr);
            /* MISMATCH: the other side's key was all zero. */
            if (status && (status != STATUS_MISMATCH || wr.size))
                abort();
            continue;
        }
        if (!reader_left(&rd))
            break;
        size_t want = reader_be16(&rd);
        size_t left = reader_left(&rd);
        struct bytes msg = reader_bytes(&rd, want < left ? want : left);
        if (handshake_state_read(&hs, msg, &wr) && wr.size)
            abort();
    }
    if (handshake_state_done(&hs) ==
        (handshake_state_split(&hs, &send, &recv) != STATUS_OK))
        abort();
    handshake_state_deinit(&hs);
    return 0;
}
