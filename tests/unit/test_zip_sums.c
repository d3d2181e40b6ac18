/* Archives whose values were replaced: sums that were right are right again,
 * nothing else is touched. */
#include "codec/model/zip_sums.h"

#include "codec/base/writer.h"
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define DATA 1000u

struct archive {
    struct writer wr;
    size_t at[3], data[3], behind[3], record[3]; /* offsets */
};

static uint32_t sum_of(const uint8_t *data, size_t size)
{
    const struct source source = source_of_bytes(bytes_of(data, size));
    uint32_t sum = 0;
    assert_int_equal(zip_sum(&source, 0, size, &sum), STATUS_OK);
    return sum;
}

static void header(struct writer *wr, bool local, uint16_t flags, uint32_t sum,
                   char name, uint32_t at)
{
    writer_le32(wr, local ? 0x04034b50 : 0x02014b50);
    if (!local)
        writer_le16(wr, 20);
    writer_le16(wr, 20);
    writer_le16(wr, flags);
    writer_le16(wr, 0); /* stored */
    writer_le32(wr, 0);
    writer_le32(wr, sum);
    writer_le32(wr, DATA);
    writer_le32(wr, DATA);
    writer_le16(wr, 1);
    writer_le16(wr, 0);
    if (!local) {
        writer_le16(wr, 0);
        writer_le16(wr, 0);
        writer_le16(wr, 0);
        writer_le32(wr, 0);
        writer_le32(wr, at);
    }
    writer_bytes(wr, &name, 1);
}

/* Three entries: plain, with its sum behind its bytes, and with none. */
static void build(struct archive *a, const uint8_t data[3][DATA])
{
    memset(a, 0, sizeof(*a));
    writer_init_heap(&a->wr, 1u << 16);
    writer_bytes(&a->wr, "in front", 8); /* of the archive, in the content */
    uint32_t sums[3];
    for (unsigned i = 0; i < 3; i++) {
        sums[i] = i == 2 ? 0 : sum_of(data[i], DATA);
        a->at[i] = a->wr.size - 8;
        header(&a->wr, true, i == 1 ? 8 : 0, i == 1 ? 0 : sums[i],
               (char)('a' + i), 0);
        a->data[i] = a->wr.size;
        writer_bytes(&a->wr, data[i], DATA);
        a->behind[i] = a->wr.size + 4;
        if (i != 1)
            continue;
        writer_le32(&a->wr, 0x08074b50);
        writer_le32(&a->wr, sums[i]);
        writer_le32(&a->wr, DATA);
        writer_le32(&a->wr, DATA);
    }
    uint32_t start = (uint32_t)a->wr.size - 8;
    for (unsigned i = 0; i < 3; i++) {
        a->record[i] = a->wr.size;
        header(&a->wr, false, i == 1 ? 8 : 0, sums[i], (char)('a' + i),
               (uint32_t)a->at[i]);
    }
    uint32_t size = (uint32_t)a->wr.size - 8 - start;
    writer_le32(&a->wr, 0x06054b50);
    writer_le32(&a->wr, 0);
    writer_le16(&a->wr, 3);
    writer_le16(&a->wr, 3);
    writer_le32(&a->wr, size);
    writer_le32(&a->wr, start);
    writer_le16(&a->wr, 0);
    assert_int_equal(writer_status(&a->wr), STATUS_OK);
}

static void fill(uint8_t data[3][DATA])
{
    for (unsigned i = 0; i < 3; i++)
        for (unsigned k = 0; k < DATA; k++)
            data[i][k] = (uint8_t)(k * 7 + i * 31 + (k >> 3));
}

