/* deltamesh gc: forget what nothing needs any more. */
#include "daemon/ctl.h"
#include "daemon/table.h"

static void print_gc(const json_t *reply, bool dry_run)
{
    char freed[TABLE_WORD], used[TABLE_WORD], id[TABLE_WORD];
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(reply, "versions"), i, item)
        printf("version %s\n", table_id(json_string_value(item), id));
    json_array_foreach(json_object_get(reply, "updates"), i, item)
        printf("update  %s\n", table_id(json_string_value(item), id));
    printf("%s %s; %s used\n", dry_run ? "would free" : "freed",
           table_bytes((uint64_t)ctl_int(reply, "freed_bytes"), freed),
           table_bytes((uint64_t)ctl_int(reply, "used_bytes"), used));
}

int ctl_gc(int argc, char **argv)
{
    static const struct option options[] = {{"dry-run", 0, NULL, 'n'},
                                            CTL_OPTIONS};
    struct ctl ctl;
    json_t *reply = NULL;
    bool dry_run = false;
    int exit = CTL_OK;
    ctl_begin(&ctl, argv,
              "usage: deltamesh gc [--dry-run] [--json] [--control PATH]\n");
    for (int c; (c = getopt_long(argc, argv, "n", options, NULL)) != -1;) {
        if (c == 'n')
            dry_run = true;
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind != argc) {
        exit = ctl_misused(&ctl);
        goto out;
    }
    exit = ctl_call(&ctl, "Gc", json_pack("{s:b}", "dry_run", dry_run), &reply);
    if (!exit && !ctl_print_json(&ctl, reply))
        print_gc(reply, dry_run);
out:
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
