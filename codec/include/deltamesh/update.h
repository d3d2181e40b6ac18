/* Updates: what turns one content, the base, into another, the target, bit for
 * bit. A content is any bytes; tensors in files of formats that are known
 * (safetensors, ONNX, TFLite, PyTorch, ncnn) are found in it and coded as the
 * numbers they are. The bytes of an update are those of `deltamesh diff`;
 * codec/FORMAT.md has them one by one.
 *
 * A content's identity is its tree id, a hash. Whoever applies an update ends
 * with the target it was made for or with an error; that the target is one to
 * be trusted is for signatures to say, of which this library knows nothing. */
#ifndef DELTAMESH_UPDATE_H
#define DELTAMESH_UPDATE_H

#include <string.h>

#include <deltamesh/io.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DMC_TREE_BYTES       32
#define DMC_SEGMENT_SIZE_MAX (1u << 20) /* bytes of the target, a segment */

/* The tree id of a content, read once from front to back.
 *
 * id  out
 * DMC_LIMIT above 64 GiB, DMC_NO_MEMORY, or what the source answers. */
DMC_API enum dmc_status dmc_tree_id(const struct dmc_source *content,
                                    unsigned char id[DMC_TREE_BYTES],
                                    struct dmc_error *error) DMC_CHECKED;

/* ---- Applying ---- */

/* An update whose head has been read. It never changes: several threads may
 * use one at the same time, if they may its source. */
struct dmc_update;

/* Reads and checks the head of an update file: its size must be what the head
 * says. Memory: in proportion to the head, at most 16 MiB and the head's size.
 *
 * file  kept until dmc_update_close
 *
 * DMC_CORRUPT       not an update file, or a malformed one. Updates of folders,
 *                   which begin with a listing, are none.
 * DMC_UNSUPPORTED   a newer version of the format
 * DMC_TRUNCATED, DMC_LIMIT, DMC_NO_MEMORY, or what the source answers. */
DMC_API enum dmc_status dmc_update_open(const struct dmc_source *file,
                                        struct dmc_update **update,
                                        struct dmc_error *error) DMC_CHECKED;
DMC_API void dmc_update_close(struct dmc_update *update);

struct dmc_update_info {
    size_t struct_size;
    uint64_t base_size; /* bytes; 0 without a base */
    uint64_t target_size;
    uint64_t coded_size;              /* of all segments */
    uint32_t has_base;                /* 0: makes the target of nothing */
    uint32_t segment_count;           /* that cover the target, in order */
    unsigned char id[DMC_TREE_BYTES]; /* of the update: its head's hash */
    unsigned char base_tree[DMC_TREE_BYTES]; /* zeroes without a base */
    unsigned char target_tree[DMC_TREE_BYTES];
};

static inline void dmc_update_info_init(struct dmc_update_info *info)
{
    memset(info, 0, sizeof(*info));
    info->struct_size = sizeof(*info);
}

/* Fills as much of *info as its struct_size has room for. DMC_USAGE: that is
 * no size this structure ever had. */
DMC_API enum dmc_status
dmc_update_get_info(const struct dmc_update *update,
                    struct dmc_update_info *info) DMC_CHECKED;

/* Where a segment lies in the target: at most DMC_SEGMENT_SIZE_MAX bytes.
 * DMC_USAGE: there are not so many. */
DMC_API enum dmc_status
dmc_update_segment_range(const struct dmc_update *update, uint32_t segment,
                         uint64_t *offset, uint32_t *size) DMC_CHECKED;

/* Decodes all segments in order.
 *
 * base  NULL exactly when the update has none. It is read once to check its
 *       tree id, then where segments need it.
 * out   gets the target from front to back. What it got is the target only
 *       after DMC_OK.
 *
 * DMC_BAD_BASE   base is missing, not wanted, or another; nothing was written
 * DMC_MISMATCH   the update is damaged, or does not decode to its target
 * DMC_CORRUPT, DMC_TRUNCATED, DMC_LIMIT, DMC_UNSUPPORTED  malformed
 * DMC_NO_MEMORY, or what sources and sink answer.
 * Memory: at most 15 MiB beside the head. */
DMC_API enum dmc_status dmc_update_apply(const struct dmc_update *update,
                                         const struct dmc_source *base,
                                         const struct dmc_sink *out,
                                         struct dmc_error *error) DMC_CHECKED;

/* Decodes segments one at a time, in any order: to spread them over threads,
 * each with a decoder of its own, or to write in place. */
struct dmc_update_dec;

/* update and base (NULL exactly when the update has none) are kept until
 * dmc_update_dec_free. DMC_BAD_BASE: base has another size than the update's;
 * that it is the right one is for the caller to check, with dmc_tree_id.
 * DMC_NO_MEMORY. */
DMC_API enum dmc_status dmc_update_dec_new(const struct dmc_update *update,
                                           const struct dmc_source *base,
                                           struct dmc_update_dec **dec,
                                           struct dmc_error *error) DMC_CHECKED;
DMC_API void dmc_update_dec_free(struct dmc_update_dec *dec);

