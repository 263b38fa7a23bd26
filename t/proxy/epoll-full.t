#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The kernel watches no more descriptors at the moment when a request that waits is to be woken: it is woken later.
# F11
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(poll_until work_dir mpm asan top_dir run_capture spew);

plan skip_all => 'one run is enough' if mpm() ne 'event';
plan skip_all => 'a sanitizer is preloaded instead' if asan();

my $lib = work_dir() . '/epoll_full.so';
my ($out, $rc) = run_capture($ENV{CC} || 'cc', qw(-std=gnu11 -O2 -Wall -Wextra -shared -fPIC -o), $lib, top_dir() . '/t/backends/epoll_full.c');
die $out if $rc;
my $full = work_dir() . '/full';
sub fill { spew($full, ''); chmod 0666, $full; return }
sub turned_away { return -s $full }
sub empty { unlink $full; return }

my $backend = ProxyCore::Backend->new;
my $conf = join '', map { my ($name, $async, $first) = @$_; <<"CONF" } ['parked', 'auto', '60s'], ['held', 'off', '60s'], ['brief', 'auto', '4s'];
<ProxyCore $name>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$backend->address]} max=1
    ProxyCoreAsync $async
    ProxyCoreKeepAlive off
    ProxyCoreQueue 5 timeout=60s
    ProxyCoreTimeout first=$first
</ProxyCore>
<Location /$name/>
    ProxyCorePass $name
</Location>
CONF
my $s = ProxyCore::Server->new(protocols => 'http/1.1', env => { LD_PRELOAD => $lib, EPOLL_FULL => $full }, conf => "Timeout 3600\nLogLevel proxy_core:trace1\n$conf")->start;
sub ask { my ($path) = @_; my $c = $s->connect; $c->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n"); return $c }
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

for my $name (qw(parked held)) {
    # The queue calls.
    my $first = ask("/$name/1");
    my $k = $backend->accept;
    $k->read_request;
    my $second = ask("/$name/2");
    ok $second->quiet(0.5), "$name: one waits in the queue";
    fill();
    $k->send($ok);
    is $first->read_response->{status}, 200, "$name: the first is answered";
    $k->close;
    if ($name eq 'parked') {
        ok +(poll_until { turned_away() } 10), "$name: the call did not get through";
        ok $second->quiet(0.2), "$name: it still waits";
    }
    empty();
    $k = $backend->accept(10);
    ok $k, "$name: and is called again";
    $k->read_request;
    $k->send($ok);
    is $second->read_response(timeout => 10)->{status}, 200, "$name: answered";
    $k->close;
}
# Its time is over.
my $c = ask('/brief/3');
my $k = $backend->accept;
$k->read_request;
fill();
ok +(poll_until { turned_away() } 20), 'the alarm did not get through';
empty();
is $c->read_response(timeout => 20)->{status}, 504, 'it rings again';
$k->close;
$s->stop;
done_testing;
