/* Any prediction and target must come back: the first byte chooses the dtype
 * and whether there are a prediction and losses, the second the pieces; the
 * rest is half prediction, half target. */
#include "codec/lossless/narrow.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct trip {
    enum dtype dtype;
    size_t bytes, count, piece;
    const uint8_t *pred;
    const uint8_t *lost;
    const uint8_t *target;
    struct narrow_tables tables;
    struct narrow_coding coding;
};

static void require(int ok)
{
    if (!ok)
        abort();
}

static const uint8_t *pred_at(const struct trip *trip, size_t i)
{
    return trip->pred ? trip->pred + i * trip->bytes : NULL;
}

static const uint8_t *lost_at(const struct trip *trip, size_t i)
{
    return trip->pred && trip->lost ? trip->lost + i : NULL;
}

static void plan(struct trip *trip)
{
    struct narrow_stats *stats = narrow_stats_new();
    struct narrow_plan *made = narrow_plan_new();
    size_t index;
    require(stats && made);
    narrow_stats_reset(stats, trip->dtype);
    narrow_stats_add(stats, trip->pred, lost_at(trip, 0), trip->target,
                     trip->count);
    require(!narrow_plan_add(made, stats, &index));
    require(!narrow_plan_solve(made, &trip->tables));
    (void)narrow_plan_coding(made, index, &trip->coding);
    narrow_stats_free(stats);
    narrow_plan_free(made);
}

static void encode(struct trip *trip, struct writer *wr)
{
    struct narrow_enc *enc = narrow_enc_new(&trip->tables, BYTES_MAX);
    require(enc != NULL);
    for (size_t i = 0; i < trip->count; i += trip->piece) {
        size_t left = trip->count - i;
        require(!narrow_enc_piece(enc, &trip->coding, trip->dtype,
                                  pred_at(trip, i), lost_at(trip, i),
                                  trip->target + i * trip->bytes,
                                  left < trip->piece ? left : trip->piece));
    }
    narrow_enc_finish(enc, wr);
    require(!writer_status(wr));
    narrow_enc_free(enc);
}

static void decode(struct trip *trip, struct bytes stream, uint8_t *out)
{
    struct narrow_dec *dec = narrow_dec_new(&trip->tables);
    struct reader rd;
    require(dec != NULL);
    reader_init(&rd, stream);
    require(!narrow_dec_begin(dec, &rd));
    for (size_t i = 0; i < trip->count; i += 1000) {
        size_t left = trip->count - i;
        narrow_dec_piece(dec, &trip->coding, trip->dtype, pred_at(trip, i),
                         lost_at(trip, i), out + i * trip->bytes,
                         left < 1000 ? left : 1000);
    }
    require(!narrow_dec_finish(dec));
    require(!reader_finish(&rd));
    narrow_dec_free(dec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dtype dtypes[] = {DTYPE_F16,     DTYPE_BF16,   DTYPE_I16,
                                        DTYPE_U16,     DTYPE_I8,     DTYPE_U8,
                                        DTYPE_F8_E4M3, DTYPE_F8_E5M2};
    if (size < 2 || size > BYTES_MAX)
        return 0;
    static uint8_t lost[BYTES_MAX];
    struct trip trip = {.dtype = dtypes[data[0] % 8]};
    trip.bytes = narrow_elem_bytes(trip.dtype);
    trip.count = (size - 2) / 2 / trip.bytes;
    trip.piece = 1 + (size_t)data[1] * 20;
    trip.pred = data[0] & 8 ? NULL : data + 2;
    /* Losses need no bytes of their own. */
    trip.lost = data[0] & 16 ? lost : NULL;
    for (size_t i = 0; i < trip.count; i++)
        lost[i] = data[2 + i] & 7;
    trip.target = data + 2 + trip.count * trip.bytes;
    struct writer wr;
    writer_init_heap(&wr, 4 * BYTES_MAX);
    uint8_t *out = malloc(trip.count * trip.bytes + 1);
    require(out != NULL);
    plan(&trip);
    encode(&trip, &wr);
    decode(&trip, writer_view(&wr), out);
    require(!memcmp(out, trip.target, trip.count * trip.bytes));
    free(out);
    writer_deinit(&wr);
    return 0;
}
