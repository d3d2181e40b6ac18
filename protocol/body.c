/* Three steps a kind: read_ takes the fields out of the map, check_ judges
 * their values for decoder and encoder alike, write_ puts them down. */
#include "protocol/body.h"

#include "protocol/cbor.h"
#include "protocol/name.h"

#include <stdlib.h>

/* Of the body of any kind; kinds number their own keys from 0 on. */
#define KEY_HEALS 23

#define BIT(key) ((uint64_t)1 << (key))

/* ---- lists ---- */

static int compare_items(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

size_t body_list_sort(void *items, size_t count)
{
    struct hash *list = items;
    size_t kept = 0;
    if (!count)
        return 0;
    qsort(list, count, HASH_BYTES, compare_items);
    for (size_t i = 0; i < count; i++)
        if (!kept || !hash_equal(&list[kept - 1], &list[i]))
            list[kept++] = list[i];
    return kept;
}

bool body_list_has(struct bytes list, const void *item)
{
    return list.size && bsearch(item, list.data, body_list_count(list),
                                HASH_BYTES, compare_items);
}

static bool list_valid(struct bytes list, size_t max)
{
    if (list.size % HASH_BYTES || body_list_count(list) > max)
        return false;
    for (size_t i = 1; i < body_list_count(list); i++)
        if (hash_compare(body_list_hash(list, i - 1),
                         body_list_hash(list, i)) >= 0)
            return false;
    return true;
}

static void read_hash(struct reader *rd, struct hash *out)
{
    cbor_read_fixed(rd, out->b, HASH_BYTES);
}

static void write_hash(struct writer *wr, const struct hash *hash)
{
    cbor_write_bytes(wr, hash->b, HASH_BYTES);
}

static void write_list(struct writer *wr, uint64_t key, struct bytes list)
{
    if (!list.size)
        return;
    cbor_write_uint(wr, key);
    cbor_write_bytes(wr, list.data, list.size);
}

static void write_true(struct writer *wr, uint64_t key, bool value)
{
    if (!value)
        return;
    cbor_write_uint(wr, key);
    cbor_write_bool(wr, true);
}

/* A flag is true or absent. */
static bool read_true(struct reader *rd)
{
    bool value = cbor_read_bool(rd);
    if (!value)
        reader_fail(rd, STATUS_CORRUPT);
    return value;
}

/* An empty list is absent. */
static struct bytes read_list(struct reader *rd, size_t max)
{
    struct bytes list = cbor_read_bytes_max(rd, max * HASH_BYTES);
    if (!list.size)
        reader_fail(rd, STATUS_CORRUPT);
    return list;
}

/* ---- what all kinds share ---- */

/* Ends a nested or outer map: its required keys, unless it says that it must
 * be understood in another way. */
static void map_end(struct cbor_map *map, struct reader *rd, uint64_t required,
                    struct body_common *common)
{
    if (!map->must_understand) {
        cbor_map_require(map, rd, required);
        return;
    }
    if (common->understood)
        common->must_key = map->must_key;
    common->understood = false;
}

/* A key of a body's outer map that its kind does not know. */
static void read_common(struct cbor_map *map, struct reader *rd, int64_t key,
                        struct body_common *common)
{
    if (key == KEY_HEALS)
        common->heals = read_list(rd, LIMIT_BODY_HEALS);
    else
        (void)cbor_map_unknown(map, rd);
}

static void write_common(struct writer *wr, const struct body_common *common)
{
    write_list(wr, KEY_HEALS, common->heals);
}

static unsigned common_count(const struct body_common *common)
{
    return common->heals.size ? 1 : 0;
}

static void begin(struct reader *rd, struct cbor_map *map, struct bytes body,
                  struct body_common *common)
{
    common->understood = true;
    cbor_reader_init(rd, body);
    cbor_map_begin(map, rd, LIMIT_BODY_KEYS);
}

static enum status bad(struct diag *diag, const char *what)
{
    return diag_fail(diag, STATUS_CORRUPT, "%s", what);
}

static enum status end(const struct reader *rd, const char *kind,
                       struct diag *diag)
{
    enum status st = reader_finish(rd);
    if (st)
        return diag_fail(diag, st, "%s body is malformed at byte %zu", kind,
                         reader_offset(rd));
    return STATUS_OK;
}

static enum status check_common(const struct body_common *common,
                                struct diag *diag)
{
    if (!list_valid(common->heals, LIMIT_BODY_HEALS))
        return bad(diag, "healed hashes do not ascend");
    return STATUS_OK;
}

/* What check_ found, in the words of an encoder. */
static enum status as_usage(enum status st)
{
    return st ? STATUS_USAGE : STATUS_OK;
}

enum status body_decode_common(struct bytes body, struct body_common *out,
                               struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    *out = (struct body_common){0};
    begin(&rd, &map, body, out);
    while (cbor_map_next(&map, &rd, &key))
        read_common(&map, &rd, key, out);
    map_end(&map, &rd, 0, out);
    enum status st = end(&rd, "record", diag);
    return st ? st : check_common(out, diag);
}

/* ---- fleet ---- */

static void read_role(struct reader *rd, struct body_role *role,
                      struct body_common *common)
{
    struct cbor_map map;
    int64_t key;
    *role = (struct body_role){.pattern = bytes_of_text("*")};
    cbor_map_begin(&map, rd, LIMIT_BODY_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            role->name = cbor_read_text_max(rd, LIMIT_NAME_BYTES);
            break;
        case 1:
            role->kind = cbor_read_uint(rd);
            break;
        case 2:
            role->pattern = cbor_read_text_max(rd, LIMIT_MODEL_NAME_BYTES + 2);
            if (bytes_equal(role->pattern, bytes_of_text("*")))
                reader_fail(rd, STATUS_CORRUPT); /* written as absent */
            break;
        case 3:
            role->keys = cbor_read_bytes_max(rd, LIMIT_ROLE_KEYS * HASH_BYTES);
            break;
        case 4:
            role->threshold = cbor_read_uint(rd);
            break;
        case 5:
            role->epoch = cbor_read_uint(rd);
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    map_end(&map, rd, BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5), common);
}

static enum status check_role(const struct body_fleet *fleet, size_t index,
                              struct diag *diag)
{
    const struct body_role *role = &fleet->roles[index];
    if (!name_is_role(role->name))
        return bad(diag, "a role has an illegal name");
    for (size_t i = 0; i < index; i++)
        if (bytes_equal(fleet->roles[i].name, role->name))
            return bad(diag, "two roles have one name");
    if (!name_is_pattern(role->pattern))
        return bad(diag, "a role has an illegal pattern");
    if (!list_valid(role->keys, LIMIT_ROLE_KEYS))
        return bad(diag, "the keys of a role do not ascend");
    if (!role->threshold || role->threshold > LIMIT_ROLE_KEYS)
        return bad(diag, "a role has an illegal threshold");
    bool root_kind = role->kind == BODY_ROLE_ROOT;
    bool root_name = bytes_equal(role->name, bytes_of_text(BODY_ROOT_NAME));
    if (!role->kind || root_kind != root_name)
        return bad(diag, "the role \"root\" and no other is of kind root");
    if (root_kind && role->threshold > body_list_count(role->keys))
        return bad(diag, "root has fewer keys than its threshold");
    return STATUS_OK;
}

static enum status check_fleet(const struct body_fleet *fleet,
                               struct diag *diag)
{
    if (!name_is_fleet(fleet->name))
        return bad(diag, "the fleet has an illegal name");
    if (fleet->role_count > LIMIT_ROLES)
        return bad(diag, "too many roles");
    for (size_t i = 0; i < fleet->role_count; i++) {
        enum status st = check_role(fleet, i, diag);
        if (st)
            return st;
    }
    if (!body_fleet_role(fleet, bytes_of_text(BODY_ROOT_NAME)))
        return bad(diag, "the fleet has no role \"root\"");
    if (fleet->enroll > BODY_ENROLL_CERTIFICATES)
        return bad(diag, "unknown way of enrolment");
    if (!list_valid(fleet->revoked, LIMIT_REVOKED))
        return bad(diag, "revoked nodes do not ascend");
    return check_common(&fleet->common, diag);
}

static void read_roles(struct reader *rd, struct body_fleet *out)
{
    out->role_count = cbor_read_array(rd, LIMIT_ROLES);
    for (size_t i = 0; i < out->role_count; i++)
        read_role(rd, &out->roles[i], &out->common);
}

enum status body_fleet_decode(struct bytes body, struct body_fleet *out,
                              struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof(*out));
    begin(&rd, &map, body, &out->common);
    while (cbor_map_next(&map, &rd, &key))
        switch (key) {
        case 0:
            out->name = cbor_read_text_max(&rd, LIMIT_NAME_BYTES);
            break;
        case 1:
            read_hash(&rd, &out->prev);
            out->has_prev = true;
            break;
        case 2:
            read_roles(&rd, out);
            break;
        case 3:
            out->enroll = cbor_read_uint(&rd);
            break;
        case 4:
            out->revoked = read_list(&rd, LIMIT_REVOKED);
            break;
        case 5:
            out->small = read_true(&rd);
            break;
        default:
            read_common(&map, &rd, key, &out->common);
        }
    map_end(&map, &rd, BIT(0) | BIT(2) | BIT(3), &out->common);
    enum status st = end(&rd, "fleet", diag);
    return st || !out->common.understood ? st : check_fleet(out, diag);
}

