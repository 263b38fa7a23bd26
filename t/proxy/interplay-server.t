#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What httpd says of a request before and while an application has it: methods and targets, encoded slashes, limits, time
# limits, the scoreboard; forward proxying and older gateways configured beside us.
# F26 F29
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until let_pass now spew mpm free_port);

my $run = work_dir() . '/run';
my %b = (http => ProxyCore::Backend->new, fcgi => ProxyCore::Backend->new(unix => "$run/f.sock"));
my $pools = join '', map { my $k = $_; map { "<ProxyCore $k$_>\n ProxyCoreProtocol " . ($k eq 'http' ? 'http' : 'fastcgi')
    . "\n ProxyCoreBackend @{[$b{$k}->address]}\n ProxyCoreKeepAlive off\n" . ($_ ? " ProxyCoreRequestBuffering on\n" : '')
    . "</ProxyCore>\n<Location /$k$_/>\n ProxyCorePass $k$_\n</Location>\n" } '', 'buf' } sort keys %b;
my $s = ProxyCore::Server->new(tls => 1, modules => [qw(reqtimeout proxy proxy_http proxy_fcgi proxy_connect rewrite)],
    loglevel => 'info proxy_core:debug');
my ($root, $dir) = ($s->docroot, $s->dir);
my $forward = free_port();
$s->{conf} = <<"CONF";
$pools
<ProxyCore one>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]} max=1
    ProxyCoreKeepAlive off
    ProxyCoreQueue 10 timeout=200s
</ProxyCore>
<Location /one/>
    ProxyCorePass one
</Location>
ExtendedStatus on
KeepAliveTimeout 1
<Location /server-status>
    SetHandler server-status
</Location>
<LocationMatch "^/[a-z]+/limited">
    LimitRequestBody 100
</LocationMatch>
RequestReadTimeout header=20 body=0
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName slashes-on
    AllowEncodedSlashes On
</VirtualHost>
<VirtualHost *>
    ServerName slashes-kept
    AllowEncodedSlashes NoDecode
    MergeSlashes off
</VirtualHost>
<VirtualHost *>
    ServerName hurried
    RequestReadTimeout body=1
</VirtualHost>
Listen 127.0.0.1:$forward
<VirtualHost 127.0.0.1:$forward>
    ServerName forward:$forward
    ProxyRequests on
    <Proxy *>
        Require all granted
    </Proxy>
    AllowCONNECT 1-65535
</VirtualHost>
<VirtualHost *>
    ServerName traced
    TraceEnable off
</VirtualHost>
CONF
spew("$root/static.txt", "static\n");
$s->start;
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

# These bytes to httpd: (what the backend $kind is asked or undef, the client's response).
sub ask {
    my ($kind, $text, %arg) = @_;
    my $c = $s->connect(port => $arg{port} || $s->port);
    $c->send($text);
    my $k = $b{$kind}->accept($arg{refused} ? 0.15 : 5);
    my $req;
    if ($k) {
        $req = $kind eq 'http' ? $k->read_request(timeout => 3) : read_fcgi($k);
        $k->send($kind eq 'http' ? $ok : fcgi_answer("Content-Type: text/plain\r\n\r\nok"));
        $k->close;
    }
    return ($req, $c->read_response(timeout => 5, method => $arg{method}));
}
sub get {
    my ($kind, $path, $host, %arg) = @_;
    return ask($kind, "GET $path HTTP/1.1\r\nHost: " . ($host || 'localhost') . "\r\n\r\n", %arg);
}
my ($req, $res, $c, $k);

