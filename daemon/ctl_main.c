/* The deltamesh command: finds the verb, hands the rest to it. */
#include "daemon/ctl.h"

#include <config.h>
#include <signal.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

/* In the order of --help; NULL names are headings. */
static const struct verb verbs[] = {
    {NULL, NULL, "Fleet"},
    {"init", ctl_init, "make a new fleet and its keys"},
    {"invite", ctl_invite, "print the line with which nodes join"},
    {"join", ctl_join, "join a fleet with an invite"},
    {"keys", ctl_keys, "list, back up and restore private keys"},
    {NULL, NULL, "Models"},
    {"publish", ctl_publish, "make a version of files, and release it"},
    {"release", ctl_release, "let a channel name a version"},
    {"versions", ctl_versions, "list versions"},
    {"show", ctl_show, "show one version"},
    {"export", ctl_export, "write the files of a version"},
    {NULL, NULL, "Node"},
    {"status", ctl_status, "is all well here? (exit status 1: no)"},
    {"peers", ctl_peers, "links, and addresses that are tried"},
    {"fleet", ctl_fleet, "what every node runs"},
    {"watch", ctl_watch, "print what happens as it happens"},
    {"verify", ctl_verify, "check the hashes of what is held"},
    {"gc", ctl_gc, "forget what nothing needs"},
    {"metrics", ctl_metrics, "OpenMetrics text"},
    {NULL, NULL, "Files, without a daemon"},
    {"diff", ctl_diff, "make an update file, over a base or alone"},
    {"patch", ctl_patch, "make a model from its base and an update file"},
    {"inspect", ctl_inspect, "what a model or update is, what changed"},
    {"nnc", ctl_nnc, "encode, decode, inspect streams of ISO/IEC 15938-17"},
    {"bench", ctl_bench, "updates by us and by other programs"},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int print_help(FILE *out)
{
    fputs("usage: deltamesh VERB [OPTION]...\n", out);
    for (size_t i = 0; i < VERBS; i++)
        if (verbs[i].name)
            fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].help);
        else
            fprintf(out, "%s:\n", verbs[i].help);
    fputs("deltamesh VERB --help says more; so does the page deltamesh(1).\n",
          out);
    return out == stdout ? CTL_OK : CTL_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error, no death */
    if (argc < 2)
        return print_help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
        return print_help(stdout);
    if (!strcmp(argv[1], "--version")) {
        puts("deltamesh " VERSION);
        return CTL_OK;
    }
    for (size_t i = 0; i < VERBS; i++)
        if (verbs[i].name && !strcmp(argv[1], verbs[i].name)) {
            int exit = verbs[i].run(argc - 1, argv + 1);
            if (fflush(stdout) && !exit)
                exit = ctl_fail(argv[1], CTL_FAILED, "standard output failed");
            return exit;
        }
    fprintf(stderr,
            "deltamesh: there is no verb \"%s\"; see deltamesh --help\n",
            argv[1]);
    return CTL_USAGE;
}
