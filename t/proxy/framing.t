#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What an HTTP backend is told: hop-by-hop fields, forwarding fields, framing. Requests that try to say two things at once.
# F11 F29
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir);

my $http = ProxyCore::Backend->new;
my $fcgi = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my $scgi = ProxyCore::Backend->new(unix => work_dir() . '/run/s.sock');
my @modes = qw(x-forwarded forwarded both off);
my $conf = join '', map { <<"CONF" } @modes;
<ProxyCore f-$_>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$http->address]}
    ProxyCoreKeepAlive off
    ProxyCoreForwarded $_
</ProxyCore>
<Location /$_/>
    ProxyCorePass f-$_
</Location>
CONF
my $s = ProxyCore::Server->new(modules => ['rewrite'], conf => <<"CONF")->start;
AllowEncodedSlashes NoDecode
LimitRequestFieldSize 8190
$conf
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$http->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$fcgi->address]}
</ProxyCore>
<ProxyCore scgi>
    ProxyCoreProtocol scgi
    ProxyCoreBackend @{[$scgi->address]}
</ProxyCore>
<Location /scgi/>
    ProxyCorePass scgi
</Location>
<Location /h/>
    ProxyCorePass http
</Location>
<Location /s/>
    ProxyCorePass http strip=/s
</Location>
<Location /f/>
    ProxyCorePass fcgi
</Location>
RewriteEngine on
RewriteRule ^/rw/(.*) /h/\$1 [PT]
CONF

