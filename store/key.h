/* Keys that sort as what they are made of: integers big-endian, names ended by
 * a zero byte, hashes as they are. */
#ifndef STORE_KEY_H
#define STORE_KEY_H

#include "codec/base/hash.h"

#include <assert.h>

/* Well under the 511 bytes that LMDB takes. */
#define STORE_KEY_MAX 256u

struct store_key {
    uint8_t data[STORE_KEY_MAX];
    size_t size;
};

static inline void store_key_init(struct store_key *key)
{
    key->size = 0;
}

static inline void store_key_add(struct store_key *key, const void *data,
                                 size_t size)
{
    assert(size <= STORE_KEY_MAX - key->size);
    if (size)
        memcpy(key->data + key->size, data, size);
    key->size += size;
}

static inline void store_key_add_hash(struct store_key *key,
                                      const struct hash *hash)
{
    store_key_add(key, hash->b, HASH_BYTES);
}

/* A text without zero bytes, and one zero byte. */
static inline void store_key_add_text(struct store_key *key, const char *text)
{
    store_key_add(key, text, strlen(text) + 1);
}

static inline void store_key_add_be32(struct store_key *key, uint32_t v)
{
    uint8_t buf[4];
    store_be32(buf, v);
    store_key_add(key, buf, sizeof(buf));
}

static inline void store_key_add_be64(struct store_key *key, uint64_t v)
{
    uint8_t buf[8];
    store_be64(buf, v);
    store_key_add(key, buf, sizeof(buf));
}

static inline struct bytes store_key_view(const struct store_key *key)
{
    return bytes_of(key->data, key->size);
}

static inline struct bytes store_key_of_hash(const struct hash *hash)
{
    return bytes_of(hash->b, HASH_BYTES);
}

#endif
