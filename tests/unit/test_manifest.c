/* Manifests: building, every rule of parsing, and the packed form. */
#include "protocol/manifest.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

struct ctx {
    struct manifest m;
    struct hash leaves[4];
    struct hash parents[2];
};

/* Two files, four blocks, two parents, two meta fields. */
static void make(struct ctx *c)
{
    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < 4; i++)
        memset(c->leaves[i].b, (int)i + 1, HASH_BYTES);
    memset(c->parents[0].b, 0x10, HASH_BYTES);
    memset(c->parents[1].b, 0x20, HASH_BYTES);
    struct manifest *m = &c->m;
    m->model = bytes_of_text("cam/detect");
    assert_int_equal(tree_shape_of(200000, &m->shape), STATUS_OK);
    assert_int_equal(m->shape.block_count, 4);
    m->leaves = c->leaves;
    tree_id(&m->shape, c->leaves, &m->tree);
    m->parents = bytes_of(c->parents, sizeof(c->parents));
    assert_int_equal(vector_model_set(&m->vector, bytes_of_text("ci"), 4), 0);
    m->file_count = 2;
    m->files[0] = (struct manifest_file){bytes_of_text("a/m.bin"), 0, 150000};
    m->files[1] =
        (struct manifest_file){bytes_of_text("labels"), 150000, 50000};
    assert_int_equal(
        manifest_meta_set(m, bytes_of_text("format"), bytes_of_text("opaque")),
        STATUS_OK);
    assert_int_equal(
        manifest_meta_set(m, bytes_of_text("acc"), bytes_of_text("0.9")),
        STATUS_OK);
}

static struct bytes build(const struct manifest *m, uint8_t buf[4096],
                          struct hash *id)
{
    struct writer wr;
    writer_init(&wr, buf, 4096);
    assert_int_equal(manifest_build(m, &wr, id, NULL), STATUS_OK);
    return writer_view(&wr);
}

static void round_trip(void **state)
{
    (void)state;
    struct ctx c;
    struct manifest out;
    struct hash id, again;
    uint8_t buf[4096], second[4096];
    make(&c);
    struct bytes bytes = build(&c.m, buf, &id);
    assert_true(bytes.size < 300 + 4 * HASH_BYTES);
    assert_int_equal(manifest_parse(bytes, &out, NULL), STATUS_OK);
    assert_true(out.understood);
    assert_int_equal(out.file_count, 2);
    assert_int_equal(out.meta_count, 2);
    assert_true(bytes_equal(out.meta[0].key, bytes_of_text("acc")));
    assert_int_equal(out.shape.block_count, 4);
    assert_true(hash_equal(&out.leaves[3], &c.leaves[3]));
    assert_true(bytes_equal(build(&out, second, &again), bytes));
    assert_true(hash_equal(&id, &again));
    manifest_id(bytes, &again);
    assert_true(hash_equal(&id, &again));
}

static void an_empty_content_has_no_leaves(void **state)
{
    (void)state;
    struct ctx c;
    struct manifest out;
    struct hash id;
    uint8_t buf[4096];
    make(&c);
    assert_int_equal(tree_shape_of(0, &c.m.shape), STATUS_OK);
    tree_id(&c.m.shape, c.leaves, &c.m.tree);
    c.m.file_count = 1;
    c.m.files[0].length = 0;
    c.m.meta_count = 0;
    c.m.parents.size = 0;
    assert_int_equal(manifest_parse(build(&c.m, buf, &id), &out, NULL),
                     STATUS_OK);
    assert_int_equal(out.shape.block_count, 0);
}

static void every_truncation_fails(void **state)
{
    (void)state;
    struct ctx c;
    struct manifest out;
    struct hash id;
    uint8_t buf[4096];
    make(&c);
    struct bytes bytes = build(&c.m, buf, &id);
    for (size_t cut = 0; cut < bytes.size; cut++)
        assert_int_not_equal(manifest_parse(bytes_of(buf, cut), &out, NULL),
                             STATUS_OK);
    bytes.size++;
    assert_int_equal(manifest_parse(bytes, &out, NULL), STATUS_CORRUPT);
}

/* What a byte may do: break a rule, the tree id, or make another version. */
static void no_changed_byte_keeps_the_id(void **state)
{
    (void)state;
    struct ctx c;
    struct manifest out;
    struct hash id, other;
    uint8_t buf[4096];
    make(&c);
    struct bytes bytes = build(&c.m, buf, &id);
    for (size_t i = 0; i < bytes.size; i++) {
        buf[i] ^= 1;
        manifest_id(bytes, &other);
        assert_false(hash_equal(&id, &other));
        (void)!manifest_parse(bytes, &out, NULL);
        buf[i] ^= 1;
    }
}

