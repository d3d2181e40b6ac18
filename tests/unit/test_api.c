/* The public face: what its headers promise beyond what the parts below do. */
#include "codec/base/bytes.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/tiny_model.h"

#include <config.h>
#include <deltamesh/update.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    uint8_t *base_bytes, *target_bytes;
    struct dmc_source base, target;
    struct dmc_buffer update;
    struct dmc_source file;
};

static int pair_setup(void **state)
{
    const struct tiny_tensor base = {"w", DTYPE_F32, 600, 512, 1, 0, 0, 0};
    const struct tiny_tensor target = {"w", DTYPE_F32, 600, 512, 1, 1e-3, 2, 0};
    struct pair *pair = calloc(1, sizeof(*pair));
    size_t size;
    pair->base_bytes = tiny_model_new(&base, 1, &size);
    pair->base = dmc_source_of_memory(pair->base_bytes, size);
    pair->target_bytes = tiny_model_new(&target, 1, &size);
    pair->target = dmc_source_of_memory(pair->target_bytes, size);
    pair->update.size_max = 4u << 20;
    struct dmc_sink sink = dmc_buffer_sink(&pair->update);
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, NULL, &sink, NULL), DMC_OK);
    pair->file = dmc_source_of_memory(pair->update.data, pair->update.size);
    *state = pair;
    return 0;
}

static int pair_teardown(void **state)
{
    struct pair *pair = *state;
    free(pair->base_bytes);
    free(pair->target_bytes);
    dmc_buffer_free(&pair->update);
    free(pair);
    return 0;
}

static void version_is_that_of_the_package(void **state)
{
    (void)state;
    assert_string_equal(dmc_version_text(), PACKAGE_VERSION);
    assert_int_equal(dmc_version(), DMC_VERSION);
}

static void status_text_knows_any_number(void **state)
{
    (void)state;
    assert_string_equal(dmc_status_text(DMC_OK), "success");
    assert_non_null(dmc_status_text((enum dmc_status)(-1000)));
    assert_non_null(dmc_status_text((enum dmc_status)1000));
}

static void buffer_stops_at_its_most_bytes(void **state)
{
    (void)state;
    struct dmc_buffer buffer = {.size_max = 5000};
    struct dmc_sink sink = dmc_buffer_sink(&buffer);
    static const uint8_t bytes[4999];
    assert_int_equal(sink.write(sink.ctx, bytes, sizeof(bytes)), DMC_OK);
    assert_int_equal(sink.write(sink.ctx, bytes, 2), DMC_LIMIT);
    assert_int_equal(sink.write(sink.ctx, "x", 1), DMC_OK);
    assert_int_equal(buffer.size, 5000);
    assert_int_equal(buffer.data[4999], 'x');
    dmc_buffer_free(&buffer);
    assert_null(buffer.data);
    assert_int_equal(sink.write(sink.ctx, "y", 1), DMC_OK);
    dmc_buffer_free(&buffer);
    dmc_buffer_free(NULL);
}

static void update_applies_whole(void **state)
{
    struct pair *pair = *state;
    struct dmc_update *update;
    struct dmc_error error;
    struct dmc_buffer out = {.size_max = pair->target.size};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    assert_int_equal(dmc_update_open(&pair->file, &update, &error), DMC_OK);
    assert_string_equal(error.text, "");
    assert_int_equal(dmc_update_apply(update, &pair->base, &sink, &error),
                     DMC_OK);
    assert_int_equal(out.size, pair->target.size);
    assert_memory_equal(out.data, pair->target_bytes, out.size);
    dmc_buffer_free(&out);

    assert_int_equal(dmc_update_apply(update, &pair->target, &sink, &error),
                     DMC_BAD_BASE);
    assert_int_equal(dmc_update_apply(update, NULL, &sink, &error),
                     DMC_BAD_BASE);
    assert_string_not_equal(error.text, "");
    assert_null(out.data);
    dmc_update_close(update);
}

static void update_info_names_both_trees(void **state)
{
    struct pair *pair = *state;
    struct dmc_update *update;
    struct dmc_update_info info;
    unsigned char id[DMC_TREE_BYTES];
    dmc_update_info_init(&info);
    assert_int_equal(dmc_update_open(&pair->file, &update, NULL), DMC_OK);
    assert_int_equal(dmc_update_get_info(update, &info), DMC_OK);
    assert_int_equal(info.has_base, 1);
    assert_int_equal(info.base_size, pair->base.size);
    assert_int_equal(info.target_size, pair->target.size);
    assert_int_equal(dmc_tree_id(&pair->base, id, NULL), DMC_OK);
    assert_memory_equal(id, info.base_tree, DMC_TREE_BYTES);
    assert_int_equal(dmc_tree_id(&pair->target, id, NULL), DMC_OK);
    assert_memory_equal(id, info.target_tree, DMC_TREE_BYTES);
    info.struct_size = 4;
    assert_int_equal(dmc_update_get_info(update, &info), DMC_USAGE);
    dmc_update_close(update);
}

