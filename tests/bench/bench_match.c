/* Tells what of a target is matched to what of its base, one JSON line a pair.
 *
 *   bench_match [-v] BASE TARGET [BASE TARGET]...
 *
 * A content of several files is their paths with commas between. Bytes of
 * tensors are counted as `plain` (one to one), `moved` (with a place that is
 * not: windows, casts, transposes), `like` and `none`; `off` is the size of
 * what is left of float tensors with a place after subtracting the base,
 * relative to their values. With -v there is a line for each match, and how
 * much was read. */
#include "codec/lossless/match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PARTS_MAX 32
#define STRETCH   4096

struct content {
    uint8_t *data;
    size_t size;
    uint64_t reads, bytes_read;
    struct model_part parts[PARTS_MAX];
    size_t part_count;
    struct source source;
    struct model *model;
    char *paths;
};

struct sums {
    double left, all;
    uint64_t plain, moved, like, none, gaps;
};

static void die(const char *what, const char *which)
{
    fprintf(stderr, "bench_match: %s: %s\n", which, what);
    exit(2);
}

static enum status content_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    struct content *c = ctx;
    c->reads++;
    c->bytes_read += size;
    memcpy(out, c->data + offset, size);
    return STATUS_OK;
}

static void content_append(struct content *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) || c->part_count == PARTS_MAX)
        die("cannot be opened", path);
    size_t size = (size_t)ftell(f);
    rewind(f);
    c->data = realloc(c->data, c->size + size + 1);
    if (!c->data || fread(c->data + c->size, 1, size, f) != size)
        die("cannot be read", path);
    fclose(f);
    c->parts[c->part_count++] = (struct model_part){path, c->size, size};
    c->size += size;
}

static void content_open(struct content *c, const char *list)
{
    struct diag diag;
    memset(c, 0, sizeof(*c));
    diag_reset(&diag);
    c->paths = strdup(list);
    for (char *path = strtok(c->paths, ","); path; path = strtok(NULL, ","))
        content_append(c, path);
    c->source = (struct source){content_read, c, c->size};
    if (model_parse(&c->source, c->parts, c->part_count, &c->model, &diag))
        die("cannot be parsed", list);
    c->reads = c->bytes_read = 0;
}

static void content_close(struct content *c)
{
    model_free(c->model);
    free(c->data);
    free(c->paths);
}

static double value_of(enum dtype dtype, const uint8_t *p)
{
    float single;
    double wide;
    uint32_t bits = load_le32(p);
    if (dtype == DTYPE_F64) {
        memcpy(&wide, p, 8);
        return wide;
    }
    if (dtype == DTYPE_BF16)
        bits <<= 16;
    if (dtype == DTYPE_F16)
        return ldexp((bits & 1023) + (bits >> 10 & 31 ? 1024 : 0),
                     (int)(bits >> 10 & 31) - 25) *
               (bits & 0x8000 ? -1 : 1);
    memcpy(&single, &bits, 4);
    return single;
}

/* Energy of the target, and of its difference to the base. */
static void compare(const struct match *m, struct content *base,
                    struct content *target, double *left, double *all)
{
    static uint8_t out[STRETCH * 8 + 8];
    size_t width = dtype_bits(m->tensor->dtype) / 8;
    size_t base_width = dtype_bits(m->base_dtype) / 8;
    uint64_t count = m->size / width;
    *left = *all = 0;
    for (uint64_t at = 0; at < count; at += STRETCH) {
        size_t n = count - at < STRETCH ? (size_t)(count - at) : STRETCH;
        if (match_gather_read(m, &base->source, at, n, out))
            die("a match cannot be gathered", m->tensor->name);
        for (size_t i = 0; i < n; i++) {
            uint8_t t[8] = {0};
            memcpy(t, target->data + m->target_offset + (at + i) * width,
                   width);
            double a = value_of(m->tensor->dtype, t);
            double b = value_of(m->base_dtype, out + i * base_width);
            if (!isfinite(a) || !isfinite(b))
                continue;
            *all += a * a;
            *left += (a - b) * (a - b);
        }
    }
}

static const char *base_name(const struct content *c, const struct match *m)
{
    for (size_t i = 0; i < c->model->tensor_count; i++) {
        const struct tensor *t = &c->model->tensors[i];
        if (m->base_offset >= t->offset && m->base_offset < t->offset + t->size)
            return t->name;
    }
    return "?";
}

static void count(struct sums *sums, const struct match *m,
                  struct content *base, struct content *target, bool verbose)
{
    double left = 0, all = 0;
    if (!m->tensor) {
        sums->gaps += m->size;
        return;
    }
    if (!m->base_size)
        sums->none += m->size;
    else if (m->like)
        sums->like += m->size;
    else if (match_is_plain(m))
        sums->plain += m->size;
    else
        sums->moved += m->size;
    if (match_has_places(m) && dtype_is_float(m->tensor->dtype))
        compare(m, base, target, &left, &all);
    sums->left += left;
    sums->all += all;
    if (verbose)
        printf("  %-44s %9llu <- %-44s %s%s%s runs %u off %.3g\n",
               m->tensor->name, (unsigned long long)m->size,
               m->base_size ? base_name(base, m) : "-", m->like ? "like " : "",
               m->columns ? "window " : "", m->transposed ? "turned " : "",
               m->run_count, all > 0 ? sqrt(left / all) : 0);
}

static void report(const char *base_list, const char *target_list, bool verbose)
{
    struct content base, target;
    struct match_list list;
    struct sums sums = {0};
    struct timespec from, to;
    content_open(&base, base_list);
    content_open(&target, target_list);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    if (match_contents(&base.source, base.model, &target.source, target.model,
                       &list))
        die("cannot be matched", target_list);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    unsigned long long reads = base.reads + target.reads;
    unsigned long long bytes = base.bytes_read + target.bytes_read;
    for (size_t i = 0; i < list.count; i++)
        count(&sums, &list.items[i], &base, &target, verbose);
    double tensors =
        (double)(sums.plain + sums.moved + sums.like + sums.none) / 100;
    tensors = tensors > 0 ? tensors : 1;
    printf("{\"base\":\"%s\",\"target\":\"%s\",\"plain_percent\":%.2f,"
           "\"moved_percent\":%.2f,\"like_percent\":%.2f,"
           "\"none_percent\":%.2f,\"other_bytes\":%llu,\"off\":%.4f,"
           "\"matches\":%zu,\"reads\":%llu,\"bytes_read\":%llu,"
           "\"ms\":%.1f}\n",
           base_list, target_list, (double)sums.plain / tensors,
           (double)sums.moved / tensors, (double)sums.like / tensors,
           (double)sums.none / tensors, (unsigned long long)sums.gaps,
           sums.all > 0 ? sqrt(sums.left / sums.all) : 0, list.count, reads,
           bytes,
           1e3 * (double)(to.tv_sec - from.tv_sec) +
               1e-6 * (double)(to.tv_nsec - from.tv_nsec));
    match_list_free(&list);
    content_close(&base);
    content_close(&target);
}

int main(int argc, char **argv)
{
    bool verbose = false;
    for (int c; (c = getopt(argc, argv, "v")) != -1;)
        verbose = c == 'v';
    if (argc - optind < 2 || (argc - optind) % 2)
        die("usage: bench_match [-v] BASE TARGET [BASE TARGET]...", "-");
    for (int i = optind; i < argc; i += 2)
        report(argv[i], argv[i + 1], verbose);
    return 0;
}
