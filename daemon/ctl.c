/* Shared by the verbs: options, calls, errors in one line, signing. */
#include "daemon/ctl.h"

#include "daemon/table.h"

#include "daemon/keyring.h"
#include "daemon/varlink_client.h"
#include "protocol/record.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CTL_INTERFACE "io.deltamesh.Control"

int ctl_exit_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return CTL_OK;
    case STATUS_USAGE:
        return CTL_USAGE;
    case STATUS_TRUNCATED:
    case STATUS_CORRUPT:
    case STATUS_UNSUPPORTED:
    case STATUS_LIMIT:
    case STATUS_BAD_BASE:
    case STATUS_MISMATCH:
        return CTL_BAD_INPUT;
    case STATUS_BAD_SIGNATURE:
    case STATUS_REFUSED:
    case STATUS_STALE:
    case STATUS_PERMISSION:
        return CTL_REFUSED;
    case STATUS_TIMEOUT:
        return CTL_TIMEOUT;
    case STATUS_NO_SPACE:
        return CTL_NO_SPACE;
    case STATUS_NOT_FOUND:
    case STATUS_AMBIGUOUS:
        return CTL_NOT_FOUND;
    default:
        return CTL_FAILED;
    }
}

int ctl_fail(const char *verb, int exit, const char *fmt, ...)
{
    char text[2048]; /* may quote other nodes: nothing for the terminal */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fprintf(stderr, "deltamesh %s: ", verb);
    table_put_text(text, stderr);
    putc('\n', stderr);
    return exit;
}

void ctl_begin(struct ctl *ctl, char **argv, const char *usage)
{
    *ctl = (struct ctl){.verb = argv[0], .argv = argv, .usage = usage};
    ctl->tty = isatty(STDERR_FILENO);
    opterr = 0;
    optind = 1;
}

void ctl_end(struct ctl *ctl)
{
    varlink_client_close(ctl->client);
    ctl->client = NULL;
}

/* getopt_long forgets optarg with each call: while it is there, the option it
 * belongs to is the one that is looked at. */
int ctl_misused(const struct ctl *ctl)
{
    const char *last = ctl->argv[optind - 1];
    if (!optarg)
        ctl_fail(ctl->verb, CTL_USAGE, "the arguments do not fit");
    else if (optarg == last)
        ctl_fail(ctl->verb, CTL_USAGE, "%s %s does not fit",
                 ctl->argv[optind - 2], last);
    else
        ctl_fail(ctl->verb, CTL_USAGE, "%s does not fit", last);
    fputs(ctl->usage, stderr);
    return CTL_USAGE;
}

static int unknown_option(const struct ctl *ctl)
{
    ctl_fail(ctl->verb, CTL_USAGE, "%s: no such option, or not all of it",
             ctl->argv[optind - 1]);
    fputs(ctl->usage, stderr);
    return CTL_USAGE;
}

bool ctl_count(const char *text, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return !errno && end != text && !*end && *out > 0 && *out < 1000000;
}

bool ctl_option(struct ctl *ctl, int option, int *exit)
{
    switch (option) {
    case 'j':
        ctl->json = true;
        return true;
    case 'C':
        ctl->control = optarg;
        return true;
    case 'h':
        fputs(ctl->usage, stdout);
        *exit = CTL_OK;
        return false;
    default:
        *exit = option == '?' ? unknown_option(ctl) : ctl_misused(ctl);
        return false;
    }
}

bool ctl_plain_options(struct ctl *ctl, int argc, char **argv, int min, int max,
                       int *exit)
{
    static const struct option options[] = {CTL_OPTIONS};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!ctl_option(ctl, c, exit))
            return false;
    if (argc - optind >= min && argc - optind <= max)
        return true;
    *exit = ctl_misused(ctl);
    return false;
}

/* ---- Calls ---- */

static int ctl_connect(struct ctl *ctl)
{
    char path[4096];
    struct diag diag = {""};
    if (ctl->client)
        return CTL_OK;
    enum status status = varlink_client_path(ctl->control, path, sizeof(path));
    if (!status)
        status = varlink_client_open(path, &ctl->client, &diag);
    if (!status)
        return CTL_OK;
    return ctl_fail(ctl->verb,
                    status == STATUS_PERMISSION ? CTL_REFUSED : CTL_NO_DAEMON,
                    "%s%s", diag.text[0] ? diag.text : status_text(status),
                    status == STATUS_PERMISSION
                        ? "; run as root, or join the group deltamesh to look"
                        : "; is deltameshd running?");
}

