/* Taking versions in: what comes out again is what went in, along any chain of
 * updates; what does not fit is refused. */
#include "daemon/publish.h"

#include "codec/update/update_file.h"
#include "store/update.h"
#include "tests/support/cmocka.h"
#include "tests/support/depot.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE 300000u

static void check_content(struct depot *depot, const struct hash *tree,
                          struct bytes bytes)
{
    struct content *content;
    assert_int_equal(content_open(&depot->places, tree, NULL, &content, NULL),
                     STATUS_OK);
    assert_int_equal(content->source.size, bytes.size);
    uint8_t *read = malloc(bytes.size + 1);
    assert_int_equal(source_read(&content->source, 0, read, bytes.size),
                     STATUS_OK);
    assert_memory_equal(read, bytes.data, bytes.size);
    free(read);
    content_close(content);
}

static void publish_content_comes_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 65536, 65537, SIZE};
    struct depot depot;
    depot_init(&depot, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t *x = depot_bytes(i, sizes[i]);
        struct publish *p =
            depot_publish(&depot, "m", i + 1, bytes_of(x, sizes[i]), NULL);
        assert_int_equal(p->update_count, 1);
        assert_int_equal(p->size, sizes[i]);
        check_content(&depot, &p->tree, bytes_of(x, sizes[i]));
        publish_free(p);
        free(x);
    }
    depot_deinit(&depot);
}

static void publish_makes_a_small_direct_update(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, SIZE);
    struct publish *p = depot_publish(&depot, "m", 1, bytes_of(x, SIZE), NULL);
    x[100] ^= 1;
    struct publish *q =
        depot_publish(&depot, "m", 2, bytes_of(x, SIZE), &p->tree);
    assert_int_equal(q->update_count, 2);
    assert_true(q->updates[1].has_base);
    assert_true(hash_equal(&q->updates[1].base, &p->tree));
    assert_true(q->updates[1].bytes < 5000);
    assert_true(q->updates[0].bytes > SIZE / 2);
    publish_free(p);
    publish_free(q);
    free(x);
    depot_deinit(&depot);
}

/* Lets the direct update realise what was published, without the full one. */
static void leave_only_direct(struct depot *depot, const struct publish *p)
{
    struct store_txn txn;
    assert_int_equal(store_txn_begin(&txn, depot->env, STORE_TXN_WRITE, NULL),
                     0);
    assert_int_equal(
        store_version_set_update(&txn, &p->version, &p->updates[1].id),
        STATUS_OK);
    assert_int_equal(store_txn_commit(&txn), STATUS_OK);
    assert_int_equal(store_update_remove(depot->env, &p->updates[0].id, NULL),
                     STATUS_OK);
}

/* What a look says of the whole content, backwards in odd pieces. */
static void check_look(struct depot *depot, const struct hash *tree,
                       struct bytes bytes)
{
    struct content *content;
    uint8_t piece[70001];
    assert_int_equal(content_open_look(&depot->places, tree, &content, NULL),
                     STATUS_OK);
    assert_int_equal(content->source.size, bytes.size);
    for (size_t end = bytes.size; end;) {
        size_t size = end < sizeof(piece) ? end : sizeof(piece);
        end -= size;
        assert_int_equal(source_read(&content->source, end, piece, size),
                         STATUS_OK);
        assert_memory_equal(piece, bytes.data + end, size);
    }
    assert_int_not_equal(source_read(&content->source, bytes.size, piece, 1),
                         STATUS_OK);
    content_close(content);
}

static void publish_chain_of_updates_is_followed(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, SIZE);
    struct hash tree;
    for (uint64_t i = 0; i < 4; i++) {
        x[1000 * i] ^= 0x55;
        struct publish *p = depot_publish(&depot, "m", i + 1, bytes_of(x, SIZE),
                                          i ? &tree : NULL);
        tree = p->tree;
        if (i)
            leave_only_direct(&depot, p);
        publish_free(p);
        /* A look follows at most three updates. */
        struct content *content;
        if (i < 3)
            check_look(&depot, &tree, bytes_of(x, SIZE));
        else
            assert_int_equal(
                content_open_look(&depot.places, &tree, &content, NULL),
                STATUS_NOT_FOUND);
    }
    check_content(&depot, &tree, bytes_of(x, SIZE));
    free(x);
    depot_deinit(&depot);
}

