/* deltamesh nnc: streams of ISO/IEC 15938-17, without a daemon. This file is
 * the verb and what its three parts share. */
#include "daemon/ctl_nnc.h"

#include "codec/model/zip_sums.h"

#include <stdio.h>
#include <unistd.h>

static const char nnc_usage[] =
    "usage: deltamesh nnc encode [OPTION]... MODEL -o FILE\n"
    "       deltamesh nnc decode [OPTION]... FILE [-o MODEL]\n"
    "       deltamesh nnc inspect [--json] [--prev FILE]... FILE\n"
    "FILE is a stream of Neural Network Coding, ISO/IEC 15938-17.\n"
    "deltamesh nnc encode --help says more, and so on.\n";

/* The parts are verbs of two words, in messages as well. */
int ctl_nnc(int argc, char **argv)
{
    static const struct {
        const char *name;
        char *verb;
        int (*run)(int argc, char **argv);
    } parts[] = {{"encode", "nnc encode", ctl_nnc_encode_verb},
                 {"decode", "nnc decode", ctl_nnc_decode_verb},
                 {"inspect", "nnc inspect", ctl_nnc_inspect_verb}};
    for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(*parts); i++)
        if (!strcmp(argv[1], parts[i].name)) {
            argv[1] = parts[i].verb;
            return parts[i].run(argc - 1, argv + 1);
        }
    bool help = argc > 1 && !strcmp(argv[1], "--help");
    fputs(nnc_usage, help ? stdout : stderr);
    return help ? CTL_OK : CTL_USAGE;
}

enum status ctl_nnc_model_of(struct ctl_nnc_model *out,
                             const struct source *source,
                             const struct model *model)
{
    out->source = source;
    out->model = model;
    return nnc_names_of_model(&out->names, model);
}

const char *ctl_nnc_kind(enum nnc_kind kind)
{
    static const char *const names[] = {"int", "uniform", "codebook", "raw"};
    return names[kind];
}

bool ctl_nnc_prev_add(struct ctl_nnc_prev *prev, const char *path)
{
    if (prev->count == CTL_NNC_PREV_MAX)
        return false;
    prev->paths[prev->count++] = path;
    return true;
}

bool ctl_nnc_values(const char *text, enum nnc_values *out)
{
    static const char *const words[] = {"as-sent", "new", "difference"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, words[i])) {
            *out = (enum nnc_values)i;
            return true;
        }
    return false;
}

/* Words that lead on, for what only the user can know. */
static enum status stream_fail(const char *path, enum status status,
                               const struct diag *why, bool has_prev,
                               struct diag *diag)
{
    const char *text = why->text[0] ? why->text : status_text(status);
    const char *hint =
        status == STATUS_BAD_BASE && !has_prev
            ? "; give the updates that were sent before it with --prev"
        : status == STATUS_NOT_FOUND
            ? "; give the model that has its shape with --base or --like"
            : "";
    return diag_fail(diag,
                     status == STATUS_NOT_FOUND ? STATUS_BAD_BASE : status,
                     "%.80s: %.120s%s", path, text, hint);
}

/* A stream of few bytes may hold very many zeroes: who does not say which model
 * it is for has no more than this written, and no more for each byte. What is
 * kept of several files has no limit but theirs. */
#define CTL_NNC_ELEMS_MAX  ((uint64_t)1 << 32)
#define CTL_NNC_ELEMS_FREE ((uint64_t)1 << 27)
#define CTL_NNC_ELEMS_BYTE 4096u

struct nnc_dec_limits ctl_nnc_limits(const struct model *model,
                                     const struct source *in)
{
    if (model)
        return nnc_limits_of_model(model);
    if (in->size >
        (CTL_NNC_ELEMS_MAX - CTL_NNC_ELEMS_FREE) / CTL_NNC_ELEMS_BYTE)
        return (struct nnc_dec_limits){0, CTL_NNC_ELEMS_MAX, UINT64_MAX};
    return (struct nnc_dec_limits){
        0, CTL_NNC_ELEMS_FREE + in->size * CTL_NNC_ELEMS_BYTE, UINT64_MAX};
}

static struct nnc_dec_params dec_params(const struct source *in,
                                        struct nnc_shapes *shapes,
                                        struct nnc_state *state,
                                        struct diag *diag)
{
    return (struct nnc_dec_params){
        .in = in,
        .limits = ctl_nnc_limits(shapes ? shapes->model : NULL, in),
        .state = state,
        .shape_of = shapes ? nnc_shape_of_model : NULL,
        .shape_ctx = shapes,
        .diag = diag};
}

