#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# X-Sendfile2: spans of files, one behind the other. And many files at once over HTTP/2 with few descriptors.
# G23
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Named;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir spew slurp poll_until fd_count run_capture mpm);

my $dir = work_dir() . '/files';
mkdir $dir;
my $a = join '', map { chr(97 + $_ % 26) } 0 .. 999;
spew("$dir/a", $a);
spew("$dir/b, c", '0123456789');
spew("$dir/empty", '');
spew(work_dir() . '/outside', 'secret');
spew("$dir/big$_", $_ x 3_000_000) for 0 .. 3;

my %app = map { $_ => ProxyCore::Named->new($_) } ProxyCore::Named->protocols;
my $s = ProxyCore::Server->new(conf => join '', map { $_->conf("ProxyCoreXSendfile on root=$dir") } values %app);
$s->start;

for my $protocol (sort keys %app) {
    my $app = $app{$protocol};
    my $ask = sub { my ($value, %arg) = @_; my ($res) = $app->ask($s, "X-Sendfile2: $value\r\n", %arg); return $res };
    subtest $protocol => sub {
        for my $case (
            ["$dir/a 0-499", substr($a, 0, 500), 'the first 500 bytes'], ["$dir/a 500-", substr($a, 500), 'from there to the end'],
            ["$dir/a 0-", $a, 'all of it'], ["$dir/a 7-7", substr($a, 7, 1), 'one byte'],
            ["$dir/a 0-9, $dir/b%2c%20c 0-, $dir/a 990-", substr($a, 0, 10) . '0123456789' . substr($a, 990), 'three parts'],
            ["$dir/a 0-9,$dir/a 0-9", substr($a, 0, 10) x 2, 'without a space'],
            ["$dir/a 0-0\r\nX-Sendfile2: $dir/b%2Cc 0-\r\nX-Sendfile2:   $dir/a  1-1", undef, 'a missing one among several fields'],
            ["$dir/a 0-0\r\nX-Sendfile2: $dir/b%2C%20c 0-\r\nX-Sendfile2:   $dir/a  1-1", "a0123456789b", 'several fields'],
            ["$dir/a 990-5000", substr($a, 990), 'an end behind the end'], ["$dir/empty 0-", '', 'an empty file'],
            ["$dir/a 1000-", '', 'from the very end'], ["$dir/%61 0-1", 'ab', 'the path is decoded'],
            [join(', ', ("$dir/a 3-3") x 32), 'd' x 32, '32 parts'],
        ) {
            my ($value, $want, $what) = @$case;
            my $res = $ask->($value);
            is $res->{status}, defined $want ? 200 : 404, $what;
            next if !defined $want;
            is $res->{body}, $want, "$what: its bytes";
            is $res->{head}->h('Content-Length'), length $want, "$what: the exact length";
            unlike $res->{head}{text}, qr/sendfile/i, "$what: no word of it";
        }
        for my $case (
            ["$dir/a", 502, 'no range'], ["$dir/a 5-4", 502, 'backwards'], ["$dir/a -5", 502, 'no beginning'], ["$dir/a 0-5x", 502, 'a letter'],
            ["$dir/a 0-99999999999999999999", 502, 'a number too large'], ["$dir/a 0-1,", 502, 'a comma at the end'], ["$dir/a 0-1 $dir/a 0-1", 502, 'no comma'],
            ['', 502, 'nothing'], ['relative 0-', 502, 'a relative path'], ["$dir/a%00 0-", 502, 'NUL'], ["$dir/a% 0-", 502, 'half an escape'],
            ["$dir/a%0d%0aX: 0-", 502, 'a line end'], [join(', ', ("$dir/a 3-3") x 33), 502, '33 parts'], ["$dir/a 1001-", 502, 'behind the end'],
            ["$dir/a 0-, $dir/../outside 0-", 403, 'one part outside'], ["$dir/a 0-, $dir/nothing 0-", 404, 'one part missing'],
        ) {
            my ($value, $status, $what) = @$case;
            my $res = $ask->($value);
            is $res->{status}, $status, "$what: $status";
            unlike $res->{body}, qr/secret|abc|the application/, "$what: nothing of it";
        }
        my $res = $ask->("$dir/a 0-99, $dir/b%2c%20c 0-", fields => ['Range' => 'bytes=98-103']);
        is "$res->{status} $res->{body}", '206 ' . substr($a, 98, 2) . '0123', 'a client\'s range of all parts together';
        is $res->{head}->h('Content-Range'), 'bytes 98-103/110', 'Content-Range';
        is $res->{head}->h('ETag'), undef, 'no ETag of one of the files';
        ($res) = $app->ask($s, "X-Sendfile2: $dir/a 0-99\r\nETag: \"v7\"\r\n", fields => ['If-None-Match' => '"v7"']);
        is $res->{status}, 304, 'the application\'s own ETag holds';
        ($res) = $app->ask($s, "X-Sendfile2: $dir/a 100-199\r\nContent-Range: bytes 100-199/1000\r\n", status => 206, fields => [Range => 'bytes=100-199']);
        is "$res->{status} $res->{body}", '206 ' . substr($a, 100, 100), 'an application that answers a range itself';
        is $res->{head}->h('Content-Range'), 'bytes 100-199/1000', 'with its Content-Range';
        $res = $ask->("$dir/a 0-99", method => 'HEAD');
        is $res->{head}->h('Content-Length'), 100, 'HEAD';
    };
}

