/* What the processor that runs us can do. Coders that have a variant for it
 * choose once, when a stream begins. And what a compiler must be told. */
#ifndef CODEC_BASE_CPU_H
#define CODEC_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* For functions that make several out of one by arguments that are constants
 * where they are called. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)
#    define CPU_X86 1
/* Marks a function whose code needs AVX2, whatever the build's flags say. */
#    define CPU_AVX2 __attribute__((target("avx2")))
/* The same for shifts by a count in any register. */
#    define CPU_BMI2 __attribute__((target("bmi2")))
#else
#    define CPU_X86 0
#endif

#if defined(__aarch64__) && defined(__BYTE_ORDER__) && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#    define CPU_NEON 1
#else
#    define CPU_NEON 0
#endif

/* v, of which the compiler then knows nothing: a choice between it and another
 * value that is as likely stays free of branches. */
static inline uint32_t cpu_opaque(uint32_t v)
{
    __asm__("" : "+r"(v));
    return v;
}

static inline bool cpu_has_avx2(void)
{
#if CPU_X86
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

static inline bool cpu_has_bmi2(void)
{
#if CPU_X86
    return __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

#endif
