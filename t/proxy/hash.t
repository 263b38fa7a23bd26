#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Balancing by a key: the same URL to the same backend; a lost backend moves only its own.
# F6
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;

my %b = map { $_ => ProxyCore::Backend->new } qw(a b c);
my $backends = join '', map { " ProxyCoreBackend " . $b{$_}->address . " name=$_\n" } sort keys %b;
my $s = ProxyCore::Server->new(conf => <<"CONF")->start;
<ProxyCore paths>
 ProxyCoreProtocol http
 ProxyCoreBalancer hash
 ProxyCoreKeepAlive off
 ProxyCoreDisableTime 30s
$backends</ProxyCore>
<Location /paths/>
    ProxyCorePass paths
</Location>
<ProxyCore keys>
 ProxyCoreProtocol http
 ProxyCoreBalancer hash key=%{HTTP:X-Key}
 ProxyCoreKeepAlive off
$backends</ProxyCore>
<Location /keys/>
    ProxyCorePass keys
</Location>
CONF

for my $id (sort keys %b) {
    $b{$id}->serve(sub { my ($conn) = @_; $conn->read_request or return;
        $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n$id") });
}
sub who { my ($path) = @_; return $s->get($path)->{body} }

my @paths = map { "/paths/$_" } 1 .. 30;
my %first = map { $_ => who($_) } @paths;
is_deeply { map { $_ => who($_) } @paths }, \%first, 'the same URL, the same backend';
my %share;
$share{$_}++ for values %first;
is join(' ', sort keys %share), 'a b c', 'each has a part of the URLs';

my %keyed = map { my $p = $_; my %w = map { $s->request('GET', "/keys/$p-$_", fields => ['X-Key', $p])->{body} => 1 } 1 .. 4; $p => [keys %w] } 'a' .. 'z';
is scalar(grep { @$_ == 1 } values %keyed), 26, 'key=: the header decides, not the URL';
my %used = map { $_->[0] => 1 } values %keyed;
cmp_ok scalar keys %used, '>', 1, 'and differs from key to key';

$b{b}->stop_serving;
$b{b}->stop;
my %then = map { $_ => who($_) } @paths;
is scalar(grep { $first{$_} ne 'b' && $then{$_} ne $first{$_} } @paths), 0, 'one lost: nobody else\'s URLs move';
is scalar(grep { $first{$_} eq 'b' && $then{$_} !~ /^[ac]$/ } @paths), 0, 'and its own are answered';
$s->stop;
done_testing;
