#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# SpawnCgroup: processes begin in a cgroup of their group, whose limits are written; what the system does not have is said.
# P11 G9
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir build_dir poll_until slurp spew is_root alive run_capture);

plan skip_all => 'needs root' if !is_root();
plan skip_all => 'this kernel has no cgroup version 2' if (slurp('/proc/filesystems') || '') !~ /\bcgroup2$/m;

my $work = work_dir();
my $root = "$work/cgroup2";
mkdir $root;
plan skip_all => 'cannot mount cgroup version 2' if system("mount -t cgroup2 none $root 2>/dev/null") != 0;
my $dir = "$root/pct-$$";
my $full = "$root/pct-full-$$";
my $switched;
my ($sleeper, $s);
sub on { my ($path, $text) = @_; open(my $out, '>', $path) or return 0; print {$out} $text; return close $out }
END {
    my $status = $?;
    if (defined $dir && -d $dir) {
        kill 'KILL', $sleeper if $sleeper;
        waitpid $sleeper, 0 if $sleeper;
        on("$dir/cgroup.subtree_control", join ' ', map { "-$_" } split ' ', slurp("$dir/cgroup.subtree_control") || '');
        poll_until { rmdir for map({ ("$_/sub", $_) } "$dir/deleg"), $full, $dir; !-d $dir } 5;
        on("$root/cgroup.subtree_control", "-$switched") if $switched;
    }
    system("umount $root 2>/dev/null") if defined $root && -d $root;
    $? = $status;
}
mkdir $dir or plan skip_all => "cannot make a cgroup: $!";
mkdir $full;

# A controller that can be used, with a file and a value; where none is handed on by the root, one of the root's.
my %file = (pids => ['pids.max', 77, 77], memory => ['memory.max', '64M', 67108864], hugetlb => ['hugetlb.2MB.max', '4M', 4194304]);
my ($controller) = grep { $file{$_} } split ' ', slurp("$dir/cgroup.controllers");
if (!$controller) {
    ($controller) = grep { $file{$_} && on("$root/cgroup.subtree_control", "+$_") } split ' ', slurp("$root/cgroup.controllers");
    $switched = $controller;
}
my ($lacking) = grep { (slurp("$dir/cgroup.controllers")) !~ /\b$_\b/ } qw(memory pids io cpu hugetlb);
my %wants = (memory => 'memory.max=64M', pids => 'pids.max=100', io => 'io.weight=50', cpu => 'cpu.max=50%', hugetlb => 'hugetlb.2MB.max=4M');
defined($sleeper = fork) or die;
if (!$sleeper) { exec 'sleep', 600 or POSIX::_exit(1) }
on("$full/cgroup.procs", $sleeper) or die "$full: $!";

my $cgi = "$work/cgi";
mkdir $_, 0755 for $cgi, "$cgi/no";
spew("$cgi/where", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nid -u\ncat /proc/self/cgroup\n", 0755);
spew("$cgi/no/where", "#!/bin/sh\n", 0755);
my $limited = $controller ? " $file{$controller}[0]=$file{$controller}[1]" : '';
sub conf {
    my ($limits) = @_;
    return join '',
        ProxyCore::Groups::group('in', "SpawnProcesses 1 2\nSpawnUser nobody\nSpawnCgroup path=$dir$limits"),
        ProxyCore::Groups::group('out', 'SpawnProcesses 1'),
        ProxyCore::Groups::group('own', "SpawnProcesses 1\nSpawnCgroup"),
        ProxyCore::Groups::group('nowhere', "SpawnProcesses 1\nSpawnCgroup path=$work"),
        ($lacking ? ProxyCore::Groups::group('lacks', "SpawnProcesses 1\nSpawnCgroup path=$dir $wants{$lacking}") : ''),
        ($controller ? ProxyCore::Groups::group('busy', "SpawnProcesses 1\nSpawnCgroup path=$full$limited") : ''),
        ProxyCore::Scripts::group('cgi', $cgi, "SpawnUser nobody\nSpawnScriptRoot $cgi\nSpawnScriptOwner root\nSpawnCgroup path=$dir"),
        ProxyCore::Scripts::group('cgino', "$cgi/no", "SpawnScriptRoot $cgi\nSpawnCgroup path=$work");
}
$s = ProxyCore::Groups::server(conf => conf($limited))->start;

sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }
sub cgroup_of { my ($pid) = @_; return ((slurp("/proc/$pid/cgroup") || '') =~ m{^0::(.*)$}m)[0] }
sub app { my ($group) = @_; return ProxyCore::Groups::facts($s->get("/$group/")) }

