/* One draw of the generator decides each change. */
#include "tests/support/update_mutate.h"

#include "codec/base/rng.h"
#include "codec/lossless/packed.h"
#include "codec/update/header_write.h"
#include "codec/update/update_file.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENTS_MAX 64u
#define ROOM_MAX     (2u << 20)

struct mutation {
    struct rng rng;
    struct update_header header;
    struct writer coded[SEGMENTS_MAX]; /* of each segment */
};

static uint32_t draw(struct mutation *m, uint64_t bound)
{
    return (uint32_t)rng_below(&m->rng, bound);
}

/* A number near v, or one that is near nothing. */
static uint64_t near(struct mutation *m, uint64_t v)
{
    static const uint64_t edges[] = {
        0, 1, 2, 255, 4096, 65535, 65536, UINT32_MAX, 1ull << 36, UINT64_MAX};
    switch (draw(m, 6)) {
    case 0:
        return v + 1;
    case 1:
        return v - 1;
    case 2:
        return v * 2;
    case 3:
        return v / 2;
    case 4:
        return v ^ 1ull << draw(m, 20);
    default:
        return edges[draw(m, sizeof(edges) / sizeof(*edges))];
    }
}

static struct update_record *draw_record(struct mutation *m)
{
    struct record_list *list = &m->header.records;
    return list->count ? &list->records[draw(m, list->count)] : NULL;
}

/* ---- records ---- */

static void change_window(struct mutation *m, struct update_record *r)
{
    struct record_window *w = &r->window;
    if (!w->on || draw(m, 6) == 0) {
        w->on = !w->on;
        w->stride = w->stride ? w->stride : (uint32_t)near(m, r->columns);
        return;
    }
    struct gather_run *run = NULL;
    if (w->run_count)
        run = &m->header.records.runs[w->run_first + draw(m, w->run_count)];
    switch (draw(m, 5)) {
    case 0:
        w->transposed = !w->transposed;
        break;
    case 1:
        w->stride = (uint32_t)near(m, w->stride);
        break;
    case 2:
        w->run_count -= w->run_count ? 1 : 0;
        break;
    case 3:
        if (run)
            run->count = (uint32_t)near(m, run->count) & 0xffffff;
        break;
    default:
        if (run)
            run->base_column = (uint32_t)near(m, run->base_column);
    }
}

static void change_prediction(struct mutation *m, struct update_record *r)
{
    switch (draw(m, 8)) {
    case 7: /* plain */
        r->from = r->dtype;
        r->scaled = false;
        r->base_scale = 0;
        r->rank = 0;
        break;
    case 0:
        r->columns = (uint32_t)near(m, r->columns);
        break;
    case 1:
        r->rank = (uint8_t)near(m, r->rank);
        break;
    case 2:
        r->shift = (int8_t)near(m, (uint64_t)r->shift);
        break;
    case 3:
        if (draw(m, 2))
            r->scaled = !r->scaled;
        else
            r->base_scale = r->base_scale > 0 ? -r->base_scale : 1e9f;
        break;
    case 4:
        r->scale_shift = (int8_t)near(m, (uint64_t)r->scale_shift);
        break;
    case 5:
        r->from = (enum dtype)draw(m, DTYPE_COUNT);
        break;
    default:
        r->aux += draw(m, 2) ? 1 : UINT32_MAX;
    }
}

/* Another type for the same bytes, and the coding of another record. */
static void change_type(struct mutation *m, struct update_record *r)
{
    const struct update_record *other = draw_record(m);
    enum dtype old = r->dtype;
    for (int i = 0; i < 40 && other->dtype != old; i++)
        other = draw_record(m);
    if (other->mode != UPDATE_CODED)
        return;
    if (draw(m, 3) == 0)
        r->dtype = (enum dtype)draw(m, DTYPE_COUNT);
    if (r->from == old)
        r->from = r->dtype;
    if (draw(m, 3) && other->dtype == r->dtype)
        r->coding = other->coding;
}

/* A record's last byte's place moves, the target's size stays. */
static void change_size(struct mutation *m, struct update_record *r)
{
    struct record_list *list = &m->header.records;
    struct update_record *next = r + 1;
    if (next == list->records + list->count)
        return;
    uint64_t both = r->size + next->size;
    uint64_t step = packed_unit_bytes(r->dtype), size = r->size;
    size = draw(m, 2) && step ? size + step : near(m, size);
    if (!size || size >= both)
        return;
    r->size = size;
    next->size = both - size;
    next->target_offset = r->target_offset + size;
}

static void change_base(struct mutation *m, struct update_record *r)
{
    if (draw(m, 3))
        r->base_offset = near(m, r->base_offset);
    else if (draw(m, 2))
        r->base_size = near(m, r->base_size);
    else
        r->base_size = r->base_offset = 0;
}

static void swap_records(struct mutation *m, struct update_record *r)
{
    struct update_record *other = draw_record(m), held = *r;
    uint64_t at = m->header.records.records[0].target_offset;
    *r = *other;
    *other = held;
    for (uint32_t i = 0; i < m->header.records.count; i++) {
        struct update_record *each = &m->header.records.records[i];
        each->target_offset = at;
        at += each->size;
    }
}

static void change_record(struct mutation *m)
{
    struct update_record *r = draw_record(m);
    if (!r)
        return;
    switch (draw(m, 8)) {
    case 0:
        if (r->mode != UPDATE_CODED)
            r->mode = (enum update_mode)draw(m, UPDATE_CODED);
        else
            record_uncode(r);
        break;
    case 1:
        change_size(m, r);
        break;
    case 2:
        change_base(m, r);
        break;
    case 3:
        swap_records(m, r);
        break;
    case 4:
        change_type(m, r);
        break;
    case 5:
        change_window(m, r);
        break;
    default:
        change_prediction(m, r);
    }
}

