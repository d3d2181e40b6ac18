/* ONNX: a protobuf message ModelProto.
 *
 * Tensors are the initializers of the graph, of graphs within attributes
 * (ONNX_GRAPHS_MAX deep) and of training information; and what attributes of
 * nodes hold, as a Constant does, from ONNX_ATTRIBUTE_SIZE_MIN bytes. Taken
 * are raw_data, float_data and double_data that are one packed run, and
 * external data in another file of the content. Numbers that are stored as
 * varints, text, sparse and segmented tensors stay bytes, and so does external
 * data whose file is not there.
 *
 * A tensor is called what the initializer is called; of a node, what its output
 * is called. One of two or four bits an element keeps its shape only if it
 * fills whole bytes, else it is its bytes.
 *
 * Refused: what protobuf.h refuses in the messages walked, a file without
 * graph, tensors whose shape is negative, overflows or needs other bytes than
 * are there, unknown element types (UNSUPPORTED), external data that leads out
 * of the folder or lies behind the end of its file.
 *
 * Ref: onnx/onnx, onnx.proto and docs/ExternalData.md, IR version 12. */
#ifndef CODEC_MODEL_ONNX_H
#define CODEC_MODEL_ONNX_H

#include "codec/base/arena.h"
#include "codec/model/part.h"
#include "codec/model/tensor.h"

#define ONNX_GRAPHS_MAX         16u
#define ONNX_ATTRIBUTE_SIZE_MIN 64u

/* True when the file is, as far as its outermost fields go, a ModelProto with
 * a graph. */
bool onnx_probe(const struct source *file);

/* As container_parse. */
enum status onnx_parse(const struct part_set *set, size_t index,
                       struct arena *arena, struct tensor **tensors,
                       size_t *tensor_count, struct diag *diag) MUST_CHECK;

#endif
