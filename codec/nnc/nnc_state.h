/* What both ends of a chain of incremental NNC streams remember: of each
 * tensor the levels of the last update sent, its place in the parameter update
 * tree, and where any update had a level that was not 0; and one device id.
 *
 * A decoder given a state reads and follows it by itself (nnc_dec.h) and
 * changes it only when a stream was good to its end. A sender keeps one as
 * well: it puts what nnc_enc_tensor says was sent, or decodes its own stream.
 *
 * The rule, per unit sent: levels and ids are replaced; an element's history
 * turns on where the level is not 0. A unit without a parent is a root: its
 * history is empty. Raw floats leave their ids, and neither levels nor history:
 * the next update has no temporal context. Tensors that a stream leaves out
 * stay as they are.
 *
 * Ref: ISO/IEC 15938-17:2024, parameter update tree. */
#ifndef CODEC_NNC_NNC_STATE_H
#define CODEC_NNC_NNC_STATE_H

#include "codec/base/status.h"
#include "codec/nnc/nnc.h"

/* One tensor's last update. From nnc_state_find: valid until the state
 * changes. */
struct nnc_node {
    const char *name; /* ends with a NUL */
    bool has_ids;     /* the next two were sent */
    uint32_t parameter_id, put_node_depth;
    uint32_t rank; /* 1 .. NNC_RANK_MAX */
    uint64_t shape[NNC_RANK_MAX];
    uint64_t elem_count;
    /* elem_count each. levels: NULL where no update is known; history: a byte
     * an element, NULL where all are 0. */
    const int32_t *levels;
    const uint8_t *history;
};

struct nnc_state;

#define NNC_STATE_NODES_MAX 65536u

/* An empty state. NO_MEMORY. */
enum status nnc_state_new(struct nnc_state **state) MUST_CHECK;
void nnc_state_free(struct nnc_state *state);

/* The node of a tensor or NULL. */
const struct nnc_node *nnc_state_find(const struct nnc_state *state,
                                      const char *name);

/* Nodes in the order of their names' bytes; index < count. */
size_t nnc_state_count(const struct nnc_state *state);
const struct nnc_node *nnc_state_at(const struct nnc_state *state,
                                    size_t index);

/* Copies the node, instead of one of that name. NO_MEMORY, LIMIT above
 * NNC_STATE_NODES_MAX: nothing changed. */
enum status nnc_state_put(struct nnc_state *state, const struct nnc_node *node)
    MUST_CHECK;

/* As above, from a tensor sent or read and its levels, by the rule.
 *
 * before   the node that state has of it, or that a caller has elsewhere, or
 *          NULL
 * has_ids  parameter_id and put_node_depth of tensor were sent; else
 *          parameter_id is that of before and the depth one more, 1 at first
 * levels   NULL: raw floats */
enum status nnc_state_sent(struct nnc_state *state,
                           const struct nnc_node *before,
                           const struct nnc_tensor *tensor, bool has_ids,
                           const int32_t *levels) MUST_CHECK;

/* The device whose updates these are; false where none is known yet. */
bool nnc_state_device(const struct nnc_state *state, uint32_t *device_id);
void nnc_state_set_device(struct nnc_state *state, uint32_t device_id);

/* The levels of all nodes that state would hold after nnc_state_take. */
uint64_t nnc_state_elems(const struct nnc_state *state,
                         const struct nnc_state *newer);

/* Moves all nodes and the device of newer over those of state; newer is empty
 * after. NO_MEMORY, LIMIT: neither changed. */
enum status nnc_state_take(struct nnc_state *state, struct nnc_state *newer)
    MUST_CHECK;

#endif
