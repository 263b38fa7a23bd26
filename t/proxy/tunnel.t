#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Behind 101: bytes both ways, with and without a thread, over TLS; early bytes, back pressure, ends of each side, times,
# and a child that is stopping.
# D18 F24
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use POSIX ();

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until let_pass slurp spew mpm alive rss_kb asan);

my $parks = mpm() eq 'event';
my %b = map { $_ => ProxyCore::Backend->new } qw(t short sync one);
my $text = <<"CONF";
@{[$parks ? 'AsyncRequestWorkerFactor 60' : '']}
RequestReadTimeout header=1-2,MinRate=500 body=1,MinRate=500
LimitRequestBody 5
@{[map { "<ProxyCore $_>\n ProxyCoreProtocol http\n ProxyCoreBackend @{[$b{$_}->address]}" . ($_ eq 'one' ? ' max=1' : '') . "\n"
    . " ProxyCoreTimeout first=60s " . ($_ eq 'short' ? 'idle=3s' : $_ eq 'one' ? 'idle=60s total=6s' : 'idle=60s') . "\n"
    . " ProxyCoreUpgrade any" . ($_ eq 'short' ? ' drain=2s' : $_ eq 'sync' ? ' drain=off' : '') . "\n"
    . ($_ eq 'sync' ? " ProxyCoreAsync off\n" : '')
    . "</ProxyCore>\n<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } sort keys %b]}
LogFormat "%>s %{proxy-core-state}n %{proxy-core-tunnel}n %{proxy-core-bytes-in}n %{proxy-core-bytes-out}n" seen
CustomLog logs/seen seen
CONF
my $four = "StartServers 1\nServerLimit 4\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4\n";
my @mpm = $parks ? (mpm_conf => $four) : ();
my $s = ProxyCore::Server->new(modules => ['reqtimeout'], tls => 1, protocols => 'http/1.1', conf => $text, @mpm);
spew($s->docroot . '/static.txt', "static\n");
$s->start;

my $upgrade = "Upgrade: foo\r\nConnection: Upgrade\r\n";
my $switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n";

# An open tunnel: (client, backend).
sub tunnel {
    my ($pool, %arg) = @_;
    my $c = $s->connect(tls => $arg{tls}, rcvbuf => $arg{rcvbuf});
    $c->send("GET /$pool/x HTTP/1.1\r\nHost: a\r\n$upgrade\r\n" . ($arg{early} || ''));
    my $bc = $b{$pool}->accept(5) or die "no connection to $pool";
    $bc->read_request;
    $bc->send($switch . ($arg{behind} || ''));
    my $r = $c->read_response;
    die "no tunnel: " . ($r->{status} || 'none') if ($r->{status} || 0) != 101;
    return ($c, $bc);
}
sub seen {
    my ($re) = @_;
    return poll_until { my ($l) = grep { $_ =~ $re } reverse split /\n/, slurp($s->dir . '/logs/seen') || ''; $l } 5;
}

for my $front ('', 'tls') {
    for my $pool (qw(t sync)) {
        my $name = "$pool" . ($front ? ' over TLS' : '');
        my ($c, $bc) = tunnel($pool, tls => $front, early => 'early from the client', behind => 'early from the backend');
        is $bc->read_bytes(21, 5), 'early from the client', "$name: bytes behind the request";
        is $c->read_bytes(22, 5), 'early from the backend', "$name: bytes behind the answer";
        for my $i (1 .. 3) {
            $c->send("a$i");
            is $bc->read_bytes(2, 5), "a$i", "$name: up";
            $bc->send("b$i");
            is $c->read_bytes(2, 5), "b$i", "$name: down";
        }
        # Many bytes, both ways at once, through small buffers.
        my $n = 3_000_000;
        my ($up, $down, $got_up, $got_down) = (0, 0, '', '');
        my ($x, $y) = (join('', map { chr(32 + $_ % 90) } 1 .. 997), join('', map { chr(32 + $_ % 83) } 1 .. 991));
        my $all_up = substr $x x 4000, 0, $n;
        my $all_down = substr $y x 4000, 0, $n;
        my $end = now() + 120;
        while ((length $got_up < $n || length $got_down < $n) && now() < $end) {
            $up += $c->send(substr($all_up, $up, 50_000), 0.01) if $up < $n;
            $down += $bc->send(substr($all_down, $down, 50_000), 0.01) if $down < $n;
            $got_up .= $bc->read_some(0.005);
            $got_down .= $c->read_some(0.005);
        }
        ok $got_up eq $all_up, "$name: $n bytes up, " . length($got_up);
        ok $got_down eq $all_down, "$name: and down, " . length($got_down);
        $bc->close;
        ok $c->closed(5), "$name: the backend leaves: the client is told";
        $c->close;
        ok seen(qr/^101 tunnel backend 3000027 3000028$/), "$name: counted";
    }
}

# ------------------------------------------------------------------ ends
{
    my ($c, $bc) = tunnel('t');
    $c->send('last words');
    $c->shutdown_write;
    is $bc->read_all(5), 'last words', 'the client has nothing more to say: the backend reads it and the end';
    $bc->send('but I do');
    is $c->read_bytes(8, 5), 'but I do', 'and goes on';
    poll_until { 0 } 0.3;
    $bc->send(', still');
    is $c->read_bytes(7, 5), ', still', 'parked meanwhile';
    $bc->close;
    ok $c->closed(5), 'until it ends too';
    ok seen(qr/^101 tunnel client 10 15$/), 'who ended first';

    ($c, $bc) = tunnel('t');
    $bc->send('done');
    $bc->shutdown_write;
    is $c->read_all(5), 'done', 'the backend has nothing more to say: the client reads it and the end';
    $c->send('and thanks');
    is $bc->read_bytes(10, 5), 'and thanks', 'and goes on';
    poll_until { 0 } 0.3;
    $c->send('!' x 100_000);
    $c->close;
    is length $bc->read_all(5), 100_000, 'what it sent before it closed arrives';
    ok $bc->eof, 'and its end';

    ($c, $bc) = tunnel('t', tls => 1);
    $bc->send('done');
    $bc->shutdown_write;
    is $c->read_all(5), 'done', 'TLS: the client reads all, and the end';
    ok $bc->closed(5), 'which is the end of the tunnel';

    ($c, $bc) = tunnel('t');
    $c->reset;
    ok $bc->closed(5), 'a client that resets';
    ($c, $bc) = tunnel('t');
    $bc->reset;
    ok $c->closed(5), 'a backend that resets';
    # With bytes that nobody takes on their way.
    ($c, $bc) = tunnel('t');
    $c->send('x' x 20_000_000, 1);
    $c->reset;
    $bc->read_all(5);
    ok $bc->eof, 'a client that resets behind bytes that the backend has not taken';
    ($c, $bc) = tunnel('t');
    $bc->send('x' x 20_000_000, 1);
    $bc->reset;
    $c->read_all(5);
    ok $c->eof, 'a backend that does';
}

# ------------------------------------------------------------------ back pressure
for my $front ('', 'tls') {
    my ($c, $bc) = tunnel('t', tls => $front);
    my $before = rss();
    my $up = $c->send('x' x 60_000_000, 1.5);
    cmp_ok $up, '<', 20_000_000, "$front a backend that does not read: the client is stopped ($up)";
    is $bc->send('other', 1), 5, 'the other direction';
    is $c->read_bytes(5, 5), 'other', 'goes on';
    cmp_ok rss() - $before, '<', asan() ? 60_000 : 2048, 'in bounded memory';
    my $got = 0;
    while ($got < $up) {
        my $bytes = $bc->read_some(5);
        last if $bytes eq '';
        $got += length $bytes;
    }
    is $got, $up, 'all of it arrives when it reads';
    $_->close for $c, $bc;
    next if $front;

    ($c, $bc) = tunnel('t', rcvbuf => 4096);
    my $down = $bc->send('x' x 60_000_000, 1.5);
    cmp_ok $down, '<', 20_000_000, "$front a client that does not read: the backend is stopped ($down)";
    is $c->send('other', 1), 5, 'the other direction';
    is $bc->read_bytes(5, 5), 'other', 'goes on';
    cmp_ok rss() - $before, '<', asan() ? 60_000 : 2048, 'in bounded memory';
    $bc->close;
    $got = 0;
    while ($got < $down) {
        my $bytes = $c->read_some(5);
        last if $bytes eq '';
        $got += length $bytes;
    }
    is $got, $down, 'all of it arrives when it reads';
    ok $c->closed(5), 'and then the end';
}
sub rss { my $sum = 0; $sum += rss_kb($_) || 0 for $s->children; return $sum }

# ------------------------------------------------------------------ times, and the lease
{
    my ($c, $bc) = tunnel('short');
    my $start = now();
    for (1 .. 4) {
        let_pass(1);
        $_ % 2 ? $c->send('.') : $bc->send('.');
    }
    ok $c->read_bytes(2, 5) && $bc->read_bytes(2, 5), 'two from each';
    ok !$c->eof && !$bc->eof, 'idle=3s: not while something is said, by either side';
    $start = now();
    ok $c->closed(5) && $bc->closed(5), 'then it is ended';
    cmp_ok now() - $start, '<', 20, 'in time';
    ok seen(qr/^101 tunnel idle 2 2$/), 'and told of';

    ($c, $bc) = tunnel('one');
    my $talk = sub {
        for (1 .. $_[0]) {
            last if $c->eof;
            $c->send('.');
            poll_until { 0 } 0.2;
            $c->read_some;
        }
    };
    $talk->(3);
    my $second = $s->connect;
    $second->send("GET /one/y HTTP/1.1\r\nHost: a\r\n\r\n");
    ok !$b{one}->accept(0.3), 'max=1: a tunnel is a request';
    $talk->(200);
    ok $c->closed(5), 'total=6s ends it, busy as it is';
    ok seen(qr/^101 tunnel total /), 'and that is told of';
    my $next = $b{one}->accept(5);
    ok $next && $next->read_request, 'the place is free then';
    $next->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") if $next;
    is $second->read_response->{body}, 'ok', 'for the one that waited';
}

# ------------------------------------------------------------------ no thread
SKIP: {
    skip 'only the event MPM can park', 3 if !$parks;
    my @pairs = map { [tunnel('t', tls => $_ % 2)] } 1 .. 12;
    poll_until { 0 } 0.3;
    my @ms = sort { $a <=> $b } map { my $start = now(); $s->get('/static.txt')->{body} eq "static\n" ? 1000 * (now() - $start) : 9999 } 1 .. 5;
    cmp_ok $ms[2], '<', 10_000, "twelve tunnels on four threads: a static file in $ms[2] ms";
    my $good = 0;
    for my $round (1 .. 3) {
        for my $p (@pairs) {
            $p->[0]->send("up$round");
            $p->[1]->send("down$round");
        }
        $good += ($_->[1]->read_bytes(3, 5) || '') eq "up$round" && ($_->[0]->read_bytes(5, 5) || '') eq "down$round" for @pairs;
    }
    is $good, 36, 'each carries its own bytes';
    $_->[0]->close for @pairs;
    is scalar(grep { $_->[1]->closed(5) } @pairs), 12, 'and ends';
}

# Those that never fall silent leave room for others: without a pause of theirs nobody else is accepted before they end.
{
    my (@pids, @ends);
    for (1 .. 6) {
        my ($c, $bc) = tunnel('t');
        for my $sends (1, 0) {
            my $pid = fork;
            die "fork: $!" if !defined $pid;
            if (!$pid) {
                my $end = now() + 200;
                while (now() < $end) {
                    $sends ? $c->send('x' x 65536, 1) : $bc->read_some(1);
                    last if $sends ? $c->error : $bc->eof;
                }
                POSIX::_exit(0);
            }
            push @pids, $pid;
        }
        push @ends, $c, $bc;
    }
    poll_until { 0 } 0.5;
    my @ms = sort { $a <=> $b } map { my $start = now(); ($s->get('/static.txt', timeout => 20)->{body} || '') eq "static\n" ? 1000 * (now() - $start) : 9999 } 1 .. 5;
    cmp_ok $ms[2], '<', 60_000, "six tunnels at full speed: a static file in $ms[2] ms";
    kill 'KILL', @pids;
    waitpid $_, 0 for @pids;
    $_->close for @ends;
}

# ------------------------------------------------------------------ a child that stops
{
    my @old = $s->children;
    my ($c, $bc) = tunnel('t');              # idle
    my ($c2, $bc2) = tunnel('short');        # busy, until drain=
    my ($c3, $bc3) = tunnel('sync');         # drain=off
    my $start = now();
    $s->graceful;
    my ($ended, $cut) = (0, 0);
    my $end = now() + 60;
    while (now() < $end && !($ended && $cut)) {
        $c2->send('.', 0.1);
        $c->read_some;
        $c2->read_some(0.1);
        $ended = now() - $start if !$ended && $c->eof;
        $cut = now() - $start if !$cut && $c2->eof;
    }
    ok $ended && $ended < 40, "graceful restart: an idle tunnel ends ($ended s)";
    ok $bc->closed(5), 'on both sides';
    ok $cut && $cut > 1 && $cut < 40, "a busy one does at the end of drain= ($cut s)";
    ok $bc2->read_all(5) && $bc2->eof, 'on both sides';
    ok seen(qr/^101 tunnel stop /), 'which is told of';
    $c3->send('still');
    is $bc3->read_bytes(5, 5), 'still', 'drain=off: it goes on';
    my ($c4, $bc4) = tunnel('t');
    $c4->send('new');
    is $bc4->read_bytes(3, 5), 'new', 'new ones are served meanwhile';
    $_->close for $c3, $bc3, $c4, $bc4;
    ok poll_until(sub { !grep { alive($_) } @old }, 15), 'then the old children end';
}
# A stop with open tunnels.
my @pairs = map { [tunnel('t')] } 1 .. 3;
my $start = now();
$s->stop(signal => 'TERM');
cmp_ok now() - $start, '<', 40, 'a stop does not wait for tunnels';
done_testing;
