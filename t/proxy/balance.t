#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Balancing: who gets the next request.
# F3 F4 F5 F7 F13 G4 G6 G25
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use JSON::PP qw(decode_json);
use List::Util qw(max sum);

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(backend_program start_child free_port now poll_until slurp work_dir in_background wait_background);

# Echo servers a, b, c; "u" on a unix socket; two that take one request at a time.
my %port = map { $_ => free_port() } qw(a b c m n);
start_child(backend_program('http_echo'), '-l', $port{$_}, '-i', $_) for qw(a b c);
start_child(backend_program('http_echo'), '-l', $port{$_}, '-i', $_, '-m', 1, '-f', work_dir() . "/log-$_") for qw(m n);
my $sock = work_dir() . '/run/u.sock';
start_child(backend_program('http_echo'), '-l', $sock, '-i', 'u');
poll_until { -S $sock };
chmod 0777, $sock;
my @six = grep { $_ } (eval { ProxyCore::Backend->new(host => '::1') });

my $conf = '';
my %pool = (
    rr => ["round-robin", "127.0.0.1:$port{a}", "127.0.0.1:$port{b}", "127.0.0.1:$port{c}"],
    weighted => ["round-robin", "127.0.0.1:$port{a} weight=3", "127.0.0.1:$port{b} weight=1"],
    least => ["least-requests", "127.0.0.1:$port{a}", "127.0.0.1:$port{b}"],
    default => ["", "127.0.0.1:$port{a}", "127.0.0.1:$port{b}"],
    mixed => ["round-robin", "127.0.0.1:$port{a}", "unix:$sock"],
    mongrel => ["least-requests", "127.0.0.1:$port{m} max=1", "127.0.0.1:$port{n} max=1"],
    named => ["round-robin", "localhost:$port{a} name=alpha"],
);
for my $n (sort keys %pool) {
    my ($method, @b) = @{ $pool{$n} };
    $conf .= "<ProxyCore $n>\n ProxyCoreProtocol http\n" . join('', map { " ProxyCoreBackend $_\n" } @b)
        . ($method ? " ProxyCoreBalancer $method\n" : '') . "</ProxyCore>\n<Location /$n/>\n ProxyCorePass $n\n</Location>\n";
}
my $s = ProxyCore::Server->new(conf => "$conf<Location /status>\n SetHandler proxy-core-status\n</Location>\n")->start;

# Requests that the backends of a pool have now.
sub in_flight {
    my ($n) = @_;
    my ($p) = grep { $_->{name} eq $n } @{ decode_json($s->get('/status?format=json')->{body})->{pools} };
    return sum map { $_->{in_flight} } @{ $p->{backends} };
}
sub who { my ($n, $q) = @_; my $r = $s->get("/$n/" . ($q || '')); return $r->{head} ? $r->{head}->h('X-App') : 'none' }

# Round-robin is exact, over all children.
my @seen = map { who('rr') } 1 .. 12;
my %count;
$count{$_}++ for @seen;
is_deeply \%count, { a => 4, b => 4, c => 4 }, 'round-robin: equal shares';
is join('', @seen[0 .. 2]) x 4, join('', @seen), 'round-robin: in turn';

%count = ();
@seen = map { who('weighted') } 1 .. 16;
$count{$_}++ for @seen;
is_deeply \%count, { a => 12, b => 4 }, 'round-robin: by weight';
unlike join('', @seen), qr/aaaa|bb/, 'smooth: the heavy one does not get its share at a stretch';

%count = ();
$count{ who('mixed') }++ for 1 .. 8;
is_deeply \%count, { a => 4, u => 4 }, 'a TCP and a unix backend in one pool';
is who('named'), 'a', 'a host name as address';

# On connections that are kept as well: requests alternate, connections do not grow with them.
my $c = $s->connect;
my (@ids, $connections);
for (1 .. 20) {
    $c->send("GET /rr/ HTTP/1.1\r\nHost: a\r\n\r\n");
    my $r = $c->read_response;
    push @ids, $r->{head}->h('X-App');
    ($connections) = $r->{body} =~ /app\.connections=(\d+)/;
}
my %twenty;
$twenty{$_}++ for @ids;
ok !(grep { $_ < 6 || $_ > 7 } values %twenty), 'keep-alive: requests alternate';
cmp_ok $connections, '<', 14, 'keep-alive: fewer connections than requests';

# Least requests: a busy one gets no second while the other is idle.
for my $pool (qw(least default)) {
    my $slow = $s->connect;
    $slow->send("GET /$pool/?sleep=4000 HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until { in_flight($pool) == 1 };
    my %h;
    $h{ who($pool) }++ for 1 .. 4;
    my ($busy) = keys %h;
    is scalar(keys %h), 1, "$pool: all requests go to the backend that has none";
    my $r = $slow->read_response;
    isnt $r->{head} && $r->{head}->h('X-App'), $busy, "$pool: the slow request was on the other";
}

# Two backends that take one request each: both work at the same time, and none ever has two.
my @jobs = map { my $w = $s->connect; $w->send("GET /mongrel/?sleep=500 HTTP/1.1\r\nHost: a\r\n\r\n"); $w } 1 .. 8;
my $both = poll_until { in_flight('mongrel') == 2 };
my @res = map { $_->read_response(timeout => 8) } @jobs;
is scalar(grep { ($_->{status} || 0) == 200 } @res), 8, 'two mongrels: all answered';
ok $both, 'two mongrels: two at the same time';
my %who;
$who{ $_->{head}->h('X-App') }++ for @res;
is_deeply \%who, { m => 4, n => 4 }, 'two mongrels: equal shares';
for my $id (qw(m n)) {
    my $most = max slurp(work_dir() . "/log-$id") =~ /^request (\d+)/mg;
    is $most, 1, "mongrel $id never had two at once";
}
$s->stop;

# Every address of a name is a backend of its own. localhost has one or two; the pool takes what the resolver says.
SKIP: {
    my @addr = do { open my $fh, '-|', 'getent', 'ahosts', 'localhost'; my %s; grep { !$s{$_}++ } map { (split)[0] } <$fh> };
    skip 'localhost has one address here', 1 if @addr < 2;
    my $port = free_port();
    my @b = map { ProxyCore::Backend->new(host => $_, port => $port)->serve(sub {
        my ($conn) = @_;
        $conn->read_request or return;
        $conn->send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    }) } @addr;
    my $s2 = ProxyCore::Server->new(name => 'names', modules => ['status'], conf => <<"CONF")->start;
<ProxyCore names>
    ProxyCoreProtocol http
    ProxyCoreBackend localhost:$port
    ProxyCoreBalancer round-robin
</ProxyCore>
<Location /names/>
    ProxyCorePass names
</Location>
LogFormat "%{proxy-core-backend}n" pc
CustomLog @{[work_dir()]}/names/logs/backends pc
CONF
    $s2->get('/names/') for 1 .. 6;
    my $log = work_dir() . '/names/logs/backends';
    poll_until { my @l = split /\n/, slurp($log) || ''; @l >= 6 };
    my %used;
    $used{$_}++ for split /\n/, slurp($log);
    is scalar(keys %used), scalar @addr, 'each address of a name gets its share';
    $s2->stop;
}
done_testing;
