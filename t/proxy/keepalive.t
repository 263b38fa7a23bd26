#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Connections to backends are used again, and only where that is safe.
# F5 F10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use JSON::PP qw(decode_json);

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_end);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir now poll_until);

my %keep = (def => '', none => 'off', two => 'on requests=2', idle => 'on idle=500ms');
my %b = map { $_ => ProxyCore::Backend->new } sort keys %keep;
my %f = map { $_ => ProxyCore::Backend->new(unix => work_dir() . "/run/$_.sock") } qw(fdef fon);
my $conf = '';
for my $n (sort keys %keep) {
    $conf .= "<ProxyCore $n>\n ProxyCoreProtocol http\n ProxyCoreBackend " . $b{$n}->address . "\n"
        . ($keep{$n} ? " ProxyCoreKeepAlive $keep{$n}\n" : '') . "</ProxyCore>\n<Location /$n/>\n ProxyCorePass $n\n</Location>\n";
}
for my $n (sort keys %f) {
    $conf .= "<ProxyCore $n>\n ProxyCoreProtocol fastcgi\n ProxyCoreBackend " . $f{$n}->address . "\n"
        . ($n eq 'fon' ? " ProxyCoreKeepAlive on\n" : '') . "</ProxyCore>\n<Location /$n/>\n ProxyCorePass $n\n</Location>\n";
}
$conf .= "<Location /status>\n SetHandler proxy-core-status\n</Location>\n";
# One child: each keeps connections of its own.
my $s = ProxyCore::Server->new(conf => $conf,
    mpm_conf => "StartServers 1\nServerLimit 1\nThreadLimit 16\nThreadsPerChild 16\nMaxRequestWorkers 16\nMinSpareThreads 1\nMaxSpareThreads 16\n")->start;

# A connection is kept when its request is over, which may be a moment after the client has the answer.
sub settled {
    my ($n) = @_;
    return poll_until {
        my ($p) = grep { $_->{name} eq $n } @{ decode_json($s->get('/status?format=json')->{body})->{pools} };
        $p->{backends}[0]{in_flight} == 0;
    } 3;
}

my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

# One request to an HTTP pool on $conn when it is still there, else on a new connection. (response, connection, was it new)
sub ask {
    my ($n, $conn, $answer, %arg) = @_;
    settled($n);
    my $c = $s->connect;
    $c->send(($arg{method} || 'GET') . " /$n/x HTTP/1.1\r\nHost: a\r\n" . ($arg{method} ? "Content-Length: 1\r\n\r\nb" : "\r\n"));
    ($conn, my $new) = $b{$n}->accept_or($conn, 3) or return ({}, undef, 0);
    $conn->read_request;
    $conn->send($answer || $ok);
    $conn->close if $arg{close};
    return ($c->read_response(timeout => 3), $conn, $new);
}

my ($res, $conn, $new) = ask('def');
is $res->{body}, 'ok', 'first request';
for (1 .. 5) {
    ($res, $conn, $new) = ask('def', $conn);
    ok !$new && $res->{status} == 200, "request $_ on the same connection";
}
is $b{def}->accepted, 1, 'the backend accepted once for six requests';

# Framings that leave a message boundary, and those that do not.
my @rows = (
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1, 'chunked'],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", 1, 'chunked with a trailer'],
    ["HTTP/1.1 204 No\r\n\r\n", 1, '204'],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 0, 'Connection: close'],
    ["HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 'HTTP/1.0'],
    ["HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", undef, 'HTTP/1.0 with keep-alive'],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 0, 'bytes behind the answer'],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0, 'both framings'],
    ["HTTP/1.1 204 No\r\n\r\nbody!", 0, 'a body behind 204'],
);
for my $row (@rows) {
    my ($answer, $reused, $what) = @$row;
    ($res, $conn) = ask('def', $conn, $answer);
    ok $res->{complete}, "$what: whole";
    my $before = $conn;
    ($res, $conn, $new) = ask('def', $conn);
    is $res->{body}, 'ok', "$what: the next answer is the next request's";
    is $new ? 0 : 1, $reused, $reused ? "$what: used again" : "$what: not used again" if defined $reused;
}

