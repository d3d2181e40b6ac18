/* How many bytes an update would take, from a sample, before it is made. */
#ifndef CODEC_UPDATE_ESTIMATE_H
#define CODEC_UPDATE_ESTIMATE_H

#include "codec/update/update_enc.h"

/* Reads at most some 4 MiB of the contents of params (whose leaves, where both
 * are given, also tell unchanged blocks without reading).
 *
 * bytes  out: expected size of the update, header included
 * NO_MEMORY, or what the sources answer. */
enum status update_estimate(const struct update_enc_params *params,
                            uint64_t *bytes) MUST_CHECK;

#endif
