#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The queue: requests wait here instead of in the backend's backlog, first come first served.
# F9
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until work_dir backend_program start_child free_port slurp mpm);
use List::Util qw(max min);
use Time::HiRes qw(sleep);

my $one = ProxyCore::Backend->new;
my $short = ProxyCore::Backend->new;
my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port, '-f', work_dir() . '/log');
# With a process for each request prefork needs them all from the start: it adds some once a second.
my @prefork = mpm() eq 'prefork' ? (mpm_conf => "StartServers 48\nServerLimit 48\nMaxRequestWorkers 48\nMinSpareServers 4\n"
    . "MaxSpareServers 48\n") : ();
my $s = ProxyCore::Server->new(@prefork, conf => <<"CONF")->start;
<ProxyCore one>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$one->address]} max=1
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore short>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$short->address]} max=1
    ProxyCoreKeepAlive off
    ProxyCoreQueue 2 timeout=4s
</ProxyCore>
<ProxyCore many>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port max=1
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(one short many)]}
<Location /status>
    SetHandler proxy-core-status
</Location>
CONF

my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
sub ask { my ($path) = @_; my $c = $s->connect; $c->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n"); return $c }

# How many wait, as the status page says.
sub waiting {
    my ($pool) = @_;
    require JSON::PP;
    my $j = eval { JSON::PP::decode_json($s->get('/status?format=json')->{body}) } or return -1;
    my ($p) = grep { $_->{name} eq $pool } @{ $j->{pools} };
    return $p ? $p->{waiting} : -1;
}

# Five at once, one at a time, in order.
my @c;
push @c, ask('/one/1');
my $b = $one->accept;
is $b->read_request->{target}, '/one/1', 'the first is asked at once';
for my $i (2 .. 5) {
    push @c, ask("/one/$i");
    my $want = $i - 1;
    ok poll_until(sub { waiting('one') == $want }, 3), "request $i waits here";
}
is $one->accept(0.2), undef, 'the backend never sees a second connection';
my @waited;
for my $i (1 .. 5) {
    $b->send($ok);
    $b->close;
    is $c[$i - 1]->read_response->{status}, 200, "request $i is answered";
    last if $i == 5;
    my $start = now();
    $b = $one->accept(3);
    push @waited, now() - $start;
    is $b ? $b->read_request->{target} : 'none', '/one/' . ($i + 1), 'first come, first served';
}

cmp_ok min(@waited), '<', 0.3, 'the next one goes at once';

# Longer than the queue: 503 at once. Longer than its time: 504.
my $first = ask('/short/1');
$b = $short->accept;
$b->read_request;
my $start = now();
my @wait = map { ask("/short/$_") } 2, 3;
ok poll_until(sub { waiting('short') == 2 }, 3), 'two wait';
my $res = $s->get('/short/4');
is $res->{status}, 503, 'the queue is full: 503';
like $res->{head}->h('Retry-After') || '', qr/^[1-9]\d*$/, 'with Retry-After';
for my $w (@wait) {
    is $w->read_response->{status}, 504, 'waited too long: 504';
}
my $took = now() - $start;
ok $took > 3.5 && $took < 30, "after its time ($took s)";
is waiting('short'), 0, 'nobody waits any more';

# A client that leaves while it waits leaves the queue.
my $gone = ask('/short/gone');
ok poll_until(sub { waiting('short') == 1 }, 3), 'one waits';
$gone->close;
ok poll_until(sub { waiting('short') == 0 }, 3), 'it is forgotten when its client leaves';
$b->send($ok);
$b->close;
is $first->read_response->{status}, 200, 'the one that was busy is answered';
is $short->accept(0.3), undef, 'no request of a client that left is sent';

# A waiter behind one that left gets its turn.
$first = ask('/one/a');
$b = $one->accept;
$b->read_request;
my $leaver = ask('/one/b');
poll_until { waiting('one') == 1 } 3;
my $stay = ask('/one/c');
poll_until { waiting('one') == 2 } 3;
$leaver->reset;
poll_until { waiting('one') == 1 } 3;
$b->send($ok);
$b->close;
$b = $one->accept(3);
is $b ? $b->read_request->{target} : 'none', '/one/c', 'the next in line goes';
$b->send($ok) if $b;
is $stay->read_response->{status}, 200, 'and is answered';

# Many children, one backend: never two at once, all are answered.
@c = map { ask("/many/?sleep=15") } 1 .. 40;
my @st = map { $_->read_response->{status} || 0 } @c;
is scalar(grep { $_ == 200 } @st), 40, 'forty over one: all answered';
my $most = max slurp(work_dir() . '/log') =~ /^request (\d+)/mg;
is $most, 1, 'never two at once';
$s->stop;
done_testing;
