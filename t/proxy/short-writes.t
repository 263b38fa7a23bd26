#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Backends that take a hundred bytes at a time: a head is sent in many steps, with the thread given back in between. And a
# request that is made a second time is the same as the first.
# F1 F8
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir mpm asan top_dir run_capture);

plan skip_all => 'one run is enough' if mpm() ne 'event';
plan skip_all => 'a sanitizer is preloaded instead' if asan();

my $lib = work_dir() . '/short_send.so';
my ($out, $rc) = run_capture($ENV{CC} || 'cc', qw(-std=gnu11 -O2 -Wall -Wextra -shared -fPIC -o), $lib,
    top_dir() . '/t/backends/short_send.c');
die $out if $rc;

my $http = ProxyCore::Backend->new;
my $http2 = ProxyCore::Backend->new;
my $fcgi = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my $fcgi2 = ProxyCore::Backend->new(unix => work_dir() . '/run/f2.sock');
my $conf = '';
for my $pool (['http', $http, $http2], ['fastcgi', $fcgi, $fcgi2]) {
    for my $async (qw(auto off)) {
        my $name = "$pool->[0]-$async";
        $conf .= <<"CONF";
<ProxyCore $name>
    ProxyCoreProtocol $pool->[0]
    ProxyCoreBackend @{[$pool->[1]->address]}
    ProxyCoreBackend @{[$pool->[2]->address]} backup
    ProxyCoreAsync $async
    ProxyCoreKeepAlive off
    ProxyCoreRetry 1 on=connect,stale,reset
</ProxyCore>
<Location /$name/>
    ProxyCorePass $name
    ProxyCoreSetEnv OWN "%{REQUEST_URI}"
</Location>
CONF
    }
}
my $s = ProxyCore::Server->new(protocols => 'http/1.1', env => { LD_PRELOAD => $lib }, conf => $conf)->start;

sub request {
    my ($path, $long, $body) = @_;
    return "GET $path HTTP/1.1\r\nHost: a\r\nX-Long: $long\r\nX-End: end\r\n\r\n" if !defined $body;
    return "POST $path HTTP/1.1\r\nHost: a\r\nX-Long: $long\r\nX-End: end\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

# What the backend got: [text that must be the same in another try, X-Long, X-End, body].
sub read_http {
    my ($b) = @_;
    my $req = $b->read_request or return;
    return [$req->{head}{text}, $req->{head}->h('X-Long'), $req->{head}->h('X-End'), $req->{body}];
}

sub read_params {
    my ($b) = @_;
    my $req = read_fcgi($b, timeout => 20) or return;
    my $p = $req->{params};
    return [join("\n", map { "$_=$p->{$_}" } @{ $req->{order} }), $p->{HTTP_X_LONG}, $p->{HTTP_X_END}, $req->{stdin}];
}

my %kind = (
    http    => [$http, $http2, \&read_http, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    fastcgi => [$fcgi, $fcgi2, \&read_params, fcgi_answer("Content-Type: text/plain\r\n\r\nok")],
);
for my $name (sort keys %kind) {
    my ($backend, $other, $read, $answer) = @{ $kind{$name} };
    for my $async (qw(auto off)) {
        # a head that fits into what a step has room for, and two that do not
        for my $size (300, 4000, 7000) {
            for my $body (undef, '', join '', map { chr(97 + $_ % 26) } 1 .. 3000) {
                my $what = sprintf '%s, async %s, a field of %d bytes, %s', $name, $async, $size,
                    defined $body ? length($body) . ' bytes of body' : 'no body';
                my $long = join '', map { chr(65 + $_ % 26) } 1 .. $size;
                my $c = $s->connect;
                $c->send(request("/$name-$async/x", $long, $body));
                my $b = $backend->accept or die "$what: nobody came";
                my $got = $read->($b);
                $b->send($answer);
                is_deeply [@$got[1 .. 3]], [$long, 'end', defined $body ? $body : ''], "$what: all of it came, in its order";
                is $c->read_response->{body}, 'ok', "$what: answered";
            }
        }
        # more fields than there is room for on the stack
        my $many = $s->connect;
        $many->send("GET /$name-$async/m HTTP/1.1\r\nHost: a\r\n" . join('', map { "X-N$_: v$_\r\n" } 1 .. 90) . "\r\n");
        my $taker = $backend->accept or die "$name: nobody came";
        my $all = $read->($taker)->[0];
        $taker->send($answer);
        is_deeply [$all =~ /^(?:HTTP_)?X[-_]N\d+(?:: |=)v(\d+)\r?$/mg], [1 .. 90], "$name, async $async: ninety fields";
        is $many->read_response->{body}, 'ok', "$name, async $async: answered";

        my $c = $s->connect;
        $c->send(request("/$name-$async/y", 'L' x 500));
        my $b = $backend->accept;
        my $first = $read->($b);
        $b->reset;
        $b = $other->accept or die "$name: no second try";
        my $second = $read->($b);
        $b->send($answer);
        like $first->[0], $name eq 'http' ? qr/^X-Forwarded-For: 127/m : qr{^OWN=/fastcgi-$async/y}m, "$name, async $async: a first try";
        is $second->[0], $first->[0], "$name, async $async: another try is the same request";
        is $c->read_response->{body}, 'ok', "$name, async $async: answered then";
    }
}

$s->stop;
done_testing;