/* A structure of a newer version: ours, and a field that we do not know. */
static void newer_structures_are_filled_and_read(void **state)
{
    struct pair *pair = *state;
    struct dmc_update *update;
    struct {
        struct dmc_update_info known;
        uint64_t more;
    } info;
    struct {
        struct dmc_update_params known;
        uint64_t more;
    } params = {.known.struct_size = sizeof(params)};
    struct dmc_buffer out = {.size_max = 4u << 20};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    memset(&info, 0xff, sizeof(info));
    info.known.struct_size = sizeof(info);
    assert_int_equal(dmc_update_open(&pair->file, &update, NULL), DMC_OK);
    assert_int_equal(dmc_update_get_info(update, &info.known), DMC_OK);
    assert_int_equal(info.known.target_size, pair->target.size);
    assert_int_equal(info.more, 0);
    dmc_update_close(update);

    assert_int_equal(
        dmc_update_make(NULL, &pair->target, &params.known, &sink, NULL),
        DMC_OK);
    params.more = 1;
    assert_int_equal(
        dmc_update_make(NULL, &pair->target, &params.known, &sink, NULL),
        DMC_UNSUPPORTED);
    params.known.struct_size = 0;
    assert_int_equal(
        dmc_update_make(NULL, &pair->target, &params.known, &sink, NULL),
        DMC_USAGE);
    dmc_buffer_free(&out);
}

static void segments_decode_in_any_order(void **state)
{
    struct pair *pair = *state;
    struct dmc_update *update;
    struct dmc_update_dec *dec;
    struct dmc_update_info info;
    struct dmc_error error;
    uint8_t *out = malloc(pair->target.size);
    uint64_t offset, end = 0;
    uint32_t size;
    dmc_update_info_init(&info);
    assert_int_equal(dmc_update_open(&pair->file, &update, NULL), DMC_OK);
    assert_int_equal(dmc_update_get_info(update, &info), DMC_OK);
    assert_true(info.segment_count > 1);
    assert_int_equal(dmc_update_dec_new(update, &pair->base, &dec, &error),
                     DMC_OK);
    for (uint32_t i = info.segment_count; i-- > 0;) {
        assert_int_equal(dmc_update_segment_range(update, i, &offset, &size),
                         DMC_OK);
        end += size;
        assert_int_equal(
            dmc_update_dec_segment(dec, i, out + offset, size, &error), DMC_OK);
    }
    assert_int_equal(end, pair->target.size);
    assert_memory_equal(out, pair->target_bytes, end);
    assert_int_equal(dmc_update_dec_segment(dec, 0, out, 1, &error), DMC_USAGE);
    assert_int_equal(
        dmc_update_dec_segment(dec, info.segment_count, out, end, &error),
        DMC_USAGE);
    assert_int_equal(
        dmc_update_segment_range(update, info.segment_count, &offset, &size),
        DMC_USAGE);
    dmc_update_dec_free(dec);
    dmc_update_close(update);
    free(out);
}

static void cut_updates_are_refused(void **state)
{
    struct pair *pair = *state;
    for (size_t size = 0; size < pair->update.size; size += size / 8 + 1) {
        struct dmc_update *update = (void *)pair;
        struct dmc_error error;
        uint8_t *cut = malloc(size + 1);
        memcpy(cut, pair->update.data, size);
        struct dmc_source file = dmc_source_of_memory(cut, size);
        assert_int_not_equal(dmc_update_open(&file, &update, &error), DMC_OK);
        assert_null(update);
        assert_string_not_equal(error.text, "");
        free(cut);
    }
}

static void damaged_segment_is_a_mismatch(void **state)
{
    struct pair *pair = *state;
    struct dmc_update *update;
    struct dmc_error error;
    struct dmc_buffer out = {.size_max = pair->target.size};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    pair->update.data[pair->update.size - 1] ^= 1;
    assert_int_equal(dmc_update_open(&pair->file, &update, &error), DMC_OK);
    assert_int_equal(dmc_update_apply(update, &pair->base, &sink, &error),
                     DMC_MISMATCH);
    pair->update.data[pair->update.size - 1] ^= 1;
    dmc_update_close(update);
    dmc_buffer_free(&out);
}

/* ---- Callbacks ---- */

struct faulty {
    struct dmc_source source;
    unsigned left; /* calls that work */
    int answer;    /* of the next */
};

static int faulty_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    struct faulty *faulty = ctx;
    if (!faulty->left)
        return faulty->answer;
    faulty->left--;
    memcpy(out, (const uint8_t *)faulty->source.ctx + offset, size);
    return 0;
}

