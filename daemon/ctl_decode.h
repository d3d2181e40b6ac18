/* Reading an update file and decoding it: what patch, inspect and bench do. */
#ifndef DAEMON_CTL_DECODE_H
#define DAEMON_CTL_DECODE_H

#include "codec/base/parallel.h"
#include "codec/update/update_file.h"
#include "daemon/ctl_content.h"
#include "daemon/progress.h"

/* An update file, of a file or of a folder. */
struct ctl_update {
    const char *path; /* as given; borrowed */
    struct file_source file;
    uint64_t start;       /* of the update in the file, behind a listing */
    struct source source; /* from there on */
    struct update_file update;
    bool is_folder;
    struct listing listing; /* of a folder */
};

#define CTL_UPDATE_CLOSED ((struct ctl_update){.file = {.fd = -1}})

/* True for what ctl_update_open takes: by its first bytes. */
bool ctl_update_probe(const struct source *file);

/* As update_file_open; CORRUPT, too, for a listing that is not as long as the
 * target. diag names the path. Must stay where it is until closed. */
enum status ctl_update_open(struct ctl_update *update, const char *path,
                            struct diag *diag) MUST_CHECK;
void ctl_update_close(struct ctl_update *update);

/* What an update to a folder begins with. */
void ctl_folder_head_write(const struct listing *listing, struct writer *wr);

/* Opens the base an update needs (path NULL: none given), and checks by its
 * tree that it is the one. BAD_BASE, or as ctl_content_open. */
enum status ctl_update_base(const struct ctl_update *update, const char *path,
                            struct ctl_content *base, struct diag *diag)
    MUST_CHECK;

/* A stretch of the base that was read to decode a segment. */
struct decode_read {
    uint64_t offset;
    uint64_t size;
};

struct decoded {
    uint32_t segment; /* of those that cover the target, from 0 */
    struct bytes plain;
    const struct decode_read *reads; /* every byte of the base it needed */
    size_t read_count;
};

struct decode_params {
    const struct ctl_update *update;
    const struct source *base;       /* NULL without; checked */
    const struct parallel *parallel; /* NULL: one thread */
    /* Called for each segment in order, one at a time. */
    enum status (*put)(void *ctx, const struct decoded *decoded,
                       struct diag *diag);
    void *ctx;
    struct progress *progress; /* may be NULL */
};

/* Decodes all segments, as many at once as parallel is wide, and checks that
 * what came is the target: MISMATCH else, after all was put. Memory: some
 * 5 MiB for each thread, at most 13. Status as update_dec_segment, or what put
 * answers. */
enum status ctl_decode(const struct decode_params *params, struct diag *diag)
    MUST_CHECK;

#endif
