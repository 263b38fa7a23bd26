#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Graceful restarts: requests in flight end, processes of an unchanged group stay, those of a changed one are replaced,
# those of a removed one end. Applications survive all of httpd's children.
# D1 D3
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(poll_until alive now in_background wait_background spew mpm);

sub conf { my (%g) = @_; return join '', (map { ProxyCore::Groups::group($_, $g{$_}) } sort keys %g), ProxyCore::Groups::status_conf() }
my %groups = (same => "SpawnProcesses 2", change => "SpawnProcesses 1\nSpawnEnvironment V=1", gone => "SpawnProcesses 1");
my $s = ProxyCore::Server->new(procd => 1, loglevel => 'info procd:debug', conf => conf(%groups));
spew($s->docroot . '/static.txt', "static\n");
$s->start;

sub facts { return ProxyCore::Groups::facts($s->get($_[0])) }
sub pids { return ProxyCore::Groups::pids($s, $_[0]) }
ok ProxyCore::Groups::wait_for($s, $_, $_ eq 'same' ? 2 : 1), "$_ runs" for sort keys %groups;
my @same = pids('same');
my ($gone) = pids('gone');
my $manager = $s->manager;
ok $manager, 'the manager runs';

# A request of two seconds over a graceful restart; static files and other requests meanwhile.
my $c = $s->connect;
$c->send("GET /same/?sleep=6000 HTTP/1.1\r\nHost: a\r\n\r\n");
poll_until { ProxyCore::Groups::status($s, 'same')->{busy} == 1 } 3;
my $mark = $s->mark;
$s->graceful(nowait => 1);
my $r = $s->get('/static.txt', timeout => 8);
is $r->{body}, "static\n", 'a static file during a graceful restart';
ok $c->quiet(0), 'nothing blocks it: before the slow request is answered';
ok $s->wait_log(qr/resuming normal operations/, 10, $mark), 'the restart is done';
my $f = facts('/same/');
is $f->{status}, 200, 'a request to the application meanwhile';
$r = $c->read_response;
is $r->{status}, 200, 'the request in flight ends with its answer';
is_deeply [pids('same')], \@same, 'the same processes';
is $s->manager, $manager, 'the same manager';

# A changed group rolls over, a removed one ends, a new one begins; the request in flight is answered.
$c = $s->connect;
$c->send("GET /change/?sleep=4000 HTTP/1.1\r\nHost: a\r\n\r\n");
poll_until { ProxyCore::Groups::status($s, 'change')->{busy} == 1 } 3;
my ($old) = pids('change');
delete $groups{gone};
$s->set_conf(conf(%groups, change => "SpawnProcesses 1\nSpawnEnvironment V=2", added => "SpawnProcesses 1"));
$s->graceful;
is_deeply [pids('same')], \@same, 'unchanged: the same processes';
is facts('/added/')->{status}, 200, 'an added group serves';
$f = facts('/change/');
is $f->{env}{V}, 2, 'a changed group: the new definition';
isnt $f->{'app.pid'}, $old, 'by another process';
$r = $c->read_response;
is $r->{status}, 200, 'the request in flight at the old one is answered';
like $r->{body}, qr/^env\.V=1$/m, 'by the old one';
ok poll_until(sub { !alive($old) }, 12), 'which then ends';
ok poll_until(sub { !alive($gone) }, 15), 'the processes of a removed group end';
is $s->get('/gone/')->{status}, 404, 'and it is gone';

# Ten restarts under load: no failed request, no process replaced.
my @jobs = map { in_background {
    my ($ok, $fail) = (0, '');
    my $end = now() + 5;
    while (now() < $end) {
        my $r = eval { $s->get('/same/', timeout => 10) } || { status => "connect: $@" };
        ($r->{status} || 0) eq 200 && $r->{complete} ? $ok++ : ($fail .= ' ' . (defined $r->{status} ? $r->{status} : 'none'));
    }
    return "$ok|$fail";
} } 1 .. 2;
for (1 .. 10) {
    $s->graceful;
    poll_until { 0 } 0.15;
}
my @res = map { wait_background($_) } @jobs;
my ($n, $failed) = (0, '');
for (@res) { my ($o, $fl) = split /\|/, $_, 2; $n += $o; $failed .= $fl }
is $failed, '', "ten graceful restarts under load: none of $n requests failed";
is_deeply [pids('same')], \@same, 'and no process was replaced';

# All children of httpd die: the applications do not.
kill 'KILL', $s->children;
ok poll_until(sub { (eval { facts('/same/')->{status} } || 0) == 200 }, 10), 'httpd\'s children killed: served again';
is_deeply [pids('same')], \@same, 'by the same processes';
ok poll_until(sub { ProxyCore::Groups::status($s, 'same')->{busy} == 0 }, 5), 'no lease is left behind';
# (Killed by the test: not a crash.)
spew($s->log_file, $s->log_since(0) =~ s/exit signal Killed/killed by the test/gr);

# A graceful restart to a configuration without any group, and back.
$s->set_conf(ProxyCore::Groups::status_conf());
$s->graceful;
ok poll_until(sub { !grep { alive($_) } @same }, 15), 'no group any more: all processes end';
$s->set_conf(conf(%groups));
$s->graceful;
is facts('/same/')->{status}, 200, 'and back';

# HUP: everything anew, nothing left of the old.
@same = pids('same');
$s->restart;
ok poll_until(sub { (eval { facts('/same/')->{status} } || 0) == 200 }, 8), 'after HUP: served';
ok poll_until(sub { !grep { alive($_) } @same }, 12), 'by new processes';
$s->stop;
done_testing;
