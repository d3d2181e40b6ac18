/* Two contents out of one input: an update from one to the other, and a full
 * one, decode to the target. The first two bytes say where the base ends, the
 * third whether there is one and how hard to try. */
#include "codec/update/update_dec.h"
#include "codec/update/update_enc.h"
#include "tests/support/aux_update.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct update_enc_params *params, struct writer *coded,
                   struct writer *header)
{
    struct update_enc *enc;
    if (update_enc_new(params, &enc) || update_enc_plan(enc, NULL, NULL))
        abort();
    for (uint32_t i = 0; i < update_enc_segment_count(enc); i++) {
        struct bytes view;
        if (update_enc_segment(enc, i, &view))
            abort();
        writer_bytes(coded, view.data, view.size);
    }
    if (update_enc_header(enc, header) || writer_status(coded))
        abort();
    update_enc_free(enc);
}

static void decode(const struct writer *coded, const struct writer *bytes,
                   const struct source *base, struct bytes target)
{
    struct update_header header;
    struct update_dec *dec;
    struct aux_place place = {&header, writer_view(coded), 0};
    struct update_aux aux = aux_place_of(&place);
    if (update_header_parse(writer_view(bytes), &header, NULL) ||
        header.target.size != target.size ||
        update_dec_new(&header, base, &aux, &dec))
        abort();
    for (uint32_t i = 0; i < header.segment_count; i++) {
        size_t size = update_segment_target_size(&header, i);
        const struct update_segment *segment = &header.segments[i];
        uint8_t *out = malloc(size);
        struct bytes view = bytes_of("", 0);
        if (segment->size)
            view = bytes_of(coded->data + segment->offset, segment->size);
        if (!out || update_dec_segment(dec, i, view, out, size, NULL) ||
            memcmp(out, target.data + update_segment_offset(&header, i),
                   size) != 0)
            abort();
        free(out);
    }
    update_dec_free(dec);
    update_header_free(&header);
}

static void round_trip(struct update_enc_params *params, struct bytes target)
{
    struct writer coded, header;
    writer_init_heap(&coded, 8u << 20);
    writer_init_heap(&header, UPDATE_HEADER_MAX);
    encode(params, &coded, &header);
    decode(&coded, &header, params->base, target);
    writer_deinit(&coded);
    writer_deinit(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t split = load_le16(data);
    struct bytes rest = bytes_of(data + 3, size - 3);
    if (split > rest.size)
        split = rest.size;
    struct bytes target = bytes_of(rest.data + split, rest.size - split);
    struct source base_source = source_of_bytes(bytes_of(rest.data, split));
    struct source target_source = source_of_bytes(target);
    struct model *base_model, *target_model;
    if (model_parse_file(&base_source, NULL, &base_model, NULL) ||
        model_parse_file(&target_source, NULL, &target_model, NULL))
        abort();
    struct update_enc_params params = {
        .base = data[2] & 1 ? &base_source : NULL,
        .target = &target_source,
        .base_model = data[2] & 1 ? base_model : NULL,
        .target_model = target_model,
        .effort = data[2] & 2 ? UPDATE_EFFORT_SMALL : UPDATE_EFFORT_FAST,
    };
    round_trip(&params, target);
    model_free(base_model);
    model_free(target_model);
    return 0;
}
