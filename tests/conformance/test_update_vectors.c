/* The golden updates: each decodes to its target, bit for bit, for ever; what
 * is left of a cut one or became of a damaged one fails or is found out. */
#include "tests/support/golden.h"

#include "codec/base/rng.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define CUTS  24u
#define FLIPS 60u

static struct golden_list *list_of(void **state)
{
    return *state;
}

static struct bytes update_of(const struct golden *golden)
{
    return bytes_of(golden->update, golden->update_size);
}

/* The base's bytes; false when there is none. */
static bool base_of(struct golden_list *list, const struct golden *golden,
                    struct bytes *out)
{
    const struct golden *base = golden_base(list, golden);
    if (!base)
        return false;
    assert_non_null(base->target);
    *out = bytes_of(base->target, (size_t)base->target_size);
    return true;
}

/* In order: a base comes before what is made of it. */
static int setup(void **state)
{
    struct golden_list *list = malloc(sizeof(*list));
    *state = list;
    return list && golden_load(list) ? 0 : -1;
}

static int teardown(void **state)
{
    golden_free(*state);
    free(*state);
    return 0;
}

static void updates_decode_to_their_targets(void **state)
{
    struct golden_list *list = list_of(state);
    assert_true(list->count >= 40);
    for (unsigned i = 0; i < list->count; i++) {
        struct golden *golden = &list->items[i];
        struct bytes base;
        struct update_file file;
        struct source source = source_of_bytes(update_of(golden));
        uint64_t size;
        struct diag diag;
        diag_reset(&diag);
        bool has_base = base_of(list, golden, &base);
        enum status status =
            golden_decode(update_of(golden), has_base ? &base : NULL,
                          &golden->target, &size, &diag);
        if (status)
            print_message("%s: %s\n", golden->name, diag.text);
        assert_int_equal(status, STATUS_OK);
        assert_int_equal(size, golden->target_size);
        assert_int_equal(update_file_open(&source, &file, NULL), STATUS_OK);
        assert_true(hash_equal(&file.header.target_tree, &golden->target_tree));
        update_file_close(&file);
    }
}

/* Decodes bytes of exact size. An update that still decodes says of itself
 * that it is another one, or leads to the same target. */
static enum status decode_copy(struct bytes update, const struct bytes *base,
                               const struct golden *golden)
{
    uint8_t *copy = malloc(update.size + 1), *out;
    uint64_t size;
    struct diag diag;
    diag_reset(&diag);
    assert_non_null(copy);
    memcpy(copy, update.data, update.size);
    enum status status =
        golden_decode(bytes_of(copy, update.size), base, &out, &size, &diag);
    if (!status) {
        assert_int_equal(size, golden->target_size);
        assert_memory_equal(out, golden->target, size);
    }
    assert_int_not_equal(status, STATUS_INTERNAL);
    free(out);
    free(copy);
    return status;
}

static void every_cut_update_fails(void **state)
{
    struct golden_list *list = list_of(state);
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned i = 0; i < list->count; i++) {
        const struct golden *golden = &list->items[i];
        struct bytes base, update = update_of(golden);
        bool has_base = base_of(list, golden, &base);
        for (unsigned k = 0; k < CUTS; k++) {
            struct bytes cut = {update.data,
                                (size_t)rng_below(&rng, update.size)};
            assert_int_not_equal(
                decode_copy(cut, has_base ? &base : NULL, golden), STATUS_OK);
        }
    }
}

/* A bit of the header or of a segment: nothing but the base's id, which the
 * decoder leaves to its caller, may change unseen. */
static void every_flipped_bit_is_found(void **state)
{
    struct golden_list *list = list_of(state);
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 2);
    struct rng rng = rng_from_seeded(&seeded);
    for (unsigned i = 0; i < list->count; i++) {
        const struct golden *golden = &list->items[i];
        struct bytes base;
        bool has_base = base_of(list, golden, &base);
        for (unsigned k = 0; k < FLIPS; k++) {
            uint8_t *at = &golden->update[rng_below(&rng, golden->update_size)];
            uint8_t bit = (uint8_t)(1u << rng_below(&rng, 8));
            *at ^= bit;
            (void)decode_copy(update_of(golden), has_base ? &base : NULL,
                              golden);
            *at ^= bit;
        }
    }
}

/* Bits of coded bytes, which have hashes. */
static void every_damaged_segment_is_a_mismatch(void **state)
{
    struct golden_list *list = list_of(state);
    for (unsigned i = 0; i < list->count; i++) {
        const struct golden *golden = &list->items[i];
        size_t header = load_le32(golden->update + 8);
        struct bytes base;
        bool has_base = base_of(list, golden, &base);
        size_t step = 1 + (golden->update_size - 12 - header) / 30;
        for (size_t at = 12 + header; at < golden->update_size; at += step) {
            golden->update[at] ^= 1;
            assert_int_equal(
                decode_copy(update_of(golden), has_base ? &base : NULL, golden),
                STATUS_MISMATCH);
            golden->update[at] ^= 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_decode_to_their_targets),
        cmocka_unit_test(every_cut_update_fails),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_damaged_segment_is_a_mismatch),
    };
    return cmocka_run_group_tests_name("update vectors", tests, setup,
                                       teardown);
}
