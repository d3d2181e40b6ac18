/* Messages to bytes and back. Each type has one reader and one writer, found
 * through a table; both walk the keys in their order, so that a message has
 * one encoding. */
#include "protocol/message.h"

#include "protocol/cbor.h"

#include <assert.h>

typedef void (*read_fn)(struct reader *rd, struct message *msg,
                        struct cbor_map *map);
typedef void (*write_fn)(struct writer *wr, const struct message *msg);

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

static uint8_t read_u8(struct reader *rd)
{
    return (uint8_t)cbor_read_uint_max(rd, UINT8_MAX);
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

/* depth, then ceil(depth / 2) bytes whose nibbles past depth are zero. */
static void read_prefix(struct reader *rd, struct message_prefix *out)
{
    memset(out, 0, sizeof *out);
    out->depth = (uint8_t)cbor_read_uint_max(rd, 2 * MESSAGE_PREFIX_BYTES);
    size_t size = (out->depth + 1u) / 2;
    cbor_read_fixed(rd, out->nibbles, size);
    if (out->depth % 2 && (out->nibbles[size - 1] & 0x0f))
        reader_fail(rd, STATUS_CORRUPT);
}

static void write_prefix(struct writer *wr, const struct message_prefix *prefix)
{
    assert(prefix->depth <= 2 * MESSAGE_PREFIX_BYTES);
    cbor_write_uint(wr, prefix->depth);
    cbor_write_bytes(wr, prefix->nibbles, (prefix->depth + 1u) / 2);
}

/* ---- HELLO, PING, PONG. ---- */

static void read_hello(struct reader *rd, struct message *msg,
                       struct cbor_map *map)
{
    struct message_hello *m = &msg->u.hello;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->wire_min = read_u8(rd);
            break;
        case 1:
            m->wire_max = read_u8(rd);
            break;
        case 2:
            m->capabilities = read_number(rd, UINT64_MAX);
            break;
        case 3:
            m->instance = cbor_read_uint(rd);
            break;
        case 4:
            m->fleet_seq = read_number(rd, UINT64_MAX);
            break;
        case 5:
            m->software = cbor_read_text_max(rd, LIMIT_SOFTWARE_BYTES);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1 | 1u << 3);
    if (m->wire_min > m->wire_max)
        reader_fail(rd, STATUS_CORRUPT);
}

static void write_hello(struct writer *wr, const struct message *msg)
{
    const struct message_hello *m = &msg->u.hello;
    assert(m->software.size <= LIMIT_SOFTWARE_BYTES);
    cbor_write_map(wr, 3u + flag(m->capabilities) + flag(m->fleet_seq) +
                           flag(m->software.size));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->wire_min);
    cbor_write_uint(wr, 1);
    cbor_write_uint(wr, m->wire_max);
    write_number(wr, 2, m->capabilities);
    cbor_write_uint(wr, 3);
    cbor_write_uint(wr, m->instance);
    write_number(wr, 4, m->fleet_seq);
    if (m->software.size) {
        cbor_write_uint(wr, 5);
        cbor_write_text(wr, m->software);
    }
}

static void read_ping(struct reader *rd, struct message *msg,
                      struct cbor_map *map)
{
    struct message_ping *m = &msg->u.ping;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->nonce = cbor_read_uint(rd);
            break;
        case 1:
            cbor_read_fixed(rd, m->control_root, sizeof m->control_root);
            break;
        case 2:
            cbor_read_fixed(rd, m->status_root, sizeof m->status_root);
            break;
        case 3:
            m->load = (uint8_t)read_number(rd, UINT8_MAX);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1 | 1u << 2);
}

static void write_ping(struct writer *wr, const struct message *msg)
{
    const struct message_ping *m = &msg->u.ping;
    cbor_write_map(wr, 3u + flag(m->load));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->nonce);
    cbor_write_uint(wr, 1);
    cbor_write_bytes(wr, m->control_root, sizeof m->control_root);
    cbor_write_uint(wr, 2);
    cbor_write_bytes(wr, m->status_root, sizeof m->status_root);
    write_number(wr, 3, m->load);
}

/* ---- TRIE, LEAF, GET, RECORD. ---- */

static void read_trie_nodes(struct reader *rd, struct message_trie *m)
{
    m->count = cbor_read_array(rd, LIMIT_TRIE_NODES);
    for (size_t i = 0; i < m->count && !reader_status(rd); i++) {
        cbor_read_array_of(rd, 3);
        read_prefix(rd, &m->nodes[i].prefix);
        cbor_read_fixed(rd, m->nodes[i].children, sizeof m->nodes[i].children);
    }
}

