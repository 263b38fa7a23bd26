#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Retirement after a number of requests: the replacement is ready first and no request fails.
# P6 D6 D7 F8
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(poll_until alive now in_background wait_background);

my $s = ProxyCore::Groups::server(conf => join '', "MaxKeepAliveRequests 0\n",
    ProxyCore::Groups::group('few', "SpawnProcesses 1 2\nSpawnMaxRequests 20"),
    ProxyCore::Groups::group('load', "SpawnProcesses 2 4\nSpawnMaxRequests 50 20%"),
    ProxyCore::Groups::group('web', "SpawnProcesses 2\nSpawnConcurrency 4\nSpawnMaxRequests 40", protocol => 'http'),
)->start;

my (%n, @order, $bad, $total);
for my $asked (1 .. 3000) {
    # a manager that has to wait for its turn replaces nobody meanwhile
    last if $asked > 90 && keys %n >= 3;
    $total = $asked;
    my $f = ProxyCore::Groups::facts($s->get('/few/'));
    $bad++ if $f->{status} != 200;
    my $pid = $f->{'app.pid'} or next;
    push @order, $pid if !@order || $order[-1] != $pid;
    $n{$pid}++;
}
is $bad, undef, "$total requests: none failed";
cmp_ok scalar(keys %n), '>=', 3, 'several processes, one after the other: ' . join ' ', map { $n{$_} } @order;
cmp_ok scalar(keys %n), '<=', 2 + $total / 20, 'not one for each request';
ok poll_until(sub { (grep { alive($_) } @order) <= 2 }, 5), 'the retired ones are gone';

# Under load from several clients.
for my $name (qw(load web)) {
    for my $round (1 .. 10) {
        my @jobs = map { in_background {
            my ($c, $ok, $fail, %pid) = ($s->connect, 0, '');
            for (1 .. 150) {
                $c->send("GET /$name/ HTTP/1.1\r\nHost: a\r\n\r\n");
                my $r = $c->read_response(timeout => 10);
                if (($r->{status} || 0) == 200 && $r->{complete}) {
                    $ok++;
                    $pid{$1} = 1 if $r->{body} =~ /^app\.pid=(\d+)/m;
                }
                else {
                    $fail .= ' ' . ($r->{status} || 'none');
                    $c = $s->connect;
                }
            }
            return "$ok/" . scalar(keys %pid) . "/$fail";
        } } 1 .. 4;
        my @r = map { wait_background($_) } @jobs;
        my ($ok, $fail) = (0, '');
        for (@r) { my ($o, $p, $f) = split m{/}, $_, 3; $ok += $o; $fail .= $f }
        is $ok, 600, "$name: 600 requests of four clients: none failed" or diag "failed:$fail";
        last if ProxyCore::Groups::status($s, $name)->{started} >= 6;
    }
    cmp_ok ProxyCore::Groups::status($s, $name)->{started}, '>=', 6, "$name: processes were replaced meanwhile";
}
$s->stop;
done_testing;
