#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# When something has run out for the manager: descriptors, processes, room on the disk for logs. It lives, says so, and goes on
# when there is some again.
# D1 D23 P10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir build_dir poll_until alive spew slurp run_capture is_root asan);

plan skip_all => 'no prlimit(1)' if system('prlimit --version >/dev/null 2>&1') != 0;
my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
my $s = ProxyCore::Groups::server(conf => join '',
    ProxyCore::Groups::group('app', "SpawnProcesses 1\nSpawnRestart backoff=100ms..500ms"),
    ProxyCore::Groups::group('other', "SpawnProcesses 1\nSpawnRestart backoff=100ms..500ms"),
    ProxyCore::Groups::group('full', "SpawnProcesses 1\nSpawnErrorLog /dev/full"),
    ProxyCore::Groups::group('grows', "SpawnProcesses 1\nSpawnErrorLog $dir/grows.log"))->start;
my $manager = $s->manager;
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 30), $what }
sub ctl { return run_capture('timeout', 20, build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_) }
sub limit { my ($what, $soft) = @_; return system('prlimit', '--pid', $manager, "--$what=$soft:") && BAIL_OUT("prlimit $what") }
sub of { my ($of) = @_; return (slurp("/proc/$manager/limits") =~ /^Max \Q$of\E\s+(\S+)/m)[0] }
sub ticks { my @f = split ' ', slurp("/proc/$manager/stat") =~ s/^.*\)//sr; return $f[11] + $f[12] }
sub free_descriptor { my %used = map { m{(\d+)$} ? ($1 => 1) : () } glob "/proc/$manager/fd/*"; my $n = 0; $n++ while $used{$n}; return $n }
ok ProxyCore::Groups::wait_for($s, $_, 1, 30), "$_ runs" for qw(app other full grows);

# ------------------------------------------------------------------ descriptors

my $files = of('open files');
my ($pid) = ProxyCore::Groups::pids($s, 'app');
limit('nofile', free_descriptor());
my $mark = $s->mark;
my $asking = fork() // die;
if (!$asking) { open STDOUT, '>', "$dir/answer"; open STDERR, '>&', \*STDOUT; exec 'timeout', 60, build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', 'status', 'other' or exit 99 }
ok $s->wait_log(qr/PRD0742: cannot hear procctl: Too many open files/, 30, $mark), 'no descriptor is free: procctl is not heard, which the log says';
my $before = ticks();
poll_until { 0 } 2;
cmp_ok ticks() - $before, '<', 50, 'and the manager does not spin over it';
kill 'KILL', $pid;
ok $s->wait_log(qr/PRD0740: group app: a process cannot be started: cannot make its socket: Too many open files/, 30, $mark), 'nor can a process be started: said, too';
soon { ($s->get('/app/', timeout => 20)->{status} || 0) == 503 } 'its group is refused';
is $s->get('/other/')->{status}, 200, 'another serves';
limit('nofile', $files);
waitpid $asking, 0; # it may have waited for as long as it does
my $answer;
soon { ($answer) = ctl('status', 'other'); $answer =~ /^group other: active/m } 'with descriptors again procctl is heard' or diag $answer;
soon { ($s->get('/app/', timeout => 20)->{status} || 0) == 200 } 'and the group is served';

# ------------------------------------------------------------------ room for logs

my $rows = sub { my ($word) = @_; return scalar $s->grep_log(qr/\[full\] $word/) };
$s->get('/full/?print=first');
soon { $rows->('first') } 'a log that is full: the line goes to the server\'s';
$s->get('/full/?print=second');
soon { $rows->('second') } 'so does the next';
is scalar($s->grep_log(qr/PRD0741: group full: cannot write to its SpawnErrorLog: No space left on device; using the server's log/)), 1, 'why is said once';
my $size = of('file size');
limit('fsize', -s $s->log_file);
$s->get("/grows/?print=$_") for qw(one two);
$s->get('/full/?print=third');
poll_until { 0 } 0.5;
ok alive($manager), 'a limit for all files, the server\'s log too: the manager lives';
is $s->get('/grows/')->{status}, 200, 'and all are served';
limit('fsize', $size);
$s->get('/grows/?print=three');
soon { (slurp("$dir/grows.log") || '') =~ /\[grows\] three$/m } 'with room again the lines are kept';
is_deeply [$s->manager], [$manager], 'by the same manager';
$s->stop;

# ------------------------------------------------------------------ processes

SKIP: {
    # Root is not held to it, so everything runs as one that nobody else is.
    skip 'needs root, to be somebody with few processes', 6 if !is_root();
    skip 'sanitizers need threads of their own', 6 if asan();
    # The kernel looks before it counts the new one: with a limit of 1 there can be two.
    my ($uid) = grep { !getpwuid($_) } 41_000 .. 41_099;
    my $t = ProxyCore::Groups::server(name => 'few', conf => ProxyCore::Groups::group('app', "SpawnProcesses 1 3\nSpawnUser #$uid\nSpawnLimit nproc 1\nSpawnRestart backoff=100ms..500ms"))->start;
    ok ProxyCore::Groups::wait_for($t, 'app', 1, 30), 'a user with few processes: one runs';
    my @c = map { my $c = $t->connect; $c->send("GET /app/?sleep=1500 HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 4;
    ok $t->wait_log(qr/PRD0110: group app: cannot run SpawnCommand \Q$echo\E: Resource temporarily unavailable \(its user has as many processes as it may: nproc\)/, 30), 'a third cannot be started, and why';
    is join(' ', map { $_->read_response(timeout => 30)->{status} // 'none' } @c), '200 200 200 200', 'the requests are answered by those that there are';
    is ProxyCore::Groups::status($t, 'app')->{processes}, 2, 'two';
    soon { ($t->get('/app/', timeout => 20)->{status} || 0) == 200 } 'the group serves';
    $t->stop;
}
done_testing;
