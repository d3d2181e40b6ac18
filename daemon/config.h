/* The configuration: defaults, then /etc/deltamesh/deltameshd.conf, then
 * deltameshd.conf.d/(any).conf beside it in name order, then options of the
 * command line. Every key is described in deltameshd.conf(5).
 *
 * A list key given again adds to the list; given empty it starts anew. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "codec/base/status.h"
#include "daemon/log.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_FILE_DEFAULT "/etc/deltamesh/deltameshd.conf"
#define CONFIG_PORT_DEFAULT 15938u
#define CONFIG_LIST_MAX     64u

/* Texts that are owned. */
struct config_list {
    char *item[CONFIG_LIST_MAX];
    size_t count;
};

struct config {
    /* [node] */
    char *state_dir;
    char *models_dir;         /* NULL: STATE/models */
    char *join_file;          /* NULL: only the credential deltamesh.join */
    struct config_list label; /* key=value */

    /* [network] */
    struct config_list listen; /* HOST:PORT, [v6]:PORT; empty: [::]:15938 */
    struct config_list peer;
    struct config_list announce; /* addresses told to others; none: listen */
    bool discovery;              /* multicast beacons */
    uint64_t rate_bytes_s;       /* 0: unlimited */
    unsigned links_out, links_in;

    /* [control] */
    char *control;
    char *control_group; /* its members may read */

    /* [store] */
    uint64_t quota_bytes;   /* 0: quota_percent of the file system */
    unsigned quota_percent; /* 1..95 */
    unsigned keep;          /* versions of a model kept beside those in use */
    struct config_list mirror; /* model patterns fetched though unnamed */

    /* [log] */
    enum log_level log_level;
};

/* Zeroes and defaults. state_dir, control are found by the environment: see
 * deltameshd(8), "FILES". NO_MEMORY. */
enum status config_init(struct config *config) MUST_CHECK;
void config_deinit(struct config *config);

/* Reads a file and the drop-ins of the folder PATH.d. A missing file is fine
 * unless must_exist; missing drop-ins are.
 *
 * USAGE  a line is wrong: diag says FILE:LINE: what
 * NOT_FOUND, PERMISSION, IO, NO_MEMORY with the file in diag */
enum status config_read(struct config *config, const char *path,
                        bool must_exist, struct diag *diag) MUST_CHECK;

/* The same over one text; name stands for the file in messages. */
enum status config_read_text(struct config *config, const char *name,
                             const char *text, size_t size, struct diag *diag)
    MUST_CHECK;

/* One key as an option of the command line would set it. USAGE, NO_MEMORY. */
enum status config_set(struct config *config, const char *section,
                       const char *key, const char *value, struct diag *diag)
    MUST_CHECK;

/* Names of keys whose values differ and which take effect at a start only,
 * separated by spaces; "" when there is none. */
void config_restart_keys(const struct config *old, const struct config *new_,
                         char *out, size_t size);

/* "HOST:PORT" or "[v6%if]:PORT" or either without port: splits. host has
 * host_size bytes. False when it is neither. */
bool config_split_address(const char *text, unsigned port_default, char *host,
                          size_t host_size, unsigned *port);

#endif