# What the backend gets for these bytes; undef with the client's response when it is not asked.
sub ask {
    my ($text, %arg) = @_;
    my $c = $s->connect;
    $c->send($text);
    my $b = $http->accept($arg{refused} ? 0.1 : 5);
    my $req;
    if ($b) {
        $req = $b->read_request;
        $b->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    my $res = $c->read_response(timeout => 5);
    return ($req, $res);
}
sub get { my ($path, $fields) = @_; return ask("GET $path HTTP/1.1\r\nHost: site.example:81\r\n" . ($fields || '') . "\r\n") }

my ($req, $res) = get('/h/x');
is $req->{head}->h('Host'), 'site.example:81', 'the client\'s Host';
is $req->{head}->h('X-Forwarded-For'), '127.0.0.1', 'X-Forwarded-For';
is $req->{head}->h('X-Forwarded-Proto'), 'http', 'X-Forwarded-Proto';
is $req->{head}->h('X-Forwarded-Host'), 'site.example:81', 'X-Forwarded-Host';

# Set, never merged from what a client says; and Connection cannot take them away.
($req) = get('/h/x', "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: evil\r\nForwarded: for=6.6.6.6\r\nConnection: X-Forwarded-For, X-Forwarded-Proto, X-Mine\r\nX-Mine: 1\r\n");
is $req->{head}->h('X-Forwarded-For'), '127.0.0.1', 'X-Forwarded-For of a client is replaced, whatever Connection says (CVE-2022-31813)';
is $req->{head}->h('X-Forwarded-Proto'), 'http', 'X-Forwarded-Proto too';
is $req->{head}->h('X-Mine'), undef, 'fields listed in Connection are removed';
unlike $req->{head}->h('Forwarded') || '', qr/6\.6\.6\.6/, 'a client\'s Forwarded does not pass for ours';

($req) = get('/forwarded/x');
like $req->{head}->h('Forwarded'), qr/for="?127\.0\.0\.1"?/, 'ProxyCoreForwarded forwarded';
is $req->{head}->h('X-Forwarded-For'), undef, 'and nothing else';
($req) = get('/both/x');
ok defined $req->{head}->h('Forwarded') && defined $req->{head}->h('X-Forwarded-For'), 'ProxyCoreForwarded both';
($req) = get('/off/x', "X-Forwarded-For: 1.2.3.4\r\n");
is $req->{head}->h('Forwarded'), undef, 'ProxyCoreForwarded off adds nothing';

# Hop-by-hop fields stay here.
my %hop = ('Keep-Alive' => '300', 'Proxy-Connection' => 'keep-alive', 'TE' => 'deflate', 'Trailer' => 'X', 'Upgrade' => 'foo',
    'Proxy-Authorization' => 'Basic eDp5', 'Proxy-Authenticate' => 'x', 'HTTP2-Settings' => 'AAMAAABk');
($req) = get('/h/x', "Connection: Upgrade, HTTP2-Settings, keep-alive, TE\r\n" . join('', map { "$_: $hop{$_}\r\n" } sort keys %hop) . "X-End: e\r\n");
is $req->{head}->h($_), undef, "$_ is not forwarded" for sort keys %hop;
is $req->{head}->h('X-End'), 'e', 'end-to-end fields are';

# Connection cannot remove what the framing needs.
($req) = ask("POST /h/x HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Host\r\nContent-Length: 5\r\n\r\nhello");
ok $req && $req->{body} eq 'hello', 'Connection: Content-Length does not unframe the body' or diag explain $req;
is $req->{head}->h('Host'), 'a', 'nor unhost the request' if $req;

# (bytes, must the backend be asked, status or undef, what)
my @smuggle = (
    ["POST /h/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, qr/^(?:400|501)$/, 'Transfer-Encoding: gzip, chunked'],
    ["POST /h/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, qr/^(?:400|501)$/, 'Transfer-Encoding: xchunked (CVE-2026-63718)'],
    ["POST /h/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello", 0, qr/^400$/, 'two Content-Lengths'],
    ["POST /h/x HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 0, qr/^400$/, 'a negative Content-Length'],
    ["POST /h/x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 0, qr/^400$/, 'a signed Content-Length'],
    ["GET /h/x HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n", 0, qr/^400$/, 'a space before the colon'],
    ["GET /h/x HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n", 0, qr/^400$/, 'a malformed Connection field (CVE-2014-0117)'],
    ["GET \@evil/h/x HTTP/1.1\r\nHost: a\r\n\r\n", 0, qr/^400$/, 'a target that does not begin with a slash (CVE-2011-3368)'],
);
for my $case (@smuggle) {
    my ($text, $asked, $status, $what) = @$case;
    ($req, $res) = ask($text, refused => !$asked);
    ok !$req, "$what: the backend is not asked";
    like $res->{status}, $status, "$what: refused";
}

# Both framings: the chunked one counts, Content-Length is dropped, nothing is left over for a next request.
($req) = ask("POST /h/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /h/smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
if ($req) {
    is $req->{body}, 'hello', 'Content-Length and Transfer-Encoding: chunked counts (CVE-2022-36760)';
    is scalar(grep { defined $req->{head}->h($_) } qw(Content-Length Transfer-Encoding)), 1, 'the backend sees one framing';
}
my $next = $http->accept(0.3);
ok !$next || $next->read_request->{target} eq '/h/smuggled', 'what follows is a request of its own or nothing';
$next->close if $next;

# A chunked upload stays chunked, bytes are forwarded as they come, trailers and extensions are not.
my $c = $s->connect;
$c->send("POST /h/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n");
my $b = $http->accept;
$req = $b->read_request(body => 0);
is $req->{head}->h('Transfer-Encoding'), 'chunked', 'a chunked upload is sent chunked';
is $req->{head}->h('Content-Length'), undef, 'without a length';
is $b->read_until(qr/abc\r\n/), "3\r\nabc\r\n", 'streamed: the first chunk before the last, extension removed';
$c->send("0\r\nX-Trailer: 1\r\n\r\n");
is $b->read_until(qr/0\r\n\r\n/), "0\r\n\r\n", 'the end';
$b->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
is $c->read_response->{status}, 200, 'answered';

# Malformed chunks of a client: the request to the backend is cut, not completed.
for my $bad ("zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcde\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc", "-3\r\nabc\r\n0\r\n\r\n") {
    (my $show = $bad) =~ s/\r\n/|/g;
    $c = $s->connect;
    $c->send("POST /h/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n$bad");
    $b = $http->accept(1);
    if ($b) {
        my $got = $b->read_all(3);
        ok $b->eof, "chunks '$show': the backend's connection is closed";
        unlike $got, qr/\r\n0\r\n\r\n\z/, "chunks '$show': without an end of the body";
    }
    $res = $c->read_response(timeout => 5);
    like $res->{status} || 'closed', qr/^(?:400|413|closed)$/, "chunks '$show': the client is told";
}

# The request-target: as the client sent it, never with a control character or a space, also after mod_rewrite.
for my $row (
    ['/h/a%20b?c%20d', '/h/a%20b?c%20d'], ['/h/a%0d%0aX-Evil:%201', '/h/a%0d%0aX-Evil:%201'], ['/h/%7euser', qr{^/h/(?:%7e|~)user$}i],
    ['/h/a%2fb', qr{^/h/a%2fb$}i], ['/h/a;b=c,d?e=/../f', '/h/a;b=c,d?e=/../f'], ['/h/%e2%82%ac', qr{^/h/%e2%82%ac$}i],
    ['/h/?', qr{^/h/\??$}], ['/s/rest/of?it', '/rest/of?it'], ['/s/', '/'], ['/s/a%20b', '/a%20b'],
) {
    my ($sent, $want) = @$row;
    ($req, $res) = get($sent);
    my $got = $req ? $req->{target} : "status $res->{status}";
    ref $want ? like($got, $want, "target $sent") : is($got, $want, "target $sent");
    unlike $req ? $req->{text} : '', qr/^X-Evil/mi, 'no field is injected';
}
($req, $res) = get('/rw/a%0d%0aX-Evil:%201');
unlike $req ? $req->{text} : '', qr/^X-Evil/mi, 'nor by a rewritten path (CVE-2023-25690)';
($req, $res) = get('/rw/a%20b%20HTTP/1.1');
is scalar(() = ($req ? $req->{head}{line} : 'a b c') =~ / /g), 2, 'nor a word into the request line';

# To CGI-like applications.
sub params {
    my ($fields, %arg) = @_;
    my $c = $s->connect;
    $c->send("GET /f/x HTTP/1.1\r\nHost: a\r\n$fields\r\n");
    my $b = $fcgi->accept(3) or return { none => 1 };
    my $req = read_fcgi($b);
    $b->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok"));
    $b->close;
    $c->read_response;
    return $req->{params};
}
my $p = params("Proxy: http://evil/\r\nX-Good: 1\r\nX_Good: 2\r\nAuthorization: Basic eDp5\r\nConnection: X-Mine\r\nX-Mine: 1\r\nTransfer_Encoding: x\r\nContent_Length: 7\r\n");
is $p->{HTTP_PROXY}, undef, 'httpoxy (CVE-2016-5387): no HTTP_PROXY';
is $p->{HTTP_X_GOOD}, 1, 'a field with an underscore does not shadow one with a hyphen';
is $p->{HTTP_AUTHORIZATION}, undef, 'Authorization is not exported without CGIPassAuth';
is $p->{HTTP_X_MINE}, undef, 'what Connection lists is not exported';
is $p->{CONTENT_LENGTH} || '', '', 'no invented length';
is $p->{$_}, undef, "$_ is not exported" for qw(HTTP_CONNECTION HTTP_TRANSFER_ENCODING HTTP_CONTENT_LENGTH HTTP_EXPECT);

# A body that ends with the connection, and a connection that is reset. Whoever has read all of the request has no reason to;
# whoever has not resets it when he closes, however whole his answer is.
for my $case (['GET', ''], ['POST', "Content-Length: 8\r\n"]) {
    my ($method, $fields) = @$case;
    my $c = $s->connect;
    $c->send("$method /h/x HTTP/1.1\r\nHost: a\r\n$fields\r\n" . ($fields ? 'not read' : ''));
    my $b = $http->accept(3);
    $b->read_until(qr/\r\n\r\n/);
    $b->send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nanswer");
    $b->reset;
    is $c->read_response->{complete}, $fields ? 1 : 0, "$method: a reset instead of an end";
}
{
    my $c = $s->connect;
    $c->send("POST /scgi/x HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nnot read");
    my $b = $scgi->accept(3);
    IO::Select->new($b->sock)->can_read(3);
    sysread $b->sock, my $some, 10;
    $b->send("Content-Type: text/plain\r\n\r\nanswer");
    $b->close;
    my $res = $c->read_response;
    ok $res->{complete} && $res->{body} eq 'answer', 'SCGI over a unix socket: an answer of one that has not read the request';
}
$s->stop;
done_testing;
