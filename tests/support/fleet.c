/* Everything is signed with keys made of the seed and a number. */
#include "tests/support/fleet.h"

#include "protocol/name.h"

#include <stdio.h>
#include <stdlib.h>

/* Stays in builds with NDEBUG: a fixture that fails must stop the test. */
static void must(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "fleet fixture: %s\n", what);
    abort();
}

static void make_key(uint64_t seed, uint64_t number,
                     struct crypto_sign_key *out)
{
    uint8_t in[16];
    struct hash hash;
    store_le64(in, seed);
    store_le64(in + 8, number);
    hash_bytes(HASH_MISC, bytes_of(in, sizeof(in)), &hash);
    crypto_sign_key_from_seed(hash.b, out);
}

void fleet_init(struct fleet *f, uint64_t seed)
{
    must(!crypto_init(), "crypto_init");
    memset(f, 0, sizeof(*f));
    f->seed = seed;
    fleet_add_role(f, BODY_ROOT_NAME, BODY_ROLE_ROOT, "*", 1, 1);
}

void fleet_init_small(struct fleet *f, uint64_t seed, struct fleet_bytes *out)
{
    fleet_init(f, seed);
    fleet_add_role(f, "trainer", BODY_ROLE_PUBLISHER, "*", 1, 1);
    fleet_add_role(f, "desk", BODY_ROLE_OPERATOR, "*", 1, 1);
    f->small = true;
    fleet_advance(f, out);
}

struct fleet_role *fleet_find_role(struct fleet *f, const char *name)
{
    for (unsigned i = 0; i < f->role_count; i++)
        if (!strcmp(f->roles[i].name, name))
            return &f->roles[i];
    must(false, "no such role");
    return NULL;
}

void fleet_new_keys(struct fleet *f, struct fleet_role *role)
{
    for (unsigned i = 0; i < role->key_count; i++)
        make_key(f->seed, f->next_key++, &role->keys[i]);
}

struct fleet_role *fleet_add_role(struct fleet *f, const char *name,
                                  uint64_t kind, const char *pattern,
                                  unsigned key_count, uint64_t threshold)
{
    must(f->role_count < FLEET_ROLES_MAX && key_count <= FLEET_KEYS_MAX,
         "too many roles or keys");
    struct fleet_role *role = &f->roles[f->role_count++];
    *role = (struct fleet_role){
        .kind = kind, .key_count = key_count, .threshold = threshold};
    snprintf(role->name, sizeof(role->name), "%s", name);
    snprintf(role->pattern, sizeof(role->pattern), "%s", pattern);
    fleet_new_keys(f, role);
    return role;
}

void fleet_remove_role(struct fleet *f, const char *name)
{
    struct fleet_role *role = fleet_find_role(f, name);
    *role = f->roles[--f->role_count];
}

void fleet_body(const struct fleet *f, struct body_fleet *body,
                struct node_id (*keys)[FLEET_KEYS_MAX])
{
    memset(body, 0, sizeof(*body));
    body->name = bytes_of_text("test fleet");
    body->has_prev = f->number != 0;
    body->prev = f->prev;
    body->enroll = f->enroll;
    body->small = f->small;
    body->role_count = f->role_count;
    for (unsigned i = 0; i < f->role_count; i++) {
        const struct fleet_role *role = &f->roles[i];
        for (unsigned k = 0; k < role->key_count; k++)
            keys[i][k] = crypto_sign_key_id(&role->keys[k]);
        size_t count = body_list_sort(keys[i], role->key_count);
        body->roles[i] = (struct body_role){
            .name = bytes_of_text(role->name),
            .kind = role->kind,
            .pattern = bytes_of_text(role->pattern),
            .keys = bytes_of(keys[i], count * NODE_ID_BYTES),
            .threshold = role->threshold,
            .epoch = role->epoch,
        };
    }
}

/* Payload and signatures into an envelope. */
static void seal(const struct record_fields *fields,
                 const struct crypto_sign_key *const *keys, size_t count,
                 struct fleet_bytes *out)
{
    uint8_t payload[LIMIT_RECORD_BYTES];
    struct writer wr;
    writer_init(&wr, payload, sizeof(payload));
    must(!record_build_payload(fields, &wr), "payload");
    struct bytes view = writer_view(&wr);
    struct writer env;
    writer_init(&env, out->b, sizeof(out->b));
    must(!record_sign(view, keys, count, &env), "sign");
    out->size = env.size;
}

