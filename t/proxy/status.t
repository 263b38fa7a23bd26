#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What can be seen from outside: the status page as text and JSON, notes for the access log, lines in the error log.
# G1 G5 G26 G35
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use JSON::PP qw(decode_json);

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until backend_program start_child free_port slurp now);

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port, '-i', 'echo');
my $hand = ProxyCore::Backend->new;
my $dead = free_port();
my $log = work_dir() . '/server/logs/notes';
my $s = ProxyCore::Server->new(conf => <<"CONF", loglevel => 'info proxy_core:trace2')->start;
<ProxyCore shop>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port name=first max=7 weight=3
    ProxyCoreBackend 127.0.0.1:$dead name=second backup
</ProxyCore>
<ProxyCore hand>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$hand->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore dead>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$dead
</ProxyCore>
<ProxyCore duo>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$dead
    ProxyCoreBackend 127.0.0.1:$port
    ProxyCoreBalancer round-robin
    ProxyCoreDisableTime 100s
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(shop hand dead duo)]}
<Location /status>
    SetHandler proxy-core-status
</Location>
LogFormat "%U|%s|%{proxy-core-pool}n|%{proxy-core-backend}n|%{proxy-core-state}n|%{proxy-core-attempts}n|%{proxy-core-connect}n|%{proxy-core-first-byte}n|%{proxy-core-time}n|%{proxy-core-bytes-in}n|%{proxy-core-bytes-out}n" notes
CustomLog $log notes
CONF

sub status { return decode_json($s->get('/status?format=json')->{body}) }
sub pool { my ($name) = @_; my ($p) = grep { $_->{name} eq $name } @{ status()->{pools} }; return $p }

$s->get('/shop/') for 1 .. 5;
my $shop = pool('shop');
is $shop->{protocol}, 'http', 'JSON: protocol';
is $shop->{balancer}, 'least-requests', 'JSON: balancer';
is scalar @{ $shop->{backends} }, 2, 'JSON: its backends';
my ($one, $two) = @{ $shop->{backends} };
is $one->{name}, 'first', 'JSON: a name= is shown';
is $one->{address}, "127.0.0.1:$port", 'JSON: the address';
is $one->{state}, 'ok', 'JSON: the state';
is $one->{requests}, 5, 'JSON: requests are counted';
is $one->{in_flight}, 0, 'JSON: none in flight';
is $one->{max}, 7, 'JSON: max';
is $one->{weight}, 3, 'JSON: weight';
ok $two->{backup}, 'JSON: backup';
# LogLevel trace1: which backend each request got, and that it was given back.
is scalar($s->grep_log(qr/PXC0403: pool shop: got backend first, process 0, try 1/)), 5, 'trace: each request and its backend';
my $back = qr/PXC0404: pool shop: backend first is given back/;
poll_until { $s->grep_log($back) >= 5 } 3;
is scalar($s->grep_log($back)), 5, 'trace: each is given back once';

# Load while it is there.
my $c = $s->connect;
$c->send("GET /hand/ HTTP/1.1\r\nHost: a\r\n\r\n");
my $b = $hand->accept;
$b->read_request;
is pool('hand')->{backends}[0]{in_flight}, 1, 'a request in flight is shown';
$b->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
$c->read_response;
is poll_until(sub { pool('hand')->{backends}[0]{in_flight} == 0 }, 3), 1, 'and is gone when it is answered';
$s->get('/dead/');
cmp_ok pool('dead')->{backends}[0]{failures}, '>', 0, 'failures are counted';
$s->get('/duo/') for 1 .. 2;
my $d = pool('duo')->{backends}[0];
is $d->{state}, 'resting', 'a resting backend is shown';
cmp_ok $d->{rests_seconds}, '>', 5, 'with the time until it is asked again';

my $res = $s->get('/status');
like $res->{head}->h('Content-Type'), qr{^text/plain}, 'text: type';
like $res->{body}, qr/^pool shop .*protocol=http/m, 'text: a line for each pool';
like $res->{body}, qr/^ +backend first address=127\.0\.0\.1:$port state=ok/m, 'text: a line for each backend';
is $s->request('POST', '/status', body => 'x')->{status}, 405, 'it only shows';

# Notes.
poll_until { (() = (slurp($log) || '') =~ m{^/dead/}mg) } 3;
my @lines = split /\n/, slurp($log);
my ($ok) = grep { m{^/shop/\|200} } @lines;
my @f = split /\|/, $ok;
is $f[2], 'shop', 'note: pool';
is $f[3], 'first', 'note: backend';
is $f[5], 1, 'note: attempts';
like $f[$_], qr/^\d+\.\d{3}$/, "note $_: a time in milliseconds" for 7, 8;
cmp_ok $f[7], '<=', $f[8], 'note: first byte is before the end';
my ($bad) = grep { m{^/dead/\|503} } @lines;
my @g = split /\|/, $bad;
isnt $g[4], $f[4], 'note: another state';

# A slow answer shows in the times.
$s->get('/shop/?sleep=300');
my $slow = poll_until { my @l = split /\n/, slurp($log); my ($l) = grep { my @n = split /\|/; $n[0] eq '/shop/' && $n[7] =~ /^\d/ && $n[7] > 250 } @l; $l } 3;
ok $slow, 'note: first byte of a slow answer';

$s->stop;
done_testing;
