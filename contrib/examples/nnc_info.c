/* nnc_info STREAM: the tensors of an NNC stream, what they take, what is in
 * them.
 *
 *     cc nnc_info.c $(pkg-config --cflags --libs deltamesh-codec) */
#include "files.h"

#include <deltamesh/nnc.h>
#include <stdlib.h>

/* Elements whose level is not 0. */
static uint64_t count_changed(const int32_t *levels, uint64_t count)
{
    uint64_t changed = 0;
    for (uint64_t i = 0; levels && i < count; i++)
        changed += levels[i] != 0;
    return changed;
}

static void print_tensor(const struct dmc_nnc_dec *dec,
                         const struct dmc_nnc_tensor *tensor)
{
    static const char *const kinds[] = {"int", "uniform", "codebook", "raw"};
    const int32_t *levels = dmc_nnc_dec_levels(dec);
    printf("%-40s %-8s [", tensor->name,
           tensor->kind < 4 ? kinds[tensor->kind] : "?");
    for (uint32_t i = 0; i < tensor->rank; i++)
        printf("%s%llu", i ? " " : "", (unsigned long long)tensor->shape[i]);
    printf("] %llu bytes", (unsigned long long)tensor->coded_size);
    if (levels)
        printf(", qp %d%s, %llu of %llu not 0", (int)tensor->qp,
               tensor->dq ? " dependent" : "",
               (unsigned long long)count_changed(levels, tensor->elem_count),
               (unsigned long long)tensor->elem_count);
    printf("\n");
}

static enum dmc_status print_stream(const struct dmc_nnc_dec *dec)
{
    struct dmc_nnc_stream stream;
    memset(&stream, 0, sizeof(stream));
    stream.struct_size = sizeof(stream);
    enum dmc_status status = dmc_nnc_dec_stream(dec, &stream);
    if (!status)
        printf("profile %u%s\n", (unsigned)stream.profile,
               stream.incremental ? ", incremental" : "");
    return status;
}

int main(int argc, char **argv)
{
    const struct dmc_nnc_tensor *tensor;
    struct dmc_nnc_state *state = NULL;
    struct dmc_nnc_dec_params params;
    struct dmc_nnc_dec *dec = NULL;
    struct dmc_source source;
    struct dmc_error error = {""};
    if (argc < 2)
        return 2;
    dmc_nnc_dec_params_init(&params);
    enum dmc_status status = dmc_nnc_state_new(&state);
    params.state = state;
    /* More than one: each builds on those before. */
    for (int i = 1; !status && i < argc; i++) {
        FILE *file = files_open(argv[i], &source);
        if (!file)
            return 2;
        status = dmc_nnc_dec_new(&source, &params, &dec, &error);
        while (!status && !(status = dmc_nnc_dec_next(dec, &tensor, &error)) &&
               tensor)
            print_tensor(dec, tensor);
        if (!status)
            status = print_stream(dec);
        dmc_nnc_dec_free(dec);
        fclose(file);
    }
    dmc_nnc_state_free(state);
    if (status)
        fprintf(stderr, "%s: %s: %s\n", argv[0], dmc_status_text(status),
                error.text);
    return status ? 1 : 0;
}
