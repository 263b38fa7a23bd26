#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Response heads, good and malformed, the same corpus over every protocol: one strict parser for all.
# F23 G18
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Core;
use ProxyCore::FCGI qw(fcgi_answer);
use ProxyCore::Gateway qw(take);
use ProxyCore::Util qw(front);

my $t = ProxyCore::Core->new;
my %backend = map { $_ => $t->backend($_) } qw(http fcgi scgi uwsgi);

# Play one answer; POST, so that nothing is tried again.
sub play {
    my ($kind, $bytes, %arg) = @_;
    my $f = $t->ask($arg{method} || 'POST', $kind, '/x', $arg{method} ? () : (body => 'b'));
    my $b = $backend{$kind}->accept or return { status => 'not asked' };
    take($kind, $b);
    if ($arg{drip}) {
        $b->send($_) for split //, $bytes;
    }
    else {
        $b->send($bytes);
    }
    $b->close if !$arg{keep_open};
    my $res = $f->finish(timeout => 6);
    $b->close;
    return $res;
}

# Fields that no backend may send: the answer is 502. Text is what stands between status line and the empty line.
my @bad = (
    ['NUL in a value (CVE-2022-37436)', "X-A: a\0b\r\n"],
    ['NUL in a name', "X\0A: b\r\n"],
    ['bare CR in a value (CVE-2023-27522)', "X-A: a\rb\r\n"],
    ['control character in a value', "X-A: a\1b\r\n"],
    ['DEL in a value', "X-A: a\x7fb\r\n"],
    ['space before the colon', "X-A : b\r\n"],
    ['tab before the colon', "X-A\t: b\r\n"],
    ['space in the name', "X A: b\r\n"],
    ['no colon', "nonsense\r\n"],
    ['empty name', ": b\r\n"],
    ['folded line', "X-A: a\r\n b\r\n"],
    ['folded first line', " X-A: a\r\n"],
    ['delimiter in the name', "X(A): b\r\n"],
    ['non-ASCII in the name', "X-\xc3\xa4: b\r\n"],
    ['Content-Length twice, different', "Content-Length: 1\r\nContent-Length: 2\r\n"],
    ['Content-Length list, different', "Content-Length: 1, 2\r\n"],
    ['Content-Length negative', "Content-Length: -1\r\n"],
    ['Content-Length with a sign', "Content-Length: +1\r\n"],
    ['Content-Length in hexadecimal', "Content-Length: 0x1\r\n"],
    ['Content-Length not a number', "Content-Length: abc\r\n"],
    ['Content-Length with a tail', "Content-Length: 1 1\r\n"],
    ['Content-Length empty', "Content-Length:\r\n"],
    ['Content-Length overflow', "Content-Length: 99999999999999999999999\r\n"],
    ['field of 1 MB (CVE-2014-3583)', 'X-A: ' . 'a' x 1_048_576 . "\r\n"],
    ['100000 fields', "X-A: b\r\n" x 100_000],
);
for my $case (@bad) {
    my ($what, $fields) = @$case;
    for my $kind (sort keys %backend) {
        my $head = $kind eq 'http' ? "HTTP/1.1 200 OK\r\n" : "Status: 200\r\n";
        my $bytes = "$head$fields\r\n";
        my $res = play($kind, $kind eq 'fcgi' ? fcgi_answer($bytes) : $bytes);
        is $res->{status}, 502, "$kind: $what";
        unlike $res->{head} ? $res->{head}{text} : '', qr/X-A/i, "$kind: $what: nothing of it leaks";
    }
}