static void read_trie(struct reader *rd, struct message *msg,
                      struct cbor_map *map)
{
    struct message_trie *m = &msg->u.trie;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->trie = (uint8_t)cbor_read_uint_max(rd, 1);
            break;
        case 1:
            read_trie_nodes(rd, m);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1);
}

static void write_trie(struct writer *wr, const struct message *msg)
{
    const struct message_trie *m = &msg->u.trie;
    assert(m->count <= LIMIT_TRIE_NODES);
    cbor_write_map(wr, 2);
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->trie);
    cbor_write_uint(wr, 1);
    cbor_write_array(wr, m->count);
    for (size_t i = 0; i < m->count; i++) {
        cbor_write_array(wr, 3);
        write_prefix(wr, &m->nodes[i].prefix);
        cbor_write_bytes(wr, m->nodes[i].children, sizeof m->nodes[i].children);
    }
}

static void read_entries(struct reader *rd, struct message_leaf *m,
                         struct message_leaf_group *group)
{
    size_t room = LIMIT_LEAF_ENTRIES - m->entry_count;
    group->first = m->entry_count;
    group->count = cbor_read_array(rd, room);
    for (size_t i = 0; i < group->count && !reader_status(rd); i++) {
        struct message_entry *e = &m->entries[m->entry_count++];
        cbor_read_array_of(rd, 4);
        cbor_read_fixed(rd, e->slot, sizeof e->slot);
        e->epoch = cbor_read_uint(rd);
        e->seq = cbor_read_uint(rd);
        cbor_read_fixed(rd, e->hash, sizeof e->hash);
    }
}

static void read_groups(struct reader *rd, struct message_leaf *m)
{
    m->group_count = cbor_read_array(rd, LIMIT_TRIE_NODES);
    for (size_t i = 0; i < m->group_count && !reader_status(rd); i++) {
        cbor_read_array_of(rd, 3);
        read_prefix(rd, &m->groups[i].prefix);
        read_entries(rd, m, &m->groups[i]);
    }
}

static void read_leaf(struct reader *rd, struct message *msg,
                      struct cbor_map *map)
{
    struct message_leaf *m = &msg->u.leaf;
    m->entry_count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->trie = (uint8_t)cbor_read_uint_max(rd, 1);
            break;
        case 1:
            read_groups(rd, m);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1);
}

static void write_entry(struct writer *wr, const struct message_entry *e)
{
    cbor_write_array(wr, 4);
    cbor_write_bytes(wr, e->slot, sizeof e->slot);
    cbor_write_uint(wr, e->epoch);
    cbor_write_uint(wr, e->seq);
    cbor_write_bytes(wr, e->hash, sizeof e->hash);
}

static void write_leaf(struct writer *wr, const struct message *msg)
{
    const struct message_leaf *m = &msg->u.leaf;
    assert(m->group_count <= LIMIT_TRIE_NODES);
    assert(m->entry_count <= LIMIT_LEAF_ENTRIES);
    cbor_write_map(wr, 2);
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->trie);
    cbor_write_uint(wr, 1);
    cbor_write_array(wr, m->group_count);
    for (size_t i = 0; i < m->group_count; i++) {
        const struct message_leaf_group *group = &m->groups[i];
        cbor_write_array(wr, 3);
        write_prefix(wr, &group->prefix);
        cbor_write_array(wr, group->count);
        for (size_t j = 0; j < group->count; j++)
            write_entry(wr, &m->entries[group->first + j]);
    }
}

/* The slots lie back to back in one byte string. */
static void read_slots(struct reader *rd, struct message_get *m)
{
    struct bytes all =
        cbor_read_bytes_max(rd, LIMIT_GET_SLOTS * MESSAGE_SLOT_BYTES);
    if (all.size % MESSAGE_SLOT_BYTES)
        reader_fail(rd, STATUS_CORRUPT);
    if (reader_status(rd) || !all.size)
        return;
    m->count = all.size / MESSAGE_SLOT_BYTES;
    memcpy(m->slots, all.data, all.size);
}

static void read_get(struct reader *rd, struct message *msg,
                     struct cbor_map *map)
{
    msg->u.get.count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        if (key == 0)
            read_slots(rd, &msg->u.get);
        else
            (void)cbor_map_unknown(map, rd);
    cbor_map_require(map, rd, 1u << 0);
}

