/* Reads the lists with jansson; bytes are in hexadecimal. */
#include "tests/support/format_cases.h"

#include "tests/support/alloc_fail.h"
#include "tests/support/cmocka.h"
#include "tests/support/model_sound.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* One case's content. */
struct format_content {
    uint8_t *data;
    struct model_part parts[FORMAT_FILES_MAX];
    size_t count;
    size_t size;
};

/* ---- the lists ---- */

static json_t *format_load(const char *name)
{
    const char *root = getenv("DM_SRCDIR");
    char path[2048];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/tests/data/formats/%s.json",
             root ? root : ".", name);
    json_t *list = json_load_file(path, 0, &error);
    if (!list)
        fail_msg("%s: %s", path, error.text);
    return list;
}

static void format_content_add(struct format_content *c, const json_t *file)
{
    const char *hex = json_string_value(json_object_get(file, "hex"));
    size_t size = strlen(hex) / 2;
    assert_true(c->count < FORMAT_FILES_MAX);
    c->data = realloc(c->data, c->size + size + 1);
    assert_non_null(c->data);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        c->data[c->size + i] = (uint8_t)byte;
    }
    c->parts[c->count++] = (struct model_part){
        json_string_value(json_object_get(file, "path")), c->size, size};
    c->size += size;
}

static void format_content_init(struct format_content *c, const json_t *entry)
{
    json_t *file;
    size_t i;
    memset(c, 0, sizeof(*c));
    json_array_foreach(json_object_get(entry, "files"), i, file)
        format_content_add(c, file);
}

static struct model *format_parse(const struct format_content *c,
                                  const char *name, struct diag *diag)
{
    struct source source = source_of_bytes(bytes_of(c->data, c->size));
    struct model *model = NULL;
    diag_reset(diag);
    enum status status = model_parse(&source, c->parts, c->count, &model, diag);
    if (status)
        fail_msg("%s: %s", name, status_text(status));
    if (!model_sound(model))
        fail_msg("%s: its tensors are not sound", name);
    return model;
}

/* "name dtype [shape] file@offset+size", as the lists have it. */
static void format_describe(const struct model *model, const struct tensor *t,
                            char *out, size_t size)
{
    int at = snprintf(out, size, "%s %s [", t->name, dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank; i++)
        at += snprintf(out + at, size - (size_t)at, "%s%llu", i ? "," : "",
                       (unsigned long long)t->shape[i]);
    snprintf(out + at, size - (size_t)at, "] %u@%llu+%llu", t->file,
             (unsigned long long)(t->offset - model->files[t->file].offset),
             (unsigned long long)t->size);
}

static void format_compare(const char *name, const struct model *model,
                           const json_t *expect)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        char text[8192];
        const char *want = json_string_value(json_array_get(expect, i));
        format_describe(model, &model->tensors[i], text, sizeof(text));
        if (!want || strcmp(text, want))
            fail_msg("%s: tensor \"%s\" instead of \"%s\"", name, text,
                     want ? want : "none");
    }
    if (model->tensor_count != json_array_size(expect))
        fail_msg("%s: %zu tensors, not %zu", name, model->tensor_count,
                 json_array_size(expect));
}

