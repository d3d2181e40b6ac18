/* deltamesh release: let a channel name a version. */
#include "daemon/ctl_release.h"

#include "daemon/keyring.h"
#include "daemon/table.h"
#include "protocol/body.h"

#include <stdlib.h>

/* What is about to be signed must be a channel record of that name which names
 * that version of that model for somebody. */
static int check_payload(const struct ctl *ctl,
                         const struct ctl_payload *payload, const char *channel,
                         const char *model, const char *version)
{
    struct body_channel *body = malloc(sizeof(*body));
    struct diag diag = {""};
    struct hash id;
    bool named = false;
    enum status status =
        body ? body_channel_decode(payload->record.f.body, body, &diag)
             : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && i < body->entry_count; i++)
        named |= body->entries[i].has_version && hash_from_hex(version, &id) &&
                 hash_equal(&body->entries[i].version, &id) &&
                 bytes_equal(body->entries[i].model, bytes_of_text(model));
    free(body);
    if (!status && named && payload->record.f.kind == RECORD_CHANNEL &&
        bytes_equal(payload->record.f.name, bytes_of_text(channel)))
        return CTL_OK;
    return ctl_fail(ctl->verb, CTL_REFUSED,
                    "the daemon asks to sign something else than that "
                    "release; nothing was signed");
}

int ctl_release_version(struct ctl *ctl, const char *version,
                        const char *channel, const struct keyring *ring,
                        json_t **reply)
{
    struct ctl_payload payload;
    char *envelope = NULL;
    json_t *done = NULL;
    int exit =
        ctl_call(ctl, "PrepareRelease",
                 json_pack("{s:s, s:s, s:o}", "version", version, "channel",
                           channel, "keys", ctl_public_keys(ring)),
                 reply);
    if (exit || ctl_bool(*reply, "unchanged"))
        return exit;
    exit = ctl_payload_open(ctl, ctl_text(*reply, "payload"), &payload);
    if (exit)
        return exit;
    exit = check_payload(ctl, &payload, channel, ctl_text(*reply, "model"),
                         ctl_text(*reply, "version"));
    if (!exit && !(exit = ctl_payload_sign(ctl, &payload, ring, &envelope)))
        exit = ctl_call(ctl, "Submit", json_pack("{s:s}", "envelope", envelope),
                        &done);
    free(envelope);
    json_decref(done);
    ctl_payload_close(&payload);
    return exit;
}

int ctl_release(int argc, char **argv)
{
    static const struct option options[] = {
        {"channel", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        CTL_OPTIONS};
    struct ctl ctl;
    struct keyring ring = {.count = 0};
    char *key_paths[KEYRING_KEYS_MAX];
    size_t key_count = 0;
    const char *channel = "main";
    json_t *reply = NULL;
    int exit = CTL_OK;
    ctl_begin(&ctl, argv,
              "usage: deltamesh release VERSION [--channel C] [--key FILE]... "
              "[--json]\n                         [--control PATH]\n"
              "  VERSION    prefix of an id, MODEL@latest, MODEL#N\n"
              "  --channel  default main\n");
    for (int c; (c = getopt_long(argc, argv, "c:k:", options, NULL)) != -1;) {
        if (c == 'c')
            channel = optarg;
        else if (c == 'k' && key_count < KEYRING_KEYS_MAX)
            key_paths[key_count++] = optarg;
        else if (!ctl_option(&ctl, c, &exit))
            goto out;
    }
    if (optind + 1 != argc) {
        exit = ctl_misused(&ctl);
        goto out;
    }
    exit = ctl_load_keys(&ctl, key_paths, key_count, &ring);
    if (!exit)
        exit = ctl_release_version(&ctl, argv[optind], channel, &ring, &reply);
    if (!exit && !ctl_print_json(&ctl, reply)) {
        char id[TABLE_WORD];
        printf("%s %s  %s %s\n", ctl_text(reply, "model"),
               table_id(ctl_text(reply, "version"), id),
               ctl_bool(reply, "unchanged") ? "is what this channel names:"
                                            : "released to",
               channel);
    }
out:
    json_decref(reply);
    keyring_deinit(&ring);
    ctl_end(&ctl);
    return exit;
}