# Encoded slashes, slashes that follow each other, dots.
for my $kind (sort keys %b) {
    my $uri = sub { my ($r) = @_; return $r ? $kind eq 'http' ? $r->{target} : $r->{params}{REQUEST_URI} : undef };
    my $path = sub { my ($r) = @_; return $kind eq 'http' ? 'http' : ($r->{params}{SCRIPT_NAME} || '') . ($r->{params}{PATH_INFO} || '') };
    ($req, $res) = get($kind, "/$kind/a%2fb", undef, refused => 1);
    is $res->{status}, 404, "$kind: AllowEncodedSlashes off";
    ok !$req, 'the backend is not asked';
    ($req, $res) = get($kind, "/$kind/a%2Fb", 'slashes-on');
    is $uri->($req), "/$kind/a%2Fb", "$kind: AllowEncodedSlashes on: as the client wrote it";
    is $path->($req), $kind eq 'http' ? 'http' : "/$kind/a/b", 'decoded in the path' ;
    ($req, $res) = get($kind, "/$kind/a%2Fb%2e", 'slashes-kept');
    is $uri->($req), "/$kind/a%2Fb%2e", "$kind: AllowEncodedSlashes NoDecode";
    is $path->($req), $kind eq 'http' ? 'http' : "/$kind/a%2Fb.", 'kept in the path';
    ($req, $res) = get($kind, "/$kind//a///b");
    is $path->($req), $kind eq 'http' ? 'http' : "/$kind/a/b", "$kind: MergeSlashes on";
    ($req, $res) = get($kind, "/$kind//a", 'slashes-kept');
    is $uri->($req), "/$kind//a", "$kind: MergeSlashes off";
    ($req, $res) = get($kind, "/$kind/x/../y/./z?q=/../w");
    my $target = $uri->($req);
    is $path->($req), $kind eq 'http' ? 'http' : "/$kind/y/z", "$kind: dots are gone from the path";
    unlike $target =~ s/\?.*//r, qr{/\.\./}, 'and from the target' if $kind eq 'http';
    for my $evil ("/$kind/../../etc/passwd", "/$kind/%2e%2e/%2e%2e/etc/passwd", "/$kind/..%00/x", "/$kind/%", "/$kind/%zz", "/$kind/\x7f\x01") {
        ($req, $res) = get($kind, $evil, undef, refused => 1);
        ok !$req, "$kind: @{[$evil =~ s/[^ -~]/?/gr]}: not asked";
        like $res->{status}, qr/^40[04]$/, 'refused';
    }
}

