/* Jobs: lanes exclude each other, order holds within a lane, reads run beside
 * everything. */
#include "daemon/job.h"

#include "tests/support/cmocka.h"

#include <string.h>

struct test_job {
    struct job job;
    struct shared *shared;
    int number;
};

struct shared {
    atomic_int in_lane[3];
    atomic_int overlaps;
    int order[16];
    int done;
    bool saw_cancelled;
};

static void run(struct job *job)
{
    struct test_job *t = (struct test_job *)job;
    for (int lane = 0; lane < 3; lane++)
        if (job->lanes & (1u << lane))
            if (atomic_fetch_add(&t->shared->in_lane[lane], 1))
                atomic_fetch_add(&t->shared->overlaps, 1);
    uv_sleep(2);
    for (int lane = 0; lane < 3; lane++)
        if (job->lanes & (1u << lane))
            atomic_fetch_sub(&t->shared->in_lane[lane], 1);
}

static void done(struct job *job)
{
    struct test_job *t = (struct test_job *)job;
    t->shared->saw_cancelled = t->shared->saw_cancelled || job_stopped(job);
    t->shared->order[t->shared->done++] = t->number;
}

static void submit_all(struct job_queue *queue, struct test_job *jobs,
                       const unsigned *lanes, int count, struct shared *shared)
{
    memset(jobs, 0, (size_t)count * sizeof(*jobs));
    memset(shared, 0, sizeof(*shared));
    for (int i = 0; i < count; i++) {
        jobs[i].job.lanes = lanes[i];
        jobs[i].job.run = run;
        jobs[i].job.done = done;
        jobs[i].shared = shared;
        jobs[i].number = i;
        job_submit(queue, &jobs[i].job);
    }
}

static void job_lanes_do_not_overlap(void **state)
{
    (void)state;
    static const unsigned lanes[] = {1, 2, 1, 7, 4, 0, 1, 2, 0, 7, 4, 0};
    enum {
        COUNT = sizeof(lanes) / sizeof(*lanes)
    };
    uv_loop_t loop;
    struct job_queue queue;
    struct test_job jobs[COUNT];
    struct shared shared;
    assert_int_equal(uv_loop_init(&loop), 0);
    job_queue_init(&queue, &loop);
    submit_all(&queue, jobs, lanes, COUNT, &shared);
    assert_false(job_queue_idle(&queue));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(job_queue_idle(&queue));
    assert_int_equal(shared.done, COUNT);
    assert_int_equal(atomic_load(&shared.overlaps), 0);
    assert_false(shared.saw_cancelled);
    int last[3] = {-1, -1, -1};
    for (int i = 0; i < COUNT; i++)
        for (int lane = 0; lane < 3; lane++)
            if (lanes[shared.order[i]] & (1u << lane)) {
                assert_true(shared.order[i] > last[lane]);
                last[lane] = shared.order[i];
            }
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void job_stop_cancels_what_waits(void **state)
{
    (void)state;
    static const unsigned lanes[] = {1, 1, 1};
    uv_loop_t loop;
    struct job_queue queue;
    struct test_job jobs[3];
    struct shared shared;
    assert_int_equal(uv_loop_init(&loop), 0);
    job_queue_init(&queue, &loop);
    submit_all(&queue, jobs, lanes, 3, &shared);
    job_queue_stop(&queue);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(shared.done, 3);
    assert_true(shared.saw_cancelled);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_lanes_do_not_overlap),
        cmocka_unit_test(job_stop_cancels_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
