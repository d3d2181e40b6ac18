/* Contents are written below the work folder: the check opens them by name. */
#include "daemon/ctl_candidate.h"

#include "daemon/ctl_encode.h"
#include "daemon/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The bench ---- */

enum status candidate_fileset(const int *fds, size_t count,
                              struct fileset **out, struct diag *diag)
{
    int copies[LIMIT_MANIFEST_FILES] = {0};
    size_t taken = 0;
    *out = NULL;
    while (taken < count && taken < LIMIT_MANIFEST_FILES &&
           (copies[taken] = fcntl(fds[taken], F_DUPFD_CLOEXEC, 3)) >= 0)
        taken++;
    if (taken == count)
        return fileset_of_fds(copies, count, out, diag);
    while (taken)
        close(copies[--taken]);
    return diag_fail(diag, STATUS_LIMIT, "too many open files");
}

static enum status open_target(struct candidate_bench *bench)
{
    struct model_part parts[LIMIT_MANIFEST_FILES];
    struct diag opaque = {""};
    size_t count = bench->files->count;
    enum status status = candidate_fileset(bench->files->fds, count,
                                           &bench->target_files, &bench->diag);
    if (status)
        return status;
    bench->target = fileset_source(bench->target_files);
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct model_part){bench->files->names[i],
                                       fileset_offset(bench->target_files, i),
                                       fileset_length(bench->target_files, i)};
    return model_parse(&bench->target, parts, count, &bench->target_model,
                       &opaque);
}

static enum status start_quantize(struct candidate_bench *bench)
{
    const struct quantize_params params = {
        .base = bench->base.held ? &bench->base.version.source : NULL,
        .base_model = bench->base.version.model,
        .target = &bench->target,
        .target_model = bench->target_model,
        .max_rank = QUANTIZE_RANK_MAX,
        .parallel = threads_parallel(bench->threads),
        .diag = &bench->diag};
    return quantize_new(&params, &bench->quantize);
}

/* The guard of the work folder forks: it goes before the threads. */
int candidate_bench_open(struct candidate_bench *bench, const char *model,
                         const char *parent)
{
    enum status status =
        workdir_open(&bench->dir, bench->request->check != NULL, &bench->diag);
    int exit =
        status ? CTL_OK
               : quantize_base_open(bench->ctl, model, parent, &bench->base);
    if (exit)
        return exit;
    if (!status)
        status = threads_new(0, &bench->threads);
    if (!status)
        status = open_target(bench);
    if (!status)
        status = start_quantize(bench);
    if (status)
        return ctl_fail(bench->ctl->verb, ctl_exit_of(status), "%s",
                        bench->diag.text[0] ? bench->diag.text
                                            : status_text(status));
    return CTL_OK;
}

void candidate_bench_close(struct candidate_bench *bench)
{
    zip_sums_free(bench->sums);
    quantize_free(bench->quantize);
    model_free(bench->target_model);
    fileset_free(bench->target_files);
    quantize_base_close(&bench->base);
    threads_free(bench->threads);
    workdir_close(&bench->dir);
}

/* ---- Making ---- */

static void measure(const struct candidate_bench *bench,
                    struct candidate *candidate)
{
    size_t count;
    const struct quantize_row *rows = quantize_rows(bench->quantize, &count);
    struct quantize_total total = quantize_total(bench->quantize);
    candidate->quantised = 0;
    for (size_t i = 0; i < count; i++)
        candidate->quantised += rows[i].state == QUANTIZE_STEPS;
    candidate->error = total.change > 0 ? total.error / total.change : 0;
}

static enum status encode(struct candidate_bench *bench,
                          const struct source *content,
                          const struct update_hints *hints,
                          struct candidate *candidate, int *update_fd)
{
    char path[PATH_MAX];
    struct ctl_content base = CTL_CONTENT_CLOSED, target = CTL_CONTENT_CLOSED;
    struct encoded made;
    const struct encode_options options = {.max_rank = UPDATE_RANK_MAX,
                                           .parallel =
                                               threads_parallel(bench->threads),
                                           .hints = hints};
    base.source = bench->base.version.source;
    base.model = bench->base.version.model;
    target.source = *content;
    target.model = bench->target_model;
    snprintf(path, sizeof(path), "%s/update", bench->dir.path);
    enum status status = ctl_encode(bench->base.held ? &base : NULL, &target,
                                    path, &options, NULL, &made, &bench->diag);
    if (status)
        return status;
    candidate->bytes = made.bytes;
    candidate->same = made.has_base && hash_equal(&made.base, &made.target);
    *update_fd = open(path, O_RDONLY | O_CLOEXEC);
    int err = errno;
    unlink(path);
    return *update_fd < 0 ? status_from_errno(err) : STATUS_OK;
}

enum status candidate_make(struct candidate_bench *bench,
                           struct candidate *candidate, int *update_fd)
{
    *update_fd = -1;
    zip_sums_free(bench->sums);
    bench->sums = NULL;
    enum status status = quantize_run(bench->quantize, &candidate->rule);
    if (!status)
        status = zip_sums_new(bench->target_model, &bench->target,
                              quantize_source(bench->quantize), &bench->sums);
    if (status)
        return status;
    measure(bench, candidate);
    return encode(bench, candidate_content(bench),
                  quantize_hints(bench->quantize), candidate, update_fd);
}

