/* Key files: read with suspicion, written once, never overwritten. */
#include "daemon/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void keyring_deinit(struct keyring *ring)
{
    crypto_wipe(ring, sizeof(*ring));
}

enum status keyring_root(char *out, size_t size, struct diag *diag)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int n;
    if (config && *config == '/')
        n = snprintf(out, size, "%s/deltamesh", config);
    else if (home && *home == '/')
        n = snprintf(out, size, "%s/.config/deltamesh", home);
    else
        return diag_fail(diag, STATUS_NOT_FOUND,
                         "neither XDG_CONFIG_HOME nor HOME is set: say where "
                         "the keys are with --key FILE");
    if (n < 0 || (size_t)n >= size)
        return diag_fail(diag, STATUS_LIMIT,
                         "the path of the keys is too long");
    return STATUS_OK;
}

void keyring_format(const struct keyring_key *key, char *out, size_t size)
{
    char fleet[HASH_HEX_SIZE], public[HASH_HEX_SIZE], secret[HASH_HEX_SIZE];
    struct hash seed, id;
    struct node_id node = crypto_sign_key_id(&key->key);
    crypto_sign_key_seed(&key->key, seed.b);
    memcpy(id.b, node.b, sizeof(id.b));
    hash_hex(&key->fleet, fleet);
    hash_hex(&id, public);
    hash_hex(&seed, secret);
    snprintf(out, size,
             "deltamesh-key 1\nrole %s\nfleet %s\npublic %s\nsecret %s\n",
             key->role, fleet, public, secret);
    crypto_wipe(&seed, sizeof(seed));
    crypto_wipe(secret, sizeof(secret));
}

enum status keyring_parse(const char *text, struct keyring_key *out,
                          struct diag *diag)
{
    char fleet[65], public[65], secret[65];
    struct hash seed, id;
    int end = -1;
    enum status status = STATUS_CORRUPT;
    memset(out, 0, sizeof(*out));
    sscanf(text,
           "deltamesh-key 1 role %63s fleet %64s public %64s secret %64s %n",
           out->role, fleet, public, secret, &end);
    if (end > 0 && !text[end] && hash_from_hex(fleet, &out->fleet) &&
        hash_from_hex(public, &id) && hash_from_hex(secret, &seed)) {
        crypto_sign_key_from_seed(seed.b, &out->key);
        struct node_id node = crypto_sign_key_id(&out->key);
        if (!memcmp(node.b, id.b, sizeof(id.b)))
            status = STATUS_OK;
        else
            diag_fail(diag, status, "the public key is not that of the secret");
    }
    crypto_wipe(&seed, sizeof(seed));
    crypto_wipe(secret, sizeof(secret));
    if (status)
        return diag_fail(diag, status, "not a deltamesh key file");
    return STATUS_OK;
}

/* Reads at most size - 1 bytes of a file that nobody else can touch. */
static enum status read_private(const char *path, char *out, size_t size,
                                struct diag *diag)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                         strerror(errno));
    enum status status = STATUS_OK;
    ssize_t got = 0;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        status = diag_fail(diag, STATUS_IO, "%s: not a regular file", path);
    else if (st.st_mode & 077)
        status =
            diag_fail(diag, STATUS_PERMISSION,
                      "%s: others can read it; run chmod 600 %s", path, path);
    else if ((got = read(fd, out, size - 1)) < 0)
        status = diag_fail(diag, status_from_errno(errno), "%s: %s", path,
                           strerror(errno));
    out[status || got < 0 ? 0 : got] = '\0';
    close(fd);
    return status;
}

enum status keyring_load(struct keyring *ring, const char *path,
                         struct diag *diag)
{
    char text[KEYRING_TEXT_MAX];
    if (ring->count == KEYRING_KEYS_MAX)
        return diag_fail(diag, STATUS_LIMIT, "%s: more than %d keys", path,
                         KEYRING_KEYS_MAX);
    struct keyring_key *key = &ring->keys[ring->count];
    struct diag inner = {""};
    enum status status = read_private(path, text, sizeof(text), diag);
    if (!status && (status = keyring_parse(text, key, &inner)))
        diag_fail(diag, status, "%s: %s", path, inner.text);
    crypto_wipe(text, sizeof(text));
    if (status)
        return status;
    snprintf(key->path, sizeof(key->path), "%s", path);
    ring->count++;
    return STATUS_OK;
}

