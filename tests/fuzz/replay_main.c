/* Replays a fuzz target without a fuzzing engine, and prints TAP: every file of
 * its corpus, then MUTATIONS changed copies of each, made from a fixed seed so
 * that a failure replays. With arguments: these files or folders instead, as
 * they are.
 *
 * The corpus is tests/fuzz/corpus/<target>/, <target> being the program's name
 * without fuzz_. A target without a folder still sees mutations of the empty
 * input. */
#include "codec/base/rng.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MUTATIONS      200
#define INPUT_MAX      (1u << 20)
#define INPUT_GROW_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replay {
    unsigned number;
    unsigned mutations;
    bool failed;
};

/* The target gets a copy of exact size, so that a sanitizer sees the end. */
static bool replay_input(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return false;
    if (size)
        memcpy(copy, data, size);
    int rc = LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return rc == 0;
}

static void replay_mutate_once(const struct rng *rng, uint8_t *buf,
                               size_t *size)
{
    static const uint8_t edges[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 0x20};
    size_t at = *size ? (size_t)rng_below(rng, *size) : 0;
    switch (rng_below(rng, 6)) {
    case 0: /* flip a bit */
        if (*size)
            buf[at] ^= (uint8_t)(1u << rng_below(rng, 8));
        break;
    case 1: /* any byte */
        if (*size)
            buf[at] = (uint8_t)rng_u64(rng);
        break;
    case 2: /* an edge value */
        if (*size)
            buf[at] = edges[rng_below(rng, sizeof(edges))];
        break;
    case 3: /* cut */
        *size = at;
        break;
    case 4: /* take one out */
        if (*size) {
            memmove(buf + at, buf + at + 1, *size - at - 1);
            (*size)--;
        }
        break;
    default: /* put one in */
        memmove(buf + at + 1, buf + at, *size - at);
        buf[at] = (uint8_t)rng_u64(rng);
        (*size)++;
        break;
    }
}

static bool replay_mutations(const uint8_t *data, size_t size, uint64_t seed,
                             unsigned count)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    uint8_t *buf = malloc(size + INPUT_GROW_MAX);
    bool ok = buf != NULL;
    for (unsigned i = 0; ok && i < count; i++) {
        size_t changed = size;
        if (size)
            memcpy(buf, data, size);
        for (uint64_t k = 1 + rng_below(&rng, 8); k; k--)
            replay_mutate_once(&rng, buf, &changed);
        ok = replay_input(buf, changed);
    }
    free(buf);
    return ok;
}

static void replay_report(struct replay *replay, bool ok, const char *name)
{
    replay->number++;
    replay->failed |= !ok;
    printf("%s %u - %s\n", ok ? "ok" : "not ok", replay->number, name);
    fflush(stdout);
}

static void replay_file(struct replay *replay, const char *path,
                        const char *name)
{
    FILE *file = fopen(path, "rb");
    uint8_t *buf = malloc(INPUT_MAX);
    bool ok = file && buf;
    size_t size = ok ? fread(buf, 1, INPUT_MAX, file) : 0;
    ok = ok && replay_input(buf, size) &&
         replay_mutations(buf, size, size, replay->mutations);
    replay_report(replay, ok, name);
    free(buf);
    if (file)
        fclose(file);
}

static int replay_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay_folder(struct replay *replay, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, replay_visible, alphasort);
    for (int i = 0; i < count; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s/%s", path, entries[i]->d_name) >= 0)
            replay_file(replay, file, entries[i]->d_name);
        free(file);
        free(entries[i]);
    }
    free(entries);
}

static void replay_path(struct replay *replay, const char *path)
{
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        replay_folder(replay, path);
    else
        replay_file(replay, path, path);
}

static void replay_corpus(struct replay *replay, const char *program)
{
    const char *root = getenv("DM_SRCDIR");
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;
    char *path = NULL;
    if (!strncmp(name, "fuzz_", 5))
        name += 5;
    if (asprintf(&path, "%s/tests/fuzz/corpus/%s", root ? root : ".", name) < 0)
        return;
    replay->mutations = MUTATIONS;
    replay_folder(replay, path);
    replay_report(replay,
                  replay_input(NULL, 0) &&
                      replay_mutations(NULL, 0, 1, MUTATIONS),
                  "empty input");
    free(path);
}

int main(int argc, char **argv)
{
    struct replay replay = {0};
    for (int i = 1; i < argc; i++)
        replay_path(&replay, argv[i]);
    if (argc < 2)
        replay_corpus(&replay, argv[0]);
    printf("1..%u\n", replay.number);
    return replay.failed ? 1 : 0;
}
