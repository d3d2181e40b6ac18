/* The public face of making updates: deltamesh/update.h, "Making". */
#include "codec/api/adapt.h"
#include "codec/lossless/lattice_step.h"
#include "codec/update/update_enc.h"
#include "codec/update/update_file.h"

#include <assert.h>
#include <deltamesh/update.h>

struct dmc_update_enc {
    struct dmc_update_params params;
    struct adapt_source base, target;
    struct model *base_model, *target_model;
    struct parallel parallel;
    struct update_hint *hint_items;
    struct update_hints hints;
    struct update_enc *enc;
    uint32_t next; /* segment to be coded */
    struct writer head;
    struct diag diag; /* of the call that runs */
};

static_assert((int)DMC_SPEED_AUTO == (int)CODING_SPEED_AUTO &&
                  (int)DMC_SPEED_FAST == (int)CODING_SPEED_FAST &&
                  (int)DMC_SPEED_SMALL == (int)CODING_SPEED_SMALL,
              "public speeds are ours");

/* Ours of the caller's. */
static enum status make_hints(struct dmc_update_enc *enc)
{
    size_t count = enc->params.hints ? enc->params.hint_count : 0;
    if (!count)
        return STATUS_OK;
    enc->hint_items = calloc(count, sizeof(*enc->hint_items));
    if (!enc->hint_items)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct dmc_update_hint *from = &enc->params.hints[i];
        if (!lattice_step_ok(from->qp, from->qp_density) ||
            (i && from->target_offset <= from[-1].target_offset))
            return diag_fail(&enc->diag, STATUS_USAGE,
                             "hint %zu: its qp does not fit, or it is out of "
                             "order",
                             i);
        enc->hint_items[i] = (struct update_hint){
            .target_offset = from->target_offset,
            .qp = (int16_t)from->qp,
            .density = (uint8_t)from->qp_density,
            .has_step = true,
        };
    }
    enc->hints = (struct update_hints){enc->hint_items, count};
    return STATUS_OK;
}

static enum status make_params(struct dmc_update_enc *enc,
                               const struct dmc_update_params *params)
{
    struct dmc_update_params *own = &enc->params;
    if (params) {
        enum status status =
            adapt_params(params, sizeof(*own), own, sizeof(*own), &enc->diag);
        if (status)
            return status;
    }
    if (own->max_rank == 0)
        own->max_rank = UPDATE_RANK_MAX;
    else if (own->max_rank == DMC_RANK_NONE)
        own->max_rank = 0;
    if (own->speed > DMC_SPEED_SMALL || own->max_rank > UPDATE_RANK_MAX)
        return diag_fail(&enc->diag, STATUS_USAGE,
                         "speed or max_rank does not fit");
    if (own->parallel)
        enc->parallel =
            (struct parallel){own->parallel->run, own->parallel->ctx,
                              own->parallel->width ? own->parallel->width : 1};
    return STATUS_OK;
}

/* A name that is not there is one without a suffix. */
static const char *make_name(const char *name)
{
    return name ? name : "";
}

static enum status make_models(struct dmc_update_enc *enc, bool has_base)
{
    enum status status = model_parse_file(
        &enc->target.source, enc->params.target_name, &enc->target_model, NULL);
    if (!status && has_base)
        status = model_parse_file(&enc->base.source,
                                  make_name(enc->params.base_name),
                                  &enc->base_model, NULL);
    return status;
}

static bool make_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct dmc_update_enc *enc = ctx;
    return !enc->params.progress(enc->params.progress_ctx, done, total);
}

static enum status make_plan(struct dmc_update_enc *enc, bool has_base)
{
    const struct update_enc_params params = {
        .base = has_base ? &enc->base.source : NULL,
        .target = &enc->target.source,
        .base_model = enc->base_model,
        .target_model = enc->target_model,
        .effort = enc->params.speed == DMC_SPEED_FAST ? UPDATE_EFFORT_FAST
                                                      : UPDATE_EFFORT_SMALL,
        .speed = (enum coding_speed)enc->params.speed,
        .max_rank = enc->params.max_rank,
        .parallel = enc->params.parallel ? &enc->parallel : NULL,
        .hints = &enc->hints,
        .diag = &enc->diag,
    };
    enum status status = update_enc_new(&params, &enc->enc);
    if (status)
        return status;
    return update_enc_plan(enc->enc,
                           enc->params.progress ? make_progress : NULL, enc);
}

