#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What lies between the cases that the other files show: a second try after a head was read, error documents by an
# application, bodies that filters change, limits, a backend that takes no more, descriptors that run out.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Compress::Zlib ();
use IO::Select;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_stdout fcgi_stderr);
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until let_pass best_time work_dir spew mpm asan rss_kb fd_count);

plan skip_all => 'one run is enough' if mpm() ne 'event';

my $run = work_dir() . '/run';
my %b = (
    one => ProxyCore::Backend->new, two => ProxyCore::Backend->new, http => ProxyCore::Backend->new,
    spare => ProxyCore::Backend->new(unix => "$run/t.sock"),
    sock => ProxyCore::Backend->new(unix => "$run/s.sock"), fcgi => ProxyCore::Backend->new(unix => "$run/f.sock"),
);
my $mpm = "StartServers 1\nServerLimit 1\nThreadLimit 8\nThreadsPerChild 8\nMaxRequestWorkers 8\n"
        . "MinSpareThreads 1\nMaxSpareThreads 8\nAsyncRequestWorkerFactor 20\n";
my $conf = <<"CONF";
<ProxyCore pair>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{one}->address]}
    ProxyCoreBackend @{[$b{two}->address]} backup
    ProxyCoreKeepAlive off
    ProxyCoreRetry 1 on=connect,reset
</ProxyCore>
<ProxyCore hasty>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{one}->address]} name=first
    ProxyCoreBackend @{[$b{two}->address]} name=second backup
    ProxyCoreKeepAlive off
    ProxyCoreRetry 1 on=connect,reset
    ProxyCoreTimeout total=60s
</ProxyCore>
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore flood>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreTimeout total=1s
</ProxyCore>
<ProxyCore noisy>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]}
    ProxyCoreTimeout first=1s
</ProxyCore>
<ProxyCore sock>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{sock}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=1s
</ProxyCore>
<ProxyCore heard>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{sock}->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]} name=app
    ProxyCoreTimeout total=30s
</ProxyCore>
<ProxyCore get>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]} name=taken
    ProxyCoreBackend @{[$b{spare}->address]} name=spare backup
</ProxyCore>
<ProxyCore delete>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]} name=taken
    ProxyCoreBackend @{[$b{spare}->address]} name=spare backup
</ProxyCore>
<ProxyCore brief>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]} name=brief
    ProxyCoreTimeout total=1s
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(pair hasty http flood noisy sock heard fcgi get delete brief)]}
<Location /http/doc>
    ErrorDocument 502 /http/sorry
</Location>
<Location /http/inflate>
    SetInputFilter DEFLATE
</Location>
<Location /fcgi/inflate>
    SetInputFilter DEFLATE
</Location>
<Location /http/small>
    LimitRequestBody 10
</Location>
<Location /pages>
    SetHandler proxy-core-status
</Location>
<Location /http/packed>
    SetOutputFilter DEFLATE
</Location>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName impatient
    Timeout 2
</VirtualHost>
CONF
my $s = ProxyCore::Server->new(modules => ['deflate'], protocols => 'http/1.1', mpm_conf => $mpm, tls => 1, conf => $conf)->start;
spew($s->docroot . '/static.txt', "static\n");
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
my ($c, $k, $req, $res, $start);

# A head that was read, and not passed on, leaves nothing behind for the try that follows. F8
$c = $s->connect;
$c->send("GET /pair/a HTTP/1.1\r\nHost: a\r\n\r\n");
$k = $b{one}->accept;
$k->read_request;
$k->send("HTTP/1.1 203 Mine\r\nX-First: 1\r\nSet-Cookie: first=1\r\nContent-Type: text/first\r\nDate: Thu, 01 Jan 2004 00:00:00 GMT\r\n"
    . "Transfer-Encoding: chunked\r\n\r\nZZ\r\n");
$k = $b{two}->accept;
ok $k, 'a malformed body behind an unseen head: another backend is tried';
$k->read_request;
ok $c->quiet(0.3), 'nothing of the first answer reaches the client while the second backend thinks';
$k->send("HTTP/1.1 200 OK\r\nX-Second: 2\r\nContent-Length: 2\r\n\r\nok");
$res = $c->read_response;
is $res->{status}, 200, 'the second status';
is $res->{body}, 'ok', 'the second body';
is $res->{head}->h('X-Second'), '2', 'the second head';
is $res->{head}->h($_), undef, "no $_ of the first" for qw(X-First Set-Cookie Content-Type);
unlike $res->{head}->h('Date'), qr/2004/, 'nor its Date';
is $res->{reason}, 'OK', 'nor its reason phrase';

