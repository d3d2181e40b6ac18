/* Long work off the event loop: a queue in front of libuv's thread pool.
 *
 * Lanes keep apart what must not overlap: of the jobs that name a lane one runs
 * at a time, in the order they were submitted. A job may name several; one that
 * names none is a read and runs beside everything. */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
    JOB_LANE_WRITE = 1, /* what arrives: records, blocks */
    JOB_LANE_LONG = 2,  /* making and reading whole contents */
    JOB_LANE_PLACE = 4, /* putting versions in place */
    JOB_LANE_ALL = 7,
};

/* At most this many reads run beside each other. */
#define JOB_READS_MAX 2u

struct job_queue;

/* The first member of what a kind of job needs. Owned by the submitter until
 * done is called, which releases it. */
struct job {
    unsigned lanes;
    void (*run)(struct job *job);  /* on a thread */
    void (*done)(struct job *job); /* on the loop; always called */
    uint64_t cpu_ns;               /* out: CPU time that run took */
    atomic_bool cancelled;         /* set from the loop; run may look at it */
    /* private */
    struct job *next;
    struct job_queue *queue;
    uv_work_t req;
};

/* Caller's storage. */
struct job_queue {
    uv_loop_t *loop;
    struct job *first, *last; /* waiting */
    struct job *running;      /* linked by next */
    unsigned busy_lanes;
    unsigned reads;
    atomic_bool stopping; /* jobs should end soon */
};

void job_queue_init(struct job_queue *queue, uv_loop_t *loop);

void job_submit(struct job_queue *queue, struct job *job);

/* Tells all jobs to end soon; those that wait are run with cancelled set. */
void job_queue_stop(struct job_queue *queue);

/* Nothing runs or waits. */
bool job_queue_idle(const struct job_queue *queue);

/* What a job asks now and then. */
static inline bool job_stopped(struct job *job)
{
    return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

#endif
