/* prctl, rlimits and Landlock, by plain system calls. */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WRITE_RIGHTS                                                 \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |     \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static int allow_writes(int rules, const char *folder)
{
    struct landlock_path_beneath_attr attr = {
        .allowed_access =
            WRITE_RIGHTS & ~(uint64_t)(LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                       LANDLOCK_ACCESS_FS_MAKE_BLOCK),
        .parent_fd = open(folder, O_PATH | O_CLOEXEC)};
    if (attr.parent_fd < 0)
        return -1;
    long bad = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
                       &attr, 0);
    close(attr.parent_fd);
    return bad ? -1 : 0;
}

/* /dev/null stays writable: libraries open it. */
static int allow_null(int rules)
{
    struct landlock_path_beneath_attr attr = {
        .allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE,
        .parent_fd = open("/dev/null", O_PATH | O_CLOEXEC)};
    if (attr.parent_fd < 0)
        return -1;
    long bad = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
                       &attr, 0);
    close(attr.parent_fd);
    return bad ? -1 : 0;
}

enum status sandbox_enter(const char *const *folders, size_t count)
{
    const struct rlimit no_core = {0, 0};
    const struct landlock_ruleset_attr attr = {.handled_access_fs =
                                                   WRITE_RIGHTS};
    /* A service manager may have set the limit and forbidden the call. */
    int ignored = setrlimit(RLIMIT_CORE, &no_core);
    (void)ignored;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return status_from_errno(errno);
    int rules =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (rules < 0)
        return STATUS_UNSUPPORTED;
    int bad = allow_null(rules);
    for (size_t i = 0; i < count && !bad; i++)
        bad = allow_writes(rules, folders[i]);
    if (!bad)
        bad = (int)syscall(SYS_landlock_restrict_self, rules, 0);
    close(rules);
    return bad ? STATUS_UNSUPPORTED : STATUS_OK;
}
