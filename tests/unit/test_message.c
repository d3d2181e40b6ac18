/* Messages: round trips, every truncation, bounds, and the extension rule. */
#include "protocol/cbor.h"
#include "protocol/message.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

static struct message *new_message(enum message_type type)
{
    struct message *msg = calloc(1, sizeof *msg);
    assert_non_null(msg);
    msg->type = type;
    return msg;
}

static void fill_trie(struct message_trie *m)
{
    m->trie = 1;
    m->count = LIMIT_TRIE_NODES;
    for (size_t i = 0; i < m->count; i++) {
        m->nodes[i].prefix = (struct trie_prefix){.nibbles = 3};
        m->nodes[i].prefix.b[0] = (uint8_t)i;
        m->nodes[i].prefix.b[1] = 0x70;
        memset(m->nodes[i].children.hash, (int)i,
               sizeof m->nodes[i].children.hash);
    }
}

static void fill_leaf(struct message_leaf *m)
{
    m->group_count = 2;
    m->groups[0].count = 3;
    m->groups[1] = (struct message_leaf_group){.first = 3, .count = 1};
    m->groups[1].prefix.nibbles = 2;
    m->groups[1].prefix.b[0] = 0x5a;
    m->entry_count = 4;
    for (size_t i = 0; i < m->entry_count; i++) {
        memset(&m->entries[i].slot, (int)i + 1, SLOT_ID_BYTES);
        m->entries[i].epoch = i;
        m->entries[i].seq = i ? UINT64_MAX : 0;
        memset(m->entries[i].hash, (int)i, VECTOR_HASH_BYTES);
    }
}

/* One of each type with every field set. */
static struct message *sample(enum message_type type)
{
    static const uint8_t envelope[5000];
    struct message *msg = new_message(type);
    switch (type) {
    case MESSAGE_HELLO:
        msg->u.hello =
            (struct message_hello){.wire_min = 1,
                                   .wire_max = 7,
                                   .capabilities = 5,
                                   .instance = UINT64_MAX,
                                   .fleet_seq = 12,
                                   .software = bytes_of_text("dm 0.1")};
        break;
    case MESSAGE_PING:
    case MESSAGE_PONG:
        msg->u.ping.nonce = 0x123456789abcdef0;
        msg->u.ping.load = 9;
        memset(&msg->u.ping.control, 0xc0, TRIE_ROOT_BYTES);
        memset(&msg->u.ping.status, 0x57, TRIE_ROOT_BYTES);
        break;
    case MESSAGE_TRIE:
        fill_trie(&msg->u.trie);
        break;
    case MESSAGE_LEAF:
        fill_leaf(&msg->u.leaf);
        break;
    case MESSAGE_GET:
        msg->u.get.count = LIMIT_GET_SLOTS;
        memset(msg->u.get.slots, 0x33, sizeof msg->u.get.slots);
        break;
    case MESSAGE_RECORD:
        msg->u.record.envelope = bytes_of(envelope, sizeof envelope);
        break;
    case MESSAGE_PEERS:
        msg->u.peers.count = 2;
        msg->u.peers.addrs[0] = bytes_of_text("[fe80::1%eth0]:15938");
        msg->u.peers.addrs[1] = bytes_of_text("cam7.example:15938");
        break;
    case MESSAGE_BYE:
        msg->u.bye.reason = MESSAGE_BYE_REVOKED;
        msg->u.bye.text = bytes_of_text("this node is revoked");
        break;
    default:
        msg->u.parcel = bytes_of("\xa1\x00\x05", 3);
    }
    return msg;
}

static size_t encode(const struct message *msg, uint8_t *buf)
{
    struct writer wr;
    writer_init(&wr, buf, LIMIT_FRAME_PLAIN_BYTES);
    assert_int_equal(message_encode(msg, &wr), STATUS_OK);
    return wr.size;
}

static void every_type_round_trips(void **state)
{
    (void)state;
    uint8_t *one = malloc(LIMIT_FRAME_PLAIN_BYTES);
    uint8_t *two = malloc(LIMIT_FRAME_PLAIN_BYTES);
    struct message *back = malloc(sizeof *back);
    assert_true(one && two && back);
    for (unsigned type = 0; type < MESSAGE_TYPE_COUNT; type++) {
        struct message *msg = sample((enum message_type)type);
        size_t size = encode(msg, one);
        memset(back, 0xee, sizeof *back);
        assert_int_equal(message_decode(bytes_of(one, size), back, NULL),
                         STATUS_OK);
        assert_int_equal(back->type, type);
        assert_int_equal(encode(back, two), size);
        assert_memory_equal(one, two, size);
        free(msg);
    }
    free(one);
    free(two);
    free(back);
}

static void defaults_are_left_out(void **state)
{
    (void)state;
    uint8_t buf[64];
    struct writer wr;
    struct message *msg = new_message(MESSAGE_BYE);
    writer_init(&wr, buf, sizeof buf);
    assert_int_equal(message_encode(msg, &wr), STATUS_OK);
    assert_int_equal(wr.size, 4);
    assert_memory_equal(buf, "\x0d\xa1\x00\x00", 4);
    free(msg);
}

