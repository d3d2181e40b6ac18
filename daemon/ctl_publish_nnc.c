/* The content comes as one run of bytes; it is cut into files as the base's is.
 */
#include "daemon/ctl_publish_nnc.h"

#include "daemon/ctl_nnc.h"
#include "daemon/ctl_offline.h"
#include "daemon/ctl_version.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct making {
    struct ctl_version base;
    struct ctl_nnc_model model;
    struct ctl_nnc_stream stream;
    struct out_file files[LISTING_FILES_MAX];
    size_t index; /* of the file being written */
    char near[4096];
    struct diag diag;
};

static enum status making_put(void *ctx, struct bytes bytes)
{
    struct making *m = ctx;
    enum status status = STATUS_OK;
    while (!status && bytes.size) {
        uint64_t left = m->base.sizes[m->index] - m->files[m->index].size;
        size_t size = bytes.size < left ? bytes.size : (size_t)left;
        status = out_file_write(&m->files[m->index], bytes_of(bytes.data, size),
                                &m->diag);
        bytes = bytes_of(bytes.data + size, bytes.size - size);
        if (bytes.size && ++m->index == m->base.count)
            return STATUS_INTERNAL;
    }
    return status;
}

static enum status making_run(struct making *m,
                              const struct publish_nnc *request,
                              enum nnc_values mode)
{
    enum status status =
        ctl_nnc_model_of(&m->model, &m->base.source, m->base.model);
    if (!status)
        status = ctl_nnc_stream_open(&m->stream, request->update, &m->model,
                                     NULL, m->near, &m->diag);
    for (size_t i = 0; !status && i < m->base.count; i++)
        status = out_file_scratch(&m->files[i], m->near, &m->diag);
    const struct nnc_patch_params params = {
        .base = &m->base.source,
        .model = m->base.model,
        .names = &m->model.names,
        .entries = &m->stream.entries,
        .values = &m->stream.values.source,
        .mode = mode,
        .put = making_put,
        .put_ctx = m,
        .diag = &m->diag,
    };
    return status ? status : ctl_nnc_patch(&params, m->near);
}

/* Descriptors of the files, which stay when these are closed. */
static enum status making_hand_over(struct making *m, int *fds, char **names,
                                    size_t *count)
{
    for (size_t i = 0; i < m->base.count; i++) {
        fds[i] = dup(m->files[i].fd);
        names[i] = strdup(m->base.paths[i]);
        if (fds[i] >= 0 && names[i])
            continue;
        for (size_t k = 0; k <= i; k++) {
            if (fds[k] >= 0)
                close(fds[k]);
            free(names[k]);
        }
        return STATUS_NO_MEMORY;
    }
    *count = m->base.count;
    return STATUS_OK;
}

static void making_free(struct making *m)
{
    for (size_t i = 0; i < LISTING_FILES_MAX; i++)
        out_file_abort(&m->files[i]);
    ctl_nnc_stream_close(&m->stream);
    nnc_names_deinit(&m->model.names);
    ctl_version_close(&m->base);
    free(m);
}

int ctl_publish_nnc(struct ctl *ctl, const struct publish_nnc *request,
                    int *fds, char **names, size_t max, size_t *count)
{
    enum nnc_values mode = NNC_VALUES_AS_SENT;
    const char *folder = getenv("TMPDIR");
    *count = 0;
    if (request->values && !ctl_nnc_values(request->values, &mode))
        return ctl_fail(ctl->verb, CTL_USAGE,
                        "--values %s: is as-sent, new or difference",
                        request->values);
    struct making *m = calloc(1, sizeof(*m));
    if (!m)
        return ctl_fail(ctl->verb, CTL_FAILED, "%s",
                        status_text(STATUS_NO_MEMORY));
    m->stream = CTL_NNC_STREAM_CLOSED;
    for (size_t i = 0; i < LISTING_FILES_MAX; i++)
        m->files[i].fd = -1;
    snprintf(m->near, sizeof(m->near), "%s/deltamesh-nnc",
             folder && *folder ? folder : "/tmp");
    int exit = ctl_version_open(ctl, request->base, &m->base);
    if (!exit) {
        enum status status =
            m->base.count > max ? STATUS_LIMIT : making_run(m, request, mode);
        if (!status)
            status = making_hand_over(m, fds, names, count);
        exit = ctl_offline_exit(ctl, status, &m->diag);
    }
    making_free(m);
    return exit;
}
