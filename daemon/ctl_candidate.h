/* One candidate of a quantised version: its content, the update that leads to
 * it, and what the user's check says of it. */
#ifndef DAEMON_CTL_CANDIDATE_H
#define DAEMON_CTL_CANDIDATE_H

#include "codec/model/zip_sums.h"
#include "codec/quant/quantize.h"
#include "daemon/check_run.h"
#include "daemon/ctl_quantize.h"
#include "daemon/ctl_quantize_base.h"
#include "daemon/threads.h"
#include "daemon/workdir.h"
#include "protocol/limits.h"

#include <time.h>

/* What all candidates of a run share. Zeroes with candidate_bench_init. */
struct candidate_bench {
    struct ctl *ctl;
    const struct quantize_request *request;
    const struct quantize_files *files;
    struct workdir dir;
    struct threads *threads;
    struct quantize_base base;
    struct fileset *target_files; /* the exact content */
    struct source target;
    struct model *target_model;
    struct quantize *quantize;
    struct zip_sums *sums; /* over the content that it made last */
    struct timespec times[LIMIT_MANIFEST_FILES]; /* of files as written */
    bool noted_several;                          /* numbers on a line */
    struct diag diag;
};

/* Opens everything; the exit status, with the error told. Release it in any
 * case. */
int candidate_bench_open(struct candidate_bench *bench, const char *model,
                         const char *parent);
void candidate_bench_close(struct candidate_bench *bench);

/* A set of files over copies of descriptors, which stay the caller's. */
enum status candidate_fileset(const int *fds, size_t count,
                              struct fileset **out, struct diag *diag)
    MUST_CHECK;

struct candidate {
    bool exact; /* the files as they were given: no rule */
    struct quantize_rule rule;
    size_t quantised; /* tensors */
    double error;     /* of the change from what runs (or of the values) */
    uint64_t bytes;   /* of the update; 0: was not made */
    bool same;        /* is what runs: needs no update */
    bool checked;
    struct check_result check;
    bool judged; /* else nothing is known of it */
    bool passed;
};

/* Quantises by a rule and makes the update. *update_fd: the update file, open
 * for reading and without a name. */
enum status candidate_make(struct candidate_bench *bench,
                           struct candidate *candidate, int *update_fd)
    MUST_CHECK;

/* The content made last, until the next is. */
const struct source *candidate_content(const struct candidate_bench *bench);

/* The same for the exact content. */
enum status candidate_make_exact(struct candidate_bench *bench,
                                 struct candidate *candidate, int *update_fd)
    MUST_CHECK;

/* Writes a content of the target's layout as files with their names; fds, as
 * many as files, are open for reading. One that is there is replaced. */
enum status candidate_write(struct candidate_bench *bench,
                            const struct source *content, int *fds) MUST_CHECK;

/* Runs the check on what candidate_write wrote to fds; as check_run, and USAGE
 * for one that changed the files. */
enum status candidate_check(struct candidate_bench *bench,
                            struct candidate *candidate, const int *fds)
    MUST_CHECK;

/* Removes what candidate_write wrote; descriptors stay readable. */
void candidate_clear(struct candidate_bench *bench);

#endif
