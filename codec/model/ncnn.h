/* ncnn: a pair of files, X.param (text: layers) and X.bin (their weights, one
 * after the other) in one folder of a content.
 *
 * A walk over the layers finds the weights of those known to have some; they
 * are tensors of X.bin, called layer.weight, layer.bias and so on. Weights are
 * f32, f16, int8, or indices into a table of 256 values, as a mark before them
 * says; each takes whole words. Layers of unknown types are taken to have no
 * weights, those of int8 to have what the latest version loads: when in the
 * end the weights do not fill X.bin exactly, only those before the first such
 * layer are kept. What is left of X.bin is one f32
 * tensor, called rest.
 *
 * Refused: a text that is no ncnn model (first line 7767517), counts and
 * numbers that are none, a text above NCNN_TEXT_MAX, and, where all layers are
 * known, weights that end behind the end of X.bin. Without an X.bin there are
 * no tensors.
 *
 * Ref: Tencent/ncnn, docs/developer-guide/param-and-model-file-structure.md
 * and the load_model of each layer. */
#ifndef CODEC_MODEL_NCNN_H
#define CODEC_MODEL_NCNN_H

#include "codec/base/arena.h"
#include "codec/model/part.h"
#include "codec/model/tensor.h"

#define NCNN_TEXT_MAX (16u << 20)

/* True when the first line is that of an ncnn model. */
bool ncnn_probe(const struct source *file);

/* As container_parse, of X.param; the tensors lie in X.bin. */
enum status ncnn_parse(const struct part_set *set, size_t index,
                       struct arena *arena, struct tensor **tensors,
                       size_t *tensor_count, struct diag *diag) MUST_CHECK;

#endif
