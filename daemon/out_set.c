/* One out_file a file. */
#include "daemon/out_set.h"

#include "daemon/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static enum status set_fail(const struct out_set *set, struct diag *diag,
                            enum status status)
{
    return diag_fail(diag, status, "%.200s: %s", set->path,
                     status_text(status));
}

/* A folder that is there must have no other files. */
static enum status set_check(const struct out_set *set, struct diag *diag)
{
    struct listing there;
    enum status status = listing_of_folder(set->path, &there, diag);
    for (size_t i = 0; !status && i < there.count; i++)
        if (!listing_has(set->listing, there.files[i].path))
            status = diag_fail(diag, STATUS_EXISTS,
                               "%.100s has the file %.80s, which the target "
                               "has not: give a new folder",
                               set->path, there.files[i].path);
    listing_free(&there);
    return status;
}

/* "PARENT/.NAME.tmp-XXXXXX" */
static enum status set_make_folder(struct out_set *set)
{
    char *copy = strdup(set->path), *parent = strdup(set->path);
    mode_t mask = umask(0);
    umask(mask);
    int n = copy && parent ? asprintf(&set->folder, "%s/.%.200s.tmp-XXXXXX",
                                      dirname(parent), basename(copy))
                           : -1;
    free(copy);
    free(parent);
    if (n < 0) {
        set->folder = NULL;
        return STATUS_NO_MEMORY;
    }
    if (!mkdtemp(set->folder)) {
        enum status status = status_from_errno(errno);
        free(set->folder);
        set->folder = NULL;
        return status;
    }
    set->is_new = true;
    return chmod(set->folder, 0777 & ~mask) ? status_from_errno(errno)
                                            : STATUS_OK;
}

static enum status set_open_file(struct out_set *set, size_t index,
                                 struct diag *diag)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", set->folder,
                     set->listing->files[index].path);
    if (n < 0 || (size_t)n >= sizeof(path))
        return STATUS_LIMIT;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    enum status status = fs_make_dirs(path, 0777);
    *slash = '/';
    return status ? status : out_file_open(&set->files[index], path, diag);
}

static enum status set_open_folder(struct out_set *set, struct diag *diag)
{
    struct stat st;
    enum status status = STATUS_OK;
    if (stat(set->path, &st)) {
        status = set_make_folder(set);
    } else if (!S_ISDIR(st.st_mode)) {
        return diag_fail(diag, STATUS_EXISTS,
                         "%.150s is there and no folder; the target is one",
                         set->path);
    } else {
        status = set_check(set, diag);
        set->folder = status ? NULL : strdup(set->path);
        if (!status && !set->folder)
            status = STATUS_NO_MEMORY;
    }
    for (size_t i = 0; !status && i < set->listing->count; i++)
        status = set_open_file(set, i, diag);
    return status ? set_fail(set, diag, status) : STATUS_OK;
}

enum status out_set_open(struct out_set *set, const char *path,
                         const struct listing *listing, struct diag *diag)
{
    memset(set, 0, sizeof(*set));
    set->path = path;
    set->listing = listing;
    for (size_t i = 0; i < LISTING_FILES_MAX; i++)
        set->files[i].fd = -1;
    enum status status = listing ? set_open_folder(set, diag)
                                 : out_file_open(&set->files[0], path, diag);
    if (status)
        out_set_abort(set);
    return status;
}

enum status out_set_write(struct out_set *set, struct bytes bytes,
                          struct diag *diag)
{
    enum status status = STATUS_OK;
    if (!set->listing)
        return out_file_write(&set->files[0], bytes, diag);
    while (!status && bytes.size) {
        if (set->index == set->listing->count)
            return STATUS_USAGE;
        struct out_file *file = &set->files[set->index];
        uint64_t left = set->listing->files[set->index].size - file->size;
        size_t size = left < bytes.size ? (size_t)left : bytes.size;
        status = out_file_write(file, bytes_of(bytes.data, size), diag);
        bytes = bytes_of(bytes.data + size, bytes.size - size);
        if (size == left)
            set->index++;
    }
    return status;
}

static enum status set_rename(struct out_set *set)
{
    char *copy = strdup(set->path);
    if (!copy)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_OK;
    if (rename(set->folder, set->path))
        status = status_from_errno(errno);
    else
        set->is_new = false;
    if (!status)
        status = fs_sync_dir(AT_FDCWD, dirname(copy));
    free(copy);
    return status;
}

enum status out_set_commit(struct out_set *set, struct diag *diag)
{
    size_t count = set->listing ? set->listing->count : 1;
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < count; i++)
        status = out_file_commit(&set->files[i], diag);
    if (!status && set->is_new)
        status = set_rename(set);
    if (status)
        set_fail(set, diag, status);
    out_set_abort(set);
    return status;
}

void out_set_abort(struct out_set *set)
{
    for (size_t i = 0; i < LISTING_FILES_MAX; i++)
        out_file_abort(&set->files[i]);
    if (set->is_new && set->folder && fs_remove(AT_FDCWD, set->folder))
        set->is_new = false; /* nothing more can be done about it */
    free(set->folder);
    set->folder = NULL;
    set->is_new = false;
}
