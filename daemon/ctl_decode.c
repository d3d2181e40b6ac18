/* Each lane has a decoder and the buffers of one segment. It takes the next
 * segment that nobody has, decodes it, waits until those before it have been
 * put, puts it, and takes another. */
#include "daemon/ctl_decode.h"

#include "codec/update/update_dec.h"

#include <pthread.h>
#include <stdlib.h>

#define FOLDER_MAGIC     "DMFOLDER"
#define FOLDER_HEAD_SIZE 12u

/* ---- Update files ---- */

void ctl_folder_head_write(const struct listing *listing, struct writer *wr)
{
    struct writer body;
    writer_init_heap(&body, LISTING_BYTES_MAX);
    listing_write(listing, &body);
    if (writer_status(&body))
        writer_fail(wr, writer_status(&body));
    writer_bytes(wr, FOLDER_MAGIC, 8);
    writer_le32(wr, (uint32_t)body.size);
    writer_bytes(wr, body.data, body.size);
    writer_deinit(&body);
}

static bool folder_probe(const struct source *file)
{
    char magic[8];
    return !source_read(file, 0, magic, sizeof(magic)) &&
           !memcmp(magic, FOLDER_MAGIC, sizeof(magic));
}

bool ctl_update_probe(const struct source *file)
{
    return update_file_probe(file) || folder_probe(file);
}

static enum status update_read(void *ctx, uint64_t offset, void *out,
                               size_t size)
{
    const struct ctl_update *update = ctx;
    return source_read(&update->file.source, update->start + offset, out, size);
}

static enum status update_read_listing(struct ctl_update *update)
{
    uint8_t head[FOLDER_HEAD_SIZE];
    const struct source *file = &update->file.source;
    enum status status = source_read(file, 0, head, sizeof(head));
    uint32_t size = status ? 0 : load_le32(head + 8);
    if (!status && size > LISTING_BYTES_MAX)
        status = STATUS_LIMIT;
    uint8_t *buf = status ? NULL : malloc((size_t)size + 1);
    if (!status && !buf)
        status = STATUS_NO_MEMORY;
    if (!status)
        status = source_read(file, sizeof(head), buf, size);
    if (!status)
        status = listing_parse(bytes_of(buf, size), &update->listing);
    free(buf);
    update->is_folder = true;
    update->start = sizeof(head) + (uint64_t)size;
    return status;
}

enum status ctl_update_open(struct ctl_update *update, const char *path,
                            struct diag *diag)
{
    struct diag why;
    diag_reset(&why);
    *update = CTL_UPDATE_CLOSED;
    update->path = path;
    enum status status = file_source_open(&update->file, path, diag);
    if (status)
        return status;
    if (folder_probe(&update->file.source))
        status = update_read_listing(update);
    update->source = (struct source){update_read, update,
                                     update->file.source.size - update->start};
    if (!status)
        status = update_file_open(&update->source, &update->update, &why);
    if (!status && update->is_folder &&
        update->listing.size != update->update.header.target.size)
        status = diag_fail(&why, STATUS_CORRUPT,
                           "the files it lists are not its target");
    if (status)
        return diag_fail(diag, status, "%.100s: %.140s", path,
                         why.text[0] ? why.text : status_text(status));
    return STATUS_OK;
}

void ctl_update_close(struct ctl_update *update)
{
    update_file_close(&update->update);
    listing_free(&update->listing);
    file_source_close(&update->file);
    *update = CTL_UPDATE_CLOSED;
}