/* Prints an error reply: what, where and hint in one line. */
static int ctl_print_error(const struct ctl *ctl, const char *error,
                           const json_t *fields)
{
    const char *what = ctl_text(fields, "what");
    const char *where = ctl_text(fields, "where");
    const char *hint = ctl_text(fields, "hint");
    const char *name = strrchr(error, '.');
    int64_t exit = ctl_int(fields, "exit");
    if (ctl->may_miss && name && !strcmp(name, ".NotFound"))
        return CTL_NOT_FOUND;
    if (!*what)
        what = name ? name + 1 : error;
    ctl_fail(ctl->verb, 0, "%s%s%s%s%s", where, *where ? ": " : "", what,
             *hint ? "; " : "", hint);
    return exit > 0 && exit < 128 ? (int)exit : CTL_FAILED;
}

static int ctl_reply_failed(const struct ctl *ctl, enum status status,
                            const char *error, const json_t *fields)
{
    if (status == STATUS_REFUSED)
        return ctl_print_error(ctl, error, fields);
    if (status == STATUS_CLOSED)
        return ctl_fail(ctl->verb, CTL_NO_DAEMON,
                        "the daemon closed the connection");
    return ctl_fail(ctl->verb, CTL_FAILED, "control socket: %s",
                    status_text(status));
}