ok poll_until(sub { -d "$dir/procd-in" && app('in')->{status} == 200 }, 10), 'a group with a cgroup';
my $pid = app('in')->{'app.pid'};
is cgroup_of($pid), "/pct-$$/procd-in", 'its process is in it';
is +(stat "/proc/$pid")[4], (getpwnam 'nobody')[2], 'as its user';
unlike cgroup_of(app('out')->{'app.pid'}), qr/procd/, 'another group\'s is where it was';
unlike cgroup_of($s->manager), qr/procd/, 'and the manager';
is cgroup_of(app('own')->{'app.pid'}), cgroup_of($s->manager) =~ s{/?$}{/procd-own}r, 'without path= it is below the manager\'s own';
like $s->get('/cgi/where')->{body}, qr{^\Q@{[(getpwnam 'nobody')[2]]}\E\n.*^0::/pct-$$/procd-cgi$}ms, 'a script, too';
SKIP: {
    skip 'no controller of cgroup version 2 here', 2 if !$controller;
    is slurp("$dir/procd-in/$file{$controller}[0]"), "$file{$controller}[2]\n", "$file{$controller}[0] is written";
    is app('in')->{status}, 200, 'it works';
}

# ------------------------------------------------------------------ what there is not

SKIP: {
    skip 'all controllers are here', 3 if !$lacking;
    ok $s->wait_log(qr/PRD0325: group lacks: SpawnCgroup \S+: \Q$dir\E has no controller $lacking \(it has: /, 5), "a controller that is missing ($lacking): the log says so";
    is $s->get('/lacks/')->{status}, 503, 'the group is refused';
    my ($out) = run_capture(build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', 'status', 'lacks');
    like $out, qr/SpawnCgroup/, 'procctl says why';
}
ok $s->wait_log(qr/PRD0325: group nowhere: SpawnCgroup: \Q$work\E is not a cgroup of version 2/, 5), 'a path that is no cgroup';
is $s->get('/nowhere/')->{status}, 503, 'is refused';
is $s->get('/cgino/where')->{status}, 503, 'for scripts, too';
ok $s->wait_log(qr/PRD0610: group cgino: .*is not a cgroup of version 2/, 5), 'and the log says why';
SKIP: {
    skip 'no controller of cgroup version 2 here', 1 if !$controller;
    ok $s->wait_log(qr/PRD0325: group busy: SpawnCgroup \S+: (?:cannot hand on controller $controller in \Q$full\E: it has processes of its own|\S+ has no controller)/, 5),
        'a cgroup with processes cannot hand controllers on';
}
is app('out')->{status}, 200, 'others do not suffer';

# ------------------------------------------------------------------ changes

$s->set_conf(conf(''));
$s->graceful;
soon { ($pid != (app('in')->{'app.pid'} || 0)) } 'a changed definition';
is cgroup_of(app('in')->{'app.pid'}), "/pct-$$/procd-in", 'new processes are in the same cgroup';
SKIP: {
    skip 'no controller of cgroup version 2 here', 1 if !$controller;
    is slurp("$dir/procd-in/$file{$controller}[0]"), "max\n", 'a limit that is not configured any more is lifted';
}
my $manager = $s->manager;
$pid = app('in')->{'app.pid'};
kill 'KILL', $manager;
soon { my $m = $s->manager; $m && $m != $manager && app('in')->{status} == 200 } 'another manager';
is cgroup_of(app('in')->{'app.pid'}), "/pct-$$/procd-in", 'goes on with it';
mkdir $_ for "$dir/deleg", "$dir/deleg/sub";
SKIP: {
    skip 'no program to mark a cgroup as delegated', 1 if system('python3', '-c', "import os; os.setxattr('$dir/deleg', 'user.delegate', b'1')") != 0;
    my $before = cgroup_of($s->manager);
    on("$dir/deleg/sub/cgroup.procs", $s->manager) or die "$dir/deleg/sub: $!";
    $s->set_conf(conf('') . ProxyCore::Groups::group('beside', "SpawnProcesses 1\nSpawnCgroup"));
    $s->graceful;
    soon { app('beside')->{status} == 200 && cgroup_of(app('beside')->{'app.pid'}) eq "/pct-$$/deleg/procd-beside" }
        'where its parent is delegated, beside the manager\'s' or diag cgroup_of(app('beside')->{'app.pid'} || 0);
    on("$root$before/cgroup.procs", $s->manager);
}
$s->set_conf(ProxyCore::Groups::group('out', 'SpawnProcesses 1'));
$s->graceful;
soon { !-d "$dir/procd-in" && !-d "$dir/procd-cgi" } 'groups that are removed take their cgroups with them';
$s->set_conf(conf(''));
$s->graceful;
soon { -d "$dir/procd-in" && app('in')->{status} == 200 } 'they come again';
$s->stop;
ok !-d "$dir/procd-in", 'and go at the end';
done_testing;
