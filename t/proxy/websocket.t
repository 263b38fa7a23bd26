#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# WebSockets with programs that others wrote: python3-websockets as client and as server, over HTTP/1.1, TLS and HTTP/2
# (extended CONNECT, RFC 8441), and the demonstration's echo server.
# D18
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Digest::SHA qw(sha1_base64);

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::TLS;
use ProxyCore::Util qw(alive now poll_until slurp spew mpm top_dir free_port start_child run_capture listens);

my $python = '/usr/bin/python3';
my (undef, $missing) = run_capture($python, '-c', 'import websockets, h2.connection');
plan skip_all => 'python3-websockets and python3-h2 are not installed' if $missing;

my $clients = top_dir() . '/t/clients';
my ($real, $demo) = (free_port(), free_port());
start_child($python, "$clients/websocket", 'echo', $real);
start_child($python, top_dir() . '/build/demo/ws.py', $demo);
poll_until { listens($real) && listens($demo) } 10 or die 'no echo server';
my $hand = ProxyCore::Backend->new;

sub pool {
    my ($name, $address, $tls) = @_;
    return "<ProxyCore $name>\n ProxyCoreProtocol " . ($tls ? "https\n $tls" : 'http') . "\n ProxyCoreBackend $address\n ProxyCoreUpgrade websocket\n"
        . " ProxyCoreTimeout first=40s idle=60s\n</ProxyCore>\n<Location /$name/>\n ProxyCorePass $name\n</Location>\n";
}
# A second httpd, behind TLS.
my $ca = ProxyCore::TLS->ca('A CA');
my $peer = ProxyCore::Server->new(name => 'peer', tls => 1, pem => $ca->cert('localhost'), conf => pool('secure', "127.0.0.1:$real"))->start;
my @mpm = mpm() eq 'event' ? (mpm_conf => "StartServers 1\nServerLimit 1\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 4\n"
    . "MinSpareThreads 1\nMaxSpareThreads 4\nAsyncRequestWorkerFactor 60\n") : ();
my $s = ProxyCore::Server->new(tls => 1, @mpm, conf => "H2WebSockets on\n" . pool('real', "127.0.0.1:$real")
    . pool('demo', "127.0.0.1:$demo")
    . pool('secure', "localhost:@{[$peer->tls_port]}", "ProxyCoreTLS ca=@{[$ca->file]}") . pool('hand', $hand->address) . "LogFormat \"%>s %{proxy-core-state}n %{proxy-core-tunnel}n %r\" seen\nCustomLog logs/seen seen\n");
spew($s->docroot . '/static.txt', "static\n");
$s->start;

sub client {
    my ($url, $count) = @_;
    my ($out) = run_capture($python, "$clients/websocket", 'client', $url, $count);
    $out =~ s/\s+\z//;
    return $out;
}
for my $pool (qw(real demo secure)) {
    is client("ws://127.0.0.1:@{[$s->port]}/$pool/", 1), 'ok', "$pool: a client of python3-websockets";
    is client("ws://127.0.0.1:@{[$s->port]}/$pool/", 16), 'ok', "$pool: sixteen at once";
    is client("wss://127.0.0.1:@{[$s->tls_port]}/$pool/", 16), 'ok', "$pool: sixteen over TLS";
}
is $s->get('/demo/')->{status}, 426, 'a page of it is declined';
my $lines = poll_until { my @l = grep { /^101 tunnel/ } split /\n/, slurp($s->dir . '/logs/seen'); @l == 99 ? @l : 0 } 10;
is $lines, 99, 'each is in the log';

