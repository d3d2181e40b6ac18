/* kill -9 at any moment: a child works on a store by seeded random steps and
 * says over a pipe what was committed; it is killed, the store is opened again
 * and checked, and everything that was said must be there.
 *
 * DM_CRASH_ROUNDS and DM_CRASH_SEED choose how often and from where. */
#include "codec/base/rng.h"
#include "tests/support/cmocka.h"
#include "tests/support/tmpstore.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define VERSIONS      24u
#define SEGMENTS      12u
#define SLOTS         4u
#define STEPS         200u
#define SEGMENT_BYTES 9000u

enum step {
    STEP_RECORD,   /* a: slot, b: seq */
    STEP_VERSION,  /* a: number */
    STEP_SEGMENT,  /* a: number, b: index */
    STEP_STATE,    /* a: number; complete and realised */
    STEP_ACTIVATE, /* b: n */
    STEP_UPTIME,   /* b: seconds */
    STEP_GC,
    STEP_COUNT
};

struct ack {
    uint32_t step;
    uint32_t a;
    uint64_t b;
};

/* What was said to be committed. */
struct known {
    uint64_t record_seq[SLOTS];
    bool version[VERSIONS];
    uint16_t segments[VERSIONS];
    uint64_t activation_n;
    uint64_t uptime;
};

struct child {
    struct store_env *env;
    struct rng rng;
    struct diag diag;
    int out;
};

/* Odd versions are gc's targets, so what they hold must stay. */
static bool is_target(uint64_t number)
{
    return number % 2;
}

static uint64_t base_of(uint64_t number)
{
    return number % 6 < 2 ? UINT64_MAX : number - 2;
}

/* ---- the child ---- */

static void child_die(struct child *c, const char *what, enum status status)
{
    fprintf(stderr, "# child: %s: %s: %s\n", what, status_text(status),
            c->diag.text);
    _exit(3);
}

static void child_say(struct child *c, enum step step, uint32_t a, uint64_t b)
{
    struct ack ack = {step, a, b};
    if (write(c->out, &ack, sizeof(ack)) != (ssize_t)sizeof(ack))
        _exit(4);
}

static void child_begin(struct child *c, struct store_txn *txn)
{
    enum status status =
        store_txn_begin(txn, c->env, STORE_TXN_WRITE, &c->diag);
    if (status)
        child_die(c, "begin", status);
}

static void child_commit(struct child *c, struct store_txn *txn,
                         enum status status, const char *what)
{
    if (status && status != STATUS_EXISTS)
        child_die(c, what, status);
    status = store_txn_commit(txn);
    if (status)
        child_die(c, what, status);
}

static void child_record(struct child *c)
{
    struct store_txn txn;
    struct store_record rec;
    uint32_t s = (uint32_t)rng_below(&c->rng, SLOTS);
    uint8_t slot[STORE_SLOT_BYTES] = {(uint8_t)s};
    uint8_t body[300] = {0};
    uint64_t epoch;
    uint64_t seq;
    child_begin(c, &txn);
    enum status status = store_meta_own_seq(&txn, slot, &epoch, &seq);
    rec = (struct store_record){.epoch = 1,
                                .seq = seq + 1,
                                .hash = tmpstore_hash(seq + 1),
                                .author = bytes_of_text("me"),
                                .envelope = bytes_of(body, sizeof(body))};
    memcpy(rec.slot, slot, sizeof(slot));
    if (!status)
        status = store_meta_raise_own_seq(&txn, slot, 1, seq + 1);
    if (!status)
        status = store_record_put(&txn, &rec);
    child_commit(c, &txn, status, "record");
    child_say(c, STEP_RECORD, s, seq + 1);
}

static enum status child_add(struct store_txn *txn, uint64_t number)
{
    struct store_version version = tmpstore_version("m", number, SEGMENTS);
    struct store_update update =
        tmpstore_update("m", base_of(number), number, SEGMENTS);
    char text[64];
    enum status status = store_version_add(txn, &version);
    if (!status || status == STATUS_EXISTS)
        status = store_version_put_manifest(txn, &version.id,
                                            tmpstore_manifest(number, text));
    if (!status)
        status = store_update_add(
            txn, &update, tmpstore_header(base_of(number), number, text));
    return status;
}

static void child_version(struct child *c)
{
    struct store_txn txn;
    uint32_t number = (uint32_t)rng_below(&c->rng, VERSIONS);
    child_begin(c, &txn);
    child_commit(c, &txn, child_add(&txn, number), "version");
    child_say(c, STEP_VERSION, number, 0);
}