static void write_get(struct writer *wr, const struct message *msg)
{
    const struct message_get *m = &msg->u.get;
    assert(m->count <= LIMIT_GET_SLOTS);
    cbor_write_map(wr, 1);
    cbor_write_uint(wr, 0);
    cbor_write_bytes(wr, m->slots, m->count * MESSAGE_SLOT_BYTES);
}

static void read_record(struct reader *rd, struct message *msg,
                        struct cbor_map *map)
{
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        if (key == 0)
            msg->u.record.envelope =
                cbor_read_bytes_max(rd, LIMIT_RECORD_BYTES);
        else
            (void)cbor_map_unknown(map, rd);
    cbor_map_require(map, rd, 1u << 0);
}

static void write_record(struct writer *wr, const struct message *msg)
{
    assert(msg->u.record.envelope.size <= LIMIT_RECORD_BYTES);
    cbor_write_map(wr, 1);
    cbor_write_uint(wr, 0);
    write_view(wr, msg->u.record.envelope);
}

/* ---- HAVE, ASK, OFFER, DATA, NO, CANCEL. ---- */

static void read_have_update(struct reader *rd, struct cbor_map *parent,
                             struct message_have_update *out)
{
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof *out);
    cbor_map_begin(&map, rd, LIMIT_MESSAGE_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            read_hash(rd, &out->update);
            break;
        case 1:
            out->complete = read_flag(rd);
            break;
        case 2:
            out->segments = read_view(rd, LIMIT_BITMAP_BYTES);
            break;
        case 3:
            out->pending = read_view(rd, LIMIT_BITMAP_BYTES);
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    cbor_map_require(&map, rd, 1u << 0);
    join_nested(parent, &map);
}

static void read_have_updates(struct reader *rd, struct cbor_map *map,
                              struct message_have *m)
{
    m->update_count = cbor_read_array(rd, LIMIT_HAVE_UPDATES);
    if (!m->update_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < m->update_count && !reader_status(rd); i++)
        read_have_update(rd, map, &m->updates[i]);
}

static void read_have(struct reader *rd, struct message *msg,
                      struct cbor_map *map)
{
    struct message_have *m = &msg->u.have;
    memset(m, 0, sizeof *m);
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            read_hash(rd, &m->version);
            break;
        case 1:
            m->complete = read_flag(rd);
            break;
        case 2:
            m->blocks = read_view(rd, LIMIT_BITMAP_BYTES);
            break;
        case 3:
            read_have_updates(rd, map, m);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_have_update(struct writer *wr,
                              const struct message_have_update *u)
{
    cbor_write_map(wr, 1u + flag(u->complete) + flag(u->segments.size) +
                           flag(u->pending.size));
    cbor_write_uint(wr, 0);
    write_hash(wr, &u->update);
    write_flag(wr, 1, u->complete);
    write_view_at(wr, 2, u->segments);
    write_view_at(wr, 3, u->pending);
}

static void write_have(struct writer *wr, const struct message *msg)
{
    const struct message_have *m = &msg->u.have;
    assert(m->update_count <= LIMIT_HAVE_UPDATES);
    cbor_write_map(wr, 1u + flag(m->complete) + flag(m->blocks.size) +
                           flag(m->update_count));
    cbor_write_uint(wr, 0);
    write_hash(wr, &m->version);
    write_flag(wr, 1, m->complete);
    write_view_at(wr, 2, m->blocks);
    if (!m->update_count)
        return;
    cbor_write_uint(wr, 3);
    cbor_write_array(wr, m->update_count);
    for (size_t i = 0; i < m->update_count; i++)
        write_have_update(wr, &m->updates[i]);
}

static void read_bases(struct reader *rd, struct message_ask *m)
{
    m->base_count = cbor_read_array(rd, LIMIT_ASK_BASES);
    if (!m->base_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < m->base_count; i++)
        read_hash(rd, &m->bases[i]);
}

/* Pairs of first and count, flat in one array. */
static void read_ranges(struct reader *rd, struct message_ask *m)
{
    size_t numbers = cbor_read_array(rd, 2 * LIMIT_ASK_RANGES);
    if (!numbers || numbers % 2)
        reader_fail(rd, STATUS_CORRUPT);
    m->range_count = numbers / 2;
    for (size_t i = 0; i < m->range_count; i++) {
        struct message_range *r = &m->ranges[i];
        r->first = read_u32(rd);
        r->count = read_u32(rd);
        if (!r->count || r->count > UINT32_MAX - r->first)
            reader_fail(rd, STATUS_CORRUPT);
    }
}

static void read_ask(struct reader *rd, struct message *msg,
                     struct cbor_map *map)
{
    struct message_ask *m = &msg->u.ask;
    memset(m, 0, sizeof *m);
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            m->what = (enum message_ask_what)read_choice(
                rd, MESSAGE_ASK_SEGMENTS + 1);
            break;
        case 2:
            read_hash(rd, &m->id);
            break;
        case 3:
            read_bases(rd, m);
            break;
        case 4:
            m->speed_bytes_s = read_number(rd, UINT64_MAX);
            break;
        case 5:
            m->offset = read_number(rd, UINT64_MAX);
            break;
        case 6:
            m->credit_bytes = read_number(rd, UINT64_MAX);
            break;
        case 7:
            read_ranges(rd, m);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 1 | 1u << 2);
}

