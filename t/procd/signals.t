#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Every signal that httpd knows, for every MPM, idle and with a request in flight: what may end with 200 does, unchanged
# groups keep their processes where httpd lives on, and nothing is left where it does not.
# D1 D3 P10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use POSIX ();

use ProxyCore::Groups;
use ProxyCore::Util qw(poll_until alive now spew descendants);

my $slow = $ENV{PC_BIG} ? 6000 : 2500;

# One server in one state.
sub make {
    my ($mpm, $state, $signal) = @_;
    my $s = ProxyCore::Groups::server(name => "$mpm-$state-$signal", mpm => $mpm, protocols => 'http/1.1', conf =>
        ProxyCore::Groups::group('app', "SpawnProcesses 2") . ProxyCore::Groups::group('rest', "SpawnProcesses 0 2"));
    spew($s->docroot . '/static.txt', "static\n");
    $s->start;
    ok ProxyCore::Groups::wait_for($s, 'app', 2), "$s->{name}: runs" or diag $s->log_since(0);
    my $case = { s => $s, name => $s->{name}, mpm => $mpm, pids => [ProxyCore::Groups::pids($s, 'app')], manager => $s->manager };
    if ($state eq 'busy') {
        $case->{c} = $s->connect;
        $case->{c}->send("GET /app/?sleep=$slow&bytes=5000 HTTP/1.1\r\nHost: a\r\n\r\n");
        poll_until { ProxyCore::Groups::status($s, 'app')->{busy} == 1 } 3;
    }
    return $case;
}

sub answered {
    my ($case) = @_;
    return if !$case->{c};
    my $r = $case->{c}->read_response(timeout => $slow / 1000 + 8);
    is_deeply [$r->{status}, length $r->{body}, $r->{complete}], [200, 5000, 1], "$case->{name}: the request in flight is answered";
    return;
}

# httpd is gone and has taken everything along.
sub all_gone {
    my ($case, $within) = @_;
    my $s = $case->{s};
    my $pid = delete $s->{pid};
    my $gone = poll_until { waitpid($pid, POSIX::WNOHANG()) != 0 } $within;
    ok $gone, "$case->{name}: httpd ends";
    # systemd kills what is left then (KillMode=mixed): there must be nothing to kill
    is_deeply [grep { alive($_) } @{ $case->{all} }], [], "$case->{name}: and nothing outlives it";
    kill 'KILL', $pid if !$gone;
    $s->assert_clean($pid, @{ $case->{all} });
    return;
}

my %after = (
    USR1 => sub {
        my ($case) = @_;
        my $s = $case->{s};
        my $start = now();
        is $s->get('/static.txt', timeout => 8)->{body}, "static\n", "$case->{name}: a static file meanwhile";
        # prefork's own way: a child that is busy keeps nobody waiting, but new ones are forked once a second
        cmp_ok now() - $start, '<', 20, "$case->{name}: without waiting";
        answered($case);
        ok $s->wait_log(qr/configuration 2 is in force/, 10), "$case->{name}: the restart is done";
        is_deeply [ProxyCore::Groups::pids($s, 'app')], $case->{pids}, "$case->{name}: the same processes";
        is $s->manager, $case->{manager}, "$case->{name}: the same manager";
        is $s->get('/rest/')->{status}, 200, "$case->{name}: one starts on demand";
        $s->stop;
    },
    HUP => sub {
        my ($case) = @_;
        my $s = $case->{s};
        ok poll_until(sub { (eval { $s->get('/app/', timeout => 1.9)->{status} } || 0) == 200 }, 12), "$case->{name}: served again";
        ok poll_until(sub { !grep { alive($_) } @{ $case->{pids} }, $case->{manager} }, 15), "$case->{name}: nothing is left of before";
        isnt $s->manager, $case->{manager}, "$case->{name}: another manager";
        $s->stop;
    },
    WINCH => sub {
        my ($case) = @_;
        answered($case) if $case->{mpm} ne 'prefork'; # whose graceful stop ends its children's requests
        all_gone($case, 20);
    },
    TERM => sub { all_gone($_[0], 20) },
);

for my $signal (qw(USR1 HUP WINCH TERM)) {
    my @cases = map { my $mpm = $_; map { make($mpm, $_, $signal) } qw(idle busy) } qw(event worker prefork);
    $_->{all} = [descendants($_->{s}->pid)] for @cases;
    kill $signal, $_->{s}->pid for @cases;
    $after{$signal}->($_) for @cases;
}
done_testing;
