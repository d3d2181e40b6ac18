/* Which names there are: models, roles, channels, labels, paths of files, and
 * the patterns by which the fleet record says who signs for which model. All
 * are compared byte by byte.
 *
 * Ref: PROTOCOL.md, "Names". */
#ifndef PROTOCOL_NAME_H
#define PROTOCOL_NAME_H

#include "codec/base/bytes.h"

/* A model: parts [a-z][a-z0-9._-]* joined by '/', at most 128 bytes; no part
 * is "current". */
bool name_is_model(struct bytes name);

/* True when one is a folder of the other's path, so that both cannot lie in
 * one models folder. Equal names do not conflict. */
bool name_models_conflict(struct bytes a, struct bytes b);

/* A role or a channel: [a-z0-9][a-z0-9._-]*, at most 64 bytes. */
bool name_is_role(struct bytes name);
bool name_is_channel(struct bytes name);

/* A fleet: 1 to 64 printable ASCII characters (' ' to '~'). */
bool name_is_fleet(struct bytes name);

/* A label key: [a-z][a-z0-9._-]*, at most 64 bytes. "node" is no label: in a
 * test it means the node id in hex. A value: [A-Za-z0-9._:/@+-]{1,64}. */
bool name_is_label_key(struct bytes key);
bool name_is_label_value(struct bytes value);

/* A pattern: "*" (every model), "PREFIX/" followed by "*" (every model that
 * begins with PREFIX and '/', at any depth; not PREFIX itself), or one model
 * name. PREFIX is a model name. */
bool name_is_pattern(struct bytes pattern);
bool name_pattern_matches(struct bytes pattern, struct bytes model);

/* A file of a version: 1 to 8 parts of 1 to 255 bytes of [A-Za-z0-9._-] joined
 * by '/', none starting with '.' or '-'. */
bool name_is_path(struct bytes path);

/* The name "MODEL#N" of a version record. N is decimal, 1 or more, without
 * leading zeros. model is a view of name. */
bool name_split_version(struct bytes name, struct bytes *model, uint64_t *n);

/* Writes it with a NUL; out has LIMIT_RECORD_NAME_BYTES bytes. */
#define NAME_VERSION_SIZE 192u
struct bytes name_join_version(struct bytes model, uint64_t n,
                               char out[NAME_VERSION_SIZE]);

/* A decimal number from 1 on without leading zeros: a fleet record's name. */
bool name_to_number(struct bytes name, uint64_t *n);

#endif
