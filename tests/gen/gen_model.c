/* Writes a safetensors model of any size from a seed, or a fine-tuned
 * successor of one, without holding it: what benches and load tests move.
 *
 *   gen_model -o OUT [--seed N] [--bytes N[k|M|G]] [--dtype F32|BF16|F16|F64]
 *             [--tensors N] [--steps N] [--rate R] [--changed PERCENT]
 *             [--columns N] [--rank N]
 *
 * --steps 0 is the base; --steps k is what the base became after k rounds, so
 * a sequence is the same command with rising --steps. Each round adds to every
 * weight a step of about R times a typical weight; with --changed only that
 * share of the tensors moves. With --columns tensors are matrices, and with
 * --rank steps are of that rank but for a tenth that is noise. Integer
 * arithmetic makes the noise, one double multiplication scales it: the same
 * file on every machine. */
#include "codec/base/bytes.h"
#include "codec/model/dtype.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct options {
    const char *out;
    uint64_t seed, bytes;
    enum dtype dtype;
    unsigned tensors, steps, changed, columns, rank;
    double rate;
};

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Close to normal, mean 0, deviation 1: the sum of four 16-bit uniforms. */
static double noise(uint64_t key)
{
    uint64_t r = mix(key);
    int64_t sum = (int64_t)(r & 0xffff) + (int64_t)(r >> 16 & 0xffff) +
                  (int64_t)(r >> 32 & 0xffff) + (int64_t)(r >> 48);
    return (double)(sum - 131070) * (1.0 / 37837.0);
}

static uint16_t bf16_from_f32(uint32_t bits)
{
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Normal numbers and zero suffice here; the rest flushes to zero. */
static uint16_t f16_from_f32(uint32_t bits)
{
    uint32_t sign = bits >> 16 & 0x8000;
    int exponent = (int)(bits >> 23 & 0xff) - 127 + 15;
    if (exponent <= 0 || exponent >= 31)
        return (uint16_t)sign;
    uint32_t v = (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff);
    return (uint16_t)(sign | (v + (bits >> 12 & 1)));
}

static void put_element(enum dtype dtype, double value, uint8_t *out)
{
    float f = (float)value;
    uint32_t bits;
    uint64_t wide;
    memcpy(&bits, &f, 4);
    memcpy(&wide, &value, 8);
    if (dtype == DTYPE_F32)
        store_le32(out, bits);
    else if (dtype == DTYPE_F64)
        store_le64(out, wide);
    else
        store_le16(out, dtype == DTYPE_BF16 ? bf16_from_f32(bits)
                                            : f16_from_f32(bits));
}

/* One element of a step of low rank, deviation 1. */
static double low_rank(const struct options *opt, uint64_t tensor,
                       uint64_t index, unsigned step)
{
    uint64_t key = mix(opt->seed ^ tensor << 40 ^ (uint64_t)step << 32);
    double sum = 0, scale = opt->rank;
    for (unsigned k = 0; k < opt->rank; k++)
        sum += noise(mix(key + 2 * k) + index / opt->columns) *
               noise(mix(key + 2 * k + 1) + index % opt->columns);
    while (scale > opt->rank / scale)
        scale /= 1.25;
    return sum / scale;
}

static double weight(const struct options *opt, uint64_t tensor, uint64_t index)
{
    uint64_t key = mix(opt->seed ^ tensor << 40) ^ index;
    double value = noise(key) * 0.05;
    if (mix(opt->seed + tensor) % 100 >= opt->changed)
        return value;
    for (unsigned s = 1; s <= opt->steps; s++) {
        double step = noise(mix(key) + s);
        if (opt->rank)
            step = step * 0.1 + low_rank(opt, tensor, index, s);
        value += step * 0.05 * opt->rate;
    }
    return value;
}

static int write_model(const struct options *opt, FILE *out)
{
    unsigned elem = dtype_bits(opt->dtype) / 8;
    uint64_t each = opt->bytes / elem / opt->tensors;
    char columns[16] = "";
    uint64_t rows = each;
    if (opt->columns) {
        rows = each / opt->columns;
        each = rows * opt->columns;
        snprintf(columns, sizeof(columns), ",%u", opt->columns);
    }
    size_t cap = 64 + (size_t)opt->tensors * 128, used;
    char *header = malloc(cap);
    uint8_t block[8 * 1024];
    if (!header)
        return -1;
    used = (size_t)snprintf(header, cap, "{");
    for (unsigned t = 0; t < opt->tensors; t++)
        used += (size_t)snprintf(
            header + used, cap - used,
            "%s\"layer.%u.weight\":{\"dtype\":\"%s\",\"shape\":[%" PRIu64
            "%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
            t ? "," : "", t, dtype_name(opt->dtype), rows, columns,
            t * each * elem, (t + 1) * each * elem);
    used += (size_t)snprintf(header + used, cap - used, "}");
    while (used % 8)
        header[used++] = ' ';
    store_le64(block, used);
    fwrite(block, 1, 8, out);
    fwrite(header, 1, used, out);
    free(header);
    for (unsigned t = 0; t < opt->tensors; t++)
        for (uint64_t i = 0; i < each;) {
            size_t n = 0;
            for (; n < sizeof(block) / 8 && i < each; n++, i++)
                put_element(opt->dtype, weight(opt, t, i), block + n * elem);
            fwrite(block, elem, n, out);
        }
    return ferror(out) ? -1 : 0;
}

static uint64_t parse_size(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);
    return *end == 'k'   ? v << 10
           : *end == 'M' ? v << 20
           : *end == 'G' ? v << 30
                         : v;
}

static int usage(void)
{
    fputs("usage: gen_model -o OUT [--seed N] [--bytes N[k|M|G]] [--dtype T]\n"
          "                 [--tensors N] [--steps N] [--rate R]\n"
          "                 [--changed PERCENT] [--columns N] [--rank N]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct options opt = {.seed = 1,
                          .bytes = 1 << 20,
                          .dtype = DTYPE_F32,
                          .tensors = 16,
                          .changed = 100,
                          .rate = 0.001};
    static const struct option table[] = {
        {"seed", 1, NULL, 's'},    {"bytes", 1, NULL, 'b'},
        {"dtype", 1, NULL, 'd'},   {"tensors", 1, NULL, 't'},
        {"steps", 1, NULL, 'k'},   {"rate", 1, NULL, 'r'},
        {"changed", 1, NULL, 'c'}, {"columns", 1, NULL, 'C'},
        {"rank", 1, NULL, 'R'},    {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "o:", table, NULL)) != -1;) {
        if (c == 'o')
            opt.out = optarg;
        else if (c == 's')
            opt.seed = strtoull(optarg, NULL, 10);
        else if (c == 'b')
            opt.bytes = parse_size(optarg);
        else if (c == 'd' &&
                 !dtype_from_name(optarg, strlen(optarg), &opt.dtype))
            return usage();
        else if (c == 't')
            opt.tensors = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'k')
            opt.steps = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'r')
            opt.rate = strtod(optarg, NULL);
        else if (c == 'c')
            opt.changed = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'C')
            opt.columns = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'R')
            opt.rank = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == '?')
            return usage();
    }
    if (!opt.out || optind != argc || !opt.tensors || opt.tensors > 100000 ||
        !dtype_is_float(opt.dtype) || (opt.rank && !opt.columns))
        return usage();
    FILE *out = fopen(opt.out, "wb");
    int bad = !out || write_model(&opt, out);
    if (out)
        bad |= fclose(out) != 0;
    if (bad)
        fprintf(stderr, "gen_model: %s: %s\n", opt.out, strerror(errno));
    return bad ? 1 : 0;
}