/* The *.key files of one folder; those of other fleets are dropped again. */
static enum status load_folder(struct keyring *ring, const char *folder,
                               const struct hash *fleet, struct diag *diag)
{
    DIR *dir = opendir(folder);
    enum status status = STATUS_OK;
    if (!dir)
        return STATUS_OK;
    for (struct dirent *e; !status && (e = readdir(dir));) {
        char path[4096];
        size_t size = strlen(e->d_name);
        if (size < 5 || strcmp(e->d_name + size - 4, ".key"))
            continue;
        int n = snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        if (n < 0 || (size_t)n >= sizeof(path))
            continue;
        status = keyring_load(ring, path, diag);
        if (!status && !hash_equal(&ring->keys[ring->count - 1].fleet, fleet)) {
            ring->count--;
            crypto_wipe(&ring->keys[ring->count], sizeof(ring->keys[0]));
        }
    }
    closedir(dir);
    return status;
}

enum status keyring_load_fleet(struct keyring *ring, const struct hash *fleet,
                               struct diag *diag)
{
    char root[4096], folder[4096 + 256 + 2];
    enum status status = keyring_root(root, sizeof(root), diag);
    if (status)
        return status;
    DIR *dir = opendir(root);
    if (!dir)
        return STATUS_OK;
    for (struct dirent *e; !status && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(folder, sizeof(folder), "%s/%s", root, e->d_name);
        status = load_folder(ring, folder, fleet, diag);
    }
    closedir(dir);
    return status;
}

/* fsync of the folder a file lies in, so that its name survives too. */
static int sync_parent(const char *path)
{
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

enum status keyring_save(const struct keyring_key *key, struct diag *diag)
{
    char text[KEYRING_TEXT_MAX];
    int fd = open(key->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_fail(diag, status_from_errno(errno), "%s: %s", key->path,
                         strerror(errno));
    keyring_format(key, text, sizeof(text));
    size_t size = strlen(text);
    ssize_t put = write(fd, text, size);
    int bad = put != (ssize_t)size || fsync(fd);
    int err = put >= 0 && put != (ssize_t)size ? ENOSPC : errno;
    crypto_wipe(text, sizeof(text));
    bad |= close(fd);
    if (!bad && !sync_parent(key->path))
        return STATUS_OK;
    unlink(key->path);
    return diag_fail(diag, status_from_errno(err), "%s: %s", key->path,
                     strerror(err));
}

/* mkdir of every missing folder on the way, private ones. */
static int make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int rc = mkdir(path, 0700);
        *p = '/';
        if (rc && errno != EEXIST)
            return -1;
    }
    return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

static bool folder_has_keys(const char *folder)
{
    DIR *dir = opendir(folder);
    bool found = false;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t size = strlen(e->d_name);
        found |= size > 4 && !strcmp(e->d_name + size - 4, ".key");
    }
    if (dir)
        closedir(dir);
    return found;
}

enum status keyring_make_folder(const char *fleet_name, char *out, size_t size,
                                struct diag *diag)
{
    char root[4096];
    enum status status = keyring_root(root, sizeof(root), diag);
    if (status)
        return status;
    int n = snprintf(out, size, "%s/%s", root, fleet_name);
    if (n < 0 || (size_t)n >= size)
        return diag_fail(diag, STATUS_LIMIT,
                         "the path of the keys is too long");
    if (folder_has_keys(out))
        return diag_fail(diag, STATUS_EXISTS,
                         "%s holds keys already: choose another name with "
                         "--fleet NAME, or move that folder away",
                         out);
    if (make_folders(out))
        return diag_fail(diag, status_from_errno(errno), "%s: %s", out,
                         strerror(errno));
    return STATUS_OK;
}
