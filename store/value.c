/* Encoders and decoders of rows, side by side so that they stay equal. */
#include "store/value.h"

#define VALUE_VERSION         1u
#define VALUE_HAS_UPDATE      1u
#define VALUE_HAS_BASE        1u
#define VALUE_BLOCK_LOG_LIMIT 40u

bool store_value_name_fits(const char *name)
{
    size_t size = strnlen(name, STORE_NAME_MAX + 1);
    return size > 0 && size <= STORE_NAME_MAX;
}

uint64_t store_value_block_count(uint64_t size, uint8_t block_log)
{
    if (block_log > VALUE_BLOCK_LOG_LIMIT)
        return UINT64_MAX;
    uint64_t mask = (UINT64_C(1) << block_log) - 1;
    return (size >> block_log) + ((size & mask) != 0);
}

/* ---- parts ---- */

static void value_put_text(struct writer *wr, const char *text)
{
    size_t size = strlen(text);
    if (size > UINT8_MAX) {
        writer_fail(wr, STATUS_LIMIT);
        return;
    }
    writer_u8(wr, (uint8_t)size);
    writer_bytes(wr, text, size);
}

static void value_get_text(struct reader *rd, char *out, size_t max)
{
    size_t size = reader_u8(rd);
    if (size > max)
        reader_fail(rd, STATUS_CORRUPT);
    struct bytes view = reader_bytes(rd, size);
    if (view.size && memchr(view.data, 0, view.size))
        reader_fail(rd, STATUS_CORRUPT);
    if (rd->status)
        view.size = 0;
    if (view.size)
        memcpy(out, view.data, view.size);
    out[view.size] = 0;
}

static void value_put_blob(struct writer *wr, struct bytes blob)
{
    writer_be32(wr, (uint32_t)blob.size);
    writer_bytes(wr, blob.data, blob.size);
}

static struct bytes value_get_blob(struct reader *rd)
{
    size_t size = reader_be32(rd);
    if (size > STORE_RECORD_BYTES_MAX)
        reader_fail(rd, STATUS_CORRUPT);
    return reader_bytes(rd, size);
}

static void value_put_hash(struct writer *wr, const struct hash *hash)
{
    writer_bytes(wr, hash->b, HASH_BYTES);
}

static void value_get_hash(struct reader *rd, struct hash *hash)
{
    reader_copy(rd, hash->b, HASH_BYTES);
}

/* Every row but bare numbers starts so. */
static struct reader value_begin(struct bytes in)
{
    struct reader rd;
    reader_init(&rd, in);
    if (reader_u8(&rd) != VALUE_VERSION)
        reader_fail(&rd, STATUS_CORRUPT);
    return rd;
}

static uint8_t value_get_flags(struct reader *rd, uint8_t known)
{
    uint8_t flags = reader_u8(rd);
    if (flags & ~known)
        reader_fail(rd, STATUS_CORRUPT);
    return flags;
}

static void value_require(struct reader *rd, bool holds)
{
    if (!holds)
        reader_fail(rd, STATUS_CORRUPT);
}

/* A row that ends early is as damaged as any other. */
static enum status value_end(const struct reader *rd)
{
    return reader_finish(rd) ? STATUS_CORRUPT : STATUS_OK;
}

/* ---- records and proofs ---- */

void store_value_put_record(struct writer *wr, const struct store_record *rec)
{
    writer_u8(wr, VALUE_VERSION);
    writer_be64(wr, rec->epoch);
    writer_be64(wr, rec->seq);
    value_put_hash(wr, &rec->hash);
    writer_u8(wr, rec->kind);
    writer_u8(wr, rec->flags);
    writer_u8(wr, (uint8_t)rec->author.size);
    writer_bytes(wr, rec->author.data, rec->author.size);
    value_put_blob(wr, rec->envelope);
}

enum status store_value_get_record(struct bytes in, struct store_record *out)
{
    struct reader rd = value_begin(in);
    out->epoch = reader_be64(&rd);
    out->seq = reader_be64(&rd);
    value_get_hash(&rd, &out->hash);
    out->kind = reader_u8(&rd);
    out->flags = reader_u8(&rd);
    out->author = reader_bytes(&rd, reader_u8(&rd));
    out->envelope = value_get_blob(&rd);
    return value_end(&rd);
}

void store_value_put_proof(struct writer *wr, const struct store_proof *proof)
{
    writer_u8(wr, VALUE_VERSION);
    writer_be64(wr, proof->epoch);
    writer_be64(wr, proof->seq);
    value_put_hash(wr, &proof->least_hash);
    value_put_hash(wr, &proof->greatest_hash);
    value_put_blob(wr, proof->least);
    value_put_blob(wr, proof->greatest);
}

