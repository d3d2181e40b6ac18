/* Versions: one row each, its manifest and bitmap in tables of their own, so
 * that a fetch rewrites little, and two indexes. */
#include "store/version.h"

#include "store/bits.h"
#include "store/cursor.h"
#include "store/key.h"
#include "store/segment.h"
#include "store/update.h"
#include "store/usage.h"
#include "store/value.h"

const char *store_version_state_text(enum store_version_state state)
{
    static const char *const texts[STORE_VERSION_STATE_COUNT] = {
        [STORE_VERSION_KNOWN] = "known",
        [STORE_VERSION_WANTED] = "wanted",
        [STORE_VERSION_FETCHING] = "fetching",
        [STORE_VERSION_COMPLETE] = "complete",
        [STORE_VERSION_STAGED] = "staged",
        [STORE_VERSION_RUNNING] = "running",
        [STORE_VERSION_PREVIOUS] = "previous",
        [STORE_VERSION_BAD] = "bad",
        [STORE_VERSION_TRIAL] = "trial",
    };
    return (unsigned)state < STORE_VERSION_STATE_COUNT ? texts[state]
                                                       : "unknown";
}

/* ---- keys and rows ---- */

/* Model, rank, id: the index of a model's versions, lowest rank first. */
static void version_model_key(struct store_key *key,
                              const struct store_version *version)
{
    store_key_init(key);
    store_key_add_text(key, version->model);
    store_key_add_be64(key, version->rank);
    store_key_add_hash(key, &version->id);
}

static void version_tree_key(struct store_key *key,
                             const struct store_version *version)
{
    store_key_init(key);
    store_key_add_hash(key, &version->tree);
    store_key_add_hash(key, &version->id);
}

