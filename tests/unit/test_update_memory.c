/* Every allocation of parsing, making and decoding fails once: the answer is
 * NO_MEMORY, and nothing is lost or used after it was freed. */
#include "codec/update/estimate.h"
#include "codec/update/update_dec.h"
#include "codec/update/update_file.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/tiny_model.h"

#include <stdlib.h>

#define ROUNDS_MAX 500u

struct pair {
    uint8_t *data[2];
    struct source source[2];
};

static void pair_open(struct pair *pair)
{
    const struct tiny_tensor old[] = {{"a", DTYPE_F32, 30, 30, 1, 0, 0, 0},
                                      {"b", DTYPE_I8, 30, 30, 2, 0, 0, 0},
                                      {"c", DTYPE_F16, 20, 9, 3, 0, 0, 0}};
    const struct tiny_tensor new[] = {{"a", DTYPE_F32, 30, 30, 1, 1e-3, 5, 0},
                                      {"b", DTYPE_I8, 30, 30, 2, 0.1, 6, 0},
                                      {"d", DTYPE_F16, 20, 9, 3, 0.1, 7, 0}};
    for (unsigned i = 0; i < 2; i++) {
        size_t size;
        pair->data[i] = tiny_model_new(i ? new : old, 3, &size);
        pair->source[i] = source_of_bytes(bytes_of(pair->data[i], size));
    }
}

static void pair_close(struct pair *pair)
{
    free(pair->data[0]);
    free(pair->data[1]);
}

static enum status encode(const struct update_enc_params *params,
                          struct writer *header, struct writer *coded)
{
    struct update_enc *enc = NULL;
    struct bytes view;
    enum status status = update_enc_new(params, &enc);
    if (!status)
        status = update_enc_plan(enc, NULL, NULL);
    for (uint32_t i = 0; !status && i < update_enc_segment_count(enc); i++) {
        status = update_enc_segment(enc, i, &view);
        if (!status)
            writer_bytes(coded, view.data, view.size);
    }
    if (!status)
        status = update_enc_header(enc, header);
    update_enc_free(enc);
    return status ? status : writer_status(coded);
}

static enum status make(const struct pair *pair, struct writer *header,
                        struct writer *coded)
{
    struct model *base = NULL, *target = NULL;
    uint64_t estimate;
    enum status status =
        model_parse_file(&pair->source[0], "m.safetensors", &base, NULL);
    if (!status)
        status =
            model_parse_file(&pair->source[1], "m.safetensors", &target, NULL);
    struct update_enc_params params = {
        .base = &pair->source[0],
        .target = &pair->source[1],
        .base_model = base,
        .target_model = target,
    };
    if (!status)
        status = update_estimate(&params, &estimate);
    if (!status)
        status = encode(&params, header, coded);
    model_free(base);
    model_free(target);
    return status;
}

static enum status decode(const struct pair *pair, struct bytes file,
                          uint8_t *out)
{
    struct source source = source_of_bytes(file);
    struct update_file update;
    struct update_aux aux = update_file_aux(&update);
    struct update_dec *dec = NULL;
    uint8_t coded[20000];
    struct bytes view;
    enum status status = update_file_open(&source, &update, NULL);
    uint32_t first = update.header.aux_count;
    if (!status)
        status = update_dec_new(&update.header, &pair->source[0], &aux, &dec);
    if (!status)
        status = update_file_segment(&update, first, coded, &view);
    if (!status)
        status = update_dec_segment(
            dec, first, view, out,
            update_segment_target_size(&update.header, first), NULL);
    update_dec_free(dec);
    update_file_close(&update);
    return status;
}

static void making_survives_every_failed_allocation(void **state)
{
    struct pair pair;
    enum status status = STATUS_NO_MEMORY;
    unsigned rounds = 0;
    (void)state;
    pair_open(&pair);
    for (; status && rounds < ROUNDS_MAX; rounds++) {
        struct writer header, coded;
        writer_init_heap(&header, UPDATE_HEADER_MAX);
        writer_init_heap(&coded, 1u << 20);
        alloc_fail_after(rounds);
        status = make(&pair, &header, &coded);
        bool failed = alloc_fail_stop();
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
        writer_deinit(&header);
        writer_deinit(&coded);
    }
    assert_true(rounds > 20 && !status);
    pair_close(&pair);
}

static void decoding_survives_every_failed_allocation(void **state)
{
    struct pair pair;
    struct writer header, coded, file;
    enum status status = STATUS_NO_MEMORY;
    unsigned rounds = 0;
    (void)state;
    pair_open(&pair);
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    writer_init_heap(&coded, 1u << 20);
    writer_init_heap(&file, 1u << 20);
    assert_int_equal(make(&pair, &header, &coded), STATUS_OK);
    update_file_write_head(&file, writer_view(&header));
    writer_bytes(&file, coded.data, coded.size);
    uint8_t *out = malloc((size_t)pair.source[1].size);
    for (; status && rounds < ROUNDS_MAX; rounds++) {
        alloc_fail_after(rounds);
        status = decode(&pair, writer_view(&file), out);
        bool failed = alloc_fail_stop();
        assert_int_equal(status, failed ? STATUS_NO_MEMORY : STATUS_OK);
    }
    assert_true(rounds > 5 && !status);
    assert_memory_equal(out, pair.data[1], (size_t)pair.source[1].size);
    free(out);
    writer_deinit(&header);
    writer_deinit(&coded);
    writer_deinit(&file);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_survives_every_failed_allocation),
        cmocka_unit_test(decoding_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
