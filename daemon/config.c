/* Reads INI files key by key from one table, so that the table, the man page
 * and the messages cannot disagree about what exists. */
#include "daemon/config.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 199u /* what libinih takes in one line */

enum key_type {
    KEY_PATH,
    KEY_TEXT,
    KEY_LIST,
    KEY_ADDRESS_LIST,
    KEY_LABEL_LIST,
    KEY_BOOL,
    KEY_COUNT,
    KEY_SIZE,
    KEY_LEVEL,
};

struct key {
    const char *section, *name;
    enum key_type type;
    size_t offset;
    unsigned min, max; /* of a count */
    bool live;         /* takes effect on reload */
};

#define AT(member) offsetof(struct config, member)

static const struct key keys[] = {
    {"node", "state", KEY_PATH, AT(state_dir), 0, 0, false},
    {"node", "models", KEY_PATH, AT(models_dir), 0, 0, false},
    {"node", "join-file", KEY_PATH, AT(join_file), 0, 0, true},
    {"node", "label", KEY_LABEL_LIST, AT(label), 0, 0, false},
    {"network", "listen", KEY_ADDRESS_LIST, AT(listen), 0, 0, false},
    {"network", "peer", KEY_ADDRESS_LIST, AT(peer), 0, 0, false},
    {"network", "announce", KEY_ADDRESS_LIST, AT(announce), 0, 0, false},
    {"network", "discovery", KEY_BOOL, AT(discovery), 0, 0, true},
    {"network", "rate", KEY_SIZE, AT(rate_bytes_s), 0, 0, false},
    {"network", "links-out", KEY_COUNT, AT(links_out), 1, 64, false},
    {"network", "links-in", KEY_COUNT, AT(links_in), 1, 1024, false},
    {"control", "socket", KEY_PATH, AT(control), 0, 0, false},
    {"control", "group", KEY_TEXT, AT(control_group), 0, 0, false},
    {"store", "quota", KEY_SIZE, AT(quota_bytes), 0, 0, true},
    {"store", "quota-percent", KEY_COUNT, AT(quota_percent), 1, 95, true},
    {"store", "keep", KEY_COUNT, AT(keep), 1, 1000, true},
    {"store", "mirror", KEY_LIST, AT(mirror), 0, 0, false},
    {"log", "level", KEY_LEVEL, AT(log_level), 0, 0, true},
};

#define KEY_COUNT_ALL (sizeof(keys) / sizeof(*keys))

static enum status set_text(char **at, const char *value)
{
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        return STATUS_NO_MEMORY;
    free(*at);
    *at = copy;
    return STATUS_OK;
}

static void list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->item[i]);
    list->count = 0;
}

/* STATE_DIRECTORY may hold several folders separated by colons: the first. */
static enum status default_state_dir(char **out)
{
    char path[PATH_MAX];
    const char *given = getenv("STATE_DIRECTORY");
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (given && *given)
        snprintf(path, sizeof(path), "%.*s", (int)strcspn(given, ":"), given);
    else if (!geteuid() || (!xdg && !home))
        snprintf(path, sizeof(path), "/var/lib/deltamesh");
    else if (xdg && *xdg)
        snprintf(path, sizeof(path), "%s/deltamesh", xdg);
    else
        snprintf(path, sizeof(path), "%s/.local/state/deltamesh",
                 home ? home : "");
    return set_text(out, path);
}

static enum status default_control(char **out)
{
    char path[PATH_MAX];
    const char *given = getenv("DELTAMESH_CONTROL");
    const char *run = getenv("RUNTIME_DIRECTORY");
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    if (given && *given)
        snprintf(path, sizeof(path), "%s", given);
    else if (run && *run)
        snprintf(path, sizeof(path), "%.*s/control", (int)strcspn(run, ":"),
                 run);
    else if (geteuid() && xdg && *xdg)
        snprintf(path, sizeof(path), "%s/deltamesh/control", xdg);
    else
        snprintf(path, sizeof(path), "/run/deltamesh/control");
    return set_text(out, path);
}

