/* deltamesh bench: our updates beside what other programs make of the same two
 * models. A child does the work, so that whatever ends it, the folder of
 * temporary files is removed. Needs no daemon. */
#include "daemon/ctl_decode.h"
#include "daemon/ctl_encode.h"
#include "daemon/ctl_offline.h"
#include "daemon/fs.h"
#include "daemon/out_set.h"
#include "daemon/table.h"
#include "daemon/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char bench_usage[] =
    "usage: deltamesh bench [--max-rank N] [--threads N] [--json] BASE TARGET\n"
    "  bytes and seconds of an update, ours fast and small, beside zstd, "
    "xdelta3\n  and bsdiff where they are installed; every result is compared "
    "with TARGET;\n  our decoding includes the check of the base\n";

/* bsdiff takes some 17 times the base in memory. */
#define BENCH_BSDIFF_MAX (256u << 20)
/* Above this, zstd must be told to look so far. */
#define BENCH_LONG_MIN (64u << 20)

struct bench {
    struct ctl *ctl;
    const char *base_path, *target_path; /* as given */
    unsigned width, max_rank;
    char folder[PATH_MAX / 2]; /* of temporary files */
    char base_file[PATH_MAX];  /* what other programs are given */
    char target_file[PATH_MAX];
    char coded[PATH_MAX], decoded[PATH_MAX];
    struct threads *threads;
    struct ctl_content base, target;
    struct hash tree; /* of the target */
    struct table *table;
    struct diag diag;
    bool inexact;
};

struct contender {
    const char *name;
    const char *encode[10]; /* words; see bench_word */
    const char *decode[10];
    uint64_t base_max; /* 0: any */
};

static const struct contender contenders[] = {
    {"zstd -3 --patch-from",
     {"zstd", "-3", "THREADS", "LONG", "-f", "-q", "PATCH", "TARGET", "-o",
      "CODED"},
     {"zstd", "-d", "LONG", "-f", "-q", "PATCH", "CODED", "-o", "OUT"},
     0},
    {"zstd -19 --patch-from",
     {"zstd", "-19", "THREADS", "LONG", "-f", "-q", "PATCH", "TARGET", "-o",
      "CODED"},
     {"zstd", "-d", "LONG", "-f", "-q", "PATCH", "CODED", "-o", "OUT"},
     0},
    {"xdelta3 -9",
     {"xdelta3", "-e", "-9", "-f", "-q", "WINDOW", "-s", "BASE", "TARGET",
      "CODED"},
     {"xdelta3", "-d", "-f", "-q", "WINDOW", "-s", "BASE", "CODED", "OUT"},
     0},
    {"bsdiff",
     {"bsdiff", "BASE", "TARGET", "CODED"},
     {"bspatch", "BASE", "OUT", "CODED"},
     BENCH_BSDIFF_MAX},
};

static double bench_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- What is said ---- */

static void bench_skip(struct bench *b, const char *name, const char *why)
{
    if (b->ctl->json) {
        json_t *json = json_pack("{s:s, s:s}", "coder", name, "skipped", why);
        ctl_print_json(b->ctl, json);
        json_decref(json);
        fflush(stdout);
        return;
    }
    table_row(b->table, name, "-", "-", "-", "-", why);
}

static void bench_row(struct bench *b, const char *name, uint64_t bytes,
                      double encode_s, double decode_s, bool exact)
{
    char size[32], share[32], encode[32], decode[32];
    uint64_t raw = b->target.source.size;
    double percent = raw ? 100.0 * (double)bytes / (double)raw : 0;
    b->inexact |= !exact;
    if (b->ctl->json) {
        json_t *json =
            json_pack("{s:s, s:I, s:f, s:f, s:f, s:b}", "coder", name, "bytes",
                      (json_int_t)bytes, "percent", percent, "encode_s",
                      encode_s, "decode_s", decode_s, "exact", (int)exact);
        ctl_print_json(b->ctl, json);
        json_decref(json);
        fflush(stdout);
        return;
    }
    snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
    snprintf(share, sizeof(share), "%.2f", percent);
    snprintf(encode, sizeof(encode), "%.3f", encode_s);
    snprintf(decode, sizeof(decode), "%.3f", decode_s);
    table_row(b->table, name, size, share, encode, decode,
              exact ? "exact" : "NOT EXACT");
}

/* ---- Ours ---- */

static enum status ours_put(void *ctx, const struct decoded *decoded,
                            struct diag *diag)
{
    return out_set_write(ctx, decoded->plain, diag);
}

/* As patch does it, but for the wait until the disk has it. */
static enum status ours_decode(struct bench *b)
{
    struct ctl_update update;
    struct ctl_content base = CTL_CONTENT_CLOSED;
    struct out_set out;
    const struct decode_params params = {
        .update = &update,
        .base = &base.source,
        .parallel = threads_parallel(b->threads),
        .put = ours_put,
        .ctx = &out,
    };
    enum status status = ctl_update_open(&update, b->coded, &b->diag);
    if (!status)
        status = ctl_update_base(&update, b->base_path, &base, &b->diag);
    if (!status)
        status = out_set_open(&out, b->decoded, NULL, &b->diag);
    if (!status) {
        status = ctl_decode(&params, &b->diag);
        out_set_abort(&out);
    }
    ctl_content_close(&base);
    ctl_update_close(&update);
    return status;
}

