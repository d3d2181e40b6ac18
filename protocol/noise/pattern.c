/* The patterns as data, and protocol names.
 *
 * Ref: The Noise Protocol Framework, revision 34, sections 7.4, 7.5, 8, 9 and
 * 18.1. */
#include "protocol/noise/pattern.h"

#include "protocol/limits.h"

#include <string.h>

/* pre: whose static key the other side knows beforehand, i and r. Messages
 * alternate from the initiator on and are divided by a bar. */
struct pattern_row {
    const char *name;
    const char *pre;
    const char *messages;
};

static const struct pattern_row pattern_rows[] = {
    /* one-way */
    {"N", "r", "e es"},
    {"K", "ir", "e es ss"},
    {"X", "r", "e es s ss"},
    /* interactive */
    {"NN", "", "e|e ee"},
    {"NK", "r", "e es|e ee"},
    {"NX", "", "e|e ee s es"},
    {"XN", "", "e|e ee|s se"},
    {"XK", "r", "e es|e ee|s se"},
    {"XX", "", "e|e ee s es|s se"},
    {"KN", "i", "e|e ee se"},
    {"KK", "ir", "e es ss|e ee se"},
    {"KX", "i", "e|e ee se s es"},
    {"IN", "", "e s|e ee se"},
    {"IK", "r", "e es s ss|e ee se"},
    {"IX", "", "e s|e ee se s es"},
    /* deferred */
    {"NK1", "r", "e|e ee es"},
    {"NX1", "", "e|e ee s|es"},
    {"X1N", "", "e|e ee|s|se"},
    {"X1K", "r", "e es|e ee|s|se"},
    {"XK1", "r", "e|e ee es|s se"},
    {"X1K1", "r", "e|e ee es|s|se"},
    {"X1X", "", "e|e ee s es|s|se"},
    {"XX1", "", "e|e ee s|es s se"},
    {"X1X1", "", "e|e ee s|es s|se"},
    {"K1N", "i", "e|e ee|se"},
    {"K1K", "ir", "e es|e ee|se"},
    {"KK1", "ir", "e|e ee se es"},
    {"K1K1", "ir", "e|e ee es|se"},
    {"K1X", "i", "e|e ee s es|se"},
    {"KX1", "i", "e|e ee se s|es"},
    {"K1X1", "i", "e|e ee s|se es"},
    {"I1N", "", "e s|e ee|se"},
    {"I1K", "r", "e es s|e ee|se"},
    {"IK1", "r", "e s|e ee se es"},
    {"I1K1", "r", "e s|e ee es|se"},
    {"I1X", "", "e s|e ee s es|se"},
    {"IX1", "", "e s|e ee se s|es"},
    {"I1X1", "", "e s|e ee s|se es"},
};

#define PATTERN_ROW_COUNT (sizeof(pattern_rows) / sizeof(pattern_rows[0]))

const char *noise_pattern_known(size_t index)
{
    return index < PATTERN_ROW_COUNT ? pattern_rows[index].name : NULL;
}

static bool pattern_text_is(struct bytes part, const char *text)
{
    return bytes_equal(part, bytes_of_text(text));
}

/* The part before the first separator; *rest goes past it. */
static struct bytes pattern_cut(struct bytes *rest, char separator)
{
    struct bytes part = {rest->data, 0};
    while (part.size < rest->size && part.data[part.size] != separator)
        part.size++;
    size_t taken = part.size < rest->size ? part.size + 1 : part.size;
    rest->data += taken;
    rest->size -= taken;
    return part;
}

static enum noise_token pattern_token(struct bytes text)
{
    static const char *const names[] = {
        [NOISE_TOKEN_E] = "e",   [NOISE_TOKEN_S] = "s",
        [NOISE_TOKEN_EE] = "ee", [NOISE_TOKEN_ES] = "es",
        [NOISE_TOKEN_SE] = "se", [NOISE_TOKEN_SS] = "ss",
    };
    unsigned token = NOISE_TOKEN_E;
    while (!pattern_text_is(text, names[token]))
        token++;
    return (enum noise_token)token;
}

static void pattern_load(struct noise_pattern *out,
                         const struct pattern_row *row)
{
    struct bytes messages = bytes_of_text(row->messages);
    out->pre_initiator = strchr(row->pre, 'i') != NULL;
    out->pre_responder = strchr(row->pre, 'r') != NULL;
    while (messages.size) {
        struct bytes message = pattern_cut(&messages, '|');
        unsigned index = out->message_count++;
        while (message.size) {
            struct bytes token = pattern_cut(&message, ' ');
            out->tokens[index][out->token_counts[index]++] =
                (uint8_t)pattern_token(token);
        }
    }
    out->one_way = out->message_count == 1;
}

