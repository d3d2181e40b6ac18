/* deltamesh watch: one line for each thing that happens, until interrupted. */
#include "daemon/ctl.h"
#include "daemon/table.h"

#include <time.h>

static void print_event(const json_t *event)
{
    char stamp[TABLE_WORD], id[TABLE_WORD];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
    printf("%s  %-16s", stamp, ctl_text(event, "event"));
    if (*ctl_text(event, "node"))
        printf("  node %s", table_id(ctl_text(event, "node"), id));
    if (*ctl_text(event, "model")) {
        fputs("  ", stdout);
        table_put_text(ctl_text(event, "model"), stdout);
    }
    if (*ctl_text(event, "version"))
        printf("  %s", table_id(ctl_text(event, "version"), id));
    if (ctl_int(event, "total") > 0)
        printf("  %lld/%lld", (long long)ctl_int(event, "done"),
               (long long)ctl_int(event, "total"));
    if (*ctl_text(event, "text")) {
        fputs("  ", stdout);
        table_put_text(ctl_text(event, "text"), stdout);
    }
    putchar('\n');
}

static int on_event(void *ctx, json_t *reply, const int *fds, size_t fd_count)
{
    const struct ctl *ctl = ctx;
    const json_t *event = json_object_get(reply, "event");
    (void)fds;
    (void)fd_count;
    if (!json_is_object(event))
        return -1;
    if (!ctl_print_json(ctl, event))
        print_event(event);
    fflush(stdout);
    return ferror(stdout) ? CTL_FAILED : -1;
}

int ctl_watch(int argc, char **argv)
{
    static const struct option options[] = {{"logs", 0, NULL, 'l'},
                                            CTL_OPTIONS};
    struct ctl ctl;
    bool logs = false;
    int exit = CTL_OK;
    ctl_begin(&ctl, argv,
              "usage: deltamesh watch [--logs] [--json] [--control PATH]\n"
              "  --logs  log lines of the daemon too\n");
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'l')
            logs = true;
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind != argc) {
        exit = ctl_misused(&ctl);
        goto out;
    }
    const struct ctl_stream stream = {.on_reply = on_event, .ctx = &ctl};
    exit = ctl_call_stream(&ctl, "Watch", json_pack("{s:b}", "logs", logs),
                           &stream);
    if (!exit)
        exit = ctl_fail("watch", CTL_NO_DAEMON, "the daemon ended");
out:
    ctl_end(&ctl);
    return exit;
}
