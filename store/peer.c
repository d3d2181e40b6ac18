/* Peers: a row each. */
#include "store/peer.h"

#include "store/cursor.h"
#include "store/value.h"

#include <stdlib.h>

static struct bytes peer_key(const uint8_t *id)
{
    return bytes_of(id, STORE_PEER_ID_BYTES);
}

enum status store_peer_put(struct store_txn *txn, const struct store_peer *peer)
{
    uint8_t buf[STORE_VALUE_ROW_MAX];
    struct writer wr;
    if (peer->address_count > STORE_PEER_ADDRESS_COUNT)
        return STATUS_USAGE;
    for (uint32_t i = 0; i < peer->address_count; i++)
        if (strnlen(peer->addresses[i], STORE_PEER_ADDRESS_MAX + 1) >
            STORE_PEER_ADDRESS_MAX)
            return STATUS_USAGE;
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_peer(&wr, peer);
    enum status status = writer_status(&wr);
    if (status)
        return store_txn_fail(txn, status, "a peer's row does not fit");
    return store_txn_put(txn, STORE_TABLE_PEER, peer_key(peer->id),
                         writer_view(&wr));
}

static enum status peer_decode(struct store_txn *txn, const uint8_t *id,
                               struct bytes value, struct store_peer *out)
{
    struct store_peer row = {.seen_uptime = 0};
    memcpy(row.id, id, STORE_PEER_ID_BYTES);
    *out = row;
    if (store_value_get_peer(value, out))
        return store_txn_fail(txn, STATUS_CORRUPT,
                              "the store's row of a peer is malformed");
    return STATUS_OK;
}

enum status store_peer_get(struct store_txn *txn,
                           const uint8_t id[STORE_PEER_ID_BYTES],
                           struct store_peer *out)
{
    struct bytes value;
    struct store_peer row = {.seen_uptime = 0};
    memcpy(row.id, id, STORE_PEER_ID_BYTES);
    *out = row; /* id may be out->id */
    enum status status =
        store_txn_get(txn, STORE_TABLE_PEER, peer_key(out->id), &value);
    return status ? status : peer_decode(txn, out->id, value, out);
}

enum status store_peer_remove(struct store_txn *txn,
                              const uint8_t id[STORE_PEER_ID_BYTES])
{
    return store_txn_del(txn, STORE_TABLE_PEER, peer_key(id));
}

enum status
store_peer_each(struct store_txn *txn,
                bool (*fn)(void *ctx, const struct store_peer *peer), void *ctx)
{
    struct store_cursor cur;
    struct store_peer peer;
    store_cursor_open(&cur, txn, STORE_TABLE_PEER, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        if (cur.key.size != STORE_PEER_ID_BYTES) {
            store_txn_fail(txn, STATUS_CORRUPT, "a key of a peer is malformed");
            break;
        }
        if (peer_decode(txn, cur.key.data, cur.value, &peer) || !fn(ctx, &peer))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}

/* ---- trimming ---- */

struct peer_age {
    uint64_t seen_uptime;
    uint8_t id[STORE_PEER_ID_BYTES];
};

struct peer_ages {
    struct peer_age *list;
    size_t count;
    size_t cap;
};

static bool peer_note_age(void *ctx, const struct store_peer *peer)
{
    struct peer_ages *ages = ctx;
    if (ages->count == ages->cap)
        return false;
    struct peer_age *age = &ages->list[ages->count++];
    age->seen_uptime = peer->seen_uptime;
    memcpy(age->id, peer->id, STORE_PEER_ID_BYTES);
    return true;
}

static int peer_older(const void *a, const void *b)
{
    const struct peer_age *x = a;
    const struct peer_age *y = b;
    if (x->seen_uptime != y->seen_uptime)
        return x->seen_uptime < y->seen_uptime ? -1 : 1;
    return memcmp(x->id, y->id, STORE_PEER_ID_BYTES);
}

enum status store_peer_trim(struct store_txn *txn, size_t keep)
{
    struct peer_ages ages = {0};
    ages.cap = (size_t)store_txn_count(txn, STORE_TABLE_PEER);
    if (ages.cap <= keep)
        return store_txn_status(txn);
    ages.list = calloc(ages.cap, sizeof(*ages.list));
    if (!ages.list)
        return store_txn_fail(txn, STATUS_NO_MEMORY, "out of memory");
    enum status status = store_peer_each(txn, peer_note_age, &ages);
    qsort(ages.list, ages.count, sizeof(*ages.list), peer_older);
    for (size_t i = 0; !status && i + keep < ages.count; i++)
        status = store_peer_remove(txn, ages.list[i].id);
    free(ages.list);
    return status;
}
