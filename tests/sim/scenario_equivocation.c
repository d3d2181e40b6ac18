/* An operator's key signs two channel records with one seq and shows each half
 * of the fleet another: nobody acts on either until the next record names both.
 */
#include "tests/sim/scenario.h"

#include <stdlib.h>

static void sign_channel(struct sim *sim, uint64_t seq, const char *model,
                         const struct hash *version, struct bytes heals,
                         struct fleet_bytes *out)
{
    struct fleet *f = sim_fleet(sim);
    struct fleet_role *desk = fleet_find_role(f, "desk");
    struct body_channel *body = calloc(1, sizeof *body);
    struct writer wr;
    if (!body || !desk)
        sim_fail(sim, "no channel");
    body->common.heals = heals;
    body->entry_count = 1;
    body->entries[0].model = bytes_of_text(model);
    body->entries[0].has_version = true;
    body->entries[0].version = *version;
    writer_init_heap(&wr, LIMIT_RECORD_BYTES);
    if (body_channel_encode(body, &wr))
        sim_fail(sim, "no channel body");
    fleet_sign(f, desk, 0, RECORD_CHANNEL, bytes_of_text("main"), desk->epoch,
               seq, writer_view(&wr), out);
    writer_deinit(&wr);
    free(body);
}

static void submit(struct sim *sim, unsigned node,
                   const struct fleet_bytes *record)
{
    struct diag diag = {{0}};
    enum status status = sim_submit(sim, node, fleet_view(record), &diag);
    if (status && status != STATUS_STALE)
        sim_fail(sim, "refused: %s", diag.text);
}

static bool all_hold_proof(struct sim *sim, void *unused)
{
    struct slot_author author = slot_author_role(bytes_of_text("desk"));
    struct slot_id slot =
        slot_id_of(&author, RECORD_CHANNEL, bytes_of_text("main"));
    (void)unused;
    for (unsigned i = 0; i < sim_node_count(sim); i++) {
        const struct slot_entry *e =
            trust_slot(node_trust(sim_node(sim, i)->core), &slot);
        if (!e || !e->has_proof)
            return false;
    }
    return true;
}

static void run(struct sim *sim)
{
    struct sim_goal goal = {.model = "cam/detect"}, first;
    struct fleet_bytes *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    unsigned last = sim_node_count(sim) - 1;
    struct bytes none = {NULL, 0};
    if (!a || !b)
        sim_fail(sim, "out of memory");
    scenario_start(sim);
    scenario_publish(sim, 0, 0, 100000, &goal);
    scenario_settle(sim, &goal, 60);
    first = goal;
    uint8_t *content = sim_content(sim_config(sim)->seed, 1, 100000);
    goal.version =
        sim_publish(sim, 0, goal.model, 2, bytes_of(content, 100000));
    free(content);
    if (!sim_run(sim, sim_now(sim) + SIM_MINUTE, sim_equal, NULL))
        sim_fail(sim, "digests stay different");
    sign_channel(sim, 2, goal.model, &goal.version, none, a);
    sign_channel(sim, 2, goal.model, &first.version, none, b);
    submit(sim, 0, a);
    submit(sim, last, b);
    if (!sim_run(sim, sim_now(sim) + 5 * SIM_MINUTE, all_hold_proof, NULL))
        sim_fail(sim, "the proof did not reach all");
    struct record one, two;
    struct hash both[2];
    if (record_parse(fleet_view(a), &one, NULL) ||
        record_parse(fleet_view(b), &two, NULL))
        sim_fail(sim, "unreadable");
    both[0] = one.hash;
    both[1] = two.hash;
    (void)body_list_sort(both, 2);
    sign_channel(sim, 3, goal.model, &goal.version, bytes_of(both, sizeof both),
                 a);
    submit(sim, 1, a);
    scenario_settle(sim, &goal, 120);
    free(a);
    free(b);
}

const struct scenario scenario_equivocation = {
    .name = "equivocation",
    .words = "one seq signed twice; the next record heals it",
    .nodes = 6,
    .run = run,
};
