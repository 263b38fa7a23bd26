#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Requests of every usual shape to a real FastCGI and a real HTTP application: the same outcome for both.
# F1 F10 F11 G37
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Core;
use ProxyCore::Util qw(crc32 front);

my $t = ProxyCore::Core->new;
$t->app($_) for qw(app echo);

sub bytes { my ($n) = @_; my $s = join '', map { chr($_ * 7 % 256) } 0 .. 1020; return substr($s x (1 + $n / 1021), 0, $n) }
sub pattern { my ($n) = @_; return substr(join('', 'a' .. 'w') x (1 + $n / 23), 0, $n) }

for my $kind (qw(app echo)) {
    subtest $kind => sub {
        my $res = $t->fetch('GET', $kind, '/plain');
        is $res->{status}, 200, 'GET';
        like $res->{body}, qr/^app\.id=$kind$/m, 'answered by the application';
        is $res->{head}->h('Content-Type'), 'text/plain', 'its type';

        # Bodies, each with a length and chunked (without a length in HTTP/2).
        for my $size (0, 1, 8192, 1_000_000) {
            for my $chunked (0, 1) {
                next if !$size && $chunked && front() eq 'h2';
                my $body = bytes($size);
                $res = $t->fetch('POST', $kind, '/up', body => $body, chunked => $chunked ? 7000 : 0);
                is $res->{status}, 200, "POST of $size" . ($chunked ? ', chunked' : '');
                my $crc = crc32($body);
                like $res->{body}, qr/^app\.body=$size\napp\.crc=$crc$/m, 'arrived whole';
            }
        }

        for my $size (0, 1, 100, 65_536, 3_000_000) {
            $res = $t->fetch('GET', $kind, "/?bytes=$size&cl=$size");
            ok $res->{status} == 200 && $res->{complete} && $res->{body} eq pattern($size), "an answer of $size bytes";
            is $res->{head}->h('Content-Length'), $size, 'with its Content-Length';
        }

        $res = $t->fetch('HEAD', $kind, '/?bytes=1234&cl=1234');
        is $res->{status}, 200, 'HEAD';
        is $res->{head}->h('Content-Length'), 1234, 'keeps the Content-Length';

        for my $status (201, 204, 304, 401, 404, 500, 503) {
            $res = $t->fetch('GET', $kind, "/?status=$status&bytes=0");
            is $res->{status}, $status, "status $status comes through";
            ok $res->{complete}, 'and ends properly';
        }

        # 95 fields of 1 KB: more than one PARAMS record holds (nghttp2 itself sends no more than 64 KB).
        my $n = front() eq 'h2' ? 50 : 95;
        my @fields = map { ("X-Big-$_" => ('v' x 1000) . $_) } 1 .. $n;
        $res = $t->fetch('GET', $kind, '/', fields => \@fields);
        is $res->{status}, 200, 'large head';
        my @seen = $res->{body} =~ /^(?:HTTP_X_BIG_\d+=|X-Big-\d+: )v{1000}\d+$/mgi;
        is scalar @seen, $n, 'all of it arrives';
        $res = $t->fetch('GET', $kind, '/' . 'p' x 3000 . '?' . 'q' x 4000);
        like $res->{body}, qr/p{3000}.*q{4000}/s, 'long path and query';
        my $long = 'c' x 8000;
        $res = $t->fetch('GET', $kind, '/', fields => [Cookie => $long]);
        like $res->{body}, qr/cookie[=:] ?$long$/mi, 'a field of 8000 bytes';

        for my $method (qw(PUT DELETE OPTIONS PATCH)) {
            $res = $t->fetch($method, $kind, '/m', body => 'xyz');
            like $res->{body}, $kind eq 'app' ? qr/^REQUEST_METHOD=$method$/m : qr/^line=$method /m, $method;
        }
    };
}

# Requests on one client connection, pipelined: answers in order.
if (front() ne 'h2') {
    my $c = $t->server->connect(tls => front() eq 'tls');
    my @paths = map { ($t->path('app') . "/p$_", $t->path('echo') . "/p$_") } 1 .. 5;
    $c->send(join '', map { "GET $_ HTTP/1.1\r\nHost: localhost\r\n\r\n" } @paths);
    my @got = map { my $r = $c->read_response; ($r->{body} || '') =~ m{(?:line=GET |REQUEST_URI=\S*?)/?\S*(p\d)\b} ? $1 : '?' } @paths;
    is "@got", join(' ', map { ("p$_", "p$_") } 1 .. 5), 'pipelined requests are answered in order';
}
$t->done;
done_testing;
