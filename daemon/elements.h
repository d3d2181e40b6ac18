/* Elements of tensors as numbers, to say how much they changed. */
#ifndef DAEMON_ELEMENTS_H
#define DAEMON_ELEMENTS_H

#include "codec/model/dtype.h"

/* count little-endian elements of a dtype_is_number; 64-bit integers are
 * rounded. */
void elements_read(enum dtype dtype, const uint8_t *in, size_t count,
                   double *out);

#endif
