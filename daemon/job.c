/* Starts jobs whose lanes are free, first come first served in each lane. */
#include "daemon/job.h"

#include <time.h>

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void job_queue_init(struct job_queue *queue, uv_loop_t *loop)
{
    *queue = (struct job_queue){.loop = loop};
    atomic_init(&queue->stopping, false);
}

static void on_thread(uv_work_t *req)
{
    struct job *job = req->data;
    uint64_t begin = thread_cpu_ns();
    job->run(job);
    job->cpu_ns = thread_cpu_ns() - begin;
}

static void start_ready(struct job_queue *queue);

static void on_loop(uv_work_t *req, int result)
{
    (void)result; /* jobs are never cancelled in the pool */
    struct job *job = req->data;
    struct job_queue *queue = job->queue;
    struct job **at = &queue->running;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    queue->busy_lanes &= ~job->lanes;
    if (!job->lanes)
        queue->reads--;
    job->done(job);
    start_ready(queue);
}

static void start(struct job_queue *queue, struct job *job)
{
    queue->busy_lanes |= job->lanes;
    if (!job->lanes)
        queue->reads++;
    job->next = queue->running;
    queue->running = job;
    job->req.data = job;
    uv_queue_work(queue->loop, &job->req, on_thread, on_loop);
}

/* A job that must wait keeps its lanes from those behind it. */
static void start_ready(struct job_queue *queue)
{
    unsigned taken = queue->busy_lanes;
    struct job **at = &queue->first;
    struct job *last = NULL;
    while (*at) {
        struct job *job = *at;
        bool wait = job->lanes ? (job->lanes & taken) != 0
                               : queue->reads >= JOB_READS_MAX;
        taken |= job->lanes;
        if (wait) {
            last = job;
            at = &job->next;
        } else {
            *at = job->next;
            start(queue, job);
        }
    }
    queue->last = last;
}

void job_submit(struct job_queue *queue, struct job *job)
{
    job->queue = queue;
    job->next = NULL;
    job->cpu_ns = 0;
    atomic_init(&job->cancelled, atomic_load(&queue->stopping));
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
    start_ready(queue);
}

void job_queue_stop(struct job_queue *queue)
{
    atomic_store(&queue->stopping, true);
    for (struct job *job = queue->first; job; job = job->next)
        atomic_store(&job->cancelled, true);
    for (struct job *job = queue->running; job; job = job->next)
        atomic_store(&job->cancelled, true);
}

bool job_queue_idle(const struct job_queue *queue)
{
    return !queue->first && !queue->running;
}
