/* The check of everything: rows, then what points at them, then the counters
 * that are sums over them, then (deep) the segments' hashes. */
#include "store/fsck.h"

#include "codec/update/header.h"
#include "store/activation.h"
#include "store/bits.h"
#include "store/cursor.h"
#include "store/key.h"
#include "store/meta.h"
#include "store/schema.h"
#include "store/segment.h"
#include "store/update_internal.h"
#include "store/usage.h"
#include "store/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Segments read in one transaction of a deep check. */
#define FSCK_SLICE 16u

struct fsck {
    struct store_env *env;
    struct store_txn *txn;
    const struct store_fsck_options *options;
    struct store_fsck_result *result;
    struct diag *diag;
    uint64_t index_problems; /* of these, what can be rebuilt */
    uint64_t usage_total;
    uint64_t base_count; /* updates that have a base */
};

/* ---- reporting ---- */

static void __attribute__((format(printf, 2, 0)))
fsck_say(struct fsck *fsck, const char *fmt, va_list args)
{
    char line[320];
    fsck->result->problem_count++;
    vsnprintf(line, sizeof(line), fmt, args);
    if (fsck->options->report)
        fsck->options->report(fsck->options->ctx, line);
}

static void fsck_problem(struct fsck *fsck, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void fsck_problem(struct fsck *fsck, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fsck_say(fsck, fmt, args);
    va_end(args);
}

/* A problem of an index or counter. */
static void fsck_index(struct fsck *fsck, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void fsck_index(struct fsck *fsck, const char *fmt, ...)
{
    va_list args;
    fsck->index_problems++;
    va_start(args, fmt);
    fsck_say(fsck, fmt, args);
    va_end(args);
}

struct fsck_name {
    char text[17];
};

/* The first eight bytes of a key in hex. */
static struct fsck_name fsck_name(struct bytes key)
{
    struct fsck_name name = {{0}};
    for (size_t i = 0; i < key.size && i < 8; i++)
        snprintf(name.text + 2 * i, 3, "%02x", key.data[i]);
    return name;
}

static struct fsck_name fsck_id(const struct hash *id)
{
    return fsck_name(store_key_of_hash(id));
}

/* ---- small helpers ---- */

/* A malformed row, once reported, does not end the check. */
static void fsck_go_on(struct store_txn *txn)
{
    if (txn->status == STATUS_CORRUPT)
        txn->status = STATUS_OK;
}

static bool fsck_has(struct fsck *fsck, enum store_table table,
                     struct bytes key, struct bytes *value)
{
    return store_txn_get(fsck->txn, table, key, value) == STATUS_OK;
}

static bool fsck_hash_is(enum hash_kind kind, struct bytes in,
                         const struct hash *expected)
{
    struct hash hash;
    hash_bytes(kind, in, &hash);
    return hash_equal(&hash, expected);
}

/* True when the key is a hash; *id is set to it. */
static bool fsck_key_is_hash(struct fsck *fsck, const char *table,
                             struct bytes key, struct hash *id)
{
    if (key.size == HASH_BYTES) {
        memcpy(id->b, key.data, HASH_BYTES);
        return true;
    }
    fsck_problem(fsck, "%s: a key of %zu bytes", table, key.size);
    return false;
}

/* A bitmap row against the count of its bits. */
static bool fsck_bitmap(struct fsck *fsck, const char *what,
                        const struct hash *id, enum store_table table,
                        uint32_t bit_count, struct bytes *bits, uint32_t *count)
{
    struct bytes value;
    *bits = (struct bytes){NULL, 0};
    *count = 0;
    if (!fsck_has(fsck, table, store_key_of_hash(id), &value))
        return true;
    if (store_value_get_bitmap(value, bit_count, bits, count)) {
        fsck_problem(fsck, "%s %s: its bitmap is malformed", what,
                     fsck_id(id).text);
        *bits = (struct bytes){NULL, 0};
        return false;
    }
    uint32_t counted = store_value_popcount(*bits);
    if (counted != *count)
        fsck_index(fsck, "%s %s: its bitmap says %u of %u set bits", what,
                   fsck_id(id).text, (unsigned)*count, (unsigned)counted);
    *count = counted;
    return true;
}

/* ---- meta, records, peers, activations ---- */

static void fsck_meta(struct fsck *fsck)
{
    static const char *const counters[] = {"starts", "uptime", "graph"};
    struct bytes value;
    uint64_t number;
    if (!fsck_has(fsck, STORE_TABLE_META, bytes_of_text("schema"), &value) ||
        value.size != 4 || load_be32(value.data) != STORE_SCHEMA_NUMBER)
        fsck_problem(fsck, "meta: the schema number is missing or wrong");
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        if (fsck_has(fsck, STORE_TABLE_META, bytes_of_text(counters[i]),
                     &value) &&
            store_value_get_u64(value, &number))
            fsck_problem(fsck, "meta: counter %s is malformed", counters[i]);
}

static void fsck_own(struct fsck *fsck)
{
    struct store_cursor cur;
    uint64_t epoch;
    uint64_t seq;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_OWN, bytes_of(NULL, 0));
    while (store_cursor_next(&cur))
        if (cur.key.size != STORE_SLOT_BYTES ||
            store_value_get_seq(cur.value, &epoch, &seq))
            fsck_problem(fsck, "own %s: malformed", fsck_name(cur.key).text);
    store_cursor_close(&cur);
}

static void fsck_records(struct fsck *fsck)
{
    struct store_cursor cur;
    struct store_record rec;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_RECORD, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        fsck->result->record_count++;
        if (cur.key.size != STORE_SLOT_BYTES ||
            store_value_get_record(cur.value, &rec))
            fsck_problem(fsck, "record %s: malformed", fsck_name(cur.key).text);
    }
    store_cursor_close(&cur);
}

