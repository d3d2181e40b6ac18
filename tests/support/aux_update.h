/* Auxiliary segments for tests: a place that has those of an update whose
 * coded segments lie in memory, and updates that get some which no record
 * uses. */
#ifndef TESTS_SUPPORT_AUX_UPDATE_H
#define TESTS_SUPPORT_AUX_UPDATE_H

#include "codec/base/rng.h"
#include "codec/update/auxiliary.h"
#include "codec/update/header_write.h"

#include <stdlib.h>

struct aux_place {
    const struct update_header *header; /* borrowed */
    struct bytes coded;                 /* all segments, in order; borrowed */
    unsigned reads;                     /* how often it was asked */
};

static inline enum status aux_place_read(void *ctx, uint32_t index,
                                         struct writer *out)
{
    struct aux_place *place = ctx;
    place->reads++;
    if (index >= place->header->aux_count)
        return STATUS_NOT_FOUND;
    const struct update_segment *segment = &place->header->segments[index];
    writer_bytes(out, place->coded.data + segment->offset, segment->size);
    return STATUS_OK;
}

static inline struct update_aux aux_place_of(struct aux_place *place)
{
    return (struct update_aux){aux_place_read, place};
}

/* Puts count auxiliary segments, of 1 to size_max random bytes each, before
 * the others of an update.
 *
 * header, coded  of an update, all segments in order
 * seed           the same seed gives the same bytes
 * False when the result is no valid update or memory is short. */
static inline bool aux_update_extend(struct bytes header, struct bytes coded,
                                     uint32_t count, uint32_t size_max,
                                     uint64_t seed, struct writer *header_out,
                                     struct writer *coded_out)
{
    struct update_header h;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, seed);
    struct rng rng = rng_from_seeded(&seeded);
    if (update_header_parse(header, &h, NULL))
        return false;
    struct update_segment *list =
        calloc((size_t)h.segment_count + count + 1, sizeof(*list));
    for (uint32_t i = 0; list && i < count; i++) {
        list[i].size = 1 + (uint32_t)rng_below(&rng, size_max);
        uint8_t *room = writer_reserve(coded_out, list[i].size);
        if (!room)
            break;
        for (uint32_t k = 0; k < list[i].size; k++)
            room[k] = (uint8_t)rng_below(&rng, 256);
        update_segment_hash(bytes_of(room, list[i].size), list[i].hash);
    }
    if (list)
        memcpy(list + count, h.segments, h.segment_count * sizeof(*list));
    free(h.segments);
    h.segments = list;
    h.segment_count += count;
    h.aux_count += count;
    if (list)
        update_header_write(&h, header_out);
    writer_bytes(coded_out, coded.data, coded.size);
    update_header_free(&h);
    bool good = list && !writer_status(header_out) && !writer_status(coded_out);
    if (good)
        good = !update_header_parse(writer_view(header_out), &h, NULL);
    if (good)
        update_header_free(&h);
    return good;
}

#endif
