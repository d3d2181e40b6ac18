/* COSE_Sign envelopes and the general form they are a profile of.
 *
 * Ref: RFC 9052 sections 4.1, 4.2 and 4.4; algorithms of RFC 9053. */
#include "protocol/cose.h"

#include "protocol/cbor.h"

#define COSE_TAG_SIGN1 18u
#define COSE_TAG_SIGN  98u
#define COSE_LABEL_ALG 1
#define COSE_LABEL_KID 4

/* {1: -8, 4: h'32 bytes'}: map head, two labels, -8, string head, key. */
#define COSE_PROTECTED_BYTES (1u + 2u + 1u + 2u + NODE_ID_BYTES)

/* [protected, {}, signature] */
#define COSE_SIGNER_BYTES \
    (1u + 2u + COSE_PROTECTED_BYTES + 1u + 2u + CRYPTO_SIGNATURE_BYTES)

/* A Sig_structure around a payload of LIMIT_RECORD_BYTES, and headers of the
 * general form up to a sensible size. */
#define COSE_TBS_MAX (LIMIT_RECORD_BYTES + 512u)

static bool cose_is_empty_map(struct bytes item)
{
    return item.size == 1 && item.data[0] == 0xa0;
}

const char *cose_alg_name(int64_t alg)
{
    static const struct {
        int64_t alg;
        const char *name;
    } names[] = {
        {-7, "ES256"},      {-8, "EdDSA"},       {-35, "ES384"},
        {-36, "ES512"},     {-37, "PS256"},      {-38, "PS384"},
        {-39, "PS512"},     {-47, "ES256K"},     {-257, "RS256"},
        {-258, "RS384"},    {-259, "RS512"},     {-46, "HSS-LMS"},
        {4, "HMAC 256/64"}, {5, "HMAC 256/256"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].alg == alg)
            return names[i].name;
    return "unknown";
}

static void cose_write_protected(struct writer *out, const struct node_id *key)
{
    cbor_write_map(out, 2);
    cbor_write_uint(out, COSE_LABEL_ALG);
    cbor_write_int(out, COSE_ALG_EDDSA);
    cbor_write_uint(out, COSE_LABEL_KID);
    cbor_write_bytes(out, key->b, sizeof(key->b));
}

/* A protected header in a Sig_structure: an empty map counts as no bytes. */
static void cose_write_header(struct writer *out, struct bytes header)
{
    if (cose_is_empty_map(header))
        header.size = 0;
    cbor_write_bytes(out, header.data, header.size);
}

void cose_message_to_be_signed(const struct cose_message *msg, size_t index,
                               struct bytes external_aad, struct writer *out)
{
    const struct cose_signer *signer = &msg->signers[index];
    cbor_write_array(out, msg->single ? 4 : 5);
    cbor_write_text(out,
                    bytes_of_text(msg->single ? "Signature1" : "Signature"));
    if (!msg->single)
        cose_write_header(out, msg->protected_header);
    cose_write_header(out, signer->protected_header);
    cbor_write_bytes(out, external_aad.data, external_aad.size);
    cbor_write_bytes(out, msg->payload.data, msg->payload.size);
}

void cose_to_be_signed(struct bytes payload, const struct node_id *key,
                       struct writer *out)
{
    uint8_t header[COSE_PROTECTED_BYTES];
    struct writer header_wr;
    writer_init(&header_wr, header, sizeof(header));
    cose_write_protected(&header_wr, key);
    struct cose_message msg = {.payload = payload, .signer_count = 1};
    msg.signers[0].protected_header = writer_view(&header_wr);
    cose_message_to_be_signed(&msg, 0, (struct bytes){0}, out);
}

