/* The deterministic subset of CBOR that every structure of the protocol uses:
 * RFC 8949 section 4.2.1 without floats, without simple values but false, true
 * and null, and without indefinite lengths. Each value has exactly one
 * encoding; map keys ascend strictly by the bytes of their encoding.
 *
 * Reading is a pull API over struct reader with its sticky status: reads after
 * a failure yield 0 or empty views, the status is checked once at the end.
 * Start with cbor_reader_init, which validates the whole item first, so that
 * depth, key order and leftover bytes are judged even in parts nobody reads.
 * The statuses everywhere:
 *
 * TRUNCATED  the bytes end inside an item, or a count exceeds the bytes left
 * CORRUPT    not the deterministic encoding, or not the type asked for
 * LIMIT      too deep, or over a maximum given by the caller
 *
 * Byte by byte in PROTOCOL.md, "Deterministic CBOR". */
#ifndef PROTOCOL_CBOR_H
#define PROTOCOL_CBOR_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"

enum cbor_type {
    CBOR_UINT,
    CBOR_NEGATIVE,
    CBOR_BYTES,
    CBOR_TEXT,
    CBOR_ARRAY,
    CBOR_MAP,
    CBOR_TAG,
    CBOR_BOOL,
    CBOR_NULL,
    CBOR_NONE /* no item: the end, a failure, or what the subset lacks */
};

/* Checks that in is exactly one item of the subset. diag names the offset. */
enum status cbor_validate(struct bytes in, struct diag *diag) MUST_CHECK;

/* A reader at the start of the item in, which is validated whole; when it is
 * invalid the reader starts failed with that status. */
void cbor_reader_init(struct reader *rd, struct bytes in);

/* The type of the next item; reads nothing. */
enum cbor_type cbor_peek(const struct reader *rd);

uint64_t cbor_read_uint(struct reader *rd);
uint64_t cbor_read_uint_max(struct reader *rd, uint64_t max); /* LIMIT above */
int64_t cbor_read_int(struct reader *rd); /* LIMIT outside int64_t */
bool cbor_read_bool(struct reader *rd);
void cbor_read_null(struct reader *rd);
uint64_t cbor_read_tag(struct reader *rd); /* the tagged item follows */

/* Views of the input. Text is checked to be UTF-8; it has no NUL after it. */
struct bytes cbor_read_bytes(struct reader *rd);
struct bytes cbor_read_bytes_max(struct reader *rd, size_t max);
struct bytes cbor_read_text(struct reader *rd);
struct bytes cbor_read_text_max(struct reader *rd, size_t max);

/* A byte string of exactly size bytes, copied; zeroes on failure. Another
 * length is CORRUPT. */
void cbor_read_fixed(struct reader *rd, void *out, size_t size);

/* The count of the items that follow: at most max (LIMIT), and at most the
 * bytes left (TRUNCATED). */
size_t cbor_read_array(struct reader *rd, size_t max);

/* An array of exactly count items, else CORRUPT. */
void cbor_read_array_of(struct reader *rd, size_t count);

/* The encoding of the next item, whole; validates it. Read further with a new
 * reader, or keep and write again with cbor_write_raw. */
struct bytes cbor_read_raw(struct reader *rd);
void cbor_skip(struct reader *rd);

/* A map with integer keys, read as
 *
 *     cbor_map_begin(&map, rd, max);
 *     while (cbor_map_next(&map, rd, &key))
 *         switch (key) {
 *         case 0: x = cbor_read_uint(rd); break;
 *         default: (void)cbor_map_unknown(&map, rd);
 *         }
 *     cbor_map_require(&map, rd, 1u << 0);
 *
 * where each turn reads exactly one value. */
struct cbor_map {
    size_t left;           /* pairs not yet begun */
    struct bytes last_key; /* its encoding; data NULL before the first */
    uint64_t seen;         /* bit k: the key k (0..63) was there */
    bool must_understand;  /* an unknown key < 0 was there */
    int64_t must_key;      /* the first such */
    int64_t key;           /* the current one */
};

/* At most max pairs (LIMIT). */
void cbor_map_begin(struct cbor_map *map, struct reader *rd, size_t max);

/* The next key; false at the end of the map or after a failure. Keys out of
 * order, twice, or no integers are CORRUPT. */
bool cbor_map_next(struct cbor_map *map, struct reader *rd, int64_t *key);

/* For maps with keys of any type: the encoding of the next key. */
bool cbor_map_next_raw(struct cbor_map *map, struct reader *rd,
                       struct bytes *key);

/* Skips the value of the current key, which the caller does not know. A key
 * < 0 is noted in must_understand; the caller stores and relays but does not
 * act. Returns the encoding of key and value together, to be kept. */
struct bytes cbor_map_unknown(struct cbor_map *map, struct reader *rd);

/* CORRUPT unless all keys whose bits are set in mask were seen. */
void cbor_map_require(const struct cbor_map *map, struct reader *rd,
                      uint64_t mask);

/* Writing: shortest forms over struct writer. Containers are announced by
 * count; the caller writes map pairs in order of keys: 0, 1, 2, ..., then -1,
 * -2, ... */
void cbor_write_uint(struct writer *wr, uint64_t v);
void cbor_write_int(struct writer *wr, int64_t v);
void cbor_write_bytes(struct writer *wr, const void *data, size_t size);
void cbor_write_text(struct writer *wr, struct bytes text);
void cbor_write_array(struct writer *wr, size_t count);
void cbor_write_map(struct writer *wr, size_t count);
void cbor_write_tag(struct writer *wr, uint64_t tag);
void cbor_write_bool(struct writer *wr, bool v);
void cbor_write_null(struct writer *wr);
void cbor_write_raw(struct writer *wr, struct bytes item);

/* Bytes of the head of an item with this argument: 1, 2, 3, 5 or 9. */
size_t cbor_head_size(uint64_t argument);

#endif
