/* Varlink on a connected local stream socket: JSON objects that end with a NUL
 * byte, and descriptors beside them. Used by the daemon, which never waits,
 * and by clients, which do (daemon/varlink_client.h).
 *
 * A message with descriptors is sent by a sendmsg of its own that carries them
 * with its first bytes; received ones are told apart by the position in the
 * stream they came at.
 *
 * Ref: varlink.org, "Method Call" and "Interface Definition". */
#ifndef DAEMON_VARLINK_H
#define DAEMON_VARLINK_H

#include "codec/base/bytes.h"
#include "codec/base/status.h"

#include <jansson.h>

#define VARLINK_MESSAGE_MAX (1u << 20) /* bytes, the NUL included */
#define VARLINK_FDS_MAX     64u        /* beside one message */

struct varlink;

/* Descriptors of one message. */
struct varlink_fds {
    int fd[VARLINK_FDS_MAX];
    size_t count;
};

/* Closes all and leaves none. */
void varlink_fds_close(struct varlink_fds *fds);

/* Over a connected socket, which it owns from then on, also on failure. */
struct varlink *varlink_new(int fd);

/* Closes the socket and all descriptors not handed out. NULL is fine. */
void varlink_free(struct varlink *vl);

int varlink_fd(const struct varlink *vl);

/* Receives once, without waiting.
 *
 * STATUS_BUSY    nothing there now
 * STATUS_CLOSED  the other side closed
 * STATUS_LIMIT   a message over VARLINK_MESSAGE_MAX, or too many descriptors
 * STATUS_IO, STATUS_NO_MEMORY
 * After anything but OK and BUSY the connection is to be closed. */
enum status varlink_receive(struct varlink *vl) MUST_CHECK;

/* Takes the next whole message.
 *
 * out   an object; json_decref it
 * fds   the descriptors that came with it, now the caller's; NULL: closed
 *
 * STATUS_NOT_FOUND  no whole message yet
 * STATUS_CORRUPT    not a JSON object; close the connection */
enum status varlink_next(struct varlink *vl, json_t **out,
                         struct varlink_fds *fds) MUST_CHECK;

/* Queues a message. The descriptors are owned by the connection from then on,
 * also on failure, and closed once sent.
 *
 * STATUS_LIMIT  over VARLINK_MESSAGE_MAX
 * STATUS_NO_MEMORY */
enum status varlink_send(struct varlink *vl, const json_t *message,
                         struct varlink_fds *fds) MUST_CHECK;

/* Sends what is queued, without waiting. BUSY: the socket takes no more now;
 * OK: nothing is left. CLOSED, IO. */
enum status varlink_flush(struct varlink *vl) MUST_CHECK;

/* Bytes queued and not sent. */
size_t varlink_queued(const struct varlink *vl);

#endif
