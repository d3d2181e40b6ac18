/* deltamesh join: enter a fleet with an invite, and say which address failed
 * how while that takes. */
#include "daemon/ctl.h"
#include "daemon/invite.h"
#include "daemon/table.h"

#include <errno.h>
#include <stdlib.h>

struct join {
    struct ctl *ctl;
    char last[4096]; /* what was said about failures, not to say it twice */
};

static void print_failures(struct join *join, const json_t *dials)
{
    char text[sizeof(join->last)] = "";
    size_t i;
    json_t *d;
    json_array_foreach(dials, i, d)
    {
        size_t used = strlen(text);
        if (*ctl_text(d, "error"))
            snprintf(text + used, sizeof(text) - used, "  %s: %s\n",
                     ctl_text(d, "addr"), ctl_text(d, "error"));
    }
    if (!*text || !strcmp(text, join->last))
        return;
    memcpy(join->last, text, sizeof(text));
    fprintf(stderr, "no answer yet, still trying:\n");
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        table_put_text(line, stderr);
        putc('\n', stderr);
        line = end ? end + 1 : line + strlen(line);
    }
}

static int on_reply(void *ctx, json_t *reply, const int *fds, size_t fd_count)
{
    struct join *join = ctx;
    char id[TABLE_WORD];
    (void)fds;
    (void)fd_count;
    if (strcmp(ctl_text(reply, "state"), "joined")) {
        if (!join->ctl->json)
            print_failures(join, json_object_get(reply, "dials"));
        return -1;
    }
    if (!ctl_print_json(join->ctl, reply))
        printf("joined fleet \"%s\" (%s)\n", ctl_text(reply, "fleet_name"),
               table_id(ctl_text(reply, "fleet"), id));
    return CTL_OK;
}

/* The invite from a line, a file, or standard input ("-"). A damaged one is
 * refused here, before the daemon is asked. */
static int read_invite(const struct ctl *ctl, char *from, char *out)
{
    struct invite invite;
    struct diag diag = {""};
    size_t size = strlen(from);
    if (!strncmp(from, INVITE_PREFIX, strlen(INVITE_PREFIX))) {
        if (size >= INVITE_LINE_MAX)
            return ctl_fail(ctl->verb, CTL_BAD_INPUT, "the invite is too long");
        memcpy(out, from, size + 1);
        crypto_wipe(from, size); /* other users read arguments */
    } else {
        FILE *in = strcmp(from, "-") ? fopen(from, "re") : stdin;
        if (!in)
            return ctl_fail(ctl->verb,
                            errno == ENOENT ? CTL_NOT_FOUND : CTL_BAD_INPUT,
                            "%s: %s (an invite begins with " INVITE_PREFIX ")",
                            from, strerror(errno));
        size = fread(out, 1, INVITE_LINE_MAX - 1, in);
        if (in != stdin)
            fclose(in);
        out[size] = '\0';
    }
    enum status status = invite_read(out, &invite, &diag);
    crypto_wipe(&invite, sizeof(invite));
    if (status)
        return ctl_fail(ctl->verb, CTL_BAD_INPUT, "%s",
                        diag.text[0] ? diag.text : status_text(status));
    return CTL_OK;
}

int ctl_join(int argc, char **argv)
{
    static const struct option options[] = {
        {"timeout", required_argument, NULL, 't'},
        {"no-wait", no_argument, NULL, 'n'},
        CTL_OPTIONS};
    struct ctl ctl;
    char invite[INVITE_LINE_MAX];
    int exit = CTL_OK, timeout_s = 0;
    bool wait = true;
    ctl_begin(&ctl, argv,
              "usage: deltamesh join INVITE|FILE|- [--timeout SECONDS] "
              "[--no-wait] [--json]\n                      "
              "[--control PATH]\n"
              "  -          reads the invite from standard input\n"
              "  --timeout  give up waiting (the daemon keeps trying); exit "
              "status 6\n"
              "  --no-wait  return at once\n");
    for (int c; (c = getopt_long(argc, argv, "t:", options, NULL)) != -1;) {
        if (c == 't')
            timeout_s = atoi(optarg);
        else if (c == 'n')
            wait = false;
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind + 1 != argc || timeout_s < 0) {
        exit = ctl_misused(&ctl);
        goto out;
    }
    exit = read_invite(&ctl, argv[optind], invite);
    if (exit)
        goto out;
    struct join join = {.ctl = &ctl};
    const struct ctl_stream stream = {.once = !wait,
                                      .timeout_ms = timeout_s * 1000,
                                      .on_reply = on_reply,
                                      .ctx = &join};
    exit = ctl_call_stream(&ctl, "Join", json_pack("{s:s}", "invite", invite),
                           &stream);
    if (exit == CTL_TIMEOUT)
        ctl_fail("join", exit,
                 "no peer answered in %d s; the daemon keeps "
                 "trying, see deltamesh peers",
                 timeout_s);
    else if (!exit && !wait && !ctl.json)
        puts("the daemon is trying; see deltamesh status");
out:
    crypto_wipe(invite, sizeof(invite));
    ctl_end(&ctl);
    return exit;
}