static enum status prev_read(const char *path, struct nnc_shapes *shapes,
                             struct nnc_state *state, struct diag *diag)
{
    struct file_source file;
    struct nnc_entries entries;
    struct diag why = {""};
    enum status status = file_source_open(&file, path, diag);
    if (status)
        return status;
    const struct nnc_read_params params = {
        .dec = dec_params(&file.source, shapes, state, &why)};
    status = nnc_model_read(&params, &entries);
    nnc_entries_deinit(&entries);
    file_source_close(&file);
    return status ? stream_fail(path, status, &why, true, diag) : STATUS_OK;
}

enum status ctl_nnc_state(const struct ctl_nnc_prev *prev,
                          struct nnc_shapes *shapes, struct nnc_state **state,
                          struct diag *diag)
{
    *state = NULL;
    if (!prev || !prev->count)
        return STATUS_OK;
    enum status status = nnc_state_new(state);
    for (size_t i = 0; !status && i < prev->count; i++)
        status = prev_read(prev->paths[i], shapes, *state, diag);
    if (status) {
        nnc_state_free(*state);
        *state = NULL;
    }
    return status;
}

/* ---- a stream and its values ---- */

struct stream_put {
    struct out_file *file;
    struct diag *diag;
};

static enum status stream_put(void *ctx, struct bytes bytes)
{
    struct stream_put *put = ctx;
    return out_file_write(put->file, bytes, put->diag);
}

static enum status stream_read(struct ctl_nnc_stream *stream, const char *path,
                               struct nnc_shapes *shapes,
                               struct nnc_state *state, bool keep,
                               bool has_prev, struct diag *diag)
{
    struct file_source file;
    struct diag why = {""};
    struct stream_put put = {&stream->scratch, diag};
    enum status status = file_source_open(&file, path, diag);
    if (status)
        return status;
    const struct nnc_read_params params = {
        .dec = dec_params(&file.source, shapes, state, &why),
        .put = keep ? stream_put : NULL,
        .put_ctx = &put,
    };
    status = nnc_model_read(&params, &stream->entries);
    file_source_close(&file);
    return status ? stream_fail(path, status, &why, has_prev, diag) : STATUS_OK;
}

enum status ctl_nnc_stream_open(struct ctl_nnc_stream *stream, const char *path,
                                const struct ctl_nnc_model *model,
                                const struct ctl_nnc_prev *prev,
                                const char *near, struct diag *diag)
{
    struct nnc_state *state;
    struct nnc_shapes shapes = {model ? model->model : NULL,
                                model ? &model->names : NULL};
    struct nnc_shapes *known = model ? &shapes : NULL;
    *stream = CTL_NNC_STREAM_CLOSED;
    enum status status = ctl_nnc_state(prev, known, &state, diag);
    if (!status && near)
        status = out_file_scratch(&stream->scratch, near, diag);
    if (!status)
        status = stream_read(stream, path, known, state, near != NULL,
                             state != NULL, diag);
    nnc_state_free(state);
    int fd = !status && near ? dup(stream->scratch.fd) : -1;
    if (!status && near)
        status = fd >= 0 ? file_source_take(&stream->values, fd) : STATUS_IO;
    if (status && fd >= 0)
        close(fd);
    return status;
}

void ctl_nnc_stream_close(struct ctl_nnc_stream *stream)
{
    nnc_entries_deinit(&stream->entries);
    file_source_close(&stream->values);
    out_file_abort(&stream->scratch);
    *stream = CTL_NNC_STREAM_CLOSED;
}

/* ---- a content with other values ---- */

static bool has_zip(const struct model *model)
{
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].format == CONTAINER_TORCH)
            return true;
    return false;
}

/* What the scratch file holds, with the sums that fit it. */
static enum status patch_sums(const struct nnc_patch_params *params,
                              const struct out_file *scratch)
{
    struct file_source now = {.fd = -1};
    struct zip_sums *sums = NULL;
    int fd = dup(scratch->fd);
    enum status status = fd >= 0 ? file_source_take(&now, fd) : STATUS_IO;
    if (status && fd >= 0)
        close(fd);
    if (!status)
        status = zip_sums_new(params->model, params->base, &now.source, &sums);
    if (!status)
        status = source_each(zip_sums_source(sums), 0, now.source.size,
                             params->put, params->put_ctx);
    zip_sums_free(sums);
    file_source_close(&now);
    return status;
}

enum status ctl_nnc_patch(const struct nnc_patch_params *params,
                          const char *near)
{
    struct out_file scratch = {.fd = -1};
    struct stream_put put = {&scratch, params->diag};
    struct nnc_patch_params first = *params;
    if (!has_zip(params->model))
        return nnc_model_patch(params);
    first.put = stream_put;
    first.put_ctx = &put;
    enum status status = out_file_scratch(&scratch, near, params->diag);
    if (!status)
        status = nnc_model_patch(&first);
    if (!status)
        status = patch_sums(params, &scratch);
    out_file_abort(&scratch);
    return status;
}
