/* A pool of threads that runs the tasks of one struct parallel at a time. The
 * thread that calls run works, too: a pool of width 1 has no thread of its
 * own. Tasks begin in the order of their indices. */
#ifndef DAEMON_THREADS_H
#define DAEMON_THREADS_H

#include "codec/base/parallel.h"
#include "codec/base/status.h"

#define THREADS_WIDTH_MAX 64u

struct threads;

/* width: 1 .. THREADS_WIDTH_MAX; 0: the processors this process may use.
 * NO_MEMORY; when the system gives fewer threads, the pool is narrower. */
enum status threads_new(unsigned width, struct threads **out) MUST_CHECK;

/* Waits for the threads; no run may be under way. */
void threads_free(struct threads *threads);

/* Valid until threads_free. A run while another one is under way, from inside
 * a task or elsewhere, does its tasks one after the other where it is called.
 */
const struct parallel *threads_parallel(const struct threads *threads);

/* Processors this process may use, 1 .. THREADS_WIDTH_MAX. */
unsigned threads_processors(void);

#endif
