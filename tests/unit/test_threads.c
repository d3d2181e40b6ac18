/* Pools of threads: every task once, in no more threads than asked for. */
#include "daemon/threads.h"
#include "tests/support/cmocka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define TASKS 1000u

struct count {
    const struct parallel *parallel;
    atomic_uint calls[TASKS];
    atomic_uint now, most, inner;
};

static void count_task(void *arg, unsigned index)
{
    struct count *count = arg;
    unsigned now = atomic_fetch_add(&count->now, 1) + 1;
    unsigned most = atomic_load(&count->most);
    while (now > most &&
           !atomic_compare_exchange_weak(&count->most, &most, now))
        ;
    atomic_fetch_add(&count->calls[index], 1);
    atomic_fetch_sub(&count->now, 1);
}

static void run_counts_each_once(unsigned width, unsigned tasks)
{
    static struct count count;
    struct threads *threads;
    assert_int_equal(threads_new(width, &threads), STATUS_OK);
    for (unsigned i = 0; i < TASKS; i++)
        atomic_store(&count.calls[i], 0);
    atomic_store(&count.most, 0);
    const struct parallel *parallel = threads_parallel(threads);
    parallel->run(parallel->ctx, tasks, count_task, &count);
    for (unsigned i = 0; i < TASKS; i++)
        assert_int_equal(atomic_load(&count.calls[i]), i < tasks);
    assert_true(atomic_load(&count.most) <= parallel->width);
    threads_free(threads);
}

static void every_task_runs_once(void **state)
{
    (void)state;
    for (unsigned width = 1; width <= 5; width++)
        for (unsigned round = 0; round < 20; round++) {
            run_counts_each_once(width, TASKS);
            run_counts_each_once(width, round);
        }
}

static void width_is_bounded(void **state)
{
    struct threads *threads;
    (void)state;
    assert_int_equal(threads_new(0, &threads), STATUS_OK);
    assert_int_equal(threads_parallel(threads)->width, threads_processors());
    threads_free(threads);
    assert_int_equal(threads_new(100000, &threads), STATUS_OK);
    assert_true(threads_parallel(threads)->width <= THREADS_WIDTH_MAX);
    threads_free(threads);
    threads_free(NULL);
}

/* Meets the other one: ends only when two run at the same time. */
static void meet_task(void *arg, unsigned index)
{
    (void)index;
    pthread_barrier_wait(arg);
}

static void tasks_run_at_the_same_time(void **state)
{
    pthread_barrier_t barrier;
    struct threads *threads;
    (void)state;
    assert_int_equal(threads_new(3, &threads), STATUS_OK);
    const struct parallel *parallel = threads_parallel(threads);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 3), 0);
    for (unsigned round = 0; round < 50; round++)
        parallel->run(parallel->ctx, 3, meet_task, &barrier);
    pthread_barrier_destroy(&barrier);
    threads_free(threads);
}

static void inner_task(void *arg, unsigned index)
{
    struct count *count = arg;
    (void)index;
    atomic_fetch_add(&count->inner, 1);
}

static void outer_task(void *arg, unsigned index)
{
    struct count *count = arg;
    (void)index;
    count->parallel->run(count->parallel->ctx, 7, inner_task, count);
}

static void a_task_may_run_tasks(void **state)
{
    static struct count count;
    struct threads *threads;
    (void)state;
    assert_int_equal(threads_new(4, &threads), STATUS_OK);
    count.parallel = threads_parallel(threads);
    count.parallel->run(count.parallel->ctx, 9, outer_task, &count);
    assert_int_equal(atomic_load(&count.inner), 63);
    threads_free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(width_is_bounded),
        cmocka_unit_test(tasks_run_at_the_same_time),
        cmocka_unit_test(a_task_may_run_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
