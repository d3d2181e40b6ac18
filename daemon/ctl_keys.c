/* deltamesh keys: list the private keys of roles, back them up into one
 * encrypted file, restore them.
 *
 * A backup is text: a line `deltamesh-backup 1`, then Base64 of salt (16
 * bytes), nonce (12) and the sealed key files; the key is Argon2id of the
 * passphrase, the cipher ChaCha20-Poly1305 with the first line as associated
 * data. Without a passphrase it is `deltamesh-keys 1` and the key files. */
#include "daemon/ctl.h"
#include "daemon/keyring.h"
#include "daemon/table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define BACKUP_SEALED  "deltamesh-backup 1\n"
#define BACKUP_PLAIN   "deltamesh-keys 1\n"
#define BACKUP_MAX     (KEYRING_KEYS_MAX * KEYRING_TEXT_MAX + 256u)
#define PASSPHRASE_MAX 256u

struct keys {
    struct ctl ctl;
    const char *passphrase_file;
    bool plain;
    struct keyring ring;
    char fleet[80]; /* folder under keyring_root */
};

static const char keys_usage[] =
    "usage: deltamesh keys list [--json]\n"
    "       deltamesh keys backup FILE [--fleet NAME] [OPTION]\n"
    "       deltamesh keys restore FILE [--fleet NAME] [OPTION]\n"
    "  --fleet NAME            the folder of the keys; default: the only one, "
    "or that\n                          of the backup\n"
    "  --passphrase-file FILE  its first line is the passphrase; else you are "
    "asked\n"
    "  --no-passphrase         keep the backup readable: print it, lock it "
    "away\n";

/* ---- Folders ---- */

static int load_folder(struct keys *k, const char *folder)
{
    char path[4096];
    struct diag diag = {""};
    DIR *dir = opendir(folder);
    if (!dir)
        return ctl_fail("keys", CTL_NOT_FOUND, "%s: %s", folder,
                        strerror(errno));
    enum status status = STATUS_OK;
    for (struct dirent *e; !status && (e = readdir(dir));) {
        size_t size = strlen(e->d_name);
        if (size < 5 || strcmp(e->d_name + size - 4, ".key"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        status = keyring_load(&k->ring, path, &diag);
    }
    closedir(dir);
    if (status)
        return ctl_fail("keys", ctl_exit_of(status), "%s",
                        diag.text[0] ? diag.text : status_text(status));
    return CTL_OK;
}

/* The only folder under root, unless one was named. */
static int choose_folder(struct keys *k, const char *root)
{
    DIR *dir = opendir(root);
    int found = 0;
    if (k->fleet[0]) {
        if (dir)
            closedir(dir);
        return CTL_OK;
    }
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            snprintf(k->fleet, sizeof(k->fleet), "%.79s", e->d_name);
            found++;
        }
    if (dir)
        closedir(dir);
    if (found == 1)
        return CTL_OK;
    return ctl_fail("keys", CTL_NOT_FOUND,
                    found ? "%s holds several fleets: choose one with --fleet"
                          : "%s holds no keys",
                    root);
}

static int load_fleet(struct keys *k)
{
    char root[4096], folder[4096 + 128];
    struct diag diag = {""};
    if (keyring_root(root, sizeof(root), &diag))
        return ctl_fail("keys", CTL_FAILED, "%s", diag.text);
    int exit = choose_folder(k, root);
    if (exit)
        return exit;
    snprintf(folder, sizeof(folder), "%s/%s", root, k->fleet);
    exit = load_folder(k, folder);
    if (!exit && !k->ring.count)
        exit = ctl_fail("keys", CTL_NOT_FOUND, "%s holds no keys", folder);
    return exit;
}

/* ---- Passphrase ---- */

static int read_line(FILE *in, char *out, size_t size)
{
    if (!fgets(out, (int)size, in))
        return -1;
    out[strcspn(out, "\r\n")] = '\0';
    return 0;
}

static int ask(const char *prompt, char *out, size_t size)
{
    struct termios old, quiet;
    FILE *tty = fopen("/dev/tty", "r+e");
    if (!tty || tcgetattr(fileno(tty), &old)) {
        if (tty)
            fclose(tty);
        return ctl_fail("keys", CTL_USAGE,
                        "no terminal to ask for a passphrase at; use "
                        "--passphrase-file or --no-passphrase");
    }
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fileno(tty), TCSAFLUSH, &quiet);
    fputs(prompt, tty);
    fflush(tty);
    int bad = read_line(tty, out, size);
    tcsetattr(fileno(tty), TCSAFLUSH, &old);
    fputc('\n', tty);
    fclose(tty);
    return bad ? ctl_fail("keys", CTL_FAILED, "no passphrase") : CTL_OK;
}

