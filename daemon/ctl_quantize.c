/* Which candidates are made, and which of them is published. */
#include "daemon/ctl_quantize.h"

#include "daemon/candidates.h"
#include "daemon/ctl_candidate.h"
#include "daemon/ctl_candidate_report.h"
#include "daemon/table.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- What was asked for ---- */

static bool parse_number(const char *text, bool percent, double *out)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || !isfinite(*out))
        return false;
    if (percent && *end == '%') {
        *out /= 100;
        end++;
    }
    return !*end;
}

bool quantize_request_parse(struct quantize_request *request, const char *text)
{
    double *value = &request->value;
    request->text = text;
    if (!strcmp(text, "auto")) {
        request->goal = QUANTIZE_GOAL_AUTO;
        return true;
    }
    if (!strncmp(text, "qp=", 3)) {
        request->goal = QUANTIZE_GOAL_QP;
        return parse_number(text + 3, false, value) && *value == rint(*value) &&
               *value >= QUANTIZE_QP_MIN && *value <= QUANTIZE_QP_MAX;
    }
    if (!strncmp(text, "max-error=", 10)) {
        request->goal = QUANTIZE_GOAL_MAX_ERROR;
        return parse_number(text + 10, false, value) && *value > 0;
    }
    request->goal = QUANTIZE_GOAL_RATIO;
    return !strncmp(text, "target-ratio=", 13) &&
           parse_number(text + 13, true, value) && *value > 0 && *value <= 1;
}

/* ---- The row of candidates ---- */

/* Candidate i has value first * factor^i, or of QP first + i * factor. */
struct axis {
    enum quantize_mode mode;
    double first, factor;
    size_t count, start;
};

/* Candidates for each factor of two. */
#define AXIS_FINE  4.0 /* for a check */
#define AXIS_RATIO 8.0 /* for a size */

/* Relative errors: the largest, and how many factors of two below it the
 * smallest is. The usual error lies between them. */
#define AXIS_LARGEST      0.95
#define AXIS_LARGEST_FULL 0.16 /* without a base */
#define AXIS_OCTAVES      7.0

#define AXIS_MAX_ERRORS 33u /* eight octaves */
#define AXIS_QPS        13u /* twelve octaves */
#define AXIS_QP_STEP    4.0 /* an octave of density 2 */

/* Of relative errors, the largest first. The start is the usual one, or the
 * next below it. */
static struct axis axis_of_errors(const struct candidate_bench *bench,
                                  double fine)
{
    bool held = bench->base.held;
    double largest = held ? AXIS_LARGEST : AXIS_LARGEST_FULL;
    double usual = held ? QUANTIZE_AUTO_ERROR : QUANTIZE_AUTO_FULL;
    return (struct axis){.mode = QUANTIZE_ERROR,
                         .first = largest,
                         .factor = exp2(-1 / fine),
                         .count = (size_t)(AXIS_OCTAVES * fine) + 1,
                         .start =
                             (size_t)ceil(log2(largest / usual) * fine - 1e-6)};
}

/* The same with the smallest first: for a size the smallest error is wanted. */
static struct axis axis_of_sizes(const struct candidate_bench *bench)
{
    struct axis axis = axis_of_errors(bench, AXIS_RATIO);
    axis.first *= pow(axis.factor, (double)axis.count - 1);
    axis.factor = 1 / axis.factor;
    axis.start = axis.count - 1 - axis.start;
    return axis;
}

static struct axis axis_of(const struct candidate_bench *bench)
{
    const struct quantize_request *request = bench->request;
    struct axis axis = {.mode = QUANTIZE_AUTO, .factor = 1, .count = 1};
    if (request->goal == QUANTIZE_GOAL_RATIO)
        return axis_of_sizes(bench);
    if (request->goal == QUANTIZE_GOAL_AUTO)
        return request->check ? axis_of_errors(bench, AXIS_FINE) : axis;
    axis.first = request->value;
    if (request->goal == QUANTIZE_GOAL_QP) {
        double left = (request->value - QUANTIZE_QP_MIN) / AXIS_QP_STEP + 1;
        axis.mode = QUANTIZE_QP;
        axis.factor = -AXIS_QP_STEP;
        axis.count = left < AXIS_QPS ? (size_t)left : AXIS_QPS;
    } else {
        axis.mode = QUANTIZE_MAX_ERROR;
        axis.factor = exp2(-1 / AXIS_FINE);
        axis.count = AXIS_MAX_ERRORS;
    }
    if (!request->check)
        axis.count = 1;
    return axis;
}

static struct quantize_rule axis_rule(const struct axis *axis, size_t index)
{
    double i = (double)index;
    return (struct quantize_rule){axis->mode,
                                  axis->mode == QUANTIZE_QP
                                      ? axis->first + i * axis->factor
                                      : axis->first * pow(axis->factor, i)};
}

