/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A child of httpd that was taken over, as far as CGI goes: finds the door by which children ask for scripts in
 * one (which needs root) and asks for what it likes. Prints the manager's verdict for each path that was given, and
 * what the script wrote.
 *
 *     script_forger PID GROUP-ROW [-e NAME=VALUE] [-s] PATH ...      PATH "!" sends rubbish instead
 *     script_forger PID GROUP-ROW -l HOST TEXT ...              lines of applications, HOST "!" sends rubbish */
#include "procd_wire.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sockets that can be found and not used: the first is the door for scripts, the next that for lines. */
static int find_door(pid_t pid, int skip)
{
    char path[64];
    struct stat st;

    for (int fd = 0; fd < 256; fd++) {
        int got;

        snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
        got = open(path, O_PATH | O_CLOEXEC);
        if (got == -1) {
            continue;
        }
        if (fstat(got, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_nlink == 0 && skip-- == 0) {
            return got;
        }
        close(got);
    }
    return -1;
}

static void print_output(int fd)
{
    char buf[4096];
    struct pollfd p = { fd, POLLIN, 0 };
    ssize_t n;

    while (poll(&p, 1, 5000) == 1 && (n = read(fd, buf, sizeof(buf))) > 0) {
        fwrite(buf, 1, (size_t)n, stdout);
    }
}

/* Each on a connection of its own: the manager ends one that says nothing sensible. */
static void send_rubbish(int door)
{
    int pair[2];

    for (int i = 0; i < 40; i++) {
        unsigned char bytes[64];
        struct iovec iov = { bytes, (size_t)(1 + i) };
        int fd = procd_door_knock(door);

        for (size_t n = 0; n < sizeof(bytes); n++) {
            bytes[n] = (unsigned char)(rand() >> 3);
        }
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
        procd_wire_send(fd, &iov, 1, pair, i % 4 < 3 ? i % 4 : 0);
        send(fd, "", 0, MSG_NOSIGNAL);
        close(pair[0]);
        close(pair[1]);
        shutdown(fd, i % 3);
        if (i % 2) {
            close(fd); /* the others stay until this program ends */
        }
    }
    puts("rubbish sent");
}

static void ask(int door, uint32_t group, const char *path, const char *pair, int is_socket)
{
    procd_script_head head = { .group = group, .n_env = pair ? 1 : 0 };
    procd_script_answer_message answer;
    char strings[8192];
    int control = procd_door_knock(door), out[2], n;
    procd_script_fds fds;
    struct pollfd p;

    n = snprintf(strings, sizeof(strings), "%s%c%s", path, 0, pair ? pair : "") + (pair ? 1 : 0);
    if ((is_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, out) : pipe(out)) != 0) {
        return;
    }
    fds = (procd_script_fds){ out[1], -1 };
    n = procd_script_send(control, &head, strings, (size_t)n, &fds);
    procd_script_close(&fds);
    if (n != 0) {
        printf("%s: not sent\n", path);
        return;
    }
    p = (struct pollfd){ control, POLLIN, 0 };
    if (poll(&p, 1, 5000) != 1 || procd_script_answer_receive(control, &answer) != 1) {
        printf("%s: no answer\n", path);
    }
    else {
        printf("%s: verdict %d %s\n", path, answer.verdict, answer.why);
        print_output(out[0]);
    }
    fflush(stdout);
    send(control, "d", 1, MSG_NOSIGNAL);
    close(control);
    close(out[0]);
}

static void pass_on(int channel, uint32_t group, const char *host, const char *text)
{
    procd_line line = { host, text, strlen(host), strlen(text), 0 };

    printf("%s: %s\n", host, procd_line_send(channel, group, 1, &line) == 0 ? "sent" : "not sent");
}

/* More than there is room for on a connection waits a little. */
static void pass_all_on(int door, uint32_t group, char **pairs, int n)
{
    int channel = procd_door_knock(door);

    for (int i = 0; i + 1 < n; i += 2) {
        struct pollfd p = { channel, POLLOUT, 0 };

        poll(&p, 1, 5000);
        if (strcmp(pairs[i], "!") == 0) {
            send_rubbish(door);
        }
        pass_on(channel, group, pairs[i], pairs[i + 1]);
    }
}

int main(int argc, char **argv)
{
    int lines = argc > 3 && strcmp(argv[3], "-l") == 0;
    int door = argc > 3 ? find_door(atoi(argv[1]), lines) : -1;
    const char *pair = NULL;
    int is_socket = 0;

    if (door == -1) {
        puts("no door");
        return 1;
    }
    if (lines) {
        pass_all_on(door, (uint32_t)atoi(argv[2]), argv + 4, argc - 4);
        return 0;
    }
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "-e") == 0 && i + 1 < argc) {
            pair = argv[++i];
        }
        else if (strcmp(argv[i], "-s") == 0) {
            is_socket = 1;
        }
        else if (strcmp(argv[i], "!") == 0) {
            send_rubbish(door);
        }
        else {
            ask(door, (uint32_t)atoi(argv[2]), argv[i], pair, is_socket);
        }
    }
    return 0;
}