static void make_estimate_is_what_publishing_makes(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, SIZE), *y = depot_bytes(2, SIZE / 4);
    struct publish *p = depot_publish(&depot, "m", 1, bytes_of(x, SIZE), NULL);
    memcpy(x + SIZE / 2, y, SIZE / 4);
    struct publish *q =
        depot_publish(&depot, "m", 2, bytes_of(x, SIZE), &p->tree);
    struct make_pair pair = {.base = &p->tree, .target = &q->tree};
    uint64_t bytes = 0, known = q->updates[1].bytes;
    assert_int_equal(make_estimate(&depot.places, &pair, &bytes), STATUS_OK);
    assert_in_range(bytes, known - known / 7, known + known / 7);
    pair.base = NULL;
    known = q->updates[0].bytes;
    assert_int_equal(make_estimate(&depot.places, &pair, &bytes), STATUS_OK);
    assert_in_range(bytes, known - known / 7, known + known / 7);
    struct hash other = {{1}};
    pair.base = &other;
    assert_int_equal(make_estimate(&depot.places, &pair, &bytes),
                     STATUS_NOT_FOUND);
    publish_free(p);
    publish_free(q);
    free(x);
    free(y);
    depot_deinit(&depot);
}

/* What realises a version; true when that is over a base. */
static bool realised_over(struct depot *depot, const struct hash *version,
                          struct hash *base)
{
    struct store_txn txn;
    struct store_version row;
    struct store_update update;
    assert_int_equal(store_txn_begin(&txn, depot->env, STORE_TXN_READ, NULL),
                     0);
    assert_int_equal(store_version_get(&txn, version, &row), STATUS_OK);
    assert_true(row.has_update);
    assert_int_equal(store_update_get(&txn, &row.update, &update), STATUS_OK);
    assert_true(store_update_complete(&update));
    store_txn_abort(&txn);
    *base = update.base;
    return update.has_base;
}

/* Seven versions, each over the one before it; new_bytes of each change. */
static void check_long_chain(size_t new_bytes, bool over_root)
{
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, SIZE);
    struct hash tree, root = {{0}};
    for (uint64_t i = 0; i < 7; i++) {
        uint8_t *y = depot_bytes(50 + i, new_bytes);
        memcpy(x + i % 6 * new_bytes, y, new_bytes);
        free(y);
        struct publish *p = depot_publish(&depot, "m", i + 1, bytes_of(x, SIZE),
                                          i ? &tree : NULL);
        if (i)
            leave_only_direct(&depot, p);
        else
            root = p->tree;
        tree = p->tree;
        struct made_update made;
        struct diag diag = {""};
        bool did;
        assert_int_equal(make_shallow(&depot.places, &p->version, 1, &p->job,
                                      &did, &made, &diag),
                         STATUS_OK);
        assert_int_equal(did, i == MAKE_DEPTH_MAX + 1);
        if (did) {
            struct hash base;
            assert_int_equal(made.has_base, over_root);
            assert_int_equal(realised_over(&depot, &p->version, &base),
                             over_root);
            assert_true(!over_root || hash_equal(&base, &root));
        }
        free(made.header);
        publish_free(p);
    }
    check_content(&depot, &tree, bytes_of(x, SIZE));
    free(x);
    depot_deinit(&depot);
}

static void publish_long_chains_start_anew_at_their_root(void **state)
{
    (void)state;
    check_long_chain(1000, true);
}

/* Little is left of the root. */
static void publish_long_chains_of_much_change_get_a_full_update(void **state)
{
    (void)state;
    check_long_chain(SIZE / 6, false);
}

static void publish_same_bytes_are_unchanged(void **state)
{
    (void)state;
    static const char *const path = "m.bin";
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, SIZE);
    struct bytes file = bytes_of(x, SIZE);
    struct publish *p = depot_publish(&depot, "m", 1, file, NULL);
    struct publish *q = depot_prepare(&depot, "m", 2, &path, &file, 1);
    q->has_latest = true;
    q->latest_tree = p->tree;
    publish_run(q);
    assert_int_equal(q->status, STATUS_OK);
    assert_true(q->unchanged);
    assert_int_equal(q->update_count, 0);
    publish_free(p);
    publish_free(q);
    free(x);
    depot_deinit(&depot);
}

