/* PyTorch files: a zip archive (torch.save since 1.6, TorchScript) or, before
 * that, pickles followed by the storages.
 *
 * Of an archive, DIR/data.pkl is read as data (pickle.h) and tensors lie in
 * the stored entries DIR/data/N. A tensor is called by the keys that lead to
 * it, joined by dots, without the _modules, _parameters and _buffers of a
 * pickled module: what state_dict would say. A tensor whose elements follow
 * each other is taken with its shape; a storage of which one does not is taken
 * whole, as one dimension; of tensors that share elements the first is.
 * Entries in DIR/data of which the pickle says nothing are bytes with a name,
 * and so is everything of an archive marked big-endian. Compressed entries
 * hold no tensors.
 *
 * Refused: what zip.h and pickle.h refuse, an archive without data.pkl or with
 * one above TORCHZIP_PICKLE_MAX (LIMIT), tensors that lie out of their
 * storage, storages without entry or of another size.
 *
 * Ref: pytorch/pytorch, torch/serialization.py and torch/_utils.py. */
#ifndef CODEC_MODEL_TORCHZIP_H
#define CODEC_MODEL_TORCHZIP_H

#include "codec/base/arena.h"
#include "codec/model/part.h"
#include "codec/model/tensor.h"

#define TORCHZIP_PICKLE_MAX (16u << 20)

/* True for a zip archive whose first entry is DIR/data.pkl or one that only
 * PyTorch writes, and for the magic number of the older form. */
bool torchzip_probe(const struct source *file);

/* As container_parse. */
enum status torchzip_parse(const struct part_set *set, size_t index,
                           struct arena *arena, struct tensor **tensors,
                           size_t *tensor_count, struct diag *diag) MUST_CHECK;

#endif
