/* Decodes an update in memory and prints one JSON line: MB of the target a
 * second without any hashing, with the hashes of what is decoded, and with
 * those of what comes out, too.
 *
 *     bench_decode [BASE] UPDATE [ROUNDS] */
#include "codec/update/update_dec.h"
#include "codec/update/update_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct input {
    uint8_t *data;
    struct source source;
};

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool input_load(struct input *in, const char *path)
{
    FILE *f = fopen(path, "rb");
    long size;
    if (!f)
        return false;
    if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 ||
        fseek(f, 0, SEEK_SET)) {
        fclose(f);
        return false;
    }
    in->data = malloc((size_t)size + 1);
    size_t got = in->data ? fread(in->data, 1, (size_t)size, f) : 0;
    in->source = source_of_bytes(bytes_of(in->data, got));
    fclose(f);
    return got == (size_t)size;
}

/* One pass over all segments; leaves: hash what comes out, too. */
static enum status decode(const struct update_file *file,
                          const struct source *base, uint8_t *coded,
                          uint8_t *out, bool leaves)
{
    const struct update_header *header = &file->header;
    struct update_aux aux = update_file_aux(file);
    struct update_dec *dec;
    struct hash leaf;
    enum status status = update_dec_new(header, base, &aux, &dec);
    if (status)
        return status;
    for (uint32_t i = header->aux_count; !status && i < header->segment_count;
         i++) {
        size_t size = update_segment_target_size(header, i);
        struct bytes view;
        status = update_file_segment(file, i, coded, &view);
        if (!status)
            status = update_dec_segment(dec, i, view, out, size, NULL);
        if (leaves)
            tree_leaf(bytes_of(out, size), &leaf);
    }
    update_dec_free(dec);
    return status;
}

/* The hashes that a decoder makes of the coded segments. */
static enum status hash_coded(const struct update_file *file, uint8_t *coded)
{
    const struct update_header *header = &file->header;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; !status && i < header->segment_count; i++) {
        uint8_t hash[UPDATE_SEGMENT_HASH_BYTES];
        struct bytes view;
        status = update_file_segment(file, i, coded, &view);
        if (!status && i >= header->aux_count && view.size)
            update_segment_hash(view, hash);
    }
    return status;
}

enum what {
    HASHES, /* of coded segments, alone */
    DECODE,
    DECODE_AND_LEAVES
};

/* Least seconds of so many rounds; 0 if one fails. */
static double least(const struct update_file *file, const struct source *base,
                    int rounds, enum what what)
{
    uint8_t *coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    uint8_t *out = malloc(UPDATE_SEGMENT_SIZE_MAX);
    double best = 0;
    for (int i = 0; coded && out && i < rounds; i++) {
        double start = now();
        enum status status = what == HASHES ? hash_coded(file, coded)
                                            : decode(file, base, coded, out,
                                                     what == DECODE_AND_LEAVES);
        double seconds = now() - start;
        if (status) {
            best = 0;
            break;
        }
        best = i && best < seconds ? best : seconds;
    }
    free(coded);
    free(out);
    return best;
}

static double mb_s(const struct update_file *file, double seconds)
{
    return seconds > 0 ? (double)file->header.target.size / 1e6 / seconds : 0;
}

int main(int argc, char **argv)
{
    struct input base = {0}, update = {0};
    struct update_file file;
    struct diag diag;
    int words = argc > 1 && atoi(argv[argc - 1]) > 0 ? argc - 1 : argc;
    int rounds = words < argc ? atoi(argv[argc - 1]) : 5;
    diag_reset(&diag);
    if (words < 2 || words > 3 || !input_load(&update, argv[words - 1]) ||
        (words == 3 && !input_load(&base, argv[1]))) {
        fprintf(stderr, "usage: bench_decode [BASE] UPDATE [ROUNDS]\n");
        return 2;
    }
    if (update_file_open(&update.source, &file, &diag)) {
        fprintf(stderr, "bench_decode: %s\n", diag.text);
        return 1;
    }
    const struct source *over = file.header.has_base ? &base.source : NULL;
    double hashes = least(&file, over, rounds, HASHES);
    double all = least(&file, over, rounds, DECODE);
    double leaves = least(&file, over, rounds, DECODE_AND_LEAVES);
    printf("{\"bench\": \"decode\", \"raw\": %llu, \"bytes\": %llu, "
           "\"unhashed_mb_s\": %.0f, \"decode_mb_s\": %.0f, "
           "\"with_leaves_mb_s\": %.0f}\n",
           (unsigned long long)file.header.target.size,
           (unsigned long long)update.source.size, mb_s(&file, all - hashes),
           mb_s(&file, all), mb_s(&file, leaves));
    update_file_close(&file);
    free(base.data);
    free(update.data);
    return 0;
}