static void fsck_proofs(struct fsck *fsck)
{
    struct store_cursor cur;
    struct store_proof proof;
    struct store_record rec;
    struct bytes value;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_PROOF, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        struct fsck_name name = fsck_name(cur.key);
        if (cur.key.size != STORE_SLOT_BYTES ||
            store_value_get_proof(cur.value, &proof))
            fsck_problem(fsck, "proof %s: malformed", name.text);
        else if (!fsck_has(fsck, STORE_TABLE_RECORD, cur.key, &value) ||
                 store_value_get_record(value, &rec))
            fsck_problem(fsck, "proof %s: its slot holds no record", name.text);
        else if (rec.epoch != proof.epoch || rec.seq < proof.seq)
            fsck_problem(fsck, "proof %s: newer than the record of its slot",
                         name.text);
        else if (rec.seq == proof.seq &&
                 !hash_equal(&rec.hash, &proof.least_hash))
            fsck_problem(fsck, "proof %s: its slot does not hold the least",
                         name.text);
    }
    store_cursor_close(&cur);
}

static void fsck_peers(struct fsck *fsck)
{
    struct store_cursor cur;
    struct store_peer peer;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_PEER, bytes_of(NULL, 0));
    while (store_cursor_next(&cur))
        if (cur.key.size != STORE_PEER_ID_BYTES ||
            store_value_get_peer(cur.value, &peer))
            fsck_problem(fsck, "peer %s: malformed", fsck_name(cur.key).text);
    store_cursor_close(&cur);
}

static void fsck_activations(struct fsck *fsck)
{
    struct store_cursor cur;
    struct store_activation activation;
    uint64_t last;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_ACTIVATION,
                      bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        if (cur.key.size < 2 || cur.key.size > STORE_NAME_MAX + 1 ||
            cur.key.data[cur.key.size - 1] ||
            store_value_get_activation(cur.value, &activation)) {
            fsck_problem(fsck, "activation %s: malformed",
                         fsck_name(cur.key).text);
            continue;
        }
        const char *model = (const char *)cur.key.data;
        if (!fsck_has(fsck, STORE_TABLE_VERSION,
                      store_key_of_hash(&activation.version), NULL))
            fsck_problem(fsck, "activation %s: its version is not there",
                         model);
        if (store_activation_last_n(fsck->txn, model, &last) ||
            last < activation.n)
            fsck_problem(fsck, "activation %s: its number was never given",
                         model);
        fsck_go_on(fsck->txn);
    }
    store_cursor_close(&cur);
}