# Methods and targets that are httpd's own.
for my $kind (sort keys %b) {
    ($req, $res) = ask($kind, "TRACE /$kind/x HTTP/1.1\r\nHost: localhost\r\nX-Trace: 1\r\n\r\n", refused => 1);
    ok !$req, "$kind: TRACE does not reach a backend";
    is $res->{status}, 200, 'httpd answers it';
    like $res->{body}, qr/^X-Trace: 1/m, 'with what it got';
    ($req, $res) = ask($kind, "TRACE /$kind/x HTTP/1.1\r\nHost: traced\r\n\r\n", refused => 1);
    is $res->{status}, 405, "$kind: TraceEnable off";
    ($req, $res) = ask($kind, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", refused => 1);
    ok !$req && $res->{status} == 200, 'OPTIONS * is httpd\'s';
    ($req, $res) = ask($kind, "OPTIONS /$kind/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ok $req, "$kind: OPTIONS of a path is the application's";
    ($req, $res) = ask($kind, "CONNECT /$kind/x HTTP/1.1\r\nHost: localhost\r\n\r\n", refused => 1);
    ok !$req, "$kind: CONNECT is refused";
    like $res->{status}, qr/^40[05]$/, 'with an error';
    ($req, $res) = ask($kind, "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", refused => 1);
    ok !$req && $res->{status} >= 400, 'CONNECT to somewhere';
    ($req, $res) = ask($kind, "FROBNICATE /$kind/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    is $req ? $kind eq 'http' ? $req->{method} : $req->{params}{REQUEST_METHOD} : undef, 'FROBNICATE', "$kind: an unknown method is passed on";
    # An absolute URI names this server; Host is what it says (RFC 9112, 3.2.2).
    ($req, $res) = ask($kind, "GET http://localhost/$kind/abs?x=1 HTTP/1.1\r\nHost: other\r\n\r\n");
    is $req ? $kind eq 'http' ? $req->{target} : $req->{params}{REQUEST_URI} =~ s{^http://localhost}{}r : undef, "/$kind/abs?x=1", "$kind: an absolute URI";
    is $kind eq 'http' ? $req->{head}->h('Host') : $req->{params}{HTTP_HOST}, 'localhost', 'and its host';
    # Where mod_proxy may forward, what it takes is its own.
    ($req, $res) = ask($kind, "GET http://forward:$forward/$kind/x HTTP/1.1\r\nHost: forward\r\n\r\n", port => $forward);
    ok $req, "$kind: beside ProxyRequests on: a URI of this server is served here";
}
($req, $res) = ask('http', 'GET http://127.0.0.1:' . $b{http}{port} . "/http/away HTTP/1.1\r\nHost: forward\r\n\r\n", port => $forward);
ok $req, 'and one of another server is mod_proxy\'s';
is $req->{head}->h('X-Forwarded-For'), undef, 'not ours';

# LimitRequestBody: by length before anybody is asked; a chunked body when it turns out, and never as if it were whole.
for my $kind (map { ($_, $_ . 'buf') } sort keys %b) {
    my $proto = $kind =~ s/buf$//r;
    my $limited = "/$kind/limited";
    ($req, $res) = ask($proto, "POST $limited HTTP/1.1\r\nHost: localhost\r\nContent-Length: 101\r\n\r\n" . 'x' x 101, refused => 1);
    ok !$req, "$kind: too long by its length: nobody is asked";
    is $res->{status}, 413, 'refused';
    ($req, $res) = ask($proto, "POST $limited HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n" . 'x' x 100);
    is $res->{status}, 200, 'as long as it may be';
    $c = $s->connect;
    $c->send("POST $limited HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" . 'x' x 50 . "\r\n");
    $k = $b{$proto}->accept($kind eq 'http' ? 3 : 0.2);
    is $k ? 1 : 0, $kind eq 'http' ? 1 : 0, "$kind: chunked: asked at once or not";
    $c->send("64\r\n" . 'x' x 100 . "\r\n0\r\n\r\n");
    $res = $c->read_response(timeout => 5);
    is $res->{status}, 413, 'refused when it is too long';
    if ($k) {
        my $got = $k->read_all(3);
        ok $k->eof && $got !~ /\r\n0\r\n\r\n\z/, 'and the backend\'s request is cut';
    }
    ok $c->closed(4), 'the client\'s connection is closed';
}
for my $kind (sort keys %b) {
    $res = ProxyCore::Client->fetch($s, 'POST', "/$kind/limited", front => 'h2', body => 'x' x 101);
    # mod_http2 may reset the stream of a body that was not read before curl has seen the answer, as it does with mod_cgid.
    ok $res->{reset} || ($res->{status} || 0) == 413, "$kind: over HTTP/2";
    is $b{$kind}->accept(0.1), undef, 'nobody is asked';
}

# mod_reqtimeout: during an upload to a backend, and not while the request waits for one.
for my $kind (qw(http fcgi httpbuf)) {
    my $proto = $kind =~ s/buf$//r;
    $c = $s->connect;
    my $start = now();
    $c->send("POST /$kind/x HTTP/1.1\r\nHost: hurried\r\nContent-Length: 100\r\n\r\nx");
    $k = $b{$proto}->accept($kind =~ /buf/ ? 0.1 : 3);
    $res = $c->read_response(timeout => 6);
    is $res->{status}, 408, "$kind: an upload that takes too long: 408";
    cmp_ok now() - $start, '<', 30, 'soon';
    ok !$k || $k->closed(2) || $k->read_all(2) ne '', 'the backend is let go';
    $k->close if $k;
}
$c = $s->connect;
$c->send("GET /one/first HTTP/1.1\r\nHost: localhost\r\n\r\n");
$k = $b{fcgi}->accept;
read_fcgi($k);
my $c2 = $s->connect;
$c2->send("POST /one/second HTTP/1.1\r\nHost: hurried\r\nContent-Length: 5\r\n\r\nhello");
let_pass(2.2);
ok $c2->quiet(0.05), 'a request that waits in the queue is not timed out by mod_reqtimeout';

# The scoreboard while requests are parked or wait.
my $page; # event tells of its connections when one of them has been idle for its time: here is one
poll_until { my $idle = $s->connect; $idle->send("GET /static.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"); $idle->read_response;
    $page = $s->get('/server-status?auto')->{body}; mpm() ne 'event' || $page =~ /^BusyWorkers: 1\n.*^ConnsAsyncWaitIO: 2$/ms } 5;
like $page, qr/^BusyWorkers: \d+$/m, 'server-status answers while requests wait';
my ($busy) = $page =~ /^BusyWorkers: (\d+)$/m;
if (mpm() eq 'event') {
    is $busy, 1, 'parked requests are no busy workers';
    like $page, qr/^ConnsAsyncWaitIO: 2$/m, 'but connections that wait';
}
else {
    cmp_ok $busy, '>=', 3, 'waiting requests are busy workers';
    like $s->get('/server-status')->{body}, qr{POST /one/second}, 'and can be seen';
}
# A request is counted when it is over, which is after its client has the answer.
sub accesses { my ($n) = $s->get('/server-status?auto')->{body} =~ /^Total Accesses: (\d+)$/m; return $n }
my ($before, $accesses) = (0, 0);
poll_until { let_pass(0.1); ($before, $accesses) = ($accesses, accesses()); $accesses == $before + 1 };
$k->send(fcgi_answer("Content-Type: text/plain\r\n\r\none"));
$k->close;
is $c->read_response->{body}, 'one', 'the first is answered';
$k = $b{fcgi}->accept;
is read_fcgi($k)->{stdin}, 'hello', 'the second is asked';
$k->send(fcgi_answer("Content-Type: text/plain\r\n\r\ntwo"));
$k->close;
is $c2->read_response->{body}, 'two', 'and answered';
$_->close for $c, $c2;
my ($later, $asked) = (0, 0);
poll_until { let_pass(0.1); $asked++; $later = accesses(); $later - $accesses >= 2 + $asked };
is $later - $accesses, 2 + $asked, 'each request is counted once' if mpm() eq 'event';
unlike $s->get('/server-status?auto')->{body}, qr/^Scoreboard: [^\n]*G/m, 'no worker is left over';

$s->stop;
done_testing;
