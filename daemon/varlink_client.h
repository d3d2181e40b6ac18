/* A client of the control socket that waits: one call at a time. */
#ifndef DAEMON_VARLINK_CLIENT_H
#define DAEMON_VARLINK_CLIENT_H

#include "daemon/varlink.h"

#include <stdbool.h>

struct varlink_client;

/* Where the daemon listens, in this order: given, the environment variable
 * DELTAMESH_CONTROL, $XDG_RUNTIME_DIR/deltamesh/control unless root and only
 * if it is there, /run/deltamesh/control. out has size bytes; LIMIT when it
 * does not fit. given may be NULL. */
enum status varlink_client_path(const char *given, char *out, size_t size)
    MUST_CHECK;

/* Connects. NOT_FOUND: nobody listens there; PERMISSION; diag names the path.
 */
enum status varlink_client_open(const char *path, struct varlink_client **out,
                                struct diag *diag) MUST_CHECK;
void varlink_client_close(struct varlink_client *client);

/* Sends a call.
 *
 * method      full name: "io.deltamesh.Control.Status"
 * parameters  borrowed; NULL: none
 * fds         sent along, owned by the connection from then on; NULL: none
 * more        replies may be several: varlink_client_receive until *continues
 *             is false
 *
 * USAGE when the last call is not answered yet. */
enum status varlink_client_send(struct varlink_client *client,
                                const char *method, json_t *parameters,
                                struct varlink_fds *fds, bool more) MUST_CHECK;

/* Waits for the next reply.
 *
 * parameters  out: an object, never NULL on OK and REFUSED; json_decref it
 * fds         out: descriptors that came along; NULL: closed
 * continues   out: another reply follows; may be NULL
 * error       out: on REFUSED the error's full name, of error_size bytes
 * timeout_ms  -1: for ever
 *
 * STATUS_REFUSED  the daemon answered with an error: parameters are its fields
 * STATUS_TIMEOUT, STATUS_CLOSED, STATUS_CORRUPT, STATUS_IO */
enum status varlink_client_receive(struct varlink_client *client,
                                   json_t **parameters, struct varlink_fds *fds,
                                   bool *continues, char *error,
                                   size_t error_size, int timeout_ms)
    MUST_CHECK;

/* Send and receive of a call with one reply. */
enum status varlink_client_call(struct varlink_client *client,
                                const char *method, json_t *parameters,
                                json_t **reply, char *error, size_t error_size,
                                int timeout_ms) MUST_CHECK;

/* The socket, to poll it beside others. */
int varlink_client_fd(const struct varlink_client *client);

#endif
