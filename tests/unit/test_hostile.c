/* Updates that no encoder makes, with hashes that fit: what they may ask of a
 * decoder is bounded, and they end in an error that says where. */
#include "codec/lossless/factors.h"
#include "codec/update/header_write.h"
#include "codec/update/predictor.h"
#include "codec/update/update_dec.h"

#include "tests/support/cmocka.h"

#include <stdlib.h>

/* An update in the making: records one after the other, of bytes of an i8
 * tensor that is the base, too. */
struct forge {
    struct update_header header;
    struct writer aux; /* the coded bytes of the only auxiliary segment */
    struct writer bytes;
};

/* One lane, no words, no raw bits: whatever is decoded runs past its end. */
static const uint8_t coded[] = {2, 1, 0, 0, 0, 1, 0};

static void forge_init(struct forge *f, uint64_t size)
{
    const struct freq_table table = {.freq = {[0] = 2047, [31] = 1}};
    memset(f, 0, sizeof(*f));
    writer_init_heap(&f->aux, UPDATE_AUX_CODED_MAX);
    writer_init_heap(&f->bytes, UPDATE_HEADER_MAX);
    f->header.has_base = true;
    f->header.base_size = size;
    f->header.tables.narrow.count = 1;
    f->header.tables.narrow.table[0] = table;
    assert_int_equal(tree_shape_of(size, &f->header.target), STATUS_OK);
}

static void forge_deinit(struct forge *f)
{
    writer_deinit(&f->aux);
    writer_deinit(&f->bytes);
    update_header_free(&f->header);
}

static struct update_record *forge_record(struct forge *f, uint64_t size,
                                          bool has_lost)
{
    struct record_list *list = &f->header.records;
    uint64_t at = 0;
    if (list->count) {
        const struct update_record *last = &list->records[list->count - 1];
        at = last->target_offset + last->size;
    }
    struct update_record *record = record_list_push(list);
    assert_non_null(record);
    *record = (struct update_record){
        .target_offset = at,
        .size = size,
        .base_offset = at,
        .base_size = size,
        .mode = UPDATE_CODED,
        .dtype = DTYPE_I8,
        .from = DTYPE_I8,
        .coding = {.kind = CODING_NARROW},
    };
    record->coding.narrow = (struct narrow_coding){
        .mode = NARROW_DELTA, .has_lost = has_lost, .run_count = 1};
    return record;
}

/* Tables of rank 1 for four columns, in auxiliary segment 0. */
static void forge_tables(struct forge *f, struct update_record *record)
{
    const int16_t u[64] = {1, -1}, v[4] = {2, 0, -3, 1};
    record->columns = 4;
    record->rank = 1;
    record->shift = -8;
    record->aux = 1;
    assert_int_equal(factors_write(1, record_rows(record), 4, u, v, &f->aux),
                     STATUS_OK);
}

static enum status forge_parse(struct forge *f, uint32_t aux_count,
                               struct update_header *out, struct diag *diag)
{
    struct update_header *h = &f->header;
    h->aux_count = aux_count;
    h->segment_count =
        aux_count + update_header_segment_count(&h->target, h->segment_log);
    h->segments = calloc(h->segment_count, sizeof(*h->segments));
    assert_non_null(h->segments);
    for (uint32_t i = 0; i < h->segment_count; i++) {
        struct bytes view = bytes_of(coded, sizeof(coded));
        if (i < aux_count)
            view = writer_view(&f->aux);
        h->segments[i].size = (uint32_t)view.size;
        update_segment_hash(view, h->segments[i].hash);
    }
    update_header_write(h, &f->bytes);
    assert_int_equal(writer_status(&f->bytes), STATUS_OK);
    diag_reset(diag);
    return update_header_parse(writer_view(&f->bytes), out, diag);
}

static enum status read_aux(void *ctx, uint32_t index, struct writer *out)
{
    struct forge *f = ctx;
    (void)index;
    writer_bytes(out, f->aux.data, f->aux.size);
    return STATUS_OK;
}

static enum status read_base(void *ctx, uint64_t offset, void *out, size_t size)
{
    (void)ctx;
    memset(out, (int)(offset & 0x7f), size);
    return STATUS_OK;
}

