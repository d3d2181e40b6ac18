/* The body of each kind: round trips, truncations, the extension rule, and
 * what is refused. */
#include "protocol/body.h"

#include "protocol/cbor.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

static struct hash hash_of(uint8_t fill)
{
    struct hash h;
    memset(h.b, fill, sizeof(h.b));
    return h;
}

/* One sample of each kind with every field set, kept for the whole run. */
struct samples {
    struct hash keys[3], revoked[2], heals[2], parents[2], held[2];
    struct body_fleet fleet;
    struct body_cert cert;
    struct body_version version;
    struct body_channel channel;
    struct body_status status;
    struct body_contrib contrib;
};

static struct samples *s;

static void fill_lists(void)
{
    for (uint8_t i = 0; i < 2; i++) {
        s->revoked[i] = hash_of((uint8_t)(10 + i));
        s->heals[i] = hash_of((uint8_t)(20 + i));
        s->parents[i] = hash_of((uint8_t)(30 + i));
        s->held[i] = hash_of((uint8_t)(40 + i));
    }
    for (uint8_t i = 0; i < 3; i++)
        s->keys[i] = hash_of((uint8_t)(1 + i));
}

static void fill_fleet(void)
{
    struct body_fleet *f = &s->fleet;
    f->name = bytes_of_text("A fleet");
    f->has_prev = true;
    f->prev = hash_of(9);
    f->enroll = BODY_ENROLL_CERTIFICATES;
    f->small = true;
    f->revoked = bytes_of(s->revoked, sizeof(s->revoked));
    f->role_count = 2;
    f->roles[0] = (struct body_role){bytes_of_text("root"),
                                     BODY_ROLE_ROOT,
                                     bytes_of_text("*"),
                                     bytes_of(s->keys, sizeof(s->keys)),
                                     2,
                                     1};
    f->roles[1] = (struct body_role){bytes_of_text("ci"),
                                     BODY_ROLE_PUBLISHER,
                                     bytes_of_text("cam/*"),
                                     bytes_of(s->keys, HASH_BYTES),
                                     1,
                                     7};
    f->common.heals = bytes_of(s->heals, sizeof(s->heals));
}

static void fill_channel(void)
{
    struct body_channel *c = &s->channel;
    c->entry_count = 2;
    struct body_entry *e = &c->entries[0];
    e->model = bytes_of_text("cam/detect");
    e->has_version = true;
    e->version = hash_of(5);
    e->test_count = 4;
    e->tests[0] = (struct body_test){BODY_TEST_EQUAL, bytes_of_text("site"),
                                     bytes_of_text("berlin")};
    e->tests[1] = (struct body_test){BODY_TEST_UNEQUAL, bytes_of_text("hw"),
                                     bytes_of_text("a")};
    e->tests[2] =
        (struct body_test){BODY_TEST_HAS, bytes_of_text("site"), {NULL, 0}};
    e->tests[3] =
        (struct body_test){BODY_TEST_LACKS, bytes_of_text("old"), {NULL, 0}};
    e->step_count = 3;
    e->steps[0] = 1;
    e->steps[1] = 10;
    e->steps[2] = 100;
    e->has_gate = true;
    e->gate_ok = 5;
    e->gate_bad = 1;
    e->gate_soak_s = 3600;
    e->has_percent = true;
    e->percent = BODY_PERCENT_AUTO;
    c->entries[1].model = bytes_of_text("cam/detect");
    c->entries[1].track = bytes_of_text("ci");
}

