#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Uploads over TLS by several clients at once: bytes that mod_ssl or the chunk decoder hold back show on no descriptor.
# F11 F24
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Server;
use ProxyCore::Util qw(backend_program start_child free_port in_background wait_background poll_until work_dir);

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port);
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4);
poll_until { -S $sock };
chmod 0777, $sock;
my $s = ProxyCore::Server->new(tls => 1, conf => <<"CONF")->start;
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<Location /http/>
    ProxyCorePass http
</Location>
<Location /fcgi/>
    ProxyCorePass fcgi
</Location>
CONF
my $size = 700_000;
my @jobs = map { my $job = $_; in_background {
    for my $round (1 .. 16) {
        my $kind = ($round + $job) % 4 ? 'http' : 'fcgi';
        my $res = $s->request('POST', "/$kind/", body => 'x' x $size, chunked => $round % 2 ? 7000 : 0, tls => 1, timeout => 5);
        return "round $round, $kind: " . ($res->{status} || 'no answer') if ($res->{status} || 0) != 200;
        return "round $round, $kind: not whole" if $res->{body} !~ /^app\.body=$size$/m;
    }
    return 'all answered';
} } 1 .. 3;
is wait_background($_), 'all answered', 'a client of several' for @jobs;
$s->stop;
done_testing;
