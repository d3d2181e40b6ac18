/* The messages of contents: round trips, every truncation, one encoding for a
 * value, bounds, the extension rule. */
#include "protocol/cbor.h"
#include "protocol/parcel.h"

#include "tests/support/cmocka.h"

static const enum message_type types[] = {MESSAGE_HAVE,   MESSAGE_ASK,
                                          MESSAGE_OFFER,  MESSAGE_NO,
                                          MESSAGE_CANCEL, MESSAGE_DATA};
#define TYPE_COUNT (sizeof types / sizeof *types)

static void fill_ranges(struct parcel_ranges *ranges, uint32_t seed)
{
    ranges->count = PARCEL_RANGES_MAX;
    for (uint32_t i = 0; i < ranges->count; i++)
        ranges->at[i] = (struct parcel_range){seed + 7 * i, i + 1};
}

static void fill_offer(struct parcel_offer *m)
{
    m->ask = 9;
    m->manifest = m->complete = true;
    m->update_count = PARCEL_UPDATES_MAX;
    for (uint32_t i = 0; i < m->update_count; i++) {
        struct parcel_offer_update *e = &m->updates[i];
        e->ref = i % 3;
        if (e->ref)
            memset(e->update.b, (int)i + 1, sizeof e->update.b);
        e->has_base = i % 2;
        if (e->has_base)
            memset(e->base.b, (int)i + 1, sizeof e->base.b);
        e->has_tree = i % 4 == 3;
        if (e->has_tree)
            memset(e->tree.b, (int)i + 1, sizeof e->tree.b);
        e->bytes = i ? (uint64_t)1 << (4 * i) : UINT64_MAX;
        e->partial = i % 5 == 0;
    }
}

/* Every field set. */
static void fill(struct parcel *p, enum message_type type)
{
    memset(p, 0, sizeof *p);
    p->type = type;
    switch (type) {
    case MESSAGE_HAVE:
        p->u.have.ref = UINT32_MAX;
        p->u.have.complete = true;
        fill_ranges(&p->u.have.verified, 0);
        fill_ranges(&p->u.have.pending, 1000);
        fill_ranges(&p->u.have.gone, 100000);
        break;
    case MESSAGE_ASK:
        p->u.ask.ask = 300;
        p->u.ask.what = PARCEL_ASK_MAKE;
        p->u.ask.insist = true;
        p->u.ask.rate = 2500000;
        memset(p->u.ask.id.b, 3, sizeof p->u.ask.id.b);
        p->u.ask.base_count = PARCEL_BASES_MAX;
        for (size_t i = 0; i < PARCEL_BASES_MAX; i++)
            memset(p->u.ask.bases[i].b, (int)i + 1, HASH_BYTES);
        fill_ranges(&p->u.ask.ranges, 5);
        break;
    case MESSAGE_OFFER:
        fill_offer(&p->u.offer);
        break;
    case MESSAGE_NO:
        p->u.no.ask = 1;
        p->u.no.reason = PARCEL_NO_ELSEWHERE;
        p->u.no.retry_ms = 70000;
        p->u.no.has_node = true;
        memset(p->u.no.node.b, 4, sizeof p->u.no.node.b);
        fill_ranges(&p->u.no.ranges, 70000);
        break;
    case MESSAGE_CANCEL:
        p->u.cancel.ask = 24;
        fill_ranges(&p->u.cancel.ranges, 0);
        break;
    default:
        p->u.data.ask = UINT32_MAX;
        p->u.data.index = 65535;
        p->u.data.offset = 1 << 20;
        p->u.data.last = p->u.data.prefixed = true;
        p->u.data.payload = bytes_of_text("payload");
    }
}

static struct bytes encode(const struct parcel *p, uint8_t *buf, size_t cap)
{
    struct writer wr;
    writer_init(&wr, buf, cap);
    assert_int_equal(parcel_encode(p, &wr), STATUS_OK);
    return writer_view(&wr);
}

static void parcel_round_trips_to_the_same_bytes(void **state)
{
    (void)state;
    uint8_t a[16384], b[16384];
    struct parcel p, q;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        fill(&p, types[i]);
        struct bytes first = encode(&p, a, sizeof a);
        struct diag diag = {{0}};
        assert_int_equal(parcel_decode(first, &q, &diag), STATUS_OK);
        assert_int_equal(q.type, types[i]);
        assert_true(bytes_equal(first, encode(&q, b, sizeof b)));
    }
}

static void parcel_small_ones_leave_out_what_is_not_set(void **state)
{
    (void)state;
    uint8_t buf[200];
    struct parcel p = {.type = MESSAGE_CANCEL};
    assert_int_equal(encode(&p, buf, sizeof buf).size, 4);
    p = (struct parcel){.type = MESSAGE_HAVE};
    assert_int_equal(encode(&p, buf, sizeof buf).size, 4);
    p = (struct parcel){.type = MESSAGE_OFFER};
    assert_int_equal(encode(&p, buf, sizeof buf).size, 4);
}

static void parcel_data_head_is_within_its_bound(void **state)
{
    (void)state;
    uint8_t buf[LIMIT_FRAME_PLAIN_BYTES];
    static const uint8_t payload[LIMIT_FRAME_PLAIN_BYTES];
    struct parcel p;
    fill(&p, MESSAGE_DATA);
    p.u.data.index = UINT32_MAX;
    p.u.data.offset = UINT64_MAX;
    p.u.data.payload = bytes_of(payload, sizeof buf - PARCEL_DATA_HEAD_MAX);
    assert_true(encode(&p, buf, sizeof buf).size <= sizeof buf);
}