/* ---- The run ---- */

#define TRIED_MAX (CANDIDATES_MAX + 2u)

struct run {
    struct candidate_bench bench;
    struct quantize_files *files;
    struct axis axis;
    struct candidates search;
    struct candidate tried[TRIED_MAX];
    size_t tried_count;
    /* of the best so far */
    struct candidate *kept; /* one of tried, or NULL */
    int fds[LIMIT_MANIFEST_FILES];
    int update_fd;
};

static int fail(const struct run *run, enum status status, int exit)
{
    if (run->bench.ctl->tty)
        fputs("\r\033[K", stderr);
    if (status == STATUS_NO_SPACE)
        return ctl_fail(run->bench.ctl->verb, exit,
                        "no space left for a candidate in %s; TMPDIR can name "
                        "another folder",
                        run->bench.dir.path);
    return ctl_fail(run->bench.ctl->verb, exit, "%s",
                    run->bench.diag.text[0] ? run->bench.diag.text
                                            : status_text(status));
}

/* A check that cannot be run is no wrong command line of ours. */
static int fail_check(const struct run *run, enum status status)
{
    return fail(run, status,
                status == STATUS_TIMEOUT ? CTL_TIMEOUT : CTL_FAILED);
}

static void drop_kept(struct run *run)
{
    for (size_t i = 0; run->kept && i < run->files->count; i++)
        close(run->fds[i]);
    if (run->update_fd >= 0)
        close(run->update_fd);
    run->update_fd = -1;
    run->kept = NULL;
}

/* Takes the descriptors. */
static void keep(struct run *run, struct candidate *candidate, const int *fds,
                 int update_fd)
{
    drop_kept(run);
    memcpy(run->fds, fds, run->files->count * sizeof(*fds));
    run->update_fd = update_fd;
    run->kept = candidate;
}

static uint64_t bytes_allowed(const struct run *run)
{
    return (uint64_t)(run->bench.request->value *
                      (double)run->bench.target.size);
}

static void show_progress(const struct run *run, const struct candidate *c)
{
    char bytes[TABLE_WORD];
    if (!run->bench.ctl->tty)
        return;
    fprintf(stderr, "\rcandidate %zu: error %.3g, update %s%s\033[K",
            run->tried_count, c->error, table_bytes(c->bytes, bytes),
            run->bench.request->check ? ", being checked" : "");
}

/* True for one that is published rather than what is kept. With a check the
 * fewest bytes win, for a size the smallest error. */
static bool better(const struct run *run, const struct candidate *c)
{
    if (!c->passed || !run->kept)
        return c->passed;
    return run->bench.request->goal == QUANTIZE_GOAL_RATIO
               ? c->error < run->kept->error
               : c->bytes < run->kept->bytes;
}

/* Judges what was written to files; fds and the update are taken. */
static int judge(struct run *run, struct candidate *c, int *fds, int update_fd)
{
    enum status status = STATUS_OK;
    if (run->bench.request->goal == QUANTIZE_GOAL_RATIO)
        c->passed = c->bytes <= bytes_allowed(run);
    else if (run->bench.request->check)
        status = candidate_check(&run->bench, c, fds);
    else
        c->passed = true;
    candidate_clear(&run->bench);
    c->judged = !status;
    if (!status && better(run, c)) {
        keep(run, c, fds, update_fd);
        return CTL_OK;
    }
    for (size_t i = 0; i < run->files->count; i++)
        close(fds[i]);
    if (update_fd >= 0)
        close(update_fd);
    return status ? fail_check(run, status) : CTL_OK;
}

static struct candidate *next_row(struct run *run)
{
    struct candidate *c = &run->tried[run->tried_count];
    if (run->tried_count + 1 < TRIED_MAX)
        run->tried_count++;
    memset(c, 0, sizeof(*c));
    return c;
}

/* On the way to finer steps there is an end: to one that levels or qp have no
 * room for. The exact content lies behind it. */
static bool is_too_fine(const struct run *run, size_t index, enum status status)
{
    return run->bench.request->check && index > run->axis.start &&
           (status == STATUS_LIMIT || status == STATUS_USAGE);
}

static int fail_make(struct run *run, const struct candidate *c,
                     enum status status)
{
    char name[TABLE_WORD];
    if (status == STATUS_LIMIT && !run->bench.diag.text[0])
        diag_fail(&run->bench.diag, status,
                  "%s: levels of so small a step would not fit 32 bits",
                  candidate_strength(c, name));
    return fail(run, status, ctl_exit_of(status));
}

/* *nothing: no tensor is quantised by this rule, the content is the exact one,
 * as it is for all finer rules. */
