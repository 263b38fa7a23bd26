#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Fields behind a body, both ways: who gets them, which, and that they never become fields of a head.
# F11 CVE-2013-5704
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(run_capture poll_until slurp spew);

my $b = ProxyCore::Backend->new;
my $pools = '';
my %more = (plain => '', none => 'ProxyCoreTrailers off', both => 'ProxyCoreTrailers both',
    held => "ProxyCoreTrailers both\nProxyCoreRequestBuffering on\nProxyCoreResponseBuffering on");
for my $name (sort keys %more) {
    $pools .= "<ProxyCore $name>\nProxyCoreProtocol http\nProxyCoreBackend @{[$b->address]} name=$name\n$more{$name}\n</ProxyCore>\n"
        . "<Location /$name/>\nProxyCorePass $name\n</Location>\n";
}
my $s = ProxyCore::Server->new(modules => ['deflate', 'filter'], tls => 1, conf => <<"CONF")->start;
$pools
<Location /plain/deflated>
    ProxyCorePass plain
    SetOutputFilter DEFLATE
</Location>
<Location /both/merged>
    ProxyCorePass both
</Location>
RequestHeader set X-User nobody early
RequestHeader set X-Mine set
LogFormat "%>s %{X-Sum}^to %{X-Up}^ti" seen
CustomLog logs/seen seen
CONF

my $te = "TE: trailers\r\nConnection: TE\r\n";
sub chunked { my ($trailers, @chunks) = @_; return join('', map { sprintf("%x\r\n%s\r\n", length $_, $_) } @chunks) . "0\r\n$trailers\r\n" }
my $head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

