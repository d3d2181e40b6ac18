/* The channel and its framer: chunks of any size, bounds, the rekey boundary,
 * and failures that stick. malloc and calloc are wrapped so that they can be
 * made to fail. */
#include "protocol/noise/channel.h"
#include "protocol/noise/framer.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool allocation_fails;

void *__wrap_malloc(size_t size)
{
    return allocation_fails ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails ? NULL : __real_calloc(count, size);
}

static struct channel *channel_at(uint64_t sent, uint64_t received)
{
    struct crypto_secret key = {{1, 2, 3}};
    struct cipher_state send = {0}, recv = {0};
    cipher_state_init_key(&send, &key);
    cipher_state_init_key(&recv, &key);
    send.n = sent;
    recv.n = received;
    struct channel *ch = channel_new_take(&send, &recv);
    assert_non_null(ch);
    assert_false(send.has_key || recv.has_key);
    return ch;
}

/* Opens all of in, in chunks; the number of frames, their bytes appended to
 * out. */
static enum status open_all(struct channel *ch, struct bytes in, size_t chunk,
                            struct writer *out, size_t *frames)
{
    *frames = 0;
    while (in.size) {
        struct bytes part = {in.data, in.size < chunk ? in.size : chunk};
        in.data += part.size;
        in.size -= part.size;
        while (part.size) {
            struct bytes plain;
            bool ready;
            enum status status = channel_open(ch, &part, &plain, &ready);
            if (status)
                return status;
            if (ready) {
                writer_bytes(out, plain.data, plain.size);
                (*frames)++;
            }
        }
    }
    return STATUS_OK;
}

static void channel_frames_pass_in_any_chunks(void **state)
{
    (void)state;
    static uint8_t wire_buf[70000], plain[LIMIT_FRAME_PLAIN_BYTES], back[40000];
    static const size_t sizes[] = {0, 1, 2, 17, 300, LIMIT_FRAME_PLAIN_BYTES};
    static const size_t chunks[] = {1, 2, 3, 7, 1000, 70000};
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t c = 0; c < 6; c++) {
        struct channel *a = channel_at(0, 0), *b = channel_at(0, 0);
        struct writer wire, out;
        size_t frames, at = 0;
        writer_init(&wire, wire_buf, sizeof(wire_buf));
        writer_init(&out, back, sizeof(back));
        for (size_t i = 0; i < 6; i++) {
            size_t before = wire.size;
            assert_int_equal(channel_seal(a, bytes_of(plain, sizes[i]), &wire),
                             STATUS_OK);
            assert_int_equal(wire.size - before, CHANNEL_FRAME_BYTES(sizes[i]));
        }
        assert_int_equal(
            open_all(b, writer_view(&wire), chunks[c], &out, &frames),
            STATUS_OK);
        assert_int_equal(frames, 6);
        for (size_t i = 0; i < 6; i++) {
            assert_memory_equal(back + at, plain, sizes[i]);
            at += sizes[i];
        }
        assert_int_equal(out.size, at);
        assert_int_equal(channel_sent(a), 6);
        assert_int_equal(channel_received(b), 6);
        channel_free(a);
        channel_free(b);
    }
}

static void channel_changed_byte_fails_and_sticks(void **state)
{
    (void)state;
    uint8_t wire_buf[64], back[64];
    struct writer wire, out;
    size_t frames;
    struct channel *a = channel_at(0, 0);
    writer_init(&wire, wire_buf, sizeof(wire_buf));
    assert_int_equal(channel_seal(a, bytes_of_text("hello"), &wire), STATUS_OK);
    for (size_t i = 2; i < wire.size; i++) {
        struct channel *b = channel_at(0, 0);
        writer_init(&out, back, sizeof(back));
        wire_buf[i] ^= 1;
        assert_int_equal(open_all(b, writer_view(&wire), 99, &out, &frames),
                         STATUS_MISMATCH);
        wire_buf[i] ^= 1;
        assert_int_equal(open_all(b, writer_view(&wire), 99, &out, &frames),
                         STATUS_MISMATCH);
        assert_int_equal(out.size, 0);
        channel_free(b);
    }
    channel_free(a);
}

