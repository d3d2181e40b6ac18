/* A whole update file over a made-up base. Hashes are set right first, as a
 * hostile maker would. */
#include "codec/update/update_dec.h"
#include "codec/update/update_file.h"

#include <stdlib.h>

#define SIZE_MAX_TRIED (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status base_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    uint8_t *bytes = out;
    (void)ctx;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((offset + i) * 2654435761u >> 13);
    return STATUS_OK;
}

static void decode(struct update_file *file, const struct source *base)
{
    struct update_header *header = &file->header;
    struct update_aux aux = update_file_aux(file);
    struct update_dec *dec;
    uint8_t *coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    if (!coded || update_dec_new(header, base, &aux, &dec))
        abort();
    for (uint32_t i = 0; i < header->segment_count; i++) {
        size_t size = update_segment_target_size(header, i);
        uint8_t *out = malloc(size + 1);
        struct bytes view;
        struct diag diag;
        diag_reset(&diag);
        if (!out || update_file_segment(file, i, coded, &view))
            abort();
        update_segment_hash(view, header->segments[i].hash);
        enum status status = update_dec_segment(dec, i, view, out, size, &diag);
        if (status == STATUS_MISMATCH || status == STATUS_USAGE)
            abort();
        free(out);
    }
    update_dec_free(dec);
    free(coded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = source_of_bytes(bytes_of(data, size));
    struct update_file file;
    struct diag diag;
    diag_reset(&diag);
    if (update_file_open(&source, &file, &diag))
        return 0;
    struct source base = {base_read, NULL, file.header.base_size};
    if (file.header.target.size <= SIZE_MAX_TRIED)
        decode(&file, file.header.has_base ? &base : NULL);
    update_file_close(&file);
    return 0;
}