static enum status run_with(const char *model, const char *path,
                            const char *meta_key, uint64_t quota)
{
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, 5000);
    struct bytes file = bytes_of(x, 5000);
    struct publish *p = depot_prepare(&depot, model, 1, &path, &file, 1);
    if (meta_key) {
        p->meta_keys[0] = strdup(meta_key);
        p->meta_values[0] = strdup("value");
        p->meta_count = 1;
    }
    p->quota_bytes = quota;
    publish_run(p);
    enum status status = p->status;
    assert_int_equal(!status, p->diag.text[0] == '\0');
    publish_free(p);
    free(x);
    depot_deinit(&depot);
    return status;
}

static void publish_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run_with("m", "m.bin", "epoch", 0), STATUS_OK);
    assert_int_equal(run_with("M", "m.bin", NULL, 0), STATUS_USAGE);
    assert_int_equal(run_with("current", "m.bin", NULL, 0), STATUS_USAGE);
    assert_int_equal(run_with("m", "../m.bin", NULL, 0), STATUS_USAGE);
    assert_int_equal(run_with("m", ".hidden", NULL, 0), STATUS_USAGE);
    assert_int_equal(run_with("m", "a b", NULL, 0), STATUS_USAGE);
    assert_int_equal(run_with("m", "m.bin", "Bad Key", 0), STATUS_USAGE);
    assert_int_equal(run_with("m", "m.bin", NULL, 4999), STATUS_NO_SPACE);
}

static void publish_two_files_of_one_name_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"a", "a"};
    static const char *const nested[] = {"a", "a/b"};
    struct depot depot;
    depot_init(&depot, 0);
    const struct bytes files[] = {bytes_of("x", 1), bytes_of("y", 1)};
    for (int i = 0; i < 2; i++) {
        struct publish *p =
            depot_prepare(&depot, "m", 1, i ? nested : paths, files, 2);
        publish_run(p);
        assert_int_not_equal(p->status, STATUS_OK);
        publish_free(p);
    }
    depot_deinit(&depot);
}

static void publish_cancelled_job_ends_and_leaves_no_version(void **state)
{
    (void)state;
    static const char *const path = "m.bin";
    struct depot depot;
    depot_init(&depot, 0);
    uint8_t *x = depot_bytes(1, SIZE);
    struct bytes file = bytes_of(x, SIZE);
    struct publish *p = depot_prepare(&depot, "m", 1, &path, &file, 1);
    atomic_store(&p->job.cancelled, true);
    publish_run(p);
    assert_int_equal(p->status, STATUS_CLOSED);
    publish_free(p);
    free(x);
    depot_deinit(&depot);
}

static void publish_descriptors_that_are_no_files_are_refused(void **state)
{
    (void)state;
    struct fileset *set;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[1]);
    assert_int_equal(fileset_of_fds(fds, 1, &set, NULL), STATUS_USAGE);
    assert_null(set);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1); /* it was closed */
    int dir = open("/tmp", O_RDONLY | O_DIRECTORY);
    assert_int_equal(fileset_of_fds(&dir, 1, &set, NULL), STATUS_USAGE);
    char name[] = "/tmp/dm-publish-XXXXXX";
    int file = mkstemp(name);
    int write_only = open(name, O_WRONLY);
    assert_int_equal(fileset_of_fds(&write_only, 1, &set, NULL), STATUS_USAGE);
    close(file);
    unlink(name);
}

/* ---- An update that comes along. ---- */

struct premade_case {
    struct depot depot;
    struct publish *base;
    uint8_t *x; /* the target: the base with one byte changed */
    uint8_t *file;
    size_t size; /* of the update file */
};

