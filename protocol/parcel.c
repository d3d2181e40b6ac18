/* The messages of contents to bytes and back: one reader and one writer each,
 * found through a table; both walk the keys in their order. */
#include "protocol/parcel.h"

#include "protocol/cbor.h"

#include <assert.h>

typedef void (*read_fn)(struct reader *rd, struct parcel *msg,
                        struct cbor_map *map);
typedef void (*write_fn)(struct writer *wr, const struct parcel *msg);

/* ---- Pieces that several messages share. ---- */

static void read_hash(struct reader *rd, struct hash *out)
{
    cbor_read_fixed(rd, out->b, sizeof out->b);
}

static void write_hash(struct writer *wr, const struct hash *hash)
{
    cbor_write_bytes(wr, hash->b, sizeof hash->b);
}

static void write_view(struct writer *wr, struct bytes view)
{
    cbor_write_bytes(wr, view.data, view.size);
}

static uint32_t read_u32(struct reader *rd)
{
    return (uint32_t)cbor_read_uint_max(rd, UINT32_MAX);
}

/* A choice that a later version may extend: what is not known yet makes the
 * message one to ignore. */
static unsigned read_choice(struct reader *rd, unsigned count)
{
    uint64_t v = cbor_read_uint(rd);
    if (v >= count) {
        reader_fail(rd, STATUS_UNSUPPORTED);
        return 0;
    }
    return (unsigned)v;
}

/* False values are left out, so a flag that is there must be true. */
static bool read_flag(struct reader *rd)
{
    if (!cbor_read_bool(rd))
        reader_fail(rd, STATUS_CORRUPT);
    return true;
}

static unsigned flag(bool on)
{
    return on ? 1 : 0;
}

/* Numbers at their default are left out too. */
static void write_number(struct writer *wr, uint64_t key, uint64_t v)
{
    if (!v)
        return;
    cbor_write_uint(wr, key);
    cbor_write_uint(wr, v);
}

static uint64_t read_number(struct reader *rd, uint64_t max)
{
    uint64_t v = cbor_read_uint_max(rd, max);
    if (!v)
        reader_fail(rd, STATUS_CORRUPT);
    return v;
}

static void write_flag(struct writer *wr, uint64_t key, bool on)
{
    if (!on)
        return;
    cbor_write_uint(wr, key);
    cbor_write_bool(wr, true);
}

static void write_view_at(struct writer *wr, uint64_t key, struct bytes view)
{
    if (!view.size)
        return;
    cbor_write_uint(wr, key);
    write_view(wr, view);
}

/* A byte string that is left out when empty. */
static struct bytes read_view(struct reader *rd, size_t max)
{
    struct bytes view = cbor_read_bytes_max(rd, max);
    if (!view.size)
        reader_fail(rd, STATUS_CORRUPT);
    return view;
}

/* A key that must be understood spoils the whole message, wherever it is. */
static void join_nested(struct cbor_map *map, const struct cbor_map *nested)
{
    if (!nested->must_understand || map->must_understand)
        return;
    map->must_understand = true;
    map->must_key = nested->must_key;
}

/* ---- One by one. ---- */

/* Pairs of first and count, flat in one array; left out when there is none. */
static void read_ranges(struct reader *rd, struct parcel_ranges *out)
{
    size_t numbers = cbor_read_array(rd, (size_t)2 * PARCEL_RANGES_MAX);
    if (!numbers || numbers % 2)
        reader_fail(rd, STATUS_CORRUPT);
    out->count = 0;
    for (size_t i = 0; i < numbers / 2 && !reader_status(rd); i++) {
        struct parcel_range *r = &out->at[out->count++];
        r->first = read_u32(rd);
        r->count = read_u32(rd);
        if (!r->count || r->count > UINT32_MAX - r->first)
            reader_fail(rd, STATUS_CORRUPT);
    }
}

