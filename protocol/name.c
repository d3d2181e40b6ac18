/* Names are runs of allowed characters; everything here is a loop over bytes.
 */
#include "protocol/name.h"

#include "protocol/limits.h"

#include <assert.h>
#include <stdio.h>

static_assert(NAME_VERSION_SIZE == LIMIT_RECORD_NAME_BYTES,
              "a version name fits a record");
static_assert(LIMIT_MODEL_NAME_BYTES + sizeof("#18446744073709551615") <=
                  NAME_VERSION_SIZE,
              "the longest version name fits");

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_mark(uint8_t c)
{
    return c == '.' || c == '_' || c == '-';
}

/* [a-z0-9._-]* */
static bool all_name_chars(struct bytes s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!is_lower(s.data[i]) && !is_digit(s.data[i]) && !is_mark(s.data[i]))
            return false;
    return true;
}

/* Takes the part before the first '/' off *rest. False when *rest was the last
 * part; part is then all of it. */
static bool next_part(struct bytes *rest, struct bytes *part)
{
    const uint8_t *slash =
        rest->size ? memchr(rest->data, '/', rest->size) : NULL;
    if (!slash) {
        *part = *rest;
        return false;
    }
    *part = bytes_of(rest->data, (size_t)(slash - rest->data));
    *rest = bytes_of(slash + 1, rest->size - part->size - 1);
    return true;
}

static bool is_model_part(struct bytes part)
{
    return part.size && is_lower(part.data[0]) && all_name_chars(part) &&
           !bytes_equal(part, bytes_of_text("current"));
}

bool name_is_model(struct bytes name)
{
    if (!name.size || name.size > LIMIT_MODEL_NAME_BYTES)
        return false;
    struct bytes rest = name, part;
    while (next_part(&rest, &part))
        if (!is_model_part(part))
            return false;
    return is_model_part(part);
}

static bool is_folder_of(struct bytes folder, struct bytes path)
{
    return path.size > folder.size && path.data[folder.size] == '/' &&
           !memcmp(folder.data, path.data, folder.size);
}

bool name_models_conflict(struct bytes a, struct bytes b)
{
    return a.size && b.size && (is_folder_of(a, b) || is_folder_of(b, a));
}

bool name_is_role(struct bytes name)
{
    return name.size && name.size <= LIMIT_NAME_BYTES &&
           !is_mark(name.data[0]) && all_name_chars(name);
}

bool name_is_channel(struct bytes name)
{
    return name_is_role(name);
}

bool name_is_fleet(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < ' ' || name.data[i] > '~')
            return false;
    return name.size && name.size <= LIMIT_NAME_BYTES;
}

bool name_is_label_key(struct bytes key)
{
    return key.size && key.size <= LIMIT_NAME_BYTES && is_lower(key.data[0]) &&
           all_name_chars(key) && !bytes_equal(key, bytes_of_text("node"));
}

bool name_is_label_value(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (!is_lower(c) && !is_upper(c) && !is_digit(c) && !is_mark(c) &&
            !(c && strchr(":/@+", c)))
            return false;
    }
    return value.size && value.size <= LIMIT_NAME_BYTES;
}

/* True for "PREFIX/" and '*'; prefix gets PREFIX. */
static bool split_star(struct bytes pattern, struct bytes *prefix)
{
    if (pattern.size < 3 || memcmp(pattern.data + pattern.size - 2, "/*", 2))
        return false;
    *prefix = bytes_of(pattern.data, pattern.size - 2);
    return true;
}

bool name_is_pattern(struct bytes pattern)
{
    struct bytes prefix;
    if (bytes_equal(pattern, bytes_of_text("*")))
        return true;
    if (split_star(pattern, &prefix))
        return name_is_model(prefix);
    return name_is_model(pattern);
}

bool name_pattern_matches(struct bytes pattern, struct bytes model)
{
    struct bytes prefix;
    if (bytes_equal(pattern, bytes_of_text("*")))
        return true;
    if (split_star(pattern, &prefix))
        return is_folder_of(prefix, model);
    return bytes_equal(pattern, model);
}

static bool is_path_part(struct bytes part)
{
    if (!part.size || part.size > 255 || part.data[0] == '.' ||
        part.data[0] == '-')
        return false;
    for (size_t i = 0; i < part.size; i++) {
        uint8_t c = part.data[i];
        if (!is_lower(c) && !is_upper(c) && !is_digit(c) && !is_mark(c))
            return false;
    }
    return true;
}

bool name_is_path(struct bytes path)
{
    struct bytes rest = path, part;
    unsigned parts = 1;
    while (next_part(&rest, &part)) {
        if (!is_path_part(part))
            return false;
        parts++;
    }
    return is_path_part(part) && parts <= LIMIT_MANIFEST_PATH_PARTS;
}

bool name_to_number(struct bytes name, uint64_t *n)
{
    uint64_t value = 0;
    if (!name.size || name.data[0] == '0')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_digit(name.data[i]) ||
            __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(name.data[i] - '0'),
                                   &value))
            return false;
    }
    *n = value;
    return true;
}

bool name_split_version(struct bytes name, struct bytes *model, uint64_t *n)
{
    const uint8_t *hash = name.size ? memchr(name.data, '#', name.size) : NULL;
    if (!hash)
        return false;
    *model = bytes_of(name.data, (size_t)(hash - name.data));
    return name_is_model(*model) &&
           name_to_number(bytes_of(hash + 1, name.size - model->size - 1), n);
}

struct bytes name_join_version(struct bytes model, uint64_t n,
                               char out[NAME_VERSION_SIZE])
{
    int size = snprintf(out, NAME_VERSION_SIZE, "%.*s#%llu", (int)model.size,
                        (const char *)model.data, (unsigned long long)n);
    assert(size > 0 && (size_t)size < NAME_VERSION_SIZE);
    return bytes_of(out, (size_t)size);
}
