/* The options that say how a stream is made. */
#include "daemon/ctl_nnc.h"

#include "codec/quant/qp.h"
#include "codec/quant/rd_lowrank.h"
#include "daemon/ctl_offline.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* What export does not lose: error as a share of what is sent. */
#define EXPORT_ERROR 0.001

const char ctl_nnc_rules_usage[] =
    "  Step of tensors of two or more dimensions, one of:\n"
    "  --error R         one for all, error R of the numbers' root mean "
    "square;\n"
    "                    default 0.5 over a base, 0.02 without\n"
    "  --qp N --step S   this one; a step is the next smaller that has a qp\n"
    "  --bits N          2 to 24 bits a number (all tensors)\n"
    "  --max-error E     no number of any tensor off by more than E\n"
    "  Of vectors, but with --bits and --max-error: --vector-error R, default\n"
    "  0.05 over a base, 0.005 without; or --vector-qp N\n"
    "  --dq, --no-dq     dependent quantisation; default: as it costs\n"
    "  --codebook        a table of values, where that costs less\n"
    "  --sparsity R      the smallest R (0 to 1) of each tensor become 0\n"
    "  --lambda L        error that a bit is worth, in squared steps; default "
    "0.14\n"
    "  --lattice         integers of a lattice the tensors lie on, exactly\n"
    "  --low-rank auto|off|N  differences as G and H, and levels of what they\n"
    "                    leave, where that costs less, or of N components; "
    "default\n"
    "                    off, since other software does not read such streams\n"
    "  --row-skip, --no-row-skip, --tca, --no-tca; default: as it costs\n"
    "  --scan N (0-4), --density N (0-7; 2), --profile 0|1, --device N\n";

void ctl_nnc_rules_init(struct ctl_nnc_rules *r)
{
    *r = (struct ctl_nnc_rules){
        .rules = {.density = 2,
                  .profile = 1,
                  .lambda = RD_LAMBDA,
                  .codebook = RD_NO},
    };
}

static bool real_of(const char *text, double min, double max, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return !errno && end != text && !*end && *out >= min && *out <= max;
}

static bool int_of(const char *text, int min, int max, int *out)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    *out = (int)value;
    return !errno && end != text && !*end && value >= min && value <= max;
}

static bool u8_of(const char *text, unsigned max, uint8_t *out)
{
    unsigned value;
    if (!ctl_offline_count(text, 0, max, &value))
        return false;
    *out = (uint8_t)value;
    return true;
}

/* The options that set a step. */
static bool step_option(struct ctl_nnc_rules *r, int option, const char *value)
{
    struct nnc_write_rules *rules = &r->rules;
    int whole;
    bool fits;
    r->steps_given++;
    switch (option) {
    case CTL_NNC_QP:
        rules->step = NNC_STEP_QP;
        fits = int_of(value, -4096, 4095, &whole);
        rules->value = whole;
        return fits;
    case CTL_NNC_STEP:
        rules->step = NNC_STEP_QP;
        return real_of(value, 0x1p-32, 0x1p32, &r->step);
    case CTL_NNC_BITS:
        rules->step = NNC_STEP_BITS;
        fits = int_of(value, 2, 24, &whole);
        rules->value = whole;
        return fits;
    case CTL_NNC_MAX_ERROR:
        rules->step = NNC_STEP_MAX;
        return real_of(value, 0x1p-32, 0x1p32, &rules->value);
    default:
        rules->step = NNC_STEP_ERROR;
        return real_of(value, 1e-9, 1, &rules->value);
    }
}

static bool flag_option(struct nnc_write_rules *rules, int option)
{
    switch (option) {
    case CTL_NNC_DQ:
        rules->dq = RD_YES;
        return true;
    case CTL_NNC_NO_DQ:
        rules->dq = RD_NO;
        return true;
    case CTL_NNC_CODEBOOK:
        rules->codebook = RD_YES;
        return true;
    case CTL_NNC_NO_CODEBOOK:
        rules->codebook = RD_NO;
        return true;
    case CTL_NNC_ROW_SKIP:
        rules->enc.row_skip = NNC_ALWAYS;
        return true;
    case CTL_NNC_NO_ROW_SKIP:
        rules->enc.row_skip = NNC_NEVER;
        return true;
    case CTL_NNC_TCA:
        rules->enc.temporal = NNC_ALWAYS;
        return true;
    case CTL_NNC_NO_TCA:
        rules->enc.temporal = NNC_NEVER;
        return true;
    case CTL_NNC_LATTICE:
        rules->lattice = true;
        return true;
    default:
        return false;
    }
}

static bool low_rank_option(struct ctl_nnc_rules *r, const char *value)
{
    struct nnc_write_rules *rules = &r->rules;
    rules->low_rank_exact = false;
    rules->low_rank = RD_LOWRANK_MAX;
    if (!strcmp(value, "auto"))
        return true;
    rules->low_rank = 0;
    if (!strcmp(value, "off"))
        return true;
    rules->low_rank_exact = true;
    return ctl_offline_count(value, 1, RD_LOWRANK_MAX, &rules->low_rank);
}