static enum status bench_ours(struct bench *b, const char *name,
                              enum coding_speed speed)
{
    const struct encode_options options = {.speed = speed,
                                           .max_rank = b->max_rank,
                                           .parallel =
                                               threads_parallel(b->threads)};
    struct progress progress;
    struct encoded made;
    double start = bench_now();
    progress_begin(&progress, name);
    enum status status = ctl_encode(&b->base, &b->target, b->coded, &options,
                                    &progress, &made, &b->diag);
    progress_end(&progress);
    double middle = bench_now();
    if (status)
        return status;
    status = ours_decode(b);
    if (status && status != STATUS_MISMATCH)
        return status;
    bench_row(b, name, made.bytes, middle - start, bench_now() - middle,
              !status && hash_equal(&made.target, &b->tree));
    return STATUS_OK;
}

/* ---- Others ---- */

/* What stands for a word; "" leaves it out. */
static const char *bench_word(const struct bench *b, const char *word,
                              char *buf, size_t size)
{
    bool far = b->base.source.size > BENCH_LONG_MIN ||
               b->target.source.size > BENCH_LONG_MIN;
    uint64_t window = b->base.source.size;
    if (window < 1u << 20)
        window = 1u << 20;
    if (window > 1u << 30)
        window = 1u << 30;
    if (!strcmp(word, "BASE"))
        return b->base_file;
    if (!strcmp(word, "TARGET"))
        return b->target_file;
    if (!strcmp(word, "CODED"))
        return b->coded;
    if (!strcmp(word, "OUT"))
        return b->decoded;
    if (!strcmp(word, "LONG"))
        return far ? "--long=31" : "";
    *buf = '\0';
    if (!strcmp(word, "PATCH"))
        snprintf(buf, size, "--patch-from=%s", b->base_file);
    else if (!strcmp(word, "THREADS"))
        snprintf(buf, size, "-T%u", threads_parallel(b->threads)->width);
    else if (!strcmp(word, "WINDOW"))
        snprintf(buf, size, "-B%llu", (unsigned long long)window);
    else
        return word;
    return buf;
}

enum bench_result {
    BENCH_DONE,
    BENCH_ABSENT,
    BENCH_FAILED
};

static enum bench_result bench_spawn(const struct bench *b,
                                     const char *const *words, double *seconds)
{
    extern char **environ;
    char bufs[10][PATH_MAX + 32], *argv[11];
    size_t count = 0;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int state = 1;
    for (size_t i = 0; i < 10 && words[i]; i++) {
        const char *word = bench_word(b, words[i], bufs[i], sizeof(bufs[i]));
        if (*word)
            argv[count++] = (char *)(uintptr_t)word;
    }
    argv[count] = NULL;
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    double start = bench_now();
    int err = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (err)
        return err == ENOENT ? BENCH_ABSENT : BENCH_FAILED;
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    *seconds = bench_now() - start;
    return WIFEXITED(state) && !WEXITSTATUS(state) ? BENCH_DONE : BENCH_FAILED;
}

static bool bench_exact(const struct bench *b)
{
    struct ctl_content out;
    struct diag ignored = {""};
    struct hash tree;
    bool exact = !ctl_content_open(&out, b->decoded, &ignored) &&
                 !ctl_content_tree(&out, &tree) && hash_equal(&tree, &b->tree);
    ctl_content_close(&out);
    return exact;
}

static void bench_other(struct bench *b, const struct contender *other)
{
    double encode_s = 0, decode_s = 0;
    struct stat st;
    if (other->base_max && b->base.source.size > other->base_max) {
        bench_skip(b, other->name, "skipped: the base is too large for it");
        return;
    }
    unlink(b->coded);
    unlink(b->decoded);
    enum bench_result result = bench_spawn(b, other->encode, &encode_s);
    if (result == BENCH_DONE)
        result = bench_spawn(b, other->decode, &decode_s);
    if (result == BENCH_DONE && stat(b->coded, &st))
        result = BENCH_FAILED;
    if (result == BENCH_DONE)
        bench_row(b, other->name, (uint64_t)st.st_size, encode_s, decode_s,
                  bench_exact(b));
    else
        bench_skip(b, other->name,
                   result == BENCH_ABSENT ? "skipped: not installed"
                                          : "skipped: it failed");
}

/* ---- Files ---- */

struct bench_put {
    struct out_file file;
    struct diag *diag;
};

static enum status bench_put(void *ctx, struct bytes piece)
{
    struct bench_put *put = ctx;
    return out_file_write(&put->file, piece, put->diag);
}

/* A folder as the one file that other programs need. */
static enum status bench_one_file(struct bench *b,
                                  const struct ctl_content *content,
                                  const char *path)
{
    struct bench_put put = {.diag = &b->diag};
    const struct source *source = &content->source;
    enum status status = out_file_open(&put.file, path, &b->diag);
    if (status)
        return status;
    status = source_each(source, 0, source->size, bench_put, &put);
    if (!status)
        status = out_file_commit(&put.file, &b->diag);
    out_file_abort(&put.file);
    return status;
}

