/* Export, kept open instead of copied. */
#include "daemon/ctl_quantize_base.h"

#include "protocol/limits.h"

#include <unistd.h>

struct taking {
    struct ctl *ctl;
    struct quantize_base *base;
};

static enum status parse(struct quantize_base *base, const json_t *files,
                         struct diag *diag)
{
    struct model_part parts[LIMIT_MANIFEST_FILES];
    size_t count = json_array_size(files);
    uint64_t at = 0;
    if (count > LIMIT_MANIFEST_FILES)
        return STATUS_LIMIT;
    for (size_t i = 0; i < count; i++) {
        const json_t *file = json_array_get(files, i);
        uint64_t size = (uint64_t)ctl_int(file, "size");
        parts[i] = (struct model_part){ctl_text(file, "path"), at, size};
        at += size;
    }
    return model_parse(&base->source, parts, count, &base->parsed, diag);
}

/* One descriptor a file, or one for the whole content: in both cases what they
 * hold, one after the other, is the content. */
static int take(struct taking *taking, const json_t *reply, const int *fds,
                size_t fd_count)
{
    struct quantize_base *base = taking->base;
    struct diag diag = {""}, opaque = {""};
    enum status status = fileset_of_fds(fds, fd_count, &base->files, &diag);
    if (!status) {
        base->source = fileset_source(base->files);
        status = parse(base, json_object_get(reply, "files"), &opaque);
    }
    if (status)
        return ctl_fail(taking->ctl->verb, ctl_exit_of(status),
                        "what the channel runs cannot be read: %s",
                        diag.text[0] ? diag.text : status_text(status));
    snprintf(base->version, sizeof(base->version), "%s",
             ctl_text(reply, "version"));
    base->held = true;
    return CTL_OK;
}

static int on_reply(void *ctx, json_t *reply, const int *fds, size_t fd_count)
{
    struct taking *taking = ctx;
    bool ready = !strcmp(ctl_text(reply, "stage"), "ready");
    if (taking->ctl->tty && !ready)
        fprintf(stderr, "\r%s %lld of %lld\033[K", ctl_text(reply, "stage"),
                (long long)ctl_int(reply, "done"),
                (long long)ctl_int(reply, "total"));
    if (!ready)
        return -1;
    if (taking->ctl->tty)
        fputs("\r\033[K", stderr);
    return take(taking, reply, fds, fd_count);
}

static int ask(struct ctl *ctl, const char *version, struct quantize_base *base)
{
    struct taking taking = {ctl, base};
    const struct ctl_stream stream = {.on_reply = on_reply, .ctx = &taking};
    ctl->may_miss = true;
    int exit = ctl_call_stream(ctl, "Export",
                               json_pack("{s:s}", "version", version), &stream);
    ctl->may_miss = false;
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
    if (exit == CTL_NOT_FOUND && !out->held && parent)
        exit = ask(ctl, parent, out);
    else if (exit == CTL_NOT_FOUND && !out->held)
        exit = ask_as(ctl, model, "latest", out);
    return exit == CTL_NOT_FOUND ? CTL_OK : exit;
}

void quantize_base_close(struct quantize_base *base)
{
    model_free(base->parsed);
    fileset_free(base->files);
    memset(base, 0, sizeof(*base));
}
