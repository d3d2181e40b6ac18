/* deltamesh metrics: OpenMetrics text on standard output. */
#include "daemon/ctl.h"

int ctl_metrics(int argc, char **argv)
{
    struct ctl ctl;
    json_t *reply = NULL;
    int exit;
    ctl_begin(&ctl, argv,
              "usage: deltamesh metrics [--json] [--control PATH]\n");
    if (ctl_plain_options(&ctl, argc, argv, 0, 0, &exit) &&
        !(exit = ctl_call(&ctl, "Metrics", NULL, &reply)) &&
        !ctl_print_json(&ctl, reply))
        fputs(ctl_text(reply, "text"), stdout);
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
