/* Measures the reader of NNC streams on one core, one JSON line a case: best of
 * the rounds, megaparameters and megabits a second, bits a parameter.
 *
 *   bench_nnc_dec [-n ROUNDS] [-k WORD] [-c COUNT] [FILE...]
 *
 * Cases (those with WORD in their name) are integers of a seeded generator,
 * written by our own writer; COUNT parameters each, 1,000,000 by default. Files
 * are streams that need no state. */
#include "codec/nnc/dq_state.h"
#include "codec/nnc/nnc_dec.h"
#include "codec/nnc/nnc_enc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct shape {
    const char *name;
    double scale;   /* of the Laplace distribution, in steps */
    double density; /* share of elements that are not forced to zero */
    bool dq;
    uint8_t scan_order;
    bool temporal;
};

static const struct shape shapes[] = {
    {"laplace-dq", 5.35, 1, true, 0, false},
    {"laplace-uniform", 2.72, 1, false, 0, false},
    {"laplace-dq-temporal", 5.35, 1, true, 0, true},
    {"laplace-scan4", 2.72, 1, false, 4, false},
    {"laplace-scan1", 2.72, 1, false, 1, false},
    {"low-dq", 1.3, 1, true, 0, false},
    {"sparse-uniform", 0.9, 0.01, false, 0, false},
    {"sparse-dq", 1.8, 0.01, true, 0, false},
    {"very-sparse-dq", 1.8, 0.001, true, 0, false},
    {"zero-dq", 1.8, 0, true, 0, false},
};

static uint64_t draw(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double uniform(uint64_t *seed)
{
    return ((double)(draw(seed) >> 11) + 0.5) * 0x1p-53;
}

static double laplace(uint64_t *seed, double scale)
{
    double u = uniform(seed) - 0.5;
    return (u < 0 ? 1 : -1) * scale * log(1 - 2 * fabs(u));
}

/* Nearest points; with dependent quantisation of the state's quantiser. */
static void make_levels(const struct shape *shape, uint64_t seed,
                        int32_t *levels, size_t count)
{
    unsigned state = 0;
    for (size_t i = 0; i < count; i++) {
        double x =
            uniform(&seed) < shape->density ? laplace(&seed, shape->scale) : 0;
        if (!shape->dq) {
            levels[i] = (int32_t)lround(x);
            continue;
        }
        double half = (fabs(x) + (state & 1)) / 2;
        int32_t k = (int32_t)lround(half);
        k = fabs(x) < 0.5 + (state & 1) * 0.25 ? 0 : x < 0 ? -k : k;
        levels[i] = dq_state_level(state, k);
        state = dq_state_next(state, k);
    }
}

/* Of the processor: others may run beside. */
static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_nnc_dec: %s\n", what);
    exit(1);
}

/* Elements of a stream; checks the first tensor's levels where given. */
static uint64_t read_stream(struct bytes stream, struct nnc_state *state,
                            const int32_t *levels)
{
    struct source source = source_of_bytes(stream);
    struct diag diag = {0};
    struct nnc_dec_params params = {
        .in = &source, .state = state, .diag = &diag};
    struct nnc_dec *dec;
    const struct nnc_tensor *tensor = NULL;
    uint64_t count = 0;
    enum status rc = nnc_dec_new(&params, &dec);
    while (!rc && !(rc = nnc_dec_next(dec, &tensor)) && tensor) {
        count += tensor->elem_count;
        if (levels && memcmp(levels, nnc_dec_levels(dec),
                             tensor->elem_count * sizeof(*levels)))
            die("levels differ");
    }
    if (rc)
        die(diag.text);
    nnc_dec_free(dec);
    return count;
}