/* Decodes one segment.
 *
 * out   size bytes, of which the first ones are written: what
 *       dmc_update_segment_range says
 *
 * DMC_USAGE      there is no such segment, or size is too small
 * Else as dmc_update_apply. That the whole is the target shows only when all
 * are there: dmc_tree_id of it must be target_tree. On error out is
 * unspecified. */
DMC_API enum dmc_status
dmc_update_dec_segment(struct dmc_update_dec *dec, uint32_t segment, void *out,
                       size_t size, struct dmc_error *error) DMC_CHECKED;

/* ---- Making ---- */

enum dmc_speed {
    DMC_SPEED_AUTO = 0,  /* small where it is clearly smaller */
    DMC_SPEED_FAST = 1,  /* quick to make and to apply */
    DMC_SPEED_SMALL = 2, /* fewest bytes */
};

#define DMC_RANK_NONE 0xffffffffu

/* What the maker of a quantised tensor knows: each element of it is that of the
 * base (of a tensor of its name, type and shape), plus a whole number times
 *
 *     step = (m + (qp & (m - 1))) * 2^((qp >> density) - density)
 *
 * in binary32, m = 2^density, rounded to the tensor's type. */
struct dmc_update_hint {
    uint64_t target_offset; /* of the tensor's first byte in the target */
    int32_t qp;
    uint32_t qp_density; /* 0 .. 7 */
};

struct dmc_update_params {
    size_t struct_size;
    uint32_t speed; /* enum dmc_speed */
    /* Of low rank predictions, 1 .. 64; 0: the default, which is 64;
     * DMC_RANK_NONE: none are tried. */
    uint32_t max_rank;
    /* What the contents are called: the suffix tells the format where it is one
     * of those that are known, the content does otherwise. NULL: no name. */
    const char *base_name;
    const char *target_name;
    const struct dmc_parallel *parallel; /* NULL: one thread */
    /* Told how far planning is, the longer half of the work; may be NULL. Not 0
     * stops it: DMC_CLOSED. */
    int (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;
    /* Of quantised tensors, rising in target_offset, or NULL. Steps are looked
     * for without hints as well, and found where many elements have moved; of
     * sparse differences a hint saves a third of the bytes or so. One that does
     * not hold costs time, and no more. Read by the call only. */
    const struct dmc_update_hint *hints;
    size_t hint_count;
};

static inline void dmc_update_params_init(struct dmc_update_params *params)
{
    memset(params, 0, sizeof(*params));
    params->struct_size = sizeof(*params);
}

/* Makes an update and writes it, an update file, to out.
 *
 * base    NULL: makes the target of nothing
 * params  NULL: defaults
 *
 * The same contents and parameters give the same bytes. Memory: at most 64 MiB
 * with one thread and the bytes of the update.
 *
 * DMC_USAGE         a parameter that does not fit
 * DMC_UNSUPPORTED   a parameter of a newer version
 * DMC_LIMIT         a content above 64 GiB
 * DMC_CLOSED        progress said stop
 * DMC_NO_MEMORY, or what sources and sink answer. */
DMC_API enum dmc_status dmc_update_make(const struct dmc_source *base,
                                        const struct dmc_source *target,
                                        const struct dmc_update_params *params,
                                        const struct dmc_sink *out,
                                        struct dmc_error *error) DMC_CHECKED;

/* The same in steps, for updates that memory should not hold: the head comes
 * first in the file, but is known last.
 *
 *     dmc_update_enc_new(&base, &target, &params, &enc, &error)
 *     for i < dmc_update_enc_count(enc): dmc_update_enc_next(enc, &data, &size)
 *     dmc_update_enc_head(enc, &data, &size)
 *
 * The file is the head, then what _next gave, in order. */
struct dmc_update_enc;

/* Reads both contents and plans: most of the time goes here. Sources, names
 * and parallel are kept until dmc_update_enc_free. Statuses as
 * dmc_update_make. */
DMC_API enum dmc_status dmc_update_enc_new(
    const struct dmc_source *base, const struct dmc_source *target,
    const struct dmc_update_params *params, struct dmc_update_enc **enc,
    struct dmc_error *error) DMC_CHECKED;
DMC_API void dmc_update_enc_free(struct dmc_update_enc *enc);

/* How often dmc_update_enc_next is to be called; about how many bytes the file
 * will have. */
DMC_API uint32_t dmc_update_enc_count(const struct dmc_update_enc *enc);
DMC_API uint64_t dmc_update_enc_estimate(const struct dmc_update_enc *enc);

/* The next coded bytes of the file, perhaps none: a view until the next call.
 * DMC_USAGE after the last one; DMC_NO_MEMORY, or what the sources answer. */
DMC_API enum dmc_status
dmc_update_enc_next(struct dmc_update_enc *enc, const void **data, size_t *size,
                    struct dmc_error *error) DMC_CHECKED;

/* What the file begins with: a view until dmc_update_enc_free. DMC_USAGE before
 * all has been coded; DMC_NO_MEMORY. */
DMC_API enum dmc_status
dmc_update_enc_head(struct dmc_update_enc *enc, const void **data, size_t *size,
                    struct dmc_error *error) DMC_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