enum status cose_header_alg(struct bytes protected_header, int64_t *alg)
{
    struct reader rd;
    struct cbor_map map;
    struct bytes key;
    *alg = 0;
    if (!protected_header.size)
        return STATUS_NOT_FOUND;
    cbor_reader_init(&rd, protected_header);
    cbor_map_begin(&map, &rd, SIZE_MAX);
    while (cbor_map_next_raw(&map, &rd, &key)) {
        if (key.size != 1 || key.data[0] != COSE_LABEL_ALG) {
            cbor_skip(&rd);
            continue;
        }
        if (cbor_peek(&rd) == CBOR_TEXT)
            return STATUS_UNSUPPORTED;
        *alg = cbor_read_int(&rd);
        return reader_status(&rd);
    }
    return rd.status ? rd.status : STATUS_NOT_FOUND;
}

/* OK for EdDSA; any other algorithm is named in diag. */
static enum status cose_require_eddsa(struct bytes protected_header,
                                      struct diag *diag)
{
    int64_t alg;
    enum status status = cose_header_alg(protected_header, &alg);
    if (status == STATUS_NOT_FOUND)
        return diag_fail(diag, STATUS_CORRUPT,
                         "COSE: a signature names no algorithm");
    if (status)
        return diag_fail(diag, status, "COSE: algorithm: %s",
                         status_text(status));
    if (alg != COSE_ALG_EDDSA)
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "COSE: algorithm %s (%lld), only EdDSA is accepted",
                         cose_alg_name(alg), (long long)alg);
    return STATUS_OK;
}

/* The content of a header's byte string: nothing, or one map. */
static struct bytes cose_read_protected(struct reader *rd)
{
    struct bytes header = cbor_read_bytes(rd);
    struct reader inner;
    if (!header.size)
        return header;
    cbor_reader_init(&inner, header);
    if (!inner.status && cbor_peek(&inner) != CBOR_MAP)
        reader_fail(&inner, STATUS_CORRUPT);
    reader_fail(rd, inner.status);
    return header;
}

static struct bytes cose_read_unprotected(struct reader *rd)
{
    if (cbor_peek(rd) != CBOR_MAP)
        reader_fail(rd, STATUS_CORRUPT);
    return cbor_read_raw(rd);
}

static void cose_read_signers(struct reader *rd, struct cose_message *out)
{
    size_t count = cbor_read_array(rd, LIMIT_RECORD_SIGNATURES);
    if (!count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < count && !rd->status; i++) {
        struct cose_signer *signer = &out->signers[i];
        cbor_read_array_of(rd, 3);
        signer->protected_header = cose_read_protected(rd);
        signer->unprotected = cose_read_unprotected(rd);
        signer->signature = cbor_read_bytes(rd);
    }
    out->signer_count = count;
}

static void cose_read_message(struct reader *rd, struct cose_message *out)
{
    cbor_read_array_of(rd, 4);
    struct bytes header = cose_read_protected(rd);
    struct bytes unprotected = cose_read_unprotected(rd);
    if (cbor_peek(rd) == CBOR_NULL)
        reader_fail(rd, STATUS_UNSUPPORTED); /* detached payload */
    out->payload = cbor_read_bytes(rd);
    out->single = cbor_peek(rd) == CBOR_BYTES;
    if (!out->single) {
        out->protected_header = header;
        out->unprotected = unprotected;
        cose_read_signers(rd, out);
        return;
    }
    out->signer_count = 1;
    out->signers[0].protected_header = header;
    out->signers[0].unprotected = unprotected;
    out->signers[0].signature = cbor_read_bytes(rd);
}

enum status cose_message_parse(struct bytes in, struct cose_message *out,
                               struct diag *diag)
{
    struct reader rd;
    uint64_t tag = 0;
    *out = (struct cose_message){0};
    enum status status = cbor_validate(in, diag);
    if (status)
        return status;
    reader_init(&rd, in);
    if (cbor_peek(&rd) == CBOR_TAG) {
        tag = cbor_read_tag(&rd);
        if (tag != COSE_TAG_SIGN && tag != COSE_TAG_SIGN1)
            return diag_fail(diag, STATUS_UNSUPPORTED,
                             "COSE: tag %llu is neither COSE_Sign nor "
                             "COSE_Sign1",
                             (unsigned long long)tag);
    }
    cose_read_message(&rd, out);
    if (tag && out->single != (tag == COSE_TAG_SIGN1))
        reader_fail(&rd, STATUS_CORRUPT);
    status = reader_finish(&rd);
    if (status)
        return diag_fail(diag, status, "COSE: %s at offset %zu",
                         status_text(status), reader_offset(&rd));
    return STATUS_OK;
}

