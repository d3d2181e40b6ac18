/* Model files in a list, with what a parser is to say of each:
 * tests/data/formats/NAME.json, written by tests/gen/model_files.py. */
#ifndef TESTS_SUPPORT_FORMAT_CASES_H
#define TESTS_SUPPORT_FORMAT_CASES_H

#include "codec/model/model.h"

#include <stdbool.h>

/* Parses each case of the list and compares; returns how many there were. A
 * difference fails the test that calls. */
unsigned format_cases_run(const char *name);

/* Cuts the first file of each case at every byte, and changes every byte of it
 * in three ways: whatever is taken must be sound. */
unsigned format_cases_damage(const char *name);

/* Parses each case with every allocation failing once, and all behind it: the
 * answer is NO_MEMORY, or as if none had failed. */
unsigned format_cases_starve(const char *name);

#define FORMAT_FILES_MAX 8u

/* A content of real files next to the source tree (paths below
 * ../shared/corpus), and the share of its bytes that must be tensors. */
struct format_real {
    const char *paths[FORMAT_FILES_MAX];
    size_t count;
    double share;
};

/* Reads one; false when it is not there. */
bool format_corpus_covered(const struct format_real *real);

#endif
