#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# An answer that the backend cut short must never look whole: no last chunk, the connection closed (or the stream reset)
# within a second, and no byte of a pipelined request's answer inside it.
# F23 (and: what must never happen)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Core;
use ProxyCore::FCGI qw(record fcgi_stdout fcgi_end FCGI_STDOUT FCGI_END_REQUEST);
use ProxyCore::Gateway qw(take);
use ProxyCore::Util qw(front now);

my $t = ProxyCore::Core->new;
my %backend = map { $_ => $t->backend($_) } qw(http fcgi scgi uwsgi);
my $H = "Content-Type: text/plain\r\n";

# kind, what is wrong, bytes that the backend sends before it closes, what of the body may arrive
my @cases = (
    ['http', 'Content-Length too large', "HTTP/1.1 200 OK\r\n${H}Content-Length: 100\r\n\r\npart"],
    ['http', 'no last chunk', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"],
    ['http', 'end inside of a chunk', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n10\r\npart"],
    ['http', 'end inside of a chunk size', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n1"],
    ['http', 'end before the final CRLF', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n"],
    ['http', 'nonsense for a chunk size', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n"],
    ['http', 'a negative chunk size', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n-1\r\n"],
    ['http', 'chunk size overflow', "HTTP/1.1 200 OK\r\n${H}Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\nfffffffffffffffff\r\n"],
    ['fcgi', 'EOF without END_REQUEST', fcgi_stdout("$H\r\npart")],
    ['fcgi', 'end of STDOUT but no END_REQUEST', fcgi_stdout("$H\r\npart") . record(FCGI_STDOUT, '')],
    ['fcgi', 'half a record', substr(fcgi_stdout("$H\r\npart" . 'x' x 100), 0, 60)],
    ['fcgi', 'half a record header', fcgi_stdout("$H\r\npart") . "\1\6\0"],
    ['fcgi', 'protocolStatus not 0', fcgi_stdout("$H\r\npart") . fcgi_end(protocol => 1)],
    ['fcgi', 'Content-Length too large', fcgi_stdout("${H}Content-Length: 100\r\n\r\npart") . record(FCGI_STDOUT, '') . fcgi_end()],
    ['scgi', 'Content-Length too large', "${H}Content-Length: 100\r\n\r\npart"],
    ['uwsgi', 'Content-Length too large', "HTTP/1.1 200 OK\r\n${H}Content-Length: 100\r\n\r\npart"],
    ['fcgi', 'a record of another version', fcgi_stdout("$H\r\npart") . record(FCGI_STDOUT, 'x', version => 9)],
);

for my $case (@cases) {
    my ($kind, $what, $bytes) = @$case;
    subtest "$kind: $what" => sub {
        my $f = $t->ask('GET', $kind, '/x');
        if ($f->conn) {
            # The next request waits behind it on the same connection.
            $f->conn->send('GET ' . $t->path($kind) . "/second HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        my $b = $backend{$kind}->accept or return fail 'the backend is asked';
        take($kind, $b);
        $b->send($bytes);
        my $start = now();
        $b->close;
        my $res = $f->finish(timeout => 5);
        # A stream that is reset may take a head with it that was not yet on the wire.
        is $res->{status}, 200, 'the head had been sent' if $f->conn || $res->{status};
        ok !$res->{complete}, 'the answer is not whole';
        like $res->{body}, qr/^(?:part\w*)?\z/, 'nothing but the part arrives';
        if ($f->conn) {
            is $f->conn->read_all(3), '', 'nothing else is sent, no answer to the second request';
            ok $f->conn->eof, 'the connection is closed';
        }
        else {
            ok $res->{reset}, 'the stream is reset' or diag "curl exit $res->{exit}";
        }
        cmp_ok now() - $start, '<', 20, 'and not when a time is over';
        is $backend{$kind}->accept(0.05), undef, 'the backend is not asked again';
    };
}

# Longer than its Content-Length: cut there, and the backend's connection is not used again.
for my $kind (qw(http fcgi scgi uwsgi)) {
    my $f = $t->ask('GET', $kind, '/long');
    my $b = $backend{$kind}->accept;
    take($kind, $b);
    $b->send($kind ne 'fcgi' ? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfourand more"
        : fcgi_stdout("${H}Content-Length: 4\r\n\r\nfourand more") . record(FCGI_STDOUT, '') . fcgi_end());
    my $res = $f->finish;
    # HTTP/2 can say that something was wrong: then it must be a reset.
    is $res->{body}, $res->{reset} ? '' : 'four', "$kind: an answer longer than its Content-Length is cut";
    ok $b->closed(2), "$kind: and the connection is dropped";
}

# Nothing of the head arrived: 502, and the client's connection lives on.
my @before = (
    ['http', 'closed at once', ''],
    ['http', 'half a status line', 'HTTP/1.1 2'],
    ['http', 'half a head', "HTTP/1.1 200 OK\r\nContent-Ty"],
    (map { [$_, 'closed at once', ''], [$_, 'half a head', "Content-Type: a\r\n"], [$_, 'half a status line', 'HTTP/1.1 2'] } qw(scgi uwsgi)),
    ['fcgi', 'closed at once', ''],
    ['fcgi', 'half a head', fcgi_stdout('Content-Ty')],
    ['fcgi', 'END_REQUEST at once', record(FCGI_END_REQUEST, pack 'NCx3', 0, 0)],
    ['fcgi', 'no head in STDOUT', record(FCGI_STDOUT, '') . fcgi_end()],
);
for my $case (@before) {
    my ($kind, $what, $bytes) = @$case;
    # A POST: it is not tried again.
    my $f = $t->ask('POST', $kind, '/x', body => 'abc');
    my $b = $backend{$kind}->accept or fail('asked'), next;
    take($kind, $b);
    $b->send($bytes);
    $b->close;
    my $res = $f->finish(timeout => 5);
    is $res->{status}, 502, "$kind: $what: 502";
    ok $res->{complete}, "$kind: $what: and that answer is whole";
}
$t->done;
done_testing;
