/* Long stretches of what is no tensor that occur in the base, wherever. Places
 * that only the 64 bytes before them determine are found in base and target by
 * a rolling hash; where one occurs in both, the bytes around are compared. */
#include "codec/base/bytes.h"
#include "codec/lossless/match_node.h"

#include <stdlib.h>

/* Ranges looked at, in all at least so many bytes, or this part of the base. */
#define COPY_RANGE_MIN (16u << 10)
#define COPY_BASE_PART 256u
/* Equal bytes that are worth a range of their own, and how many of those. */
#define COPY_SIZE_MIN  4096u
#define COPY_COUNT_MAX 4096u
/* Copies begin and end at multiples of this, where numbers do. */
#define COPY_ALIGN 8u
/* Places remembered, one in 2^log bytes on average. */
#define COPY_PLACES_MAX 65536u
#define COPY_LOG_MIN    6u
/* A base between two copies so much larger than what is between them in the
 * target is no base for it. */
#define COPY_STRETCH_MAX 4u

struct copy_place {
    uint64_t key; /* hash of the 64 bytes before */
    uint64_t at;  /* 0: no place */
};

/* Equal bytes. */
struct copy_run {
    uint64_t target_offset;
    uint64_t base_offset;
    uint64_t size;
};

struct copier {
    struct matcher *ma;
    const struct source *base;
    const struct source *target;
    uint64_t gear[256];
    unsigned log;
    struct copy_place *places;
    size_t mask;
    uint8_t *buf; /* two buffers to compare */
    struct match_list out;
    size_t copy_count;
};

/* 256 numbers without pattern: splitmix64. */
static void copier_gear(struct copier *co)
{
    uint64_t state = 0;
    for (unsigned i = 0; i < 256; i++) {
        state += 0x9e3779b97f4a7c15u;
        uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        co->gear[i] = z ^ (z >> 31);
    }
}

static enum status copier_init(struct copier *co)
{
    size_t slots = 2;
    co->log = COPY_LOG_MIN;
    while (co->base->size >> co->log > COPY_PLACES_MAX)
        co->log++;
    while (slots < 2 * (co->base->size >> co->log))
        slots *= 2;
    co->mask = slots - 1;
    co->places = calloc(slots, sizeof(*co->places));
    co->buf = malloc(2 * (size_t)MATCH_BUFFER_SIZE);
    copier_gear(co);
    return co->places && co->buf ? STATUS_OK : STATUS_NO_MEMORY;
}

static void copier_deinit(struct copier *co)
{
    free(co->places);
    free(co->buf);
}

static inline bool copier_is_place(const struct copier *co, uint64_t hash)
{
    return !(hash >> (64 - co->log));
}

static struct copy_place *copier_slot(const struct copier *co, uint64_t key)
{
    return &co->places[(key * 0x9e3779b97f4a7c15u >> 32) & co->mask];
}

/* The first of each slot stays: of what is repeated, the longest rest. */
static enum status copier_index(struct copier *co)
{
    uint64_t hash = UINT64_MAX;
    for (uint64_t from = 0; from < co->base->size; from += MATCH_BUFFER_SIZE) {
        uint64_t left = co->base->size - from;
        size_t size =
            left < MATCH_BUFFER_SIZE ? (size_t)left : MATCH_BUFFER_SIZE;
        enum status status = source_read(co->base, from, co->ma->buf, size);
        if (status)
            return status;
        for (size_t i = 0; i < size; i++) {
            hash = (hash << 1) + co->gear[co->ma->buf[i]];
            if (!copier_is_place(co, hash))
                continue;
            struct copy_place *place = copier_slot(co, hash);
            if (!place->at)
                *place = (struct copy_place){hash, from + i + 1};
        }
    }
    return STATUS_OK;
}

static enum status copier_read(struct copier *co, uint64_t target,
                               uint64_t base, size_t size)
{
    enum status status = source_read(co->target, target, co->buf, size);
    if (status)
        return status;
    return source_read(co->base, base, co->buf + MATCH_BUFFER_SIZE, size);
}

/* How many bytes from the two places on are equal, up to most. */
static enum status copier_forward(struct copier *co, uint64_t target,
                                  uint64_t base, uint64_t most, uint64_t *out)
{
    const uint8_t *a = co->buf, *b = co->buf + MATCH_BUFFER_SIZE;
    uint64_t left = co->base->size - base;
    most = most < left ? most : left;
    *out = 0;
    /* Most tries end soon. */
    for (size_t step = 512; *out < most; step = MATCH_BUFFER_SIZE) {
        size_t now = most - *out < step ? (size_t)(most - *out) : step, n = 0;
        enum status status = copier_read(co, target + *out, base + *out, now);
        if (status)
            return status;
        if (!memcmp(a, b, now))
            n = now;
        while (n < now && a[n] == b[n])
            n++;
        *out += n;
        if (n < now)
            break;
    }
    return STATUS_OK;
}

/* How many bytes before the two places are equal, up to most. */
static enum status copier_backward(struct copier *co, uint64_t target,
                                   uint64_t base, uint64_t most, uint64_t *out)
{
    const uint8_t *a = co->buf, *b = co->buf + MATCH_BUFFER_SIZE;
    most = most < base ? most : base;
    *out = 0;
    while (*out < most) {
        size_t now = most - *out < 512 ? (size_t)(most - *out) : 512, n = now;
        enum status status =
            copier_read(co, target - *out - now, base - *out - now, now);
        if (status)
            return status;
        while (n && a[n - 1] == b[n - 1])
            n--;
        *out += now - n;
        if (n)
            break;
    }
    return STATUS_OK;
}

