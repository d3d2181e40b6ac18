/* Several tasks at once: the codec says what can run at the same time, whoever
 * calls it owns the threads. */
#ifndef CODEC_BASE_PARALLEL_H
#define CODEC_BASE_PARALLEL_H

/* run calls task(arg, i) once for each i < count, in any order, on any thread,
 * and returns when all are done. What tasks wrote is visible then. A task may
 * wait for one with a smaller index, never for one with a larger. */
struct parallel {
    void (*run)(void *ctx, unsigned count,
                void (*task)(void *arg, unsigned index), void *arg);
    void *ctx;
    unsigned width; /* how many run at once at most; >= 1 */
};

#endif
