#!/bin/bash
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# t/procd/smoke.sh: mod_procd and its manager under a private httpd, without mod_proxy_core. Speaks TAP.
# PC_BUILD (out), PC_PORT (18600), PC_PORT2 (the next one), PC_PRELOAD, MPM, APACHE2 and MODULES may be set.
# KEEP=1 leaves the folder.

cd "$(dirname "$0")/../.." || exit 1
ROOT=$PWD
BUILD=$(realpath "${PC_BUILD:-out}")
PORT=${PC_PORT:-18600}
APACHE2=${APACHE2:-$(command -v apache2 || command -v httpd)}
MODULES=${MODULES:-$(${APXS:-apxs} -q LIBEXECDIR)}
DIR=$(mktemp -d /tmp/pcd-XXXXXX)
APP=$DIR/app
n=0 bad=0

# ---------------------------------------------------------------- helpers

ok() { # ok NAME COMMAND...: runs it
    local name=$1
    shift
    n=$((n + 1))
    if "$@"; then
        echo "ok $n - $name"
    else
        bad=$((bad + 1))
        echo "not ok $n - $name"
        echo "#   $*"
        return 1
    fi
}
is() { [ "$1" = "$2" ] || { echo "#   got \"$1\", wanted \"$2\""; return 1; }; }
isnt() { [ "$1" != "$2" ] || { echo "#   got \"$1\" twice"; return 1; }; }
has() { grep -q -e "$2" <<<"$1" || { echo "#   no \"$2\" in \"$1\""; return 1; }; }
lacks() { ! grep -q -e "$2" <<<"$1" || { echo "#   \"$2\" in \"$1\""; return 1; }; }
within() { # within SECONDS COMMAND...: until it succeeds; a busy machine has five times as long
    local end=$((SECONDS + 5 * $1 + 1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
get() { curl -g -s -m 150 "http://127.0.0.1:$PORT$1"; }
echo_of() { get "/echo?group=$1&line=${2:-info}${3:+&$3}"; }
field() { sed -n "s/^$1=//p" <<<"$2"; }
pid_of() { field pid "$(echo_of "$1")"; }
status() { get "/status"; }
manager() { status | sed -n 's/^manager \([0-9]*\),.*/\1/p'; }
group_line() { status | grep "^group $1:"; }
pids() { status | sed -n "/^group $1:/,/^group /p" | sed -n 's/^  pid \([0-9]*\) ready.*/\1/p' | sort; }
count() { pids "$1" | grep -c .; }
states() { # of a group's processes, in the order of their rows: "ready:1" has one lease
    status | sed -n "/^group $1:/,/^group /p" | sed -n 's/^  pid [0-9]* \([a-z]*\) busy \([0-9]*\).*/\1:\2/p' | paste -sd' '
}
states_are() { [ "$(states "$1")" = "$2" ]; }
count_is() { [ "$(count "$1")" = "$2" ]; }
generation_is() { status | grep -q "generation $1$"; }
# A zombie is gone as well: who reaps what a killed manager has left is not ours to say.
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
all_gone() { local p; for p; do gone "$p" || return 1; done; }
no_sockets() { ! ls "$DIR"/run/procd/*.sock >/dev/null 2>&1; }
logged() { grep -q -e "$1" "$DIR/error.log"; }
parent() { cat "$DIR/httpd.pid"; }
up() { get /status | grep -q '^manager [1-9]'; }
new_pid() { local p; p=$(pid_of "$1"); [ -n "$p" ] && [ "$p" != "$2" ]; }

configure() { # groups from stdin
    {
        cat <<EOF
ServerRoot $DIR
ServerName localhost
Listen 127.0.0.1:$PORT
PidFile $DIR/httpd.pid
DefaultRuntimeDir $DIR/run
ErrorLog $DIR/error.log
LogLevel info
LoadModule mpm_${MPM:-event}_module $MODULES/mod_mpm_${MPM:-event}.so
LoadModule authz_core_module $MODULES/mod_authz_core.so
LoadModule procd_module $BUILD/modules/mod_procd.so
LoadModule procd_echo_module $DIR/mod_procd_echo.so
ProcdManager $BUILD/bin/procd
ProcdLease 6s
StartServers 2
<Location /echo>
    SetHandler procd-echo
</Location>
<Location /status>
    SetHandler procd-status
</Location>
EOF
        [ "$(id -u)" = 0 ] && printf 'User www-data\nGroup www-data\n'
        cat
    } >"$DIR/httpd.conf"
}
start() { rm -f "$DIR/httpd.pid" && LD_PRELOAD="$PC_PRELOAD $*" "$APACHE2" -f "$DIR/httpd.conf" -k start >>"$DIR/start.log" 2>&1 && within 10 up; }
childless() { local p; for p in $(pgrep -P "$1" 'apache2|httpd'); do gone "$p" || return 1; done; }
stop() {
    local p
    p=$(parent 2>/dev/null) || return 0
    # children first, gracefully: see quiesce in t/lib/ProxyCore/Server.pm
    kill -WINCH "$p" 2>/dev/null
    within 3 childless "$p"
    kill -TERM "$p" 2>/dev/null
    within 15 gone "$p"
}
graceful() { # until the manager has the next generation
    local g
    g=$(status | sed -n 's/.*generation //p')
    kill -USR1 "$(parent)"
    within 10 generation_is $((g + 1))
}
# Children of a parent that was killed serve on: httpd's own habit.
kill_children() { local p; for p in $(pgrep -f "$DIR/httpd.conf"); do kill -9 "$p" 2>/dev/null; done; }
cleanup() {
    stop
    kill_children
    [ -n "$KEEP" ] && echo "# left in $DIR" || rm -rf "$DIR"
}
trap cleanup EXIT

mkdir -p "$DIR/run"
chmod 755 "$DIR"
cp t/procd/app "$APP"
# shellcheck disable=SC2046
${CC:-gcc} -std=gnu11 -Wall -Wextra -Werror -fPIC -shared $(apr-1-config --cppflags --includes) \
    -I"$(${APXS:-apxs} -q INCLUDEDIR)" -I"$ROOT/include" t/procd/mod_procd_echo.c -o "$DIR/mod_procd_echo.so" || exit 1

groups() {
    cat <<EOF
<Spawn demand>
    SpawnCommand $APP
    SpawnProcesses 0 4
    SpawnEnvironment ONE=1 "TWO=a b"
    SpawnCopyEnvironment COPIED
    SpawnIdleTimeout ${IDLE:-1000s}
</Spawn>
<Spawn always>
    SpawnCommand $APP
    SpawnProcesses 2
    SpawnUmask 027
    SpawnDirectory /tmp
    SpawnNice 5
</Spawn>
<Spawn worn>
    SpawnCommand $APP
    SpawnProcesses 1
    SpawnMaxRequests 3
    SpawnErrorLog %{name}.log
</Spawn>
<Spawn tree>
    SpawnCommand $APP --forked
    SpawnProcesses 1
    SpawnSocketType tcp
    SpawnStopTimeout 1s
</Spawn>
<Spawn stubborn>
    SpawnCommand $APP --ignore-term
    SpawnProcesses 0 1
    SpawnStopTimeout 1s
</Spawn>
<Spawn crash>
    SpawnCommand $APP --crash
    SpawnProcesses 0 1
    SpawnRestart backoff=50ms..1s
</Spawn>
<Spawn missing>
    SpawnCommand /does/not/exist
    SpawnProcesses 0 1
</Spawn>
<Spawn named>
    SpawnCommand $APP
    SpawnSocketName $DIR/run/one.sock unix:$DIR/run/two.sock
</Spawn>
$([ "$(id -u)" = 0 ] && printf '<Spawn user>\nSpawnCommand %s\nSpawnProcesses 0 1\nSpawnUser games\nSpawnLimit nofile 77\n</Spawn>' "$APP")
<Spawn gate>
    SpawnCommand $APP --gate $DIR/open
    SpawnProcesses 0 2
</Spawn>
<Spawn gateworn>
    SpawnCommand $APP --gate $DIR/open
    SpawnProcesses 0 1
    SpawnSocketType tcp
    SpawnMaxRequests 3
</Spawn>
<Spawn gatenamed>
    SpawnCommand $APP --gate $DIR/open
    SpawnProcesses 0 1
    SpawnSocketType tcp
    SpawnSocketName 127.0.0.1:${PC_PORT2:-$((PORT + 1))}
</Spawn>
<Spawn never>
    SpawnCommand $APP --gate $DIR/never
    SpawnProcesses 0 1
    SpawnStartTimeout 4s
    SpawnRestart backoff=20s..20s
</Spawn>
<Spawn wide>
    SpawnCommand $APP
    SpawnProcesses 0 2
    SpawnConcurrency 3
</Spawn>
EOF
}

# ---------------------------------------------------------------- configuration

rejects() { # rejects PATTERN: configuration from stdin
    configure
    local out
    out=$(LD_PRELOAD=$PC_PRELOAD "$APACHE2" -t -f "$DIR/httpd.conf" 2>&1)
    has "$out" "$1"
}
# G20
ok "a typo is named" rejects '<Spawn a>: "SpawnComand" is not a directive' <<<$'<Spawn a>\n SpawnComand /bin/x\n</Spawn>'
ok "SpawnCommand outside" rejects 'SpawnCommand must stand inside <Spawn' <<<'SpawnCommand /bin/x'
ok "no command" rejects 'SpawnCommand is missing' <<<$'<Spawn a>\n</Spawn>'
ok "unknown user" rejects 'no such user' <<<$'<Spawn a>\n SpawnCommand /bin/x\n SpawnUser nobody-at-all\n</Spawn>'
ok "defined twice" rejects 'already defined on line' <<<$'<Spawn a>\nSpawnCommand /x\n</Spawn>\n<Spawn a>\nSpawnCommand /x\n</Spawn>'
ok "a bad name" rejects 'not a group.s name' <<<$'<Spawn a/b>\nSpawnCommand /x\n</Spawn>'
ok "a missing manager" rejects 'ProcdManager must name' <<<$'ProcdManager /nowhere\n<Spawn a>\nSpawnCommand /x\n</Spawn>'

# ---------------------------------------------------------------- processes

groups | configure
export COPIED=from-httpd NOT_COPIED=1
ok "httpd starts" start

# P8, D6
ok "MIN processes before the first request" within 5 count_is always 2
# P9
is "$(count demand)" 0
ok "none on demand before it" count_is demand 0
out=$(echo_of demand)
ok "the first request starts one" has "$out" '^leased='
ok "and only one" within 5 count_is demand 1 # ready a moment after it was leased
# P1, G34: descriptor 0 listens; 1 and 2 are the log; the test's own opened 3 (a copy of 0), the connection and /proc
ok "no descriptor of httpd or of the manager" has "$(field fds "$out")" '^0,1,2,3,4$'
ok "no privilege can be gained" is "$(field nnp "$out")" 1
ok "signals are not blocked" is "$(field sigblk "$out")" 0000000000000000
ok "a session of its own" is "$(field sid "$out")" "$(field pid "$out")"
ok "its parent is the manager" is "$(field ppid "$out")" "$(manager)"
# P11, D19
if [ "$(id -u)" = 0 ]; then
    ok "httpd's User" is "$(field uid "$out")" "$(id -u www-data)"
    ok "its groups" is "$(field groups "$out")" "$(id -G www-data | tr ' ' '\n' | sort -n | paste -sd,)"
fi
if [ "$(id -u)" = 0 ]; then
    out=$(echo_of user)
    ok "SpawnUser" is "$(field uid "$out") $(field gid "$out")" "$(id -u games) $(id -g games)"
    ok "with that user's groups and no others" is "$(field groups "$out")" \
        "$(id -G games | tr ' ' '\n' | sort -n | paste -sd,)"
    ok "SpawnLimit" grep -q -E '^Max open files +77 +77 ' "/proc/$(field pid "$out")/limits"
fi
out=$(echo_of always)
ok "SpawnDirectory" is "$(field cwd "$out")" /tmp
ok "SpawnUmask" is "$(field umask "$out")" 0027
ok "SpawnNice" is "$(field nice "$out")" 5
# P5, G9
out=$(echo_of demand env)
ok "SpawnEnvironment" has "$out" '^TWO=a b$'
ok "SpawnCopyEnvironment" has "$out" '^COPIED=from-httpd$'
ok "a PATH" has "$out" '^PATH=/usr'
ok "and nothing else" lacks "$out" NOT_COPIED

# P10
p=$(pid_of demand)
kill -9 "$p"
ok "killed: the next request has another" isnt "$(pid_of demand)" "$p"
ok "and the log says why" within 2 logged "process $p was killed by SIGKILL"
p=$(pid_of always)
echo_of always "exit%207" >/dev/null
ok "ended: MIN is kept" within 5 count_is always 2
ok "the status is in the log" within 2 logged 'exited with status 7'

# D8, G13, G14
for _ in 1 2 3 4; do echo_of demand info hold=6000 >/dev/null & done
ok "grows when none is idle" within 5 count_is demand 4
wait
for _ in 1 2 3 4 5 6; do get "/echo?group=wide&hold=4000" & done >"$DIR/wide"
wait
ok "SpawnConcurrency: six requests, two processes" is "$(grep -c ^leased= "$DIR/wide") $(sort -u "$DIR/wide" | grep -c .)" "6 2"

# P6
p=$(pid_of worn)
pid_of worn >/dev/null
pid_of worn >/dev/null
ok "SpawnMaxRequests: replaced after three" within 5 new_pid worn "$p"
ok "the old one ends" within 5 gone "$p"
failed=0
for _ in $(seq 20); do echo_of worn | grep -q ^pid= || failed=$((failed + 1)); done
ok "no request failed while processes wear out" is "$failed" 0

# D23
echo_of worn "say%20one%0atwo%1b[31m" >/dev/null
sleep_until_log() { grep -q 'two\\x1b\[31m' "$DIR/worn.log"; }
ok "stderr, a line at a time, escaped" within 2 sleep_until_log
ok "with the group and the pid" grep -q -E '\[pid [0-9]+\] \[worn\] one$' "$DIR/worn.log"
# A process that has not ended yet can be leased: its socket listens. The refusal comes when it has failed thrice.
crash_refused() { get "/echo?group=crash&line=info&wait=20" >"$DIR/crash" && grep -q ^refused "$DIR/crash"; }
within 5 crash_refused
ok "output before accept is in the server's log" within 2 logged '\[crash\] crashing as told'

# crash loop
ok "a crashing command: refused, with a reason" has "$(cat "$DIR/crash")" 'refused crash_loop=1.*exited with status 3'
get "/echo?group=missing&wait=20" >"$DIR/missing"
ok "a missing command is refused at once" has "$(cat "$DIR/missing")" 'refused crash_loop=1.*cannot run SpawnCommand /does/not/exist'
s=$(grep -c 'exited with status 3' "$DIR/error.log")
ok "not in a tight loop" test "$s" -lt 12

# ---------------------------------------------------------------- started, and ready

# P6 P9: the first request goes straight to the process that starts
get "/echo?group=gate&line=info&wait=100" >"$DIR/first" &
first=$!
ok "a process that does not accept yet is leased when there is no other" within 5 states_are gate started:1
get "/echo?group=gate&line=info&hold=140000&wait=100" >"$DIR/second" 2>/dev/null &
ok "also a second one" within 5 states_are gate "started:1 started:1"
touch "$DIR/open"
wait $first
ok "and answers as soon as it accepts" has "$(cat "$DIR/first")" '^pid='
ok "they are ready" within 5 states_are gate "ready:0 ready:1"
ok "a process sees one connection without a word, before the request" has "$(cat "$DIR/first")" '^empty=1$'
p=$(pid_of gate)
kill -9 "$p"
ok "one is left, which is busy" within 5 states_are gate "ready:1"
rm "$DIR/open"
get "/echo?group=gate&line=info&wait=100" >"$DIR/third" &
third=$!
ok "not leased before it accepts while another does" within 5 states_are gate "started:0 ready:1"
ok "the request waits" test ! -s "$DIR/third"
touch "$DIR/open"
wait $third
ok "and has it when it is ready" has "$(cat "$DIR/third")" '^leased='
ok "the busy one is as before" states_are gate "ready:0 ready:1"

# replacements are ready first
p=$(pid_of gateworn)
ok "tcp: ready as well" within 5 states_are gateworn "ready:0"
rm "$DIR/open"
pid_of gateworn >/dev/null
pid_of gateworn >/dev/null
ok "worn out: its replacement has started" within 5 states_are gateworn "retiring:0 started:0"
same=0
for _ in 1 2 3 4 5; do [ "$(pid_of gateworn)" = "$p" ] && same=$((same + 1)); done
ok "meanwhile the old one serves" is "$same" 5
touch "$DIR/open"
ok "then the new one" within 5 new_pid gateworn "$p"
ok "and the old one ends" within 5 gone "$p"
rm "$DIR/open"

# SpawnSocketName over tcp: what waits in the queue is not ours alone
get "/echo?group=gatenamed&line=info&wait=100" >"$DIR/first" &
first=$!
ok "a named address: started" within 5 states_are gatenamed started:1
touch "$DIR/open"
wait $first
ok "a named address: answered" has "$(cat "$DIR/first")" '^empty=1$'
ok "a named address: ready" within 5 states_are gatenamed ready:0

# one that never accepts
get "/echo?group=never&line=info" >"$DIR/first" &
ok "never accepts: started" within 5 states_are never started:1
ok "killed after SpawnStartTimeout" within 5 states_are never ""
ok "the reason" has "$(get "/echo?group=never&wait=1")" 'refused crash_loop=1.*why=did not accept a connection within 4 s$'
ok "also in the log" logged 'did not accept a connection within 4 s (SpawnStartTimeout)'
wait $!

# P4
ok "SpawnSocketName: a process for each address" count_is named 2
ok "at these addresses" is "$(status | grep -c "unix:$DIR/run/\(one\|two\).sock")" 2
p=$(pid_of named)
kill -9 "$p"
ok "another at the same address" within 5 new_pid named "$p"

# G35
p=$(pid_of wide)
echo_of wide close >/dev/null
echo_of wide >/dev/null
ok "one that no longer listens is replaced" within 5 new_pid wide "$p"

# ---------------------------------------------------------------- graceful restart

# D3
before="$(manager) $(pids always) $(pids demand)"
get "/echo?group=always&hold=4000" >"$DIR/long" &
ok "a graceful restart" graceful
ok "neither manager nor processes change" is "$(manager) $(pids always) $(pids demand)" "$before"
wait $!
ok "a request under way ends well" has "$(cat "$DIR/long")" ^leased=
old=$(pids always) same="$(manager) $(pids demand)"
{ groups | sed 's/SpawnUmask 027/SpawnUmask 022/' | sed '/<Spawn worn>/,/<\/Spawn>/d'; } | configure
gone_group=$(pids worn)
ok "a changed configuration" graceful
# shellcheck disable=SC2086
ok "a changed group rolls" within 10 all_gone $old
ok "to as many" within 5 count_is always 2
ok "with the new definition" is "$(field umask "$(echo_of always)")" 0022
# shellcheck disable=SC2086
ok "a removed group ends" within 10 all_gone $gone_group
ok "unchanged ones stay" is "$(manager) $(pids demand)" "$same"

# a changed group serves from the old process until the new one accepts
rm "$DIR/open"
{ groups | sed -e '/<Spawn worn>/,/<\/Spawn>/d' -e 's/SpawnUmask 027/SpawnUmask 022/'; } | configure
{ sed 's|--gate .*/open|& --again|' "$DIR/httpd.conf"; } >"$DIR/changed" && cp "$DIR/changed" "$DIR/httpd.conf"
p=$(pid_of gateworn)
ok "another changed configuration" graceful
ok "the new one starts" within 5 states_are gateworn "started:0 retiring:0"
ok "the old one serves" is "$(pid_of gateworn)" "$p"

# D1: the manager dies meanwhile
m=$(manager)
kill -9 "$m"
new_manager() { local now; now=$(manager); [ -n "$now" ] && [ "$now" != "$m" ] && [ "$now" != 0 ]; }
ok "the manager is killed" within 5 new_manager
ok "one that has started is watched again, and is the replacement" within 5 states_are gateworn "started:0 retiring:0"
ok "and not leased" is "$(pid_of gateworn)" "$p"
touch "$DIR/open"
ok "until it accepts" within 10 new_pid gateworn "$p"
ok "the old one has ended" within 10 gone "$p"

# nothing piles up: descriptors of parent and manager, processes
fds() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
everything() { echo "$(fds "$(parent)") $(fds "$(manager)") $(pids demand) $(pids always)"; }
settled() { # nothing has changed for half a second: the generations before are gone
    local was i
    was=$(everything)
    for i in 1 2 3 4 5; do
        sleep 0.1
        [ "$(everything)" = "$was" ] || return 1
    done
}
as_before() { [ "$(everything)" = "$before" ]; }
within 10 settled
before=$(everything)
for _ in $(seq 20); do graceful || echo "# a graceful restart was lost"; done
ok "20 graceful restarts leave everything as it was" within 10 as_before || is "$(everything)" "$before"

# ---------------------------------------------------------------- accidents

# D1
p=$(pids demand) m=$(manager)
kill -9 "$m"
new_manager() { local now; now=$(manager); [ -n "$now" ] && [ "$now" != "$m" ] && [ "$now" != 0 ]; }
adopted() { new_manager && logged 'adopted'; }
ok "kill -9 of the manager: another within seconds" within 5 adopted
ok "processes are adopted" is "$(pids demand)" "$p"
echo_of demand "say%20after%20adoption" >/dev/null
ok "with their logs" within 2 logged 'after adoption'
a=$(pid_of demand)
kill -9 "$a"
ok "an adopted one that ends is noticed" within 5 new_pid demand "$a"

get "/echo?group=wide&hold=140000" >/dev/null 2>&1 &
leased() { group_line wide | grep -q 'busy 1'; }
within 5 leased
for c in $(pgrep -P "$(parent)" -f httpd.conf); do kill -9 "$c"; done
free_again() { group_line wide | grep -q 'busy 0'; }
ok "leases of killed children are given back" within 10 free_again
ok "killed children: processes stay" is "$(count always)" 2

# P14
forked() { pgrep -f "$APP --forked" | wc -l; }
is "$(forked)" 2
p=$(pid_of tree)
kill -9 "$p"
ok "a killed master: its workers go too" within 5 new_pid tree "$p"
one_tree() { [ "$(forked)" = 2 ]; }
ok "one tree is left" within 5 one_tree

pid_of stubborn >/dev/null
all=$(status | sed -n 's/^  pid \([0-9]*\) .*/\1/p') m=$(manager)
ok "HUP" kill -HUP "$(parent)"
ok "another manager" within 10 new_manager
# shellcheck disable=SC2086
ok "the old processes end, also one that ignores SIGTERM" within 10 all_gone $all "$m"
ok "groups work" has "$(echo_of demand)" ^pid=

all="$(status | sed -n 's/^  pid \([0-9]*\) .*/\1/p') $(manager)"
ok "stop" stop
# shellcheck disable=SC2086
ok "nothing is left" all_gone $all
ok "no socket" no_sockets
ok "nor a named one" test ! -e "$DIR/run/one.sock"

# broken configuration at a graceful restart: httpd ends, and all of ours
groups | configure
ok "start again" start
all="$(status | sed -n 's/^  pid \([0-9]*\) .*/\1/p') $(manager)" h=$(parent)
echo "NoSuchDirective" >>"$DIR/httpd.conf"
kill -USR1 "$h"
ok "broken configuration: httpd ends" within 10 gone "$h"
# shellcheck disable=SC2086
ok "no orphan" within 10 all_gone $all
ok "no socket of it" no_sockets

# our LoadModule removed: nobody speaks to the manager any more
groups | configure
ok "start once more" start
all="$(status | sed -n 's/^  pid \([0-9]*\) .*/\1/p') $(manager)"
sed -i -e '/LoadModule procd/d' -e '/^Procd/d' -e '/<Spawn/,/<\/Spawn>/d' "$DIR/httpd.conf"
kill -USR1 "$(parent)"
# shellcheck disable=SC2086
ok "without our LoadModule: gone after the lease" within 15 all_gone $all
stop

# kill -9 of httpd's parent
groups | configure
ok "start a last time" start
pid_of demand >/dev/null
all="$(status | sed -n 's/^  pid \([0-9]*\) .*/\1/p') $(manager)"
kill -9 "$(parent)"
# shellcheck disable=SC2086
ok "kill -9 of httpd: everything goes" within 10 all_gone $all
ok "also the sockets" no_sockets
kill_children
rm -f "$DIR/httpd.pid"

# a kernel that does not tell when a process accepts
${CC:-gcc} -fPIC -shared -o "$DIR/no_diag.so" -x c - <<'EOF'
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
int socket(int family, int type, int protocol)
{
    if (family == AF_NETLINK) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return (int)syscall(SYS_socket, family, type, protocol);
}
EOF
rm -f "$DIR/open"
groups | configure
ok "start without sock_diag" start "$DIR/no_diag.so"
get "/echo?group=gate&line=info&wait=100" >"$DIR/first" &
first=$!
ok "exec is taken for readiness" within 5 states_are gate ready:1
ok "which the log says once" is "$(grep -c PRD0170 "$DIR/error.log")" 1
touch "$DIR/open"
wait $first
ok "without a connection of ours" has "$(cat "$DIR/first")" '^empty=0$'
stop

ok "nothing crashed" lacks "$(cat "$DIR/error.log")" 'Segmentation\|AddressSanitizer\|runtime error'
echo "1..$n"
[ $bad = 0 ]
