/* The slot table is a sorted array of pointers: a few thousand entries, found
 * by bisection, read in order far more often than they change. */
#include "protocol/slot.h"

#include "protocol/cbor.h"

#include <assert.h>
#include <stdlib.h>

struct slot_author slot_author_role(struct bytes name)
{
    struct slot_author author = {.is_node = false};
    size_t size = name.size < LIMIT_NAME_BYTES ? name.size : LIMIT_NAME_BYTES;
    author.size = (uint8_t)size;
    if (size)
        memcpy(author.b, name.data, size);
    return author;
}

struct slot_author slot_author_node(const struct node_id *id)
{
    struct slot_author author = {.is_node = true, .size = NODE_ID_BYTES};
    memcpy(author.b, id->b, NODE_ID_BYTES);
    return author;
}

bool slot_author_equal(const struct slot_author *a, const struct slot_author *b)
{
    return a->is_node == b->is_node &&
           bytes_equal(slot_author_bytes(a), slot_author_bytes(b));
}

struct slot_id slot_id_of(const struct slot_author *author, uint64_t kind,
                          struct bytes name)
{
    uint8_t buf[9 + LIMIT_NAME_BYTES + 9 + 9 + LIMIT_RECORD_NAME_BYTES];
    struct hash hash;
    struct slot_id id;
    struct writer wr;
    writer_init(&wr, buf, sizeof(buf));
    if (author->is_node)
        cbor_write_bytes(&wr, author->b, author->size);
    else
        cbor_write_text(&wr, slot_author_bytes(author));
    cbor_write_uint(&wr, kind);
    cbor_write_text(&wr, name);
    assert(!wr.status); /* callers check name against its limit */
    hash_bytes(HASH_SLOT, writer_view(&wr), &hash);
    memcpy(id.b, hash.b, SLOT_ID_BYTES);
    return id;
}

struct slot_entry *slot_entry_new(void)
{
    return calloc(1, sizeof(struct slot_entry));
}

static void free_view(struct bytes owned)
{
    free((void *)(uintptr_t)owned.data);
}

void slot_entry_free(struct slot_entry *entry)
{
    if (!entry)
        return;
    free_view(entry->envelope);
    free_view(entry->proof[0].envelope);
    free_view(entry->proof[1].envelope);
    free(entry);
}

void slot_entry_digest(const struct slot_entry *entry, uint8_t out[8])
{
    if (!entry->has_proof) {
        memcpy(out, entry->hash.b, 8);
        return;
    }
    struct hash_state st;
    struct hash mixed;
    hash_begin(&st, HASH_RECORD);
    hash_add(&st, entry->proof[0].hash.b, HASH_BYTES);
    hash_add(&st, entry->proof[1].hash.b, HASH_BYTES);
    hash_add(&st, entry->hash.b, HASH_BYTES);
    hash_end(&st, &mixed);
    memcpy(out, mixed.b, 8);
}

unsigned slot_entry_envelopes(const struct slot_entry *entry,
                              struct bytes out[3])
{
    unsigned count = 0;
    if (entry->has_proof) {
        out[count++] = entry->proof[0].envelope;
        out[count++] = entry->proof[1].envelope;
        if (hash_equal(&entry->hash, &entry->proof[0].hash))
            return count;
    }
    out[count++] = entry->envelope;
    return count;
}

/* How many slots an author has, by the first 8 bytes of a hash of its name. */
struct author_count {
    uint64_t key;
    size_t slots;
};

struct slot_table {
    struct slot_entry **entries; /* ascending by id */
    size_t count, cap;
    struct author_count *authors; /* ascending by key */
    size_t author_count, author_cap;
};

enum status slot_table_new(struct slot_table **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? STATUS_OK : STATUS_NO_MEMORY;
}

void slot_table_free(struct slot_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        slot_entry_free(table->entries[i]);
    free(table->entries);
    free(table->authors);
    free(table);
}

size_t slot_table_count(const struct slot_table *table)
{
    return table->count;
}

