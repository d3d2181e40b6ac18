/* Temporary stores and rows made from numbers. */
#include "tests/support/tmpstore.h"

#include "tests/support/cmocka.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void tmpstore_init_empty(struct tmpstore *tmp)
{
    memset(tmp, 0, sizeof(*tmp));
    const char *dir = getenv("TMPDIR");
    if (!dir || strlen(dir) > 40)
        dir = "/tmp";
    snprintf(tmp->path, sizeof(tmp->path), "%s/dmstore.XXXXXX", dir);
    assert_non_null(mkdtemp(tmp->path));
}

static void tmpstore_open(struct tmpstore *tmp, uint64_t quota_bytes,
                          uint64_t map_bytes)
{
    struct store_env_options options = {.quota_bytes = quota_bytes,
                                        .map_bytes = map_bytes};
    diag_reset(&tmp->diag);
    if (store_env_open(&tmp->env, tmp->path, &options, &tmp->diag))
        fail_msg("%s", tmp->diag.text);
}

void tmpstore_init(struct tmpstore *tmp, uint64_t quota_bytes,
                   uint64_t map_bytes)
{
    tmpstore_init_empty(tmp);
    tmpstore_open(tmp, quota_bytes, map_bytes);
}

void tmpstore_reopen(struct tmpstore *tmp, uint64_t quota_bytes,
                     uint64_t map_bytes)
{
    store_env_close(tmp->env);
    tmp->env = NULL;
    tmpstore_open(tmp, quota_bytes, map_bytes);
}

const char *tmpstore_file(const struct tmpstore *tmp, const char *name)
{
    static _Thread_local char file[400];
    snprintf(file, sizeof(file), "%s/%s", tmp->path, name);
    return file;
}

