/* Two sessions over a wire of bytes: handshake, judgement, HELLO, messages;
 * and all that must be refused. */
#include "protocol/session.h"

#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

struct side {
    struct rng_seeded seeded;
    struct session_identity identity;
    struct session *s;
    unsigned peers, ups, messages;
    enum status status;
    struct diag diag;
    uint8_t last[64];
    size_t last_size;
};

static void side_init(struct side *side, uint64_t seed, const char *secret)
{
    struct crypto_secret psk = {{0}};
    struct crypto_sign_key key;
    memset(side, 0, sizeof *side);
    assert_int_equal(crypto_init(), STATUS_OK);
    rng_seeded_init(&side->seeded, seed);
    struct rng rng = rng_from_seeded(&side->seeded);
    memcpy(psk.b, secret, strlen(secret));
    crypto_sign_key_generate(&rng, &key);
    assert_int_equal(
        session_identity_init(&side->identity, &key, &psk, 1, &rng), STATUS_OK);
    memset(side->identity.fleet.b, 7, HASH_BYTES);
    side->identity.cert = bytes_of_text("certificate");
    side->identity.software = "test";
}

static void side_deinit(struct side *side)
{
    session_free(side->s);
    session_identity_deinit(&side->identity);
}

static void start(struct side *a, struct side *b)
{
    assert_int_equal(session_new(&a->identity, true, &a->s), STATUS_OK);
    assert_int_equal(session_new(&b->identity, false, &b->s), STATUS_OK);
}

static void feed(struct side *to, struct bytes in)
{
    enum session_event event = SESSION_EVENT_NONE;
    struct bytes plain;
    if (to->status)
        return;
    do {
        to->status = session_recv(to->s, &in, &event, &plain, &to->diag);
        if (to->status)
            return;
        if (event == SESSION_EVENT_PEER) {
            to->peers++;
            assert_int_equal(session_admit(to->s, 3), STATUS_OK);
        } else if (event == SESSION_EVENT_UP) {
            to->ups++;
        } else if (event == SESSION_EVENT_MESSAGE) {
            to->messages++;
            to->last_size = plain.size < sizeof to->last ? plain.size : 0;
            memcpy(to->last, plain.data, to->last_size);
        }
    } while (event);
}

/* Moves what waits in from to to, in pieces of step bytes. */
static bool move(struct side *from, struct side *to, size_t step)
{
    uint8_t buf[16384];
    size_t size = session_take(from->s, buf, sizeof buf);
    for (size_t at = 0; at < size; at += step)
        feed(to, bytes_of(buf + at, size - at < step ? size - at : step));
    return size > 0;
}

static void shake(struct side *a, struct side *b, size_t step)
{
    bool moved = true;
    while (moved) {
        moved = move(a, b, step);
        moved |= move(b, a, step);
    }
}

static void both_come_up_and_know_each_other(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 64, 16384};
    for (size_t i = 0; i < 4; i++) {
        struct side a, b;
        side_init(&a, 1, "secret");
        side_init(&b, 2, "secret");
        start(&a, &b);
        shake(&a, &b, steps[i]);
        assert_int_equal(a.ups + b.ups, 2);
        assert_int_equal(session_state(a.s), SESSION_UP);
        assert_true(node_id_equal(session_peer(a.s), &b.identity.id));
        assert_true(node_id_equal(session_peer(b.s), &a.identity.id));
        assert_int_equal(session_peer_hello(a.s)->fleet_seq, 3);
        assert_int_equal(session_peer_hello(a.s)->wire, SESSION_WIRE_MAX);
        assert_string_equal(session_peer_hello(b.s)->software, "test");
        side_deinit(&a);
        side_deinit(&b);
    }
}

static void send_text(struct side *from, struct side *to, const char *text)
{
    uint8_t buf[256];
    struct writer wr;
    writer_init(&wr, buf, sizeof buf);
    assert_int_equal(session_seal(from->s, bytes_of_text(text), &wr),
                     STATUS_OK);
    feed(to, writer_view(&wr));
}

static void messages_arrive_in_order(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    start(&a, &b);
    shake(&a, &b, 100);
    send_text(&a, &b, "one");
    assert_memory_equal(b.last, "one", 3);
    send_text(&a, &b, "two");
    assert_memory_equal(b.last, "two", 3);
    send_text(&b, &a, "three");
    assert_memory_equal(a.last, "three", 5);
    assert_int_equal(b.messages, 2);
    side_deinit(&a);
    side_deinit(&b);
}

