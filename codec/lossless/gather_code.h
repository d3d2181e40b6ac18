/* A gather's geometry as bytes; its place in the base and the width of elements
 * are said elsewhere.
 *
 * Byte layout in codec/FORMAT.md, "Gathered bases". */
#ifndef CODEC_LOSSLESS_GATHER_CODE_H
#define CODEC_LOSSLESS_GATHER_CODE_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "codec/lossless/gather.h"

/* Writes columns, stride, direction and runs. The gather has columns, some
 * of which have a base, and has passed gather_check. Runs that say the same in
 * another way are written as they are read back. Failures stick in the writer.
 */
void gather_write(const struct gather *gather, struct writer *wr);

/* Reads what gather_write wrote into out, whose base_offset and elem_bytes are
 * left alone, and which is still to be checked by gather_check.
 *
 * runs  room for GATHER_RUNS_MAX of them; out refers to it
 *
 * Failures stick in the reader: LIMIT for more runs than that or numbers over
 * 32 bits, CORRUPT for another form than the one that is written. Then out has
 * no columns. */
void gather_parse(struct reader *rd, struct gather_run *runs,
                  struct gather *out);

#endif