static void every_truncation_fails(void **state)
{
    (void)state;
    uint8_t *buf = malloc(LIMIT_FRAME_PLAIN_BYTES);
    struct message *back = malloc(sizeof *back);
    for (unsigned type = 0; type < MESSAGE_TYPE_COUNT; type++) {
        struct message *msg = sample((enum message_type)type);
        size_t size = encode(msg, buf);
        free(msg);
        if (message_is_parcel((enum message_type)type))
            continue;
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(message_decode(bytes_of(buf, cut), back, NULL),
                             STATUS_TRUNCATED);
    }
    free(buf);
    free(back);
}

static void left_over_bytes_are_corrupt(void **state)
{
    (void)state;
    struct message *back = malloc(sizeof *back);
    assert_int_equal(
        message_decode(bytes_of("\x0d\xa1\x00\x00\x00", 5), back, NULL),
        STATUS_CORRUPT);
    free(back);
}

static void unknown_keys_follow_the_extension_rule(void **state)
{
    (void)state;
    struct diag diag = {{0}};
    struct message *back = malloc(sizeof *back);
    /* BYE {0: 0, 9: [1]} */
    assert_int_equal(
        message_decode(bytes_of("\x0d\xa2\x00\x00\x09\x81\x01", 7), back, NULL),
        STATUS_OK);
    /* BYE {0: 0, -1: 1} */
    assert_int_equal(
        message_decode(bytes_of("\x0d\xa2\x00\x00\x20\x01", 6), back, &diag),
        STATUS_UNSUPPORTED);
    assert_string_equal(diag.text, "BYE with key -1");
    /* An unknown type. */
    assert_int_equal(message_decode(bytes_of("\x63\xa0", 2), back, NULL),
                     STATUS_UNSUPPORTED);
    free(back);
}

static void bounds_are_limits(void **state)
{
    (void)state;
    uint8_t *buf = malloc(LIMIT_FRAME_PLAIN_BYTES + 1);
    struct message *back = malloc(sizeof *back);
    struct writer wr;
    memset(buf, 0, LIMIT_FRAME_PLAIN_BYTES + 1);
    assert_int_equal(
        message_decode(bytes_of(buf, LIMIT_FRAME_PLAIN_BYTES + 1), back, NULL),
        STATUS_LIMIT);
    writer_init(&wr, buf, LIMIT_FRAME_PLAIN_BYTES);
    writer_u8(&wr, MESSAGE_GET);
    cbor_write_map(&wr, 1);
    cbor_write_uint(&wr, 0);
    uint8_t slots[(LIMIT_GET_SLOTS + 1) * SLOT_ID_BYTES] = {0};
    cbor_write_bytes(&wr, slots, sizeof slots);
    assert_int_equal(message_decode(writer_view(&wr), back, NULL),
                     STATUS_LIMIT);
    writer_init(&wr, buf, LIMIT_FRAME_PLAIN_BYTES);
    writer_u8(&wr, MESSAGE_RECORD);
    cbor_write_map(&wr, 1);
    cbor_write_uint(&wr, 0);
    uint8_t *big = calloc(1, LIMIT_RECORD_BYTES + 1);
    cbor_write_bytes(&wr, big, LIMIT_RECORD_BYTES + 1);
    assert_int_equal(message_decode(writer_view(&wr), back, NULL),
                     STATUS_LIMIT);
    free(big);
    free(buf);
    free(back);
}

static void malformed_fields_are_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\x05\xa1\x00\x43\x01\x02\x03", 7},     /* GET: no whole slots */
        {"\x00\xa3\x00\x02\x01\x01\x03\x05", 8}, /* HELLO: min above max */
        {"\x00\xa2\x00\x01\x01\x01", 6},         /* HELLO: no instance */
        {"\x00\xa4\x00\x01\x01\x01\x03\x05\x04\x00", 10}, /* zero written */
        {"\x0d\xa1\x01\x61\x41", 5},                      /* BYE: no reason */
        {"\x0d\xa1\x00\x61\x41", 5},                      /* BYE: a text */
    };
    struct message *back = malloc(sizeof *back);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            message_decode(bytes_of(cases[i].bytes, cases[i].size), back, NULL),
            STATUS_CORRUPT);
    free(back);
}

static void full_trie_fits_a_frame(void **state)
{
    (void)state;
    uint8_t *buf = malloc(LIMIT_FRAME_PLAIN_BYTES);
    struct message *msg = sample(MESSAGE_TRIE);
    assert_in_range(encode(msg, buf), 12000, LIMIT_FRAME_PLAIN_BYTES);
    free(msg);
    free(buf);
}

static void names_are_known(void **state)
{
    (void)state;
    assert_string_equal(message_name(MESSAGE_PING), "PING");
    assert_string_equal(message_name(MESSAGE_DATA), "DATA");
    assert_string_equal(message_name((enum message_type)200), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_round_trips),
        cmocka_unit_test(defaults_are_left_out),
        cmocka_unit_test(every_truncation_fails),
        cmocka_unit_test(left_over_bytes_are_corrupt),
        cmocka_unit_test(unknown_keys_follow_the_extension_rule),
        cmocka_unit_test(bounds_are_limits),
        cmocka_unit_test(malformed_fields_are_corrupt),
        cmocka_unit_test(full_trie_fits_a_frame),
        cmocka_unit_test(names_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
