#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# 200 groups of two processes each: how long the start takes, what the manager needs, that it does nothing when nothing
# happens, and that all are served, also after a graceful restart.
# P1 D8 G26
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir poll_until let_pass slurp alive now backend_program rss_kb fd_count asan);

my $GROUPS = 200;
my $tiny = backend_program('tiny');
my $s = ProxyCore::Groups::server(conf => join '', map { ProxyCore::Groups::group("g$_", "SpawnCommand $tiny\nSpawnProcesses 2", protocol => 'http') } 1 .. $GROUPS);
my $begin = now();
$s->start;
sub groups { return JSON::PP::decode_json($s->get('/procd?format=json')->{body})->{groups} }
sub ready { return scalar grep { $_->{processes} == 2 } @{ groups() } }
my $n = 0;
poll_until { ($n = ready()) == $GROUPS } 60;
is $n, $GROUPS, 'all groups have their processes';
my $took = now() - $begin;
cmp_ok $took, '<', 150, sprintf '%d processes in %.1f s', 2 * $GROUPS, $took;

my ($manager) = $s->manager;
# Bytes of its own: of the table it maps no more than it needs, and of its code what others map too.
my ($own) = slurp("/proc/$manager/status") =~ /^RssAnon:\s+(\d+)/m;
my ($all) = rss_kb($manager);
note "manager: $all kB resident, $own kB of its own, " . fd_count($manager) . ' descriptors';
SKIP: {
    skip 'sanitizers take memory', 1 if asan();
    cmp_ok $all, '<', 8192, "the manager is smaller than 8 MB: $all kB";
}

sub ticks { my @f = split ' ', slurp("/proc/$manager/stat") =~ s/^.*\)//sr; return $f[11] + $f[12] }
# What remains of the start may still be on its way.
my $idle;
poll_until { my $before = ticks(); let_pass(2); ($idle = ticks() - $before) <= 4 } 4;
cmp_ok $idle, '<=', 4, "it rests when nothing happens: $idle ticks in 2 s";

my %pid;
my $failed = 0;
for my $g (1 .. $GROUPS) {
    my $res = $s->get("/g$g/");
    $failed++ if ($res->{status} // 0) != 200;
    $pid{$g} = ($res->{body} // '') =~ /^pid=(\d+)/m ? $1 : 0;
}
is $failed, 0, 'all are served';
my $mark = $s->mark;
$begin = now();
kill 'USR1', $s->pid;
ok $s->wait_log(qr/configuration \d+ is in force/, 20, $mark), 'a graceful restart';
cmp_ok now() - $begin, '<', 60, sprintf 'in force after %.1f s', now() - $begin;
is scalar(grep { !alive($_) } values %pid), 0, 'no process was replaced';
is ready(), $GROUPS, 'all are as they were';
cmp_ok rss_kb($manager), '<', $all + 1024, 'nor has the manager grown' if !asan();
$begin = now();
$s->stop;
cmp_ok now() - $begin, '<', 100, sprintf 'all end, in %.1f s', now() - $begin;
done_testing;
