/* Payloads are read straight through and must be what writing the fields again
 * would give; the CBOR subset has one encoding of each value, so that reading
 * strictly is enough. */
#include "protocol/record.h"

#include "protocol/cbor.h"
#include "protocol/name.h"

const char *record_kind_text(uint64_t kind)
{
    static const char *const texts[] = {
        [RECORD_FLEET] = "fleet",     [RECORD_CERT] = "cert",
        [RECORD_VERSION] = "version", [RECORD_CHANNEL] = "channel",
        [RECORD_STATUS] = "status",   [RECORD_CONTRIB] = "contrib"};
    if (kind < RECORD_FLEET || kind > RECORD_CONTRIB)
        return "unknown kind";
    return texts[kind];
}

static void read_author(struct reader *rd, struct slot_author *author)
{
    if (cbor_peek(rd) == CBOR_TEXT) {
        *author = slot_author_role(cbor_read_text_max(rd, LIMIT_NAME_BYTES));
        if (!name_is_role(slot_author_bytes(author)))
            reader_fail(rd, STATUS_CORRUPT);
        return;
    }
    struct node_id id;
    cbor_read_fixed(rd, id.b, NODE_ID_BYTES);
    *author = slot_author_node(&id);
}

static void read_fleet(struct reader *rd, struct record_fields *f)
{
    struct bytes fleet = cbor_read_bytes_max(rd, HASH_BYTES);
    f->has_fleet = fleet.size == HASH_BYTES;
    if (f->has_fleet)
        memcpy(f->fleet.b, fleet.data, HASH_BYTES);
    else if (fleet.size)
        reader_fail(rd, STATUS_CORRUPT);
}

enum status record_parse_payload(struct bytes payload, struct record *out,
                                 struct diag *diag)
{
    struct record_fields *f = &out->f;
    struct reader rd;
    *out = (struct record){.hash = {{0}}};
    if (payload.size > LIMIT_RECORD_BYTES)
        return diag_fail(diag, STATUS_LIMIT, "payload of %zu bytes",
                         payload.size);
    cbor_reader_init(&rd, payload);
    cbor_read_array_of(&rd, 7);
    read_fleet(&rd, f);
    read_author(&rd, &f->author);
    f->kind = cbor_read_uint_max(&rd, RECORD_KIND_MAX);
    f->name = cbor_read_text_max(&rd, LIMIT_RECORD_NAME_BYTES);
    f->epoch = cbor_read_uint(&rd);
    f->seq = cbor_read_uint(&rd);
    if (cbor_peek(&rd) != CBOR_MAP || !f->kind)
        reader_fail(&rd, STATUS_CORRUPT);
    f->body = cbor_read_raw(&rd);
    enum status st = reader_finish(&rd);
    if (st)
        return diag_fail(diag, st, "record payload is malformed at byte %zu",
                         reader_offset(&rd));
    out->slot = slot_id_of(&f->author, f->kind, f->name);
    record_payload_hash(payload, &out->hash);
    return STATUS_OK;
}

enum status record_parse(struct bytes in, struct record *out, struct diag *diag)
{
    struct cose_envelope envelope;
    *out = (struct record){.hash = {{0}}};
    enum status st = cose_parse(in, &envelope, diag);
    if (st)
        return st;
    st = record_parse_payload(envelope.payload, out, diag);
    out->envelope = envelope;
    return st;
}

static bool fields_valid(const struct record_fields *f)
{
    struct reader rd;
    if (!f->kind || f->kind > RECORD_KIND_MAX ||
        f->name.size > LIMIT_RECORD_NAME_BYTES)
        return false;
    if (!f->author.is_node && !name_is_role(slot_author_bytes(&f->author)))
        return false;
    cbor_reader_init(&rd, f->body);
    return !reader_status(&rd) && cbor_peek(&rd) == CBOR_MAP;
}

enum status record_build_payload(const struct record_fields *f,
                                 struct writer *out)
{
    size_t before = out->size;
    if (!fields_valid(f))
        return STATUS_USAGE;
    cbor_write_array(out, 7);
    cbor_write_bytes(out, f->fleet.b, f->has_fleet ? HASH_BYTES : 0);
    if (f->author.is_node)
        cbor_write_bytes(out, f->author.b, f->author.size);
    else
        cbor_write_text(out, slot_author_bytes(&f->author));
    cbor_write_uint(out, f->kind);
    cbor_write_text(out, f->name);
    cbor_write_uint(out, f->epoch);
    cbor_write_uint(out, f->seq);
    cbor_write_raw(out, f->body);
    if (!out->status && out->size - before > LIMIT_RECORD_BYTES)
        writer_fail(out, STATUS_LIMIT);
    return writer_status(out);
}

void record_payload_hash(struct bytes payload, struct hash *out)
{
    hash_bytes(HASH_RECORD, payload, out);
}

enum status record_sign(struct bytes payload,
                        const struct crypto_sign_key *const *keys,
                        size_t key_count, struct writer *out)
{
    struct cose_signature signatures[LIMIT_RECORD_SIGNATURES];
    if (key_count > LIMIT_RECORD_SIGNATURES)
        return STATUS_USAGE;
    for (size_t i = 0; i < key_count; i++) {
        enum status st = cose_sign(payload, keys[i], &signatures[i]);
        if (st)
            return st;
    }
    return cose_encode(payload, signatures, key_count, out);
}
