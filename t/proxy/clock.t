#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Somebody sets the clock: what waits, waits as long as it was told to.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until work_dir mpm asan top_dir run_capture spew slurp fd_count);

plan skip_all => 'one run is enough' if mpm() ne 'event';
plan skip_all => 'a sanitizer is preloaded instead' if asan();

my $lib = work_dir() . '/clock_jump.so';
my ($out, $rc) = run_capture($ENV{CC} || 'cc', qw(-std=gnu11 -O2 -Wall -Wextra -shared -fPIC -o), $lib,
    top_dir() . '/t/backends/clock_jump.c');
die $out if $rc;
my $file = work_dir() . '/jump';

# Set the server's wall clock off by so many seconds.
sub jump {
    my ($seconds) = @_;
    open my $fh, -e $file ? '+<' : '+>', $file or die "$file: $!";
    syswrite $fh, pack('q', $seconds * 1_000_000);
    close $fh;
    return;
}
jump(0);
chmod 0644, $file;
my $backend = ProxyCore::Backend->new;
my $conf = join '', map { my ($name, $async, $first) = @$_; <<"CONF" } ['parked', 'auto', '60s'], ['held', 'off', '60s'], ['parkedshort', 'auto', '2s'], ['heldshort', 'off', '2s'];
<ProxyCore $name>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$backend->address]}
    ProxyCoreAsync $async
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=$first
</ProxyCore>
<Location /$name/>
    ProxyCorePass $name
</Location>
CONF
my $s = ProxyCore::Server->new(protocols => 'http/1.1', env => { LD_PRELOAD => $lib, CLOCK_JUMP => $file },
    conf => "Timeout 3600\n$conf")->start;
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

for my $name (qw(parked held)) {
    # The MPM's own Timeout goes by the wall clock: less than that.
    jump(0);
    my $c = $s->connect;
    $c->send("GET /$name/a HTTP/1.1\r\nHost: a\r\n\r\n");
    my $k = $backend->accept;
    $k->read_request;
    poll_until { 0 } 0.2;
    jump(600);
    ok $c->quiet(0.7), "$name: the clock is set ten minutes forward: still waiting";
    $k->send($ok);
    is $c->read_response->{status}, 200, "$name: and answered";

    my $start = now();
    $c = $s->connect;
    $c->send("GET /${name}short/b HTTP/1.1\r\nHost: a\r\n\r\n");
    $k = $backend->accept;
    $k->read_request;
    poll_until { 0 } 0.2;
    jump(-600);
    my $res = $c->read_response(timeout => 6);
    is $res->{status}, 504, "$name: set back, a timeout is still one";
    my $took = now() - $start;
    ok $took > 1.7 && $took < 30, "$name: in its time ($took s)";
}
$s->stop;

# The MPM takes parked connections for timed out: they end, and nothing of them is left to be taken for another one's.
jump(0);
$s = ProxyCore::Server->new(name => 'expired', protocols => 'http/1.1', env => { LD_PRELOAD => $lib, CLOCK_JUMP => $file },
    mpm_conf => "StartServers 1\nServerLimit 1\nThreadLimit 8\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\n"
        . "MaxSpareThreads 8\nAsyncRequestWorkerFactor 20\n",
    conf => "Timeout 60\nLogFormat \"%U %X %{proxy-core-state}n\" short\nCustomLog logs/access_log short\n"
        . $conf)->start;
spew($s->docroot . '/static.txt', "static\n");
my ($child) = $s->children;
my $ask = sub { my $c = $s->connect; $c->send("GET /parked/x HTTP/1.1\r\nHost: a\r\n\r\n"); my $k = $backend->accept; $k->read_request; return [$c, $k] };
my $serve = sub {
    my @pairs = map { $ask->() } 1 .. 6;
    poll_until { 0 } 0.2;
    $_->[1]->send($ok) for @pairs;
    my $n = grep { ($_->[0]->read_response(timeout => 3)->{body} || '') eq 'ok' } @pairs;
    $_->close for map { @$_ } @pairs;
    return $n;
};
my $fds = sub {
    my ($n, $same) = (-1, 0);
    poll_until { my $now = fd_count($child); $same = $now == $n ? $same + 1 : 0; $n = $now; poll_until { 0 } 0.05; $same > 6 } 8;
    return $n;
};
is $serve->(), 6, 'six parked requests';
my $before = $fds->();
my @pairs = map { $ask->() } 1 .. 6;
poll_until { 0 } 0.3;
jump(120);
is $s->get('/static.txt')->{body}, "static\n", 'two minutes later, as the clock says';
is scalar(grep { $_->[1]->closed(4) } @pairs), 6, 'the backend is let go of those that the MPM closes';
is scalar(grep { $_->[0]->closed(4) } @pairs), 6, 'and so are the clients';
# They do not close, and the MPM gives up lingering.
jump(240);
is $s->get('/static.txt')->{body}, "static\n", 'again';
poll_until { 0 } 0.3;
$_->close for map { @$_ } @pairs;
is $serve->(), 6, 'requests are parked as before';
cmp_ok $fds->(), '<=', $before + 1, 'no descriptor is left';
my $n;
poll_until { ($n = () = slurp($s->dir . '/logs/access_log') =~ m{^/parked/x X client-left$}mg) == 6 };
is $n, 6, 'the access log has them';
$s->stop;
done_testing;