static void fill_status(void)
{
    struct body_status *b = &s->status;
    b->model_count = 2;
    b->models[0].model = bytes_of_text("z");
    b->models[0].state = BODY_STATE_FETCHING;
    b->models[0].why = bytes_of_text("no space");
    b->models[1].model = bytes_of_text("cam/detect");
    b->models[1].has_running = true;
    b->models[1].running = hash_of(3);
    b->models[1].since_s = 99;
    b->address_count = 2;
    b->addresses[0] = bytes_of_text("10.0.0.1:15938");
    b->addresses[1] = bytes_of_text("[fe80::1%eth0]:15938");
    b->held = bytes_of(s->held, sizeof(s->held));
    b->software = bytes_of_text("deltamesh 0.1");
    b->free_bytes = 1u << 30;
    b->uptime_s = 12345;
}

static int setup(void **state)
{
    (void)state;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -1;
    fill_lists();
    fill_fleet();
    assert_int_equal(body_labels_set(&s->cert.labels, bytes_of_text("site"),
                                     bytes_of_text("berlin")),
                     STATUS_OK);
    assert_int_equal(body_labels_set(&s->cert.labels, bytes_of_text("hw"),
                                     bytes_of_text("b")),
                     STATUS_OK);
    s->cert.epoch = 4;
    s->cert.revoked = true;
    struct body_version *v = &s->version;
    v->id = hash_of(6);
    v->tree = hash_of(7);
    v->size = 1000;
    v->manifest_size = 200;
    assert_int_equal(vector_model_set(&v->vector, bytes_of_text("ci"), 9), 0);
    v->parents = bytes_of(s->parents, sizeof(s->parents));
    v->floor = 3;
    v->retired = true;
    fill_channel();
    fill_status();
    s->contrib = (struct body_contrib){.id = hash_of(1),
                                       .tree = hash_of(2),
                                       .size = 5,
                                       .manifest_size = 6,
                                       .parent = hash_of(3),
                                       .samples = 800};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(s);
    return 0;
}

/* ---- one face for all kinds ---- */

enum {
    FLEET,
    CERT,
    VERSION,
    CHANNEL,
    STATUS,
    CONTRIB,
    KINDS
};

union any {
    struct body_fleet fleet;
    struct body_cert cert;
    struct body_version version;
    struct body_channel channel;
    struct body_status status;
    struct body_contrib contrib;
    struct body_common common; /* first in each */
};

static enum status encode(int kind, const union any *in, struct writer *wr)
{
    switch (kind) {
    case FLEET:
        return body_fleet_encode(in ? &in->fleet : &s->fleet, wr);
    case CERT:
        return body_cert_encode(in ? &in->cert : &s->cert, wr);
    case VERSION:
        return body_version_encode(in ? &in->version : &s->version, wr);
    case CHANNEL:
        return body_channel_encode(in ? &in->channel : &s->channel, wr);
    case STATUS:
        return body_status_encode(in ? &in->status : &s->status, wr);
    default:
        return body_contrib_encode(in ? &in->contrib : &s->contrib, wr);
    }
}

static enum status decode(int kind, struct bytes body, union any *out)
{
    struct diag diag = {{0}};
    enum status st;
    switch (kind) {
    case FLEET:
        st = body_fleet_decode(body, &out->fleet, &diag);
        break;
    case CERT:
        st = body_cert_decode(body, &out->cert, &diag);
        break;
    case VERSION:
        st = body_version_decode(body, &out->version, &diag);
        break;
    case CHANNEL:
        st = body_channel_decode(body, &out->channel, &diag);
        break;
    case STATUS:
        st = body_status_decode(body, &out->status, &diag);
        break;
    default:
        st = body_contrib_decode(body, &out->contrib, &diag);
    }
    assert_true((st != STATUS_OK) == (diag.text[0] != 0));
    return st;
}

static struct bytes sample(int kind, uint8_t buf[8192])
{
    struct writer wr;
    writer_init(&wr, buf, 8192);
    assert_int_equal(encode(kind, NULL, &wr), STATUS_OK);
    return writer_view(&wr);
}

