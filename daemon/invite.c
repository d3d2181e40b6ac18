/* Invites: one line, checked before anything in it is believed. */
#include "daemon/invite.h"

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>

#define SUM_BYTES 4u
#define BYTES_MAX (64u + 1 + INVITE_ADDRESSES_MAX * 256u + SUM_BYTES)

static bool address_ok(const char *text)
{
    char host[NODE_ADDR_MAX + 1];
    unsigned port;
    return strlen(text) <= NODE_ADDR_MAX &&
           config_split_address(text, CONFIG_PORT_DEFAULT, host, sizeof(host),
                                &port) &&
           port;
}

enum status invite_write(const struct invite *invite, char **line,
                         struct diag *diag)
{
    *line = NULL;
    uint8_t buf[BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    writer_bytes(&wr, invite->fleet.b, HASH_BYTES);
    writer_bytes(&wr, invite->secret.b, CRYPTO_SECRET_BYTES);
    if (!invite->address_count || invite->address_count > INVITE_ADDRESSES_MAX)
        return diag_fail(diag, STATUS_USAGE, "an invite has 1 to %u addresses",
                         INVITE_ADDRESSES_MAX);
    writer_u8(&wr, (uint8_t)invite->address_count);
    for (size_t i = 0; i < invite->address_count; i++) {
        const char *address = invite->address[i];
        if (!address_ok(address))
            return diag_fail(diag, STATUS_USAGE, "\"%s\" is no HOST:PORT",
                             address);
        writer_u8(&wr, (uint8_t)strlen(address));
        writer_bytes(&wr, address, strlen(address));
    }
    struct hash sum;
    hash_bytes(HASH_MISC, writer_view(&wr), &sum);
    writer_bytes(&wr, sum.b, SUM_BYTES);
    enum status status = writer_status(&wr);
    char *text = status ? NULL : crypto_base64(writer_view(&wr));
    crypto_wipe(buf, sizeof(buf));
    if (status)
        return status;
    char *out = text ? malloc(sizeof(INVITE_PREFIX) + strlen(text)) : NULL;
    if (out) {
        memcpy(out, INVITE_PREFIX, sizeof(INVITE_PREFIX) - 1);
        memcpy(out + sizeof(INVITE_PREFIX) - 1, text, strlen(text) + 1);
    }
    free(text);
    *line = out;
    return out ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status read_bytes(struct bytes in, struct invite *out)
{
    struct reader rd;
    struct hash sum;
    if (in.size < SUM_BYTES)
        return STATUS_TRUNCATED;
    struct bytes body = {in.data, in.size - SUM_BYTES};
    hash_bytes(HASH_MISC, body, &sum);
    if (memcmp(sum.b, in.data + body.size, SUM_BYTES))
        return STATUS_CORRUPT;
    reader_init(&rd, body);
    reader_copy(&rd, out->fleet.b, HASH_BYTES);
    reader_copy(&rd, out->secret.b, CRYPTO_SECRET_BYTES);
    out->address_count = reader_u8(&rd);
    if (!out->address_count || out->address_count > INVITE_ADDRESSES_MAX)
        reader_fail(&rd, STATUS_CORRUPT);
    for (size_t i = 0; i < out->address_count && !reader_status(&rd); i++) {
        struct bytes text = reader_bytes(&rd, reader_u8(&rd));
        if (text.size)
            memcpy(out->address[i], text.data, text.size);
        out->address[i][text.size] = '\0';
        if (strlen(out->address[i]) != text.size ||
            !address_ok(out->address[i]))
            reader_fail(&rd, STATUS_CORRUPT);
    }
    return reader_finish(&rd);
}

/* The first line that says something; its size. */
static const char *find_line(const char *text, size_t *size)
{
    while (*text) {
        text += strspn(text, " \t\r\n");
        size_t line = strcspn(text, "\r\n");
        if (line && *text != '#') {
            while (text[line - 1] == ' ' || text[line - 1] == '\t')
                line--;
            *size = line;
            return text;
        }
        text += line;
    }
    return NULL;
}

enum status invite_read(const char *text, struct invite *out, struct diag *diag)
{
    memset(out, 0, sizeof(*out));
    size_t size = 0;
    const char *line = find_line(text, &size);
    if (!line || size < 9 || strncmp(line, INVITE_PREFIX, 9))
        return diag_fail(diag, STATUS_CORRUPT,
                         "this is no invite: one begins with %s",
                         INVITE_PREFIX);
    if (size < sizeof(INVITE_PREFIX) - 1 ||
        strncmp(line, INVITE_PREFIX, sizeof(INVITE_PREFIX) - 1))
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "this invite is of a newer form than this deltamesh "
                         "reads");
    line += sizeof(INVITE_PREFIX) - 1;
    size -= sizeof(INVITE_PREFIX) - 1;
    uint8_t *bytes = NULL;
    size_t count = 0;
    enum status status = STATUS_CORRUPT;
    if (size <= INVITE_LINE_MAX) {
        char text64[INVITE_LINE_MAX + 1];
        memcpy(text64, line, size);
        text64[size] = 0;
        status = crypto_from_base64(text64, &bytes, &count);
        crypto_wipe(text64, sizeof(text64));
    }
    if (!status)
        status = read_bytes(bytes_of(bytes, count), out);
    if (bytes)
        crypto_wipe(bytes, count);
    free(bytes);
    if (!status)
        return STATUS_OK;
    crypto_wipe(out, sizeof(*out));
    if (status == STATUS_NO_MEMORY)
        return status;
    return diag_fail(diag, STATUS_CORRUPT,
                     "the invite is damaged: its check sum does not fit");
}
