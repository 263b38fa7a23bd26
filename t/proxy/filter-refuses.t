#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# An output filter of httpd's refuses a backend's answer: the client gets an error in its place as with any handler, and
# never half of the answer as if it were whole.
# D9
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_stdout fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(spew slurp poll_until);

my %b = (http => ProxyCore::Backend->new, fcgi => ProxyCore::Backend->new, hold => ProxyCore::Backend->new);
my $s = ProxyCore::Server->new(modules => [qw(headers substitute include)], conf => join('', map { my $name = $_; <<"CONF" } sort keys %b) . <<'CONF');
<ProxyCore $name>
    ProxyCoreProtocol @{[$name eq 'fcgi' ? 'fastcgi' : 'http']}
    ProxyCoreBackend @{[$b{$name}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=60s idle=60s
    ProxyCoreResponseBuffering @{[$name eq 'hold' ? 'on' : 'off']}
</ProxyCore>
<Location /$name/>
    ProxyCorePass $name
</Location>
CONF
<LocationMatch "/bad">
    Header set X-Bad "expr=%{unescape:a%01b}"
</LocationMatch>
<LocationMatch "/line">
    SetOutputFilter SUBSTITUTE
    Substitute s/never/ever/
    SubstituteMaxLineLength 1000
</LocationMatch>
<LocationMatch "/page">
    Options +Includes
    SetOutputFilter INCLUDES
</LocationMatch>
LogFormat "%U %>s %{proxy-core-state}n" states
CustomLog logs/states states
CONF
spew($s->docroot . "/page-$_.html", qq{before <!--#include virtual="/$_/bad" --> after}) for keys %b;
$s->start;

# A client's request, and what the backend says, in turn; each but the first when the client has something of the last.
sub play {
    my ($name, $path, $parts, %arg) = @_;
    my $f = ProxyCore::Client->start($s, 'GET', "/$name/$path", %arg);
    my $k = $b{$name}->accept(10) or return $f->finish;
    $name eq 'fcgi' ? read_fcgi($k) : $k->read_request;
    my $n = 0;
    for my $part (@$parts) {
        poll_until { length $f->body_so_far } 10 if $n++;
        $k->send($part);
    }
    my $res = $f->finish(timeout => 20);
    $k->close;
    return $res;
}
sub head { my ($name, $length) = @_; return $name eq 'fcgi' ? "Content-Type: text/html\r\nContent-Length: $length\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: $length\r\n\r\n" }
sub bytes { my ($name, $bytes) = @_; return $name eq 'fcgi' ? fcgi_stdout($bytes) : $bytes }
sub whole { my ($name, $body) = @_; my $answer = head($name, length $body) . $body; return [$name eq 'fcgi' ? fcgi_answer($answer) : $answer] }

my $lines = "a line\n" x 3000;
my $long = 'x' x 200_000;
for my $name (sort keys %b) {
    for my $front (qw(http h2)) {
        for my $size (10, 200_000) {
            my $res = play($name, 'bad', whole($name, 'x' x $size), front => $front);
            SKIP: {
                skip 'mod_http2 makes heads by itself', 2 if $front eq 'h2';
                is $res->{status}, 500, "$name ($front): a field that httpd refuses before $size bytes: 500";
                ok $res->{complete} && $res->{body} !~ /xxx/, 'and a whole page of its own';
            }
        }
        my $res = play($name, 'line', whole($name, $long), front => $front);
        SKIP: {
            skip 'mod_http2 makes heads by itself', 1 if $front eq 'h2';
            ok $res->{status} == 500 || !$res->{complete}, "$name ($front): a filter that fails early, mostly before the head";
        }
        unlike $res->{body} || '', qr/x{1001}/, "$name ($front): nothing that the filter has not let through";
        $res = play($name, 'line', [bytes($name, head($name, length "$lines$long\n") . $lines), bytes($name, "$long\n")], front => $front);
        is $res->{status}, 200, "$name ($front): a filter that fails behind the head";
        ok !$res->{complete}, 'what came is not whole';
        is_deeply [play($name, 'line', whole($name, $lines), front => $front)->{body}], [$lines], 'the next one is well';
    }
    like slurp($s->dir . '/logs/states'), qr{^/$name/bad 500 filter$}m, "$name: in the access log";
    ok $s->wait_log(qr/PXC0802: pool $name: /, 10), 'and in the error log';
}
$s->stop;
done_testing;
