/* Plans to bytes, and the file they head. */
#include "daemon/journal.h"

#include "daemon/fs.h"
#include "daemon/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JOURNAL_MAGIC     "DMJOURNL"
#define JOURNAL_HEAD_SIZE 12u
#define JOURNAL_ALIGN     4096u
#define JOURNAL_SLOT_HEAD 64u
#define JOURNAL_COPY_SIZE 65536u

/* ---- Plans ---- */

void journal_plan_free(struct journal_plan *plan)
{
    free(plan->steps);
    free(plan->keeps);
    memset(plan, 0, sizeof(*plan));
}

uint64_t journal_step_range(const struct journal_plan *plan, uint32_t step,
                            uint64_t *offset)
{
    const struct journal_step *s = &plan->steps[step];
    uint64_t end = ((uint64_t)s->first + s->count) << plan->segment_log;
    *offset = (uint64_t)s->first << plan->segment_log;
    return (end < plan->target_size ? end : plan->target_size) - *offset;
}

void journal_plan_write(const struct journal_plan *plan, struct writer *wr)
{
    writer_bytes(wr, plan->update.b, HASH_BYTES);
    writer_bytes(wr, plan->base.b, HASH_BYTES);
    writer_bytes(wr, plan->target.b, HASH_BYTES);
    writer_varint(wr, plan->base_size);
    writer_varint(wr, plan->target_size);
    writer_u8(wr, plan->segment_log);
    writer_varint(wr, plan->step_count);
    for (uint32_t i = 0, keep = 0; i < plan->step_count; i++) {
        const struct journal_step *step = &plan->steps[i];
        writer_varint(wr, step->first);
        writer_varint(wr, step->count);
        writer_varint(wr, step->keep_end - keep);
        for (; keep < step->keep_end; keep++) {
            writer_varint(wr, plan->keeps[keep].offset);
            writer_varint(wr, plan->keeps[keep].size);
        }
    }
}

/* Appends a keep of the step that is being read. */
static enum status plan_read_keep(struct reader *rd, struct journal_plan *plan,
                                  uint32_t step, uint32_t index)
{
    uint64_t offset = reader_varint(rd), size = reader_varint(rd), at;
    uint64_t end = journal_step_range(plan, step, &at);
    uint32_t before = step ? plan->steps[step - 1].keep_end : 0;
    struct journal_keep *keep = &plan->keeps[index];
    end += at;
    if (end > plan->base_size)
        end = plan->base_size;
    if (index > before)
        at = keep[-1].offset + keep[-1].size;
    if (reader_status(rd))
        return reader_status(rd);
    if (offset < at || offset >= end || !size || size > end - offset)
        return STATUS_CORRUPT;
    *keep = (struct journal_keep){offset, size, plan->keep_bytes};
    plan->keep_bytes += size;
    plan->keep_count++;
    return STATUS_OK;
}

static enum status plan_grow_keeps(struct journal_plan *plan, uint64_t more)
{
    size_t count = plan->keep_count + (size_t)more;
    if (more > JOURNAL_KEEPS_MAX || count > JOURNAL_KEEPS_MAX)
        return STATUS_LIMIT;
    struct journal_keep *keeps =
        realloc(plan->keeps, (count + 1) * sizeof(*keeps));
    if (!keeps)
        return STATUS_NO_MEMORY;
    plan->keeps = keeps;
    return STATUS_OK;
}

static enum status plan_read_step(struct reader *rd, struct journal_plan *plan,
                                  uint32_t index, uint8_t *written)
{
    uint64_t segments = (plan->target_size + (1ull << plan->segment_log) - 1) >>
                        plan->segment_log;
    uint64_t first = reader_varint(rd), count = reader_varint(rd), offset;
    uint64_t keeps = reader_varint_max(rd, reader_left(rd) / 2);
    if (reader_status(rd))
        return reader_status(rd);
    if (first >= segments || !count || count > segments - first ||
        count << plan->segment_log > JOURNAL_STEP_BYTES)
        return STATUS_CORRUPT;
    struct journal_step *step = &plan->steps[index];
    *step = (struct journal_step){(uint32_t)first, (uint32_t)count, 0};
    for (uint64_t i = first; i < first + count; i++)
        if (written[i]++)
            return STATUS_CORRUPT;
    uint64_t bytes = journal_step_range(plan, index, &offset);
    if (bytes > plan->step_bytes)
        plan->step_bytes = (uint32_t)bytes;
    enum status status = plan_grow_keeps(plan, keeps);
    for (uint64_t i = 0; !status && i < keeps; i++)
        status = plan_read_keep(rd, plan, index, plan->keep_count);
    step->keep_end = plan->keep_count;
    return status;
}

