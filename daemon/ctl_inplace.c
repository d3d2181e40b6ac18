/* One pass that only looks (what each segment reads, which ones differ), a
 * plan, a journal, then step by step: decode, keep, commit, write. */
#include "daemon/ctl_inplace.h"

#include "codec/update/update_dec.h"
#include "daemon/fs.h"
#include "daemon/inplace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_STEP UINT32_MAX

struct patcher {
    const struct ctl_update *update;
    const struct update_header *header;
    const char *path;
    int fd; /* of the file, for reading and writing */
    struct progress *progress;
    struct diag *diag;
    struct journal journal;
    uint32_t *step_of; /* per segment of the target: NO_STEP: not written */
    uint32_t step;     /* being made */
    struct source base;
    struct update_aux aux;
    struct update_dec *dec;
    uint8_t *coded;
    uint8_t *plain; /* a step */
};

static enum status patcher_fail(const struct patcher *p, enum status status,
                                const char *what)
{
    return diag_fail(p->diag, status, "%.150s: %s%s", p->path,
                     status_text(status), what);
}

/* ---- The base while it is overwritten ---- */

/* Whether the byte at offset was overwritten by an earlier step, and until
 * where that is the same. */
static bool patcher_gone(const struct patcher *p, uint64_t offset,
                         uint64_t *until)
{
    const struct journal_plan *plan = &p->journal.plan;
    *until = UINT64_MAX;
    if (offset >= plan->target_size)
        return false;
    uint64_t segment = offset >> plan->segment_log;
    *until = (segment + 1) << plan->segment_log;
    if (*until > plan->target_size)
        *until = plan->target_size;
    return p->step_of[segment] < p->step;
}

static enum status patcher_read(void *ctx, uint64_t offset, void *out,
                                size_t size)
{
    struct patcher *p = ctx;
    uint8_t *to = out;
    enum status status = STATUS_OK;
    while (!status && size) {
        uint64_t until;
        bool gone = patcher_gone(p, offset, &until);
        size_t n = until - offset < size ? (size_t)(until - offset) : size;
        status = gone ? journal_read_keep(&p->journal, p->step, offset, to, n)
                      : fs_pread(p->fd, to, n, offset);
        if (status == STATUS_NOT_FOUND)
            status = diag_fail(p->diag, STATUS_INTERNAL,
                               "base bytes at %llu are needed after they were "
                               "overwritten",
                               (unsigned long long)offset);
        to += n;
        offset += n;
        size -= n;
    }
    return status;
}

/* ---- Looking ---- */

struct look {
    const struct patcher *p;
    struct inplace *inplace;
    const struct source *base;
    uint8_t *buf; /* of a segment */
};

/* True when the file has these bytes in this place already. */
static enum status look_same(const struct look *look,
                             const struct decoded *decoded, bool *same)
{
    const struct update_header *header = look->p->header;
    uint64_t at =
        update_segment_offset(header, header->aux_count + decoded->segment);
    *same = false;
    if (at > look->base->size || decoded->plain.size > look->base->size - at)
        return STATUS_OK;
    enum status status =
        source_read(look->base, at, look->buf, decoded->plain.size);
    *same =
        !status && !memcmp(look->buf, decoded->plain.data, decoded->plain.size);
    return status;
}

static enum status look_put(void *ctx, const struct decoded *decoded,
                            struct diag *diag)
{
    const struct look *look = ctx;
    bool same;
    (void)diag;
    enum status status = look_same(look, decoded, &same);
    if (status || same)
        return status;
    inplace_write(look->inplace, decoded->segment);
    for (size_t i = 0; !status && i < decoded->read_count; i++)
        status = inplace_read(look->inplace, decoded->segment,
                              decoded->reads[i].offset, decoded->reads[i].size);
    return status;
}

