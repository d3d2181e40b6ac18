/* Auxiliary segments, from wherever they are: what is read is what the update
 * promises, or an error says so. */
#include "codec/update/auxiliary.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"
#include "codec/update/update_file.h"

#include "tests/support/aux_update.h"
#include "tests/support/cmocka.h"

#define SIZE 300000u
#define AUX  3u

/* A full update of noise with auxiliary segments, in memory. */
struct sample {
    uint8_t *target;
    struct writer header_bytes, coded;
    struct update_header header;
};

static void encode(struct bytes target, struct writer *header,
                   struct writer *coded)
{
    struct source source = source_of_bytes(target);
    struct update_enc_params params = {.target = &source};
    struct update_enc *enc;
    struct bytes view;
    assert_int_equal(update_enc_new(&params, &enc), STATUS_OK);
    assert_int_equal(update_enc_plan(enc, NULL, NULL), STATUS_OK);
    assert_int_equal(update_enc_aux_count(enc), 0);
    for (uint32_t i = 0; i < update_enc_segment_count(enc); i++) {
        assert_int_equal(update_enc_segment(enc, i, &view), STATUS_OK);
        writer_bytes(coded, view.data, view.size);
    }
    assert_int_equal(update_enc_header(enc, header), STATUS_OK);
    update_enc_free(enc);
}

static void sample_init(struct sample *s)
{
    struct writer header, coded;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 5);
    struct rng rng = rng_from_seeded(&seeded);
    s->target = malloc(SIZE);
    rng_fill(&rng, s->target, SIZE);
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    writer_init_heap(&coded, 2 * SIZE);
    encode(bytes_of(s->target, SIZE), &header, &coded);
    writer_init_heap(&s->header_bytes, UPDATE_HEADER_MAX);
    writer_init_heap(&s->coded, 2 * SIZE);
    assert_true(aux_update_extend(writer_view(&header), writer_view(&coded),
                                  AUX, 9000, 77, &s->header_bytes, &s->coded));
    assert_int_equal(
        update_header_parse(writer_view(&s->header_bytes), &s->header, NULL),
        STATUS_OK);
    assert_int_equal(s->header.aux_count, AUX);
    assert_int_equal(s->header.coded_size, s->coded.size);
    writer_deinit(&header);
    writer_deinit(&coded);
}

static void sample_deinit(struct sample *s)
{
    update_header_free(&s->header);
    writer_deinit(&s->header_bytes);
    writer_deinit(&s->coded);
    free(s->target);
}

static struct bytes sample_coded(const struct sample *s, uint32_t i)
{
    const struct update_segment *segment = &s->header.segments[i];
    return bytes_of(s->coded.data + segment->offset, segment->size);
}

static void segments_decode_beside_auxiliary_ones(void **state)
{
    struct sample s;
    struct update_dec *dec;
    (void)state;
    sample_init(&s);
    struct aux_place place = {&s.header, writer_view(&s.coded), 0};
    struct update_aux aux = aux_place_of(&place);
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    uint64_t at = 0;
    assert_int_equal(update_dec_new(&s.header, NULL, &aux, &dec), STATUS_OK);
    for (uint32_t i = 0; i < s.header.segment_count; i++) {
        size_t size = update_segment_target_size(&s.header, i);
        assert_int_equal(
            update_dec_segment(dec, i, sample_coded(&s, i), out, size, NULL),
            STATUS_OK);
        if (size)
            assert_memory_equal(out, s.target + at, size);
        at += size;
    }
    assert_int_equal(at, SIZE);
    update_dec_free(dec);
    free(out);
    sample_deinit(&s);
}

static void a_changed_auxiliary_segment_is_refused(void **state)
{
    struct sample s;
    struct update_dec *dec;
    (void)state;
    sample_init(&s);
    assert_int_equal(update_dec_new(&s.header, NULL, NULL, &dec), STATUS_OK);
    struct bytes coded = sample_coded(&s, 1);
    assert_int_equal(update_dec_segment(dec, 1, coded, NULL, 0, NULL),
                     STATUS_OK);
    assert_int_equal(update_dec_segment(dec, 1, coded, s.target, 1, NULL),
                     STATUS_USAGE);
    assert_int_equal(update_dec_segment(dec, 0, coded, NULL, 0, NULL),
                     STATUS_MISMATCH);
    coded.size--;
    assert_int_equal(update_dec_segment(dec, 1, coded, NULL, 0, NULL),
                     STATUS_MISMATCH);
    coded.size++;
    s.coded.data[s.header.segments[1].offset] ^= 1;
    assert_int_equal(update_dec_segment(dec, 1, coded, NULL, 0, NULL),
                     STATUS_MISMATCH);
    update_dec_free(dec);
    sample_deinit(&s);
}

