/* A line on the terminal for what takes longer than a second. */
#ifndef DAEMON_PROGRESS_H
#define DAEMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;
    bool tty;
    bool shown;
    uint64_t start_ms;
    uint64_t last_ms;
};

/* Shows nothing unless standard error is a terminal. what: "diff". */
void progress_begin(struct progress *progress, const char *what);
void progress_show(struct progress *progress, uint64_t done, uint64_t total);

/* Wipes the line. */
void progress_end(struct progress *progress);

#endif
