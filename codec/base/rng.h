/* Where random bytes come from: an interface handed to whoever needs them, and
 * a seeded source so that a simulation or a generator replays exactly. The
 * system's source is crypto_rng in protocol/crypto.h. */
#ifndef CODEC_BASE_RNG_H
#define CODEC_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    void (*fill)(void *ctx, void *out, size_t size);
    void *ctx;
};

static inline void rng_fill(const struct rng *rng, void *out, size_t size)
{
    rng->fill(rng->ctx, out, size);
}

uint64_t rng_u64(const struct rng *rng);

/* Uniform in 0 .. bound - 1; bound > 0. */
uint64_t rng_below(const struct rng *rng, uint64_t bound);

/* xoshiro256** seeded by splitmix64 (Blackman and Vigna, 2018): the same
 * numbers for a seed on every machine. Not for keys. */
struct rng_seeded {
    uint64_t s[4];
};

void rng_seeded_init(struct rng_seeded *seeded, uint64_t seed);

/* The interface over *seeded, which must outlive it. */
struct rng rng_from_seeded(struct rng_seeded *seeded);

#endif
