/* Configuration files: any text is taken or refused with a line number. */
#include "daemon/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    struct diag diag = {""};
    if (config_init(&config))
        return 0;
    enum status status =
        config_read_text(&config, "f", (const char *)data, size, &diag);
    if (status && strncmp(diag.text, "f:", 2))
        abort();
    config_deinit(&config);
    return 0;
}