static void write_role(struct writer *wr, const struct body_role *role)
{
    bool pattern = !bytes_equal(role->pattern, bytes_of_text("*"));
    cbor_write_map(wr, 5u + pattern);
    cbor_write_uint(wr, 0);
    cbor_write_text(wr, role->name);
    cbor_write_uint(wr, 1);
    cbor_write_uint(wr, role->kind);
    if (pattern) {
        cbor_write_uint(wr, 2);
        cbor_write_text(wr, role->pattern);
    }
    cbor_write_uint(wr, 3);
    cbor_write_bytes(wr, role->keys.data, role->keys.size);
    cbor_write_uint(wr, 4);
    cbor_write_uint(wr, role->threshold);
    cbor_write_uint(wr, 5);
    cbor_write_uint(wr, role->epoch);
}

enum status body_fleet_encode(const struct body_fleet *in, struct writer *out)
{
    enum status st = as_usage(check_fleet(in, NULL));
    if (st)
        return st;
    cbor_write_map(out, 3u + in->has_prev + (in->revoked.size != 0) +
                            in->small + common_count(&in->common));
    cbor_write_uint(out, 0);
    cbor_write_text(out, in->name);
    if (in->has_prev) {
        cbor_write_uint(out, 1);
        write_hash(out, &in->prev);
    }
    cbor_write_uint(out, 2);
    cbor_write_array(out, in->role_count);
    for (size_t i = 0; i < in->role_count; i++)
        write_role(out, &in->roles[i]);
    cbor_write_uint(out, 3);
    cbor_write_uint(out, in->enroll);
    write_list(out, 4, in->revoked);
    write_true(out, 5, in->small);
    write_common(out, &in->common);
    return writer_status(out);
}

