/* Personalised BLAKE2b-256 by libsodium. */
#include "codec/base/hash.h"

#include <assert.h>
#include <sodium.h>

static_assert(sizeof(struct hash_state) >=
                  sizeof(crypto_generichash_blake2b_state),
              "hash_state must hold libsodium's");

/* Sixteen bytes each, zero padded. */
static const char
    hash_personal[HASH_KIND_COUNT][crypto_generichash_blake2b_PERSONALBYTES] = {
        [HASH_LEAF] = "dm leaf",         [HASH_TREE] = "dm tree",
        [HASH_MANIFEST] = "dm manifest", [HASH_RECORD] = "dm record",
        [HASH_SLOT] = "dm slot",         [HASH_UPDATE] = "dm update",
        [HASH_SEGMENT] = "dm segment",   [HASH_TRIE] = "dm trie",
        [HASH_BUCKET] = "dm bucket",     [HASH_MISC] = "dm misc",
};

static crypto_generichash_blake2b_state *hash_inner(struct hash_state *st)
{
    return (crypto_generichash_blake2b_state *)(void *)st->opaque;
}

void hash_begin(struct hash_state *st, enum hash_kind kind)
{
    assert(kind < HASH_KIND_COUNT);
    int rc = crypto_generichash_blake2b_init_salt_personal(
        hash_inner(st), NULL, 0, HASH_BYTES, NULL,
        (const unsigned char *)hash_personal[kind]);
    assert(rc == 0);
    (void)rc;
}

void hash_add(struct hash_state *st, const void *data, size_t size)
{
    if (size)
        crypto_generichash_blake2b_update(hash_inner(st), data, size);
}

void hash_add_le32(struct hash_state *st, uint32_t v)
{
    uint8_t buf[4];
    store_le32(buf, v);
    hash_add(st, buf, sizeof(buf));
}

void hash_add_le64(struct hash_state *st, uint64_t v)
{
    uint8_t buf[8];
    store_le64(buf, v);
    hash_add(st, buf, sizeof(buf));
}

void hash_end(struct hash_state *st, struct hash *out)
{
    crypto_generichash_blake2b_final(hash_inner(st), out->b, HASH_BYTES);
}

void hash_bytes(enum hash_kind kind, struct bytes in, struct hash *out)
{
    struct hash_state st;
    hash_begin(&st, kind);
    hash_add(&st, in.data, in.size);
    hash_end(&st, out);
}

void hash_hex(const struct hash *hash, char *out)
{
    sodium_bin2hex(out, HASH_HEX_SIZE, hash->b, HASH_BYTES);
}

bool hash_from_hex(const char *text, struct hash *out)
{
    size_t size = 0;
    if (strlen(text) != 2 * (size_t)HASH_BYTES)
        return false;
    if (sodium_hex2bin(out->b, HASH_BYTES, text, 2 * (size_t)HASH_BYTES, NULL,
                       &size, NULL))
        return false;
    return size == HASH_BYTES;
}
