#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Buffering: a slow upload occupies no backend, and a slow reader gives it back as soon as it has said all.
# F24 F22 F11
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_stdout);
use ProxyCore::Scripts;
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until let_pass work_dir spew mpm asan rss_kb fd_count backend_program start_child free_port crc32);

my $run = work_dir() . '/run';
my %b = (http => ProxyCore::Backend->new, fcgi => ProxyCore::Backend->new(unix => "$run/f.sock"),
    second => ProxyCore::Backend->new);
my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port);
my $pools = '';
for my $kind (qw(http fcgi)) {
    my $pool = "ProxyCoreProtocol " . ($kind eq 'http' ? 'http' : 'fastcgi') . "\nProxyCoreBackend " . $b{$kind}->address . " max=1\n";
    $pools .= "<ProxyCore $kind>\n${pool}ProxyCoreRequestBuffering on spool=100K\n"
        . "ProxyCoreKeepAlive off\nProxyCoreResponseBuffering on spool=200K\n</ProxyCore>\n";
}
my $threads = "StartServers 1\nServerLimit 1\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 4\n"
    . "MinSpareThreads 1\nMaxSpareThreads 4\nAsyncRequestWorkerFactor 20\n";
my $s = ProxyCore::Server->new(tls => 1, modules => ['deflate', 'reqtimeout', 'ratelimit'], loglevel => 'info proxy_core:trace1', conf => <<"CONF",
$pools
<ProxyCore keep>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreResponseBuffering on
</ProxyCore>
<ProxyCore tight>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreResponseBuffering on spool=64K file=1M
</ProxyCore>
<ProxyCore memory>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreResponseBuffering on spool=512K file=0
    ProxyCoreTimeout idle=2s
</ProxyCore>
<ProxyCore pair>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreBackend @{[$b{second}->address]} backup
    ProxyCoreKeepAlive off
    ProxyCoreRetry 1 on=connect,reset
    ProxyCoreRequestBuffering on spool=10K
</ProxyCore>
<ProxyCore total>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreRequestBuffering on
    ProxyCoreTimeout total=1s
</ProxyCore>
<ProxyCore bare>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]} max=1
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=60s
</ProxyCore>
<ProxyCore filtered>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]} max=1
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=60s
</ProxyCore>
<Location /filtered/>
    SetInputFilter DEFLATE
</Location>
<ProxyCore nobody>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[free_port()]}
    ProxyCoreRequestBuffering on
</ProxyCore>
<ProxyCore echo>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
    ProxyCoreRequestBuffering on spool=64K
    ProxyCoreResponseBuffering on spool=64K
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(http fcgi keep tight memory pair total nobody echo bare filtered)]}
<Location /http/small>
    LimitRequestBody 1000
</Location>
<Location /http/rated>
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 300
</Location>
<Location /http/zip>
    SetOutputFilter DEFLATE
</Location>
LogFormat "%U %{proxy-core-state}n" notes
CustomLog logs/notes notes
RequestReadTimeout body=0
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName impatient
    Timeout 2
</VirtualHost>
<VirtualHost *>
    ServerName timed
    RequestReadTimeout body=2
</VirtualHost>
CONF
    mpm() eq 'prefork' ? () : (mpm_conf => $threads))->start;
spew($s->docroot . '/static.txt', "static\n");
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

# The request that a backend connection brings, and its body.
sub asked {
    my ($kind, $k) = @_;
    return (undef, undef) if !$k;
    my $req = $kind eq 'fcgi' ? read_fcgi($k) : $k->read_request;
    return ($req, $kind eq 'fcgi' ? $req->{stdin} : $req->{body});
}

sub answer { my ($kind, $text) = @_; return $kind eq 'fcgi' ? fcgi_answer($text) : "HTTP/1.1 200 OK\r\n$text" }

sub pattern { my ($n) = @_; return substr join('', map { sprintf '%07d,', $_ } 0 .. $n / 8), 0, $n }

my ($c, $c2, $k, $k2, $req, $body, $res, $start);

# ------------------------------------------------------------------ requests

