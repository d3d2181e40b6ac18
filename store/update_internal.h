/* What update.c and segment.c share. */
#ifndef STORE_UPDATE_INTERNAL_H
#define STORE_UPDATE_INTERNAL_H

#include "store/update.h"

/* Writes the row as it is given, counters included. */
enum status store_update_put_row(struct store_txn *txn,
                                 const struct store_update *update);

#endif
