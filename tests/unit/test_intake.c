/* What arrives: checked before it is kept, durable in batches. Two depots: one
 * publishes, the other takes in segment by segment. */
#include "daemon/intake.h"

#include "store/record.h"
#include "store/segment.h"
#include "store/update.h"
#include "tests/support/aux_update.h"
#include "tests/support/cmocka.h"
#include "tests/support/depot.h"

#include <stdio.h>
#include <stdlib.h>

#define SIZE 900000u

struct two {
    struct depot from, to;
    uint8_t *bytes;
    struct publish *p;
};

static void two_init(struct two *t)
{
    memset(t, 0, sizeof(*t));
    depot_init(&t->from, 0);
    depot_init(&t->to, 0);
    t->bytes = depot_bytes(7, SIZE);
    t->p = depot_publish(&t->from, "m", 1, bytes_of(t->bytes, SIZE), NULL);
}

static void two_deinit(struct two *t)
{
    publish_free(t->p);
    free(t->bytes);
    depot_deinit(&t->from);
    depot_deinit(&t->to);
}

static enum status send_manifest(struct two *t)
{
    struct intake_item item = {
        .kind = INTAKE_PUT_MANIFEST, .version = t->p->version, .counter = 1};
    strcpy(item.role, "publisher");
    return depot_item(&t->to, &item,
                      bytes_of(t->p->manifest, t->p->manifest_size));
}

static enum status send_header(struct two *t, size_t update)
{
    const struct made_update *u = &t->p->updates[update];
    struct intake_item item = {
        .kind = INTAKE_PUT_HEADER, .version = t->p->version, .update = u->id};
    return depot_item(&t->to, &item, bytes_of(u->header, u->header_size));
}

static uint8_t *read_segment(struct two *t, size_t update, uint32_t index,
                             size_t *size)
{
    struct store_txn txn;
    struct bytes view;
    assert_int_equal(store_txn_begin(&txn, t->from.env, STORE_TXN_READ, NULL),
                     STATUS_OK);
    assert_int_equal(
        store_segment_get(&txn, &t->p->updates[update].id, index, &view),
        STATUS_OK);
    uint8_t *copy = malloc(view.size + 1);
    memcpy(copy, view.data, view.size);
    *size = view.size;
    store_txn_abort(&txn);
    return copy;
}

static enum status send_segment(struct two *t, size_t update, uint32_t index,
                                int damage_at)
{
    size_t size;
    uint8_t *bytes = read_segment(t, update, index, &size);
    if (damage_at >= 0 && (size_t)damage_at < size)
        bytes[damage_at] ^= 1;
    struct intake_item item = {.kind = INTAKE_DECODE,
                               .version = t->p->version,
                               .update = t->p->updates[update].id,
                               .index = index};
    enum status status = depot_item(&t->to, &item, bytes_of(bytes, size));
    free(bytes);
    return status;
}

static uint32_t have_count(struct two *t)
{
    struct store_txn txn;
    struct store_version row;
    assert_int_equal(store_txn_begin(&txn, t->to.env, STORE_TXN_READ, NULL),
                     STATUS_OK);
    assert_int_equal(store_version_get(&txn, &t->p->version, &row), STATUS_OK);
    store_txn_abort(&txn);
    return row.have_count;
}

static enum status complete(struct two *t)
{
    struct intake_item item = {.kind = INTAKE_COMPLETE,
                               .version = t->p->version};
    return depot_item(&t->to, &item, bytes_of(NULL, 0));
}

static void intake_fetches_a_version(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    assert_int_equal(send_manifest(&t), STATUS_OK);
    assert_int_equal(send_header(&t, 0), STATUS_OK);
    for (uint32_t i = t.p->updates[0].segment_count; i--;)
        assert_int_equal(send_segment(&t, 0, i, -1), STATUS_OK);
    assert_int_equal(complete(&t), STATUS_OK);
    const struct activate_options options = {.uptime_s = 1};
    uint64_t n;
    assert_int_equal(
        activate_version(&t.to.places, &t.p->version, &options, &n, NULL),
        STATUS_OK);
    assert_true(depot_runs(&t.to, "m", "m.bin", bytes_of(t.bytes, SIZE)));
    two_deinit(&t);
}

