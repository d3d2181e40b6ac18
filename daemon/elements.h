/* Elements of tensors as numbers, to say how much they changed. */
#ifndef DAEMON_ELEMENTS_H
#define DAEMON_ELEMENTS_H

#include "codec/model/dtype.h"

/* False for packed, complex and scale types: these are bytes here. */
bool elements_numeric(enum dtype dtype);

/* count little-endian elements of a numeric dtype; 64-bit integers are
 * rounded. */
void elements_read(enum dtype dtype, const uint8_t *in, size_t count,
                   double *out);

#endif
