/* The lattice coder from outside. The first byte chooses the dtype and what
 * there is, the second the pieces. Bit 6 of the first: levels are guessed. Bit
 * 7: the rest is a coding, predictions and targets, which must come back; else
 * a coding and segments, which must be in the one form that our writer gives,
 * and stay within their buffers. */
#include "codec/lossless/lattice.h"

#include <stdlib.h>
#include <string.h>

#define ELEMS     3000u
#define BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16,
                                    DTYPE_BF16};

struct trip {
    enum dtype dtype;
    size_t bytes, count, piece;
    const uint8_t *pred; /* NULL: none */
    const uint8_t *target;
    struct lattice_coding coding;
};

static void require(int ok)
{
    if (!ok)
        abort();
}

static void decode(const struct trip *trip, struct lattice_dec *dec,
                   uint8_t *out)
{
    for (size_t i = 0; i < trip->count; i += trip->piece) {
        size_t n = trip->count - i, at = i * trip->bytes;
        n = n < trip->piece ? n : trip->piece;
        lattice_dec_piece(dec, &trip->coding, trip->dtype,
                          trip->pred ? trip->pred + at : NULL, out + at, n, i);
    }
}

static void encode(const struct trip *trip, struct writer *wr)
{
    struct lattice_enc *enc = lattice_enc_new(BYTES_MAX);
    require(enc != NULL);
    for (size_t i = 0; i < trip->count; i += trip->piece) {
        size_t n = trip->count - i, at = i * trip->bytes;
        n = n < trip->piece ? n : trip->piece;
        require(!lattice_enc_piece(enc, &trip->coding, trip->dtype,
                                   trip->pred ? trip->pred + at : NULL,
                                   trip->target + at, n, i));
    }
    lattice_enc_finish(enc, wr);
    require(!writer_status(wr));
    lattice_enc_free(enc);
}

static void round_trip(struct trip *trip)
{
    struct lattice_stats *stats = lattice_stats_new();
    struct lattice_dec *dec = lattice_dec_new();
    uint8_t *out = malloc(trip->count * trip->bytes + 1);
    struct writer wr;
    struct reader rd;
    require(stats && dec && out);
    lattice_stats_reset(stats, trip->dtype, trip->coding.columns);
    lattice_stats_sample(stats, trip->pred, trip->target, trip->count);
    struct lattice_coding found;
    if (lattice_detect(stats, &found)) {
        found.guessed = trip->coding.guessed;
        trip->coding = found;
    }
    lattice_stats_begin(stats, &trip->coding);
    lattice_stats_add(stats, trip->pred, trip->target, trip->count);
    bool guessed = trip->coding.guessed;
    (void)lattice_plan(stats, &trip->coding);
    trip->coding.guessed = guessed;
    writer_init_heap(&wr, 64 * BYTES_MAX);
    encode(trip, &wr);
    reader_init(&rd, writer_view(&wr));
    require(!lattice_dec_begin(dec, &rd));
    decode(trip, dec, out);
    require(!lattice_dec_finish(dec));
    require(!reader_finish(&rd));
    require(!memcmp(out, trip->target, trip->count * trip->bytes));
    writer_deinit(&wr);
    free(out);
    lattice_dec_free(dec);
    lattice_stats_free(stats);
}

static void check_form(const struct trip *trip, const uint8_t *data,
                       const struct reader *rd)
{
    uint8_t buf[LATTICE_CODING_BYTES_MAX];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    lattice_coding_write(&trip->coding, &wr);
    require(!writer_status(&wr) && wr.size == reader_offset(rd) &&
            !memcmp(buf, data, wr.size));
}

static void outside(struct trip *trip, struct reader *rd)
{
    uint8_t *pred = malloc(ELEMS * trip->bytes);
    uint8_t *out = malloc(ELEMS * trip->bytes);
    struct lattice_dec *dec = lattice_dec_new();
    require(pred && out && dec);
    for (size_t i = 0; i < ELEMS * trip->bytes; i++)
        pred[i] = (uint8_t)(i * i >> 3);
    trip->count = ELEMS;
    trip->pred = trip->coding.has_pred ? pred : NULL;
    while (reader_left(rd) && !lattice_dec_begin(dec, rd)) {
        decode(trip, dec, out);
        if (lattice_dec_finish(dec))
            break;
    }
    lattice_dec_free(dec);
    free(pred);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader rd;
    if (size < 2 || size > BYTES_MAX)
        return 0;
    struct trip trip = {.dtype = dtypes[data[0] % 4],
                        .piece = data[1] ? 16 * (size_t)data[1] : SIZE_MAX / 2};
    trip.bytes = dtype_bits(trip.dtype) / 8;
    reader_init(&rd, bytes_of(data + 2, size - 2));
    if (lattice_coding_read(&rd, &trip.coding))
        return 0;
    check_form(&trip, data + 2, &rd);
    trip.coding.guessed = data[0] & 64;
    if (!(data[0] & 128)) {
        outside(&trip, &rd);
        return 0;
    }
    const uint8_t *rest = data + 2 + reader_offset(&rd);
    trip.count = reader_left(&rd) / 2 / trip.bytes;
    trip.pred = trip.coding.has_pred ? rest : NULL;
    trip.target = rest + trip.count * trip.bytes;
    round_trip(&trip);
    return 0;
}
