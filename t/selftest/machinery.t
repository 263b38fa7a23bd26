#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The test machinery itself, against httpd's own proxies: when this fails, no other result means anything.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(backend_program start_child free_port poll_until crc32 work_dir);

my $http = ProxyCore::Backend->new;
my $fcgi = ProxyCore::Backend->new(unix => work_dir() . '/run/fcgi.sock');
my $echo_port = free_port();
my $echo = start_child(backend_program('http_echo'), '-l', $echo_port, '-i', 'one');
my $app_sock = work_dir() . '/run/app.sock';
my $app = start_child(backend_program('fcgi_echo'), '-l', $app_sock, '-t', '4');
poll_until { -S $app_sock };

my $s = ProxyCore::Server->new(
    core => 0, procd => 0, tls => 1, modules => [qw(proxy proxy_http proxy_fcgi)],
    conf => "ProxyPass /http/ http://" . $http->address . "/\n"
        . "ProxyPass /fcgi/ unix:" . $fcgi->{unix} . "|fcgi://localhost/\n"
        . "ProxyPass /echo/ http://127.0.0.1:$echo_port/\n"
        . "ProxyPass /app/ unix:$app_sock|fcgi://app/\n",
)->start;

my $c = $s->connect;
$c->send("GET /http/x HTTP/1.1\r\nHost: a\r\n\r\n");
my $b = $http->accept;
my $req = $b->read_request;
is $req->{target}, '/x', 'the backend sees the request';
$b->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
is $c->read_until(qr/abc/) =~ /200 OK/, 1, 'the client sees the first chunk before the last';
$b->send("0\r\n\r\n");
ok $c->read_until(qr/0\r\n\r\n/), 'and the last';

$c->send("GET /fcgi/y?q HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $fcgi->accept;
$req = read_fcgi($b);
is $req->{params}{QUERY_STRING}, 'q', 'FastCGI parameters are read';
$b->send(fcgi_answer("Content-Type: text/plain\r\n\r\nhello"));
$b->close;
is $c->read_response->{body}, 'hello', 'FastCGI answer';

my $body = join '', map { chr(33 + $_ % 90) } 1 .. 100_000;
my $res = $s->request('POST', '/echo/p', body => $body, chunked => 1000);
is $res->{status}, 200, 'http_echo answers';
my $crc = crc32($body);
like $res->{body}, qr/^app\.body=100000\napp\.crc=$crc$/m, 'and has got all of a chunked upload';
$res = $s->request('POST', '/app/p', body => $body, tls => 1);
like $res->{body}, qr/^app\.body=100000\napp\.crc=$crc$/m, 'fcgi_echo has got all, over TLS';
is length $s->get('/app/?bytes=1000000')->{body}, 1_000_000, 'generated body';
is length $s->get('/echo/?bytes=1000000&chunked')->{body}, 1_000_000, 'generated body, chunked';
$s->stop;
done_testing;
