/* What a trust layer must stand, case by case after TUF's conformance suite
 * (the names are the suite's), then cases of our own. Cases of the suite that
 * this layer does not decide:
 *
 * client_downloads_expected_file, artifact_cache
 *     contents and their transfer: tests of transfer and of the whole daemon
 * expired_local_root, expired_local_timestamp, root_expired, snapshot_expired,
 * targets_expired, timestamp_expired, faketime
 *     trust takes no time at all (no function has a clock argument); the
 *     stale alarm by uptime is the node's
 * multiple_changes_to_target, repository_substitutes_target_file
 *     contents against leaves: test_manifest (leaves_must_give_the_tree), and
 *     the decoder's tests for blocks
 * snapshot_404, targets_404, timestamp_404
 *     a withholding peer: the simulator; that a digest shows the lack is in
 *     test_trie (descent_makes_two_tries_equal)
 * snapshot_hash_mismatch, targets_hash_mismatch
 *     test_manifest (record_and_manifest_must_agree)
 * replayed first message of the handshake
 *     test of the noise handshake
 * revoked node: that links drop
 *     the node, at trust_changes.certs; the verdict itself is here
 */
#include "protocol/trust.h"

#include "codec/base/rng.h"
#include "protocol/name.h"
#include "tests/support/cmocka.h"
#include "tests/support/fleet.h"

#include <stdlib.h>

struct world {
    struct fleet f;
    struct trust *t;
    struct trust_changes changes;
    struct trust_verdict v; /* of the last give, released */
    struct fleet_bytes first, b;
};

static enum trust_outcome give_to(struct trust *t, struct bytes envelope,
                                  struct trust_changes *changes,
                                  struct trust_verdict *v)
{
    assert_int_equal(trust_consider(t, envelope, v), STATUS_OK);
    if (trust_accepted(v)) {
        assert_int_equal(v->status, STATUS_OK);
        assert_true(v->value.size >= envelope.size);
        assert_int_equal(trust_commit(t, v, changes), STATUS_OK);
    } else {
        assert_int_equal(v->value.size, 0);
        assert_true((v->outcome == TRUST_DUPLICATE) == !v->diag.text[0]);
    }
    trust_verdict_deinit(v);
    return v->outcome;
}

static enum trust_outcome give(struct world *w, const struct fleet_bytes *b)
{
    return give_to(w->t, fleet_view(b), &w->changes, &w->v);
}

#define GIVE(w, expected)                                             \
    do {                                                              \
        enum trust_outcome got_ = give((w), &(w)->b);                 \
        if (got_ != (expected))                                       \
            fail_msg("%s, not %s: %s", trust_outcome_text(got_),      \
                     trust_outcome_text(expected), (w)->v.diag.text); \
    } while (0)

/* A small fleet whose first record is taken. */
static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fleet_init_small(&w->f, seed, &w->first);
    assert_int_equal(trust_new(&w->f.id, &w->t), STATUS_OK);
    trust_changes_init(&w->changes);
    assert_int_equal(give(w, &w->first), TRUST_NEW);
    return w;
}

static void world_free(struct world *w)
{
    trust_changes_deinit(&w->changes);
    trust_free(w->t);
    free(w);
}

static int setup(void **state)
{
    *state = world_new(1);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static struct trie_root root(struct trust *t, enum trust_trie which)
{
    return trie_root(trust_trie(t, which));
}

static void assert_same_digests(struct trust *a, struct trust *b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct trie_root x = root(a, i), y = root(b, i);
        assert_memory_equal(x.b, y.b, TRIE_ROOT_BYTES);
    }
}

/* A second node that loads what the first holds, as after a restart. */
static struct trust *restart(struct world *w, struct trust_changes *changes)
{
    struct trust *t;
    assert_int_equal(trust_new(&w->f.id, &t), STATUS_OK);
    for (size_t i = 0; i < trust_slot_count(w->t); i++) {
        struct bytes parts[3];
        unsigned count = slot_entry_envelopes(trust_slot_at(w->t, i), parts);
        uint8_t value[3 * LIMIT_RECORD_BYTES];
        size_t size = 0;
        for (unsigned k = 0; k < count; k++) {
            memcpy(value + size, parts[k].data, parts[k].size);
            size += parts[k].size;
        }
        assert_int_equal(trust_load(t, bytes_of(value, size)), STATUS_OK);
    }
    assert_int_equal(trust_load_end(t, changes), STATUS_OK);
    return t;
}

static void assert_restart_keeps_all(struct world *w)
{
    struct trust_changes changes;
    trust_changes_init(&changes);
    struct trust *t = restart(w, &changes);
    assert_int_equal(changes.dropped_count, 0);
    assert_same_digests(w->t, t);
    trust_changes_deinit(&changes);
    trust_free(t);
}

static struct hash version(struct world *w, const char *role, uint64_t n)
{
    fleet_version(&w->f, role, "cam/detect", n, 1, 1, &w->b);
    return fleet_version_id(role, "cam/detect", n);
}

static bool knows(struct world *w, const struct hash *id)
{
    struct trust_version v;
    return trust_version_get(w->t, id, &v) == STATUS_OK;
}

static enum status target(struct world *w, struct hash *out)
{
    struct node_id node = fleet_node_id(&w->f, 0);
    struct body_labels labels = {0};
    return trust_target(w->t, bytes_of_text("main"),
                        bytes_of_text("cam/detect"), &node, &labels, out, NULL);
}

static void release(struct world *w, const struct hash *id, uint64_t seq)
{
    fleet_channel(&w->f, "desk", "main", seq, "cam/detect", id, &w->b);
}

/* ---- the suite ---- */

static void basic_refresh_requests(void **state)
{
    struct world *w = *state;
    struct hash id = version(w, "trainer", 1), out;
    GIVE(w, TRUST_NEW);
    release(w, &id, 1);
    GIVE(w, TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_true(hash_equal(&out, &id));
    uint64_t number;
    assert_non_null(trust_fleet(w->t, &number));
    assert_int_equal(number, 1);
    assert_true(hash_equal(trust_fleet_id(w->t), &w->f.id));
    assert_restart_keeps_all(w);
}

/* In whatever order the records come (what is unknown yet comes again), the
 * state is the same and has the newest of each slot. */
static void basic_refresh_trusted_data(void **state)
{
    struct world *w = *state;
    enum {
        COUNT = 24
    };
    static struct fleet_bytes all[COUNT];
    for (unsigned i = 0; i < 8; i++) {
        fleet_self_cert(&w->f, i, 1 + i % 2, NULL, &all[i]);
        fleet_status(&w->f, i % 4, 0, i, i, &all[8 + i]);
        fleet_version(&w->f, "trainer", "a", i + 1, i / 2 + 1, 1, &all[16 + i]);
    }
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 2);
    struct rng rng = rng_from_seeded(&seeded);
    struct trust *reference = NULL;
    for (unsigned round = 0; round < 6; round++) {
        struct world *x = world_new(1);
        for (unsigned turn = 0; turn < 2; turn++)
            for (unsigned i = 0; i < 4 * COUNT; i++)
                (void)give(x, &all[rng_below(&rng, COUNT)]);
        for (unsigned turn = 0; turn < 2; turn++)
            for (unsigned i = 0; i < COUNT; i++)
                (void)give(x, &all[i]);
        if (reference)
            assert_same_digests(reference, x->t);
        else
            assert_int_equal(trust_slot_count(x->t), 1 + 8 + 4 + 5);
        assert_restart_keeps_all(x);
        trust_free(reference);
        reference = x->t;
        x->t = NULL;
        world_free(x);
    }
    trust_free(reference);
}