static int get_passphrase(const struct keys *k, bool twice, char *out,
                          size_t size)
{
    char again[PASSPHRASE_MAX];
    if (k->passphrase_file) {
        FILE *in = fopen(k->passphrase_file, "re");
        int bad = !in || read_line(in, out, size);
        if (in)
            fclose(in);
        if (bad)
            return ctl_fail("keys", CTL_BAD_INPUT, "%s: %s", k->passphrase_file,
                            in ? "no passphrase in it" : strerror(errno));
    } else {
        int exit = ask("Passphrase for the backup: ", out, size);
        if (!exit && twice)
            exit = ask("Once more: ", again, sizeof(again));
        if (!exit && twice && strcmp(out, again))
            exit = ctl_fail("keys", CTL_USAGE, "the two differ");
        crypto_wipe(again, sizeof(again));
        if (exit)
            return exit;
    }
    return *out ? CTL_OK
                : ctl_fail("keys", CTL_USAGE, "the passphrase is empty");
}

static int derive(const struct keys *k, bool twice, const uint8_t *salt,
                  struct crypto_secret *key)
{
    char passphrase[PASSPHRASE_MAX] = "";
    int exit = get_passphrase(k, twice, passphrase, sizeof(passphrase));
    if (!exit &&
        crypto_secret_from_passphrase(bytes_of_text(passphrase), salt, key))
        exit = ctl_fail("keys", CTL_FAILED,
                        "not enough memory for the passphrase (256 MiB)");
    crypto_wipe(passphrase, sizeof(passphrase));
    return exit;
}

/* ---- Backup ---- */

static int seal(const struct keys *k, const char *text, FILE *out)
{
    uint8_t buf[CRYPTO_SALT_BYTES + CRYPTO_NONCE_BYTES + BACKUP_MAX +
                CRYPTO_TAG_BYTES];
    struct crypto_secret key;
    struct rng rng = crypto_rng();
    uint8_t *nonce = buf + CRYPTO_SALT_BYTES;
    uint8_t *sealed = nonce + CRYPTO_NONCE_BYTES;
    size_t size = strlen(text);
    rng_fill(&rng, buf, CRYPTO_SALT_BYTES + CRYPTO_NONCE_BYTES);
    int exit = derive(k, true, buf, &key);
    if (exit)
        return exit;
    crypto_aead_seal(&key, nonce, bytes_of_text(BACKUP_SEALED),
                     bytes_of(text, size), sealed);
    crypto_wipe(&key, sizeof(key));
    char *base64 = crypto_base64(
        bytes_of(buf, (size_t)(sealed - buf) + size + CRYPTO_TAG_BYTES));
    if (!base64)
        return ctl_fail("keys", CTL_FAILED, "out of memory");
    fprintf(out, "%s%s\n", BACKUP_SEALED, base64);
    free(base64);
    return CTL_OK;
}