static void each_kind_round_trips(void **state)
{
    (void)state;
    static union any out;
    for (int kind = 0; kind < KINDS; kind++) {
        uint8_t buf[8192], again[8192];
        struct bytes body = sample(kind, buf);
        struct writer wr;
        assert_int_equal(decode(kind, body, &out), STATUS_OK);
        assert_true(out.common.understood);
        writer_init(&wr, again, sizeof(again));
        assert_int_equal(encode(kind, &out, &wr), STATUS_OK);
        assert_true(bytes_equal(writer_view(&wr), body));
    }
}

static void each_truncation_fails(void **state)
{
    (void)state;
    static union any out;
    for (int kind = 0; kind < KINDS; kind++) {
        uint8_t buf[8192];
        struct bytes body = sample(kind, buf);
        for (size_t cut = 0; cut < body.size; cut++)
            assert_int_not_equal(decode(kind, bytes_of(buf, cut), &out),
                                 STATUS_OK);
        buf[body.size] = 0;
        assert_int_equal(decode(kind, bytes_of(buf, body.size + 1), &out),
                         STATUS_CORRUPT);
    }
}

/* Whatever a changed byte decodes to encodes to itself, as far as there is no
 * unknown key in it. */
static void one_encoding_each(void **state)
{
    (void)state;
    static union any out;
    for (int kind = 0; kind < KINDS; kind++) {
        uint8_t buf[8192], again[8192];
        struct bytes body = sample(kind, buf);
        for (size_t i = 0; i < body.size; i++) {
            for (uint8_t bit = 1; bit; bit = (uint8_t)(bit << 1)) {
                struct writer wr;
                buf[i] ^= bit;
                writer_init(&wr, again, sizeof(again));
                if (!decode(kind, body, &out) && out.common.understood &&
                    !encode(kind, &out, &wr) && wr.size == body.size)
                    assert_memory_equal(again, buf, body.size);
                buf[i] ^= bit;
            }
        }
    }
}

/* The sample with one more pair at its end. */
static enum status decode_with_key(int kind, uint8_t key, union any *out)
{
    uint8_t buf[8192];
    struct bytes body = sample(kind, buf);
    buf[0]++;
    buf[body.size++] = key;
    buf[body.size++] = 0xf5;
    return decode(kind, body, out);
}

static void unknown_keys_follow_the_extension_rule(void **state)
{
    (void)state;
    static union any out;
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind != FLEET) { /* whose last key is 23 already */
            assert_int_equal(decode_with_key(kind, 22, &out), STATUS_OK);
            assert_true(out.common.understood);
        }
        assert_int_equal(decode_with_key(kind, 0x22, &out), STATUS_OK);
        assert_false(out.common.understood);
        assert_int_equal(out.common.must_key, -3);
    }
}

static void must_understand_reaches_into_nested_maps(void **state)
{
    (void)state;
    static union any out;
    /* A channel of one entry that has only the key -1. */
    const uint8_t entry[] = {0xa1, 0x00, 0x81, 0xa1, 0x20, 0x00};
    assert_int_equal(decode(CHANNEL, bytes_of(entry, sizeof(entry)), &out),
                     STATUS_OK);
    assert_false(out.common.understood);
    /* With key 9 instead, the entry lacks its model. */
    const uint8_t known[] = {0xa1, 0x00, 0x81, 0xa1, 0x09, 0x00};
    assert_int_equal(decode(CHANNEL, bytes_of(known, sizeof(known)), &out),
                     STATUS_CORRUPT);
}

static enum status encode_any(int kind)
{
    uint8_t buf[8192];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    return encode(kind, NULL, &wr);
}

#define REFUSED(kind, field, value)                       \
    do {                                                  \
        __typeof__(field) kept_ = (field);                \
        (field) = (value);                                \
        assert_int_equal(encode_any(kind), STATUS_USAGE); \
        (field) = kept_;                                  \
        assert_int_equal(encode_any(kind), STATUS_OK);    \
    } while (0)