const struct body_role *body_fleet_role(const struct body_fleet *fleet,
                                        struct bytes name)
{
    for (size_t i = 0; i < fleet->role_count; i++)
        if (bytes_equal(fleet->roles[i].name, name))
            return &fleet->roles[i];
    return NULL;
}

/* ---- cert ---- */

/* The order of CBOR map keys: shorter texts first. */
static int text_compare(struct bytes a, struct bytes b)
{
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    return a.size ? memcmp(a.data, b.data, a.size) : 0;
}

enum status body_labels_set(struct body_labels *labels, struct bytes key,
                            struct bytes value)
{
    size_t at = 0;
    if (!name_is_label_key(key) || !name_is_label_value(value))
        return STATUS_USAGE;
    while (at < labels->count && text_compare(labels->labels[at].key, key) < 0)
        at++;
    struct body_label *l = labels->labels + at;
    if (at == labels->count || !bytes_equal(l->key, key)) {
        if (labels->count == LIMIT_LABELS)
            return STATUS_LIMIT;
        memmove(l + 1, l, (labels->count - at) * sizeof(*l));
        labels->count++;
    }
    *l = (struct body_label){key, value};
    return STATUS_OK;
}

/* The text of a map key that was read raw. */
static struct bytes key_text(struct bytes raw, struct reader *rd)
{
    struct reader key;
    cbor_reader_init(&key, raw);
    struct bytes text = cbor_read_text(&key);
    if (reader_status(&key))
        reader_fail(rd, reader_status(&key));
    return text;
}

static void read_labels(struct reader *rd, struct body_labels *out)
{
    struct cbor_map map;
    struct bytes raw;
    cbor_map_begin(&map, rd, LIMIT_LABELS);
    while (cbor_map_next_raw(&map, rd, &raw)) {
        struct body_label *l = &out->labels[out->count++];
        l->key = key_text(raw, rd);
        l->value = cbor_read_text_max(rd, LIMIT_NAME_BYTES);
    }
    if (!out->count)
        reader_fail(rd, STATUS_CORRUPT);
}

static enum status check_cert(const struct body_cert *cert, struct diag *diag)
{
    const struct body_label *l = cert->labels.labels;
    if (cert->labels.count > LIMIT_LABELS)
        return bad(diag, "too many labels");
    for (size_t i = 0; i < cert->labels.count; i++) {
        if (!name_is_label_key(l[i].key) || !name_is_label_value(l[i].value))
            return bad(diag, "illegal label");
        if (i && text_compare(l[i - 1].key, l[i].key) >= 0)
            return bad(diag, "labels do not ascend");
    }
    return check_common(&cert->common, diag);
}

