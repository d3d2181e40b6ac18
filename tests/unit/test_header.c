/* Update headers to bytes and back, and all that is no header. */
#include "codec/lossless/coding_plan.h"
#include "codec/update/header_write.h"
#include "codec/update/record.h"
#include "codec/update/update_file.h"

#include "codec/base/rng.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>

#define RECORDS 13u

/* A header with every kind of record, over tables made from statistics. */
struct sample {
    struct update_header header;
    struct update_segment segments[64];
};

/* A coding of one of the coders for differences, or for values. */
static struct coding sample_coding(struct coding_tables *tables,
                                   enum coding_speed speed, bool delta)
{
    struct coding_stats *stats = coding_stats_new(speed);
    struct coding_plan *plan = coding_plan_new();
    struct coding coding;
    uint8_t base[4000], target[4000];
    size_t index;
    for (unsigned i = 0; i < 1000; i++) {
        store_le32(base + 4 * i, 0x3c000000u + i * 7919u);
        store_le32(target + 4 * i, 0x3c000000u + i * 7919u + i % 13);
    }
    assert_int_equal(coding_stats_reset(stats, DTYPE_F32, 100), STATUS_OK);
    coding_stats_add(stats, delta ? base : NULL, NULL, target, 1000);
    assert_int_equal(coding_plan_add(plan, stats, &index), STATUS_OK);
    assert_int_equal(coding_plan_solve(plan, tables), STATUS_OK);
    coding_plan_coding(plan, index, &coding);
    assert_int_equal(coding_has_base(&coding), delta);
    coding_stats_free(stats);
    coding_plan_free(plan);
    return coding;
}

static struct update_record *sample_add(struct sample *s, enum update_mode mode,
                                        uint64_t size, uint64_t base_offset,
                                        uint64_t base_size)
{
    struct record_list *list = &s->header.records;
    uint64_t at = 0;
    uint32_t aux = 0;
    if (list->count) {
        const struct update_record *last = &list->records[list->count - 1];
        at = last->target_offset + last->size;
        aux = last->aux;
    }
    struct update_record *record = record_list_push(list);
    assert_non_null(record);
    *record = (struct update_record){
        .target_offset = at,
        .size = size,
        .base_offset = base_offset,
        .base_size = base_size,
        .mode = mode,
        .aux = aux,
    };
    return record;
}

static struct update_record *sample_coded(struct sample *s, uint64_t size,
                                          uint64_t base_offset,
                                          const struct coding *coding)
{
    struct update_record *record = sample_add(
        s, UPDATE_CODED, size, base_offset, coding_has_base(coding) ? size : 0);
    record->dtype = record->from = DTYPE_F32;
    record->coding = *coding;
    return record;
}

/* Rows of 40 columns, of which the base has 50 and the target 30 and 10. */
static void sample_window(struct sample *s, const struct coding *coding)
{
    static const struct gather_run runs[] = {
        {20, 5}, {3, GATHER_NONE}, {17, 30}};
    struct update_record *record = sample_coded(s, 16000, 26900, coding);
    record->columns = 40;
    record->window = (struct record_window){
        .on = true, .stride = 50, .run_first = 0, .run_count = 3};
    record->base_size = (99 * 50 + 47) * 4;
    assert_non_null(record_list_push_runs(&s->header.records, runs, 3));
}

static void sample_init(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    struct update_header *h = &s->header;
    struct coding_tables ignored;
    struct coding delta = sample_coding(&h->tables, CODING_SPEED_FAST, true);
    struct coding small = sample_coding(&ignored, CODING_SPEED_SMALL, true);
    struct coding full = sample_coding(&ignored, CODING_SPEED_SMALL, false);
    sample_add(s, UPDATE_BYTES, 3000, 0, 2900);
    sample_coded(s, 4000, 2900, &delta);
    sample_add(s, UPDATE_SAME, 4000, 6900, 4000);
    sample_coded(s, 8000, 10900, &delta);
    sample_add(s, UPDATE_DIFF, 100, 50000, 100);
    sample_coded(s, 4000, 18900, &small)->from = DTYPE_BF16;
    h->records.records[5].base_size = 2000;
    sample_add(s, UPDATE_BYTES, 100, 0, 0);
    sample_coded(s, 4000, 0, &full);
    sample_window(s, &delta);
    struct update_record *ranked = sample_coded(s, 40000, 50000, &small);
    ranked->columns = 100;
    ranked->rank = 7;
    ranked->shift = -30;
    ranked->aux = 1;
    struct update_record *scaled = sample_coded(s, 40000, 90000, &delta);
    scaled->columns = 1000;
    scaled->scaled = true;
    scaled->scale_shift = -20;
    scaled->rank = 2;
    scaled->aux = 2;
    sample_add(s, UPDATE_SAME, 400000, 199000, 400000);
    sample_add(s, UPDATE_BYTES, 476800, 599000, 476800);
    h->has_base = true;
    memset(h->base_tree.b, 0xb1, HASH_BYTES);
    memset(h->target_tree.b, 0x1b, HASH_BYTES);
    h->base_size = 1100000;
    assert_int_equal(tree_shape_of(1000000, &h->target), STATUS_OK);
    h->segment_log = 1;
    h->aux_count = 2;
    h->segment_count =
        2 + update_header_segment_count(&h->target, h->segment_log);
    h->segments = s->segments;
    for (uint32_t i = 0; i < h->segment_count; i++) {
        h->segments[i].size = i < 2 ? 50 : (i % 3 ? 0 : 100 + i);
        memset(h->segments[i].hash, (int)i, UPDATE_SEGMENT_HASH_BYTES);
    }
}