enum status store_value_get_proof(struct bytes in, struct store_proof *out)
{
    struct reader rd = value_begin(in);
    out->epoch = reader_be64(&rd);
    out->seq = reader_be64(&rd);
    value_get_hash(&rd, &out->least_hash);
    value_get_hash(&rd, &out->greatest_hash);
    value_require(&rd, hash_compare(&out->least_hash, &out->greatest_hash) < 0);
    out->least = value_get_blob(&rd);
    out->greatest = value_get_blob(&rd);
    return value_end(&rd);
}

/* ---- versions ---- */

void store_value_put_version(struct writer *wr,
                             const struct store_version *version)
{
    writer_u8(wr, VALUE_VERSION);
    writer_u8(wr, version->has_update ? VALUE_HAS_UPDATE : 0);
    writer_u8(wr, (uint8_t)version->state);
    writer_u8(wr, version->block_log);
    writer_be32(wr, version->pins);
    writer_be32(wr, version->block_count);
    writer_be32(wr, version->manifest_size);
    writer_be64(wr, version->size);
    writer_be64(wr, version->counter);
    writer_be64(wr, version->rank);
    writer_be64(wr, version->known_uptime);
    writer_be64(wr, version->state_uptime);
    writer_be64(wr, version->used_uptime);
    value_put_hash(wr, &version->tree);
    if (version->has_update)
        value_put_hash(wr, &version->update);
    value_put_text(wr, version->model);
    value_put_text(wr, version->role);
}

enum status store_value_get_version(struct bytes in, struct store_version *out)
{
    struct reader rd = value_begin(in);
    out->has_update = value_get_flags(&rd, VALUE_HAS_UPDATE) & VALUE_HAS_UPDATE;
    uint8_t state = reader_u8(&rd);
    value_require(&rd, state < STORE_VERSION_STATE_COUNT);
    out->state =
        rd.status ? STORE_VERSION_KNOWN : (enum store_version_state)state;
    out->block_log = reader_u8(&rd);
    out->pins = reader_be32(&rd);
    out->block_count = reader_be32(&rd);
    out->manifest_size = reader_be32(&rd);
    value_require(&rd, out->block_count <= STORE_BLOCK_COUNT_MAX &&
                           out->manifest_size <= STORE_MANIFEST_BYTES_MAX);
    out->size = reader_be64(&rd);
    value_require(&rd, store_value_block_count(out->size, out->block_log) ==
                           out->block_count);
    out->counter = reader_be64(&rd);
    out->rank = reader_be64(&rd);
    out->known_uptime = reader_be64(&rd);
    out->state_uptime = reader_be64(&rd);
    out->used_uptime = reader_be64(&rd);
    value_get_hash(&rd, &out->tree);
    out->update = (struct hash){{0}};
    if (out->has_update)
        value_get_hash(&rd, &out->update);
    value_get_text(&rd, out->model, STORE_NAME_MAX);
    value_require(&rd, out->model[0]);
    value_get_text(&rd, out->role, STORE_NAME_MAX);
    return value_end(&rd);
}

/* ---- updates ---- */

void store_value_put_update(struct writer *wr,
                            const struct store_update *update)
{
    writer_u8(wr, VALUE_VERSION);
    writer_u8(wr, update->has_base ? VALUE_HAS_BASE : 0);
    writer_be32(wr, update->segment_count);
    writer_be32(wr, update->held_count);
    writer_be32(wr, update->row_count);
    writer_be32(wr, update->header_size);
    writer_be64(wr, update->coded_size);
    writer_be64(wr, update->held_size);
    writer_be64(wr, update->held_cost);
    writer_be64(wr, update->added_uptime);
    value_put_hash(wr, &update->target);
    if (update->has_base)
        value_put_hash(wr, &update->base);
    value_put_text(wr, update->model);
}

enum status store_value_get_update(struct bytes in, struct store_update *out)
{
    struct reader rd = value_begin(in);
    out->has_base = value_get_flags(&rd, VALUE_HAS_BASE) & VALUE_HAS_BASE;
    out->segment_count = reader_be32(&rd);
    out->held_count = reader_be32(&rd);
    out->row_count = reader_be32(&rd);
    out->header_size = reader_be32(&rd);
    value_require(&rd, out->segment_count <= STORE_SEGMENT_COUNT_MAX &&
                           out->held_count <= out->segment_count &&
                           out->row_count <= out->held_count &&
                           out->header_size <= STORE_HEADER_BYTES_MAX);
    out->coded_size = reader_be64(&rd);
    out->held_size = reader_be64(&rd);
    out->held_cost = reader_be64(&rd);
    out->added_uptime = reader_be64(&rd);
    value_get_hash(&rd, &out->target);
    out->base = (struct hash){{0}};
    if (out->has_base)
        value_get_hash(&rd, &out->base);
    value_get_text(&rd, out->model, STORE_NAME_MAX);
    value_require(&rd, out->model[0]);
    return value_end(&rd);
}

