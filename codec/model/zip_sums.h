/* Check sums of zip archives whose tensors were replaced. Each entry of an
 * archive has a CRC-32 of its bytes in the directory, in its header and perhaps
 * behind its bytes; a content with other values in the same places needs other
 * ones, or readers that look at them refuse it.
 *
 * Only sums that were right before are made right again: an archive written
 * without any keeps what it has.
 *
 * Ref: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.9, 4.3.12 and 4.4.7. */
#ifndef CODEC_MODEL_ZIP_SUMS_H
#define CODEC_MODEL_ZIP_SUMS_H

#include "codec/model/model.h"

struct zip_sums;

/* Reads the archives of now once, and what changed of then.
 *
 * then   a content, which model describes
 * now    one of the same layout, with other values in stored entries
 * All is borrowed and must outlive it.
 *
 * USAGE when their sizes differ, NO_MEMORY, or what the sources answer. */
enum status zip_sums_new(const struct model *model, const struct source *then,
                         const struct source *now, struct zip_sums **out)
    MUST_CHECK;
void zip_sums_free(struct zip_sums *sums);

/* now, with the sums put in; as many threads may read it as may read now. */
const struct source *zip_sums_source(const struct zip_sums *sums);

/* How many sums differ from those of now. */
size_t zip_sums_count(const struct zip_sums *sums);

/* The CRC-32 of a stretch of a source. Ref: ITU-T V.42, 8.1.1.6.2. */
enum status zip_sum(const struct source *source, uint64_t offset, uint64_t size,
                    uint32_t *out) MUST_CHECK;

#endif
