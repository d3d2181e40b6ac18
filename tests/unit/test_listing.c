/* Listings: from folders, to bytes and back; what does not fit is refused. */
#include "daemon/listing.h"
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct line {
    const char *path;
    uint64_t size;
};

static void build(struct writer *wr, const struct line *lines, size_t count)
{
    writer_init_heap(wr, 1 << 20);
    writer_varint(wr, count);
    for (size_t i = 0; i < count; i++) {
        writer_varint(wr, strlen(lines[i].path));
        writer_bytes(wr, lines[i].path, strlen(lines[i].path));
        writer_varint(wr, lines[i].size);
    }
}

static enum status parse_lines(const struct line *lines, size_t count)
{
    struct writer wr;
    struct listing listing;
    build(&wr, lines, count);
    enum status status = listing_parse(writer_view(&wr), &listing);
    listing_free(&listing);
    writer_deinit(&wr);
    return status;
}

static void what_is_written_reads_back(void **state)
{
    static const struct line lines[] = {
        {"a", 0}, {"b-c", 5}, {"b/c", 1ull << 40}, {"b/d/e.bin", 7}};
    struct writer in, out;
    struct listing listing;
    (void)state;
    build(&in, lines, 4);
    assert_int_equal(listing_parse(writer_view(&in), &listing), STATUS_OK);
    assert_int_equal(listing.count, 4);
    assert_int_equal(listing.size, (1ull << 40) + 12);
    assert_true(listing_has(&listing, "b/d/e.bin"));
    assert_false(listing_has(&listing, "b/d"));
    writer_init_heap(&out, 1 << 20);
    listing_write(&listing, &out);
    assert_true(bytes_equal(writer_view(&in), writer_view(&out)));
    listing_free(&listing);
    for (size_t size = 0; size < in.size; size++)
        assert_int_not_equal(listing_parse(bytes_of(in.data, size), &listing),
                             STATUS_OK);
    writer_u8(&in, 0);
    assert_int_equal(listing_parse(writer_view(&in), &listing), STATUS_CORRUPT);
    writer_deinit(&in);
    writer_deinit(&out);
}

static void odd_lists_are_refused(void **state)
{
    static const struct line unsorted[] = {{"b", 1}, {"a", 1}};
    static const struct line twice[] = {{"a", 1}, {"a", 1}};
    static const struct line above[] = {{"a", 1}, {"a-b", 1}, {"a/b", 1}};
    static const struct line bad[][1] = {
        {{"../a", 1}}, {{"/a", 1}},   {{".a", 1}},  {{"a/../b", 1}},
        {{"", 1}},     {{"a//b", 1}}, {{"a b", 1}}, {{"-a", 1}}};
    static const struct line huge[] = {{"a", UINT64_MAX}};
    (void)state;
    assert_int_equal(parse_lines(unsorted, 2), STATUS_CORRUPT);
    assert_int_equal(parse_lines(twice, 2), STATUS_CORRUPT);
    assert_int_equal(parse_lines(above, 3), STATUS_CORRUPT);
    assert_int_equal(parse_lines(above, 2), STATUS_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(parse_lines(bad[i], 1), STATUS_CORRUPT);
    assert_int_equal(parse_lines(huge, 1), STATUS_LIMIT);
    assert_int_equal(parse_lines(NULL, 0), STATUS_CORRUPT);
}

static void too_many_files_are_refused(void **state)
{
    struct line lines[LISTING_FILES_MAX + 1];
    char names[LISTING_FILES_MAX + 1][8];
    (void)state;
    for (unsigned i = 0; i <= LISTING_FILES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "f%03u", i);
        lines[i] = (struct line){names[i], 1};
    }
    assert_int_equal(parse_lines(lines, LISTING_FILES_MAX), STATUS_OK);
    assert_int_equal(parse_lines(lines, LISTING_FILES_MAX + 1), STATUS_LIMIT);
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void folders_are_listed_in_order(void **state)
{
    char dir[] = "/tmp/listing-XXXXXX", sub[64];
    static const char *const names[] = {"a", "b-c", "b/x", "z"};
    struct listing listing;
    struct diag diag;
    (void)state;
    diag_reset(&diag);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(listing_of_folder(dir, &listing, &diag), STATUS_OK);
    assert_int_equal(listing.count, 0);
    snprintf(sub, sizeof(sub), "%s/b", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    put(dir, "z", "12");
    put(dir, "b/x", "345");
    put(dir, "b-c", "");
    put(dir, "a", "6");
    assert_int_equal(listing_of_folder(dir, &listing, &diag), STATUS_OK);
    assert_int_equal(listing.count, 4);
    assert_int_equal(listing.size, 6);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(listing.files[i].path, names[i]);
    listing_free(&listing);
    put(dir, ".hidden", "");
    assert_int_equal(listing_of_folder(dir, &listing, &diag), STATUS_USAGE);
    assert_non_null(strstr(diag.text, ".hidden"));
    assert_int_equal(listing_of_folder("/nonexistent", &listing, NULL),
                     STATUS_NOT_FOUND);
    char command[80];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(odd_lists_are_refused),
        cmocka_unit_test(too_many_files_are_refused),
        cmocka_unit_test(folders_are_listed_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
