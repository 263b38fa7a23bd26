/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/script_parse.c mod_procd/script_wire.c mod_procd/wire.c mod_procd/close_aside.c */
/* libs: -lpthread */
/* Requests for scripts as a child of httpd sends them, and as one that was taken over might. */
#include "procd_wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static procd_script_head head_of(uint32_t n_args, uint32_t n_env, size_t len)
{
    procd_script_head head = { PROCD_WIRE_MAGIC, PROCD_WIRE_VERSION, 0, 3, n_args, n_env, (uint32_t)len };

    return head;
}

static const char *wrong(uint32_t n_args, uint32_t n_env, const char *bytes, size_t len)
{
    procd_script_head head = head_of(n_args, n_env, len);
    char *copy = malloc(len ? len : 1); /* of its own, so that reading past it is seen */
    procd_script s;
    const char *why;

    memcpy(copy, bytes, len);
    why = procd_script_parse(&s, &head, copy, len);
    free(copy);
    return why;
}

#define WRONG(args, env, text) wrong(args, env, text, sizeof(text) - 1)

static void what_is_asked_for(void **state)
{
    static const char text[] = "/cgi/x\0one\0two\0A=1\0B=";
    procd_script_head head = head_of(2, 2, sizeof(text));
    procd_script s;

    (void)state;
    assert_null(procd_script_parse(&s, &head, text, sizeof(text)));
    assert_string_equal(s.path, "/cgi/x");
    assert_string_equal(s.args, "one");
    assert_string_equal(s.env, "A=1");
    assert_int_equal(s.n_args, 2);
    assert_int_equal(s.n_env, 2);
}

static void what_is_refused(void **state)
{
    procd_script_head head = head_of(0, 0, 3);
    procd_script s;

    (void)state;
    assert_null(WRONG(0, 0, "/x\0"));
    assert_non_null(WRONG(0, 0, ""));
    assert_non_null(WRONG(0, 0, "/x"));  /* no end */
    assert_non_null(WRONG(0, 0, "x\0")); /* not absolute */
    assert_non_null(WRONG(0, 0, "\0"));
    assert_non_null(WRONG(0, 0, "/x\0/y\0")); /* more than was said */
    assert_non_null(WRONG(0, 1, "/x\0"));     /* less */
    assert_non_null(WRONG(1, 0, "/x\0a"));
    assert_non_null(WRONG(0, 1, "/x\0A\0")); /* no pair */
    assert_non_null(WRONG(0, 1, "/x\0=b\0"));
    assert_non_null(WRONG(0xffffffffu, 0, "/x\0"));
    assert_non_null(WRONG(0, 0xffffffffu, "/x\0"));
    head.version++;
    assert_non_null(procd_script_parse(&s, &head, "/x", 3));
    head = head_of(0, 0, 3);
    head.flags = 0x80;
    assert_non_null(procd_script_parse(&s, &head, "/x", 3));
    head = head_of(0, 0, 4);
    assert_non_null(procd_script_parse(&s, &head, "/x", 3));
}

static void one_that_is_too_long(void **state)
{
    size_t len = 4 + 2 + PROCD_SCRIPT_STRING_MAX;
    char *bytes = calloc(1, len);

    (void)state;
    memcpy(bytes, "/x\0A=", 5);
    memset(bytes + 5, 'x', len - 6);
    assert_non_null(wrong(0, 1, bytes, len));
    bytes[len - 4] = '\0';
    assert_null(wrong(0, 1, bytes, len - 3));
    free(bytes);
}

static int any_fd; /* whose closing takes no time */

typedef struct pair {
    int fd[2];
} pair;

static int setup(void **state)
{
    pair *p = calloc(1, sizeof(*p));

    *state = p;
    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p->fd);
}

static int teardown(void **state)
{
    pair *p = *state;

    close(p->fd[0]);
    close(p->fd[1]);
    free(p);
    return 0;
}