# An error document is a request without a body, whoever read the body of the one that failed.
$c = $s->connect;
$c->send("POST /http/doc HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
$k = $b{http}->accept;
$k->read_request;
$k->close;
$k = $b{http}->accept(3);
ok $k, 'the error document is asked for';
$req = $k->read_request(timeout => 2);
is $req->{method}, 'GET', 'with GET';
is $req->{head}->h('Content-Length'), undef, 'without the length of a body that is gone';
$k->send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsorry");
$res = $c->read_response(timeout => 3);
is "$res->{status} $res->{body}", '502 sorry', 'and answers';

# The length of a body that a filter changes is not the client's Content-Length. F11
my $plain = join '', map { "line $_\n" } 1 .. 3000;
my $packed = Compress::Zlib::memGzip($plain);
for my $kind (qw(http fcgi)) {
    $c = $s->connect;
    $c->send("POST /$kind/inflate HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: " . length($packed)
        . "\r\n\r\n$packed");
    $k = $b{$kind}->accept;
    $req = $kind eq 'http' ? $k->read_request : read_fcgi($k);
    my $body = $kind eq 'http' ? $req->{body} : $req->{stdin};
    is length($body || ''), length $plain, "$kind: a body that was inflated arrives whole";
    is $req->{params}{CONTENT_LENGTH}, length $plain, 'fcgi: CONTENT_LENGTH is its own' if $kind eq 'fcgi';
    $k->send($kind eq 'http' ? $ok : fcgi_answer("Content-Type: text/plain\r\n\r\nok"));
    $k->close;
    is $c->read_response->{body}, 'ok', "$kind: answered";
}

# A body over LimitRequestBody is refused before anybody is asked, and not invited. F22
$c = $s->connect;
$c->send("POST /http/small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
$res = $c->read_response;
is $res->{status}, 413, 'LimitRequestBody';
is scalar @{ $res->{interim} }, 0, 'no 100';
is $b{http}->accept(0.2), undef, 'no backend is asked';

# A client that asked for 100 and then begins by itself ends the wait. F22
my $best = best_time {
    $c = $s->connect;
    $c->send("POST /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    $k = $b{http}->accept;
    $k->read_request(body => 0);
    let_pass(0.15);
    $c->send('hello');
    is $k->read_bytes(5, 3), 'hello', 'a client that does not wait for 100 after all';
    $k->send($ok);
    $res = $c->read_response;
    is $res->{status}, 200, 'answered';
} 0.7;
cmp_ok $best, '<', 0.7, 'its body is forwarded when it comes';
is scalar @{ $res->{interim} }, 0, 'without an interim answer that came too late';
# The same where the invitation is ours.
$c = $s->connect;
$c->send("POST /fcgi/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
$k = $b{fcgi}->accept;
is read_fcgi($k)->{stdin}, 'hello', 'fcgi: the body is there already';
$k->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok"));
$k->close;
$res = $c->read_response;
is scalar @{ $res->{interim} }, 0, 'fcgi: who has sent the body is not invited to';
$c->send("GET /static.txt HTTP/1.1\r\nHost: a\r\n\r\n");
is $c->read_response->{body}, "static\n", 'and its connection is kept';

# A backend that takes no more of the body and says nothing is timed out.
$c = $s->connect;
$c->send("POST /sock/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" . 'x' x 100000);
$k = $b{sock}->accept;
$k->read_request(body => 0);
CORE::shutdown($k->sock, 0);
$c->send('x' x 100000);
$start = now();
$res = $c->read_response(timeout => 6);
is $res->{status}, 504, 'a backend that stops reading and is silent: first= ends it';
cmp_ok now() - $start, '<', 20, 'in time';
# One that stops reading and answers is heard.
$c = $s->connect;
$c->send("POST /heard/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" . 'x' x 100000);
$k = $b{sock}->accept;
$k->read_request(body => 0);
CORE::shutdown($k->sock, 0);
$c->send('x' x 100000);
$k->send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
is $c->read_response(timeout => 6)->{status}, 413, 'one that stops reading and answers is heard';

# An upload that turns out malformed after the answer has begun: nothing makes that answer look whole.
$c = $s->connect;
$c->send("POST /http/early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
$k = $b{http}->accept;
$k->read_request(body => 0);
$k->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
ok $c->read_until(qr/part\r\n/, 3), 'the answer begins during the upload';
$c->send("oops\r\n\r\n");
my $rest = $c->read_all(4);
unlike $rest, qr/^0\r\n/m, 'a malformed upload does not complete it';
ok $c->eof, 'the connection ends';

# Bodies of tiny chunks take no more memory than others while they are spooled. F24
SKIP: {
    skip 'a sanitizer takes memory of its own', 2 if asan();
    my ($child) = $s->children;
    my $tiny = "1\r\nx\r\n" x 60000;
    my @up = map { $s->connect } 1 .. 12;
    my $before = rss_kb($child);
    for (@up) {
        $_->send("POST /fcgi/tiny HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n$tiny");
    }
    my @k = map { $b{fcgi}->accept(0.05) } 1 .. 2;
    my $grown = 0;
    poll_until { my $g = rss_kb($child) - $before; my $same = $g == $grown; $grown = $g; poll_until { 0 } 0.2; $same } 5;
    cmp_ok $grown, '<', 12 * 1024, "12 uploads of 60000 chunks of a byte each: $grown KB";
    $_->close for @up;
    $_ && $_->close for @k;
    is $s->get('/static.txt')->{body}, "static\n", 'the server is well';
    while (my $old = $b{fcgi}->accept(0.05)) { $old->close }
}

# A total time that a slow client used up says nothing of a backend that was never asked.
$c = $s->connect;
$c->send("POST /brief/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
$res = $c->read_response(timeout => 5);
is $res->{status}, 504, 'total= while the body is awaited';
my ($line) = $s->get('/pages')->{body} =~ /^(  backend brief .*)$/m;
like $line, qr/ failures=0 /, 'is no failure of the backend';
while (my $old = $b{fcgi}->accept(0.05)) { $old->close }

# Slow readers over TLS of an answer that comes in drops hold no thread: what filters hold is flushed when the client
# takes it. D18
{
    my (@c, @k);
    for (1 .. 12) {
        push @c, $s->connect(tls => 1, rcvbuf => 4096);
        $c[-1]->send("GET /http/drops HTTP/1.1\r\nHost: a\r\n\r\n");
        push @k, $b{http}->accept;
        $k[-1]->read_request;
        $k[-1]->send("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n");
    }
    my %full;
    for my $turn (1 .. 4000) {
        for my $i (grep { !$full{$_} } 0 .. $#k) {
            my $n = syswrite($k[$i]->sock, 'x' x 4000);
            $full{$i} = 1 if !defined $n;
        }
        last if keys %full == @k;
        select undef, undef, undef, 0.002;
    }
    is scalar(keys %full), 12, 'all are full';
    $start = now();
    my $r = eval { $s->get('/static.txt', timeout => 5) } || {};
    is $r->{body}, "static\n", 'twelve TLS clients that do not read leave threads free';
    cmp_ok now() - $start, '<', 20, 'at once';
    $_->close for @c, @k;
}

# A reader that takes nothing for as long as Timeout is gone, though the exchange wakes up in between.
my $mark = $s->mark;
$c = $s->connect(rcvbuf => 4096);
$c->send("GET /http/unread HTTP/1.1\r\nHost: impatient\r\n\r\n");
$k = $b{http}->accept;
$k->read_request;
$k->send("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n");
$start = now();
1 while defined syswrite($k->sock, 'x' x 65536) || now() - $start < 0.5;
ok poll_until(sub { $k->read_some(0.1); $k->eof || defined $k->error }, 8), 'a client that takes nothing is given up';
cmp_ok now() - $start, '>', 1.5, 'not before Timeout';
ok $s->wait_log(qr/PXC0402/, 5, $mark), 'the log says so';
$_->close for $c, $k;

# total= ends a request when it is over; it does not keep a failure before from being made good. F8
$c = $s->connect;
$c->send("GET /hasty/a HTTP/1.1\r\nHost: a\r\n\r\n");
$k = $b{one}->accept;
$k->read_request;
poll_until { 0 } 0.1;
$k->close;
$k = $b{two}->accept(3);
ok $k, 'a reset before total= is over: another backend is tried';
$k->read_request;
$k->send($ok);
is $c->read_response->{status}, 200, 'and answers';

# An error document that fails itself is not asked for again.
$c = $s->connect;
$c->send("GET /http/doc HTTP/1.1\r\nHost: a\r\n\r\n");
my $asked = 0;
# until the answer is there
while (my ($conn) = $b{http}->accept_or($c, 5)) {
    last if $conn == $c;
    $asked++;
    $conn->read_request;
    $conn->close;
}
is $asked, 2, 'a failing error document is asked for once';
is $c->read_response->{status}, 502, 'and the first error is answered';

# A process that ends with some of the request unread may have acted on it: who only asks is served by another one.
for my $method (qw(GET DELETE)) {
    $c = $s->connect;
    $c->send("$method /" . lc($method) . "/x HTTP/1.1\r\nHost: a\r\n\r\n");
    $k = $b{fcgi}->accept;
    my $peek = '';
    poll_until { recv($k->sock, $peek, 65536, 2); length $peek > 100 } 3;
    sysread $k->sock, $peek, length($peek) - 8; # the end of its input is nothing to PHP
    $k->close;
    $k = $b{spare}->accept($method eq 'GET' ? 3 : 0.5);
    is defined $k ? 1 : 0, $method eq 'GET' ? 1 : 0, "$method: " . ($method eq 'GET' ? 'asked again' : 'not sent twice');
    if ($k) {
        read_fcgi($k);
        $k->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok"));
        $k->close;
    }
    is $c->read_response->{status}, $method eq 'GET' ? 200 : 502, "$method: answered";
}

# A 304 made here of what a CGI-like application says keeps its fields, and the connection. F23
$c = $s->connect;
for my $turn (1, 2) {
    $c->send("GET /fcgi/etag HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"v1\"\r\n\r\n");
    $k = $b{fcgi}->accept;
    read_fcgi($k);
    $k->send(fcgi_answer("Content-Type: text/plain\r\nETag: \"v1\"\r\nCache-Control: max-age=5\r\nContent-Length: 4\r\n\r\nbody"));
    $k->close;
    $res = $c->read_response;
    is $res->{status}, 304, "304 ($turn)";
    is $res->{head}->h('ETag'), '"v1"', 'with its ETag';
    is $res->{head}->h('Cache-Control'), 'max-age=5', 'and Cache-Control';
    is $res->{head}->h('Content-Length'), undef, 'without a length';
}

# A local redirect of an upload that nobody read to its end: answered, and what remains is no request.
$c = $s->connect;
$c->send("POST /fcgi/move HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" . 'y' x 50000);
$k = $b{fcgi}->accept;
read_fcgi($k, stdin => 0);
$k->send(fcgi_answer("Location: /static.txt\r\n\r\n"));
$res = $c->read_response;
is $res->{body}, "static\n", 'a local redirect during an upload';
$c->send("GET /pages HTTP/1.1\r\nHost: a\r\n\r\n");
unlike $c->read_all(4), qr/HTTP/, 'what follows is not answered';
$k->close;

# A body that nobody wants is not read for ever.
for my $what (['HEAD', '', "Content-Type: text/plain\r\n\r\n", 200], ['GET', '', "Location: /static.txt\r\n\r\n", 200],
    ['GET', "If-None-Match: \"v1\"\r\n", "Content-Type: text/plain\r\nETag: \"v1\"\r\n\r\n", 304]) {
    my ($method, $fields, $head, $status) = @$what;
    $c = $s->connect;
    $c->send("$method /fcgi/endless HTTP/1.1\r\nHost: a\r\n$fields\r\n");
    $k = $b{fcgi}->accept;
    read_fcgi($k);
    $k->send(fcgi_stdout($head));
    my $sent = 0;
    while ($sent < 8_000_000) {
        my $n = $k->send(fcgi_stdout('x' x 100_000), 2);
        $sent += $n;
        last if $n < 100_000;
    }
    cmp_ok $sent, '<', 6_000_000, "$method, $status: the application is let go";
    is $c->read_response(method => $method)->{status}, $status, 'and the client answered';
    $k->close;
}

# total= ends an answer that never pauses, too.
$b{http}->serve(sub {
    my ($conn) = @_;
    $conn->read_request;
    $conn->send("HTTP/1.1 200 OK\r\n\r\n");
    1 while $conn->send('x' x 262144) == 262144;
});
$start = now();
$c = $s->connect;
$c->send("GET /flood/ HTTP/1.1\r\nHost: a\r\n\r\n");
my $got = 0;
while (!$c->eof && now() - $start < 40) {
    my $some = $c->read_some(1);
    $got += length $some if defined $some;
}
ok $c->eof, 'total= ends an answer that never pauses';
cmp_ok now() - $start, '<', 30, 'in time';
$b{http}->stop_serving;

# So does first= one that only fills the log.
$b{fcgi}->serve(sub {
    my ($conn) = @_;
    read_fcgi($conn);
    1 while $conn->send(fcgi_stderr("noise\n" x 5000)) > 30_000;
});
$start = now();
$c = $s->connect;
$c->send("GET /noisy/ HTTP/1.1\r\nHost: a\r\n\r\n");
is $c->read_response(timeout => 8)->{status}, 504, 'first= ends an application that only writes errors';
cmp_ok now() - $start, '<', 30, 'in time';
cmp_ok scalar($s->grep_log(qr/PXC0440/)), '<', 12_000, 'and the log is bounded';
$b{fcgi}->stop_serving;

# What mod_deflate holds back is seen by the client while the application thinks. F24
$c = $s->connect;
$c->send("GET /http/packed HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
$k = $b{http}->accept;
$k->read_request;
$k->send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" . "first part\n" x 20);
ok $c->read_until(qr/\r\n\r\n/, 3), 'mod_deflate: the head comes at once';
my $bytes = '';
my $inflate = Compress::Zlib::inflateInit(-WindowBits => 31);
my $seen = '';
poll_until {
    $bytes = $c->read_some(0.2);
    $bytes = '' if !defined $bytes;
    while ($bytes =~ s/^([0-9a-f]+)\r\n//i) {
        my $n = hex $1;
        my $part = substr $bytes, 0, $n, '';
        $bytes =~ s/^\r\n//;
        my ($out) = $inflate->inflate($part);
        $seen .= $out;
    }
    length $seen >= 220;
} 3;
is length $seen, 220, 'and so does the first part';
$_->close for $c, $k;

$s->stop;

# No descriptor left: that is no fault of the backend, which is not put to rest for it.
SKIP: {
    my ($soft) = `prlimit --pid $$ --nofile --output SOFT --noheadings 2>/dev/null` =~ /(\d+)/;
    skip 'no prlimit', 3 if !$soft || system("prlimit --pid $$ --nofile=144:");
    my $few = ProxyCore::Server->new(name => 'few', protocols => 'http/1.1', mpm_conf => $mpm, conf => $conf)->start;
    system("prlimit --pid $$ --nofile=$soft:");
    my ($child) = $few->children;
    my $base = fd_count($child);
    my $page = sub { my ($c) = @_; $c->send("GET /pages HTTP/1.1\r\nHost: a\r\n\r\n"); return $c->read_response(timeout => 5) };
    my @idle = ($few->connect);
    $page->($idle[0]);
    while (fd_count($child) < 144 && @idle < 100) {
        push @idle, $few->connect;
        $page->($idle[-1]);
    }
    my $mark = $few->mark;
    $_->send("GET /pair/x HTTP/1.1\r\nHost: a\r\n\r\n") for @idle[1 .. 4];
    my @refused = grep { ($_->read_response(timeout => 5)->{status} || 0) == 503 } @idle[1 .. 4];
    cmp_ok scalar @refused, '>', 2, 'no descriptor for a connection: 503';
    like join("\n", $few->grep_log(qr/PXC0451/, $mark)), qr/short of descriptors/, 'the log says why';
    $_->close for @idle;
    my ($line) = $few->get('/pages')->{body} =~ /^(  backend \S*:$b{one}{port} .*)$/m;
    like $line, qr/state=ok .* failures=0 /, 'the backend is not blamed';
    # httpd's event MPM may crash when it is stopped while it is closing connections: its main thread closes the sockets of
    # threads that are freeing them (close_worker_sockets). Let it finish first.
    my $calm = 0;
    poll_until { $calm = fd_count($child) <= $base + 2 ? $calm + 1 : 0; $calm > 5 } 8;
    $few->stop;
}
done_testing;
