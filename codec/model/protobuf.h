/* Walks the fields of protobuf messages in a source, without a schema and
 * without loading what is skipped. The first failure sticks, with words in
 * diag that name the offset in the file.
 *
 * Taken as other readers take them: varints in longer forms than needed (up to
 * 10 bytes, 64 bits), groups (skipped, PROTOBUF_GROUPS_MAX deep). Refused
 * (CORRUPT): field number 0, wire types 6 and 7, an end of a group that none
 * began. TRUNCATED: lengths and values that reach past the end of their
 * message.
 *
 * Ref: protobuf.dev, "Encoding". */
#ifndef CODEC_MODEL_PROTOBUF_H
#define CODEC_MODEL_PROTOBUF_H

#include "codec/model/scan.h"

#define PROTOBUF_GROUPS_MAX 32u

enum protobuf_wire {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2, /* bytes, text, messages, packed lists */
    PROTOBUF_GROUP = 3,
    PROTOBUF_GROUP_END = 4,
    PROTOBUF_FIXED32 = 5
};

/* A message being walked. */
struct protobuf {
    struct scan *scan;
    struct diag *diag;
    uint64_t pos; /* in the source */
    uint64_t end;
    enum status status;
};

struct protobuf_field {
    uint32_t number;
    enum protobuf_wire wire; /* never a group */
    uint64_t value;          /* VARINT and FIXED; BYTES: size in bytes */
    uint64_t offset;         /* BYTES: of the first byte in the source */
};

/* The message at offset, which with its size must lie within the source. */
void protobuf_init(struct protobuf *pb, struct scan *scan, uint64_t offset,
                   uint64_t size, struct diag *diag);

/* The message, or packed list, that a field of BYTES holds. */
struct protobuf protobuf_sub(const struct protobuf *pb,
                             const struct protobuf_field *field);

/* The next field that is no group. False at the end and after a failure. */
bool protobuf_next(struct protobuf *pb, struct protobuf_field *field);

/* The next value of a packed list; false at the end and after a failure. */
bool protobuf_next_varint(struct protobuf *pb, uint64_t *value);

#endif