/* ---- versions ---- */

static void fsck_manifest(struct fsck *fsck,
                          const struct store_version *version)
{
    struct bytes manifest;
    struct fsck_name name = fsck_id(&version->id);
    bool held = fsck_has(fsck, STORE_TABLE_MANIFEST,
                         store_key_of_hash(&version->id), &manifest);
    if (!held && version->manifest_size)
        fsck_problem(fsck, "version %s: its manifest is missing", name.text);
    if (!held)
        return;
    if (manifest.size != version->manifest_size)
        fsck_problem(fsck, "version %s: its manifest has another size",
                     name.text);
    else if (!fsck_hash_is(HASH_MANIFEST, manifest, &version->id))
        fsck_problem(fsck, "version %s: its manifest is damaged", name.text);
}

static void fsck_version_indexes(struct fsck *fsck,
                                 const struct store_version *version)
{
    struct store_key key;
    struct fsck_name name = fsck_id(&version->id);
    store_key_init(&key);
    store_key_add_text(&key, version->model);
    store_key_add_be64(&key, version->rank);
    store_key_add_hash(&key, &version->id);
    if (!fsck_has(fsck, STORE_TABLE_VERSION_MODEL, store_key_view(&key), NULL))
        fsck_index(fsck, "version %s: not in the index of models", name.text);
    store_key_init(&key);
    store_key_add_hash(&key, &version->tree);
    store_key_add_hash(&key, &version->id);
    if (!fsck_has(fsck, STORE_TABLE_VERSION_TREE, store_key_view(&key), NULL))
        fsck_index(fsck, "version %s: not in the index of trees", name.text);
}

static void fsck_realising(struct fsck *fsck,
                           const struct store_version *version)
{
    struct bytes value;
    struct store_update update;
    struct fsck_name name = fsck_id(&version->id);
    if (!version->has_update)
        return;
    if (!fsck_has(fsck, STORE_TABLE_UPDATE, store_key_of_hash(&version->update),
                  &value))
        fsck_problem(fsck, "version %s: its update %s is missing", name.text,
                     fsck_id(&version->update).text);
    else if (!store_value_get_update(value, &update) &&
             !hash_equal(&update.target, &version->tree))
        fsck_problem(fsck, "version %s: its update leads elsewhere", name.text);
}

static void fsck_versions(struct fsck *fsck)
{
    struct store_cursor cur;
    struct store_version version;
    struct bytes bits;
    uint32_t count;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_VERSION, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        memset(&version, 0, sizeof(version));
        fsck->result->version_count++;
        if (!fsck_key_is_hash(fsck, "version", cur.key, &version.id))
            continue;
        if (store_value_get_version(cur.value, &version)) {
            fsck_problem(fsck, "version %s: malformed",
                         fsck_name(cur.key).text);
            continue;
        }
        fsck_manifest(fsck, &version);
        fsck_version_indexes(fsck, &version);
        fsck_realising(fsck, &version);
        fsck_bitmap(fsck, "version", &version.id, STORE_TABLE_BITMAP,
                    version.block_count, &bits, &count);
    }
    store_cursor_close(&cur);
}

/* ---- updates ---- */

static void fsck_header(struct fsck *fsck, const struct store_update *update)
{
    struct bytes header;
    struct fsck_name name = fsck_id(&update->id);
    if (!fsck_has(fsck, STORE_TABLE_HEADER, store_key_of_hash(&update->id),
                  &header))
        fsck_problem(fsck, "update %s: its header is missing", name.text);
    else if (header.size != update->header_size)
        fsck_problem(fsck, "update %s: its header has another size", name.text);
    else if (!fsck_hash_is(HASH_UPDATE, header, &update->id))
        fsck_problem(fsck, "update %s: its header is damaged", name.text);
}

