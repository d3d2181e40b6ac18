/* The directory of a zip archive: which entries there are and where the bytes
 * of each lie. Nothing is unpacked; names are labels.
 *
 * Zip64 is read. Every entry is checked against the header before its bytes
 * (name, method, sizes where it has them), must lie before the directory and
 * overlap no other. Refused: several disks (UNSUPPORTED), names that occur
 * twice, more than ZIP_ENTRIES_MAX entries (LIMIT), whatever contradicts
 * itself (CORRUPT) or ends early (TRUNCATED). Checksums are not looked at.
 *
 * Ref: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5. */
#ifndef CODEC_MODEL_ZIP_H
#define CODEC_MODEL_ZIP_H

#include "codec/base/arena.h"
#include "codec/base/source.h"

#define ZIP_ENTRIES_MAX (1u << 17)

struct zip_entry {
    struct bytes name; /* in the arena, ends with a NUL that size leaves out */
    uint64_t header;   /* offset of its header in the file */
    uint64_t record;   /* offset of its record in the directory */
    uint64_t offset;   /* of its bytes in the file */
    uint64_t size;     /* of its bytes in the file */
    bool stored;       /* as they are: neither compressed nor encrypted */
};

/* True when the file begins with the header of an entry. */
bool zip_probe(const struct source *file);

/* Reads the directory.
 *
 * arena    names and the array are taken from it, and 32 KiB for reading
 * entries  out: sorted by name */
enum status zip_read(const struct source *file, struct arena *arena,
                     struct zip_entry **entries, size_t *count,
                     struct diag *diag) MUST_CHECK;

/* The entry of this name, or NULL. */
const struct zip_entry *zip_find(const struct zip_entry *entries, size_t count,
                                 struct bytes name);

#endif
