/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Forking for a script, which happens for each request.
 *
 * fork() copies the manager's page tables and makes it fault on every page that it touches afterwards: a third of what a
 * small script costs. vfork() would stop the manager until exec, and with it all groups: whoever can send a signal to the
 * new process, which has given up root by then, could stop it right there. So the new process shares the memory, runs on
 * a stack of its own and nobody waits for it. It touches nothing but its block, and makes system calls without the C
 * library, whose errno is the manager's.
 *
 * A process that shares the memory of one that is root must not be open to a debugger of its new user: the kernel takes
 * care of that (changing the user makes the memory not dumpable), unless fs.suid_dumpable is 1. Then, under a
 * sanitizer, and on processors that this file does not know, it is fork(). */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_SIZE 16384
#define BLOCK_SIZE ((size_t)48 * 1024) /* enough for most requests */
#define SPARE_MOST 64

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && !defined(__ILP32__)
#define RAW_CALLS 1
static inline long raw(long nr, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = 0; /* no call here has more than four, and prctl() looks at the fifth */
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
#define RAW_CALLS 1
static inline long raw(long nr, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = 0; /* no call here has more than four, and prctl() looks at the fifth */

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#else
#define RAW_CALLS 0
static long raw(long nr, long a, long b, long c, long d)
{
    long result = syscall(nr, a, b, c, d, 0L);

    return result == -1 ? -errno : result;
}
#endif

/* Processors with 16-bit user ids in the plain calls. */
#ifdef SYS_setresuid32
#define NR_SETGROUPS SYS_setgroups32
#define NR_SETRESGID SYS_setresgid32
#define NR_SETRESUID SYS_setresuid32
#define NR_SETUID SYS_setuid32
#else
#define NR_SETGROUPS SYS_setgroups
#define NR_SETRESGID SYS_setresgid
#define NR_SETRESUID SYS_setresuid
#define NR_SETUID SYS_setuid
#endif

#define P(pointer) ((long)(intptr_t)(pointer))

/* ------------------------------------------------------------------ blocks */

static launch *spares; /* of BLOCK_SIZE; may be busy still */
static int n_spares;

static int shares_memory(void)
{
#if RAW_CALLS && !defined(SANITIZED)
    static int known = -1;

    if (known == -1) {
        int fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC);
        char c = '1';
        ssize_t n = fd == -1 ? -1 : read(fd, &c, 1);

        known = n == 1 && c != '1';
        if (fd != -1) {
            close(fd);
        }
    }
    return known;
#else
    return 0;
#endif
}

static launch *take_spare(void)
{
    for (launch **at = &spares; *at; at = &(*at)->next) {
        if (!atomic_load(&(*at)->busy)) {
            launch *l = *at;

            *at = l->next;
            n_spares--;
            return l;
        }
    }
    return NULL;
}

/* Behind the structure there is the stack, then the pieces. */
launch *launch_take(size_t size)
{
    size_t need = LAUNCH_PIECE(sizeof(launch)) + STACK_SIZE + size;
    launch *l = need <= BLOCK_SIZE ? take_spare() : NULL;

    need = need <= BLOCK_SIZE ? BLOCK_SIZE : need;
    if (!l) {
        l = mmap(NULL, need, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (shares_memory() ? MAP_PRIVATE : MAP_SHARED), -1,
                 0);
        if (l == MAP_FAILED) {
            return NULL;
        }
    }
    memset(l, 0, sizeof(*l));
    l->size = need;
    l->at = (char *)l + LAUNCH_PIECE(sizeof(launch)) + STACK_SIZE;
    return l;
}

void *launch_piece(launch *l, size_t size)
{
    void *piece = l->at;

    l->at += LAUNCH_PIECE(size);
    return piece;
}

void launch_give(launch *l)
{
    if (!l) {
        return;
    }
    if (l->size != BLOCK_SIZE || n_spares == SPARE_MOST) {
        munmap(l, l->size);
        return;
    }
    l->next = spares;
    spares = l;
    n_spares++;
}

/* ------------------------------------------------------------------ in the new process */

/* What exec would leave ignored. The manager's own dispositions do not change, so they are looked at once. */
static int ignored[NSIG], n_ignored = -1;

static void find_ignored(void)
{
    unsigned long action[8];

    n_ignored = 0;
    for (int i = 1; i < NSIG; i++) {
        if (syscall(SYS_rt_sigaction, i, NULL, action, (size_t)(NSIG / 8)) == 0 && action[0] == 1 /* SIG_IGN */) {
            ignored[n_ignored++] = i;
        }
    }
}

static void default_signals(void)
{
    static const unsigned long action[8], none[2]; /* all zero: SIG_DFL, and nothing blocked */

    for (int i = 0; i < n_ignored; i++) {
        raw(SYS_rt_sigaction, ignored[i], P(action), 0, NSIG / 8);
    }
    raw(SYS_rt_sigprocmask, SIG_SETMASK, P(none), 0, NSIG / 8);
}

static long set_descriptors(const launch *l)
{
    long rv = l->in == -1 ? 0 : raw(SYS_dup3, l->in, 0, 0, 0);

    rv = rv < 0 ? rv : raw(SYS_dup3, l->out, 1, 0, 0);
    rv = rv < 0 ? rv : raw(SYS_dup3, l->log, 2, 0, 0);
    return rv < 0 ? rv : raw(SYS_close_range, 3, ~0U, 0, 0);
}

static long set_limit(const procd_rlimit *l)
{
    uint64_t limit[2] = { l->soft, l->hard }; /* UINT64_MAX is RLIM64_INFINITY */

    return raw(SYS_prlimit64, 0, l->resource, P(limit), 0);
}

static long set_limits(const launch *l)
{
    long rv = set_limit(&the_manager.nofile);

    for (int i = 0; i < l->n_limits && rv >= 0; i++) {
        rv = set_limit(&l->limits[i]);
    }
    return rv;
}

static long set_user(const launch *l, int *stage)
{
    long rv;

    *stage = STAGE_GROUPS;
    rv = raw(NR_SETGROUPS, l->n_groups, P(l->groups), 0, 0);
    if (rv >= 0) {
        *stage = STAGE_GID;
        rv = raw(NR_SETRESGID, (long)l->gid, (long)l->gid, (long)l->gid, 0);
    }
    if (rv >= 0) {
        *stage = STAGE_UID;
        rv = raw(NR_SETRESUID, (long)l->uid, (long)l->uid, (long)l->uid, 0);
    }
    if (rv >= 0 && raw(NR_SETUID, 0, 0, 0, 0) >= 0) {
        *stage = STAGE_PRIVILEGES;
        rv = -EPERM;
    }
    return rv;
}

/* In the same order as spawn.c, for the reasons given there. @return what exec did, or what failed before */
static long go(const launch *l, int *stage)
{
    long rv;

    raw(SYS_setpgid, 0, 0, 0, 0); /* no session: the scheduler gives each as much as all of httpd (autogroup) */
    *stage = STAGE_CGROUP;
    if (l->cgroup && (rv = raw(SYS_write, l->cgroup, P("0"), 1, 0)) < 0) {
        return rv;
    }
    *stage = STAGE_DESCRIPTORS;
    if ((rv = set_descriptors(l)) < 0) {
        return rv;
    }
    *stage = STAGE_LIMIT;
    if ((rv = set_limits(l)) < 0) {
        return rv;
    }
    *stage = STAGE_NICE;
    if (l->has_nice && (rv = raw(SYS_setpriority, PRIO_PROCESS, 0, l->nice, 0)) < 0) {
        return rv;
    }
    *stage = STAGE_CHROOT;
    if (l->chroot_dir
        && ((rv = raw(SYS_chdir, P(l->chroot_dir), 0, 0, 0)) < 0 || (rv = raw(SYS_chroot, P("."), 0, 0, 0)) < 0)) {
        return rv;
    }
    if (l->change_user && (rv = set_user(l, stage)) < 0) {
        return rv;
    }
    raw(SYS_umask, l->umask_bits, 0, 0, 0);
    *stage = STAGE_DIRECTORY;
    if ((rv = raw(SYS_chdir, P(l->directory), 0, 0, 0)) < 0) {
        return rv;
    }
    *stage = STAGE_PRIVILEGES;
    if ((rv = raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0)) < 0) {
        return rv;
    }
    default_signals();
    *stage = STAGE_EXEC;
    return raw(SYS_execve, P(l->program), P(l->argv), P(l->envp), 0);
}

static int run_child(void *data)
{
    launch *l = data;
    int stage = 0;
    long rv = go(l, &stage);

    atomic_store(&l->error, (int)-rv);
    atomic_store(&l->stage, stage);
    raw(SYS_exit_group, 127, 0, 0, 0);
    return 0;
}

/* ------------------------------------------------------------------ in the manager */

static pid_t share_and_run(launch *l)
{
    char *stack = (char *)l + LAUNCH_PIECE(sizeof(launch)) + STACK_SIZE;
    pid_t pid;

    atomic_store(&l->busy, 1); /* cleared by the kernel, with exec or at the end */
    pid = clone(run_child, stack, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, l, NULL, NULL, (pid_t *)(void *)&l->busy);
    if (pid == -1) {
        atomic_store(&l->busy, 0);
    }
    return pid;
}

pid_t launch_run(launch *l)
{
    pid_t pid;

    if (n_ignored < 0) {
        find_ignored();
    }
    if (shares_memory()) {
        return share_and_run(l);
    }
    pid = fork();
    if (pid == 0) {
        (void)run_child(l);
    }
    return pid;
}
