#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# 200 groups of two processes each: how long the start takes, what the manager needs, that it does nothing when nothing
# happens, and that all are served, also after a graceful restart; and what it needs while scripts are started beside them as
# fast as it goes.
# P1 D8 G26
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir poll_until let_pass slurp spew run_capture alive now backend_program rss_kb fd_count asan);

my $GROUPS = 200;
my $tiny = backend_program('tiny');
my $cgi = work_dir() . '/cgi';
mkdir $cgi;
chmod 0755, $cgi, work_dir();
my ($said, $failed_cc) = run_capture('cc', '-O2', '-static', '-o', "$cgi/hello", '-x', 'c',
    spew(work_dir() . '/hello.c', "#include <stdio.h>\nint main(void) { puts(\"Content-Type: text/plain\\n\\nhello\"); return 0; }\n"));
is $failed_cc, 0, 'a script in C' or diag $said;
my $s = ProxyCore::Groups::server(loglevel => 'info', conf => ProxyCore::Scripts::group('cgi', $cgi, "SpawnProcesses 1 32\nSpawnScriptRoot $cgi") . join '', map { ProxyCore::Groups::group("g$_", "SpawnCommand $tiny\nSpawnProcesses 2", protocol => 'http') } 1 .. $GROUPS);
my $begin = now();
$s->start;
sub groups { return JSON::PP::decode_json($s->get('/procd?format=json')->{body})->{groups} }
sub ready { return scalar grep { $_->{name} ne 'cgi' && $_->{processes} == 2 } @{ groups() } }
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

SKIP: {
    my $ab = (grep { -x } map { "$_/ab" } split /:/, $ENV{PATH})[0];
    skip 'ab (apache2-utils) is not there', 2 if !$ab;
    $s->get('/cgi/hello'); # a first one, so that all has been loaded
    my ($out) = run_capture($ab, '-q', '-k', '-t', 3, '-n', 1_000_000, '-c', 16, 'http://127.0.0.1:' . $s->port . '/cgi/hello');
    my ($rate) = $out =~ /^Requests per second:\s+([\d.]+)/m;
    my ($bad) = $out =~ /^Non-2xx responses:\s+(\d+)/m;
    ok $rate && !$bad, sprintf '%.0f scripts a second', $rate || 0 or diag $out;
    my ($now, $most) = slurp("/proc/$manager/status") =~ /^VmHWM:\s+(\d+).*^VmRSS:\s+(\d+)/ms ? ($2, $1) : (0, 0);
    note "manager: $now kB resident after $rate scripts a second, $most kB at most";
    skip 'sanitizers take memory', 1 if asan();
    cmp_ok $most, '<', 8192, "the manager stays below 8 MB: $most kB";
}

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
