/* Payloads and envelopes: round trip, every truncation, every changed byte. */
#include "protocol/record.h"

#include "protocol/cbor.h"
#include "tests/support/cmocka.h"
#include "tests/support/fleet.h"

struct ctx {
    struct fleet f;
    struct fleet_bytes fleet, version;
};

static int setup(void **state)
{
    static struct ctx ctx;
    fleet_init_small(&ctx.f, 42, &ctx.fleet);
    fleet_version(&ctx.f, "trainer", "cam/detect", 3, 2, 1, &ctx.version);
    *state = &ctx;
    return 0;
}

static void record_shows_its_fields(void **state)
{
    struct ctx *c = *state;
    struct record rec;
    assert_int_equal(record_parse(fleet_view(&c->version), &rec, NULL),
                     STATUS_OK);
    assert_true(rec.f.has_fleet);
    assert_true(hash_equal(&rec.f.fleet, &c->f.id));
    assert_false(rec.f.author.is_node);
    assert_true(bytes_equal(slot_author_bytes(&rec.f.author),
                            bytes_of_text("trainer")));
    assert_int_equal(rec.f.kind, RECORD_VERSION);
    assert_string_equal(record_kind_text(rec.f.kind), "version");
    assert_string_equal(record_kind_text(99), "unknown kind");
    assert_true(bytes_equal(rec.f.name, bytes_of_text("cam/detect#3")));
    assert_int_equal(rec.f.epoch, 0);
    assert_int_equal(rec.f.seq, 1);
    assert_int_equal(rec.envelope.signature_count, 1);
    assert_int_equal(cose_verify_one(&rec.envelope, 0), STATUS_OK);
    struct hash hash;
    hash_bytes(HASH_RECORD, rec.envelope.payload, &hash);
    assert_true(hash_equal(&hash, &rec.hash));
}

static void fleet_record_1_names_no_fleet(void **state)
{
    struct ctx *c = *state;
    struct record rec;
    assert_int_equal(record_parse(fleet_view(&c->fleet), &rec, NULL),
                     STATUS_OK);
    assert_false(rec.f.has_fleet);
    assert_true(hash_equal(&rec.hash, &c->f.id));
}

/* Parse, build again, sign with the same signatures: the same bytes. */
static void records_encode_to_the_same_bytes(void **state)
{
    struct ctx *c = *state;
    const struct fleet_bytes *all[] = {&c->fleet, &c->version};
    for (unsigned i = 0; i < 2; i++) {
        struct record rec;
        uint8_t payload[LIMIT_RECORD_BYTES], envelope[LIMIT_RECORD_BYTES];
        struct writer wr;
        assert_int_equal(record_parse(fleet_view(all[i]), &rec, NULL),
                         STATUS_OK);
        writer_init(&wr, payload, sizeof(payload));
        assert_int_equal(record_build_payload(&rec.f, &wr), STATUS_OK);
        assert_true(bytes_equal(writer_view(&wr), rec.envelope.payload));
        writer_init(&wr, envelope, sizeof(envelope));
        assert_int_equal(cose_encode(rec.envelope.payload,
                                     rec.envelope.signatures,
                                     rec.envelope.signature_count, &wr),
                         STATUS_OK);
        assert_true(bytes_equal(writer_view(&wr), fleet_view(all[i])));
    }
}

static void every_truncation_fails(void **state)
{
    struct ctx *c = *state;
    for (size_t cut = 0; cut < c->version.size; cut++) {
        struct record rec;
        struct diag diag = {{0}};
        assert_int_not_equal(
            record_parse(bytes_of(c->version.b, cut), &rec, &diag), STATUS_OK);
    }
    struct fleet_bytes longer = c->version;
    longer.b[longer.size++] = 0;
    struct record rec;
    assert_int_not_equal(record_parse(fleet_view(&longer), &rec, NULL),
                         STATUS_OK);
}

/* A changed byte is malformed, or another payload, or a bad signature. */
static void every_changed_byte_is_noticed(void **state)
{
    struct ctx *c = *state;
    for (size_t i = 0; i < c->version.size; i++) {
        struct fleet_bytes changed = c->version;
        struct record rec;
        changed.b[i] ^= 1;
        if (!record_parse(fleet_view(&changed), &rec, NULL))
            assert_int_equal(cose_verify_one(&rec.envelope, 0),
                             STATUS_BAD_SIGNATURE);
    }
}

static struct record_fields fields(void)
{
    return (struct record_fields){
        .has_fleet = true,
        .author = slot_author_role(bytes_of_text("desk")),
        .kind = RECORD_CHANNEL,
        .name = bytes_of_text("main"),
        .body = bytes_of("\xa0", 1),
    };
}

static enum status build(const struct record_fields *f)
{
    uint8_t buf[2 * LIMIT_RECORD_BYTES];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    return record_build_payload(f, &wr);
}

