/* Any stream as a model: what is read makes a safetensors file that our reader
 * takes, and goes into a model of the same names where shapes fit. */
#include "codec/base/writer.h"
#include "codec/model/safetensors.h"
#include "codec/nnc/nnc_model_read.h"
#include "tests/support/tiny_model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX   ((size_t)1 << 24)
#define ELEMS_MAX ((uint64_t)1 << 18)

static enum status put(void *ctx, struct bytes bytes)
{
    struct writer *out = ctx;
    writer_bytes(out, bytes.data, bytes.size);
    return writer_status(out);
}

/* A file of our own has all tensors of the stream. */
static void check_file(const struct nnc_entries *entries,
                       const struct source *values)
{
    struct writer out;
    struct arena arena;
    struct tensor *tensors;
    size_t count;
    writer_init_heap(&out, 2 * OUT_MAX);
    arena_init(&arena, 64u << 20);
    enum status status = nnc_model_file(entries, values, put, &out, NULL);
    struct source file = source_of_bytes(writer_view(&out));
    if (!status && (safetensors_parse(&file, &arena, &tensors, &count, NULL) ||
                    count != entries->count))
        abort();
    arena_deinit(&arena);
    writer_deinit(&out);
}

static void check_patch(const struct nnc_entries *entries,
                        const struct source *values)
{
    static const struct tiny_tensor tiny[] = {
        {"a", DTYPE_F32, 7, 0, 1, 0, 0, 0}, {"w", DTYPE_F16, 2, 2, 2, 0, 0, 0}};
    struct writer out;
    struct model *model = NULL;
    struct nnc_names names = {.name = NULL};
    size_t size = 0;
    uint8_t *data = tiny_model_new(tiny, 2, &size);
    struct source base = source_of_bytes(bytes_of(data, size));
    writer_init_heap(&out, OUT_MAX);
    if (data && !model_parse_file(&base, "a.safetensors", &model, NULL) &&
        !nnc_names_of_model(&names, model)) {
        const struct nnc_patch_params params = {.base = &base,
                                                .model = model,
                                                .names = &names,
                                                .entries = entries,
                                                .values = values,
                                                .put = put,
                                                .put_ctx = &out};
        if (!nnc_model_patch(&params) && out.size != size)
            abort();
    }
    nnc_names_deinit(&names);
    model_free(model);
    writer_deinit(&out);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct writer apart;
    struct nnc_entries entries;
    struct source in = source_of_bytes(bytes_of(data, size));
    const struct nnc_read_params params = {
        .dec = {.in = &in, .limits = {ELEMS_MAX, 2 * ELEMS_MAX, 0}},
        .put = put,
        .put_ctx = &apart};
    writer_init_heap(&apart, OUT_MAX);
    enum status status = nnc_model_read(&params, &entries);
    struct source values = source_of_bytes(writer_view(&apart));
    if (!status) {
        if (apart.size != entries.values_size)
            abort();
        check_file(&entries, &values);
        check_patch(&entries, &values);
    }
    nnc_entries_deinit(&entries);
    writer_deinit(&apart);
    return 0;
}