enum status config_init(struct config *config)
{
    memset(config, 0, sizeof(*config));
    config->discovery = true;
    config->links_out = 3;
    config->links_in = 16;
    config->quota_percent = 50;
    config->keep = 3;
    config->log_level = LOG_LEVEL_INFO;
    enum status status = default_state_dir(&config->state_dir);
    if (!status)
        status = default_control(&config->control);
    if (!status)
        status = set_text(&config->control_group, "deltamesh");
    if (status)
        config_deinit(config);
    return status;
}

void config_deinit(struct config *config)
{
    for (size_t i = 0; i < KEY_COUNT_ALL; i++) {
        char *at = (char *)config + keys[i].offset;
        switch (keys[i].type) {
        case KEY_PATH:
        case KEY_TEXT:
            free(*(char **)(void *)at);
            break;
        case KEY_LIST:
        case KEY_ADDRESS_LIST:
        case KEY_LABEL_LIST:
            list_clear((struct config_list *)(void *)at);
            break;
        default:
            break;
        }
    }
    memset(config, 0, sizeof(*config));
}

/* An unsigned decimal number up to max. */
static bool parse_number(const char *text, uint64_t max, uint64_t *out,
                         const char **end)
{
    uint64_t value = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (value > (max - (uint64_t)(*c - '0')) / 10)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *out = value;
    *end = c;
    return c != text;
}

/* Bytes, with K, M, G or T for powers of 1,024. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    uint64_t value;
    const char *end;
    if (!parse_number(text, UINT64_MAX, &value, &end))
        return false;
    if (*end) {
        const char *unit = strchr(units, *end);
        if (!unit || end[1])
            return false;
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (value > UINT64_MAX >> shift)
            return false;
        value <<= shift;
    }
    *out = value;
    return true;
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"yes", "on", "true", "1"};
    static const char *const no[] = {"no", "off", "false", "0"};
    for (unsigned i = 0; i < 4; i++) {
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *out = !strcmp(text, yes[i]);
            return true;
        }
    }
    return false;
}

bool config_split_address(const char *text, unsigned port_default, char *host,
                          size_t host_size, unsigned *port)
{
    const char *host_end, *port_at = NULL;
    const char *begin = text;
    if (*text == '[') {
        begin = text + 1;
        host_end = strchr(text, ']');
        if (!host_end || (host_end[1] && host_end[1] != ':'))
            return false;
        if (host_end[1])
            port_at = host_end + 2;
    } else {
        host_end = strchr(text, ':');
        if (host_end && strchr(host_end + 1, ':'))
            return false; /* a bare IPv6 address is ambiguous */
        if (host_end)
            port_at = host_end + 1;
        else
            host_end = text + strlen(text);
    }
    size_t size = (size_t)(host_end - begin);
    if (!size || size >= host_size)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)begin[i] <= ' ' || begin[i] == '[')
            return false;
    memcpy(host, begin, size);
    host[size] = '\0';
    *port = port_default;
    if (!port_at)
        return true;
    uint64_t value;
    const char *end;
    if (!parse_number(port_at, 65535, &value, &end) || *end)
        return false;
    *port = (unsigned)value;
    return true;
}

static bool label_ok(const char *text)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return true;
}

/* Appends to a list; the empty value clears it. */
static enum status set_list(const struct key *key, struct config_list *list,
                            const char *value, struct diag *diag)
{
    char host[256];
    unsigned port;
    if (!*value) {
        list_clear(list);
        return STATUS_OK;
    }
    if (key->type == KEY_ADDRESS_LIST &&
        (strlen(value) > 255 ||
         !config_split_address(value, CONFIG_PORT_DEFAULT, host, sizeof(host),
                               &port)))
        return diag_fail(diag, STATUS_USAGE,
                         "%s: \"%s\" is no HOST:PORT or [IPV6]:PORT", key->name,
                         value);
    if (key->type == KEY_LABEL_LIST && !label_ok(value))
        return diag_fail(diag, STATUS_USAGE, "%s: \"%s\" is no KEY=VALUE",
                         key->name, value);
    if (list->count == CONFIG_LIST_MAX)
        return diag_fail(diag, STATUS_USAGE, "%s: more than %u of them",
                         key->name, CONFIG_LIST_MAX);
    char *copy = strdup(value);
    if (!copy)
        return STATUS_NO_MEMORY;
    list->item[list->count++] = copy;
    return STATUS_OK;
}

