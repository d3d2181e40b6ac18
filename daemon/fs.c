/* Files and folders, with every error translated where it enters. */
#include "daemon/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status fs_pread(int fd, void *data, size_t size, uint64_t offset)
{
    uint8_t *at = data;
    while (size) {
        ssize_t n = pread(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        if (!n)
            return STATUS_TRUNCATED;
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return STATUS_OK;
}

enum status fs_pwrite(int fd, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *at = data;
    while (size) {
        ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return STATUS_OK;
}

enum status fs_read(const char *path, size_t max, char **out, size_t *size)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return status_from_errno(errno);
    struct stat st;
    enum status status = STATUS_OK;
    char *text = NULL;
    if (fstat(fd, &st))
        status = status_from_errno(errno);
    else if (!S_ISREG(st.st_mode))
        status = STATUS_USAGE;
    else if ((uint64_t)st.st_size > max)
        status = STATUS_LIMIT;
    if (!status) {
        text = malloc((size_t)st.st_size + 1);
        status =
            text ? fs_pread(fd, text, (size_t)st.st_size, 0) : STATUS_NO_MEMORY;
    }
    close(fd);
    if (status) {
        free(text);
        return status;
    }
    text[st.st_size] = '\0';
    *out = text;
    *size = (size_t)st.st_size;
    return STATUS_OK;
}

enum status fs_sync_dir(int dir_fd, const char *path)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return status_from_errno(errno);
    enum status status =
        fsync(fd) && errno != EINVAL ? status_from_errno(errno) : STATUS_OK;
    close(fd);
    return status;
}

/* The folder a path lies in. */
static void parent_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, PATH_MAX, ".");
    else if (slash == path)
        snprintf(out, PATH_MAX, "/");
    else
        snprintf(out, PATH_MAX, "%.*s", (int)(slash - path), path);
}

enum status fs_write(const char *path, struct bytes bytes, mode_t mode)
{
    char tmp[PATH_MAX], dir[PATH_MAX];
    int n = snprintf(tmp, sizeof(tmp), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(tmp))
        return STATUS_LIMIT;
    parent_of(path, dir);
    /* A file left from before may have had another mode: made anew, nobody can
     * have it open. */
    unlink(tmp);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return status_from_errno(errno);
    enum status status = fs_pwrite(fd, bytes.data, bytes.size, 0);
    if (!status && (fchmod(fd, mode) || fsync(fd)))
        status = status_from_errno(errno);
    if (close(fd) && !status)
        status = status_from_errno(errno);
    if (!status && rename(tmp, path))
        status = status_from_errno(errno);
    if (status) {
        unlink(tmp);
        return status;
    }
    return fs_sync_dir(AT_FDCWD, dir);
}

enum status fs_make_dirs(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (!size || size >= sizeof(part))
        return STATUS_LIMIT;
    memcpy(part, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char was = part[i];
        part[i] = '\0';
        if (mkdir(part, mode) && errno != EEXIST)
            return status_from_errno(errno);
        part[i] = was;
    }
    struct stat st;
    if (stat(path, &st))
        return status_from_errno(errno);
    return S_ISDIR(st.st_mode) ? STATUS_OK : STATUS_EXISTS;
}

/* Depth is bounded by what we make ourselves: 8 parts of a path. */
static enum status remove_in(int dir_fd, const char *name, unsigned depth)
{
    if (!unlinkat(dir_fd, name, 0) || errno == ENOENT)
        return STATUS_OK;
    if (errno != EISDIR && errno != EPERM)
        return status_from_errno(errno);
    if (!depth)
        return STATUS_LIMIT;
    int fd =
        openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        enum status status = status_from_errno(errno);
        if (fd >= 0)
            close(fd);
        return status;
    }
    enum status status = STATUS_OK;
    for (struct dirent *e; !status && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            status = remove_in(dirfd(dir), e->d_name, depth - 1);
    closedir(dir);
    if (!status && unlinkat(dir_fd, name, AT_REMOVEDIR))
        status = status_from_errno(errno);
    return status;
}

enum status fs_remove(int dir_fd, const char *name)
{
    return remove_in(dir_fd, name, 16);
}

int fs_scratch(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    char path[PATH_MAX]; /* a file system without nameless files */
    if ((size_t)snprintf(path, sizeof(path), "%s/.scratch-XXXXXX", dir) >=
        sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}
