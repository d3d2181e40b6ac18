/* nnc_write NAME ROWS COLUMNS < VALUES > STREAM: an NNC stream of one matrix of
 * native binary32 values, with an error of at most a twentieth of them.
 *
 *     cc nnc_write.c $(pkg-config --cflags --libs deltamesh-codec) */
#include "files.h"

#include <deltamesh/nnc.h>
#include <stdlib.h>

/* count values of standard input, or NULL. */
static float *read_values(uint64_t count)
{
    float *values = malloc((size_t)count * sizeof(*values) + 1);
    if (values && fread(values, sizeof(*values), (size_t)count, stdin) == count)
        return values;
    free(values);
    fprintf(stderr, "not so many values\n");
    return NULL;
}

static enum dmc_status write_matrix(const struct dmc_nnc_tensor *tensor,
                                    const float *values,
                                    struct dmc_error *error)
{
    struct dmc_sink out = files_sink(stdout);
    struct dmc_nnc_quant quant;
    struct dmc_nnc_result result;
    struct dmc_nnc_enc *enc;
    dmc_nnc_quant_init(&quant);
    quant.aim = DMC_NNC_AIM_SHARE;
    quant.error = 0.05;
    dmc_nnc_result_init(&result);
    enum dmc_status status = dmc_nnc_enc_new(&out, NULL, &enc, error);
    if (!status)
        status =
            dmc_nnc_enc_floats(enc, tensor, values, &quant, &result, error);
    if (!status)
        status = dmc_nnc_enc_finish(enc, error);
    dmc_nnc_enc_free(enc);
    if (!status)
        fprintf(stderr, "%llu bytes, no value is off by more than %g\n",
                (unsigned long long)result.coded_size, result.max_error);
    return status;
}

int main(int argc, char **argv)
{
    struct dmc_nnc_tensor tensor;
    struct dmc_error error;
    if (argc != 4)
        return 2;
    uint64_t shape[2] = {strtoul(argv[2], NULL, 10),
                         strtoul(argv[3], NULL, 10)};
    dmc_nnc_tensor_init(&tensor);
    tensor.name = argv[1];
    tensor.shape = shape;
    tensor.rank = 2;
    tensor.elem_count = shape[0] * shape[1];
    float *values = read_values(tensor.elem_count);
    if (!values)
        return 2;
    enum dmc_status status = write_matrix(&tensor, values, &error);
    if (status)
        fprintf(stderr, "%s: %s\n", argv[0], error.text);
    free(values);
    return status || fflush(stdout) ? 1 : 0;
}
