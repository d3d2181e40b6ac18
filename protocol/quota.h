/* A token bucket on the caller's clock: a budget that refills at a steady rate
 * up to a cap. Whole units; the rest of a unit is carried over in time. */
#ifndef PROTOCOL_QUOTA_H
#define PROTOCOL_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#define QUOTA_SECOND_NS 1000000000ull

struct quota {
    uint64_t rate_s;    /* units a second, > 0 */
    uint64_t cap;       /* units at most */
    uint64_t level;     /* units now */
    uint64_t filled_ns; /* up to when it was refilled */
};

/* Starts full. */
static inline void quota_init(struct quota *q, uint64_t rate_s, uint64_t cap,
                              uint64_t now_ns)
{
    *q = (struct quota){rate_s, cap, cap, now_ns};
}

static inline void quota_fill(struct quota *q, uint64_t now_ns)
{
    if (now_ns <= q->filled_ns)
        return;
    uint64_t passed = now_ns - q->filled_ns;
    if (passed / QUOTA_SECOND_NS >= q->cap / q->rate_s + 1) {
        q->level = q->cap;
        q->filled_ns = now_ns;
        return;
    }
    uint64_t units = passed / QUOTA_SECOND_NS * q->rate_s +
                     passed % QUOTA_SECOND_NS * q->rate_s / QUOTA_SECOND_NS;
    if (!units)
        return;
    q->filled_ns += units * QUOTA_SECOND_NS / q->rate_s;
    q->level = units > q->cap - q->level ? q->cap : q->level + units;
}

/* Takes units when they are there. More than the cap is taken from a full
 * bucket. */
static inline bool quota_take(struct quota *q, uint64_t units, uint64_t now_ns)
{
    quota_fill(q, now_ns);
    uint64_t need = units < q->cap ? units : q->cap;
    if (q->level < need)
        return false;
    q->level -= need;
    return true;
}

/* When that many units will be there; now_ns when they are. */
static inline uint64_t quota_ready_ns(struct quota *q, uint64_t units,
                                      uint64_t now_ns)
{
    quota_fill(q, now_ns);
    uint64_t need = units < q->cap ? units : q->cap;
    if (q->level >= need)
        return now_ns;
    return q->filled_ns +
           ((need - q->level) * QUOTA_SECOND_NS + q->rate_s - 1) / q->rate_s;
}

#endif