static int try_one(struct run *run, size_t index, bool *nothing)
{
    struct candidate *c = next_row(run);
    int fds[LIMIT_MANIFEST_FILES], update_fd;
    c->rule = axis_rule(&run->axis, index);
    enum status status = candidate_make(&run->bench, c, &update_fd);
    if (is_too_fine(run, index, status)) {
        diag_reset(&run->bench.diag);
        candidates_note(&run->search, index, false);
        return CTL_OK;
    }
    if (status)
        return fail_make(run, c, status);
    show_progress(run, c);
    *nothing = !c->quantised;
    status = candidate_write(&run->bench, candidate_content(&run->bench), fds);
    if (status) {
        close(update_fd);
        return fail(run, status, ctl_exit_of(status));
    }
    int exit = judge(run, c, fds, update_fd);
    if (!exit)
        candidates_note(&run->search, index, c->passed);
    return exit;
}

/* *nothing: the last one tried is the exact content. One that does not fit a
 * size says nothing of the coarser ones. */
static int search(struct run *run, bool *nothing)
{
    size_t index;
    int exit = CTL_OK;
    bool by_size = run->bench.request->goal == QUANTIZE_GOAL_RATIO;
    candidates_init(&run->search, run->axis.count, run->axis.start);
    *nothing = false;
    while (!exit && !*nothing && candidates_next(&run->search, &index)) {
        exit = try_one(run, index, nothing);
        if (by_size && !run->tried[run->tried_count - 1].passed)
            *nothing = false;
    }
    if (run->bench.ctl->tty)
        fputs("\r\033[K", stderr);
    return exit;
}

/* ---- When the row is at its end ---- */

/* Checks the content given: the exact one, or what is kept. */
static int check_content(struct run *run, const struct source *content,
                         struct candidate *c)
{
    int fds[LIMIT_MANIFEST_FILES];
    enum status status = candidate_write(&run->bench, content, fds);
    if (status)
        return fail(run, status, ctl_exit_of(status));
    status = candidate_check(&run->bench, c, fds);
    for (size_t i = 0; i < run->files->count; i++)
        close(fds[i]);
    candidate_clear(&run->bench);
    c->judged = !status;
    return status ? fail_check(run, status) : CTL_OK;
}

static int fail_verdict(const struct run *run, const struct candidate *c,
                        int exit, const char *what)
{
    const struct check_result *check = &c->check;
    char why[96];
    if (check->exit)
        snprintf(why, sizeof(why), "exit status %d", check->exit);
    else
        snprintf(why, sizeof(why), "%g, and --check-min is %g", check->value,
                 run->bench.request->check_min);
    return ctl_fail(run->bench.ctl->verb, exit,
                    "%s does not pass the check (%s); nothing was published",
                    what, why);
}

static int fail_exact(const struct run *run, const struct candidate *exact)
{
    return fail_verdict(run, exact, CTL_BAD_INPUT, "the model itself");
}

/* No candidate passes: is it the quantising, or the model itself? */
static int check_exact(struct run *run)
{
    struct candidate *exact = &run->tried[run->tried_count - 1];
    if (!exact->exact) /* else its update was made before */
        exact = next_row(run);
    exact->exact = true;
    int exit = check_content(run, &run->bench.target, exact);
    return exit || exact->passed ? exit : fail_exact(run, exact);
}

static int none_fits(const struct run *run)
{
    char have[TABLE_WORD], want[TABLE_WORD];
    const struct candidate *c = &run->tried[0];
    for (size_t i = 1; i < run->tried_count; i++)
        if (run->tried[i].bytes < c->bytes)
            c = &run->tried[i];
    return ctl_fail(run->bench.ctl->verb, CTL_FAILED,
                    "no update of %s or less is possible: the smallest, at "
                    "error %.3g, has %s; nothing was published",
                    table_bytes(bytes_allowed(run), want), c->error,
                    table_bytes(c->bytes, have));
}

/* Where the finest candidate fits, the exact content may, too. */
static int try_exact(struct run *run)
{
    struct candidate *c = next_row(run);
    int update_fd;
    enum status status = candidate_make_exact(&run->bench, c, &update_fd);
    if (status)
        return fail(run, status, ctl_exit_of(status));
    close(update_fd); /* the daemon makes this one as well */
    c->judged = true;
    c->passed = c->bytes <= bytes_allowed(run);
    if (c->passed)
        drop_kept(run);
    return CTL_OK;
}

static int check_kept(struct run *run)
{
    struct candidate *c = run->kept;
    struct fileset *files = NULL;
    enum status status = candidate_fileset(run->fds, run->files->count, &files,
                                           &run->bench.diag);
    if (status)
        return fail(run, status, ctl_exit_of(status));
    const struct source content = fileset_source(files);
    int exit = check_content(run, &content, c);
    fileset_free(files);
    if (exit || c->passed)
        return exit;
    return fail_verdict(run, c, CTL_FAILED,
                        "the best model with an update so small");
}

