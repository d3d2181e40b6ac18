/* Exit statuses, numbers and bars of the verbs that need no daemon. */
#include "daemon/ctl_offline.h"

#include <errno.h>
#include <stdlib.h>

int ctl_offline_exit(const struct ctl *ctl, enum status status,
                     const struct diag *diag)
{
    if (!status)
        return CTL_OK;
    const char *text = diag->text[0] ? diag->text : status_text(status);
    int exit = ctl_exit_of(status);
    if (status == STATUS_BAD_BASE || status == STATUS_MISMATCH)
        exit = CTL_BAD_INPUT;
    return ctl_fail(ctl->verb, exit, "%s", text);
}

bool ctl_offline_count(const char *text, unsigned min, unsigned max,
                       unsigned *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || value < min ||
        value > max)
        return false;
    *out = (unsigned)value;
    return true;
}

const char *ctl_offline_bar(double share, char *out)
{
    double width = (double)(CTL_BAR_SIZE - 1);
    double wide = share > 0 ? share * width + 0.5 : 0;
    size_t count = wide >= width ? CTL_BAR_SIZE - 1 : (size_t)wide;
    if (share > 0 && !count)
        count = 1;
    memset(out, '#', count);
    out[count] = '\0';
    return out;
}
