/* deltamesh publish: make a version of files, sign it, release it, and wait
 * until nodes run it. */
#include "daemon/ctl_release.h"

#include "codec/update/tree.h"
#include "daemon/check_run.h"
#include "daemon/ctl_publish_nnc.h"
#include "daemon/ctl_quantize.h"
#include "daemon/journal.h"
#include "daemon/keyring.h"
#include "daemon/listing.h"
#include "daemon/table.h"
#include "protocol/body.h"
#include "protocol/name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PUBLISH_FILES_MAX 64
#define PUBLISH_KEYS_MAX  16

struct publish {
    struct ctl ctl;
    const char *model;
    json_t *meta, *parents;
    char *key_paths[PUBLISH_KEYS_MAX];
    size_t key_count;
    bool release, wait;
    long wait_nodes; /* 0: all */
    long timeout_s;
    int fds[PUBLISH_FILES_MAX + 1];       /* and the update's */
    const char *paths[PUBLISH_FILES_MAX]; /* as given */
    char *names[PUBLISH_FILES_MAX];       /* in the version; owned */
    size_t file_count;
    struct publish_nnc nnc;
    struct quantize_request quantize;
    int update_fd;     /* an update file made here, or -1 */
    json_t *quantized; /* what was tried, or NULL */
    struct hash tree;  /* of the files, hashed here */
    uint64_t size;
    struct keyring ring;
    json_t *prepared; /* the last reply of Prepare */
};

static const char publish_usage[] =
    "usage: deltamesh publish MODEL PATH... [--meta K=V]... [--parent V]...\n"
    "                         [--key FILE]... [--no-release]\n"
    "                         [--quantize RULE [--check 'COMMAND {}'\n"
    "                         [--check-min X] [--check-timeout SECONDS]]]\n"
    "                         [--wait[=N]] [--timeout SECONDS] [--json]\n"
    "                         [--control PATH]\n"
    "       deltamesh publish MODEL --nnc UPDATE --base V [--values "
    "as-sent|new|difference]\n"
    "                         ... a version made of V and an NNC update\n"
    "  MODEL         name of the model, such as cameras/detector\n"
    "  PATH          a file, or a folder: all files in it, by their paths "
    "there\n"
    "  --parent V    the version this one follows; default MODEL@latest\n"
    "  --no-release  do not let channel main name it\n"
    "  --quantize RULE  publish a near model that takes a small update: auto,\n"
    "                qp=N, max-error=E or target-ratio=R (such as 1%)\n"
    "  --check       COMMAND judges each candidate, whose path {} becomes:\n"
    "                exit status 0 passes, with --check-min when the first "
    "number\n                of the last line it prints (that has one) is X "
    "or more;\n                --check-timeout 600\n"
    "  --wait[=N]    until all nodes (or N) run it\n"
    "  --timeout     of --wait, and for a base to be fetched; default 300;\n"
    "                exit status 6 when it passes\n";

/* ---- Options ---- */

static bool add_meta(struct publish *p, const char *pair)
{
    const char *equal = strchr(pair, '=');
    if (!equal || equal == pair)
        return false;
    char *key = strndup(pair, (size_t)(equal - pair));
    int bad = !key || json_object_set_new(p->meta, key, json_string(equal + 1));
    free(key);
    return !bad;
}

static bool parse_real(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && *out == *out;
}

/* --quantize and what goes with it. False for another option. */
static bool quantize_option(struct publish *p, int c, bool *fits)
{
    struct quantize_request *q = &p->quantize;
    switch (c) {
    case 'Q':
        *fits = quantize_request_parse(q, optarg);
        return true;
    case 'c':
        q->check = optarg;
        *fits = check_command_fits(optarg);
        return true;
    case 'm' + 256:
        q->has_min = true;
        *fits = parse_real(optarg, &q->check_min);
        return true;
    case 't' + 256:
        *fits = ctl_count(optarg, &q->check_timeout_s);
        return true;
    default:
        return false;
    }
}

/* Words of the command line behind the options: the model and paths, or with
 * --nnc the model alone. */
static bool words_fit(const struct publish *p, int words)
{
    if (!p->nnc.update)
        return words >= 2 && !p->nnc.base && !p->nnc.values;
    return words == 1 && p->nnc.base && !p->quantize.goal;
}