static void sample_deinit(struct sample *s)
{
    record_list_deinit(&s->header.records);
}

static void sample_write(const struct sample *s, struct writer *wr)
{
    writer_init_heap(wr, UPDATE_HEADER_MAX);
    update_header_write(&s->header, wr);
    assert_int_equal(writer_status(wr), STATUS_OK);
}

static void assert_same_coded(const struct update_record *a,
                              const struct update_record *b)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->columns, b->columns);
    assert_int_equal(a->window.on, b->window.on);
    assert_int_equal(a->window.stride, b->window.stride);
    assert_int_equal(a->window.run_count, b->window.run_count);
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->shift, b->shift);
    assert_int_equal(a->scaled, b->scaled);
    assert_int_equal(a->scale_shift, b->scale_shift);
    assert_int_equal(a->coding.kind, b->coding.kind);
    if (a->coding.kind == CODING_SMALL)
        assert_int_equal(a->coding.small.scale, b->coding.small.scale);
    else
        assert_int_equal(a->coding.fast.scale, b->coding.fast.scale);
}

static void assert_same_record(const struct update_record *a,
                               const struct update_record *b)
{
    assert_int_equal(a->target_offset, b->target_offset);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->base_size, b->base_size);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->aux, b->aux);
    if (b->base_size)
        assert_int_equal(a->base_offset, b->base_offset);
    if (b->mode == UPDATE_CODED)
        assert_same_coded(a, b);
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
    assert_int_equal(h.records.count, RECORDS);
    for (unsigned i = 0; i < RECORDS; i++)
        assert_same_record(&h.records.records[i], &s.header.records.records[i]);
    assert_int_equal(h.records.run_count, 3);
    assert_memory_equal(h.records.runs, s.header.records.runs,
                        3 * sizeof(struct gather_run));
    assert_int_equal(h.segment_count, s.header.segment_count);
    assert_int_equal(h.aux_count, 2);
    assert_int_equal(h.segments[6].size, 106);
    assert_int_equal(h.segments[6].offset, 50 + 50 + 103);
    assert_int_equal(h.segments[6].hash[0], 6);
    assert_int_equal(h.coded_size, 50 + 50 + 103 + 106 + 109);
    update_header_free(&h);
    sample_deinit(&s);
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
        assert_null(h.records.records);
        assert_true(diag.text[0] != 0);
        free(copy);
    }
    writer_deinit(&wr);
    sample_deinit(&s);
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
    sample_deinit(&s);
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
    sample_deinit(&s);
}

static void another_version_is_unsupported_in_one_line(void **state)
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
    diag_reset(&diag);
    bytes[0] = UPDATE_VERSION_PLAIN - 1;
    assert_int_equal(
        update_header_parse(bytes_of(bytes, sizeof(bytes)), &h, &diag),
        STATUS_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "no longer read"));
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
    writer_u8(wr, UPDATE_VERSION_PLAIN);
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
    const struct coding_tables none = {0};
    struct update_record all = {.size = TREE_SIZE_MAX, .mode = UPDATE_BYTES};
    const struct record_list list = {.records = &all, .count = 1};
    struct update_header h;
    struct writer wr;
    (void)state;
    write_start(&wr, TREE_SIZE_MAX, 0);
    coding_tables_write(&none, &wr);
    record_list_write(&list, TREE_SIZE_MAX, &wr);
    writer_varint(&wr, 0); /* auxiliary segments */
    assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                     STATUS_TRUNCATED);
    writer_deinit(&wr);
}

/* A full update of one block with these auxiliary segments. */
static enum status parse_aux(uint64_t count, uint32_t written, uint32_t coded,
                             struct update_header *h)
{
    const struct coding_tables none = {0};
    struct update_record all = {.size = 65536, .mode = UPDATE_BYTES};
    const struct record_list list = {.records = &all, .count = 1};
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES] = {0};
    struct writer wr;
    write_start(&wr, 65536, 0);
    coding_tables_write(&none, &wr);
    record_list_write(&list, 65536, &wr);
    writer_varint(&wr, count);
    for (uint32_t i = 0; i <= written; i++) {
        writer_varint(&wr, i < written ? coded : 5);
        if (i == written || coded)
            writer_bytes(&wr, hash, sizeof(hash));
    }
    enum status status = update_header_parse(writer_view(&wr), h, NULL);
    writer_deinit(&wr);
    return status;
}

