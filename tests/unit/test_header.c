/* Update headers to bytes and back, and all that is no header. */
#include "codec/update/header_write.h"
#include "codec/update/record.h"
#include "codec/update/update_file.h"

#include "codec/base/rng.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

#define RECORDS 9u

/* A header with every kind of record, over tables made from statistics. */
struct sample {
    struct update_header header;
    struct update_record records[RECORDS];
    struct fast_tables tables;
    struct update_segment segments[64];
};

static struct fast_coding sample_coding(struct fast_tables *tables)
{
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *plan = fast_plan_new();
    struct fast_coding coding;
    uint8_t base[4000], target[4000];
    size_t index;
    for (unsigned i = 0; i < 1000; i++) {
        store_le32(base + 4 * i, 0x3c000000u + i * 7919u);
        store_le32(target + 4 * i, 0x3c000000u + i * 7919u + i % 13);
    }
    fast_stats_reset(stats, DTYPE_F32);
    fast_stats_add(stats, base, target, 1000);
    assert_int_equal(fast_plan_add(plan, stats, &index), STATUS_OK);
    assert_int_equal(fast_plan_solve(plan, tables), STATUS_OK);
    fast_plan_coding(plan, index, &coding);
    assert_int_equal(coding.mode, FAST_DELTA);
    fast_stats_free(stats);
    fast_plan_free(plan);
    return coding;
}

static void sample_add(struct sample *s, enum update_mode mode, uint64_t size,
                       uint64_t base_offset, uint64_t base_size)
{
    uint32_t i = s->header.record_count++;
    struct update_record *last = i ? &s->records[i - 1] : NULL;
    s->records[i] = (struct update_record){
        .target_offset = last ? last->target_offset + last->size : 0,
        .size = size,
        .base_offset = base_offset,
        .base_size = base_size,
        .mode = mode,
    };
}

static void sample_init(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    struct fast_coding coding = sample_coding(&s->tables);
    sample_add(s, UPDATE_BYTES, 3000, 0, 2900);
    sample_add(s, UPDATE_FLOAT, 4000, 2900, 4000);
    sample_add(s, UPDATE_SAME, 4000, 6900, 4000);
    sample_add(s, UPDATE_FLOAT, 8000, 10900, 8000);
    sample_add(s, UPDATE_DIFF, 100, 50000, 100);
    sample_add(s, UPDATE_FLOAT, 4000, 18900, 4000);
    sample_add(s, UPDATE_BYTES, 100, 0, 0);
    sample_add(s, UPDATE_SAME, 500000, 99000, 500000);
    sample_add(s, UPDATE_BYTES, 476800, 599000, 476800);
    for (unsigned i = 0; i < RECORDS; i++)
        if (s->records[i].mode == UPDATE_FLOAT) {
            s->records[i].dtype = DTYPE_F32;
            s->records[i].coding = coding;
        }
    s->records[5].coding.scale++;
    struct update_header *h = &s->header;
    h->has_base = true;
    memset(h->base_tree.b, 0xb1, HASH_BYTES);
    memset(h->target_tree.b, 0x1b, HASH_BYTES);
    h->base_size = 1100000;
    assert_int_equal(tree_shape_of(1000000, &h->target), STATUS_OK);
    h->segment_log = 1;
    h->records = s->records;
    h->tables = &s->tables;
    h->segment_count = update_header_segment_count(&h->target, h->segment_log);
    h->segments = s->segments;
    for (uint32_t i = 0; i < h->segment_count; i++) {
        h->segments[i].size = i % 3 ? 0 : 100 + i;
        memset(h->segments[i].hash, (int)i, UPDATE_SEGMENT_HASH_BYTES);
    }
}

static void sample_write(const struct sample *s, struct writer *wr)
{
    writer_init_heap(wr, UPDATE_HEADER_MAX);
    update_header_write(&s->header, wr);
    assert_int_equal(writer_status(wr), STATUS_OK);
}

static void a_header_comes_back_as_it_was(void **state)
{
    struct sample s;
    struct update_header h;
    struct writer wr;
    (void)state;
    sample_init(&s);
    sample_write(&s, &wr);
    assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                     STATUS_OK);
    assert_true(h.has_base);
    assert_true(hash_equal(&h.base_tree, &s.header.base_tree));
    assert_true(hash_equal(&h.target_tree, &s.header.target_tree));
    assert_int_equal(h.base_size, 1100000);
    assert_int_equal(h.target.size, 1000000);
    assert_int_equal(h.record_count, RECORDS);
    for (unsigned i = 0; i < RECORDS; i++) {
        assert_int_equal(h.records[i].target_offset,
                         s.records[i].target_offset);
        assert_int_equal(h.records[i].size, s.records[i].size);
        assert_int_equal(h.records[i].base_size, s.records[i].base_size);
        assert_int_equal(h.records[i].mode, s.records[i].mode);
        if (s.records[i].base_size)
            assert_int_equal(h.records[i].base_offset,
                             s.records[i].base_offset);
        if (s.records[i].mode == UPDATE_FLOAT)
            assert_int_equal(h.records[i].coding.scale,
                             s.records[i].coding.scale);
    }
    assert_int_equal(h.segment_count, s.header.segment_count);
    assert_int_equal(h.segments[3].size, 103);
    assert_int_equal(h.segments[3].offset, 100);
    assert_int_equal(h.segments[3].hash[0], 3);
    assert_int_equal(h.coded_size, 100 + 103 + 106);
    update_header_free(&h);
    writer_deinit(&wr);
}

