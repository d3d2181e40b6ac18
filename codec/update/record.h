/* The records of an update header: how each range of the target is coded.
 *
 * Ref: codec/FORMAT.md, "Records". */
#ifndef CODEC_UPDATE_RECORD_H
#define CODEC_UPDATE_RECORD_H

#include "codec/base/reader.h"
#include "codec/base/writer.h"
#include "codec/lossless/coding.h"
#include "codec/lossless/gather.h"
#include "codec/lossless/predict.h"
#include "codec/model/dtype.h"

/* Values are part of the format. */
enum update_mode {
    UPDATE_SAME = 0,  /* the bytes of the base */
    UPDATE_BYTES = 1, /* bytes; a base, where there is one, helps */
    UPDATE_DIFF = 2,  /* each byte as its difference to the base's, mod 256 */
    UPDATE_CODED = 3, /* elements by a coding, given what the base predicts */
    UPDATE_MODE_COUNT
};

/* Runs of all windows of one update. */
#define RECORD_RUNS_MAX 65536u
/* Decoded bytes of the tables of one auxiliary segment. Those of a record count
 * as some at least, so that one does not hold many tiny ones, each of which
 * takes time to set up. */
#define RECORD_TABLES_MAX   (1u << 20)
#define RECORD_TABLES_LEAST 4096u

/* Where the base elements of a CODED record lie when they do not follow each
 * other as the target's do: rows of another length, or columns for rows. */
struct record_window {
    bool on;
    bool transposed;
    uint32_t stride;    /* elements a row of the base */
    uint32_t run_first; /* in record_list.runs */
    uint32_t run_count;
};

/* Records are in order, none empty, and cover the target. base_size is 0
 * without a base; it is size where bytes correspond one to one. */
struct update_record {
    uint64_t target_offset;
    uint64_t size;
    uint64_t base_offset;
    uint64_t base_size;
    enum update_mode mode;
    /* The rest is of CODED records, which have whole elements, and a base
     * exactly when the coding looks at one. */
    enum dtype dtype;
    enum dtype from;  /* of the base's elements: dtype unless cast */
    uint32_t columns; /* elements a row; 0: rows mean nothing */
    struct record_window window;
    uint8_t rank;       /* of the low rank part of the prediction; 0: none */
    int8_t shift;       /* of its step */
    bool scaled;        /* rows of the base have factors */
    int8_t scale_shift; /* of their unit */
    float base_scale;   /* all of the base has this factor; 0: none */
    /* Auxiliary segments begun by this record and those before it: its own
     * tables, if it has any, lie in segment aux - 1. */
    uint32_t aux;
    struct coding coding;
};

struct record_list {
    struct update_record *records;
    uint32_t count;
    uint32_t cap;
    struct gather_run *runs;
    uint32_t run_count;
    uint32_t run_cap;
};

void record_list_deinit(struct record_list *list);

/* A zeroed record at the end, to be filled in; NULL: no memory. */
struct update_record *record_list_push(struct record_list *list);

/* Copies runs of a window to the end of those of the list; NULL: no memory. */
struct gather_run *record_list_push_runs(struct record_list *list,
                                         const struct gather_run *runs,
                                         uint32_t count);

/* Makes a CODED record without tables one of BYTES over the same base. */
void record_uncode(struct update_record *record);

/* "same", "bytes", "diff", "delta", "low rank", "lattice", ... Static. */
const char *record_mode_name(const struct update_record *record);

/* Elements of a CODED record, or pairs of them if they have 4 bits; rows, the
 * last one perhaps short. */
uint64_t record_elems(const struct update_record *record);
uint64_t record_rows(const struct update_record *record);

/* True when its prediction takes tables from an auxiliary segment, and their
 * decoded size in bytes, or RECORD_TABLES_LEAST if that is more. */
bool record_has_tables(const struct update_record *record);
uint64_t record_tables_size(const struct update_record *record);

/* True when its tables are not larger than what they help with, so that what is
 * decoded for a segment stays in proportion to it, and fit an auxiliary
 * segment. */
bool record_tables_ok(const struct update_record *record);

/* True when the prediction of a CODED record is its base as it stands. */
bool record_is_plain(const struct update_record *record);

/* True when the lattice coder codes some. */
bool record_list_has_lattice(const struct record_list *list);

/* True when levels of the lattice coder are guessed: all are, or none. */
bool record_list_guessed(const struct record_list *list);

/* Makes them so: what the version says, not the records' bytes. */
void record_list_set_guessed(struct record_list *list);

/* The index of the first record whose aux is at least this; count if none. */
uint32_t record_of_aux(const struct record_list *list, uint32_t aux);

/* The place of a CODED record's base elements. */
void record_gather(const struct record_list *list,
                   const struct update_record *record, struct gather *gather);

/* Writes the records, which cover target_size bytes. */
void record_list_write(const struct record_list *list, uint64_t target_size,
                       struct writer *wr);

/* Reads records until they cover target_size bytes.
 *
 * out    empty on error; else record_list_deinit
 * CORRUPT, TRUNCATED; LIMIT above count_max records; NO_MEMORY */
enum status record_list_read(struct reader *rd, uint64_t target_size,
                             uint64_t base_size,
                             const struct coding_tables *tables,
                             uint32_t count_max, struct record_list *out)
    MUST_CHECK;

#endif
