/* Auxiliary segments, read and checked. */
#include "codec/update/auxiliary.h"

static bool aux_fits(const struct update_segment *entry, struct bytes coded)
{
    uint8_t hash[UPDATE_SEGMENT_HASH_BYTES];
    if (coded.size != entry->size)
        return false;
    update_segment_hash(coded, hash);
    return !memcmp(hash, entry->hash, sizeof(hash));
}

enum status update_aux_read(const struct update_aux *aux,
                            const struct update_header *header, uint32_t index,
                            struct writer *out, struct diag *diag)
{
    out->size = 0;
    out->status = STATUS_OK;
    enum status status =
        aux ? aux->read(aux->ctx, index, out) : STATUS_NOT_FOUND;
    if (!status)
        status = writer_status(out);
    if (!status && !aux_fits(&header->segments[index], writer_view(out)))
        status = STATUS_MISMATCH;
    if (!status)
        return STATUS_OK;
    out->size = 0;
    return diag_fail(diag, status, "auxiliary segment %u: %s", index,
                     status_text(status));
}
