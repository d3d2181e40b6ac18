/* TFLite: a FlatBuffer with the identifier TFL3.
 *
 * Tensors are those of the subgraphs that have a buffer with data: in the
 * FlatBuffer, or behind it for models above 2 GiB (Buffer.offset and size).
 * Buffers of no tensor (metadata) stay bytes; a buffer that several share is
 * one tensor. Scales and zero points of a quantised tensor are tensors too,
 * NAME.scale and NAME.zero_point, from TFLITE_QUANT_SIZE_MIN bytes. Where the
 * shape needs other bytes than are there (text, sparse
 * tensors, element types unknown here) it is a tensor of one dimension.
 *
 * Refused: another identifier; tables, vectors and buffers that lie out of the
 * file; negative dimensions; buffer numbers without buffer; more than
 * TFLITE_BUFFERS_MAX buffers or a walk that is longer than the file (LIMIT).
 *
 * Ref: tensorflow/lite, schema.fbs, version 3. */
#ifndef CODEC_MODEL_TFLITE_H
#define CODEC_MODEL_TFLITE_H

#include "codec/base/arena.h"
#include "codec/model/part.h"
#include "codec/model/tensor.h"

#define TFLITE_BUFFERS_MAX    (1u << 18)
#define TFLITE_QUANT_SIZE_MIN 64u

/* True when the identifier is there. */
bool tflite_probe(const struct source *file);

/* As container_parse. */
enum status tflite_parse(const struct part_set *set, size_t index,
                         struct arena *arena, struct tensor **tensors,
                         size_t *tensor_count, struct diag *diag) MUST_CHECK;

#endif