static void leaves_must_give_the_tree(void **state)
{
    (void)state;
    struct ctx c;
    struct manifest out;
    struct hash id;
    uint8_t buf[4096];
    struct diag diag = {{0}};
    make(&c);
    c.leaves[2].b[0] ^= 1;
    assert_int_equal(manifest_parse(build(&c.m, buf, &id), &out, &diag),
                     STATUS_MISMATCH);
    assert_string_equal(diag.text, "the leaves do not give the tree id");
}

static enum status try_build(const struct manifest *m)
{
    uint8_t buf[40000];
    struct writer wr;
    struct hash id;
    struct diag diag = {{0}};
    writer_init(&wr, buf, sizeof(buf));
    enum status st = manifest_build(m, &wr, &id, &diag);
    if (st == STATUS_USAGE)
        assert_true(diag.text[0] != 0);
    return st;
}

static void illegal_files_are_refused(void **state)
{
    (void)state;
    struct ctx c;
    static const char *const clashes[] = {"a",    "a/m.bin", "a/m.bin/x",
                                          "../a", ".a",      "a//b"};
    for (size_t i = 0; i < sizeof(clashes) / sizeof(clashes[0]); i++) {
        make(&c);
        c.m.files[1].path = bytes_of_text(clashes[i]);
        assert_int_equal(try_build(&c.m), STATUS_USAGE);
    }
    make(&c);
    c.m.files[1].offset++;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.files[1].length--;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.files[1].length = UINT64_MAX;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.file_count = 0;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.file_count = LIMIT_MANIFEST_FILES + 1;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
}

static void other_rules_are_kept(void **state)
{
    (void)state;
    struct ctx c;
    make(&c);
    assert_int_equal(try_build(&c.m), STATUS_OK);
    c.m.model = bytes_of_text("current");
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.shape.block_log++;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.shape.block_count--;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.vector.count = 0;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.parents[1] = c.parents[0];
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    c.m.meta[1].key = c.m.meta[0].key;
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
    make(&c);
    assert_int_equal(
        manifest_meta_set(&c.m, bytes_of_text("A"), bytes_of_text("x")),
        STATUS_USAGE);
    static char big[MANIFEST_META_VALUE_MAX + 1];
    memset(big, 'x', sizeof(big));
    assert_int_equal(
        manifest_meta_set(&c.m, bytes_of_text("a"), bytes_of(big, sizeof(big))),
        STATUS_USAGE);
    for (unsigned i = 0; i < 5; i++) {
        static const char *const keys[] = {"a", "b", "c", "d", "e"};
        assert_int_equal(manifest_meta_set(&c.m, bytes_of_text(keys[i]),
                                           bytes_of(big, sizeof(big) - 1)),
                         STATUS_OK);
    }
    assert_int_equal(try_build(&c.m), STATUS_USAGE);
}

/* The bytes of a manifest with one more pair put in front of the end. */
static enum status parse_with_key(int64_t key, bool *understood)
{
    struct ctx c;
    struct manifest out;
    struct hash id;
    uint8_t buf[4096];
    make(&c);
    struct bytes bytes = build(&c.m, buf, &id);
    buf[0]++;
    buf[bytes.size++] = (uint8_t)(key < 0 ? 0x20 - 1 - key : key);
    buf[bytes.size++] = 0x01;
    enum status st = manifest_parse(bytes, &out, NULL);
    *understood = out.understood;
    return st;
}

static void unknown_keys_follow_the_extension_rule(void **state)
{
    (void)state;
    bool understood;
    assert_int_equal(parse_with_key(20, &understood), STATUS_OK);
    assert_true(understood);
    assert_int_equal(parse_with_key(-1, &understood), STATUS_OK);
    assert_false(understood);
    assert_int_equal(parse_with_key(8, &understood), STATUS_CORRUPT);
}

