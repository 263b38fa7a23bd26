/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/door.c */
/* What a child of httpd can do with a door: come in, and nothing that others would notice. */
#include "procd_wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/test-door-XXXXXX";

static int count_files(void)
{
    DIR *d = opendir(dir);
    int n = 0;

    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n - 2;
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) && chmod(dir, 0755) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

/* Let one in and hear what it says. */
static char hear(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char c = '\0';

    if (fd != -1) {
        assert_true(recv(fd, &c, 1, 0) >= 0);
        close(fd);
    }
    return c;
}

static void coming_in(void **state)
{
    int door, listener, first, second;

    (void)state;
    assert_int_equal(procd_door_make(dir, &door, &listener), 0);
    assert_int_equal(count_files(), 0);
    first = procd_door_knock(door);
    second = procd_door_knock(door);
    assert_true(first != -1 && second != -1);
    assert_int_equal(fcntl(first, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(door, F_GETFD), FD_CLOEXEC);
    assert_int_equal(send(first, "1", 1, 0), 1);
    assert_int_equal(send(second, "2", 1, 0), 1);
    assert_int_equal(hear(listener), '1');
    assert_int_equal(hear(listener), '2');
    assert_int_equal(hear(listener), '\0');
    close(first);
    close(second);
    close(listener);
    assert_int_equal(procd_door_knock(door), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(door);
}

/* As another user, when this runs as root. @return how many things could be done that must not be */
static int mischief(int door)
{
    char path[40];
    int fd, done = 0;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", door);
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return 1;
    }
    done += shutdown(door, SHUT_RDWR) == 0;
    done += listen(door, 1) == 0;
    done += accept(door, NULL, NULL) != -1;
    done += fchmod(door, 0) == 0;
    done += geteuid() == 65534 && chmod(path, 0) == 0;
    done += open(path, O_RDWR) != -1;
    for (int i = 0; i < 5; i++) {
        fd = procd_door_knock(door);
        done += fd == -1;
        shutdown(fd, SHUT_RDWR);
        close(fd);
    }
    return done;
}

static void what_one_can_do_to_others(void **state)
{
    int door, listener, fd, status;
    pid_t pid;

    (void)state;
    assert_int_equal(procd_door_make(dir, &door, &listener), 0);
    pid = fork();
    if (pid == 0) {
        close(listener);
        _exit(mischief(door));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(hear(listener), '\0');
    }
    fd = procd_door_knock(door);
    assert_int_equal(send(fd, "3", 1, 0), 1);
    assert_int_equal(hear(listener), '3');
    close(fd);
    close(door);
    close(listener);
}

static void where_none_can_be_made(void **state)
{
    char path[5000];
    int door, listener;

    (void)state;
    assert_int_equal(procd_door_make("/nowhere/at/all", &door, &listener), -1);
    assert_int_equal(errno, ENOENT);
    assert_true(door == -1 && listener == -1);
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(procd_door_make(path, &door, &listener), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(coming_in), cmocka_unit_test(what_one_can_do_to_others),
                                        cmocka_unit_test(where_none_can_be_made) };

    return cmocka_run_group_tests(tests, setup, teardown);
}