/* Decodes segment 0 of the target. */
static enum status forge_decode(struct forge *f, struct update_header *header,
                                struct diag *diag)
{
    struct source base = {read_base, NULL, header->base_size};
    struct update_aux aux = {read_aux, f};
    struct update_dec *dec;
    uint32_t index = header->aux_count;
    size_t size = update_segment_target_size(header, index);
    uint8_t *out = malloc(size);
    assert_non_null(out);
    assert_int_equal(update_dec_new(header, &base, &aux, &dec), STATUS_OK);
    enum status status = update_dec_segment(
        dec, index, bytes_of(coded, sizeof(coded)), out, size, diag);
    update_dec_free(dec);
    free(out);
    return status;
}

static void streams_that_end_early_say_in_which_segment(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    forge_init(&f, 4096);
    forge_record(&f, 1024, false);
    forge_tables(&f, forge_record(&f, 256, true));
    forge_record(&f, 2816, false)->aux = 1;
    assert_int_equal(forge_parse(&f, 1, &header, &diag), STATUS_OK);
    assert_int_equal(forge_decode(&f, &header, &diag), STATUS_TRUNCATED);
    assert_non_null(strstr(diag.text, "segment 1"));
    update_header_free(&header);
    forge_deinit(&f);
}

static void forge_lattice(struct forge *f, uint64_t size)
{
    struct update_record *record = forge_record(f, size, false);
    record->dtype = record->from = DTYPE_F32;
    record->coding = (struct coding){.kind = CODING_LATTICE};
    record->coding.lattice = (struct lattice_coding){
        .has_pred = true, .has_residual = true, .columns = 7};
}

static void levels_that_leave_bytes_say_in_which_segment(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    forge_init(&f, 4096);
    forge_lattice(&f, 1024);
    forge_lattice(&f, 3072);
    assert_int_equal(forge_parse(&f, 0, &header, &diag), STATUS_OK);
    assert_int_equal(forge_decode(&f, &header, &diag), STATUS_CORRUPT);
    assert_non_null(strstr(diag.text, "segment 0"));
    update_header_free(&header);
    forge_deinit(&f);
}

static void the_version_tells_of_lattices(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    /* None; levels; guessed ones. */
    static const uint8_t version[] = {UPDATE_VERSION_PLAIN,
                                      UPDATE_VERSION_LEVELS, UPDATE_VERSION};
    for (int with = 0; with < 3; with++) {
        forge_init(&f, 4096);
        if (with)
            forge_lattice(&f, 4096);
        else
            forge_record(&f, 4096, false);
        if (with == 2)
            record_list_set_guessed(&f.header.records);
        assert_int_equal(forge_parse(&f, 0, &header, &diag), STATUS_OK);
        assert_int_equal(record_list_guessed(&header.records), with == 2);
        update_header_free(&header);
        assert_int_equal(f.bytes.data[0], version[with]);
        f.bytes.data[0] = version[with ? 0 : 2];
        assert_int_equal(
            update_header_parse(writer_view(&f.bytes), &header, &diag),
            STATUS_CORRUPT);
        forge_deinit(&f);
    }
}

/* Vectors that differ in their step alone say no more than that, and never
 * what they need not say. */
static void a_step_is_given_in_one_form(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    for (int move = -119; move < 100; move += 18) {
        forge_init(&f, 4096);
        forge_lattice(&f, 1024);
        forge_lattice(&f, 3072);
        struct update_record *records = f.header.records.records;
        records[0].coding.lattice.columns = 0;
        records[1].coding.lattice.columns = 0;
        records[1].coding.lattice.qp = (int16_t)move;
        assert_int_equal(forge_parse(&f, 0, &header, &diag), STATUS_OK);
        assert_int_equal(header.records.records[1].coding.lattice.qp, move);
        update_header_free(&header);
        size_t at = f.bytes.size - 1;
        while (f.bytes.data[at] != (32 | (16 + DTYPE_F32)))
            at--;
        f.bytes.data[at + 1] = 0; /* the step there was */
        assert_int_equal(
            update_header_parse(writer_view(&f.bytes), &header, &diag),
            STATUS_CORRUPT);
        forge_deinit(&f);
    }
}

/* Elements by levels, too, are of a float type, and by one coder. */
static void levels_are_of_floats(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    for (unsigned second = 0; second < 64; second++) {
        forge_init(&f, 4096);
        forge_lattice(&f, 4096);
        assert_int_equal(forge_parse(&f, 0, &header, &diag), STATUS_OK);
        update_header_free(&header);
        size_t at = 0;
        while (f.bytes.data[at] != (64 | (16 + DTYPE_F32)))
            at++;
        f.bytes.data[at] = (uint8_t)(64 | second);
        enum status status =
            update_header_parse(writer_view(&f.bytes), &header, &diag);
        bool good = second >= 16 + DTYPE_F16 && second <= 16 + DTYPE_F64;
        assert_int_equal(!status, good);
        if (good)
            update_header_free(&header);
        forge_deinit(&f);
    }
}

