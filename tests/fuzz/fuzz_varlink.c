/* The control socket's framing: what is received in pieces of any size is
 * taken apart without fault, and a message that is sent arrives as it was. */
#include "daemon/varlink.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void echo(const json_t *message)
{
    int fd[2];
    json_t *back = NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
        abort();
    struct varlink *a = varlink_new(fd[0]), *b = varlink_new(fd[1]);
    if (!a || !b || varlink_send(a, message, NULL))
        abort();
    while (varlink_next(b, &back, NULL) == STATUS_NOT_FOUND) {
        enum status sent = varlink_flush(a), got = varlink_receive(b);
        if ((sent && sent != STATUS_BUSY) || (got && got != STATUS_BUSY))
            abort();
    }
    if (!back || !json_equal(message, back))
        abort();
    json_decref(back);
    varlink_free(a);
    varlink_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd[2];
    if (!size || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
        return 0;
    struct varlink *vl = varlink_new(fd[0]);
    size_t piece = (size_t)data[0] + 1;
    enum status status = STATUS_OK;
    for (size_t at = 1; at < size && vl && !status; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        json_t *message = NULL;
        if (write(fd[1], data + at, n) != (ssize_t)n)
            break;
        status = varlink_receive(vl);
        while (!status && !(status = varlink_next(vl, &message, NULL))) {
            echo(message);
            json_decref(message);
        }
        if (status == STATUS_NOT_FOUND)
            status = STATUS_OK;
    }
    varlink_free(vl);
    close(fd[1]);
    return 0;
}