/* psk0 stands before the first message's tokens, pskN after the N-th's. False
 * when there is no such place. */
static bool pattern_add_psk(struct noise_pattern *out, unsigned place)
{
    unsigned message = place ? place - 1 : 0;
    if (message >= out->message_count)
        return false;
    uint8_t *tokens = out->tokens[message];
    unsigned count = out->token_counts[message];
    if (count == NOISE_PATTERN_TOKENS_MAX)
        return false;
    if (place) {
        tokens[count] = NOISE_TOKEN_PSK;
    } else {
        memmove(tokens + 1, tokens, count);
        tokens[0] = NOISE_TOKEN_PSK;
    }
    out->token_counts[message]++;
    out->psk_count++;
    return true;
}

static enum status pattern_modify(struct noise_pattern *out,
                                  struct bytes modifiers, struct diag *diag)
{
    unsigned seen = 0;
    while (modifiers.size) {
        struct bytes one = pattern_cut(&modifiers, '+');
        if (one.size < 3 || memcmp(one.data, "psk", 3))
            return diag_fail(diag, STATUS_UNSUPPORTED,
                             "Noise modifier '%.*s' is not supported",
                             (int)one.size, (const char *)one.data);
        unsigned place = one.size == 4 ? one.data[3] - (unsigned)'0' : 10;
        if (place > 9 || seen & 1u << place || !pattern_add_psk(out, place))
            return diag_fail(diag, STATUS_CORRUPT,
                             "Noise modifier '%.*s' does not fit the pattern",
                             (int)one.size, (const char *)one.data);
        seen |= 1u << place;
    }
    return STATUS_OK;
}

/* A pattern's name is capitals and digits, so modifiers begin at the first
 * small letter. */
static enum status pattern_find(struct noise_pattern *out, struct bytes text,
                                struct diag *diag)
{
    struct bytes name = {text.data, 0};
    while (name.size < text.size && (name.data[name.size] < 'a'))
        name.size++;
    struct bytes modifiers = {text.data + name.size, text.size - name.size};
    for (size_t i = 0; i < PATTERN_ROW_COUNT; i++)
        if (pattern_text_is(name, pattern_rows[i].name)) {
            pattern_load(out, &pattern_rows[i]);
            if (modifiers.size &&
                modifiers.data[modifiers.size - 1] == (uint8_t)'+')
                return diag_fail(diag, STATUS_CORRUPT,
                                 "Noise modifiers end with '+'");
            return pattern_modify(out, modifiers, diag);
        }
    return diag_fail(diag, STATUS_UNSUPPORTED,
                     "Noise pattern '%.*s' is not known", (int)name.size,
                     (const char *)name.data);
}

static enum status pattern_suite(struct noise_pattern *out, struct bytes dh,
                                 struct bytes cipher, struct bytes hash,
                                 struct diag *diag)
{
    if (!pattern_text_is(dh, "25519"))
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "Noise DH '%.*s' is not supported", (int)dh.size,
                         (const char *)dh.data);
    if (!pattern_text_is(cipher, "ChaChaPoly"))
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "Noise cipher '%.*s' is not supported",
                         (int)cipher.size, (const char *)cipher.data);
    if (pattern_text_is(hash, "BLAKE2b"))
        out->hash = CRYPTO_BLAKE2B;
    else if (pattern_text_is(hash, "SHA256"))
        out->hash = CRYPTO_SHA256;
    else
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "Noise hash '%.*s' is not supported", (int)hash.size,
                         (const char *)hash.data);
    return STATUS_OK;
}

enum status noise_pattern_parse(const char *name, struct noise_pattern *out,
                                struct diag *diag)
{
    struct bytes rest = bytes_of_text(name);
    *out = (struct noise_pattern){0};
    if (rest.size > NOISE_PATTERN_NAME_MAX)
        return diag_fail(diag, STATUS_LIMIT, "Noise protocol name too long");
    memcpy(out->name, rest.data, rest.size);
    struct bytes noise = pattern_cut(&rest, '_');
    struct bytes pattern = pattern_cut(&rest, '_');
    struct bytes dh = pattern_cut(&rest, '_');
    struct bytes cipher = pattern_cut(&rest, '_');
    struct bytes hash = rest;
    if (!pattern_text_is(noise, "Noise") || !pattern.size || !dh.size ||
        !cipher.size || !hash.size)
        return diag_fail(diag, STATUS_CORRUPT, "'%s' is no Noise protocol name",
                         name);
    enum status status = pattern_suite(out, dh, cipher, hash, diag);
    if (status)
        return status;
    return pattern_find(out, pattern, diag);
}