static size_t add_keys(const struct fleet_role *role,
                       const struct crypto_sign_key **keys, size_t count)
{
    for (unsigned i = 0; i < role->key_count; i++) {
        bool there = false;
        for (size_t k = 0; k < count; k++)
            there |= !memcmp(keys[k], &role->keys[i], sizeof(role->keys[i]));
        if (!there && count < LIMIT_RECORD_SIGNATURES)
            keys[count++] = &role->keys[i];
    }
    return count;
}

void fleet_advance(struct fleet *f, struct fleet_bytes *out)
{
    struct body_fleet body;
    struct node_id keys[FLEET_ROLES_MAX][FLEET_KEYS_MAX];
    struct node_id revoked[LIMIT_REVOKED];
    uint8_t buf[LIMIT_RECORD_BYTES];
    char name[24];
    struct writer wr;
    struct record rec;
    fleet_body(f, &body, keys);
    memcpy(revoked, f->revoked, sizeof(revoked));
    size_t count = body_list_sort(revoked, f->revoked_count);
    body.revoked = bytes_of(revoked, count * NODE_ID_BYTES);
    writer_init(&wr, buf, sizeof(buf));
    must(!body_fleet_encode(&body, &wr), "fleet body");
    snprintf(name, sizeof(name), "%llu", (unsigned long long)f->number + 1);
    struct record_fields fields = {
        .has_fleet = f->number != 0,
        .fleet = f->id,
        .author = slot_author_role(bytes_of_text(BODY_ROOT_NAME)),
        .kind = RECORD_FLEET,
        .name = bytes_of_text(name),
        .epoch = f->roles[0].epoch,
        .seq = 1,
        .body = writer_view(&wr),
    };
    const struct crypto_sign_key *signers[LIMIT_RECORD_SIGNATURES];
    size_t signer_count = add_keys(&f->roles[0], signers, 0);
    if (f->number)
        signer_count = add_keys(&f->prev_root, signers, signer_count);
    seal(&fields, signers, signer_count, out);
    must(!record_parse(fleet_view(out), &rec, NULL), "fleet record");
    f->prev = rec.hash;
    if (!f->number++)
        f->id = rec.hash;
    f->prev_root = f->roles[0];
}

void fleet_node_key(const struct fleet *f, unsigned index,
                    struct crypto_sign_key *out)
{
    make_key(f->seed, ((uint64_t)1 << 32) + index, out);
}

struct node_id fleet_node_id(const struct fleet *f, unsigned index)
{
    struct crypto_sign_key key;
    fleet_node_key(f, index, &key);
    return crypto_sign_key_id(&key);
}

void fleet_sign(const struct fleet *f, const struct fleet_role *role,
                unsigned count, uint64_t kind, struct bytes name,
                uint64_t epoch, uint64_t seq, struct bytes body,
                struct fleet_bytes *out)
{
    const struct crypto_sign_key *keys[FLEET_KEYS_MAX];
    struct record_fields fields = {
        .has_fleet = true,
        .fleet = f->id,
        .author = slot_author_role(bytes_of_text(role->name)),
        .kind = kind,
        .name = name,
        .epoch = epoch,
        .seq = seq,
        .body = body,
    };
    if (!count)
        count = (unsigned)role->threshold;
    must(count <= role->key_count, "fewer keys than asked for");
    for (unsigned i = 0; i < count; i++)
        keys[i] = &role->keys[i];
    seal(&fields, keys, count, out);
}

void fleet_sign_node(const struct fleet *f, unsigned index, uint64_t kind,
                     struct bytes name, uint64_t epoch, uint64_t seq,
                     struct bytes body, struct fleet_bytes *out)
{
    struct crypto_sign_key key;
    const struct crypto_sign_key *keys[1] = {&key};
    fleet_node_key(f, index, &key);
    struct node_id id = crypto_sign_key_id(&key);
    struct record_fields fields = {
        .has_fleet = true,
        .fleet = f->id,
        .author = slot_author_node(&id),
        .kind = kind,
        .name = name,
        .epoch = epoch,
        .seq = seq,
        .body = body,
    };
    seal(&fields, keys, 1, out);
}

