/* What the encoder alone needs of header.c. */
#ifndef CODEC_UPDATE_HEADER_WRITE_H
#define CODEC_UPDATE_HEADER_WRITE_H

#include "codec/update/header.h"

/* Segments of 1 << segment_log blocks that cover the target, auxiliary ones
 * not counted. */
uint32_t update_header_segment_count(const struct tree_shape *target,
                                     uint8_t segment_log);

/* Writes the fields; segment offsets and coded_size are not looked at. */
void update_header_write(const struct update_header *header, struct writer *wr);

#endif
