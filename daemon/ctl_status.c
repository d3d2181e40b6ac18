/* deltamesh status: is all well here? Exit status 0 healthy, 1 degraded. */
#include "daemon/ctl.h"
#include "daemon/table.h"

static void print_versions(const json_t *versions)
{
    struct table *table = table_new("MODEL|VERSION|>SIZE|STATE|CHANNELS|NOTE");
    size_t i;
    json_t *v;
    json_array_foreach(versions, i, v)
    {
        char id[TABLE_WORD], size[TABLE_WORD], state[64], channels[128] = "";
        size_t k;
        json_t *channel;
        json_array_foreach(json_object_get(v, "channels"), k, channel)
        {
            size_t used = strlen(channels);
            snprintf(channels + used, sizeof(channels) - used, "%s%s",
                     used ? "," : "", json_string_value(channel));
        }
        if (ctl_bool(v, "running"))
            snprintf(state, sizeof(state), "running");
        else if (!strcmp(ctl_text(v, "state"), "fetching"))
            snprintf(state, sizeof(state), "fetching %d%%",
                     (int)(100 * ctl_int(v, "blocks_done") /
                           (ctl_int(v, "blocks_total") +
                            !ctl_int(v, "blocks_total"))));
        else
            snprintf(state, sizeof(state), "%s", ctl_text(v, "state"));
        table_row(table, ctl_text(v, "model"), table_id(ctl_text(v, "id"), id),
                  table_bytes((uint64_t)ctl_int(v, "size"), size), state,
                  channels, ctl_text(v, "why"));
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_head(const json_t *status)
{
    char used[TABLE_WORD], quota[TABLE_WORD], age[TABLE_WORD], id[TABLE_WORD];
    const json_t *problems = json_object_get(status, "problems");
    size_t i;
    json_t *item;
    printf("%s, node %s, up %s\n", ctl_text(status, "software"),
           table_id(ctl_text(status, "node"), id),
           table_age(ctl_real(status, "uptime_s"), age));
    if (ctl_bool(status, "joined")) {
        printf("fleet %s ", ctl_text(status, "fleet_name"));
        printf("(%s), %d links up, %s of %s used\n",
               table_id(ctl_text(status, "fleet"), id),
               (int)ctl_int(status, "links_up"),
               table_bytes((uint64_t)ctl_int(status, "used_bytes"), used),
               table_bytes((uint64_t)ctl_int(status, "quota_bytes"), quota));
    }
    json_array_foreach(json_object_get(status, "listen"), i, item)
        printf("listening on %s\n", json_string_value(item));
    json_array_foreach(problems, i, item)
    {
        fputs("problem: ", stdout);
        table_put_text(json_string_value(item), stdout);
        putchar('\n');
    }
}

int ctl_status(int argc, char **argv)
{
    struct ctl ctl;
    json_t *reply = NULL;
    int exit;
    ctl_begin(&ctl, argv,
              "usage: deltamesh status [--json] [--control PATH]\n");
    if (ctl_plain_options(&ctl, argc, argv, 0, 0, &exit) &&
        !(exit = ctl_call(&ctl, "Status", NULL, &reply))) {
        exit = ctl_bool(reply, "healthy") ? CTL_OK : CTL_FAILED;
        if (!ctl_print_json(&ctl, reply)) {
            print_head(reply);
            print_versions(json_object_get(reply, "versions"));
        }
    }
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
