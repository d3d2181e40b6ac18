/* update_make BASE TARGET > UPDATE: what `deltamesh diff` does.
 *
 *     cc update_make.c $(pkg-config --cflags --libs deltamesh-codec) */
#include "files.h"

#include <deltamesh/update.h>

int main(int argc, char **argv)
{
    struct dmc_source base, target;
    struct dmc_sink out = files_sink(stdout);
    struct dmc_update_params params;
    struct dmc_error error;
    if (argc != 3 || !files_open(argv[1], &base) ||
        !files_open(argv[2], &target))
        return 2;
    dmc_update_params_init(&params);
    params.base_name = argv[1];
    params.target_name = argv[2];
    if (dmc_update_make(&base, &target, &params, &out, &error) ||
        fflush(stdout)) {
        fprintf(stderr, "%s: %s\n", argv[0], error.text);
        return 1;
    }
    return 0;
}
