/* Shown from the second second on, five times a second at most. */
#include "daemon/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t progress_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void progress_begin(struct progress *progress, const char *what)
{
    *progress = (struct progress){.what = what};
    progress->tty = isatty(STDERR_FILENO);
    progress->start_ms = progress_now_ms();
}

void progress_show(struct progress *progress, uint64_t done, uint64_t total)
{
    if (!progress->tty || !total)
        return;
    uint64_t now = progress_now_ms();
    if (now - progress->start_ms < 1000 || now - progress->last_ms < 200)
        return;
    progress->last_ms = now;
    progress->shown = true;
    fprintf(stderr, "\r%s: %u %%\033[K", progress->what,
            (unsigned)(100.0 * (double)done / (double)total));
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