/* ---- peers ---- */

void store_value_put_peer(struct writer *wr, const struct store_peer *peer)
{
    writer_u8(wr, VALUE_VERSION);
    writer_be64(wr, peer->seen_uptime);
    writer_be64(wr, peer->sent_bytes);
    writer_be64(wr, peer->received_bytes);
    writer_be32(wr, peer->link_count);
    writer_be32(wr, peer->fail_count);
    writer_be32(wr, peer->strikes);
    writer_u8(wr, (uint8_t)peer->address_count);
    for (uint32_t i = 0; i < peer->address_count; i++)
        value_put_text(wr, peer->addresses[i]);
}

enum status store_value_get_peer(struct bytes in, struct store_peer *out)
{
    struct reader rd = value_begin(in);
    out->seen_uptime = reader_be64(&rd);
    out->sent_bytes = reader_be64(&rd);
    out->received_bytes = reader_be64(&rd);
    out->link_count = reader_be32(&rd);
    out->fail_count = reader_be32(&rd);
    out->strikes = reader_be32(&rd);
    out->address_count = reader_u8(&rd);
    value_require(&rd, out->address_count <= STORE_PEER_ADDRESS_COUNT);
    if (rd.status)
        out->address_count = 0;
    for (uint32_t i = 0; i < out->address_count; i++)
        value_get_text(&rd, out->addresses[i], STORE_PEER_ADDRESS_MAX);
    return value_end(&rd);
}

/* ---- activations ---- */

void store_value_put_activation(struct writer *wr,
                                const struct store_activation *activation)
{
    writer_u8(wr, VALUE_VERSION);
    writer_u8(wr, (uint8_t)activation->stage);
    writer_be64(wr, activation->n);
    value_put_hash(wr, &activation->version);
    value_put_text(wr, activation->tmp);
}

enum status store_value_get_activation(struct bytes in,
                                       struct store_activation *out)
{
    struct reader rd = value_begin(in);
    uint8_t stage = reader_u8(&rd);
    value_require(&rd, stage < STORE_ACTIVATION_STAGE_COUNT);
    out->stage = rd.status ? STORE_ACTIVATION_INTENT
                           : (enum store_activation_stage)stage;
    out->n = reader_be64(&rd);
    value_get_hash(&rd, &out->version);
    value_get_text(&rd, out->tmp, STORE_ACTIVATION_TMP_MAX);
    return value_end(&rd);
}

/* ---- numbers and bitmaps ---- */

void store_value_put_seq(struct writer *wr, uint64_t epoch, uint64_t seq)
{
    writer_u8(wr, VALUE_VERSION);
    writer_be64(wr, epoch);
    writer_be64(wr, seq);
}

enum status store_value_get_seq(struct bytes in, uint64_t *epoch, uint64_t *seq)
{
    struct reader rd = value_begin(in);
    *epoch = reader_be64(&rd);
    *seq = reader_be64(&rd);
    return value_end(&rd);
}

enum status store_value_get_u64(struct bytes in, uint64_t *value)
{
    struct reader rd;
    reader_init(&rd, in);
    *value = reader_be64(&rd);
    return value_end(&rd);
}

void store_value_put_bitmap(struct writer *wr, struct bytes bits,
                            uint32_t set_count)
{
    writer_u8(wr, VALUE_VERSION);
    writer_be32(wr, set_count);
    writer_bytes(wr, bits.data, bits.size);
}

enum status store_value_get_bitmap(struct bytes in, uint32_t bit_count,
                                   struct bytes *bits, uint32_t *set_count)
{
    struct reader rd = value_begin(in);
    *set_count = reader_be32(&rd);
    value_require(&rd, *set_count <= bit_count);
    *bits = reader_bytes(&rd, store_value_bitmap_bytes(bit_count));
    if (bits->size && bit_count % 8)
        value_require(&rd, bits->data[bits->size - 1] >> (bit_count % 8) == 0);
    return value_end(&rd);
}

uint32_t store_value_popcount(struct bytes bits)
{
    uint32_t count = 0;
    for (size_t i = 0; i < bits.size; i++)
        count += (uint32_t)__builtin_popcount(bits.data[i]);
    return count;
}
