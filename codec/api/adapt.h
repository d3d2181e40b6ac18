/* Between the public structures and ours: what every file of the installed
 * library's face uses. */
#ifndef CODEC_API_ADAPT_H
#define CODEC_API_ADAPT_H

#include "codec/base/source.h"

#include <deltamesh/io.h>

/* A public source as one of ours. Must stay where it is while it is used. */
struct adapt_source {
    struct dmc_source from;
    struct source source;
};

/* USAGE: from is NULL, or memory that is not there. */
enum status adapt_source_init(struct adapt_source *adapt,
                              const struct dmc_source *from, struct diag *diag)
    MUST_CHECK;

/* What a callback answered: a positive number is none of its promises, IO. */
enum status adapt_answer(int answer);

/* USAGE: NULL, or it cannot be written to. */
enum status adapt_sink_check(const struct dmc_sink *sink, struct diag *diag)
    MUST_CHECK;

enum status adapt_write(const struct dmc_sink *sink, struct bytes bytes)
    MUST_CHECK;

/* The end of a public function: hands on the words, or the status's own. */
enum dmc_status adapt_end(enum status status, const struct diag *diag,
                          struct dmc_error *error);

/* Takes in a structure of the caller that begins with its struct_size.
 *
 * out    known bytes: what ours has; fields that the caller's lacks become 0
 * least  the size it had at first
 *
 * USAGE: NULL, or smaller than it ever was. UNSUPPORTED: fields that we do not
 * know, not all 0. */
enum status adapt_params(const void *in, size_t least, void *out, size_t known,
                         struct diag *diag) MUST_CHECK;

/* The other way: fills a structure of the caller's from ours as far as both
 * go, and what only the caller's has with zeroes. USAGE as above. */
enum status adapt_result(const void *from, size_t known, size_t least,
                         void *out) MUST_CHECK;

#endif