static void the_decoder_reads_and_checks_them(void **state)
{
    struct sample s;
    struct update_dec *dec;
    struct bytes view;
    struct diag diag;
    (void)state;
    sample_init(&s);
    struct aux_place place = {&s.header, writer_view(&s.coded), 0};
    struct update_aux aux = aux_place_of(&place);
    assert_int_equal(update_dec_new(&s.header, NULL, &aux, &dec), STATUS_OK);
    for (uint32_t i = AUX; i-- > 0;) {
        assert_int_equal(update_dec_aux(dec, i, &view, NULL), STATUS_OK);
        assert_true(bytes_equal(view, sample_coded(&s, i)));
    }
    assert_int_equal(place.reads, AUX);
    assert_int_equal(update_dec_aux(dec, AUX, &view, NULL), STATUS_USAGE);
    s.coded.data[s.header.segments[2].offset] ^= 0x80;
    diag_reset(&diag);
    assert_int_equal(update_dec_aux(dec, 2, &view, &diag), STATUS_MISMATCH);
    assert_int_equal(view.size, 0);
    assert_non_null(strstr(diag.text, "auxiliary segment 2"));
    assert_int_equal(update_dec_aux(dec, 1, &view, NULL), STATUS_OK);
    update_dec_free(dec);
    assert_int_equal(update_dec_new(&s.header, NULL, NULL, &dec), STATUS_OK);
    assert_int_equal(update_dec_aux(dec, 0, &view, NULL), STATUS_NOT_FOUND);
    update_dec_free(dec);
    sample_deinit(&s);
}

/* A place that answers as told, with so many bytes. */
struct moody {
    enum status status;
    size_t size;
};

static enum status moody_read(void *ctx, uint32_t index, struct writer *out)
{
    const struct moody *moody = ctx;
    (void)index;
    uint8_t *room = writer_reserve(out, moody->size);
    if (room && moody->size)
        memset(room, 1, moody->size);
    return moody->status;
}

static void answers_of_the_place_come_through(void **state)
{
    static const struct {
        struct moody moody;
        enum status status;
    } cases[] = {{{STATUS_IO, 5}, STATUS_IO},
                 {{STATUS_OK, 0}, STATUS_MISMATCH},
                 {{STATUS_OK, 100}, STATUS_MISMATCH},
                 {{STATUS_OK, UPDATE_AUX_CODED_MAX + 1}, STATUS_LIMIT}};
    struct sample s;
    struct writer out;
    (void)state;
    sample_init(&s);
    writer_init_heap(&out, UPDATE_AUX_CODED_MAX);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct moody moody = cases[i].moody;
        struct update_aux aux = {moody_read, &moody};
        assert_int_equal(update_aux_read(&aux, &s.header, 0, &out, NULL),
                         cases[i].status);
        assert_int_equal(out.size, 0);
    }
    struct aux_place place = {&s.header, writer_view(&s.coded), 0};
    struct update_aux aux = aux_place_of(&place);
    assert_int_equal(update_aux_read(&aux, &s.header, 0, &out, NULL),
                     STATUS_OK);
    assert_true(bytes_equal(writer_view(&out), sample_coded(&s, 0)));
    writer_deinit(&out);
    sample_deinit(&s);
}

static void an_update_file_has_its_own(void **state)
{
    struct sample s;
    struct writer wr, out;
    struct update_file file;
    struct bytes view;
    (void)state;
    sample_init(&s);
    writer_init_heap(&wr, 4 * SIZE);
    writer_init_heap(&out, UPDATE_AUX_CODED_MAX);
    update_file_write_head(&wr, writer_view(&s.header_bytes));
    writer_bytes(&wr, s.coded.data, s.coded.size);
    struct source source = source_of_bytes(writer_view(&wr));
    assert_int_equal(update_file_open(&source, &file, NULL), STATUS_OK);
    struct update_aux aux = update_file_aux(&file);
    uint8_t *buf = malloc(UPDATE_SEGMENT_CODED_MAX);
    for (uint32_t i = 0; i < AUX; i++) {
        assert_int_equal(update_aux_read(&aux, &file.header, i, &out, NULL),
                         STATUS_OK);
        assert_true(bytes_equal(writer_view(&out), sample_coded(&s, i)));
        assert_int_equal(update_file_segment(&file, i, buf, &view), STATUS_OK);
        assert_true(bytes_equal(view, sample_coded(&s, i)));
    }
    out.size = 0;
    assert_int_equal(aux.read(aux.ctx, AUX, &out), STATUS_NOT_FOUND);
    wr.data[file.segments_offset] ^= 1;
    assert_int_equal(update_aux_read(&aux, &file.header, 0, &out, NULL),
                     STATUS_MISMATCH);
    update_file_close(&file);
    free(buf);
    writer_deinit(&out);
    writer_deinit(&wr);
    sample_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_decode_beside_auxiliary_ones),
        cmocka_unit_test(a_changed_auxiliary_segment_is_refused),
        cmocka_unit_test(the_decoder_reads_and_checks_them),
        cmocka_unit_test(answers_of_the_place_come_through),
        cmocka_unit_test(an_update_file_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
