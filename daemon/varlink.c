/* Framing of varlink messages, with descriptors as SCM_RIGHTS. */
#include "daemon/varlink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_SIZE 65536u
#define GROUPS_MAX   8u

/* Descriptors that came with the bytes that end at position at. */
struct fd_group {
    uint64_t at;
    struct varlink_fds fds;
};

struct out_message {
    struct out_message *next;
    size_t size, sent;
    struct varlink_fds fds;
    char text[];
};

struct varlink {
    int fd;
    char *in;
    size_t in_size, in_cap, in_scanned;
    uint64_t in_start; /* position in the stream of in[0] */
    struct fd_group groups[GROUPS_MAX];
    size_t group_count;
    struct out_message *out_first, *out_last;
    size_t out_bytes;
};

void varlink_fds_close(struct varlink_fds *fds)
{
    for (size_t i = 0; i < fds->count; i++)
        if (fds->fd[i] >= 0)
            close(fds->fd[i]);
    fds->count = 0;
}

struct varlink *varlink_new(int fd)
{
    struct varlink *vl = calloc(1, sizeof(*vl));
    if (!vl) {
        close(fd);
        return NULL;
    }
    vl->fd = fd;
    return vl;
}

void varlink_free(struct varlink *vl)
{
    if (!vl)
        return;
    for (size_t i = 0; i < vl->group_count; i++)
        varlink_fds_close(&vl->groups[i].fds);
    while (vl->out_first) {
        struct out_message *out = vl->out_first;
        vl->out_first = out->next;
        varlink_fds_close(&out->fds);
        free(out);
    }
    close(vl->fd);
    free(vl->in);
    free(vl);
}

int varlink_fd(const struct varlink *vl)
{
    return vl->fd;
}

size_t varlink_queued(const struct varlink *vl)
{
    return vl->out_bytes;
}

/* Room for another RECEIVE_SIZE bytes; the buffer never holds more than the
 * largest message and one receive. */
static enum status make_room(struct varlink *vl)
{
    if (vl->in_size >= VARLINK_MESSAGE_MAX)
        return STATUS_LIMIT; /* the owner takes no messages out */
    if (vl->in_cap - vl->in_size >= RECEIVE_SIZE)
        return STATUS_OK;
    size_t cap = vl->in_cap ? 2 * vl->in_cap : 2 * (size_t)RECEIVE_SIZE;
    if (cap > VARLINK_MESSAGE_MAX + 2 * (size_t)RECEIVE_SIZE)
        cap = VARLINK_MESSAGE_MAX + 2 * (size_t)RECEIVE_SIZE;
    char *in = realloc(vl->in, cap);
    if (!in)
        return STATUS_NO_MEMORY;
    vl->in = in;
    vl->in_cap = cap;
    return STATUS_OK;
}

/* Every descriptor of the control data, in order; *too_many when they are more
 * than a message may have: those are closed. */
static void take_fds(struct msghdr *msg, struct varlink_fds *fds,
                     bool *too_many)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (fds->count < VARLINK_FDS_MAX) {
                fds->fd[fds->count++] = fd;
            } else {
                close(fd);
                *too_many = true;
            }
        }
    }
    if (msg->msg_flags & MSG_CTRUNC)
        *too_many = true;
}

enum status varlink_receive(struct varlink *vl)
{
    enum status status = make_room(vl);
    if (status)
        return status;
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int) * VARLINK_FDS_MAX)];
    } control;
    struct iovec iov = {vl->in + vl->in_size, RECEIVE_SIZE};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    ssize_t got;
    do
        got = recvmsg(vl->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK
                   ? STATUS_BUSY
                   : status_from_errno(errno);
    struct varlink_fds fds = {.count = 0};
    bool too_many = false;
    take_fds(&msg, &fds, &too_many);
    vl->in_size += (size_t)got;
    if (fds.count && vl->group_count < GROUPS_MAX && got && !too_many) {
        vl->groups[vl->group_count++] =
            (struct fd_group){vl->in_start + vl->in_size, fds};
    } else if (fds.count || too_many) {
        varlink_fds_close(&fds);
        return STATUS_LIMIT;
    }
    return got ? STATUS_OK : STATUS_CLOSED;
}