void tmpstore_deinit(struct tmpstore *tmp)
{
    store_env_close(tmp->env);
    tmp->env = NULL;
    DIR *dir = opendir(tmp->path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            unlink(tmpstore_file(tmp, entry->d_name));
    closedir(dir);
    assert_int_equal(rmdir(tmp->path), 0);
}

void tmpstore_begin(struct tmpstore *tmp, struct store_txn *txn,
                    enum store_txn_mode mode)
{
    diag_reset(&tmp->diag);
    if (store_txn_begin(txn, tmp->env, mode, &tmp->diag))
        fail_msg("%s", tmp->diag.text);
}

void tmpstore_commit(struct store_txn *txn)
{
    if (store_txn_commit(txn))
        fail_msg("%s", txn->diag ? txn->diag->text : "commit");
}

/* ---- fsck ---- */

static void tmpstore_note(void *ctx, const char *line)
{
    struct tmpstore *tmp = ctx;
    size_t used = strlen(tmp->problems);
    snprintf(tmp->problems + used, sizeof(tmp->problems) - used, "%s\n", line);
}

uint64_t tmpstore_fsck(struct tmpstore *tmp, bool repair)
{
    struct store_fsck_options options = {.deep = true,
                                         .repair_indexes = repair,
                                         .report = tmpstore_note,
                                         .check_segment =
                                             tmpstore_check_segment,
                                         .ctx = tmp};
    struct store_fsck_result result;
    tmp->problems[0] = 0;
    diag_reset(&tmp->diag);
    if (store_fsck_run(tmp->env, &options, &result, &tmp->diag))
        fail_msg("%s", tmp->diag.text);
    return result.problem_count;
}

enum status tmpstore_check_segment(void *ctx, struct bytes header,
                                   uint32_t index, struct bytes segment)
{
    struct hash id;
    uint8_t expected[64];
    (void)ctx;
    if (!segment.size)
        return STATUS_OK;
    hash_bytes(HASH_UPDATE, header, &id);
    tmpstore_segment(&id, index, expected, sizeof(expected));
    if (segment.size < sizeof(expected) ||
        memcmp(expected, segment.data, sizeof(expected)))
        return STATUS_MISMATCH;
    return STATUS_OK;
}

/* ---- rows ---- */

struct hash tmpstore_hash(uint64_t seed)
{
    uint8_t buf[8];
    struct hash hash;
    store_be64(buf, seed);
    hash_bytes(HASH_MISC, bytes_of(buf, sizeof(buf)), &hash);
    return hash;
}

struct hash tmpstore_tree(uint64_t number)
{
    return tmpstore_hash(number ^ UINT64_C(1) << 60);
}

struct bytes tmpstore_manifest(uint64_t number, char text[64])
{
    snprintf(text, 64, "manifest of version %llu", (unsigned long long)number);
    return bytes_of_text(text);
}

struct store_version tmpstore_version(const char *model, uint64_t number,
                                      uint32_t block_count)
{
    struct store_version version = {.tree = tmpstore_tree(number),
                                    .counter = number,
                                    .rank = number,
                                    .block_log = 16,
                                    .block_count = block_count,
                                    .size = (uint64_t)block_count << 16,
                                    .known_uptime = number};
    char text[64];
    hash_bytes(HASH_MANIFEST, tmpstore_manifest(number, text), &version.id);
    snprintf(version.model, sizeof(version.model), "%s", model);
    snprintf(version.role, sizeof(version.role), "trainer");
    return version;
}

struct bytes tmpstore_header(uint64_t base, uint64_t target, char text[64])
{
    snprintf(text, 64, "header of %llu over %llu", (unsigned long long)target,
             (unsigned long long)base);
    return bytes_of_text(text);
}

struct store_update tmpstore_update(const char *model, uint64_t base,
                                    uint64_t target, uint32_t segment_count)
{
    struct store_update update = {.target = tmpstore_tree(target),
                                  .segment_count = segment_count};
    char text[64];
    if (base != UINT64_MAX) {
        update.has_base = true;
        update.base = tmpstore_tree(base);
    }
    hash_bytes(HASH_UPDATE, tmpstore_header(base, target, text), &update.id);
    snprintf(update.model, sizeof(update.model), "%s", model);
    return update;
}

void tmpstore_segment(const struct hash *update, uint32_t index, uint8_t *out,
                      size_t size)
{
    memcpy(out, update->b, HASH_BYTES);
    store_be32(out + HASH_BYTES, index);
    for (size_t i = HASH_BYTES + 4; i < size; i++)
        out[i] = (uint8_t)((i + index) * 167);
}

void tmpstore_fill(struct tmpstore *tmp, const char *model, uint64_t base,
                   uint64_t number, uint32_t segment_count, size_t size,
                   enum store_version_state state)
{
    struct store_version version =
        tmpstore_version(model, number, segment_count);
    struct store_update update =
        tmpstore_update(model, base, number, segment_count);
    struct store_txn txn;
    char text[64];
    uint8_t *buf = malloc(size);
    assert_non_null(buf);
    tmpstore_begin(tmp, &txn, STORE_TXN_WRITE);
    assert_int_equal(store_version_add(&txn, &version), STATUS_OK);
    assert_int_equal(store_version_put_manifest(
                         &txn, &version.id, tmpstore_manifest(number, text)),
                     STATUS_OK);
    assert_int_equal(
        store_update_add(&txn, &update, tmpstore_header(base, number, text)),
        STATUS_OK);
    for (uint32_t i = 0; i < segment_count; i++) {
        tmpstore_segment(&update.id, i, buf, size);
        if (store_segment_put(&txn, &update.id, i, bytes_of(buf, size)))
            fail_msg("%s", tmp->diag.text);
    }
    assert_int_equal(
        store_version_set_blocks(&txn, &version.id, 0, segment_count),
        STATUS_OK);
    assert_int_equal(store_version_set_update(&txn, &version.id, &update.id),
                     STATUS_OK);
    assert_int_equal(store_version_set_state(&txn, &version.id, state, number),
                     STATUS_OK);
    tmpstore_commit(&txn);
    free(buf);
}
