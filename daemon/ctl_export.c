/* deltamesh export: the files of a version, bit for bit. */
#include "daemon/ctl.h"
#include "daemon/ctl_publish_nnc.h"
#include "daemon/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct export
{
    struct ctl ctl;
    const char *out;
    int result;
};

static int fail_file(const char *path, int err)
{
    return ctl_fail("export",
                    err == ENOSPC || err == EDQUOT ? CTL_NO_SPACE : CTL_FAILED,
                    "%s: %s", path, strerror(err));
}

static int copy_range(int in, uint64_t offset, uint64_t size, int out,
                      const char *path)
{
    uint8_t buf[16 * 1024];
    while (size) {
        size_t want = size < sizeof(buf) ? (size_t)size : sizeof(buf);
        ssize_t got = pread(in, buf, want, (off_t)offset);
        if (got <= 0)
            return got ? fail_file(path, errno)
                       : ctl_fail("export", CTL_FAILED,
                                  "%s: the daemon's copy ends early", path);
        for (ssize_t at = 0; at < got;) {
            ssize_t put = write(out, buf + at, (size_t)(got - at));
            if (put < 0)
                return fail_file(path, errno);
            at += put;
        }
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return CTL_OK;
}

/* Whole or nothing: a file beside it, synced, then renamed. */
static int write_file(int in, uint64_t offset, uint64_t size, const char *path)
{
    char tmp[4096];
    int n = snprintf(tmp, sizeof(tmp), "%s.tmp-%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(tmp))
        return ctl_fail("export", CTL_USAGE, "%s: the path is too long", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_file(tmp, errno);
    int exit = copy_range(in, offset, size, fd, path);
    if (!exit && fsync(fd))
        exit = fail_file(path, errno);
    if (close(fd) && !exit)
        exit = fail_file(path, errno);
    if (!exit && rename(tmp, path))
        exit = fail_file(path, errno);
    if (exit)
        unlink(tmp);
    return exit;
}

/* Folders on the way to FOLDER/PATH, whose parts the daemon checked; checked
 * again here, because they are written to. */
static int make_parents(char *path, size_t from)
{
    for (char *p = path + from; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int rc = mkdir(path, 0777);
        int err = errno;
        *p = '/';
        if (rc && err != EEXIST)
            return fail_file(path, err);
    }
    return CTL_OK;
}

static bool path_is_safe(const char *path)
{
    return *path && *path != '/' && *path != '.' && !strstr(path, "/.") &&
           !strstr(path, "//");
}

static int write_files(struct export *x, const json_t *files, const int *fds,
                       size_t fd_count)
{
    bool single = json_array_size(files) == 1;
    size_t i;
    json_t *file;
    if (!single && mkdir(x->out, 0777) && errno != EEXIST)
        return fail_file(x->out, errno);
    json_array_foreach(files, i, file)
    {
        char path[4096];
        int64_t fd = ctl_int(file, "fd");
        const char *name = ctl_text(file, "path");
        if (fd < 0 || (uint64_t)fd >= fd_count || !path_is_safe(name))
            return ctl_fail("export", CTL_FAILED, "the daemon's answer is odd");
        int n =
            snprintf(path, sizeof(path), single ? "%s" : "%s/%s", x->out, name);
        if (n < 0 || (size_t)n >= sizeof(path))
            return ctl_fail("export", CTL_USAGE, "the path is too long");
        int exit = single ? CTL_OK : make_parents(path, strlen(x->out) + 1);
        if (!exit)
            exit = write_file(fds[fd], (uint64_t)ctl_int(file, "offset"),
                              (uint64_t)ctl_int(file, "size"), path);
        if (exit)
            return exit;
    }
    return CTL_OK;
}

static int on_reply(void *ctx, json_t *reply, const int *fds, size_t fd_count)
{
    struct export *x = ctx;
    char id[TABLE_WORD];
    if (strcmp(ctl_text(reply, "stage"), "ready")) {
        if (x->ctl.tty)
            fprintf(stderr, "\r%s %lld of %lld\033[K", ctl_text(reply, "stage"),
                    (long long)ctl_int(reply, "done"),
                    (long long)ctl_int(reply, "total"));
        return -1;
    }
    if (x->ctl.tty)
        fputs("\r\033[K", stderr);
    int exit = write_files(x, json_object_get(reply, "files"), fds, fd_count);
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    if (!exit && !ctl_print_json(&x->ctl, reply))
        printf("%s %s written to %s\n", ctl_text(reply, "model"),
               table_id(ctl_text(reply, "version"), id), x->out);
    return exit;
}

static bool wants_nnc(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--nnc"))
            return true;
    return false;
}

int ctl_export(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"timeout", required_argument, NULL, 't'},
        CTL_OPTIONS};
    struct export x = {.out = NULL};
    int exit = CTL_OK;
    bool fits = true;
    if (wants_nnc(argc, argv))
        return ctl_export_nnc(argc, argv);
    ctl_begin(&x.ctl, argv,
              "usage: deltamesh export VERSION -o PATH [--timeout SECONDS] "
              "[--json]\n                        [--control PATH]\n"
              "       deltamesh export VERSION --nnc ... (see --nnc --help)\n"
              "  PATH becomes the file; of a version of several files, the "
              "folder they go to\n");
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (c == 'o')
            x.out = optarg;
        else if (c == 't')
            fits = ctl_count(optarg, &x.ctl.fetch_s);
        else if (!ctl_option(&x.ctl, c, &exit))
            goto out;
    }
    if (optind + 1 != argc || !x.out || !fits) {
        exit = ctl_misused(&x.ctl);
        goto out;
    }
    const struct ctl_stream stream = {.timeout_ms = (int)x.ctl.fetch_s * 1000,
                                      .on_reply = on_reply,
                                      .ctx = &x};
    exit = ctl_call_stream(
        &x.ctl, "Export", json_pack("{s:s}", "version", argv[optind]), &stream);
    if (exit == CTL_TIMEOUT)
        ctl_fail("export", exit,
                 "it did not arrive in %ld s; the daemon goes "
                 "on fetching",
                 x.ctl.fetch_s);
out:
    ctl_end(&x.ctl);
    return exit;
}
