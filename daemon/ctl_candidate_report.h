/* What is told of the candidates of a quantised version. */
#ifndef DAEMON_CTL_CANDIDATE_REPORT_H
#define DAEMON_CTL_CANDIDATE_REPORT_H

#include "daemon/ctl_candidate.h"
#include "daemon/table.h"

/* All borrowed. */
struct candidate_report {
    const struct candidate *tried;
    size_t count;
    const struct candidate *chosen; /* one of them; NULL: the exact content */
    uint64_t target_size;
    const char *text; /* as --quantize had it */
    const char *base; /* version in hex; "" without */
};

/* "exact", "auto", "error=0.8", "qp=-40", "max-error=0.001". */
const char *candidate_strength(const struct candidate *c, char out[TABLE_WORD]);

/* In the order they were tried. {"rule", "base", "exact", "candidates":
 * [{"strength", "bytes", "error", "tensors", "exit", "value", "seconds",
 * "passed", "chosen"}]}: exit, value and seconds are there when the check ran
 * and printed a number. */
json_t *candidate_report_json(const struct candidate_report *report);

/* A table, the coarsest first: strength, bytes of the update, error, the
 * check's value, verdict. */
void candidate_report_print(const struct candidate_report *report, FILE *out);

#endif