static void cached_role_is_verified_against_current_delegator(void **state)
{
    struct world *w = *state;
    struct hash one = version(w, "trainer", 1);
    GIVE(w, TRUST_NEW);
    /* The store of a node that was killed before it had judged them by record
     * 2, which it holds too. */
    struct fleet_role *trainer = fleet_find_role(&w->f, "trainer");
    struct fleet_bytes old = w->b, second;
    trainer->epoch++;
    fleet_new_keys(&w->f, trainer);
    fleet_advance(&w->f, &second);
    struct trust *t;
    struct trust_version v;
    assert_int_equal(trust_new(&w->f.id, &t), STATUS_OK);
    assert_int_equal(trust_load(t, fleet_view(&old)), STATUS_OK);
    assert_int_equal(trust_load(t, fleet_view(&second)), STATUS_OK);
    assert_int_equal(trust_load(t, fleet_view(&w->first)), STATUS_OK);
    assert_int_equal(trust_load(t, bytes_of("\xff", 1)), STATUS_CORRUPT);
    assert_int_equal(trust_load_end(t, &w->changes), STATUS_OK);
    assert_int_equal(trust_version_get(t, &one, &v), STATUS_NOT_FOUND);
    assert_int_equal(w->changes.dropped_count, 1);
    assert_int_equal(trust_slot_count(t), 2);
    trust_free(t);
}

/* Signs a body of a hand-made map as a channel of desk. */
static void sign_channel(struct world *w, uint64_t seq, const char *map,
                         size_t size)
{
    fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, RECORD_CHANNEL,
               bytes_of_text("main"), 0, seq, bytes_of(map, size), &w->b);
}

static void custom_fields(void **state)
{
    struct world *w = *state;
    const struct slot_entry *e;
    struct body_channel *body = malloc(sizeof(*body));
    size_t cursor = 0;
    bool supported;
    assert_non_null(body);
    sign_channel(w, 1, "\xa2\x00\x80\x09\x07", 5);
    GIVE(w, TRUST_NEW);
    assert_true(trust_channel_next(w->t, &cursor, bytes_of_text("main"), &e,
                                   body, &supported));
    assert_true(bytes_equal(e->envelope, fleet_view(&w->b)));
    /* Must understand: kept, shown to peers, not acted on. */
    sign_channel(w, 2, "\xa2\x00\x80\x20\x07", 5);
    GIVE(w, TRUST_NEWER);
    cursor = 0;
    assert_false(trust_channel_next(w->t, &cursor, bytes_of_text("main"), &e,
                                    body, &supported));
    e = trust_slot(w->t, &w->v.slot);
    assert_true(bytes_equal(e->envelope, fleet_view(&w->b)));
    assert_false(trust_slot_acts(e));
    assert_non_null(trie_find(trust_trie(w->t, TRUST_TRIE_CONTROL), &e->id));
    assert_restart_keeps_all(w);
    free(body);
}

static void delegation_not_in_snapshot(void **state)
{
    struct world *w = *state;
    fleet_add_role(&w->f, "stranger", BODY_ROLE_PUBLISHER, "*", 1, 1);
    (void)version(w, "stranger", 1);
    GIVE(w, TRUST_UNKNOWN);
    struct fleet_bytes later = w->b;
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(give(w, &later), TRUST_NEW);
}

static void deprecated_keyid_hash_algorithms(void **state)
{
    struct world *w = *state;
    (void)version(w, "trainer", 1);
    /* The protected header of the signature: {1: -8, ...} becomes -7. */
    struct bytes view = fleet_view(&w->b);
    uint8_t *alg = memmem(view.data, view.size, "\xa2\x01\x27\x04", 4);
    assert_non_null(alg);
    alg[2] = 0x26;
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_UNSUPPORTED);
    assert_non_null(strstr(w->v.diag.text, "ES256"));
}

static void keytype_and_scheme(void **state)
{
    deprecated_keyid_hash_algorithms(state);
}

/* A fleet record with a key twice in a role is malformed. */
static void duplicate_keys(void **state)
{
    struct world *w = *state;
    struct body_fleet body;
    struct node_id keys[FLEET_ROLES_MAX][FLEET_KEYS_MAX];
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    struct fleet_role *trainer = fleet_find_role(&w->f, "trainer");
    trainer->key_count = 2;
    trainer->threshold = 2;
    fleet_new_keys(&w->f, trainer);
    fleet_body(&w->f, &body, keys);
    body.roles[1].keys = bytes_of(keys[1], sizeof(keys[1][0]) * 2);
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(body_fleet_encode(&body, &wr), STATUS_OK);
    uint8_t *two = memmem(buf, wr.size, keys[1], sizeof(keys[1][0]) * 2);
    assert_non_null(two);
    memcpy(two + NODE_ID_BYTES, two, NODE_ID_BYTES);
    fleet_sign(&w->f, &w->f.roles[0], 0, RECORD_FLEET, bytes_of_text("2"), 0, 1,
               writer_view(&wr), &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_CORRUPT);
}

/* One signature twice is malformed; two of one threshold need two keys. */
static void duplicate_sig_keyids(void **state)
{
    struct world *w = *state;
    struct fleet_role *trainer = fleet_find_role(&w->f, "trainer");
    trainer->key_count = 3;
    trainer->threshold = 2;
    fleet_new_keys(&w->f, trainer);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    (void)version(w, "trainer", 1);
    struct record rec;
    struct cose_signature twice[2];
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    assert_int_equal(record_parse(fleet_view(&w->b), &rec, NULL), STATUS_OK);
    twice[0] = twice[1] = rec.envelope.signatures[0];
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(cose_encode(rec.envelope.payload, twice, 2, &wr),
                     STATUS_USAGE);
    /* By hand: the second key becomes the first. */
    struct fleet_bytes same = w->b;
    struct node_id *keys[2] = {&rec.envelope.signatures[0].key,
                               &rec.envelope.signatures[1].key};
    uint8_t *second = memmem(same.b, same.size, keys[1], sizeof(*keys[1]));
    memcpy(second, keys[0], sizeof(*keys[0]));
    assert_int_equal(give(w, &same), TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_CORRUPT);
    GIVE(w, TRUST_NEW);
}