static void look_plan(const struct patcher *p, struct journal_plan *plan)
{
    const struct update_header *header = p->header;
    const struct update_file *file = &p->update->update;
    memset(plan, 0, sizeof(*plan));
    update_id(bytes_of(file->header_bytes, file->header_size), &plan->update);
    plan->base = header->base_tree;
    plan->target = header->target_tree;
    plan->base_size = header->base_size;
    plan->target_size = header->target.size;
    plan->segment_log =
        (uint8_t)(header->target.block_log + header->segment_log);
}

static enum status look_solve(const struct patcher *p, struct inplace *inplace,
                              struct journal_plan *plan)
{
    uint64_t keep = 0;
    enum status status = inplace_solve(inplace, plan, &keep);
    if (status != STATUS_LIMIT)
        return status;
    return diag_fail(p->diag, status,
                     "%.100s: in place %llu MiB of it would have to be kept "
                     "aside; give another file with -o",
                     p->path, (unsigned long long)(keep >> 20));
}

/* Decodes all once and plans; nothing is changed. */
static enum status patcher_look(struct patcher *p,
                                const struct ctl_content *base,
                                const struct parallel *parallel,
                                struct journal_plan *plan)
{
    struct look look = {.p = p, .base = &base->source};
    const struct decode_params params = {
        .update = p->update,
        .base = &base->source,
        .parallel = parallel,
        .put = look_put,
        .ctx = &look,
        .progress = p->progress,
    };
    look_plan(p, plan);
    look.buf = malloc(UPDATE_SEGMENT_SIZE_MAX);
    enum status status =
        look.buf ? inplace_new(plan, &look.inplace) : STATUS_NO_MEMORY;
    if (!status)
        status = ctl_decode(&params, p->diag);
    if (!status)
        status = look_solve(p, look.inplace, plan);
    inplace_free(look.inplace);
    free(look.buf);
    return status;
}

/* ---- Steps ---- */

static enum status patcher_prepare(struct patcher *p)
{
    const struct journal_plan *plan = &p->journal.plan;
    p->step_of =
        malloc(((size_t)p->header->segment_count + 1) * sizeof(*p->step_of));
    p->coded = malloc(UPDATE_SEGMENT_CODED_MAX);
    p->plain = malloc((size_t)plan->step_bytes + 1);
    if (!p->step_of || !p->coded || !p->plain)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < p->header->segment_count; i++)
        p->step_of[i] = NO_STEP;
    for (uint32_t i = 0; i < plan->step_count; i++)
        for (uint32_t k = 0; k < plan->steps[i].count; k++)
            p->step_of[plan->steps[i].first + k] = i;
    p->base = (struct source){patcher_read, p, plan->base_size};
    p->aux = update_file_aux(&p->update->update);
    return update_dec_new(p->header, &p->base, &p->aux, &p->dec);
}

static enum status patcher_decode(struct patcher *p)
{
    const struct journal_step *step = &p->journal.plan.steps[p->step];
    uint8_t *out = p->plain;
    enum status status = STATUS_OK;
    uint32_t first = p->header->aux_count + step->first;
    for (uint32_t i = first; !status && i < first + step->count; i++) {
        struct bytes coded;
        uint32_t size = update_segment_target_size(p->header, i);
        status = update_file_segment(&p->update->update, i, p->coded, &coded);
        if (!status)
            status = update_dec_segment(p->dec, i, coded, out, size, p->diag);
        out += size;
    }
    return status;
}

static enum status patcher_keep(struct patcher *p)
{
    const struct journal_plan *plan = &p->journal.plan;
    uint32_t i = p->step ? plan->steps[p->step - 1].keep_end : 0;
    enum status status = STATUS_OK;
    for (; !status && i < plan->steps[p->step].keep_end; i++) {
        const struct journal_keep *keep = &plan->keeps[i];
        uint8_t *buf = malloc((size_t)keep->size);
        status = buf ? fs_pread(p->fd, buf, (size_t)keep->size, keep->offset)
                     : STATUS_NO_MEMORY;
        if (!status)
            status = journal_put_keep(&p->journal, i, buf, p->diag);
        free(buf);
    }
    return status;
}