static bool fsck_in_index(struct fsck *fsck, enum store_table table,
                          const struct hash *tree, const struct hash *id)
{
    struct store_key key;
    store_key_init(&key);
    store_key_add_hash(&key, tree);
    store_key_add_hash(&key, id);
    return fsck_has(fsck, table, store_key_view(&key), NULL);
}

/* Counts the segments that have rows, and their sizes, into *sum. */
static void fsck_segments(struct fsck *fsck, const struct store_update *update,
                          struct bytes bits, struct store_update *sum)
{
    struct store_cursor cur;
    struct fsck_name name = fsck_id(&update->id);
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_SEGMENT,
                      store_key_of_hash(&update->id));
    while (store_cursor_next(&cur)) {
        uint32_t index = 0;
        fsck->result->segment_count++;
        if (cur.key.size == HASH_BYTES + 4)
            index = load_be32(cur.key.data + HASH_BYTES);
        if (cur.key.size != HASH_BYTES + 4 || index >= update->segment_count ||
            !cur.value.size)
            fsck_problem(fsck, "update %s: a malformed segment", name.text);
        else if (index / 8 >= bits.size || !store_value_bit(bits.data, index))
            fsck_problem(fsck, "update %s: segment %u is not noted as held",
                         name.text, (unsigned)index);
        sum->row_count++;
        sum->held_size += cur.value.size;
        sum->held_cost += store_usage_cost(fsck->txn, cur.value.size);
    }
    store_cursor_close(&cur);
}

static void fsck_update(struct fsck *fsck, const struct store_update *update)
{
    struct store_update sum = {0};
    struct bytes bits;
    struct fsck_name name = fsck_id(&update->id);
    fsck_header(fsck, update);
    fsck_bitmap(fsck, "update", &update->id, STORE_TABLE_HELD,
                update->segment_count, &bits, &sum.held_count);
    sum.held_cost = store_usage_cost(fsck->txn, update->header_size);
    fsck_segments(fsck, update, bits, &sum);
    if (sum.held_count != update->held_count ||
        sum.row_count != update->row_count ||
        sum.held_size != update->held_size ||
        sum.held_cost != update->held_cost)
        fsck_index(fsck, "update %s: its counters do not add up", name.text);
    if (!fsck_in_index(fsck, STORE_TABLE_UPDATE_TARGET, &update->target,
                       &update->id))
        fsck_index(fsck, "update %s: not in the index of targets", name.text);
    if (update->has_base && !fsck_in_index(fsck, STORE_TABLE_UPDATE_BASE,
                                           &update->base, &update->id))
        fsck_index(fsck, "update %s: not in the index of bases", name.text);
}

static void fsck_updates(struct fsck *fsck)
{
    struct store_cursor cur;
    struct store_update update;
    store_cursor_open(&cur, fsck->txn, STORE_TABLE_UPDATE, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        memset(&update, 0, sizeof(update));
        fsck->result->update_count++;
        if (!fsck_key_is_hash(fsck, "update", cur.key, &update.id))
            continue;
        if (store_value_get_update(cur.value, &update)) {
            fsck_problem(fsck, "update %s: malformed", fsck_name(cur.key).text);
            continue;
        }
        fsck->base_count += update.has_base;
        fsck_update(fsck, &update);
    }
    store_cursor_close(&cur);
}

/* ---- rows that belong to nothing ---- */

/* Every key of table starts with (at_end: ends in) a hash
 * that is a key of owner. */
