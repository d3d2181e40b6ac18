/* Two tensors in different shapes while one is matched to the other. Internal
 * to match. */
#ifndef CODEC_LOSSLESS_MATCH_SHAPE_H
#define CODEC_LOSSLESS_MATCH_SHAPE_H

#include "codec/lossless/match_node.h"

/* How two tensors are looked at: first-axis entries of `group` rows each, rows
 * of units of `inner` elements. */
struct shape {
    struct matcher *ma;
    struct match_node *node;
    struct match_node *base;
    uint32_t rows;
    uint32_t base_rows;
    uint32_t units;
    uint32_t base_units;
    uint64_t group;
    uint64_t inner;
    uint32_t *row_map;  /* rows entries */
    uint32_t *unit_map; /* units entries */
};

/* Makes the node's pieces of both maps; none when too little has a base. */
enum status match_shape_emit(struct shape *sh) MUST_CHECK;

#endif
