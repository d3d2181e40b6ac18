/* Any base and target must come back: the first byte chooses the dtype and
 * whether there is a base, the second the pieces; the rest is half base, half
 * target. */
#include "codec/lossless/fast.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct trip {
    enum dtype dtype;
    size_t bytes, count, piece;
    const uint8_t *base;
    const uint8_t *target;
    struct fast_tables tables;
    struct fast_coding coding;
};

static void require(int ok)
{
    if (!ok)
        abort();
}

static const uint8_t *base_at(const struct trip *trip, size_t i)
{
    return trip->base ? trip->base + i * trip->bytes : NULL;
}

static void plan(struct trip *trip)
{
    struct fast_stats *stats = fast_stats_new();
    struct fast_plan *made = fast_plan_new();
    size_t index;
    require(stats && made);
    fast_stats_reset(stats, trip->dtype);
    fast_stats_add(stats, trip->base, trip->target, trip->count);
    require(!fast_plan_add(made, stats, &index));
    require(!fast_plan_solve(made, &trip->tables));
    (void)fast_plan_coding(made, index, &trip->coding);
    fast_stats_free(stats);
    fast_plan_free(made);
}

static void encode(struct trip *trip, struct writer *wr)
{
    struct fast_enc *enc = fast_enc_new(&trip->tables, BYTES_MAX);
    require(enc != NULL);
    for (size_t i = 0; i < trip->count; i += trip->piece) {
        size_t left = trip->count - i;
        require(!fast_enc_piece(enc, &trip->coding, trip->dtype,
                                base_at(trip, i),
                                trip->target + i * trip->bytes,
                                left < trip->piece ? left : trip->piece));
    }
    fast_enc_finish(enc, wr);
    require(!writer_status(wr));
    fast_enc_free(enc);
}

static void decode(struct trip *trip, struct bytes stream, uint8_t *out)
{
    struct fast_dec *dec = fast_dec_new(&trip->tables);
    struct reader rd;
    require(dec != NULL);
    reader_init(&rd, stream);
    require(!fast_dec_begin(dec, &rd));
    for (size_t i = 0; i < trip->count; i += 1024) {
        size_t left = trip->count - i;
        fast_dec_piece(dec, &trip->coding, trip->dtype, base_at(trip, i),
                       out + i * trip->bytes, left < 1024 ? left : 1024);
    }
    require(!fast_dec_finish(dec));
    require(!reader_finish(&rd));
    fast_dec_free(dec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F32,
                                        DTYPE_F64, DTYPE_I64, DTYPE_I32,
                                        DTYPE_U64, DTYPE_U32};
    if (size < 2 || size > BYTES_MAX)
        return 0;
    struct trip trip = {.dtype = dtypes[(data[0] & 3) | (data[0] >> 1 & 4)]};
    trip.bytes = dtype_bits(trip.dtype) / 8;
    trip.count = (size - 2) / 2 / trip.bytes;
    trip.piece = FAST_SHIFT_BLOCK * (1 + (size_t)data[1] % 40);
    trip.base = data[0] & 4 ? NULL : data + 2;
    trip.target = data + 2 + trip.count * trip.bytes;
    struct writer wr;
    writer_init_heap(&wr, 3 * BYTES_MAX);
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
