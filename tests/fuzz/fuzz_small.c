/* The small coder from outside. The first byte chooses the dtype and what
 * there is, the second the pieces. Bit 7 of the first: the rest is prediction
 * and target, which must come back; else a coding and segments, which must be
 * in the one form that our writer gives, and stay within their buffers. */
#include "codec/lossless/small.h"

#include "codec/base/bytes.h"

#include <stdlib.h>
#include <string.h>

#define ELEMS     3000u
#define BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum dtype dtypes[] = {DTYPE_F64,  DTYPE_F32,     DTYPE_F16,
                                    DTYPE_BF16, DTYPE_F8_E4M3, DTYPE_F8_E5M2,
                                    DTYPE_I8,   DTYPE_U16};

struct trip {
    enum dtype dtype;
    size_t bytes, count, piece;
    const uint8_t *pred; /* NULL: none */
    const uint8_t *lost; /* NULL: none */
    const uint8_t *target;
    struct small_coding coding;
};

static void require(int ok)
{
    if (!ok)
        abort();
}

static void decode(const struct trip *trip, struct small_dec *dec, uint8_t *out)
{
    for (size_t i = 0; i < trip->count; i += trip->piece) {
        size_t n = trip->count - i, at = i * trip->bytes;
        small_dec_piece(dec, &trip->coding, trip->dtype,
                        trip->pred ? trip->pred + at : NULL,
                        trip->lost ? trip->lost + i : NULL, out + at,
                        n < trip->piece ? n : trip->piece, i);
    }
}

static void encode(struct trip *trip, struct writer *wr)
{
    struct small_enc *enc = small_enc_new(BYTES_MAX);
    require(enc != NULL);
    for (size_t i = 0; i < trip->count; i += trip->piece) {
        size_t n = trip->count - i, at = i * trip->bytes;
        require(!small_enc_piece(enc, &trip->coding, trip->dtype,
                                 trip->pred ? trip->pred + at : NULL,
                                 trip->lost ? trip->lost + i : NULL,
                                 trip->target + at,
                                 n < trip->piece ? n : trip->piece, i));
    }
    small_enc_finish(enc, wr);
    require(!writer_status(wr));
    small_enc_free(enc);
}

static void round_trip(struct trip *trip)
{
    struct small_stats *stats = small_stats_new();
    struct small_dec *dec = small_dec_new();
    uint8_t *out = malloc(trip->count * trip->bytes + 1);
    struct writer wr;
    struct reader rd;
    require(stats && dec && out);
    small_stats_reset(stats, trip->dtype, trip->piece / 3);
    small_stats_add(stats, trip->pred, trip->lost, trip->target, trip->count);
    (void)small_plan(stats, &trip->coding);
    writer_init_heap(&wr, 64 * BYTES_MAX);
    encode(trip, &wr);
    reader_init(&rd, writer_view(&wr));
    require(!small_dec_begin(dec, &rd));
    decode(trip, dec, out);
    require(!small_dec_finish(dec));
    require(!reader_finish(&rd));
    require(!memcmp(out, trip->target, trip->count * trip->bytes));
    writer_deinit(&wr);
    free(out);
    small_dec_free(dec);
    small_stats_free(stats);
}

static void check_form(const struct trip *trip, const uint8_t *data,
                       const struct reader *rd)
{
    uint8_t buf[SMALL_CODING_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    small_coding_write(&trip->coding, trip->dtype, &wr);
    require(!writer_status(&wr) && wr.size == reader_offset(rd) &&
            !memcmp(buf, data, wr.size));
}

static void outside(struct trip *trip, const uint8_t *data, size_t size)
{
    struct reader rd;
    reader_init(&rd, bytes_of(data, size));
    if (small_coding_read(&rd, trip->dtype, &trip->coding))
        return;
    check_form(trip, data, &rd);
    uint8_t *pred = malloc(ELEMS * trip->bytes);
    uint8_t *out = malloc(ELEMS * trip->bytes);
    struct small_dec *dec = small_dec_new();
    require(pred && out && dec);
    for (size_t i = 0; i < ELEMS * trip->bytes; i++)
        pred[i] = (uint8_t)(i * i >> 3);
    trip->count = ELEMS;
    trip->lost = trip->lost ? pred : NULL; /* any byte is taken */
    trip->pred = trip->pred ? pred : NULL;
    while (reader_left(&rd) && !small_dec_begin(dec, &rd)) {
        decode(trip, dec, out);
        if (small_dec_finish(dec))
            break;
    }
    small_dec_free(dec);
    free(pred);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BYTES_MAX)
        return 0;
    struct trip trip = {.dtype = dtypes[data[0] % 8],
                        .piece = 1 + (size_t)data[1] * 20};
    trip.bytes = dtype_bits(trip.dtype) / 8;
    trip.count = (size - 2) / 2 / trip.bytes;
    trip.pred = data[0] & 8 ? NULL : data + 2;
    trip.lost = data[0] & 16 ? data + 2 : NULL;
    trip.target = data + 2 + trip.count * trip.bytes;
    if (data[0] & 128)
        round_trip(&trip);
    else
        outside(&trip, data + 2, size - 2);
    return 0;
}