/* ---- tables ---- */

/* Two symbols of one table trade frequencies; the escape keeps some. */
static void change_table(struct mutation *m)
{
    struct coding_tables *tables = &m->header.tables;
    uint32_t count = tables->fast.count + tables->narrow.count;
    if (!count)
        return;
    uint32_t at = draw(m, count), a = draw(m, 31), b = draw(m, 31);
    struct freq_table *table =
        at < tables->fast.count
            ? &tables->fast.table[at]
            : &tables->narrow.table[at - tables->fast.count];
    uint16_t held = table->freq[a];
    table->freq[a] = table->freq[b];
    table->freq[b] = held;
}

/* ---- segments ---- */

static void change_bytes(struct mutation *m, struct writer *coded)
{
    size_t size = coded->size, at = size ? draw(m, size) : 0, span;
    uint8_t *data = coded->data;
    if (!size)
        return;
    span = 1 + draw(m, size - at < 64 ? size - at : 64);
    switch (draw(m, 7)) {
    case 0: /* its kind */
        data[0] = (uint8_t)draw(m, 4);
        break;
    case 1:
        data[at] ^= (uint8_t)(1u << draw(m, 8));
        break;
    case 2: /* a head, most likely */
        at = size < 40 ? at : draw(m, 40);
        data[at] = (uint8_t)near(m, data[at]);
        break;
    case 3: /* a cut */
        coded->size = at;
        break;
    case 4: /* a gap */
        memmove(data + at, data + at + span, size - at - span);
        coded->size -= span;
        break;
    case 5: /* twice */
        if (writer_reserve(coded, span))
            memmove(coded->data + at + span, coded->data + at, size - at);
        break;
    default:
        memset(data + at, draw(m, 2) ? 0xff : 0, span);
    }
}

static void swap_segments(struct mutation *m)
{
    uint32_t a = draw(m, m->header.segment_count);
    uint32_t b = draw(m, m->header.segment_count);
    struct writer held = m->coded[a];
    m->coded[a] = m->coded[b];
    m->coded[b] = held;
}

static void change_segments(struct mutation *m)
{
    struct update_header *h = &m->header;
    if (!h->segment_count)
        return;
    switch (draw(m, 8)) {
    case 0:
        swap_segments(m);
        break;
    case 1:
        if (h->aux_count && draw(m, 2))
            h->aux_count--;
        else if (h->aux_count < h->segment_count)
            h->aux_count++;
        break;
    case 2:
        h->segment_log ^= (uint8_t)(1u << draw(m, 3));
        break;
    default:
        change_bytes(m, &m->coded[draw(m, h->segment_count)]);
    }
}

/* ---- the whole ---- */

static bool mutation_open(struct mutation *m, struct bytes update)
{
    struct source source = source_of_bytes(update);
    struct update_file file;
    if (update_file_open(&source, &file, NULL))
        return false;
    bool good = file.header.segment_count <= SEGMENTS_MAX;
    for (uint32_t i = 0; good && i < file.header.segment_count; i++) {
        const struct update_segment *segment = &file.header.segments[i];
        writer_init_heap(&m->coded[i], ROOM_MAX);
        writer_bytes(&m->coded[i],
                     update.data + file.segments_offset + segment->offset,
                     segment->size);
    }
    m->header = file.header;
    memset(&file.header, 0, sizeof(file.header));
    update_file_close(&file);
    return good;
}

/* Bits of the header that no field above has: codings, tables, sizes. */
static void change_header(struct mutation *m, uint8_t *data, size_t size)
{
    size_t directory = 17u * m->header.segment_count;
    size_t records = size > directory ? size - directory : size;
    for (uint32_t k = 1 + draw(m, 3); k && records; k--) {
        uint8_t *at = data + draw(m, records);
        if (draw(m, 2))
            *at ^= (uint8_t)(1u << draw(m, 8));
        else
            *at = (uint8_t)near(m, *at);
    }
}

static void mutation_write(struct mutation *m, bool header, struct writer *out)
{
    struct writer head;
    writer_init_heap(&head, UPDATE_HEADER_MAX);
    for (uint32_t i = 0; i < m->header.segment_count; i++) {
        struct update_segment *segment = &m->header.segments[i];
        segment->size = (uint32_t)m->coded[i].size;
        update_segment_hash(writer_view(&m->coded[i]), segment->hash);
    }
    update_header_write(&m->header, &head);
    if (header && !writer_status(&head))
        change_header(m, head.data, head.size);
    update_file_write_head(out, writer_view(&head));
    for (uint32_t i = 0; i < m->header.segment_count; i++)
        writer_bytes(out, m->coded[i].data, m->coded[i].size);
    writer_deinit(&head);
}

bool update_mutate(struct bytes update, uint64_t seed, struct writer *out)
{
    struct mutation *m = calloc(1, sizeof(*m));
    struct rng_seeded seeded;
    if (!m || !mutation_open(m, update)) {
        free(m);
        return false;
    }
    rng_seeded_init(&seeded, seed);
    m->rng = rng_from_seeded(&seeded);
    for (uint32_t k = draw(m, 4); k; k--) {
        uint32_t what = draw(m, 10);
        if (what < 5)
            change_record(m);
        else if (what < 9)
            change_segments(m);
        else
            change_table(m);
    }
    mutation_write(m, draw(m, 3) == 0, out);
    for (uint32_t i = 0; i < m->header.segment_count; i++)
        writer_deinit(&m->coded[i]);
    update_header_free(&m->header);
    free(m);
    return !writer_status(out);
}
