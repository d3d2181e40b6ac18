/* Predictions: base elements in the target's order, then the record's tables.
 * The tables of one auxiliary segment are kept decoded, because the pieces of a
 * record and of its neighbours need them one after the other. */
#include "codec/update/predictor.h"

#include "codec/lossless/factors.h"
#include "codec/lossless/row_scale.h"

#include <stdlib.h>

#define PREDICTOR_AUX_NONE UINT32_MAX

struct predictor {
    const struct record_list *list;
    const struct source *base;
    const struct predictor_aux *aux;
    /* Tables of auxiliary segment loaded: per record from first on that has
     * any, one after the other. */
    uint32_t loaded;
    uint8_t *tables;
    size_t tables_cap;
    uint32_t record; /* one of those, whose tables begin at */
    size_t record_at;
    uint32_t *pairs; /* of the record of index pairs_of: v laid out for speed */
    size_t pairs_cap;
    uint32_t pairs_of;
    uint8_t *elems; /* base elements of one piece */
    uint8_t *lost;
};

struct predictor *predictor_new(const struct record_list *list,
                                const struct source *base,
                                const struct predictor_aux *aux)
{
    struct predictor *pr = calloc(1, sizeof(*pr));
    if (!pr)
        return NULL;
    pr->list = list;
    pr->base = base;
    pr->aux = aux;
    pr->loaded = PREDICTOR_AUX_NONE;
    pr->pairs_of = PREDICTOR_AUX_NONE;
    pr->elems = malloc(CODING_PIECE_MAX * sizeof(uint64_t));
    pr->lost = malloc(CODING_PIECE_MAX);
    if (pr->elems && pr->lost)
        return pr;
    predictor_free(pr);
    return NULL;
}

void predictor_free(struct predictor *pr)
{
    if (!pr)
        return;
    free(pr->tables);
    free(pr->pairs);
    free(pr->elems);
    free(pr->lost);
    free(pr);
}

/* Where the parts of a record's tables lie from at on: factors of rows, of
 * columns, then scales of rows. at is a multiple of 4. */
static void predictor_place(const struct update_record *record, uint8_t *at,
                            struct predict *out)
{
    uint64_t rows = record_rows(record);
    if (record->scaled)
        out->row_scale = (int32_t *)(void *)at;
    at += record->scaled ? 4 * rows : 0;
    if (!record->rank)
        return;
    out->u = (int16_t *)(void *)at;
    out->v = out->u + record->rank * rows;
}

/* The room that a record's tables take, so that the next ones are aligned. */
static size_t predictor_room(const struct update_record *record)
{
    return (size_t)(record_tables_size(record) + 3) & ~(size_t)3;
}

static enum status predictor_read_tables(const struct update_record *record,
                                         struct reader *rd, uint8_t *at)
{
    struct predict tables = {0};
    uint64_t rows = record_rows(record);
    enum status status = STATUS_OK;
    predictor_place(record, at, &tables);
    if (record->scaled)
        status = row_scale_read(rd, rows,
                                row_scale_is_fine(record->from, record->dtype),
                                (int32_t *)tables.row_scale);
    if (status || !record->rank)
        return status;
    int16_t *u = (int16_t *)tables.u, *v = (int16_t *)tables.v;
    if (record->coding.kind == CODING_LATTICE)
        return lattice_factors_read(rd, record->coding.lattice.guessed,
                                    record->rank, rows, record->columns, u, v);
    return factors_read(rd, record->rank, rows, record->columns, u, v);
}

enum status predictor_tables_write(const struct update_record *record,
                                   const struct predict *tables,
                                   struct writer *wr)
{
    uint64_t rows = record_rows(record);
    enum status status = STATUS_OK;
    if (record->scaled)
        status = row_scale_write(rows,
                                 row_scale_is_fine(record->from, record->dtype),
                                 tables->row_scale, wr);
    if (status || !record->rank)
        return status;
    if (record->coding.kind == CODING_LATTICE)
        return lattice_factors_write(record->coding.lattice.guessed,
                                     record->rank, rows, record->columns,
                                     tables->u, tables->v, wr);
    return factors_write(record->rank, rows, record->columns, tables->u,
                         tables->v, wr);
}

/* Finds the records of an auxiliary segment: the first one, and the bytes that
 * all their tables take. */
