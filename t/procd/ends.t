#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The end of things: what is told to stop stops, with all that it started, and nothing stays behind.
# P14 G19 G29 D1
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use POSIX ();

use ProxyCore::Groups;
use ProxyCore::Util qw(poll_until alive now work_dir spew descendants cmdline children_of proc_stat slurp);

my $echo = ProxyCore::Groups::program('fastcgi');
my $dir = work_dir();

sub start {
    my ($name, @groups) = @_;
    my $s = ProxyCore::Groups::server(name => $name, conf => join '', @groups)->start;
    return $s;
}
sub pids { return ProxyCore::Groups::pids(@_) }
my $group = \&ProxyCore::Groups::group;

# The kill signal (libfcgi wants USR1).
my $s = start('signal', $group->('usr1', "SpawnProcesses 1\nSpawnKillSignal USR1"), $group->('term', 'SpawnProcesses 1'),
    $group->('deaf', "SpawnProcesses 1\nSpawnCommand $echo -h 15\nSpawnStopTimeout 1s"));
ok ProxyCore::Groups::wait_for($s, $_, 1), "$_ runs" for qw(usr1 term deaf);
my @all = map { pids($s, $_) } qw(usr1 term deaf);
my $start = now();
$s->stop;
like $s->log_since(0), qr/\[?usr1\]?.*got signal 10/, 'SpawnKillSignal USR1';
like $s->log_since(0), qr/\[?term\]?.*got signal 15/, 'TERM without it';
my $took = now() - $start;
ok $s->wait_log(qr/group deaf: process \d+ was killed by SIGKILL/, 0), 'one that ignores TERM is killed';
ok $took > 0.9 && $took < 60, "after SpawnStopTimeout ($took s)";
is scalar(grep { alive($_) } @all), 0, 'all are gone';

# PHP with children of its own: SpawnConcurrency says how many requests it takes; the whole tree ends.
$s = start('tree', $group->('php', "SpawnCommand /usr/bin/php-cgi\nSpawnProcesses 1\nSpawnConcurrency 3\nSpawnEnvironment PHP_FCGI_CHILDREN=3 PHP_FCGI_MAX_REQUESTS=1000")
    . "<FilesMatch \"\\.php\$\">\n SetHandler proxy-core:php\n</FilesMatch>\n");
spew($s->docroot . '/pid.php', '<?php touch($_GET["run"] . "/came." . getmypid()); for ($n = 0; $n < 2000 && count(glob($_GET["run"] . "/came.*")) < 3; $n++) usleep(20000); echo getmypid();');
my ($master) = pids($s, 'php');
ok poll_until(sub { children_of($master) == 3 }, 5), 'PHP_FCGI_CHILDREN=3: three children';
my @tree = ($master, children_of($master));
my @c = map { my $c = $s->connect; $c->send("GET /pid.php?run=$dir/run HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 3;
# each of them waits for all three
my %by = map { ($_->read_response->{body} || 'none') => 1 } @c;
is scalar(keys %by), 3, 'three requests at once, by three children';
$s->stop;
is scalar(grep { alive($_) } @tree), 0, 'the whole tree is gone';

# A process that leaves a child behind which ignores everything.
spew("$dir/leaver", "#!/bin/sh\n(trap '' TERM HUP INT; exec sleep 1000) &\nexec $echo\n", 0755);
$s = start('leaves', $group->('leaves', "SpawnCommand $dir/leaver\nSpawnProcesses 1\nSpawnStopTimeout 1s"));
my ($pid) = pids($s, 'leaves');
poll_until { children_of($pid) } 3;
my @kids = children_of($pid);
kill 'KILL', $pid;
ok poll_until(sub { my @p = pids($s, 'leaves'); @p && $p[0] != $pid }, 5), 'killed: another is there';
ok poll_until(sub { !grep { alive($_) } @kids }, 5), 'what the old one left behind is gone';
$s->stop;

# kill -9 of the manager: requests go on, another manager takes over the same processes.
$s = start('manager', $group->('app', 'SpawnProcesses 2'), $group->('demand', 'SpawnProcesses 0 2'));
ok ProxyCore::Groups::wait_for($s, 'app', 2), 'two run';
my @app = pids($s, 'app');
my $manager = $s->manager;
kill 'KILL', $manager;
my @st = map { ProxyCore::Groups::facts($s->get('/app/'))->{status} } 1 .. 10;
is scalar(grep { $_ == 200 } @st), 10, 'the manager killed: no request fails';
ok poll_until(sub { my $m = $s->manager; $m && $m != $manager }, 8), 'another manager is there';
is scalar(grep { alive($_) } @app), 2, 'the processes live on';
ok poll_until(sub { ProxyCore::Groups::wait_for($s, 'app', 2, 1.5) && "@{[pids($s, 'app')]}" eq "@app" }, 5), 'and are its own';
is ProxyCore::Groups::facts($s->get('/demand/', timeout => 10))->{status}, 200, 'it can start others';
# It reaps and replaces the adopted ones too.
kill 'KILL', $app[0];
ok poll_until(sub { my @p = pids($s, 'app'); @p == 2 && !grep { $_ == $app[0] } @p }, 6), 'an adopted process that dies is replaced';
$s->stop;

# kill -9 of httpd itself: nothing is left.
for my $what ('parent', 'all') {
    $s = start("httpd-$what", $group->('app', 'SpawnProcesses 2'));
    ok ProxyCore::Groups::wait_for($s, 'app', 2), 'two run';
    my @ours = descendants($s->pid);
    my @front = ($s->pid, $what eq 'all' ? $s->children : ());
    my @workers = $s->children;
    kill 'KILL', @front;
    waitpid($s->pid, 0);
    # httpd's own children notice by themselves or not at all; the applications and the manager must end.
    kill 'KILL', @workers;
    my @left;
    poll_until { @left = grep { alive($_) } @ours; !@left } 15;
    is join(', ', map { cmdline($_) } @left), '', "kill -9 of httpd ($what): nothing is left";
    kill 'KILL', @left;
    is join(' ', map { m{([^/]+)$} } glob($s->dir . '/run/procd/*.sock')), '', 'no socket either';
    $s->{pid} = undef;
}

# A configuration that does not parse, at a graceful restart: httpd ends, and so does all else.
$s = start('broken', $group->('app', 'SpawnProcesses 2'));
my @ours = descendants($s->pid);
spew($s->conf_file, "Nonsense here\n");
kill 'USR1', $s->pid;
poll_until { waitpid($s->pid, POSIX::WNOHANG()) != 0 } 10;
my @left;
poll_until { @left = grep { alive($_) } @ours; !@left } 45;
is join(', ', map { cmdline($_) } @left), '', 'a broken configuration at a graceful restart: nothing is left';
kill 'KILL', @left;
$s->{pid} = undef;
done_testing;
