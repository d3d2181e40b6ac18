/* Rows as bytes: a version byte, fixed fields big-endian, names behind their
 * length. Each row has one encoding; leftover bytes, unknown flags and fields
 * that contradict each other are CORRUPT. Layouts: store/SCHEMA.md.
 *
 * Encoders end in the writer's status. Decoders leave alone what is the key
 * (id, slot) and what lies in other rows; views borrow from the input. */
#ifndef STORE_VALUE_H
#define STORE_VALUE_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "store/activation.h"
#include "store/peer.h"
#include "store/record.h"
#include "store/update.h"
#include "store/version.h"

/* Room for any row but records, proofs and bitmaps. */
#define STORE_VALUE_ROW_MAX 2560u

void store_value_put_record(struct writer *wr, const struct store_record *rec);
enum status store_value_get_record(struct bytes in, struct store_record *out)
    MUST_CHECK;

void store_value_put_proof(struct writer *wr, const struct store_proof *proof);
enum status store_value_get_proof(struct bytes in, struct store_proof *out)
    MUST_CHECK;

void store_value_put_version(struct writer *wr,
                             const struct store_version *version);
enum status store_value_get_version(struct bytes in, struct store_version *out)
    MUST_CHECK;

void store_value_put_update(struct writer *wr,
                            const struct store_update *update);
enum status store_value_get_update(struct bytes in, struct store_update *out)
    MUST_CHECK;

void store_value_put_peer(struct writer *wr, const struct store_peer *peer);
enum status store_value_get_peer(struct bytes in, struct store_peer *out)
    MUST_CHECK;

void store_value_put_activation(struct writer *wr,
                                const struct store_activation *activation);
enum status store_value_get_activation(struct bytes in,
                                       struct store_activation *out) MUST_CHECK;

/* An (epoch, seq) pair. */
void store_value_put_seq(struct writer *wr, uint64_t epoch, uint64_t seq);
enum status store_value_get_seq(struct bytes in, uint64_t *epoch, uint64_t *seq)
    MUST_CHECK;

/* A number of eight bytes, without a version byte. */
enum status store_value_get_u64(struct bytes in, uint64_t *value) MUST_CHECK;

/* A bitmap of bit_count bits with the number of those set. bits is a view of
 * ceil(bit_count / 8) bytes. */
void store_value_put_bitmap(struct writer *wr, struct bytes bits,
                            uint32_t set_count);
enum status store_value_get_bitmap(struct bytes in, uint32_t bit_count,
                                   struct bytes *bits, uint32_t *set_count)
    MUST_CHECK;

/* Set bits. */
uint32_t store_value_popcount(struct bytes bits);

/* Bytes of the bits of a bitmap. */
static inline size_t store_value_bitmap_bytes(uint32_t bit_count)
{
    return ((size_t)bit_count + 7) / 8;
}

static inline bool store_value_bit(const uint8_t *bits, uint32_t index)
{
    return bits[index / 8] >> (index % 8) & 1;
}

/* A name is 1 .. STORE_NAME_MAX bytes. */
bool store_value_name_fits(const char *name);

/* Blocks of 2^block_log bytes that hold size bytes; UINT64_MAX for an absurd
 * block_log. */
uint64_t store_value_block_count(uint64_t size, uint8_t block_log);

#endif