# While a client sends slowly the only place of the backend is free for others.
for my $kind (qw(http fcgi)) {
    for my $chunked (0, 1) {
        $c = $s->connect;
        $c->send("POST /$kind/up HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
            . ($chunked ? "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" : "Content-Length: 11\r\n\r\nhello"));
        is $b{$kind}->accept(0.3), undef, "$kind: no backend is asked while the upload goes on";
        $c2 = $s->connect;
        $c2->send("GET /$kind/other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        $k2 = $b{$kind}->accept;
        ok $k2, "$kind: its place is another's";
        asked($kind, $k2);
        $k2->send(answer($kind, "Content-Length: 2\r\n\r\nok"));
        is $c2->read_response->{status}, 200, 'who is served meanwhile';
        $k2->close;
        $c->send($chunked ? "6\r\n world\r\n0\r\n\r\n" : ' world');
        $k = $b{$kind}->accept;
        ($req, $body) = asked($kind, $k);
        is $body, 'hello world', "$kind: then the whole body";
        is $kind eq 'fcgi' ? $req->{params}{CONTENT_LENGTH} : $req->{head}->h('Content-Length'), 11, 'with its length';
        is $req->{head}->h('Transfer-Encoding'), undef, 'and no coding' if $kind eq 'http';
        $k->send(answer($kind, "Content-Length: 2\r\n\r\nok"));
        is $c->read_response->{body}, 'ok', 'answered';
        $k->close;
    }
}

# The same without buffering, where the body's length must be known first: nobody holds a process until it is.
for my $case (['bare', 'fcgi'], ['filtered', 'http']) {
    my ($pool, $kind) = @$case;
    my $coding = $kind eq 'fcgi' ? "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" : "Content-Length: 11\r\n\r\nhello";
    my $rest = $kind eq 'fcgi' ? "6\r\n world\r\n0\r\n\r\n" : ' world';
    my @slow = map { my $u = $s->connect; $u->send("POST /$pool/up HTTP/1.1\r\nHost: a\r\n$coding"); $u } 1 .. 6;
    is $b{$kind}->accept(0.3), undef, "$pool: six slow uploads, and no backend is asked";
    $c2 = $s->connect;
    $c2->send("GET /$pool/other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    $k2 = $b{$kind}->accept;
    ok $k2, 'its place is another\'s';
    asked($kind, $k2);
    $_->close for splice @slow, 3; # some leave before they have said it all
    $_->send($rest) for @slow;
    is $b{$kind}->accept(0.2), undef, 'who has said it all waits for the place';
    $k2->send(answer($kind, "Content-Length: 2\r\n\r\nok"));
    is $c2->read_response->{status}, 200, 'which becomes free';
    $k2->close;
    for my $n (1 .. 3) {
        $k = $b{$kind}->accept;
        ($req, $body) = asked($kind, $k);
        is $body, 'hello world', "upload $n";
        $k->send(answer($kind, "Content-Length: 2\r\n\r\nok"));
        $k->close;
    }
    is_deeply [map { $_->read_response->{status} } @slow], [200, 200, 200], 'all are answered';
    is $b{$kind}->accept(0.1), undef, 'nobody is asked for those who have left';
}

# 100 is answered here and at once. F22
$c = $s->connect;
$c->send("POST /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
ok $c->read_until(qr/^HTTP\/1\.1 100 .*\r\n\r\n/, 2), '100 without a backend';
is $b{http}->accept(0.2), undef, 'none is asked';
$c->send('hello');
$k = $b{http}->accept;
($req, $body) = asked('http', $k);
is $body, 'hello', 'the body';
is $req->{head}->h('Expect'), undef, 'without Expect';
$k->send($ok);
is $c->read_response->{status}, 200, 'answered';
$k->close;

# LimitRequestBody: before a byte is invited, or when it turns out; no backend either way.
for my $case (["Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 'by its length'],
    ["Transfer-Encoding: chunked\r\n\r\n3e9\r\n" . 'x' x 1001 . "\r\n0\r\n\r\n", 'by its chunks']) {
    $c = $s->connect;
    $c->send("POST /http/small HTTP/1.1\r\nHost: a\r\n$case->[0]");
    $res = $c->read_response;
    is $res->{status}, 413, "413 $case->[1]";
    is scalar @{ $res->{interim} }, 0, 'not invited';
    is $b{http}->accept(0.2), undef, 'no backend is asked';
}

# Malformed, or ended early by the client: nobody is asked.
$c = $s->connect;
$c->send("POST /http/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloZZ");
is $c->read_response->{status}, 400, 'a malformed chunk: 400';
is $b{http}->accept(0.2), undef, 'no backend is asked';
{
    my ($child) = $s->children;
    my $fds = fd_count($child);
    for (1 .. 5) {
        $c = $s->connect;
        $c->send("POST /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" . 'x' x 300_000);
        $c->close;
    }
    is $b{http}->accept(0.3), undef, 'clients that leave: no backend is asked';
    ok poll_until(sub { fd_count($child) <= $fds + 1 }), 'and no file is left' if mpm() eq 'event';
}

# Large ones, byte for byte, beyond what is kept in memory; a chunk at a time.
$body = pattern(3_000_000);
my $sum = crc32($body);
for my $how ([], [chunked => 1000], [tls => 1], [tls => 1, chunked => 50_000]) {
    $res = $s->request('POST', '/echo/', body => $body, @$how);
    like $res->{body}, qr/^app\.body=3000000$/m, "3 MB (@$how)";
    like $res->{body}, qr/crc=$sum/, 'byte for byte';
}
$res = ProxyCore::Client->fetch($s, 'POST', '/echo/', front => 'h2', body => $body);
like $res->{body}, qr/crc=$sum/, 'over HTTP/2';
$res = ProxyCore::Client->fetch($s, 'POST', '/echo/', front => 'h2', body => $body, chunked => 1);
like $res->{body}, qr/crc=$sum/, 'without a length';
is $s->request('POST', '/echo/', body => '')->{status}, 200, 'an empty body';

# What was read can be sent again.
for my $size (5, 50_000) {
    my $text = pattern($size);
    $c = $s->connect;
    $c->send("PUT /pair/x HTTP/1.1\r\nHost: a\r\nContent-Length: $size\r\n\r\n$text");
    $k = $b{http}->accept;
    (undef, $body) = asked('http', $k);
    is $body, $text, 'the first backend gets the body';
    $k->close;
    $k = $b{second}->accept(3);
    (undef, $body) = asked('http', $k);
    is $body, $text, "the second one too ($size bytes)";
    $k->send($ok) if $k;
    is $c->read_response->{status}, 200, 'answered';
}

# A client that stops sending: Timeout, or what mod_reqtimeout says, ends it.
for my $host (qw(impatient timed)) {
    $c = $s->connect;
    $start = now();
    $c->send("POST /http/x HTTP/1.1\r\nHost: $host\r\nContent-Length: 10\r\n\r\nx");
    $res = $c->read_response(timeout => 8);
    is $res->{status}, 408, "$host: 408";
    cmp_ok now() - $start, '<', 30, 'in time';
    ok $c->closed(4), 'and the connection is closed';
    is $b{http}->accept(0.1), undef, 'no backend is asked';
}

# total= counts the upload; nobody rests for it.
$c = $s->connect;
$start = now();
$c->send("POST /total/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx");
is $c->read_response(timeout => 5)->{status}, 504, 'total= is over before the upload is';
cmp_ok now() - $start, '<', 20, 'in time';
is $b{http}->accept(0.1), undef, 'no backend is asked';
# Where nobody is left to ask, it turns out behind the upload.
$res = $s->request('POST', '/nobody/x', body => 'x' x 200_000, timeout => 5);
is $res->{status}, 503, 'no backend: 503';
ok $res->{head}->h('Retry-After'), 'with Retry-After';

# Forty slow uploads on four threads hold none of them. D18
if (mpm() eq 'event') {
    my @slow = map { my $u = $s->connect; $u->send("POST /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx"); $u } 1 .. 40;
    poll_until { 0 } 0.2;
    is $s->get('/static.txt', timeout => 3)->{body}, "static\n", 'forty slow uploads hold no thread';
    $_->close for @slow;
}

# ------------------------------------------------------------------ answers

# The lease that pool $kind had since $mark is given back.
sub given_back {
    my ($kind, $mark) = @_;
    return $s->wait_log(qr/PXC0404: pool $kind: backend .* is given back/, 8, $mark);
}
my $mark;

# The backend is free when it has said all, though the client has read nothing.
my $size = 8_000_000;
my $big = pattern($size);
# (A process of prefork keeps its connections to itself.)
for my $kind (qw(http fcgi), mpm() eq 'prefork' ? () : 'keep') {
    for my $tls (0, 1) {
        $b{keep} = $b{http};
        $c = $s->connect(tls => $tls, $tls ? () : (rcvbuf => 16384));
        $mark = $s->mark;
        $c->send("GET /$kind/big HTTP/1.1\r\nHost: a\r\n\r\n");
        $k = $b{$kind}->accept;
        asked($kind, $k);
        is $k->send(answer($kind, "Content-Length: $size\r\n\r\n$big"), 8), length answer($kind, "Content-Length: $size\r\n\r\n$big"),
            "$kind" . ($tls ? ' TLS' : '') . ': the backend is rid of its answer';
        ok given_back($kind, $mark), 'and given back';
        $c2 = $s->connect;
        $c2->send("GET /$kind/other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        $k2 = $kind eq 'keep' ? $k : $b{$kind}->accept(3);
        (my $other) = asked($kind, $k2);
        ok $other, 'and asked by another client' . ($kind eq 'keep' ? ' over the same connection' : '');
        $k2->send(answer($kind, "Content-Length: 2\r\n\r\nok"));
        is $c2->read_response->{status}, 200, 'who is served';
        $k2->close if $k2 != $k;
        $res = $c->read_response(timeout => 20);
        ok $res->{body} eq $big, 'the slow reader gets all of it, in order';
        $c->send("GET /static.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        is $c->read_response->{body}, "static\n", 'and goes on';
        $k->close;
    }
}

# It streams all the same.
$c = $s->connect;
$c->send("GET /http/events HTTP/1.1\r\nHost: a\r\n\r\n");
$k = $b{http}->accept;
asked('http', $k);
$k->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
ok $c->read_until(qr/\r\n\r\n/, 2), 'the head is passed on before the body';
for my $i (1 .. 3) {
    $k->send("7\r\nevent $i\r\n");
    ok $c->read_until(qr/event $i/, 2), "event $i, before the next";
}
$k->send("0\r\n\r\n");
ok $c->read_until(qr/0\r\n\r\n/, 2), 'the end';
$k->close;

# Past the file's bound the backend waits.
$c = $s->connect(rcvbuf => 16384);
$c->send("GET /tight/x HTTP/1.1\r\nHost: a\r\n\r\n");
$k = $b{http}->accept;
asked('http', $k);
$k->send("HTTP/1.1 200 OK\r\nContent-Length: 24000000\r\n\r\n");
my $sent = $k->send($big x 3, 2);
cmp_ok $sent, '<', 16_000_000, "the backend is stopped past the bound (after $sent bytes)";
is $s->get('/static.txt')->{status}, 200, 'others are served';
{
    my $got = '';
    my $more = ($big x 3);
    $c->read_until(qr/\r\n\r\n/);
    while (length $got < 24_000_000) {
        my $bytes = $c->read_some(0.05);
        last if $bytes eq '' && $c->eof;
        $got .= $bytes;
        $sent += $k->send(substr($more, $sent, 24_000_000 - $sent), 0) if $sent < 24_000_000;
    }
    ok $got eq substr($more, 0, 24_000_000), 'and goes on when the client does: all arrives, in order';
}
$k->close;
$c->close;

# Where only memory is used; and a time that the backend is made to wait is not its own.
$c = $s->connect(rcvbuf => 16384);
$c->send("GET /memory/x HTTP/1.1\r\nHost: a\r\n\r\n");
$k = $b{http}->accept;
asked('http', $k);
$k->send("HTTP/1.1 200 OK\r\nContent-Length: 24000000\r\n\r\n");
$sent = $k->send($big x 3, 1);
let_pass(2.5);
cmp_ok $sent, '<', 16_000_000, 'file=0: the backend waits';
{
    my $left = substr($big x 3, $sent);
    my $job = ProxyCore::Util::in_background { $k->send($left, 10); return 'sent' };
    $res = $c->read_response(timeout => 15);
    ok $res->{body} eq $big x 3, 'longer than idle=, and all arrives';
    ProxyCore::Util::wait_background($job);
}
$k->close;

# Cut short: what came is the client's, then the answer ends as a cut one. F23
for my $kind (qw(http fcgi)) {
    for my $tls (0, 1) {
        $c = $s->connect(tls => $tls, $tls ? () : (rcvbuf => 16384));
        $c->send("GET /$kind/cut HTTP/1.1\r\nHost: a\r\n\r\nGET /static.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        $k = $b{$kind}->accept;
        asked($kind, $k);
        $k->send($kind eq 'http' ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n", $size) . $big
            : fcgi_stdout("Content-Type: text/plain\r\n\r\n$big"), 8);
        $k->close;
        poll_until { 0 } 0.1;
        $res = $c->read_response(timeout => 10);
        is $res->{complete}, 0, "$kind" . ($tls ? ' TLS' : '') . ': an answer cut short is not whole';
        is length $res->{body}, $size, 'what came of it did arrive' if !$tls || $res->{body} ne '';
        ok $res->{body} eq substr($big, 0, length $res->{body}), 'in order, and nothing else';
        ok $c->closed(3) || $c->eof, 'the connection ends';
    }
}

# HEAD, 204, 304: no body, the connection is kept.
for my $case (['HEAD', "200 OK\r\nContent-Length: 100", 200], ['GET', '204 No Content', 204], ['GET', '304 Not Modified', 304]) {
    $c = $s->connect;
    $c->send("$case->[0] /keep/x HTTP/1.1\r\nHost: a\r\n\r\n");
    $k = $b{http}->accept;
    asked('http', $k);
    $k->send("HTTP/1.1 $case->[1]\r\n\r\n");
    $res = $c->read_response(method => $case->[0]);
    is $res->{status}, $case->[2], "$case->[0] $case->[2]";
    ok $c->quiet(0.1), 'no body, not closed';
    next if mpm() eq 'prefork' && !$k->close;
    $c->send("GET /keep/y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    ok $k->read_request(timeout => 3), 'the backend is asked over the same connection';
    $k->send($ok);
    is $c->read_response->{body}, 'ok', 'the next answer';
    $k->close;
}

# Through a filter that buffers, too.
$c = $s->connect(rcvbuf => 16384);
$c->send("GET /http/zip HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
$k = $b{http}->accept;
asked('http', $k);
is $k->send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: $size\r\n\r\n$big", 10), $size + 70, 'mod_deflate behind: taken';
$res = $c->read_response(timeout => 15);
is $res->{complete}, 1, 'and passed on whole';
require Compress::Zlib;
ok +(Compress::Zlib::memGunzip($res->{body}) || '') eq $big, 'unpacks to what the backend sent';
$k->close;

# mod_ratelimit waits in the thread; the backend does not.
$mark = $s->mark;
$start = now();
$c = $s->connect;
$c->send("GET /http/rated HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
$k = $b{http}->accept;
asked('http', $k);
$k->send("HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" . substr($big, 0, 600_000), 5);
ok given_back('http', $mark), 'mod_ratelimit: the backend is given back';
$res = $c->read_response(timeout => 10);
ok $res->{body} eq substr($big, 0, 600_000), 'the client gets all of it';
cmp_ok now() - $start, '>', 1, 'slowly';
$k->close;

# A client that leaves while it is still owed something, and one that never reads: nothing stays.
{
    my ($child) = $s->children;
    my $before = fd_count($child);
    my @gone = map {
        my $one = $s->connect(rcvbuf => 16384);
        $one->send("GET /http/gone HTTP/1.1\r\nHost: " . ($_ == 1 ? 'impatient' : 'a') . "\r\n\r\n");
        $k = $b{http}->accept;
        asked('http', $k);
        $k->send("HTTP/1.1 200 OK\r\nContent-Length: $size\r\n\r\n$big", 8);
        $k->close;
        $one;
    } 1 .. 3;
    $gone[1]->close;
    $gone[2]->reset;
    my $notes = work_dir() . '/server/logs/notes';
    ok poll_until(sub { (() = ProxyCore::Util::slurp($notes) =~ m{^/http/gone client-}mg) == 3 }, 8), 'clients that leave, and one that takes nothing'
        or diag ProxyCore::Util::slurp($notes);
    $res = $gone[0]->read_response(timeout => 5);
    is $res->{complete}, 0, 'who is too slow gets no whole answer';
    $_->{sock} && $_->close for @gone;
    ok poll_until(sub { fd_count($child) <= $before + 2 }, 5), 'no descriptor is left' if mpm() eq 'event';
}

# Slow readers hold neither threads nor backends. D18
if (mpm() eq 'event') {
    my @slow = map {
        my $one = $s->connect(rcvbuf => 16384);
        $one->send("GET /http/slow HTTP/1.1\r\nHost: a\r\n\r\n");
        $k = $b{http}->accept;
        asked('http', $k);
        $k->send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: $size\r\n\r\n$big", 8);
        $k->close;
        $one;
    } 1 .. 8;
    is $s->get('/static.txt', timeout => 3)->{body}, "static\n", 'eight slow readers on four threads: others are served';
    # A graceful restart lets them end.
    $s->graceful(nowait => 1);
    my @whole = grep { my $r = $_->read_response(timeout => 20); $r->{complete} && $r->{body} eq $big } @slow;
    is scalar @whole, 8, 'and each gets all of it, through a graceful restart';
    $s->wait_log(qr/resuming normal operations/, 10);
}

# HTTP/2: the backend is free as well, when it has said all.
{
    my $base = work_dir() . '/slow';
    my $pid = start_child('curl', '-s', '--http2-prior-knowledge', '--limit-rate', '2M', '-o', $base, '-w', '%{http_code}',
        'http://127.0.0.1:' . $s->port . '/keep/big');
    $mark = $s->mark;
    $k = $b{http}->accept;
    asked('http', $k);
    is $k->send("HTTP/1.1 200 OK\r\nContent-Length: $size\r\n\r\n$big", 8), $size + 44, 'HTTP/2: the backend is rid of its answer';
    ok given_back('keep', $mark), 'and given back';
    cmp_ok -s $base || 0, '<', $size, 'before the client has read it';
    $c2 = $s->connect;
    $c2->send("GET /keep/other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    $k2 = mpm() eq 'prefork' ? $b{http}->accept(3) : $k;
    ok $k2->read_request(timeout => 3), 'and asked again';
    $k2->send($ok);
    is $c2->read_response->{status}, 200, 'by another';
    poll_until { waitpid($pid, POSIX::WNOHANG()) > 0 } 20;
    ProxyCore::Util::forget_child($pid);
    ok ProxyCore::Util::slurp($base) eq $big, 'the client gets all of it';
    $k->close;
    # A stream that pauses gets what there is.
    my $f = ProxyCore::Client->start($s, 'GET', '/http/drops', front => 'h2');
    $k = $b{http}->accept;
    asked('http', $k);
    $k->send("HTTP/1.1 200 OK\r\nContent-Length: 100010\r\n\r\n" . 'x' x 100_000);
    ok poll_until(sub { length $f->body_so_far == 100_000 }, 3), 'HTTP/2: a pause lets the client have what came';
    $k->send('0123456789');
    is length $f->finish->{body}, 100_010, 'then the rest';
    $k->close;
    # Cut.
    $f = ProxyCore::Client->start($s, 'GET', '/http/cut', front => 'h2');
    $k = $b{http}->accept;
    asked('http', $k);
    $k->send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" . 'x' x 100_000);
    $k->close;
    $res = $f->finish;
    is $res->{complete}, 0, 'HTTP/2: cut short';
}

# Memory: many MB held back for one client cost the child what spool= says, and no more.
if (!asan() && mpm() eq 'event') {
    my ($child) = sort { $b <=> $a } $s->children;
    my $before = rss_kb($child);
    $c = $s->connect(rcvbuf => 16384);
    $c->send("GET /http/big HTTP/1.1\r\nHost: a\r\n\r\n");
    $k = $b{http}->accept;
    asked('http', $k);
    $k->send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 40000000\r\n\r\n", 5);
    is $k->send(substr($big x 5, 0, 40_000_000), 10), 40_000_000, '40 MB are taken for a client that reads nothing';
    my $kb = rss_kb($child) - $before;
    cmp_ok $kb, '<', 2500, "the child grew by $kb KB";
    $c->close;
    $k->close;
}

$s->stop;

# The one script that may run at a time has ended, whoever reads or sends slowly. P7
{
    my $cgi = work_dir() . '/cgi';
    mkdir $cgi;
    chmod 0755, $cgi;
    ProxyCore::Scripts::perl($cgi, 'big', 'print "Content-Type: text/plain\n\n", "x" x 8_000_000;');
    ProxyCore::Scripts::perl($cgi, 'echo', 'local $/; my $in = <STDIN>; print "Content-Type: text/plain\n\n", length $in;');
    my $cs = ProxyCore::Scripts::server(conf => ProxyCore::Scripts::group('cgi', $cgi, "SpawnProcesses 1 1\n",
        pool => "    ProxyCoreResponseBuffering on\n    ProxyCoreRequestBuffering on\n")
        . "<Location /cgi/>\n    SetHandler proxy-core:cgi\n</Location>\n")->start;
    my $reader = $cs->connect(rcvbuf => 16384);
    $reader->send("GET /cgi/big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    my $sender = $cs->connect;
    $sender->send("POST /cgi/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nConnection: close\r\n\r\nx");
    is $cs->request('POST', '/cgi/echo', body => 'hello', timeout => 8)->{body}, 5, 'CGI: a slow reader and a slow sender keep no script';
    $sender->send('x' x 99);
    is $sender->read_response->{body}, 100, 'the slow sender is served';
    is length $reader->read_response(timeout => 15)->{body}, 8_000_000, 'the slow reader too';
    $cs->stop;
}
done_testing;