static enum status plan_read_steps(struct reader *rd, struct journal_plan *plan)
{
    uint64_t count = reader_varint_max(rd, JOURNAL_STEPS_MAX);
    if (reader_status(rd))
        return reader_status(rd);
    if (count > reader_left(rd) / 3)
        return STATUS_TRUNCATED;
    uint8_t *written = calloc(JOURNAL_STEPS_MAX + 1u, 1);
    plan->steps = calloc((size_t)count + 1, sizeof(*plan->steps));
    enum status status = written && plan->steps ? STATUS_OK : STATUS_NO_MEMORY;
    plan->step_count = (uint32_t)count;
    for (uint32_t i = 0; !status && i < count; i++)
        status = plan_read_step(rd, plan, i, written);
    free(written);
    return status ? status : reader_finish(rd);
}

enum status journal_plan_parse(struct bytes bytes, struct journal_plan *out)
{
    struct reader rd;
    memset(out, 0, sizeof(*out));
    reader_init(&rd, bytes);
    reader_copy(&rd, out->update.b, HASH_BYTES);
    reader_copy(&rd, out->base.b, HASH_BYTES);
    reader_copy(&rd, out->target.b, HASH_BYTES);
    out->base_size = reader_varint_max(&rd, 1ull << 40);
    out->target_size = reader_varint_max(&rd, 1ull << 40);
    out->segment_log = reader_u8(&rd);
    enum status status = reader_status(&rd);
    if (!status &&
        (out->segment_log < 12 || out->segment_log > 23 ||
         out->target_size > (uint64_t)JOURNAL_STEPS_MAX << out->segment_log))
        status = STATUS_LIMIT;
    if (!status)
        status = plan_read_steps(&rd, out);
    if (status)
        journal_plan_free(out);
    return status;
}

/* ---- Files ---- */

static char *journal_path(const char *path)
{
    char *real = realpath(path, NULL), *out;
    if (!real || asprintf(&out, "%s" JOURNAL_SUFFIX, real) < 0)
        out = NULL;
    free(real);
    return out;
}

bool journal_pending(const char *path)
{
    char *name = journal_path(path);
    bool pending = name && !access(name, F_OK);
    free(name);
    return pending;
}

static enum status journal_fail(const struct journal *journal,
                                struct diag *diag, enum status status)
{
    return diag_fail(diag, status, "%.200s: %s",
                     journal->path ? journal->path : "journal",
                     status_text(status));
}

static uint64_t journal_slot_at(const struct journal *journal, uint32_t step)
{
    uint64_t keeps = (journal->plan.keep_bytes + JOURNAL_ALIGN - 1) &
                     ~(uint64_t)(JOURNAL_ALIGN - 1);
    uint64_t slot = ((uint64_t)JOURNAL_SLOT_HEAD + journal->plan.step_bytes +
                     JOURNAL_ALIGN - 1) &
                    ~(uint64_t)(JOURNAL_ALIGN - 1);
    return journal->keeps_at + keeps + (step % 2) * slot;
}

static uint64_t journal_size(const struct journal *journal)
{
    return 2 * journal_slot_at(journal, 1) - journal_slot_at(journal, 0);
}