enum status body_cert_decode(struct bytes body, struct body_cert *out,
                             struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof(*out));
    begin(&rd, &map, body, &out->common);
    while (cbor_map_next(&map, &rd, &key))
        switch (key) {
        case 0:
            read_labels(&rd, &out->labels);
            break;
        case 1:
            out->epoch = cbor_read_uint(&rd);
            break;
        case 2:
            out->revoked = read_true(&rd);
            break;
        default:
            read_common(&map, &rd, key, &out->common);
        }
    map_end(&map, &rd, BIT(1), &out->common);
    enum status st = end(&rd, "cert", diag);
    return st || !out->common.understood ? st : check_cert(out, diag);
}

enum status body_cert_encode(const struct body_cert *in, struct writer *out)
{
    enum status st = as_usage(check_cert(in, NULL));
    if (st)
        return st;
    cbor_write_map(out, 1u + (in->labels.count != 0) + in->revoked +
                            common_count(&in->common));
    if (in->labels.count) {
        cbor_write_uint(out, 0);
        cbor_write_map(out, in->labels.count);
    }
    for (size_t i = 0; i < in->labels.count; i++) {
        cbor_write_text(out, in->labels.labels[i].key);
        cbor_write_text(out, in->labels.labels[i].value);
    }
    cbor_write_uint(out, 1);
    cbor_write_uint(out, in->epoch);
    write_true(out, 2, in->revoked);
    write_common(out, &in->common);
    return writer_status(out);
}

/* ---- version ---- */

void body_read_vector(struct reader *rd, struct vector_model *out)
{
    struct cbor_map map;
    struct bytes raw;
    out->count = 0;
    cbor_map_begin(&map, rd, LIMIT_VECTOR);
    while (cbor_map_next_raw(&map, rd, &raw)) {
        struct vector_tick *tick = &out->ticks[out->count++];
        tick->role = key_text(raw, rd);
        tick->n = cbor_read_uint(rd);
    }
}

void body_write_vector(struct writer *wr, const struct vector_model *v)
{
    cbor_write_map(wr, v->count);
    for (size_t i = 0; i < v->count; i++) {
        cbor_write_text(wr, v->ticks[i].role);
        cbor_write_uint(wr, v->ticks[i].n);
    }
}

bool body_vector_valid(const struct vector_model *v)
{
    if (!v->count || v->count > LIMIT_VECTOR)
        return false;
    for (size_t i = 0; i < v->count; i++) {
        if (!name_is_role(v->ticks[i].role) || !v->ticks[i].n)
            return false;
        if (i && text_compare(v->ticks[i - 1].role, v->ticks[i].role) >= 0)
            return false;
    }
    return true;
}

static enum status check_version(const struct body_version *v,
                                 struct diag *diag)
{
    if (!body_vector_valid(&v->vector))
        return bad(diag, "illegal version vector");
    if (!list_valid(v->parents, LIMIT_PARENTS))
        return bad(diag, "parents do not ascend");
    if (!v->manifest_size || v->manifest_size > LIMIT_MANIFEST_BYTES)
        return bad(diag, "illegal manifest size");
    if (!v->floor)
        return bad(diag, "floor 0");
    return check_common(&v->common, diag);
}

enum status body_version_decode(struct bytes body, struct body_version *out,
                                struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof(*out));
    begin(&rd, &map, body, &out->common);
    while (cbor_map_next(&map, &rd, &key))
        switch (key) {
        case 0:
            read_hash(&rd, &out->id);
            break;
        case 1:
            read_hash(&rd, &out->tree);
            break;
        case 2:
            out->size = cbor_read_uint(&rd);
            break;
        case 3:
            out->manifest_size = cbor_read_uint(&rd);
            break;
        case 4:
            body_read_vector(&rd, &out->vector);
            break;
        case 5:
            out->parents = read_list(&rd, LIMIT_PARENTS);
            break;
        case 6:
            out->floor = cbor_read_uint(&rd);
            break;
        case 7:
            out->retired = read_true(&rd);
            break;
        default:
            read_common(&map, &rd, key, &out->common);
        }
    map_end(&map, &rd, 0x1f | BIT(6), &out->common);
    enum status st = end(&rd, "version", diag);
    return st || !out->common.understood ? st : check_version(out, diag);
}

