/* Any integers must come back, whatever the settings. Seven bytes choose them:
 * kind and flags, scan and unary length, rules of the writer, rows, columns,
 * scale of the integers, of the codebook. The rest are integers, repeated as
 * often as needed; an incremental stream comes after another one. The same
 * integers then are both factors of a weight. */
#include "codec/nnc/nnc_dec.h"
#include "codec/nnc/nnc_enc.h"
#include "codec/nnc/nnc_lowrank.h"
#include "tests/support/level_make.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES  7u
#define ELEMS_MAX   2048u
#define STREAM_MAX  (1u << 20)
#define UNARY_CODES 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct trip {
    struct nnc_tensor tensor;
    struct nnc_enc_params params;
    struct nnc_enc_data data;
    struct level_coding coding;
    struct nnc_state *state;
    int32_t levels[ELEMS_MAX];
    int32_t codebook[256];
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static enum nnc_choice choice_of(unsigned bits)
{
    return (enum nnc_choice)(bits % 3);
}

static void set_tensor(struct trip *t, const uint8_t *head)
{
    static const uint16_t unary[UNARY_CODES] = {0, 1, 2, 11, 256};
    struct nnc_tensor *tensor = &t->tensor;
    uint64_t rows = head[3], columns = 1 + head[4] % 64u;
    *tensor = (struct nnc_tensor){.name = "w", .name_size = 1, .rank = 2};
    if (rows * columns > ELEMS_MAX)
        rows = ELEMS_MAX / columns;
    tensor->shape[0] = rows;
    tensor->shape[1] = columns;
    tensor->elem_count = rows * columns;
    tensor->kind = (enum nnc_kind)(head[0] % 3); /* never raw */
    tensor->qp = head[6] - 128;
    tensor->dq = (head[0] & 4) && tensor->kind == NNC_UNIFORM;
    tensor->scan_order = head[1] % 5;
    tensor->unary = unary[head[1] / 5 % UNARY_CODES];
    tensor->parameter_id = head[5];
    tensor->device_id = head[5] & 3;
}

static void set_params(struct trip *t, const uint8_t *head)
{
    t->params = (struct nnc_enc_params){
        .profile = !(head[0] & 8),
        .qp_density = 2,
        .incremental = (head[0] & 16) && !(head[0] & 8),
        .rules =
            {
                .sets = head[2] & 1 ? NNC_NEVER : NNC_BY_COST,
                .row_skip = choice_of(head[2] >> 1 & 3),
                .temporal = choice_of(head[2] >> 3 & 3),
                .unary = head[2] & 32 ? NNC_NEVER : NNC_BY_COST,
                .scan = head[2] & 64 ? NNC_NEVER : NNC_BY_COST,
                .uniform = head[2] & 128 ? NNC_NEVER : NNC_BY_COST,
                .node_ids = choice_of(head[0] >> 5 & 3),
                .topology = choice_of(head[0] >> 6),
                .single = head[0] & 128,
                .long_headers = head[0] & 64,
            },
    };
}

static void set_codebook(struct trip *t, const uint8_t *head)
{
    if (t->tensor.kind != NNC_CODEBOOK)
        return;
    uint32_t size = 1 + head[6] % 100u;
    for (uint32_t i = 0; i < size; i++)
        t->codebook[i] = (int32_t)(i * (1u + head[5])) - 100;
    t->tensor.codebook =
        (struct nnc_codebook){size, head[5] % size, 0, t->codebook};
}

/* Integers from bytes, starting at `from`. */
static void set_levels(struct trip *t, const uint8_t *data, size_t size,
                       size_t from, unsigned shift)
{
    const struct nnc_tensor *tensor = &t->tensor;
    for (uint64_t i = 0; i < tensor->elem_count; i++) {
        int32_t v = size ? (int8_t)data[(from + i) % size] : 0;
        t->levels[i] = (int32_t)((uint32_t)v << shift) + (v && shift ? v : 0);
    }
    t->coding = (struct level_coding){
        .elem_count = tensor->elem_count,
        .row_elems = tensor->shape[1],
        .profile = t->params.profile,
        .scan_order = tensor->scan_order,
        .dq = tensor->dq,
        .codebook_size = tensor->codebook.size,
        .codebook_zero = tensor->codebook.zero,
    };
    level_make(&t->coding, t->levels);
    t->data.levels = t->levels;
}

/* What the receiver has becomes what contexts look at. */
static void set_parent(struct trip *t, bool history)
{
    const struct nnc_node *node = nnc_state_find(t->state, "w");
    t->tensor.has_parent = t->params.incremental;
    if (!t->params.incremental)
        return;
    t->tensor.put_node_depth = 1;
    if (!node)
        return;
    t->tensor.put_node_depth = node->put_node_depth + 1;
    t->tensor.temporal = true;
    t->data.temporal = node->levels;
    t->data.history = history ? node->history : NULL;
}

