/* How many bytes an update would take, from a sample, before it is made. */
#ifndef CODEC_UPDATE_ESTIMATE_H
#define CODEC_UPDATE_ESTIMATE_H

#include "codec/update/update_enc.h"

/* Contents of at most 2.5 MiB are read whole and the update is made, in memory.
 * Of larger ones about 2 MiB each are looked at; see also match_contents for
 * what is read to find the tensors of the base. Equal leaves, where both are
 * given, tell equal contents without reading. Takes as much memory as making
 * the update, and 5 MiB.
 *
 * bytes  out: expected size of the update, header included
 * NO_MEMORY, or what the sources answer. */
enum status update_estimate(const struct update_enc_params *params,
                            uint64_t *bytes) MUST_CHECK;

#endif