# Bytes that come while the connection is idle.
($res, $conn) = ask('def', $conn);
$conn->send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
($res, $conn, $new) = ask('def', $conn);
is $res->{body}, 'ok', 'unasked bytes on an idle connection reach nobody';
ok $new, 'and it is not used again';
$conn = undef if !$new;

# A kept connection that the backend has closed costs no request, whatever the method.
for my $method (undef, 'POST') {
    my $name = $method || 'GET';
    ($res, $conn) = ask('def', $conn, undef, close => 1);
    ($res, $conn, $new) = ask('def', $conn, undef, $method ? (method => $method) : ());
    is $res->{status}, 200, "$name: a stale connection is replaced";
    ok $new, "$name: by a new one";
}
# The same when it closes with the request already on its way: GET is sent again once.
my $c = $s->connect;
$c->send("GET /def/race HTTP/1.1\r\nHost: a\r\n\r\n");
$conn->read_request;
$conn->close;
$conn = $b{def}->accept(3);
ok $conn, 'GET on a connection that ends under it is sent again';
if ($conn) {
    $conn->read_request;
    $conn->send($ok);
    is $c->read_response->{status}, 200, 'and answered';
}
# A POST may have had an effect.
$c = $s->connect;
$c->send("POST /def/race HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb");
$conn->read_request;
$conn->close;
is $b{def}->accept(0.5), undef, 'a POST is not';
is $c->read_response->{status}, 502, 'it is answered 502';

($res, $conn) = ask('none');
ok $conn->closed(2), 'ProxyCoreKeepAlive off closes';
($res, $conn, $new) = ask('two');
($res, $conn, $new) = ask('two', $conn);
ok !$new, 'requests=2: the second is on the same';
($res, $conn, $new) = ask('two', $conn);
ok $new, 'the third is not';
my $start = now();
($res, $conn) = ask('idle');
ok $conn->closed(3), 'idle=500ms: closed';
my $took = now() - $start;
ok $took > 0.4 && $took < 20, "after $took s" if $conn->eof;

# FastCGI: by default a connection does not pin a process; keep-alive where the configuration says so.
sub ask_fcgi {
    my ($n, $conn, %arg) = @_;
    settled($n);
    my $c = $s->connect;
    $c->send("GET /$n/x HTTP/1.1\r\nHost: a\r\n\r\n");
    ($conn, my $new) = $f{$n}->accept_or($conn, 3) or return;
    my $req = read_fcgi($conn);
    $conn->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok", id => $req->{id}) . ($arg{more} || ''));
    my $res = $c->read_response(timeout => 3);
    return ($req, $res, $conn, $new);
}
my ($req, $r, $fc, $fnew) = ask_fcgi('fdef');
ok !$req->{keep}, 'FastCGI: FCGI_KEEP_CONN is not set where the connection is not used again';
ok $fc->closed(2), 'and it is closed';
($req, $r, $fc, $fnew) = ask_fcgi('fon');
ok $req->{keep}, 'ProxyCoreKeepAlive on sets FCGI_KEEP_CONN';
# Only for requests that follow each other at once: it is given up after some milliseconds, others may wait for the process.
my ($asked, $same) = (1, 0);
poll_until {
    ($req, $r, $fc, $fnew) = ask_fcgi('fon', $fc);
    $asked++;
    $same++ if !$fnew && $req->{keep};
    !$r || $r->{body} ne 'ok' || $same == 4;
} 10;
is $r ? $r->{body} : undef, 'ok', 'FastCGI: every request is answered';
is $same, 4, "four of $asked on the connection of the one before";
is $f{fon}->accepted, $asked - $same, 'and no other connection was made for these';
ask_fcgi('fon', $fc, more => fcgi_end());
($req, $r, $fc, $fnew) = ask_fcgi('fon', $fc);
ok $fnew && $r->{body} eq 'ok', 'FastCGI: a record behind END_REQUEST ends the reuse';
$s->stop;
done_testing;