static void intake_resumes_after_a_kill(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    assert_int_equal(send_manifest(&t), STATUS_OK);
    assert_int_equal(send_header(&t, 0), STATUS_OK);
    assert_true(t.p->updates[0].segment_count >= 3);
    assert_int_equal(send_segment(&t, 0, 1, -1), STATUS_OK);
    uint32_t have = have_count(&t);
    assert_true(have > 0);
    depot_restart(&t.to);
    assert_int_equal(activate_recover(&t.to.places, 2, NULL), STATUS_OK);
    assert_int_equal(have_count(&t), have);
    for (uint32_t i = 0; i < t.p->updates[0].segment_count; i++)
        if (i != 1)
            assert_int_equal(send_segment(&t, 0, i, -1), STATUS_OK);
    assert_int_equal(complete(&t), STATUS_OK);
    struct content *content;
    assert_int_equal(
        content_open(&t.to.places, &t.p->tree, NULL, &content, NULL),
        STATUS_OK);
    assert_int_equal(content_check(content, NULL, NULL, NULL), STATUS_OK);
    content_close(content);
    two_deinit(&t);
}

static void intake_damaged_segments_leave_nothing(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    assert_int_equal(send_manifest(&t), STATUS_OK);
    assert_int_equal(send_header(&t, 0), STATUS_OK);
    for (int at = 0; at < 200; at += 7) {
        enum status status = send_segment(&t, 0, 0, at);
        assert_true(status == STATUS_MISMATCH || status == STATUS_CORRUPT);
        assert_int_equal(have_count(&t), 0);
    }
    struct intake_item item = {.kind = INTAKE_DECODE,
                               .version = t.p->version,
                               .update = t.p->updates[0].id,
                               .index = 9999};
    assert_int_equal(depot_item(&t.to, &item, bytes_of("x", 1)),
                     STATUS_CORRUPT);
    assert_int_equal(send_segment(&t, 0, 0, -1), STATUS_OK);
    two_deinit(&t);
}

static void intake_own_damaged_base_blames_nobody(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    /* The receiver holds version 1, in place, and its file is damaged. */
    assert_int_equal(send_manifest(&t), STATUS_OK);
    assert_int_equal(send_header(&t, 0), STATUS_OK);
    for (uint32_t i = 0; i < t.p->updates[0].segment_count; i++)
        assert_int_equal(send_segment(&t, 0, i, -1), STATUS_OK);
    assert_int_equal(complete(&t), STATUS_OK);
    const struct activate_options options = {.uptime_s = 1};
    uint64_t n;
    assert_int_equal(
        activate_version(&t.to.places, &t.p->version, &options, &n, NULL),
        STATUS_OK);
    char path[256];
    snprintf(path, sizeof(path), "%s/m/1/m.bin", t.to.models);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    for (int i = 0; i < (int)(SIZE / 1000); i++) {
        fseek(file, i * 1000, SEEK_SET);
        fputc(i, file);
    }
    fclose(file);
    struct hash base = t.p->tree;
    publish_free(t.p);
    t.bytes[5] ^= 0xff;
    t.p = depot_publish(&t.from, "m", 2, bytes_of(t.bytes, SIZE), &base);
    assert_int_equal(t.p->update_count, 2);
    assert_int_equal(send_manifest(&t), STATUS_OK);
    assert_int_equal(send_header(&t, 1), STATUS_OK);
    assert_int_equal(send_segment(&t, 1, 0, -1), STATUS_BAD_BASE);
    assert_int_equal(have_count(&t), 0);
    two_deinit(&t);
}

/* The published update with three auxiliary segments before the others. */
struct extended {
    struct writer header, coded;
    struct update_header parsed;
    struct hash id;
};

static void extended_init(struct extended *e, struct two *t)
{
    const struct made_update *u = &t->p->updates[0];
    struct writer coded;
    writer_init_heap(&coded, 4 * SIZE);
    writer_init_heap(&e->header, UPDATE_HEADER_MAX);
    writer_init_heap(&e->coded, 4 * SIZE);
    for (uint32_t i = 0; i < u->segment_count; i++) {
        size_t size;
        uint8_t *bytes = read_segment(t, 0, i, &size);
        writer_bytes(&coded, bytes, size);
        free(bytes);
    }
    assert_true(aux_update_extend(bytes_of(u->header, u->header_size),
                                  writer_view(&coded), 3, 4000, 9, &e->header,
                                  &e->coded));
    writer_deinit(&coded);
    assert_int_equal(
        update_header_parse(writer_view(&e->header), &e->parsed, NULL),
        STATUS_OK);
    update_id(writer_view(&e->header), &e->id);
}