static void write_ask_lists(struct writer *wr, const struct message_ask *m)
{
    if (m->base_count) {
        cbor_write_uint(wr, 3);
        cbor_write_array(wr, m->base_count);
        for (size_t i = 0; i < m->base_count; i++)
            write_hash(wr, &m->bases[i]);
    }
    write_number(wr, 4, m->speed_bytes_s);
    write_number(wr, 5, m->offset);
    write_number(wr, 6, m->credit_bytes);
    if (m->range_count) {
        cbor_write_uint(wr, 7);
        cbor_write_array(wr, 2 * m->range_count);
        for (size_t i = 0; i < m->range_count; i++) {
            cbor_write_uint(wr, m->ranges[i].first);
            cbor_write_uint(wr, m->ranges[i].count);
        }
    }
}

static void write_ask(struct writer *wr, const struct message *msg)
{
    const struct message_ask *m = &msg->u.ask;
    assert(m->base_count <= LIMIT_ASK_BASES);
    assert(m->range_count <= LIMIT_ASK_RANGES);
    cbor_write_map(wr, 3u + flag(m->base_count) + flag(m->speed_bytes_s) +
                           flag(m->offset) + flag(m->credit_bytes) +
                           flag(m->range_count));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    cbor_write_uint(wr, 1);
    cbor_write_uint(wr, m->what);
    cbor_write_uint(wr, 2);
    write_hash(wr, &m->id);
    write_ask_lists(wr, m);
}

static void read_offer_update(struct reader *rd, struct cbor_map *parent,
                              struct message_offer_update *out)
{
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof *out);
    cbor_map_begin(&map, rd, LIMIT_MESSAGE_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            read_hash(rd, &out->update);
            break;
        case 1:
            out->has_base = true;
            read_hash(rd, &out->base);
            break;
        case 2:
            out->bytes = read_number(rd, UINT64_MAX);
            break;
        case 3:
            out->exact = read_flag(rd);
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    join_nested(parent, &map);
}

static void read_offer_updates(struct reader *rd, struct cbor_map *map,
                               struct message_offer *m)
{
    m->update_count = cbor_read_array(rd, LIMIT_OFFER_UPDATES);
    if (!m->update_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < m->update_count && !reader_status(rd); i++)
        read_offer_update(rd, map, &m->updates[i]);
}

