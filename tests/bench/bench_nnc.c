/* Measures the writer of NNC streams, one JSON line a case.
 *
 *   bench_nnc [-n REPEATS] [-k WORD] [-o FOLDER] [-s SAFETENSORS] [VECTORS]
 *
 * VECTORS is a folder with an index.json of conformance cases: the integers of
 * each are coded again with its steps, quantisation and state, and the bytes
 * compared with those of its stream; the mean and the largest ratio of cases of
 * 1,000 parameters and more come last. -o writes our streams to FOLDER, named
 * as theirs, for a decoder to look at. Then speed (of cases with WORD in
 * their name): megaparameters a second of a
 * core for integers of a Laplace distribution at about 4 bits each, for sparse
 * ones, and for many small tensors; with -s for those of a file instead. */
#include "codec/base/bytes.h"
#include "codec/nnc/nnc_enc.h"

#include "tests/bench/tensor_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE_FLOOR 1000

/* One case of the index and its files. */
struct vector {
    json_t *meta;
    uint8_t *expect, *levels, *base, *history;
};

static uint8_t *load(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        die("cannot be opened", path);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(size + 1);
    if (!data || fread(data, 1, size, f) != size)
        die("cannot be read", path);
    fclose(f);
    return data;
}

static uint8_t *load_part(const char *folder, json_t *meta, const char *key)
{
    json_t *part = json_object_get(meta, key);
    const char *file = json_string_value(json_object_get(part, "file"));
    return file ? load(folder, file) : NULL;
}

