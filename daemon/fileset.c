/* Content offsets to files. */
#include "daemon/fileset.h"

#include "daemon/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct part {
    int fd;
    bool dirty;
    uint64_t offset, length;
    char *path; /* under dir; NULL for descriptors */
};

struct fileset {
    char *dir; /* NULL for descriptors */
    uint64_t size;
    size_t count;
    struct part parts[];
};

static struct fileset *set_new(size_t count)
{
    struct fileset *set = calloc(1, sizeof(*set) + count * sizeof(struct part));
    if (!set)
        return NULL;
    set->count = count;
    for (size_t i = 0; i < count; i++)
        set->parts[i].fd = -1;
    return set;
}

void fileset_free(struct fileset *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++) {
        if (set->parts[i].fd >= 0)
            close(set->parts[i].fd);
        free(set->parts[i].path);
    }
    free(set->dir);
    free(set);
}

static enum status path_of(const struct fileset *set, const struct part *part,
                           char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s", set->dir, part->path);
    return n < 0 || n >= PATH_MAX ? STATUS_LIMIT : STATUS_OK;
}

static enum status make_parent(char *path)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    enum status status = fs_make_dirs(path, 0755);
    *slash = '/';
    return status;
}

static enum status part_create(const struct fileset *set, struct part *part,
                               struct diag *diag)
{
    char path[PATH_MAX];
    enum status status = path_of(set, part, path);
    if (!status)
        status = make_parent(path);
    if (status)
        return diag_fail(diag, status, "%s: cannot be made: %s", part->path,
                         status_text(status));
    part->fd = open(
        path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    struct stat st;
    if (part->fd >= 0 && !fstat(part->fd, &st) && !S_ISREG(st.st_mode))
        return diag_fail(diag, STATUS_MISMATCH, "%s: is no regular file", path);
    if (part->fd < 0 || fchmod(part->fd, 0644) || fstat(part->fd, &st) ||
        ((uint64_t)st.st_size != part->length &&
         ftruncate(part->fd, (off_t)part->length)))
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    return STATUS_OK;
}

static enum status part_open(const struct fileset *set, struct part *part,
                             struct diag *diag)
{
    char path[PATH_MAX];
    enum status status = path_of(set, part, path);
    if (status)
        return status;
    part->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (part->fd < 0 || fstat(part->fd, &st))
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != part->length)
        return diag_fail(diag, STATUS_MISMATCH, "%s: has another size", path);
    return STATUS_OK;
}

typedef enum status (*part_fn)(const struct fileset *set, struct part *part,
                               struct diag *diag);

static enum status set_of_files(const char *dir,
                                const struct manifest_file *files,
                                size_t file_count, part_fn fn,
                                struct fileset **out, struct diag *diag)
{
    *out = NULL;
    struct fileset *set = set_new(file_count);
    if (!set)
        return STATUS_NO_MEMORY;
    set->dir = strdup(dir);
    enum status status = set->dir ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; i < file_count && !status; i++) {
        struct part *part = &set->parts[i];
        part->offset = files[i].offset;
        part->length = files[i].length;
        part->path = bytes_to_text(files[i].path);
        status = part->path ? fn(set, part, diag) : STATUS_NO_MEMORY;
        set->size += part->length;
    }
    if (status)
        fileset_free(set);
    else
        *out = set;
    return status;
}

enum status fileset_create(const char *dir, const struct manifest_file *files,
                           size_t file_count, struct fileset **out,
                           struct diag *diag)
{
    enum status status = fs_make_dirs(dir, 0755);
    if (status) {
        *out = NULL;
        return diag_fail(diag, status, "%s: cannot be made: %s", dir,
                         status_text(status));
    }
    return set_of_files(dir, files, file_count, part_create, out, diag);
}

enum status fileset_open(const char *dir, const struct manifest_file *files,
                         size_t file_count, struct fileset **out,
                         struct diag *diag)
{
    return set_of_files(dir, files, file_count, part_open, out, diag);
}

