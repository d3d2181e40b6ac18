/* update_apply [BASE] UPDATE > TARGET: what `deltamesh patch` does.
 *
 *     cc update_apply.c $(pkg-config --cflags --libs deltamesh-codec) */
#include "files.h"

#include <deltamesh/update.h>

static void print_tree(const char *what, const unsigned char *tree)
{
    fprintf(stderr, "%-7s", what);
    for (int i = 0; i < DMC_TREE_BYTES; i++)
        fprintf(stderr, "%02x", tree[i]);
    fprintf(stderr, "\n");
}

static enum dmc_status print_info(const struct dmc_update *update)
{
    struct dmc_update_info info;
    dmc_update_info_init(&info);
    enum dmc_status status = dmc_update_get_info(update, &info);
    if (status)
        return status;
    if (info.has_base)
        print_tree("base", info.base_tree);
    print_tree("target", info.target_tree);
    fprintf(stderr, "%llu bytes of %llu, in %u segments\n",
            (unsigned long long)info.coded_size,
            (unsigned long long)info.target_size, (unsigned)info.segment_count);
    return DMC_OK;
}

int main(int argc, char **argv)
{
    struct dmc_source base, file;
    struct dmc_sink out = files_sink(stdout);
    struct dmc_update *update;
    struct dmc_error error = {""};
    if (argc < 2 || argc > 3 || (argc == 3 && !files_open(argv[1], &base)) ||
        !files_open(argv[argc - 1], &file))
        return 2;
    enum dmc_status status = dmc_update_open(&file, &update, &error);
    if (!status)
        status = print_info(update);
    if (!status)
        status =
            dmc_update_apply(update, argc == 3 ? &base : NULL, &out, &error);
    dmc_update_close(update);
    if (!status && fflush(stdout))
        status = DMC_IO;
    if (status)
        fprintf(stderr, "%s: %s: %s\n", argv[0], dmc_status_text(status),
                error.text);
    return status ? 1 : 0;
}
