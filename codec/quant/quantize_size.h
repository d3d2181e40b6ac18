/* What the levels and factors of results would take in an update: measured by
 * the models of the coder that writes them. Of large tensors a part tells.
 * Private to quantize_*. */
#ifndef CODEC_QUANT_QUANTIZE_SIZE_H
#define CODEC_QUANT_QUANTIZE_SIZE_H

#include "codec/quant/quantize_tensor.h"

struct quantize_size;

/* About 700 kB. NULL: no memory. */
struct quantize_size *quantize_size_new(void);
void quantize_size_free(struct quantize_size *size);

/* Measures a result with steps: sets t->bits. Tensors come by offset, since
 * those of one segment share models. NO_MEMORY, or what the sources answer. */
enum status quantize_size_add(struct quantize_size *size,
                              struct quantize_tensor *t) MUST_CHECK;

/* About the bytes that a stretch of the target takes which holds no tensor with
 * steps, given the stretch of the base that lies where it should; base NULL:
 * there is none. What the sources answer. */
enum status quantize_size_rest(const struct source *base, uint64_t base_offset,
                               const struct source *target, uint64_t offset,
                               uint64_t size, double *bytes) MUST_CHECK;

#endif
