/* Files and folders opened the same way. */
#include "daemon/ctl_content.h"

#include "codec/update/tree.h"
#include "daemon/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status content_open_file(struct ctl_content *content,
                                     struct diag *diag)
{
    if (journal_pending(content->path))
        return diag_fail(diag, STATUS_CORRUPT,
                         "%.80s is half patched (%.80s" JOURNAL_SUFFIX
                         "): run the same deltamesh patch --in-place again",
                         content->path, content->path);
    enum status status = file_source_open(&content->file, content->path, diag);
    content->source = content->file.source;
    return status;
}

static int content_open_part(const struct ctl_content *content, size_t index,
                             char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/%s", content->path,
                     content->listing.files[index].path);
    if (n < 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static enum status content_open_folder(struct ctl_content *content,
                                       struct diag *diag)
{
    int fds[LISTING_FILES_MAX];
    char path[PATH_MAX] = "";
    size_t count = 0;
    enum status status =
        listing_of_folder(content->path, &content->listing, diag);
    if (!status && !content->listing.count)
        status = diag_fail(diag, STATUS_USAGE, "%.200s: no file is in it",
                           content->path);
    for (; !status && count < content->listing.count; count++) {
        fds[count] = content_open_part(content, count, path);
        if (fds[count] >= 0)
            continue;
        status = diag_fail(diag, status_from_errno(errno), "%.200s: %s", path,
                           strerror(errno));
        break;
    }
    if (status) {
        while (count)
            close(fds[--count]);
        return status;
    }
    status = fileset_of_fds(fds, count, &content->files, diag);
    if (status)
        return status;
    content->source = fileset_source(content->files);
    content->listing.size = content->source.size;
    for (size_t i = 0; i < count; i++)
        content->listing.files[i].size = fileset_length(content->files, i);
    return STATUS_OK;
}

enum status ctl_content_open(struct ctl_content *content, const char *path,
                             struct diag *diag)
{
    struct stat st;
    *content = CTL_CONTENT_CLOSED;
    content->path = path;
    content->is_folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    return content->is_folder ? content_open_folder(content, diag)
                              : content_open_file(content, diag);
}

void ctl_content_close(struct ctl_content *content)
{
    model_free(content->model);
    fileset_free(content->files);
    listing_free(&content->listing);
    file_source_close(&content->file);
    *content = CTL_CONTENT_CLOSED;
}

enum status ctl_content_parse(struct ctl_content *content, struct diag *diag)
{
    struct model_part parts[LISTING_FILES_MAX];
    if (!content->is_folder)
        return model_parse_file(&content->source, content->path,
                                &content->model, diag);
    for (size_t i = 0; i < content->listing.count; i++)
        parts[i] = (struct model_part){content->listing.files[i].path,
                                       fileset_offset(content->files, i),
                                       fileset_length(content->files, i)};
    return model_parse(&content->source, parts, content->listing.count,
                       &content->model, diag);
}

enum status ctl_content_model(const struct ctl *ctl,
                              struct ctl_content *content)
{
    struct diag diag;
    diag_reset(&diag);
    enum status status = ctl_content_parse(content, &diag);
    const struct model_file *bad =
        status ? NULL : model_unreadable(content->model);
    if (bad)
        ctl_fail(ctl->verb, CTL_OK, "warning: %s: %s; taken as opaque bytes",
                 content->is_folder ? bad->path : content->path, diag.text);
    return status;
}

enum status ctl_content_tree(const struct ctl_content *content,
                             struct hash *out)
{
    struct tree_builder tb;
    enum status status = tree_build(&content->source, &tb, out);
    tree_builder_deinit(&tb);
    return status;
}
