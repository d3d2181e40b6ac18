/* deltamesh nnc inspect: what is in a stream; of a broken one what comes before
 * the break, and what is broken where. */
#include "daemon/ctl_nnc.h"
#include "daemon/ctl_offline.h"
#include "daemon/table.h"

#include "codec/nnc/unit.h"
#include "codec/quant/qp.h"

#include <stdio.h>

static const char inspect_usage[] =
    "usage: deltamesh nnc inspect [--json] [--prev FILE]... FILE\n"
    "  --prev FILE  an update that comes before it, oldest first; needed where "
    "the\n"
    "               stream's contexts look at them\n";

#define UNIT_TYPES 8u /* the last: any other */

struct inspect {
    struct ctl ctl;
    const char *path;
    struct ctl_nnc_prev prev;
    struct file_source file;
    struct nnc_stream stream;
    uint64_t unit_count[UNIT_TYPES], unit_bytes[UNIT_TYPES];
    uint64_t tensors, elements, differences, temporal;
    struct table *table;
    json_t *rows;
    struct diag diag;
};

static const char *unit_name(unsigned type)
{
    static const char *const names[UNIT_TYPES] = {"STR", "MPS", "LPS", "TPL",
                                                  "QNT", "NDU", "AGG", "other"};
    return names[type];
}

static const char *part_name(enum nnc_part part)
{
    static const char *const names[] = {
        "",        "weight",   "G",       "H",      "scaling",
        "bn beta", "bn gamma", "bn mean", "bn var", "bias"};
    return names[part];
}

static bool has_step(const struct nnc_tensor *tensor)
{
    return tensor->kind == NNC_UNIFORM || tensor->kind == NNC_CODEBOOK;
}

/* ---- Rows ---- */

static const char *shape_text(const struct nnc_tensor *tensor, char *out,
                              size_t size)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (uint32_t i = 0; i < tensor->rank && at + 32 < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)tensor->shape[i]);
    snprintf(out + at, size - at, "]");
    return out;
}

static double bits_of(const struct nnc_tensor *tensor)
{
    return tensor->elem_count
               ? 8.0 * (double)tensor->coded_size / (double)tensor->elem_count
               : 0;
}

static void row_text(struct inspect *inspect, const struct nnc_tensor *tensor)
{
    char shape[192], kind[32], qp[16] = "-", step[32] = "-", book[16] = "-";
    char scan[8], bytes[24], bits[24], node[64];
    snprintf(kind, sizeof(kind), "%s%s%s", ctl_nnc_kind(tensor->kind),
             tensor->part ? " " : "", part_name(tensor->part));
    if (has_step(tensor)) {
        snprintf(qp, sizeof(qp), "%d", tensor->qp);
        snprintf(step, sizeof(step), "%.6g",
                 qp_step(tensor->qp, tensor->qp_density));
    }
    if (tensor->kind == NNC_CODEBOOK)
        snprintf(book, sizeof(book), "%u", tensor->codebook.size);
    snprintf(scan, sizeof(scan), "%u", (unsigned)tensor->scan_order);
    snprintf(bytes, sizeof(bytes), "%llu",
             (unsigned long long)tensor->coded_size);
    snprintf(bits, sizeof(bits), "%.3f", bits_of(tensor));
    snprintf(node, sizeof(node), "%u/%u@%u%s%s", tensor->device_id,
             tensor->parameter_id, tensor->put_node_depth,
             tensor->has_parent ? " +" : "", tensor->temporal ? " t" : "");
    table_row(inspect->table, tensor->name,
              shape_text(tensor, shape, sizeof(shape)), kind, qp, step,
              tensor->dq ? "dq" : "-", book, scan, bytes, bits, node);
}

