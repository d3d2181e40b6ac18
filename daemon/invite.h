/* The one reusable line that lets a node join: fleet id, fleet secret, and at
 * least one address, with a check sum against typing errors.
 *
 * "deltamesh1:" and, in base64: fleet id (32 bytes), secret (32),
 * count of addresses (1), each as length (1) and text, then the first 4 bytes
 * of the HASH_MISC of all before them. deltameshd(8) repeats this. */
#ifndef DAEMON_INVITE_H
#define DAEMON_INVITE_H

#include "codec/base/hash.h"
#include "protocol/crypto.h"
#include "protocol/node.h"

#define INVITE_PREFIX        "deltamesh1:"
#define INVITE_ADDRESSES_MAX 16u
#define INVITE_LINE_MAX      6144u

struct invite {
    struct hash fleet;
    struct crypto_secret secret;
    size_t address_count;
    char address[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1];
};

/* The line, on the heap (wipe and free it). USAGE: no address, or one that is
 * none. */
enum status invite_write(const struct invite *invite, char **line,
                         struct diag *diag) MUST_CHECK;

/* Reads the first line of a text that is no comment ('#') and not empty, white
 * space around it aside. CORRUPT, UNSUPPORTED (a newer form), with words. */
enum status invite_read(const char *text, struct invite *out, struct diag *diag)
    MUST_CHECK;

#endif