static const char *text_of(json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static long long number_of(json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool option(const struct vector *v, const char *key)
{
    return json_is_true(
        json_object_get(json_object_get(v->meta, "options"), key));
}

static int density_of(const struct vector *v)
{
    json_t *options = json_object_get(v->meta, "options");
    json_t *density = json_object_get(options, "qp_density");
    return density ? (int)json_integer_value(density) : 2;
}

/* The entry of a name in one of the lists; *index its place. */
static json_t *find(json_t *meta, const char *list, const char *name,
                    size_t *index)
{
    json_t *tensors = json_object_get(json_object_get(meta, list), "tensors");
    for (*index = 0; *index < json_array_size(tensors); ++*index) {
        json_t *t = json_array_get(tensors, *index);
        if (!strcmp(text_of(t, "name"), name))
            return t;
    }
    return NULL;
}

static float value_at(const struct vector *v, json_t *t, uint64_t i)
{
    const uint8_t *at = v->expect + number_of(t, "offset") + 4 * i;
    uint32_t bits = load_le32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The codebook is not in the index: what is used of it follows from integers
 * and values, entries between are any. */
static void guess_codebook(const struct vector *v, json_t *t,
                           struct nnc_tensor *about, const int32_t *levels,
                           int density)
{
    int m = 1 << density, qp = about->qp;
    double step = ldexp(m + (qp & (m - 1)), (qp >> density) - density);
    int32_t low = 0, high = 0;
    for (uint64_t i = 0; i < about->elem_count; i++) {
        low = levels[i] < low ? levels[i] : low;
        high = levels[i] > high ? levels[i] : high;
    }
    about->codebook.size = (uint32_t)(high - low + 1);
    about->codebook.zero = (uint32_t)-low;
    int32_t *values = calloc(about->codebook.size, sizeof *values);
    bool *known = calloc(about->codebook.size, sizeof *known);
    for (uint64_t i = 0; i < about->elem_count; i++) {
        double x = value_at(v, t, i) / step;
        values[levels[i] - low] = (int32_t)nearbyint(x);
        known[levels[i] - low] = true;
    }
    for (uint32_t i = 1; i < about->codebook.size; i++) {
        if (!known[i])
            values[i] = values[i - 1] + 1;
    }
    for (uint32_t i = about->codebook.size; i-- > 1;) {
        if (!known[i - 1] && values[i - 1] >= values[i])
            values[i - 1] = values[i] - 1;
    }
    free(known);
    about->codebook.values = values;
}

static void describe(const struct vector *v, json_t *t,
                     struct nnc_tensor *about, struct nnc_enc_data *data)
{
    json_t *options = json_object_get(v->meta, "options");
    const char *method = text_of(t, "method");
    size_t index, i;
    json_t *dim;
    *about = (struct nnc_tensor){.name = text_of(t, "name"), .elem_count = 1};
    about->name_size = json_string_length(json_object_get(t, "name"));
    json_array_foreach(json_object_get(t, "shape"), i, dim)
    {
        about->shape[about->rank++] = (uint64_t)json_integer_value(dim);
        about->elem_count *= (uint64_t)json_integer_value(dim);
    }
    about->kind = !strcmp(method, "int")        ? NNC_INT
                  : !strcmp(method, "raw")      ? NNC_RAW_FLOAT
                  : !strcmp(method, "codebook") ? NNC_CODEBOOK
                                                : NNC_UNIFORM;
    about->qp = (int)number_of(t, "qp");
    about->dq = number_of(t, "dq") != 0;
    about->scan_order = (uint8_t)number_of(options, "scan_order");
    (void)find(v->meta, "input", about->name, &index);
    about->parameter_id = (uint32_t)index;
    json_t *levels = find(v->meta, "levels", about->name, &index);
    if (levels)
        data->levels = (int32_t *)(v->levels + number_of(levels, "offset"));
    if (about->kind == NNC_RAW_FLOAT)
        data->raw = (float *)(v->expect + number_of(t, "offset"));
    if (about->kind == NNC_CODEBOOK)
        guess_codebook(v, t, about, data->levels, density_of(v));
}

static void set_parent(const struct vector *v, struct nnc_tensor *about,
                       struct nnc_enc_data *data)
{
    size_t index;
    json_t *base = find(v->meta, "base", about->name, &index);
    json_t *past = find(v->meta, "history", about->name, &index);
    about->has_parent = true;
    about->put_node_depth = 1;
    if (base) {
        about->put_node_depth = (uint32_t)number_of(base, "put_node_depth") + 1;
        about->parameter_id = (uint32_t)number_of(base, "parameter_id");
        about->temporal = option(v, "tca");
        data->temporal = (int32_t *)(v->base + number_of(base, "offset"));
    }
    if (past)
        data->history = v->history + number_of(past, "offset");
}

static enum nnc_part part_of(const char *type)
{
    static const char *const names[] = {
        [NNC_WEIGHT] = "weight",   [NNC_LOCAL_SCALING] = "weight.ls",
        [NNC_BN_BETA] = "bn.beta", [NNC_BN_GAMMA] = "bn.gamma",
        [NNC_BN_MEAN] = "bn.mean", [NNC_BN_VAR] = "bn.var",
        [NNC_BIAS] = "bias",
    };
    for (int i = NNC_WEIGHT; i <= NNC_BIAS; i++) {
        if (names[i] && !strcmp(names[i], type))
            return (enum nnc_part)i;
    }
    return NNC_ALONE;
}

/* Tensors of the case, and which block each is of. */
struct set {
    size_t count;
    struct nnc_tensor about[256];
    struct nnc_enc_data data[256];
    const char *block[256];
    bool done[256];
};

static void collect(const struct vector *v, struct set *set)
{
    json_t *options = json_object_get(v->meta, "options");
    json_t *blocks = json_object_get(options, "blocks");
    json_t *gh = json_object_get(options, "decomposed");
    json_t *t;
    size_t i;
    bool incremental = option(v, "tca") || option(v, "diff");
    *set = (struct set){0};
    json_array_foreach(
        json_object_get(json_object_get(v->meta, "expect"), "tensors"), i, t)
    {
        struct nnc_tensor *about = &set->about[set->count];
        struct nnc_enc_data *data = &set->data[set->count];
        describe(v, t, about, data);
        if (incremental)
            set_parent(v, about, data);
        json_t *block = json_object_get(blocks, about->name);
        const char *name = about->name;
        size_t base = gh ? strlen(text_of(gh, "tensor")) : 0;
        if (block) {
            set->block[set->count] = text_of(block, "block");
            about->part = part_of(text_of(block, "type"));
        } else if (gh && !strncmp(name, text_of(gh, "tensor"), base) &&
                   (!strcmp(name + base, "_G") || !strcmp(name + base, "_H"))) {
            set->block[set->count] = "gh";
            about->part = name[base + 1] == 'G' ? NNC_G : NNC_H;
        }
        set->count++;
    }
}

static bool put_block(struct nnc_enc *enc, const struct vector *v,
                      struct set *set, const char *block)
{
    struct nnc_tensor about[16];
    struct nnc_enc_data data[16];
    size_t count = 0;
    for (int part = NNC_WEIGHT; part <= NNC_BIAS; part++) {
        for (size_t i = 0; i < set->count; i++) {
            if (!set->block[i] || strcmp(set->block[i], block) ||
                (int)set->about[i].part != part)
                continue;
            if (part > NNC_H && set->about[i].kind == NNC_CODEBOOK)
                return false;
            about[count] = set->about[i];
            data[count++] = set->data[i];
        }
    }
    uint64_t size, shape[NNC_RANK_MAX];
    uint32_t rank = about[0].rank;
    memcpy(shape, about[0].shape, sizeof shape);
    if (about[0].part == NNC_G) {
        json_t *dim, *options = json_object_get(v->meta, "options");
        size_t i;
        rank = 0;
        json_array_foreach(
            json_object_get(json_object_get(options, "decomposed"), "shape"), i,
            dim) shape[rank++] = (uint64_t)json_integer_value(dim);
    }
    if (count < 2 || nnc_enc_block(enc, about, data, count, shape, rank, &size))
        return false;
    for (size_t i = 0; i < set->count; i++) {
        if (set->block[i] && !strcmp(set->block[i], block))
            set->done[i] = true;
    }
    return true;
}

static void put_set(struct nnc_enc *enc, const struct vector *v,
                    struct set *set, struct diag *diag)
{
    bool separate = option(v, "tca") || option(v, "diff");
    for (size_t i = 0; i < set->count; i++) {
        if (set->done[i] || (set->block[i] && !separate &&
                             put_block(enc, v, set, set->block[i])))
            continue;
        set->about[i].part = NNC_ALONE;
        if (nnc_enc_tensor(enc, &set->about[i], &set->data[i], NULL))
            die(diag->text, text_of(v->meta, "id"));
    }
}

static void code_vector(const struct vector *v, struct writer *wr)
{
    json_t *options = json_object_get(v->meta, "options");
    struct diag diag = {{0}};
    struct nnc_enc_params params = {
        .out = wr,
        .profile = (uint8_t)number_of(options, "profile"),
        .qp_density = (uint8_t)density_of(v),
        .incremental = option(v, "tca") || option(v, "diff"),
        .diag = &diag,
    };
    static struct set set;
    struct nnc_enc *enc;
    if (nnc_enc_new(&params, &enc))
        die(diag.text, text_of(v->meta, "id"));
    collect(v, &set);
    put_set(enc, v, &set, &diag);
    if (nnc_enc_finish(enc))
        die("cannot be written", text_of(v->meta, "id"));
    nnc_enc_free(enc);
}

static void save(const char *folder, const char *name, struct bytes data)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data.data, 1, data.size, f) != data.size || fclose(f))
        die("cannot be written", path);
}

