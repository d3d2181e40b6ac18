/* Folders to sorted lists, lists to bytes and back. */
#include "daemon/listing.h"

#include "daemon/journal.h"
#include "protocol/limits.h"
#include "protocol/name.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static_assert(LISTING_FILES_MAX == LIMIT_MANIFEST_FILES, "files of a version");

void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->files[i].path);
    memset(listing, 0, sizeof(*listing));
}

static enum status listing_add(struct listing *listing, struct bytes path,
                               uint64_t size)
{
    if (listing->count == LISTING_FILES_MAX || size > UINT64_MAX / 2 ||
        listing->size > UINT64_MAX / 2)
        return STATUS_LIMIT;
    char *copy = bytes_to_text(path);
    if (!copy)
        return STATUS_NO_MEMORY;
    listing->files[listing->count++] = (struct listing_file){copy, size};
    listing->size += size;
    return STATUS_OK;
}

/* ---- Folders ---- */

struct folder_walk {
    const char *dir;
    struct listing *listing;
    struct diag *diag;
};

static enum status folder_look(const struct folder_walk *walk, const char *path,
                               unsigned depth);

static bool is_journal(const char *path)
{
    size_t size = strlen(path), suffix = strlen(JOURNAL_SUFFIX);
    return size > suffix && !strcmp(path + size - suffix, JOURNAL_SUFFIX);
}

static enum status folder_entry(const struct folder_walk *walk,
                                const char *path, unsigned depth)
{
    char full[PATH_MAX];
    struct stat st;
    int n = snprintf(full, sizeof(full), "%s/%s", walk->dir, path);
    if (n < 0 || (size_t)n >= sizeof(full))
        return diag_fail(walk->diag, STATUS_LIMIT, "%.60s/%.100s: too long",
                         walk->dir, path);
    if (!name_is_path(bytes_of_text(path)))
        return diag_fail(walk->diag, STATUS_USAGE,
                         "%.100s cannot be a file of a version: parts of paths "
                         "are of A-Z a-z 0-9 . _ - and begin with none of . -",
                         full);
    if (is_journal(path))
        return diag_fail(walk->diag, STATUS_CORRUPT,
                         "%.*s is half patched: run the same deltamesh patch "
                         "--in-place again",
                         (int)(strlen(full) - strlen(JOURNAL_SUFFIX)), full);
    if (lstat(full, &st))
        return diag_fail(walk->diag, status_from_errno(errno), "%.200s: %s",
                         full, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return folder_look(walk, path, depth + 1);
    if (stat(full, &st) || !S_ISREG(st.st_mode))
        return diag_fail(walk->diag, STATUS_USAGE,
                         "%.200s is not a regular file", full);
    enum status status =
        listing_add(walk->listing, bytes_of_text(path), (uint64_t)st.st_size);
    if (status == STATUS_LIMIT)
        diag_fail(walk->diag, status, "%.200s has more than %u files",
                  walk->dir, LISTING_FILES_MAX);
    return status;
}

static enum status folder_entries(const struct folder_walk *walk, DIR *folder,
                                  const char *path, unsigned depth)
{
    enum status status = STATUS_OK;
    for (const struct dirent *entry; !status && (entry = readdir(folder));) {
        char *child;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (asprintf(&child, "%s%s%s", path, *path ? "/" : "", entry->d_name) <
            0)
            return STATUS_NO_MEMORY;
        status = folder_entry(walk, child, depth);
        free(child);
    }
    return status;
}

/* path: below dir, "" for dir itself. */
static enum status folder_look(const struct folder_walk *walk, const char *path,
                               unsigned depth)
{
    char full[PATH_MAX];
    int n = snprintf(full, sizeof(full), "%s%s%s", walk->dir, *path ? "/" : "",
                     path);
    if (n < 0 || (size_t)n >= sizeof(full) || depth > LIMIT_MANIFEST_PATH_PARTS)
        return diag_fail(walk->diag, STATUS_LIMIT, "%.200s: too deep",
                         walk->dir);
    DIR *folder = opendir(full);
    if (!folder)
        return diag_fail(walk->diag, status_from_errno(errno), "%.200s: %s",
                         full, strerror(errno));
    enum status status = folder_entries(walk, folder, path, depth);
    closedir(folder);
    return status;
}

static int file_compare(const void *a, const void *b)
{
    const struct listing_file *x = a, *y = b;
    return strcmp(x->path, y->path);
}

enum status listing_of_folder(const char *dir, struct listing *out,
                              struct diag *diag)
{
    const struct folder_walk walk = {dir, out, diag};
    memset(out, 0, sizeof(*out));
    enum status status = folder_look(&walk, "", 1);
    if (status)
        listing_free(out);
    else if (out->count)
        qsort(out->files, out->count, sizeof(*out->files), file_compare);
    return status;
}

bool listing_has(const struct listing *listing, const char *path)
{
    for (size_t i = 0; i < listing->count; i++)
        if (!strcmp(listing->files[i].path, path))
            return true;
    return false;
}

/* ---- Bytes ---- */

void listing_write(const struct listing *listing, struct writer *wr)
{
    writer_varint(wr, listing->count);
    for (size_t i = 0; i < listing->count; i++) {
        struct bytes path = bytes_of_text(listing->files[i].path);
        writer_varint(wr, path.size);
        writer_bytes(wr, path.data, path.size);
        writer_varint(wr, listing->files[i].size);
    }
}

/* True when a is a folder on the way to b. */
static bool is_above(const char *a, const char *b)
{
    size_t size = strlen(a);
    return !strncmp(a, b, size) && b[size] == '/';
}

/* The last file against all before it: few enough for that. */
static bool last_fits(const struct listing *listing)
{
    const char *last = listing->files[listing->count - 1].path;
    for (size_t i = 0; i + 1 < listing->count; i++)
        if (strcmp(listing->files[i].path, last) >= 0 ||
            is_above(listing->files[i].path, last))
            return false;
    return true;
}

static enum status listing_read_file(struct reader *rd, struct listing *out)
{
    uint64_t path_size = reader_varint_max(rd, 2048);
    struct bytes path = reader_bytes(rd, (size_t)path_size);
    uint64_t size = reader_varint(rd);
    if (reader_status(rd))
        return reader_status(rd);
    if (!name_is_path(path))
        return STATUS_CORRUPT;
    enum status status = listing_add(out, path, size);
    return status || last_fits(out) ? status : STATUS_CORRUPT;
}

enum status listing_parse(struct bytes bytes, struct listing *out)
{
    struct reader rd;
    memset(out, 0, sizeof(*out));
    reader_init(&rd, bytes);
    uint64_t count = reader_varint_max(&rd, LISTING_FILES_MAX);
    enum status status = reader_status(&rd);
    if (!status && !count)
        status = STATUS_CORRUPT;
    for (uint64_t i = 0; !status && i < count; i++)
        status = listing_read_file(&rd, out);
    if (!status)
        status = reader_finish(&rd);
    if (status)
        listing_free(out);
    return status;
}