# One answer: (client's head, body, trailer lines, request at the backend, connection of the client).
sub answer {
    my ($path, $fields, $bytes, %arg) = @_;
    my $c = $arg{on} || $s->connect(tls => $arg{tls});
    $c->{trailers} = [];
    $c->send(($arg{method} || 'GET') . " $path HTTP/" . ($arg{version} || '1.1') . "\r\nHost: a\r\n$fields\r\n");
    my $bc = $arg{backend} || $b->accept(5) or return;
    my $req = $bc->read_request;
    $bc->send($_), poll_until { 0 } 0.1 for ref $bytes ? @$bytes[0 .. $#$bytes - 1] : ();
    $bc->send(ref $bytes ? $bytes->[-1] : $bytes);
    my $r = $c->read_response(method => $arg{method});
    $bc->close if !$arg{keep};
    return { %$r, trailers => join('|', map { s/\r\n//r } @{ $c->{trailers} || [] }), req => $req, c => $c, backend => $bc };
}

# ------------------------------------------------------------------ the answer's
my $whole = $head . "Trailer: X-Sum, Host\r\n\r\n" . chunked("X-Sum: 1\r\n", 'hello', 'world');
for my $front ('', 'tls') {
    my $r = answer('/plain/a', $te, $whole, tls => $front);
    is $r->{req}{head}->h('TE'), 'trailers', "$front the backend is told that trailers are taken";
    is $r->{req}{head}->h('Connection'), 'TE', 'for this connection';
    is "$r->{body} $r->{trailers}", 'helloworld X-Sum: 1', 'an answer that came at once: its trailer';
    is $r->{head}->h('Trailer'), 'X-Sum', 'announced as far as it may come';
    is $r->{head}->h('X-Sum'), undef, 'and not in the head';
    is $r->{head}->h('Content-Length'), undef, 'whose framing leaves room for it';
    $r->{c}->send("GET /plain/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    my $bc = $b->accept(5);
    $bc->read_request;
    $bc->send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    is $r->{c}->read_response->{body}, 'next', 'the connection goes on';
    $bc->close;
}
is answer('/plain/a', $te, [$head . "\r\n5\r\nhello\r\n", "5\r\nworld\r\n", "0\r\nX-Sum: 1\r\nX-Two: a b\r\n\r\n"])->{trailers}, 'X-Sum: 1|X-Two: a b', 'in pieces, two of them';
is answer('/plain/a', $te, $head . "\r\n" . chunked("X-Sum: 1\r\n"))->{trailers}, 'X-Sum: 1', 'no body';
is answer('/plain/a', $te, $head . "\r\n" . chunked("X-Sum: 1\r\n", ('x' x 30000) x 20))->{trailers}, 'X-Sum: 1', 'a large one';
is answer('/plain/a', $te, $head . "\r\n" . chunked("X-Sum: 1\r\n", "0\r\n\r\n"))->{body}, "0\r\n\r\n", 'a body that looks like a last chunk';
is answer('/held/a', $te, $head . "\r\n" . chunked("X-Sum: 1\r\n", 'hello'))->{trailers}, 'X-Sum: 1', 'buffered';
my $r = answer('/plain/deflated', "${te}Accept-Encoding: gzip\r\n", "$head" . "Content-Type: text/plain\r\n\r\n" . chunked("X-Sum: 1\r\n", 'x' x 500));
is +($r->{head}->h('Content-Encoding') || '') . " $r->{trailers}", 'gzip X-Sum: 1', 'behind a filter that changes the body';
ok $r->{complete}, 'whole';

# Who does not get them.
is answer('/plain/a', '', $whole)->{trailers}, '', 'not without TE';
is answer('/plain/a', '', $whole)->{head}->h('Trailer'), undef, 'nor are they announced';
is answer('/plain/a', '', $whole)->{req}{head}->h('TE'), undef, 'nor asked for';
is answer('/plain/a', "TE: trailers\r\n", $whole)->{trailers}, '', 'not with a TE that is not of this connection';
is answer('/plain/a', "TE: deflate;q=0.5, trailers\r\nConnection: keep-alive, te\r\n", $whole)->{trailers}, 'X-Sum: 1', 'in a list';
is answer('/plain/a', "TE: deflate\r\nConnection: TE\r\n", $whole)->{trailers}, '', 'not with another TE';
is answer('/plain/a', $te, $whole, version => '1.0')->{body}, 'helloworld', 'not over HTTP/1.0';
is answer('/none/a', $te, $whole)->{trailers}, '', 'not with ProxyCoreTrailers off';
is answer('/none/a', $te, $whole)->{req}{head}->h('TE'), undef, 'which asks for none';
$r = answer('/plain/a', $te, $head . "Trailer: X-Sum\r\n\r\n", method => 'HEAD');
is $r->{status} . ($r->{head}->h('Trailer') || ''), '200', 'HEAD has none';

# Which.
my $forbidden = join '', map { "$_: 1\r\n" } qw(Content-Length Transfer-Encoding Host Set-Cookie Authorization Content-Type Location
    Date Connection Trailer Cache-Control X-Forwarded-For X-Accel-Redirect X-Sendfile Upgrade Content-Encoding Content-Range Age Vary);
$r = answer('/plain/a', $te, $head . "\r\n" . chunked("X-Sum: 1\r\n$forbidden", 'a'), keep => 1);
is $r->{trailers}, 'X-Sum: 1', 'never what frames, routes, authenticates or controls';
is answer('/plain/a', $te, $head . "\r\n" . chunked("X-Sum: 2\r\n", 'a'), backend => $r->{backend})->{trailers}, 'X-Sum: 2', 'the backend\'s connection is kept';
for my $bad ("X Sum: 1\r\n", "X-Sum : 1\r\n", "X-Sum: a\0b\r\n", "X-Sum: a\rb\r\n", ": x\r\n", ('X-A: ' . ('x' x 20000) . "\r\n"), "X-A: b\r\n" x 100) {
    my $r = answer('/plain/a', $te, $head . "\r\n" . chunked($bad, 'hello'));
    ok !$r->{complete} && $r->{trailers} eq '', 'malformed or too large: the answer is cut: ' . (substr($bad, 0, 10) =~ s/[^ -~]/?/gr);
}
$r = answer('/plain/a', $te, [$head . "\r\n5\r\nhello\r\n", "0\r\nX-Sum: 1\r\n"]);
ok !$r->{complete}, 'cut in its trailers: the answer is cut';

# HTTP/2.
sub h2 {
    my ($fields, $bytes) = @_;
    my $pid = open my $out, '-|', 'nghttp', '-v', (map { "-H$_" } @$fields), "http://127.0.0.1:@{[$s->port]}/plain/h2" or die;
    my $bc = $b->accept(5);
    $bc->read_request;
    $bc->send($bytes);
    my $text = join '', <$out>;
    $bc->close;
    $text =~ s/\e\[[0-9;]*m//g;
    return $text;
}
SKIP: {
    skip 'nghttp is not installed', 3 if !grep { -x "$_/nghttp" } split /:/, $ENV{PATH};
    my $text = h2(['te: trailers'], $whole);
    like $text, qr/recv \(stream_id=\d+\) x-sum: 1.*END_STREAM/s, 'HTTP/2: trailers';
    unlike $text, qr/trailer: .*Host/, 'announced without what may not come';
    unlike h2([], $whole), qr/x-sum: 1/, 'not without te';
}

# ------------------------------------------------------------------ the request's
sub up {
    my ($pool, $fields, $trailers, %arg) = @_;
    my $c = $s->connect;
    $c->send("PUT /$pool/up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n$fields\r\n");
    poll_until { 0 } 0.1 if $arg{late};
    $c->send(chunked($trailers, 'hello'));
    my $bc = $b->accept(5) or return 'no request';
    my $req = $bc->read_request;
    $bc->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    my $r = $c->read_response;
    $bc->close;
    my $t = join '|', map { s/\r\n//r } @{ $bc->{trailers} || [] };
    return ($t, $req, $r);
}
is +(up('plain', '', "X-Up: 1\r\n"))[0], '', 'a request\'s trailers do not pass by default';
for my $late (0, 1) {
    my ($t, $req, $r) = up('both', "Trailer: X-Up, Cookie\r\n", "X-Up: 1\r\nX-Two: 2\r\n", late => $late);
    is $t, 'X-Up: 1|X-Two: 2', 'both: they do';
    is $req->{head}->h('Trailer'), 'X-Up', 'announced as far as they may come';
    is "$req->{body} $r->{body}", 'hello ok', 'behind the body';
}
is +(up('both', '', ($forbidden =~ s/^(?:Content-Length|Transfer-Encoding|Host|Connection): 1\r\n//gmr) . "X-Up: 1\r\nCookie: a\r\nIf-Match: x\r\nProxy: y\r\n"))[0],
    'X-Up: 1', 'never what frames, routes, authenticates or controls';
is +(up('both', "X-Up: head\r\n", "X-Up: trailer\r\nX-Mine: 2\r\nX-User: root\r\nX-Two: 2\r\n"))[0], 'X-Two: 2', 'nor what the head has, by the client or by this server';
my ($t, $req) = up('held', "Trailer: X-Up\r\n", "X-Up: 1\r\n");
is "$t|" . ($req->{head}->h('Trailer') || '') . '|' . $req->{head}->h('Content-Length'), '||5', 'nor where the body is read first and its length told';
is +(up('both', '', join '', map { "X-$_: 1\r\n" } 1 .. 80))[0] =~ tr/|//, 63, 'not more than 64';
is +(up('both', '', join '', map { "X-$_: " . ('x' x 4000) . "\r\n" } 1 .. 8))[0], '', 'nor more than 16 KB';
ok poll_until(sub { slurp($s->dir . '/logs/seen') =~ /^200 1 -$/m && slurp($s->dir . '/logs/seen') =~ /^200 - 1$/m }, 5), 'the access log knows both';
$s->stop;

my $t2 = ProxyCore::Server->new(name => 'conf', conf => "<ProxyCore x>\nProxyCoreProtocol http\nProxyCoreBackend 127.0.0.1:9\nProxyCoreTrailers on\n</ProxyCore>\n");
my ($out, $rc) = $t2->config_test;
ok $rc && $out =~ /ProxyCoreTrailers on: accepted is off, response or both/, 'a word that is none';
done_testing;