static bool quantize_options_fit(const struct quantize_request *q)
{
    return (q->goal || !q->check) && (q->check || !q->has_min);
}

static bool parse_options(struct publish *p, int argc, char **argv, int *exit)
{
    static const struct option options[] = {
        {"meta", required_argument, NULL, 'm'},
        {"parent", required_argument, NULL, 'p'},
        {"key", required_argument, NULL, 'k'},
        {"no-release", no_argument, NULL, 'R'},
        {"wait", optional_argument, NULL, 'w'},
        {"timeout", required_argument, NULL, 't'},
        {"quantize", required_argument, NULL, 'Q'},
        {"check", required_argument, NULL, 'c'},
        {"check-min", required_argument, NULL, 'm' + 256},
        {"check-timeout", required_argument, NULL, 't' + 256},
        {"nnc", required_argument, NULL, 'n'},
        {"base", required_argument, NULL, 'b'},
        {"values", required_argument, NULL, 'v'},
        CTL_OPTIONS};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool fits = true;
        if (c == 'm')
            fits = add_meta(p, optarg);
        else if (c == 'p')
            json_array_append_new(p->parents, json_string(optarg));
        else if (c == 'k' && p->key_count < PUBLISH_KEYS_MAX)
            p->key_paths[p->key_count++] = optarg;
        else if (c == 'R')
            p->release = false;
        else if (c == 'w') {
            p->wait = true;
            fits = !optarg || ctl_count(optarg, &p->wait_nodes);
        } else if (c == 't')
            fits = ctl_count(optarg, &p->timeout_s);
        else if (c == 'n')
            p->nnc.update = optarg;
        else if (c == 'b')
            p->nnc.base = optarg;
        else if (c == 'v')
            p->nnc.values = optarg;
        else if (quantize_option(p, c, &fits))
            ;
        else if (!ctl_option(&p->ctl, c, exit))
            return false;
        if (!fits) {
            *exit = ctl_misused(&p->ctl);
            return false;
        }
    }
    if (words_fit(p, argc - optind) && quantize_options_fit(&p->quantize))
        return true;
    *exit = ctl_misused(&p->ctl);
    return false;
}

/* ---- Files ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* given: the word of the command line it comes from; name: in the version. */
static int open_file(struct publish *p, const char *path, const char *given,
                     const char *name)
{
    struct stat st;
    if (p->file_count == PUBLISH_FILES_MAX)
        return ctl_fail("publish", CTL_USAGE, "more than %d files",
                        PUBLISH_FILES_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return ctl_fail("publish", err == ENOENT ? CTL_NOT_FOUND : CTL_FAILED,
                        "%s: %s", path, strerror(err));
    }
    p->paths[p->file_count] = given;
    p->names[p->file_count] = strdup(name);
    p->fds[p->file_count++] = fd;
    if (!S_ISREG(st.st_mode))
        return ctl_fail("publish", CTL_BAD_INPUT, "%s: is not a regular file",
                        path);
    if (journal_pending(path))
        return ctl_fail("publish", CTL_BAD_INPUT,
                        "%s is half patched: run the same deltamesh patch "
                        "--in-place again",
                        path);
    return p->names[p->file_count - 1]
               ? CTL_OK
               : ctl_fail("publish", CTL_FAILED, "%s",
                          status_text(STATUS_NO_MEMORY));
}

/* Every file below a folder, in the order of their paths. */
static int open_folder(struct publish *p, const char *dir)
{
    struct listing listing;
    struct diag diag = {""};
    enum status status = listing_of_folder(dir, &listing, &diag);
    if (status)
        return ctl_fail("publish", ctl_exit_of(status), "%s",
                        diag.text[0] ? diag.text : status_text(status));
    int exit = listing.count ? CTL_OK
                             : ctl_fail("publish", CTL_BAD_INPUT,
                                        "%s: no file is in it", dir);
    for (size_t i = 0; !exit && i < listing.count; i++) {
        char path[4096];
        int n =
            snprintf(path, sizeof(path), "%s/%s", dir, listing.files[i].path);
        exit = n < 0 || (size_t)n >= sizeof(path)
                   ? ctl_fail("publish", CTL_USAGE, "%s: the path is too long",
                              dir)
                   : open_file(p, path, dir, listing.files[i].path);
    }
    listing_free(&listing);
    return exit;
}