static void another_secret_is_refused_before_any_dh(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "other");
    start(&a, &b);
    assert_true(move(&a, &b, 100));
    assert_int_equal(b.status, STATUS_MISMATCH);
    assert_int_equal(session_pending(b.s), 0);
    assert_int_equal(b.identity.replays.count, 0);
    side_deinit(&a);
    side_deinit(&b);
}

struct counting {
    struct rng inner;
    unsigned fills;
};

static void counting_fill(void *ctx, void *out, size_t size)
{
    struct counting *counting = ctx;
    counting->fills++;
    rng_fill(&counting->inner, out, size);
}

/* An ephemeral key of ours costs two scalar multiplications: whoever does not
 * know the secret must not have one made. */
static void another_secret_makes_no_ephemeral_key(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "another");
    struct counting counting = {b.identity.rng, 0};
    b.identity.rng = (struct rng){counting_fill, &counting};
    start(&a, &b);
    move(&a, &b, 4096);
    assert_int_equal(b.status, STATUS_MISMATCH);
    assert_int_equal(counting.fills, 0);
    side_deinit(&a);
    side_deinit(&b);
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    counting = (struct counting){b.identity.rng, 0};
    b.identity.rng = (struct rng){counting_fill, &counting};
    start(&a, &b);
    move(&a, &b, 4096);
    assert_int_equal(b.status, STATUS_OK);
    assert_int_equal(counting.fills, 1);
    side_deinit(&a);
    side_deinit(&b);
}

static void either_of_two_secrets_is_accepted(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        struct side a, b;
        side_init(&a, 1, "new");
        side_init(&b, 2, "old");
        b.identity.psks[1] = b.identity.psks[0];
        b.identity.psks[0] = a.identity.psks[0];
        b.identity.psk_count = 2;
        if (which)
            a.identity.psks[0] = b.identity.psks[1];
        start(&a, &b);
        shake(&a, &b, 100);
        assert_int_equal(a.ups + b.ups, 2);
        side_deinit(&a);
        side_deinit(&b);
    }
}

static void another_fleet_is_refused(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    b.identity.fleet.b[0] ^= 1;
    start(&a, &b);
    assert_true(move(&a, &b, 100));
    assert_int_equal(b.status, STATUS_MISMATCH);
    side_deinit(&a);
    side_deinit(&b);
}

static void replayed_first_message_is_refused(void **state)
{
    (void)state;
    struct side a, b;
    uint8_t first[256];
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    start(&a, &b);
    size_t size = session_take(a.s, first, sizeof first);
    assert_int_equal(size, 2 + 32 + 16);
    feed(&b, bytes_of(first, size));
    assert_int_equal(b.status, STATUS_OK);
    session_free(b.s);
    assert_int_equal(session_new(&b.identity, false, &b.s), STATUS_OK);
    feed(&b, bytes_of(first, size));
    assert_int_equal(b.status, STATUS_STALE);
    assert_int_equal(session_pending(b.s), 0);
    side_deinit(&a);
    side_deinit(&b);
}

static void claimed_identity_must_own_the_static_key(void **state)
{
    (void)state;
    struct side a, b, c;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    side_init(&c, 3, "secret");
    a.identity.id = c.identity.id;
    start(&a, &b);
    shake(&a, &b, 100);
    assert_int_equal(b.status, STATUS_MISMATCH);
    assert_int_equal(b.peers, 0);
    side_deinit(&a);
    side_deinit(&b);
    side_deinit(&c);
}

static void newer_minimum_version_says_bye(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    a.identity.wire_min = a.identity.wire_max = 9;
    start(&a, &b);
    shake(&a, &b, 100);
    assert_int_equal(b.status, STATUS_UNSUPPORTED);
    assert_non_null(strstr(b.diag.text, "wire versions 9 to 9"));
    assert_int_equal(session_state(b.s), SESSION_DRAINING);
    assert_int_equal(a.ups + b.ups, 0);
    side_deinit(&a);
    side_deinit(&b);
}

static void newer_build_that_still_speaks_ours_is_fine(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    a.identity.wire_max = 9;
    start(&a, &b);
    shake(&a, &b, 100);
    assert_int_equal(a.ups + b.ups, 2);
    assert_int_equal(session_peer_hello(a.s)->wire, SESSION_WIRE_MAX);
    side_deinit(&a);
    side_deinit(&b);
}

