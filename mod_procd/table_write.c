/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* What the manager writes into its half of the process table. */
#include "table_priv.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void procd_row_set_name(procd_group_row *row, const char *name)
{
    char text[PROCD_NAME_WORDS * 8] = "";

    strncpy(text, name, sizeof(text) - 1);
    for (int i = 0; i < PROCD_NAME_WORDS; i++) {
        uint64_t word;

        memcpy(&word, text + i * 8, 8);
        set(row->name[i], word);
    }
}

void procd_table_changed(procd_group_row *row)
{
    atomic_fetch_add(&row->changes, 1);
    syscall(SYS_futex, &row->changes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Also right when a manager died between the two: the number is odd and stays so. */
void procd_row_begin(procd_process_row *row)
{
    set(row->seq, get(row->seq) | 1);
    atomic_thread_fence(memory_order_seq_cst);
}

void procd_row_end(procd_process_row *row)
{
    atomic_store_explicit(&row->seq, (get(row->seq) | 1) + 1, memory_order_release);
}

void procd_row_set_addr(procd_process_row *row, const void *addr, socklen_t len)
{
    uint64_t words[PROCD_ADDR_WORDS] = { 0 };

    if (len > sizeof(words)) {
        len = 0;
    }
    if (len) { /* of a group of scripts there is none */
        memcpy(words, addr, len);
    }
    set(row->addr_len, (uint32_t)len);
    for (int i = 0; i < PROCD_ADDR_WORDS; i++) {
        set(row->addr[i], words[i]);
    }
}

void procd_why_write(procd_group_row *row, const char *why)
{
    uint64_t words[PROCD_WHY_WORDS] = { 0 };
    size_t len = strnlen(why, sizeof(words) - 1);

    memcpy(words, why, len);
    set(row->seq, get(row->seq) | 1);
    atomic_thread_fence(memory_order_seq_cst);
    for (int i = 0; i < PROCD_WHY_WORDS; i++) {
        set(row->why[i], words[i]);
    }
    atomic_store_explicit(&row->seq, (get(row->seq) | 1) + 1, memory_order_release);
}