static void read_offer(struct reader *rd, struct message *msg,
                       struct cbor_map *map)
{
    struct message_offer *m = &msg->u.offer;
    memset(m, 0, sizeof *m);
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->ask = read_u32(rd);
            break;
        case 1:
            m->manifest_bytes = read_number(rd, UINT64_MAX);
            break;
        case 2:
            read_offer_updates(rd, map, m);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_offer_update(struct writer *wr,
                               const struct message_offer_update *u)
{
    bool held = !hash_is_zero(&u->update);
    cbor_write_map(wr, flag(held) + flag(u->has_base) + flag(u->bytes) +
                           flag(u->exact));
    if (held) {
        cbor_write_uint(wr, 0);
        write_hash(wr, &u->update);
    }
    if (u->has_base) {
        cbor_write_uint(wr, 1);
        write_hash(wr, &u->base);
    }
    write_number(wr, 2, u->bytes);
    write_flag(wr, 3, u->exact);
}

static void write_offer(struct writer *wr, const struct message *msg)
{
    const struct message_offer *m = &msg->u.offer;
    assert(m->update_count <= LIMIT_OFFER_UPDATES);
    cbor_write_map(wr, 1u + flag(m->manifest_bytes) + flag(m->update_count));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    write_number(wr, 1, m->manifest_bytes);
    if (!m->update_count)
        return;
    cbor_write_uint(wr, 2);
    cbor_write_array(wr, m->update_count);
    for (size_t i = 0; i < m->update_count; i++)
        write_offer_update(wr, &m->updates[i]);
}

static void read_data(struct reader *rd, struct message *msg,
                      struct cbor_map *map)
{
    struct message_data *m = &msg->u.data;
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
            m->payload = read_view(rd, LIMIT_FRAME_PLAIN_BYTES);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_data(struct writer *wr, const struct message *msg)
{
    const struct message_data *m = &msg->u.data;
    cbor_write_map(wr, 1u + flag(m->index) + flag(m->offset) + flag(m->last) +
                           flag(m->payload.size));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    write_number(wr, 1, m->index);
    write_number(wr, 2, m->offset);
    write_flag(wr, 3, m->last);
    write_view_at(wr, 4, m->payload);
}

static void read_no(struct reader *rd, struct message *msg,
                    struct cbor_map *map)
{
    struct message_no *m = &msg->u.no;
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
            m->count = (uint32_t)read_number(rd, UINT32_MAX);
            break;
        case 3:
            m->reason =
                (enum message_reason)read_choice(rd, MESSAGE_NO_REASON_COUNT);
            break;
        case 4:
            m->retry_ms = (uint32_t)read_number(rd, UINT32_MAX);
            break;
        case 5:
            m->has_node = true;
            cbor_read_fixed(rd, m->node.b, sizeof m->node.b);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0 | 1u << 3);
}

static void write_no(struct writer *wr, const struct message *msg)
{
    const struct message_no *m = &msg->u.no;
    cbor_write_map(wr, 2u + flag(m->index) + flag(m->count) +
                           flag(m->retry_ms) + flag(m->has_node));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->ask);
    write_number(wr, 1, m->index);
    write_number(wr, 2, m->count);
    cbor_write_uint(wr, 3);
    cbor_write_uint(wr, m->reason);
    write_number(wr, 4, m->retry_ms);
    if (m->has_node) {
        cbor_write_uint(wr, 5);
        cbor_write_bytes(wr, m->node.b, sizeof m->node.b);
    }
}

static void read_cancel(struct reader *rd, struct message *msg,
                        struct cbor_map *map)
{
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        if (key == 0)
            msg->u.cancel.ask = read_u32(rd);
        else
            (void)cbor_map_unknown(map, rd);
    cbor_map_require(map, rd, 1u << 0);
}

static void write_cancel(struct writer *wr, const struct message *msg)
{
    cbor_write_map(wr, 1);
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, msg->u.cancel.ask);
}

/* ---- PEERS, BYE. ---- */

static void read_addrs(struct reader *rd, struct message_peers *m)
{
    m->count = cbor_read_array(rd, LIMIT_PEERS_ADDRS);
    for (size_t i = 0; i < m->count; i++)
        m->addrs[i] = cbor_read_text_max(rd, LIMIT_ADDR_BYTES);
}

static void read_peers(struct reader *rd, struct message *msg,
                       struct cbor_map *map)
{
    msg->u.peers.count = 0;
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        if (key == 0)
            read_addrs(rd, &msg->u.peers);
        else
            (void)cbor_map_unknown(map, rd);
    cbor_map_require(map, rd, 1u << 0);
}

static void write_peers(struct writer *wr, const struct message *msg)
{
    const struct message_peers *m = &msg->u.peers;
    assert(m->count <= LIMIT_PEERS_ADDRS);
    cbor_write_map(wr, 1);
    cbor_write_uint(wr, 0);
    cbor_write_array(wr, m->count);
    for (size_t i = 0; i < m->count; i++)
        cbor_write_text(wr, m->addrs[i]);
}

static void read_bye(struct reader *rd, struct message *msg,
                     struct cbor_map *map)
{
    struct message_bye *m = &msg->u.bye;
    memset(m, 0, sizeof *m);
    int64_t key;
    while (cbor_map_next(map, rd, &key))
        switch (key) {
        case 0:
            m->reason = read_u32(rd);
            break;
        case 1:
            m->text = cbor_read_text_max(rd, LIMIT_BYE_TEXT_BYTES);
            break;
        default:
            (void)cbor_map_unknown(map, rd);
        }
    cbor_map_require(map, rd, 1u << 0);
}