static int open_path(struct publish *p, const char *path)
{
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return open_folder(p, path);
    return open_file(p, path, path, base_name(path));
}

/* The files are those of the base version with an update's values in them; it
 * is the parent unless another is given. */
static int make_nnc_files(struct publish *p)
{
    int exit = ctl_publish_nnc(&p->ctl, &p->nnc, p->fds, p->names,
                               PUBLISH_FILES_MAX, &p->file_count);
    for (size_t i = 0; i < p->file_count; i++)
        p->paths[i] = p->nnc.update;
    if (!json_array_size(p->parents))
        json_array_append_new(p->parents, json_string(p->nnc.base));
    return exit;
}

/* The files become those of the quantised version. */
static int quantize_files(struct publish *p)
{
    for (size_t i = 0; i < p->file_count; i++)
        if (!name_is_path(bytes_of_text(p->names[i])))
            return CTL_OK; /* the daemon will refuse it, with its reason */
    if (!p->ring.count)    /* before checks that may take hours */
        return ctl_fail("publish", CTL_REFUSED,
                        "no key of a publisher here; say where it is with "
                        "--key FILE");
    if (json_object_size(p->meta) + QUANTIZE_META_MAX > LIMIT_MANIFEST_META)
        return ctl_fail("publish", CTL_USAGE,
                        "at most %u --meta go with --quantize, which adds some",
                        LIMIT_MANIFEST_META - QUANTIZE_META_MAX);
    struct quantize_files files = {.fds = p->fds,
                                   .names = p->names,
                                   .count = p->file_count,
                                   .meta = p->meta};
    int exit = ctl_quantize(&p->ctl, p->model,
                            json_string_value(json_array_get(p->parents, 0)),
                            &p->quantize, &files);
    p->update_fd = files.update_fd;
    if (p->update_fd >= 0 && p->file_count == PUBLISH_FILES_MAX) {
        close(p->update_fd); /* one more than a call takes along */
        p->update_fd = -1;
    }
    p->quantized = files.report;
    if (exit && p->quantized) {
        json_t *told = json_pack("{s:O}", "quantized", p->quantized);
        ctl_print_json(&p->ctl, told);
        json_decref(told);
    }
    return exit;
}

/* What the client is about to sign for is what it read itself. */
static int hash_files(struct publish *p)
{
    uint8_t buf[16 * 1024];
    struct tree_builder builder;
    struct stat st;
    for (size_t i = 0; i < p->file_count; i++) {
        if (fstat(p->fds[i], &st))
            return ctl_fail("publish", CTL_FAILED, "%s: %s", p->paths[i],
                            strerror(errno));
        p->size += (uint64_t)st.st_size;
    }
    enum status status = tree_builder_init(&builder, p->size);
    if (status)
        return ctl_fail("publish", CTL_BAD_INPUT, "%s", status_text(status));
    ssize_t got = 0;
    for (size_t i = 0; !status && i < p->file_count; i++)
        for (off_t at = 0;
             !status && (got = pread(p->fds[i], buf, sizeof(buf), at)) > 0;
             at += got)
            status = tree_builder_add(&builder, bytes_of(buf, (size_t)got));
    if (!status && got >= 0)
        status = tree_builder_finish(&builder, &p->tree);
    tree_builder_deinit(&builder);
    if (got < 0)
        return ctl_fail("publish", CTL_FAILED, "reading: %s", strerror(errno));
    if (status)
        return ctl_fail("publish", CTL_FAILED,
                        "a file changed while it was read");
    return CTL_OK;
}

/* ---- Prepare, sign, commit ---- */

static int on_prepared(void *ctx, json_t *reply, const int *fds,
                       size_t fd_count)
{
    struct publish *p = ctx;
    (void)fds;
    (void)fd_count;
    if (strcmp(ctl_text(reply, "stage"), "ready")) {
        if (p->ctl.tty && ctl_int(reply, "total") > 0)
            fprintf(
                stderr, "\r%s %d %%\033[K", ctl_text(reply, "stage"),
                (int)(100 * ctl_int(reply, "done") / ctl_int(reply, "total")));
        return -1;
    }
    if (p->ctl.tty)
        fputs("\r\033[K", stderr);
    p->prepared = json_incref(reply);
    return CTL_OK;
}