static void write_content(struct writer *out, const struct hash *id,
                          const struct hash *tree, uint64_t size,
                          uint64_t manifest_size)
{
    cbor_write_uint(out, 0);
    write_hash(out, id);
    cbor_write_uint(out, 1);
    write_hash(out, tree);
    cbor_write_uint(out, 2);
    cbor_write_uint(out, size);
    cbor_write_uint(out, 3);
    cbor_write_uint(out, manifest_size);
}

enum status body_version_encode(const struct body_version *in,
                                struct writer *out)
{
    enum status st = as_usage(check_version(in, NULL));
    if (st)
        return st;
    cbor_write_map(out, 6u + (in->parents.size != 0) + in->retired +
                            common_count(&in->common));
    write_content(out, &in->id, &in->tree, in->size, in->manifest_size);
    cbor_write_uint(out, 4);
    body_write_vector(out, &in->vector);
    write_list(out, 5, in->parents);
    cbor_write_uint(out, 6);
    cbor_write_uint(out, in->floor);
    write_true(out, 7, in->retired);
    write_common(out, &in->common);
    return writer_status(out);
}

/* ---- channel ---- */

static void read_test(struct reader *rd, struct body_test *test)
{
    size_t count = cbor_read_array(rd, 3);
    test->op = cbor_read_uint(rd);
    test->key = cbor_read_text_max(rd, LIMIT_NAME_BYTES);
    if (count == 3)
        test->value = cbor_read_text_max(rd, LIMIT_NAME_BYTES);
    else if (count != 2)
        reader_fail(rd, STATUS_CORRUPT);
}

static void read_tests(struct reader *rd, struct body_entry *entry)
{
    entry->test_count = cbor_read_array(rd, LIMIT_CHANNEL_TESTS);
    if (!entry->test_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < entry->test_count; i++)
        read_test(rd, &entry->tests[i]);
}

static void read_steps(struct reader *rd, struct body_entry *entry)
{
    entry->step_count = cbor_read_array(rd, BODY_STEPS_MAX);
    if (!entry->step_count)
        reader_fail(rd, STATUS_CORRUPT);
    for (size_t i = 0; i < entry->step_count; i++)
        entry->steps[i] = cbor_read_uint(rd);
}

