/* One step for all tensors of two or more dimensions of a model. */
#ifndef CODEC_NNC_NNC_STEP_H
#define CODEC_NNC_NNC_STEP_H

#include "codec/nnc/nnc_model_write.h"

/* qp of the largest step with which the nearest levels of a sample of all
 * numbers that take levels have at most share of its root mean square as error;
 * qp_min when all is 0, or when none has.
 *
 * NO_MEMORY, or what the sources say. */
enum status nnc_step_find(const struct nnc_write_params *params, double share,
                          int *qp) MUST_CHECK;

/* The tensor of the base that this one is a difference to, or NULL: same name,
 * type and shape. */
const struct tensor *nnc_step_base(const struct nnc_write_params *params,
                                   size_t index);

#endif