static void report(const char *name, struct bytes stream, int rounds,
                   struct nnc_state *(*state)(const void *), const void *ctx)
{
    double best = 1e9;
    uint64_t count = 0;
    for (int i = 0; i < rounds; i++) {
        struct nnc_state *before = state ? state(ctx) : NULL;
        double start = seconds();
        count = read_stream(stream, before, NULL);
        double took = seconds() - start;
        best = took < best ? took : best;
        nnc_state_free(before);
    }
    double bits = 8 * (double)stream.size;
    printf("{\"bench\": \"nnc_dec\", \"case\": \"%s\", \"parameters\": %zu, "
           "\"bytes\": %zu, \"bits_per_parameter\": %.4f, \"mp_s\": %.1f, "
           "\"mbit_s\": %.1f}\n",
           name, (size_t)count, stream.size, bits / (double)count,
           (double)count / best * 1e-6, bits / best * 1e-6);
    fflush(stdout);
}

struct base {
    const struct nnc_tensor *tensor;
    const int32_t *levels;
};

static struct nnc_state *base_state(const void *ctx)
{
    const struct base *base = ctx;
    struct nnc_state *state;
    struct nnc_tensor before = *base->tensor;
    before.put_node_depth--;
    if (nnc_state_new(&state) ||
        nnc_state_sent(state, NULL, &before, true, base->levels))
        die("no state");
    return state;
}

static void run_shape(const struct shape *shape, size_t count, int rounds)
{
    int32_t *levels = calloc(count, sizeof(*levels));
    int32_t *before = calloc(count, sizeof(*before));
    if (!levels || !before)
        die("no memory");
    make_levels(shape, 1, levels, count);
    make_levels(shape, 2, before, count);
    for (size_t i = 0; i < count && shape->temporal; i++)
        before[i] = (int32_t)(draw(&(uint64_t){i}) & 1 ? levels[i] : before[i]);
    struct nnc_tensor tensor = {.name = "w",
                                .name_size = 1,
                                .rank = 2,
                                .shape = {count / 1000, 1000},
                                .elem_count = count / 1000 * 1000,
                                .kind = NNC_UNIFORM,
                                .qp = -32,
                                .unary = 11,
                                .scan_order = shape->scan_order,
                                .dq = shape->dq,
                                .put_node_depth = 2,
                                .has_parent = shape->temporal,
                                .temporal = shape->temporal};
    struct nnc_enc_data data = {.levels = levels,
                                .temporal = shape->temporal ? before : NULL};
    struct writer out;
    writer_init_heap(&out, (size_t)1 << 30);
    struct nnc_enc_params params = {.out = &out, .profile = 1, .qp_density = 2};
    params.incremental = shape->temporal;
    params.rules.scan = NNC_NEVER;
    struct nnc_enc *enc;
    if (nnc_enc_new(&params, &enc) ||
        nnc_enc_tensor(enc, &tensor, &data, NULL) || nnc_enc_finish(enc))
        die("cannot be written");
    nnc_enc_free(enc);
    struct base base = {&tensor, before};
    struct bytes stream = bytes_of(out.data, out.size);
    struct nnc_state *state = shape->temporal ? base_state(&base) : NULL;
    read_stream(stream, state, levels);
    nnc_state_free(state);
    report(shape->name, stream, rounds, shape->temporal ? base_state : NULL,
           &base);
    writer_deinit(&out);
    free(levels);
    free(before);
}

static void run_file(const char *path, int rounds)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die(path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size + 1);
    if (!bytes || fread(bytes, 1, size, file) != size)
        die(path);
    fclose(file);
    report(path, bytes_of(bytes, size), rounds, NULL, NULL);
    free(bytes);
}

int main(int argc, char **argv)
{
    int rounds = 20;
    size_t count = 1000000;
    const char *word = "";
    int option;
    while ((option = getopt(argc, argv, "n:k:c:")) != -1) {
        if (option == 'n')
            rounds = atoi(optarg);
        else if (option == 'c')
            count = strtoul(optarg, NULL, 10);
        else if (option == 'k')
            word = optarg;
        else
            return 1;
    }
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        if (strstr(shapes[i].name, word) && optind == argc)
            run_shape(&shapes[i], count, rounds);
    for (int i = optind; i < argc; i++)
        run_file(argv[i], rounds);
    return 0;
}
