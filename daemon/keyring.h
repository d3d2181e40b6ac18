/* The operator's private keys on disk: one file a key in one folder a fleet,
 *
 *     $XDG_CONFIG_HOME/deltamesh/FLEET/{root,publisher,operator}.key   0600
 *     $XDG_CONFIG_HOME/deltamesh/FLEET/fleet                 id of the fleet
 *
 * A key file is text, so that it can be printed, typed and mailed:
 *
 *     deltamesh-key 1
 *     role publisher
 *     fleet 3b1f...        (64 digits; zeroes before the fleet exists)
 *     public 91ab...
 *     secret 7c03...       (the Ed25519 seed)
 *
 * A file that others may read or write is refused. Only the command uses this;
 * the daemon never sees a role's key. */
#ifndef DAEMON_KEYRING_H
#define DAEMON_KEYRING_H

#include "codec/base/hash.h"
#include "protocol/crypto.h"

#define KEYRING_KEYS_MAX 16

struct keyring_key {
    char role[64];
    struct hash fleet;
    struct crypto_sign_key key;
    char path[4096];
};

struct keyring {
    size_t count;
    struct keyring_key keys[KEYRING_KEYS_MAX];
};

/* Wipes every secret. */
void keyring_deinit(struct keyring *ring);

/* The folder of all fleets' keys, without a slash at its end. NOT_FOUND: there
 * is neither XDG_CONFIG_HOME nor HOME. */
enum status keyring_root(char *out, size_t size, struct diag *diag) MUST_CHECK;

/* Adds the key of one file. PERMISSION: others can read it. CORRUPT: not a key
 * file; its public key is not that of its secret. LIMIT: too many keys. */
enum status keyring_load(struct keyring *ring, const char *path,
                         struct diag *diag) MUST_CHECK;

/* Adds every *.key file of the folders under keyring_root whose keys are of
 * this fleet. Finding none is no error. */
enum status keyring_load_fleet(struct keyring *ring, const struct hash *fleet,
                               struct diag *diag) MUST_CHECK;

/* Writes a key file that must not exist yet, mode 0600, durable before it
 * returns. */
enum status keyring_save(const struct keyring_key *key, struct diag *diag)
    MUST_CHECK;

/* Makes the folder of a fleet (0700) and gives its path. EXISTS: a fleet of
 * that name has keys there already. */
enum status keyring_make_folder(const char *fleet_name, char *out, size_t size,
                                struct diag *diag) MUST_CHECK;

/* The text of a key file and back, for backups. */
void keyring_format(const struct keyring_key *key, char *out, size_t size);
enum status keyring_parse(const char *text, struct keyring_key *out,
                          struct diag *diag) MUST_CHECK;
#define KEYRING_TEXT_MAX 512u

#endif
