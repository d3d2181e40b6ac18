/* Texts of statuses, translation of errno, messages for people. */
#include "codec/base/status.h"

#include <errno.h>
#include <stdio.h>

const char *status_text(enum status status)
{
    switch (status) {
#define STATUS_CASE(name, value, text) \
    case STATUS_##name:                \
        return text;
        STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}

enum status status_from_errno(int err)
{
    switch (err) {
    case 0:
        return STATUS_OK;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STATUS_NO_SPACE;
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return STATUS_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_PERMISSION;
    case EAGAIN:
    case EBUSY:
        return STATUS_BUSY;
    case ETIMEDOUT:
        return STATUS_TIMEOUT;
    case ECONNREFUSED:
        return STATUS_NOBODY_LISTENS;
    case EHOSTUNREACH:
    case ENETUNREACH:
        return STATUS_UNREACHABLE;
    case EPIPE:
    case ECONNRESET:
        return STATUS_CLOSED;
    default:
        return STATUS_IO;
    }
}

void diag_reset(struct diag *diag)
{
    if (diag)
        diag->text[0] = '\0';
}

enum status diag_fail(struct diag *diag, enum status status, const char *fmt,
                      ...)
{
    if (diag && !diag->text[0]) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(diag->text, sizeof(diag->text), fmt, args);
        va_end(args);
    }
    return status;
}
