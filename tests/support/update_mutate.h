/* Updates changed where they mean something: fields of records, tables, the
 * directory, bytes of segments; then written again with hashes that fit, as a
 * hostile maker would. */
#ifndef TESTS_SUPPORT_UPDATE_MUTATE_H
#define TESTS_SUPPORT_UPDATE_MUTATE_H

#include "codec/base/writer.h"

/* Writes an update file that differs from the sound one in up to four places.
 *
 * update  an update file
 * seed    the same seed makes the same changes
 * out     heap writer
 * False when update cannot be read or memory is short. */
bool update_mutate(struct bytes update, uint64_t seed, struct writer *out);

#endif