static json_t *row_json(const struct nnc_tensor *tensor, uint64_t offset)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape,
                              json_integer((json_int_t)tensor->shape[i]));
    json_t *json = json_pack(
        "{s:s%, s:o, s:I, s:s, s:b, s:i, s:i, s:I, s:I, s:f, s:i, s:i, s:i, "
        "s:b, s:b}",
        "name", tensor->name, tensor->name_size, "shape", shape, "elements",
        (json_int_t)tensor->elem_count, "kind", ctl_nnc_kind(tensor->kind),
        "dq", (int)tensor->dq, "scan", (int)tensor->scan_order, "unary",
        (int)tensor->unary, "offset", (json_int_t)offset, "bytes",
        (json_int_t)tensor->coded_size, "bits", bits_of(tensor), "device_id",
        (int)tensor->device_id, "parameter_id", (int)tensor->parameter_id,
        "put_node_depth", (int)tensor->put_node_depth, "parent",
        (int)tensor->has_parent, "temporal", (int)tensor->temporal);
    if (!json)
        return NULL;
    if (has_step(tensor)) {
        json_object_set_new(json, "qp", json_integer(tensor->qp));
        json_object_set_new(json, "step",
                            json_real(qp_step(tensor->qp, tensor->qp_density)));
    }
    if (tensor->kind == NNC_CODEBOOK)
        json_object_set_new(json, "codebook",
                            json_integer(tensor->codebook.size));
    if (tensor->part)
        json_object_set_new(json, "part", json_string(part_name(tensor->part)));
    return json;
}

static void inspect_row(struct inspect *inspect,
                        const struct nnc_tensor *tensor)
{
    inspect->tensors++;
    inspect->elements += tensor->elem_count;
    inspect->differences += tensor->has_parent;
    inspect->temporal += tensor->temporal;
    if (inspect->rows)
        json_array_append_new(inspect->rows,
                              row_json(tensor, inspect->stream.offset));
    else
        row_text(inspect, tensor);
}

/* ---- The stream ---- */

/* As far as their sizes lead; the decoder says what is wrong. */
static void inspect_units(struct inspect *inspect)
{
    struct unit unit;
    const struct source *in = &inspect->file.source;
    for (uint64_t at = 0; at < in->size; at += unit.size) {
        if (unit_read(in, at, &unit))
            return;
        unsigned type = unit.type < UNIT_TYPES - 1 ? unit.type : UNIT_TYPES - 1;
        inspect->unit_count[type]++;
        inspect->unit_bytes[type] += unit.size;
    }
}

static enum status inspect_tensors(struct inspect *inspect,
                                   struct nnc_state *state)
{
    const struct nnc_tensor *tensor;
    struct nnc_dec *dec;
    const struct source *in = &inspect->file.source;
    const struct nnc_dec_params params = {.in = in,
                                          .limits = ctl_nnc_limits(NULL, in),
                                          .state = state,
                                          .diag = &inspect->diag};
    enum status status = nnc_dec_new(&params, &dec);
    while (!status) {
        status = nnc_dec_next(dec, &tensor);
        inspect->stream = *nnc_dec_stream(dec);
        if (status || !tensor)
            break;
        inspect_row(inspect, tensor);
    }
    nnc_dec_free(dec);
    return status;
}

static void print_units(const struct inspect *inspect)
{
    const char *between = "";
    for (unsigned i = 0; i < UNIT_TYPES; i++)
        if (inspect->unit_count[i]) {
            printf("%s%llu %s (%llu bytes)", between,
                   (unsigned long long)inspect->unit_count[i], unit_name(i),
                   (unsigned long long)inspect->unit_bytes[i]);
            between = ", ";
        }
    printf("%s", *between ? "\n" : "");
}

static void print_text(const struct inspect *inspect)
{
    uint64_t size = inspect->file.source.size;
    table_print(inspect->table, stdout);
    print_units(inspect);
    printf(
        "profile %u, qp density %u%s: %llu tensors, %llu elements, %llu "
        "bytes, %.3f bits an element\n",
        (unsigned)inspect->stream.profile, (unsigned)inspect->stream.qp_density,
        inspect->stream.incremental ? ", incremental" : "",
        (unsigned long long)inspect->tensors,
        (unsigned long long)inspect->elements, (unsigned long long)size,
        inspect->elements ? 8.0 * (double)size / (double)inspect->elements : 0);
    if (inspect->differences)
        printf("%llu tensors are differences, %llu with contexts of the update "
               "before\n",
               (unsigned long long)inspect->differences,
               (unsigned long long)inspect->temporal);
}

