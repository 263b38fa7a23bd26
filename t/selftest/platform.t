#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What the sources are made of: where processes are started, what is Linux's and not APR's, and what another system is told; the
# decisions behind it are written down where they are found.
# P13 D26
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Util qw(top_dir slurp run_capture);

my $top = top_dir();
my @sources = map { s{^\Q$top\E/}{}r } map { glob "$top/$_" } qw(mod_proxy_core/*.[ch] mod_proxy_core/*/*.[ch] mod_procd/*.[ch] mod_procd/*/*.[ch] include/*.h);
cmp_ok scalar(@sources), '>', 100, 'sources are found';
my %text = map { $_ => slurp("$top/$_") =~ s{/\*.*?\*/}{}gsr =~ s{"(?:[^"\\\n]|\\.)*"}{""}gr } @sources;
sub having { my ($what) = @_; return join ' ', grep { $text{$_} =~ $what } @sources }

is having(qr/\b(?:v?fork|clone3?|posix_spawnp?|system|popen)\s*\(|\bSYS_clone/), 'mod_procd/parent.c mod_procd/manager/script_launch.c mod_procd/manager/spawn.c',
    'processes are started by the manager alone, and the manager by the parent'
    or diag 'look at "Linux, and APR" in docs/decisions.md';
my %linux = map { $_ => 1 } split ' ', having(qr{#include <(?:linux/\w+|sys/(?:epoll|eventfd|timerfd|signalfd|prctl|inotify|pidfd))\.h>|\bSYS_\w+|memfd_create});
my %allowed = map { $_ => 1 } map({ "mod_proxy_core/$_" } qw(wake.c file_open.c park.c)),
    map({ "mod_procd/$_" } qw(wire.c script_wire.c table.c table_lock.c table_read.c table_write.c parent.c)),
    map({ "mod_procd/manager/$_" } qw(spawn.c script_launch.c hostlog.c main.c loop.c cgroup.c accept.c process.c process_end.c process_start.c script.c));
is join(' ', sort grep { !$allowed{$_} } keys %linux), '', 'what is Linux\'s stands in few files' or diag 'say why in docs/decisions.md, and name it here';

# Another system, as far as a header goes.
for my $header (qw(mod_procd/table.h mod_proxy_core/conf.h)) {
    my ($out, $rc) = run_capture('sh', '-c', "echo '#include \"$header\"' | cc -xc - -fsyntax-only -U__linux__ -I$top -I$top/include -I$top/mod_procd -I$top/mod_proxy_core \$(apr-1-config --includes) -I\$(\${APXS:-apxs} -q INCLUDEDIR)");
    isnt $rc, 0, "$header: not for a system that is not Linux";
    like $out, qr/error: #error "mod_pro\w+ .*needs? Linux/, 'which is said' or diag $out;
}

my $decisions = slurp("$top/docs/decisions.md");
like $decisions, qr/^## .*$_/m, "decided: $_" for 'no Thrift', 'Linux';
like slurp("$top/README.md"), qr/^## Finding one's way.*\(docs\/decisions\.md\)/ms, 'found from the page that shows the way';
for my $link ($decisions =~ /\]\(([^)#]+)\)/g) { ok -e "$top/docs/$link", "a link that leads somewhere: $link" }
done_testing;