static void record_and_manifest_must_agree(void **state)
{
    (void)state;
    struct ctx c;
    struct hash id;
    uint8_t buf[4096];
    make(&c);
    struct bytes bytes = build(&c.m, buf, &id);
    struct body_version good = {
        .id = id,
        .tree = c.m.tree,
        .size = c.m.shape.size,
        .manifest_size = bytes.size,
        .vector = c.m.vector,
        .parents = c.m.parents,
        .floor = 1,
    };
    struct bytes model = c.m.model;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &good, NULL),
                     STATUS_OK);
    struct body_version bad = good;
    bad.id.b[0] ^= 1;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &bad, NULL),
                     STATUS_MISMATCH);
    bad = good;
    bad.tree.b[0] ^= 1;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &bad, NULL),
                     STATUS_MISMATCH);
    bad = good;
    bad.size++;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &bad, NULL),
                     STATUS_MISMATCH);
    bad = good;
    bad.manifest_size++;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &bad, NULL),
                     STATUS_MISMATCH);
    bad = good;
    bad.vector.ticks[0].n++;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &bad, NULL),
                     STATUS_MISMATCH);
    bad = good;
    bad.parents.size -= HASH_BYTES;
    assert_int_equal(manifest_check_record(bytes, &c.m, model, &bad, NULL),
                     STATUS_MISMATCH);
    assert_int_equal(
        manifest_check_record(bytes, &c.m, bytes_of_text("x"), &good, NULL),
        STATUS_MISMATCH);
}

/* ---- packed ---- */

static void unpack_is(struct bytes frame, struct bytes prefix, uint64_t size,
                      enum status expected, struct bytes bytes)
{
    struct writer wr;
    writer_init_heap(&wr, LIMIT_MANIFEST_BYTES);
    assert_int_equal(manifest_unpack(frame, prefix, size, &wr), expected);
    if (expected)
        assert_int_equal(wr.size, 0);
    else
        assert_true(bytes_equal(writer_view(&wr), bytes));
    writer_deinit(&wr);
}

static void packed_form_round_trips(void **state)
{
    (void)state;
    struct ctx c;
    struct hash id;
    uint8_t buf[4096], frame[8192];
    struct writer wr;
    make(&c);
    struct bytes bytes = build(&c.m, buf, &id);
    writer_init(&wr, frame, sizeof(frame));
    assert_int_equal(manifest_pack(bytes, bytes_of("", 0), &wr), STATUS_OK);
    struct bytes view = writer_view(&wr);
    unpack_is(view, bytes_of("", 0), bytes.size, STATUS_OK, bytes);
    unpack_is(view, bytes_of("", 0), bytes.size - 1, STATUS_CORRUPT, bytes);
    unpack_is(view, bytes_of("", 0), bytes.size + 1, STATUS_CORRUPT, bytes);
    unpack_is(view, bytes_of("", 0), (uint64_t)LIMIT_MANIFEST_BYTES + 1,
              STATUS_LIMIT, bytes);
    for (size_t cut = 0; cut < view.size; cut++)
        unpack_is(bytes_of(frame, cut), bytes_of("", 0), bytes.size,
                  STATUS_CORRUPT, bytes);
    frame[view.size] = 0;
    unpack_is(bytes_of(frame, view.size + 1), bytes_of("", 0), bytes.size,
              STATUS_CORRUPT, bytes);
}

static void a_held_manifest_makes_it_small(void **state)
{
    (void)state;
    enum {
        SIZE = 40000
    };
    uint8_t *old = malloc(SIZE), *new = malloc(SIZE), *frame = malloc(SIZE);
    assert_true(old && new &&frame);
    for (size_t i = 0; i + HASH_BYTES <= SIZE; i += HASH_BYTES) {
        struct hash h;
        hash_bytes(HASH_LEAF, bytes_of(&i, sizeof(i)), &h);
        memcpy(old + i, h.b, HASH_BYTES);
    }
    memcpy(new, old, SIZE);
    memset(new + 12800, 7, 3200);
    struct writer wr;
    writer_init(&wr, frame, SIZE);
    assert_int_equal(
        manifest_pack(bytes_of(new, SIZE), bytes_of(old, SIZE), &wr),
        STATUS_OK);
    assert_in_range(wr.size, 1, 200);
    unpack_is(writer_view(&wr), bytes_of(old, SIZE), SIZE, STATUS_OK,
              bytes_of(new, SIZE));
    free(old);
    free(new);
    free(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(an_empty_content_has_no_leaves),
        cmocka_unit_test(every_truncation_fails),
        cmocka_unit_test(no_changed_byte_keeps_the_id),
        cmocka_unit_test(leaves_must_give_the_tree),
        cmocka_unit_test(illegal_files_are_refused),
        cmocka_unit_test(other_rules_are_kept),
        cmocka_unit_test(unknown_keys_follow_the_extension_rule),
        cmocka_unit_test(record_and_manifest_must_agree),
        cmocka_unit_test(packed_form_round_trips),
        cmocka_unit_test(a_held_manifest_makes_it_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
