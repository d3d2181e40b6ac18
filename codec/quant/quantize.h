/* Quantises a model against the one its receivers hold: what is published then
 * is the base plus a difference of few bits, and every node has it to the bit.
 *
 * A float tensor (f64 f32 f16 bf16) whose elements correspond one to one to
 * those of a tensor of the base becomes
 *
 *     round to its type (pred + level * step)
 *
 * where pred is the base's element, or that plus a matrix of low rank as
 * codec/lossless/predict.h computes it, and step is 2^k: the density of qp is
 * 2, qp a multiple of 4, so that the levels of successive versions add up on
 * the finer of their steps. Without any base pred is 0. All else keeps its
 * bytes: other types, tensors that did not change, that hold an infinity or a
 * NaN, or that have no such base in a base that is given, and what is no
 * tensor.
 *
 * Tensors of two or more dimensions share one step and one price of a bit
 * (lambda), so that bits go where they lower the error of the whole the most.
 * Levels are chosen by error + lambda * bits. A component of a low rank part is
 * kept while it lowers that sum. Tensors of fewer dimensions have a step of
 * their own: their error stays within 5 % of their change (a sixteenth of that
 * where they have no more than four elements), or they are exact.
 *
 * Nothing but the two models is looked at: no data, no seed. The same inputs
 * give the same content on one machine; another may choose other levels, which
 * are then as good. */
#ifndef CODEC_QUANT_QUANTIZE_H
#define CODEC_QUANT_QUANTIZE_H

#include "codec/base/parallel.h"
#include "codec/base/source.h"
#include "codec/model/model.h"

#include <stdbool.h>
#include <stdint.h>

#define QUANTIZE_RANK_MAX 64u
/* Steps of tensors of two or more dimensions: 2^-60 .. 2^20. */
#define QUANTIZE_QP_MIN (-240)
#define QUANTIZE_QP_MAX 80
/* Share of its change that the error of a tensor of fewer than two dimensions
 * may have, as root mean squares. */
#define QUANTIZE_VECTOR_ERROR 0.05
/* The same without a base, where all of the value is change. */
#define QUANTIZE_VECTOR_FULL 0.005

struct update_hints; /* codec/update/hint.h */

/* All is borrowed, and must outlive the quantizer and not change meanwhile. */
struct quantize_params {
    const struct source *base;      /* NULL: none, receivers hold nothing */
    const struct model *base_model; /* NULL exactly when base is */
    const struct source *target;
    const struct model *target_model;
    unsigned max_rank; /* of low rank parts, 0 .. QUANTIZE_RANK_MAX */
    const struct parallel *parallel; /* NULL: one thread */
    struct diag *diag;               /* may be NULL */
};

enum quantize_mode {
    /* value is the wanted error of the tensors of two or more dimensions:
     * root mean square of what is lost over that of the change from the base
     * (without a base: over that of the values), all elements together;
     * 0 < value < 1. The error gets as large, mostly within a hundredth, at
     * most a tenth; below a fifth or so, where most levels are not zero, down
     * to half as large, as steps go by octaves. The one axis to search on: a
     * larger value never costs more bytes, but for accidents of a per cent or
     * so. */
    QUANTIZE_ERROR,
    /* value is qp of density 2; rounded down to a multiple of 4. */
    QUANTIZE_QP,
    /* value is the largest error of any element, in units of the weights,
     * rounding to the tensor's type apart. Levels are then the nearest, no bit
     * is saved by a larger error. > 0. */
    QUANTIZE_MAX_ERROR,
    /* value is what a bit is worth, in mean squares of the change of the
     * elements of matrices (of the values without a base): at 1, if one bit an
     * element told all, it would be worth it. Changes with dominant directions
     * then lose about half, as root mean square; those that are noise nearly
     * all. > 0. */
    QUANTIZE_PRICE,
    /* As QUANTIZE_PRICE with QUANTIZE_AUTO_PRICE, but where that loses more, as
     * QUANTIZE_ERROR with QUANTIZE_AUTO_ERROR, so that what is left does not
     * grow from update to update. Without a base as QUANTIZE_ERROR with
     * QUANTIZE_AUTO_FULL. value is not looked at. */
    QUANTIZE_AUTO
};

struct quantize_rule {
    enum quantize_mode mode;
    double value;
};

/* Chosen by tests/bench/bench_auto.py on models that it trains, by a rule
 * stated there before: the fewest bytes for which the accuracy lost against the
 * exact models is at most 0.1 point in the mean over all updates, and for no
 * kind of model above 0.3 point after the last. */
#define QUANTIZE_AUTO_PRICE 0.5
#define QUANTIZE_AUTO_ERROR 0.5
/* Of what is published once, and whole. */
#define QUANTIZE_AUTO_FULL 0.02

enum quantize_state {
    QUANTIZE_SAME,  /* was as in the base already */
    QUANTIZE_EXACT, /* kept as it is in the target */
    QUANTIZE_STEPS  /* holds pred + level * step */
};

/* One float tensor of the target, in its model's order. */
struct quantize_row {
    const struct tensor *tensor; /* of target_model */
    enum quantize_state state;
    int qp;           /* of density 2; only with steps, as the rest */
    unsigned rank;    /* of the low rank part; 0: none */
    double change;    /* root mean square of target - base (or of the target) */
    double error;     /* root mean square of result - target, 0 when exact */
    uint64_t changed; /* elements that differ from the base's */
    uint64_t levels;  /* that are not 0 */
};

/* Of tensors of two or more dimensions together, and the worst of the others.
 */
struct quantize_total {
    double change;       /* as in a row */
    double error;        /* as in a row; error / change is what was wanted */
    double vector_error; /* the largest error / change of the others */
    double step;         /* of the tensors of two or more dimensions */
    uint64_t bytes;      /* estimate of the update's size */
};

struct quantize;

/* Matches the tensors of both models and measures their changes: reads both
 * contents once.
 *
 * Memory: a thread takes up to 16 bytes an element of the largest tensor while
 * it works on it, and thin matrices of up to 80 columns. What stays is a sample
 * (at most 8 KiB elements a tensor or 4 Mi in all, whichever is more), up to
 * max_rank directions of each matrix, and after a run the levels: 1, 2 or
 * 4 bytes an element of each tensor with steps, as its largest level asks for,
 * and low rank factors.
 *
 * USAGE when params do not fit together, NO_MEMORY, or what the sources answer.
 */
enum status quantize_new(const struct quantize_params *params,
                         struct quantize **out) MUST_CHECK;
void quantize_free(struct quantize *q);

/* Chooses steps, low rank parts and levels by a rule. May be called again with
 * another: then sources, hints and rows of the run before are gone. USAGE when
 * the rule's value is outside its range; NO_MEMORY, or what the sources answer:
 * there is no result then. */
enum status quantize_run(struct quantize *q, const struct quantize_rule *rule)
    MUST_CHECK;

/* After a run, until the next: the quantised content, of the target's size and
 * layout: target_model describes it as well. Computed as it is read; may be
 * read by several threads if the params' sources may. */
const struct source *quantize_source(const struct quantize *q);

/* After a run, until the next: steps and low rank parts for update_enc. */
const struct update_hints *quantize_hints(const struct quantize *q);

/* After a run, until the next. */
const struct quantize_row *quantize_rows(const struct quantize *q,
                                         size_t *count);
struct quantize_total quantize_total(const struct quantize *q);

#endif