$s->stop;

# Many large files over one HTTP/2 connection, more than there are descriptors for. Each is whole or an error; none is mixed
# up, nobody crashes, and afterwards nothing is held. (CVE-2026-48913)
SKIP: {
    skip 'one child', 6 if mpm() eq 'prefork';
    skip 'prlimit is missing', 6 if system('prlimit --version >/dev/null 2>&1') != 0;
    my ($soft) = `prlimit --pid $$ --nofile --output SOFT --noheadings` =~ /(\d+)/;
    system("prlimit --pid $$ --nofile=160:");
    my $few = ProxyCore::Server->new(name => 'few', mpm_conf => "StartServers 1\nServerLimit 1\nThreadsPerChild 24\nMaxRequestWorkers 24\n",
        conf => "H2MaxWorkers 40\n" . $app{http}->conf("ProxyCoreXSendfile on root=$dir"))->start;
    system("prlimit --pid $$ --nofile=$soft:");
    $app{http}{backend}->serve(sub {
        my ($conn) = @_;
        while (my $req = $conn->read_request) {
            my ($n) = $req->{target} =~ /(\d+)$/;
            my $value = join ', ', map { my $i = $_; map { "$dir/big" . ($_ % 4) . " $i-" . ($i + 299_999) } $n .. $n + 3 } map { $_ * 300_000 } 0 .. 7;
            $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Sendfile2: $value\r\n\r\n");
        }
        $conn->close;
    });
    is $few->get('/http/1')->{status}, 200, 'a server with few descriptors';
    my ($child) = $few->children;
    my $before = fd_count($child);
    my $n = 40;
    my ($said) = run_capture('timeout', 60, 'nghttp', '-nsv', map { 'http://127.0.0.1:' . $few->port . "/http/$_" } 1 .. $n);
    my %code;
    $code{ "$1 " . ($2 =~ /M/ ? 'whole' : 'page') }++ while $said =~ m{ (\d\d\d) +(\S+) /http/\d+$}mg;
    cmp_ok $code{'200 whole'} || 0, '>', 0, "of $n requests some are served whole";
    is_deeply [grep { !/^(?:200 whole|503 page)$/ } sort keys %code], [], 'the others are refused' or diag explain \%code, $said =~ /RST_STREAM/g;
    note explain \%code;
    note scalar($few->grep_log(qr/Too many open files/)), ' times out of descriptors';
    is_deeply [$few->children], [$child], 'the child lives';
    ok poll_until(sub { fd_count($child) <= $before + 8 }, 15), 'no descriptor is left behind' or diag fd_count($child) . " of $before";
    is $few->get('/http/1')->{status}, 200, 'and all is well';
    $app{http}{backend}->stop_serving;
    $few->stop;
}
done_testing;
