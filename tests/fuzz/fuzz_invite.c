/* Invites: what reads as one is written as the same line again. */
#include "daemon/invite.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct invite invite;
    char *line = NULL, *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (!invite_read(text, &invite, NULL)) {
        if (invite_write(&invite, &line, NULL) || !strstr(text, line))
            abort();
        free(line);
    }
    free(text);
    return 0;
}