static void illegal_fleets_are_refused(void **state)
{
    (void)state;
    REFUSED(FLEET, s->fleet.name, bytes_of_text(""));
    REFUSED(FLEET, s->fleet.enroll, 2);
    REFUSED(FLEET, s->fleet.role_count, LIMIT_ROLES + 1);
    REFUSED(FLEET, s->fleet.roles[1].name, bytes_of_text("root"));
    REFUSED(FLEET, s->fleet.roles[1].kind, BODY_ROLE_ROOT);
    REFUSED(FLEET, s->fleet.roles[0].kind, BODY_ROLE_OPERATOR);
    REFUSED(FLEET, s->fleet.roles[0].name, bytes_of_text("boss"));
    REFUSED(FLEET, s->fleet.roles[0].threshold, 4);
    REFUSED(FLEET, s->fleet.roles[0].threshold, 0);
    REFUSED(FLEET, s->fleet.roles[1].threshold, LIMIT_ROLE_KEYS + 1);
    REFUSED(FLEET, s->fleet.roles[1].pattern, bytes_of_text("a*"));
    REFUSED(FLEET, s->keys[1], s->keys[0]);
    REFUSED(FLEET, s->revoked[1], s->revoked[0]);
    REFUSED(FLEET, s->fleet.roles[1].keys.size, 31);
    REFUSED(FLEET, s->heals[1], s->heals[0]);
}

static void illegal_others_are_refused(void **state)
{
    (void)state;
    struct body_entry *e = &s->channel.entries[0];
    REFUSED(CERT, s->cert.labels.labels[0].key, bytes_of_text("node"));
    REFUSED(CERT, s->cert.labels.labels[0].value, bytes_of_text(""));
    REFUSED(CERT, s->cert.labels.count, LIMIT_LABELS + 1);
    REFUSED(VERSION, s->version.vector.count, 0);
    REFUSED(VERSION, s->version.vector.ticks[0].n, 0);
    REFUSED(VERSION, s->version.floor, 0);
    REFUSED(VERSION, s->version.manifest_size, 0);
    REFUSED(VERSION, s->parents[1], s->parents[0]);
    REFUSED(CHANNEL, e->model, bytes_of_text("current"));
    REFUSED(CHANNEL, e->has_version, false);
    REFUSED(CHANNEL, e->track, bytes_of_text("ci"));
    REFUSED(CHANNEL, e->tests[0].op, 4);
    REFUSED(CHANNEL, e->tests[0].value, bytes_of_text(""));
    REFUSED(CHANNEL, e->tests[2].value, bytes_of_text("x"));
    REFUSED(CHANNEL, e->tests[0].key, bytes_of_text("X"));
    REFUSED(CHANNEL, e->steps[1], 1);
    REFUSED(CHANNEL, e->steps[2], 101);
    REFUSED(CHANNEL, e->percent, 102);
    REFUSED(CHANNEL, s->channel.entry_count, LIMIT_CHANNEL_ENTRIES + 1);
    REFUSED(STATUS, s->status.models[0].model, bytes_of_text(""));
    REFUSED(STATUS, s->status.models[0].model, bytes_of_text("cam/detect"));
    REFUSED(STATUS, s->status.addresses[0], bytes_of_text(""));
    REFUSED(STATUS, s->held[1], s->held[0]);
    REFUSED(CONTRIB, s->contrib.manifest_size, 0);
}

static void what_is_not_acted_on_is_named(void **state)
{
    (void)state;
    struct diag diag = {{0}};
    struct body_entry *e = &s->channel.entries[0];
    assert_int_equal(body_channel_supported(&s->channel, &diag),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "steps"));
    e->step_count = 0;
    diag_reset(&diag);
    assert_int_equal(body_channel_supported(&s->channel, &diag),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "gate"));
    e->has_gate = false;
    diag_reset(&diag);
    assert_int_equal(body_channel_supported(&s->channel, &diag),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "percentage"));
    e->has_percent = false;
    assert_int_equal(body_channel_supported(&s->channel, NULL), STATUS_OK);
    fill_channel();
}

