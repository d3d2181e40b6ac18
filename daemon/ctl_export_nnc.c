/* deltamesh export --nnc: a version, or what it is more than another one, as an
 * NNC stream. */
#include "daemon/ctl_nnc.h"
#include "daemon/ctl_offline.h"
#include "daemon/ctl_publish_nnc.h"
#include "daemon/ctl_version.h"
#include "daemon/threads.h"

#include <stdio.h>

static const char export_usage[] =
    "usage: deltamesh export VERSION --nnc [--base VERSION] [--prev FILE]...\n"
    "                        [--timeout SECONDS] [OPTION]... -o FILE [--json]\n"
    "                        [--control PATH]\n"
    "  Integers of a lattice where the version lies on one over the base (or "
    "over 0):\n"
    "  exact; else as nnc encode, but with an error of 0.001 of the change.\n"
    "  With any option for the step, as nnc encode throughout.\n";

struct export_nnc {
    struct ctl ctl;
    const char *target_name, *base_name, *out_path;
    struct ctl_nnc_prev prev;
    struct ctl_nnc_rules rules;
    struct ctl_version target, base;
    struct ctl_nnc_model target_model, base_model;
    struct threads *threads;
    struct diag diag;
    char usage[4096];
};

static enum status export_write(struct export_nnc *x,
                                struct ctl_nnc_encode *encode)
{
    enum status status =
        ctl_nnc_model_of(&x->target_model, &x->target.source, x->target.model);
    if (!status && x->base_name)
        status =
            ctl_nnc_model_of(&x->base_model, &x->base.source, x->base.model);
    if (!status)
        status = threads_new(0, &x->threads);
    if (status)
        return status;
    *encode = (struct ctl_nnc_encode){
        .ctl = &x->ctl,
        .target = &x->target_model,
        .base = x->base_name ? &x->base_model : NULL,
        .prev = &x->prev,
        .rules = &x->rules.rules,
        .parallel = threads_parallel(x->threads),
        .out_path = x->out_path,
        .diag = &x->diag,
    };
    status = ctl_nnc_encode_file(encode);
    if (!status)
        ctl_nnc_encode_report(encode);
    return status;
}

static int export_run(struct export_nnc *x)
{
    struct ctl_nnc_encode encode = {.rows = NULL};
    if (!ctl_nnc_rules_finish(&x->rules, x->base_name != NULL,
                              x->prev.count != 0, &x->diag))
        return ctl_fail(x->ctl.verb, CTL_USAGE, "%s", x->diag.text);
    int exit = ctl_version_open(&x->ctl, x->target_name, &x->target);
    if (!exit && x->base_name)
        exit = ctl_version_open(&x->ctl, x->base_name, &x->base);
    if (!exit)
        exit = ctl_offline_exit(&x->ctl, export_write(x, &encode), &x->diag);
    json_decref(encode.rows);
    threads_free(x->threads);
    nnc_names_deinit(&x->target_model.names);
    nnc_names_deinit(&x->base_model.names);
    ctl_version_close(&x->target);
    ctl_version_close(&x->base);
    return exit;
}

static bool export_option(struct export_nnc *x, int option, int *exit)
{
    bool fits = true;
    if (option == 'n')
        return true;
    if (option == 'o')
        x->out_path = optarg;
    else if (option == 'b')
        x->base_name = optarg;
    else if (option == 't')
        fits = ctl_count(optarg, &x->ctl.fetch_s);
    else if (option == 'p')
        fits = ctl_nnc_prev_add(&x->prev, optarg);
    else if (option >= CTL_NNC_QP)
        fits = ctl_nnc_rules_option(&x->rules, option, optarg);
    else
        return ctl_option(&x->ctl, option, exit);
    if (!fits)
        *exit = ctl_misused(&x->ctl);
    return fits;
}

int ctl_export_nnc(int argc, char **argv)
{
    static const struct option options[] = {
        {"nnc", no_argument, NULL, 'n'},
        {"output", required_argument, NULL, 'o'},
        {"base", required_argument, NULL, 'b'},
        {"prev", required_argument, NULL, 'p'},
        {"timeout", required_argument, NULL, 't'},
        CTL_NNC_OPTIONS,
        CTL_OPTIONS};
    int exit = CTL_OK;
    struct export_nnc x = {.target_name = NULL};
    ctl_nnc_rules_init(&x.rules);
    x.rules.exports = true;
    snprintf(x.usage, sizeof(x.usage), "%s%s", export_usage,
             ctl_nnc_rules_usage);
    ctl_begin(&x.ctl, argv, x.usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;)
        if (!export_option(&x, c, &exit))
            return exit;
    if (!x.out_path || argc - optind != 1)
        return ctl_misused(&x.ctl);
    x.target_name = argv[optind];
    exit = export_run(&x);
    ctl_end(&x.ctl);
    return exit;
}
