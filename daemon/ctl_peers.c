/* deltamesh peers: links, and addresses that are tried. */
#include "daemon/ctl.h"
#include "daemon/table.h"

static void print_links(const json_t *links)
{
    struct table *table = table_new(
        "NODE|ADDRESS|STATE|>UP|>RTT|>RECEIVED|>SENT|SAME|LAST ERROR");
    size_t i;
    json_t *l;
    json_array_foreach(links, i, l)
    {
        char id[TABLE_WORD], up[TABLE_WORD], in[TABLE_WORD], out[TABLE_WORD];
        char rtt[TABLE_WORD];
        snprintf(rtt, sizeof(rtt), "%.1f ms", ctl_real(l, "rtt_ms"));
        table_row(table, table_id(ctl_text(l, "node"), id), ctl_text(l, "addr"),
                  ctl_text(l, "state"), table_age(ctl_real(l, "up_s"), up), rtt,
                  table_bytes((uint64_t)ctl_int(l, "bytes_in"), in),
                  table_bytes((uint64_t)ctl_int(l, "bytes_out"), out),
                  ctl_bool(l, "equal") ? "yes" : "no", ctl_text(l, "error"));
    }
    table_print(table, stdout);
    table_free(table);
}

static void print_dials(const json_t *dials)
{
    struct table *table = table_new("TRYING|>FAILURES|>AGAIN IN|WHY");
    size_t i;
    json_t *d;
    json_array_foreach(dials, i, d)
    {
        char failures[TABLE_WORD], next[TABLE_WORD];
        if (!*ctl_text(d, "error"))
            continue;
        snprintf(failures, sizeof(failures), "%d", (int)ctl_int(d, "failures"));
        table_row(table, ctl_text(d, "addr"), failures,
                  table_age(ctl_real(d, "next_try_s"), next),
                  ctl_text(d, "error"));
    }
    table_print(table, stdout);
    table_free(table);
}

int ctl_peers(int argc, char **argv)
{
    struct ctl ctl;
    json_t *reply = NULL;
    int exit;
    ctl_begin(&ctl, argv, "usage: deltamesh peers [--json] [--control PATH]\n");
    if (ctl_plain_options(&ctl, argc, argv, 0, 0, &exit) &&
        !(exit = ctl_call(&ctl, "Peers", NULL, &reply)) &&
        !ctl_print_json(&ctl, reply)) {
        const json_t *links = json_object_get(reply, "links");
        if (!json_array_size(links))
            puts("no links");
        print_links(links);
        print_dials(json_object_get(reply, "dials"));
    }
    json_decref(reply);
    ctl_end(&ctl);
    return exit;
}
