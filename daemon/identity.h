/* Who this node is: its Ed25519 key, made at the first start and bound to the
 * machine, and the fleet it belongs to with the secrets all its nodes share.
 *
 * STATE/node.key and STATE/fleet, mode 0600: lines "name value", the first
 * "deltamesh-node-key 1" or "deltamesh-fleet 1". */
#ifndef DAEMON_IDENTITY_H
#define DAEMON_IDENTITY_H

#include "daemon/invite.h"

struct identity {
    struct crypto_sign_key key;
    bool other_machine; /* out of load: the key of another machine was there,
                         * and a new one made */
};

/* Reads the key or makes it. machine_id_path is /etc/machine-id but in tests;
 * a machine without one is bound to nothing.
 *
 * CORRUPT  the file is damaged (words in diag); nothing was changed
 * PERMISSION, NO_SPACE, IO */
enum status identity_load(const char *state_dir, const char *machine_id_path,
                          const struct rng *rng, struct identity *out,
                          struct diag *diag) MUST_CHECK;

struct fleet_file {
    struct hash fleet;
    struct crypto_secret secret[2]; /* [0] is used to dial */
    unsigned secret_count;          /* 1 or 2 */
    size_t address_count;           /* those of the invite */
    char address[INVITE_ADDRESSES_MAX][NODE_ADDR_MAX + 1];
};

/* NOT_FOUND: no fleet yet. CORRUPT, with words. */
enum status fleet_file_read(const char *state_dir, struct fleet_file *out,
                            struct diag *diag) MUST_CHECK;
enum status fleet_file_write(const char *state_dir, const struct fleet_file *in)
    MUST_CHECK;

#endif