/* Puts a committed step in its place. */
static enum status patcher_write(struct patcher *p, uint32_t step)
{
    uint64_t offset;
    size_t size = (size_t)journal_step_range(&p->journal.plan, step, &offset);
    enum status status = fs_pwrite(p->fd, p->plain, size, offset);
    if (!status && fdatasync(p->fd))
        status = status_from_errno(errno);
    return status;
}

static enum status patcher_steps(struct patcher *p, uint32_t first)
{
    const struct journal_plan *plan = &p->journal.plan;
    enum status status = patcher_prepare(p);
    for (p->step = first; !status && p->step < plan->step_count; p->step++) {
        if (p->progress)
            progress_show(p->progress, p->step, plan->step_count);
        status = patcher_decode(p);
        if (!status)
            status = patcher_keep(p);
        if (!status)
            status = journal_commit(&p->journal, p->step, p->plain, p->diag);
        if (!status)
            status = patcher_write(p, p->step);
    }
    return status;
}

/* ---- From start to end ---- */

/* The file as one that is neither base nor target need be. */
static enum status patcher_tree(const struct patcher *p, struct hash *id)
{
    struct tree_builder tb;
    struct file_source file;
    int fd = dup(p->fd);
    enum status status = fd < 0 ? STATUS_IO : file_source_take(&file, fd);
    if (status) {
        if (fd >= 0)
            close(fd);
        return status;
    }
    status = tree_build(&file.source, &tb, id);
    tree_builder_deinit(&tb);
    file_source_close(&file);
    return status;
}

static enum status patcher_finish(struct patcher *p)
{
    struct hash id;
    enum status status = STATUS_OK;
    if (ftruncate(p->fd, (off_t)p->header->target.size) || fsync(p->fd))
        status = status_from_errno(errno);
    if (!status)
        status = patcher_tree(p, &id);
    if (!status && !hash_equal(&id, &p->header->target_tree))
        status = diag_fail(p->diag, STATUS_MISMATCH,
                           "%.100s was changed while it was patched and is "
                           "lost: restore it and remove its " JOURNAL_SUFFIX,
                           p->path);
    if (!status && p->journal.fd >= 0)
        status = journal_remove(&p->journal, p->diag);
    return status;
}

/* Room for a larger target, found out before anything is changed. */
static enum status patcher_grow(struct patcher *p)
{
    uint64_t from = p->header->base_size, to = p->header->target.size;
    int err =
        to > from ? posix_fallocate(p->fd, (off_t)from, (off_t)(to - from)) : 0;
    if (!err)
        return STATUS_OK;
    struct diag ignored = {""};
    if (ftruncate(p->fd, (off_t)from) || fsync(p->fd) ||
        journal_remove(&p->journal, &ignored))
        return patcher_fail(p, status_from_errno(err), "");
    return patcher_fail(p, status_from_errno(err), "; it is as it was");
}

/* The base, checked; *done when the file is the target already. */
static enum status patcher_base(const struct patcher *p,
                                struct ctl_content *base, bool *done)
{
    struct diag why;
    struct hash id;
    diag_reset(&why);
    enum status status = ctl_update_base(p->update, p->path, base, &why);
    *done = status == STATUS_BAD_BASE && !patcher_tree(p, &id) &&
            hash_equal(&id, &p->header->target_tree);
    return status && !*done ? diag_fail(p->diag, status, "%s", why.text)
                            : STATUS_OK;
}

static enum status patcher_begin(struct patcher *p,
                                 const struct parallel *parallel)
{
    struct ctl_content base;
    struct journal_plan plan = {.steps = NULL};
    bool done;
    enum status status = patcher_base(p, &base, &done);
    if (done) {
        ctl_content_close(&base);
        return STATUS_OK;
    }
    if (!status)
        status = patcher_look(p, &base, parallel, &plan);
    if (!status && plan.step_count)
        status = journal_create_take(&p->journal, p->path, &plan, p->diag);
    journal_plan_free(&plan);
    ctl_content_close(&base);
    if (status)
        return status;
    if (p->journal.fd >= 0)
        status = patcher_grow(p);
    if (!status && p->journal.fd >= 0)
        status = patcher_steps(p, 0);
    return status ? status : patcher_finish(p);
}

