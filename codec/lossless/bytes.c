/* zstd frames, one call each, windows as large as what they look at. */
#include "codec/lossless/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Above this level the search tables would take up to 100 MiB: they are capped
 * at 4 and 8 MiB, which costs nothing below a million positions. */
#define BYTES_LEVEL_CAPPED  13
#define BYTES_HASH_LOG_MAX  20
#define BYTES_CHAIN_LOG_MAX 21
#define BYTES_CAP_FROM      (256u << 10)

static int bytes_log(size_t size)
{
    int log = 10;
    while (log < 24 && size > (size_t)1 << log)
        log++;
    return log;
}

static size_t bytes_set(ZSTD_CCtx *cctx, ZSTD_cParameter param, int value,
                        size_t rc)
{
    return ZSTD_isError(rc) ? rc : ZSTD_CCtx_setParameter(cctx, param, value);
}

static size_t bytes_setup(ZSTD_CCtx *cctx, size_t total, int level)
{
    int log = bytes_log(total);
    size_t rc = bytes_set(cctx, ZSTD_c_compressionLevel, level, 0);
    rc = bytes_set(cctx, ZSTD_c_windowLog, log, rc);
    rc = bytes_set(cctx, ZSTD_c_contentSizeFlag, 0, rc);
    rc = bytes_set(cctx, ZSTD_c_checksumFlag, 0, rc);
    if (level < BYTES_LEVEL_CAPPED || total <= BYTES_CAP_FROM)
        return rc;
    rc = bytes_set(cctx, ZSTD_c_hashLog,
                   log < BYTES_HASH_LOG_MAX ? log : BYTES_HASH_LOG_MAX, rc);
    return bytes_set(cctx, ZSTD_c_chainLog,
                     log < BYTES_CHAIN_LOG_MAX ? log + 1 : BYTES_CHAIN_LOG_MAX,
                     rc);
}

static enum status bytes_status(size_t rc)
{
    if (!ZSTD_isError(rc))
        return STATUS_OK;
    return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation
               ? STATUS_NO_MEMORY
               : STATUS_INTERNAL;
}

enum status bytes_encode(struct bytes in, struct bytes prefix, int level,
                         struct writer *wr)
{
    ZSTD_CCtx *cctx = ZSTD_createCCtx();
    if (!cctx)
        return STATUS_NO_MEMORY;
    size_t start = wr->size, bound = ZSTD_compressBound(in.size);
    uint8_t *out = writer_reserve(wr, bound);
    enum status status = writer_status(wr);
    if (!status)
        status = bytes_status(bytes_setup(cctx, in.size + prefix.size, level));
    if (!status && prefix.size)
        status =
            bytes_status(ZSTD_CCtx_refPrefix(cctx, prefix.data, prefix.size));
    if (!status) {
        size_t rc = ZSTD_compress2(cctx, out, bound, in.data, in.size);
        status = bytes_status(rc);
        wr->size = status ? start : start + rc;
    }
    ZSTD_freeCCtx(cctx);
    return status;
}

struct bytes_decoder {
    ZSTD_DCtx *dctx;
};

struct bytes_decoder *bytes_decoder_new(void)
{
    struct bytes_decoder *decoder = calloc(1, sizeof(*decoder));
    if (!decoder)
        return NULL;
    decoder->dctx = ZSTD_createDCtx();
    if (!decoder->dctx) {
        free(decoder);
        return NULL;
    }
    return decoder;
}

void bytes_decoder_free(struct bytes_decoder *decoder)
{
    if (!decoder)
        return;
    ZSTD_freeDCtx(decoder->dctx);
    free(decoder);
}

/* One frame, no skippable one, nothing behind it. */
static bool bytes_is_one_frame(struct bytes frame)
{
    if (frame.size < 4 || load_le32(frame.data) != ZSTD_MAGICNUMBER)
        return false;
    return ZSTD_findFrameCompressedSize(frame.data, frame.size) == frame.size;
}

enum status bytes_decode(struct bytes_decoder *decoder, struct bytes frame,
                         struct bytes prefix, uint8_t *out, size_t size)
{
    if (!bytes_is_one_frame(frame))
        return STATUS_CORRUPT;
    size_t rc = ZSTD_DCtx_reset(decoder->dctx, ZSTD_reset_session_only);
    if (!ZSTD_isError(rc) && prefix.size)
        rc = ZSTD_DCtx_refPrefix(decoder->dctx, prefix.data, prefix.size);
    if (!ZSTD_isError(rc))
        rc = ZSTD_decompressDCtx(decoder->dctx, out, size, frame.data,
                                 frame.size);
    if (ZSTD_isError(rc))
        return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation
                   ? STATUS_NO_MEMORY
                   : STATUS_CORRUPT;
    return rc == size ? STATUS_OK : STATUS_CORRUPT;
}