static enum status predictor_make_room(struct predictor *pr, uint32_t first)
{
    const struct record_list *list = pr->list;
    size_t size = 0;
    for (uint32_t i = first;
         i < list->count && list->records[i].aux == list->records[first].aux;
         i++)
        if (record_has_tables(&list->records[i]))
            size += predictor_room(&list->records[i]);
    if (size <= pr->tables_cap)
        return STATUS_OK;
    free(pr->tables);
    pr->tables_cap = 0;
    pr->tables = malloc(size);
    if (!pr->tables)
        return STATUS_NO_MEMORY;
    pr->tables_cap = size;
    return STATUS_OK;
}

static enum status predictor_fill(struct predictor *pr, uint32_t first,
                                  struct bytes coded)
{
    const struct record_list *list = pr->list;
    struct reader rd;
    size_t at = 0;
    reader_init(&rd, coded);
    for (uint32_t i = first;
         i < list->count && list->records[i].aux == list->records[first].aux;
         i++) {
        const struct update_record *record = &list->records[i];
        if (!record_has_tables(record))
            continue;
        enum status status =
            predictor_read_tables(record, &rd, pr->tables + at);
        if (status)
            return status;
        at += predictor_room(record);
    }
    return reader_finish(&rd);
}

static enum status predictor_load(struct predictor *pr, uint32_t aux)
{
    struct bytes coded;
    if (pr->loaded == aux)
        return STATUS_OK;
    pr->loaded = PREDICTOR_AUX_NONE;
    uint32_t first = record_of_aux(pr->list, aux + 1);
    enum status status = pr->aux->read(pr->aux->ctx, aux, &coded);
    if (!status)
        status = predictor_make_room(pr, first);
    if (status)
        return status;
    status = predictor_fill(pr, first, coded);
    if (status && pr->aux->bad)
        pr->aux->bad(pr->aux->ctx, aux, status);
    if (status)
        return status;
    pr->loaded = aux;
    pr->record = first;
    pr->record_at = 0;
    return STATUS_OK;
}

/* Lays the columns' factors out once for all pieces of a record. */
static enum status predictor_pairs(struct predictor *pr, uint32_t index,
                                   struct predict *predict)
{
    size_t count = predict_pairs_count(predict);
    if (pr->pairs_of != index) {
        pr->pairs_of = PREDICTOR_AUX_NONE;
        if (count > pr->pairs_cap) {
            free(pr->pairs);
            pr->pairs_cap = 0;
            pr->pairs = malloc(count * sizeof(*pr->pairs));
            if (!pr->pairs)
                return STATUS_NO_MEMORY;
            pr->pairs_cap = count;
        }
        predict_pairs(predict, pr->pairs);
        pr->pairs_of = index;
    }
    predict->pairs = pr->pairs;
    return STATUS_OK;
}

/* The tables of a record, out of those loaded. Records come in order, mostly:
 * the walk goes on where it was. */
static enum status predictor_tables(struct predictor *pr,
                                    const struct update_record *record,
                                    struct predict *out)
{
    uint32_t index = (uint32_t)(record - pr->list->records);
    enum status status = predictor_load(pr, record->aux - 1);
    if (status)
        return status;
    if (index < pr->record) {
        pr->record = record_of_aux(pr->list, record->aux);
        pr->record_at = 0;
    }
    for (; pr->record < index; pr->record++)
        if (record_has_tables(&pr->list->records[pr->record]))
            pr->record_at += predictor_room(&pr->list->records[pr->record]);
    predictor_place(record, pr->tables + pr->record_at, out);
    return out->rank ? predictor_pairs(pr, index, out) : STATUS_OK;
}

enum status predictor_elems(struct predictor *pr,
                            const struct update_record *record,
                            uint64_t first_elem, size_t elem_count,
                            uint8_t *pred, const uint8_t **lost)
{
    struct gather gather;
    struct predict predict = {
        .dtype = record->dtype,
        .from = record->from,
        .columns = UINT32_MAX,
        .rank = record->rank,
        .shift = record->shift,
        .scale_shift = record->scale_shift,
        .base_scale = record->base_scale,
    };
    bool plain = record_is_plain(record);
    *lost = NULL;
    if (!pr->base)
        return STATUS_CORRUPT;
    record_gather(pr->list, record, &gather);
    enum status status = gather_read(&gather, pr->base, first_elem, elem_count,
                                     plain ? pred : pr->elems);
    if (!status && record_has_tables(record)) {
        predict.columns = record->columns;
        status = predictor_tables(pr, record, &predict);
    }
    if (status || plain)
        return status;
    bool has_lost = predict_has_lost(&predict);
    predict_elems(&predict, first_elem, pr->elems, elem_count, pred,
                  has_lost ? pr->lost : NULL);
    *lost = has_lost ? pr->lost : NULL;
    return STATUS_OK;
}