static json_t *prepare_params(struct publish *p)
{
    json_t *files = json_array();
    for (size_t i = 0; i < p->file_count; i++)
        json_array_append_new(files, json_pack("{s:s, s:i, s:i, s:i}", "path",
                                               p->names[i], "size", 0, "offset",
                                               0, "fd", (int)i));
    json_t *params =
        json_pack("{s:s, s:o, s:O, s:o}", "model", p->model, "files", files,
                  "meta", p->meta, "keys", ctl_public_keys(&p->ring));
    if (p->update_fd >= 0)
        json_object_set_new(params, "update",
                            json_integer((json_int_t)p->file_count));
    if (json_array_size(p->parents))
        json_object_set(params, "parents", p->parents);
    return params;
}

static int check_payload(const struct publish *p,
                         const struct ctl_payload *payload)
{
    struct body_version body;
    struct bytes model;
    uint64_t n;
    const struct record_fields *f = &payload->record.f;
    if (f->kind == RECORD_VERSION &&
        !body_version_decode(f->body, &body, NULL) &&
        name_split_version(f->name, &model, &n) &&
        bytes_equal(model, bytes_of_text(p->model)) &&
        hash_equal(&body.tree, &p->tree) && body.size == p->size)
        return CTL_OK;
    return ctl_fail("publish", CTL_REFUSED,
                    "the daemon asks to sign other content than these files; "
                    "nothing was signed (did a file change meanwhile?)");
}

static int sign_and_commit(struct publish *p)
{
    struct ctl_payload payload;
    char *envelope = NULL;
    json_t *reply = NULL;
    int exit =
        ctl_payload_open(&p->ctl, ctl_text(p->prepared, "payload"), &payload);
    if (exit)
        return exit;
    exit = check_payload(p, &payload);
    if (!exit)
        exit = ctl_payload_sign(&p->ctl, &payload, &p->ring, &envelope);
    if (!exit)
        exit = ctl_call(&p->ctl, "Commit",
                        json_pack("{s:s, s:s}", "token",
                                  ctl_text(p->prepared, "token"), "envelope",
                                  envelope),
                        &reply);
    free(envelope);
    json_decref(reply);
    ctl_payload_close(&payload);
    return exit;
}

/* ---- Waiting ---- */