static void extended_deinit(struct extended *e)
{
    update_header_free(&e->parsed);
    writer_deinit(&e->header);
    writer_deinit(&e->coded);
}

static struct bytes extended_coded(const struct extended *e, uint32_t index)
{
    const struct update_segment *s = &e->parsed.segments[index];
    return bytes_of(e->coded.data + s->offset, s->size);
}

/* damage: the first byte is changed. */
static enum status extended_send(struct two *t, const struct extended *e,
                                 uint32_t index, bool damage)
{
    struct bytes coded = extended_coded(e, index);
    uint8_t *copy = malloc(coded.size + 1);
    memcpy(copy, coded.data, coded.size);
    copy[0] ^= damage;
    struct intake_item item = {.kind = INTAKE_DECODE,
                               .version = t->p->version,
                               .update = e->id,
                               .index = index,
                               .first_block = 5, /* to be overwritten */
                               .block_count = 5};
    enum status status = depot_item(&t->to, &item, bytes_of(copy, coded.size));
    free(copy);
    return status;
}

static enum status extended_begin(struct two *t, const struct extended *e)
{
    struct intake_item item = {
        .kind = INTAKE_PUT_HEADER, .version = t->p->version, .update = e->id};
    enum status status = send_manifest(t);
    return status ? status : depot_item(&t->to, &item, writer_view(&e->header));
}

static struct store_update extended_row(struct two *t, const struct extended *e)
{
    struct store_txn txn;
    struct store_update row;
    assert_int_equal(store_txn_begin(&txn, t->to.env, STORE_TXN_READ, NULL),
                     STATUS_OK);
    assert_int_equal(store_update_get(&txn, &e->id, &row), STATUS_OK);
    store_txn_abort(&txn);
    return row;
}

static void intake_keeps_auxiliary_segments(void **state)
{
    (void)state;
    struct two t;
    struct extended e;
    two_init(&t);
    extended_init(&e, &t);
    assert_int_equal(extended_begin(&t, &e), STATUS_OK);
    assert_int_equal(extended_row(&t, &e).segment_count,
                     e.parsed.segment_count);
    for (uint32_t i = 0; i < e.parsed.aux_count; i++) {
        assert_int_equal(extended_send(&t, &e, i, true), STATUS_MISMATCH);
        assert_int_equal(extended_row(&t, &e).held_count, i);
        assert_int_equal(extended_send(&t, &e, i, false), STATUS_OK);
        assert_int_equal(extended_row(&t, &e).held_count, i + 1);
        assert_int_equal(have_count(&t), 0);
        depot_restart(&t.to);
    }
    for (uint32_t i = e.parsed.aux_count; i < e.parsed.segment_count; i++)
        assert_int_equal(extended_send(&t, &e, i, false), STATUS_OK);
    assert_int_equal(complete(&t), STATUS_OK);
    const struct store_update row = extended_row(&t, &e);
    assert_true(store_update_complete(&row));
    const struct activate_options options = {.uptime_s = 1};
    uint64_t n;
    assert_int_equal(
        activate_version(&t.to.places, &t.p->version, &options, &n, NULL),
        STATUS_OK);
    assert_true(depot_runs(&t.to, "m", "m.bin", bytes_of(t.bytes, SIZE)));
    extended_deinit(&e);
    two_deinit(&t);
}

static void spoil(struct two *t, const struct extended *e, uint32_t index)
{
    struct store_txn txn;
    assert_int_equal(store_txn_begin(&txn, t->to.env, STORE_TXN_WRITE, NULL),
                     STATUS_OK);
    assert_int_equal(store_segment_remove(&txn, &e->id, index), STATUS_OK);
    assert_int_equal(store_segment_put(&txn, &e->id, index, bytes_of("x", 1)),
                     STATUS_OK);
    assert_int_equal(store_txn_commit(&txn), STATUS_OK);
}