static void read_gate(struct reader *rd, struct body_entry *entry,
                      struct body_common *common)
{
    struct cbor_map map;
    int64_t key;
    entry->has_gate = true;
    cbor_map_begin(&map, rd, LIMIT_BODY_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            entry->gate_ok = cbor_read_uint(rd);
            break;
        case 1:
            entry->gate_bad = cbor_read_uint(rd);
            break;
        case 2:
            entry->gate_soak_s = cbor_read_uint(rd);
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    map_end(&map, rd, BIT(0) | BIT(1) | BIT(2), common);
}

static void read_entry(struct reader *rd, struct body_entry *entry,
                       struct body_common *common)
{
    struct cbor_map map;
    int64_t key;
    cbor_map_begin(&map, rd, LIMIT_BODY_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            entry->model = cbor_read_text_max(rd, LIMIT_MODEL_NAME_BYTES);
            break;
        case 1:
            read_hash(rd, &entry->version);
            entry->has_version = true;
            break;
        case 2:
            entry->track = cbor_read_text_max(rd, LIMIT_NAME_BYTES);
            break;
        case 3:
            read_tests(rd, entry);
            break;
        case 4:
            read_steps(rd, entry);
            break;
        case 5:
            read_gate(rd, entry, common);
            break;
        case 6:
            entry->percent = cbor_read_uint(rd);
            entry->has_percent = true;
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    map_end(&map, rd, BIT(0), common);
}

static bool test_valid(const struct body_test *test)
{
    bool node = bytes_equal(test->key, bytes_of_text("node"));
    if (test->op > BODY_TEST_LACKS || (!node && !name_is_label_key(test->key)))
        return false;
    if (test->op >= BODY_TEST_HAS)
        return !test->value.size;
    return name_is_label_value(test->value);
}

static bool rollout_valid(const struct body_entry *entry)
{
    if (entry->step_count > BODY_STEPS_MAX)
        return false;
    for (size_t i = 0; i < entry->step_count; i++)
        if (entry->steps[i] < 1 || entry->steps[i] > 100 ||
            (i && entry->steps[i - 1] >= entry->steps[i]))
            return false;
    return !entry->has_percent || entry->percent <= BODY_PERCENT_AUTO;
}

static enum status check_entry(const struct body_entry *entry,
                               struct diag *diag)
{
    if (!name_is_model(entry->model))
        return bad(diag, "an entry has an illegal model name");
    if (entry->has_version == (entry->track.size != 0))
        return bad(diag, "an entry needs a version or a role to track");
    if (entry->track.size && !name_is_role(entry->track))
        return bad(diag, "an entry tracks an illegal role name");
    if (entry->test_count > LIMIT_CHANNEL_TESTS)
        return bad(diag, "too many tests");
    for (size_t i = 0; i < entry->test_count; i++)
        if (!test_valid(&entry->tests[i]))
            return bad(diag, "an entry has an illegal test");
    if (!rollout_valid(entry))
        return bad(diag, "an entry has illegal steps or percent");
    return STATUS_OK;
}

static enum status check_channel(const struct body_channel *channel,
                                 struct diag *diag)
{
    if (channel->entry_count > LIMIT_CHANNEL_ENTRIES)
        return bad(diag, "too many entries");
    for (size_t i = 0; i < channel->entry_count; i++) {
        enum status st = check_entry(&channel->entries[i], diag);
        if (st)
            return st;
    }
    return check_common(&channel->common, diag);
}

static void read_entries(struct reader *rd, struct body_channel *out)
{
    out->entry_count = cbor_read_array(rd, LIMIT_CHANNEL_ENTRIES);
    for (size_t i = 0; i < out->entry_count; i++)
        read_entry(rd, &out->entries[i], &out->common);
}

enum status body_channel_decode(struct bytes body, struct body_channel *out,
                                struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof(*out));
    begin(&rd, &map, body, &out->common);
    while (cbor_map_next(&map, &rd, &key))
        switch (key) {
        case 0:
            read_entries(&rd, out);
            break;
        default:
            read_common(&map, &rd, key, &out->common);
        }
    map_end(&map, &rd, BIT(0), &out->common);
    enum status st = end(&rd, "channel", diag);
    return st || !out->common.understood ? st : check_channel(out, diag);
}

static void write_tests(struct writer *wr, const struct body_entry *entry)
{
    cbor_write_uint(wr, 3);
    cbor_write_array(wr, entry->test_count);
    for (size_t i = 0; i < entry->test_count; i++) {
        const struct body_test *test = &entry->tests[i];
        bool has_value = test->op < BODY_TEST_HAS;
        cbor_write_array(wr, 2u + has_value);
        cbor_write_uint(wr, test->op);
        cbor_write_text(wr, test->key);
        if (has_value)
            cbor_write_text(wr, test->value);
    }
}

static void write_rollout(struct writer *wr, const struct body_entry *entry)
{
    if (entry->step_count) {
        cbor_write_uint(wr, 4);
        cbor_write_array(wr, entry->step_count);
        for (size_t i = 0; i < entry->step_count; i++)
            cbor_write_uint(wr, entry->steps[i]);
    }
    if (entry->has_gate) {
        cbor_write_uint(wr, 5);
        cbor_write_map(wr, 3);
        cbor_write_uint(wr, 0);
        cbor_write_uint(wr, entry->gate_ok);
        cbor_write_uint(wr, 1);
        cbor_write_uint(wr, entry->gate_bad);
        cbor_write_uint(wr, 2);
        cbor_write_uint(wr, entry->gate_soak_s);
    }
    if (entry->has_percent) {
        cbor_write_uint(wr, 6);
        cbor_write_uint(wr, entry->percent);
    }
}

static void write_entry(struct writer *wr, const struct body_entry *entry)
{
    cbor_write_map(wr, 2u + (entry->test_count != 0) +
                           (entry->step_count != 0) + entry->has_gate +
                           entry->has_percent);
    cbor_write_uint(wr, 0);
    cbor_write_text(wr, entry->model);
    if (entry->has_version) {
        cbor_write_uint(wr, 1);
        write_hash(wr, &entry->version);
    } else {
        cbor_write_uint(wr, 2);
        cbor_write_text(wr, entry->track);
    }
    if (entry->test_count)
        write_tests(wr, entry);
    write_rollout(wr, entry);
}

enum status body_channel_encode(const struct body_channel *in,
                                struct writer *out)
{
    enum status st = as_usage(check_channel(in, NULL));
    if (st)
        return st;
    cbor_write_map(out, 1u + common_count(&in->common));
    cbor_write_uint(out, 0);
    cbor_write_array(out, in->entry_count);
    for (size_t i = 0; i < in->entry_count; i++)
        write_entry(out, &in->entries[i]);
    write_common(out, &in->common);
    return writer_status(out);
}

enum status body_channel_supported(const struct body_channel *channel,
                                   struct diag *diag)
{
    if (!channel->common.understood && channel->common.must_key)
        return diag_fail(diag, STATUS_UNSUPPORTED,
                         "the channel needs a newer version (key %lld)",
                         (long long)channel->common.must_key);
    for (size_t i = 0; i < channel->entry_count; i++) {
        const struct body_entry *entry = &channel->entries[i];
        const char *what = entry->step_count    ? "steps"
                           : entry->has_gate    ? "a gate"
                           : entry->has_percent ? "a percentage"
                                                : NULL;
        if (what)
            return diag_fail(diag, STATUS_UNSUPPORTED,
                             "entry %zu of the channel has %s, which this "
                             "version does not act on yet",
                             i + 1, what);
    }
    return STATUS_OK;
}

static bool test_passes(const struct body_test *test, const char *node_hex,
                        const struct body_labels *labels)
{
    struct bytes value = {NULL, 0};
    if (bytes_equal(test->key, bytes_of_text("node")))
        value = bytes_of_text(node_hex);
    for (size_t i = 0; i < labels->count; i++)
        if (bytes_equal(labels->labels[i].key, test->key))
            value = labels->labels[i].value;
    switch (test->op) {
    case BODY_TEST_EQUAL:
        return value.size && bytes_equal(value, test->value);
    case BODY_TEST_UNEQUAL:
        return !bytes_equal(value, test->value);
    case BODY_TEST_HAS:
        return value.size != 0;
    default:
        return !value.size;
    }
}

bool body_entry_matches(const struct body_entry *entry,
                        const struct node_id *node,
                        const struct body_labels *labels)
{
    char hex[NODE_ID_HEX_SIZE];
    node_id_hex(node, hex);
    for (size_t i = 0; i < entry->test_count; i++)
        if (!test_passes(&entry->tests[i], hex, labels))
            return false;
    return true;
}

/* ---- status ---- */

static void read_status_model(struct reader *rd, struct body_status_model *m,
                              struct body_common *common)
{
    struct cbor_map map;
    int64_t key;
    cbor_map_begin(&map, rd, LIMIT_BODY_KEYS);
    while (cbor_map_next(&map, rd, &key))
        switch (key) {
        case 0:
            m->model = cbor_read_text_max(rd, LIMIT_MODEL_NAME_BYTES);
            break;
        case 1:
            read_hash(rd, &m->running);
            m->has_running = true;
            break;
        case 2:
            m->state = cbor_read_uint(rd);
            break;
        case 3:
            m->why = cbor_read_text_max(rd, LIMIT_STATUS_TEXT);
            if (!m->why.size)
                reader_fail(rd, STATUS_CORRUPT);
            break;
        case 4:
            m->since_s = cbor_read_uint(rd);
            break;
        default:
            (void)cbor_map_unknown(&map, rd);
        }
    map_end(&map, rd, BIT(0) | BIT(2) | BIT(4), common);
}

static void read_status_models(struct reader *rd, struct body_status *out)
{
    out->model_count = cbor_read_array(rd, LIMIT_STATUS_MODELS);
    for (size_t i = 0; i < out->model_count; i++)
        read_status_model(rd, &out->models[i], &out->common);
}

static void read_addresses(struct reader *rd, struct body_status *out)
{
    out->address_count = cbor_read_array(rd, LIMIT_STATUS_ADDRESSES);
    for (size_t i = 0; i < out->address_count; i++)
        out->addresses[i] = cbor_read_text_max(rd, LIMIT_STATUS_TEXT);
    if (!out->address_count)
        reader_fail(rd, STATUS_CORRUPT);
}

static enum status check_status_texts(const struct body_status *s,
                                      struct diag *diag)
{
    if (s->address_count > LIMIT_STATUS_ADDRESSES ||
        s->software.size > LIMIT_STATUS_TEXT)
        return bad(diag, "too many addresses or too long a text");
    for (size_t i = 0; i < s->address_count; i++)
        if (!s->addresses[i].size || s->addresses[i].size > LIMIT_STATUS_TEXT)
            return bad(diag, "illegal address");
    return STATUS_OK;
}

static enum status check_status(const struct body_status *s, struct diag *diag)
{
    if (s->model_count > LIMIT_STATUS_MODELS)
        return bad(diag, "too many models");
    for (size_t i = 0; i < s->model_count; i++) {
        if (!name_is_model(s->models[i].model) ||
            s->models[i].why.size > LIMIT_STATUS_TEXT)
            return bad(diag, "illegal model name or too long a reason");
        if (i && text_compare(s->models[i - 1].model, s->models[i].model) >= 0)
            return bad(diag, "models do not ascend");
    }
    if (!list_valid(s->held, LIMIT_STATUS_HELD))
        return bad(diag, "held trees do not ascend");
    enum status st = check_status_texts(s, diag);
    return st ? st : check_common(&s->common, diag);
}

enum status body_status_decode(struct bytes body, struct body_status *out,
                               struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof(*out));
    begin(&rd, &map, body, &out->common);
    while (cbor_map_next(&map, &rd, &key))
        switch (key) {
        case 0:
            read_status_models(&rd, out);
            break;
        case 1:
            read_addresses(&rd, out);
            break;
        case 2:
            out->held = read_list(&rd, LIMIT_STATUS_HELD);
            break;
        case 3:
            out->software = cbor_read_text_max(&rd, LIMIT_STATUS_TEXT);
            break;
        case 4:
            out->free_bytes = cbor_read_uint(&rd);
            break;
        case 5:
            out->uptime_s = cbor_read_uint(&rd);
            break;
        default:
            read_common(&map, &rd, key, &out->common);
        }
    map_end(&map, &rd, BIT(0) | BIT(3) | BIT(4) | BIT(5), &out->common);
    enum status st = end(&rd, "status", diag);
    return st || !out->common.understood ? st : check_status(out, diag);
}

