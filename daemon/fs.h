/* Small things with files and folders: whole reads, durable atomic writes,
 * folders made and removed. */
#ifndef DAEMON_FS_H
#define DAEMON_FS_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

#include <sys/types.h>

/* Reads a whole file of at most max bytes into a heap buffer with a NUL after
 * it (free it). NOT_FOUND, PERMISSION, LIMIT, NO_MEMORY, IO. */
enum status fs_read(const char *path, size_t max, char **out, size_t *size)
    MUST_CHECK;

/* Replaces path by these bytes: a new file beside it, fsync, rename, fsync of
 * the folder. After a crash either the old or the new one is there. */
enum status fs_write(const char *path, struct bytes bytes, mode_t mode)
    MUST_CHECK;

/* Makes a folder and those above it that are missing. Fine when it exists. */
enum status fs_make_dirs(const char *path, mode_t mode) MUST_CHECK;

/* Makes entries of a folder durable. dir_fd: may be AT_FDCWD. */
enum status fs_sync_dir(int dir_fd, const char *path) MUST_CHECK;

/* Removes a file or a folder with all in it; follows no links. Fine when it is
 * missing. */
enum status fs_remove(int dir_fd, const char *name) MUST_CHECK;

/* Writes or reads exactly size bytes at offset; TRUNCATED at the end. */
enum status fs_pwrite(int fd, const void *data, size_t size, uint64_t offset)
    MUST_CHECK;
enum status fs_pread(int fd, void *data, size_t size, uint64_t offset)
    MUST_CHECK;

/* A nameless file in a folder, for content that is made again. -1 with errno.
 */
int fs_scratch(const char *dir) MUST_CHECK;

#endif
