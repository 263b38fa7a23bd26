#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Waiting without a thread: slow backends, slow readers, queued requests; clients that leave, restarts and limits meanwhile.
# D18
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use List::Util qw(sum);

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until work_dir backend_program start_child free_port spew mpm fd_count thread_count);

plan skip_all => 'only the event MPM can park' if mpm() ne 'event';

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port);
my $hand = ProxyCore::Backend->new;
my $one = ProxyCore::Backend->new;
my $conf = <<"CONF";
AsyncRequestWorkerFactor 60
<ProxyCore echo>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore hand>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$hand->address]}
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=120s idle=120s
</ProxyCore>
<ProxyCore one>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$one->address]} max=1
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore sync>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$hand->address]}
    ProxyCoreKeepAlive off
    ProxyCoreAsync off
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(echo hand one sync)]}
CONF
my $four = "StartServers 1\nServerLimit 4\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4\n";
my $s = ProxyCore::Server->new(conf => $conf, mpm_conf => $four, protocols => 'http/1.1');
spew($s->docroot . '/static.txt', "static\n");
$s->start;
my ($child) = $s->children;

sub ask { my ($path, %arg) = @_; my $c = $s->connect(%arg); $c->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n"); return $c }
# Descriptors of the child when their number does not change any more.
sub settled {
    my ($last, $same) = (-1, 0);
    poll_until { my $n = fd_count($child); $same = $n == $last ? $same + 1 : 0; $last = $n; $same > 8 } 6;
    return $last;
}
sub static_ms { my $start = now(); my $r = $s->get('/static.txt'); return $r->{body} eq "static\n" ? 1000 * (now() - $start) : 9999 }

# The middle one of five. Where a thread is held it is held for minutes, until the test itself goes on.
sub quick_ok {
    my ($what) = @_;
    my @ms = sort { $a <=> $b } map { static_ms() } 1 .. 5;
    cmp_ok $ms[2], '<', 5000, "$what: @{[map { int } @ms]} ms";
    return;
}
static_ms() for 1 .. 3;

# Forty slow requests on four threads.
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
my @c = map { ask('/hand/slow') } 1 .. 40;
my @at = grep { $_ && $_->read_request } map { $hand->accept } 1 .. 40;
is scalar @at, 40, 'forty requests at the backend at the same time, by four threads';
quick_ok('a static file meanwhile');
$_->send($ok) for @at;
my @res = map { $_->read_response } @c;
is scalar(grep { ($_->{status} || 0) == 200 } @res), 40, 'all are answered';
$_->close for @at;
# Their connections are ordinary ones afterwards (httpd itself closes idle ones when all threads are busy).
my ($again, $ended) = (0, 0);
for my $c (@c) {
    $c->send("GET /static.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    my $r = $c->read_response;
    $again++ if ($r->{body} || '') eq "static\n";
    $ended++ if !defined $r->{status} && $r->{eof} && $r->{raw} eq '';
}
is $again + $ended, 40, "each client connection is used again ($again), or was closed as any idle one ($ended)";
# Where no thread is wanted elsewhere it stays.
my $calm = ask('/echo/?sleep=300&bytes=3');
is length $calm->read_response->{body}, 3, 'one that was parked is answered';
$calm->send("GET /static.txt HTTP/1.1\r\nHost: a\r\n\r\n");
is $calm->read_response->{body}, "static\n", 'and used again';
# Pipelined behind a parked request: answered after it, in order.
my $pipe = $s->connect;
$pipe->send(join '', map { "GET $_ HTTP/1.1\r\nHost: a\r\n\r\n" } '/echo/?sleep=300&bytes=3', '/static.txt', '/echo/?sleep=100&bytes=5');
is join(' ', map { length $pipe->read_response->{body} } 1 .. 3), '3 7 5', 'pipelined behind a parked request: in order';
$_->close for @c, $pipe;
# What one wave leaves is kept for the next; two more waves must not leave more.
my $fds = settled();
for (1 .. 2) {
    @c = map { ask('/echo/?sleep=400&bytes=10') } 1 .. 40;
    $_->read_response for @c;
    $_->close for @c;
}
cmp_ok settled(), '<=', $fds + 2, "no descriptor is left (from $fds)";

# ProxyCoreAsync off holds its threads.
@c = map { ask('/sync/') } 1 .. 4;
@at = map { my $b = $hand->accept; $b->read_request; $b } @c;
my $other = ask('/static.txt');
ok $other->quiet(0.5), 'ProxyCoreAsync off: four requests hold four threads';
$_->send($ok) for @at;
is scalar(grep { ($_->read_response->{status} || 0) == 200 } @c), 4, 'until they are answered';
is $other->read_response->{body}, "static\n", 'then others are served';
$_->close for @at;

# Clients that leave while parked: the backend's connection is closed at once.
my @pairs = map { my $c = ask('/hand/'); my $b = $hand->accept; $b->read_request; [$c, $b] } 1 .. 8;
quick_ok('eight parked on four threads');
for my $i (0 .. $#pairs) {
    my ($c, $b) = @{ $pairs[$i] };
    $i % 2 ? $c->close : $c->reset;
}
my $closed = grep { $_->[1]->closed(3) } @pairs;
is $closed, 8, 'clients that leave: the backend is let go';
cmp_ok settled(), '<=', $fds + 8, 'no descriptor is left';

# Half-closed clients are not gone: they wait for the answer. (A client that shuts its sending side may be taken for gone.)
# A slow reader holds no thread: four answers larger than all buffers, nobody reads.
@c = map { ask('/echo/?bytes=30000000', rcvbuf => 4096) } 1 .. 8;
poll_until { !grep { !$_->{in} && !$_->fill(0) } @c } 3;
quick_ok('a static file while eight clients do not read');
$_->close for @c;
cmp_ok settled(), '<=', $fds + 8, 'no descriptor is left';
# One that reads slowly gets all of it.
my $slow = ask('/echo/?bytes=5000000', rcvbuf => 8192);
my $r = $slow->read_response(timeout => 20);
is length $r->{body}, 5_000_000, 'a slow reader gets all';

# Requests that wait in the queue hold no thread.
my $first = ask('/one/');
my $b = $one->accept;
$b->read_request;
my @wait = map { ask('/one/') } 1 .. 10;
poll_until { 0 } 0.1;
quick_ok('a static file while ten are queued on four threads');
for my $c ($first, @wait) {
    $b->send($ok);
    $b->close;
    last if $c == $wait[-1];
    $b = $one->accept or last;
    $b->read_request;
}
is scalar(grep { ($_->read_response->{status} || 0) == 200 } $first, @wait), 11, 'all of the queue is answered';

# Graceful restart while parked: they end with their answers, new requests are served meanwhile.
my $c = ask('/hand/graceful');
$b = $hand->accept;
$b->read_request;
poll_until { 0 } 0.1;
$s->graceful;
cmp_ok static_ms(), '<', 9000, 'graceful restart: new requests are served';
is $c->quiet(0.3), 1, 'the parked one still waits';
$b->send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
$r = $c->read_response;
is $r->{body}, 'done', 'and is answered after the restart';
ok poll_until(sub { !ProxyCore::Util::alive($child) }, 10), 'the old child ends then';

# Streaming through a restart.
$c = ask('/hand/stream');
$b = $hand->accept;
$b->read_request;
$b->send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
ok $c->read_until(qr/half/), 'half an answer';
$s->graceful;
$b->send('done');
is $c->read_bytes(4), 'done', 'the rest after a graceful restart';
$s->stop;

# MaxConnectionsPerChild while parked.
my $s2 = ProxyCore::Server->new(name => 'churn', protocols => 'http/1.1', conf => $conf . "MaxConnectionsPerChild 5\n",
    mpm_conf => "StartServers 2\nServerLimit 16\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 32\nMinSpareThreads 4\nMaxSpareThreads 32\n")->start;
$s = $s2;
@c = ();
for (1 .. 30) {
    my $conn = eval { ask('/echo/?sleep=800&bytes=7') } or next;
    push @c, $conn;
    poll_until { 0 } 0.05;
}
@res = map { $_->read_response(timeout => 15) } @c;
is scalar(grep { ($_->{status} || 0) == 200 && length $_->{body} == 7 } @res), 30, 'MaxConnectionsPerChild: parked requests are answered';
$s2->stop;

# The server's Timeout does not end a request that the pool still allows.
my $s3 = ProxyCore::Server->new(name => 'timeout', protocols => 'http/1.1', conf => $conf . "Timeout 1\n", mpm_conf => $four)->start;
$s = $s3;
$c = ask('/echo/?sleep=2500&bytes=3');
$r = $c->read_response;
is $r->{status}, 200, 'a Timeout shorter than the pool\'s own: the answer comes';
# Stop while parked: everything ends.
@c = map { ask('/hand/last') } 1 .. 10;
poll_until { 0 } 0.2;
my $start = now();
$s3->stop(signal => q(TERM));
cmp_ok now() - $start, '<', 60, 'a stop with ten parked requests does not hang';
done_testing;
