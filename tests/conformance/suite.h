/* What the conformance programs share: they take files or folders of JSON
 * vectors, give each case to a function, count, and print
 * `N passed, N failed, N skipped` as the last line. */
#ifndef TESTS_CONFORMANCE_SUITE_H
#define TESTS_CONFORMANCE_SUITE_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

#include <jansson.h>

enum suite_result {
    SUITE_PASS,
    SUITE_FAIL,
    SUITE_SKIP
};

/* Runs one case. why is an empty text of why_size bytes, to be filled for FAIL
 * and SKIP. */
typedef enum suite_result (*suite_case_fn)(const json_t *vector, char *why,
                                           size_t why_size);

/* The whole of main(): name is the suite's folder below tests/vectors, used
 * when there are no arguments; array is the member of a file that lists the
 * cases; key is a member that every case has. Returns the exit status. */
int suite_main(int argc, char **argv, const char *name, const char *array,
               const char *key, suite_case_fn run);

#define SUITE_BLOB_MAX 70000u

/* Bytes from hex; size 0 and ok when the member is missing and optional. */
struct suite_blob {
    uint8_t b[SUITE_BLOB_MAX];
    size_t size;
    bool present;
};

/* A member's hex, either case. False when it is no hex or too long; a missing
 * member leaves present false. */
bool suite_hex(const json_t *object, const char *member,
               struct suite_blob *out);
bool suite_hex_text(const char *text, struct suite_blob *out);

static inline struct bytes suite_view(const struct suite_blob *blob)
{
    return bytes_of(blob->b, blob->size);
}

/* A text member, or "" when missing. */
const char *suite_text(const json_t *object, const char *member);

/* Whether the array member "flags" holds this text. */
bool suite_flag(const json_t *object, const char *flag);

/* Fills why and returns FAIL or SKIP. */
enum suite_result suite_because(enum suite_result result, char *why,
                                size_t why_size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
