/* The schema number of a database and the steps that bring an older one up to
 * date. A newer one is refused before anything is touched. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "store/txn.h"

#define STORE_SCHEMA_NUMBER 1u

/* One migration, from the number before to `number`. It runs in one write
 * transaction together with the change of the number. */
struct store_schema_step {
    uint32_t number;
    enum status (*run)(struct store_txn *txn);
};

/* Reads the number; 0 for a database without one.
 *
 * STATUS_CORRUPT  the number is malformed */
enum status store_schema_read(struct store_txn *txn, uint32_t *number)
    MUST_CHECK;

/* Whether this build can use a database of that number.
 *
 * STATUS_UNSUPPORTED  it is newer; says both numbers */
enum status store_schema_check(uint32_t number, const char *path,
                               struct diag *diag) MUST_CHECK;

/* Brings the database of a write transaction from number to current by those
 * of the steps that are above it, in their order, and writes the number. */
enum status store_schema_migrate(struct store_txn *txn, uint32_t number,
                                 const struct store_schema_step *steps,
                                 size_t step_count, uint32_t current)
    MUST_CHECK;

/* The steps of this build. */
const struct store_schema_step *store_schema_steps(size_t *step_count);

#endif