static enum status set_count(const struct key *key, unsigned *at,
                             const char *value, struct diag *diag)
{
    uint64_t number = 0;
    const char *end = value;
    if (!parse_number(value, key->max, &number, &end) || *end ||
        number < key->min)
        return diag_fail(diag, STATUS_USAGE,
                         "%s: \"%s\" is no number from %u to %u", key->name,
                         value, key->min, key->max);
    *at = (unsigned)number;
    return STATUS_OK;
}

static enum status set_key(struct config *config, const struct key *key,
                           const char *value, struct diag *diag)
{
    void *at = (char *)config + key->offset;
    switch (key->type) {
    case KEY_PATH:
        if (value[0] != '/')
            return diag_fail(diag, STATUS_USAGE,
                             "%s: \"%s\" is no absolute path", key->name,
                             value);
        return set_text(at, value);
    case KEY_TEXT:
        return set_text(at, value);
    case KEY_LIST:
    case KEY_ADDRESS_LIST:
    case KEY_LABEL_LIST:
        return set_list(key, at, value, diag);
    case KEY_BOOL:
        if (!parse_bool(value, at))
            return diag_fail(diag, STATUS_USAGE, "%s: \"%s\" is no yes or no",
                             key->name, value);
        return STATUS_OK;
    case KEY_COUNT:
        return set_count(key, at, value, diag);
    case KEY_SIZE:
        if (!parse_size(value, at))
            return diag_fail(diag, STATUS_USAGE,
                             "%s: \"%s\" is no size such as 500M or 2G",
                             key->name, value);
        return STATUS_OK;
    case KEY_LEVEL:
        if (!log_level_parse(value, at))
            return diag_fail(diag, STATUS_USAGE,
                             "%s: \"%s\" is none of error, warn, info, debug",
                             key->name, value);
        return STATUS_OK;
    }
    return STATUS_INTERNAL;
}

enum status config_set(struct config *config, const char *section,
                       const char *key, const char *value, struct diag *diag)
{
    bool section_known = false;
    for (size_t i = 0; i < KEY_COUNT_ALL; i++) {
        if (strcmp(keys[i].section, section))
            continue;
        section_known = true;
        if (!strcmp(keys[i].name, key))
            return set_key(config, &keys[i], value, diag);
    }
    if (!*section)
        return diag_fail(diag, STATUS_USAGE,
                         "\"%s\" stands before any [section]", key);
    if (!section_known)
        return diag_fail(diag, STATUS_USAGE, "unknown section [%s]", section);
    return diag_fail(diag, STATUS_USAGE, "unknown key \"%s\" in [%s]", key,
                     section);
}

/* What goes through libinih: a text handed over line by line, so that the
 * line a value stands in is known. */
struct parse {
    struct config *config;
    const char *pos, *end;
    unsigned line;     /* of the last line handed over */
    unsigned bad_line; /* of the first failure; 0: none */
    enum status status;
    struct diag diag; /* of the first failure */
};

static void parse_fail(struct parse *parse, enum status status)
{
    if (!parse->status) {
        parse->status = status;
        parse->bad_line = parse->line;
    }
}

static char *next_line(char *out, int out_size, void *stream)
{
    struct parse *parse = stream;
    if (parse->pos == parse->end || parse->status)
        return NULL;
    const char *eol =
        memchr(parse->pos, '\n', (size_t)(parse->end - parse->pos));
    size_t size = (size_t)((eol ? eol : parse->end) - parse->pos);
    parse->line++;
    if (size > LINE_MAX_BYTES - 2 || size + 2 > (size_t)out_size ||
        memchr(parse->pos, 0, size)) {
        parse_fail(parse,
                   diag_fail(&parse->diag, STATUS_USAGE,
                             "the line is too long or holds a zero byte"));
        return NULL;
    }
    memcpy(out, parse->pos, size);
    out[size] = '\n';
    out[size + 1] = '\0';
    parse->pos = eol ? eol + 1 : parse->end;
    return out;
}

static int take_value(void *user, const char *section, const char *name,
                      const char *value)
{
    struct parse *parse = user;
    if (parse->status)
        return 0;
    enum status status = config_set(parse->config, section, name,
                                    value ? value : "", &parse->diag);
    if (status)
        parse_fail(parse, status);
    return !status;
}

