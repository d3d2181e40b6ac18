/* The first of a few names by which a version is known. */
#include "daemon/ctl_quantize_base.h"

static int ask(struct ctl *ctl, const char *name, struct quantize_base *base)
{
    ctl->may_miss = true;
    int exit = ctl_version_open(ctl, name, &base->version);
    ctl->may_miss = false;
    base->held = !exit;
    return exit;
}

static int ask_as(struct ctl *ctl, const char *model, const char *suffix,
                  struct quantize_base *base)
{
    char name[512];
    snprintf(name, sizeof(name), "%s@%s", model, suffix);
    return ask(ctl, name, base);
}

int quantize_base_open(struct ctl *ctl, const char *model, const char *parent,
                       struct quantize_base *out)
{
    memset(out, 0, sizeof(*out));
    int exit = ask_as(ctl, model, "main", out);
    if (exit == CTL_NOT_FOUND && parent)
        exit = ask(ctl, parent, out);
    else if (exit == CTL_NOT_FOUND)
        exit = ask_as(ctl, model, "latest", out);
    ctl_end(ctl); /* much time passes before the next call */
    return exit == CTL_NOT_FOUND ? CTL_OK : exit;
}

void quantize_base_close(struct quantize_base *base)
{
    ctl_version_close(&base->version);
    base->held = false;
}