static void make_update_file_to(struct premade_case *c, const uint8_t *base,
                                struct bytes target)
{
    const struct source from = source_of_bytes(bytes_of(base, SIZE));
    const struct source to = source_of_bytes(target);
    const struct update_enc_params params = {.base = &from, .target = &to};
    struct update_enc *enc;
    struct writer head, body, all;
    writer_init_heap(&head, UPDATE_HEADER_MAX);
    writer_init_heap(&body, 1u << 20);
    writer_init_heap(&all, 1u << 24);
    assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    for (uint32_t i = 0; i < update_enc_segment_count(enc); i++) {
        struct bytes coded;
        assert_int_equal(update_enc_segment(enc, i, &coded), STATUS_OK);
        writer_bytes(&body, coded.data, coded.size);
    }
    assert_int_equal(update_enc_header(enc, &head), STATUS_OK);
    update_file_write_head(&all, writer_view(&head));
    writer_bytes(&all, body.data, body.size);
    assert_int_equal(writer_status(&all), STATUS_OK);
    c->file = writer_take(&all, &c->size);
    writer_deinit(&head);
    writer_deinit(&body);
    writer_deinit(&all);
    update_enc_free(enc);
}

static void make_update_file(struct premade_case *c, const uint8_t *base)
{
    make_update_file_to(c, base, bytes_of(c->x, SIZE));
}

static void premade_init(struct premade_case *c)
{
    depot_init(&c->depot, 0);
    c->x = depot_bytes(1, SIZE);
    c->base = depot_publish(&c->depot, "m", 1, bytes_of(c->x, SIZE), NULL);
    uint8_t *base = depot_bytes(1, SIZE);
    c->x[100] ^= 1;
    make_update_file(c, base);
    free(base);
}

static void premade_deinit(struct premade_case *c)
{
    publish_free(c->base);
    free(c->x);
    free(c->file);
    depot_deinit(&c->depot);
}

/* Publishes the target over the base with this update file; publish_free. */
static struct publish *premade_publish(struct premade_case *c,
                                       struct bytes update,
                                       const struct hash *base)
{
    static const char *const path = "m.bin";
    struct bytes file = bytes_of(c->x, SIZE);
    struct publish *p = depot_prepare(&c->depot, "m", 2, &path, &file, 1);
    p->bases[0] = *base;
    p->base_count = 1;
    int fd = memfd_create("update", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, update.data, update.size), update.size);
    assert_int_equal(fileset_of_fds(&fd, 1, &p->premade, NULL), STATUS_OK);
    publish_run(p);
    return p;
}

static void publish_keeps_the_update_that_came_along(void **state)
{
    (void)state;
    struct premade_case c;
    premade_init(&c);
    struct publish *p =
        premade_publish(&c, bytes_of(c.file, c.size), &c.base->tree);
    struct source source = source_of_bytes(bytes_of(c.file, c.size));
    struct update_file file;
    struct hash id;
    assert_int_equal(p->status, STATUS_OK);
    assert_int_equal(p->update_count, 2);
    assert_int_equal(update_file_open(&source, &file, NULL), STATUS_OK);
    update_id(bytes_of(file.header_bytes, file.header_size), &id);
    assert_true(hash_equal(&id, &p->updates[1].id));
    update_file_close(&file);
    depot_add(&c.depot, p);
    leave_only_direct(&c.depot, p);
    check_content(&c.depot, &p->tree, bytes_of(c.x, SIZE));
    publish_free(p);
    premade_deinit(&c);
}

static void expect_bad(struct premade_case *c, struct bytes update,
                       const struct hash *base, const char *words)
{
    struct publish *p = premade_publish(c, update, base);
    assert_int_equal(p->status, STATUS_CORRUPT);
    assert_non_null(strstr(p->diag.text, "the update that came along"));
    assert_non_null(strstr(p->diag.text, words));
    publish_free(p);
}

static void publish_refuses_an_update_from_or_to_something_else(void **state)
{
    (void)state;
    struct premade_case c;
    premade_init(&c);
    struct bytes update = bytes_of(c.file, c.size);
    struct hash other = {{1}};
    expect_bad(&c, update, &other, "starts from");
    c.x[5000] ^= 1;
    expect_bad(&c, update, &c.base->tree, "does not lead");
    c.x[5000] ^= 1;
    uint8_t *wrong = depot_bytes(1, SIZE);
    free(c.file);
    wrong[200000] ^= 1; /* made for a base that is not ours */
    make_update_file(&c, wrong);
    expect_bad(&c, bytes_of(c.file, c.size), &c.base->tree, "starts from");
    free(wrong);
    premade_deinit(&c);
}

/* A base tree can be claimed, and the hashes of segments with it: then the
 * blocks tell. */
