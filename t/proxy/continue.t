#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# 100-continue from end to end: the application decides. Interim answers, and answers that come before the upload ends.
# F21 F22
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_stdout fcgi_end record FCGI_STDIN);
use ProxyCore::Server;
use ProxyCore::Util qw(now work_dir best_time);

my $http = ProxyCore::Backend->new;
my $local = ProxyCore::Backend->new;
my $fcgi = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my $full = ProxyCore::Backend->new;
my $s = ProxyCore::Server->new(conf => <<"CONF")->start;
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$http->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore local>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$local->address]}
    ProxyCoreKeepAlive off
    ProxyCoreExpect local
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$fcgi->address]}
</ProxyCore>
<ProxyCore full>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$full->address]} max=1
    ProxyCoreKeepAlive off
    ProxyCoreQueue 0
</ProxyCore>
<Location /http/>
    ProxyCorePass http
</Location>
<Location /local/>
    ProxyCorePass local
</Location>
<Location /fcgi/>
    ProxyCorePass fcgi
</Location>
<Location /full/>
    ProxyCorePass full
</Location>
CONF

my $head = "Host: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
my ($c, $b, $req, $res);

# The backend invites the body.
$c = $s->connect;
$c->send("POST /http/a HTTP/1.1\r\n$head");
$b = $http->accept;
$req = $b->read_request(body => 0);
is $req->{head}->h('Expect'), '100-continue', 'the backend is asked';
ok $c->quiet(0.15), 'the client is not invited before the backend answers';
$b->send("HTTP/1.1 100 Continue\r\n\r\n");
like $c->read_until(qr/\r\n\r\n/), qr{^HTTP/1\.1 100 }, 'the invitation is relayed';
$c->send('hello');
is $b->read_bytes(5), 'hello', 'then the body flows';
$b->send($ok);
$res = $c->read_response;
is $res->{status}, 200, 'and the answer';
is scalar @{ $res->{interim} }, 0, 'no second 100';

# It declines: no 100, no body.
for my $status (417, 403, 401, 200) {
    $c = $s->connect;
    $c->send("POST /http/a HTTP/1.1\r\n$head");
    $b = $http->accept;
    $b->read_request(body => 0);
    $b->send("HTTP/1.1 $status X\r\nContent-Length: 2\r\n\r\nno");
    $res = $c->read_response;
    is $res->{status}, $status, "a final $status without 100 is relayed";
    is scalar @{ $res->{interim} }, 0, 'the client was not invited';
    ok $b->closed(2), 'the backend got no byte of a body and is closed';
    ok $c->closed(2), 'the client\'s connection ends: it may or may not send the body';
}

# It says nothing: a bounded wait, then the body is sent.
$c = $s->connect;
my $start = now();
$c->send("POST /http/a HTTP/1.1\r\n$head");
$b = $http->accept;
$b->read_request(body => 0);
like $c->read_until(qr/\r\n\r\n/, 4), qr{^HTTP/1\.1 100 }, 'a silent backend: the client is invited after a while';
my $waited = now() - $start;
ok $waited > 0.3 && $waited < 15, "after $waited s";
$c->send('hello');
is $b->read_bytes(5), 'hello', 'the body arrives';
$b->send($ok);
is $c->read_response->{status}, 200, 'answered';

# The client does not wait either.
my $best = best_time {
    $c = $s->connect;
    $c->send("POST /http/a HTTP/1.1\r\n${head}hello");
    $b = $http->accept;
    $b->read_request(body => 0);
    is $b->read_bytes(5, 3), 'hello', 'a body that the client sends uninvited is forwarded';
    $b->send($ok);
    is $c->read_response->{status}, 200, 'answered';
} 0.6;
cmp_ok $best, '<', 0.6, 'without waiting';

# A client of HTTP/1.0 knows no 100.
$best = best_time {
    $c = $s->connect;
    $c->send("POST /http/a HTTP/1.0\r\n${head}hello");
    $b = $http->accept;
    $req = $b->read_request;
    is $req->{head}->h('Expect'), undef, 'HTTP/1.0: Expect is not forwarded';
    is $req->{body}, 'hello', 'the body is';
    $b->send($ok);
    $res = $c->read_response;
    is scalar @{ $res->{interim} }, 0, 'and no interim answer is sent';
} 0.6;
cmp_ok $best, '<', 0.6, 'no stall';

