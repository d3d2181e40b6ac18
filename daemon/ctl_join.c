/* deltamesh join: enter a fleet with an invite, and say which address failed
 * how while that takes. */
#include "daemon/ctl.h"
#include "daemon/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define INVITE_MAX 8192u

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

/* The invite from a line, a file, or standard input ("-"), blanks trimmed. */
static int read_invite(const struct ctl *ctl, const char *from, char *out)
{
    size_t size;
    if (!strncmp(from, "dm1", 3)) {
        size = strlen(from);
        if (size >= INVITE_MAX)
            return ctl_fail(ctl->verb, CTL_BAD_INPUT, "the invite is too long");
        memcpy(out, from, size + 1);
    } else {
        FILE *in = strcmp(from, "-") ? fopen(from, "re") : stdin;
        if (!in)
            return ctl_fail(
                ctl->verb, errno == ENOENT ? CTL_NOT_FOUND : CTL_BAD_INPUT,
                "%s: %s (an invite begins with dm1)", from, strerror(errno));
        size = fread(out, 1, INVITE_MAX - 1, in);
        if (in != stdin)
            fclose(in);
    }
    while (size && isspace((unsigned char)out[size - 1]))
        size--;
    out[size] = '\0';
    size_t skip = strspn(out, " \t\r\n");
    memmove(out, out + skip, strlen(out + skip) + 1);
    return CTL_OK;
}

int ctl_join(int argc, char **argv)
{
    static const struct option options[] = {
        {"timeout", required_argument, NULL, 't'},
        {"no-wait", no_argument, NULL, 'n'},
        CTL_OPTIONS};
    struct ctl ctl;
    char invite[INVITE_MAX];
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
    ctl_end(&ctl);
    return exit;
}
