/* The files of a folder in the order in which they make one content: by path,
 * byte by byte. As many files, and such names, as a version may have.
 *
 * An update to a folder is its listing, then the update file: codec/FORMAT.md,
 * "Update file of a folder". */
#ifndef DAEMON_LISTING_H
#define DAEMON_LISTING_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"

#define LISTING_FILES_MAX 64u
#define LISTING_BYTES_MAX (LISTING_FILES_MAX * (2048u + 16u) + 16u)

struct listing_file {
    char *path; /* owned; relative to the folder: name_is_path */
    uint64_t size;
};

/* Paths are sorted, none twice, none the folder of another. */
struct listing {
    struct listing_file files[LISTING_FILES_MAX];
    size_t count;
    uint64_t size; /* of all files */
};

void listing_free(struct listing *listing);

/* Looks through a folder and the folders in it; files may be links, folders
 * may not.
 *
 * out   zeroed on error; else release with listing_free
 *       and may be empty
 * CORRUPT a file that a patch in place left half done
 * USAGE   a name that no version may have, something that is no file; LIMIT
 *         too many files or folders too deep; NOT_FOUND,
 *         PERMISSION, IO, NO_MEMORY. diag names the path. */
enum status listing_of_folder(const char *dir, struct listing *out,
                              struct diag *diag) MUST_CHECK;

void listing_write(const struct listing *listing, struct writer *wr);

/* As listing_of_folder; reads exactly all bytes. TRUNCATED, CORRUPT, LIMIT,
 * NO_MEMORY. */
enum status listing_parse(struct bytes bytes, struct listing *out) MUST_CHECK;

bool listing_has(const struct listing *listing, const char *path);

#endif
