/* A table for people, an object for programs. */
#include "daemon/ctl_candidate_report.h"

#include "daemon/table.h"

const char *candidate_strength(const struct candidate *c, char out[TABLE_WORD])
{
    if (c->exact)
        return "exact";
    switch (c->rule.mode) {
    case QUANTIZE_ERROR:
        snprintf(out, TABLE_WORD, "error=%.3g", c->rule.value);
        break;
    case QUANTIZE_QP:
        snprintf(out, TABLE_WORD, "qp=%.0f", c->rule.value);
        break;
    case QUANTIZE_MAX_ERROR:
        snprintf(out, TABLE_WORD, "max-error=%.3g", c->rule.value);
        break;
    default:
        return "auto";
    }
    return out;
}

static json_t *candidate_json(const struct candidate *c, bool chosen)
{
    char name[TABLE_WORD];
    json_t *out =
        json_pack("{s:s, s:I, s:f, s:I, s:b, s:b}", "strength",
                  candidate_strength(c, name), "bytes", (json_int_t)c->bytes,
                  "error", c->error, "tensors", (json_int_t)c->quantised,
                  "passed", c->passed, "chosen", chosen);
    if (!c->checked)
        return out;
    json_object_set_new(out, "exit", json_integer(c->check.exit));
    json_object_set_new(out, "seconds", json_real(c->check.took_s));
    if (c->check.has_value) /* NULL for a NaN: then it is not there */
        json_object_set_new(out, "value", json_real(c->check.value));
    return out;
}

json_t *candidate_report_json(const struct candidate_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct candidate *c = &report->tried[i];
        json_array_append_new(list, candidate_json(c, c == report->chosen));
    }
    return json_pack("{s:s, s:s, s:b, s:o}", "rule", report->text, "base",
                     report->base, "exact", !report->chosen, "candidates",
                     list);
}

static const char *verdict(const struct candidate_report *report,
                           const struct candidate *c)
{
    if (c == report->chosen)
        return "chosen";
    if (!c->judged)
        return "unknown";
    return c->passed ? "passes" : "fails";
}

static void add_row(struct table *table, const struct candidate_report *report,
                    const struct candidate *c)
{
    char name[TABLE_WORD], bytes[TABLE_WORD], share[TABLE_WORD] = "-";
    char error[TABLE_WORD] = "-", value[TABLE_WORD] = "-";
    double size = (double)report->target_size;
    if (c->bytes && size > 0)
        snprintf(share, sizeof(share), "%.2f %%",
                 100 * (double)c->bytes / size);
    if (c->checked && c->check.has_value)
        snprintf(value, sizeof(value), "%.6g", c->check.value);
    else if (c->checked)
        snprintf(value, sizeof(value), "exit %d", c->check.exit);
    if (c->bytes || c->exact)
        snprintf(error, sizeof(error), "%.4f", c->error);
    table_row(table, candidate_strength(c, name),
              c->bytes ? table_bytes(c->bytes, bytes) : "-", share, error,
              value, verdict(report, c));
}

/* a is coarser than b. All have a rule of one mode, or are exact. */
static bool is_coarser(const struct candidate *a, const struct candidate *b)
{
    if (a->exact || b->exact)
        return !a->exact;
    return a->rule.value > b->rule.value;
}

/* The coarsest of those that come behind last (NULL: of all). */
static const struct candidate *next_of(const struct candidate_report *report,
                                       const struct candidate *last)
{
    const struct candidate *next = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const struct candidate *c = &report->tried[i];
        if ((!last || is_coarser(last, c)) && (!next || is_coarser(c, next)))
            next = c;
    }
    return next;
}

void candidate_report_print(const struct candidate_report *report, FILE *out)
{
    struct table *table =
        table_new("STRENGTH|>UPDATE|>OF THE FILE|>ERROR|>CHECK|VERDICT");
    const struct candidate *c = NULL;
    while (table && (c = next_of(report, c)))
        add_row(table, report, c);
    if (table)
        table_print(table, out);
    table_free(table);
}
