/* Workers sleep until a run begins, take its indices in turn, and wake the
 * caller when the last task is done. */
#include "daemon/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct threads {
    struct parallel parallel;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t begun;  /* a run has tasks to take, or all ends */
    pthread_cond_t done;   /* the last task of a run is done */
    bool busy;
    bool ends;
    unsigned count, next, left; /* tasks: in all, next to take, not done */
    void (*task)(void *arg, unsigned index);
    void *arg;
    unsigned worker_count;
    pthread_t workers[THREADS_WIDTH_MAX];
};

/* Takes tasks until none is left; called and left with the mutex held. */
static void threads_work(struct threads *threads)
{
    while (threads->next < threads->count) {
        unsigned index = threads->next++;
        pthread_mutex_unlock(&threads->mutex);
        threads->task(threads->arg, index);
        pthread_mutex_lock(&threads->mutex);
        if (!--threads->left)
            pthread_cond_signal(&threads->done);
    }
}

static void *threads_main(void *ctx)
{
    struct threads *threads = ctx;
    pthread_mutex_lock(&threads->mutex);
    while (!threads->ends) {
        threads_work(threads);
        if (!threads->ends)
            pthread_cond_wait(&threads->begun, &threads->mutex);
    }
    pthread_mutex_unlock(&threads->mutex);
    return NULL;
}

static void threads_run(void *ctx, unsigned count,
                        void (*task)(void *arg, unsigned index), void *arg)
{
    struct threads *threads = ctx;
    pthread_mutex_lock(&threads->mutex);
    if (threads->busy || !threads->worker_count || count < 2) {
        pthread_mutex_unlock(&threads->mutex);
        for (unsigned i = 0; i < count; i++)
            task(arg, i);
        return;
    }
    threads->busy = true;
    threads->task = task;
    threads->arg = arg;
    threads->next = 0;
    threads->count = threads->left = count;
    pthread_cond_broadcast(&threads->begun);
    threads_work(threads);
    while (threads->left)
        pthread_cond_wait(&threads->done, &threads->mutex);
    threads->busy = false;
    pthread_mutex_unlock(&threads->mutex);
}

unsigned threads_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);
    if (count < 1)
        return 1;
    return (unsigned)count < THREADS_WIDTH_MAX ? (unsigned)count
                                               : THREADS_WIDTH_MAX;
}

/* Signals go to the threads that were there before. */
static void threads_start(struct threads *threads, unsigned worker_count)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (threads->worker_count < worker_count &&
           !pthread_create(&threads->workers[threads->worker_count], NULL,
                           threads_main, threads))
        threads->worker_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum status threads_new(unsigned width, struct threads **out)
{
    struct threads *threads = calloc(1, sizeof(*threads));
    *out = threads;
    if (!threads)
        return STATUS_NO_MEMORY;
    if (!width)
        width = threads_processors();
    if (width > THREADS_WIDTH_MAX)
        width = THREADS_WIDTH_MAX;
    pthread_mutex_init(&threads->mutex, NULL);
    pthread_cond_init(&threads->begun, NULL);
    pthread_cond_init(&threads->done, NULL);
    threads_start(threads, width - 1);
    threads->parallel =
        (struct parallel){threads_run, threads, threads->worker_count + 1};
    return STATUS_OK;
}

void threads_free(struct threads *threads)
{
    if (!threads)
        return;
    pthread_mutex_lock(&threads->mutex);
    threads->ends = true;
    pthread_cond_broadcast(&threads->begun);
    pthread_mutex_unlock(&threads->mutex);
    for (unsigned i = 0; i < threads->worker_count; i++)
        pthread_join(threads->workers[i], NULL);
    pthread_cond_destroy(&threads->begun);
    pthread_cond_destroy(&threads->done);
    pthread_mutex_destroy(&threads->mutex);
    free(threads);
}

const struct parallel *threads_parallel(const struct threads *threads)
{
    return &threads->parallel;
}
