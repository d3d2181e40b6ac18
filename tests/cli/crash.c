/* Preloaded into the command by test_in_place.py: ends the process, as kill -9
 * would, at the call number CRASH_AT of those that change files; a write is
 * half done then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int left = -1;

static int now(void)
{
    if (left < 0) {
        const char *at = getenv("CRASH_AT");
        left = at ? atoi(at) : 1 << 30;
    }
    return --left == 0;
}

static ssize_t real_pwrite(int fd, const void *data, size_t size, off_t at)
{
    ssize_t (*fn)(int, const void *, size_t, off_t);
    *(void **)&fn = dlsym(RTLD_NEXT, "pwrite64");
    return fn(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    if (now()) {
        real_pwrite(fd, data, size / 2, at);
        _exit(137);
    }
    return real_pwrite(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return pwrite64(fd, data, size, at);
}

#define WRAP(name, params, args)                 \
    int name params                              \
    {                                            \
        int(*fn) params;                         \
        if (now())                               \
            _exit(137);                          \
        *(void **)&fn = dlsym(RTLD_NEXT, #name); \
        return fn args;                          \
    }

WRAP(fdatasync, (int fd), (fd))
WRAP(fsync, (int fd), (fd))
WRAP(unlink, (const char *path), (path))
WRAP(rename, (const char *from, const char *to), (from, to))
WRAP(ftruncate64, (int fd, off_t size), (fd, size))
WRAP(ftruncate, (int fd, off_t size), (fd, size))
WRAP(posix_fallocate64, (int fd, off_t at, off_t size), (fd, at, size))
WRAP(posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))