static int faulty_write(void *ctx, const void *data, size_t size)
{
    (void)ctx;
    (void)data;
    (void)size;
    return DMC_NO_SPACE;
}

static void callbacks_errors_are_handed_on(void **state)
{
    struct pair *pair = *state;
    struct faulty faulty = {pair->target, 3, -1234};
    struct dmc_source source = {faulty_read, &faulty, pair->target.size};
    struct dmc_sink full = {faulty_write, NULL};
    unsigned char id[DMC_TREE_BYTES];
    struct dmc_error error;
    assert_int_equal(dmc_tree_id(&source, id, &error), -1234);
    faulty.left = 0;
    faulty.answer = 5; /* is none of its promises */
    assert_int_equal(dmc_tree_id(&source, id, &error), DMC_IO);
    faulty.left = UINT32_MAX;
    assert_int_equal(dmc_update_make(&pair->base, &source, NULL, &full, &error),
                     DMC_NO_SPACE);
    assert_string_equal(error.text, dmc_status_text(DMC_NO_SPACE));
    assert_int_equal(dmc_tree_id(NULL, id, &error), DMC_USAGE);
}

static int stop(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    ++*(unsigned *)ctx;
    return 1;
}

static void progress_can_stop(void **state)
{
    struct pair *pair = *state;
    unsigned calls = 0;
    struct dmc_update_params params;
    struct dmc_update_enc *enc;
    dmc_update_params_init(&params);
    params.progress = stop;
    params.progress_ctx = &calls;
    assert_int_equal(
        dmc_update_enc_new(&pair->base, &pair->target, &params, &enc, NULL),
        DMC_CLOSED);
    assert_int_equal(calls, 1);
    assert_null(enc);
}

static void run_in_order(void *ctx, unsigned count,
                         void (*task)(void *arg, unsigned index), void *arg)
{
    ++*(unsigned *)ctx;
    for (unsigned i = 0; i < count; i++)
        task(arg, i);
}

static void parameters_are_used_and_checked(void **state)
{
    struct pair *pair = *state;
    unsigned runs = 0;
    struct dmc_parallel parallel = {run_in_order, &runs, 2};
    struct dmc_update_params params;
    struct dmc_buffer out = {.size_max = 4u << 20};
    struct dmc_sink sink = dmc_buffer_sink(&out);
    dmc_update_params_init(&params);
    params.max_rank = 65;
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_USAGE);
    params.max_rank = DMC_RANK_NONE;
    params.speed = 9;
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_USAGE);
    params.speed = DMC_SPEED_FAST;
    params.base_name = params.target_name = "model.safetensors";
    params.parallel = &parallel;
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_OK);
    assert_true(runs > 0);
    assert_true(out.size > 0);
    dmc_buffer_free(&out);
}

/* The tensor of the target made of the base's and, here and there, a step of
 * 201 * 2^-20. */
static void quantise(struct pair *pair, size_t offset)
{
    for (uint32_t i = 0, seed = 1; i < 600 * 512; i++) {
        float value;
        seed = seed * 1664525u + 1013904223u;
        int level = seed >> 24 ? 0 : (int)(seed >> 22 & 3) - 1;
        uint32_t bits = load_le32(pair->base_bytes + offset + 4 * i);
        memcpy(&value, &bits, 4);
        value += (float)level * (201.0f / 1048576);
        memcpy(&bits, &value, 4);
        store_le32(pair->target_bytes + offset + 4 * i, bits);
    }
}

static void hints_make_quantised_updates_small(void **state)
{
    struct pair *pair = *state;
    struct dmc_update_params params;
    struct dmc_buffer out = {.size_max = 4u << 20}, back = out;
    struct dmc_sink sink = dmc_buffer_sink(&out);
    struct dmc_sink back_sink = dmc_buffer_sink(&back);
    const size_t offset = (size_t)pair->target.size - 4 * 600 * 512;
    struct dmc_update_hint hints[2] = {{offset, -1591, 7}, {offset, -1591, 7}};
    struct dmc_update *update;
    quantise(pair, offset);
    dmc_update_params_init(&params);
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_OK);
    size_t without = out.size;
    dmc_buffer_free(&out);
    params.hints = hints;
    params.hint_count = 1;
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_OK);
    assert_true(out.size < without - without / 5);
    struct dmc_source file = dmc_source_of_memory(out.data, out.size);
    assert_int_equal(dmc_update_open(&file, &update, NULL), DMC_OK);
    assert_int_equal(dmc_update_apply(update, &pair->base, &back_sink, NULL),
                     DMC_OK);
    assert_int_equal(back.size, pair->target.size);
    assert_memory_equal(back.data, pair->target_bytes, back.size);
    dmc_update_close(update);
    params.hint_count = 2;
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_USAGE);
    hints[1] = (struct dmc_update_hint){UINT64_MAX, 4000, 2};
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_USAGE);
    /* One that does not hold. */
    hints[0].qp = 0;
    params.hint_count = 1;
    dmc_buffer_free(&out);
    dmc_buffer_free(&back);
    assert_int_equal(
        dmc_update_make(&pair->base, &pair->target, &params, &sink, NULL),
        DMC_OK);
    file = dmc_source_of_memory(out.data, out.size);
    assert_int_equal(dmc_update_open(&file, &update, NULL), DMC_OK);
    assert_int_equal(dmc_update_apply(update, &pair->base, &back_sink, NULL),
                     DMC_OK);
    assert_memory_equal(back.data, pair->target_bytes, back.size);
    dmc_update_close(update);
    dmc_buffer_free(&out);
    dmc_buffer_free(&back);
}

