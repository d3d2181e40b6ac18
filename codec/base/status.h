/* The one error enum, the attribute that makes callers look at it, and the
 * optional words for people that go with it. */
#ifndef CODEC_BASE_STATUS_H
#define CODEC_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))

/* name, value, text. Values are part of no format; texts are for people. */
#define STATUS_LIST(X)                                                  \
    X(OK, 0, "success")                                                 \
    X(TRUNCATED, -1, "input ends early")                                \
    X(CORRUPT, -2, "input is malformed")                                \
    X(UNSUPPORTED, -3, "input needs a newer version or another build")  \
    X(LIMIT, -4, "a size or count is over its limit")                   \
    X(NO_MEMORY, -5, "out of memory")                                   \
    X(NO_SPACE, -6, "no space left")                                    \
    X(IO, -7, "input or output error")                                  \
    X(NOT_FOUND, -8, "not found")                                       \
    X(EXISTS, -9, "exists already")                                     \
    X(AMBIGUOUS, -10, "more than one matches")                          \
    X(MISMATCH, -11, "hash or identity does not match")                 \
    X(BAD_BASE, -12, "the base is not the one the update was made for") \
    X(BAD_SIGNATURE, -13, "a signature is missing or wrong")            \
    X(REFUSED, -14, "refused by the rules of the fleet")                \
    X(STALE, -15, "older than what is known")                           \
    X(BUSY, -16, "busy, try again later")                               \
    X(CLOSED, -17, "the other side closed the connection")              \
    X(TIMEOUT, -18, "timed out")                                        \
    X(USAGE, -19, "the arguments do not fit")                           \
    X(INTERNAL, -20, "internal error")                                  \
    X(PERMISSION, -21, "permission denied")                             \
    X(NOBODY_LISTENS, -22, "connection refused: nobody listens there")  \
    X(UNREACHABLE, -23, "no route to that address")                     \
    X(NO_SUCH_HOST, -24, "no such host name")

enum status {
#define STATUS_ENUM(name, value, text) STATUS_##name = (value),
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

/* The text of a status, never NULL, static. */
const char *status_text(enum status status);

/* Translates an errno value (ENOSPC, ENOMEM, ENOENT, EACCES...); 0 is OK. */
enum status status_from_errno(int err);

/* Words for people: which tensor, which offset. A caller that wants none
 * passes NULL. The first message stays, later ones are dropped: the innermost
 * function knows most. */
struct diag {
    char text[256];
};

void diag_reset(struct diag *diag);

/* Notes the message unless one is there already; returns status, so that
 * `return diag_fail(diag, STATUS_CORRUPT, "...")` reads as one line. */
enum status diag_fail(struct diag *diag, enum status status, const char *fmt,
                      ...) __attribute__((format(printf, 3, 4)));

#endif