static int keep_compare(const void *a, const void *b)
{
    const struct journal_keep *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static enum status journal_sort(struct journal *journal)
{
    const struct journal_plan *plan = &journal->plan;
    size_t size = plan->keep_count * sizeof(*plan->keeps);
    journal->sorted = malloc(size + 1);
    if (!journal->sorted)
        return STATUS_NO_MEMORY;
    if (size) {
        memcpy(journal->sorted, plan->keeps, size);
        qsort(journal->sorted, plan->keep_count, sizeof(*plan->keeps),
              keep_compare);
    }
    return STATUS_OK;
}

static void journal_head_write(struct journal *journal, struct writer *wr)
{
    struct hash hash;
    writer_bytes(wr, JOURNAL_MAGIC, 8);
    writer_le32(wr, 0);
    journal_plan_write(&journal->plan, wr);
    if (writer_status(wr))
        return;
    store_le32(wr->data + 8, (uint32_t)(wr->size + HASH_BYTES));
    hash_bytes(HASH_MISC, writer_view(wr), &hash);
    writer_bytes(wr, hash.b, HASH_BYTES);
    journal->keeps_at =
        (wr->size + JOURNAL_ALIGN - 1) & ~(uint64_t)(JOURNAL_ALIGN - 1);
}

/* The head, and room for all else, durable. */
static enum status journal_fill(const struct journal *journal, int fd,
                                struct bytes head)
{
    enum status status = fs_pwrite(fd, head.data, head.size, 0);
    if (!status)
        status = status_from_errno(
            posix_fallocate(fd, 0, (off_t)journal_size(journal)));
    if (!status && fsync(fd))
        status = status_from_errno(errno);
    return status;
}

static enum status journal_sync_folder(const struct journal *journal)
{
    char *folder = strdup(journal->path);
    enum status status =
        folder ? fs_sync_dir(AT_FDCWD, dirname(folder)) : STATUS_NO_MEMORY;
    free(folder);
    return status;
}

/* A nameless file that gets its name when it is whole. */
static enum status journal_place_nameless(struct journal *journal,
                                          struct bytes head, int fd)
{
    char self[64];
    enum status status = journal_fill(journal, fd, head);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (!status &&
        linkat(AT_FDCWD, self, AT_FDCWD, journal->path, AT_SYMLINK_FOLLOW))
        status = status_from_errno(errno);
    if (status) {
        close(fd);
        return status;
    }
    journal->fd = fd;
    return journal_sync_folder(journal);
}

/* Where the file system has no nameless files: under a hidden name first. */
static enum status journal_place(struct journal *journal, struct bytes head,
                                 struct diag *diag)
{
    struct out_file out;
    char *folder = strdup(journal->path);
    int fd = folder
                 ? open(dirname(folder), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
                 : -1;
    free(folder);
    if (fd >= 0)
        return journal_place_nameless(journal, head, fd);
    enum status status = out_file_open(&out, journal->path, diag);
    if (status)
        return status;
    status = journal_fill(journal, out.fd, head);
    if (!status)
        status = out_file_commit(&out, diag);
    out_file_abort(&out);
    if (status)
        return status;
    journal->fd = open(journal->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return journal->fd < 0 ? status_from_errno(errno) : STATUS_OK;
}

enum status journal_create_take(struct journal *journal, const char *path,
                                struct journal_plan *plan, struct diag *diag)
{
    struct writer head;
    *journal = JOURNAL_CLOSED;
    journal->path = journal_path(path);
    if (!journal->path)
        return journal_fail(journal, diag, STATUS_NO_MEMORY);
    journal->plan = *plan;
    writer_init_heap(&head, JOURNAL_HEAD_MAX);
    journal_head_write(journal, &head);
    enum status status = writer_status(&head);
    if (!status)
        status = journal_place(journal, writer_view(&head), diag);
    writer_deinit(&head);
    if (!status)
        status = journal_sort(journal);
    if (!status) {
        memset(plan, 0, sizeof(*plan));
        return STATUS_OK;
    }
    journal_fail(journal, diag, status);
    memset(&journal->plan, 0, sizeof(journal->plan));
    journal_close(journal);
    return status;
}

static enum status journal_read_head(struct journal *journal)
{
    uint8_t fixed[JOURNAL_HEAD_SIZE];
    struct hash hash;
    enum status status = fs_pread(journal->fd, fixed, sizeof(fixed), 0);
    if (status)
        return status;
    uint32_t size = load_le32(fixed + 8);
    if (memcmp(fixed, JOURNAL_MAGIC, 8) || size > JOURNAL_HEAD_MAX ||
        size < sizeof(fixed) + HASH_BYTES)
        return STATUS_CORRUPT;
    uint8_t *head = malloc(size);
    if (!head)
        return STATUS_NO_MEMORY;
    status = fs_pread(journal->fd, head, size, 0);
    size -= HASH_BYTES;
    hash_bytes(HASH_MISC, bytes_of(head, size), &hash);
    if (!status && memcmp(hash.b, head + size, HASH_BYTES))
        status = STATUS_CORRUPT;
    if (!status)
        status = journal_plan_parse(
            bytes_of(head + JOURNAL_HEAD_SIZE, size - JOURNAL_HEAD_SIZE),
            &journal->plan);
    free(head);
    journal->keeps_at = (size + HASH_BYTES + JOURNAL_ALIGN - 1) &
                        ~(uint64_t)(JOURNAL_ALIGN - 1);
    return status;
}

enum status journal_open(struct journal *journal, const char *path,
                         struct diag *diag)
{
    *journal = JOURNAL_CLOSED;
    journal->path = journal_path(path);
    if (!journal->path)
        return journal_fail(journal, diag, STATUS_NO_MEMORY);
    journal->fd = open(journal->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    enum status status = journal->fd < 0 ? status_from_errno(errno) : STATUS_OK;
    if (!status)
        status = journal_read_head(journal);
    if (!status)
        status = journal_sort(journal);
    if (!status)
        return STATUS_OK;
    if (status == STATUS_CORRUPT || status == STATUS_TRUNCATED ||
        status == STATUS_LIMIT)
        diag_fail(diag, status, "%.180s is no whole journal: restore the base",
                  journal->path);
    journal_fail(journal, diag, status);
    journal_close(journal);
    return status;
}

void journal_close(struct journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->path);
    free(journal->sorted);
    journal_plan_free(&journal->plan);
    *journal = JOURNAL_CLOSED;
}

enum status journal_remove(struct journal *journal, struct diag *diag)
{
    if (unlink(journal->path))
        return journal_fail(journal, diag, status_from_errno(errno));
    enum status status = journal_sync_folder(journal);
    return status ? journal_fail(journal, diag, status) : STATUS_OK;
}

/* ---- Keeps ---- */

enum status journal_put_keep(struct journal *journal, uint32_t keep,
                             const void *data, struct diag *diag)
{
    const struct journal_keep *k = &journal->plan.keeps[keep];
    enum status status = fs_pwrite(journal->fd, data, (size_t)k->size,
                                   journal->keeps_at + k->at);
    return status ? journal_fail(journal, diag, status) : STATUS_OK;
}

/* The keep of a step before this one that holds a byte of the base: no byte
 * is kept twice. */
static const struct journal_keep *keep_of(const struct journal *journal,
                                          uint32_t step, uint64_t offset)
{
    const struct journal_plan *plan = &journal->plan;
    uint32_t end = step ? plan->steps[step - 1].keep_end : 0;
    uint32_t low = 0, high = plan->keep_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (journal->sorted[mid].offset + journal->sorted[mid].size <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == plan->keep_count || journal->sorted[low].offset > offset)
        return NULL;
    /* at rises from step to step: it tells whether the keep is there yet. */
    const struct journal_keep *keep = &journal->sorted[low];
    bool there = end && keep->at <= plan->keeps[end - 1].at;
    return there ? keep : NULL;
}

enum status journal_read_keep(const struct journal *journal, uint32_t step,
                              uint64_t offset, void *out, size_t size)
{
    uint8_t *to = out;
    while (size) {
        const struct journal_keep *keep = keep_of(journal, step, offset);
        if (!keep)
            return STATUS_NOT_FOUND;
        uint64_t from = offset - keep->offset;
        size_t n =
            keep->size - from < size ? (size_t)(keep->size - from) : size;
        enum status status =
            fs_pread(journal->fd, to, n, journal->keeps_at + keep->at + from);
        if (status)
            return status;
        to += n;
        offset += n;
        size -= n;
    }
    return STATUS_OK;
}

/* ---- Slots ---- */

/* Over the keeps as they lie in the file, so that one torn is found. */
static enum status slot_hash(const struct journal *journal, uint32_t step,
                             struct bytes data, struct hash *out)
{
    const struct journal_plan *plan = &journal->plan;
    struct hash_state st;
    enum status status = STATUS_OK;
    uint8_t *buf = malloc(JOURNAL_COPY_SIZE);
    if (!buf)
        return STATUS_NO_MEMORY;
    hash_begin(&st, HASH_MISC);
    hash_add(&st, plan->update.b, HASH_BYTES);
    hash_add_le32(&st, step);
    uint32_t from = step ? plan->steps[step - 1].keep_end : 0;
    for (uint32_t i = from; i < plan->steps[step].keep_end; i++)
        for (uint64_t at = 0; !status && at < plan->keeps[i].size;) {
            uint64_t left = plan->keeps[i].size - at;
            size_t n =
                left < JOURNAL_COPY_SIZE ? (size_t)left : JOURNAL_COPY_SIZE;
            status = fs_pread(journal->fd, buf, n,
                              journal->keeps_at + plan->keeps[i].at + at);
            hash_add(&st, buf, status ? 0 : n);
            at += n;
        }
    hash_add(&st, data.data, data.size);
    hash_end(&st, out);
    free(buf);
    return status;
}

enum status journal_commit(struct journal *journal, uint32_t step,
                           const void *data, struct diag *diag)
{
    uint8_t head[JOURNAL_SLOT_HEAD] = {0};
    uint64_t offset, at = journal_slot_at(journal, step);
    size_t size = (size_t)journal_step_range(&journal->plan, step, &offset);
    struct hash hash;
    enum status status = slot_hash(journal, step, bytes_of(data, size), &hash);
    store_le32(head, step + 1);
    store_le32(head + 4, (uint32_t)size);
    memcpy(head + 8, hash.b, HASH_BYTES);
    if (!status)
        status = fs_pwrite(journal->fd, data, size, at + sizeof(head));
    if (!status)
        status = fs_pwrite(journal->fd, head, sizeof(head), at);
    if (!status && fdatasync(journal->fd))
        status = status_from_errno(errno);
    return status ? journal_fail(journal, diag, status) : STATUS_OK;
}

enum slot_state {
    SLOT_EMPTY, /* never written */
    SLOT_TORN,
    SLOT_WHOLE
};

static enum status slot_read(const struct journal *journal, unsigned slot,
                             uint8_t *buf, enum slot_state *state,
                             uint32_t *step)
{
    uint8_t head[JOURNAL_SLOT_HEAD];
    uint64_t offset, at = journal_slot_at(journal, slot);
    struct hash hash;
    enum status status = fs_pread(journal->fd, head, sizeof(head), at);
    if (status)
        return status;
    static const uint8_t zero[JOURNAL_SLOT_HEAD];
    *state = memcmp(head, zero, sizeof(head)) ? SLOT_TORN : SLOT_EMPTY;
    *step = load_le32(head) - 1;
    if (*state == SLOT_EMPTY || *step >= journal->plan.step_count ||
        *step % 2 != slot)
        return STATUS_OK;
    uint64_t size = journal_step_range(&journal->plan, *step, &offset);
    if (load_le32(head + 4) != size)
        return STATUS_OK;
    status = fs_pread(journal->fd, buf, (size_t)size, at + sizeof(head));
    if (!status)
        status = slot_hash(journal, *step, bytes_of(buf, (size_t)size), &hash);
    if (!status && !memcmp(hash.b, head + 8, HASH_BYTES))
        *state = SLOT_WHOLE;
    return status;
}

enum status journal_last(const struct journal *journal, bool *any,
                         uint32_t *step, uint8_t *buf, struct diag *diag)
{
    enum slot_state state[2];
    uint32_t steps[2];
    enum status status = slot_read(journal, 0, buf, &state[0], &steps[0]);
    if (!status)
        status = slot_read(journal, 1, buf, &state[1], &steps[1]);
    if (status)
        return journal_fail(journal, diag, status);
    bool first = state[0] == SLOT_WHOLE, second = state[1] == SLOT_WHOLE;
    *any = first || second;
    /* Before the first commit is whole, slot 1 is as it was made. */
    if (!*any && state[1] != SLOT_EMPTY)
        return diag_fail(diag, STATUS_CORRUPT,
                         "%.180s is damaged: restore the base", journal->path);
    if (!*any || (second && !(first && steps[0] > steps[1]))) {
        *step = *any ? steps[1] : 0;
        return STATUS_OK;
    }
    *step = steps[0];
    status = slot_read(journal, 0, buf, &state[0], &steps[0]);
    return status ? journal_fail(journal, diag, status) : STATUS_OK;
}
