#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The pools' shared state: a child that is killed gives its leases back, a graceful restart keeps the counts, and a bound
# holds over children and generations.
# F9 G25 G26
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use JSON::PP qw(decode_json);

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until spew alive mpm);

my $two = ProxyCore::Backend->new;
my $one = ProxyCore::Backend->new;
my $conf = <<"CONF";
<ProxyCore two>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$two->address]} max=2
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=30s
</ProxyCore>
<ProxyCore one>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$one->address]} max=1
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=30s
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(one two)]}
<Location /status>
    SetHandler proxy-core-status
</Location>
CONF
# Two children, so that one is left when the other is killed.
my $s = ProxyCore::Server->new(conf => $conf, mpm() eq 'prefork' ? ()
    : (mpm_conf => "StartServers 2\nServerLimit 6\nThreadLimit 8\nThreadsPerChild 8\nMaxRequestWorkers 16\nMinSpareThreads 16\nMaxSpareThreads 16\n"))->start;

sub pool { my ($n) = @_; my ($p) = grep { $_->{name} eq $n } @{ decode_json($s->get('/status?format=json')->{body})->{pools} }; return $p }
sub in_flight { return eval { pool($_[0])->{backends}[0]{in_flight} } }
sub ask { my ($path) = @_; my $c = $s->connect; $c->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n"); return $c }
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

# All children killed with two leases out and three requests in the queue.
my @c = map { ask('/two/') } 1 .. 2;
my @b = map { my $b = $two->accept; $b->read_request; $b } 1 .. 2;
push @c, map { ask('/two/queued') } 1 .. 3;
ok poll_until(sub { pool('two')->{waiting} == 3 }, 3), 'two in flight, three in the queue';
kill 'KILL', $s->children;
ok poll_until(sub { my $n = in_flight('two'); defined $n && $n == 0 }, 12), 'killed: the leases are given back';
is pool('two')->{waiting}, 0, 'and the queue is empty';
ok $_->closed(3), 'the backend sees the end of its connection' for @b;
for my $i (1 .. 2) {
    my $c = ask('/two/again');
    my $b = $two->accept(3);
    ok $b, "request $i after that is sent at once";
    next if !$b;
    $b->read_request;
    $b->send($ok);
    is $c->read_response->{status}, 200, 'and answered';
}

# One child of several is killed: what the others hold stays.
my $c1 = ask('/two/a');
my $b1 = $two->accept;
$b1->read_request;
my $owner = poll_until { my ($pid) = grep { holds($_, $two->{port}) } $s->children; $pid } 3;
kill 'KILL', grep { $_ != $owner } $s->children;
poll_until { defined in_flight('two') } 8;
poll_until { 0 } 0.3;
is in_flight('two'), 1, 'another child killed: this lease is still counted';
$b1->send($ok);
is $c1->read_response->{status}, 200, 'and its request is answered';
ok poll_until(sub { in_flight('two') == 0 }, 3), 'then it is given back, once';

# Has this process a connection to that port?
sub holds {
    my ($pid, $port) = @_;
    my $hex = sprintf '%04X', $port;
    my %inode = map { $_ => 1 } (ProxyCore::Util::slurp('/proc/net/tcp') || '') =~ /^\s*\d+: \S+ 0100007F:$hex 01 \S+ \S+ \S+\s+\d+\s+\d+\s+(\d+)/mg;
    my %sock = map { (readlink($_) || '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () } glob "/proc/$pid/fd/*";
    return scalar grep { $sock{$_} } keys %inode;
}

# The bound holds over a graceful restart: the old generation's request counts.
my $requests = pool('one')->{backends}[0]{requests};
my $old = ask('/one/old');
my $b = $one->accept;
$b->read_request;
$s->graceful;
is in_flight('one'), 1, 'graceful restart: the request of the old generation is counted';
my $new = ask('/one/new');
is $one->accept(0.4), undef, 'the new generation waits for it: never two at once';
$b->send($ok);
is $old->read_response->{status}, 200, 'the old one is answered';
$b = $one->accept(3);
ok $b, 'then the new one goes';
$b->read_request;
$b->send($ok);
is $new->read_response->{status}, 200, 'and is answered';
cmp_ok pool('one')->{backends}[0]{requests}, '>=', $requests + 2, 'the counts live on';
# (Killed by the test: not a crash.)
spew($s->log_file, $s->log_since(0) =~ s/exit signal Killed/killed by the test/gr);
$s->{quiesce} = 1; # httpd does not tell all children that they are to end after some were killed
$s->stop;
done_testing;
