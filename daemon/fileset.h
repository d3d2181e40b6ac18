/* The files of one version seen as one content: offsets of the content lead
 * to the file that lies there. Read and written with pread and pwrite only. */
#ifndef DAEMON_FILESET_H
#define DAEMON_FILESET_H

#include "codec/base/source.h"
#include "protocol/manifest.h"

struct fileset;

/* Makes the files under dir at their full size, and the folders they lie in;
 * what is there already is kept. Modes 0644 and 0755.
 *
 * NO_SPACE, PERMISSION, IO, NO_MEMORY; diag names the file. */
enum status fileset_create(const char *dir, const struct manifest_file *files,
                           size_t file_count, struct fileset **out,
                           struct diag *diag) MUST_CHECK;

/* Opens them for reading. NOT_FOUND: one is missing. MISMATCH: one has another
 * size. */
enum status fileset_open(const char *dir, const struct manifest_file *files,
                         size_t file_count, struct fileset **out,
                         struct diag *diag) MUST_CHECK;

/* Over open descriptors of regular files, in this order, which it owns from
 * then on, also on failure. The content is the files at the size they have
 * now. USAGE: not a regular file, or not readable. */
enum status fileset_of_fds(const int *fds, size_t count, struct fileset **out,
                           struct diag *diag) MUST_CHECK;

void fileset_free(struct fileset *set);

uint64_t fileset_size(const struct fileset *set);
size_t fileset_count(const struct fileset *set);
uint64_t fileset_offset(const struct fileset *set, size_t index);
uint64_t fileset_length(const struct fileset *set, size_t index);

/* The descriptor of a file; stays the set's. */
int fileset_fd(const struct fileset *set, size_t index);

/* Valid while the set is. TRUNCATED when a file shrank. */
struct source fileset_source(struct fileset *set);

enum status fileset_write(struct fileset *set, uint64_t offset,
                          const void *data, size_t size) MUST_CHECK;

/* Makes what was written durable: fdatasync of the files written to since, or
 * with folders fsync of all files and of every folder up to dir. */
enum status fileset_sync(struct fileset *set, bool folders) MUST_CHECK;

#endif