/* Hands out the descriptors that came with the first size bytes of in. */
static void claim_fds(struct varlink *vl, size_t size, struct varlink_fds *out)
{
    while (vl->group_count && vl->groups[0].at <= vl->in_start + size) {
        struct varlink_fds *fds = &vl->groups[0].fds;
        for (size_t i = 0; i < fds->count; i++) {
            if (out && out->count < VARLINK_FDS_MAX)
                out->fd[out->count++] = fds->fd[i];
            else
                close(fds->fd[i]);
        }
        vl->group_count--;
        memmove(vl->groups, vl->groups + 1,
                vl->group_count * sizeof(*vl->groups));
    }
}

/* Forgets the first size bytes of in, and the buffer when it is large and
 * empty. */
static void consume(struct varlink *vl, size_t size)
{
    vl->in_start += size;
    vl->in_size -= size;
    vl->in_scanned = 0;
    memmove(vl->in, vl->in + size, vl->in_size);
    if (!vl->in_size) {
        free(vl->in);
        vl->in = NULL;
        vl->in_cap = 0;
    }
}

enum status varlink_next(struct varlink *vl, json_t **out,
                         struct varlink_fds *fds)
{
    if (fds)
        fds->count = 0;
    *out = NULL;
    const char *end = NULL;
    if (vl->in_size > vl->in_scanned)
        end = memchr(vl->in + vl->in_scanned, 0, vl->in_size - vl->in_scanned);
    if (!end) {
        vl->in_scanned = vl->in_size;
        return vl->in_size >= VARLINK_MESSAGE_MAX ? STATUS_CORRUPT
                                                  : STATUS_NOT_FOUND;
    }
    size_t size = (size_t)(end - vl->in);
    if (size >= VARLINK_MESSAGE_MAX)
        return STATUS_CORRUPT;
    json_t *message = json_loadb(vl->in, size, JSON_REJECT_DUPLICATES, NULL);
    claim_fds(vl, size + 1, fds);
    consume(vl, size + 1);
    if (!json_is_object(message)) {
        json_decref(message);
        if (fds)
            varlink_fds_close(fds);
        return STATUS_CORRUPT;
    }
    *out = message;
    return STATUS_OK;
}

enum status varlink_send(struct varlink *vl, const json_t *message,
                         struct varlink_fds *fds)
{
    size_t size = json_dumpb(message, NULL, 0, JSON_COMPACT);
    struct out_message *out = NULL;
    enum status status = STATUS_LIMIT;
    if (size && size < VARLINK_MESSAGE_MAX) {
        status = STATUS_NO_MEMORY;
        out = malloc(sizeof(*out) + size + 1);
    }
    if (!out) {
        if (fds)
            varlink_fds_close(fds);
        return status;
    }
    size_t written = json_dumpb(message, out->text, size, JSON_COMPACT);
    assert(written == size);
    (void)written;
    out->text[size] = '\0';
    out->size = size + 1;
    out->sent = 0;
    out->next = NULL;
    out->fds.count = 0;
    if (fds) {
        out->fds = *fds;
        fds->count = 0;
    }
    if (vl->out_last)
        vl->out_last->next = out;
    else
        vl->out_first = out;
    vl->out_last = out;
    vl->out_bytes += out->size;
    return STATUS_OK;
}

/* One sendmsg of the first queued message; its descriptors go with its first
 * bytes. */
static ssize_t send_some(int fd, struct out_message *out)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int) * VARLINK_FDS_MAX)];
    } control;
    struct iovec iov = {out->text + out->sent, out->size - out->sent};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (out->fds.count && !out->sent) {
        size_t bytes = out->fds.count * sizeof(int);
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), out->fds.fd, bytes);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

enum status varlink_flush(struct varlink *vl)
{
    while (vl->out_first) {
        struct out_message *out = vl->out_first;
        ssize_t sent = send_some(vl->fd, out);
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK
                       ? STATUS_BUSY
                       : status_from_errno(errno);
        varlink_fds_close(&out->fds);
        out->sent += (size_t)sent;
        vl->out_bytes -= (size_t)sent;
        if (out->sent < out->size)
            continue;
        vl->out_first = out->next;
        if (!vl->out_first)
            vl->out_last = NULL;
        free(out);
    }
    return STATUS_OK;
}
