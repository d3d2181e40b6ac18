/* Windows into a content, and relative names of the files in it. */
#include "codec/model/part.h"

static enum status part_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct part_window *window = ctx;
    return source_read(window->content, window->offset + offset, out, size);
}

struct source part_source(const struct part_set *set, size_t index,
                          struct part_window *window)
{
    const struct model_part *part = &set->parts[index];
    *window = (struct part_window){set->content, part->offset};
    return (struct source){part_read, window, part->size};
}

const char *part_path(const struct part_set *set, size_t index)
{
    return set->parts[index].path ? set->parts[index].path : "";
}

/* Takes the next component off a location; false at its end. */
static bool part_component(struct bytes *left, struct bytes *component)
{
    const uint8_t *slash;
    if (!left->size)
        return false;
    slash = memchr(left->data, '/', left->size);
    size_t size = slash ? (size_t)(slash - left->data) : left->size;
    size_t taken = slash ? size + 1 : size;
    *component = bytes_of(left->data, size);
    *left = bytes_of(left->data + taken, left->size - taken);
    return true;
}

static bool part_is_dot(struct bytes component)
{
    return !component.size || (component.size == 1 && component.data[0] == '.');
}

/* Backslashes and colons divide paths elsewhere: such a name is none here. */
static bool part_is_inside(struct bytes location)
{
    struct bytes component;
    bool any = false;
    if (!location.size || location.data[0] == '/' ||
        memchr(location.data, 0, location.size) ||
        memchr(location.data, '\\', location.size) ||
        memchr(location.data, ':', location.size))
        return false;
    while (part_component(&location, &component)) {
        if (bytes_equal(component, bytes_of_text("..")))
            return false;
        any |= !part_is_dot(component);
    }
    return any;
}

/* True when the path is folder, then the components of location. */
static bool part_matches(struct bytes path, struct bytes folder,
                         struct bytes location)
{
    struct bytes component, have;
    if (path.size < folder.size || memcmp(path.data, folder.data, folder.size))
        return false;
    path = bytes_of(path.data + folder.size, path.size - folder.size);
    while (part_component(&location, &component)) {
        if (part_is_dot(component))
            continue;
        if (!part_component(&path, &have) || !bytes_equal(have, component))
            return false;
    }
    return !path.size;
}

enum part_lookup part_find(const struct part_set *set, size_t from,
                           struct bytes location, size_t *index)
{
    const char *path = part_path(set, from);
    const char *slash = strrchr(path, '/');
    struct bytes folder =
        bytes_of(path, slash ? (size_t)(slash - path) + 1 : 0);
    if (!part_is_inside(location))
        return PART_OUTSIDE;
    for (size_t i = 0; i < set->count; i++) {
        if (part_matches(bytes_of_text(part_path(set, i)), folder, location)) {
            *index = i;
            return PART_FOUND;
        }
    }
    return PART_ABSENT;
}