static void refused_peer_gets_bye(void **state)
{
    (void)state;
    struct side a, b;
    uint8_t buf[16384];
    enum session_event event = SESSION_EVENT_NONE;
    struct bytes plain;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    start(&a, &b);
    (void)move(&a, &b, 100);
    (void)move(&b, &a, 100);
    size_t size = session_take(a.s, buf, sizeof buf);
    struct bytes in = bytes_of(buf, size);
    assert_int_equal(session_recv(b.s, &in, &event, &plain, NULL), STATUS_OK);
    assert_int_equal(event, SESSION_EVENT_PEER);
    struct bytes cert = session_peer_cert(b.s);
    assert_int_equal(cert.size, strlen("certificate"));
    session_bye(b.s, MESSAGE_BYE_REVOKED, "revoked");
    (void)move(&b, &a, 100);
    assert_int_equal(a.messages, 1);
    assert_int_equal(a.last[0], MESSAGE_BYE);
    assert_int_equal(a.ups, 0);
    side_deinit(&a);
    side_deinit(&b);
}

static void every_changed_byte_ends_the_link(void **state)
{
    (void)state;
    struct side a, b;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    uint8_t first[64];
    for (size_t at = 0; at < 50; at++) {
        start(&a, &b);
        size_t size = session_take(a.s, first, sizeof first);
        first[at] ^= 0x40;
        feed(&b, bytes_of(first, size));
        bool waits = at < 2 && !b.status; /* a longer frame is awaited */
        assert_true(b.status || waits);
        session_free(a.s);
        session_free(b.s);
        a.s = b.s = NULL;
        b.status = STATUS_OK;
    }
    side_deinit(&a);
    side_deinit(&b);
}

static void every_truncation_only_waits(void **state)
{
    (void)state;
    struct side a, b;
    uint8_t first[64];
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    assert_int_equal(session_new(&a.identity, true, &a.s), STATUS_OK);
    size_t size = session_take(a.s, first, sizeof first);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(session_new(&b.identity, false, &b.s), STATUS_OK);
        feed(&b, bytes_of(first, cut));
        assert_int_equal(b.status, STATUS_OK);
        assert_int_equal(session_pending(b.s), 0);
        session_free(b.s);
        b.s = NULL;
    }
    side_deinit(&a);
    side_deinit(&b);
}

static void damaged_frame_ends_the_link(void **state)
{
    (void)state;
    struct side a, b;
    uint8_t buf[256];
    struct writer wr;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    start(&a, &b);
    shake(&a, &b, 100);
    writer_init(&wr, buf, sizeof buf);
    assert_int_equal(session_seal(a.s, bytes_of_text("text"), &wr), STATUS_OK);
    buf[5] ^= 1;
    feed(&b, writer_view(&wr));
    assert_int_equal(b.status, STATUS_MISMATCH);
    assert_int_equal(session_state(b.s), SESSION_FAILED);
    side_deinit(&a);
    side_deinit(&b);
}

static void message_before_hello_is_corrupt(void **state)
{
    (void)state;
    struct side a, b;
    struct message *msg = calloc(1, sizeof *msg);
    uint8_t buf[16384];
    enum session_event event = SESSION_EVENT_NONE;
    struct bytes plain;
    side_init(&a, 1, "secret");
    side_init(&b, 2, "secret");
    start(&a, &b);
    (void)move(&a, &b, 100);
    size_t size = session_take(b.s, buf, sizeof buf);
    struct bytes in = bytes_of(buf, size);
    assert_int_equal(session_recv(a.s, &in, &event, &plain, NULL), STATUS_OK);
    assert_int_equal(event, SESSION_EVENT_PEER);
    msg->type = MESSAGE_GET;
    assert_int_equal(session_queue(a.s, msg), STATUS_OK);
    (void)move(&a, &b, 1000);
    assert_int_equal(b.status, STATUS_CORRUPT);
    free(msg);
    side_deinit(&a);
    side_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_come_up_and_know_each_other),
        cmocka_unit_test(messages_arrive_in_order),
        cmocka_unit_test(another_secret_is_refused_before_any_dh),
        cmocka_unit_test(another_secret_makes_no_ephemeral_key),
        cmocka_unit_test(either_of_two_secrets_is_accepted),
        cmocka_unit_test(another_fleet_is_refused),
        cmocka_unit_test(replayed_first_message_is_refused),
        cmocka_unit_test(claimed_identity_must_own_the_static_key),
        cmocka_unit_test(newer_minimum_version_says_bye),
        cmocka_unit_test(newer_build_that_still_speaks_ours_is_fine),
        cmocka_unit_test(refused_peer_gets_bye),
        cmocka_unit_test(every_changed_byte_ends_the_link),
        cmocka_unit_test(every_truncation_only_waits),
        cmocka_unit_test(damaged_frame_ends_the_link),
        cmocka_unit_test(message_before_hello_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
