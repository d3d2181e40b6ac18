/* deltamesh versions and show: what versions exist, and one in full. */
#include "daemon/ctl.h"
#include "daemon/table.h"

/* "running, latest, sibling, retired", what applies. */
static const char *version_marks(const json_t *v, char *out, size_t size)
{
    static const char *const marks[][2] = {{"running", "running"},
                                           {"latest", "latest"},
                                           {"siblings", "sibling"},
                                           {"retired", "retired"}};
    out[0] = '\0';
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        size_t used = strlen(out);
        if (ctl_bool(v, marks[i][0]))
            snprintf(out + used, size - used, "%s%s", used ? ", " : "",
                     marks[i][1]);
    }
    return out;
}

static void print_versions(const json_t *versions)
{
    struct table *table =
        table_new("MODEL|N|VERSION|>SIZE|HERE|PUBLISHER|MARKS|CHANNELS");
    size_t i, k;
    json_t *v, *channel;
    json_array_foreach(versions, i, v)
    {
        char id[TABLE_WORD], size[TABLE_WORD], n[TABLE_WORD], marks[64];
        char channels[128] = "";
        snprintf(n, sizeof(n), "#%lld", (long long)ctl_int(v, "n"));
        json_array_foreach(json_object_get(v, "channels"), k, channel)
        {
            size_t used = strlen(channels);
            snprintf(channels + used, sizeof(channels) - used, "%s%s",
                     used ? "," : "", json_string_value(channel));
        }
        table_row(table, ctl_text(v, "model"), n,
                  table_id(ctl_text(v, "id"), id),
                  table_bytes((uint64_t)ctl_int(v, "size"), size),
                  ctl_bool(v, "held") ? "yes" : ctl_text(v, "state"),
                  ctl_text(v, "role"), version_marks(v, marks, sizeof(marks)),
                  channels);
    }
    table_print(table, stdout);
    table_free(table);
}

int ctl_versions(int argc, char **argv)
{
    struct ctl ctl;
    json_t *reply = NULL;
    int exit;
    ctl_begin(&ctl, argv,
              "usage: deltamesh versions [MODEL] [--json] [--control PATH]\n");
    if (ctl_plain_options(&ctl, argc, argv, 0, 1, &exit)) {
        json_t *params = json_object();
        if (optind < argc)
            json_object_set_new(params, "model", json_string(argv[optind]));
        exit = ctl_call(&ctl, "Versions", params, &reply);
        if (!exit && !ctl_print_json(&ctl, reply)) {
            const json_t *versions = json_object_get(reply, "versions");
            if (!json_array_size(versions))
                puts("no versions");
            print_versions(versions);
        }
    }
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}

static void print_pair(const char *name, const char *text)
{
    printf("%-10s ", name);
    table_put_text(text, stdout);
    putchar('\n');
}

static void print_updates(const json_t *updates)
{
    struct table *table = table_new("UPDATE|FROM|>BYTES|>SEGMENTS");
    size_t i;
    json_t *u;
    json_array_foreach(updates, i, u)
    {
        char id[TABLE_WORD], base[TABLE_WORD], bytes[TABLE_WORD], held[64];
        snprintf(held, sizeof(held), "%lld of %lld",
                 (long long)ctl_int(u, "segments_held"),
                 (long long)ctl_int(u, "segments_total"));
        const char *from = ctl_text(u, "base");
        table_row(table, table_id(ctl_text(u, "id"), id),
                  *from ? table_id(from, base) : "nothing",
                  table_bytes((uint64_t)ctl_int(u, "bytes"), bytes), held);
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_version(const json_t *reply)
{
    const json_t *v = json_object_get(reply, "version");
    char buf[128], size[TABLE_WORD];
    size_t i;
    json_t *item;
    const char *key;
    snprintf(buf, sizeof(buf), "%s by %s #%lld", ctl_text(v, "model"),
             ctl_text(v, "role"), (long long)ctl_int(v, "n"));
    print_pair("model", buf);
    print_pair("version", ctl_text(v, "id"));
    print_pair("tree", ctl_text(reply, "tree"));
    print_pair("size", table_bytes((uint64_t)ctl_int(v, "size"), size));
    snprintf(buf, sizeof(buf), "%s, %lld of %lld blocks here",
             ctl_text(v, "state"), (long long)ctl_int(v, "blocks_done"),
             (long long)ctl_int(v, "blocks_total"));
    print_pair("state", buf);
    print_pair("marks", version_marks(v, buf, sizeof(buf)));
    if (*ctl_text(v, "why"))
        print_pair("note", ctl_text(v, "why"));
    if (*ctl_text(v, "place"))
        print_pair("place", ctl_text(v, "place"));
    json_array_foreach(json_object_get(v, "channels"), i, item)
        print_pair("channel", json_string_value(item));
    json_array_foreach(json_object_get(reply, "parents"), i, item)
        print_pair("parent", json_string_value(item));
    json_object_foreach(json_object_get(reply, "meta"), key, item)
    {
        printf("meta       ");
        table_put_text(key, stdout);
        putchar('=');
        table_put_text(json_is_string(item) ? json_string_value(item) : "?",
                       stdout);
        putchar('\n');
    }
    json_array_foreach(json_object_get(reply, "files"), i, item)
    {
        printf("file       ");
        table_put_text(ctl_text(item, "path"), stdout);
        printf("  %s\n", table_bytes((uint64_t)ctl_int(item, "size"), size));
    }
    print_updates(json_object_get(reply, "updates"));
}

int ctl_show(int argc, char **argv)
{
    struct ctl ctl;
    json_t *reply = NULL;
    int exit;
    ctl_begin(&ctl, argv,
              "usage: deltamesh show VERSION [--json] [--control PATH]\n"
              "  VERSION  prefix of an id, MODEL@latest, MODEL@running,\n"
              "           MODEL@CHANNEL, MODEL#N\n");
    if (ctl_plain_options(&ctl, argc, argv, 1, 1, &exit)) {
        exit = ctl_call(&ctl, "Show",
                        json_pack("{s:s}", "version", argv[optind]), &reply);
        if (!exit && !ctl_print_json(&ctl, reply))
            print_version(reply);
    }
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
