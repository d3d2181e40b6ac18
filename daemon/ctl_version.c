/* Export, kept open instead of copied: one descriptor a file, or one for all of
 * them; what they hold, one after the other, is the content. */
#include "daemon/ctl_version.h"

#include <stdio.h>
#include <stdlib.h>

struct opening {
    struct ctl *ctl;
    const char *name;
    struct ctl_version *version;
};

static enum status parse_files(struct ctl_version *v, const json_t *files,
                               struct diag *why)
{
    struct model_part parts[LISTING_FILES_MAX];
    size_t count = json_array_size(files);
    uint64_t at = 0;
    if (count > LISTING_FILES_MAX)
        return STATUS_LIMIT;
    for (; v->count < count; v->count++) {
        const json_t *file = json_array_get(files, v->count);
        char *path = strdup(ctl_text(file, "path"));
        if (!path)
            return STATUS_NO_MEMORY;
        v->paths[v->count] = path;
        v->sizes[v->count] = (uint64_t)ctl_int(file, "size");
        parts[v->count] = (struct model_part){path, at, v->sizes[v->count]};
        at += v->sizes[v->count];
    }
    return model_parse(&v->source, parts, count, &v->model, why);
}

static int take(struct opening *opening, const json_t *reply, const int *fds,
                size_t fd_count)
{
    struct ctl_version *v = opening->version;
    struct diag diag = {""}, opaque = {""};
    enum status status = fileset_of_fds(fds, fd_count, &v->files, &diag);
    if (!status) {
        v->source = fileset_source(v->files);
        status = parse_files(v, json_object_get(reply, "files"), &opaque);
    }
    snprintf(v->id, sizeof(v->id), "%s", ctl_text(reply, "version"));
    if (!status)
        return CTL_OK;
    return ctl_fail(opening->ctl->verb, ctl_exit_of(status),
                    "%s cannot be read: %s", opening->name,
                    diag.text[0] ? diag.text : status_text(status));
}

static int on_reply(void *ctx, json_t *reply, const int *fds, size_t fd_count)
{
    struct opening *opening = ctx;
    bool ready = !strcmp(ctl_text(reply, "stage"), "ready");
    if (opening->ctl->tty && !ready)
        fprintf(stderr, "\r%s %lld of %lld\033[K", ctl_text(reply, "stage"),
                (long long)ctl_int(reply, "done"),
                (long long)ctl_int(reply, "total"));
    if (!ready)
        return -1;
    if (opening->ctl->tty)
        fputs("\r\033[K", stderr);
    return take(opening, reply, fds, fd_count);
}

int ctl_version_open(struct ctl *ctl, const char *name, struct ctl_version *out)
{
    struct opening opening = {ctl, name, out};
    const struct ctl_stream stream = {.keep_open = true,
                                      .timeout_ms = (int)ctl->fetch_s * 1000,
                                      .on_reply = on_reply,
                                      .ctx = &opening};
    memset(out, 0, sizeof(*out));
    int exit = ctl_call_stream(ctl, "Export",
                               json_pack("{s:s}", "version", name), &stream);
    if (exit == CTL_TIMEOUT)
        ctl_fail(ctl->verb, exit,
                 "%s did not arrive in %ld s; the daemon goes on fetching",
                 name, ctl->fetch_s);
    if (!exit && !out->files)
        exit = ctl_fail(ctl->verb, CTL_FAILED, "the daemon gave no answer");
    return exit;
}

void ctl_version_close(struct ctl_version *version)
{
    model_free(version->model);
    fileset_free(version->files);
    for (size_t i = 0; i < version->count; i++)
        free(version->paths[i]);
    memset(version, 0, sizeof(*version));
}
