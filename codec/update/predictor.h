/* What the base predicts for the elements of CODED records: gathers base
 * elements, applies the record's tables, rounds. Encoder and decoder share it.
 *
 * Memory: 90 kB, the tables of one auxiliary segment, at most
 * RECORD_TABLES_MAX bytes, and once more what one record has for its columns.
 * Not for two threads at once. */
#ifndef CODEC_UPDATE_PREDICTOR_H
#define CODEC_UPDATE_PREDICTOR_H

#include "codec/base/source.h"
#include "codec/update/record.h"

struct predictor;

/* Where auxiliary segments come from: *coded holds until the next call. */
struct predictor_aux {
    enum status (*read)(void *ctx, uint32_t index, struct bytes *coded);
    /* Notes that what was read is malformed. NULL: no one wants to know. */
    void (*bad)(void *ctx, uint32_t index, enum status status);
    void *ctx;
};

/* Everything is borrowed. base is NULL when no record has one. NULL: no
 * memory. */
struct predictor *predictor_new(const struct record_list *list,
                                const struct source *base,
                                const struct predictor_aux *aux);
void predictor_free(struct predictor *predictor);

/* The predictions for elem_count <= CODING_PIECE_MAX elements of a record that
 * has a base, from its element first_elem on.
 *
 * pred  out: elements of the record's dtype
 * lost  out: a view until the next call, or NULL where there is none
 *
 * CORRUPT, TRUNCATED: the record's tables are malformed; NO_MEMORY, or what
 * base and aux answer. */
enum status predictor_elems(struct predictor *predictor,
                            const struct update_record *record,
                            uint64_t first_elem, size_t elem_count,
                            uint8_t *pred, const uint8_t **lost) MUST_CHECK;

/* Appends the tables of one record, whose kind of coding is set, as an
 * auxiliary segment holds those of several in order. NO_MEMORY, or what the
 * writer says. */
enum status predictor_tables_write(const struct update_record *record,
                                   const struct predict *tables,
                                   struct writer *wr) MUST_CHECK;

#endif
