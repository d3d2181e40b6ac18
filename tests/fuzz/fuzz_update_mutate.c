/* A seed and a sound update: what update_mutate makes of them decodes to
 * something or fails with words, over a made-up base. The first eight bytes are
 * the seed. */
#include "codec/update/update_dec.h"
#include "tests/support/golden.h"
#include "tests/support/update_mutate.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_TRIED (4u << 20)
#define SEED_BYTES     8u
#define MUTANTS        12u /* of each input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *made_up(size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    for (size_t i = 0; bytes && i < size; i++)
        bytes[i] = (uint8_t)((uint32_t)i * 2654435761u >> 13);
    return bytes;
}

static void decode(const struct update_file *file, struct bytes update)
{
    const struct update_header *header = &file->header;
    struct bytes coded = {update.data + file->segments_offset,
                          update.size - (size_t)file->segments_offset};
    uint8_t *bytes = made_up((size_t)header->base_size);
    uint8_t *out = malloc((size_t)header->target.size + 1);
    struct bytes base = {bytes, (size_t)header->base_size};
    struct diag diag;
    diag_reset(&diag);
    if (!bytes || !out)
        abort();
    if (golden_segments(header, coded, header->has_base ? &base : NULL, out,
                        &diag) &&
        !strstr(diag.text, "segment"))
        abort();
    free(bytes);
    free(out);
}

static void mutant(struct bytes update, uint64_t seed)
{
    struct writer made;
    struct update_file file;
    writer_init_heap(&made, 8u << 20);
    if (update_mutate(update, seed, &made)) {
        struct source source = source_of_bytes(writer_view(&made));
        if (!update_file_open(&source, &file, NULL)) {
            if (file.header.target.size <= SIZE_MAX_TRIED &&
                file.header.base_size <= SIZE_MAX_TRIED)
                decode(&file, writer_view(&made));
            update_file_close(&file);
        }
    }
    writer_deinit(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SEED_BYTES)
        return 0;
    for (uint64_t i = 0; i < MUTANTS; i++)
        mutant(bytes_of(data + SEED_BYTES, size - SEED_BYTES),
               load_le64(data) * MUTANTS + i);
    return 0;
}
