/* Log lines to standard error, with priorities for the journal. */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* syslog(3): err, warning, info, debug. */
static const char level_priorities[] = {'3', '4', '6', '7'};

/* JOURNAL_STREAM holds device and inode of the stream that the journal reads;
 * a redirected standard error is another one. */
static bool journal_reads(int fd)
{
    const char *text = getenv("JOURNAL_STREAM");
    unsigned long long dev = 0, ino = 0;
    struct stat st;
    if (!text || sscanf(text, "%llu:%llu", &dev, &ino) != 2 || fstat(fd, &st))
        return false;
    return st.st_dev == (dev_t)dev && st.st_ino == (ino_t)ino;
}

void log_init(struct log *log, enum log_level level)
{
    *log = (struct log){
        .out = stderr, .level = level, .journal = journal_reads(STDERR_FILENO)};
}

/* Words of other nodes must not look like lines of their own, nor move the
 * cursor of who reads them: C0, DEL and, in UTF-8, C1. */
static void replace_controls(char *line)
{
    for (unsigned char *c = (unsigned char *)line; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
        else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c[0] = c[1] = '?';
    }
}

void log_line(struct log *log, enum log_level level, const char *fmt, ...)
{
    if (level > log->level)
        return;
    char line[LOG_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    replace_controls(line);
    if (log->journal)
        fprintf(log->out, "<%c>%s\n", level_priorities[level], line);
    else
        fprintf(log->out, "%s: %s\n", level_names[level], line);
    fflush(log->out);
    if (log->tap)
        log->tap(log->tap_ctx, level, line);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(*level_names); i++)
        if (!strcmp(text, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}
