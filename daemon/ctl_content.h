/* What verbs without a daemon read: a file, or a folder of files, as one
 * content with the tensors in it. */
#ifndef DAEMON_CTL_CONTENT_H
#define DAEMON_CTL_CONTENT_H

#include "codec/model/model.h"
#include "daemon/ctl.h"
#include "daemon/file_source.h"
#include "daemon/fileset.h"
#include "daemon/listing.h"

/* Zeroes with file.fd -1 are closed: CTL_CONTENT_CLOSED. */
struct ctl_content {
    const char *path; /* as given; borrowed */
    bool is_folder;
    struct source source;
    struct file_source file; /* of a file */
    struct fileset *files;   /* of a folder */
    struct listing listing;  /* of a folder */
    struct model *model;     /* NULL before ctl_content_model */
};

#define CTL_CONTENT_CLOSED ((struct ctl_content){.file = {.fd = -1}})

/* CORRUPT for a file that a patch in place left half done; else as
 * file_source_open and listing_of_folder. diag names the path. Must stay where
 * it is until closed. */
enum status ctl_content_open(struct ctl_content *content, const char *path,
                             struct diag *diag) MUST_CHECK;
void ctl_content_close(struct ctl_content *content);

/* Finds the tensors. A file that cannot be read as what it claims is taken as
 * opaque bytes, with a warning on standard error. */
enum status ctl_content_model(const struct ctl *ctl,
                              struct ctl_content *content) MUST_CHECK;

/* The same without words: diag says why a file is opaque. */
enum status ctl_content_parse(struct ctl_content *content, struct diag *diag)
    MUST_CHECK;

/* The tree id of the content: reads all of it. */
enum status ctl_content_tree(const struct ctl_content *content,
                             struct hash *out) MUST_CHECK;

#endif