static int next_fd(void)
{
    int fd = dup(1);

    close(fd);
    return fd;
}

static int receive(pair *p, procd_script_head *head, char *buf, char **bytes)
{
    procd_script_fds fds;
    int rv = procd_script_receive(p->fd[1], head, buf, bytes, &fds);

    if (rv == 1) {
        assert_true(fds.out > 1);
        assert_int_equal(fds.in == -1, !(head->flags & PROCD_SCRIPT_BODY));
    }
    else {
        assert_true(fds.out == -1 && fds.in == -1);
    }
    procd_script_close(&fds);
    return rv;
}

/* Short ones in the message, long ones in a memfd; both come as they were sent. */
static void what_arrives(void **state)
{
    static char buf[PROCD_SCRIPT_INLINE];
    size_t lengths[] = { 3, PROCD_SCRIPT_INLINE, PROCD_SCRIPT_INLINE + 1, PROCD_SCRIPT_MAX };

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        procd_script_head head = { .group = 7 }, got;
        procd_script_fds fds = { any_fd, i % 2 ? any_fd : -1 };
        char *sent = malloc(lengths[i]), *bytes;
        int before = next_fd();

        memset(sent, 'y', lengths[i]);
        if (procd_script_send(((pair *)*state)->fd[0], &head, sent, lengths[i], &fds) != 0) {
            fail_msg("%zu: %s", lengths[i], strerror(errno));
        }
        assert_int_equal(receive(*state, &got, buf, &bytes), 1);
        assert_int_equal(got.group, 7);
        assert_int_equal(got.len, lengths[i]);
        assert_memory_equal(bytes, sent, lengths[i]);
        assert_int_equal(got.flags, i % 2 ? PROCD_SCRIPT_BODY : 0);
        if (bytes != buf) {
            free(bytes);
        }
        free(sent);
        assert_int_equal(next_fd(), before);
    }
}

/* Closing the last descriptor of it takes two seconds. */
static int slow_to_close(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct linger slow = { 1, 2 };
    socklen_t len = sizeof(in);
    static char bytes[1 << 20];
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&in, len) | listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, len), 0); /* nobody accepts, nobody reads */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &slow, sizeof(slow)), 0);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    return fd;
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Nobody can make the manager wait with a descriptor. */
static void what_takes_long_to_close(void **state)
{
    static char buf[PROCD_SCRIPT_INLINE];
    procd_script_head head = head_of(0, 0, 5), got;
    struct iovec iov = { &head, sizeof(head) };
    pair *p = *state;
    char *bytes;
    int64_t begin, spent = 0;

    for (int i = 0; i < 12; i++) {
        int fd = slow_to_close();

        assert_int_equal(procd_wire_send(p->fd[0], &iov, 1, &fd, 1), sizeof(head));
        close(fd);
        begin = now_ms();
        assert_int_equal(receive(p, &got, buf, &bytes), -1);
        spent += now_ms() - begin;
    }
    assert_true(spent < 12000); /* one after the other they would take 24 seconds */
    for (int i = 0; i < 32; i++) {
        int fd = slow_to_close();

        procd_close_aside(fd);
    }
    for (begin = now_ms(); procd_close_is_busy() && now_ms() - begin < 60000;) {
        usleep(10000);
    }
    assert_false(procd_close_is_busy());
}

static void what_is_not_sent(void **state)
{
    procd_script_head head = { .group = 7 };
    procd_script_fds fds = { 1, -1 };
    char *big = calloc(1, PROCD_SCRIPT_MAX + 1);

    assert_int_equal(procd_script_send(((pair *)*state)->fd[0], &head, big, PROCD_SCRIPT_MAX + 1, &fds), -1);
    assert_int_equal(errno, E2BIG);
    free(big);
}

