/* Which format a file has, by its suffix, else by its content, and the parser
 * for it. */
#ifndef CODEC_MODEL_CONTAINER_H
#define CODEC_MODEL_CONTAINER_H

#include "codec/base/arena.h"
#include "codec/model/part.h"
#include "codec/model/tensor.h"

enum container_format {
    CONTAINER_OPAQUE, /* unknown: bytes */
    CONTAINER_SAFETENSORS,
    CONTAINER_ONNX,
    CONTAINER_TFLITE,
    CONTAINER_TORCH,
    CONTAINER_NCNN, /* of a pair the .param; the .bin is bytes with tensors */
    CONTAINER_FORMAT_COUNT
};

/* "opaque", "safetensors", "onnx", "tflite", "torch", "ncnn". Static. */
const char *container_name(enum container_format format);

/* The format that a file claims: by its suffix (.safetensors, .onnx, .tflite,
 * .pt, .pth, .param), else by its content. An error of the source counts as
 * opaque. path may be NULL: content alone decides. */
enum container_format container_probe(const char *path,
                                      const struct source *file);

/* Finds the tensors that one file of a content tells of: its own, and those in
 * the files beside it that it names (external data, the other of a pair).
 *
 * set      the content, index: which of its files
 * arena    names, shapes and the array are taken from it
 * tensors  out: sorted by file, then offset, which is within that file; none
 *          overlap; 0 for CONTAINER_OPAQUE
 *
 * CORRUPT, TRUNCATED, UNSUPPORTED or LIMIT with words in diag when the file is
 * not a valid one of that format; NO_MEMORY; or what the source answers. */
enum status container_parse(enum container_format format,
                            const struct part_set *set, size_t index,
                            struct arena *arena, struct tensor **tensors,
                            size_t *tensor_count, struct diag *diag) MUST_CHECK;

#endif