static void graph_traversal(void **state)
{
    struct world *w = *state;
    fleet_remove_role(&w->f, "trainer");
    fleet_add_role(&w->f, "all", BODY_ROLE_PUBLISHER, "*", 1, 1);
    fleet_add_role(&w->f, "cam", BODY_ROLE_PUBLISHER, "cam/*", 1, 1);
    fleet_add_role(&w->f, "one", BODY_ROLE_AGGREGATOR, "cam/detect", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    static const struct {
        const char *role, *model;
        enum trust_outcome outcome;
    } cases[] = {
        {"all", "cam/detect", TRUST_NEW},
        {"cam", "cam/detect", TRUST_NEW},
        {"one", "cam/detect", TRUST_NEW},
        {"all", "mic", TRUST_NEW},
        {"cam", "mic", TRUST_REFUSED},
        {"cam", "cam/x/y", TRUST_NEW},
        {"cam", "camera", TRUST_REFUSED},
        {"one", "cam/detect/x", TRUST_REFUSED},
        {"cam", "cam", TRUST_REFUSED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fleet_version(&w->f, cases[i].role, cases[i].model, 1, 1, 1, &w->b);
        GIVE(w, cases[i].outcome);
    }
}

static void targetfile_search(void **state)
{
    struct world *w = *state;
    fleet_add_role(&w->f, "night", BODY_ROLE_OPERATOR, "mic/*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    struct hash id = version(w, "trainer", 1), out;
    GIVE(w, TRUST_NEW);
    fleet_channel(&w->f, "night", "main", 1, "cam/detect", &id, &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(target(w, &out), STATUS_NOT_FOUND);
    /* Of two operators that may, the one listed first in the fleet record. */
    struct hash two = version(w, "trainer", 2);
    GIVE(w, TRUST_NEW);
    fleet_add_role(&w->f, "aaa", BODY_ROLE_OPERATOR, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_channel(&w->f, "aaa", "main", 1, "cam/detect", &two, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_true(hash_equal(&out, &two));
    release(w, &id, 1);
    GIVE(w, TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_true(hash_equal(&out, &id));
}

/* A newer channel is considered while the older is not yet durable. */
static void implicit_refresh(void **state)
{
    struct world *w = *state;
    struct hash one = version(w, "trainer", 1), out;
    GIVE(w, TRUST_NEW);
    struct hash two = version(w, "trainer", 2);
    GIVE(w, TRUST_NEW);
    struct trust_verdict a, b;
    release(w, &one, 1);
    assert_int_equal(trust_consider(w->t, fleet_view(&w->b), &a), STATUS_OK);
    release(w, &two, 2);
    assert_int_equal(trust_consider(w->t, fleet_view(&w->b), &b), STATUS_OK);
    assert_int_equal(target(w, &out), STATUS_NOT_FOUND);
    assert_int_equal(trust_commit(w->t, &b, &w->changes), STATUS_OK);
    assert_int_equal(trust_commit(w->t, &a, &w->changes), STATUS_OK);
    assert_int_equal(a.outcome, TRUST_STALE);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_true(hash_equal(&out, &two));
    trust_verdict_deinit(&a);
    trust_verdict_deinit(&b);
}

static void update_timestamp(void **state)
{
    struct world *w = *state;
    struct hash one = version(w, "trainer", 1), out;
    GIVE(w, TRUST_NEW);
    release(w, &one, 1);
    GIVE(w, TRUST_NEW);
    GIVE(w, TRUST_DUPLICATE);
    release(w, &one, 2);
    GIVE(w, TRUST_NEWER);
    assert_int_equal(target(w, &out), STATUS_OK);
}

static void timestamp_content_changes(void **state)
{
    struct world *w = *state;
    struct hash one = version(w, "trainer", 1), out;
    GIVE(w, TRUST_NEW);
    struct hash two = version(w, "trainer", 2);
    GIVE(w, TRUST_NEW);
    release(w, &one, 1);
    GIVE(w, TRUST_NEW);
    release(w, &two, 2);
    GIVE(w, TRUST_NEWER);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_true(hash_equal(&out, &two));
}

/* A channel's body under the name and kind of a version, and the reverse. */
static void incorrect_metadata_type(void **state)
{
    struct world *w = *state;
    struct record rec;
    (void)version(w, "trainer", 1);
    assert_int_equal(record_parse(fleet_view(&w->b), &rec, NULL), STATUS_OK);
    static uint8_t body[LIMIT_RECORD_BYTES];
    struct bytes copy = bytes_of(body, rec.f.body.size);
    memcpy(body, rec.f.body.data, copy.size);
    fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, RECORD_CHANNEL,
               bytes_of_text("main"), 0, 1, copy, &w->b);
    GIVE(w, TRUST_REFUSED);
    /* An operator may not sign versions, nor a publisher channels. */
    fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, RECORD_VERSION,
               bytes_of_text("cam/detect#1"), 0, 1, copy, &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_REFUSED);
    fleet_sign(&w->f, fleet_find_role(&w->f, "trainer"), 0, RECORD_CHANNEL,
               bytes_of_text("main"), 0, 1, bytes_of("\xa1\x00\x80", 3), &w->b);
    GIVE(w, TRUST_REFUSED);
    fleet_sign(&w->f, fleet_find_role(&w->f, "trainer"), 0, RECORD_FLEET,
               bytes_of_text("2"), 0, 1, copy, &w->b);
    GIVE(w, TRUST_REFUSED);
    fleet_sign(&w->f, fleet_find_role(&w->f, "trainer"), 0, RECORD_STATUS,
               bytes_of("", 0), 0, 1, copy, &w->b);
    GIVE(w, TRUST_REFUSED);
}

static void invalid_initial_root(void **state)
{
    struct world *w = *state;
    struct fleet other;
    struct trust *t;
    fleet_init_small(&other, 99, &w->b);
    assert_int_equal(trust_new(&w->f.id, &t), STATUS_OK);
    assert_int_equal(give_to(t, fleet_view(&w->b), &w->changes, &w->v),
                     TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_MISMATCH);
    for (size_t i = 0; i < w->first.size; i++) {
        struct fleet_bytes damaged = w->first;
        damaged.b[i] ^= 4;
        assert_int_equal(give_to(t, fleet_view(&damaged), &w->changes, &w->v),
                         TRUST_REFUSED);
    }
    assert_null(trust_fleet(t, NULL));
    (void)version(w, "trainer", 1);
    assert_int_equal(give_to(t, fleet_view(&w->b), &w->changes, &w->v),
                     TRUST_UNKNOWN);
    trust_free(t);
    /* Where the fleet is founded, the first record gives the id. */
    assert_int_equal(trust_new(NULL, &t), STATUS_OK);
    assert_null(trust_fleet_id(t));
    assert_int_equal(give_to(t, fleet_view(&w->b), &w->changes, &w->v),
                     TRUST_UNKNOWN);
    assert_int_equal(give_to(t, fleet_view(&w->first), &w->changes, &w->v),
                     TRUST_NEW);
    assert_true(hash_equal(trust_fleet_id(t), &w->f.id));
    trust_free(t);
}

/* The payload of bytes, signed by key alone. */
static void resign(const struct fleet_bytes *from,
                   const struct crypto_sign_key *const *keys, size_t count,
                   struct fleet_bytes *out)
{
    struct record rec;
    struct writer wr;
    uint8_t buf[LIMIT_RECORD_BYTES];
    assert_int_equal(record_parse(fleet_view(from), &rec, NULL), STATUS_OK);
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(record_sign(rec.envelope.payload, keys, count, &wr),
                     STATUS_OK);
    memcpy(out->b, buf, wr.size);
    out->size = wr.size;
}

static void unsigned_initial_root(void **state)
{
    struct world *w = *state;
    struct trust *t;
    const struct crypto_sign_key *key =
        &fleet_find_role(&w->f, "trainer")->keys[0];
    assert_int_equal(trust_new(&w->f.id, &t), STATUS_OK);
    resign(&w->first, &key, 1, &w->b);
    assert_int_equal(give_to(t, fleet_view(&w->b), &w->changes, &w->v),
                     TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_BAD_SIGNATURE);
    trust_free(t);
}

static void invalid_sig_in_valid_metadata(void **state)
{
    struct world *w = *state;
    struct fleet_role *trainer = fleet_find_role(&w->f, "trainer");
    trainer->key_count = 3;
    trainer->threshold = 2;
    fleet_new_keys(&w->f, trainer);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    (void)version(w, "trainer", 1);
    const struct crypto_sign_key *keys[4] = {
        &trainer->keys[0], &trainer->keys[1], &trainer->keys[2],
        &w->f.roles[0].keys[0]};
    resign(&w->b, keys, 4, &w->b);
    struct record rec;
    assert_int_equal(record_parse(fleet_view(&w->b), &rec, NULL), STATUS_OK);
    /* Break one of a role key, then a second: one is no harm, two are. */
    struct fleet_bytes broken = w->b;
    unsigned harmed = 0;
    for (unsigned i = 0; i < 4 && harmed < 2; i++) {
        struct cose_signature *s = &rec.envelope.signatures[i];
        struct node_id other = crypto_sign_key_id(keys[3]);
        if (node_id_equal(&s->key, &other))
            continue;
        uint8_t *at = memmem(broken.b, broken.size, &s->sig, sizeof(s->sig));
        assert_non_null(at);
        at[40] ^= 1;
        if (++harmed == 1) {
            struct trust_verdict v;
            assert_int_equal(trust_consider(w->t, fleet_view(&broken), &v),
                             STATUS_OK);
            assert_int_equal(v.outcome, TRUST_NEW);
            trust_verdict_deinit(&v);
        }
    }
    assert_int_equal(give(w, &broken), TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_BAD_SIGNATURE);
}

static void metadata_bytes_match(void **state)
{
    struct world *w = *state;
    (void)version(w, "trainer", 1);
    struct trust_verdict v;
    assert_int_equal(trust_consider(w->t, fleet_view(&w->b), &v), STATUS_OK);
    assert_true(bytes_equal(v.value, fleet_view(&w->b)));
    assert_int_equal(trust_commit(w->t, &v, &w->changes), STATUS_OK);
    assert_true(
        bytes_equal(trust_slot(w->t, &v.slot)->envelope, fleet_view(&w->b)));
    trust_verdict_deinit(&v);
}

/* A stolen key wrote the highest seq: the next epoch starts afresh. */
static void fast_forward(struct world *w, const char *role)
{
    struct fleet_role *r = fleet_find_role(&w->f, role);
    struct slot_author author = slot_author_role(bytes_of_text(role));
    struct hash heals[2];
    struct bytes list;
    uint64_t epoch, seq;
    bool desk = !strcmp(role, "desk");
    uint64_t kind = desk ? RECORD_CHANNEL : RECORD_VERSION;
    struct bytes name = bytes_of_text(desk ? "main" : "cam/detect#1");
    struct hash id = fleet_version_id("trainer", "cam/detect", 1);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t far = i ? UINT64_MAX : (uint64_t)1 << 63;
        if (desk)
            fleet_channel(&w->f, role, "main", far, "cam/detect", &id, &w->b);
        else
            fleet_version(&w->f, role, "cam/detect", 1, 1, far, &w->b);
        GIVE(w, i ? TRUST_NEWER : TRUST_NEW);
    }
    assert_int_equal(
        trust_next_seq(w->t, &author, kind, name, &epoch, &seq, heals, &list),
        STATUS_LIMIT);
    r->epoch++;
    fleet_new_keys(&w->f, r);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(w->changes.dropped_count, 1);
    assert_int_equal(
        trust_next_seq(w->t, &author, kind, name, &epoch, &seq, heals, &list),
        STATUS_OK);
    assert_int_equal(epoch, 1);
    assert_int_equal(seq, 1);
    if (desk)
        fleet_channel(&w->f, role, "main", 1, "cam/detect", &id, &w->b);
    else
        fleet_version(&w->f, role, "cam/detect", 1, 1, 1, &w->b);
    GIVE(w, TRUST_NEW);
}

static void targets_fast_forward_recovery(void **state)
{
    fast_forward(*state, "trainer");
}

static void new_timestamp_fast_forward_recovery(void **state)
{
    fast_forward(*state, "desk");
}

/* The same for a node: its certificate's epoch. */
static void new_snapshot_fast_forward_recovery(void **state)
{
    struct world *w = *state;
    w->f.enroll = BODY_ENROLL_CERTIFICATES;
    fleet_add_role(&w->f, "gate", BODY_ROLE_ENROLLER, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_cert(&w->f, "gate", 0, 0, 1, false, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_status(&w->f, 0, 0, UINT64_MAX, 5, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_status(&w->f, 0, 1, 1, 6, &w->b);
    GIVE(w, TRUST_UNKNOWN);
    struct fleet_bytes later = w->b;
    fleet_cert(&w->f, "gate", 0, 1, 2, false, &w->b);
    GIVE(w, TRUST_NEWER);
    assert_true(w->changes.certs);
    assert_int_equal(w->changes.dropped_count, 1);
    assert_int_equal(give(w, &later), TRUST_NEW);
    fleet_status(&w->f, 0, 0, UINT64_MAX, 5, &w->b);
    GIVE(w, TRUST_STALE);
}

static void new_timestamp_version_rollback(void **state)
{
    struct world *w = *state;
    struct hash id = version(w, "trainer", 1);
    GIVE(w, TRUST_NEW);
    release(w, &id, 5);
    GIVE(w, TRUST_NEW);
    release(w, &id, 4);
    GIVE(w, TRUST_STALE);
    assert_int_equal(w->v.status, STATUS_STALE);
    struct trust_changes changes;
    trust_changes_init(&changes);
    struct trust *again = restart(w, &changes);
    assert_int_equal(give_to(again, fleet_view(&w->b), &changes, &w->v),
                     TRUST_STALE);
    trust_changes_deinit(&changes);
    trust_free(again);
}

static void snapshot_rollback(void **state)
{
    struct world *w = *state;
    struct fleet_role *desk = fleet_find_role(&w->f, "desk");
    struct hash id = version(w, "trainer", 1);
    release(w, &id, 1);
    struct fleet_bytes old = w->b;
    desk->epoch++;
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(give(w, &old), TRUST_STALE);
    /* An older fleet record is final, not offered again. */
    assert_int_equal(give(w, &w->first), TRUST_DUPLICATE);
    uint64_t number;
    assert_non_null(trust_fleet(w->t, &number));
    assert_int_equal(number, 2);
}

static void targets_rollback(void **state)
{
    struct world *w = *state;
    struct hash one = version(w, "trainer", 1), out;
    struct fleet_bytes buried = w->b;
    GIVE(w, TRUST_NEW);
    release(w, &one, 1);
    GIVE(w, TRUST_NEW);
    fleet_version(&w->f, "trainer", "other", 1, 1, 1, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_version(&w->f, "trainer", "cam/detect", 5, 3, 1, &w->b);
    GIVE(w, TRUST_NEW);
    assert_false(knows(w, &one));
    assert_int_equal(w->changes.dropped_count, 1);
    assert_int_equal(give(w, &buried), TRUST_REFUSED);
    /* An operator cannot dig it out. */
    assert_int_equal(target(w, &out), STATUS_REFUSED);
    assert_int_equal(trust_floor(w->t, bytes_of_text("trainer"),
                                 bytes_of_text("cam/detect")),
                     3);
    fleet_version(&w->f, "trainer", "cam/detect", 100, 36, 1, &w->b);
    GIVE(w, TRUST_REFUSED);
    fleet_version(&w->f, "trainer", "cam/detect", 100, 101, 1, &w->b);
    GIVE(w, TRUST_REFUSED);
    fleet_version(&w->f, "trainer", "cam/detect", 100, 37, 1, &w->b);
    GIVE(w, TRUST_NEW);
    struct hash other = fleet_version_id("trainer", "other", 1);
    assert_true(knows(w, &other));
    struct trust_changes changes;
    trust_changes_init(&changes);
    struct trust *again = restart(w, &changes);
    assert_int_equal(give_to(again, fleet_view(&buried), &changes, &w->v),
                     TRUST_REFUSED);
    trust_changes_deinit(&changes);
    trust_free(again);
}

static void non_root_rotations(void **state)
{
    struct world *w = *state;
    static const char *const roles[] = {"trainer", "desk"};
    for (unsigned i = 0; i < 2; i++) {
        struct fleet_role *r = fleet_find_role(&w->f, roles[i]);
        struct fleet_role old = *r;
        struct hash id = fleet_version_id("trainer", "cam/detect", 1);
        uint64_t kind = i ? RECORD_CHANNEL : RECORD_VERSION;
        if (i)
            release(w, &id, 1);
        else
            (void)version(w, "trainer", 1);
        GIVE(w, TRUST_NEW);
        struct fleet_bytes before = w->b;
        fleet_new_keys(&w->f, r);
        fleet_advance(&w->f, &w->b);
        GIVE(w, TRUST_NEW);
        /* The same epoch, but the old key's signature no longer counts. */
        assert_int_equal(give(w, &before), TRUST_REFUSED);
        assert_int_equal(w->v.status, STATUS_BAD_SIGNATURE);
        const struct crypto_sign_key *key = &r->keys[0];
        resign(&before, &key, 1, &w->b);
        GIVE(w, TRUST_NEW);
        assert_int_equal(w->v.kind, kind);
        key = &old.keys[0];
        resign(&before, &key, 1, &w->b);
        GIVE(w, TRUST_DUPLICATE);
    }
}

/* Root changes five times; a node that slept through all catches up, in any
 * order, and one that skips a link does not. */
static void root_rotation(void **state)
{
    struct world *w = *state;
    struct fleet_bytes chain[5];
    uint64_t number = 0;
    for (unsigned i = 0; i < 5; i++) {
        w->f.roles[0].key_count = 3;
        w->f.roles[0].threshold = 2;
        w->f.roles[0].epoch++;
        fleet_new_keys(&w->f, &w->f.roles[0]);
        fleet_advance(&w->f, &chain[i]);
    }
    assert_int_equal(give(w, &chain[1]), TRUST_UNKNOWN);
    assert_int_equal(give(w, &chain[4]), TRUST_UNKNOWN);
    /* Missing the old root's signatures. */
    const struct crypto_sign_key *keys[3];
    assert_int_equal(give(w, &chain[0]), TRUST_NEW);
    for (unsigned i = 0; i < 3; i++)
        keys[i] = &w->f.roles[0].keys[i];
    resign(&chain[1], keys, 3, &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_BAD_SIGNATURE);
    for (unsigned i = 1; i < 5; i++) {
        assert_int_equal(give(w, &chain[i]), TRUST_NEW);
        assert_true(w->changes.fleet);
    }
    assert_non_null(trust_fleet(w->t, &number));
    assert_int_equal(number, 6);
    assert_int_equal(trust_slot_count(w->t), 6);
    assert_restart_keeps_all(w);
}

/* The new keys must have signed, too. */
static void root_rotation_needs_new_keys(void **state)
{
    struct world *w = *state;
    const struct crypto_sign_key old = w->f.roles[0].keys[0];
    const struct crypto_sign_key *key = &old;
    fleet_new_keys(&w->f, &w->f.roles[0]);
    fleet_advance(&w->f, &w->b);
    struct fleet_bytes good = w->b;
    resign(&good, &key, 1, &w->b);
    GIVE(w, TRUST_REFUSED);
    key = &w->f.roles[0].keys[0];
    resign(&good, &key, 1, &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(give(w, &good), TRUST_NEW);
}

static void snapshot_does_not_meet_threshold(void **state)
{
    struct world *w = *state;
    struct fleet_role *trainer = fleet_find_role(&w->f, "trainer");
    trainer->key_count = 5;
    trainer->threshold = 3;
    fleet_new_keys(&w->f, trainer);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    (void)version(w, "trainer", 1);
    struct fleet_bytes whole = w->b;
    const struct crypto_sign_key *keys[4] = {
        &trainer->keys[4], &trainer->keys[1], &w->f.roles[0].keys[0],
        &trainer->keys[3]};
    resign(&whole, keys, 3, &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_BAD_SIGNATURE);
    resign(&whole, keys, 4, &w->b);
    GIVE(w, TRUST_NEW);
}

static void snapshot_has_too_few_keys(void **state)
{
    struct world *w = *state;
    struct fleet_role *trainer = fleet_find_role(&w->f, "trainer");
    trainer->threshold = 2;
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    trainer->threshold = 1;
    (void)version(w, "trainer", 1);
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_BAD_SIGNATURE);
}

static void targets_role_removal(void **state)
{
    struct world *w = *state;
    struct hash id = version(w, "trainer", 1), out;
    struct fleet_bytes old = w->b;
    GIVE(w, TRUST_NEW);
    release(w, &id, 1);
    GIVE(w, TRUST_NEW);
    fleet_remove_role(&w->f, "trainer");
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    assert_false(knows(w, &id));
    assert_int_equal(target(w, &out), STATUS_REFUSED);
    assert_int_equal(w->changes.dropped_count, 1);
    assert_int_equal(give(w, &old), TRUST_UNKNOWN);
}

static void unsigned_metadata(void **state)
{
    struct world *w = *state;
    struct record rec;
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    (void)version(w, "trainer", 1);
    assert_int_equal(record_parse(fleet_view(&w->b), &rec, NULL), STATUS_OK);
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(cose_encode(rec.envelope.payload, NULL, 0, &wr),
                     STATUS_USAGE);
    /* The bare payload, and an envelope whose list of signatures is empty. */
    assert_int_equal(give_to(w->t, rec.envelope.payload, &w->changes, &w->v),
                     TRUST_REFUSED);
    size_t head = (size_t)(rec.envelope.payload.data - w->b.b) +
                  rec.envelope.payload.size;
    w->b.b[head] = 0x80;
    w->b.size = head + 1;
    GIVE(w, TRUST_REFUSED);
    assert_int_equal(w->v.status, STATUS_CORRUPT);
}

static void unusual_role_name(void **state)
{
    struct world *w = *state;
    static const char *const legal[] = {"0", "a..b", "x-_-.9", "1.2.3"};
    for (unsigned i = 0; i < 4; i++)
        fleet_add_role(&w->f, legal[i], BODY_ROLE_PUBLISHER, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    for (unsigned i = 0; i < 4; i++) {
        fleet_version(&w->f, legal[i], "a.-_/b9.", 1, 1, 1, &w->b);
        GIVE(w, TRUST_NEW);
    }
    /* Illegal ones cannot even be encoded; illegal names of records are
     * refused. */
    static const char *const names[] = {"Main", "", "a/b", ".x", "main#1"};
    for (unsigned i = 0; i < 5; i++) {
        fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, RECORD_CHANNEL,
                   bytes_of_text(names[i]), 0, 1, bytes_of("\xa1\x00\x80", 3),
                   &w->b);
        GIVE(w, TRUST_REFUSED);
    }
    static const char *const versions[] = {
        "cam/detect", "cam/detect#01", "Cam#1", "current#1", "cam/detect#2"};
    struct body_version body = {.manifest_size = 1, .floor = 1};
    assert_int_equal(
        vector_model_set(&body.vector, bytes_of_text("trainer"), 1), 0);
    uint8_t buf[512];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(body_version_encode(&body, &wr), STATUS_OK);
    for (unsigned i = 0; i < 5; i++) {
        fleet_sign(&w->f, fleet_find_role(&w->f, "trainer"), 0, RECORD_VERSION,
                   bytes_of_text(versions[i]), 0, 1, writer_view(&wr), &w->b);
        GIVE(w, TRUST_REFUSED);
    }
}

/* What a trie announced is only a hint: the verdict names what the record
 * itself says, so that the caller can compare, and the digest follows that. */
static void url_and_metadata_version_mismatch(void **state)
{
    struct world *w = *state;
    struct hash id = version(w, "trainer", 1);
    release(w, &id, 7);
    GIVE(w, TRUST_NEW);
    struct slot_author desk = slot_author_role(bytes_of_text("desk"));
    struct slot_id slot =
        slot_id_of(&desk, RECORD_CHANNEL, bytes_of_text("main"));
    assert_true(slot_id_equal(&slot, &w->v.slot));
    assert_int_equal(w->v.seq, 7);
    const struct vector_entry *e =
        trie_find(trust_trie(w->t, TRUST_TRIE_CONTROL), &slot);
    assert_non_null(e);
    assert_int_equal(e->seq, 7);
    assert_memory_equal(e->hash, w->v.hash.b, VECTOR_HASH_BYTES);
}

/* ---- ours ---- */

static void heal(struct world *w, uint64_t seq, struct bytes heals)
{
    struct body_channel *body = calloc(1, sizeof(*body));
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    assert_non_null(body);
    body->common.heals = heals;
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(body_channel_encode(body, &wr), STATUS_OK);
    free(body);
    fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, RECORD_CHANNEL,
               bytes_of_text("main"), 0, seq, writer_view(&wr), &w->b);
}

static void forks(struct world *w, struct fleet_bytes out[3])
{
    for (unsigned i = 0; i < 3; i++) {
        struct hash id = version(w, "trainer", i + 1);
        (void)give(w, &w->b);
        release(w, &id, 3);
        out[i] = w->b;
    }
}

static void equivocation(void **state)
{
    struct world *w = *state;
    struct fleet_bytes fork[3];
    struct hash out, heals[2];
    struct bytes list;
    uint64_t epoch, seq;
    forks(w, fork);
    assert_int_equal(give(w, &fork[0]), TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_int_equal(give(w, &fork[1]), TRUST_EQUIVOCATION);
    assert_int_equal(give(w, &fork[0]), TRUST_DUPLICATE);
    assert_int_equal(give(w, &fork[1]), TRUST_DUPLICATE);
    assert_int_equal(target(w, &out), STATUS_UNSUPPORTED);
    const struct slot_entry *e = trust_slot(w->t, &w->v.slot);
    assert_true(e->has_proof);
    assert_true(hash_compare(&e->proof[0].hash, &e->proof[1].hash) < 0);
    assert_restart_keeps_all(w);
    (void)give(w, &fork[2]);
    assert_int_equal(target(w, &out), STATUS_UNSUPPORTED);
    assert_restart_keeps_all(w);
    /* A higher seq that names neither is kept, but not acted on. */
    struct slot_author desk = slot_author_role(bytes_of_text("desk"));
    assert_int_equal(trust_next_seq(w->t, &desk, RECORD_CHANNEL,
                                    bytes_of_text("main"), &epoch, &seq, heals,
                                    &list),
                     STATUS_OK);
    assert_int_equal(seq, 4);
    assert_int_equal(list.size, 2 * HASH_BYTES);
    heal(w, 4, bytes_of("", 0));
    GIVE(w, TRUST_NEWER);
    assert_false(w->v.heals);
    e = trust_slot(w->t, &w->v.slot);
    assert_int_equal(e->seq, 4);
    assert_false(trust_slot_acts(e));
    assert_restart_keeps_all(w);
    heal(w, 5, list);
    GIVE(w, TRUST_NEWER);
    assert_true(w->v.heals);
    assert_true(trust_slot_acts(trust_slot(w->t, &w->v.slot)));
    assert_int_equal(give(w, &fork[0]), TRUST_STALE);
    assert_int_equal(give(w, &fork[1]), TRUST_STALE);
    assert_true(trust_slot_acts(trust_slot(w->t, &w->v.slot)));
}

static void equivocation_ends_with_the_epoch(void **state)
{
    struct world *w = *state;
    struct fleet_bytes fork[3];
    forks(w, fork);
    (void)give(w, &fork[0]);
    assert_int_equal(give(w, &fork[1]), TRUST_EQUIVOCATION);
    fleet_find_role(&w->f, "desk")->epoch++;
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    heal(w, 1, bytes_of("", 0));
    GIVE(w, TRUST_STALE); /* heal signs epoch 0 */
    struct hash id = fleet_version_id("trainer", "cam/detect", 1), out;
    release(w, &id, 1);
    GIVE(w, TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
}

/* Whatever halves come in whatever order, all nodes end alike. */
static void equivocation_converges(void **state)
{
    struct world *w = *state;
    struct fleet_bytes fork[3], unhealed, *order[4];
    static const uint8_t orders[][4] = {
        {0, 1, 2, 3}, {3, 0, 1, 2}, {2, 1, 0, 3}, {0, 3, 2, 1}, {1, 0, 3, 2}};
    struct trust *reference = NULL;
    forks(w, fork);
    heal(w, 9, bytes_of("", 0));
    unhealed = w->b;
    for (unsigned i = 0; i < 3; i++)
        order[i] = &fork[i];
    order[3] = &unhealed;
    for (unsigned k = 0; k < 5; k++) {
        struct world *x = world_new(1);
        for (unsigned i = 0; i < 3; i++) {
            (void)version(x, "trainer", i + 1);
            (void)give(x, &x->b);
        }
        /* Peers tell all they have again until the digests agree. */
        for (unsigned turn = 0; turn < 3; turn++)
            for (unsigned i = 0; i < 4; i++)
                (void)give(x, order[orders[k][i]]);
        if (reference)
            assert_same_digests(reference, x->t);
        trust_free(reference);
        reference = x->t;
        x->t = NULL;
        world_free(x);
    }
    trust_free(reference);
}

/* Two halves considered before either is committed. */
static void equivocation_between_consider_and_commit(void **state)
{
    struct world *w = *state;
    struct fleet_bytes fork[3];
    struct trust_verdict a, b;
    forks(w, fork);
    assert_int_equal(trust_consider(w->t, fleet_view(&fork[0]), &a), 0);
    assert_int_equal(trust_consider(w->t, fleet_view(&fork[1]), &b), 0);
    assert_int_equal(b.outcome, TRUST_NEW);
    assert_int_equal(trust_commit(w->t, &a, &w->changes), STATUS_OK);
    assert_int_equal(trust_commit(w->t, &b, &w->changes), STATUS_BUSY);
    assert_int_equal(b.outcome, TRUST_EQUIVOCATION);
    assert_int_equal(b.value.size, fork[0].size + fork[1].size);
    assert_int_equal(trust_commit(w->t, &b, &w->changes), STATUS_OK);
    assert_true(trust_slot(w->t, &b.slot)->has_proof);
    trust_verdict_deinit(&a);
    trust_verdict_deinit(&b);
}

static void equivocating_roots_act_on_neither(void **state)
{
    struct world *w = *state;
    struct fleet other = w->f;
    struct fleet_bytes two, fork, three;
    uint64_t number;
    fleet_advance(&w->f, &two);
    other.enroll = BODY_ENROLL_CERTIFICATES;
    fleet_advance(&other, &fork);
    fleet_advance(&w->f, &three);
    assert_int_equal(give(w, &two), TRUST_NEW);
    assert_int_equal(give(w, &fork), TRUST_EQUIVOCATION);
    assert_non_null(trust_fleet(w->t, &number));
    assert_int_equal(number, 1);
    /* The record after next decides, for those who saw it before as well. */
    assert_int_equal(give(w, &three), TRUST_NEW);
    assert_non_null(trust_fleet(w->t, &number));
    assert_int_equal(number, 3);
    struct world *x = world_new(1);
    assert_int_equal(give(x, &two), TRUST_NEW);
    assert_int_equal(give(x, &three), TRUST_NEW);
    assert_int_equal(give(x, &fork), TRUST_REFUSED);
    assert_same_digests(w->t, x->t);
    assert_restart_keeps_all(w);
    world_free(x);
}

static void surplus_signatures_dropped_by_a_relay(void **state)
{
    struct world *w = *state;
    const struct crypto_sign_key *keys[2] = {
        &fleet_find_role(&w->f, "trainer")->keys[0], &w->f.roles[0].keys[0]};
    (void)version(w, "trainer", 1);
    struct fleet_bytes plain = w->b;
    resign(&plain, keys, 2, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(give(w, &plain), TRUST_DUPLICATE);
    assert_false(trust_slot(w->t, &w->v.slot)->has_proof);
}

/* A node whose disk was restored sees its own newer record come back and goes
 * on above it. */
static void restored_disk(void **state)
{
    struct world *w = *state;
    struct node_id id = fleet_node_id(&w->f, 0);
    struct slot_author self = slot_author_node(&id);
    struct hash heals[2];
    struct bytes list;
    uint64_t epoch, seq;
    assert_int_equal(trust_next_seq(w->t, &self, RECORD_STATUS, bytes_of("", 0),
                                    &epoch, &seq, heals, &list),
                     STATUS_NOT_FOUND);
    fleet_self_cert(&w->f, 0, 1, NULL, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_status(&w->f, 0, 0, 41, 1, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(trust_next_seq(w->t, &self, RECORD_STATUS, bytes_of("", 0),
                                    &epoch, &seq, heals, &list),
                     STATUS_OK);
    assert_int_equal(seq, 42);
    assert_int_equal(list.size, 0);
    for (uint64_t n = 1; n < 4; n++) {
        (void)version(w, "trainer", n);
        GIVE(w, TRUST_NEW);
    }
    assert_int_equal(trust_next_counter(w->t, bytes_of_text("trainer"),
                                        bytes_of_text("cam/detect")),
                     4);
}

/* Two machines with one key speak as one writer: their clash is noticed. That
 * they do not share a key is the daemon's binding to the machine id. */
static void cloned_disk(void **state)
{
    struct world *w = *state;
    struct node_id id;
    struct body_status *body = malloc(sizeof(*body));
    assert_non_null(body);
    fleet_self_cert(&w->f, 0, 1, NULL, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_status(&w->f, 0, 0, 1, 100, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_status(&w->f, 0, 0, 1, 200, &w->b);
    GIVE(w, TRUST_EQUIVOCATION);
    id = fleet_node_id(&w->f, 0);
    assert_int_equal(trust_status_get(w->t, &id, body), STATUS_NOT_FOUND);
    free(body);
}

static void revoked_node(void **state)
{
    struct world *w = *state;
    struct node_id id = fleet_node_id(&w->f, 0), other, node;
    struct body_status *body = malloc(sizeof(*body));
    struct fleet_bytes cert;
    size_t cursor = 0;
    assert_non_null(body);
    for (unsigned i = 0; i < 2; i++) {
        fleet_self_cert(&w->f, i, 1, NULL, &cert);
        assert_int_equal(trust_node_presented(w->t, &id, bytes_of("", 0)),
                         i ? TRUST_NODE_CERTIFIED : TRUST_NODE_UNKNOWN);
        if (!i)
            assert_int_equal(trust_node_presented(w->t, &id, fleet_view(&cert)),
                             TRUST_NODE_CERTIFIED);
        assert_int_equal(give(w, &cert), TRUST_NEW);
        fleet_status(&w->f, i, 0, 1, 1, &w->b);
        GIVE(w, TRUST_NEW);
    }
    other = fleet_node_id(&w->f, 1);
    assert_int_equal(trust_node(w->t, &id, NULL), TRUST_NODE_CERTIFIED);
    w->f.revoked[w->f.revoked_count++] = id;
    fleet_advance(&w->f, &w->b);
    w->changes.certs = false;
    GIVE(w, TRUST_NEW);
    assert_true(w->changes.certs);
    assert_int_equal(w->changes.dropped_count, 2);
    assert_int_equal(trust_node(w->t, &id, NULL), TRUST_NODE_REVOKED);
    fleet_self_cert(&w->f, 0, 2, NULL, &cert);
    assert_int_equal(trust_node_presented(w->t, &id, fleet_view(&cert)),
                     TRUST_NODE_REVOKED);
    assert_int_equal(give(w, &cert), TRUST_REFUSED);
    fleet_status(&w->f, 0, 0, 2, 1, &w->b);
    GIVE(w, TRUST_REFUSED);
    assert_true(trust_status_next(w->t, &cursor, &node, body));
    assert_true(node_id_equal(&node, &other));
    assert_false(trust_status_next(w->t, &cursor, &node, body));
    free(body);
}

/* On a small fleet an enroller may still revoke. */
static void an_enroller_overrules_self_signed_certificates(void **state)
{
    struct world *w = *state;
    struct node_id id = fleet_node_id(&w->f, 0), node;
    size_t cursor = 0;
    fleet_add_role(&w->f, "gate", BODY_ROLE_ENROLLER, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_self_cert(&w->f, 0, 1, NULL, &w->b);
    GIVE(w, TRUST_NEW);
    fleet_status(&w->f, 0, 0, 1, 1, &w->b);
    GIVE(w, TRUST_NEW);
    assert_true(trust_node_next(w->t, &cursor, &node, NULL));
    assert_true(node_id_equal(&node, &id));
    assert_false(trust_node_next(w->t, &cursor, &node, NULL));
    fleet_cert(&w->f, "gate", 0, 0, 1, true, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(trust_node(w->t, &id, NULL), TRUST_NODE_REVOKED);
    assert_int_equal(w->changes.dropped_count, 1);
    /* Nobody certifies somebody else. */
    struct node_id second = fleet_node_id(&w->f, 1);
    char hex[NODE_ID_HEX_SIZE];
    node_id_hex(&second, hex);
    fleet_sign_node(&w->f, 2, RECORD_CERT, bytes_of_text(hex), 0, 1,
                    bytes_of("\xa1\x01\x00", 3), &w->b);
    GIVE(w, TRUST_REFUSED);
    /* Where certificates are the rule, self-signed ones go. */
    w->f.enroll = BODY_ENROLL_CERTIFICATES;
    fleet_self_cert(&w->f, 3, 1, NULL, &w->b);
    GIVE(w, TRUST_NEW);
    struct node_id third = fleet_node_id(&w->f, 3);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(trust_node(w->t, &third, NULL), TRUST_NODE_UNKNOWN);
}

/* Self-signed nodes: at most 256, the same ones whatever the order. */
static void bounds_keep_the_lowest_slots(void **state)
{
    struct world *w = *state, *x = world_new(1);
    enum {
        COUNT = 270
    };
    static struct fleet_bytes certs[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        fleet_self_cert(&w->f, i, 1, NULL, &certs[i]);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)give(w, &certs[i]);
        (void)give(x, &certs[COUNT - 1 - i]);
    }
    assert_int_equal(trust_slot_count(w->t), 1 + LIMIT_PSK_NODES);
    assert_same_digests(w->t, x->t);
    unsigned refused = 0;
    for (unsigned i = 0; i < COUNT; i++)
        refused += give(w, &certs[i]) == TRUST_REFUSED;
    assert_int_equal(refused, COUNT - LIMIT_PSK_NODES);
    world_free(x);
}

static void a_node_has_16_slots(void **state)
{
    struct world *w = *state, *x = world_new(1);
    static struct fleet_bytes records[30];
    struct body_contrib body = {.manifest_size = 1};
    uint8_t buf[512];
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    assert_int_equal(body_contrib_encode(&body, &wr), STATUS_OK);
    fleet_self_cert(&w->f, 0, 1, NULL, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(give(x, &w->b), TRUST_NEW);
    for (unsigned i = 0; i < 30; i++) {
        char name[8] = {'m', (char)('a' + i % 26), (char)('a' + i / 26)};
        fleet_sign_node(&w->f, 0, RECORD_CONTRIB, bytes_of_text(name), 0, 1,
                        writer_view(&wr), &records[i]);
    }
    for (unsigned i = 0; i < 30; i++) {
        (void)give(w, &records[i]);
        (void)give(x, &records[29 - i]);
    }
    assert_int_equal(trust_slot_count(w->t), 2 + LIMIT_NODE_SLOTS);
    assert_same_digests(w->t, x->t);
    world_free(x);
}

static void unknown_kinds_are_relayed(void **state)
{
    struct world *w = *state;
    fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, 77,
               bytes_of_text("Anything"), 0, 1, bytes_of("\xa1\x05\x01", 3),
               &w->b);
    GIVE(w, TRUST_NEW);
    assert_true(
        bytes_equal(trust_slot(w->t, &w->v.slot)->envelope, fleet_view(&w->b)));
    fleet_sign_node(&w->f, 0, 77, bytes_of_text("x"), 0, 1, bytes_of("\xa0", 1),
                    &w->b);
    GIVE(w, TRUST_UNKNOWN);
}

static void siblings_are_shown_and_merged(void **state)
{
    struct world *w = *state;
    struct trust_version v;
    struct diag diag = {{0}};
    fleet_add_role(&w->f, "lab", BODY_ROLE_PUBLISHER, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    struct bytes model = bytes_of_text("cam/detect");
    assert_int_equal(trust_version_latest(w->t, model, &v, NULL),
                     STATUS_NOT_FOUND);
    (void)version(w, "trainer", 1);
    GIVE(w, TRUST_NEW);
    (void)version(w, "trainer", 2);
    GIVE(w, TRUST_NEW);
    assert_int_equal(trust_version_latest(w->t, model, &v, NULL), STATUS_OK);
    assert_int_equal(v.n, 2);
    (void)version(w, "lab", 1);
    GIVE(w, TRUST_NEW);
    assert_int_equal(trust_version_latest(w->t, model, &v, &diag),
                     STATUS_AMBIGUOUS);
    assert_non_null(strstr(diag.text, "cam/detect#1 by lab"));
    assert_non_null(strstr(diag.text, "cam/detect#2 by trainer"));
    struct body_version merge = {
        .id = fleet_version_id("m", "m", 1), .manifest_size = 1, .floor = 1};
    assert_int_equal(
        vector_model_set(&merge.vector, bytes_of_text("trainer"), 2), 0);
    assert_int_equal(vector_model_set(&merge.vector, bytes_of_text("lab"), 2),
                     0);
    fleet_version_body(&w->f, "lab", "cam/detect", 2, 1, &merge, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(trust_version_latest(w->t, model, &v, NULL), STATUS_OK);
    assert_true(hash_equal(&v.body.id, &merge.id));
    /* Retired: no head, no target. */
    struct hash out;
    release(w, &merge.id, 1);
    GIVE(w, TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_true(trust_named_by_channel(w->t, &merge.id));
    merge.retired = true;
    fleet_version_body(&w->f, "lab", "cam/detect", 2, 2, &merge, &w->b);
    GIVE(w, TRUST_NEWER);
    assert_int_equal(target(w, &out), STATUS_REFUSED);
    assert_false(trust_named_by_channel(w->t, &merge.id));
    assert_int_equal(trust_version_latest(w->t, model, &v, NULL),
                     STATUS_AMBIGUOUS);
}

static void channels_choose_by_labels(void **state)
{
    struct world *w = *state;
    struct hash one = version(w, "trainer", 1), out;
    GIVE(w, TRUST_NEW);
    struct hash two = version(w, "trainer", 2);
    GIVE(w, TRUST_NEW);
    struct body_channel *body = calloc(1, sizeof(*body));
    uint8_t buf[LIMIT_RECORD_BYTES];
    struct writer wr;
    assert_non_null(body);
    body->entry_count = 2;
    body->entries[0].model = body->entries[1].model =
        bytes_of_text("cam/detect");
    body->entries[0].has_version = true;
    body->entries[0].version = one;
    body->entries[0].test_count = 1;
    body->entries[0].tests[0] = (struct body_test){
        BODY_TEST_EQUAL, bytes_of_text("site"), bytes_of_text("old")};
    body->entries[1].track = bytes_of_text("trainer");
    for (unsigned gated = 0; gated < 2; gated++) {
        body->entries[1].has_gate = gated;
        writer_init(&wr, buf, sizeof(buf));
        assert_int_equal(body_channel_encode(body, &wr), STATUS_OK);
        fleet_sign(&w->f, fleet_find_role(&w->f, "desk"), 0, RECORD_CHANNEL,
                   bytes_of_text("main"), 0, 1 + gated, writer_view(&wr),
                   &w->b);
        GIVE(w, gated ? TRUST_NEWER : TRUST_NEW);
        struct node_id node = fleet_node_id(&w->f, 0);
        struct body_labels labels = {0};
        struct bytes channel = bytes_of_text("main"), model;
        struct bytes cam = bytes_of_text("cam/detect");
        assert_true(trust_channel_model(w->t, channel, 0, &model));
        assert_true(bytes_equal(model, cam));
        assert_false(trust_channel_model(w->t, channel, 1, &model));
        assert_int_equal(
            trust_target(w->t, channel, cam, &node, &labels, &out, NULL),
            gated ? STATUS_UNSUPPORTED : STATUS_OK);
        if (gated)
            break;
        assert_true(hash_equal(&out, &two));
        assert_int_equal(body_labels_set(&labels, bytes_of_text("site"),
                                         bytes_of_text("old")),
                         STATUS_OK);
        assert_int_equal(
            trust_target(w->t, channel, cam, &node, &labels, &out, NULL),
            STATUS_OK);
        assert_true(hash_equal(&out, &one));
    }
    free(body);
}

/* A version of parents, with the counter n of trainer and m of lab. */
static enum status lineage(struct world *w, uint64_t n, uint64_t m,
                           const struct hash *parents, size_t count)
{
    struct trust_version v;
    struct body_version body = {.id = fleet_version_id("x", "x", 8 * n + m),
                                .manifest_size = 1,
                                .floor = 1};
    body.parents = bytes_of(parents, count * HASH_BYTES);
    assert_int_equal(
        vector_model_set(&body.vector, bytes_of_text("trainer"), n), 0);
    if (m)
        assert_int_equal(
            vector_model_set(&body.vector, bytes_of_text("lab"), m), 0);
    fleet_version_body(&w->f, "trainer", "cam/detect", n, 1 + m, &body, &w->b);
    assert_true(give(w, &w->b) != TRUST_REFUSED);
    assert_int_equal(trust_version_get(w->t, &body.id, &v), STATUS_OK);
    return trust_version_lineage(w->t, &v);
}

static void vectors_follow_from_parents(void **state)
{
    struct world *w = *state;
    fleet_add_role(&w->f, "lab", BODY_ROLE_PUBLISHER, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    struct hash parents[2] = {version(w, "trainer", 1)};
    GIVE(w, TRUST_NEW);
    parents[1] = version(w, "lab", 1);
    GIVE(w, TRUST_NEW);
    assert_int_equal(lineage(w, 2, 0, parents, 1), STATUS_OK);
    assert_int_equal(lineage(w, 3, 1, parents, 1), STATUS_MISMATCH);
    assert_int_equal(lineage(w, 3, 2, NULL, 0), STATUS_MISMATCH);
    assert_int_equal(lineage(w, 4, 0, NULL, 0), STATUS_OK);
    (void)body_list_sort(parents, 2);
    assert_int_equal(lineage(w, 5, 1, parents, 2), STATUS_OK);
    assert_int_equal(lineage(w, 6, 0, parents, 2), STATUS_MISMATCH);
    /* A parent that is not held might have told of lab's third. */
    memset(parents[1].b, 0xff, HASH_BYTES);
    assert_int_equal(lineage(w, 7, 3, parents, 2), STATUS_OK);
    struct slot_author trainer = slot_author_role(bytes_of_text("trainer"));
    assert_int_equal(trust_author_slots(w->t, &trainer), 7);
}

static void a_channel_held_back_is_not_replaced_by_another(void **state)
{
    struct world *w = *state;
    struct fleet_bytes fork[3];
    struct hash id = fleet_version_id("trainer", "cam/detect", 1), out;
    fleet_add_role(&w->f, "second", BODY_ROLE_OPERATOR, "*", 1, 1);
    fleet_advance(&w->f, &w->b);
    GIVE(w, TRUST_NEW);
    forks(w, fork);
    fleet_channel(&w->f, "second", "main", 1, "cam/detect", &id, &w->b);
    GIVE(w, TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_int_equal(give(w, &fork[0]), TRUST_NEW);
    assert_int_equal(target(w, &out), STATUS_OK);
    assert_int_equal(give(w, &fork[1]), TRUST_EQUIVOCATION);
    assert_int_equal(target(w, &out), STATUS_UNSUPPORTED);
}

static void every_truncation_is_refused(void **state)
{
    struct world *w = *state;
    (void)version(w, "trainer", 1);
    for (size_t cut = 0; cut < w->b.size; cut++)
        assert_int_equal(
            give_to(w->t, bytes_of(w->b.b, cut), &w->changes, &w->v),
            TRUST_REFUSED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(basic_refresh_requests),
        CASE(basic_refresh_trusted_data),
        CASE(cached_role_is_verified_against_current_delegator),
        CASE(custom_fields),
        CASE(delegation_not_in_snapshot),
        CASE(deprecated_keyid_hash_algorithms),
        CASE(keytype_and_scheme),
        CASE(duplicate_keys),
        CASE(duplicate_sig_keyids),
        CASE(graph_traversal),
        CASE(targetfile_search),
        CASE(implicit_refresh),
        CASE(update_timestamp),
        CASE(timestamp_content_changes),
        CASE(incorrect_metadata_type),
        CASE(invalid_initial_root),
        CASE(unsigned_initial_root),
        CASE(invalid_sig_in_valid_metadata),
        CASE(metadata_bytes_match),
        CASE(new_snapshot_fast_forward_recovery),
        CASE(new_timestamp_fast_forward_recovery),
        CASE(targets_fast_forward_recovery),
        CASE(new_timestamp_version_rollback),
        CASE(snapshot_rollback),
        CASE(targets_rollback),
        CASE(non_root_rotations),
        CASE(root_rotation),
        CASE(root_rotation_needs_new_keys),
        CASE(snapshot_does_not_meet_threshold),
        CASE(snapshot_has_too_few_keys),
        CASE(targets_role_removal),
        CASE(unsigned_metadata),
        CASE(unusual_role_name),
        CASE(url_and_metadata_version_mismatch),
        CASE(equivocation),
        CASE(equivocation_ends_with_the_epoch),
        CASE(equivocation_converges),
        CASE(equivocation_between_consider_and_commit),
        CASE(equivocating_roots_act_on_neither),
        CASE(surplus_signatures_dropped_by_a_relay),
        CASE(restored_disk),
        CASE(cloned_disk),
        CASE(revoked_node),
        CASE(an_enroller_overrules_self_signed_certificates),
        CASE(bounds_keep_the_lowest_slots),
        CASE(a_node_has_16_slots),
        CASE(unknown_kinds_are_relayed),
        CASE(siblings_are_shown_and_merged),
        CASE(channels_choose_by_labels),
        CASE(vectors_follow_from_parents),
        CASE(a_channel_held_back_is_not_replaced_by_another),
        CASE(every_truncation_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