enum status ctl_update_base(const struct ctl_update *update, const char *path,
                            struct ctl_content *base, struct diag *diag)
{
    const struct update_header *header = &update->update.header;
    char want[HASH_HEX_SIZE];
    struct hash id;
    hash_hex(&header->base_tree, want);
    if (!header->has_base && path)
        return diag_fail(diag, STATUS_BAD_BASE,
                         "%s is a full update and takes no base", update->path);
    if (!header->has_base)
        return STATUS_OK;
    if (!path)
        return diag_fail(diag, STATUS_BAD_BASE,
                         "%s needs its base, the content with tree %.16s",
                         update->path, want);
    enum status status = ctl_content_open(base, path, diag);
    if (!status)
        status = ctl_content_tree(base, &id);
    if (!status && !hash_equal(&id, &header->base_tree))
        status = diag_fail(diag, STATUS_BAD_BASE,
                           "%.80s is not the base of %.80s (which has tree "
                           "%.16s)",
                           path, update->path, want);
    return status;
}

/* ---- Decoding ---- */

struct decode {
    struct update_aux aux;
    const struct decode_params *params;
    struct hash *leaves; /* of what was decoded */
    pthread_mutex_t mutex;
    pthread_cond_t moved; /* turn or status changed */
    uint32_t next;        /* segment that nobody has */
    uint32_t turn;        /* segment to be put */
    enum status status;
    struct diag *diag;
};

struct lane {
    struct decode *decode;
    struct update_dec *dec;
    uint8_t *coded;
    uint8_t *plain;
    struct source base; /* notes what is read */
    struct decode_read *reads;
    size_t read_count, read_cap;
    struct diag diag;
};

static enum status lane_note(struct lane *lane, uint64_t offset, size_t size)
{
    struct decode_read *last =
        lane->read_count ? &lane->reads[lane->read_count - 1] : NULL;
    if (last && last->offset + last->size == offset) {
        last->size += size;
        return STATUS_OK;
    }
    if (lane->read_count == lane->read_cap) {
        size_t cap = lane->read_cap ? 2 * lane->read_cap : 64;
        struct decode_read *reads =
            realloc(lane->reads, cap * sizeof(*lane->reads));
        if (!reads)
            return STATUS_NO_MEMORY;
        lane->reads = reads;
        lane->read_cap = cap;
    }
    lane->reads[lane->read_count++] = (struct decode_read){offset, size};
    return STATUS_OK;
}

static enum status lane_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    struct lane *lane = ctx;
    enum status status = lane_note(lane, offset, size);
    return status ? status
                  : source_read(lane->decode->params->base, offset, out, size);
}

static enum status lane_open(struct lane *lane, struct decode *decode)
{
    const struct decode_params *params = decode->params;
    *lane = (struct lane){.decode = decode};
    diag_reset(&lane->diag);
    if (params->base)
        lane->base = (struct source){lane_read, lane, params->base->size};
    lane->coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    lane->plain = malloc(UPDATE_SEGMENT_SIZE_MAX);
    if (!lane->coded || !lane->plain)
        return STATUS_NO_MEMORY;
    return update_dec_new(&params->update->update.header,
                          params->base ? &lane->base : NULL, &decode->aux,
                          &lane->dec);
}

static void lane_close(struct lane *lane)
{
    update_dec_free(lane->dec);
    free(lane->coded);
    free(lane->plain);
    free(lane->reads);
}

static void lane_hash(const struct lane *lane, uint32_t index)
{
    const struct update_header *header =
        &lane->decode->params->update->update.header;
    uint32_t first, count;
    uint64_t start = update_segment_offset(header, index);
    update_segment_blocks(header, index, &first, &count);
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t at = tree_block_offset(&header->target, i) - start;
        tree_leaf(
            bytes_of(lane->plain + at, tree_block_size(&header->target, i)),
            &lane->decode->leaves[i]);
    }
}

static enum status lane_decode(struct lane *lane, uint32_t index)
{
    const struct update_file *update = &lane->decode->params->update->update;
    struct bytes coded;
    lane->read_count = 0;
    enum status status =
        update_file_segment(update, index, lane->coded, &coded);
    if (!status)
        status = update_dec_segment(
            lane->dec, index, coded, lane->plain,
            update_segment_target_size(&update->header, index), &lane->diag);
    if (!status)
        lane_hash(lane, index);
    return status;
}