int ctl_call(struct ctl *ctl, const char *method, json_t *params,
             json_t **reply)
{
    char full[128], error[128] = "";
    *reply = NULL;
    int exit = ctl_connect(ctl);
    if (!exit) {
        snprintf(full, sizeof(full), CTL_INTERFACE ".%s", method);
        enum status status = varlink_client_call(
            ctl->client, full, params, reply, error, sizeof(error), -1);
        if (status)
            exit = ctl_reply_failed(ctl, status, error, *reply);
    }
    json_decref(params);
    if (exit) {
        json_decref(*reply);
        *reply = NULL;
    }
    return exit;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int ctl_send(struct ctl *ctl, const char *method, json_t *params,
                    const struct ctl_stream *stream)
{
    struct varlink_fds fds = {.count = 0};
    char full[128];
    for (size_t i = 0; i < stream->fd_count && i < VARLINK_FDS_MAX; i++) {
        int copy = dup(stream->fds[i]);
        if (copy < 0) {
            varlink_fds_close(&fds);
            return ctl_fail(ctl->verb, CTL_FAILED, "too many open files");
        }
        fds.fd[fds.count++] = copy;
    }
    snprintf(full, sizeof(full), CTL_INTERFACE ".%s", method);
    enum status status =
        varlink_client_send(ctl->client, full, params, &fds, !stream->once);
    return status ? ctl_reply_failed(ctl, status, "", NULL) : CTL_OK;
}

/* Replies until one ends the call. */
static int ctl_receive(struct ctl *ctl, const struct ctl_stream *stream)
{
    int64_t end = now_ms() + stream->timeout_ms;
    for (;;) {
        json_t *reply = NULL;
        struct varlink_fds fds = {.count = 0};
        char error[128] = "";
        bool continues = false;
        int64_t left = stream->timeout_ms > 0 ? end - now_ms() : -1;
        if (stream->timeout_ms > 0 && left <= 0)
            return CTL_TIMEOUT;
        enum status status =
            varlink_client_receive(ctl->client, &reply, &fds, &continues, error,
                                   sizeof(error), (int)left);
        int exit = -1;
        if (status == STATUS_TIMEOUT)
            exit = CTL_TIMEOUT;
        else if (status)
            exit = ctl_reply_failed(ctl, status, error, reply);
        else
            exit = stream->on_reply(stream->ctx, reply, fds.fd, fds.count);
        json_decref(reply);
        if (exit >= 0)
            return exit;
        if (!continues)
            return CTL_OK;
    }
}

int ctl_call_stream(struct ctl *ctl, const char *method, json_t *params,
                    const struct ctl_stream *stream)
{
    int exit = ctl_connect(ctl);
    if (!exit)
        exit = ctl_send(ctl, method, params, stream);
    json_decref(params);
    if (!exit)
        exit = ctl_receive(ctl, stream);
    /* A call that was left before its last reply cannot be followed by
     * another on the same connection. */
    if (exit || !stream->keep_open) {
        varlink_client_close(ctl->client);
        ctl->client = NULL;
    }
    return exit;
}

bool ctl_print_json(const struct ctl *ctl, const json_t *reply)
{
    if (ctl->json) {
        json_dumpf(reply, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        putchar('\n');
    }
    return ctl->json;
}

const char *ctl_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int64_t ctl_int(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

double ctl_real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

bool ctl_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* ---- Signing ---- */

int ctl_load_keys(struct ctl *ctl, char *const *paths, size_t path_count,
                  struct keyring *ring)
{
    struct diag diag = {""};
    enum status status = STATUS_OK;
    memset(ring, 0, sizeof(*ring));
    if (crypto_init())
        return ctl_fail(ctl->verb, CTL_FAILED, "no source of randomness");
    for (size_t i = 0; !status && i < path_count; i++)
        status = keyring_load(ring, paths[i], &diag);
    if (!path_count) {
        json_t *reply;
        struct hash fleet;
        int exit = ctl_call(ctl, "Status", NULL, &reply);
        if (exit)
            return exit;
        bool joined = hash_from_hex(ctl_text(reply, "fleet"), &fleet);
        json_decref(reply);
        if (!joined)
            return ctl_fail(ctl->verb, CTL_FAILED,
                            "not joined: run deltamesh join");
        status = keyring_load_fleet(ring, &fleet, &diag);
    }
    if (status)
        return ctl_fail(ctl->verb, ctl_exit_of(status), "%s",
                        diag.text[0] ? diag.text : status_text(status));
    return CTL_OK;
}

json_t *ctl_public_keys(const struct keyring *ring)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < ring->count; i++) {
        char hex[HASH_HEX_SIZE];
        struct hash key;
        struct node_id id = crypto_sign_key_id(&ring->keys[i].key);
        memcpy(key.b, id.b, sizeof(key.b));
        hash_hex(&key, hex);
        json_array_append_new(keys, json_string(hex));
    }
    return keys;
}

int ctl_payload_open(const struct ctl *ctl, const char *base64,
                     struct ctl_payload *out)
{
    struct diag diag = {""};
    memset(out, 0, sizeof(*out));
    enum status status = crypto_from_base64(base64, &out->data, &out->size);
    if (!status)
        status = record_parse_payload(bytes_of(out->data, out->size),
                                      &out->record, &diag);
    if (!status)
        return CTL_OK;
    ctl_payload_close(out);
    return ctl_fail(ctl->verb, CTL_REFUSED,
                    "the daemon asks to sign something that is no record: %s",
                    diag.text[0] ? diag.text : status_text(status));
}

void ctl_payload_close(struct ctl_payload *payload)
{
    free(payload->data);
    memset(payload, 0, sizeof(*payload));
}

int ctl_payload_sign(const struct ctl *ctl, const struct ctl_payload *payload,
                     const struct keyring *ring, char **envelope)
{
    const struct crypto_sign_key *keys[KEYRING_KEYS_MAX];
    const struct record_fields *f = &payload->record.f;
    size_t count = 0;
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    *envelope = NULL;
    for (size_t i = 0; i < ring->count; i++) {
        const struct keyring_key *key = &ring->keys[i];
        if (!f->author.is_node && bytes_equal(slot_author_bytes(&f->author),
                                              bytes_of_text(key->role)))
            keys[count++] = &key->key;
    }
    if (!count)
        return ctl_fail(ctl->verb, CTL_REFUSED,
                        "no key of the role %.*s here; say where it is with "
                        "--key FILE",
                        (int)f->author.size, (const char *)f->author.b);
    writer_init(&wr, buf, sizeof(buf));
    enum status status =
        record_sign(bytes_of(payload->data, payload->size), keys, count, &wr);
    if (!status && !(*envelope = crypto_base64(writer_view(&wr))))
        status = STATUS_NO_MEMORY;
    if (status)
        return ctl_fail(ctl->verb, ctl_exit_of(status), "signing: %s",
                        status_text(status));
    return CTL_OK;
}
