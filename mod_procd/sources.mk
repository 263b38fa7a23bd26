# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What the module and the manager both link: it knows neither httpd nor APR.
PROCD_SHARED := mod_procd/groupdef.c mod_procd/groupdef_set.c mod_procd/groupdef_log.c mod_procd/groupdef_text.c mod_procd/groupdef_users.c mod_procd/groupdef_cgroup.c mod_procd/table.c mod_procd/table_child.c mod_procd/table_lease.c mod_procd/table_lock.c mod_procd/table_read.c mod_procd/table_write.c mod_procd/proc_stat.c mod_procd/wire.c mod_procd/close_aside.c mod_procd/ctl_text.c mod_procd/script_wire.c mod_procd/line_wire.c mod_procd/script_parse.c
PROCD_LIBS := -lpthread