static void write_ranges(struct writer *wr, uint64_t key,
                         const struct parcel_ranges *ranges)
{
    assert(ranges->count <= PARCEL_RANGES_MAX);
    if (!ranges->count)
        return;
    cbor_write_uint(wr, key);
    cbor_write_array(wr, 2 * ranges->count);
    for (size_t i = 0; i < ranges->count; i++) {
        cbor_write_uint(wr, ranges->at[i].first);
        cbor_write_uint(wr, ranges->at[i].count);
    }
}

static void read_have(struct reader *rd, struct parcel *msg,
                      struct cbor_map *map)
{
    struct parcel_have *m = &msg->u.have;
    m->complete = false;
    m->verified.count = m->pending.count = m->gone.count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ref = read_u32(rd);
            break;
        case 1:
            m->complete = read_flag(rd);
            break;
        case 2:
            read_ranges(rd, &m->verified);
            break;
        case 3:
            read_ranges(rd, &m->pending);
            break;
        case 4:
            read_ranges(rd, &m->gone);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_have(struct writer *wr, const struct parcel *msg)
{
    const struct parcel_have *m = &msg->u.have;
    cbor_write_map(wr, 1u + flag(m->complete) + flag(m->verified.count) +
                           flag(m->pending.count) + flag(m->gone.count));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ref);
    write_flag(wr, 1, m->complete);
    write_ranges(wr, 2, &m->verified);
    write_ranges(wr, 3, &m->pending);
    write_ranges(wr, 4, &m->gone);
}

static void read_bases(struct reader *rd, struct parcel_ask *m)
{
    m->base_count = cbor_read_array(rd, PARCEL_BASES_MAX);
    if (!m->base_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < m->base_count; i++)
        read_hash(rd, &m->bases[i]);
}

static void read_ask(struct reader *rd, struct parcel *msg,
                     struct cbor_map *map)
{
    struct parcel_ask *m = &msg->u.ask;
    m->insist = false;
    m->rate = 0;
    m->base_count = m->ranges.count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            m->what =
                (enum parcel_ask_what)read_choice(rd, PARCEL_ASK_MAKE + 1);
            break;
        case 2:
            read_hash(rd, &m->id);
            break;
        case 3:
            read_bases(rd, m);
            break;
        case 4:
            read_ranges(rd, &m->ranges);
            break;
        case 5:
            m->insist = read_flag(rd);
            break;
        case 6:
            m->rate = read_number(rd, UINT64_MAX);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1 | 1u << 2);
}

static void write_ask(struct writer *wr, const struct parcel *msg)
{
    const struct parcel_ask *m = &msg->u.ask;
    assert(m->base_count <= PARCEL_BASES_MAX);
    cbor_write_map(wr, 3u + flag(m->base_count) + flag(m->ranges.count) +
                           flag(m->insist) + flag(m->rate != 0));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    cbor_write_uint(wr, 1);
    cbor_write_uint(wr, m->what);
    cbor_write_uint(wr, 2);
    write_hash(wr, &m->id);
    if (m->base_count) {
        cbor_write_uint(wr, 3);
        cbor_write_array(wr, m->base_count);
        for (size_t i = 0; i < m->base_count; i++)
            write_hash(wr, &m->bases[i]);
    }
    write_ranges(wr, 4, &m->ranges);
    write_flag(wr, 5, m->insist);
    write_number(wr, 6, m->rate);
}

/* An update has a number and an id, one that could be made has neither. */
static void read_offer_update(struct reader *rd, struct cbor_map *parent,
                              struct parcel_offer_update *out)
{
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof *out);
    cbor_map_begin(&map, rd, LIMIT_MESSAGE_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            out->ref = (uint32_t)read_number(rd, UINT32_MAX);
            break;
        case 1:
            read_hash(rd, &out->update);
            break;
        case 2:
            out->has_base = true;
            read_hash(rd, &out->base);
            break;
        case 3:
            out->has_tree = true;
            read_hash(rd, &out->tree);
            break;
        case 4:
            out->bytes = read_number(rd, UINT64_MAX);
            break;
        case 5:
            out->partial = read_flag(rd);
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    cbor_map_require(&map, rd, 1u << 4);
    if (!out->ref != hash_is_zero(&out->update))
        reader_fail(rd, STATUS_CORRUPT);
    join_nested(parent, &map);
}