static enum status fd_length(int fd, uint64_t *length)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &st))
        return status_from_errno(errno);
    if (!S_ISREG(st.st_mode) || (flags & O_ACCMODE) == O_WRONLY ||
        (flags & O_PATH))
        return STATUS_USAGE;
    *length = (uint64_t)st.st_size;
    return STATUS_OK;
}

enum status fileset_of_fds(const int *fds, size_t count, struct fileset **out,
                           struct diag *diag)
{
    *out = NULL;
    struct fileset *set = set_new(count);
    if (!set) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        return STATUS_NO_MEMORY;
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        struct part *part = &set->parts[i];
        part->fd = fds[i];
        part->offset = set->size;
        enum status bad = fd_length(fds[i], &part->length);
        if (bad && !status)
            status = diag_fail(diag, bad,
                               "descriptor %zu is no readable regular file", i);
        set->size += part->length;
    }
    if (status)
        fileset_free(set);
    else
        *out = set;
    return status;
}

uint64_t fileset_size(const struct fileset *set)
{
    return set->size;
}

size_t fileset_count(const struct fileset *set)
{
    return set->count;
}

uint64_t fileset_offset(const struct fileset *set, size_t index)
{
    return set->parts[index].offset;
}

uint64_t fileset_length(const struct fileset *set, size_t index)
{
    return set->parts[index].length;
}

int fileset_fd(const struct fileset *set, size_t index)
{
    return set->parts[index].fd;
}

/* The part that offset lies in; offset < size. Empty parts hold nothing. */
static struct part *part_at(struct fileset *set, uint64_t offset)
{
    size_t i = 0;
    while (offset >= set->parts[i].offset + set->parts[i].length)
        i++;
    return &set->parts[i];
}

static size_t piece(const struct part *part, uint64_t offset, size_t size)
{
    uint64_t left = part->offset + part->length - offset;
    return left < size ? (size_t)left : size;
}

static enum status set_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    struct fileset *set = ctx;
    uint8_t *at = out;
    while (size) {
        struct part *part = part_at(set, offset);
        size_t n = piece(part, offset, size);
        enum status status = fs_pread(part->fd, at, n, offset - part->offset);
        if (status)
            return status;
        at += n;
        offset += n;
        size -= n;
    }
    return STATUS_OK;
}

struct source fileset_source(struct fileset *set)
{
    return (struct source){set_read, set, set->size};
}

enum status fileset_write(struct fileset *set, uint64_t offset,
                          const void *data, size_t size)
{
    const uint8_t *at = data;
    if (offset > set->size || size > set->size - offset)
        return STATUS_INTERNAL;
    while (size) {
        struct part *part = part_at(set, offset);
        size_t n = piece(part, offset, size);
        part->dirty = true;
        enum status status = fs_pwrite(part->fd, at, n, offset - part->offset);
        if (status)
            return status;
        at += n;
        offset += n;
        size -= n;
    }
    return STATUS_OK;
}

/* Every folder between a file and dir, dir included. */
static enum status sync_folders(const struct fileset *set,
                                const struct part *part)
{
    char path[PATH_MAX];
    enum status status = path_of(set, part, path);
    size_t root = strlen(set->dir);
    while (!status) {
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < root)
            return STATUS_OK;
        *slash = '\0';
        status = fs_sync_dir(AT_FDCWD, path);
    }
    return status;
}

enum status fileset_sync(struct fileset *set, bool folders)
{
    for (size_t i = 0; i < set->count; i++) {
        struct part *part = &set->parts[i];
        if (folders ? fsync(part->fd) : part->dirty && fdatasync(part->fd))
            return status_from_errno(errno);
        part->dirty = false;
        enum status status = folders ? sync_folders(set, part) : STATUS_OK;
        if (status)
            return status;
    }
    return STATUS_OK;
}
