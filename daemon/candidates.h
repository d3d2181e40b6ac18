/* Which of a row of candidates to try next, when each try is expensive: an
 * update is made, and somebody's evaluation runs for minutes.
 *
 * Candidates are numbered from the one wanted most (the smallest update) to the
 * one wanted least. Whoever tries one says whether it passes. From a start the
 * search doubles its steps until it has one that passes and one wanted more
 * that does not, and then halves the gap between the two. Passing need not be
 * monotone: what is found is one that itself passed, and whose neighbour that
 * is wanted more did not, or there is none. */
#ifndef DAEMON_CANDIDATES_H
#define DAEMON_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>

#define CANDIDATES_MAX 256u

enum candidate_state {
    CANDIDATE_UNTRIED,
    CANDIDATE_PASSED,
    CANDIDATE_FAILED
};

struct candidates {
    size_t count; /* 1 .. CANDIDATES_MAX */
    size_t start; /* below count */
    enum candidate_state states[CANDIDATES_MAX];
};

/* count is cut to CANDIDATES_MAX, start to what is below it. */
void candidates_init(struct candidates *candidates, size_t count, size_t start);

/* The one to try next; false when the search is over. */
bool candidates_next(const struct candidates *candidates, size_t *index);

void candidates_note(struct candidates *candidates, size_t index, bool passed);

/* The one wanted most of those that passed; false when none did. */
bool candidates_best(const struct candidates *candidates, size_t *index);

#endif