static void bench_vectors(const char *folder, const char *out)
{
    char path[4096];
    double sum = 0, worst = 0;
    size_t i, count = 0;
    json_t *meta;
    snprintf(path, sizeof path, "%s/index.json", folder);
    json_t *index = json_load_file(path, 0, NULL);
    if (!index)
        die("cannot be read", path);
    json_array_foreach(json_object_get(index, "cases"), i, meta)
    {
        struct vector v = {meta, load_part(folder, meta, "expect"),
                           load_part(folder, meta, "levels"),
                           load_part(folder, meta, "base"),
                           load_part(folder, meta, "history")};
        struct writer wr;
        long long theirs = number_of(meta, "bytes");
        long long parameters = number_of(meta, "parameters");
        writer_init_heap(&wr, 1u << 30);
        code_vector(&v, &wr);
        double ratio = (double)wr.size / (double)theirs;
        printf("{\"case\": \"%s\", \"parameters\": %lld, \"bytes\": %zu, "
               "\"reference\": %lld, \"ratio\": %.4f}\n",
               text_of(meta, "id"), parameters, wr.size, theirs, ratio);
        if (parameters >= SIZE_FLOOR) {
            sum += ratio;
            worst = ratio > worst ? ratio : worst;
            count++;
        }
        if (out)
            save(out, text_of(meta, "stream"), writer_view(&wr));
        writer_deinit(&wr);
        free(v.expect);
        free(v.levels);
        free(v.base);
        free(v.history);
    }
    printf("{\"case\": \"vectors\", \"of_parameters\": %d, \"count\": %zu, "
           "\"mean_ratio\": %.4f, \"largest_ratio\": %.4f}\n",
           SIZE_FLOOR, count, count ? sum / (double)count : 0, worst);
    json_decref(index);
}