static void read_offer_updates(struct reader *rd, struct cbor_map *map,
                               struct parcel_offer *m)
{
    m->update_count = cbor_read_array(rd, PARCEL_UPDATES_MAX);
    if (!m->update_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < m->update_count && !reader_status(rd); i++)
        read_offer_update(rd, map, &m->updates[i]);
}

static void read_offer(struct reader *rd, struct parcel *msg,
                       struct cbor_map *map)
{
    struct parcel_offer *m = &msg->u.offer;
    m->manifest = m->complete = false;
    m->update_count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            m->manifest = read_flag(rd);
            break;
        case 2:
            m->complete = read_flag(rd);
            break;
        case 3:
            read_offer_updates(rd, map, m);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_offer_update(struct writer *wr,
                               const struct parcel_offer_update *u)
{
    assert(!u->ref == hash_is_zero(&u->update) && u->bytes);
    cbor_write_map(wr, 1u + 2u * flag(u->ref) + flag(u->has_base) +
                           flag(u->has_tree) + flag(u->partial));
    write_number(wr, 0, u->ref);
    if (u->ref) {
        cbor_write_uint(wr, 1);
        write_hash(wr, &u->update);
    }
    if (u->has_base) {
        cbor_write_uint(wr, 2);
        write_hash(wr, &u->base);
    }
    if (u->has_tree) {
        cbor_write_uint(wr, 3);
        write_hash(wr, &u->tree);
    }
    write_number(wr, 4, u->bytes);
    write_flag(wr, 5, u->partial);
}

static void write_offer(struct writer *wr, const struct parcel *msg)
{
    const struct parcel_offer *m = &msg->u.offer;
    assert(m->update_count <= PARCEL_UPDATES_MAX);
    cbor_write_map(wr, 1u + flag(m->manifest) + flag(m->complete) +
                           flag(m->update_count));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    write_flag(wr, 1, m->manifest);
    write_flag(wr, 2, m->complete);
    if (!m->update_count)
        return;
    cbor_write_uint(wr, 3);
    cbor_write_array(wr, m->update_count);
    for (size_t i = 0; i < m->update_count; i++)
        write_offer_update(wr, &m->updates[i]);
}

static void read_data(struct reader *rd, struct parcel *msg,
                      struct cbor_map *map)
{
    struct parcel_data *m = &msg->u.data;
    memset(m, 0, sizeof *m);
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            m->index = (uint32_t)read_number(rd, UINT32_MAX);
            break;
        case 2:
            m->offset = read_number(rd, UINT64_MAX);
            break;
        case 3:
            m->last = read_flag(rd);
            break;
        case 4:
            m->prefixed = read_flag(rd);
            break;
        case 5:
            m->payload = read_view(rd, LIMIT_FRAME_PLAIN_BYTES);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 5);
}

static void write_data(struct writer *wr, const struct parcel *msg)
{
    const struct parcel_data *m = &msg->u.data;
    assert(m->payload.size);
    cbor_write_map(wr, 2u + flag(m->index) + flag(m->offset) + flag(m->last) +
                           flag(m->prefixed));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    write_number(wr, 1, m->index);
    write_number(wr, 2, m->offset);
    write_flag(wr, 3, m->last);
    write_flag(wr, 4, m->prefixed);
    write_view_at(wr, 5, m->payload);
}