static enum status bench_open(struct bench *b, struct ctl_content *content,
                              const char *given, char *file, const char *name)
{
    enum status status = ctl_content_open(content, given, &b->diag);
    if (!status)
        status = ctl_content_model(b->ctl, content);
    if (status || !content->is_folder) {
        char *real = status ? NULL : realpath(given, NULL);
        snprintf(file, PATH_MAX, "%s", real ? real : given);
        free(real);
        return status;
    }
    snprintf(file, PATH_MAX, "%s/%s", b->folder, name);
    return bench_one_file(b, content, file);
}

static enum status bench_all(struct bench *b)
{
    enum status status =
        bench_open(b, &b->base, b->base_path, b->base_file, "base");
    if (!status)
        status =
            bench_open(b, &b->target, b->target_path, b->target_file, "target");
    if (!status)
        status = ctl_content_tree(&b->target, &b->tree);
    if (!status)
        status = threads_new(b->width, &b->threads);
    if (!status)
        status = bench_ours(b, "deltamesh fast", CODING_SPEED_FAST);
    if (!status)
        status = bench_ours(b, "deltamesh small", CODING_SPEED_SMALL);
    for (size_t i = 0; !status && i < sizeof(contenders) / sizeof(*contenders);
         i++)
        bench_other(b, &contenders[i]);
    return status;
}

static int bench_child(struct bench *b)
{
    snprintf(b->coded, sizeof(b->coded), "%s/coded", b->folder);
    snprintf(b->decoded, sizeof(b->decoded), "%s/decoded", b->folder);
    b->base = b->target = CTL_CONTENT_CLOSED;
    diag_reset(&b->diag);
    b->table = table_new("coder|>bytes|>%|>encode s|>decode s|");
    enum status status = b->table ? bench_all(b) : STATUS_NO_MEMORY;
    if (!status && !b->ctl->json)
        table_print(b->table, stdout);
    int exit = ctl_offline_exit(b->ctl, status, &b->diag);
    if (!exit && b->inexact)
        exit = ctl_fail(b->ctl->verb, CTL_FAILED,
                        "a result is not the target, see above");
    table_free(b->table);
    threads_free(b->threads);
    ctl_content_close(&b->base);
    ctl_content_close(&b->target);
    return exit;
}

/* ---- Parent ---- */

/* The work, in a group of processes of its own: all of it ends together. */
static int bench_fork(struct bench *b, const sigset_t *signals)
{
    int state = 0, got;
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return ctl_fail(b->ctl->verb, CTL_FAILED, "%s", strerror(errno));
    if (!pid) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGTTOU, SIG_IGN);
        sigprocmask(SIG_UNBLOCK, signals, NULL);
        int exit = bench_child(b);
        fflush(stdout);
        _exit(exit);
    }
    setpgid(pid, pid);
    do
        sigwait(signals, &got);
    while (got == SIGCHLD && waitpid(pid, &state, WNOHANG) != pid);
    if (got != SIGCHLD) {
        kill(-pid, SIGKILL);
        waitpid(pid, &state, 0);
        return 128 + got;
    }
    if (WIFEXITED(state))
        return WEXITSTATUS(state);
    return ctl_fail(b->ctl->verb, CTL_FAILED, "it was killed by signal %d",
                    WTERMSIG(state));
}

static int bench_run(struct bench *b)
{
    sigset_t signals;
    const char *tmp = getenv("TMPDIR");
    snprintf(b->folder, sizeof(b->folder), "%s/deltamesh-bench-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (!mkdtemp(b->folder))
        return ctl_fail(b->ctl->verb, CTL_FAILED, "%s: %s", b->folder,
                        strerror(errno));
    int exit = bench_fork(b, &signals);
    if (fs_remove(AT_FDCWD, b->folder) && !exit)
        exit = ctl_fail(b->ctl->verb, CTL_FAILED, "%s cannot be removed",
                        b->folder);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    return exit;
}

int ctl_bench(int argc, char **argv)
{
    static const struct option options[] = {
        {"max-rank", required_argument, NULL, 'r'},
        {"threads", required_argument, NULL, 'T'},
        CTL_OPTIONS};
    struct ctl ctl;
    struct bench bench = {.ctl = &ctl, .max_rank = CTL_ENCODE_RANK};
    int exit = CTL_OK;
    ctl_begin(&ctl, argv, bench_usage);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool fits = true;
        if (c == 'r')
            fits =
                ctl_offline_count(optarg, 0, UPDATE_RANK_MAX, &bench.max_rank);
        else if (c == 'T')
            fits =
                ctl_offline_count(optarg, 1, THREADS_WIDTH_MAX, &bench.width);
        else if (!ctl_option(&ctl, c, &exit))
            return exit;
        if (!fits)
            return ctl_misused(&ctl);
    }
    if (argc - optind != 2)
        return ctl_misused(&ctl);
    bench.base_path = argv[optind];
    bench.target_path = argv[optind + 1];
    return bench_run(&bench);
}
