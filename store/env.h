/* The database of one node: opened once, shared by all threads.
 *
 * Threads. One `struct store_env` serves the whole process. A read transaction
 * belongs to whoever holds it and may move between threads, but is used by one
 * at a time; any number may be open, none for long, because pages freed
 * meanwhile cannot be used again. A write transaction is begun, used and ended
 * on one thread; a second writer waits in store_txn_begin until the first has
 * ended, so writing is for jobs, never for the event loop. A thread holds at
 * most one transaction of each mode, and begins no write transaction twice:
 * that would wait for itself. Functions that take a `struct store_env *` open
 * their own transactions and must be called without an open write one.
 *
 * After fork() the child must not touch the environment, not even close it. */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include "codec/base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Quota of an environment that was given none. */
#define STORE_QUOTA_NONE UINT64_MAX

struct store_env;

struct store_env_options {
    /* Most bytes of content (manifests, updates) as store/usage.h counts
     * them; more is NO_SPACE. 0 stands for STORE_QUOTA_NONE. */
    uint64_t quota_bytes;
    /* Size of the map, for tests; 0 derives it from the quota:
     * 1.25 x quota + 64 MiB, at most 1 GiB where pointers have 32 bits, and
     * never less than what the file needs. Where the address space is too
     * small for that, half as much and so on. */
    uint64_t map_bytes;
    /* Transactions only read, and nothing is created. Works beside a running
     * daemon: only a line in LMDB's table of readers is written then. */
    bool read_only;
};

/* Opens the database in the directory path, which must exist, and creates it
 * unless read_only. Before the first byte is written, the schema number is
 * looked at; older schemas are then migrated (store/schema.h). Readers left by
 * killed processes are cleared.
 *
 * STATUS_BUSY         another process has it open; the message names its pid
 * STATUS_UNSUPPORTED  made by a newer deltamesh, or by a machine of another
 *                     word size; no file was changed
 * STATUS_NOT_FOUND    no such directory, or read_only and nothing there
 * STATUS_CORRUPT      not a database of this project
 * STATUS_PERMISSION, STATUS_NO_SPACE, STATUS_NO_MEMORY, STATUS_IO
 *
 * Messages name the path. On error *out is NULL. */
enum status store_env_open(struct store_env **out, const char *path,
                           const struct store_env_options *options,
                           struct diag *diag) MUST_CHECK;

/* Every transaction must have ended. NULL is fine. */
void store_env_close(struct store_env *env);

/* Sets another quota. A larger map than the present one is mapped at once when
 * no transaction is open, else when the last one ends; the map never shrinks.
 * From any thread. */
void store_env_set_quota(struct store_env *env, uint64_t quota_bytes);

/* The quota in force: what was set, or less where the map does not carry it.
 */
uint64_t store_env_quota(struct store_env *env);

/* Size of the map in force now. */
uint64_t store_env_map_bytes(struct store_env *env);

/* Bytes of the file that are in use or free inside it: its size on disk. */
uint64_t store_env_file_bytes(struct store_env *env);

/* The directory given to store_env_open; holds until store_env_close. */
const char *store_env_path(const struct store_env *env);

/* The map size a quota asks for. */
uint64_t store_env_map_for_quota(uint64_t quota_bytes);

#endif
