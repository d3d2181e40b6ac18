/* Checks over a core and its disk. */
#include "tests/sim/invariants.h"

#include <string.h>

void invariants_node(struct sim *sim, struct sim_node *node)
{
    struct node_counters counters;
    node_counters(node->core, &counters);
    if (node->disk.early_blocks)
        sim_fail(sim, "node %u decodes before the auxiliary segments are here",
                 node->index);
    if (counters.records_new == node->checked_records)
        return;
    node->checked_records = counters.records_new;
    const struct trust *trust = node_trust(node->core);
    for (size_t i = 0; i < trust_slot_count(trust); i++) {
        const struct slot_entry *e = trust_slot_at(trust, i);
        const struct disk_record *r = disk_record(&node->disk, &e->id);
        if (!r)
            sim_fail(sim, "node %u acts on a record that is not durable",
                     node->index);
        if (r->epoch < e->epoch || (r->epoch == e->epoch && r->seq < e->seq))
            sim_fail(sim, "node %u acts on a newer record than is durable",
                     node->index);
    }
}

void invariants_complete(struct sim *sim, struct sim_node *node,
                         const struct hash *version)
{
    const struct disk_version *v = disk_version(&node->disk, version);
    struct tree_builder builder = {0};
    struct hash tree, id;
    if (!v || !v->complete)
        sim_fail(sim, "node %u: a version is not complete", node->index);
    hash_bytes(HASH_MANIFEST, bytes_of(v->manifest, v->manifest_size), &id);
    if (!hash_equal(&id, version))
        sim_fail(sim, "node %u: a manifest has another hash", node->index);
    struct source content =
        source_of_bytes(bytes_of(v->content, (size_t)v->shape.size));
    enum status status = tree_build(&content, &builder, &tree);
    tree_builder_deinit(&builder);
    if (status || !hash_equal(&tree, &v->tree))
        sim_fail(sim, "node %u: a complete version has other bytes",
                 node->index);
}

void invariants_activate(struct sim *sim, struct sim_node *node,
                         const char *model, const struct hash *version)
{
    struct trust_version facts;
    const struct trust *trust = node_trust(node->core);
    if (trust_version_get(trust, version, &facts))
        sim_fail(sim, "node %u runs a version that no record names",
                 node->index);
    if (!facts.startable)
        sim_fail(sim, "node %u runs a retired version", node->index);
    if (!bytes_equal(facts.model, bytes_of_text(model)))
        sim_fail(sim, "node %u runs a version of another model", node->index);
    if (!trust_named_by_channel(trust, version))
        sim_fail(sim, "node %u runs a version that no channel names",
                 node->index);
    if (!disk_record(&node->disk, &facts.entry->id))
        sim_fail(sim, "node %u runs a version whose record is not durable",
                 node->index);
    invariants_complete(sim, node, version);
}