static void every_truncation_is_refused(void **state)
{
    struct sample s;
    struct writer wr;
    (void)state;
    sample_init(&s);
    sample_write(&s, &wr);
    for (size_t cut = 0; cut < wr.size; cut++) {
        struct update_header h;
        struct diag diag;
        uint8_t *copy = malloc(cut ? cut : 1);
        diag_reset(&diag);
        memcpy(copy, wr.data, cut);
        assert_int_not_equal(
            update_header_parse(bytes_of(copy, cut), &h, &diag), STATUS_OK);
        assert_null(h.records);
        assert_true(diag.text[0] != 0);
        free(copy);
    }
    writer_deinit(&wr);
}

/* Whatever is accepted has the one form that we write. */
static void changed_bytes_are_refused_or_written_back_alike(void **state)
{
    struct sample s;
    struct writer wr;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 11);
    struct rng rng = rng_from_seeded(&seeded);
    unsigned accepted = 0;
    (void)state;
    sample_init(&s);
    sample_write(&s, &wr);
    uint8_t *copy = malloc(wr.size);
    for (unsigned i = 0; i < 20000; i++) {
        struct update_header h;
        struct writer again;
        memcpy(copy, wr.data, wr.size);
        for (uint64_t n = 1 + rng_below(&rng, 3); n; n--)
            copy[rng_below(&rng, wr.size)] ^=
                (uint8_t)(1u << rng_below(&rng, 8));
        if (update_header_parse(bytes_of(copy, wr.size), &h, NULL))
            continue;
        accepted++;
        writer_init_heap(&again, UPDATE_HEADER_MAX);
        update_header_write(&h, &again);
        assert_int_equal(again.size, wr.size);
        assert_memory_equal(again.data, copy, wr.size);
        writer_deinit(&again);
        update_header_free(&h);
    }
    assert_true(accepted > 0);
    free(copy);
    writer_deinit(&wr);
}

static void trailing_bytes_are_corrupt(void **state)
{
    struct sample s;
    struct writer wr;
    struct update_header h;
    (void)state;
    sample_init(&s);
    sample_write(&s, &wr);
    writer_u8(&wr, 0);
    assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                     STATUS_CORRUPT);
    writer_deinit(&wr);
}

static void a_newer_version_is_unsupported_in_one_line(void **state)
{
    uint8_t bytes[] = {UPDATE_VERSION + 1, 9, 9, 9};
    struct update_header h;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    assert_int_equal(
        update_header_parse(bytes_of(bytes, sizeof(bytes)), &h, &diag),
        STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "newer"));
    bytes[0] = 0;
    assert_int_equal(
        update_header_parse(bytes_of(bytes, sizeof(bytes)), &h, NULL),
        STATUS_CORRUPT);
}

/* The fields up to the tables, for headers that lie about sizes. */
static void write_start(struct writer *wr, uint64_t target_size, uint8_t log)
{
    uint8_t tree[HASH_BYTES] = {7};
    writer_init_heap(wr, UPDATE_HEADER_MAX);
    writer_u8(wr, UPDATE_VERSION);
    writer_u8(wr, 0);
    writer_bytes(wr, tree, sizeof(tree));
    writer_varint(wr, target_size);
    writer_u8(wr, log);
}

static void sizes_above_their_limits_are_refused(void **state)
{
    struct update_header h;
    struct writer wr;
    (void)state;
    write_start(&wr, TREE_SIZE_MAX + 1, 0);
    assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                     STATUS_LIMIT);
    writer_deinit(&wr);
    write_start(&wr, 1000, 5); /* segments of 2 MiB */
    assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                     STATUS_LIMIT);
    writer_deinit(&wr);
}

static void a_directory_larger_than_the_bytes_left_is_refused(void **state)
{
    const struct fast_tables none = {0};
    const struct update_record all = {.size = TREE_SIZE_MAX,
                                      .mode = UPDATE_BYTES};
    struct update_header h;
    struct writer wr;
    (void)state;
    write_start(&wr, TREE_SIZE_MAX, 0);
    fast_tables_write(&none, &wr);
    record_list_write(&all, 1, TREE_SIZE_MAX, &wr);
    assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                     STATUS_TRUNCATED);
    writer_deinit(&wr);
}

