/* Writes the frame of an NNR unit.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR unit syntax. */
#ifndef CODEC_NNC_UNIT_WRITE_H
#define CODEC_NNC_UNIT_WRITE_H

#include "codec/base/bytes.h"
#include "codec/base/writer.h"
#include "codec/nnc/nnc.h"

/* Appends a unit: size (short form where it fits), type, head and payload.
 *
 * head, payload  what follows the type, one after the other
 *
 * The writer's status is LIMIT if the unit has 2^31 bytes or more. Returns the
 * bytes of the unit. */
uint64_t unit_write(struct writer *out, enum nnr_unit_type type,
                    struct bytes head, struct bytes payload);

/* The start unit. profile: 0 or 1. */
void unit_write_start(struct writer *out, uint8_t profile);

#endif