/* How many nodes run the version, of how many. */
static int count_running(struct publish *p, const char *version, long *running,
                         long *nodes)
{
    json_t *reply, *node, *m;
    size_t i, k;
    int exit = ctl_call(&p->ctl, "Fleet", NULL, &reply);
    *running = *nodes = 0;
    json_array_foreach(json_object_get(reply, "nodes"), i, node)
    {
        if (ctl_bool(node, "revoked"))
            continue;
        ++*nodes;
        json_array_foreach(json_object_get(node, "models"), k, m) *running +=
            !strcmp(ctl_text(m, "running"), version);
    }
    json_decref(reply);
    return exit;
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int wait_running(struct publish *p, const char *version)
{
    double start = now_s();
    long running = 0, nodes = 0;
    for (;;) {
        int exit = count_running(p, version, &running, &nodes);
        if (exit)
            return exit;
        if (p->wait_nodes ? running >= p->wait_nodes
                          : nodes && running == nodes)
            break;
        if (now_s() - start > (double)p->timeout_s)
            return ctl_fail("publish", CTL_TIMEOUT,
                            "%ld of %ld nodes run it after %ld s; see "
                            "deltamesh fleet --behind",
                            running, nodes, p->timeout_s);
        if (p->ctl.tty)
            fprintf(stderr, "\r%ld of %ld nodes run it\033[K", running, nodes);
        const struct timespec pause = {0, 50 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    if (p->ctl.tty)
        fputs("\r\033[K", stderr);
    if (!p->ctl.json)
        printf("runs on %ld of %ld nodes after %.1f s\n", running, nodes,
               now_s() - start);
    return CTL_OK;
}

/* ---- What is said ---- */

static void print_updates(const json_t *prepared)
{
    uint64_t size = (uint64_t)ctl_int(prepared, "size");
    size_t i;
    json_t *u, *w;
    json_array_foreach(json_object_get(prepared, "updates"), i, u)
    {
        char bytes[TABLE_WORD], base[TABLE_WORD];
        uint64_t n = (uint64_t)ctl_int(u, "bytes");
        const char *from = ctl_text(u, "base");
        printf("  update %s%s  %s, %.2f %% of the file\n",
               *from ? "over " : "over nothing",
               *from ? table_id(from, base) : "", table_bytes(n, bytes),
               size ? 100.0 * (double)n / (double)size : 0);
    }
    json_array_foreach(json_object_get(prepared, "warnings"), i, w) fprintf(
        stderr, "deltamesh publish: warning: %s\n", json_string_value(w));
}

static void print_published(const struct publish *p)
{
    char id[TABLE_WORD], size[TABLE_WORD];
    const json_t *r = p->prepared;
    if (p->ctl.json)
        return;
    printf("%s %s#%lld  %s  %s\n",
           ctl_bool(r, "unchanged") ? "already there:" : "published", p->model,
           (long long)ctl_int(r, "n"), table_id(ctl_text(r, "version"), id),
           table_bytes((uint64_t)ctl_int(r, "size"), size));
    print_updates(r);
}

static int release(struct publish *p)
{
    json_t *reply = NULL;
    int exit = ctl_release_version(&p->ctl, ctl_text(p->prepared, "version"),
                                   "main", &p->ring, &reply);
    if (!exit && !p->ctl.json)
        puts(ctl_bool(reply, "unchanged") ? "channel main names it"
                                          : "released to main");
    json_decref(reply);
    return exit;
}

/* The update goes behind the files; how many descriptors there are then. */
static size_t add_update_fd(struct publish *p)
{
    if (p->update_fd < 0)
        return p->file_count;
    p->fds[p->file_count] = p->update_fd;
    return p->file_count + 1;
}

static int run(struct publish *p, int argc, char **argv)
{
    int exit = CTL_OK;
    p->model = argv[optind];
    p->ctl.fetch_s = p->timeout_s;
    if (!name_is_model(bytes_of_text(p->model)))
        return ctl_fail("publish", CTL_USAGE,
                        "\"%s\" is no model name: parts of a-z 0-9 . _ - that "
                        "begin with a letter, joined by /, such as "
                        "cameras/detector",
                        p->model);
    for (int i = optind + 1; i < argc; i++)
        if ((exit = open_path(p, argv[i])))
            return exit;
    if (p->nnc.update && (exit = make_nnc_files(p)))
        return exit;
    if ((exit = ctl_load_keys(&p->ctl, p->key_paths, p->key_count, &p->ring)) ||
        (p->quantize.goal && (exit = quantize_files(p))) ||
        (exit = hash_files(p)))
        return exit;
    const struct ctl_stream stream = {.fds = p->fds,
                                      .fd_count = add_update_fd(p),
                                      .keep_open = true,
                                      .on_reply = on_prepared,
                                      .ctx = p};
    exit = ctl_call_stream(&p->ctl, "Prepare", prepare_params(p), &stream);
    if (exit)
        return exit;
    if (!p->prepared)
        return ctl_fail("publish", CTL_FAILED, "the daemon gave no answer");
    if (!ctl_bool(p->prepared, "unchanged") && (exit = sign_and_commit(p)))
        return exit;
    print_published(p);
    if (p->release)
        exit = release(p);
    if (!exit && p->wait)
        exit = wait_running(p, ctl_text(p->prepared, "version"));
    if (!exit && p->quantized)
        json_object_set(p->prepared, "quantized", p->quantized);
    if (!exit)
        ctl_print_json(&p->ctl, p->prepared);
    return exit;
}

int ctl_publish(int argc, char **argv)
{
    struct publish p = {
        .release = true,
        .timeout_s = 300,
        .quantize = {.check_timeout_s = QUANTIZE_CHECK_TIMEOUT_S},
        .update_fd = -1};
    int exit = CTL_OK;
    p.meta = json_object();
    p.parents = json_array();
    ctl_begin(&p.ctl, argv, publish_usage);
    if (parse_options(&p, argc, argv, &exit))
        exit = run(&p, argc, argv);
    for (size_t i = 0; i < p.file_count; i++) {
        close(p.fds[i]);
        free(p.names[i]);
    }
    if (p.update_fd >= 0)
        close(p.update_fd);
    keyring_deinit(&p.ring);
    json_decref(p.quantized);
    json_decref(p.prepared);
    json_decref(p.meta);
    json_decref(p.parents);
    ctl_end(&p.ctl);
    return exit;
}
