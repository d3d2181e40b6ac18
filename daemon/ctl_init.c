/* deltamesh init: make a fleet, its keys, and this node its first member. */
#include "daemon/ctl.h"
#include "daemon/keyring.h"
#include "daemon/table.h"
#include "protocol/body.h"
#include "protocol/name.h"

#include <stdlib.h>
#include <unistd.h>

/* The keys a fleet begins with, each its own role of that name. */
static const struct {
    const char *role;
    enum body_role_kind kind;
    const char *advice;
} init_roles[] = {
    {BODY_ROOT_NAME, BODY_ROLE_ROOT,
     "signs the fleet record; take it offline: move it to two USB sticks"},
    {"publisher", BODY_ROLE_PUBLISHER,
     "signs versions; keep it where models are published"},
    {"operator", BODY_ROLE_OPERATOR,
     "signs channels; keep it where rollouts are decided"},
};
#define INIT_ROLES (sizeof(init_roles) / sizeof(init_roles[0]))

/* Fleet record 1 in Base64, signed by the root key; its hash is the fleet. */
static int make_record(const struct ctl *ctl, struct keyring *ring,
                       const char *name, struct hash *fleet, char **record)
{
    struct node_id ids[INIT_ROLES];
    struct body_fleet body = {.name = bytes_of_text(name), .small = true};
    uint8_t body_buf[LIMIT_RECORD_BYTES], payload_buf[LIMIT_RECORD_BYTES];
    uint8_t envelope_buf[LIMIT_RECORD_BYTES];
    struct writer body_wr, payload_wr, envelope_wr;
    writer_init(&body_wr, body_buf, sizeof(body_buf));
    writer_init(&payload_wr, payload_buf, sizeof(payload_buf));
    writer_init(&envelope_wr, envelope_buf, sizeof(envelope_buf));
    for (size_t i = 0; i < INIT_ROLES; i++) {
        ids[i] = crypto_sign_key_id(&ring->keys[i].key);
        body.roles[body.role_count++] =
            (struct body_role){.name = bytes_of_text(init_roles[i].role),
                               .kind = (uint64_t)init_roles[i].kind,
                               .pattern = bytes_of_text("*"),
                               .keys = bytes_of(&ids[i], sizeof(ids[i])),
                               .threshold = 1,
                               .epoch = 1};
    }
    enum status status = body_fleet_encode(&body, &body_wr);
    const struct record_fields fields = {
        .author = slot_author_role(bytes_of_text(BODY_ROOT_NAME)),
        .kind = RECORD_FLEET,
        .name = bytes_of_text("1"),
        .epoch = 1,
        .seq = 1,
        .body = writer_view(&body_wr)};
    if (!status)
        status = record_build_payload(&fields, &payload_wr);
    record_payload_hash(writer_view(&payload_wr), fleet);
    const struct crypto_sign_key *keys[] = {&ring->keys[0].key};
    if (!status)
        status = record_sign(writer_view(&payload_wr), keys, 1, &envelope_wr);
    if (!status && !(*record = crypto_base64(writer_view(&envelope_wr))))
        status = STATUS_NO_MEMORY;
    if (status)
        return ctl_fail(ctl->verb, CTL_FAILED, "fleet record: %s",
                        status_text(status));
    return CTL_OK;
}

static int save_keys(const struct ctl *ctl, struct keyring *ring,
                     const char *folder, const struct hash *fleet)
{
    struct diag diag = {""};
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < ring->count; i++) {
        ring->keys[i].fleet = *fleet;
        int n = snprintf(ring->keys[i].path, sizeof(ring->keys[i].path),
                         "%s/%s.key", folder, ring->keys[i].role);
        if (n < 0 || (size_t)n >= sizeof(ring->keys[i].path))
            status = STATUS_LIMIT;
        else
            status = keyring_save(&ring->keys[i], &diag);
    }
    if (status)
        return ctl_fail(ctl->verb, ctl_exit_of(status), "keys: %s",
                        diag.text[0] ? diag.text : status_text(status));
    return CTL_OK;
}

static void forget_keys(const struct keyring *ring, const char *folder)
{
    for (size_t i = 0; i < ring->count; i++)
        if (ring->keys[i].path[0])
            unlink(ring->keys[i].path);
    rmdir(folder);
}