const struct source *candidate_content(const struct candidate_bench *bench)
{
    return zip_sums_source(bench->sums);
}

enum status candidate_make_exact(struct candidate_bench *bench,
                                 struct candidate *candidate, int *update_fd)
{
    *update_fd = -1;
    candidate->exact = true;
    return encode(bench, &bench->target, NULL, candidate, update_fd);
}

/* ---- Files ---- */

/* Below the work folder, the path of a file, or of the folder they are all in.
 */
static void path_of(const char *dir, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/candidate%s%s", dir, *name ? "/" : "", name);
}

static enum status make_parent(char *path)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    enum status status = fs_make_dirs(path, 0700);
    *slash = '/';
    return status;
}

static enum status write_piece(void *ctx, struct bytes piece)
{
    ssize_t put = 0;
    for (size_t at = 0; at < piece.size; at += (size_t)put) {
        put = write(*(const int *)ctx, piece.data + at, piece.size - at);
        if (put < 0 && errno == EINTR)
            put = 0;
        else if (put < 0)
            return status_from_errno(errno);
    }
    return STATUS_OK;
}

static struct timespec time_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? (struct timespec){.tv_nsec = -1} : st.st_mtim;
}

/* Sets a file's time back, so that whoever writes to it changes the time, too.
 */
static struct timespec time_mark(int fd)
{
    struct timespec now = time_of(fd);
    const struct timespec past = {now.tv_sec - 2, 0};
    const struct timespec both[2] = {past, past};
    (void)futimens(fd, both);
    return time_of(fd);
}

/* *out is open for reading alone. */
static enum status write_file(struct candidate_bench *bench,
                              const struct source *content, size_t index,
                              int *out)
{
    char path[PATH_MAX];
    path_of(bench->dir.path, bench->files->names[index], path);
    enum status status = make_parent(path);
    if (status)
        return status;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return status_from_errno(errno);
    status = source_each(content, fileset_offset(bench->target_files, index),
                         fileset_length(bench->target_files, index),
                         write_piece, &fd);
    if (close(fd) && !status)
        status = status_from_errno(errno);
    if (status)
        return status;
    *out = open(path, O_RDONLY | O_CLOEXEC);
    if (*out < 0)
        return status_from_errno(errno);
    bench->times[index] = time_mark(*out);
    return STATUS_OK;
}

enum status candidate_write(struct candidate_bench *bench,
                            const struct source *content, int *fds)
{
    enum status status = STATUS_OK;
    size_t count = bench->files->count, i;
    candidate_clear(bench);
    for (i = 0; i < count && !status; i++)
        status = write_file(bench, content, i, &fds[i]);
    if (!status)
        return STATUS_OK;
    i--; /* the last one was not opened */
    for (size_t k = 0; k < i; k++)
        close(fds[k]);
    if (status == STATUS_EXISTS)
        return diag_fail(&bench->diag, STATUS_USAGE,
                         "two files of the version would be %.120s, or one "
                         "below the other",
                         bench->files->names[i]);
    return diag_fail(&bench->diag, status, "a candidate in %.120s: %s",
                     bench->dir.path, status_text(status));
}

void candidate_clear(struct candidate_bench *bench)
{
    char path[PATH_MAX];
    path_of(bench->dir.path, "", path);
    enum status ignored = fs_remove(AT_FDCWD, path);
    (void)ignored; /* it goes with the folder */
}

/* ---- The check ---- */

static void on_group(void *ctx, pid_t group)
{
    struct candidate_bench *bench = ctx;
    workdir_group(&bench->dir, group);
}

/* What was judged must be what is published. */
static enum status expect_same(struct candidate_bench *bench, const int *fds)
{
    for (size_t i = 0; i < bench->files->count; i++) {
        struct timespec now = time_of(fds[i]), then = bench->times[i];
        if (now.tv_sec != then.tv_sec || now.tv_nsec != then.tv_nsec)
            return diag_fail(&bench->diag, STATUS_USAGE,
                             "the check changed %.120s, which it may only read",
                             bench->files->names[i]);
    }
    return STATUS_OK;
}

/* Once is enough. */
static void note_several(struct candidate_bench *bench,
                         const struct check_result *check)
{
    if (!bench->request->has_min || !check->several || bench->noted_several)
        return;
    bench->noted_several = true;
    if (bench->ctl->tty)
        fputs("\r\033[K", stderr);
    ctl_fail(bench->ctl->verb, CTL_OK,
             "warning: the last line of the check has several numbers; the "
             "first, %g, is the one that counts",
             check->value);
}

enum status candidate_check(struct candidate_bench *bench,
                            struct candidate *candidate, const int *fds)
{
    const struct quantize_request *request = bench->request;
    char path[PATH_MAX];
    const struct check_options options = {
        .command = request->check,
        .path = path,
        .has_min = request->has_min,
        .min = request->check_min,
        .timeout_s = (unsigned)request->check_timeout_s,
        .group = on_group,
        .ctx = bench};
    path_of(bench->dir.plain,
            bench->files->count == 1 ? bench->files->names[0] : "", path);
    enum status status = check_run(&options, &candidate->check, &bench->diag);
    if (!status)
        note_several(bench, &candidate->check);
    if (!status)
        status = expect_same(bench, fds);
    candidate->checked = !status;
    candidate->passed = !status && candidate->check.verdict == CHECK_PASSED;
    return status;
}
