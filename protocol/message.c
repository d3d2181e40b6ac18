/* Messages to bytes and back. Each type but the parcels has one reader and one
 * writer, found through a table; both walk the keys in their order, so that a
 * message has one encoding. */
#include "protocol/message.h"

#include "protocol/cbor.h"

#include <assert.h>

typedef void (*read_fn)(struct reader *rd, struct message *msg,
                        struct cbor_map *map);
typedef void (*write_fn)(struct writer *wr, const struct message *msg);

/* ---- Pieces that several messages share. ---- */

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

/* Numbers at their default are left out too. */
static void write_number(struct writer *wr, uint64_t key, uint64_t v)
{
    if (!v)
        return;
    cbor_write_uint(wr, key);
    cbor_write_uint(wr, v);
}

static unsigned flag(bool on)
{
    return on ? 1 : 0;
}

static uint64_t read_number(struct reader *rd, uint64_t max)
{
    uint64_t v = cbor_read_uint_max(rd, max);
    if (!v)
        reader_fail(rd, STATUS_CORRUPT);
    return v;
}

/* The count of nibbles, then the bytes that hold them. */
static void read_prefix(struct reader *rd, struct trie_prefix *out)
{
    memset(out, 0, sizeof *out);
    out->nibbles = (uint8_t)cbor_read_uint_max(rd, TRIE_NIBBLES_MAX);
    cbor_read_fixed(rd, out->b, (out->nibbles + 1u) / 2);
    if (!trie_prefix_valid(out))
        reader_fail(rd, STATUS_CORRUPT);
}

static void write_prefix(struct writer *wr, const struct trie_prefix *prefix)
{
    assert(prefix->nibbles <= TRIE_NIBBLES_MAX);
    cbor_write_uint(wr, prefix->nibbles);
    cbor_write_bytes(wr, prefix->b, (prefix->nibbles + 1u) / 2);
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
            cbor_read_fixed(rd, m->control.b, sizeof m->control.b);
            break;
        case 2:
            cbor_read_fixed(rd, m->status.b, sizeof m->status.b);
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
    cbor_write_bytes(wr, m->control.b, sizeof m->control.b);
    cbor_write_uint(wr, 2);
    cbor_write_bytes(wr, m->status.b, sizeof m->status.b);
    write_number(wr, 3, m->load);
}

/* ---- TRIE, LEAF, GET, RECORD. ---- */

static void read_trie_nodes(struct reader *rd, struct message_trie *m)
{
    m->count = cbor_read_array(rd, LIMIT_TRIE_NODES);
    for (size_t i = 0; i < m->count && !reader_status(rd); i++) {
        cbor_read_array_of(rd, 3);
        read_prefix(rd, &m->nodes[i].prefix);
        cbor_read_fixed(rd, m->nodes[i].children.hash,
                        sizeof m->nodes[i].children.hash);
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
        cbor_write_bytes(wr, m->nodes[i].children.hash,
                         sizeof m->nodes[i].children.hash);
    }
}

static void read_entries(struct reader *rd, struct message_leaf *m,
                         struct message_leaf_group *group)
{
    size_t room = LIMIT_LEAF_ENTRIES - m->entry_count;
    group->first = m->entry_count;
    group->count = cbor_read_array(rd, room);
    for (size_t i = 0; i < group->count && !reader_status(rd); i++) {
        struct vector_entry *e = &m->entries[m->entry_count++];
        cbor_read_array_of(rd, 4);
        cbor_read_fixed(rd, e->slot.b, sizeof e->slot.b);
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

static void write_entry(struct writer *wr, const struct vector_entry *e)
{
    cbor_write_array(wr, 4);
    cbor_write_bytes(wr, e->slot.b, sizeof e->slot.b);
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
    struct bytes all = cbor_read_bytes_max(rd, LIMIT_GET_SLOTS * SLOT_ID_BYTES);
    if (all.size % SLOT_ID_BYTES)
        reader_fail(rd, STATUS_CORRUPT);
    if (reader_status(rd) || !all.size)
        return;
    m->count = all.size / SLOT_ID_BYTES;
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
    cbor_write_bytes(wr, m->slots, m->count * SLOT_ID_BYTES);
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
    [MESSAGE_HAVE] = {"HAVE", NULL, NULL},
    [MESSAGE_ASK] = {"ASK", NULL, NULL},
    [MESSAGE_OFFER] = {"OFFER", NULL, NULL},
    [MESSAGE_NO] = {"NO", NULL, NULL},
    [MESSAGE_CANCEL] = {"CANCEL", NULL, NULL},
    [MESSAGE_PEERS] = {"PEERS", read_peers, write_peers},
    [MESSAGE_BYE] = {"BYE", read_bye, write_bye},
    [MESSAGE_DATA] = {"DATA", NULL, NULL},
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
    if (message_is_parcel((enum message_type)type)) {
        out->type = (enum message_type)type;
        out->u.parcel = body;
        return STATUS_OK;
    }
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
    if (message_is_parcel(msg->type))
        writer_bytes(wr, msg->u.parcel.data, msg->u.parcel.size);
    else
        types[msg->type].write(wr, msg);
    if (!wr->status && wr->size - start > LIMIT_FRAME_PLAIN_BYTES)
        writer_fail(wr, STATUS_LIMIT);
    return writer_status(wr);
}