static void
publish_refuses_an_update_that_decodes_to_something_else(void **state)
{
    (void)state;
    struct premade_case c;
    premade_init(&c);
    uint8_t *wrong = depot_bytes(1, SIZE);
    free(c.file);
    wrong[100] ^= 1; /* as in the target: the update copies the byte */
    wrong[200000] ^= 1;
    make_update_file(&c, wrong);
    struct source source = source_of_bytes(bytes_of(c.file, c.size));
    struct update_file file;
    assert_int_equal(update_file_open(&source, &file, NULL), STATUS_OK);
    struct hash claimed = file.header.base_tree;
    update_file_close(&file);
    for (size_t i = 0; i + HASH_BYTES <= c.size; i++)
        if (!memcmp(c.file + i, &claimed, HASH_BYTES))
            memcpy(c.file + i, &c.base->tree, HASH_BYTES);
    expect_bad(&c, bytes_of(c.file, c.size), &c.base->tree, "block 0");
    free(wrong);
    premade_deinit(&c);
}

/* A tree can be claimed with a size that is not its own. */
static void publish_refuses_an_update_to_another_size(void **state)
{
    (void)state;
    struct premade_case c;
    premade_init(&c);
    uint8_t *base = depot_bytes(1, SIZE), *longer = calloc(3, SIZE);
    assert_non_null(longer);
    free(c.file);
    make_update_file_to(&c, base, bytes_of(longer, 3 * SIZE));
    struct source source = source_of_bytes(bytes_of(c.file, c.size));
    struct source x = source_of_bytes(bytes_of(c.x, SIZE));
    struct update_file file;
    struct tree_builder builder;
    struct hash tree;
    assert_int_equal(update_file_open(&source, &file, NULL), STATUS_OK);
    struct hash claimed = file.header.target_tree;
    update_file_close(&file);
    assert_int_equal(tree_build(&x, &builder, &tree), STATUS_OK);
    tree_builder_deinit(&builder);
    for (size_t i = 0; i + HASH_BYTES <= c.size; i++)
        if (!memcmp(c.file + i, &claimed, HASH_BYTES))
            memcpy(c.file + i, &tree, HASH_BYTES);
    struct publish *p =
        premade_publish(&c, bytes_of(c.file, c.size), &c.base->tree);
    assert_int_equal(p->status, STATUS_CORRUPT);
    assert_non_null(strstr(p->diag.text, "does not lead"));
    publish_free(p);
    free(base);
    free(longer);
    premade_deinit(&c);
}

static void publish_refuses_a_damaged_update(void **state)
{
    (void)state;
    struct premade_case c;
    premade_init(&c);
    for (size_t at = 0; at < c.size; at += c.size / 12 + 1) {
        c.file[at] ^= 0x40;
        expect_bad(&c, bytes_of(c.file, c.size), &c.base->tree, "");
        c.file[at] ^= 0x40;
    }
    for (size_t size = 0; size < c.size; size += c.size / 5 + 1)
        expect_bad(&c, bytes_of(c.file, size), &c.base->tree, "");
    premade_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish_content_comes_back),
        cmocka_unit_test(publish_makes_a_small_direct_update),
        cmocka_unit_test(publish_chain_of_updates_is_followed),
        cmocka_unit_test(make_estimate_is_what_publishing_makes),
        cmocka_unit_test(publish_long_chains_start_anew_at_their_root),
        cmocka_unit_test(publish_long_chains_of_much_change_get_a_full_update),
        cmocka_unit_test(publish_same_bytes_are_unchanged),
        cmocka_unit_test(publish_what_does_not_fit_is_refused),
        cmocka_unit_test(publish_two_files_of_one_name_are_refused),
        cmocka_unit_test(publish_cancelled_job_ends_and_leaves_no_version),
        cmocka_unit_test(publish_descriptors_that_are_no_files_are_refused),
        cmocka_unit_test(publish_keeps_the_update_that_came_along),
        cmocka_unit_test(publish_refuses_an_update_from_or_to_something_else),
        cmocka_unit_test(
            publish_refuses_an_update_that_decodes_to_something_else),
        cmocka_unit_test(publish_refuses_an_update_to_another_size),
        cmocka_unit_test(publish_refuses_a_damaged_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
