/* What the nnc verb and publish and export of NNC streams share: options, the
 * chain of updates sent before, contents made into streams and back. */
#ifndef DAEMON_CTL_NNC_H
#define DAEMON_CTL_NNC_H

#include "codec/nnc/nnc_model_read.h"
#include "codec/nnc/nnc_model_write.h"
#include "daemon/ctl_content.h"
#include "daemon/out_file.h"

/* ---- Options of encoding: nnc encode, export --nnc ---- */

enum ctl_nnc_option {
    CTL_NNC_QP = 1000,
    CTL_NNC_STEP,
    CTL_NNC_BITS,
    CTL_NNC_MAX_ERROR,
    CTL_NNC_ERROR,
    CTL_NNC_VECTOR_QP,
    CTL_NNC_VECTOR_ERROR,
    CTL_NNC_DQ,
    CTL_NNC_NO_DQ,
    CTL_NNC_CODEBOOK,
    CTL_NNC_NO_CODEBOOK,
    CTL_NNC_ROW_SKIP,
    CTL_NNC_NO_ROW_SKIP,
    CTL_NNC_TCA,
    CTL_NNC_NO_TCA,
    CTL_NNC_SPARSITY,
    CTL_NNC_SCAN,
    CTL_NNC_LAMBDA,
    CTL_NNC_DENSITY,
    CTL_NNC_PROFILE,
    CTL_NNC_LATTICE,
    CTL_NNC_LOW_RANK,
    CTL_NNC_DEVICE,
};

#define CTL_NNC_OPTIONS                                                  \
    {"qp", required_argument, NULL, CTL_NNC_QP},                         \
        {"step", required_argument, NULL, CTL_NNC_STEP},                 \
        {"bits", required_argument, NULL, CTL_NNC_BITS},                 \
        {"max-error", required_argument, NULL, CTL_NNC_MAX_ERROR},       \
        {"error", required_argument, NULL, CTL_NNC_ERROR},               \
        {"vector-qp", required_argument, NULL, CTL_NNC_VECTOR_QP},       \
        {"vector-error", required_argument, NULL, CTL_NNC_VECTOR_ERROR}, \
        {"dq", no_argument, NULL, CTL_NNC_DQ},                           \
        {"no-dq", no_argument, NULL, CTL_NNC_NO_DQ},                     \
        {"codebook", no_argument, NULL, CTL_NNC_CODEBOOK},               \
        {"no-codebook", no_argument, NULL, CTL_NNC_NO_CODEBOOK},         \
        {"row-skip", no_argument, NULL, CTL_NNC_ROW_SKIP},               \
        {"no-row-skip", no_argument, NULL, CTL_NNC_NO_ROW_SKIP},         \
        {"tca", no_argument, NULL, CTL_NNC_TCA},                         \
        {"no-tca", no_argument, NULL, CTL_NNC_NO_TCA},                   \
        {"sparsity", required_argument, NULL, CTL_NNC_SPARSITY},         \
        {"scan", required_argument, NULL, CTL_NNC_SCAN},                 \
        {"lambda", required_argument, NULL, CTL_NNC_LAMBDA},             \
        {"density", required_argument, NULL, CTL_NNC_DENSITY},           \
        {"profile", required_argument, NULL, CTL_NNC_PROFILE},           \
        {"lattice", no_argument, NULL, CTL_NNC_LATTICE},                 \
        {"low-rank", required_argument, NULL, CTL_NNC_LOW_RANK},         \
    {                                                                    \
        "device", required_argument, NULL, CTL_NNC_DEVICE                \
    }

extern const char ctl_nnc_rules_usage[];

/* Options as they come; made rules at the end, since what a step is depends on
 * the density. */
struct ctl_nnc_rules {
    struct nnc_write_rules rules;
    double step;          /* of --step; 0: not given */
    unsigned steps_given; /* of the options of which one may be */
    bool has_lambda;
    bool exports; /* defaults of export: lattices, a fine step */
};

void ctl_nnc_rules_init(struct ctl_nnc_rules *r);