static enum status read_aux(struct two *t, const struct extended *e,
                            uint32_t index)
{
    struct content_aux aux;
    struct writer out;
    writer_init_heap(&out, UPDATE_AUX_CODED_MAX);
    content_aux_init(&aux, &t->to.places, &e->id);
    enum status status =
        update_aux_read(&aux.aux, &e->parsed, index, &out, NULL);
    if (!status)
        assert_true(bytes_equal(writer_view(&out), extended_coded(e, index)));
    writer_deinit(&out);
    return status;
}

/* A segment that does not decode while the store's own auxiliary ones are
 * spoilt or lacking is nobody's fault; what comes again takes their place. */
static void intake_own_spoilt_auxiliary_segments_blame_nobody(void **state)
{
    (void)state;
    struct two t;
    struct extended e;
    two_init(&t);
    extended_init(&e, &t);
    assert_int_equal(extended_begin(&t, &e), STATUS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(read_aux(&t, &e, i), STATUS_NOT_FOUND);
        assert_int_equal(extended_send(&t, &e, i, false), STATUS_OK);
        assert_int_equal(read_aux(&t, &e, i), STATUS_OK);
    }
    assert_int_equal(extended_send(&t, &e, 3, true), STATUS_MISMATCH);
    spoil(&t, &e, 1);
    assert_int_equal(read_aux(&t, &e, 1), STATUS_MISMATCH);
    assert_int_equal(extended_send(&t, &e, 3, true), STATUS_NOT_FOUND);
    assert_int_equal(extended_send(&t, &e, 1, false), STATUS_OK);
    assert_int_equal(read_aux(&t, &e, 1), STATUS_OK);
    assert_int_equal(extended_send(&t, &e, 3, true), STATUS_MISMATCH);
    assert_int_equal(extended_send(&t, &e, 3, false), STATUS_OK);
    assert_int_equal(extended_row(&t, &e).held_count, 4);
    extended_deinit(&e);
    two_deinit(&t);
}

static void intake_batch_commits_in_order(void **state)
{
    (void)state;
    struct depot depot;
    depot_init(&depot, 0);
    struct intake_item items[3];
    memset(items, 0, sizeof(items));
    for (int i = 0; i < 3; i++) {
        items[i].kind = INTAKE_PUT_RECORD;
        items[i].slot[0] = 1;
        items[i].epoch = 1;
        items[i].seq = (uint64_t)(3 - i); /* the core says which stands */
        items[i].hash.b[0] = (uint8_t)i;
        items[i].record_kind = 3;
        items[i].bytes = (uint8_t[]){1, 2, 3};
        items[i].size = 3;
        items[i].next = i < 2 ? &items[i + 1] : NULL;
    }
    intake_run(depot.intake, items, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(items[i].status, STATUS_OK);
    struct store_txn txn;
    struct store_record rec;
    assert_int_equal(store_txn_begin(&txn, depot.env, STORE_TXN_READ, NULL),
                     STATUS_OK);
    assert_int_equal(store_record_get(&txn, items[0].slot, &rec), STATUS_OK);
    assert_int_equal(rec.seq, 1);
    store_txn_abort(&txn);
    depot_deinit(&depot);
}

static void intake_full_store_is_an_answer(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    store_env_set_quota(t.to.env, 100000);
    assert_int_equal(send_manifest(&t), STATUS_OK);
    assert_int_equal(send_header(&t, 0), STATUS_OK);
    assert_int_equal(send_segment(&t, 0, 0, -1), STATUS_NO_SPACE);
    assert_int_equal(have_count(&t), 0);
    store_env_set_quota(t.to.env, 64u << 20);
    assert_int_equal(send_segment(&t, 0, 0, -1), STATUS_OK);
    two_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intake_fetches_a_version),
        cmocka_unit_test(intake_resumes_after_a_kill),
        cmocka_unit_test(intake_damaged_segments_leave_nothing),
        cmocka_unit_test(intake_own_damaged_base_blames_nobody),
        cmocka_unit_test(intake_keeps_auxiliary_segments),
        cmocka_unit_test(intake_own_spoilt_auxiliary_segments_blame_nobody),
        cmocka_unit_test(intake_batch_commits_in_order),
        cmocka_unit_test(intake_full_store_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