static void decode(struct trip *t, struct bytes stream,
                   const struct nnc_tensor *sent)
{
    struct source in = source_of_bytes(stream);
    struct nnc_dec_params params = {.in = &in, .state = t->state};
    const struct nnc_tensor *got;
    const struct nnc_tensor *want = &t->tensor;
    struct nnc_dec *dec;
    size_t bytes = (size_t)want->elem_count * sizeof t->levels[0];
    require(!nnc_dec_new(&params, &dec));
    if (sent->coded_size) {
        require(!nnc_dec_next(dec, &got) && got);
        require(got->coded_size == sent->coded_size &&
                got->shape[0] == want->shape[0] && got->dq == sent->dq &&
                (want->kind == NNC_INT || got->qp == want->qp));
        if (got->kind == want->kind)
            require(!bytes || !memcmp(nnc_dec_levels(dec), t->levels, bytes));
        else
            require(got->kind == NNC_CODEBOOK && got->codebook.size == 1 &&
                    got->codebook.values[0] == t->levels[0]);
    }
    require(!nnc_dec_next(dec, &got) && !got);
    nnc_dec_free(dec);
}

static void round_trip(struct trip *t)
{
    struct nnc_tensor sent;
    struct nnc_enc *enc;
    struct writer wr;
    writer_init_heap(&wr, STREAM_MAX);
    t->params.out = &wr;
    require(!nnc_enc_new(&t->params, &enc));
    require(!nnc_enc_tensor(enc, &t->tensor, &t->data, &sent));
    require(!nnc_enc_finish(enc));
    decode(t, writer_view(&wr), &sent);
    nnc_enc_free(enc);
    writer_deinit(&wr);
}

static void require_factors(const struct trip *t, struct bytes stream,
                            const struct rd_lowrank *low)
{
    struct source in = source_of_bytes(stream);
    struct nnc_dec_params params = {.in = &in};
    size_t bytes = low->rows * low->rank * sizeof t->levels[0];
    const struct nnc_tensor *got;
    struct nnc_dec *dec;
    float row[256];
    require(!nnc_dec_new(&params, &dec));
    require(!nnc_dec_next(dec, &got) && got && got->part == NNC_G &&
            got->qp == low->g_qp);
    require(!memcmp(nnc_dec_levels(dec), low->g, bytes));
    require(!nnc_dec_next(dec, &got) && got && got->part == NNC_H &&
            got->qp == low->h_qp);
    require(!memcmp(nnc_dec_levels(dec), low->h, bytes));
    require(nnc_dec_product(dec)->elem_count == low->rows * low->columns);
    nnc_dec_product_values(dec, 0, low->columns, row);
    require(!nnc_dec_next(dec, &got) && !got);
    nnc_dec_free(dec);
}

/* A square weight of the integers and themselves. */
static void factors_round_trip(struct trip *t)
{
    struct nnc_tensor weight = t->tensor;
    struct rd_lowrank low = {.rank = (unsigned)weight.shape[1],
                             .rows = (size_t)weight.shape[0],
                             .columns = (size_t)weight.shape[0],
                             .g_qp = weight.qp,
                             .h_qp = -weight.qp / 2,
                             .g = t->levels,
                             .h = t->levels};
    struct nnc_enc *enc;
    struct writer wr;
    uint64_t size;
    if (!low.rows || weight.kind != NNC_UNIFORM)
        return;
    weight.shape[1] = weight.shape[0];
    weight.qp_density = t->params.qp_density;
    writer_init_heap(&wr, STREAM_MAX);
    t->params.out = &wr;
    require(!nnc_enc_new(&t->params, &enc));
    require(!nnc_lowrank_put(enc, &weight, &low, &size));
    require(!nnc_enc_finish(enc));
    if (size)
        require_factors(t, writer_view(&wr), &low);
    nnc_enc_free(enc);
    writer_deinit(&wr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    struct trip *t = calloc(1, sizeof *t);
    require(t && !nnc_state_new(&t->state));
    unsigned shift = data[5] % 24u;
    set_tensor(t, data);
    set_params(t, data);
    set_codebook(t, data);
    for (size_t i = 0; i < 3; i++) {
        set_levels(t, data + HEAD_BYTES, size - HEAD_BYTES, i * 13, shift);
        set_parent(t, i == 2);
        round_trip(t);
        if (!t->params.incremental)
            break;
    }
    factors_round_trip(t);
    nnc_state_free(t->state);
    free(t);
    return 0;
}
