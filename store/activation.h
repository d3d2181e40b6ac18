/* What is being put in place: one intent a model, so that a kill at any moment
 * of writing files and renaming `current` can be finished or undone. */
#ifndef STORE_ACTIVATION_H
#define STORE_ACTIVATION_H

#include "codec/base/hash.h"
#include "store/txn.h"
#include "store/version.h"

#define STORE_ACTIVATION_TMP_MAX 255u

/* Each stage is committed before the step it names is begun. Numbers are
 * stored. */
enum store_activation_stage {
    STORE_ACTIVATION_INTENT = 0,  /* the tmp folder may exist */
    STORE_ACTIVATION_FILES = 1,   /* all files are in it and synced */
    STORE_ACTIVATION_RENAMED = 2, /* it may bear its number */
    STORE_ACTIVATION_CURRENT = 3, /* `current` may point to it */
    STORE_ACTIVATION_STAGE_COUNT
};

/* Caller-owned. */
struct store_activation {
    char model[STORE_NAME_MAX + 1];
    struct hash version;
    uint64_t n; /* number of the folder; only rises for a model */
    enum store_activation_stage stage;
    char tmp[STORE_ACTIVATION_TMP_MAX + 1]; /* name of the tmp folder */
};

/* Notes an intent at its first stage and takes the next number of the model,
 * returned in activation->n; model, version and tmp are given. Numbers are
 * never given twice, also when the activation is cleared.
 *
 * STATUS_EXISTS  the model has one; nothing is changed
 * STATUS_USAGE   a name is empty or too long */
enum status store_activation_begin(struct store_txn *txn,
                                   struct store_activation *activation)
    MUST_CHECK;

/* STATUS_NOT_FOUND */
enum status store_activation_get(struct store_txn *txn, const char *model,
                                 struct store_activation *out) MUST_CHECK;

/* Moves on; a stage only rises.
 *
 * STATUS_NOT_FOUND, STATUS_STALE (at that stage or past it) */
enum status store_activation_advance(struct store_txn *txn, const char *model,
                                     enum store_activation_stage stage)
    MUST_CHECK;

/* Done or undone. Fine when there is none. */
enum status store_activation_clear(struct store_txn *txn, const char *model)
    MUST_CHECK;

/* The highest number the model was ever given; 0 for none. */
enum status store_activation_last_n(struct store_txn *txn, const char *model,
                                    uint64_t *n) MUST_CHECK;

/* Makes the next number larger than n, for instance after finding folder n on
 * the disk of a node whose store is younger. */
enum status store_activation_raise_n(struct store_txn *txn, const char *model,
                                     uint64_t n) MUST_CHECK;

/* All, in model order, until fn returns false. fn changes nothing. */
enum status store_activation_each(struct store_txn *txn,
                                  bool (*fn)(void *ctx,
                                             const struct store_activation *a),
                                  void *ctx) MUST_CHECK;

#endif