static void write_bye(struct writer *wr, const struct message *msg)
{
    const struct message_bye *m = &msg->u.bye;
    assert(m->text.size <= LIMIT_BYE_TEXT_BYTES);
    cbor_write_map(wr, 1u + flag(m->text.size));
    cbor_write_uint(wr, 0);
    cbor_write_uint(wr, m->reason);
    if (m->text.size) {
        cbor_write_uint(wr, 1);
        cbor_write_text(wr, m->text);
    }
}

/* ---- All of them. ---- */

static const struct {
    const char *name;
    read_fn read;
    write_fn write;
} types[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HELLO] = {"HELLO", read_hello, write_hello},
    [MESSAGE_PING] = {"PING", read_ping, write_ping},
    [MESSAGE_PONG] = {"PONG", read_ping, write_ping},
    [MESSAGE_TRIE] = {"TRIE", read_trie, write_trie},
    [MESSAGE_LEAF] = {"LEAF", read_leaf, write_leaf},
    [MESSAGE_GET] = {"GET", read_get, write_get},
    [MESSAGE_RECORD] = {"RECORD", read_record, write_record},
    [MESSAGE_HAVE] = {"HAVE", read_have, write_have},
    [MESSAGE_ASK] = {"ASK", read_ask, write_ask},
    [MESSAGE_OFFER] = {"OFFER", read_offer, write_offer},
    [MESSAGE_NO] = {"NO", read_no, write_no},
    [MESSAGE_CANCEL] = {"CANCEL", read_cancel, write_cancel},
    [MESSAGE_PEERS] = {"PEERS", read_peers, write_peers},
    [MESSAGE_BYE] = {"BYE", read_bye, write_bye},
    [MESSAGE_DATA] = {"DATA", read_data, write_data},
};

const char *message_name(enum message_type type)
{
    if ((unsigned)type >= MESSAGE_TYPE_COUNT)
        return "unknown";
    return types[type].name;
}

static void clear_small(struct message *msg)
{
    switch (msg->type) {
    case MESSAGE_HELLO:
        memset(&msg->u.hello, 0, sizeof msg->u.hello);
        break;
    case MESSAGE_PING:
    case MESSAGE_PONG:
        memset(&msg->u.ping, 0, sizeof msg->u.ping);
        break;
    default: /* the readers of the others set every field they leave out */
        break;
    }
}

enum status message_decode(struct bytes in, struct message *out,
                           struct diag *diag)
{
    if (in.size > LIMIT_FRAME_PLAIN_BYTES)
        return diag_fail(diag, STATUS_LIMIT, "a message of %zu bytes", in.size);
    if (!in.size)
        return diag_fail(diag, STATUS_TRUNCATED, "an empty message");
    unsigned type = in.data[0];
    struct bytes body = bytes_of(in.data + 1, in.size - 1);
    enum status status = cbor_validate(body, diag);
    if (status)
        return status;
    if (type >= MESSAGE_TYPE_COUNT)
        return diag_fail(diag, STATUS_UNSUPPORTED, "message type %u", type);
    struct reader rd;
    struct cbor_map map;
    cbor_reader_init(&rd, body);
    cbor_map_begin(&map, &rd, LIMIT_MESSAGE_KEYS);
    out->type = (enum message_type)type;
    clear_small(out);
    types[type].read(&rd, out, &map);
    if (map.must_understand && !reader_status(&rd))
        return diag_fail(diag, STATUS_UNSUPPORTED, "%s with key %lld",
                         types[type].name, (long long)map.must_key);
    status = reader_finish(&rd);
    if (status)
        return diag_fail(diag, status, "%s, offset %zu: %s", types[type].name,
                         reader_offset(&rd) + 1, status_text(status));
    return STATUS_OK;
}

enum status message_encode(const struct message *msg, struct writer *wr)
{
    assert((unsigned)msg->type < MESSAGE_TYPE_COUNT);
    size_t start = wr->size;
    writer_u8(wr, (uint8_t)msg->type);
    types[msg->type].write(wr, msg);
    if (!wr->status && wr->size - start > LIMIT_FRAME_PLAIN_BYTES)
        writer_fail(wr, STATUS_LIMIT);
    return writer_status(wr);
}
