/* What the verbs of the deltamesh command share: common options, calls to the
 * daemon with its errors told in one line, exit statuses, JSON in and out.
 *
 * A verb is `int ctl_VERB(int argc, char **argv)`: argv[0] is the verb, the
 * result the exit status. */
#ifndef DAEMON_CTL_H
#define DAEMON_CTL_H

#include "codec/base/status.h"
#include "protocol/record.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Exit statuses: a promise to scripts (deltamesh(1)). */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,    /* failed, or degraded */
    CTL_USAGE = 2,     /* the command line does not fit */
    CTL_NO_DAEMON = 3, /* nobody answers at the control socket */
    CTL_BAD_INPUT = 4, /* an input file cannot be taken */
    CTL_REFUSED = 5,   /* trust or rights */
    CTL_TIMEOUT = 6,
    CTL_NO_SPACE = 7,
    CTL_NOT_FOUND = 8, /* not found, or ambiguous */
};

int ctl_exit_of(enum status status);

/* "deltamesh VERB: MESSAGE" on standard error. Returns exit, so that
 * `return ctl_fail(...)` reads as one line. */
int ctl_fail(const char *verb, int exit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Options. A verb lists CTL_OPTIONS last in its getopt table and hands
 * what it does not know to ctl_option. ---- */

#define CTL_OPTIONS                                \
    {"json", no_argument, NULL, 'j'},              \
        {"control", required_argument, NULL, 'C'}, \
        {"help", no_argument, NULL, 'h'},          \
    {                                              \
        NULL, 0, NULL, 0                           \
    }

struct varlink_client;

struct ctl {
    const char *verb;
    char **argv;         /* of the verb */
    const char *usage;   /* one line or more, for --help and mistakes */
    const char *control; /* --control, or NULL */
    bool json;
    bool tty;      /* standard error is a terminal: progress is shown there */
    bool may_miss; /* a NotFound of the daemon is CTL_NOT_FOUND without words */
    long fetch_s; /* most that ctl_version_open waits; 0: as long as it takes */
    struct varlink_client *client;
};

void ctl_begin(struct ctl *ctl, char **argv, const char *usage);
void ctl_end(struct ctl *ctl);

/* A whole number from 1 to 999999, such as seconds. */
bool ctl_count(const char *text, long *out);

/* Handles a common option, or says how the verb is used. True: go on; false:
 * return *exit. */
bool ctl_option(struct ctl *ctl, int option, int *exit);

/* What does not fit, as far as it is known, and the usage on standard error;
 * CTL_USAGE. */
int ctl_misused(const struct ctl *ctl);

/* For verbs that take common options only and between min and max words.
 * Words begin at *argv[optind]. */
bool ctl_plain_options(struct ctl *ctl, int argc, char **argv, int min, int max,
                       int *exit);

/* ---- Calls. params: taken (its reference is dropped), NULL for none.
 * Each returns 0, or an exit status after an error was printed. ---- */

int ctl_call(struct ctl *ctl, const char *method, json_t *params,
             json_t **reply);

/* One reply of a stream. Return < 0 to go on, else the exit status that ends
 * the call. fds: descriptors of this reply; owned by the callback. */
typedef int (*ctl_reply_fn)(void *ctx, json_t *reply, const int *fds,
                            size_t fd_count);

struct ctl_stream {
    const int *fds; /* descriptors to pass, borrowed */
    size_t fd_count;
    bool once;      /* no `more`: exactly one reply */
    bool keep_open; /* the last reply ends it: another call may follow */
    int timeout_ms; /* for the whole call, <= 0: none */
    ctl_reply_fn on_reply;
    void *ctx;
};

/* Calls with more. The daemon's last reply, or a callback's result, ends it;
 * a stream that ends without either is 0. CTL_TIMEOUT prints nothing. */
int ctl_call_stream(struct ctl *ctl, const char *method, json_t *params,
                    const struct ctl_stream *stream);

/* Prints the object as one line when --json was given; true when it did. */
bool ctl_print_json(const struct ctl *ctl, const json_t *reply);

/* ---- Fields of replies: "" / 0 / false when absent or of another type. ----
 */

const char *ctl_text(const json_t *object, const char *key);
int64_t ctl_int(const json_t *object, const char *key);
double ctl_real(const json_t *object, const char *key);
bool ctl_bool(const json_t *object, const char *key);

/* ---- Signing. ---- */

struct keyring;

/* The keys of --key FILE options, or those of this fleet under
 * keyring_root. */
int ctl_load_keys(struct ctl *ctl, char *const *paths, size_t path_count,
                  struct keyring *ring);

/* The public keys of a ring, as the array `keys` of Prepare methods. */
json_t *ctl_public_keys(const struct keyring *ring);

/* A payload that the daemon asks to have signed. A verb looks at the record
 * before it signs: the daemon is not trusted with the operator's intent. */
struct ctl_payload {
    uint8_t *data;
    size_t size;
    struct record record; /* views of data; no signatures */
};

int ctl_payload_open(const struct ctl *ctl, const char *base64,
                     struct ctl_payload *out);
void ctl_payload_close(struct ctl_payload *payload);

/* Signs with every key of the ring whose role is the payload's author. The
 * envelope is a new Base64 string to free(). */
int ctl_payload_sign(const struct ctl *ctl, const struct ctl_payload *payload,
                     const struct keyring *ring, char **envelope);

/* ---- Verbs. ---- */

int ctl_bench(int argc, char **argv);
int ctl_diff(int argc, char **argv);
int ctl_patch(int argc, char **argv);
int ctl_inspect(int argc, char **argv);
int ctl_export(int argc, char **argv);
int ctl_fleet(int argc, char **argv);
int ctl_gc(int argc, char **argv);
int ctl_init(int argc, char **argv);
int ctl_invite(int argc, char **argv);
int ctl_join(int argc, char **argv);
int ctl_keys(int argc, char **argv);
int ctl_metrics(int argc, char **argv);
int ctl_nnc(int argc, char **argv); /* one of two: configure --without-nnc */
int ctl_peers(int argc, char **argv);
int ctl_publish(int argc, char **argv);
int ctl_release(int argc, char **argv);
int ctl_show(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_verify(int argc, char **argv);
int ctl_versions(int argc, char **argv);
int ctl_watch(int argc, char **argv);

#endif