static void fsck_orphans(struct fsck *fsck, const char *text,
                         enum store_table table, enum store_table owner,
                         bool at_end, bool is_index)
{
    struct store_cursor cur;
    store_cursor_open(&cur, fsck->txn, table, bytes_of(NULL, 0));
    while (store_cursor_next(&cur)) {
        struct bytes id = bytes_of(cur.key.data, HASH_BYTES);
        if (at_end && cur.key.size >= HASH_BYTES)
            id.data += cur.key.size - HASH_BYTES;
        if (cur.key.size >= HASH_BYTES && fsck_has(fsck, owner, id, NULL))
            continue;
        if (is_index)
            fsck_index(fsck, "%s: an entry without its row", text);
        else
            fsck_problem(fsck, "%s %s: belongs to nothing", text,
                         fsck_name(cur.key).text);
    }
    store_cursor_close(&cur);
}

/* As many index entries as rows: with the look-ups above, an index is then
 * exactly what it should be. */
static void fsck_index_counts(struct fsck *fsck)
{
    uint64_t versions = store_txn_count(fsck->txn, STORE_TABLE_VERSION);
    uint64_t updates = store_txn_count(fsck->txn, STORE_TABLE_UPDATE);
    if (store_txn_count(fsck->txn, STORE_TABLE_VERSION_MODEL) != versions ||
        store_txn_count(fsck->txn, STORE_TABLE_VERSION_TREE) != versions)
        fsck_index(fsck, "the indexes of versions have other counts");
    if (store_txn_count(fsck->txn, STORE_TABLE_UPDATE_TARGET) != updates ||
        store_txn_count(fsck->txn, STORE_TABLE_UPDATE_BASE) != fsck->base_count)
        fsck_index(fsck, "the indexes of updates have other counts");
}

static void fsck_all_orphans(struct fsck *fsck)
{
    fsck_orphans(fsck, "manifest", STORE_TABLE_MANIFEST, STORE_TABLE_VERSION,
                 false, false);
    fsck_orphans(fsck, "bitmap", STORE_TABLE_BITMAP, STORE_TABLE_VERSION, false,
                 false);
    fsck_orphans(fsck, "header", STORE_TABLE_HEADER, STORE_TABLE_UPDATE, false,
                 false);
    fsck_orphans(fsck, "held", STORE_TABLE_HELD, STORE_TABLE_UPDATE, false,
                 false);
    fsck_orphans(fsck, "segment", STORE_TABLE_SEGMENT, STORE_TABLE_UPDATE,
                 false, false);
    fsck_orphans(fsck, "index of models", STORE_TABLE_VERSION_MODEL,
                 STORE_TABLE_VERSION, true, true);
    fsck_orphans(fsck, "index of trees", STORE_TABLE_VERSION_TREE,
                 STORE_TABLE_VERSION, true, true);
    fsck_orphans(fsck, "index of targets", STORE_TABLE_UPDATE_TARGET,
                 STORE_TABLE_UPDATE, true, true);
    fsck_orphans(fsck, "index of bases", STORE_TABLE_UPDATE_BASE,
                 STORE_TABLE_UPDATE, true, true);
    fsck_index_counts(fsck);
}

/* ---- usage ---- */

/* What one model should count for: few models, so each is summed alone. */
struct fsck_sum {
    const char *model;
    struct store_txn *txn;
    uint64_t bytes;
};

static bool fsck_sum_version(void *ctx, const struct store_version *version)
{
    struct fsck_sum *sum = ctx;
    if (!sum->model || !strcmp(sum->model, version->model))
        sum->bytes += store_usage_cost(sum->txn, version->manifest_size);
    return true;
}

static bool fsck_sum_update(void *ctx, const struct store_update *update)
{
    struct fsck_sum *sum = ctx;
    if (!sum->model || !strcmp(sum->model, update->model))
        sum->bytes += update->held_cost;
    return true;
}

static uint64_t fsck_sum(struct fsck *fsck, const char *model)
{
    struct fsck_sum sum = {model, fsck->txn, 0};
    if (store_version_each(fsck->txn, fsck_sum_version, &sum) ||
        store_update_each(fsck->txn, fsck_sum_update, &sum))
        return 0;
    return sum.bytes;
}

