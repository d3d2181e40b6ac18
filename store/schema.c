/* Schema numbers and migrations. */
#include "store/schema.h"

#include "codec/base/bytes.h"
#include "store/env.h"

static const char schema_key[] = "schema";

enum status store_schema_read(struct store_txn *txn, uint32_t *number)
{
    struct bytes value;
    *number = 0;
    enum status status =
        store_txn_get(txn, STORE_TABLE_META, bytes_of_text(schema_key), &value);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status)
        return status;
    if (value.size == 4)
        *number = load_be32(value.data);
    if (!*number)
        return store_txn_fail(txn, STATUS_CORRUPT,
                              "store %s: the schema number is malformed",
                              store_env_path(txn->env));
    return STATUS_OK;
}

enum status store_schema_check(uint32_t number, const char *path,
                               struct diag *diag)
{
    if (number <= STORE_SCHEMA_NUMBER)
        return STATUS_OK;
    return diag_fail(diag, STATUS_UNSUPPORTED,
                     "store %s has schema %u, made by a newer deltamesh; this "
                     "one knows up to %u: nothing was touched",
                     path, (unsigned)number, STORE_SCHEMA_NUMBER);
}

enum status store_schema_migrate(struct store_txn *txn, uint32_t number,
                                 const struct store_schema_step *steps,
                                 size_t step_count, uint32_t current)
{
    uint8_t value[4];
    for (size_t i = 0; i < step_count; i++) {
        if (steps[i].number <= number || steps[i].number > current)
            continue;
        enum status status = steps[i].run(txn);
        if (status)
            return store_txn_fail(txn, status,
                                  "migration of the store to schema %u failed",
                                  (unsigned)steps[i].number);
    }
    store_be32(value, current);
    return store_txn_put(txn, STORE_TABLE_META, bytes_of_text(schema_key),
                         bytes_of(value, sizeof(value)));
}

/* The tables themselves are made when the environment is opened. */
static enum status schema_first(struct store_txn *txn)
{
    return store_txn_status(txn);
}

const struct store_schema_step *store_schema_steps(size_t *step_count)
{
    static const struct store_schema_step steps[] = {
        {1, schema_first},
    };
    *step_count = sizeof(steps) / sizeof(steps[0]);
    return steps;
}