/* A descriptor that is not a sealed memfd of that size: the manager must not read from it. */
static void what_a_forger_sends(void **state)
{
    static char buf[PROCD_SCRIPT_INLINE];
    procd_script_head head = head_of(0, 0, 5), got;
    struct iovec iov = { &head, sizeof(head) };
    int memfd = memfd_create("t", MFD_ALLOW_SEALING), fds[5] = { any_fd, memfd, memfd, any_fd, any_fd },
        before = next_fd();
    pair *p = *state;
    char *bytes;

    assert_int_equal(write(memfd, "/x\0\0", 5), 5);
    for (int n = 0; n <= 9; n++) { /* none, no strings, not sealed, too many; without and with a body */
        head.flags = n > 4 ? PROCD_SCRIPT_BODY : 0;
        assert_int_equal(procd_wire_send(p->fd[0], &iov, 1, fds, n % 5), sizeof(head));
        assert_int_equal(receive(p, &got, buf, &bytes), -1);
        assert_int_equal(errno, EPROTO);
        assert_int_equal(next_fd(), before);
    }
    close(memfd);
    iov.iov_len = 4;
    assert_int_equal(procd_wire_send(p->fd[0], &iov, 1, fds, 1), 4);
    assert_int_equal(receive(p, &got, buf, &bytes), -1);
    assert_int_equal(receive(p, &got, buf, &bytes), -1);
    assert_int_equal(errno, EAGAIN);
}

/* A message of no bytes reads like the end, and can bring descriptors all the same: none may stay behind. */
static void nothing_with_descriptors(void **state)
{
    static char buf[PROCD_SCRIPT_INLINE];
    procd_script_head head;
    struct iovec iov = { &head, 0 };
    int fds[3] = { any_fd, any_fd, any_fd }, before = next_fd();
    pair *p = *state;
    char *bytes;

    for (int n = 0; n <= 3; n++) {
        assert_int_equal(procd_wire_send(p->fd[0], &iov, 1, fds, n), 0);
        assert_int_equal(receive(p, &head, buf, &bytes), 0);
        assert_int_equal(next_fd(), before);
    }
}

static void the_answer(void **state)
{
    procd_script_answer_message sent = { PROCD_WIRE_MAGIC, PROCD_WIRE_VERSION, PROCD_SCRIPT_STARTED, 77, "" }, got;
    struct iovec iov = { &sent, sizeof(sent) };
    int fds[2] = { any_fd, any_fd }, before = next_fd();
    pair *p = *state;

    assert_int_equal(procd_script_answer_receive(p->fd[1], &got), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(procd_script_answer_send(p->fd[0], &sent), 0);
    assert_int_equal(procd_script_answer_receive(p->fd[1], &got), 1);
    assert_int_equal(got.pid, 77);
    sent.verdict = PROCD_SCRIPT_MISSING;
    strcpy(sent.why, "no such file");
    assert_int_equal(procd_script_answer_send(p->fd[0], &sent), 0);
    assert_int_equal(procd_script_answer_receive(p->fd[1], &got), 1);
    assert_string_equal(got.why, "no such file");
    assert_int_equal(procd_wire_send(p->fd[0], &iov, 1, fds, 2), sizeof(sent)); /* with descriptors */
    (void)procd_script_answer_receive(p->fd[1], &got);
    assert_int_equal(next_fd(), before);
    iov.iov_len = sizeof(sent) - 1;
    assert_int_equal(procd_wire_send(p->fd[0], &iov, 1, NULL, 0), sizeof(sent) - 1);
    assert_int_equal(procd_script_answer_receive(p->fd[1], &got), -1);
    assert_int_equal(errno, EPROTO);
    shutdown(p->fd[0], SHUT_RDWR);
    assert_int_equal(procd_script_answer_receive(p->fd[1], &got), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_for),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(one_that_is_too_long),
        cmocka_unit_test_setup_teardown(what_arrives, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(what_takes_long_to_close, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_forger_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_with_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(the_answer, setup, teardown),
    };

    any_fd = memfd_create("any", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
