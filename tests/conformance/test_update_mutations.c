/* Golden updates changed in their structure, with hashes that fit: decoding
 * ends, in time and memory in proportion to the output, with a status and words
 * that name the segment.
 *
 *   test_update_mutations [SEEDS [FIRST [NAME]]]
 *
 * SEEDS mutants of each update (or of the one of that name) from seed FIRST on;
 * a failure names update and seed, which make the same mutant again. With
 * DM_MUTANT=FILE in the environment each is written there before it is decoded,
 * so that a crash leaves it behind. */
#include "tests/support/golden.h"
#include "tests/support/update_mutate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS_DEFAULT 60u
#define SECONDS_MAX   20u /* of one mutant, sanitizers and all */
#define FILE_MAX      (8u << 20)
#define TARGET_MAX    (4u << 20)

struct tally {
    unsigned refused; /* headers */
    unsigned failed;  /* segments */
    unsigned decoded;
};

/* False when a failure does not name its segment. */
static bool decode(struct bytes update, const struct bytes *base,
                   struct tally *tally)
{
    struct source source = source_of_bytes(update);
    struct update_file file;
    struct diag diag;
    diag_reset(&diag);
    if (update_file_open(&source, &file, &diag)) {
        tally->refused++;
        return diag.text[0];
    }
    bool good = true;
    const struct update_header *header = &file.header;
    struct bytes coded = {update.data + file.segments_offset,
                          update.size - (size_t)file.segments_offset};
    uint8_t *out = malloc(TARGET_MAX);
    if (out && header->target.size <= TARGET_MAX) {
        enum status status = golden_segments(header, coded, base, out, &diag);
        tally->decoded += !status;
        tally->failed += status != STATUS_OK;
        good = !status || strstr(diag.text, "segment") ||
               status == STATUS_BAD_BASE || status == STATUS_USAGE;
        if (!good)
            fprintf(stderr, "# %s: \"%s\"\n", status_text(status), diag.text);
    }
    free(out);
    update_file_close(&file);
    return good;
}

static void keep(const struct writer *mutant)
{
    const char *path = getenv("DM_MUTANT");
    FILE *out = path ? fopen(path, "wb") : NULL;
    if (out) {
        fwrite(mutant->data, 1, mutant->size, out);
        fclose(out);
    }
}

static bool run(const struct golden *golden, const struct bytes *base,
                uint64_t seed, struct tally *tally)
{
    struct writer mutant;
    writer_init_heap(&mutant, FILE_MAX);
    alarm(SECONDS_MAX);
    bool good = update_mutate(bytes_of(golden->update, golden->update_size),
                              seed, &mutant);
    uint8_t *exact = malloc(mutant.size + 1);
    if (good && exact) {
        memcpy(exact, mutant.data, mutant.size);
        keep(&mutant);
        good = decode(bytes_of(exact, mutant.size), base, tally);
    }
    alarm(0);
    free(exact);
    writer_deinit(&mutant);
    if (!good)
        fprintf(stderr, "# %s, seed %" PRIu64 "\n", golden->name, seed);
    return good;
}

static bool golden_mutants(struct golden_list *list, struct golden *golden,
                           uint64_t first, unsigned seeds, struct tally *tally)
{
    const struct golden *from = golden_base(list, golden);
    struct bytes base = {0};
    uint64_t size;
    bool good = true;
    if (from)
        base = bytes_of(from->target, (size_t)from->target_size);
    if (golden_decode(bytes_of(golden->update, golden->update_size),
                      from ? &base : NULL, &golden->target, &size, NULL))
        return false;
    for (unsigned i = 0; i < seeds; i++)
        good &= run(golden, from ? &base : NULL, first + i, tally);
    return good;
}

int main(int argc, char **argv)
{
    struct golden_list *list = malloc(sizeof(*list));
    unsigned seeds =
        argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : SEEDS_DEFAULT;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    bool all = true;
    if (!list || !golden_load(list))
        return 1;
    printf("1..%u\n", list->count);
    for (unsigned i = 0; i < list->count; i++) {
        struct golden *golden = &list->items[i];
        struct tally tally = {0};
        bool wanted = argc <= 3 || !strcmp(argv[3], golden->name);
        bool good =
            golden_mutants(list, golden, first, wanted ? seeds : 0, &tally);
        printf("%s %u - %s: %u refused, %u failed, %u decoded\n",
               good ? "ok" : "not ok", i + 1, golden->name, tally.refused,
               tally.failed, tally.decoded);
        fflush(stdout);
        all &= good;
    }
    golden_free(list);
    free(list);
    return all ? 0 : 1;
}