static enum status cose_verify_bytes(const struct cose_message *msg,
                                     size_t index, const struct node_id *key,
                                     struct bytes external_aad)
{
    uint8_t buf[COSE_TBS_MAX];
    struct writer wr;
    struct crypto_signature sig;
    struct bytes given = msg->signers[index].signature;
    if (given.size != sizeof(sig.b))
        return STATUS_BAD_SIGNATURE;
    memcpy(sig.b, given.data, sizeof(sig.b));
    writer_init(&wr, buf, sizeof(buf));
    cose_message_to_be_signed(msg, index, external_aad, &wr);
    if (wr.status)
        return wr.status;
    return crypto_verify(key, writer_view(&wr), &sig);
}

enum status cose_message_verify(const struct cose_message *msg, size_t index,
                                const struct node_id *key,
                                struct bytes external_aad, struct diag *diag)
{
    enum status status =
        cose_require_eddsa(msg->signers[index].protected_header, diag);
    if (status)
        return status;
    status = cose_verify_bytes(msg, index, key, external_aad);
    if (status)
        return diag_fail(diag, status, "COSE: signature %zu: %s", index,
                         status_text(status));
    return STATUS_OK;
}

/* One signer of the profile: exactly {1: -8, 4: key}, {}, 64 bytes. */
static enum status cose_take_signer(const struct cose_signer *signer,
                                    struct cose_signature *out,
                                    struct diag *diag)
{
    struct writer wr;
    uint8_t want[COSE_PROTECTED_BYTES];
    struct bytes header = signer->protected_header;
    enum status status = cose_require_eddsa(header, diag);
    if (status)
        return status;
    if (header.size != COSE_PROTECTED_BYTES)
        return diag_fail(diag, STATUS_CORRUPT,
                         "COSE: a signature's header is not {alg, kid}");
    memcpy(out->key.b, header.data + header.size - NODE_ID_BYTES,
           NODE_ID_BYTES);
    writer_init(&wr, want, sizeof(want));
    cose_write_protected(&wr, &out->key);
    if (!bytes_equal(header, writer_view(&wr)))
        return diag_fail(diag, STATUS_CORRUPT,
                         "COSE: a signature's header is not {alg, kid}");
    if (!cose_is_empty_map(signer->unprotected) ||
        signer->signature.size != sizeof(out->sig.b))
        return diag_fail(diag, STATUS_CORRUPT,
                         "COSE: unprotected headers, or a signature of %zu "
                         "bytes",
                         signer->signature.size);
    memcpy(out->sig.b, signer->signature.data, sizeof(out->sig.b));
    return STATUS_OK;
}

static enum status cose_take_signers(const struct cose_message *msg,
                                     struct cose_envelope *out,
                                     struct diag *diag)
{
    for (size_t i = 0; i < msg->signer_count; i++) {
        struct cose_signature *sig = &out->signatures[i];
        enum status status = cose_take_signer(&msg->signers[i], sig, diag);
        if (status)
            return status;
        if (i && node_id_compare(&sig[-1].key, &sig->key) >= 0)
            return diag_fail(diag, STATUS_CORRUPT,
                             "COSE: signatures are not in ascending order of "
                             "their keys");
    }
    out->signature_count = msg->signer_count;
    return STATUS_OK;
}

