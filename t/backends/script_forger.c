/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A child of httpd that was taken over, as far as CGI goes: takes the descriptor on which children ask for scripts out of
 * one (which needs root) and asks for what it likes. Prints the manager's verdict for each path that was given, and
 * what the script wrote.
 *
 *     script_forger PID GROUP-ROW [-e NAME=VALUE] PATH ...      PATH "!" sends rubbish instead
 *     script_forger PID GROUP-ROW -l HOST TEXT ...              lines of applications, HOST "!" sends rubbish */
#include "procd_wire.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The SOCK_SEQPACKET sockets that a child holds while it is idle: the first is that for scripts, the next for lines. */
static int find_channel(pid_t pid, int skip)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    for (int fd = 0; fd < 256; fd++) {
        int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0), type = 0;
        socklen_t len = sizeof(type);

        if (got != -1 && getsockopt(got, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET
            && skip-- == 0) {
            return got;
        }
        if (got != -1) {
            close(got);
        }
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

static void send_rubbish(int channel)
{
    int pair[2];

    for (int i = 0; i < 40; i++) {
        unsigned char bytes[64];
        struct iovec iov = { bytes, (size_t)(1 + i) };

        for (size_t n = 0; n < sizeof(bytes); n++) {
            bytes[n] = (unsigned char)(rand() >> 3);
        }
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
        procd_wire_send(channel, &iov, 1, pair, i % 4 < 3 ? i % 4 : 0);
        close(pair[0]);
        close(pair[1]);
    }
    send(channel, "", 0, 0);
    puts("rubbish sent");
}

static void ask(int channel, uint32_t group, const char *path, const char *pair)
{
    procd_script_head head = { .group = group, .n_env = pair ? 1 : 0 };
    procd_script_answer_message answer;
    char strings[8192];
    int control[2], fds[2], n;
    struct pollfd p;

    n = snprintf(strings, sizeof(strings), "%s%c%s", path, 0, pair ? pair : "") + (pair ? 1 : 0);
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control);
    if (procd_script_send(channel, &head, strings, (size_t)n, control[1]) != 0) {
        printf("%s: not sent\n", path);
        return;
    }
    close(control[1]);
    p = (struct pollfd){ control[0], POLLIN, 0 };
    if (poll(&p, 1, 5000) != 1 || procd_script_answer_receive(control[0], &answer, fds) != 1) {
        printf("%s: no answer\n", path);
    }
    else {
        printf("%s: verdict %d %s\n", path, answer.verdict, answer.why);
        if (fds[0] != -1) {
            print_output(fds[0]);
        }
    }
    fflush(stdout);
    send(control[0], "d", 1, MSG_NOSIGNAL);
    close(control[0]);
}

static void pass_on(int channel, uint32_t group, const char *host, const char *text)
{
    procd_line line = { host, text, strlen(host), strlen(text), 0 };

    if (strcmp(host, "!") == 0) {
        send_rubbish(channel);
    }
    printf("%s: %s\n", host, procd_line_send(channel, group, 1, &line) == 0 ? "sent" : "not sent");
}

int main(int argc, char **argv)
{
    int lines = argc > 3 && strcmp(argv[3], "-l") == 0;
    int channel = argc > 3 ? find_channel(atoi(argv[1]), lines) : -1;
    const char *pair = NULL;

    if (channel == -1) {
        puts("no channel");
        return 1;
    }
    for (int i = 4; lines && i + 1 < argc; i += 2) {
        pass_on(channel, (uint32_t)atoi(argv[2]), argv[i], argv[i + 1]);
    }
    for (int i = 3; !lines && i < argc; i++) {
        if (strcmp(argv[i], "-e") == 0 && i + 1 < argc) {
            pair = argv[++i];
        }
        else if (strcmp(argv[i], "!") == 0) {
            send_rubbish(channel);
        }
        else {
            ask(channel, (uint32_t)atoi(argv[2]), argv[i], pair);
        }
    }
    return 0;
}