static bool fsck_usage_model(void *ctx, const char *model, uint64_t bytes)
{
    struct fsck *fsck = ctx;
    uint64_t sum = fsck_sum(fsck, model);
    fsck->usage_total += bytes;
    if (sum != bytes)
        fsck_index(fsck, "usage of %s: %" PRIu64 " counted, %" PRIu64 " noted",
                   model, sum, bytes);
    return true;
}

static void fsck_usage(struct fsck *fsck)
{
    uint64_t total;
    fsck->usage_total = 0;
    if (store_usage_each(fsck->txn, fsck_usage_model, fsck) ||
        store_usage_total(fsck->txn, &total))
        return;
    uint64_t sum = fsck_sum(fsck, NULL);
    if (sum != total || fsck->usage_total != total)
        fsck_index(fsck,
                   "usage: %" PRIu64 " counted, %" PRIu64
                   " noted of models, %" PRIu64 " in all",
                   sum, fsck->usage_total, total);
}

/* ---- repairing indexes ---- */

static bool fsck_rebuild_version(void *ctx, const struct store_version *version)
{
    struct store_txn *txn = ctx;
    struct store_key key;
    store_key_init(&key);
    store_key_add_text(&key, version->model);
    store_key_add_be64(&key, version->rank);
    store_key_add_hash(&key, &version->id);
    store_txn_put(txn, STORE_TABLE_VERSION_MODEL, store_key_view(&key),
                  bytes_of(NULL, 0));
    store_key_init(&key);
    store_key_add_hash(&key, &version->tree);
    store_key_add_hash(&key, &version->id);
    store_txn_put(txn, STORE_TABLE_VERSION_TREE, store_key_view(&key),
                  bytes_of(NULL, 0));
    store_usage_change(txn, version->model,
                       store_usage_cost(txn, version->manifest_size), 0);
    return !store_txn_status(txn);
}

static bool fsck_rebuild_update(void *ctx, const struct store_update *update)
{
    struct store_txn *txn = ctx;
    struct store_key key;
    store_key_init(&key);
    store_key_add_hash(&key, &update->target);
    store_key_add_hash(&key, &update->id);
    store_txn_put(txn, STORE_TABLE_UPDATE_TARGET, store_key_view(&key),
                  bytes_of(NULL, 0));
    store_key_init(&key);
    store_key_add_hash(&key, &update->base);
    store_key_add_hash(&key, &update->id);
    if (update->has_base)
        store_txn_put(txn, STORE_TABLE_UPDATE_BASE, store_key_view(&key),
                      bytes_of(NULL, 0));
    store_usage_change(txn, update->model, update->held_cost, 0);
    return !store_txn_status(txn);
}

/* Writes the count of a bitmap anew. */
static void fsck_recount_bits(struct store_txn *txn, enum store_table table,
                              const struct hash *id, uint32_t bit_count,
                              uint32_t *count)
{
    struct bytes bits;
    struct writer wr;
    *count = 0;
    if (store_bits_get(txn, table, id, bit_count, &bits, NULL) || !bits.size)
        return;
    *count = store_value_popcount(bits);
    writer_init_heap(&wr, bits.size + 8);
    store_value_put_bitmap(&wr, bits, *count);
    if (writer_status(&wr))
        store_txn_fail(txn, writer_status(&wr), "out of memory");
    else if (*count)
        store_txn_put(txn, table, store_key_of_hash(id), writer_view(&wr));
    else
        store_txn_del(txn, table, store_key_of_hash(id));
    writer_deinit(&wr);
}

/* Brings counters of one update in step with its rows. */
static void fsck_recount_update(struct store_txn *txn, const struct hash *id)
{
    struct store_update update;
    struct store_cursor cur;
    if (store_update_get(txn, id, &update))
        return;
    update.row_count = 0;
    update.held_size = 0;
    update.held_cost = store_usage_cost(txn, update.header_size);
    fsck_recount_bits(txn, STORE_TABLE_HELD, id, update.segment_count,
                      &update.held_count);
    store_cursor_open(&cur, txn, STORE_TABLE_SEGMENT, store_key_of_hash(id));
    while (store_cursor_next(&cur)) {
        update.row_count++;
        update.held_size += cur.value.size;
        update.held_cost += store_usage_cost(txn, cur.value.size);
    }
    store_cursor_close(&cur);
    store_update_put_row(txn, &update);
}

