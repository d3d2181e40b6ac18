/* A block of two tensors and no more. */
#include "codec/nnc/nnc_lowrank.h"

#include <stdlib.h>
#include <string.h>

#define ENDING 2u /* bytes of one */

static char *name_part(const struct nnc_tensor *weight, const char *ending)
{
    char *name = malloc(weight->name_size + ENDING + 1);
    if (!name)
        return NULL;
    memcpy(name, weight->name, weight->name_size);
    memcpy(name + weight->name_size, ending, ENDING + 1);
    return name;
}

static struct nnc_tensor part_of(const struct nnc_tensor *weight,
                                 enum nnc_part part, const char *name, int qp,
                                 uint64_t rows, uint64_t columns)
{
    return (struct nnc_tensor){
        .name = name,
        .name_size = weight->name_size + ENDING,
        .rank = 2,
        .shape = {rows, columns},
        .elem_count = rows * columns,
        .kind = NNC_UNIFORM,
        .part = part,
        .qp = qp,
        .qp_density = weight->qp_density,
        .device_id = weight->device_id,
        .parameter_id = weight->parameter_id,
        .put_node_depth = weight->put_node_depth,
        .has_parent = weight->has_parent,
    };
}

enum status nnc_lowrank_put(struct nnc_enc *enc,
                            const struct nnc_tensor *weight,
                            const struct rd_lowrank *low, uint64_t *size)
{
    char *g = name_part(weight, NNC_LOWRANK_G);
    char *h = name_part(weight, NNC_LOWRANK_H);
    enum status status = STATUS_NO_MEMORY;
    *size = 0;
    if (g && h) {
        const struct nnc_tensor parts[] = {
            part_of(weight, NNC_G, g, low->g_qp, low->rows, low->rank),
            part_of(weight, NNC_H, h, low->h_qp, low->rank, low->columns),
        };
        const struct nnc_enc_data data[] = {{.levels = low->g},
                                            {.levels = low->h}};
        status = nnc_enc_block(enc, parts, data, 2, weight->shape, weight->rank,
                               size);
    }
    free(g);
    free(h);
    return status;
}
