/* An update as one file, for `deltamesh diff`, USB sticks and mirrors: magic,
 * header length, header, coded segments in order (auxiliary ones first) and
 * nothing else.
 *
 * Ref: codec/FORMAT.md, "Update file". */
#ifndef CODEC_UPDATE_UPDATE_FILE_H
#define CODEC_UPDATE_UPDATE_FILE_H

#include "codec/base/source.h"
#include "codec/update/auxiliary.h"
#include "codec/update/header.h"

/* True when a file begins with the magic of an update file, of any version. */
bool update_file_probe(const struct source *file);

struct update_file {
    const struct source *source; /* borrowed */
    uint8_t *header_bytes;       /* owned */
    size_t header_size;
    struct update_header header;
    uint64_t segments_offset; /* of the first coded segment in the file */
};

/* Reads and checks the header; the file's size must be what the directory
 * says.
 *
 * out   zeroed on error; else release with update_file_close
 * Status as update_header_parse, or what the source answers. */
enum status update_file_open(const struct source *source,
                             struct update_file *out, struct diag *diag)
    MUST_CHECK;
void update_file_close(struct update_file *file);

/* Reads the coded bytes of a segment into buf, which has room for
 * UPDATE_SEGMENT_CODED_MAX bytes. */
enum status update_file_segment(const struct update_file *file, uint32_t index,
                                uint8_t *buf, struct bytes *coded) MUST_CHECK;

/* The file as a place that has auxiliary segments; holds as long as file. */
struct update_aux update_file_aux(const struct update_file *file);

/* Writes magic, length and header: what goes before the segments. */
void update_file_write_head(struct writer *wr, struct bytes header);

#endif