static void parcel_no_truncation_decodes(void **state)
{
    (void)state;
    uint8_t buf[16384];
    struct parcel p, q;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        fill(&p, types[i]);
        struct bytes all = encode(&p, buf, sizeof buf);
        for (size_t size = 0; size < all.size; size++)
            assert_int_not_equal(parcel_decode(bytes_of(buf, size), &q, NULL),
                                 STATUS_OK);
        buf[all.size] = 0;
        assert_int_equal(parcel_decode(bytes_of(buf, all.size + 1), &q, NULL),
                         STATUS_CORRUPT);
    }
}

static void parcel_other_types_are_ignored(void **state)
{
    (void)state;
    struct parcel q;
    uint8_t ping[] = {MESSAGE_PING, 0xa0}, unknown[] = {200, 0xa0};
    assert_int_equal(parcel_decode(bytes_of(ping, 2), &q, NULL),
                     STATUS_UNSUPPORTED);
    assert_int_equal(parcel_decode(bytes_of(unknown, 2), &q, NULL),
                     STATUS_UNSUPPORTED);
    assert_int_equal(parcel_decode(bytes_of(NULL, 0), &q, NULL),
                     STATUS_TRUNCATED);
    static const uint8_t large[LIMIT_FRAME_PLAIN_BYTES + 1];
    assert_int_equal(parcel_decode(bytes_of(large, sizeof large), &q, NULL),
                     STATUS_LIMIT);
}

/* One CANCEL by hand: pairs of key and value. */
static enum status decode_cancel(const uint8_t *body, size_t size)
{
    uint8_t buf[600];
    struct parcel q;
    buf[0] = MESSAGE_CANCEL;
    memcpy(buf + 1, body, size);
    return parcel_decode(bytes_of(buf, size + 1), &q, NULL);
}

static void parcel_unknown_keys_follow_the_extension_rule(void **state)
{
    (void)state;
    const uint8_t kept[] = {0xa2, 0x00, 0x05, 0x18, 0x63, 0x01};
    assert_int_equal(decode_cancel(kept, sizeof kept), STATUS_OK);
    const uint8_t must[] = {0xa2, 0x00, 0x05, 0x20, 0x01};
    assert_int_equal(decode_cancel(must, sizeof must), STATUS_UNSUPPORTED);
    const uint8_t missing[] = {0xa0};
    assert_int_equal(decode_cancel(missing, 1), STATUS_CORRUPT);
}

static void parcel_ranges_are_checked(void **state)
{
    (void)state;
    const uint8_t empty[] = {0xa2, 0x00, 0x05, 0x01, 0x80};
    assert_int_equal(decode_cancel(empty, sizeof empty), STATUS_CORRUPT);
    const uint8_t odd[] = {0xa2, 0x00, 0x05, 0x01, 0x81, 0x01};
    assert_int_equal(decode_cancel(odd, sizeof odd), STATUS_CORRUPT);
    const uint8_t none[] = {0xa2, 0x00, 0x05, 0x01, 0x82, 0x01, 0x00};
    assert_int_equal(decode_cancel(none, sizeof none), STATUS_CORRUPT);
    const uint8_t wraps[] = {0xa2, 0x00, 0x05, 0x01, 0x82, 0x01,
                             0x1a, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(decode_cancel(wraps, sizeof wraps), STATUS_CORRUPT);
    uint8_t many[5 + 2 * (PARCEL_RANGES_MAX + 1) + 1] = {0xa2, 0x00, 0x05, 0x01,
                                                         0x98};
    many[5] = 2 * (PARCEL_RANGES_MAX + 1);
    memset(many + 6, 1, sizeof many - 6);
    assert_int_equal(decode_cancel(many, sizeof many), STATUS_LIMIT);
}

static void parcel_an_unknown_choice_is_ignored(void **state)
{
    (void)state;
    struct parcel q;
    const uint8_t no[] = {MESSAGE_NO, 0xa2, 0x00, 0x05, 0x01, 0x17};
    assert_int_equal(parcel_decode(bytes_of(no, sizeof no), &q, NULL),
                     STATUS_UNSUPPORTED);
}

/* An offered update has both a number and an id, or neither. */
static void parcel_an_offer_with_half_a_name_is_corrupt(void **state)
{
    (void)state;
    struct parcel q;
    const uint8_t offer[] = {MESSAGE_OFFER, 0xa2, 0x00, 0x05, 0x03, 0x81,
                             0xa2,          0x00, 0x01, 0x04, 0x01};
    assert_int_equal(parcel_decode(bytes_of(offer, sizeof offer), &q, NULL),
                     STATUS_CORRUPT);
    const uint8_t make[] = {MESSAGE_OFFER, 0xa2, 0x00, 0x05, 0x03,
                            0x81,          0xa1, 0x04, 0x01};
    assert_int_equal(parcel_decode(bytes_of(make, sizeof make), &q, NULL),
                     STATUS_OK);
    assert_int_equal(q.u.offer.updates[0].ref, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parcel_round_trips_to_the_same_bytes),
        cmocka_unit_test(parcel_small_ones_leave_out_what_is_not_set),
        cmocka_unit_test(parcel_data_head_is_within_its_bound),
        cmocka_unit_test(parcel_no_truncation_decodes),
        cmocka_unit_test(parcel_other_types_are_ignored),
        cmocka_unit_test(parcel_unknown_keys_follow_the_extension_rule),
        cmocka_unit_test(parcel_ranges_are_checked),
        cmocka_unit_test(parcel_an_unknown_choice_is_ignored),
        cmocka_unit_test(parcel_an_offer_with_half_a_name_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
