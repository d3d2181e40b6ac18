/* Chooses the coder and its parameters for each record of an update.
 *
 *   for each record: coding_stats_reset, coding_stats_add in pieces, then
 *   coding_plan_add; after the last one coding_plan_solve, which yields the
 *   tables, and coding_plan_coding for each record. */
#ifndef CODEC_LOSSLESS_CODING_PLAN_H
#define CODEC_LOSSLESS_CODING_PLAN_H

#include "codec/lossless/coding.h"

enum coding_speed {
    CODING_SPEED_AUTO, /* small or lattice where it is clearly smaller */
    CODING_SPEED_FAST, /* decodes at the speed of memory: neither */
    CODING_SPEED_SMALL /* fewest bytes */
};

/* Statistics of one record under the coders that the speed allows, up to 2
 * MiB, made for reuse. NULL: no memory. */
struct coding_stats;
struct coding_stats *coding_stats_new(enum coding_speed speed);
void coding_stats_free(struct coding_stats *stats);

/* Starts a record; coding_kind_of must know dtype. columns: elements a row, or
 * 0. NO_MEMORY. */
enum status coding_stats_reset(struct coding_stats *stats, enum dtype dtype,
                               uint64_t columns) MUST_CHECK;

/* Adds elements, given their predictions (all or none have one). */
void coding_stats_add(struct coding_stats *stats, const uint8_t *pred,
                      const uint8_t *lost, const uint8_t *target,
                      size_t elem_count);

/* Looks for a lattice that what was added lies on, given its predictions. False
 * if there is none, or the speed does not allow the lattice coder. Not after
 * coding_stats_begin_lattice. */
bool coding_stats_find_lattice(const struct coding_stats *stats,
                               struct lattice_coding *coding);

/* The record is measured by levels of this step, too, or alone: all elements
 * must be added (again) by coding_stats_add_lattice, in stretches as for the
 * coder. False if its type or the speed does not allow the lattice coder. */
bool coding_stats_begin_lattice(struct coding_stats *stats,
                                const struct lattice_coding *coding,
                                bool alone);
void coding_stats_add_lattice(struct coding_stats *stats, const uint8_t *pred,
                              const uint8_t *target, size_t elem_count);

/* True when the lattice coder is what the record takes the fewest bits by. */
bool coding_stats_on_lattice(struct coding_stats *stats);

/* About the bits that what was added takes; UINT64_MAX: no memory. */
uint64_t coding_stats_bits(struct coding_stats *stats);

/* Elements that differ from their prediction; all, without one. */
uint64_t coding_stats_changed(const struct coding_stats *stats);

/* NULL: no memory. */
struct coding_plan;
struct coding_plan *coding_plan_new(void);
void coding_plan_free(struct coding_plan *plan);

/* Adds the record in stats; *index counts from 0. NO_MEMORY. */
enum status coding_plan_add(struct coding_plan *plan,
                            struct coding_stats *stats, size_t *index)
    MUST_CHECK;

/* NO_MEMORY. */
enum status coding_plan_solve(struct coding_plan *plan,
                              struct coding_tables *tables) MUST_CHECK;

/* The coding of a record, after coding_plan_solve, and its bits. */
uint64_t coding_plan_coding(const struct coding_plan *plan, size_t index,
                            struct coding *coding);

#endif
