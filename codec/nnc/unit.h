/* The framing of an NNC bitstream: units with a size, a type and flags.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR unit syntax. */
#ifndef CODEC_NNC_UNIT_H
#define CODEC_NNC_UNIT_H

#include "codec/base/source.h"
#include "codec/base/status.h"
#include "codec/nnc/nnc.h"

struct unit {
    uint64_t offset; /* of its first byte in the stream */
    uint32_t size;   /* with its size field and all that follows */
    uint32_t type;   /* enum nnr_unit_type, or one not known: 7 .. 63 */
    bool independently_decodable;
    bool partial; /* a counter of partial data is present */
    uint8_t partial_counter;
    uint32_t header_size; /* bytes before what the type makes of the rest */
};

/* The unit at an offset of the stream, in one of its two forms of size.
 *
 * STATUS_TRUNCATED  it does not lie within the stream
 * STATUS_CORRUPT    its size has no room for its own fields
 * or what the source says */
enum status unit_read(const struct source *in, uint64_t offset,
                      struct unit *unit) MUST_CHECK;

#endif
