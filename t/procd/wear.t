#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What wears processes out but requests, and idle ones kept ready: each is replaced with a reason, and no request fails.
# D9 P6 D21 G14
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir poll_until let_pass alive now spew);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
spew("$dir/release", "1\n");
my $s = ProxyCore::Groups::server(conf => join '', "ProcdMaxProcesses 200\n",
    ProxyCore::Groups::group('fat', "SpawnProcesses 1 2\nSpawnMaxMemory 40M"),
    ProxyCore::Groups::group('shared', "SpawnProcesses 1 2\nSpawnMaxMemory 40M pss"),
    ProxyCore::Groups::group('busy', "SpawnProcesses 1 2\nSpawnMaxCPU 1s"),
    ProxyCore::Groups::group('old', "SpawnProcesses 1 2\nSpawnMaxAge 2s"),
    ProxyCore::Groups::group('watch', "SpawnProcesses 2\nSpawnWatch $dir/release $dir/other"),
    ProxyCore::Groups::group('stuck', "SpawnProcesses 2\nSpawnRequestTimeout 4s\nSpawnStopTimeout 1s"),
    ProxyCore::Groups::group('threads', "SpawnProcesses 1 2\nSpawnConcurrency 4\nSpawnRequestTimeout 6s\nSpawnCommand $echo -t 4"),
    ProxyCore::Groups::group('spare', "SpawnProcesses 1 6\nSpawnSpare 2\nSpawnIdleTimeout 1s"),
)->start;

sub ask { my ($path, %arg) = @_; return ProxyCore::Groups::facts($s->get($path, %arg)) }
sub pids { return ProxyCore::Groups::pids($s, $_[0]) }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }

# One replaces the other while requests go on; which of them answer does not matter.
sub is_replaced {
    my ($name, $pid, $why) = @_;
    my $failed = 0;
    soon { $failed++ if $s->get("/$name/")->{status} != 200; !alive($pid) } "$name: process $pid is replaced";
    is $failed, 0, "$name: and no request failed";
    ok $s->wait_log($why, 5), "$name: the log says why";
    return;
}

# Memory, of the whole process tree.
my $f = ask('/fat/');
ask('/fat/?grow=20');
is ask('/fat/')->{'app.pid'}, $f->{'app.pid'}, 'below its bound it stays';
ask('/fat/?grow=30');
is_replaced('fat', $f->{'app.pid'}, qr/group fat: process $f->{'app.pid'}: memory \d+M over 40M: replacing it/);
$f = ask('/shared/?grow=50');
is_replaced('shared', $f->{'app.pid'}, qr/group shared: process \d+: memory \d+M over 40M/);
$f = ask('/busy/?spin=1200');
is_replaced('busy', $f->{'app.pid'}, qr/group busy: process \d+: processor time \d s over 1 s/);
$f = ask('/old/');
is_replaced('old', $f->{'app.pid'}, qr/group old: process \d+: age \d s over 2 s/);

# A touched file rolls the group over, also one that was not there before.
ok ProxyCore::Groups::wait_for($s, 'watch', 2), 'watch: two processes';
for my $file ('release', 'other') {
    my @old = pids('watch');
    my $mark = $s->mark;
    my $failed = 0;
    spew("$dir/$file", "2\n");
    soon { $failed++ if $s->get('/watch/')->{status} != 200; !grep { alive($_) } @old } "$file has changed: all processes are replaced";
    is $failed, 0, 'and no request failed';
    ok $s->wait_log(qr/PRD0205: group watch: a file of SpawnWatch has changed/, 5, $mark), 'said in the log';
}

# A request that takes too long: 504, the process goes, others do not notice.
ok ProxyCore::Groups::wait_for($s, 'stuck', 2), 'stuck: two processes';
my $slow = $s->connect;
my $start = now();
$slow->send("GET /stuck/?sleep=20000 HTTP/1.1\r\nHost: a\r\n\r\n");
my ($neighbour) = (ask('/stuck/'))->{'app.pid'};
my ($victim) = grep { $_ != $neighbour } pids('stuck');
is $slow->read_response(timeout => 8)->{status}, 504, 'SpawnRequestTimeout: 504';
cmp_ok now() - $start, '<', 18, 'after about its time';
soon { !alive($victim) } 'the stuck process is ended';
ok alive($neighbour), 'its neighbour lives';
ok ProxyCore::Groups::wait_for($s, 'stuck', 2), 'it is replaced';
ok $s->wait_log(qr/PRD0126: group stuck: a request took process $victim longer than SpawnRequestTimeout/, 3), 'said in the log';

# The other requests of its process have until they are done.
$f = ask('/threads/');
my ($long, $fine) = ($s->connect, $s->connect);
$long->send("GET /threads/?sleep=20000 HTTP/1.1\r\nHost: a\r\n\r\n");
poll_until { ProxyCore::Groups::status($s, 'threads')->{busy} == 1 } 3;
let_pass(3);
$fine->send("GET /threads/?sleep=4000 HTTP/1.1\r\nHost: a\r\n\r\n");
is $long->read_response(timeout => 8)->{status}, 504, 'one of several requests of a process is stuck';
my $r = ProxyCore::Groups::facts($fine->read_response(timeout => 8));
is $r->{status}, 200, 'another one that it had is answered';
is $r->{'app.pid'}, $f->{'app.pid'}, 'by the same process';
soon { !alive($f->{'app.pid'}) } 'which then ends';

# SpawnSpare: idle ones above the load, within MAX, and down again.
ok ProxyCore::Groups::wait_for($s, 'spare', 2), 'spare: two idle ones' or diag explain(ProxyCore::Groups::status($s, 'spare'));
my @c = map { my $c = $s->connect; $c->send("GET /spare/?sleep=5000 HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 3;
ok ProxyCore::Groups::wait_for($s, 'spare', 5, 3), 'three busy: five';
is scalar(grep { ($_->read_response(timeout => 8)->{status} || 0) == 200 } @c), 3, 'answered';
ok ProxyCore::Groups::wait_for($s, 'spare', 2), 'idle again: two';
$s->stop;
done_testing;