static bool value_option(struct ctl_nnc_rules *r, int option, const char *value)
{
    struct nnc_write_rules *rules = &r->rules;
    switch (option) {
    case CTL_NNC_VECTOR_QP:
        rules->has_vector_qp = true;
        return int_of(value, -4096, 4095, &rules->vector_qp);
    case CTL_NNC_VECTOR_ERROR:
        return real_of(value, 1e-9, 1, &rules->vector_error);
    case CTL_NNC_SPARSITY:
        return real_of(value, 0, 1, &rules->sparsity);
    case CTL_NNC_SCAN:
        rules->enc.scan = NNC_NEVER; /* this one, whatever it costs */
        return u8_of(value, 4, &rules->scan_order);
    case CTL_NNC_LAMBDA:
        r->has_lambda = true;
        return real_of(value, 0, 100, &rules->lambda);
    case CTL_NNC_LOW_RANK:
        return low_rank_option(r, value);
    case CTL_NNC_DENSITY:
        return u8_of(value, QP_DENSITY_MAX, &rules->density);
    case CTL_NNC_PROFILE:
        return u8_of(value, 1, &rules->profile);
    case CTL_NNC_DEVICE:
        return ctl_offline_count(value, 0, 1u << 20, &rules->device_id);
    default:
        return false;
    }
}

bool ctl_nnc_rules_option(struct ctl_nnc_rules *r, int option,
                          const char *value)
{
    if (option >= CTL_NNC_QP && option <= CTL_NNC_ERROR)
        return step_option(r, option, value);
    return flag_option(&r->rules, option) || value_option(r, option, value);
}

static bool refuse(struct diag *diag, const char *why)
{
    (void)!diag_fail(diag, STATUS_USAGE, "%s", why);
    return false;
}

static bool qp_fits(const struct nnc_write_rules *rules, double qp)
{
    return qp >= qp_min(rules->density) && qp <= qp_max(rules->density);
}

static bool low_rank_fits(const struct ctl_nnc_rules *r, bool has_base,
                          struct diag *diag)
{
    const struct nnc_write_rules *rules = &r->rules;
    bool fits = (rules->step == NNC_STEP_ERROR || rules->step == NNC_STEP_QP) &&
                rules->codebook != RD_YES && !(rules->sparsity > 0);
    if (rules->low_rank && !has_base)
        return refuse(diag, "--low-rank is for differences: --base");
    if (rules->low_rank && !fits)
        return refuse(diag, "--low-rank goes with --error, --qp or --step, "
                            "without --codebook and --sparsity");
    return true;
}

/* Options that would not be followed if they were taken together. */
static bool options_fit(const struct ctl_nnc_rules *r, struct diag *diag)
{
    const struct nnc_write_rules *rules = &r->rules;
    bool bits = rules->step == NNC_STEP_BITS;
    bool all = bits || rules->step == NNC_STEP_MAX;
    if (r->steps_given > 1)
        return refuse(diag, "of --qp, --step, --bits, --max-error and --error "
                            "only one can be given");
    if (rules->has_vector_qp && rules->vector_error > 0)
        return refuse(diag, "of --vector-qp and --vector-error only one can be "
                            "given");
    if (all && (rules->has_vector_qp || rules->vector_error > 0))
        return refuse(diag, "--bits and --max-error are of vectors, too: "
                            "neither --vector-qp nor --vector-error goes with "
                            "them");
    if (bits && (rules->dq == RD_YES || rules->codebook == RD_YES))
        return refuse(diag, "--bits goes with neither --dq nor --codebook");
    if (rules->step == NNC_STEP_MAX && rules->sparsity > 0)
        return refuse(diag, "--max-error and --sparsity exclude each other");
    if (rules->dq == RD_YES && rules->codebook == RD_YES)
        return refuse(diag, "--dq and --codebook exclude each other");
    if (rules->dq == RD_YES && rules->scan_order)
        return refuse(diag, "--dq goes with --scan 0 only");
    return true;
}

bool ctl_nnc_rules_finish(struct ctl_nnc_rules *r, bool has_base, bool has_prev,
                          struct diag *diag)
{
    struct nnc_write_rules *rules = &r->rules;
    if (!options_fit(r, diag))
        return false;
    if (rules->profile == 0 && has_base)
        return refuse(diag, "--profile 0 has no differences to a base");
    if (has_prev && !has_base)
        return refuse(diag, "--prev needs --base");
    if (rules->enc.temporal == NNC_ALWAYS && !has_prev)
        return refuse(diag, "--tca needs the updates sent before: --prev");
    if (!low_rank_fits(r, has_base, diag))
        return false;
    if (r->step > 0)
        rules->value = qp_at_most(r->step, rules->density);
    if (rules->step == NNC_STEP_QP && !qp_fits(rules, rules->value))
        return refuse(diag, "--qp is out of the range that the density has");
    if (rules->has_vector_qp && !qp_fits(rules, rules->vector_qp))
        return refuse(diag,
                      "--vector-qp is out of the range that the density has");
    if (rules->codebook == RD_YES)
        rules->dq = RD_NO;
    if (rules->step == NNC_STEP_MAX && !r->has_lambda)
        rules->lambda = 0;
    if (r->exports && !r->steps_given) {
        rules->lattice = true;
        rules->value = EXPORT_ERROR;
        rules->lambda = r->has_lambda ? rules->lambda : 0;
        if (!(rules->vector_error > 0))
            rules->vector_error = EXPORT_ERROR;
    }
    return true;
}
