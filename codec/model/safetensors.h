/* The safetensors header: 8 bytes of length, JSON, then the tensors' bytes
 * without gap or overlap.
 *
 * Strict: every byte of the file belongs to the header or to one tensor, names
 * are unique, offsets follow each other, the metadata maps text to text.
 * Headers above SAFETENSORS_HEADER_MAX, or of more than SAFETENSORS_VALUES_MAX
 * JSON values (about 100,000 tensors), are refused (LIMIT): reading one takes
 * at most some 150 MiB, given back on return, and mostly a few times its size.
 *
 * Ref: the format's README (huggingface/safetensors, "Format"). */
#ifndef CODEC_MODEL_SAFETENSORS_H
#define CODEC_MODEL_SAFETENSORS_H

#include "codec/model/container.h"

#define SAFETENSORS_HEADER_MAX (16u << 20)
#define SAFETENSORS_VALUES_MAX (1u << 20)

/* True when the file begins like one: a length that fits and a brace. */
bool safetensors_probe(const struct source *file);

/* As container_parse. */
enum status safetensors_parse(const struct source *file, struct arena *arena,
                              struct tensor **tensors, size_t *tensor_count,
                              struct diag *diag) MUST_CHECK;

#endif
