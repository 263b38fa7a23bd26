/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* Making and mapping the process table (table.h). The parts that work with it: table_child.c, table_lease.c, table_lock.c,
 * table_read.c, table_write.c. */
#include "table_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must work between processes");

int64_t procd_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ making and mapping */

static int make_memfd(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1) {
        return -1;
    }
    if (ftruncate(fd, (off_t)size) == 0 && fchmod(fd, 0600) == 0
        && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

static void *map_to_fill(int fd, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* Instances are unique beyond this table: sockets are named after them, and the next table's manager may work beside this
 * one's for a while. */
static uint64_t first_instance(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Zeros are what the children's half begins with. */
static int fill_header(int manager_fd)
{
    procd_manager_half *manager = map_to_fill(manager_fd, sizeof(*manager));

    if (!manager) {
        return -1;
    }
    manager->magic = PROCD_TABLE_MAGIC;
    manager->version = PROCD_TABLE_VERSION;
    manager->size = sizeof(*manager);
    atomic_store(&manager->last_instance, first_instance());
    munmap(manager, sizeof(*manager));
    return 0;
}

int procd_table_create(int *manager_fd, int *children_fd)
{
    *children_fd = -1;
    *manager_fd = make_memfd("procd-manager", sizeof(procd_manager_half));
    if (*manager_fd == -1) {
        return -1;
    }
    *children_fd = make_memfd("procd-children", sizeof(procd_children_half));
    if (*children_fd != -1 && fill_header(*manager_fd) == 0) {
        return 0;
    }
    close(*manager_fd);
    if (*children_fd != -1) {
        close(*children_fd);
    }
    return -1;
}

/* A mapping that cannot become writable needs a descriptor that is read-only. */
static void *map_half(int fd, size_t size, int writes)
{
    char path[40];
    struct stat st;
    void *p;
    int ro;

    if (fstat(fd, &st) != 0) {
        return NULL;
    }
    if (st.st_size != (off_t)size) {
        errno = EPROTO;
        return NULL;
    }
    if (writes) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return p == MAP_FAILED ? NULL : p;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ro = open(path, O_RDONLY | O_CLOEXEC);
    if (ro == -1) {
        return NULL;
    }
    p = mmap(NULL, size, PROT_READ, MAP_SHARED, ro, 0);
    close(ro);
    return p == MAP_FAILED ? NULL : p;
}

int procd_table_map(procd_tables *t, int manager_fd, int children_fd, int is_manager)
{
    t->children = NULL;
    t->manager = map_half(manager_fd, sizeof(*t->manager), is_manager);
    if (!t->manager) {
        return -1;
    }
    t->children = map_half(children_fd, sizeof(*t->children), 1);
    if (!t->children) {
        procd_table_unmap(t);
        return -1;
    }
    /* Both halves are made at once. What stands in the children's says nothing: they can write there. */
    if (t->manager->magic != PROCD_TABLE_MAGIC || t->manager->version != PROCD_TABLE_VERSION) {
        procd_table_unmap(t);
        errno = EPROTO;
        return -1;
    }
    return 0;
}

void procd_table_unmap(procd_tables *t)
{
    if (t->manager) {
        munmap(t->manager, sizeof(*t->manager));
    }
    if (t->children) {
        munmap(t->children, sizeof(*t->children));
    }
    t->manager = NULL;
    t->children = NULL;
}
