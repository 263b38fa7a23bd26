#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProcdGroupDir: files that come, change and go take effect without httpd; a broken one leaves the running group alone.
# D20 D21 D25
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir build_dir poll_until alive spew now is_root user_ids run_capture);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
mkdir "$dir/groups" or die;
chmod 0755, "$dir/groups";
sub file { my ($name, $text) = @_; spew("$dir/groups/$name.conf.new", "SpawnCommand $echo\n$text"); rename "$dir/groups/$name.conf.new", "$dir/groups/$name.conf" or die; return }
file('first', "SpawnProcesses 1\nSpawnEnvironment V=1\n");
file('broken', "SpawnProcesses many\n");
my $pools = join '', map { "<ProxyCore $_>\n ProxyCoreProtocol fastcgi\n ProxyCoreBackend spawn:$_\n ProxyCoreQueue 10 timeout=100s\n</ProxyCore>\n<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(first second broken);
my $s = ProxyCore::Groups::server(conf => "ProcdGroupDir $dir/groups\n$pools" . ProxyCore::Groups::group('fixed', "SpawnProcesses 1"))->start;
sub ask { my ($path) = @_; return ProxyCore::Groups::facts($s->get($path)) }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }
sub ctl { return run_capture(build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_) }

# At the start.
my $f = ask('/first/');
is_deeply [$f->{status}, $f->{env}{V}], [200, 1], 'a group that was there at the start';
ok $s->grep_log(qr{PRD0251: \Q$dir\E/groups/broken\.conf:2: SpawnProcesses "many" is not valid}), 'a broken file is reported with its line';
is $s->get('/broken/')->{status}, 503, 'and has no group';
is $s->get('/second/')->{status}, 503, 'one that is not there yet: 503';

# Added, mended.
my $start = now();
file('second', "SpawnProcesses 1\n");
file('broken', "SpawnProcesses 1\n");
soon { ($s->get('/second/')->{status} || 0) == 200 } 'an added file takes effect';
cmp_ok now() - $start, '<', 20, 'soon';
soon { ($s->get('/broken/')->{status} || 0) == 200 } 'a mended one too';

# procctl reload does not wait for the next look, also for one that is new.
file('third', "SpawnProcesses 1\n");
my ($said, $code) = ctl('reload', 'third');
is $code, 0, 'procctl reload of a file that has just come' or diag $said;
($said) = ctl('status', 'third');
like $said, qr/^group third: active/m, 'it is there at once';
($said, $code) = ctl('reload', 'no-such');
is $code, 1, 'one that is not there is refused';
like $said, qr/there is no such file in ProcdGroupDir/, 'and why';

# Changed: it rolls over, no request fails, others are left alone.
my ($first) = ProxyCore::Groups::pids($s, 'first');
my ($fixed) = ProxyCore::Groups::pids($s, 'fixed');
file('first', "SpawnProcesses 1\nSpawnEnvironment V=2\n");
my $failed = 0;
soon { my $r = ask('/first/'); $failed++ if $r->{status} != 200; ($r->{env}{V} || 0) == 2 } 'a changed file takes effect';
is $failed, 0, 'without a failed request';
soon { !alive($first) } 'the old process ends';
is_deeply [ProxyCore::Groups::pids($s, 'fixed')], [$fixed], 'other groups keep theirs';

# A link in a directory of somebody else's must not choose what root writes to; in <Spawn> it is the administrator's.
symlink "$dir/elsewhere", "$dir/link";
file('second', "SpawnProcesses 1\nSpawnErrorLog $dir/link\n");
ok $s->wait_log(qr/PRD0151: group second: cannot open SpawnErrorLog \Q$dir\E\/link: Too many levels/, 20), 'SpawnErrorLog of a file follows no link';
ok !-e "$dir/elsewhere", 'and makes nothing there';
file('second', "SpawnProcesses 1\nSpawnErrorLog $dir/second.log\n");
soon { -e "$dir/second.log" } 'a file is made';

# Broken while it runs.
my $mark = $s->mark;
($first) = ProxyCore::Groups::pids($s, 'first');
file('first', "SpawnProcesses 1\nSpawnEnvironment V\n");
ok $s->wait_log(qr/PRD0251: .*first\.conf:3: .*; the group goes on as it was/, 5, $mark), 'a file that breaks is reported';
is ask('/first/')->{'app.pid'}, $first, 'its group goes on as it was';
is scalar($s->grep_log(qr/PRD0251: .*first/, $mark)), 1, 'said once';
my ($out, $rc) = ctl('reload', 'first');
is $rc, 0, 'procctl reload';
ok poll_until(sub { $s->grep_log(qr/PRD0251: .*first/, $mark) == 2 }, 5), 'reads it again, and says so again';
file('first', "SpawnProcesses 1\nSpawnEnvironment V=2\n");

# httpd's restarts and the manager's death.
soon { !$s->grep_log(qr/nothing/) && ask('/first/')->{'app.pid'} == $first } 'mended to what it was: the same process';
$s->graceful;
is ask('/first/')->{'app.pid'}, $first, 'a graceful restart: the same process';
my $manager = $s->manager;
kill 'KILL', $manager;
soon { my $m = $s->manager; $m && $m != $manager && $s->grep_log(qr/PRD0130: group first: process $first adopted/) } 'another manager adopts it';
is ask('/first/')->{'app.pid'}, $first, 'and it serves on';
($out) = ctl('status', 'first');
like $out, qr/^group first: active/m, 'procctl shows it';
like $s->get('/procd')->{body}, qr/^group first: processes 1/m, 'the status page too';

# Removed, with a request in flight.
my $c = $s->connect;
$c->send("GET /second/?sleep=4000 HTTP/1.1\r\nHost: a\r\n\r\n");
poll_until { ProxyCore::Groups::status($s, 'second')->{busy} } 3;
my ($second) = ProxyCore::Groups::pids($s, 'second');
unlink "$dir/groups/second.conf";
ok $s->wait_log(qr/PRD0254: group second: its file is gone/, 5), 'a file goes';
is $s->get('/second/')->{status}, 503, 'no more requests';
is $c->read_response->{status}, 200, 'but the one that was there is answered';
soon { !alive($second) } 'then its process ends';
file('second', "SpawnProcesses 1\n");
soon { ($s->get('/second/')->{status} || 0) == 200 } 'and back';

# Whose files they are.
SKIP: {
    skip 'not root', 3 if !is_root();
    my ($uid) = user_ids();
    $mark = $s->mark;
    spew("$dir/groups/evil.conf", "SpawnCommand $echo\n");
    chown $uid, -1, "$dir/groups/evil.conf";
    ok $s->wait_log(qr/PRD0253: .*evil\.conf: it must belong to root/, 5, $mark), 'a file of another user is refused';
    chmod 0777, "$dir/groups";
    ok $s->wait_log(qr/PRD0255: ProcdGroupDir .*must belong to root.*nobody else may write it/, 5, $mark), 'so is a directory that anybody may write';
    is ask('/first/')->{status}, 200, 'groups go on';
    chmod 0755, "$dir/groups";
}
$s->stop;
done_testing;
