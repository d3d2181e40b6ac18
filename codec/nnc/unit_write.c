#include "codec/nnc/unit_write.h"

#define SHORT_MAX     0x7fffu
#define LONG_MAX_SIZE 0x7fffffffu

uint64_t unit_write(struct writer *out, enum nnr_unit_type type,
                    struct bytes head, struct bytes payload)
{
    uint64_t size = 3 + (uint64_t)head.size + payload.size;
    if (size <= SHORT_MAX) {
        writer_be16(out, (uint16_t)size);
    } else if ((size += 2) <= LONG_MAX_SIZE) {
        writer_be32(out, 0x80000000u | (uint32_t)size);
    } else {
        writer_fail(out, STATUS_LIMIT);
    }
    /* independently_decodable_flag 1, no counter */
    writer_u8(out, (uint8_t)((unsigned)type << 2 | 2));
    writer_bytes(out, head.data, head.size);
    writer_bytes(out, payload.data, payload.size);
    return size;
}

void unit_write_start(struct writer *out, uint8_t profile)
{
    unit_write(out, NNR_STR, (struct bytes){&profile, 1},
               (struct bytes){NULL, 0});
}