void fleet_self_cert(const struct fleet *f, unsigned index, uint64_t seq,
                     const struct body_labels *labels, struct fleet_bytes *out)
{
    struct body_cert cert = {.epoch = 0};
    char hex[NODE_ID_HEX_SIZE];
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct node_id id = fleet_node_id(f, index);
    struct writer wr;
    if (labels)
        cert.labels = *labels;
    writer_init(&wr, buf, sizeof(buf));
    must(!body_cert_encode(&cert, &wr), "cert body");
    node_id_hex(&id, hex);
    fleet_sign_node(f, index, RECORD_CERT, bytes_of_text(hex), 0, seq,
                    writer_view(&wr), out);
}

void fleet_cert(const struct fleet *f, const char *enroller, unsigned index,
                uint64_t epoch, uint64_t seq, bool revoked,
                struct fleet_bytes *out)
{
    struct body_cert cert = {.epoch = epoch, .revoked = revoked};
    const struct fleet_role *role =
        fleet_find_role((struct fleet *)(uintptr_t)f, enroller);
    char hex[NODE_ID_HEX_SIZE];
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct node_id id = fleet_node_id(f, index);
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    must(!body_cert_encode(&cert, &wr), "cert body");
    node_id_hex(&id, hex);
    fleet_sign(f, role, 0, RECORD_CERT, bytes_of_text(hex), role->epoch, seq,
               writer_view(&wr), out);
}

struct hash fleet_version_id(const char *role, const char *model, uint64_t n)
{
    char text[256];
    struct hash id;
    snprintf(text, sizeof(text), "%s %s %llu", role, model,
             (unsigned long long)n);
    hash_bytes(HASH_MANIFEST, bytes_of_text(text), &id);
    return id;
}

void fleet_version_body(struct fleet *f, const char *role, const char *model,
                        uint64_t n, uint64_t seq,
                        const struct body_version *body,
                        struct fleet_bytes *out)
{
    const struct fleet_role *r = fleet_find_role(f, role);
    uint8_t buf[LIMIT_RECORD_BYTES];
    char name[NAME_VERSION_SIZE];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    must(!body_version_encode(body, &wr), "version body");
    fleet_sign(f, r, 0, RECORD_VERSION,
               name_join_version(bytes_of_text(model), n, name), r->epoch, seq,
               writer_view(&wr), out);
}

void fleet_version(struct fleet *f, const char *role, const char *model,
                   uint64_t n, uint64_t floor, uint64_t seq,
                   struct fleet_bytes *out)
{
    struct body_version body = {
        .id = fleet_version_id(role, model, n),
        .tree = fleet_version_id("tree", model, n),
        .size = 100000,
        .manifest_size = 300,
        .floor = floor ? floor : 1,
    };
    must(!vector_model_set(&body.vector, bytes_of_text(role), n), "vector");
    fleet_version_body(f, role, model, n, seq, &body, out);
}

void fleet_channel(struct fleet *f, const char *role, const char *channel,
                   uint64_t seq, const char *model, const struct hash *version,
                   struct fleet_bytes *out)
{
    const struct fleet_role *r = fleet_find_role(f, role);
    struct body_channel *body = calloc(1, sizeof(*body));
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    must(body != NULL, "memory");
    body->entry_count = 1;
    body->entries[0].model = bytes_of_text(model);
    body->entries[0].has_version = true;
    body->entries[0].version = *version;
    writer_init(&wr, buf, sizeof(buf));
    must(!body_channel_encode(body, &wr), "channel body");
    free(body);
    fleet_sign(f, r, 0, RECORD_CHANNEL, bytes_of_text(channel), r->epoch, seq,
               writer_view(&wr), out);
}

void fleet_status(const struct fleet *f, unsigned index, uint64_t epoch,
                  uint64_t seq, uint64_t uptime_s, struct fleet_bytes *out)
{
    struct body_status *body = calloc(1, sizeof(*body));
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    must(body != NULL, "memory");
    body->software = bytes_of_text("test 1");
    body->uptime_s = uptime_s;
    writer_init(&wr, buf, sizeof(buf));
    must(!body_status_encode(body, &wr), "status body");
    free(body);
    fleet_sign_node(f, index, RECORD_STATUS, bytes_of("", 0), epoch, seq,
                    writer_view(&wr), out);
}
