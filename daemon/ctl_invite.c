/* deltamesh invite: the one line with which other nodes join. */
#include "daemon/ctl.h"

int ctl_invite(int argc, char **argv)
{
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'}, CTL_OPTIONS};
    struct ctl ctl;
    json_t *reply = NULL, *addresses = json_array();
    int exit = CTL_OK;
    ctl_begin(&ctl, argv,
              "usage: deltamesh invite [--address HOST[:PORT]]... [--json] "
              "[--control PATH]\n"
              "  --address  where joining nodes find this one; default: the "
              "addresses it\n             listens on\n"
              "The line holds the fleet's secret: whoever has it can join.\n");
    for (int c; (c = getopt_long(argc, argv, "a:", options, NULL)) != -1;) {
        if (c == 'a')
            json_array_append_new(addresses, json_string(optarg));
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind != argc) {
        exit = ctl_misused(&ctl);
        goto out;
    }
    exit = ctl_call(&ctl, "Invite", json_pack("{s:O}", "addresses", addresses),
                    &reply);
    if (!exit && !ctl_print_json(&ctl, reply))
        puts(ctl_text(reply, "invite"));
out:
    json_decref(addresses);
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