static void sum_is_that_of_the_standard(void **state)
{
    (void)state;
    uint8_t zeroes[100000] = {0};
    assert_int_equal(sum_of((const uint8_t *)"123456789", 9), 0xcbf43926);
    assert_int_equal(sum_of(zeroes, 0), 0);
    assert_int_equal(sum_of(zeroes, 32), 0x190a55ad);
    assert_int_equal(sum_of(zeroes, sizeof(zeroes)), 0xd411957d);
    zeroes[99999] = 1;
    assert_int_equal(sum_of(zeroes, sizeof(zeroes)), 0xa316a5eb);
}

static void check_all(const struct archive *then, const struct archive *want,
                      const uint8_t *now, size_t size, size_t patches)
{
    const struct source a =
        source_of_bytes(bytes_of(then->wr.data, then->wr.size));
    const struct source b = source_of_bytes(bytes_of(now, size));
    struct model_file file = {.path = "m.pth",
                              .offset = 8,
                              .size = size - 8,
                              .format = CONTAINER_TORCH};
    const struct model model = {.size = size, .files = &file, .file_count = 1};
    struct zip_sums *sums;
    uint8_t got[8192];
    assert_int_equal(zip_sums_new(&model, &a, &b, &sums), STATUS_OK);
    assert_int_equal(zip_sums_count(sums), patches);
    const struct source *source = zip_sums_source(sums);
    assert_int_equal(source_read(source, 0, got, size), STATUS_OK);
    assert_memory_equal(got, want->wr.data, size);
    /* any piece of it is the same */
    for (size_t at = 0; at + 3 <= size; at++) {
        uint8_t piece[3];
        assert_int_equal(source_read(source, at, piece, 3), STATUS_OK);
        assert_memory_equal(piece, want->wr.data + at, 3);
    }
    zip_sums_free(sums);
}

static void sums_follow_the_values(void **state)
{
    (void)state;
    uint8_t data[3][DATA];
    struct archive then, want;
    fill(data);
    build(&then, data);
    for (unsigned i = 0; i < 3; i++)
        data[i][500] ^= 0x10;
    build(&want, data);
    uint8_t *now = malloc(then.wr.size);
    memcpy(now, then.wr.data, then.wr.size);
    for (unsigned i = 0; i < 3; i++)
        memcpy(now + then.data[i], data[i], DATA);
    /* header and record of a, record and behind the bytes of b */
    check_all(&then, &want, now, then.wr.size, 4);
    free(now);
    writer_deinit(&then.wr);
    writer_deinit(&want.wr);
}

static void sums_that_were_wrong_stay(void **state)
{
    (void)state;
    uint8_t data[3][DATA];
    struct archive then;
    fill(data);
    build(&then, data);
    uint8_t *bytes = then.wr.data;
    bytes[then.record[0] + 16] ^= 1; /* claims what was never right */
    uint8_t *now = malloc(then.wr.size);
    memcpy(now, bytes, then.wr.size);
    now[then.data[0] + 3] ^= 1;
    struct archive want = then;
    want.wr.data = now;
    check_all(&then, &want, now, then.wr.size, 0);
    free(now);
    writer_deinit(&then.wr);
}

static void same_values_need_nothing(void **state)
{
    (void)state;
    uint8_t data[3][DATA];
    struct archive then;
    fill(data);
    build(&then, data);
    check_all(&then, &then, then.wr.data, then.wr.size, 0);
    writer_deinit(&then.wr);
}

static void contents_of_two_sizes_do_not_fit(void **state)
{
    (void)state;
    uint8_t byte = 0;
    const struct source a = source_of_bytes(bytes_of(&byte, 1));
    const struct source b = source_of_bytes(bytes_of(&byte, 0));
    const struct model model = {.size = 1};
    struct zip_sums *sums;
    assert_int_equal(zip_sums_new(&model, &a, &b, &sums), STATUS_USAGE);
    assert_null(sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_is_that_of_the_standard),
        cmocka_unit_test(sums_follow_the_values),
        cmocka_unit_test(sums_that_were_wrong_stay),
        cmocka_unit_test(same_values_need_nothing),
        cmocka_unit_test(contents_of_two_sizes_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
