#include "codec/nnc/ndu_write.h"

#include "codec/nnc/bit_put.h"

#define EGK_MAX 15u

/* Sum over a codebook's gaps, which are coded less one. */
static uint64_t gaps_bits(const struct nnc_codebook *cb, uint32_t egk)
{
    uint64_t bits = 0;
    for (uint32_t i = 1; i < cb->size; i++) {
        int64_t gap = (int64_t)cb->values[i] - cb->values[i - 1] - 1;
        bits += bit_put_ue_bits((uint64_t)gap, egk);
    }
    return bits;
}

static uint32_t best_egk(const struct nnc_codebook *cb)
{
    uint64_t least = UINT64_MAX;
    uint32_t best = 0;
    for (uint32_t egk = 0; egk <= EGK_MAX; egk++) {
        uint64_t bits = gaps_bits(cb, egk);
        if (bits < least) {
            least = bits;
            best = egk;
        }
    }
    return best;
}

static void put_codebook(struct bit_put *bp, const struct nnc_codebook *cb)
{
    uint32_t egk = best_egk(cb);
    bit_put_u(bp, egk, 4);
    bit_put_ue(bp, cb->size, 2);
    bit_put_ie(bp, (int64_t)cb->zero - (cb->size >> 1), 2);
    bit_put_ie(bp, cb->values[cb->zero], 7);
    for (uint32_t i = cb->zero; i > 0; i--)
        bit_put_ue(bp,
                   (uint64_t)((int64_t)cb->values[i] - cb->values[i - 1] - 1),
                   egk);
    for (uint32_t i = cb->zero + 1; i < cb->size; i++)
        bit_put_ue(bp,
                   (uint64_t)((int64_t)cb->values[i] - cb->values[i - 1] - 1),
                   egk);
}

static void put_names(struct bit_put *bp, const struct ndu_fields *f)
{
    if (f->name_count > 1) {
        bit_put_ue(bp, f->name_count - 2, 7);
        bit_put_align(bp);
    }
    for (size_t i = 0; i < f->name_count; i++)
        bit_put_text(bp, (const char *)f->names[i].data, f->names[i].size);
}

static void put_node(struct bit_put *bp, const struct ndu_fields *f)
{
    if (f->profile != 1)
        return;
    bit_put_u(bp, f->node_id, 1);
    if (f->node_id) {
        bit_put_ue(bp, f->device_id, 1);
        bit_put_ue(bp, f->parameter_id, 5);
        bit_put_ue(bp, f->put_node_depth, 4);
    }
    if (!f->parents)
        return;
    bit_put_u(bp, f->has_parent, 1);
    if (!f->has_parent)
        return;
    bit_put_u(bp, 0, 2); /* by node id */
    bit_put_u(bp, f->temporal, 1);
    bit_put_ue(bp, f->device_id, 1);
}

static void put_coding(struct bit_put *bp, const struct ndu_fields *f)
{
    if (f->type == NDU_FLOAT || f->type == NDU_BLOCK) {
        bit_put_u(bp, f->codebook != NULL, 1);
        if (f->codebook)
            put_codebook(bp, f->codebook);
    }
    if (f->type != NDU_RAW_FLOAT)
        bit_put_u(bp, f->dq, 1);
}

static void put_shape(struct bit_put *bp, const struct ndu_fields *f)
{
    bool unary = f->long_form || f->unary != 10;
    bit_put_u(bp, 1, 1);
    bit_put_u(bp, unary, 1);
    bit_put_u(bp, f->parts, 4);
    if (f->parts & NDU_HAS_GH) {
        bit_put_ue(bp, f->decomposition_rank, 3);
        bit_put_ue(bp, f->g_rows, 3);
    }
    bit_put_ue(bp, f->rank, 1);
    for (uint32_t i = 0; i < f->rank; i++)
        bit_put_ue(bp, f->shape[i], 7);
    if (unary)
        bit_put_u(bp, f->unary - 1u, 8);
    if (f->codebook_h)
        put_codebook(bp, f->codebook_h);
}

static void put_scan(struct bit_put *bp, const struct ndu_fields *f)
{
    if (f->rank < 2)
        return;
    if (f->profile == 1)
        bit_put_ue(bp, 0, 1); /* first_tensor_dimension_shift */
    bit_put_u(bp, f->scan_order, 4);
    for (size_t i = 0; f->scan_order && i < f->entry_count; i++) {
        const struct ndu_entry *e = &f->entries[i];
        bit_put_u(bp, e->value, 8);
        if (f->dq)
            bit_put_u(bp, e->state, 3);
        if (i)
            bit_put_ie(bp, (int64_t)e->bit_offset - (int64_t)e[-1].bit_offset,
                       7);
        else
            bit_put_ue(bp, e->bit_offset, 11);
    }
}

void ndu_write(struct writer *wr, const struct ndu_fields *f)
{
    struct bit_put bp;
    bit_put_init(&bp, wr);
    bit_put_u(&bp, f->type, 5);
    bit_put_u(&bp, f->name_count > 1, 1);
    bit_put_u(&bp, 0, 1); /* no data format */
    bit_put_u(&bp, 1, 1); /* input parameters */
    put_names(&bp, f);
    put_node(&bp, f);
    put_coding(&bp, f);
    put_shape(&bp, f);
    put_scan(&bp, f);
    bit_put_align(&bp);
}
