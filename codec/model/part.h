/* The files of one content: where each lies, and how a parser finds the one
 * that another names. Paths are labels; nothing is ever opened by them. */
#ifndef CODEC_MODEL_PART_H
#define CODEC_MODEL_PART_H

#include "codec/base/source.h"

/* Where one file lies in the content. */
struct model_part {
    const char *path; /* "a/b.onnx"; NULL when unknown */
    uint64_t offset;
    uint64_t size;
};

/* What a parser sees of a content. All borrowed; the parts lie within it. */
struct part_set {
    const struct source *content;
    const struct model_part *parts;
    size_t count;
};

/* A part as a source of its own: what its context points to. */
struct part_window {
    const struct source *content;
    uint64_t offset;
};

/* The source holds as long as the window and the content do. */
struct source part_source(const struct part_set *set, size_t index,
                          struct part_window *window);

/* "" for an unknown path. */
const char *part_path(const struct part_set *set, size_t index);

enum part_lookup {
    PART_FOUND,
    PART_ABSENT, /* no file of the content has this name */
    PART_OUTSIDE /* empty, absolute, or leads upwards: never looked up */
};

/* The file that another one names.
 *
 * from      the part that names it; location is relative to its folder
 * location  parts divided by '/'; "." and empty ones in between are left out
 * index     out, set when found */
enum part_lookup part_find(const struct part_set *set, size_t from,
                           struct bytes location, size_t *index);

#endif
