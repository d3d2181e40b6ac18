/* deltamesh verify: read what is held and check every hash. */
#include "daemon/ctl.h"
#include "daemon/table.h"

#include <unistd.h>

static int on_reply(void *ctx, json_t *reply, const int *fds, size_t fd_count)
{
    const struct ctl *ctl = ctx;
    (void)fds;
    (void)fd_count;
    if (strcmp(ctl_text(reply, "stage"), "ready")) {
        if (ctl->tty)
            fprintf(stderr, "\rverifying %lld of %lld blocks",
                    (long long)ctl_int(reply, "done"),
                    (long long)ctl_int(reply, "total"));
        return -1;
    }
    const json_t *bad = json_object_get(reply, "bad");
    size_t i;
    json_t *line;
    if (ctl->tty)
        fputs("\r\033[K", stderr);
    if (ctl_print_json(ctl, reply))
        return json_array_size(bad) ? CTL_FAILED : CTL_OK;
    json_array_foreach(bad, i, line)
    {
        table_put_text(json_string_value(line), stdout);
        putchar('\n');
    }
    if (json_array_size(bad))
        printf("%zu problems, %lld blocks are fetched again\n",
               json_array_size(bad), (long long)ctl_int(reply, "healed"));
    else
        printf("all well: %lld blocks verified\n",
               (long long)ctl_int(reply, "total"));
    return json_array_size(bad) ? CTL_FAILED : CTL_OK;
}

int ctl_verify(int argc, char **argv)
{
    struct ctl ctl;
    int exit;
    ctl_begin(&ctl, argv,
              "usage: deltamesh verify [VERSION] [--json] [--control PATH]\n");
    if (ctl_plain_options(&ctl, argc, argv, 0, 1, &exit)) {
        json_t *params = json_object();
        const struct ctl_stream stream = {.on_reply = on_reply, .ctx = &ctl};
        if (optind < argc)
            json_object_set_new(params, "version", json_string(argv[optind]));
        exit = ctl_call_stream(&ctl, "Verify", params, &stream);
    }
    ctl_end(&ctl);
    return exit;
}