static void steps_make_the_same_bytes(void **state)
{
    struct pair *pair = *state;
    struct dmc_update_enc *enc;
    const void *data;
    size_t size, at;
    assert_int_equal(
        dmc_update_enc_new(&pair->base, &pair->target, NULL, &enc, NULL),
        DMC_OK);
    assert_int_equal(dmc_update_enc_head(enc, &data, &size, NULL), DMC_USAGE);
    assert_true(dmc_update_enc_estimate(enc) > 0);
    uint8_t *coded = malloc(pair->update.size);
    size_t coded_size = 0;
    for (uint32_t i = 0; i < dmc_update_enc_count(enc); i++) {
        assert_int_equal(dmc_update_enc_next(enc, &data, &size, NULL), DMC_OK);
        assert_true(size <= pair->update.size - coded_size);
        memcpy(coded + coded_size, data, size);
        coded_size += size;
    }
    assert_int_equal(dmc_update_enc_next(enc, &data, &size, NULL), DMC_USAGE);
    for (int again = 0; again < 2; again++)
        assert_int_equal(dmc_update_enc_head(enc, &data, &at, NULL), DMC_OK);
    assert_int_equal(at + coded_size, pair->update.size);
    assert_memory_equal(data, pair->update.data, at);
    assert_memory_equal(coded, pair->update.data + at, coded_size);
    free(coded);
    dmc_update_enc_free(enc);
}

static void no_memory_is_told_and_nothing_leaks(void **state)
{
    struct pair *pair = *state;
    bool failed = true;
    for (unsigned n = 0; failed; n += 1 + n / 16) {
        struct dmc_update *update;
        struct dmc_buffer out = {.size_max = pair->target.size};
        struct dmc_sink sink = dmc_buffer_sink(&out);
        alloc_fail_after(n);
        enum dmc_status status = dmc_update_open(&pair->file, &update, NULL);
        if (!status)
            status = dmc_update_apply(update, &pair->base, &sink, NULL);
        failed = alloc_fail_stop();
        assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
        dmc_update_close(update);
        dmc_buffer_free(&out);
    }
    failed = true;
    for (unsigned n = 0; failed; n += 1 + n / 4) {
        struct dmc_buffer out = {.size_max = 4u << 20};
        struct dmc_sink sink = dmc_buffer_sink(&out);
        alloc_fail_after(n);
        enum dmc_status status =
            dmc_update_make(&pair->base, &pair->target, NULL, &sink, NULL);
        failed = alloc_fail_stop();
        /* An attempt that finds no memory may be dropped for another. */
        if (!failed || status)
            assert_int_equal(status, failed ? DMC_NO_MEMORY : DMC_OK);
        dmc_buffer_free(&out);
    }
}

static void releasing_nothing_is_fine(void **state)
{
    (void)state;
    dmc_update_close(NULL);
    dmc_update_dec_free(NULL);
    dmc_update_enc_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_is_that_of_the_package),
        cmocka_unit_test(status_text_knows_any_number),
        cmocka_unit_test(buffer_stops_at_its_most_bytes),
        cmocka_unit_test(update_applies_whole),
        cmocka_unit_test(update_info_names_both_trees),
        cmocka_unit_test(newer_structures_are_filled_and_read),
        cmocka_unit_test(segments_decode_in_any_order),
        cmocka_unit_test(cut_updates_are_refused),
        cmocka_unit_test(damaged_segment_is_a_mismatch),
        cmocka_unit_test(callbacks_errors_are_handed_on),
        cmocka_unit_test(progress_can_stop),
        cmocka_unit_test(parameters_are_used_and_checked),
        cmocka_unit_test_setup_teardown(hints_make_quantised_updates_small,
                                        pair_setup, pair_teardown),
        cmocka_unit_test(steps_make_the_same_bytes),
        cmocka_unit_test(no_memory_is_told_and_nothing_leaks),
        cmocka_unit_test(releasing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, pair_setup, pair_teardown);
}
