/* Key file and fleet file. */
#include "daemon/identity.h"

#include "daemon/config.h"
#include "daemon/fs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX 16384u

/* Takes the next "name value" line of *text, in place; false at the end. A
 * line without a value has an empty one. */
static bool next_line(char **text, const char **name, const char **value)
{
    while (**text == '\n')
        (*text)++;
    if (!**text)
        return false;
    char *line = *text;
    size_t size = strcspn(line, "\n");
    *text = line + size + (line[size] ? 1 : 0);
    line[size] = '\0';
    size_t split = strcspn(line, " ");
    *name = line;
    *value = line + split;
    if (line[split]) {
        line[split] = '\0';
        *value = line + split + 1;
    }
    return true;
}

static enum status path_in(const char *dir, const char *name,
                           char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    return n < 0 || n >= PATH_MAX ? STATUS_LIMIT : STATUS_OK;
}

/* What the key is bound to; zero where the machine has no id. */
static void machine_hash(const char *path, struct hash *out)
{
    char *text;
    size_t size;
    memset(out, 0, sizeof(*out));
    if (fs_read(path, 256, &text, &size))
        return;
    while (size && (text[size - 1] == '\n' || text[size - 1] == ' '))
        size--;
    if (size) {
        struct hash_state st;
        hash_begin(&st, HASH_MISC);
        hash_add(&st, "deltamesh machine", 17);
        hash_add(&st, text, size);
        hash_end(&st, out);
    }
    free(text);
}

static enum status parse_key(char *text, struct hash *seed,
                             struct hash *machine)
{
    const char *name, *value;
    unsigned seen = 0;
    if (!next_line(&text, &name, &value) ||
        strcmp(name, "deltamesh-node-key") || strcmp(value, "1"))
        return STATUS_CORRUPT;
    while (next_line(&text, &name, &value)) {
        if (!strcmp(name, "seed") && hash_from_hex(value, seed))
            seen |= 1;
        else if (!strcmp(name, "machine") && hash_from_hex(value, machine))
            seen |= 2;
        else
            return STATUS_CORRUPT;
    }
    return seen == 3 ? STATUS_OK : STATUS_CORRUPT;
}

static enum status write_key(const char *path,
                             const struct crypto_sign_key *key,
                             const struct hash *machine)
{
    char text[256], seed_hex[HASH_HEX_SIZE], machine_hex[HASH_HEX_SIZE];
    struct hash seed;
    crypto_sign_key_seed(key, seed.b);
    hash_hex(&seed, seed_hex);
    hash_hex(machine, machine_hex);
    int n = snprintf(text, sizeof(text),
                     "deltamesh-node-key 1\nseed %s\nmachine %s\n", seed_hex,
                     machine_hex);
    enum status status = fs_write(path, bytes_of(text, (size_t)n), 0600);
    crypto_wipe(text, sizeof(text));
    crypto_wipe(&seed, sizeof(seed));
    crypto_wipe(seed_hex, sizeof(seed_hex));
    return status;
}

enum status identity_load(const char *state_dir, const char *machine_id_path,
                          const struct rng *rng, struct identity *out,
                          struct diag *diag)
{
    char path[PATH_MAX], *text = NULL;
    size_t size = 0;
    struct hash seed, bound, machine;
    memset(out, 0, sizeof(*out));
    enum status status = path_in(state_dir, "node.key", path);
    if (status)
        return status;
    machine_hash(machine_id_path, &machine);
    status = fs_read(path, FILE_MAX, &text, &size);
    if (status && status != STATUS_NOT_FOUND)
        return diag_fail(diag, status, "%s: %s", path, status_text(status));
    bool fresh = status == STATUS_NOT_FOUND;
    if (!fresh) {
        status = parse_key(text, &seed, &bound);
        crypto_wipe(text, size);
        free(text);
        if (status)
            return diag_fail(diag, status,
                             "%s is damaged: put a copy back, or remove it and "
                             "the node gets a new identity",
                             path);
        out->other_machine = !hash_is_zero(&bound) && !hash_is_zero(&machine) &&
                             !hash_equal(&bound, &machine);
        crypto_sign_key_from_seed(seed.b, &out->key);
        crypto_wipe(&seed, sizeof(seed));
    }
    bool bind = !fresh && hash_is_zero(&bound) && !hash_is_zero(&machine);
    if (fresh || out->other_machine)
        crypto_sign_key_generate(rng, &out->key);
    else if (!bind)
        return STATUS_OK;
    status = write_key(path, &out->key, &machine);
    return status ? diag_fail(diag, status, "%s: cannot be written: %s", path,
                              status_text(status))
                  : STATUS_OK;
}

static enum status parse_fleet(char *text, struct fleet_file *out)
{
    const char *name, *value;
    struct hash secret;
    bool has_fleet = false;
    if (!next_line(&text, &name, &value) || strcmp(name, "deltamesh-fleet") ||
        strcmp(value, "1"))
        return STATUS_CORRUPT;
    while (next_line(&text, &name, &value)) {
        if (!strcmp(name, "fleet") && hash_from_hex(value, &out->fleet)) {
            has_fleet = true;
        } else if (!strcmp(name, "secret") && out->secret_count < 2 &&
                   hash_from_hex(value, &secret)) {
            memcpy(out->secret[out->secret_count++].b, secret.b, HASH_BYTES);
            crypto_wipe(&secret, sizeof(secret));
        } else if (!strcmp(name, "address") &&
                   out->address_count < INVITE_ADDRESSES_MAX &&
                   strlen(value) <= NODE_ADDR_MAX) {
            strcpy(out->address[out->address_count++], value);
        } else {
            return STATUS_CORRUPT;
        }
    }
    return has_fleet && out->secret_count ? STATUS_OK : STATUS_CORRUPT;
}

enum status fleet_file_read(const char *state_dir, struct fleet_file *out,
                            struct diag *diag)
{
    char path[PATH_MAX], *text = NULL;
    size_t size = 0;
    memset(out, 0, sizeof(*out));
    enum status status = path_in(state_dir, "fleet", path);
    if (!status)
        status = fs_read(path, FILE_MAX, &text, &size);
    if (status == STATUS_NOT_FOUND)
        return status;
    if (status)
        return diag_fail(diag, status, "%s: %s", path, status_text(status));
    status = parse_fleet(text, out);
    crypto_wipe(text, size);
    free(text);
    if (status)
        return diag_fail(diag, status,
                         "%s is damaged: remove it and join again", path);
    return STATUS_OK;
}

enum status fleet_file_write(const char *state_dir, const struct fleet_file *in)
{
    char path[PATH_MAX], text[FILE_MAX], hex[HASH_HEX_SIZE];
    size_t used;
    enum status status = path_in(state_dir, "fleet", path);
    if (status)
        return status;
    hash_hex(&in->fleet, hex);
    used = (size_t)snprintf(text, sizeof(text), "deltamesh-fleet 1\nfleet %s\n",
                            hex);
    for (unsigned i = 0; i < in->secret_count; i++) {
        struct hash secret;
        memcpy(secret.b, in->secret[i].b, HASH_BYTES);
        hash_hex(&secret, hex);
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "secret %s\n", hex);
        crypto_wipe(&secret, sizeof(secret));
    }
    for (size_t i = 0; i < in->address_count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "address %s\n", in->address[i]);
    status = fs_write(path, bytes_of(text, used), 0600);
    crypto_wipe(text, sizeof(text));
    crypto_wipe(hex, sizeof(hex));
    return status;
}