/* The ids of a table, so that rows can be changed while walking. */
static struct hash *fsck_ids(struct store_txn *txn, enum store_table table,
                             size_t *count)
{
    struct store_cursor cur;
    size_t cap = (size_t)store_txn_count(txn, table);
    struct hash *ids = calloc(cap + 1, sizeof(*ids));
    *count = 0;
    if (!ids) {
        store_txn_fail(txn, STATUS_NO_MEMORY, "out of memory");
        return NULL;
    }
    store_cursor_open(&cur, txn, table, bytes_of(NULL, 0));
    while (*count < cap && store_cursor_next(&cur))
        if (cur.key.size == HASH_BYTES)
            memcpy(ids[(*count)++].b, cur.key.data, HASH_BYTES);
    store_cursor_close(&cur);
    return ids;
}

static void fsck_recount(struct store_txn *txn)
{
    struct store_version version;
    size_t count;
    uint32_t bits;
    struct hash *ids = fsck_ids(txn, STORE_TABLE_UPDATE, &count);
    for (size_t i = 0; i < count && !txn->status; i++)
        fsck_recount_update(txn, &ids[i]);
    free(ids);
    ids = fsck_ids(txn, STORE_TABLE_VERSION, &count);
    for (size_t i = 0; i < count && !txn->status; i++)
        if (!store_version_get(txn, &ids[i], &version))
            fsck_recount_bits(txn, STORE_TABLE_BITMAP, &ids[i],
                              version.block_count, &bits);
    free(ids);
}

static enum status fsck_rebuild(struct fsck *fsck)
{
    static const enum store_table tables[] = {
        STORE_TABLE_VERSION_MODEL, STORE_TABLE_VERSION_TREE,
        STORE_TABLE_UPDATE_TARGET, STORE_TABLE_UPDATE_BASE, STORE_TABLE_USAGE};
    struct store_txn txn;
    enum status status =
        store_txn_begin(&txn, fsck->env, STORE_TXN_WRITE, fsck->diag);
    if (status)
        return status;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        store_txn_clear(&txn, tables[i]);
    fsck_recount(&txn);
    txn.graph_changed = true;
    status = store_version_each(&txn, fsck_rebuild_version, &txn);
    if (!status)
        status = store_update_each(&txn, fsck_rebuild_update, &txn);
    if (!status)
        status = store_txn_commit(&txn);
    store_txn_abort(&txn);
    if (!status)
        fsck->result->repaired_count = fsck->index_problems;
    return status;
}

/* ---- segments ---- */

/* What the header says of its update, against the row. */
static void fsck_header_facts(struct fsck *fsck,
                              const struct store_update *update,
                              const struct update_header *header)
{
    if (header->has_base != update->has_base ||
        !hash_equal(&header->base_tree, &update->base) ||
        !hash_equal(&header->target_tree, &update->target) ||
        header->segment_count != update->segment_count ||
        header->coded_size + update->header_size != update->coded_size)
        fsck_problem(fsck, "update %s: its row and its header differ",
                     fsck_id(&update->id).text);
}

static bool fsck_segment_fits(const struct update_header *header,
                              uint32_t index, struct bytes segment)
{
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES];
    const struct update_segment *entry = &header->segments[index];
    if (entry->size != segment.size)
        return false;
    if (!segment.size)
        return true;
    update_segment_hash(segment, hash);
    return !memcmp(hash, entry->hash, sizeof(hash));
}

/* Up to FSCK_SLICE segments from *index on; header is NULL when the caller of
 * fsck checks segments itself. */
