/* Writes a topology unit that says nothing: format unrecognised, no data.
 *
 * Ref: ISO/IEC 15938-17:2024, NNR topology unit syntax. */
#ifndef CODEC_NNC_TOPOLOGY_WRITE_H
#define CODEC_NNC_TOPOLOGY_WRITE_H

#include "codec/base/writer.h"

void topology_write(struct writer *out);

#endif
