/* deltamesh nnc encode: a model, or what changed from a base, as a stream. */
#include "daemon/ctl_nnc.h"
#include "daemon/ctl_offline.h"
#include "daemon/table.h"
#include "daemon/threads.h"

#include <math.h>
#include <stdio.h>

/* ---- A stream made and told of ---- */

struct encoding {
    struct ctl_nnc_encode *encode;
    struct out_file out;
    unsigned odd_names; /* that NNCodec does not take */
};

static enum status encoding_put(void *ctx, struct bytes bytes)
{
    struct encoding *e = ctx;
    return out_file_write(&e->out, bytes, e->encode->diag);
}

static json_t *row_json(const struct nnc_write_row *row)
{
    static const char *const fates[] = {"sent", "same", "left"};
    json_t *json =
        json_pack("{s:s, s:s}", "name", row->name, "fate", fates[row->fate]);
    if (!json)
        return NULL;
    if (row->fate == NNC_WRITE_LEFT)
        json_object_set_new(json, "why", json_string(row->why));
    if (row->fate != NNC_WRITE_SENT)
        return json;
    const struct nnc_tensor *sent = &row->sent;
    json_object_set_new(json, "kind", json_string(ctl_nnc_kind(sent->kind)));
    json_object_set_new(json, "bytes",
                        json_integer((json_int_t)sent->coded_size));
    json_object_set_new(json, "difference", json_boolean(sent->has_parent));
    json_object_set_new(json, "lattice", json_boolean(row->lattice));
    if (row->low_rank) {
        json_object_set_new(json, "rank", json_integer(row->low_rank));
        json_object_set_new(json, "rank_bytes",
                            json_integer((json_int_t)row->low_size));
    }
    if (sent->kind == NNC_UNIFORM || sent->kind == NNC_CODEBOOK) {
        json_object_set_new(json, "qp", json_integer(sent->qp));
        json_object_set_new(json, "dq", json_boolean(sent->dq));
        json_object_set_new(json, "max_error", json_real(row->max_error));
    }
    return json;
}

static void encoding_row(void *ctx, const struct nnc_write_row *row)
{
    struct encoding *e = ctx;
    struct ctl_nnc_encode *encode = e->encode;
    if (encode->rows)
        json_array_append_new(encode->rows, row_json(row));
    if (row->fate == NNC_WRITE_LEFT) {
        encode->left++;
        ctl_fail(encode->ctl->verb, CTL_OK,
                 "warning: tensor '%.120s' is not sent: %s", row->name,
                 row->why);
        return;
    }
    encode->sent += row->fate == NNC_WRITE_SENT;
    encode->same += row->fate == NNC_WRITE_SAME;
    encode->lattice += row->lattice;
    encode->low_rank += row->low_size > 0;
    encode->elem_count += tensor_elem_count(row->tensor);
    if (row->fate == NNC_WRITE_SENT &&
        (strstr(row->name, "_G") || strstr(row->name, "_H")))
        e->odd_names++;
    if (row->max_error > encode->max_error)
        encode->max_error = row->max_error;
    if (row->tensor->rank < 2)
        return;
    encode->square_error += row->square_error;
    encode->square_value += row->square_value;
}

static enum status encoding_run(struct encoding *e)
{
    struct ctl_nnc_encode *encode = e->encode;
    struct nnc_state *state;
    const struct ctl_nnc_model *base = encode->base;
    struct nnc_shapes shapes = {base ? base->model : NULL,
                                base ? &base->names : NULL};
    enum status status = ctl_nnc_state(encode->prev, base ? &shapes : NULL,
                                       &state, encode->diag);
    const struct nnc_write_params params = {
        .source = encode->target->source,
        .model = encode->target->model,
        .names = &encode->target->names,
        .base = base ? base->source : NULL,
        .base_model = base ? base->model : NULL,
        .base_names = base ? &base->names : NULL,
        .state = state,
        .rules = *encode->rules,
        .parallel = encode->parallel,
        .put = encoding_put,
        .put_ctx = e,
        .row = encoding_row,
        .row_ctx = e,
        .diag = encode->diag,
    };
    if (!status)
        status = nnc_model_write(&params);
    nnc_state_free(state);
    return status;
}

enum status ctl_nnc_encode_file(struct ctl_nnc_encode *encode)
{
    struct encoding e = {.encode = encode, .out = {.fd = -1}};
    if (encode->ctl->json)
        encode->rows = json_array();
    if (!encode->target->model->tensor_count)
        return diag_fail(encode->diag, STATUS_UNSUPPORTED,
                         "the model has no tensors that could be sent");
    enum status status = out_file_open(&e.out, encode->out_path, encode->diag);
    if (!status)
        status = encoding_run(&e);
    encode->bytes = e.out.size;
    if (!status)
        status = out_file_commit(&e.out, encode->diag);
    out_file_abort(&e.out);
    if (!status && e.odd_names)
        ctl_fail(encode->ctl->verb, CTL_OK,
                 "warning: names of %u tensors hold _G or _H, which NNCodec "
                 "does not read",
                 e.odd_names);
    if (!status && encode->low_rank)
        ctl_fail(encode->ctl->verb, CTL_OK,
                 "note: %llu tensors have a low rank part, which other "
                 "software does not read",
                 (unsigned long long)encode->low_rank);
    return status;
}

static double relative_error(const struct ctl_nnc_encode *encode)
{
    return encode->square_value > 0
               ? sqrt(encode->square_error / encode->square_value)
               : 0;
}

