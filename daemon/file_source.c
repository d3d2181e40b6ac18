/* pread in a loop. */
#include "daemon/file_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status file_source_read(void *ctx, uint64_t offset, void *out,
                                    size_t size)
{
    const struct file_source *file = ctx;
    uint8_t *at = out;
    while (size) {
        ssize_t got = pread(file->fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_from_errno(errno);
        if (!got)
            return STATUS_TRUNCATED;
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return STATUS_OK;
}

enum status file_source_take(struct file_source *file, int fd)
{
    struct stat st;
    file->fd = -1;
    if (fstat(fd, &st))
        return status_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return STATUS_USAGE;
    file->fd = fd;
    file->source =
        (struct source){file_source_read, file, (uint64_t)st.st_size};
    return STATUS_OK;
}

enum status file_source_open(struct file_source *file, const char *path,
                             struct diag *diag)
{
    file->fd = -1;
    /* A named pipe must not make us wait. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    enum status status = file_source_take(file, fd);
    if (!status)
        return STATUS_OK;
    close(fd);
    return diag_fail(diag, status, "%s: %s", path,
                     status == STATUS_USAGE ? "not a regular file"
                                            : status_text(status));
}

void file_source_close(struct file_source *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