static int backup(struct keys *k, const char *path)
{
    char text[BACKUP_MAX];
    int exit = load_fleet(k);
    if (exit)
        return exit;
    size_t used = (size_t)snprintf(text, sizeof(text), "%sname %s\n",
                                   BACKUP_PLAIN, k->fleet);
    for (size_t i = 0; i < k->ring.count; i++) {
        keyring_format(&k->ring.keys[i], text + used, sizeof(text) - used);
        used += strlen(text + used);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        exit = ctl_fail("keys", CTL_FAILED, "%s: %s", path, strerror(errno));
    else if (k->plain)
        fputs(text, out);
    else
        exit = seal(k, text, out);
    crypto_wipe(text, sizeof(text));
    if (out) {
        bool bad = fflush(out) || fsync(fd);
        bad |= fclose(out) != 0;
        if (bad && !exit)
            exit =
                ctl_fail("keys", CTL_NO_SPACE, "%s: %s", path, strerror(errno));
        if (exit)
            unlink(path);
    }
    if (!exit)
        printf("%zu keys of fleet \"%s\" are in %s\n", k->ring.count, k->fleet,
               path);
    return exit;
}

/* ---- Restore ---- */

static int open_sealed(const struct keys *k, char *text, size_t size)
{
    uint8_t *data = NULL;
    size_t data_size;
    struct crypto_secret key;
    const size_t head = CRYPTO_SALT_BYTES + CRYPTO_NONCE_BYTES;
    char *base64 = text + strlen(BACKUP_SEALED);
    base64[strcspn(base64, "\r\n")] = '\0';
    if (crypto_from_base64(base64, &data, &data_size) ||
        data_size < head + CRYPTO_TAG_BYTES || data_size - head > size) {
        free(data);
        return ctl_fail("keys", CTL_BAD_INPUT, "the backup is damaged");
    }
    int exit = derive(k, false, data, &key);
    if (!exit && crypto_aead_open(&key, data + CRYPTO_SALT_BYTES,
                                  bytes_of_text(BACKUP_SEALED),
                                  bytes_of(data + head, data_size - head),
                                  (uint8_t *)text))
        exit = ctl_fail("keys", CTL_REFUSED,
                        "wrong passphrase, or the backup is damaged");
    if (!exit)
        text[data_size - head - CRYPTO_TAG_BYTES] = '\0';
    crypto_wipe(&key, sizeof(key));
    free(data);
    return exit;
}

/* The key files one after the other, into the ring. */
static int parse_backup(struct keys *k, char *text)
{
    char name[80] = "";
    int end = 0;
    struct diag diag = {""};
    sscanf(text, "deltamesh-keys 1 name %79[^\n]%n", name, &end);
    if (!end)
        return ctl_fail("keys", CTL_BAD_INPUT, "not a backup of keys");
    if (!k->fleet[0])
        snprintf(k->fleet, sizeof(k->fleet), "%s", name);
    for (char *at = strstr(text + end, "deltamesh-key 1\n"); at;) {
        char *next = strstr(at + 1, "deltamesh-key 1\n");
        if (next)
            next[-1] = '\0';
        if (k->ring.count == KEYRING_KEYS_MAX ||
            keyring_parse(at, &k->ring.keys[k->ring.count], &diag))
            return ctl_fail("keys", CTL_BAD_INPUT, "key %zu: %s",
                            k->ring.count + 1, diag.text);
        k->ring.count++;
        at = next;
    }
    return k->ring.count ? CTL_OK
                         : ctl_fail("keys", CTL_BAD_INPUT, "no keys in it");
}

static int write_keys(struct keys *k)
{
    char folder[2048];
    struct diag diag = {""};
    if (strchr(k->fleet, '/') || k->fleet[0] == '.')
        return ctl_fail("keys", CTL_BAD_INPUT, "\"%s\" is no name of a fleet",
                        k->fleet);
    enum status status =
        keyring_make_folder(k->fleet, folder, sizeof(folder), &diag);
    for (size_t i = 0; !status && i < k->ring.count; i++) {
        struct keyring_key *key = &k->ring.keys[i];
        /* A role of several keys here: the others get a number. */
        int same = 0;
        for (size_t j = 0; j < i; j++)
            same += !strcmp(k->ring.keys[j].role, key->role);
        if (strchr(key->role, '/') || key->role[0] == '.')
            status = diag_fail(&diag, STATUS_CORRUPT, "\"%s\" is no role",
                               key->role);
        else if (same)
            snprintf(key->path, sizeof(key->path), "%s/%s-%d.key", folder,
                     key->role, same + 1);
        else
            snprintf(key->path, sizeof(key->path), "%s/%s.key", folder,
                     key->role);
        if (!status)
            status = keyring_save(key, &diag);
    }
    if (status)
        return ctl_fail("keys", ctl_exit_of(status), "%s",
                        diag.text[0] ? diag.text : status_text(status));
    printf("%zu keys restored to %s\n", k->ring.count, folder);
    return CTL_OK;
}

static int restore(struct keys *k, const char *path)
{
    char text[2 * BACKUP_MAX];
    FILE *in = fopen(path, "re");
    if (!in)
        return ctl_fail("keys", errno == ENOENT ? CTL_NOT_FOUND : CTL_FAILED,
                        "%s: %s", path, strerror(errno));
    size_t size = fread(text, 1, sizeof(text) - 1, in);
    int exit = CTL_OK;
    fclose(in);
    text[size] = '\0';
    if (!strncmp(text, BACKUP_SEALED, strlen(BACKUP_SEALED)))
        exit = open_sealed(k, text, sizeof(text) - 1);
    if (!exit)
        exit = parse_backup(k, text);
    if (!exit)
        exit = write_keys(k);
    crypto_wipe(text, sizeof(text));
    return exit;
}

/* ---- List ---- */

static int list(struct keys *k)
{
    char root[4096], folder[4096 + 260], fleet[HASH_HEX_SIZE];
    struct diag diag = {""};
    struct table *table = table_new("ROLE|FLEET|PUBLIC KEY|FILE");
    if (keyring_root(root, sizeof(root), &diag)) {
        table_free(table);
        return ctl_fail("keys", CTL_FAILED, "%s", diag.text);
    }
    DIR *dir = opendir(root);
    int exit = CTL_OK;
    for (struct dirent *e; !exit && dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(folder, sizeof(folder), "%s/%s", root, e->d_name);
        exit = load_folder(k, folder);
    }
    if (dir)
        closedir(dir);
    json_t *all = json_array();
    for (size_t i = 0; i < k->ring.count; i++) {
        const struct keyring_key *key = &k->ring.keys[i];
        char id[TABLE_WORD], public[HASH_HEX_SIZE];
        struct hash bytes;
        struct node_id node = crypto_sign_key_id(&key->key);
        memcpy(bytes.b, node.b, sizeof(bytes.b));
        hash_hex(&bytes, public);
        hash_hex(&key->fleet, fleet);
        table_row(table, key->role, table_id(fleet, id), public, key->path);
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:s, s:s}", "role", key->role, "fleet",
                           fleet, "public", public, "file", key->path));
    }
    json_t *reply = json_pack("{s:o}", "keys", all);
    if (!exit && !ctl_print_json(&k->ctl, reply)) {
        if (!k->ring.count)
            printf("no keys in %s\n", root);
        table_print(table, stdout);
    }
    json_decref(reply);
    table_free(table);
    return exit;
}

