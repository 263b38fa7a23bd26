#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Requests that got past other gateways once: each named by the advisory, with what must not happen here. More of them are
# named in framing.t (what an HTTP backend is told) and continue.t.
# F11 F29
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Gateway qw(take answer protocol);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until now spew free_port);

my $run = work_dir() . '/run';
my @kinds = qw(http fcgi scgi uwsgi);
my @cgi = qw(fcgi scgi uwsgi);
my %b = map { $_ => $_ eq 'http' ? ProxyCore::Backend->new : ProxyCore::Backend->new(unix => "$run/$_.sock") } @kinds;
my $evil = ProxyCore::Backend->new;
my $s = ProxyCore::Server->new(modules => ['rewrite', 'auth_basic', 'authn_file', 'authz_user'], tls => 1);
my ($root, $dir) = ($s->docroot, $s->dir);
$s->{conf} = join('', map { <<"CONF" } @kinds) . <<"CONF";
<ProxyCore $_>
    ProxyCoreProtocol @{[protocol($_)]}
    ProxyCoreBackend @{[$b{$_}->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<Location /$_/>
    ProxyCorePass $_
</Location>
<Location /strip-$_/>
    ProxyCorePass $_ strip=/strip-$_
</Location>
<Files "*.$_">
    SetHandler proxy-core:$_
</Files>
<Location /short-$_/>
    ProxyCorePass $_
    ProxyCoreScript /short-$_/and/longer/than/it/is
</Location>
CONF
<Files "guarded.fcgi">
    Require all denied
</Files>
<Location /chosen/>
    SetHandler "proxy-core:%{HTTP:X-Pool}"
</Location>
<Location /fcgi/env/>
    SetEnv REQUEST-METHOD EVIL
    SetEnv SCRIPT.FILENAME /etc/passwd
    SetEnv QUERY_STRING evil
    SetEnv REMOTE_ADDR 6.6.6.6
    SetEnv CONTENT_LENGTH 7
    SetEnv HTTP_PROXY http://evil/
    SetEnv PATH_INFO /evil
    SetEnvIf X-Evil (.+) SERVER_NAME=\$1 REQUEST_METHOD=\$1
</Location>
RewriteEngine on
RewriteRule ^/query/(.*) /http/to?q=\$1 [PT]
RewriteRule ^/path/(.*) /http/to/\$1 [PT,NE]
RewriteRule ^/pool/(.*) /http/\$1 [PT,H=proxy-core:%{HTTP:X-Pool}]
RewriteRule ^/made/(.*)\$ /made/\$1.fcgi
CONF
spew("$root/$_", 'x') for qw(guarded.fcgi open.fcgi made/a.fcgi ht/a.fcgi made/secret.txt);
spew("$root/ht/.htaccess", "SetEnv SCRIPT_FILENAME /etc/passwd\nSetEnv REQUEST_METHOD EVIL\nSetEnv REDIRECT_STATUS 999\nSetEnv HTTP_HOST evil\n"
    . "RewriteEngine on\nRewriteRule ^ - [E=SCRIPT_NAME:/evil,E=QUERY_STRING:evil,E=GATEWAY_INTERFACE:evil]\n");
my @leaks = ('ProxyCoreSetEnv LEAK "%%{%s}"', 'ProxyCoreRewriteRequest X-Leak "^$" "%%{%s}"', 'ProxyCoreRewriteResponse X-Leak "^$" "%%{%s}"',
    'ProxyCoreScript file="/%%{%s}"', 'ProxyCoreDocumentRoot "/%%{%s}"');
my %leak;
for my $how (map { my $row = $_; map { sprintf $row, $_ } 'file:/etc/passwd', 'filesize:/etc/passwd', 'base64:%{file:/etc/passwd}' } @leaks) {
    my $place = $leak{$how} = 'leak' . keys %leak;
    spew("$root/$place/a.fcgi", 'x');
    spew("$root/$place/.htaccess", "$how\n");
}
$s->start;

# These bytes to httpd; what the backend of this kind is asked, and the response.
sub ask {
    my ($kind, $text, %arg) = @_;
    my $c = $s->connect;
    $c->send($text);
    my $k = $b{$kind}->accept($arg{refused} ? 0.15 : 5);
    my $req;
    if ($k) {
        $req = take($kind, $k, timeout => 3);
        $k->send(answer($kind, "Content-Type: text/plain\r\n", 'ok'));
        $k->close;
    }
    my $res = $c->read_response(timeout => 5);
    $res->{conn} = $c;
    return ($req, $res);
}
sub refused {
    my ($kind, $text, $what, $status) = @_;
    my ($req, $res) = ask($kind, $text, refused => 1);
    ok !$req, "$what: nobody is asked";
    like $res->{status} || 'closed', $status || qr/^(?:4\d\d|50[01]|closed)$/, "$what: refused";
    return $res;
}
sub get { my ($path, @fields) = @_; return "GET $path HTTP/1.1\r\nHost: localhost\r\n" . join('', map { "$_\r\n" } @fields) . "\r\n" }
my ($req, $res, $c, $k);

# ------------------------------------------------------------------ variables

# A path that is shorter than what a script is said to be.
for my $kind (@cgi) {
    for my $path ("/short-$kind/", "/short-$kind/a", "/short-$kind/and/longer/than/it/i") {
        ($req) = ask($kind, get($path));
        is(($req->{params}{SCRIPT_NAME} // '') . ($req->{params}{PATH_INFO} // ''), $path, "CVE-2021-36160, $kind: $path is not read past its end");
    }
}
refused('fcgi', get("/$leak{$_}/a.fcgi"), "CVE-2026-24072, CVE-2026-44119: .htaccess: $_", qr/^500$/) for sort keys %leak;

for my $kind (@cgi) {
    ($req) = ask($kind, get("/$kind/x", 'Proxy: http://evil/', 'proxy: http://evil/'));
    is $req->{params}{HTTP_PROXY}, undef, "CVE-2016-5387 (httpoxy), $kind: no HTTP_PROXY";
    ($req) = ask($kind, get("/$kind/x", 'Content_Length: 9', 'Content.Length: 9', 'X_Forwarded_For: 6.6.6.6', 'Script-Name: /evil', 'Https: on'));
    is $req->{params}{SCRIPT_NAME} =~ /evil/ ? 1 : 0, 0, "CVE-2025-65082, $kind: a field is no variable of ours";
    is $req->{params}{CONTENT_LENGTH} || 0, 0, 'nor a length';
    is $req->{params}{HTTPS}, undef, 'nor TLS';
}
($req) = ask('fcgi', get('/fcgi/env/x?good=1', 'X-Evil: evil'));
is $req->{params}{$_->[0]}, $_->[1], "CVE-2025-65082: SetEnv and SetEnvIf do not override $_->[0]"
    for ['REQUEST_METHOD', 'GET'], ['QUERY_STRING', 'good=1'], ['REMOTE_ADDR', '127.0.0.1'], ['SERVER_NAME', 'localhost'], ['HTTP_PROXY', undef];
unlike $req->{params}{SCRIPT_FILENAME}, qr{/etc/}, 'CVE-2025-65082: nor SCRIPT_FILENAME';
is $req->{params}{CONTENT_LENGTH} || '', '', 'CVE-2025-65082: nor CONTENT_LENGTH';
unlike $req->{params}{PATH_INFO} || '', qr/evil/, 'CVE-2025-65082: nor PATH_INFO';
($req) = ask('fcgi', get('/ht/a.fcgi?good=1'));
is $req->{params}{$_->[0]}, $_->[1], "CVE-2025-65082: .htaccess does not override $_->[0]"
    for ['REQUEST_METHOD', 'GET'], ['QUERY_STRING', 'good=1'], ['SCRIPT_NAME', '/ht/a.fcgi'], ['SCRIPT_FILENAME', "$root/ht/a.fcgi"],
    ['GATEWAY_INTERFACE', 'CGI/1.1'], ['HTTP_HOST', 'localhost'];

# ------------------------------------------------------------------ targets

for my $kind (@kinds) {
    ($req) = ask($kind, get("/$kind/a%3fb?q"));
    if ($kind eq 'http') {
        is $req->{target}, '/http/a%3fb?q', 'CVE-2024-38474: %3f stays one, http';
    }
    else {
        is $req->{params}{QUERY_STRING}, 'q', "CVE-2024-38474: %3f begins no query, $kind";
        is $req->{params}{SCRIPT_NAME} . ($req->{params}{PATH_INFO} || ''), "/$kind/a?b", 'it is of the path';
    }
    for my $at ("$kind/\@evil", "\@evil/$kind/x", ":\@evil/$kind/x", "$kind") {
        next if $at eq $kind;
        my ($r, $answer) = ask($kind, "GET $at HTTP/1.1\r\nHost: localhost\r\n\r\n", refused => 1);
        ok !$r && $answer->{status} == 400, "CVE-2011-3368, CVE-2011-4317: target $at, $kind";
    }
}
for my $path ('/guarded.fcgi%3fx.fcgi', '/guarded.fcgi%3Fopen.fcgi', '/guarded.fcgi/', '/guarded.fcgi%00.fcgi', '/guarded.fcgi%2f..%2fopen.fcgi', '/./guarded.fcgi',
    '//guarded.fcgi', '/x/../guarded.fcgi', '/guarded%2efcgi') {
    refused('fcgi', get($path), "CVE-2024-38473: $path does not pass <Files>", qr/^40[034]$/);
}
refused('fcgi', get('/made/secret.txt%3f'), 'CVE-2024-38475: a rewritten path cut short by %3f', qr/^40[034]$/);
for my $text ('%20HTTP/1.1%0d%0aHost:%20evil%0d%0a%0d%0aGET%20/smuggled', '%0d%0aX-Evil:%201', '%0aX-Evil:%201', 'a%20b%00c') {
    for my $by (qw(query path)) {
        $c = $s->connect;
        $c->send(get("/$by/$text"));
        $k = $b{http}->accept(0.3);
        if ($k) {
            my $bytes = $k->read_until(qr/\r\n\r\n/, 2) || '';
            is scalar(() = $bytes =~ m{ HTTP/1\.1\r\n}g), 1, "CVE-2023-25690: one request line, by a rewritten $by";
            unlike $bytes, qr/^(?:X-Evil|Host: evil|GET \/smuggled)/m, 'nothing is injected';
            $k->send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            ok $k->closed(2), 'and nothing follows';
            $k->close;
        }
        like $c->read_response->{status}, qr/^(?:200|40[034])$/, "CVE-2023-25690: $by: answered or refused";
    }
}

# No backend address comes from a request.
my $there = '127.0.0.1:' . $evil->{port};
for my $pool ("http://$there", "http://$there/", "fcgi://$there", "unix:$run/http.sock|http://$there/", "http\@$there", $there, '../http', "http\0x", '') {
    refused('http', get('/chosen/x', "X-Pool: $pool"), 'CVE-2024-43204, CVE-2024-38472: SetHandler by a field: ' . ($pool =~ s/\0/\\0/r), qr/^(?:400|404|500)$/);
    my (undef, $answer) = ask('http', get('/pool/x', "X-Pool: $pool"), refused => 1);
    is $evil->accept(0.02), undef, 'CVE-2024-39573: nor by a rewritten handler';
}
for my $path ('/http/?unix:' . 'A' x 5000 . "|http://$there/", "/http/unix:/x|http://$there/", "/http/http://$there/x", "/strip-http/http://$there/", "/strip-http//$there/") {
    my (undef, $answer) = ask('http', get($path), refused => 0);
    is $evil->accept(0.05), undef, 'CVE-2021-40438, CVE-2021-44224: ' . substr($path, 0, 40) . ' leads nowhere else';
    is $answer->{status}, 200, 'it is the backend\'s';
}
for my $host ("unix:$run/http.sock|http://$there/", "$there\@http", "a b", "evil/x") {
    my (undef, $answer) = ask('http', "GET /http/x HTTP/1.1\r\nHost: $host\r\n\r\n", refused => 1);
    is $evil->accept(0.02), undef, "CVE-2021-40438: Host: $host leads nowhere else";
}

# ------------------------------------------------------------------ framing

# What follows a request whose body is refused is no request.
for my $kind (@kinds) {
    for my $body ("5\r\nhello\r\nzz\r\n", "ffffffffffffffff1\r\n", "5;x\r\nhelloGET\r\n", "5\r\nhello0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n", "\r\n5\r\nhello\r\n0\r\n\r\n") {
        $c = $s->connect;
        $c->send("POST /$kind/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${body}GET /$kind/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n");
        my @seen;
        while (my $one = $b{$kind}->accept(0.1)) {
            push @seen, $one->read_all(0.3);
            $one->close;
        }
        (my $show = substr $body, 0, 18) =~ s/[\r\n]+/|/g;
        is scalar(grep { /smuggled/ && !/POST/ } @seen), 0, "CVE-2015-3183, CVE-2022-22720, $kind: chunks '$show': what follows is no request";
        $c->close;
    }
    ($req, $res) = ask($kind, "POST /$kind/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    is $req ? $req->{body} : 'hello', 'hello', "CVE-2022-36760, CVE-2022-26377, $kind: Content-Length beside Transfer-Encoding does not count";
    ok $res->{conn}->closed(2) || $res->{status} == 400, 'and the connection ends';
    for my $te ('chunked, identity', 'identity', 'chunked, chunked', " chunked\x0b", "xchunked", 'gzip') {
        my ($r, $answer) = ask($kind, "POST /$kind/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: $te\r\nContent-Length: 5\r\n\r\nhello", refused => 1);
        ok !$r && $answer->{status} =~ /^(?:400|501)$/, "CVE-2026-63718, $kind: Transfer-Encoding: " . ($te =~ s/\x0b/\\v/r) . ' is refused';
    }
    ($req) = ask($kind, "POST /$kind/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\nX-Forwarded-For: 6.6.6.6\r\nHost: evil\r\n\r\n");
    my $text = $kind eq 'http' ? $req->{head}{text} : join "\n", %{ $req->{params} };
    unlike $text, qr/6\.6\.6\.6|evil|X[-_]LATE: ?1/i, "CVE-2013-5704, $kind: trailers are no fields";
    # Lists that broke Connection's parsers.
    for my $list (',,,,', ', ,close', 'x' x 4000, join(',', map { "a$_" } 1 .. 30), ';', '"quoted"', "a\tb", 'close;q=1', join(',', ('close') x 500)) {
        my (undef, $answer) = ask($kind, get("/$kind/x", "Connection: $list"), refused => 1);
        like $answer->{status} || 'none', qr/^(?:200|400)$/, "CVE-2014-0117, $kind: Connection: " . substr($list, 0, 20) . ' is survived';
    }
}
for my $field ('X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'Host') {
    ($req) = ask('http', get('/http/x', "Connection: close, $field"));
    ok defined $req->{head}->h($field), "CVE-2022-31813: Connection does not remove $field";
}

# The backend speaks before it has read, and the other way round: nobody waits for ever.
for my $kind (@kinds) {
    $c = $s->connect;
    my $size = 4_000_000;
    $c->send("POST /$kind/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: $size\r\n\r\n" . 'u' x 300_000);
    $k = $b{$kind}->accept;
    my $job = ProxyCore::Util::in_background { $k->send(answer($kind, "Content-Type: text/plain\r\n", 'd' x 300_000), 8); $k->shutdown_write; 'sent' };
    $res = $c->read_response(timeout => 8);
    is length($res->{body} || ''), 300_000, "CVE-2014-0231, $kind: an answer of a backend that reads nothing";
    ProxyCore::Util::wait_background($job);
    $k->close;
    $c->close;
}

# ------------------------------------------------------------------ HTTP/2: what HTTP/1.1 cannot say becomes none of it

# A stream with these fields, by hand: literal, not indexed, not compressed.
sub h2 {
    my (@fields) = @_;
    my $block = '';
    my $str = sub { my $v = shift; return length $v < 127 ? pack('C/a', $v) : chr(127) . chr(length($v) - 127) . $v };
    while (my ($n, $v) = splice @fields, 0, 2) { $block .= "\0" . $str->($n) . $str->($v) }
    my $frame = sub { my ($type, $flags, $id, $bytes) = @_; return substr(pack('N', length $bytes), 1) . pack('CCN', $type, $flags, $id) . $bytes };
    my $h = $s->connect;
    $h->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . $frame->(4, 0, 0, '') . $frame->(1, 5, 1, $block));
    return $h;
}
my %good = (':method' => 'GET', ':scheme' => 'http', ':authority' => 'localhost', ':path' => '/http/x');
sub h2_with { my (%arg) = @_; my %all = (%good, %arg); return h2((map { ($_, $all{$_}) } qw(:method :scheme :authority :path)), map { ($_, $arg{$_}) } grep { !/^:/ } sort keys %arg) }
$c = h2_with('x-good' => '1');
$k = $b{http}->accept;
ok $k && $k->read_request(timeout => 3), 'CVE-2021-33193: a stream made by hand is served';
$k->close;
$c->close;
$c = h2(map { ($_, $good{$_}) } qw(:method :scheme :path));
if ($k = $b{http}->accept(2)) {
    my $h = $k->read_request(timeout => 3);
    is $h && join('|', $h->{head}->all('Host')), 'localhost:' . $s->port, 'CVE-2025-49630: without an authority the backend gets the server\'s name';
    $k->close;
}
else { # httpd itself may refuse it
    ok $c->read_some(3), 'CVE-2025-49630: without an authority the client is answered';
}
$c->close;
for my $row ([':method' => "GET /smuggled HTTP/1.1\r\nX: "], [':method' => 'GET /evil'], [':method' => "GET\t"], [':path' => "/http/x HTTP/1.1\r\nX-Evil: 1"], [':path' => '/http/a b'],
    [':path' => "/http/a\r\nX-Evil: 1"], [':path' => '*/http/x'], [':authority' => "localhost\r\nX-Evil: 1"], ['x-evil' => "1\r\nX-Evil: 2"], ["x-evil: 1\r\nx" => '2'],
    ['transfer-encoding' => 'chunked'], ['connection' => 'x-evil'], ["x-a\0" => '1'], ['x-nul' => "a\0b"]) {
    my ($name, $value) = @$row;
    $c = h2_with($name => $value);
    $k = $b{http}->accept(0.15);
    my $bytes = $k ? $k->read_until(qr/\r\n\r\n/, 2) || '' : '';
    (my $show = "$name: $value") =~ s/[^ -~]/?/g;
    unlike $bytes, qr/smuggled|^X-Evil|^transfer-encoding: chunked|GET \/evil|\0|\A[^\r]* [^\r]* [^\r]* /mi, "CVE-2021-33193: $show is never said to a backend";
    is scalar(() = $bytes =~ /HTTP\/1\.1\r\n/g), $bytes eq '' ? 0 : 1, 'at most one request';
    $_->close for grep { $_ } $c, $k;
}

$s->stop;
done_testing;
