/* deltamesh nnc decode: a stream as a model file of its own, or as another
 * model's files with its values in them. */
#include "daemon/ctl_nnc.h"
#include "daemon/ctl_offline.h"
#include "daemon/out_set.h"

#include <stdio.h>

static const char decode_usage[] =
    "usage: deltamesh nnc decode [--base MODEL | --like MODEL] [--prev "
    "FILE]...\n"
    "                            [--values as-sent|new|difference] [--json]\n"
    "                            FILE [-o MODEL]\n"
    "  --base MODEL  what the stream's differences are added to; MODEL is "
    "written\n"
    "                as this one is, with the new values in it\n"
    "  --like MODEL  the same for a stream that holds no differences\n"
    "  --prev FILE   an update that was received before, oldest first\n"
    "  --values      take all values as new ones, or all as differences\n"
    "Without --base or --like MODEL is a safetensors file of float32 and "
    "int32.\n"
    "Without -o the stream is read and checked only.\n";

struct decode {
    struct ctl ctl;
    const char *path, *base_path, *out_path;
    bool like; /* base_path is of --like */
    enum nnc_values values;
    struct ctl_nnc_prev prev;
    struct ctl_content content;
    struct ctl_nnc_model base;
    struct ctl_nnc_stream stream;
    struct out_set out;
    uint64_t bytes; /* written */
    struct diag diag;
};

static enum status decode_put(void *ctx, struct bytes bytes)
{
    struct decode *decode = ctx;
    decode->bytes += bytes.size;
    return out_set_write(&decode->out, bytes, &decode->diag);
}

static uint64_t count_differences(const struct decode *decode)
{
    const struct nnc_entries *entries = &decode->stream.entries;
    uint64_t count = 0;
    for (size_t i = 0; i < entries->count; i++)
        count += entries->items[i].difference;
    return count;
}

static enum status check_base(struct decode *decode)
{
    bool adds =
        decode->values == NNC_VALUES_DIFFERENCE ||
        (decode->values == NNC_VALUES_AS_SENT && count_differences(decode));
    if (!adds || (decode->base_path && !decode->like))
        return STATUS_OK;
    return diag_fail(&decode->diag, STATUS_BAD_BASE,
                     "%.100s holds differences: give the model that they are "
                     "to with --base (or say --values new)",
                     decode->path);
}

static enum status decode_content(struct decode *decode)
{
    const struct ctl_nnc_stream *stream = &decode->stream;
    if (!decode->base_path)
        return nnc_model_file(&stream->entries, &stream->values.source,
                              decode_put, decode, &decode->diag);
    const struct nnc_patch_params params = {
        .base = &decode->content.source,
        .model = decode->content.model,
        .names = &decode->base.names,
        .entries = &stream->entries,
        .values = &stream->values.source,
        .mode = decode->values,
        .put = decode_put,
        .put_ctx = decode,
        .diag = &decode->diag,
    };
    return ctl_nnc_patch(&params, decode->out_path);
}

static enum status decode_write(struct decode *decode)
{
    const struct listing *listing =
        decode->content.is_folder ? &decode->content.listing : NULL;
    enum status status =
        out_set_open(&decode->out, decode->out_path, listing, &decode->diag);
    if (status)
        return status;
    status = decode_content(decode);
    if (!status)
        return out_set_commit(&decode->out, &decode->diag);
    out_set_abort(&decode->out);
    return status;
}

static enum status decode_open_base(struct decode *decode)
{
    enum status status =
        ctl_content_open(&decode->content, decode->base_path, &decode->diag);
    if (!status)
        status = ctl_content_model(&decode->ctl, &decode->content);
    if (!status)
        status = ctl_nnc_model_of(&decode->base, &decode->content.source,
                                  decode->content.model);
    return status;
}

static enum status decode_make(struct decode *decode)
{
    enum status status =
        decode->base_path ? decode_open_base(decode) : STATUS_OK;
    if (!status)
        status =
            ctl_nnc_stream_open(&decode->stream, decode->path,
                                decode->base_path ? &decode->base : NULL,
                                &decode->prev, decode->out_path, &decode->diag);
    if (!status && decode->out_path)
        status = check_base(decode);
    return !status && decode->out_path ? decode_write(decode) : status;
}

static void decode_report(const struct decode *decode)
{
    const struct nnc_entries *entries = &decode->stream.entries;
    uint64_t differences = count_differences(decode);
    if (decode->ctl.json) {
        json_t *json = json_pack(
            "{s:I, s:I, s:I, s:I}", "tensors", (json_int_t)entries->count,
            "elements", (json_int_t)(entries->values_size / 4), "differences",
            (json_int_t)differences, "bytes", (json_int_t)decode->bytes);
        ctl_print_json(&decode->ctl, json);
        json_decref(json);
        return;
    }
    printf("%s: %zu tensors, %llu elements",
           decode->out_path ? decode->out_path : decode->path, entries->count,
           (unsigned long long)(entries->values_size / 4));
    if (differences)
        printf(", %llu of them differences", (unsigned long long)differences);
    if (decode->out_path)
        printf(", %llu bytes\n", (unsigned long long)decode->bytes);
    else
        printf("; the stream is whole\n");
}

static int decode_run(struct decode *decode)
{
    enum status status = decode_make(decode);
    if (!status)
        decode_report(decode);
    int exit = ctl_offline_exit(&decode->ctl, status, &decode->diag);
    ctl_nnc_stream_close(&decode->stream);
    nnc_names_deinit(&decode->base.names);
    ctl_content_close(&decode->content);
    return exit;
}

static bool decode_option(struct decode *decode, int option, int *exit)
{
    bool fits = true;
    switch (option) {
    case 'o':
        decode->out_path = optarg;
        break;
    case 'b':
    case 'l':
        fits = !decode->base_path;
        decode->base_path = optarg;
        decode->like = option == 'l';
        break;
    case 'p':
        fits = ctl_nnc_prev_add(&decode->prev, optarg);
        break;
    case 'v':
        fits = ctl_nnc_values(optarg, &decode->values);
        break;
    default:
        return ctl_option(&decode->ctl, option, exit);
    }
    if (!fits)
        *exit = ctl_misused(&decode->ctl);
    return fits;
}

int ctl_nnc_decode_verb(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"base", required_argument, NULL, 'b'},
        {"like", required_argument, NULL, 'l'},
        {"prev", required_argument, NULL, 'p'},
        {"values", required_argument, NULL, 'v'},
        CTL_OPTIONS};
    struct decode decode = {.content = CTL_CONTENT_CLOSED,
                            .stream = CTL_NNC_STREAM_CLOSED};
    int exit = CTL_OK;
    ctl_begin(&decode.ctl, argv, decode_usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;)
        if (!decode_option(&decode, c, &exit))
            return exit;
    if (argc - optind != 1)
        return ctl_misused(&decode.ctl);
    decode.path = argv[optind];
    return decode_run(&decode);
}
