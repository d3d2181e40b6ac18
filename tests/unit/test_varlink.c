/* Varlink framing: pieces of any size, bounds, descriptors with the right
 * message. */
#include "daemon/varlink_client.h"

#include "tests/support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void pair(struct varlink **a, int *b)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    *a = varlink_new(fd[0]);
    assert_non_null(*a);
    *b = fd[1];
}

static void put(int fd, const char *data, size_t size)
{
    assert_int_equal(write(fd, data, size), (ssize_t)size);
}

static void varlink_messages_arrive_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":1}\0{\"b\":[2]}";
    struct varlink *vl;
    int peer, count = 0;
    pair(&vl, &peer);
    json_t *message;
    for (size_t i = 0; i < sizeof(text); i++) {
        put(peer, text + i, 1);
        assert_int_equal(varlink_receive(vl), STATUS_OK);
        enum status status = varlink_next(vl, &message, NULL);
        if (status == STATUS_NOT_FOUND)
            continue;
        assert_int_equal(status, STATUS_OK);
        assert_non_null(json_object_get(message, count ? "b" : "a"));
        json_decref(message);
        count++;
    }
    assert_int_equal(count, 2);
    put(peer, text, sizeof(text));
    assert_int_equal(varlink_receive(vl), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(varlink_next(vl, &message, NULL), STATUS_OK);
        json_decref(message);
    }
    assert_int_equal(varlink_next(vl, &message, NULL), STATUS_NOT_FOUND);
    assert_int_equal(varlink_receive(vl), STATUS_BUSY);
    close(peer);
    assert_int_equal(varlink_receive(vl), STATUS_CLOSED);
    varlink_free(vl);
}

static void varlink_what_is_no_object_is_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "x", "[1]", "{\"a\":1,\"a\":2}", "{\"a\":1} x", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct varlink *vl;
        int peer;
        json_t *message;
        pair(&vl, &peer);
        put(peer, texts[i], strlen(texts[i]) + 1);
        assert_int_equal(varlink_receive(vl), STATUS_OK);
        assert_int_equal(varlink_next(vl, &message, NULL), STATUS_CORRUPT);
        assert_null(message);
        varlink_free(vl);
        close(peer);
    }
}

static void varlink_message_over_the_bound_is_refused(void **state)
{
    (void)state;
    struct varlink *vl;
    int peer;
    pair(&vl, &peer);
    static char chunk[4096];
    memset(chunk, ' ', sizeof(chunk));
    json_t *message;
    enum status status = STATUS_NOT_FOUND;
    size_t sent = 0;
    while (status == STATUS_NOT_FOUND) {
        put(peer, chunk, sizeof(chunk));
        sent += sizeof(chunk);
        assert_true(sent <= VARLINK_MESSAGE_MAX);
        assert_int_equal(varlink_receive(vl), STATUS_OK);
        status = varlink_next(vl, &message, NULL);
    }
    assert_int_equal(status, STATUS_CORRUPT);
    assert_int_equal(sent, VARLINK_MESSAGE_MAX);
    char *big = malloc(VARLINK_MESSAGE_MAX);
    memset(big, 'x', VARLINK_MESSAGE_MAX - 1);
    big[VARLINK_MESSAGE_MAX - 1] = '\0';
    json_t *object = json_pack("{s:s}", "k", big);
    assert_int_equal(varlink_send(vl, object, NULL), STATUS_LIMIT);
    json_decref(object);
    free(big);
    varlink_free(vl);
    close(peer);
}

static int pipe_end(ino_t *inode)
{
    int fd[2];
    struct stat st;
    assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
    close(fd[1]);
    assert_int_equal(fstat(fd[0], &st), 0);
    *inode = st.st_ino;
    return fd[0];
}

static void varlink_descriptors_stay_with_their_message(void **state)
{
    (void)state;
    struct varlink *a, *b;
    int peer;
    pair(&a, &peer);
    b = varlink_new(peer);
    ino_t inode[3];
    for (int i = 0; i < 4; i++) {
        json_t *message = json_pack("{s:i}", "i", i);
        struct varlink_fds fds = {.count = 0};
        if (i == 1)
            fds = (struct varlink_fds){.fd = {pipe_end(&inode[0])}, .count = 1};
        if (i == 2)
            fds = (struct varlink_fds){
                .fd = {pipe_end(&inode[1]), pipe_end(&inode[2])}, .count = 2};
        assert_int_equal(varlink_send(a, message, &fds), STATUS_OK);
        assert_int_equal(fds.count, 0);
        json_decref(message);
    }
    assert_true(varlink_queued(a) > 0);
    assert_int_equal(varlink_flush(a), STATUS_OK);
    assert_int_equal(varlink_queued(a), 0);
    while (varlink_receive(b) == STATUS_OK)
        ;
    static const size_t counts[] = {0, 1, 2, 0};
    int next = 0;
    for (int i = 0; i < 4; i++) {
        json_t *message;
        struct varlink_fds fds;
        assert_int_equal(varlink_next(b, &message, &fds), STATUS_OK);
        assert_int_equal(json_integer_value(json_object_get(message, "i")), i);
        assert_int_equal(fds.count, counts[i]);
        for (size_t k = 0; k < fds.count; k++) {
            struct stat st;
            assert_int_equal(fstat(fds.fd[k], &st), 0);
            assert_true(st.st_ino == inode[next++]);
            assert_true(fcntl(fds.fd[k], F_GETFD) & FD_CLOEXEC);
        }
        varlink_fds_close(&fds);
        json_decref(message);
    }
    varlink_free(a);
    varlink_free(b);
}

static void varlink_large_messages_flow_both_ways(void **state)
{
    (void)state;
    struct varlink *a, *b;
    int peer;
    pair(&a, &peer);
    b = varlink_new(peer);
    size_t size = VARLINK_MESSAGE_MAX - 100;
    char *text = malloc(size + 1);
    memset(text, 'y', size);
    text[size] = '\0';
    json_t *message = json_pack("{s:s}", "k", text), *got = NULL;
    struct varlink_fds fds = {.count = 1};
    ino_t inode;
    fds.fd[0] = pipe_end(&inode);
    assert_int_equal(varlink_send(a, message, &fds), STATUS_OK);
    enum status status;
    while ((status = varlink_next(b, &got, &fds)) == STATUS_NOT_FOUND) {
        status = varlink_flush(a);
        assert_true(status == STATUS_OK || status == STATUS_BUSY);
        while (varlink_receive(b) == STATUS_OK)
            ;
    }
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(fds.count, 1);
    assert_true(json_equal(message, got));
    varlink_fds_close(&fds);
    json_decref(message);
    json_decref(got);
    free(text);
    varlink_free(a);
    varlink_free(b);
}

static void varlink_client_says_nobody_listens(void **state)
{
    (void)state;
    struct varlink_client *client;
    struct diag diag = {""};
    assert_int_equal(varlink_client_open("/nonexistent/x", &client, &diag),
                     STATUS_NOT_FOUND);
    assert_null(client);
    assert_non_null(strstr(diag.text, "/nonexistent/x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varlink_messages_arrive_in_any_pieces),
        cmocka_unit_test(varlink_what_is_no_object_is_corrupt),
        cmocka_unit_test(varlink_message_over_the_bound_is_refused),
        cmocka_unit_test(varlink_descriptors_stay_with_their_message),
        cmocka_unit_test(varlink_large_messages_flow_both_ways),
        cmocka_unit_test(varlink_client_says_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