int ctl_keys(int argc, char **argv)
{
    static const struct option options[] = {
        {"fleet", required_argument, NULL, 'f'},
        {"passphrase-file", required_argument, NULL, 'p'},
        {"no-passphrase", no_argument, NULL, 'n'},
        CTL_OPTIONS};
    struct keys k = {.plain = false};
    int exit = CTL_OK;
    ctl_begin(&k.ctl, argv, keys_usage);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f')
            snprintf(k.fleet, sizeof(k.fleet), "%.79s", optarg);
        else if (c == 'p')
            k.passphrase_file = optarg;
        else if (c == 'n')
            k.plain = true;
        else if (!ctl_option(&k.ctl, c, &exit))
            return exit;
    }
    int words = argc - optind;
    const char *verb = words > 0 ? argv[optind] : "";
    if (crypto_init())
        exit = ctl_fail("keys", CTL_FAILED, "no source of randomness");
    else if (words == 1 && !strcmp(verb, "list"))
        exit = list(&k);
    else if (words == 2 && !strcmp(verb, "backup"))
        exit = backup(&k, argv[optind + 1]);
    else if (words == 2 && !strcmp(verb, "restore"))
        exit = restore(&k, argv[optind + 1]);
    else
        exit = ctl_misused(&k.ctl);
    keyring_deinit(&k.ring);
    ctl_end(&k.ctl);
    return exit;
}
