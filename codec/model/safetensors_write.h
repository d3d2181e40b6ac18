/* The header of a safetensors file that is to be written: the reader's other
 * half.
 *
 * Ref: the format's README (huggingface/safetensors, "Format"). */
#ifndef CODEC_MODEL_SAFETENSORS_WRITE_H
#define CODEC_MODEL_SAFETENSORS_WRITE_H

#include "codec/base/writer.h"
#include "codec/model/tensor.h"

/* Appends the header of a file whose tensors' bytes follow it one after the
 * other in the order given, without gap: size of the JSON, the JSON, spaces up
 * to a multiple of 8.
 *
 * tensors  name, dtype, rank and shape are read; size and offset, from the
 *          start of the file, are set
 *
 * STATUS_USAGE      a name that is no UTF-8, has a NUL in it, is that of the
 *                   metadata or another tensor's too; diag says which
 * STATUS_LIMIT      a shape overflows, or a header that readers would refuse
 * STATUS_NO_MEMORY, or what the writer says */
enum status safetensors_write_header(struct tensor *tensors, size_t count,
                                     struct writer *out, struct diag *diag)
    MUST_CHECK;

#endif
