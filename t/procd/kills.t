#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# kill -9 of the manager, of an application and of httpd's parent in the very moment of each signal that httpd knows, with a request
# in flight. Where httpd lives on the group serves again; where it does not, nothing stays behind.
# D1 D3 P10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use POSIX ();

use ProxyCore::Groups;
use ProxyCore::Util qw(poll_until alive descendants);

sub make {
    my ($signal, $victim) = @_;
    my $s = ProxyCore::Groups::server(name => lc "$signal-$victim", mpm => 'event', protocols => 'http/1.1',
        conf => ProxyCore::Groups::group('app', "SpawnProcesses 2\nSpawnStopTimeout 2s"))->start;
    ok ProxyCore::Groups::wait_for($s, 'app', 2), "$s->{name}: runs" or diag $s->log_since(0);
    my $case = { s => $s, signal => $signal, victim => $victim, name => $s->{name}, c => $s->connect, pids => [ProxyCore::Groups::pids($s, 'app')], manager => $s->manager };
    $case->{c}->send("GET /app/?sleep=1500 HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until { ProxyCore::Groups::status($s, 'app')->{busy} == 1 } 5;
    # an idle one, so that the request in flight has an answer to wait for
    ($case->{idle}) = map { $_->{pid} } grep { !$_->{busy} } @{ ProxyCore::Groups::status($s, 'app')->{list} };
    $case->{all} = [descendants($s->pid)];
    return $case;
}

# Both at once; which of them is first is up to the kernel.
sub strike {
    my ($case) = @_;
    my $s = $case->{s};
    my %pid = (manager => $case->{manager}, application => $case->{idle}, httpd => $s->pid);
    kill $case->{signal}, $s->pid;
    kill 'KILL', $pid{ $case->{victim} };
    return;
}

sub answered {
    my ($case) = @_;
    my $r = $case->{c}->read_response(timeout => 10);
    is_deeply [$r->{status}, $r->{complete}], [200, 1], "$case->{name}: the request in flight is answered";
    return;
}

sub goes_on {
    my ($case) = @_;
    my $s = $case->{s};
    answered($case) if $case->{signal} eq 'USR1';
    ok poll_until(sub { (eval { $s->get('/app/', timeout => 5)->{status} } || 0) == 200 }, 20), "$case->{name}: served again";
    ok poll_until(sub { my @now = eval { ProxyCore::Groups::pids($s, 'app') }; @now == 2 && 2 == grep { alive($_) } @now }, 20), "$case->{name}: two processes";
    my %now = map { $_ => 1 } ProxyCore::Groups::pids($s, 'app');
    ok poll_until(sub { !grep { alive($_) && !$now{$_} } @{ $case->{pids} } }, 20), "$case->{name}: and none that nobody knows";
    $s->stop;
    return;
}

sub all_gone {
    my ($case) = @_;
    my $s = $case->{s};
    my $pid = delete $s->{pid};
    my $gone = poll_until { waitpid($pid, POSIX::WNOHANG()) != 0 } 20;
    ok $gone, "$case->{name}: httpd ends";
    # children of a parent that was killed serve on: httpd's own habit
    my %app = map { $_ => 1 } $case->{manager}, @{ $case->{pids} };
    kill 'KILL', grep { !$app{$_} } @{ $case->{all} } if $case->{victim} eq 'httpd';
    ok poll_until(sub { !grep { alive($_) } @{ $case->{all} } }, 20), "$case->{name}: and nothing outlives it" or diag join ' ', grep { alive($_) } @{ $case->{all} };
    kill 'KILL', $pid if !$gone;
    $s->assert_clean($pid, @{ $case->{all} });
    return;
}

for my $signal (qw(USR1 HUP WINCH TERM)) {
    my @cases = map { make($signal, $_) } qw(manager application httpd);
    strike($_) for @cases;
    for my $case (@cases) {
        if ($case->{victim} ne 'httpd' && $signal =~ /USR1|HUP/) {
            goes_on($case);
        }
        else {
            all_gone($case);
        }
    }
}
done_testing;