static void channel_lost_and_repeated_frames_fail(void **state)
{
    (void)state;
    uint8_t one_buf[64], two_buf[64], back[64];
    struct writer one, two, out;
    size_t frames;
    struct channel *a = channel_at(0, 0);
    writer_init(&one, one_buf, sizeof(one_buf));
    writer_init(&two, two_buf, sizeof(two_buf));
    writer_init(&out, back, sizeof(back));
    assert_int_equal(channel_seal(a, bytes_of_text("one"), &one), STATUS_OK);
    assert_int_equal(channel_seal(a, bytes_of_text("two"), &two), STATUS_OK);
    struct channel *lost = channel_at(0, 0), *again = channel_at(0, 0);
    assert_int_equal(open_all(lost, writer_view(&two), 99, &out, &frames),
                     STATUS_MISMATCH);
    assert_int_equal(open_all(again, writer_view(&one), 99, &out, &frames),
                     STATUS_OK);
    assert_int_equal(open_all(again, writer_view(&one), 99, &out, &frames),
                     STATUS_MISMATCH);
    channel_free(lost);
    channel_free(again);
    channel_free(a);
}

/* Message 2^16 - 1 is the last under a key: both sides change it there, and a
 * side that did not could not read on. */
static void channel_rekeys_after_every_65536_messages(void **state)
{
    (void)state;
    uint8_t wire_buf[256], back[64];
    struct writer wire, out;
    size_t frames;
    struct crypto_secret key = {{1, 2, 3}};
    struct cipher_state plain_state = {0};
    struct channel *a = channel_at(65534, 0), *b = channel_at(0, 65534);
    cipher_state_init_key(&plain_state, &key);
    writer_init(&wire, wire_buf, sizeof(wire_buf));
    writer_init(&out, back, sizeof(back));
    for (int i = 0; i < 4; i++)
        assert_int_equal(channel_seal(a, bytes_of_text("x"), &wire), STATUS_OK);
    assert_int_equal(open_all(b, writer_view(&wire), 99, &out, &frames),
                     STATUS_OK);
    assert_int_equal(frames, 4);
    assert_int_equal(channel_received(b), 65538);
    for (int i = 0; i < 4; i++) {
        size_t frame = CHANNEL_FRAME_BYTES(1);
        plain_state.n = 65534 + (uint64_t)i;
        if (i == 2)
            cipher_state_rekey(&plain_state);
        assert_int_equal(
            cipher_state_open(
                &plain_state, (struct bytes){0},
                bytes_of(wire_buf + (size_t)i * frame + 2, frame - 2), back),
            STATUS_OK);
    }
    channel_free(a);
    channel_free(b);
}

static void channel_real_count_reaches_the_rekey(void **state)
{
    (void)state;
    uint8_t wire_buf[32];
    struct writer wire;
    struct channel *a = channel_at(0, 0), *b = channel_at(0, 0);
    for (int i = 0; i < 65540; i++) {
        struct bytes in, plain;
        bool ready;
        writer_init(&wire, wire_buf, sizeof(wire_buf));
        if (channel_seal(a, (struct bytes){0}, &wire))
            fail();
        in = writer_view(&wire);
        if (channel_open(b, &in, &plain, &ready) || !ready)
            fail();
    }
    assert_int_equal(channel_received(b), 65540);
    channel_free(a);
    channel_free(b);
}

static void channel_nonce_overflow_is_limit(void **state)
{
    (void)state;
    uint8_t wire_buf[128];
    struct writer wire;
    struct channel *a = channel_at(UINT64_MAX - 1, 0);
    writer_init(&wire, wire_buf, sizeof(wire_buf));
    assert_int_equal(channel_seal(a, bytes_of_text("x"), &wire), STATUS_OK);
    size_t size = wire.size;
    assert_int_equal(channel_seal(a, bytes_of_text("x"), &wire), STATUS_LIMIT);
    assert_int_equal(wire.size, size);
    channel_free(a);
}