static void child_segment(struct child *c)
{
    uint8_t buf[SEGMENT_BYTES];
    uint32_t number = (uint32_t)rng_below(&c->rng, VERSIONS);
    uint32_t index = (uint32_t)rng_below(&c->rng, SEGMENTS);
    struct store_version version = tmpstore_version("m", number, SEGMENTS);
    struct store_update update =
        tmpstore_update("m", base_of(number), number, SEGMENTS);
    tmpstore_segment(&update.id, index, buf, sizeof(buf));
    enum status status = store_version_commit_blocks(
        c->env, &version.id, index, 1, &update.id, index,
        bytes_of(buf, sizeof(buf)), &c->diag);
    if (status == STATUS_NOT_FOUND)
        return;
    if (status)
        child_die(c, "segment", status);
    child_say(c, STEP_SEGMENT, number, index);
}

static void child_state(struct child *c)
{
    struct store_txn txn;
    uint32_t number = (uint32_t)rng_below(&c->rng, VERSIONS);
    struct store_version version = tmpstore_version("m", number, SEGMENTS);
    struct store_update update =
        tmpstore_update("m", base_of(number), number, SEGMENTS);
    child_begin(c, &txn);
    enum status status = store_update_get(&txn, &update.id, &update);
    if (status || !store_update_complete(&update) ||
        store_version_get(&txn, &version.id, &version)) {
        store_txn_abort(&txn);
        return;
    }
    status = store_version_set_update(&txn, &version.id, &update.id);
    if (!status)
        status = store_version_set_state(&txn, &version.id,
                                         STORE_VERSION_COMPLETE, number);
    child_commit(c, &txn, status, "state");
    child_say(c, STEP_STATE, number, 0);
}

static void child_activate(struct child *c)
{
    struct store_txn txn;
    struct store_version version = tmpstore_version("m", 1, SEGMENTS);
    struct store_activation act = {
        .model = "m", .version = version.id, .tmp = ".tmp"};
    struct store_activation held;
    child_begin(c, &txn);
    enum status status = store_version_get(&txn, &version.id, &version);
    if (status) {
        store_txn_abort(&txn);
        return;
    }
    status = store_activation_get(&txn, "m", &held);
    if (status == STATUS_NOT_FOUND)
        status = store_activation_begin(&txn, &act);
    else if (!status && held.stage < STORE_ACTIVATION_CURRENT)
        status = store_activation_advance(
            &txn, "m", (enum store_activation_stage)(held.stage + 1));
    else if (!status)
        status = store_activation_clear(&txn, "m");
    child_commit(c, &txn, status, "activate");
    child_say(c, STEP_ACTIVATE, 0, act.n);
}

static void child_uptime(struct child *c)
{
    struct store_txn txn;
    uint64_t now;
    child_begin(c, &txn);
    enum status status =
        store_meta_add_uptime(&txn, rng_below(&c->rng, 100), &now);
    child_commit(c, &txn, status, "uptime");
    child_say(c, STEP_UPTIME, 0, now);
}

static void child_gc(struct child *c)
{
    struct hash targets[VERSIONS];
    size_t count = 0;
    for (uint64_t i = 0; i < VERSIONS; i++)
        if (is_target(i))
            targets[count++] = tmpstore_version("m", i, SEGMENTS).id;
    struct store_gc_options options = {
        .targets = targets, .target_count = count, .keep_last = 1};
    enum status status = store_gc_run(c->env, &options, NULL, &c->diag);
    if (status)
        child_die(c, "gc", status);
    child_say(c, STEP_GC, 0, 0);
}

static void child_run(const char *path, uint64_t seed, int out)
{
    struct rng_seeded seeded;
    struct child c = {.out = out};
    struct store_env_options options = {.map_bytes = 16 << 20};
    rng_seeded_init(&seeded, seed);
    c.rng = rng_from_seeded(&seeded);
    enum status status = store_env_open(&c.env, path, &options, &c.diag);
    if (status)
        child_die(&c, "open", status);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t die = rng_below(&c.rng, 32);
        if (die < 3)
            child_record(&c);
        else if (die < 8)
            child_version(&c);
        else if (die < 24)
            child_segment(&c);
        else if (die < 27)
            child_state(&c);
        else if (die < 29)
            child_activate(&c);
        else if (die < 30)
            child_uptime(&c);
        else
            child_gc(&c);
    }
    _exit(0);
}

/* ---- the parent ---- */

static void know(struct known *known, const struct ack *ack)
{
    assert_true(ack->step < STEP_COUNT);
    if (ack->step == STEP_RECORD)
        known->record_seq[ack->a] = ack->b;
    else if (ack->step == STEP_VERSION)
        known->version[ack->a] = true;
    else if (ack->step == STEP_SEGMENT)
        known->segments[ack->a] =
            (uint16_t)(known->segments[ack->a] | 1u << ack->b);
    else if (ack->step == STEP_ACTIVATE && ack->b)
        known->activation_n = ack->b;
    else if (ack->step == STEP_UPTIME)
        known->uptime = ack->b;
}