static void auxiliary_segments_keep_to_their_limits(void **state)
{
    struct update_header h;
    (void)state;
    assert_int_equal(parse_aux(3, 3, 1, &h), STATUS_OK);
    assert_int_equal(h.aux_count, 3);
    assert_int_equal(h.segment_count, 4);
    assert_int_equal(h.coded_size, 3 + 5);
    update_header_free(&h);
    /* One of no bytes; more than there can be; more than are there. */
    assert_int_equal(parse_aux(3, 3, 0, &h), STATUS_CORRUPT);
    assert_int_equal(parse_aux(UPDATE_AUX_MAX + 1, 3, 1, &h), STATUS_LIMIT);
    assert_int_equal(parse_aux(UINT64_MAX, 3, 1, &h), STATUS_LIMIT);
    assert_int_equal(parse_aux(UPDATE_AUX_MAX, 3, 1, &h), STATUS_TRUNCATED);
    assert_int_equal(parse_aux(4, 3, 1, &h), STATUS_TRUNCATED);
    assert_int_equal(parse_aux(2, 3, 1, &h), STATUS_CORRUPT);
    /* Each too large; all together. */
    assert_int_equal(parse_aux(1, 1, UPDATE_AUX_CODED_MAX + 1, &h),
                     STATUS_LIMIT);
    assert_int_equal(parse_aux(2, 2, 66000, &h), STATUS_LIMIT);
    assert_int_equal(parse_aux(1, 1, 65536, &h), STATUS_OK);
    update_header_free(&h);
}

static void an_update_larger_than_its_target_is_refused(void **state)
{
    const struct coding_tables none = {0};
    struct update_record all = {.size = 65536, .mode = UPDATE_BYTES};
    const struct record_list list = {.records = &all, .count = 1};
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
        coding_tables_write(&none, &wr);
        record_list_write(&list, 65536, &wr);
        writer_varint(&wr, 0); /* auxiliary segments */
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
        s.header.records.count = 0;
        s.header.segments += s.header.aux_count;
        s.header.segment_count -= s.header.aux_count;
        s.header.aux_count = 0;
        s.header.base_size = i ? 1100000 : 1000000;
        sample_add(&s, cases[i].mode, 1000000, cases[i].offset, cases[i].size);
        sample_write(&s, &wr);
        assert_int_equal(update_header_parse(writer_view(&wr), &h, NULL),
                         STATUS_CORRUPT);
        writer_deinit(&wr);
        sample_deinit(&s);
    }
}

static void unchanged_tensors_cost_at_most_two_bytes(void **state)
{
    struct update_record list[200];
    struct record_list records = {.records = list, .count = 100};
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
    record_list_write(&records, list[100].target_offset, &one);
    records.count = 200;
    record_list_write(&records, at, &many);
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

static void auxiliary_segments_cover_nothing(void **state)
{
    struct update_header h = {.segment_log = 2, .aux_count = 3};
    uint32_t first, count;
    (void)state;
    assert_int_equal(tree_shape_of(600000, &h.target), STATUS_OK);
    h.segment_count = 3 + update_header_segment_count(&h.target, 2);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(update_segment_is_aux(&h, i));
        assert_int_equal(update_segment_offset(&h, i), 0);
        assert_int_equal(update_segment_target_size(&h, i), 0);
        update_segment_blocks(&h, i, &first, &count);
        assert_int_equal(count, 0);
    }
    assert_false(update_segment_is_aux(&h, 3));
    assert_int_equal(update_segment_offset(&h, 3), 0);
    assert_int_equal(update_segment_target_size(&h, 3), 262144);
    assert_int_equal(update_segment_offset(&h, 5), 524288);
    assert_int_equal(update_segment_target_size(&h, 5), 600000 - 524288);
    update_segment_blocks(&h, 5, &first, &count);
    assert_int_equal(first, 8);
    assert_int_equal(count, 2);
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
    writer_reserve(&wr, 50 + 50 + 103 + 106 + 109);
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
    sample_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_comes_back_as_it_was),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(changed_bytes_are_refused_or_written_back_alike),
        cmocka_unit_test(trailing_bytes_are_corrupt),
        cmocka_unit_test(another_version_is_unsupported_in_one_line),
        cmocka_unit_test(sizes_above_their_limits_are_refused),
        cmocka_unit_test(a_directory_larger_than_the_bytes_left_is_refused),
        cmocka_unit_test(an_update_larger_than_its_target_is_refused),
        cmocka_unit_test(a_base_outside_of_the_base_is_refused),
        cmocka_unit_test(unchanged_tensors_cost_at_most_two_bytes),
        cmocka_unit_test(segments_cover_whole_blocks),
        cmocka_unit_test(auxiliary_segments_cover_nothing),
        cmocka_unit_test(auxiliary_segments_keep_to_their_limits),
        cmocka_unit_test(update_files_must_be_exactly_as_long_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