# Over HTTP/2, to a backend that sees an upgrade of HTTP/1.1. CVE-2024-36387: declined, cut short, refused by either side.
sub over_h2 {
    my ($path, @texts) = @_;
    my $pid = open my $out, '-|', $python, "$clients/h2_websocket", $s->port, $path, @texts or die;
    return wantarray ? ($out, $pid) : $out;
}
sub accept_key { return sha1_base64("$_[0]258EAFA5-E914-47DA-95CA-C5AB0DC85B11") . '=' }
sub shake {
    my ($accept) = @_;
    my $bc = $hand->accept(5) or return;
    my $req = $bc->read_request;
    $bc->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        . ($accept || accept_key($req->{head}->h('Sec-WebSocket-Key') || '')) . "\r\n\r\n");
    return ($bc, $req);
}
{
    my $out = over_h2('/hand/', 'hello', 'x' x 10_000);
    my ($bc, $req) = shake();
    is $req->{head}{line}, 'GET /hand/ HTTP/1.1', 'HTTP/2: an extended CONNECT reaches the backend as GET';
    is $req->{head}->h('Upgrade'), 'websocket', 'with Upgrade';
    is $req->{head}->h('Transfer-Encoding'), undef, 'and no body';
    $bc->send($bc->read_bytes(5, 5));
    $bc->send($bc->read_bytes(10_000, 5));
    ok $bc->closed(5), 'the client ends its stream: so does the backend hear';
    $bc->close;
    ok join('', <$out>) eq "enabled 1\nstatus 200\ngot hello\ngot what was sent\nend\n", 'and the client heard all';
    $out = over_h2('/hand/', 'hello');
    ($bc) = shake();
    $bc->send($bc->read_bytes(5, 5));
    $bc->send('');
    $bc->closed(5);
    $bc->close;
    is((<$out>)[-1], "end\n", 'again');
    # What the backend does not agree to.
    $out = over_h2('/hand/', 'hello');
    ($bc) = shake('wrong');
    like join('', <$out>), qr/status 502/, 'a wrong Sec-WebSocket-Accept: 502 by mod_http2';
    $bc->close;
    $out = over_h2('/hand/', 'hello');
    $bc = $hand->accept(5);
    $bc->read_request;
    $bc->send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    like join('', <$out>), qr/status 403/, 'declined: the answer';
    $bc->close;
}
{
    # Clients that leave, and a child that does.
    my ($out, $pid) = over_h2('/hand/', 'hello', 'no answer');
    my ($bc) = shake();
    $bc->send($bc->read_bytes(5, 5));
    $bc->read_bytes(9, 5);
    kill 'KILL', $pid;
    ok $bc->closed(5), 'HTTP/2: a client that is gone: the backend is let go';
    $bc->close;
    close $out;
    ($out, $pid) = over_h2('/hand/', 'hello', 'no answer');
    ($bc) = shake();
    $bc->send($bc->read_bytes(5, 5));
    $bc->read_bytes(9, 5);
    $s->graceful;
    ok $bc->closed(9), 'a graceful restart ends it';
    $bc->close;
    like((<$out>)[-1], qr/^(?:end|closed|reset \d+)$/, 'and the client hears of it');
    # More than any window, both ways, with a client that reads while it writes.
    $out = over_h2('/hand/', map { $_ x 15_000 } 'a' .. 'z');
    ($bc) = shake();
    my $bytes = 0;
    while ($bytes < 26 * 15_000) {
        my $some = $bc->read_some(5);
        last if $some eq '';
        $bytes += length $some;
        $bc->send($some);
    }
    is $bytes, 26 * 15_000, 'many bytes there';
    ok $bc->closed(5), 'and the end';
    $bc->close;
    is scalar(grep { $_ eq "got what was sent\n" } <$out>), 26, 'and back';
}
is $s->get('/static.txt')->{body}, "static\n", 'the server is well';
$s->stop;
$peer->stop;

# Hundreds on one child: none holds a thread, and all of them hear of a graceful restart.
SKIP: {
    my $many = 700;
    my ($limit) = run_capture('sh', '-c', 'ulimit -n');
    skip 'only the event MPM can park', 5 if mpm() ne 'event';
    skip 'too few descriptors', 5 if $limit !~ /unlimited/ && $limit < 4096;
    my $big = ProxyCore::Server->new(name => 'big', protocols => 'http/1.1', conf => pool('demo', "127.0.0.1:$demo"),
        mpm_conf => "StartServers 1\nServerLimit 3\nThreadLimit 8\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\n"
            . "MaxSpareThreads 8\nAsyncRequestWorkerFactor 300\n");
    spew($big->docroot . '/static.txt', "static\n");
    $big->start;
    my ($old) = $big->children;
    my @c;
    for (1 .. $many) {
        my $c = $big->connect;
        $c->send("GET /demo/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        push @c, $c;
    }
    is scalar(grep { ($_->read_response->{status} || 0) == 101 } @c), $many, "$many WebSockets on eight threads";
    is $big->get('/static.txt')->{body}, "static\n", 'a static file meanwhile';
    $_->send("\x81\x82\0\0\0\0hi") for @c;
    is scalar(grep { ($_->read_bytes(4, 10) || '') eq "\x81\x02hi" } @c), $many, 'each is answered';
    $big->graceful;
    my $end = now() + 12;
    is scalar(grep { $_->closed($end - now() > 0 ? $end - now() : 0) } @c), $many, 'a graceful restart ends each';
    $_->close for @c;
    ok poll_until(sub { !alive($old) }, 15), 'and the old child';
    $big->stop;
}
done_testing;