enum dmc_status dmc_update_enc_new(const struct dmc_source *base,
                                   const struct dmc_source *target,
                                   const struct dmc_update_params *params,
                                   struct dmc_update_enc **enc,
                                   struct dmc_error *error)
{
    *enc = NULL;
    struct dmc_update_enc *made = calloc(1, sizeof(*made));
    if (!made)
        return adapt_end(STATUS_NO_MEMORY, NULL, error);
    writer_init_heap(&made->head, UPDATE_HEADER_MAX + 64u);
    enum status status = make_params(made, params);
    if (!status)
        status = make_hints(made);
    if (!status)
        status = adapt_source_init(&made->target, target, &made->diag);
    if (!status && base)
        status = adapt_source_init(&made->base, base, &made->diag);
    if (!status)
        status = make_models(made, base != NULL);
    if (!status)
        status = make_plan(made, base != NULL);
    enum dmc_status told = adapt_end(status, &made->diag, error);
    if (status)
        dmc_update_enc_free(made);
    else
        *enc = made;
    return told;
}

void dmc_update_enc_free(struct dmc_update_enc *enc)
{
    if (!enc)
        return;
    update_enc_free(enc->enc);
    model_free(enc->base_model);
    model_free(enc->target_model);
    writer_deinit(&enc->head);
    free(enc->hint_items);
    free(enc);
}

uint32_t dmc_update_enc_count(const struct dmc_update_enc *enc)
{
    return update_enc_segment_count(enc->enc);
}

uint64_t dmc_update_enc_estimate(const struct dmc_update_enc *enc)
{
    return update_enc_estimate(enc->enc);
}

enum dmc_status dmc_update_enc_next(struct dmc_update_enc *enc,
                                    const void **data, size_t *size,
                                    struct dmc_error *error)
{
    struct bytes coded = {NULL, 0};
    enum status status = STATUS_USAGE;
    diag_reset(&enc->diag);
    if (enc->next < update_enc_segment_count(enc->enc))
        status = update_enc_segment(enc->enc, enc->next, &coded);
    if (!status)
        enc->next++;
    *data = coded.data;
    *size = coded.size;
    return adapt_end(status, &enc->diag, error);
}

enum dmc_status dmc_update_enc_head(struct dmc_update_enc *enc,
                                    const void **data, size_t *size,
                                    struct dmc_error *error)
{
    enum status status = STATUS_OK;
    struct writer header;
    diag_reset(&enc->diag);
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    if (!enc->head.size)
        status = update_enc_header(enc->enc, &header);
    if (!status && !enc->head.size) {
        update_file_write_head(&enc->head, writer_view(&header));
        status = writer_status(&enc->head);
    }
    writer_deinit(&header);
    *data = enc->head.data;
    *size = enc->head.size;
    return adapt_end(status, &enc->diag, error);
}

/* ---- All of it ---- */

static enum dmc_status make_code(struct dmc_update_enc *enc,
                                 struct dmc_buffer *coded,
                                 struct dmc_error *error)
{
    const struct dmc_sink sink = dmc_buffer_sink(coded);
    enum dmc_status status = DMC_OK;
    for (uint32_t i = 0; !status && i < dmc_update_enc_count(enc); i++) {
        const void *data;
        size_t size;
        status = dmc_update_enc_next(enc, &data, &size, error);
        if (!status)
            status = adapt_end(adapt_write(&sink, bytes_of(data, size)), NULL,
                               error);
    }
    return status;
}

enum dmc_status dmc_update_make(const struct dmc_source *base,
                                const struct dmc_source *target,
                                const struct dmc_update_params *params,
                                const struct dmc_sink *out,
                                struct dmc_error *error)
{
    struct dmc_update_enc *enc;
    struct dmc_buffer coded = {.size_max = SIZE_MAX};
    const void *head;
    size_t head_size;
    struct diag diag;
    diag_reset(&diag);
    enum status fits = adapt_sink_check(out, &diag);
    if (fits)
        return adapt_end(fits, &diag, error);
    enum dmc_status status =
        dmc_update_enc_new(base, target, params, &enc, error);
    if (!status)
        status = make_code(enc, &coded, error);
    if (!status)
        status = dmc_update_enc_head(enc, &head, &head_size, error);
    if (!status)
        status =
            adapt_end(adapt_write(out, bytes_of(head, head_size)), NULL, error);
    if (!status)
        status = adapt_end(adapt_write(out, bytes_of(coded.data, coded.size)),
                           NULL, error);
    dmc_update_enc_free(enc);
    dmc_buffer_free(&coded);
    return status;
}