static void read_no(struct reader *rd, struct parcel *msg, struct cbor_map *map)
{
    struct parcel_no *m = &msg->u.no;
    m->ranges.count = 0;
    m->retry_ms = 0;
    m->has_node = false;
    memset(&m->node, 0, sizeof m->node);
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            m->reason =
                (enum parcel_reason)read_choice(rd, PARCEL_NO_REASON_COUNT);
            break;
        case 2:
            read_ranges(rd, &m->ranges);
            break;
        case 3:
            m->retry_ms = (uint32_t)read_number(rd, UINT32_MAX);
            break;
        case 4:
            m->has_node = true;
            cbor_read_fixed(rd, m->node.b, sizeof m->node.b);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1);
}

static void write_no(struct writer *wr, const struct parcel *msg)
{
    const struct parcel_no *m = &msg->u.no;
    cbor_write_map(wr, 2u + flag(m->ranges.count) + flag(m->retry_ms) +
                           flag(m->has_node));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    cbor_write_uint(wr, 1);
    cbor_write_uint(wr, m->reason);
    write_ranges(wr, 2, &m->ranges);
    write_number(wr, 3, m->retry_ms);
    if (m->has_node) {
        cbor_write_uint(wr, 4);
        cbor_write_bytes(wr, m->node.b, sizeof m->node.b);
    }
}

static void read_cancel(struct reader *rd, struct parcel *msg,
                        struct cbor_map *map)
{
    struct parcel_cancel *m = &msg->u.cancel;
    m->ranges.count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            read_ranges(rd, &m->ranges);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_cancel(struct writer *wr, const struct parcel *msg)
{
    const struct parcel_cancel *m = &msg->u.cancel;
    cbor_write_map(wr, 1u + flag(m->ranges.count));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    write_ranges(wr, 1, &m->ranges);
}

/* ---- All of them. ---- */

static const struct {
    read_fn read;
    write_fn write;
} types[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HAVE] = {read_have, write_have},
    [MESSAGE_ASK] = {read_ask, write_ask},
    [MESSAGE_OFFER] = {read_offer, write_offer},
    [MESSAGE_NO] = {read_no, write_no},
    [MESSAGE_CANCEL] = {read_cancel, write_cancel},
    [MESSAGE_DATA] = {read_data, write_data},
};

enum status parcel_decode(struct bytes in, struct parcel *out,
                          struct diag *diag)
{
    if (in.size > LIMIT_FRAME_PLAIN_BYTES)
        return diag_fail(diag, STATUS_LIMIT, "a message of %zu bytes", in.size);
    if (!in.size)
        return diag_fail(diag, STATUS_TRUNCATED, "an empty message");
    unsigned type = in.data[0];
    if (type >= MESSAGE_TYPE_COUNT || !types[type].read)
        return diag_fail(diag, STATUS_UNSUPPORTED, "message type %u", type);
    struct reader rd;
    struct cbor_map map;
    cbor_reader_init(&rd, bytes_of(in.data + 1, in.size - 1));
    cbor_map_begin(&map, &rd, LIMIT_MESSAGE_KEYS);
    out->type = (enum message_type)type;
    types[type].read(&rd, out, &map);
    const char *name = message_name(out->type);
    if (map.must_understand && !reader_status(&rd))
        return diag_fail(diag, STATUS_UNSUPPORTED, "%s with key %lld", name,
                         (long long)map.must_key);
    enum status status = reader_finish(&rd);
    if (status)
        return diag_fail(diag, status, "%s, offset %zu: %s", name,
                         reader_offset(&rd) + 1, status_text(status));
    return STATUS_OK;
}

enum status parcel_encode(const struct parcel *msg, struct writer *wr)
{
    assert((unsigned)msg->type < MESSAGE_TYPE_COUNT && types[msg->type].write);
    size_t start = wr->size;
    writer_u8(wr, (uint8_t)msg->type);
    types[msg->type].write(wr, msg);
    if (!wr->status && wr->size - start > LIMIT_FRAME_PLAIN_BYTES)
        writer_fail(wr, STATUS_LIMIT);
    return writer_status(wr);
}