/* A node that has a fleet is left alone, before any key is made. */
static int check_alone(struct ctl *ctl)
{
    json_t *reply;
    char id[TABLE_WORD];
    int exit = ctl_call(ctl, "Status", NULL, &reply);
    if (!exit && ctl_bool(reply, "joined"))
        exit = ctl_fail(ctl->verb, CTL_REFUSED,
                        "this node is in fleet \"%s\" (%s) already",
                        ctl_text(reply, "fleet_name"),
                        table_id(ctl_text(reply, "fleet"), id));
    json_decref(reply);
    return exit;
}

static void print_made(const char *name, const char *folder,
                       const json_t *reply)
{
    char fleet[TABLE_WORD], node[TABLE_WORD];
    printf("made fleet \"%s\" (%s); this node, %s, is its first\n", name,
           table_id(ctl_text(reply, "fleet"), fleet),
           table_id(ctl_text(reply, "node"), node));
    printf("keys are in %s:\n", folder);
    for (size_t i = 0; i < INIT_ROLES; i++) {
        char file[80];
        snprintf(file, sizeof(file), "%s.key", init_roles[i].role);
        printf("  %-14s %s\n", file, init_roles[i].advice);
    }
    printf("back them up now:  deltamesh keys backup FILE\n"
           "let others join:   deltamesh invite\n");
}

static int run(struct ctl *ctl, const char *name)
{
    struct keyring ring = {.count = 0};
    struct crypto_secret secret;
    struct hash fleet;
    struct rng rng = crypto_rng();
    char folder[2048], *record = NULL, *secret_text = NULL;
    struct diag diag = {""};
    json_t *reply = NULL;
    int exit = check_alone(ctl);
    if (exit)
        return exit;
    for (size_t i = 0; i < INIT_ROLES; i++, ring.count++) {
        snprintf(ring.keys[i].role, sizeof(ring.keys[i].role), "%s",
                 init_roles[i].role);
        crypto_sign_key_generate(&rng, &ring.keys[i].key);
    }
    rng_fill(&rng, secret.b, sizeof(secret.b));
    secret_text = crypto_base64(bytes_of(secret.b, sizeof(secret.b)));
    exit = make_record(ctl, &ring, name, &fleet, &record);
    enum status status =
        exit ? STATUS_OK
             : keyring_make_folder(name, folder, sizeof(folder), &diag);
    if (status)
        exit = ctl_fail(ctl->verb, ctl_exit_of(status), "%s", diag.text);
    if (!exit && !(exit = save_keys(ctl, &ring, folder, &fleet)))
        exit = ctl_call(ctl, "Init",
                        json_pack("{s:s, s:s}", "record", record, "secret",
                                  secret_text ? secret_text : ""),
                        &reply);
    if (exit && !status)
        forget_keys(&ring, folder);
    if (!exit && !ctl_print_json(ctl, reply))
        print_made(name, folder, reply);
    json_decref(reply);
    free(record);
    if (secret_text)
        crypto_wipe(secret_text, strlen(secret_text));
    free(secret_text);
    crypto_wipe(&secret, sizeof(secret));
    keyring_deinit(&ring);
    return exit;
}

/* A fleet's name is a folder's name too. */
static bool name_fits(const char *name)
{
    return name_is_fleet(bytes_of_text(name)) && !strchr(name, '/') &&
           name[0] != '.';
}

int ctl_init(int argc, char **argv)
{
    static const struct option options[] = {
        {"fleet", required_argument, NULL, 'f'}, CTL_OPTIONS};
    struct ctl ctl;
    const char *name = "default";
    int exit = CTL_OK;
    ctl_begin(&ctl, argv,
              "usage: deltamesh init [--fleet NAME] [--json] "
              "[--control PATH]\n"
              "  --fleet NAME  what to call the fleet and the folder of its "
              "keys; default \"default\"\n");
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'f')
            name = optarg;
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind != argc)
        exit = ctl_misused(&ctl);
    else if (!name_fits(name))
        exit = ctl_fail("init", CTL_USAGE,
                        "\"%s\" is no name for a fleet: 1 to 64 printable "
                        "ASCII characters, no '/', not beginning with '.'",
                        name);
    else if (crypto_init())
        exit = ctl_fail("init", CTL_FAILED, "no source of randomness");
    else
        exit = run(&ctl, name);
out:
    ctl_end(&ctl);
    return exit;
}
