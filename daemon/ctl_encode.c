/* Segments go to a nameless file first: the header, which comes before them,
 * is known last. */
#include "daemon/ctl_encode.h"

#include "codec/update/update_file.h"
#include "daemon/ctl_decode.h"
#include "daemon/out_file.h"

struct encode {
    const struct ctl_content *target;
    const char *path;
    struct update_enc *enc;
    struct out_file scratch;
    struct writer header;
    struct progress *progress; /* may be NULL */
    struct diag *diag;
};

bool ctl_encode_speed(const char *name, enum coding_speed *out)
{
    static const char *const names[] = {"auto", "fast", "small"};
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum coding_speed)i;
            return true;
        }
    return false;
}

static bool encode_planned(void *ctx, uint64_t done, uint64_t total)
{
    struct encode *encode = ctx;
    if (encode->progress)
        progress_show(encode->progress, done / 2, total);
    return true;
}

static enum status encode_plan(struct encode *encode,
                               const struct ctl_content *base,
                               const struct encode_options *options)
{
    struct update_enc_params params = {
        .base = base ? &base->source : NULL,
        .target = &encode->target->source,
        .base_model = base ? base->model : NULL,
        .target_model = encode->target->model,
        .effort = options->speed == CODING_SPEED_FAST ? UPDATE_EFFORT_FAST
                                                      : UPDATE_EFFORT_SMALL,
        .speed = options->speed,
        .max_rank = options->max_rank,
        .parallel = options->parallel,
        .hints = options->hints,
        .diag = encode->diag,
    };
    enum status status = update_enc_new(&params, &encode->enc);
    if (!status)
        status = update_enc_plan(encode->enc, encode_planned, encode);
    return status;
}

static enum status encode_segments(struct encode *encode)
{
    uint32_t count = update_enc_segment_count(encode->enc);
    enum status status =
        out_file_scratch(&encode->scratch, encode->path, encode->diag);
    for (uint32_t i = 0; !status && i < count; i++) {
        struct bytes coded;
        status = update_enc_segment(encode->enc, i, &coded);
        if (!status)
            status = out_file_write(&encode->scratch, coded, encode->diag);
        if (encode->progress)
            progress_show(encode->progress, (uint64_t)count + i,
                          2 * (uint64_t)count);
    }
    if (!status)
        status = update_enc_header(encode->enc, &encode->header);
    return status;
}

static enum status encode_write(struct encode *encode, uint64_t *size)
{
    struct out_file out;
    struct writer head;
    writer_init_heap(&head, UPDATE_HEADER_MAX + LISTING_BYTES_MAX + 64u);
    if (encode->target->is_folder)
        ctl_folder_head_write(&encode->target->listing, &head);
    update_file_write_head(&head, writer_view(&encode->header));
    enum status status = writer_status(&head);
    if (!status)
        status = out_file_open(&out, encode->path, encode->diag);
    if (!status) {
        status = out_file_write(&out, writer_view(&head), encode->diag);
        if (!status)
            status = out_file_append(&out, &encode->scratch, encode->diag);
        *size = out.size;
        if (!status)
            status = out_file_commit(&out, encode->diag);
        out_file_abort(&out);
    }
    writer_deinit(&head);
    return status;
}

static void encode_told(const struct encode *encode, bool has_base,
                        struct encoded *out)
{
    update_id(writer_view(&encode->header), &out->id);
    out->has_base = has_base;
    out->base = *update_enc_base_tree(encode->enc);
    out->target = *update_enc_target_tree(encode->enc);
}

enum status ctl_encode(const struct ctl_content *base,
                       const struct ctl_content *target, const char *path,
                       const struct encode_options *options,
                       struct progress *progress, struct encoded *out,
                       struct diag *diag)
{
    struct encode encode = {.target = target,
                            .path = path,
                            .scratch = {.fd = -1},
                            .progress = progress,
                            .diag = diag};
    writer_init_heap(&encode.header, UPDATE_HEADER_MAX);
    enum status status = encode_plan(&encode, base, options);
    if (!status)
        status = encode_segments(&encode);
    if (!status)
        status = encode_write(&encode, &out->bytes);
    if (!status)
        encode_told(&encode, base != NULL, out);
    update_enc_free(encode.enc);
    out_file_abort(&encode.scratch);
    writer_deinit(&encode.header);
    return status;
}
