#include "codec/nnc/unit.h"

#include "codec/nnc/nnr_bits.h"

/* Size fields, type and flags, counter. */
#define HEADER_MAX 6u

enum status unit_read(const struct source *in, uint64_t offset,
                      struct unit *unit)
{
    uint8_t head[HEADER_MAX] = {0};
    *unit = (struct unit){.offset = offset};
    if (offset >= in->size)
        return STATUS_TRUNCATED;
    uint64_t left = in->size - offset;
    size_t known = left < HEADER_MAX ? (size_t)left : HEADER_MAX;
    enum status rc = source_read(in, offset, head, known);
    if (rc)
        return rc;

    struct nnr_bits bits;
    nnr_bits_init(&bits, bytes_of(head, known));
    unsigned size_bits = nnr_bits_flag(&bits) ? 31 : 15;
    unit->size = nnr_bits_u(&bits, size_bits);
    unit->type = nnr_bits_u(&bits, 6);
    unit->independently_decodable = nnr_bits_flag(&bits);
    unit->partial = nnr_bits_flag(&bits);
    if (unit->partial)
        unit->partial_counter = (uint8_t)nnr_bits_u(&bits, 8);
    if (bits.status)
        return bits.status;
    unit->header_size = (uint32_t)(bits.pos / 8);
    if (unit->size < unit->header_size)
        return STATUS_CORRUPT;
    return unit->size > left ? STATUS_TRUNCATED : STATUS_OK;
}