static void format_check(const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "case"));
    const char *words = json_string_value(json_object_get(entry, "refused"));
    struct format_content c;
    struct diag diag;
    format_content_init(&c, entry);
    struct model *model = format_parse(&c, name, &diag);
    const struct model_file *bad = model_unreadable(model);
    if (words && !bad)
        fail_msg("%s: taken, but \"%s\"", name, words);
    if (words && !strstr(diag.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", name, diag.text, words);
    if (!words && bad)
        fail_msg("%s: refused, \"%s\"", name, diag.text);
    format_compare(name, model, json_object_get(entry, "tensors"));
    model_free(model);
    free(c.data);
}

unsigned format_cases_run(const char *name)
{
    json_t *list = format_load(name), *entry;
    size_t i;
    unsigned count = (unsigned)json_array_size(list);
    json_array_foreach(list, i, entry) format_check(entry);
    json_decref(list);
    return count;
}

/* ---- damage ---- */

static void format_reparse(const struct format_content *c, const char *name)
{
    struct diag diag;
    model_free(format_parse(c, name, &diag));
}

/* The content without what follows a byte of the first file. The copy ends
 * where the content does, so that a sanitizer sees reads behind it. */
static void format_cut(const struct format_content *c, size_t cut,
                       const char *name)
{
    struct format_content less = *c;
    size_t gone = (size_t)c->parts[0].size - cut;
    less.size = c->size - gone;
    less.data = malloc(less.size ? less.size : 1);
    assert_non_null(less.data);
    memcpy(less.data, c->data, cut);
    memcpy(less.data + cut, c->data + c->parts[0].size, less.size - cut);
    less.parts[0].size = cut;
    for (size_t i = 1; i < less.count; i++)
        less.parts[i].offset -= gone;
    format_reparse(&less, name);
    free(less.data);
}

static void format_damage(const json_t *entry)
{
    static const uint8_t changes[] = {0x01, 0x80, 0xff};
    const char *name = json_string_value(json_object_get(entry, "case"));
    struct format_content c;
    format_content_init(&c, entry);
    size_t size = (size_t)c.parts[0].size;
    if (size > 1024) { /* deep and long ones take too long */
        free(c.data);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        format_cut(&c, i, name);
        for (size_t k = 0; k < sizeof(changes); k++) {
            c.data[i] ^= changes[k];
            format_reparse(&c, name);
            c.data[i] ^= changes[k];
        }
    }
    free(c.data);
}

unsigned format_cases_damage(const char *name)
{
    json_t *list = format_load(name), *entry;
    size_t i;
    unsigned count = (unsigned)json_array_size(list);
    json_array_foreach(list, i, entry) format_damage(entry);
    json_decref(list);
    return count;
}

/* ---- no memory ---- */

static void format_starve(const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "case"));
    struct format_content c;
    enum status status = STATUS_NO_MEMORY;
    bool failed = true;
    format_content_init(&c, entry);
    struct source source = source_of_bytes(bytes_of(c.data, c.size));
    for (unsigned i = 0; failed && i < 200; i++) {
        struct model *model = NULL;
        alloc_fail_after(i);
        status = model_parse(&source, c.parts, c.count, &model, NULL);
        failed = alloc_fail_stop();
        if (status != (failed ? STATUS_NO_MEMORY : STATUS_OK))
            fail_msg("%s: %s when allocation %u fails", name,
                     status_text(status), i);
        model_free(model);
    }
    assert_false(failed);
    free(c.data);
}

unsigned format_cases_starve(const char *name)
{
    json_t *list = format_load(name), *entry;
    size_t i;
    unsigned count = (unsigned)json_array_size(list);
    json_array_foreach(list, i, entry) format_starve(entry);
    json_decref(list);
    return count;
}

/* ---- real files ---- */

static bool format_append_file(struct format_content *c, const char *path)
{
    const char *root = getenv("DM_SRCDIR");
    char full[2048];
    snprintf(full, sizeof(full), "%s/../shared/corpus/%s", root ? root : ".",
             path);
    FILE *f = fopen(full, "rb");
    if (!f)
        return false;
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    c->data = realloc(c->data, c->size + size + 1);
    assert_non_null(c->data);
    assert_int_equal(fread(c->data + c->size, 1, size, f), size);
    fclose(f);
    c->parts[c->count++] = (struct model_part){path, c->size, size};
    c->size += size;
    return true;
}

bool format_corpus_covered(const struct format_real *real)
{
    struct format_content c;
    struct diag diag;
    uint64_t bytes = 0;
    memset(&c, 0, sizeof(c));
    for (size_t i = 0; i < real->count; i++) {
        if (!format_append_file(&c, real->paths[i])) {
            free(c.data);
            return false;
        }
    }
    struct model *model = format_parse(&c, real->paths[0], &diag);
    if (model_unreadable(model))
        fail_msg("%s: %s", real->paths[0], diag.text);
    for (size_t i = 0; i < model->tensor_count; i++)
        bytes += model->tensors[i].size;
    if ((double)bytes < real->share * (double)c.size)
        fail_msg("%s: %llu of %zu bytes are tensors", real->paths[0],
                 (unsigned long long)bytes, c.size);
    model_free(model);
    free(c.data);
    return true;
}
