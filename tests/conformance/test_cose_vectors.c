/* COSE: {"tests": [{fail, input, intermediates, output}]} in the form of the
 * working group's examples for COSE_Sign and COSE_Sign1. Messages that should
 * pass must parse, give the listed bytes to be signed, and verify where the
 * key is Ed25519; where the algorithm is another one, verifying must refuse.
 * Messages marked `fail` must not verify. None is of our envelope's profile
 * (their keys are named in unprotected headers), so cose_parse refuses all. */
#include "tests/conformance/suite.h"

#include "protocol/cose.h"

struct check {
    const json_t *vector;
    struct cose_message msg;
    char *why;
    size_t why_size;
};

/* The inputs of one signer, where both forms keep their members. */
static const json_t *signer_input(const struct check *check, size_t index)
{
    const json_t *input = json_object_get(check->vector, "input");
    const json_t *sign = json_object_get(input, "sign");
    if (!sign)
        return json_object_get(input, "sign0");
    return json_array_get(json_object_get(sign, "signers"), index);
}

static const char *signer_tbs(const struct check *check, size_t index)
{
    const json_t *between = json_object_get(check->vector, "intermediates");
    const json_t *signers = json_object_get(between, "signers");
    return suite_text(signers ? json_array_get(signers, index) : between,
                      "ToBeSign_hex");
}

/* Whether the signer's key is an Ed25519 one, and that key. */
static bool signer_key(const struct check *check, size_t index,
                       struct node_id *out)
{
    static struct suite_blob x;
    const json_t *key = json_object_get(signer_input(check, index), "key");
    if (strcmp(suite_text(key, "crv"), "Ed25519") ||
        !suite_hex(key, "x_hex", &x) || x.size != sizeof(out->b))
        return false;
    memcpy(out->b, x.b, sizeof(out->b));
    return true;
}

static bool signer_external(const struct check *check, size_t index,
                            struct suite_blob *out)
{
    return suite_hex(signer_input(check, index), "external", out);
}

static bool signer_tbs_equal(const struct check *check, size_t index,
                             struct bytes external)
{
    static struct suite_blob want;
    static uint8_t buf[SUITE_BLOB_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    cose_message_to_be_signed(&check->msg, index, external, &wr);
    return suite_hex_text(signer_tbs(check, index), &want) &&
           bytes_equal(writer_view(&wr), suite_view(&want));
}

static enum suite_result check_signer(struct check *check, size_t index)
{
    static struct suite_blob external;
    struct node_id key = {{0}};
    struct diag diag = {0};
    if (!signer_external(check, index, &external))
        return suite_because(SUITE_FAIL, check->why, check->why_size,
                             "hex is malformed");
    if (!signer_tbs_equal(check, index, suite_view(&external)))
        return suite_because(SUITE_FAIL, check->why, check->why_size,
                             "bytes to be signed differ");
    bool ed25519 = signer_key(check, index, &key);
    enum status status = cose_message_verify(&check->msg, index, &key,
                                             suite_view(&external), &diag);
    if (ed25519 != (status == STATUS_OK))
        return suite_because(SUITE_FAIL, check->why, check->why_size,
                             "signature %zu: %s: %s", index,
                             status_text(status), diag.text);
    return SUITE_PASS;
}

/* The first signer that does not verify makes the message fail. */
static bool some_signer_fails(const struct check *check)
{
    static struct suite_blob external;
    for (size_t i = 0; i < check->msg.signer_count; i++) {
        struct node_id key = {{0}};
        (void)signer_key(check, i, &key);
        if (!signer_external(check, i, &external) ||
            cose_message_verify(&check->msg, i, &key, suite_view(&external),
                                NULL))
            return true;
    }
    return false;
}

static enum suite_result run_vector(const json_t *vector, char *why,
                                    size_t why_size)
{
    static struct suite_blob in;
    struct cose_envelope envelope;
    struct diag diag = {0};
    struct check check = {.vector = vector, .why = why, .why_size = why_size};
    bool fail = json_is_true(json_object_get(vector, "fail"));
    if (!suite_hex(json_object_get(vector, "output"), "cbor", &in) ||
        !in.present)
        return suite_because(SUITE_FAIL, why, why_size, "no output.cbor");
    if (!cose_parse(suite_view(&in), &envelope, NULL))
        return suite_because(SUITE_FAIL, why, why_size,
                             "taken for an envelope of ours");
    enum status status = cose_message_parse(suite_view(&in), &check.msg, &diag);
    if (fail)
        return status || some_signer_fails(&check)
                   ? SUITE_PASS
                   : suite_because(SUITE_FAIL, why, why_size, "accepted: %s",
                                   suite_text(vector, "title"));
    if (status)
        return suite_because(SUITE_FAIL, why, why_size, "refused: %s: %s",
                             suite_text(vector, "title"), diag.text);
    for (size_t i = 0; i < check.msg.signer_count; i++)
        if (check_signer(&check, i))
            return SUITE_FAIL;
    return SUITE_PASS;
}

int main(int argc, char **argv)
{
    return suite_main(argc, argv, "cose", "tests", "output", run_vector);
}
