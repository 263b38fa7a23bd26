#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What goes wrong around restarts: broken configurations, a module that is gone and comes back, files that are replaced
# between two restarts, rotated logs, and kill -9 of everybody at bad moments.
# D1 D3 P10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use File::Copy ();
use POSIX ();

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir build_dir poll_until alive now spew slurp descendants cmdline in_background wait_background asan);

sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 15), $what }
my $lines = "SpawnProcesses 2\nSpawnStopTimeout 2s";
sub conf { return ProxyCore::Groups::group('app', $lines) . ProxyCore::Groups::status_conf() . join '', @_ }
sub server { my ($name, %arg) = @_; return ProxyCore::Server->new(procd => 1, name => $name, loglevel => 'info procd:debug', conf => conf("ProcdLease 20s\n"), %arg) }
sub pids { return ProxyCore::Groups::pids($_[0], 'app') }
sub answers { my ($s) = @_; return (eval { $s->get('/app/', timeout => 5)->{status} } || 0) == 200 }

# The module's and the manager's files are copies, so that they can be replaced as a package's upgrade does: by rename.
my $dir = work_dir();
sub install { my ($file, $to) = @_; File::Copy::copy($file, "$to.new") or die "$file: $!"; chmod 0755, "$to.new"; rename "$to.new", $to or die; return }
my $s = server('upgrade');
install(build_dir() . '/modules/mod_procd.so', "$dir/mod_procd.so");
install($s->manager_program, "$dir/procd");
my $with = sub {
    my ($loaded) = @_;
    my $text = $s->conf_text;
    $text =~ s{^LoadModule procd_module .*\n}{$loaded ? "LoadModule procd_module $dir/mod_procd.so\n" : ''}me;
    $text =~ s{^ProcdManager .*\n}{ProcdManager $dir/procd\n}m;
    $text =~ s{<Spawn.*?</Spawn>\n|<ProxyCore.*?</ProxyCore>\n|<Location /app/>.*?</Location>\n|<Location /procd>.*?</Location>\n|^Procd[^\n]*\n}{}gms if !$loaded;
    $text =~ s/ procd:debug// if !$loaded;
    spew($s->conf_file, $text);
};
$with->(1);
$s->{conf_written} = 1;
$s->start;
ok ProxyCore::Groups::wait_for($s, 'app', 2), 'two processes';
my ($manager, @pids) = ($s->manager, pids($s));

# Other files, the same processes.
install(build_dir() . '/modules/mod_procd.so', "$dir/mod_procd.so");
install($s->manager_program, "$dir/procd");
$s->graceful;
ok answers($s), 'module and manager replaced: served';
is_deeply [pids($s)], \@pids, 'by the same processes';
is $s->manager, $manager, 'under the same manager';

# Without the module for one restart: the applications live on for as long as the lease.
$with->(0);
$s->graceful;
is scalar(grep { alive($_) } @pids), 2, 'without our LoadModule: the processes live on for now';
$with->(1);
$s->graceful;
soon { answers($s) } 'loaded again: served';
is_deeply [pids($s)], \@pids, 'by the same processes';

# A manager that cannot start: the applications serve meanwhile, and are adopted by one that can.
spew("$dir/broken", "#!/bin/sh\nexit 1\n", 0755);
rename "$dir/broken", "$dir/procd";
kill 'KILL', $manager;
soon { !alive($manager) } 'the manager is killed';
my $bad = grep { !answers($s) } 1 .. 20;
is $bad, 0, 'and another one cannot start: every request is answered';
is scalar(grep { alive($_) } @pids), 2, 'by those processes';
install($s->manager_program, "$dir/procd");
soon { my $m = $s->manager; $m && $m != $manager && cmdline($m) !~ /^\/bin\/sh/ && eval { ProxyCore::Groups::status($s, 'app')->{processes} == 2 } } 'one that can start does';
soon { $s->grep_log(qr/PRD0130: group app: process \d+ adopted/) == 2 } 'and adopts them';
kill 'KILL', $pids[0];
soon { my @now = pids($s); @now == 2 && !grep { $_ == $pids[0] } @now } 'it looks after them as its own';

# Killed in the middle of a graceful restart.
for my $victim (qw(manager application)) {
    @pids = pids($s);
    my $pid = $victim eq 'manager' ? $s->manager : $pids[0];
    my $mark = $s->mark;
    my $c = $s->connect;
    $c->send("GET /app/?sleep=4000 HTTP/1.1\r\nHost: a\r\n\r\n") if $victim eq 'manager';
    poll_until { ProxyCore::Groups::status($s, 'app')->{busy} >= 1 } 3 if $victim eq 'manager';
    kill 'USR1', $s->pid;
    kill 'KILL', $pid;
    is $c->read_response(timeout => 10)->{status}, 200, 'the request in flight is answered' if $victim eq 'manager';
    ok $s->wait_log(qr/resuming normal operations/, 15, $mark), "kill -9 of $victim at a graceful restart: it goes on";
    soon { answers($s) && pids($s) == 2 && (grep { alive($_) } pids($s)) == 2 } 'two processes again';
}

# A rotated log: new lines go to the new file.
rename $s->log_file, $s->log_file . '.1';
$s->get('/app/?print=between');
soon { slurp($s->log_file . '.1') =~ /between/ } 'between rename and restart: the old file';
kill 'USR1', $s->pid;
soon { -s $s->log_file && $s->log_since(0) =~ /is in force/ } 'a graceful restart opens the new one';
$s->get('/app/?print=afterwards');
soon { $s->log_since(0) =~ /\[app\] afterwards/ } 'which gets what processes write';
unlike slurp($s->log_file . '.1'), qr/afterwards/, 'and the old one does not';
$s->stop;

# A graceful restart to a broken configuration: httpd ends without a word, and nothing is left.
$s = server('broken');
$s->start;
ok ProxyCore::Groups::wait_for($s, 'app', 2), 'two processes';
my @all = descendants($s->pid);
spew($s->conf_file, $s->conf_text . "NoSuchDirective on\n");
kill 'USR1', $s->pid;
my $pid = delete $s->{pid};
ok poll_until(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 10), 'USR1 with a broken configuration: httpd ends';
$s->assert_clean($pid, @all);

# kill -9 of httpd's parent with a request in flight: its children serve on, the applications end when they are done.
$s = server('killed');
$s->start;
ok ProxyCore::Groups::wait_for($s, 'app', 2), 'two processes';
@all = descendants($s->pid);
my @children = $s->children;
my $c = $s->connect;
$c->send("GET /app/?sleep=4000 HTTP/1.1\r\nHost: a\r\n\r\n");
poll_until { ProxyCore::Groups::status($s, 'app')->{busy} >= 1 } 3;
$pid = delete $s->{pid};
kill 'KILL', $pid;
waitpid $pid, 0;
is $c->read_response(timeout => 8)->{status}, 200, 'kill -9 of httpd: the request in flight is answered';
kill 'KILL', @children;
$s->assert_clean($pid, @all);
done_testing;