static enum status patcher_check_journal(const struct patcher *p)
{
    struct journal_plan want;
    char id[HASH_HEX_SIZE];
    const struct journal_plan *plan = &p->journal.plan;
    look_plan(p, &want);
    hash_hex(&plan->update, id);
    if (hash_equal(&want.update, &plan->update) &&
        want.base_size == plan->base_size &&
        want.target_size == plan->target_size &&
        want.segment_log == plan->segment_log)
        return STATUS_OK;
    return diag_fail(p->diag, STATUS_BAD_BASE,
                     "%.100s is half patched by another update: go on with "
                     "that one (id %.16s) first",
                     p->path, id);
}

/* Goes on after the last committed step, which is written again. */
static enum status patcher_go_on(struct patcher *p)
{
    bool any;
    uint32_t last;
    enum status status = patcher_check_journal(p);
    if (status)
        return status;
    uint8_t *buf = malloc((size_t)p->journal.plan.step_bytes + 1);
    if (!buf)
        return STATUS_NO_MEMORY;
    status = journal_last(&p->journal, &any, &last, buf, p->diag);
    p->plain = buf;
    if (!status && any)
        status = patcher_write(p, last);
    p->plain = NULL;
    free(buf);
    if (!status)
        status = patcher_steps(p, any ? last + 1 : 0);
    return status ? status : patcher_finish(p);
}

/* A base that is whole in spite of a journal (nothing was written yet, or it
 * was restored) starts anew; a target needs only the end. */
static enum status patcher_resume(struct patcher *p,
                                  const struct parallel *parallel)
{
    struct hash id;
    enum status status = patcher_tree(p, &id);
    if (status)
        return status;
    if (hash_equal(&id, &p->header->base_tree)) {
        status = journal_remove(&p->journal, p->diag);
        journal_close(&p->journal);
        return status ? status : patcher_begin(p, parallel);
    }
    return patcher_go_on(p);
}

static enum status patcher_open(struct patcher *p)
{
    struct stat st;
    p->fd = open(p->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (p->fd < 0 || fstat(p->fd, &st))
        return patcher_fail(p, status_from_errno(errno), "");
    if (!S_ISREG(st.st_mode))
        return diag_fail(p->diag, STATUS_USAGE, "%.150s: not a regular file",
                         p->path);
    if (flock(p->fd, LOCK_EX | LOCK_NB))
        return diag_fail(p->diag, STATUS_BUSY,
                         "%.150s: somebody else is patching it", p->path);
    return STATUS_OK;
}

static void patcher_close(struct patcher *p)
{
    journal_close(&p->journal);
    update_dec_free(p->dec);
    free(p->step_of);
    free(p->coded);
    free(p->plain);
    if (p->fd >= 0)
        close(p->fd);
}

enum status ctl_inplace(const struct ctl_update *update, const char *path,
                        const struct parallel *parallel,
                        struct progress *progress, struct diag *diag)
{
    struct patcher p = {.update = update,
                        .header = &update->update.header,
                        .path = path,
                        .fd = -1,
                        .progress = progress,
                        .diag = diag,
                        .journal = JOURNAL_CLOSED};
    if (!update->update.header.has_base)
        return diag_fail(diag, STATUS_BAD_BASE,
                         "%s is a full update and takes no base", update->path);
    enum status status = patcher_open(&p);
    bool pending = !status && journal_pending(path);
    if (pending)
        status = journal_open(&p.journal, path, diag);
    if (!status)
        status = pending ? patcher_resume(&p, parallel)
                         : patcher_begin(&p, parallel);
    if (status && p.journal.fd >= 0 && journal_pending(path))
        patcher_fail(&p, status, "; run the same command again to go on");
    patcher_close(&p);
    return status;
}
