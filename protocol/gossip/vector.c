/* Both kinds of vector are sorted lists, compared and joined by one merge. */
#include "protocol/gossip/vector.h"

struct vector_entry vector_entry_of(const struct slot_entry *entry)
{
    struct vector_entry v = {
        .slot = entry->id, .epoch = entry->epoch, .seq = entry->seq};
    slot_entry_digest(entry, v.hash);
    return v;
}

enum vector_order vector_entry_compare(const struct vector_entry *a,
                                       const struct vector_entry *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? VECTOR_BEFORE : VECTOR_AFTER;
    if (a->seq != b->seq)
        return a->seq < b->seq ? VECTOR_BEFORE : VECTOR_AFTER;
    return memcmp(a->hash, b->hash, VECTOR_HASH_BYTES) ? VECTOR_FORK
                                                       : VECTOR_EQUAL;
}

/* The order of two vectors of which some element of the first, or of the
 * second, is newer. */
static enum vector_order order_of(bool a_newer, bool b_newer)
{
    if (a_newer && b_newer)
        return VECTOR_CONCURRENT;
    if (a_newer)
        return VECTOR_AFTER;
    return b_newer ? VECTOR_BEFORE : VECTOR_EQUAL;
}

enum vector_order vector_compare(const struct vector_entry *a, size_t a_count,
                                 const struct vector_entry *b, size_t b_count)
{
    bool a_newer = false, b_newer = false;
    size_t i = 0, k = 0;
    while (i < a_count && k < b_count) {
        int side = slot_id_compare(&a[i].slot, &b[k].slot);
        enum vector_order order = side < 0 ? VECTOR_AFTER
                                  : side > 0
                                      ? VECTOR_BEFORE
                                      : vector_entry_compare(a + i, b + k);
        a_newer |= order == VECTOR_AFTER || order == VECTOR_FORK;
        b_newer |= order == VECTOR_BEFORE || order == VECTOR_FORK;
        i += side <= 0;
        k += side >= 0;
    }
    return order_of(a_newer || i < a_count, b_newer || k < b_count);
}

static bool entry_wins(const struct vector_entry *a,
                       const struct vector_entry *b)
{
    enum vector_order order = vector_entry_compare(a, b);
    return order == VECTOR_AFTER || order == VECTOR_EQUAL ||
           (order == VECTOR_FORK &&
            memcmp(a->hash, b->hash, VECTOR_HASH_BYTES) > 0);
}

size_t vector_join(const struct vector_entry *a, size_t a_count,
                   const struct vector_entry *b, size_t b_count,
                   struct vector_entry *out)
{
    size_t i = 0, k = 0, count = 0;
    while (i < a_count || k < b_count) {
        int side = i == a_count   ? 1
                   : k == b_count ? -1
                                  : slot_id_compare(&a[i].slot, &b[k].slot);
        bool take_a = side < 0 || (side == 0 && entry_wins(a + i, b + k));
        out[count++] = take_a ? a[i] : b[k];
        i += side <= 0;
        k += side >= 0;
    }
    return count;
}

/* The order of CBOR map keys: shorter texts first. */
static int role_compare(struct bytes a, struct bytes b)
{
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    return a.size ? memcmp(a.data, b.data, a.size) : 0;
}

uint64_t vector_model_get(const struct vector_model *v, struct bytes role)
{
    for (size_t i = 0; i < v->count; i++)
        if (bytes_equal(v->ticks[i].role, role))
            return v->ticks[i].n;
    return 0;
}

enum status vector_model_set(struct vector_model *v, struct bytes role,
                             uint64_t n)
{
    size_t at = 0;
    while (at < v->count && role_compare(v->ticks[at].role, role) < 0)
        at++;
    if (at < v->count && bytes_equal(v->ticks[at].role, role)) {
        v->ticks[at].n = n;
        return STATUS_OK;
    }
    if (v->count == LIMIT_VECTOR)
        return STATUS_LIMIT;
    memmove(v->ticks + at + 1, v->ticks + at,
            (v->count - at) * sizeof(v->ticks[0]));
    v->ticks[at] = (struct vector_tick){role, n};
    v->count++;
    return STATUS_OK;
}

enum vector_order vector_model_compare(const struct vector_model *a,
                                       const struct vector_model *b)
{
    bool a_newer = false, b_newer = false;
    for (size_t i = 0; i < a->count; i++)
        a_newer |= a->ticks[i].n > vector_model_get(b, a->ticks[i].role);
    for (size_t i = 0; i < b->count; i++)
        b_newer |= b->ticks[i].n > vector_model_get(a, b->ticks[i].role);
    return order_of(a_newer, b_newer);
}

enum status vector_model_join(struct vector_model *a,
                              const struct vector_model *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct vector_tick *tick = &b->ticks[i];
        if (tick->n <= vector_model_get(a, tick->role))
            continue;
        enum status st = vector_model_set(a, tick->role, tick->n);
        if (st)
            return st;
    }
    return STATUS_OK;
}
