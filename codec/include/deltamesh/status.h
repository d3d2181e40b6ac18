/* libdeltamesh-codec: what all of its headers share - statuses, words for
 * people, the version, and how the interface grows.
 *
 * C11 and C++. Every name begins with dmc_ or DMC_. Headers are the manual.
 *
 * Conventions
 *   - Functions that can fail return enum dmc_status: DMC_OK is 0, the rest
 *     negative. Where there is a struct dmc_error it may be NULL.
 *   - Handles are opaque: made by _new or _open, released by _free or _close,
 *     which take NULL. After an error the handle is NULL.
 *   - Pointers in parameters are borrowed for the call unless it says longer.
 *     Views that are handed out say until when they hold.
 *   - The library keeps no state of its own, opens no file, starts no thread,
 *     prints nothing. Different handles may be used by different threads at
 *     once; one handle by one thread at a time, unless it says otherwise.
 *   - Bytes that are read may come from anybody: whatever they are, functions
 *     return, within the time and memory they state.
 *
 * Growth. Structures that may get fields begin with struct_size, which whoever
 * owns the structure sets to its sizeof (the _init functions do). Zero in a
 * field is its default, so that a program keeps its behaviour with a newer
 * library; a field that is not zero and that an older library does not know is
 * refused with DMC_UNSUPPORTED. Functions are added, not changed, under one
 * soname. */
#ifndef DELTAMESH_STATUS_H
#define DELTAMESH_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define DMC_API     __attribute__((visibility("default")))
#    define DMC_CHECKED __attribute__((warn_unused_result))
#else
#    define DMC_API
#    define DMC_CHECKED
#endif

/* Of these headers. */
#define DMC_VERSION_MAJOR 0
#define DMC_VERSION_MINOR 1
#define DMC_VERSION_PATCH 0
#define DMC_VERSION \
    (DMC_VERSION_MAJOR << 16 | DMC_VERSION_MINOR << 8 | DMC_VERSION_PATCH)

/* Of the library that runs: compare with DMC_VERSION. */
DMC_API unsigned dmc_version(void);

/* "0.1.0". Static. */
DMC_API const char *dmc_version_text(void);

/* What a function answers. Callbacks of the caller answer in the same way:
 * their statuses, any negative number, are handed on. */
enum dmc_status {
    DMC_OK = 0,
    DMC_TRUNCATED = -1,   /* input ends early */
    DMC_CORRUPT = -2,     /* input is malformed */
    DMC_UNSUPPORTED = -3, /* input, or a field, of a newer version */
    DMC_LIMIT = -4,       /* a size or count is over its limit */
    DMC_NO_MEMORY = -5,
    DMC_NO_SPACE = -6,
    DMC_IO = -7, /* for callbacks: reading or writing failed */
    DMC_NOT_FOUND = -8,
    DMC_MISMATCH = -11, /* a hash does not match */
    DMC_BAD_BASE = -12, /* not the base that the update was made for */
    DMC_CLOSED = -17,   /* a callback asked to stop */
    DMC_USAGE = -19,    /* arguments that do not fit */
    DMC_INTERNAL = -20
};

/* "input ends early". Static, never NULL, of any number. */
DMC_API const char *dmc_status_text(enum dmc_status status);

/* Words for people: which tensor, which offset. The caller's; written by the
 * call that it is handed to: empty after success, never empty after an error,
 * always ended by a NUL. */
struct dmc_error {
    char text[256];
};

#ifdef __cplusplus
}
#endif

#endif
