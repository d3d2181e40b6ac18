/* NNC bitstreams from outside. The first byte chooses:
 *
 * bit 7 clear  the rest is a bitstream. Bit 0: the receiver has a state, which
 *              a refused stream must leave as it is; bit 1: it knows shapes. A
 *              stream that was good is read again and must say the same.
 * bit 7 set    two bytes choose how one tensor is coded, the rest is its
 *              codeword: the fast and the plain path must agree in all. */
#include "codec/base/bytes.h"
#include "codec/nnc/levels_dec.h"
#include "codec/nnc/nnc_dec.h"

#include <stdlib.h>
#include <string.h>

#define ELEMS 4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
    if (!ok)
        abort();
}

/* ---- bitstreams ---- */

static const int32_t known_levels[12] = {2, -2, 0, 4, 1, 0, -1, 0, 0, 3, 9, -1};
static const uint8_t known_history[12] = {1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1};

static struct nnc_state *known_state(void)
{
    struct nnc_state *state;
    struct nnc_node square = {.name = "w",
                              .has_ids = true,
                              .put_node_depth = 1,
                              .rank = 2,
                              .shape = {2, 2},
                              .elem_count = 4,
                              .levels = known_levels,
                              .history = known_history};
    struct nnc_node flat = square;
    flat.name = "c.w";
    flat.shape[0] = 3;
    flat.shape[1] = 4;
    flat.elem_count = 12;
    require(!nnc_state_new(&state));
    require(!nnc_state_put(state, &square) && !nnc_state_put(state, &flat));
    nnc_state_set_device(state, 0);
    return state;
}

static enum status shape_of(void *ctx, const char *name, uint32_t *rank,
                            uint64_t shape[NNC_RANK_MAX])
{
    (void)ctx;
    *rank = name[0] == 'v' ? 1 : 2;
    shape[0] = 5;
    shape[1] = 7;
    return name[0] == 'u' ? STATUS_NOT_FOUND : STATUS_OK;
}

/* Reads all of a tensor and adds it to a sum of everything. */
static void add_tensor(const struct nnc_dec *dec,
                       const struct nnc_tensor *tensor, uint64_t *sum)
{
    uint32_t values[ELEMS];
    const struct nnc_product *product = nnc_dec_product(dec);
    require(tensor->elem_count <= ELEMS && tensor->rank >= 1);
    require(strlen(tensor->name) == tensor->name_size);
    nnc_dec_values(dec, 0, tensor->elem_count, values);
    for (uint64_t i = 0; i < tensor->elem_count; i++)
        *sum = *sum * 31 + values[i];
    if (!product)
        return;
    require(product->elem_count <= ELEMS);
    nnc_dec_product_values(dec, 0, product->elem_count, (float *)values);
    for (uint64_t i = 0; i < product->elem_count; i++)
        *sum = *sum * 31 + values[i];
}

static enum status read_stream(struct bytes stream, unsigned choice,
                               struct nnc_state *state, uint64_t *sum)
{
    struct source source = source_of_bytes(stream);
    struct diag diag = {0};
    struct nnc_dec_params params = {.in = &source,
                                    .limits = {ELEMS, 20 * ELEMS, 0},
                                    .state = state,
                                    .diag = &diag};
    struct nnc_dec *dec;
    const struct nnc_tensor *tensor = NULL;
    if (choice & 2)
        params.shape_of = shape_of;
    *sum = 0;
    enum status rc = nnc_dec_new(&params, &dec);
    while (!rc && !(rc = nnc_dec_next(dec, &tensor)) && tensor)
        add_tensor(dec, tensor, sum);
    require(!rc || *diag.text);
    nnc_dec_free(dec);
    return rc;
}

static void require_untouched(const struct nnc_state *state)
{
    const struct nnc_node *square = nnc_state_find(state, "w");
    const struct nnc_node *flat = nnc_state_find(state, "c.w");
    require(nnc_state_count(state) == 2 && square && flat);
    require(square->put_node_depth == 1 && flat->put_node_depth == 1);
    require(!memcmp(square->levels, known_levels, 16));
    require(!memcmp(flat->levels, known_levels, 48));
}

static void run_stream(struct bytes stream, unsigned choice)
{
    uint64_t sums[2];
    struct nnc_state *state = choice & 1 ? known_state() : NULL;
    enum status rc = read_stream(stream, choice, state, &sums[0]);
    if (rc && state)
        require_untouched(state);
    nnc_state_free(state);
    if (rc)
        return;
    state = choice & 1 ? known_state() : NULL;
    require(!read_stream(stream, choice, state, &sums[1]));
    require(sums[0] == sums[1]);
    nnc_state_free(state);
}

/* ---- both paths of levels ---- */

static void choose(struct level_coding *coding, unsigned a, unsigned b,
                   int32_t *temporal, uint8_t *history)
{
    static const uint64_t widths[4] = {1, 7, 40, 400};
    static const uint64_t rows[4] = {1, 9, 10, 3};
    static const uint16_t unaries[4] = {1, 3, 11, 256};
    *coding = (struct level_coding){.profile = (a & 1) ^ 1,
                                    .dq = a >> 1 & 1,
                                    .has_parent = a >> 2 & 1,
                                    .first_edition = a >> 3 & a & 1,
                                    .row_elems = widths[b & 3],
                                    .unary = unaries[b >> 2 & 3],
                                    .scan_order = (uint8_t)((b >> 4 & 7) % 5)};
    coding->elem_count = coding->row_elems * rows[a >> 6 & 3];
    for (uint32_t i = 0; i < ELEMS; i++) {
        temporal[i] = i * 2654435761u >> 30 ? 0 : (int32_t)(i % 7) - 3;
        history[i] = (uint8_t)(i * 2246822519u >> 31);
    }
    if (coding->profile && (a >> 4 & 1))
        coding->temporal = temporal;
    if (coding->profile && (a >> 5 & 1))
        coding->history = history;
}

static void run_levels(struct bytes payload, unsigned a, unsigned b)
{
    static int32_t temporal[ELEMS];
    static uint8_t history[ELEMS];
    int32_t levels[2][ELEMS];
    enum status rc[2][2];
    struct level_coding coding;
    struct levels_dec *dec;
    choose(&coding, a, b, temporal, history);
    require(!levels_dec_new(&dec));
    for (int plain = 0; plain < 2; plain++) {
        levels_dec_begin(dec, payload);
        rc[plain][0] = plain ? levels_dec_tensor_plain(dec, &coding, levels[1])
                             : levels_dec_tensor(dec, &coding, levels[0]);
        rc[plain][1] = levels_dec_finish(dec);
    }
    /* Why may differ: an integer that is too large is noticed late. */
    require(!rc[0][0] == !rc[1][0]);
    if (!rc[0][0]) {
        require(rc[0][1] == rc[1][1]);
        require(
            !memcmp(levels[0], levels[1], coding.elem_count * sizeof(int32_t)));
    }
    levels_dec_free(dec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (!(data[0] & 0x80))
        run_stream(bytes_of(data + 1, size - 1), data[0]);
    else if (size >= 3)
        run_levels(bytes_of(data + 3, size - 3), data[1], data[2]);
    return 0;
}