static int settle_ratio(struct run *run)
{
    size_t best;
    int exit = CTL_OK;
    if (!run->kept)
        return none_fits(run);
    if (candidates_best(&run->search, &best) && !best)
        exit = try_exact(run);
    if (exit || !run->bench.request->check)
        return exit;
    return run->kept ? check_kept(run) : check_exact(run);
}

/* The last one tried is the exact content. */
static int settle_exact(struct run *run)
{
    const struct quantize_request *request = run->bench.request;
    const struct candidate *c = &run->tried[run->tried_count - 1];
    if (!c->passed)
        return run->kept ? CTL_OK : fail_exact(run, c);
    drop_kept(run);
    return request->goal == QUANTIZE_GOAL_RATIO && request->check
               ? check_exact(run)
               : CTL_OK;
}

static int settle(struct run *run)
{
    if (run->bench.request->goal == QUANTIZE_GOAL_RATIO)
        return settle_ratio(run);
    return run->kept ? CTL_OK : check_exact(run);
}

/* ---- The result ---- */

static void add_meta(const struct run *run)
{
    char text[64];
    json_t *meta = run->files->meta;
    const struct candidate *c = run->kept;
    json_object_set_new(meta, "quantized",
                        json_string(run->bench.request->text));
    snprintf(text, sizeof(text), "%.4g", c->error);
    json_object_set_new(meta, "quantized-error", json_string(text));
    if (c->checked && c->check.has_value) {
        snprintf(text, sizeof(text), "%.6g", c->check.value);
        json_object_set_new(meta, "quantized-check", json_string(text));
    }
    if (run->bench.base.held) {
        snprintf(text, sizeof(text), "%.16s", run->bench.base.version.id);
        json_object_set_new(meta, "quantized-base", json_string(text));
    }
}

/* Somebody who evaluated it knows what it is worth. */
static void warn_of_nothing(const struct run *run)
{
    if (run->kept->error < 1 || run->kept->checked)
        return;
    ctl_fail(run->bench.ctl->verb, CTL_OK,
             "note: with --quantize %s nothing of the change is left; a finer "
             "step keeps more",
             run->bench.request->text);
}

/* The files become those of the candidate kept. */
static void hand_over(struct run *run)
{
    warn_of_nothing(run);
    for (size_t i = 0; i < run->files->count; i++) {
        close(run->files->fds[i]);
        run->files->fds[i] = run->fds[i];
    }
    add_meta(run);
    bool same = run->kept->same;
    run->kept = NULL;
    /* The daemon makes full updates, and would refuse one that came along, as
     * it would one to what it starts from. */
    if (!run->bench.base.held || same)
        return;
    run->files->update_fd = run->update_fd;
    run->update_fd = -1;
}

static void report(struct run *run, bool done, bool nothing)
{
    const struct quantize_request *request = run->bench.request;
    const struct candidate_report told = {
        .tried = run->tried,
        .count = run->tried_count,
        .chosen = run->kept,
        .target_size = run->bench.target.size,
        .text = request->text,
        .base = run->bench.base.held ? run->bench.base.version.id : "",
    };
    run->files->report = candidate_report_json(&told);
    if (run->bench.ctl->json)
        return;
    candidate_report_print(&told, stdout);
    if (done && nothing && run->tried_count == 1)
        puts("nothing to quantise: no float tensor changed that can be; "
             "published as it is");
    else if (done && !run->kept)
        puts("the exact model is published");
}

static int quantize(struct run *run, const char *model, const char *parent)
{
    bool nothing = false;
    int exit = candidate_bench_open(&run->bench, model, parent);
    if (exit)
        return exit;
    run->axis = axis_of(&run->bench);
    exit = search(run, &nothing);
    if (!exit)
        exit = nothing ? settle_exact(run) : settle(run);
    if (exit)
        drop_kept(run);
    if (run->tried_count)
        report(run, !exit, nothing);
    if (!exit && run->kept)
        hand_over(run);
    return exit;
}

int ctl_quantize(struct ctl *ctl, const char *model, const char *parent,
                 const struct quantize_request *request,
                 struct quantize_files *files)
{
    struct run *run = calloc(1, sizeof(*run));
    if (!run)
        return ctl_fail(ctl->verb, CTL_FAILED, "%s",
                        status_text(STATUS_NO_MEMORY));
    run->bench.ctl = ctl;
    run->bench.request = request;
    run->bench.files = run->files = files;
    run->update_fd = files->update_fd = -1;
    int exit = quantize(run, model, parent);
    drop_kept(run);
    candidate_bench_close(&run->bench);
    free(run);
    return exit;
}