static enum status version_put_row(struct store_txn *txn,
                                   const struct store_version *version)
{
    uint8_t buf[STORE_VALUE_ROW_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    store_value_put_version(&wr, version);
    enum status status = writer_status(&wr);
    if (status)
        return store_txn_fail(txn, status, "a version's row does not fit");
    return store_txn_put(txn, STORE_TABLE_VERSION,
                         store_key_of_hash(&version->id), writer_view(&wr));
}

static enum status version_decode(struct store_txn *txn, struct bytes value,
                                  struct store_version *out)
{
    char hex[HASH_HEX_SIZE];
    struct bytes bits;
    if (store_value_get_version(value, out)) {
        hash_hex(&out->id, hex);
        return store_txn_fail(txn, STATUS_CORRUPT,
                              "the store's row of version %.16s is malformed",
                              hex);
    }
    return store_bits_get(txn, STORE_TABLE_BITMAP, &out->id, out->block_count,
                          &bits, &out->have_count);
}

enum status store_version_get(struct store_txn *txn, const struct hash *id,
                              struct store_version *out)
{
    struct bytes value;
    /* id may be out->id. */
    *out = (struct store_version){.id = *id};
    enum status status = store_txn_get(txn, STORE_TABLE_VERSION,
                                       store_key_of_hash(&out->id), &value);
    return status ? status : version_decode(txn, value, out);
}

/* ---- adding and removing ---- */

static enum status version_check(struct store_txn *txn,
                                 const struct store_version *version)
{
    if (!store_value_name_fits(version->model))
        return store_txn_answer(txn, STATUS_USAGE,
                                "a version's model name is empty or too long");
    if (strnlen(version->role, STORE_NAME_MAX + 1) > STORE_NAME_MAX)
        return store_txn_answer(txn, STATUS_USAGE,
                                "a version's role name is too long");
    if ((unsigned)version->state >= STORE_VERSION_STATE_COUNT)
        return store_txn_answer(txn, STATUS_USAGE, "no such version state");
    if (version->block_count > STORE_BLOCK_COUNT_MAX)
        return store_txn_answer(txn, STATUS_LIMIT, "a version of %u blocks",
                                (unsigned)version->block_count);
    if (store_value_block_count(version->size, version->block_log) !=
        version->block_count)
        return store_txn_answer(txn, STATUS_USAGE,
                                "a version's size and block count differ");
    return STATUS_OK;
}

enum status store_version_add(struct store_txn *txn,
                              const struct store_version *version)
{
    struct store_key key;
    struct store_version row = *version;
    enum status status = version_check(txn, version);
    if (status)
        return status;
    status = store_txn_get(txn, STORE_TABLE_VERSION,
                           store_key_of_hash(&version->id), NULL);
    if (status != STATUS_NOT_FOUND)
        return status ? status : STATUS_EXISTS;
    row.has_update = false;
    row.manifest_size = 0;
    txn->graph_changed = true;
    version_put_row(txn, &row);
    version_model_key(&key, &row);
    store_txn_put(txn, STORE_TABLE_VERSION_MODEL, store_key_view(&key),
                  bytes_of(NULL, 0));
    version_tree_key(&key, &row);
    return store_txn_put(txn, STORE_TABLE_VERSION_TREE, store_key_view(&key),
                         bytes_of(NULL, 0));
}

static enum status version_drop_manifest(struct store_txn *txn,
                                         struct store_version *version)
{
    uint64_t cost = store_usage_cost(txn, version->manifest_size);
    version->manifest_size = 0;
    store_txn_del(txn, STORE_TABLE_MANIFEST, store_key_of_hash(&version->id));
    return store_usage_change(txn, version->model, 0, cost);
}

enum status store_version_remove(struct store_txn *txn, const struct hash *id)
{
    struct store_version version;
    struct store_key key;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    txn->graph_changed = true;
    version_drop_manifest(txn, &version);
    store_txn_del(txn, STORE_TABLE_BITMAP, store_key_of_hash(id));
    version_model_key(&key, &version);
    store_txn_del(txn, STORE_TABLE_VERSION_MODEL, store_key_view(&key));
    version_tree_key(&key, &version);
    store_txn_del(txn, STORE_TABLE_VERSION_TREE, store_key_view(&key));
    return store_txn_del(txn, STORE_TABLE_VERSION, store_key_of_hash(id));
}

enum status store_version_strip(struct store_txn *txn, const struct hash *id)
{
    struct store_version version;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    txn->graph_changed = true;
    version_drop_manifest(txn, &version);
    store_txn_del(txn, STORE_TABLE_BITMAP, store_key_of_hash(id));
    version.has_update = false;
    if (version.state != STORE_VERSION_BAD)
        version.state = STORE_VERSION_KNOWN;
    return version_put_row(txn, &version);
}

/* ---- manifests ---- */

enum status store_version_put_manifest(struct store_txn *txn,
                                       const struct hash *id,
                                       struct bytes manifest)
{
    struct store_version version;
    struct hash hash;
    if (manifest.size > STORE_MANIFEST_BYTES_MAX)
        return STATUS_LIMIT;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    hash_bytes(HASH_MANIFEST, manifest, &hash);
    if (!hash_equal(&hash, id))
        return store_txn_answer(txn, STATUS_MISMATCH,
                                "the manifest is not the version's");
    if (version.manifest_size)
        return STATUS_OK;
    uint64_t cost = store_usage_cost(txn, manifest.size);
    status = store_usage_check(txn, cost);
    if (status)
        return status;
    version.manifest_size = (uint32_t)manifest.size;
    store_txn_put(txn, STORE_TABLE_MANIFEST, store_key_of_hash(id), manifest);
    store_usage_change(txn, version.model, cost, 0);
    return version_put_row(txn, &version);
}

enum status store_version_get_manifest(struct store_txn *txn,
                                       const struct hash *id,
                                       struct bytes *manifest)
{
    return store_txn_get(txn, STORE_TABLE_MANIFEST, store_key_of_hash(id),
                         manifest);
}

/* ---- small changes ---- */

enum status store_version_set_state(struct store_txn *txn,
                                    const struct hash *id,
                                    enum store_version_state state,
                                    uint64_t uptime)
{
    struct store_version version;
    if ((unsigned)state >= STORE_VERSION_STATE_COUNT)
        return STATUS_USAGE;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    txn->graph_changed = true;
    version.state = state;
    version.state_uptime = uptime;
    return version_put_row(txn, &version);
}

enum status store_version_set_pins(struct store_txn *txn, const struct hash *id,
                                   uint32_t pins)
{
    struct store_version version;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    txn->graph_changed = true;
    version.pins = pins;
    return version_put_row(txn, &version);
}

enum status store_version_touch(struct store_txn *txn, const struct hash *id,
                                uint64_t uptime)
{
    struct store_version version;
    enum status status = store_version_get(txn, id, &version);
    if (status || version.used_uptime >= uptime)
        return status;
    version.used_uptime = uptime;
    return version_put_row(txn, &version);
}

enum status store_version_set_update(struct store_txn *txn,
                                     const struct hash *id,
                                     const struct hash *update)
{
    struct store_version version;
    struct store_update held;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    if (update) {
        status = store_update_get(txn, update, &held);
        if (status)
            return status;
        if (!hash_equal(&held.target, &version.tree))
            return store_txn_answer(txn, STATUS_MISMATCH,
                                    "the update leads to another tree");
        version.update = *update;
    }
    txn->graph_changed = true;
    version.has_update = update != NULL;
    return version_put_row(txn, &version);
}

/* ---- blocks ---- */

static enum status version_change_blocks(struct store_txn *txn,
                                         const struct hash *id, uint32_t first,
                                         uint32_t count, bool set)
{
    struct store_version version;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    return store_bits_change(txn, STORE_TABLE_BITMAP, id, version.block_count,
                             first, count, set, NULL);
}

enum status store_version_set_blocks(struct store_txn *txn,
                                     const struct hash *id, uint32_t first,
                                     uint32_t count)
{
    return version_change_blocks(txn, id, first, count, true);
}

enum status store_version_clear_blocks(struct store_txn *txn,
                                       const struct hash *id, uint32_t first,
                                       uint32_t count)
{
    return version_change_blocks(txn, id, first, count, false);
}

enum status store_version_get_blocks(struct store_txn *txn,
                                     const struct hash *id, uint8_t *bits,
                                     size_t bits_size, uint32_t *have_count)
{
    struct store_version version;
    enum status status = store_version_get(txn, id, &version);
    if (status)
        return status;
    return store_bits_copy(txn, STORE_TABLE_BITMAP, id, version.block_count,
                           bits, bits_size, have_count);
}

enum status store_version_commit_blocks(struct store_env *env,
                                        const struct hash *id, uint32_t first,
                                        uint32_t count,
                                        const struct hash *update,
                                        uint32_t index, struct bytes segment,
                                        struct diag *diag)
{
    struct store_txn txn;
    enum status status = store_txn_begin(&txn, env, STORE_TXN_WRITE, diag);
    if (status)
        return status;
    status = store_segment_put(&txn, update, index, segment);
    if (!status || status == STATUS_EXISTS)
        status = store_version_set_blocks(&txn, id, first, count);
    if (!status)
        return store_txn_commit(&txn);
    store_txn_abort(&txn);
    return status;
}

/* ---- walks ---- */

/* The id is the last 32 bytes of the key. */
static bool version_key_id(struct store_txn *txn, struct bytes key,
                           struct hash *id)
{
    if (key.size < HASH_BYTES) {
        store_txn_fail(txn, STATUS_CORRUPT, "a key of a version is malformed");
        return false;
    }
    memcpy(id->b, key.data + key.size - HASH_BYTES, HASH_BYTES);
    return true;
}

static enum status version_walk(struct store_txn *txn, enum store_table table,
                                struct bytes prefix, store_version_fn fn,
                                void *ctx)
{
    struct store_cursor cur;
    struct store_version version;
    struct hash id;
    store_cursor_open(&cur, txn, table, prefix);
    while (store_cursor_next(&cur) && version_key_id(txn, cur.key, &id)) {
        enum status status = store_version_get(txn, &id, &version);
        if (status == STATUS_NOT_FOUND)
            store_txn_fail(txn, STATUS_CORRUPT,
                           "an index names a version that is not there");
        if (status || !fn(ctx, &version))
            break;
    }
    store_cursor_close(&cur);
    return store_txn_status(txn);
}

enum status store_version_each(struct store_txn *txn, store_version_fn fn,
                               void *ctx)
{
    return version_walk(txn, STORE_TABLE_VERSION, bytes_of(NULL, 0), fn, ctx);
}

enum status store_version_each_of_model(struct store_txn *txn,
                                        const char *model, store_version_fn fn,
                                        void *ctx)
{
    struct store_key key;
    if (!store_value_name_fits(model))
        return STATUS_OK;
    store_key_init(&key);
    store_key_add_text(&key, model);
    return version_walk(txn, STORE_TABLE_VERSION_MODEL, store_key_view(&key),
                        fn, ctx);
}

enum status store_version_each_of_tree(struct store_txn *txn,
                                       const struct hash *tree,
                                       store_version_fn fn, void *ctx)
{
    return version_walk(txn, STORE_TABLE_VERSION_TREE, store_key_of_hash(tree),
                        fn, ctx);
}

/* ---- finding by a prefix of the id ---- */

static int version_nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Packs digits into prefix; false unless 1 .. 64 lower-case hex digits. */
static bool version_pack(const char *hex, struct hash *prefix, size_t *digits)
{
    *digits = strnlen(hex, 2 * (size_t)HASH_BYTES + 1);
    if (*digits == 0 || *digits > 2 * (size_t)HASH_BYTES)
        return false;
    memset(prefix, 0, sizeof(*prefix));
    for (size_t i = 0; i < *digits; i++) {
        int nibble = version_nibble(hex[i]);
        if (nibble < 0)
            return false;
        prefix->b[i / 2] =
            (uint8_t)(prefix->b[i / 2] | nibble << (i % 2 ? 0 : 4));
    }
    return true;
}

enum status store_version_find(struct store_txn *txn, const char *hex,
                               struct store_version *out)
{
    struct store_cursor cur;
    struct hash prefix;
    struct hash found = {{0}};
    size_t digits;
    uint32_t count = 0;
    memset(out, 0, sizeof(*out));
    if (!version_pack(hex, &prefix, &digits))
        return STATUS_USAGE;
    store_cursor_open(&cur, txn, STORE_TABLE_VERSION,
                      bytes_of(prefix.b, digits / 2));
    while (count < 2 && store_cursor_next(&cur)) {
        if (cur.key.size != HASH_BYTES)
            continue;
        if (digits % 2 &&
            (cur.key.data[digits / 2] ^ prefix.b[digits / 2]) >> 4)
            continue;
        memcpy(found.b, cur.key.data, HASH_BYTES);
        count++;
    }
    store_cursor_close(&cur);
    if (store_txn_status(txn))
        return store_txn_status(txn);
    if (count != 1)
        return count ? STATUS_AMBIGUOUS : STATUS_NOT_FOUND;
    return store_version_get(txn, &found, out);
}