static void print_json(struct inspect *inspect, enum status status)
{
    json_t *units = json_object();
    for (unsigned i = 0; i < UNIT_TYPES; i++)
        if (inspect->unit_count[i])
            json_object_set_new(units, unit_name(i),
                                json_pack("{s:I, s:I}", "count",
                                          (json_int_t)inspect->unit_count[i],
                                          "bytes",
                                          (json_int_t)inspect->unit_bytes[i]));
    json_t *json =
        json_pack("{s:s, s:i, s:i, s:b, s:I, s:I, s:b, s:o, s:O}", "format",
                  "nnc", "profile", (int)inspect->stream.profile, "qp_density",
                  (int)inspect->stream.qp_density, "incremental",
                  (int)inspect->stream.incremental, "bytes",
                  (json_int_t)inspect->file.source.size, "elements",
                  (json_int_t)inspect->elements, "whole", !status, "units",
                  units, "tensors", inspect->rows);
    ctl_print_json(&inspect->ctl, json);
    json_decref(json);
}

static enum status inspect_stream(struct inspect *inspect)
{
    struct nnc_state *state = NULL;
    struct diag *diag = &inspect->diag;
    enum status status = file_source_open(&inspect->file, inspect->path, diag);
    if (!status)
        status = ctl_nnc_state(&inspect->prev, NULL, &state, diag);
    if (status) /* nothing was looked at */
        return status;
    inspect->table = table_new("tensor|shape|kind|>qp|>step|dq|>book|>scan|"
                               ">bytes|>bits/elem|node");
    inspect->rows = inspect->ctl.json ? json_array() : NULL;
    if (!inspect->table)
        status = STATUS_NO_MEMORY;
    inspect_units(inspect);
    if (!status)
        status = inspect_tensors(inspect, state);
    nnc_state_free(state);
    if (inspect->ctl.json)
        print_json(inspect, status);
    else if (!status || inspect->tensors)
        print_text(inspect);
    return status;
}

static void explain(struct inspect *inspect, enum status status)
{
    struct diag why = inspect->diag;
    bool states = status == STATUS_BAD_BASE && !inspect->prev.count;
    if (!status || !why.text[0] || strstr(why.text, inspect->path))
        return;
    diag_reset(&inspect->diag);
    (void)!diag_fail(&inspect->diag, status, "%.80s: %.120s%s", inspect->path,
                     why.text,
                     states ? "; give the updates before it with --prev" : "");
}

int ctl_nnc_inspect_verb(int argc, char **argv)
{
    static const struct option options[] = {
        {"prev", required_argument, NULL, 'p'}, CTL_OPTIONS};
    struct inspect inspect = {.file = {.fd = -1}};
    int exit = CTL_OK;
    ctl_begin(&inspect.ctl, argv, inspect_usage);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool added = c == 'p' && ctl_nnc_prev_add(&inspect.prev, optarg);
        if (!added && !ctl_option(&inspect.ctl, c, &exit))
            return exit;
    }
    if (argc - optind != 1)
        return ctl_misused(&inspect.ctl);
    inspect.path = argv[optind];
    enum status status = inspect_stream(&inspect);
    explain(&inspect, status);
    if (status == STATUS_NOT_FOUND && inspect.file.fd >= 0)
        status = STATUS_BAD_BASE; /* a shape, not the file */
    exit = ctl_offline_exit(&inspect.ctl, status, &inspect.diag);
    table_free(inspect.table);
    json_decref(inspect.rows);
    file_source_close(&inspect.file);
    return exit;
}