/* A run without what would cut elements of the target at its ends. */
static struct copy_run copier_trim(uint64_t target, uint64_t base,
                                   uint64_t size, uint64_t low, uint64_t end)
{
    uint64_t before = target == low ? 0 : (0 - target) % COPY_ALIGN;
    uint64_t behind = target + size == end ? 0 : (target + size) % COPY_ALIGN;
    return (struct copy_run){target + before, base + before,
                             size - before - behind};
}

/* The next run of equal bytes in target bytes *at to end; size 0: there is
 * none. What lies before low belongs to another range. */
static enum status copier_next(struct copier *co, uint64_t low, uint64_t end,
                               struct copy_run *out)
{
    uint64_t hash = UINT64_MAX, tried = low, before, behind;
    *out = (struct copy_run){0};
    for (uint64_t from = low; from < end; from += MATCH_BUFFER_SIZE) {
        size_t size = end - from < MATCH_BUFFER_SIZE ? (size_t)(end - from)
                                                     : MATCH_BUFFER_SIZE;
        enum status status = source_read(co->target, from, co->ma->buf, size);
        for (size_t i = 0; !status && i < size; i++) {
            hash = (hash << 1) + co->gear[co->ma->buf[i]];
            if (!copier_is_place(co, hash) || from + i + 1 < tried)
                continue;
            uint64_t at = from + i + 1;
            const struct copy_place *place = copier_slot(co, hash);
            if (!place->at || place->key != hash)
                continue;
            status = copier_forward(co, at, place->at, end - at, &behind);
            if (!status)
                status = copier_backward(co, at, place->at, at - low, &before);
            if (status)
                return status;
            tried = at + behind;
            if (before + behind < COPY_SIZE_MIN)
                continue;
            *out = copier_trim(at - before, place->at - before, before + behind,
                               low, end);
            return STATUS_OK;
        }
        if (status)
            return status;
    }
    return STATUS_OK;
}

/* What lies between two copies, over what lies between them in the base. */
static struct match copier_between(const struct copier *co, uint64_t from,
                                   uint64_t to, uint64_t low, uint64_t high)
{
    struct match match = {.target_offset = from, .size = to - from};
    uint64_t room = COPY_STRETCH_MAX * match.size + MATCH_BUFFER_SIZE;
    if (high <= low || high - low > room) {
        uint64_t left = co->base->size - low;
        high = low + (left < match.size ? left : match.size);
    }
    if (high == low)
        return match;
    match.base_offset = low;
    match.base_size = high - low;
    match.like = match.base_size != match.size;
    return match;
}

/* One range, cut where it has copies. */
static enum status copier_range(struct copier *co, const struct match *range)
{
    uint64_t at = range->target_offset, end = at + range->size;
    uint64_t low = range->base_size ? range->base_offset : 0;
    struct copy_run run;
    enum status status = copier_next(co, at, end, &run);
    if (status || !run.size)
        return status ? status : match_list_add(&co->out, *range);
    while (!status && run.size) {
        struct match copy = {
            .target_offset = run.target_offset,
            .size = run.size,
            .base_offset = run.base_offset,
            .base_size = run.size,
        };
        status =
            match_list_add(&co->out, copier_between(co, at, run.target_offset,
                                                    low, run.base_offset));
        if (!status)
            status = match_list_add(&co->out, copy);
        at = run.target_offset + run.size;
        low = run.base_offset + run.size;
        run.size = 0;
        if (!status && ++co->copy_count < COPY_COUNT_MAX)
            status = copier_next(co, at, end, &run);
    }
    uint64_t high = range->base_offset + range->base_size;
    return status ? status
                  : match_list_add(&co->out,
                                   copier_between(co, at, end, low, high));
}

static bool copy_wanted(const struct match *match)
{
    return !match->tensor && match->size >= COPY_RANGE_MIN;
}

/* Bytes of the ranges to be looked at; 0 when they are not worth it. */
static uint64_t copy_bytes(const struct matcher *ma)
{
    uint64_t sum = 0;
    const struct source *base = ma->base.source;
    for (size_t i = 0; i < ma->list->count; i++)
        sum += copy_wanted(&ma->list->items[i]) ? ma->list->items[i].size : 0;
    return base && base->size && sum >= base->size / COPY_BASE_PART ? sum : 0;
}

enum status match_copies(struct matcher *ma)
{
    struct copier co = {
        .ma = ma, .base = ma->base.source, .target = ma->target.source};
    if (!copy_bytes(ma))
        return STATUS_OK;
    enum status status = copier_init(&co);
    if (!status)
        status = copier_index(&co);
    for (size_t i = 0; !status && i < ma->list->count; i++) {
        struct match *match = &ma->list->items[i];
        if (copy_wanted(match) && co.copy_count < COPY_COUNT_MAX)
            status = copier_range(&co, match);
        else
            status = match_list_add(&co.out, *match);
        if (!status)
            match->runs = NULL; /* the other list's now */
    }
    copier_deinit(&co);
    if (!status) {
        struct match_list swap = *ma->list;
        *ma->list = co.out;
        co.out = swap;
    }
    match_list_free(&co.out);
    return status;
}