/* The prediction of the second record is the base itself: nothing says what
 * rounding lost, and a decoder would have nowhere to read it from. */
static void codings_by_loss_are_only_for_predictions_that_lose(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    for (int with_tables = 0; with_tables < 2; with_tables++) {
        forge_init(&f, 4096);
        struct update_record *first = forge_record(&f, 256, true);
        if (with_tables)
            forge_tables(&f, first);
        forge_record(&f, 3840, with_tables)->aux = first->aux;
        assert_int_equal(forge_parse(&f, (uint32_t)with_tables, &header, &diag),
                         STATUS_CORRUPT);
        assert_non_null(strstr(diag.text, "update header"));
        forge_deinit(&f);
    }
}

static void a_cast_loses(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    forge_init(&f, 4096);
    forge_record(&f, 4096, true)->from = DTYPE_U8;
    assert_int_equal(forge_parse(&f, 0, &header, &diag), STATUS_OK);
    assert_int_equal(forge_decode(&f, &header, &diag), STATUS_TRUNCATED);
    update_header_free(&header);
    forge_deinit(&f);
}

/* Setting up a table takes about 10 us however small it is. */
static void an_auxiliary_segment_holds_few_tiny_tables(void **state)
{
    const uint32_t most = RECORD_TABLES_MAX / RECORD_TABLES_LEAST;
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    for (uint32_t over = 0; over < 2; over++) {
        forge_init(&f, 16 * (uint64_t)(most + over));
        for (uint32_t i = 0; i < most + over; i++)
            forge_tables(&f, forge_record(&f, 16, true));
        enum status status = forge_parse(&f, 1, &header, &diag);
        assert_int_equal(status, over ? STATUS_CORRUPT : STATUS_OK);
        if (!over)
            assert_int_equal(forge_decode(&f, &header, &diag),
                             STATUS_TRUNCATED);
        update_header_free(&header);
        forge_deinit(&f);
    }
}

/* Rank 64 of 4,096 rows and columns fills an auxiliary segment by itself. */
static void tables_of_a_record_fit_one_auxiliary_segment(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    for (int scaled = 0; scaled < 2; scaled++) {
        forge_init(&f, 4096 * 4096);
        struct update_record *record = forge_record(&f, 4096 * 4096, true);
        record->columns = 4096;
        record->rank = 64;
        record->scaled = scaled;
        record->scale_shift = scaled ? PREDICT_INT_SCALE_SHIFT : 0;
        record->aux = 1;
        assert_int_equal(record_tables_ok(record), !scaled);
        writer_u8(&f.aux, 0);
        assert_int_equal(forge_parse(&f, 1, &header, &diag),
                         scaled ? STATUS_CORRUPT : STATUS_OK);
        update_header_free(&header);
        forge_deinit(&f);
    }
}

/* Tables that leave something over, or end early, are found. */
static void tables_of_another_length_are_refused(void **state)
{
    struct update_header header;
    struct forge f;
    struct diag diag;
    (void)state;
    for (int longer = 0; longer < 2; longer++) {
        forge_init(&f, 256);
        forge_tables(&f, forge_record(&f, 256, true));
        if (longer)
            writer_u8(&f.aux, 0);
        else
            f.aux.size -= 4;
        assert_int_equal(forge_parse(&f, 1, &header, &diag), STATUS_OK);
        assert_int_equal(forge_decode(&f, &header, &diag),
                         longer ? STATUS_CORRUPT : STATUS_TRUNCATED);
        assert_non_null(strstr(diag.text, "auxiliary segment 0"));
        update_header_free(&header);
        forge_deinit(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_that_end_early_say_in_which_segment),
        cmocka_unit_test(codings_by_loss_are_only_for_predictions_that_lose),
        cmocka_unit_test(levels_that_leave_bytes_say_in_which_segment),
        cmocka_unit_test(the_version_tells_of_lattices),
        cmocka_unit_test(a_step_is_given_in_one_form),
        cmocka_unit_test(levels_are_of_floats),
        cmocka_unit_test(a_cast_loses),
        cmocka_unit_test(an_auxiliary_segment_holds_few_tiny_tables),
        cmocka_unit_test(tables_of_a_record_fit_one_auxiliary_segment),
        cmocka_unit_test(tables_of_another_length_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