static void builder_refuses_what_parser_would(void **state)
{
    (void)state;
    struct record_fields f = fields();
    assert_int_equal(build(&f), STATUS_OK);
    f.kind = 0;
    assert_int_equal(build(&f), STATUS_USAGE);
    f.kind = RECORD_KIND_MAX + 1;
    assert_int_equal(build(&f), STATUS_USAGE);
    f = fields();
    f.author = slot_author_role(bytes_of_text("Desk"));
    assert_int_equal(build(&f), STATUS_USAGE);
    f = fields();
    f.body = bytes_of("\x80", 1);
    assert_int_equal(build(&f), STATUS_USAGE);
    f.body = bytes_of("\xa1\x00", 2);
    assert_int_equal(build(&f), STATUS_USAGE);
    char name[LIMIT_RECORD_NAME_BYTES + 1];
    memset(name, 'x', sizeof(name));
    f = fields();
    f.name = bytes_of(name, sizeof(name));
    assert_int_equal(build(&f), STATUS_USAGE);
    f.name.size--;
    assert_int_equal(build(&f), STATUS_OK);
    static uint8_t big[LIMIT_RECORD_BYTES];
    memset(big, 0, sizeof(big));
    memcpy(big, "\xa1\x00\x59\x1f\xfa", 5);
    f = fields();
    f.body = bytes_of(big, sizeof(big) - 1);
    assert_int_equal(build(&f), STATUS_LIMIT);
}

/* A payload of 7 items of which one is replaced by these bytes. */
static enum status parse_with(unsigned index, const char *item, size_t size)
{
    static const struct {
        const char *item;
        size_t size;
    } good[7] = {{"\x40", 1},
                 {"\x61"
                  "a",
                  2},
                 {"\x04", 1},
                 {"\x61m", 2},
                 {"\x00", 1},
                 {"\x01", 1},
                 {"\xa0", 1}};
    uint8_t buf[256];
    struct writer wr;
    struct record rec;
    writer_init(&wr, buf, sizeof(buf));
    writer_u8(&wr, 0x87);
    for (unsigned i = 0; i < 7; i++)
        writer_bytes(&wr, i == index ? item : good[i].item,
                     i == index ? size : good[i].size);
    return record_parse_payload(writer_view(&wr), &rec, NULL);
}

static void payload_items_are_typed(void **state)
{
    (void)state;
    assert_int_equal(parse_with(7, "", 0), STATUS_OK);
    assert_int_equal(parse_with(0, "\x41x", 2), STATUS_CORRUPT);
    assert_int_equal(parse_with(0, "\x60", 1), STATUS_CORRUPT);
    assert_int_equal(parse_with(1,
                                "\x61"
                                "A",
                                2),
                     STATUS_CORRUPT);
    assert_int_equal(parse_with(1, "\x60", 1), STATUS_CORRUPT);
    assert_int_equal(parse_with(1, "\x42xx", 3), STATUS_CORRUPT);
    assert_int_equal(parse_with(2, "\x00", 1), STATUS_CORRUPT);
    assert_int_equal(parse_with(2, "\x1a\x00\x01\x00\x00", 5), STATUS_LIMIT);
    assert_int_equal(parse_with(2, "\x18\x04", 2), STATUS_CORRUPT);
    assert_int_equal(parse_with(3, "\x41m", 2), STATUS_CORRUPT);
    assert_int_equal(parse_with(3, "\x61\xff", 2), STATUS_CORRUPT);
    assert_int_equal(parse_with(4, "\x20", 1), STATUS_CORRUPT);
    assert_int_equal(parse_with(5, "\xf6", 1), STATUS_CORRUPT);
    assert_int_equal(parse_with(6, "\x80", 1), STATUS_CORRUPT);
    assert_int_equal(parse_with(6, "\xa2\x01\x00\x00\x00", 5), STATUS_CORRUPT);
    assert_int_equal(parse_with(6, "\xa0\x00", 2), STATUS_CORRUPT);
}

/* Prepare and Commit: the node builds, the client signs, the node seals. */
static void a_remote_client_can_sign(void **state)
{
    struct ctx *c = *state;
    uint8_t payload[512], tbs[1024], envelope[1024];
    struct writer pay, wr;
    struct record_fields f = fields();
    f.fleet = c->f.id;
    writer_init(&pay, payload, sizeof(payload));
    assert_int_equal(record_build_payload(&f, &pay), STATUS_OK);
    struct fleet_role *desk = fleet_find_role(&c->f, "desk");
    struct cose_signature sig = {.key = crypto_sign_key_id(&desk->keys[0])};
    writer_init(&wr, tbs, sizeof(tbs));
    cose_to_be_signed(writer_view(&pay), &sig.key, &wr);
    crypto_sign_message(&desk->keys[0], writer_view(&wr), &sig.sig);
    writer_init(&wr, envelope, sizeof(envelope));
    assert_int_equal(cose_encode(writer_view(&pay), &sig, 1, &wr), STATUS_OK);
    struct record rec;
    assert_int_equal(record_parse(writer_view(&wr), &rec, NULL), STATUS_OK);
    assert_int_equal(cose_verify_one(&rec.envelope, 0), STATUS_OK);
    const struct crypto_sign_key *keys[1] = {&desk->keys[0]};
    uint8_t direct[1024];
    struct writer wr2;
    writer_init(&wr2, direct, sizeof(direct));
    assert_int_equal(record_sign(writer_view(&pay), keys, 1, &wr2), STATUS_OK);
    assert_true(bytes_equal(writer_view(&wr), writer_view(&wr2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(record_shows_its_fields, setup),
        cmocka_unit_test_setup(fleet_record_1_names_no_fleet, setup),
        cmocka_unit_test_setup(records_encode_to_the_same_bytes, setup),
        cmocka_unit_test_setup(every_truncation_fails, setup),
        cmocka_unit_test_setup(every_changed_byte_is_noticed, setup),
        cmocka_unit_test(builder_refuses_what_parser_would),
        cmocka_unit_test(payload_items_are_typed),
        cmocka_unit_test_setup(a_remote_client_can_sign, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
