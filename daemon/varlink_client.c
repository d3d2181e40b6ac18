/* The waiting side of a varlink connection. */
#include "daemon/varlink_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct varlink_client {
    struct varlink *vl;
    bool waiting; /* a call is not answered yet */
};

enum status varlink_client_path(const char *given, char *out, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int n = -1;
    if (!given || !*given)
        given = getenv("DELTAMESH_CONTROL");
    if (given && *given) {
        n = snprintf(out, size, "%s", given);
        return n < 0 || (size_t)n >= size ? STATUS_LIMIT : STATUS_OK;
    }
    if (geteuid() && runtime && *runtime) {
        n = snprintf(out, size, "%s/deltamesh/control", runtime);
        if (n > 0 && (size_t)n < size && !access(out, F_OK))
            return STATUS_OK;
    }
    n = snprintf(out, size, "/run/deltamesh/control");
    return n < 0 || (size_t)n >= size ? STATUS_LIMIT : STATUS_OK;
}

enum status varlink_client_open(const char *path, struct varlink_client **out,
                                struct diag *diag)
{
    *out = NULL;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return diag_fail(diag, STATUS_LIMIT, "%s: path too long for a socket",
                         path);
    memcpy(addr.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return diag_fail(diag, status_from_errno(errno), "socket: %s",
                         strerror(errno));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        int err = errno;
        close(fd);
        enum status status =
            err == ECONNREFUSED ? STATUS_NOT_FOUND : status_from_errno(err);
        return diag_fail(diag, status, "%s: %s", path, strerror(err));
    }
    struct varlink_client *client = calloc(1, sizeof(*client));
    if (!client) {
        close(fd);
        return STATUS_NO_MEMORY;
    }
    client->vl = varlink_new(fd);
    if (!client->vl) {
        free(client);
        return STATUS_NO_MEMORY;
    }
    *out = client;
    return STATUS_OK;
}

void varlink_client_close(struct varlink_client *client)
{
    if (!client)
        return;
    varlink_free(client->vl);
    free(client);
}

int varlink_client_fd(const struct varlink_client *client)
{
    return varlink_fd(client->vl);
}

static int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for the socket until end_ms of the clock; -1: for ever. */
static enum status wait_for(struct varlink_client *client, short events,
                            int64_t end_ms)
{
    for (;;) {
        struct pollfd pfd = {.fd = varlink_fd(client->vl), .events = events};
        int64_t left = -1;
        if (end_ms >= 0) {
            left = end_ms - clock_ms();
            if (left < 0)
                left = 0;
        }
        int n = poll(&pfd, 1, left > 1 << 30 ? 1 << 30 : (int)left);
        if (n > 0)
            return STATUS_OK;
        if (n < 0 && errno != EINTR)
            return status_from_errno(errno);
        if (end_ms >= 0 && clock_ms() >= end_ms)
            return STATUS_TIMEOUT;
    }
}

static enum status flush_all(struct varlink_client *client)
{
    enum status status;
    while ((status = varlink_flush(client->vl)) == STATUS_BUSY) {
        status = wait_for(client, POLLOUT, -1);
        if (status)
            return status;
    }
    return status;
}

enum status varlink_client_send(struct varlink_client *client,
                                const char *method, json_t *parameters,
                                struct varlink_fds *fds, bool more)
{
    if (client->waiting) {
        if (fds)
            varlink_fds_close(fds);
        return STATUS_USAGE;
    }
    json_t *call =
        json_pack("{s:s, s:o}", "method", method, "parameters",
                  parameters ? json_incref(parameters) : json_object());
    if (call && more)
        json_object_set_new(call, "more", json_true());
    if (!call) {
        if (fds)
            varlink_fds_close(fds);
        return STATUS_NO_MEMORY;
    }
    enum status status = varlink_send(client->vl, call, fds);
    json_decref(call);
    if (!status)
        status = flush_all(client);
    client->waiting = !status;
    return status;
}

/* Takes the message apart; it is consumed. */
static enum status take_reply(struct varlink_client *client, json_t *message,
                              json_t **parameters, bool *continues, char *error,
                              size_t error_size)
{
    json_t *params = json_object_get(message, "parameters");
    const char *name = json_string_value(json_object_get(message, "error"));
    bool more = json_is_true(json_object_get(message, "continues"));
    if (params && !json_is_object(params)) {
        json_decref(message);
        return STATUS_CORRUPT;
    }
    *parameters = params ? json_incref(params) : json_object();
    if (name && error)
        snprintf(error, error_size, "%s", name);
    client->waiting = more && !name;
    if (continues)
        *continues = client->waiting;
    enum status status = name ? STATUS_REFUSED : STATUS_OK;
    json_decref(message);
    return *parameters ? status : STATUS_NO_MEMORY;
}

enum status varlink_client_receive(struct varlink_client *client,
                                   json_t **parameters, struct varlink_fds *fds,
                                   bool *continues, char *error,
                                   size_t error_size, int timeout_ms)
{
    int64_t end_ms = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
    *parameters = NULL;
    if (fds)
        fds->count = 0;
    if (error && error_size)
        error[0] = '\0';
    for (;;) {
        json_t *message;
        enum status status = varlink_next(client->vl, &message, fds);
        if (!status)
            return take_reply(client, message, parameters, continues, error,
                              error_size);
        if (status != STATUS_NOT_FOUND)
            return status;
        status = varlink_receive(client->vl);
        if (status == STATUS_BUSY)
            status = wait_for(client, POLLIN, end_ms);
        if (status)
            return status;
    }
}

enum status varlink_client_call(struct varlink_client *client,
                                const char *method, json_t *parameters,
                                json_t **reply, char *error, size_t error_size,
                                int timeout_ms)
{
    *reply = NULL;
    enum status status =
        varlink_client_send(client, method, parameters, NULL, false);
    if (status)
        return status;
    bool continues;
    return varlink_client_receive(client, reply, NULL, &continues, error,
                                  error_size, timeout_ms);
}
