/* deltameshd: options, then the loop. */
#include "daemon/loop.h"
#include "daemon/sandbox.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE 2

static const char usage[] =
    "usage: deltameshd [--config FILE] [--state DIR] [--models DIR]\n"
    "                  [--listen ADDRESS]... [--peer ADDRESS]...\n"
    "                  [--control PATH] [--log-level LEVEL]\n"
    "                  [--version] [--help]\n";

/* Options that set keys; the rest of argv is looked at once more for each
 * reading of the configuration. */
struct arguments {
    int argc;
    char **argv;
    const char *config_path;
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"state", required_argument, NULL, 's'},
    {"models", required_argument, NULL, 'm'},
    {"listen", required_argument, NULL, 'l'},
    {"peer", required_argument, NULL, 'p'},
    {"control", required_argument, NULL, 'C'},
    {"log-level", required_argument, NULL, 'L'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

/* Paths on a command line may be relative to where it was typed. */
static enum status set_path(struct config *config, const char *section,
                            const char *key, const char *value,
                            struct diag *diag)
{
    char path[PATH_MAX], here[PATH_MAX];
    if (*value == '/')
        return config_set(config, section, key, value, diag);
    if (!getcwd(here, sizeof(here)))
        return STATUS_IO;
    int n = snprintf(path, sizeof(path), "%s/%s", here, value);
    if (n < 0 || (size_t)n >= sizeof(path))
        return diag_fail(diag, STATUS_USAGE, "%s: the path is too long", key);
    return config_set(config, section, key, path, diag);
}

/* The first --listen replaces what files say; --peer adds. */
static enum status set_listen(struct config *config, const char *value,
                              bool *first, struct diag *diag)
{
    enum status status = STATUS_OK;
    if (*first)
        status = config_set(config, "network", "listen", "", diag);
    *first = false;
    return status ? status
                  : config_set(config, "network", "listen", value, diag);
}

static enum status apply(struct config *config, int option, bool *first_listen,
                         struct diag *diag)
{
    switch (option) {
    case 's':
        return set_path(config, "node", "state", optarg, diag);
    case 'm':
        return set_path(config, "node", "models", optarg, diag);
    case 'l':
        return set_listen(config, optarg, first_listen, diag);
    case 'p':
        return config_set(config, "network", "peer", optarg, diag);
    case 'C':
        return set_path(config, "control", "socket", optarg, diag);
    case 'L':
        return config_set(config, "log", "level", optarg, diag);
    default:
        return STATUS_OK;
    }
}

static enum status read_config(void *ctx, struct config *out, struct diag *diag)
{
    const struct arguments *args = ctx;
    bool first_listen = true;
    const char *path =
        args->config_path ? args->config_path : CONFIG_FILE_DEFAULT;
    enum status status = config_init(out);
    if (status)
        return status;
    status = config_read(out, path, args->config_path != NULL, diag);
    if (status == STATUS_NOT_FOUND)
        status = STATUS_USAGE;
    optind = 1;
    for (int c; !status && (c = getopt_long(args->argc, args->argv, "", options,
                                            NULL)) != -1;) {
        struct diag words = {""};
        status = apply(out, c, &first_listen, &words);
        if (status)
            diag_fail(diag, status, "option %.200s", words.text);
    }
    if (status)
        config_deinit(out);
    return status;
}

/* True: go on. */
static bool parse_options(struct arguments *args, int *exit_status)
{
    for (int c;
         (c = getopt_long(args->argc, args->argv, "", options, NULL)) != -1;) {
        if (c == 'c') {
            args->config_path = optarg;
        } else if (c == 'V') {
            puts("deltameshd " VERSION);
            return false;
        } else if (c == 'h') {
            fputs(usage, stdout);
            return false;
        } else if (c == '?') {
            fputs(usage, stderr);
            *exit_status = EXIT_USAGE;
            return false;
        }
    }
    if (optind == args->argc)
        return true;
    fputs(usage, stderr);
    *exit_status = EXIT_USAGE;
    return false;
}

static void enter_sandbox(struct loop *loop)
{
    char control[PATH_MAX];
    snprintf(control, sizeof(control), "%s", loop->config.control);
    char *slash = strrchr(control, '/');
    if (slash && slash != control)
        *slash = '\0';
    const char *folders[] = {loop->config.state_dir, loop->models_dir, control};
    enum status status = sandbox_enter(folders, 3);
    if (status)
        log_debug(&loop->log, "sandbox: %s", status_text(status));
}

/* Few threads with small stacks, and large blocks given back at once: the
 * daemon is to be small when idle. */
static void tune_process(void)
{
    setenv("UV_THREADPOOL_SIZE", "5", 0);
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    mallopt(M_TRIM_THRESHOLD, 128 * 1024);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
}

int main(int argc, char **argv)
{
    struct arguments args = {argc, argv, NULL};
    int exit_status = 0;
    struct diag diag = {""};
    if (!parse_options(&args, &exit_status))
        return exit_status;
    tune_process();
    struct loop *loop = calloc(1, sizeof(*loop));
    enum status status = loop ? crypto_init() : STATUS_NO_MEMORY;
    if (status)
        return 1;
    const struct loop_setup setup = {read_config, &args, "/etc/machine-id"};
    status = loop_open(loop, &setup, &diag);
    if (status) {
        log_error(&loop->log, "%s",
                  diag.text[0] ? diag.text : status_text(status));
        exit_status = status == STATUS_USAGE ? EXIT_USAGE : 1;
    } else {
        enter_sandbox(loop);
        loop_run(loop);
    }
    loop_close(loop);
    free(loop);
    return exit_status;
}