static void report_json(struct ctl_nnc_encode *encode)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:O*}", "bytes",
        (json_int_t)encode->bytes, "elements", (json_int_t)encode->elem_count,
        "sent", (json_int_t)encode->sent, "same", (json_int_t)encode->same,
        "left", (json_int_t)encode->left, "lattice",
        (json_int_t)encode->lattice, "low_rank", (json_int_t)encode->low_rank,
        "relative_error", relative_error(encode), "max_error",
        encode->max_error, "tensors", encode->rows);
    ctl_print_json(encode->ctl, json);
    json_decref(json);
}

void ctl_nnc_encode_report(struct ctl_nnc_encode *encode)
{
    if (encode->ctl->json) {
        report_json(encode);
        json_decref(encode->rows);
        encode->rows = NULL;
        return;
    }
    printf("%s: %llu bytes, %llu tensors", encode->out_path,
           (unsigned long long)encode->bytes, (unsigned long long)encode->sent);
    if (encode->same)
        printf(" (%llu without change)", (unsigned long long)encode->same);
    if (encode->elem_count)
        printf(", %.3f bits an element",
               8.0 * (double)encode->bytes / (double)encode->elem_count);
    if (encode->lattice && encode->max_error == 0)
        printf(", exact\n");
    else
        printf(", error %.4f of the %s's root mean square, at most %.3g\n",
               relative_error(encode), encode->base ? "change" : "model",
               encode->max_error);
}

/* ---- The verb ---- */

static const char encode_usage[] =
    "usage: deltamesh nnc encode [--base MODEL] [--prev FILE]... [OPTION]...\n"
    "                            [--threads N] [--json] MODEL -o FILE\n"
    "  --base MODEL      send what MODEL is more than this, which receivers "
    "hold\n"
    "  --prev FILE       an update sent before, oldest first: counts depths, "
    "and its\n"
    "                    levels are contexts (receivers need the same)\n";

struct verb {
    struct ctl ctl;
    const char *base_path, *target_path, *out_path;
    struct ctl_nnc_prev prev;
    struct ctl_nnc_rules rules;
    unsigned width;
    struct threads *threads;
    struct ctl_content base_content, content;
    struct ctl_nnc_model base, target;
    struct diag diag;
    char usage[4096];
};

static enum status open_model(const struct ctl *ctl, const char *path,
                              struct ctl_content *content,
                              struct ctl_nnc_model *model, struct diag *diag)
{
    enum status status = ctl_content_open(content, path, diag);
    if (!status)
        status = ctl_content_model(ctl, content);
    if (!status)
        status = ctl_nnc_model_of(model, &content->source, content->model);
    return status;
}

static enum status encode_run(struct verb *v, struct ctl_nnc_encode *encode)
{
    enum status status =
        open_model(&v->ctl, v->target_path, &v->content, &v->target, &v->diag);
    if (!status && v->base_path)
        status = open_model(&v->ctl, v->base_path, &v->base_content, &v->base,
                            &v->diag);
    if (!status)
        status = threads_new(v->width, &v->threads);
    if (status)
        return status;
    *encode = (struct ctl_nnc_encode){
        .ctl = &v->ctl,
        .target = &v->target,
        .base = v->base_path ? &v->base : NULL,
        .prev = &v->prev,
        .rules = &v->rules.rules,
        .parallel = threads_parallel(v->threads),
        .out_path = v->out_path,
        .diag = &v->diag,
    };
    status = ctl_nnc_encode_file(encode);
    if (!status)
        ctl_nnc_encode_report(encode);
    return status;
}

static int encode_verb(struct verb *v)
{
    struct ctl_nnc_encode encode = {.rows = NULL};
    if (!ctl_nnc_rules_finish(&v->rules, v->base_path != NULL,
                              v->prev.count != 0, &v->diag))
        return ctl_fail(v->ctl.verb, CTL_USAGE, "%s", v->diag.text);
    enum status status = encode_run(v, &encode);
    int exit = ctl_offline_exit(&v->ctl, status, &v->diag);
    json_decref(encode.rows);
    threads_free(v->threads);
    nnc_names_deinit(&v->base.names);
    nnc_names_deinit(&v->target.names);
    ctl_content_close(&v->base_content);
    ctl_content_close(&v->content);
    return exit;
}

static bool encode_option(struct verb *v, int option, int *exit)
{
    bool fits = true;
    if (option == 'o')
        v->out_path = optarg;
    else if (option == 'b')
        v->base_path = optarg;
    else if (option == 'p')
        fits = ctl_nnc_prev_add(&v->prev, optarg);
    else if (option == 'T')
        fits = ctl_offline_count(optarg, 1, THREADS_WIDTH_MAX, &v->width);
    else if (option >= CTL_NNC_QP)
        fits = ctl_nnc_rules_option(&v->rules, option, optarg);
    else
        return ctl_option(&v->ctl, option, exit);
    if (!fits)
        *exit = ctl_misused(&v->ctl);
    return fits;
}

int ctl_nnc_encode_verb(int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"base", required_argument, NULL, 'b'},
        {"prev", required_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 'T'},
        CTL_NNC_OPTIONS,
        CTL_OPTIONS};
    int exit = CTL_OK;
    struct verb v = {.base_content = CTL_CONTENT_CLOSED,
                     .content = CTL_CONTENT_CLOSED};
    ctl_nnc_rules_init(&v.rules);
    snprintf(v.usage, sizeof(v.usage), "%s%s", encode_usage,
             ctl_nnc_rules_usage);
    ctl_begin(&v.ctl, argv, v.usage);
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;)
        if (!encode_option(&v, c, &exit))
            return exit;
    if (!v.out_path || argc - optind != 1)
        return ctl_misused(&v.ctl);
    v.target_path = argv[optind];
    return encode_verb(&v);
}
