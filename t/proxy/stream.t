#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Streaming with back pressure: bodies much larger than any buffer, both ways, with a slow peer on either side; the child
# does not grow. PC_BIG=1 sends 1 GB.
# F24
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(min);
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi read_record FCGI_STDIN);
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until work_dir backend_program start_child free_port rss_kb asan big mpm);

my $size = big() ? 1_000_000_000 : asan() ? 30_000_000 : 150_000_000;
my $limit_kb = asan() ? 60_000 : 2048;

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port);
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4);
poll_until { -S $sock };
chmod 0777, $sock;
my $hand = ProxyCore::Backend->new;
my $fhand = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my $s = ProxyCore::Server->new(conf => <<"CONF",
LimitRequestBody 0
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<ProxyCore hand>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$hand->address]}
</ProxyCore>
<ProxyCore fhand>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$fhand->address]}
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(http fcgi hand fhand)]}
CONF
    mpm() eq 'prefork' ? () : (mpm_conf => "StartServers 1\nServerLimit 1\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4\n"))->start;
# Warm: buffers and arenas that every request needs are there before it is measured.
for my $kind (qw(http fcgi)) {
    $s->get("/$kind/?bytes=3000000") for 1 .. 6;
    $s->request('POST', "/$kind/", body => 'x' x 3_000_000) for 1 .. 6;
}

cmp_ok rss(), '>', 1000, 'memory can be measured';
sub rss { my $sum = 0; $sum += rss_kb($_) || 0 for $s->children; return $sum }

# Run $code, which calls the function it gets now and then; (growth in KB, what it returned).
sub grows {
    my ($code) = @_;
    my $before = rss();
    my $max = $before;
    my @r = $code->(sub { my $now = rss(); $max = $now if $now > $max });
    return ($max - $before, @r);
}

for my $kind (qw(http fcgi)) {
    # Down.
    my ($kb, $got, $good) = grows(sub {
        my ($tick) = @_;
        my $c = $s->connect(rcvbuf => 65536);
        $c->send("GET /$kind/?bytes=$size&cl=$size HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        my $head = $c->read_until(qr/\r\n\r\n/);
        my ($n, $ok, $k) = (0, 1, 0);
        my $pattern = join '', 'a' .. 'w';
        while ($n < $size) {
            my $bytes = $c->read_some(10);
            last if $bytes eq '';
            # Every piece is where it belongs in the pattern.
            $ok = 0 if substr($bytes, 0, 1) ne substr($pattern, $n % 23, 1) || substr($bytes, -1) ne substr($pattern, ($n + length($bytes) - 1) % 23, 1);
            $n += length $bytes;
            $tick->() if ++$k % 200 == 0;
        }
        return ($n, $ok);
    });
    is $got, $size, "$kind: $size bytes down";
    ok $good, "$kind: the right ones";
    cmp_ok $kb, '<', $limit_kb, "$kind: the child grew by $kb KB";

    # Up.
    my $res;
    ($kb, $got) = grows(sub {
        my ($tick) = @_;
        my $c = $s->connect;
        $c->send("POST /$kind/ HTTP/1.1\r\nHost: a\r\nContent-Length: $size\r\nConnection: close\r\n\r\n");
        my $block = 'x' x 262_144;
        my ($n, $k) = (0, 0);
        while ($n < $size) {
            my $part = $size - $n < length $block ? substr($block, 0, $size - $n) : $block;
            my $sent = $c->send($part, 20);
            $n += $sent;
            last if $sent != length $part;
            $tick->() if ++$k % 50 == 0;
        }
        $res = $c->read_response(timeout => 20);
        return $n;
    });
    is $got, $size, "$kind: $size bytes up";
    like $res->{body}, qr/^app\.body=$size$/m, "$kind: all arrived";
    cmp_ok $kb, '<', $limit_kb, "$kind: the child grew by $kb KB";
}

# A client that does not read stops the backend, not the memory.
{
    my ($kb, $taken) = grows(sub {
        my ($tick) = @_;
        my $c = $s->connect(rcvbuf => 8192);
        $c->send("GET /hand/ HTTP/1.1\r\nHost: a\r\n\r\n");
        my $b = $hand->accept;
        $b->read_request;
        $b->send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        my $n = $b->send('x' x 60_000_000, 1.5);
        $tick->();
        $c->close;
        ok $b->closed(5) || !$b->send('x' x 10_000_000, 1) || $b->error, 'the client leaves: the backend is let go';
        return $n;
    });
    cmp_ok $taken, '<', 20_000_000, "a client that does not read: the backend is stopped (after $taken bytes)";
    cmp_ok $kb, '<', $limit_kb, "the child grew by $kb KB";
}
# And a backend that does not read stops the client.
for my $kind (qw(hand fhand)) {
    my ($kb, $taken) = grows(sub {
        my ($tick) = @_;
        my $c = $s->connect;
        $c->send("POST /$kind/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        my $b = $kind eq 'hand' ? $hand->accept : $fhand->accept;
        my $n = $c->send('x' x 60_000_000, 1.5);
        $tick->();
        $b->close;
        return $n;
    });
    cmp_ok $taken, '<', 20_000_000, "$kind: a backend that does not read: the client is stopped (after $taken bytes)";
    cmp_ok $kb, '<', $limit_kb, "$kind: the child grew by $kb KB";
}

# Small pieces are passed on as they come, not collected.
for my $kind (qw(hand)) {
    my $c = $s->connect;
    $c->send("GET /$kind/events HTTP/1.1\r\nHost: a\r\n\r\n");
    my $b = $hand->accept;
    $b->read_request;
    $b->send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    ok $c->read_until(qr/\r\n\r\n/, 2), 'the head is passed on before the body';
    my @took;
    for my $i (1 .. 5) {
        my $start = now();
        $b->send("7\r\nevent $i\r\n");
        ok $c->read_until(qr/event $i/, 2), "event $i";
        push @took, now() - $start;
    }
    cmp_ok min(@took), '<', 0.15, 'at once';
    $b->send("0\r\n\r\n");
    ok $c->read_until(qr/0\r\n\r\n/, 2), 'the end';
}
$s->stop;
done_testing;