static enum status lane_put(struct lane *lane, uint32_t index)
{
    const struct decode_params *params = lane->decode->params;
    const struct update_header *header = &params->update->update.header;
    const struct decoded decoded = {
        .segment = index - header->aux_count,
        .plain =
            bytes_of(lane->plain, update_segment_target_size(header, index)),
        .reads = lane->reads,
        .read_count = lane->read_count};
    if (params->progress)
        progress_show(params->progress, index - header->aux_count,
                      header->segment_count - header->aux_count);
    return params->put(params->ctx, &decoded, &lane->diag);
}

/* The next segment that nobody has; false when there is none, or all stops. */
static bool decode_take(struct decode *decode, uint32_t *index)
{
    const struct update_header *header = &decode->params->update->update.header;
    pthread_mutex_lock(&decode->mutex);
    bool any = !decode->status && decode->next < header->segment_count;
    if (any)
        *index = decode->next++;
    pthread_mutex_unlock(&decode->mutex);
    return any;
}

/* Waits for this segment's turn; false when one before it failed. */
static bool decode_await(struct decode *decode, uint32_t index)
{
    pthread_mutex_lock(&decode->mutex);
    while (!decode->status && decode->turn != index)
        pthread_cond_wait(&decode->moved, &decode->mutex);
    bool mine = !decode->status;
    pthread_mutex_unlock(&decode->mutex);
    return mine;
}

static void decode_done(struct decode *decode, enum status status,
                        const struct diag *diag)
{
    pthread_mutex_lock(&decode->mutex);
    decode->turn++;
    decode->status = status;
    if (status && diag->text[0])
        diag_fail(decode->diag, status, "%s", diag->text);
    pthread_cond_broadcast(&decode->moved);
    pthread_mutex_unlock(&decode->mutex);
}

static void lane_run(void *arg, unsigned number)
{
    struct decode *decode = arg;
    struct lane lane;
    uint32_t index;
    (void)number;
    enum status opened = lane_open(&lane, decode);
    while (decode_take(decode, &index)) {
        enum status status = opened ? opened : lane_decode(&lane, index);
        if (!decode_await(decode, index))
            break;
        if (!status)
            status = lane_put(&lane, index);
        decode_done(decode, status, &lane.diag);
    }
    lane_close(&lane);
}

static void decode_lanes(struct decode *decode)
{
    const struct parallel *parallel = decode->params->parallel;
    const struct update_header *header = &decode->params->update->update.header;
    uint32_t count = header->segment_count - header->aux_count;
    if (parallel && count > 1)
        parallel->run(parallel->ctx,
                      count < parallel->width ? (unsigned)count
                                              : parallel->width,
                      lane_run, decode);
    else
        lane_run(decode, 0);
}

enum status ctl_decode(const struct decode_params *params, struct diag *diag)
{
    const struct update_header *header = &params->update->update.header;
    struct decode decode = {.params = params, .diag = diag};
    decode.aux = update_file_aux(&params->update->update);
    decode.next = decode.turn = header->aux_count;
    struct hash id;
    decode.leaves =
        calloc((size_t)header->target.block_count + 1, sizeof(struct hash));
    if (!decode.leaves)
        return STATUS_NO_MEMORY;
    pthread_mutex_init(&decode.mutex, NULL);
    pthread_cond_init(&decode.moved, NULL);
    decode_lanes(&decode);
    pthread_cond_destroy(&decode.moved);
    pthread_mutex_destroy(&decode.mutex);
    tree_id(&header->target, decode.leaves, &id);
    free(decode.leaves);
    if (!decode.status && !hash_equal(&id, &header->target_tree))
        return diag_fail(diag, STATUS_MISMATCH,
                         "what %.150s decodes to is not its target",
                         params->update->path);
    return decode.status;
}
