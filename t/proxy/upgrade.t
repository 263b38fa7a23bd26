#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Upgrade: what a backend is offered, what it may answer, and what becomes of everything else.
# CVE-2019-17567
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir slurp spew poll_until);

my %b = map { $_ => ProxyCore::Backend->new } qw(none ws any);
my $s = ProxyCore::Server->new(modules => ['rewrite'], protocols => 'h2c http/1.1', tls => 1, conf => <<"CONF")->start;
@{[map { "<ProxyCore $_>\n ProxyCoreProtocol http\n ProxyCoreBackend @{[$b{$_}->address]}\n ProxyCoreTimeout first=40s idle=40s\n"
    . ($_ eq 'none' ? '' : ' ProxyCoreUpgrade ' . ($_ eq 'ws' ? 'websocket' : 'any') . "\n")
    . "</ProxyCore>\n<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } sort keys %b]}
LogFormat "%>s %B %{proxy-core-state}n %{proxy-core-tunnel}n %{proxy-core-bytes-in}n %{proxy-core-bytes-out}n %{Upgrade}o" seen
CustomLog logs/seen seen
CONF

my $ask = "Host: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://a\r\n";
my $ws = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
sub switch_to { return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: $_[0]\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Other: 1\r\n\r\n" }

# Send a head; (client, backend connection, request as the backend saw it).
sub begin {
    my ($pool, $fields, %arg) = @_;
    my $c = $s->connect;
    $c->send(($arg{method} || 'GET') . " /$pool/x HTTP/" . ($arg{version} || '1.1') . "\r\n$ask$fields\r\n" . ($arg{body} || ''));
    my $bc = $b{$pool}->accept(5) or return ($c);
    return ($c, $bc, $bc->read_request);
}

# ------------------------------------------------------------------ what is offered
sub offered {
    my ($pool, $fields, %arg) = @_;
    my ($c, $bc, $req) = begin($pool, $fields, %arg);
    my $h = $req->{head};
    my $text = join '|', map { defined $h->h($_) ? $h->h($_) : '-' } qw(Upgrade Connection);
    $bc->send($ok);
    my $r = $c->read_response;
    $text .= '|' . ($r->{status} || '') . ($r->{body} || '');
    $bc->close;
    $c->close;
    return $text;
}
my $plain = '-|-|200ok';
is offered('none', $ws), $plain, 'off: nothing is offered, the answer is an ordinary one';
is offered('ws', $ws), 'websocket|Upgrade|200ok', 'websocket: offered; a backend that declines is relayed';
is offered('ws', "upgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n"), 'WebSocket|Upgrade|200ok', 'in any case';
is offered('ws', "Upgrade: foo/2, websocket\r\nConnection: upgrade\r\n"), 'websocket|Upgrade|200ok', 'of a list only what is allowed';
is offered('ws', "Upgrade: foo\r\nConnection: upgrade\r\n"), $plain, 'another protocol is not';
is offered('ws', "Upgrade: websocket\r\n"), $plain, 'not without Connection: upgrade';
is offered('ws', "Upgrade: websocket\r\nConnection: close\r\n"), $plain, 'nor with another Connection';
is offered('ws', $ws, version => '1.0'), $plain, 'not for HTTP/1.0';
is offered('ws', "${ws}Content-Length: 2\r\n", method => 'POST', body => 'ab'), $plain, 'not with a body';
is offered('ws', "${ws}Content-Length: 2\r\n", body => 'ab'), $plain, 'not with a body of a GET';
is offered('ws', "${ws}Transfer-Encoding: chunked\r\n", body => "0\r\n\r\n"), $plain, 'nor with an empty one';
is offered('ws', $ws, method => 'OPTIONS'), $plain, 'a WebSocket begins with GET';
is offered('ws', "Upgrade: web socket\r\nConnection: upgrade\r\n"), $plain, 'malformed is no offer';
is offered('ws', "Upgrade: " . ('x' x 300) . ", websocket\r\nConnection: upgrade\r\n"), $plain, 'nor is a list without end';
is offered('any', "Upgrade: foo/2, bar\r\nConnection: upgrade\r\n"), 'foo/2,bar|Upgrade|200ok', 'any: all of them';
is offered('any', "Upgrade: foo\r\nConnection: upgrade\r\n", method => 'OPTIONS'), 'foo|Upgrade|200ok', 'with any method';
{
    my ($c, $bc, $req) = begin('any', "Upgrade: TLS/1.0, foo\r\nConnection: upgrade\r\n");
    is $req->{head}->h('Upgrade'), 'foo', 'any: TLS is not passed';
    $bc->send($ok);
    $c->read_response;
    $_->close for $c, $bc;
    ($c, $bc, $req) = begin('any', "Upgrade: foo\r\nConnection: upgrade\r\n", method => 'HEAD');
    is $req->{head}->h('Upgrade'), undef, 'nor anything with HEAD';
    $bc->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    $c->read_response(method => 'HEAD');
    $_->close for $c, $bc;
}

# ------------------------------------------------------------------ what may be answered
sub answered {
    my ($pool, $fields, $answer) = @_;
    my ($c, $bc) = begin($pool, $fields);
    $bc->send($answer);
    my $r = $c->read_response(head_only => 1);
    my $closed = $bc->closed(($r->{status} || 0) == 101 ? 0.3 : 5);
    $c->close;
    return ($r->{status} || 'none') . ($closed ? ' closed' : ' open');
}
my $mark = $s->mark;
is answered('none', $ws, switch_to('websocket')), '502 closed', '101 without an offer: 502';
is answered('ws', '', switch_to('websocket')), '502 closed', '101 that nobody asked for: 502';
ok $s->grep_log(qr/without an upgrade asked for/, $mark), 'and the log says why';
is answered('ws', $ws, switch_to('foo')), '502 closed', '101 to another protocol: 502';
ok $s->grep_log(qr/PXC0451.*not offered/, $mark), 'and the log says why';
is answered('any', "Upgrade: foo, bar\r\nConnection: upgrade\r\n", switch_to('foo, bar')), '502 closed', 'to two at once: 502';
is answered('ws', $ws, "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\n\r\n"), '502 closed', 'to none: 502';
is answered('ws', $ws, "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n"), '502 closed', 'two fields: 502';
is answered('ws', $ws, "HTTP/1.0 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), '502 closed', 'from HTTP/1.0: 502';
is answered('ws', $ws, "HTTP/1.1 103 Early\r\nUpgrade: websocket\r\nLink: </a>\r\n\r\n$ok" . 'x'), '200 closed', '103 with Upgrade is no 101';
is answered('any', "Upgrade: foo/1\r\nConnection: upgrade\r\n", switch_to('FOO/1')), '101 open', 'the case does not matter';
is answered('any', "Upgrade: foo/1\r\nConnection: upgrade\r\n", switch_to('foo')), '502 closed', 'the version does';

# ------------------------------------------------------------------ the head, and an ordinary connection where it is declined
{
    my ($c, $bc, $req) = begin('ws', $ws);
    is $req->{head}->h('Sec-WebSocket-Key'), 'dGhlIHNhbXBsZSBub25jZQ==', 'the handshake passes';
    is $req->{head}->h('X-Forwarded-For'), '127.0.0.1', 'with what is said of the client';
    $bc->send("HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        . "Connection: upgrade, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nX-Other: 1\r\nSet-Cookie: a=b\r\nSec-WebSocket-Protocol: chat\r\n\r\n");
    my $r = $c->read_response;
    is $r->{status}, 101, 'switched';
    is scalar @{ $r->{interim} }, 1, 'behind an interim answer';
    is lc $r->{head}->h('Connection'), 'upgrade', 'Connection';
    is $r->{head}->h('Upgrade'), 'websocket', 'Upgrade';
    is join('|', map { defined $r->{head}->h($_) ? $r->{head}->h($_) : '-' } qw(X-Hop Keep-Alive Content-Length Transfer-Encoding)), '-|-|-|-',
        'nothing that belongs to the backend\'s connection, nothing that frames';
    is join('|', map { $r->{head}->h($_) } qw(X-Other Set-Cookie Sec-WebSocket-Protocol)), '1|a=b|chat', 'the rest';
    $c->send('ping');
    is $bc->read_bytes(4), 'ping', 'there';
    $bc->send('pong!');
    is $c->read_bytes(5), 'pong!', 'and back';
    $c->close;
    ok $bc->closed(5), 'the client leaves: the backend is let go';
    $bc->close;
    my $line = poll_until { my ($l) = grep { /^101/ } reverse split /\n/, slurp($s->dir . '/logs/seen') || ''; $l && $l =~ /tunnel client 4 5/ ? $l : undef };
    is $line, '101 5 tunnel client 4 5 websocket', 'the access log';
}
{
    my ($c, $bc) = begin('ws', $ws);
    $bc->send("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 3\r\n\r\nno!");
    is $c->read_response->{body}, 'no!', 'declined with 426: relayed';
    $c->send("GET /ws/y HTTP/1.1\r\nHost: a\r\n\r\n");
    my $req = $bc->read_request(timeout => 5);
    is $req && $req->{target}, '/ws/y', 'both connections are used again';
    $bc->send($ok);
    is $c->read_response->{body}, 'ok', 'as ordinary ones';
    # What a client sends behind a request that is then declined is a request.
    $c->send("GET /ws/1 HTTP/1.1\r\n$ask$ws\r\nGET /ws/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    $req = $bc->read_request(timeout => 5);
    ok $bc->quiet(0.2), 'bytes behind a request for an upgrade wait for its answer';
    $bc->send($ok);
    $req = $bc->read_request(timeout => 5);
    is $req && $req->{target}, '/ws/2', 'which is no: they are the next request';
    $bc->send($ok);
    is $c->read_response->{body} . $c->read_response->{body}, 'okok', 'both are answered';
    $_->close for $c, $bc;
}

# A backend that fails before it answers; one that takes too long.
{
    my ($c, $bc) = begin('ws', $ws);
    $bc->close;
    my $again = $b{ws}->accept(0.3);
    $again->close if $again;
    is $c->read_response->{status}, 502, 'closed instead of an answer: 502';
}
$s->stop;

# ------------------------------------------------------------------ configuration
sub refused {
    my ($text, $protocol) = @_;
    my $t = ProxyCore::Server->new(name => 'conf', conf => "<ProxyCore x>\nProxyCoreProtocol " . ($protocol || 'http') . "\nProxyCoreBackend 127.0.0.1:9\n$text\n</ProxyCore>\n");
    my ($out, $rc) = $t->config_test;
    return $rc ? $out : 'fine';
}
is refused("ProxyCoreUpgrade $_"), 'fine', "ProxyCoreUpgrade $_" for 'off', 'websocket', 'any drain=2min', 'websocket drain=off';
like refused('ProxyCoreUpgrade on'), qr/ProxyCoreUpgrade on: accepted is off, websocket or any/, 'another word';
like refused('ProxyCoreUpgrade any later'), qr/ProxyCoreUpgrade later: accepted is .*drain=/, 'another key';
like refused("ProxyCoreUpgrade any drain=$_"), qr/ProxyCoreUpgrade drain=$_: accepted is/, "drain=$_" for '0', 'x';
like refused('ProxyCoreUpgrade websocket', 'fastcgi'), qr/ProxyCoreUpgrade: protocol fastcgi has no upgrades/, 'FastCGI has none';
is refused('ProxyCoreUpgrade off', 'fastcgi'), 'fine', 'and need not have';
done_testing;