# Heads of HTTP only.
my @bad_http = (
    ['HTTP/0.9', '<html>hello</html>'],
    ['HTTP/0.9, a long one', 'x' x 100_000],
    ['HTTP/2.0', "HTTP/2.0 200 OK\r\n\r\n"],
    ['HTTP/1', "HTTP/1 200 OK\r\n\r\n"],
    ['lower case', "http/1.1 200 OK\r\n\r\n"],
    ['two digits', "HTTP/1.1 20 OK\r\n\r\n"],
    ['four digits', "HTTP/1.1 2000 OK\r\n\r\n"],
    ['status 099', "HTTP/1.1 099 OK\r\n\r\n"],
    ['status 600', "HTTP/1.1 600 OK\r\n\r\n"],
    ['status not a number', "HTTP/1.1 abc OK\r\n\r\n"],
    ['control character in the reason', "HTTP/1.1 200 O\1K\r\n\r\n"],
    ['bare CR in the reason (CVE-2026-33523)', "HTTP/1.1 200 O\rK\r\n\r\n"],
    ['bare LF as line end', "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
    ['an unknown transfer coding', "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"],
    ['chunked not last', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"],
    ['chunked twice', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    ['101 that nobody asked for (CVE-2019-17567)', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
    ['too many interim heads (CVE-2008-2364)', "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" x 30 . "HTTP/1.1 200 OK\r\n\r\n"],
);
for my $case (@bad_http) {
    my ($what, $bytes) = @$case;
    is play('http', $bytes)->{status}, 502, "http: $what";
}
my @bad_cgi = (
    ['status 99', "Status: 99\r\n\r\n"], ['status 600', "Status: 600\r\n\r\n"], ['status abc', "Status: abc\r\n\r\n"],
    ['empty status', "Status:\r\n\r\n"], ['two different statuses', "Status: 200\r\nStatus: 404\r\n\r\n"],
    ['status line that is not one', "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n"],
);
for my $case (@bad_cgi) {
    my ($what, $bytes) = @$case;
    is play('fcgi', fcgi_answer($bytes))->{status}, 502, "fcgi: $what";
    is play($_, $bytes)->{status}, $what =~ /status line/ ? 200 : 502, "$_: $what" for qw(scgi uwsgi);
}

# Good ones: (text, name, value that the client sees).
my @good = (
    ["Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", 'Set-Cookie', 'a=1, b=2'],
    ["X-A: one\r\nx-a: two\r\n", 'X-A', 'one, two'],
    ["X-A:   padded\t \r\n", 'X-A', 'padded'],
    ["X-A:\r\n", 'X-A', ''],
    ["X-A: caf\xe9\r\n", 'X-A', "caf\xe9"],
    ["Www-Authenticate: Basic realm=a\r\nWww-Authenticate: Digest b\r\n", 'WWW-Authenticate', 'Basic realm=a, Digest b'],
    ["X-A: " . 'v' x 7000 . "\r\n", 'X-A', 'v' x 7000],
    ["X-!#\$%&'*+.^_`|~9: token\r\n", "X-!#\$%&'*+.^_`|~9", 'token'],
    ["Location: http://elsewhere/x\r\n", 'Location', 'http://elsewhere/x'],
);
for my $case (@good) {
    my ($fields, $name, $value) = @$case;
    for my $kind (sort keys %backend) {
        my $bytes = ($kind eq 'http' ? "HTTP/1.1 201 Made\r\n" : "Status: 201 Made\r\n") . "Content-Type: text/plain\r\n$fields\r\nbody";
        my $res = play($kind, $kind eq 'fcgi' ? fcgi_answer($bytes) : $bytes);
        is $res->{status}, 201, "$kind: $name";
        is $res->{head} ? $res->{head}->h($name) : undef, $value, "$kind: $name arrives";
        is $res->{body}, 'body', "$kind: with its body";
    }
}

# A byte at a time.
is play('http', "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok", drip => 1)->{body}, 'ok', 'http: a byte at a time';
is play('fcgi', fcgi_answer("X-A: b\r\n\r\nok", size => 1, pad => 3), drip => 1)->{body}, 'ok', 'fcgi: a record for each byte';
# CGI heads may use bare LF.
is play('fcgi', fcgi_answer("Status: 202\nContent-Type: a/b\n\nbody"))->{status}, 202, 'fcgi: bare LF ends lines';
# No field at all: nothing that httpd's own CGI handlers would refuse.
is play('fcgi', fcgi_answer("\r\nbody"))->{body}, 'body', 'fcgi: an empty head';
is play('fcgi', fcgi_answer("Content-Type: a/b\n\r\nbody"))->{body}, 'body', 'fcgi: mixed line ends';

# Hop-by-hop fields of the backend stay there.
my $hop = "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers\r\n"
    . "Trailer: X\r\nUpgrade: h2c\r\nX-End: 1\r\n";
for my $kind (sort keys %backend) {
    my $bytes = ($kind eq 'http' ? "HTTP/1.1 200 OK\r\n" : '') . "Content-Length: 0\r\n$hop\r\n";
    my $res = play($kind, $kind eq 'fcgi' ? fcgi_answer($bytes) : $bytes);
    is $res->{head}->h('X-End'), 1, "$kind: end-to-end fields pass" if $res->{head};
    is_deeply [grep { defined $res->{head}->h($_) } qw(X-Hop Proxy-Connection TE)], [], "$kind: hop-by-hop fields do not";
    unlike $res->{head}->h('Keep-Alive') || '', qr/timeout=5$/, "$kind: nor the backend's Keep-Alive";
}

# Names of files for a server that would send them: nobody asked for that, so they are not obeyed and tell nobody anything.
for my $name ('X-Sendfile', 'X-LIGHTTPD-send-file', 'X-Sendfile2', 'X-Accel-Redirect') {
    for my $kind (sort keys %backend) {
        my $bytes = ($kind eq 'http' ? "HTTP/1.1 200 OK\r\n" : '') . "Content-Length: 4\r\n$name: /etc/passwd\r\nX-Send: 1\r\n\r\nbody";
        my $res = play($kind, $kind eq 'fcgi' ? fcgi_answer($bytes) : $bytes);
        is $res->{body}, 'body', "$kind: $name is not obeyed";
        unlike $res->{head}{text}, qr/passwd/, "$kind: $name does not reach the client";
        is $res->{head}->h('X-Send'), 1, "$kind: others do";
    }
}

# No body where there can be none, whatever the head says.
for my $row (['HEAD', 200], ['GET', 204], ['GET', 304]) {
    my ($method, $status) = @$row;
    my $res = play('http', "HTTP/1.1 $status X\r\nContent-Length: 5\r\n\r\n", method => $method, keep_open => 1);
    is $res->{status}, $status, "http: $method $status has no body";
    cmp_ok $res->{elapsed}, '<', 20, 'and is not waited for';
}
$t->done;
done_testing;
