/* Reads a Python pickle as data: protocols 0 to 5, nothing is ever looked up,
 * called or built. A global is its name, a call an object that remembers the
 * global and its arguments.
 *
 * Refused: unknown opcodes and protocols (UNSUPPORTED), a stack or memo that
 * is not what an opcode needs (CORRUPT), an end before STOP (TRUNCATED), more
 * than PICKLE_VALUES_MAX values, items, stack or memo entries (LIMIT).
 *
 * Values may hold each other in circles, and one value may be held many
 * times: whoever walks them marks where he has been.
 *
 * Ref: Python, Lib/pickletools.py. */
#ifndef CODEC_MODEL_PICKLE_H
#define CODEC_MODEL_PICKLE_H

#include "codec/base/arena.h"
#include "codec/base/bytes.h"
#include "codec/base/status.h"

#define PICKLE_VALUES_MAX (1u << 19)

/* Numbers of values and items; 0 is none. */
typedef uint32_t pickle_ref;

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_OTHER, /* floats, numbers of more than 64 bits */
    PICKLE_TEXT,  /* and bytes */
    PICKLE_TUPLE,
    PICKLE_LIST, /* and sets */
    PICKLE_DICT,
    PICKLE_GLOBAL, /* text is "module name", with the blank */
    PICKLE_PERSISTENT,
    PICKLE_OBJECT
};

struct pickle_value {
    enum pickle_kind kind;
    uint32_t item_count;
    pickle_ref first, last; /* items of TUPLE, LIST, DICT and OBJECT */
    pickle_ref callable;    /* of an OBJECT: a GLOBAL, mostly */
    pickle_ref args;        /* of an OBJECT; the id of a PERSISTENT */
    pickle_ref state;       /* of an OBJECT */
    bool marked;            /* for whoever walks; false at first */
    int64_t integer;        /* INT, BOOL */
    struct bytes text;      /* TEXT, GLOBAL: in the input or the arena */
};

/* One in a list; DICT and objects that are like one have keys. */
struct pickle_item {
    pickle_ref key;
    pickle_ref value;
    pickle_ref next;
};

#define PICKLE_BLOCK_LOG 10u
#define PICKLE_BLOCKS    (PICKLE_VALUES_MAX >> PICKLE_BLOCK_LOG)

struct pickle {
    struct pickle_value **values; /* blocks */
    struct pickle_item **items;
    uint32_t value_count;
    uint32_t item_count;
    pickle_ref result; /* what STOP left */
    size_t size;       /* bytes up to and with STOP */
};

/* in must outlive out; everything is taken from the arena. */
enum status pickle_load(struct bytes in, struct arena *arena,
                        struct pickle *out, struct diag *diag) MUST_CHECK;

/* ref must be one of this pickle; 0 yields a NONE. */
struct pickle_value *pickle_value(const struct pickle *pickle, pickle_ref ref);
const struct pickle_item *pickle_item(const struct pickle *pickle,
                                      pickle_ref ref);

/* The value at a place of a TUPLE or LIST; a NONE when it has no such place. */
struct pickle_value *pickle_at(const struct pickle *pickle,
                               const struct pickle_value *list, uint32_t place);

/* True for the GLOBAL "module name". */
bool pickle_is_global(const struct pickle_value *value, const char *text);

#endif
