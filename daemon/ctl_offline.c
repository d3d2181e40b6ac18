/* Warnings and exit statuses of the verbs that need no daemon. */
#include "daemon/ctl_offline.h"

#include <stdio.h>

enum status ctl_offline_model(const struct ctl *ctl,
                              const struct file_source *file, const char *path,
                              struct model **out)
{
    struct diag diag;
    diag_reset(&diag);
    enum status status = model_parse_file(&file->source, path, out, &diag);
    if (!status && model_unreadable(*out))
        fprintf(stderr,
                "deltamesh %s: warning: %s: %s; taken as opaque bytes\n",
                ctl->verb, path, diag.text);
    return status;
}

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
