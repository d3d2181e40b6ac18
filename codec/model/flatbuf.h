/* Walks the tables of a FlatBuffer in a source. Every offset is checked where
 * it is followed; the first failure sticks, with words in diag, and later
 * reads yield zero. Tables may share bytes: whoever walks a list counts the
 * steps, as lists of lists can be longer than the file.
 *
 * Ref: flatbuffers.dev, "Internals". */
#ifndef CODEC_MODEL_FLATBUF_H
#define CODEC_MODEL_FLATBUF_H

#include "codec/model/scan.h"

struct flatbuf {
    struct scan *scan;
    struct diag *diag;
    enum status status;
};

struct flatbuf_table {
    uint64_t pos; /* 0: no table, as after a failure or for an absent one */
    uint64_t vtable;
    uint32_t vtable_size;
    uint32_t size; /* of the fields in it */
};

/* count elements of elem_size bytes from pos, all within the file. */
struct flatbuf_vector {
    uint64_t pos;
    uint32_t count;
};

/* The table the file begins with. */
struct flatbuf_table flatbuf_root(struct flatbuf *fb);

/* Fields of a table, by their number: the value if there is one, else other. */
uint8_t flatbuf_u8(struct flatbuf *fb, const struct flatbuf_table *table,
                   unsigned field, uint8_t other);
uint32_t flatbuf_u32(struct flatbuf *fb, const struct flatbuf_table *table,
                     unsigned field, uint32_t other);
uint64_t flatbuf_u64(struct flatbuf *fb, const struct flatbuf_table *table,
                     unsigned field, uint64_t other);

/* The table that a field points to; false for an absent one. */
bool flatbuf_sub(struct flatbuf *fb, const struct flatbuf_table *table,
                 unsigned field, struct flatbuf_table *out);

/* The vector, or text (elem_size 1), of a field; count 0 for an absent one. */
struct flatbuf_vector flatbuf_vector(struct flatbuf *fb,
                                     const struct flatbuf_table *table,
                                     unsigned field, uint32_t elem_size);

/* An element of a vector of tables. index < count. */
struct flatbuf_table flatbuf_element(struct flatbuf *fb,
                                     const struct flatbuf_vector *vector,
                                     uint32_t index);

/* Bytes at pos, zeroes on failure. */
void flatbuf_read(struct flatbuf *fb, uint64_t pos, void *out, size_t size);

#endif
