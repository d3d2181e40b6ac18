/* The seeded source and the helpers over any source. */
#include "codec/base/rng.h"

#include "codec/base/bytes.h"

uint64_t rng_u64(const struct rng *rng)
{
    uint8_t buf[8];
    rng_fill(rng, buf, sizeof(buf));
    return load_le64(buf);
}

uint64_t rng_below(const struct rng *rng, uint64_t bound)
{
    uint64_t over = (0 - bound) % bound; /* 2^64 mod bound: reject below it */
    for (;;) {
        uint64_t v = rng_u64(rng);
        if (v >= over)
            return v % bound;
    }
}

void rng_seeded_init(struct rng_seeded *seeded, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        seeded->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rotl(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static uint64_t rng_seeded_next(uint64_t s[4])
{
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

static void rng_seeded_fill(void *ctx, void *out, size_t size)
{
    struct rng_seeded *seeded = ctx;
    uint8_t *at = out;
    while (size) {
        uint8_t buf[8];
        size_t part = size < sizeof(buf) ? size : sizeof(buf);
        store_le64(buf, rng_seeded_next(seeded->s));
        memcpy(at, buf, part);
        at += part;
        size -= part;
    }
}

struct rng rng_from_seeded(struct rng_seeded *seeded)
{
    return (struct rng){rng_seeded_fill, seeded};
}