enum status cose_parse(struct bytes in, struct cose_envelope *out,
                       struct diag *diag)
{
    struct cose_message msg;
    *out = (struct cose_envelope){0};
    if (in.size > LIMIT_RECORD_BYTES)
        return diag_fail(diag, STATUS_LIMIT,
                         "COSE: envelope of %zu bytes, at most %u", in.size,
                         LIMIT_RECORD_BYTES);
    enum status status = cose_message_parse(in, &msg, diag);
    if (status)
        return status;
    if (msg.single)
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "COSE: COSE_Sign1, only COSE_Sign is accepted");
    status = cose_take_signers(&msg, out, diag);
    if (status)
        return status;
    if (in.data[0] >> 5 != 6 || msg.protected_header.size ||
        !cose_is_empty_map(msg.unprotected))
        return diag_fail(diag, STATUS_CORRUPT,
                         "COSE: no tag, or body headers that are not empty");
    out->payload = msg.payload;
    return STATUS_OK;
}

enum status cose_verify_one(const struct cose_envelope *envelope, size_t index)
{
    uint8_t buf[COSE_TBS_MAX];
    struct writer wr;
    const struct cose_signature *sig = &envelope->signatures[index];
    if (envelope->payload.size > LIMIT_RECORD_BYTES)
        return STATUS_LIMIT;
    writer_init(&wr, buf, sizeof(buf));
    cose_to_be_signed(envelope->payload, &sig->key, &wr);
    if (wr.status)
        return wr.status;
    return crypto_verify(&sig->key, writer_view(&wr), &sig->sig);
}

enum status cose_sign(struct bytes payload, const struct crypto_sign_key *key,
                      struct cose_signature *out)
{
    uint8_t buf[COSE_TBS_MAX];
    struct writer wr;
    *out = (struct cose_signature){.key = crypto_sign_key_id(key)};
    if (payload.size > LIMIT_RECORD_BYTES)
        return STATUS_LIMIT;
    writer_init(&wr, buf, sizeof(buf));
    cose_to_be_signed(payload, &out->key, &wr);
    if (wr.status)
        return wr.status;
    crypto_sign_message(key, writer_view(&wr), &out->sig);
    return STATUS_OK;
}

/* Indexes of signatures by ascending key; false when one key is there twice. */
static bool cose_sort(const struct cose_signature *signatures, size_t count,
                      size_t *order)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        while (at && node_id_compare(&signatures[order[at - 1]].key,
                                     &signatures[i].key) > 0) {
            order[at] = order[at - 1];
            at--;
        }
        if (at &&
            node_id_equal(&signatures[order[at - 1]].key, &signatures[i].key))
            return false;
        order[at] = i;
    }
    return true;
}

static void cose_write_signer(struct writer *out,
                              const struct cose_signature *sig)
{
    uint8_t header[COSE_PROTECTED_BYTES];
    struct writer wr;
    writer_init(&wr, header, sizeof(header));
    cose_write_protected(&wr, &sig->key);
    cbor_write_array(out, 3);
    cbor_write_bytes(out, header, wr.size);
    cbor_write_map(out, 0);
    cbor_write_bytes(out, sig->sig.b, sizeof(sig->sig.b));
}

enum status cose_encode(struct bytes payload,
                        const struct cose_signature *signatures, size_t count,
                        struct writer *out)
{
    size_t order[LIMIT_RECORD_SIGNATURES];
    if (!count || count > LIMIT_RECORD_SIGNATURES ||
        !cose_sort(signatures, count, order))
        return STATUS_USAGE;
    size_t around = 2 + 1 + 1 + 1 + cbor_head_size(payload.size) +
                    cbor_head_size(count) + count * COSE_SIGNER_BYTES;
    if (payload.size > LIMIT_RECORD_BYTES - around)
        return STATUS_LIMIT;
    cbor_write_tag(out, COSE_TAG_SIGN);
    cbor_write_array(out, 4);
    cbor_write_bytes(out, NULL, 0);
    cbor_write_map(out, 0);
    cbor_write_bytes(out, payload.data, payload.size);
    cbor_write_array(out, count);
    for (size_t i = 0; i < count; i++)
        cose_write_signer(out, &signatures[order[i]]);
    return writer_status(out);
}
