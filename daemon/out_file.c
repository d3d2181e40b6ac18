/* O_TMPFILE where the file system has it, else a hidden file. */
#include "daemon/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUT_FILE_COPY_SIZE  65536u
#define OUT_FILE_FLUSH_SIZE (8u << 20)

static enum status out_file_fail(const struct out_file *file, struct diag *diag,
                                 int err)
{
    return diag_fail(diag, status_from_errno(err), "%s: %s", file->path,
                     strerror(err));
}

/* The folder a path lies in; free it. */
static char *out_file_folder(const char *path)
{
    char *copy = strdup(path);
    char *folder = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    return folder;
}

/* "FOLDER/.NAME.tmp-XXXXXX" */
static char *out_file_temp_path(const char *path)
{
    char *folder = out_file_folder(path), *copy = strdup(path), *temp = NULL;
    if (folder && copy &&
        asprintf(&temp, "%s/.%.200s.tmp-XXXXXX", folder, basename(copy)) < 0)
        temp = NULL;
    free(folder);
    free(copy);
    return temp;
}

static int out_file_nameless(const char *path)
{
    char *folder = out_file_folder(path);
    int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666) : -1;
    free(folder);
    return fd;
}

/* mkstemp, with the mode that open would have given. */
static int out_file_hidden(char *temp_path)
{
    int fd = mkostemp(temp_path, O_CLOEXEC);
    if (fd < 0)
        return -1;
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(fd, 0666 & ~mask)) {
        close(fd);
        unlink(temp_path);
        return -1;
    }
    return fd;
}

static bool out_file_is_special(const char *path)
{
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

enum status out_file_open(struct out_file *file, const char *path,
                          struct diag *diag)
{
    struct stat st;
    *file = (struct out_file){.fd = -1};
    file->path = strdup(path);
    file->temp_path = out_file_temp_path(path);
    if (!file->path || !file->temp_path) {
        out_file_abort(file);
        return STATUS_NO_MEMORY;
    }
    errno = 0;
    if (!*path)
        errno = ENOENT;
    else if (!stat(path, &st) && S_ISDIR(st.st_mode))
        errno = EISDIR;
    file->direct = !errno && out_file_is_special(path);
    if (file->direct) {
        file->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else if (errno == EISDIR || !*path) {
        file->fd = -1;
    } else {
        file->fd = out_file_nameless(path);
        file->nameless = file->fd >= 0;
        if (file->fd < 0)
            file->fd = out_file_hidden(file->temp_path);
    }
    if (file->fd >= 0)
        return STATUS_OK;
    enum status status = out_file_fail(file, diag, errno);
    out_file_abort(file);
    return status;
}

enum status out_file_scratch(struct out_file *file, const char *path,
                             struct diag *diag)
{
    *file = (struct out_file){.fd = -1};
    file->path = strdup(path);
    file->temp_path = out_file_temp_path(path);
    if (!file->path || !file->temp_path) {
        out_file_abort(file);
        return STATUS_NO_MEMORY;
    }
    file->fd = out_file_nameless(path);
    file->nameless = file->fd >= 0;
    if (file->fd >= 0)
        return STATUS_OK;
    file->fd = out_file_hidden(file->temp_path);
    if (file->fd >= 0)
        unlink(file->temp_path);
    file->nameless = true;
    if (file->fd >= 0)
        return STATUS_OK;
    enum status status = out_file_fail(file, diag, errno);
    out_file_abort(file);
    return status;
}

/* Starts writing what came, so that the fsync at the end is short. */
static void out_file_flush(struct out_file *file, uint64_t before)
{
    uint64_t from = before & ~(uint64_t)(OUT_FILE_FLUSH_SIZE - 1);
    uint64_t to = file->size & ~(uint64_t)(OUT_FILE_FLUSH_SIZE - 1);
    if (to > from && !file->direct)
        (void)sync_file_range(file->fd, (off_t)from, (off_t)(to - from),
                              SYNC_FILE_RANGE_WRITE);
}

enum status out_file_write(struct out_file *file, struct bytes bytes,
                           struct diag *diag)
{
    uint64_t before = file->size;
    while (bytes.size) {
        ssize_t put = write(file->fd, bytes.data, bytes.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return out_file_fail(file, diag, put ? errno : EIO);
        bytes = bytes_of(bytes.data + put, bytes.size - (size_t)put);
        file->size += (uint64_t)put;
    }
    out_file_flush(file, before);
    return STATUS_OK;
}

enum status out_file_append(struct out_file *file,
                            const struct out_file *scratch, struct diag *diag)
{
    uint8_t *buf = malloc(OUT_FILE_COPY_SIZE);
    enum status status = buf ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint64_t at = 0; !status && at < scratch->size;) {
        ssize_t got = pread(scratch->fd, buf, OUT_FILE_COPY_SIZE, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            status = out_file_fail(scratch, diag, got ? errno : EIO);
        else
            status = out_file_write(file, bytes_of(buf, (size_t)got), diag);
        at += got > 0 ? (uint64_t)got : 0;
    }
    free(buf);
    return status;
}

static int out_file_sync_folder(const char *path)
{
    char *folder = out_file_folder(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

/* Gives a nameless file its hidden name. */
static int out_file_link(struct out_file *file)
{
    char self[64];
    if (!file->nameless)
        return 0;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
    size_t size = strlen(file->temp_path);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(file->temp_path + size - 6, 7, "%06u",
                 ((unsigned)getpid() * 100 + i) % 1000000);
        if (!linkat(AT_FDCWD, self, AT_FDCWD, file->temp_path,
                    AT_SYMLINK_FOLLOW)) {
            file->nameless = false;
            return 0;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

enum status out_file_commit(struct out_file *file, struct diag *diag)
{
    enum status status = STATUS_OK;
    if (!file->direct) {
        if (fsync(file->fd) || out_file_link(file) ||
            rename(file->temp_path, file->path))
            status = out_file_fail(file, diag, errno);
        else
            file->nameless = true; /* no hidden name is left to remove */
        if (!status && out_file_sync_folder(file->path))
            status = out_file_fail(file, diag, errno);
    }
    out_file_abort(file);
    return status;
}

void out_file_abort(struct out_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        if (!file->nameless && !file->direct && file->temp_path)
            unlink(file->temp_path);
    }
    free(file->path);
    free(file->temp_path);
    *file = (struct out_file){.fd = -1};
}