static void an_update_larger_than_its_target_is_refused(void **state)
{
    const struct fast_tables none = {0};
    const struct update_record all = {.size = 65536, .mode = UPDATE_BYTES};
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES] = {0};
    static const struct {
        uint32_t coded;
        enum status status;
    } cases[] = {{100000, STATUS_OK},
                 {(uint32_t)(65536 + 655 + 65536), STATUS_LIMIT}};
    (void)state;
    assert_int_equal(update_bytes_max(65536), 65536 + 655 + 65536);
    for (unsigned i = 0; i < 2; i++) {
        struct update_header h;
        struct writer wr;
        write_start(&wr, 65536, 0);
        fast_tables_write(&none, &wr);
        record_list_write(&all, 1, 65536, &wr);
        writer_varint(&wr, cases[i].coded);
        writer_bytes(&wr, hash, sizeof(hash));
        assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                         cases[i].status);
        update_header_free(&h);
        writer_deinit(&wr);
    }
}

static void a_base_outside_of_the_base_is_refused(void **state)
{
    static const struct {
        enum update_mode mode;
        uint64_t offset;
        uint64_t size;
    } cases[] = {{UPDATE_SAME, 1, 1000000},
                 {UPDATE_BYTES, 1100000, 1},
                 {UPDATE_BYTES, 0, 1100001},
                 {UPDATE_BYTES, UINT64_MAX - 5, 10},
                 {UPDATE_DIFF, 200000, 1000000}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sample s;
        struct update_header h;
        struct writer wr;
        sample_init(&s);
        s.header.record_count = 0;
        s.header.tables = NULL;
        s.header.base_size = i ? 1100000 : 1000000;
        sample_add(&s, cases[i].mode, 1000000, cases[i].offset, cases[i].size);
        sample_write(&s, &wr);
        assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                         STATUS_CORRUPT);
        writer_deinit(&wr);
    }
}

static void unchanged_tensors_cost_at_most_two_bytes(void **state)
{
    struct update_record list[200];
    struct writer one, many;
    uint64_t at = 0;
    (void)state;
    memset(list, 0, sizeof(list));
    /* Every other of 200 ranges of three sizes is unchanged. */
    for (unsigned i = 0; i < 200; i++) {
        list[i].target_offset = list[i].base_offset = at;
        list[i].size = list[i].base_size = 4096u << (i / 2 % 3);
        list[i].mode = i % 2 ? UPDATE_SAME : UPDATE_DIFF;
        at += list[i].size;
    }
    writer_init_heap(&one, 1000);
    writer_init_heap(&many, 1000);
    record_list_write(list, 100, list[100].target_offset, &one);
    record_list_write(list, 200, at, &many);
    assert_true(many.size - one.size <= 2 * 100);
    writer_deinit(&one);
    writer_deinit(&many);
}

static void segments_cover_whole_blocks(void **state)
{
    struct update_header h = {.segment_log = 2};
    uint32_t first, count;
    (void)state;
    assert_int_equal(tree_shape_of(600000, &h.target), STATUS_OK);
    h.segment_count = update_header_segment_count(&h.target, 2);
    assert_int_equal(h.segment_count, 3);
    assert_int_equal(update_segment_offset(&h, 2), 524288);
    assert_int_equal(update_segment_target_size(&h, 2), 600000 - 524288);
    update_segment_blocks(&h, 2, &first, &count);
    assert_int_equal(first, 8);
    assert_int_equal(count, 2);
    update_segment_blocks(&h, 1, &first, &count);
    assert_int_equal(first, 4);
    assert_int_equal(count, 4);
}

static void update_files_must_be_exactly_as_long_as_they_say(void **state)
{
    struct sample s;
    struct writer header, wr;
    (void)state;
    sample_init(&s);
    sample_write(&s, &header);
    writer_init_heap(&wr, 1 << 20);
    update_file_write_head(&wr, writer_view(&header));
    writer_reserve(&wr, 100 + 103 + 106);
    assert_int_equal(writer_status(&wr), STATUS_OK);
    for (size_t size = 0; size < wr.size + 2; size++) {
        uint8_t *copy = calloc(1, size + 1);
        memcpy(copy, wr.data, size < wr.size ? size : wr.size);
        struct source source = source_of_bytes(bytes_of(copy, size));
        struct update_file file;
        enum status status = update_file_open(&source, &file, NULL);
        assert_int_equal(status == STATUS_OK, size == wr.size);
        assert_int_equal(update_file_probe(&source), size >= 8);
        update_file_close(&file);
        free(copy);
    }
    writer_deinit(&header);
    writer_deinit(&wr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_comes_back_as_it_was),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(changed_bytes_are_refused_or_written_back_alike),
        cmocka_unit_test(trailing_bytes_are_corrupt),
        cmocka_unit_test(a_newer_version_is_unsupported_in_one_line),
        cmocka_unit_test(sizes_above_their_limits_are_refused),
        cmocka_unit_test(a_directory_larger_than_the_bytes_left_is_refused),
        cmocka_unit_test(an_update_larger_than_its_target_is_refused),
        cmocka_unit_test(a_base_outside_of_the_base_is_refused),
        cmocka_unit_test(unchanged_tensors_cost_at_most_two_bytes),
        cmocka_unit_test(segments_cover_whole_blocks),
        cmocka_unit_test(update_files_must_be_exactly_as_long_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