enum status config_read_text(struct config *config, const char *name,
                             const char *text, size_t size, struct diag *diag)
{
    struct parse parse = {.config = config, .pos = text, .end = text + size};
    /* ini_parse_stream hands one pointer to the reader, another to us. */
    int bad = ini_parse_stream(next_line, &parse, take_value, &parse);
    /* The library goes on after a line it cannot read, so what we noted may
     * come later. */
    if (bad > 0 && (!parse.status || (unsigned)bad < parse.bad_line)) {
        parse.bad_line = (unsigned)bad;
        diag_reset(&parse.diag);
        parse.status = diag_fail(&parse.diag, STATUS_USAGE,
                                 "no [section], key = value or comment");
    }
    if (!parse.status && bad < 0)
        parse.status = STATUS_NO_MEMORY;
    if (!parse.status)
        return STATUS_OK;
    return diag_fail(diag, parse.status, "%s:%u: %.180s", name, parse.bad_line,
                     parse.diag.text[0] ? parse.diag.text
                                        : status_text(parse.status));
}

/* One file, at most 1 MiB. */
static enum status read_file(struct config *config, const char *path,
                             struct diag *diag)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? STATUS_NOT_FOUND
                               : diag_fail(diag, status_from_errno(errno),
                                           "%s: %s", path, strerror(errno));
    size_t cap = 1u << 20;
    char *text = malloc(cap);
    enum status status = text ? STATUS_OK : STATUS_NO_MEMORY;
    size_t size = text ? fread(text, 1, cap, file) : 0;
    if (!status && ferror(file))
        status = diag_fail(diag, STATUS_IO, "%s: cannot be read", path);
    else if (!status && size == cap)
        status = diag_fail(diag, STATUS_USAGE, "%s: over 1 MiB", path);
    if (!status)
        status = config_read_text(config, path, text, size, diag);
    free(text);
    fclose(file);
    return status;
}

static int is_conf(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 5 &&
           !strcmp(entry->d_name + size - 5, ".conf");
}

enum status config_read(struct config *config, const char *path,
                        bool must_exist, struct diag *diag)
{
    enum status status = read_file(config, path, diag);
    if (status == STATUS_NOT_FOUND && must_exist)
        return diag_fail(diag, status, "%s: no such file", path);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    char dir[PATH_MAX];
    if ((size_t)snprintf(dir, sizeof(dir), "%s.d", path) >= sizeof(dir))
        return STATUS_LIMIT;
    struct dirent **names;
    int count = scandir(dir, &names, is_conf, alphasort);
    if (count < 0)
        return STATUS_OK;
    status = STATUS_OK;
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        int n = snprintf(file, sizeof(file), "%s/%s", dir, names[i]->d_name);
        if (!status && n > 0 && (size_t)n < sizeof(file))
            status = read_file(config, file, diag);
        free(names[i]);
    }
    free(names);
    return status;
}

static bool list_equal(const struct config_list *a, const struct config_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->item[i], b->item[i]))
            return false;
    return true;
}

static bool key_equal(const struct key *key, const struct config *a,
                      const struct config *b)
{
    const void *x = (const char *)a + key->offset;
    const void *y = (const char *)b + key->offset;
    switch (key->type) {
    case KEY_PATH:
    case KEY_TEXT: {
        const char *s = *(char *const *)x, *t = *(char *const *)y;
        return s == t || (s && t && !strcmp(s, t));
    }
    case KEY_LIST:
    case KEY_ADDRESS_LIST:
    case KEY_LABEL_LIST:
        return list_equal(x, y);
    case KEY_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case KEY_COUNT:
        return *(const unsigned *)x == *(const unsigned *)y;
    case KEY_SIZE:
        return *(const uint64_t *)x == *(const uint64_t *)y;
    case KEY_LEVEL:
        return *(const enum log_level *)x == *(const enum log_level *)y;
    }
    return true;
}

void config_restart_keys(const struct config *old, const struct config *new_,
                         char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < KEY_COUNT_ALL; i++) {
        if (keys[i].live || key_equal(&keys[i], old, new_))
            continue;
        int n = snprintf(out + used, size - used, "%s%s", used ? " " : "",
                         keys[i].name);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}
