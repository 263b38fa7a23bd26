dnl Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
dnl
dnl Both modules and the manager inside an httpd source tree: copy this folder to modules/proxy_core, run httpd's
dnl ./buildconf and ./configure --enable-proxy-core --enable-procd. build/test-config-m4 does just that.

APACHE_MODPATH_INIT(proxy_core)

dnl A module is all the .c files of its folders, here as in build/modules.mk. mod_procd/sources.mk names those that the
dnl manager shares with it.
pc_here=$srcdir/modules/proxy_core
pc_objects() {
    for pc_file
    do
        test -f "$pc_file" && echo "$pc_file" | sed -e "s|^$pc_here/||" -e 's|\.c$|.lo|'
    done
}
proxy_core_objs=`pc_objects $pc_here/mod_proxy_core/*.c $pc_here/mod_proxy_core/protocols/*.c \
    $pc_here/mod_proxy_core/balancers/*.c | tr '\n' ' '`
procd_objs=`pc_objects $pc_here/mod_procd/*.c | tr '\n' ' '`
procd_program_objs=`pc_objects $pc_here/mod_procd/manager/*.c | tr '\n' ' '`
procd_program_objs="$procd_program_objs `sed -n 's/^PROCD_SHARED *:= *//p' $pc_here/mod_procd/sources.mk | sed 's/\.c/.lo/g'`"

APACHE_MODULE(proxy_core, [pools of FastCGI and HTTP backends], $proxy_core_objs, , no)

APACHE_MODULE(procd, [applications that httpd starts and keeps], $procd_objs, , no, [
  case "$host" in
    *linux*) ;;
    *)
      AC_MSG_WARN([mod_procd needs Linux])
      enable_procd=no
      ;;
  esac
])

if test "$enable_procd" != "no"; then
  dnl The manager is made where static modules would be, whatever the module itself is, and installed beside httpd. Its
  dnl objects are those of a shared module: it has some in common with one.
  modpath_static="$modpath_static procd"
  cat >>$modpath_current/modules.mk <<EOF
sbin_PROGRAMS = procd
procd: `echo "$procd_program_objs" | sed 's/\.lo/.slo/g'`
	\$(LINK) $procd_program_objs -lpthread
EOF
fi

dnl httpd's own rule puts an object into the current folder; ours lie in folders.
cat >>$modpath_current/modules.mk <<EOF
PC_OBJS = `echo $proxy_core_objs $procd_objs $procd_program_objs | tr ' ' '\n' | sort -u | tr '\n' ' '`
\$(PC_OBJS): %.lo: %.c
	\$(LIBTOOL) --mode=compile \$(COMPILE) \$(LTCFLAGS) \$(PC_DEFINES) -o \$@ -c \$< && touch \$@
\$(PC_OBJS:.lo=.slo): %.slo: %.c
	\$(LIBTOOL) --mode=compile \$(BASE_CC) \$(SHLTCFLAGS) \$(PC_DEFINES) -o \$*.lo -c \$< && touch \$@
PC_DEFINES = -DPROCD_LIBEXECDIR='"\$(sbindir)"'
EOF

APR_ADDTO(INCLUDES, [-I\$(top_srcdir)/$modpath_current/include -I\$(top_srcdir)/$modpath_current/mod_proxy_core -I\$(top_srcdir)/$modpath_current/mod_procd])

dnl OpenSSL: the SSL objects are those that mod_ssl makes, so it is the one that mod_ssl was built with.
APR_ADDTO(MOD_PROXY_CORE_LDADD, [-lssl -lcrypto -lm])

dnl What each of httpd's own folders has as a file.
echo 'include $(top_srcdir)/build/special.mk' >$modpath_current/Makefile.in

APACHE_MODPATH_FINISH
