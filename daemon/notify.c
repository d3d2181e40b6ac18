/* The notification socket of systemd: one datagram a state. */
#include "daemon/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_state(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(addr.sun_path))
        return;
    size_t size = strlen(path);
    memcpy(addr.sun_path, path, size);
    if (path[0] == '@') /* the abstract namespace */
        addr.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t addr_size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                          (const struct sockaddr *)&addr, addr_size);
    (void)sent; /* nobody listens: nobody to tell */
    close(fd);
}

void notify_status(const char *fmt, ...)
{
    char text[512] = "STATUS=";
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + 7, sizeof(text) - 7, fmt, args);
    va_end(args);
    notify_state(text);
}

uint64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtoull(pid, NULL, 10) != (uint64_t)getpid()))
        return 0;
    return strtoull(usec, NULL, 10) / 2000;
}
