/* deltamesh fleet: what every node runs, by the status they signed. */
#include "daemon/ctl.h"
#include "daemon/table.h"

static bool any_behind(const json_t *node)
{
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(node, "models"), i,
                       m) if (ctl_bool(m, "behind")) return true;
    return false;
}

static void add_node(struct table *table, const json_t *node, bool behind)
{
    char id[TABLE_WORD], age[TABLE_WORD], name[80];
    const json_t *models = json_object_get(node, "models");
    size_t i;
    json_t *m;
    snprintf(name, sizeof(name), "%s%s", table_id(ctl_text(node, "id"), id),
             ctl_bool(node, "self")      ? " (this)"
             : ctl_bool(node, "revoked") ? " (revoked)"
                                         : "");
    const char *seen = table_age(ctl_real(node, "age_s"), age);
    if (!json_array_size(models) && !behind)
        table_row(table, name, ctl_text(node, "software"), seen, "-", "-", "-",
                  "-", "");
    json_array_foreach(models, i, m)
    {
        char run[TABLE_WORD], want[TABLE_WORD];
        if (behind && !ctl_bool(m, "behind"))
            continue;
        table_row(table, name, ctl_text(node, "software"), seen,
                  ctl_text(m, "model"), table_id(ctl_text(m, "running"), run),
                  table_id(ctl_text(m, "target"), want), ctl_text(m, "state"),
                  ctl_text(m, "why"));
    }
}

static void print_fleet(const json_t *fleet, bool behind)
{
    const json_t *nodes = json_object_get(fleet, "nodes");
    struct table *table =
        table_new("NODE|SOFTWARE|>SEEN|MODEL|RUNS|WANTED|STATE|NOTE");
    size_t i, late = 0;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        late += any_behind(node);
        add_node(table, node, behind);
    }
    char id[TABLE_WORD];
    printf("fleet %s (%s), %zu nodes, %zu behind\n", ctl_text(fleet, "name"),
           table_id(ctl_text(fleet, "fleet"), id), json_array_size(nodes),
           late);
    table_print(table, stdout);
    table_free(table);
}

int ctl_fleet(int argc, char **argv)
{
    static const struct option options[] = {{"behind", 0, NULL, 'b'},
                                            CTL_OPTIONS};
    struct ctl ctl;
    json_t *reply = NULL;
    bool behind = false;
    int exit = CTL_OK;
    ctl_begin(&ctl, argv,
              "usage: deltamesh fleet [--behind] [--json] [--control PATH]\n"
              "  --behind  only nodes that do not run what their channel "
              "names\n");
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'b')
            behind = true;
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind != argc) {
        exit = ctl_misused(&ctl);
        goto out;
    }
    exit = ctl_call(&ctl, "Fleet", NULL, &reply);
    if (!exit && !ctl_print_json(&ctl, reply))
        print_fleet(reply, behind);
out:
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
