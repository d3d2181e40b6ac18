/* Lines for people: to the journal with priorities when it reads our standard
 * error, else plain lines that begin with their level. One line a message. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/* Caller's storage. Only the thread of the event loop logs. */
struct log {
    FILE *out;
    enum log_level level; /* lines above it are dropped */
    bool journal;         /* lines begin with <N> */
    /* Sees every line that is written; may be NULL. */
    void (*tap)(void *ctx, enum log_level level, const char *line);
    void *tap_ctx;
};

/* Writes to standard error. Whether the journal reads it is told by the
 * environment variable JOURNAL_STREAM. */
void log_init(struct log *log, enum log_level level);

/* Control characters in the message become '?'. */
void log_line(struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_line(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(log, ...)  log_line(log, LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(log, ...)  log_line(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_line(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "error", "warn", "info", "debug". Static. */
const char *log_level_name(enum log_level level);

/* False, and *out untouched, for another word. */
bool log_level_parse(const char *text, enum log_level *out);

#endif
