/* Node ids as text. */
#include "protocol/node_id.h"

void node_id_hex(const struct node_id *id, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < NODE_ID_BYTES; i++) {
        out[2 * i] = digits[id->b[i] >> 4];
        out[2 * i + 1] = digits[id->b[i] & 15];
    }
    out[2 * (size_t)NODE_ID_BYTES] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool node_id_from_hex(const char *text, struct node_id *out)
{
    struct node_id id;
    if (strlen(text) != 2 * (size_t)NODE_ID_BYTES)
        return false;
    for (size_t i = 0; i < NODE_ID_BYTES; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id.b[i] = (uint8_t)(high << 4 | low);
    }
    *out = id;
    return true;
}
