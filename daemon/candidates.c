/* Doubling steps, then bisection. */
#include "daemon/candidates.h"

#include <string.h>

#define CANDIDATES_FIRST_STEP 2u

void candidates_init(struct candidates *candidates, size_t count, size_t start)
{
    memset(candidates, 0, sizeof(*candidates));
    if (!count)
        count = 1;
    candidates->count = count < CANDIDATES_MAX ? count : CANDIDATES_MAX;
    candidates->start =
        start < candidates->count ? start : candidates->count - 1;
}

void candidates_note(struct candidates *candidates, size_t index, bool passed)
{
    if (index < candidates->count)
        candidates->states[index] =
            passed ? CANDIDATE_PASSED : CANDIDATE_FAILED;
}

bool candidates_best(const struct candidates *candidates, size_t *index)
{
    for (size_t i = 0; i < candidates->count; i++)
        if (candidates->states[i] == CANDIDATE_PASSED) {
            *index = i;
            return true;
        }
    return false;
}

/* The failed one closest before end. */
static bool last_failed(const struct candidates *candidates, size_t end,
                        size_t *index)
{
    while (end--)
        if (candidates->states[end] == CANDIDATE_FAILED) {
            *index = end;
            return true;
        }
    return false;
}

/* Twice as far from the start as the last try. */
static size_t step_from(const struct candidates *candidates, size_t index)
{
    size_t gone = index > candidates->start ? index - candidates->start
                                            : candidates->start - index;
    return gone ? 2 * gone : CANDIDATES_FIRST_STEP;
}

bool candidates_next(const struct candidates *candidates, size_t *index)
{
    size_t passed, failed;
    if (candidates_best(candidates, &passed)) {
        size_t step = step_from(candidates, passed);
        if (!passed)
            return false;
        if (last_failed(candidates, passed, &failed)) {
            *index = failed + (passed - failed) / 2;
            return passed - failed > 1;
        }
        *index = step < passed ? passed - step : 0;
        return true;
    }
    if (!last_failed(candidates, candidates->count, &failed)) {
        *index = candidates->start;
        return true;
    }
    size_t step = step_from(candidates, failed);
    *index = step < candidates->count - 1 - failed ? failed + step
                                                   : candidates->count - 1;
    return failed < candidates->count - 1;
}
