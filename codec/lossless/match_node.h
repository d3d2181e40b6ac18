/* What the files of match share: the tensors of both sides while they are
 * matched. Internal to match. */
#ifndef CODEC_LOSSLESS_MATCH_NODE_H
#define CODEC_LOSSLESS_MATCH_NODE_H

#include "codec/lossless/match.h"

#define MATCH_RANK_MAX 8u
/* A map's entry for what has no base. */
#define MATCH_NOWHERE  UINT32_MAX
#define MATCH_MAPS_MAX 64u
/* Pieces of all tensors, and their runs: an update has so many records, and a
 * header of so many bytes. */
#define MATCH_PIECES_MAX 16384u
#define MATCH_RUNS_MAX   (1u << 18)
/* Values of a sketch, a square of which are compared. */
#define MATCH_SKETCH_SIDE 10u
#define MATCH_SKETCH_MAX  (MATCH_SKETCH_SIDE * MATCH_SKETCH_SIDE)

/* How sure a pair is, weakest first. */
enum match_bond {
    MATCH_ALONE,
    MATCH_BY_ORDER,  /* of the same shape, nothing else */
    MATCH_BY_NAME,   /* values are not alike, or do not tell */
    MATCH_BY_PLACE,  /* the name, given where its neighbours went */
    MATCH_BY_VALUES, /* alike: certain */
};

/* A tensor of either side. Dimensions of one do not count. */
struct match_node {
    const struct tensor *tensor;
    uint64_t dims[MATCH_RANK_MAX];
    uint32_t rank;
    uint64_t rows; /* the first dimension */
    uint64_t columns;
    uint64_t elem_count;
    uint32_t width; /* bytes of an element: 1, 2, 4, 8 */
    uint64_t name_key;
    struct match_node *other; /* of the target: the base tensor as large */
    enum match_bond bond;
    bool turned;                /* transposed */
    struct match_node *partner; /* of the target: one in another shape */
    bool partner_named;         /* it has the very same name */
    bool partner_near;          /* it is merely near */
    uint64_t tried;             /* with so many maps less one; 0: not yet */
    bool claimed;               /* of the base: certainly some target's */
    uint64_t used;              /* of the base: elements some pieces took */
    float *sketch;              /* less their mean, and of length one */
    uint32_t sketch_count;
    float sketch_mean;
    float sketch_norm;
    bool varied;              /* its values tell it from others */
    size_t gap;               /* of the base: the gap before it, or SIZE_MAX */
    struct match_list pieces; /* of the target: instead of other */
};

struct match_side {
    const struct source *source;
    const struct model *model; /* may be NULL */
    struct match_node *nodes;  /* in the order of the model */
    struct match_node **sorted;
    size_t count;
};

/* Which of the from indices of an axis of the base became which of the to
 * indices of the target. */
struct match_map {
    uint32_t from;
    uint32_t to;
    uint32_t *at; /* owned: to entries, MATCH_NOWHERE for what is new */
};

/* The base's stretches that belong to no tensor, in order; those of a file are
 * first[file] to first[file + 1]. */
struct match_gap {
    uint64_t offset;
    uint64_t size;
};

struct match_gaps {
    struct match_gap *items;
    size_t count;
    size_t cap;
    size_t *first;
    size_t file_count;
};

/* Where in a file of the target a gap is. */
struct match_place {
    uint64_t from;
    uint64_t to;
    const struct match_node *next; /* the tensor behind it; NULL: none */
    size_t index;                  /* how many are before it */
    bool starts;                   /* the file begins with it */
};

struct matcher {
    struct match_side base;
    struct match_side target;
    struct match_gaps gaps; /* of the base */
    uint8_t *buf;           /* MATCH_BUFFER_SIZE */
    struct match_list *list;
    struct match_map maps[MATCH_MAPS_MAX]; /* that were found, newest last */
    uint32_t map_count;
    uint64_t maps_found; /* ever */
    uint64_t bytes_read;
    size_t piece_count; /* in all tensors, and their runs */
    size_t run_count;
};

#define MATCH_BUFFER_SIZE 65536u

/* The tensor's elements from first on as numbers; those that are not finite are
 * 0. count elements fit the buffer. */
enum status match_values(struct matcher *ma, const struct match_side *side,
                         const struct match_node *node, uint64_t first,
                         size_t count, float *out) MUST_CHECK;

/* Correlation; 0 where one does not vary. */
float match_corr(const float *a, const float *b, size_t count);

/* True when count values of such a correlation are hardly so by chance: z is
 * how many standard deviations away from it. */
bool match_beyond_chance(float corr, size_t count, float z);

/* True when elements of one can be predicted from the other's. */
bool match_kinds_fit(const struct match_node *a, const struct match_node *b);

void match_pair(struct match_node *target, struct match_node *base,
                enum match_bond bond);

/* Names: the base tensor of this name, exactly, or but for case, separators,
 * usual prefixes and synonyms. */
void match_names_sort(struct match_side *base);
struct match_node *match_find_name(const struct match_side *base,
                                   const char *name, size_t size);
void match_names_loosely(struct matcher *ma);

/* Gives tensors that values do not settle those that their neighbours' names
 * point to. */
enum status match_places(struct matcher *ma) MUST_CHECK;

/* Compares the values of pairs by name, and looks for better ones. */
enum status match_by_sketch(struct matcher *ma) MUST_CHECK;

/* True when both have sketches that say that one is not worth to be coded over
 * the other. */
bool match_sketches_apart(const struct match_node *a,
                          const struct match_node *b);

/* Takes the mean off and scales to length one; one that does not vary is all
 * zeros. Answers the length before, *mean unless NULL. */
float match_normalise(float *v, size_t count, float *mean);

/* Of normalised vectors the correlation. */
float match_dot(const float *a, const float *b, size_t count);

/* Fills map for vectors of k values each; both are normalised in place. Answers
 * how many were found. */
size_t match_align(float *target, size_t to, float *base, size_t from, size_t k,
                   uint32_t *map);

/* Fills pieces of tensors that have a partner in another shape: one that is
 * merely near, or the others. */
enum status match_shapes_differ(struct matcher *ma, bool near) MUST_CHECK;

/* A tensor without a name that is known may be what is left of the base next to
 * where the tensors before it were found: makes that its partner. */
void match_neighbours(struct matcher *ma);

/* Fills pieces of tensors that were merged or split. */
enum status match_pieces(struct matcher *ma) MUST_CHECK;

enum status match_gaps_init(struct match_gaps *gaps, struct match_side *base)
    MUST_CHECK;
void match_gaps_deinit(struct match_gaps *gaps);

/* The base file that corresponds to a file of the target: the one of the same
 * path, else the one at the same place. */
size_t match_gap_file(const struct matcher *ma, size_t file);

/* A gap of the target and what it is like of that base file. */
struct match match_gap_match(const struct matcher *ma, size_t file,
                             const struct match_place *place);

/* Counts the node's pieces; gives them up when all together are too many. */
void match_count_pieces(struct matcher *ma, struct match_node *node);

enum status match_list_add(struct match_list *list, struct match match)
    MUST_CHECK;

/* Cuts ranges of the list that are no tensors where long stretches of them
 * occur in the base: those have their place there, what is between them the
 * base that is between. Reads base and ranges once, if there are large ones. */
enum status match_copies(struct matcher *ma) MUST_CHECK;

#endif