/* Speed */

static uint32_t random_u32(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static int32_t laplace(uint64_t *state, double scale)
{
    double u = (random_u32(state) + 0.5) / 4294967296.0 - 0.5;
    double x = -scale * (u < 0 ? -1 : 1) * log(1 - 2 * fabs(u));
    return (int32_t)nearbyint(x);
}

static void speed(const char *what, const int32_t *levels, uint64_t rows,
                  uint64_t columns, int tensors, bool dq, int repeats,
                  const char *only)
{
    if (!strstr(what, only))
        return;
    double best = 1e9;
    size_t size = 0;
    struct nnc_tensor about = {.name = "w",
                               .name_size = 1,
                               .rank = 2,
                               .shape = {rows, columns},
                               .elem_count = rows * columns,
                               .kind = NNC_UNIFORM,
                               .qp = -32,
                               .dq = dq};
    for (int r = 0; r < repeats; r++) {
        struct nnc_enc *enc;
        struct writer wr;
        writer_init_heap(&wr, 1u << 30);
        struct nnc_enc_params params = {
            .out = &wr, .profile = 1, .qp_density = 2};
        double start = now();
        if (nnc_enc_new(&params, &enc))
            die("cannot be begun", what);
        for (int i = 0; i < tensors; i++) {
            struct nnc_enc_data data = {.levels = levels +
                                                  (uint64_t)i * rows * columns};
            if (nnc_enc_tensor(enc, &about, &data, NULL))
                die("cannot be coded", what);
        }
        double took = now() - start;
        best = took < best ? took : best;
        size = wr.size;
        nnc_enc_free(enc);
        writer_deinit(&wr);
    }
    double count = (double)rows * (double)columns * tensors;
    printf("{\"case\": \"%s\", \"parameters\": %.0f, \"bits\": %.3f, "
           "\"encode_mp_s\": %.1f}\n",
           what, count, (double)size * 8 / count, count / best / 1e6);
}

/* All float32 tensors of a file, rounded to the nearest: matrices at qp -32,
 * the others at -75, as one stream. */
struct rounded {
    struct nnc_tensor about;
    int32_t *levels;
};

static size_t round_file(const struct file *file, struct rounded *rounded,
                         size_t max)
{
    const char *name;
    json_t *info, *dim;
    size_t count = 0, i;
    json_object_foreach(file->header, name, info)
    {
        struct rounded *r = &rounded[count];
        struct bytes data;
        enum dtype dtype;
        if (count == max || !tensor_of(file, info, &dtype, &data) ||
            dtype != DTYPE_F32)
            continue;
        *r = (struct rounded){{.name = name,
                               .name_size = strlen(name),
                               .elem_count = data.size / 4,
                               .kind = NNC_UNIFORM},
                              calloc(data.size / 4 + 1, 4)};
        json_array_foreach(json_object_get(info, "shape"), i, dim)
            r->about.shape[r->about.rank++] = (uint64_t)json_integer_value(dim);
        if (!r->about.rank)
            r->about.shape[r->about.rank++] = 1;
        r->about.qp = r->about.rank > 1 ? -32 : -75;
        r->about.parameter_id = (uint32_t)count++;
        double step = ldexp(4 + (r->about.qp & 3), (r->about.qp >> 2) - 2);
        for (uint64_t e = 0; e < r->about.elem_count; e++) {
            uint32_t bits = load_le32(data.data + 4 * e);
            float v;
            memcpy(&v, &bits, sizeof v);
            r->levels[e] = (int32_t)nearbyint((double)v / step);
        }
    }
    return count;
}

#define FILE_TENSORS 4096u

static void bench_file(const char *path, int repeats)
{
    struct rounded *rounded = calloc(FILE_TENSORS, sizeof *rounded);
    struct file file;
    double best = 1e9, total = 0;
    size_t size = 0;
    if (!rounded)
        die("no memory", path);
    file_load(&file, path);
    size_t count = round_file(&file, rounded, FILE_TENSORS);
    for (size_t i = 0; i < count; i++)
        total += (double)rounded[i].about.elem_count;
    for (int r = 0; r < repeats; r++) {
        struct nnc_enc *enc;
        struct writer wr;
        writer_init_heap(&wr, 1u << 30);
        struct nnc_enc_params params = {
            .out = &wr, .profile = 1, .qp_density = 2};
        double start = now();
        if (nnc_enc_new(&params, &enc))
            die("cannot be begun", path);
        for (size_t i = 0; i < count; i++) {
            struct nnc_enc_data data = {.levels = rounded[i].levels};
            if (nnc_enc_tensor(enc, &rounded[i].about, &data, NULL))
                die("cannot be coded", path);
        }
        double took = now() - start;
        best = took < best ? took : best;
        size = wr.size;
        nnc_enc_free(enc);
        writer_deinit(&wr);
    }
    printf("{\"case\": \"file\", \"tensors\": %zu, \"parameters\": %.0f, "
           "\"bytes\": %zu, \"encode_mp_s\": %.1f}\n",
           count, total, size, total / best / 1e6);
    for (size_t i = 0; i < count; i++)
        free(rounded[i].levels);
    free(rounded);
    json_decref(file.header);
    free(file.data);
}

/* Levels that dependent quantisation can produce. */
static void make_consistent(int32_t *levels, uint64_t count)
{
    static const uint8_t next[8][2] = {{0, 2}, {7, 5}, {1, 3}, {6, 4},
                                       {2, 0}, {5, 7}, {3, 1}, {4, 6}};
    int state = 0;
    for (uint64_t i = 0; i < count; i++) {
        int32_t k = levels[i], odd = state & 1;
        levels[i] = 2 * k - (k > 0 ? odd : k < 0 ? -odd : 0);
        state = next[state][k & 1];
    }
}

static void bench_speed(int repeats, const char *only)
{
    uint64_t count = 1u << 20, seed = 1;
    int32_t *levels = malloc(count * sizeof *levels);
    if (!levels)
        die("no memory", "speed");
    for (uint64_t i = 0; i < count; i++)
        levels[i] = laplace(&seed, 2.9);
    speed("laplace", levels, 1024, 1024, 1, false, repeats, only);
    speed("laplace, 512 tensors", levels, 32, 64, 512, false, repeats, only);
    speed("laplace, 4096 tensors", levels, 16, 16, 4096, false, repeats, only);
    make_consistent(levels, count);
    speed("laplace, dq", levels, 1024, 1024, 1, true, repeats, only);
    for (uint64_t i = 0; i < count; i++)
        levels[i] = random_u32(&seed) % 128 ? 0 : laplace(&seed, 2.9);
    speed("sparse", levels, 1024, 1024, 1, false, repeats, only);
    for (uint64_t i = 0; i < count; i++)
        levels[i] =
            i / 1024 % 16 || random_u32(&seed) % 16 ? 0 : laplace(&seed, 2.9);
    speed("sparse rows", levels, 1024, 1024, 1, false, repeats, only);
    free(levels);
}

int main(int argc, char **argv)
{
    const char *out = NULL, *only = "", *file = NULL;
    int opt, repeats = 3;
    while ((opt = getopt(argc, argv, "k:n:o:s:")) != -1) {
        if (opt == 'n')
            repeats = atoi(optarg);
        else if (opt == 'o')
            out = optarg;
        else if (opt == 's')
            file = optarg;
        else if (opt == 'k')
            only = optarg;
        else
            return 2;
    }
    if (optind < argc)
        bench_vectors(argv[optind], out);
    if (file)
        bench_file(file, repeats);
    else if (repeats > 0)
        bench_speed(repeats, only);
    return 0;
}