size_t slot_table_lower_bound(const struct slot_table *table,
                              const struct slot_id *id)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (slot_id_compare(&table->entries[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct slot_entry *slot_table_at(const struct slot_table *table,
                                       size_t index)
{
    return index < table->count ? table->entries[index] : NULL;
}

const struct slot_entry *slot_table_find(const struct slot_table *table,
                                         const struct slot_id *id)
{
    const struct slot_entry *e =
        slot_table_at(table, slot_table_lower_bound(table, id));
    return e && slot_id_equal(&e->id, id) ? e : NULL;
}

static uint64_t author_key(const struct slot_author *author)
{
    struct hash_state st;
    struct hash hash;
    uint8_t is_node = author->is_node;
    hash_begin(&st, HASH_MISC);
    hash_add(&st, &is_node, 1);
    hash_add(&st, author->b, author->size);
    hash_end(&st, &hash);
    return load_le64(hash.b);
}

static size_t author_lower_bound(const struct slot_table *table, uint64_t key)
{
    size_t low = 0, high = table->author_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (table->authors[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Room for one element more in an array of *cap elements. */
static enum status grow(void **items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return STATUS_OK;
    size_t more = *cap ? *cap + *cap / 2 : 64;
    void *moved = realloc(*items, more * size);
    if (!moved)
        return STATUS_NO_MEMORY;
    *items = moved;
    *cap = more;
    return STATUS_OK;
}

static enum status table_grow(struct slot_table *table)
{
    void *entries = table->entries, *authors = table->authors;
    enum status st =
        grow(&entries, table->count, &table->cap, sizeof(*table->entries));
    table->entries = entries;
    if (st)
        return st;
    st = grow(&authors, table->author_count, &table->author_cap,
              sizeof(*table->authors));
    table->authors = authors;
    return st;
}

static void author_add(struct slot_table *table, uint64_t key)
{
    size_t at = author_lower_bound(table, key);
    struct author_count *a = table->authors + at;
    if (at < table->author_count && a->key == key) {
        a->slots++;
        return;
    }
    memmove(a + 1, a, (table->author_count - at) * sizeof(*a));
    *a = (struct author_count){key, 1};
    table->author_count++;
}

static void author_subtract(struct slot_table *table, uint64_t key)
{
    size_t at = author_lower_bound(table, key);
    struct author_count *a = table->authors + at;
    assert(at < table->author_count && a->key == key);
    if (--a->slots)
        return;
    table->author_count--;
    memmove(a, a + 1, (table->author_count - at) * sizeof(*a));
}

enum status slot_table_put_take(struct slot_table *table,
                                struct slot_entry *entry)
{
    size_t at = slot_table_lower_bound(table, &entry->id);
    if (at < table->count &&
        slot_id_equal(&table->entries[at]->id, &entry->id)) {
        entry->author_key = table->entries[at]->author_key;
        slot_entry_free(table->entries[at]);
        table->entries[at] = entry;
        return STATUS_OK;
    }
    enum status st = table_grow(table);
    if (st)
        return st;
    memmove(table->entries + at + 1, table->entries + at,
            (table->count - at) * sizeof(*table->entries));
    table->entries[at] = entry;
    table->count++;
    entry->author_key = author_key(&entry->author);
    author_add(table, entry->author_key);
    return STATUS_OK;
}

bool slot_table_remove(struct slot_table *table, const struct slot_id *id)
{
    size_t at = slot_table_lower_bound(table, id);
    if (at >= table->count || !slot_id_equal(&table->entries[at]->id, id))
        return false;
    author_subtract(table, table->entries[at]->author_key);
    slot_entry_free(table->entries[at]);
    table->count--;
    memmove(table->entries + at, table->entries + at + 1,
            (table->count - at) * sizeof(*table->entries));
    return true;
}

size_t slot_table_author_count(const struct slot_table *table,
                               const struct slot_author *author)
{
    uint64_t key = author_key(author);
    size_t at = author_lower_bound(table, key);
    return at < table->author_count && table->authors[at].key == key
               ? table->authors[at].slots
               : 0;
}

const struct slot_entry *
slot_table_author_last(const struct slot_table *table,
                       const struct slot_author *author)
{
    for (size_t i = table->count; i-- > 0;)
        if (slot_author_equal(&table->entries[i]->author, author))
            return table->entries[i];
    return NULL;
}