static void check_version(struct store_txn *txn, const struct known *known,
                          uint32_t number)
{
    struct store_version version = tmpstore_version("m", number, SEGMENTS);
    struct store_update update =
        tmpstore_update("m", base_of(number), number, SEGMENTS);
    struct bytes segment;
    uint8_t bits[2];
    if (!known->version[number])
        return;
    assert_int_equal(store_version_get(txn, &version.id, &version), STATUS_OK);
    if (!is_target(number) || !known->segments[number])
        return;
    assert_int_equal(store_version_get_blocks(txn, &version.id, bits, 2, NULL),
                     STATUS_OK);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        if (!(known->segments[number] >> i & 1))
            continue;
        assert_true(bits[i / 8] >> (i % 8) & 1);
        assert_int_equal(store_segment_get(txn, &update.id, i, &segment),
                         STATUS_OK);
        assert_int_equal(segment.size, SEGMENT_BYTES);
    }
}

static void check_known(struct tmpstore *tmp, const struct known *known)
{
    struct store_txn txn;
    struct store_record rec;
    uint64_t value;
    uint64_t epoch;
    tmpstore_begin(tmp, &txn, STORE_TXN_READ);
    for (uint8_t s = 0; s < SLOTS; s++) {
        uint8_t slot[STORE_SLOT_BYTES] = {s};
        if (!known->record_seq[s])
            continue;
        assert_int_equal(store_record_get(&txn, slot, &rec), STATUS_OK);
        assert_true(rec.seq >= known->record_seq[s]);
        assert_int_equal(store_meta_own_seq(&txn, slot, &epoch, &value),
                         STATUS_OK);
        assert_int_equal(value, rec.seq);
    }
    assert_int_equal(store_meta_uptime(&txn, &value), STATUS_OK);
    assert_true(value >= known->uptime);
    assert_int_equal(store_activation_last_n(&txn, "m", &value), STATUS_OK);
    assert_true(value >= known->activation_n);
    for (uint32_t i = 0; i < VERSIONS; i++)
        check_version(&txn, known, i);
    store_txn_abort(&txn);
}

/* One life of the child: ends it after a random number of acknowledgements,
 * at a random moment of the step that follows. Returns how many came. */
static unsigned live(const char *path, uint64_t seed, struct rng *rng,
                     struct known *known)
{
    int ends[2];
    struct ack ack;
    unsigned count = 0;
    unsigned wanted = (unsigned)rng_below(rng, 50);
    bool killed = false;
    int state;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        close(ends[0]);
        child_run(path, seed, ends[1]);
    }
    close(ends[1]);
    do {
        if (!killed && count >= wanted) {
            usleep((useconds_t)rng_below(rng, 1500));
            kill(pid, SIGKILL);
            killed = true;
        }
        if (read(ends[0], &ack, sizeof(ack)) != (ssize_t)sizeof(ack))
            break;
        count++;
        know(known, &ack);
    } while (true);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &state, 0), pid);
    if (WIFEXITED(state))
        assert_int_equal(WEXITSTATUS(state), 0);
    else
        assert_int_equal(WTERMSIG(state), SIGKILL);
    return count;
}

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void store_survives_kills_with_all_that_was_acknowledged(void **state)
{
    (void)state;
    uint64_t rounds = number_from_env("DM_CRASH_ROUNDS", 30);
    uint64_t seed = number_from_env("DM_CRASH_SEED", 1);
    struct tmpstore tmp;
    struct known known = {.uptime = 0};
    struct rng_seeded seeded;
    struct store_env_options options = {.map_bytes = 16 << 20};
    uint64_t total = 0;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    tmpstore_init_empty(&tmp);
    for (uint64_t i = 0; i < rounds; i++) {
        total += live(tmp.path, seed * 1000 + i, &rng, &known);
        diag_reset(&tmp.diag);
        if (store_env_open(&tmp.env, tmp.path, &options, &tmp.diag))
            fail_msg("seed %" PRIu64 ", round %" PRIu64 ": %s", seed, i,
                     tmp.diag.text);
        if (tmpstore_fsck(&tmp, false))
            fail_msg("seed %" PRIu64 ", round %" PRIu64 ":\n%s", seed, i,
                     tmp.problems);
        check_known(&tmp, &known);
        store_env_close(tmp.env);
        tmp.env = NULL;
    }
    printf("# seed %" PRIu64 ": %" PRIu64 " kills, %" PRIu64
           " acknowledged steps\n",
           seed, rounds, total);
    tmpstore_reopen(&tmp, 0, 16 << 20);
    tmpstore_deinit(&tmp);
}

static void store_survives_kills_while_it_is_created(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 7);
    struct rng rng = rng_from_seeded(&seeded);
    for (int i = 0; i < 12; i++) {
        struct tmpstore tmp;
        int status;
        tmpstore_init_empty(&tmp);
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid)
            child_run(tmp.path, 1, open("/dev/null", O_WRONLY));
        usleep((useconds_t)rng_below(&rng, 2500));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        tmpstore_reopen(&tmp, 0, 16 << 20);
        assert_int_equal(tmpstore_fsck(&tmp, false), 0);
        tmpstore_deinit(&tmp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_survives_kills_with_all_that_was_acknowledged),
        cmocka_unit_test(store_survives_kills_while_it_is_created),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