/* True: it was one of these, and its value fits. */
bool ctl_nnc_rules_option(struct ctl_nnc_rules *r, int option,
                          const char *value);

/* False: options that exclude each other; diag says which. */
bool ctl_nnc_rules_finish(struct ctl_nnc_rules *r, bool has_base, bool has_prev,
                          struct diag *diag);

/* ---- Contents ---- */

/* A content and what its tensors are called in streams. */
struct ctl_nnc_model {
    const struct source *source;
    const struct model *model;
    struct nnc_names names; /* deinit */
};

enum status ctl_nnc_model_of(struct ctl_nnc_model *out,
                             const struct source *source,
                             const struct model *model) MUST_CHECK;

#define CTL_NNC_PREV_MAX 1024u

/* Streams that were sent before, oldest first. */
struct ctl_nnc_prev {
    const char *paths[CTL_NNC_PREV_MAX];
    size_t count;
};

/* The next one; false for one too many. */
bool ctl_nnc_prev_add(struct ctl_nnc_prev *prev, const char *path);

/* What they leave; *state is NULL where there are none. shapes may be NULL. */
enum status ctl_nnc_state(const struct ctl_nnc_prev *prev,
                          struct nnc_shapes *shapes, struct nnc_state **state,
                          struct diag *diag) MUST_CHECK;

/* ---- Encoding ---- */

struct ctl_nnc_encode {
    const struct ctl *ctl;
    const struct ctl_nnc_model *target;
    const struct ctl_nnc_model *base; /* or NULL */
    const struct ctl_nnc_prev *prev;
    const struct nnc_write_rules *rules;
    const struct parallel *parallel;
    const char *out_path;
    struct diag *diag;
    /* Out: what was done. */
    uint64_t bytes, sent, same, left, lattice, low_rank, elem_count;
    double square_error, square_value, max_error; /* two or more dimensions */
    json_t *rows;                                 /* with ctl->json; or NULL */
};

/* Writes the file, whole or not at all. Tensors that cannot be carried are
 * named on standard error. */
enum status ctl_nnc_encode_file(struct ctl_nnc_encode *encode) MUST_CHECK;

/* Says what was done, as text or JSON; drops rows. */
void ctl_nnc_encode_report(struct ctl_nnc_encode *encode);

/* ---- Decoding ---- */

/* A stream that was read, with its values in a nameless file. */
struct ctl_nnc_stream {
    struct nnc_entries entries;
    struct out_file scratch;
    struct file_source values;
};

#define CTL_NNC_STREAM_CLOSED \
    ((struct ctl_nnc_stream){.scratch = {.fd = -1}, .values = {.fd = -1}})

/* What a stream may ask for: what the model has, or where there is none (NULL)
 * what is usual for so many bytes. */
struct nnc_dec_limits ctl_nnc_limits(const struct model *model,
                                     const struct source *in);

/* Reads the file path; model (may be NULL) gives shapes that it does not send.
 *
 * near  values go to a nameless file in the folder of this path; NULL: they
 *       are read but not kept */
enum status ctl_nnc_stream_open(struct ctl_nnc_stream *stream, const char *path,
                                const struct ctl_nnc_model *model,
                                const struct ctl_nnc_prev *prev,
                                const char *near, struct diag *diag) MUST_CHECK;
void ctl_nnc_stream_close(struct ctl_nnc_stream *stream);

/* As nnc_model_patch, and check sums of zip archives in the content are put
 * right; where there are any the content goes to a nameless file in the folder
 * of near first. */
enum status ctl_nnc_patch(const struct nnc_patch_params *params,
                          const char *near) MUST_CHECK;

/* "int", "uniform", "codebook", "raw". */
const char *ctl_nnc_kind(enum nnc_kind kind);

/* "as-sent", "new", "difference". */
bool ctl_nnc_values(const char *text, enum nnc_values *out);

/* ---- The verbs below nnc; argv[0] is encode, decode, inspect ---- */

int ctl_nnc_encode_verb(int argc, char **argv);
int ctl_nnc_decode_verb(int argc, char **argv);
int ctl_nnc_inspect_verb(int argc, char **argv);

#endif