# ProxyCoreExpect local
$c = $s->connect;
$c->send("POST /local/a HTTP/1.1\r\n$head");
like $c->read_until(qr/\r\n\r\n/, 3), qr{^HTTP/1\.1 100 }, 'ProxyCoreExpect local: invited here';
$c->send('hello');
$b = $local->accept;
$req = $b->read_request;
is $req->{head}->h('Expect'), undef, 'the backend is not asked';
is $req->{body}, 'hello', 'it gets the body';
$b->send($ok);
is $c->read_response->{status}, 200, 'answered';

# FastCGI has no 100: invited when a backend is there.
$c = $s->connect;
$c->send("POST /fcgi/a HTTP/1.1\r\n$head");
$b = $fcgi->accept;
like $c->read_until(qr/\r\n\r\n/, 3), qr{^HTTP/1\.1 100 }, 'FastCGI: invited here';
$c->send('hello');
$req = read_fcgi($b);
is $req->{stdin}, 'hello', 'FastCGI: the body arrives';
ok !exists $req->{params}{HTTP_EXPECT}, 'Expect is not exported';
$b->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok"));
$b->close;
is $c->read_response->{body}, 'ok', 'answered';

# Where there is no room the body is not invited.
my $first = $s->connect;
$first->send("GET /full/a HTTP/1.1\r\nHost: a\r\n\r\n");
my $busy = $full->accept;
$busy->read_request;
$c = $s->connect;
$c->send("POST /full/b HTTP/1.1\r\n$head");
$res = $c->read_response;
is $res->{status}, 503, 'a full pool refuses';
is scalar @{ $res->{interim} }, 0, 'without inviting the body';
$busy->send($ok);
is $first->read_response->{status}, 200, 'the first is answered';

# 103 is relayed with its fields, before the final answer.
$c = $s->connect;
$c->send("GET /http/hints HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $http->accept;
$b->read_request;
$b->send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
like $c->read_until(qr/\r\n\r\n/, 3), qr{^HTTP/1\.1 103 [^\r]*\r\nLink: </a\.css>; rel=preload\r\n\r\n$}i, '103 is relayed at once';
$b->send($ok);
$res = $c->read_response;
is $res->{status}, 200, 'and the final answer follows';
is $res->{head}->h('Link'), undef, 'without the fields of the interim one';

$c = $s->connect;
$c->send("GET /fcgi/hints HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $fcgi->accept;
read_fcgi($b);
$b->send(fcgi_stdout("Status: 103 Early Hints\r\nLink: </b>\r\n\r\n") . fcgi_answer("Content-Type: text/plain\r\n\r\nbody"));
$b->close;
$res = $c->read_response;
is scalar @{ $res->{interim} }, 1, 'FastCGI: Status 103 is interim, not final';
is $res->{body}, 'body', 'FastCGI: the final answer follows';

$c = $s->connect;
$c->send("GET /http/hints HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $http->accept;
$b->read_request;
$b->send("HTTP/1.1 103 X\r\nLink: </$_>\r\n\r\n") for 1 .. 10;
$b->send($ok);
$res = $c->read_response;
is $res->{status}, 200, 'ten interim answers pass';
cmp_ok scalar @{ $res->{interim} }, '<=', 10, 'at most ten';

# A client of HTTP/1.0 gets none.
$c = $s->connect;
$c->send("GET /http/hints HTTP/1.0\r\nHost: a\r\n\r\n");
$b = $http->accept;
$b->read_request;
$b->send("HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n$ok");
$res = $c->read_response;
is scalar @{ $res->{interim} }, 0, 'HTTP/1.0: no interim answer';
is $res->{status}, 200, 'but the final one';

# The backend answers while the client still sends.
for my $kind (qw(http fcgi)) {
    $c = $s->connect;
    $c->send("POST /$kind/early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" . 'x' x 20000);
    $b = $kind eq 'http' ? $http->accept : $fcgi->accept;
    $kind eq 'http' ? $b->read_request(body => 0) : read_fcgi($b, stdin => 0);
    $start = now();
    my $bytes = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nearly";
    $b->send($kind eq 'http' ? "HTTP/1.1 413 Too large\r\n$bytes" : fcgi_answer("Status: 413 Too large\r\n$bytes"));
    $res = $c->read_response;
    is $res->{status}, 413, "$kind: an answer during the upload is relayed";
    is $res->{body}, 'early', "$kind: whole";
    cmp_ok now() - $start, '<', 20, "$kind: at once";
    # Nothing completes the upload.
    if ($kind eq 'fcgi') {
        my $rest = $b->read_all(2);
        unlike $rest, qr/\x01\x05\x00\x01\x00\x00..\z/s, 'fcgi: no empty STDIN record completes what the client did not send';
    }
    $b->close;
    ok $c->closed(4) || $c->eof, "$kind: the client's connection ends";
}
$s->stop;
done_testing;