static void channel_bounds_both_ways(void **state)
{
    (void)state;
    static uint8_t big[LIMIT_FRAME_PLAIN_BYTES + 1], wire_buf[20000];
    struct writer wire;
    struct bytes plain, in;
    bool ready;
    struct channel *a = channel_at(0, 0), *b = channel_at(0, 0);
    writer_init(&wire, wire_buf, sizeof(wire_buf));
    assert_int_equal(channel_seal(a, bytes_of(big, sizeof(big)), &wire),
                     STATUS_LIMIT);
    assert_int_equal(wire.size, 0);
    assert_int_equal(channel_seal(a, bytes_of_text("x"), &wire), STATUS_LIMIT);
    /* One byte more than a frame may have, seen at its length already. */
    in = bytes_of("\x40\x11", 2);
    assert_int_equal(channel_open(b, &in, &plain, &ready), STATUS_LIMIT);
    assert_false(ready);
    channel_free(a);
    channel_free(b);
    /* Shorter than a tag. */
    b = channel_at(0, 0);
    memset(wire_buf, 0, 17);
    wire_buf[1] = 15;
    in = bytes_of(wire_buf, 17);
    assert_int_equal(channel_open(b, &in, &plain, &ready), STATUS_TRUNCATED);
    channel_free(b);
    /* A full writer. */
    a = channel_at(0, 0);
    writer_init(&wire, wire_buf, 18);
    assert_int_equal(channel_seal(a, bytes_of_text("x"), &wire), STATUS_LIMIT);
    channel_free(a);
    channel_free(NULL);
}

static void channel_survives_want_of_memory(void **state)
{
    (void)state;
    uint8_t wire_buf[64];
    struct crypto_secret key = {{1}};
    struct cipher_state send = {0}, recv = {0};
    struct bytes in, plain;
    struct writer wire;
    bool ready;
    struct channel *a = channel_at(0, 0);
    writer_init(&wire, wire_buf, sizeof(wire_buf));
    assert_int_equal(channel_seal(a, bytes_of_text("x"), &wire), STATUS_OK);
    in = writer_view(&wire);
    allocation_fails = true;
    enum status status = channel_open(a, &in, &plain, &ready);
    cipher_state_init_key(&send, &key);
    cipher_state_init_key(&recv, &key);
    struct channel *none = channel_new_take(&send, &recv);
    allocation_fails = false;
    assert_int_equal(status, STATUS_NO_MEMORY);
    assert_null(none);
    assert_false(send.has_key || recv.has_key);
    in = writer_view(&wire);
    assert_int_equal(channel_open(a, &in, &plain, &ready), STATUS_NO_MEMORY);
    channel_free(a);
}

static void framer_gathers_and_hands_out(void **state)
{
    (void)state;
    struct framer fr;
    struct bytes in = bytes_of("\0\3abc\0\0\0\1", 9);
    uint8_t *body;
    size_t size;
    bool ready;
    framer_init(&fr, 3);
    assert_int_equal(framer_take(&fr, &in, &body, &size, &ready), STATUS_OK);
    assert_true(ready && size == 3);
    assert_memory_equal(body, "abc", 3);
    assert_int_equal(in.size, 4);
    assert_int_equal(framer_take(&fr, &in, &body, &size, &ready), STATUS_OK);
    assert_true(ready && size == 0);
    framer_set_max(&fr, 0);
    assert_int_equal(framer_take(&fr, &in, &body, &size, &ready), STATUS_LIMIT);
    in = bytes_of("\0\0", 2);
    assert_int_equal(framer_take(&fr, &in, &body, &size, &ready), STATUS_LIMIT);
    assert_false(ready);
    framer_deinit(&fr);
    assert_int_equal(framer_take(&fr, &in, &body, &size, &ready),
                     STATUS_CLOSED);
}

/* A frame half gathered is released. */
static void framer_deinit_releases_a_part(void **state)
{
    (void)state;
    struct framer fr;
    struct bytes in = bytes_of("\0\3ab", 4);
    uint8_t *body;
    size_t size;
    bool ready;
    framer_init(&fr, 100);
    assert_int_equal(framer_take(&fr, &in, &body, &size, &ready), STATUS_OK);
    assert_false(ready);
    assert_int_equal(in.size, 0);
    framer_deinit(&fr);
}

static int setup(void **state)
{
    (void)state;
    return crypto_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channel_frames_pass_in_any_chunks),
        cmocka_unit_test(channel_changed_byte_fails_and_sticks),
        cmocka_unit_test(channel_lost_and_repeated_frames_fail),
        cmocka_unit_test(channel_rekeys_after_every_65536_messages),
        cmocka_unit_test(channel_real_count_reaches_the_rekey),
        cmocka_unit_test(channel_nonce_overflow_is_limit),
        cmocka_unit_test(channel_bounds_both_ways),
        cmocka_unit_test(channel_survives_want_of_memory),
        cmocka_unit_test(framer_gathers_and_hands_out),
        cmocka_unit_test(framer_deinit_releases_a_part),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