static void write_status_model(struct writer *wr,
                               const struct body_status_model *m)
{
    cbor_write_map(wr, 3u + m->has_running + (m->why.size != 0));
    cbor_write_uint(wr, 0);
    cbor_write_text(wr, m->model);
    if (m->has_running) {
        cbor_write_uint(wr, 1);
        write_hash(wr, &m->running);
    }
    cbor_write_uint(wr, 2);
    cbor_write_uint(wr, m->state);
    if (m->why.size) {
        cbor_write_uint(wr, 3);
        cbor_write_text(wr, m->why);
    }
    cbor_write_uint(wr, 4);
    cbor_write_uint(wr, m->since_s);
}

enum status body_status_encode(const struct body_status *in, struct writer *out)
{
    enum status st = as_usage(check_status(in, NULL));
    if (st)
        return st;
    cbor_write_map(out, 4u + (in->address_count != 0) + (in->held.size != 0) +
                            common_count(&in->common));
    cbor_write_uint(out, 0);
    cbor_write_array(out, in->model_count);
    for (size_t i = 0; i < in->model_count; i++)
        write_status_model(out, &in->models[i]);
    if (in->address_count) {
        cbor_write_uint(out, 1);
        cbor_write_array(out, in->address_count);
    }
    for (size_t i = 0; i < in->address_count; i++)
        cbor_write_text(out, in->addresses[i]);
    write_list(out, 2, in->held);
    cbor_write_uint(out, 3);
    cbor_write_text(out, in->software);
    cbor_write_uint(out, 4);
    cbor_write_uint(out, in->free_bytes);
    cbor_write_uint(out, 5);
    cbor_write_uint(out, in->uptime_s);
    write_common(out, &in->common);
    return writer_status(out);
}