static void fsck_deep_some(struct fsck *fsck, const struct store_update *update,
                           struct bytes header,
                           const struct update_header *parsed, uint32_t *index)
{
    const struct store_fsck_options *options = fsck->options;
    struct bytes segment;
    for (uint32_t n = 0; n < FSCK_SLICE && *index < update->segment_count;
         n++, ++*index) {
        if (store_segment_get(fsck->txn, &update->id, *index, &segment))
            continue;
        bool fits = parsed
                        ? fsck_segment_fits(parsed, *index, segment)
                        : options->check_segment(options->ctx, header, *index,
                                                 segment) == STATUS_OK;
        if (!fits)
            fsck_problem(fsck, "update %s: segment %u is damaged",
                         fsck_id(&update->id).text, (unsigned)*index);
    }
}

/* One slice of one update, in a read transaction of its own. */
static enum status fsck_deep_slice(struct fsck *fsck, const struct hash *id,
                                   uint32_t *index, bool *done)
{
    struct store_txn txn;
    struct store_update update;
    struct update_header parsed = {0};
    struct bytes header;
    *done = true;
    enum status status =
        store_txn_begin(&txn, fsck->env, STORE_TXN_READ, fsck->diag);
    if (status)
        return status;
    fsck->txn = &txn;
    if (store_update_get(&txn, id, &update) ||
        store_update_get_header(&txn, id, &header)) {
        fsck_go_on(&txn);
        goto out;
    }
    bool ours = fsck->options->check_segment == NULL;
    if (ours && update_header_parse(header, &parsed, NULL)) {
        fsck_problem(fsck, "update %s: its header cannot be read",
                     fsck_id(id).text);
        goto out;
    }
    if (ours && *index == 0)
        fsck_header_facts(fsck, &update, &parsed);
    if (ours && parsed.segment_count != update.segment_count)
        goto out;
    fsck_deep_some(fsck, &update, header, ours ? &parsed : NULL, index);
    *done = *index == update.segment_count;
out:
    update_header_free(&parsed);
    status = store_txn_status(&txn);
    store_txn_abort(&txn);
    return status;
}

static enum status fsck_deep(struct fsck *fsck)
{
    struct store_txn txn;
    size_t count;
    enum status status =
        store_txn_begin(&txn, fsck->env, STORE_TXN_READ, fsck->diag);
    if (status)
        return status;
    struct hash *ids = fsck_ids(&txn, STORE_TABLE_UPDATE, &count);
    status = store_txn_status(&txn);
    store_txn_abort(&txn);
    for (size_t i = 0; i < count && !status; i++) {
        uint32_t index = 0;
        bool done = false;
        while (!done && !status)
            status = fsck_deep_slice(fsck, &ids[i], &index, &done);
    }
    free(ids);
    return status;
}

enum status store_fsck_run(struct store_env *env,
                           const struct store_fsck_options *options,
                           struct store_fsck_result *out, struct diag *diag)
{
    struct store_txn txn;
    struct fsck fsck = {.env = env,
                        .txn = &txn,
                        .options = options,
                        .result = out,
                        .diag = diag};
    memset(out, 0, sizeof(*out));
    enum status status = store_txn_begin(&txn, env, STORE_TXN_READ, diag);
    if (status)
        return status;
    fsck_meta(&fsck);
    fsck_own(&fsck);
    fsck_records(&fsck);
    fsck_proofs(&fsck);
    fsck_peers(&fsck);
    fsck_activations(&fsck);
    fsck_versions(&fsck);
    fsck_updates(&fsck);
    fsck_all_orphans(&fsck);
    /* The sums walk decoded rows, and would stop at a malformed one. */
    if (out->problem_count == fsck.index_problems)
        fsck_usage(&fsck);
    status = store_txn_status(&txn);
    store_txn_abort(&txn);
    if (!status && options->repair_indexes && fsck.index_problems &&
        out->problem_count == fsck.index_problems)
        status = fsck_rebuild(&fsck);
    if (!status && options->deep)
        status = fsck_deep(&fsck);
    return status;
}
