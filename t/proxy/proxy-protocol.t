#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Connections that begin with a header of the PROXY protocol: once, before anything else, and for one client alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Socket qw(inet_aton);

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::TLS;
use ProxyCore::Util qw(work_dir);

my %b = map { $_ => ProxyCore::Backend->new } qw(one two tls);
my $fcgi = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my $ca = ProxyCore::TLS->ca('Our CA');
my $pem = $ca->cert('localhost');

# A server that reads the header itself: mod_remoteip.
my $peer = ProxyCore::Server->new(name => 'peer', core => 0, modules => ['remoteip'], conf => <<'CONF');
RemoteIPProxyProtocol On
Header always set X-Client "expr=%{REMOTE_ADDR}"
CONF
$peer->start;

my $s = ProxyCore::Server->new(modules => ['ssl', 'remoteip'], conf => <<"CONF")->start;
<ProxyCore one>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{one}->address]} proxy-protocol=v1
</ProxyCore>
<ProxyCore two>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{two}->address]} proxy-protocol=v2
</ProxyCore>
<ProxyCore tls>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:$b{tls}{port} proxy-protocol=v1
    ProxyCoreTLS ca=@{[$ca->file]}
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$fcgi->address]} proxy-protocol=v1
</ProxyCore>
<ProxyCore peer1>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[$peer->port]} proxy-protocol=v1
</ProxyCore>
<ProxyCore peer2>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[$peer->port]} proxy-protocol=v2
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_ strip=/$_\n</Location>\n" } qw(one two tls fcgi peer1 peer2)]}
RemoteIPHeader X-Real-IP
RemoteIPInternalProxy 127.0.0.1
CONF
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

sub ask {
    my ($path, @fields) = @_;
    my $c = $s->connect;
    $c->send("GET /$path HTTP/1.1\r\nHost: a\r\n" . join('', map { "$_\r\n" } @fields) . "\r\n");
    return $c;
}

for my $round (1, 2) {
    my $c = ask('one/x');
    my $local = $c->sock->sockport;
    my $k = $b{one}->accept(3);
    ok $k, "v1, request $round: a connection of its own";
    is $k->read_until(qr/\r\n/), "PROXY TCP4 127.0.0.1 127.0.0.1 $local @{[$s->port]}\r\n", 'the header is the first line, with the client\'s port';
    like $k->read_request->{text}, qr/^GET \/x HTTP.*^Connection: close\r$/ms, 'then the request, which asks for no more';
    $k->send($ok);
    is $c->read_response->{body}, 'ok', 'answered';
    ok $k->closed(3), 'and the connection is not kept: it belongs to this client';
}
{
    # The client as mod_remoteip has found it, here of another family.
    my $c = ask('one/x', 'X-Real-IP: 2001:db8::7');
    my $k = $b{one}->accept(3);
    like $k->read_until(qr/\r\n/), qr/^PROXY TCP6 2001:db8::7 ::ffff:127\.0\.0\.1 \d+ @{[$s->port]}\r\n/, 'v1: IPv6 beside IPv4';
    $k->read_request;
    $k->send($ok);
    is $c->read_response->{status}, 200, 'answered';
}
{
    my $c = ask('two/x');
    my $k = $b{two}->accept(3);
    is $k->read_bytes(28), "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" . inet_aton('127.0.0.1') x 2 . pack('nn', $c->sock->sockport, $s->port), 'v2';
    like $k->read_request->{text}, qr/^GET \/x HTTP/, 'then the request';
    $k->send($ok);
    is $c->read_response->{status}, 200, 'answered';
}
{
    my $c = ask('tls/x');
    my $k = $b{tls}->accept(3);
    my $line = '';
    while ($line !~ /\n\z/ && sysread_byte($k, \$line)) { }
    like $line, qr/^PROXY TCP4 127\.0\.0\.1 /, 'https: the header comes before TLS';
    ok $k->start_tls(SSL_cert_file => $pem, SSL_key_file => $pem), 'then the handshake';
    $k->read_request;
    $k->send($ok);
    is $c->read_response->{body}, 'ok', 'answered';
    $k->close;
}
{
    my $c = ask('fcgi/x');
    my $k = $fcgi->accept(3);
    like $k->read_until(qr/\r\n/), qr/^PROXY TCP4 /, 'FastCGI: the header, also on a unix socket';
    ok read_fcgi($k), 'then records';
    $k->send(fcgi_answer("Content-Type: text/plain\r\n\r\nhello"));
    is $c->read_response->{body}, 'hello', 'answered';
}

# The TLS layer must not swallow what follows the header: one byte at a time.
sub sysread_byte {
    my ($k, $into) = @_;
    IO::Select->new($k->sock)->can_read(3) or return 0;
    return sysread $k->sock, $$into, 1, length $$into;
}

for my $pool (qw(peer1 peer2)) {
    my $res = $s->request('GET', "/$pool/x", fields => ['X-Real-IP', '198.51.100.77']);
    is $res->{status}, 404, "$pool: mod_remoteip takes it";
    is $res->{head}->h('X-Client'), '198.51.100.77', "$pool: and knows the client";
    is $s->request('GET', "/$pool/x", fields => ['X-Real-IP', "198.51.100.$_"])->{head}->h('X-Client'), "198.51.100.$_", "$pool: another client is another one"
        for 1 .. 3;
}
$s->stop;
$peer->stop;
done_testing;