static bool passes(uint64_t op, const char *key, const char *value)
{
    struct node_id node;
    struct body_labels labels = {0};
    struct body_entry e = {.test_count = 1};
    memset(node.b, 0xab, sizeof(node.b));
    assert_int_equal(body_labels_set(&labels, bytes_of_text("site"),
                                     bytes_of_text("berlin")),
                     STATUS_OK);
    e.tests[0] =
        (struct body_test){op, bytes_of_text(key), bytes_of_text(value)};
    return body_entry_matches(&e, &node, &labels);
}

static void tests_of_labels(void **state)
{
    (void)state;
    assert_true(passes(BODY_TEST_EQUAL, "site", "berlin"));
    assert_false(passes(BODY_TEST_EQUAL, "site", "paris"));
    assert_false(passes(BODY_TEST_EQUAL, "hw", "a"));
    assert_false(passes(BODY_TEST_UNEQUAL, "site", "berlin"));
    assert_true(passes(BODY_TEST_UNEQUAL, "site", "paris"));
    assert_true(passes(BODY_TEST_UNEQUAL, "hw", "a"));
    assert_true(passes(BODY_TEST_HAS, "site", ""));
    assert_false(passes(BODY_TEST_HAS, "hw", ""));
    assert_true(passes(BODY_TEST_LACKS, "hw", ""));
    assert_false(passes(BODY_TEST_LACKS, "site", ""));
    char hex[65];
    memset(hex, 0, sizeof(hex));
    for (unsigned i = 0; i < 32; i++)
        memcpy(hex + 2 * i, "ab", 2);
    assert_true(passes(BODY_TEST_EQUAL, "node", hex));
    hex[0] = 'b';
    assert_false(passes(BODY_TEST_EQUAL, "node", hex));
}

static void lists_are_sorted_and_searched(void **state)
{
    (void)state;
    struct hash list[4] = {hash_of(4), hash_of(2), hash_of(4), hash_of(3)};
    struct hash three = hash_of(3), five = hash_of(5);
    assert_int_equal(body_list_sort(list, 4), 3);
    struct bytes view = bytes_of(list, (size_t)3 * HASH_BYTES);
    assert_int_equal(body_list_count(view), 3);
    assert_true(body_list_has(view, three.b));
    assert_false(body_list_has(view, five.b));
    assert_false(body_list_has(bytes_of("", 0), five.b));
    assert_int_equal(body_list_sort(list, 0), 0);
}

static void labels_are_bounded(void **state)
{
    (void)state;
    struct body_labels labels = {0};
    static const char keys[] = "abcdefghijklmnopq";
    for (unsigned i = 0; i <= LIMIT_LABELS; i++)
        assert_int_equal(
            body_labels_set(&labels, bytes_of(keys + i, 1), bytes_of_text("x")),
            i < LIMIT_LABELS ? STATUS_OK : STATUS_LIMIT);
    assert_int_equal(
        body_labels_set(&labels, bytes_of(keys, 1), bytes_of_text("y")),
        STATUS_OK);
    assert_int_equal(
        body_labels_set(&labels, bytes_of_text("node"), bytes_of_text("y")),
        STATUS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_round_trips),
        cmocka_unit_test(each_truncation_fails),
        cmocka_unit_test(one_encoding_each),
        cmocka_unit_test(unknown_keys_follow_the_extension_rule),
        cmocka_unit_test(must_understand_reaches_into_nested_maps),
        cmocka_unit_test(illegal_fleets_are_refused),
        cmocka_unit_test(illegal_others_are_refused),
        cmocka_unit_test(what_is_not_acted_on_is_named),
        cmocka_unit_test(tests_of_labels),
        cmocka_unit_test(lists_are_sorted_and_searched),
        cmocka_unit_test(labels_are_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