/* ---- contrib ---- */

static enum status check_contrib(const struct body_contrib *c,
                                 struct diag *diag)
{
    if (!c->manifest_size || c->manifest_size > LIMIT_MANIFEST_BYTES)
        return bad(diag, "illegal manifest size");
    return check_common(&c->common, diag);
}

enum status body_contrib_decode(struct bytes body, struct body_contrib *out,
                                struct diag *diag)
{
    struct reader rd;
    struct cbor_map map;
    int64_t key;
    memset(out, 0, sizeof(*out));
    begin(&rd, &map, body, &out->common);
    while (cbor_map_next(&map, &rd, &key))
        switch (key) {
        case 0:
            read_hash(&rd, &out->id);
            break;
        case 1:
            read_hash(&rd, &out->tree);
            break;
        case 2:
            out->size = cbor_read_uint(&rd);
            break;
        case 3:
            out->manifest_size = cbor_read_uint(&rd);
            break;
        case 4:
            read_hash(&rd, &out->parent);
            break;
        case 5:
            out->samples = cbor_read_uint(&rd);
            break;
        default:
            read_common(&map, &rd, key, &out->common);
        }
    map_end(&map, &rd, 0x3f, &out->common);
    enum status st = end(&rd, "contrib", diag);
    return st || !out->common.understood ? st : check_contrib(out, diag);
}

enum status body_contrib_encode(const struct body_contrib *in,
                                struct writer *out)
{
    enum status st = as_usage(check_contrib(in, NULL));
    if (st)
        return st;
    cbor_write_map(out, 6u + common_count(&in->common));
    write_content(out, &in->id, &in->tree, in->size, in->manifest_size);
    cbor_write_uint(out, 4);
    write_hash(out, &in->parent);
    cbor_write_uint(out, 5);
    cbor_write_uint(out, in->samples);
    write_common(out, &in->common);
    return writer_status(out);
}
