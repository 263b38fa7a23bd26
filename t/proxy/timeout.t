#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Time limits, each its own: connect, first, idle, send, total.
# G35
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Socket;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_stdout);
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until work_dir);

my %b = map { $_ => ProxyCore::Backend->new } qw(first idle send total long);
my $f = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my %t = (first => 'first=600ms', idle => 'idle=3s first=60s', send => 'send=700ms first=700ms', total => 'total=900ms', long => 'first=30s');
# A listener whose backlog is full: a connection neither succeeds nor fails.
my $full = ProxyCore::Backend->new(backlog => 0);
my @fill = map { my $c = IO::Socket::INET->new(Proto => 'tcp'); $c->blocking(0);
    connect($c, pack_sockaddr_in($full->{port}, inet_aton('127.0.0.1'))); $c } 1 .. 4;
my $conf = join '', map { "<ProxyCore $_>\n ProxyCoreProtocol http\n ProxyCoreBackend " . $b{$_}->address
    . "\n ProxyCoreKeepAlive off\n ProxyCoreTimeout $t{$_}\n</ProxyCore>\n<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } sort keys %b;
my $s = ProxyCore::Server->new(conf => $conf . <<"CONF")->start;
<ProxyCore connect>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$full->address]}
    ProxyCoreTimeout connect=600ms
</ProxyCore>
<Location /connect/>
    ProxyCorePass connect
</Location>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreTimeout first=600ms
</ProxyCore>
<Location /fcgi/>
    ProxyCorePass fcgi
</Location>
<ProxyCore fcgiidle>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreTimeout idle=600ms first=60s
</ProxyCore>
<Location /fcgiidle/>
    ProxyCorePass fcgiidle
</Location>
CONF

sub ask { my ($path, $more) = @_; my $c = $s->connect; my $start = now(); $c->send(($more ? 'POST' : 'GET') . " $path HTTP/1.1\r\nHost: a\r\n" . ($more || "\r\n")); return ($c, $start) }
sub in_time { my ($start, $what) = @_; my $t = now() - $start; ok $t > 0.4 && $t < 20, "$what ($t s)"; return }

my ($c, $start) = ask('/connect/');
my $status = $c->read_response->{status} || 0;
like $status, qr/^50[34]$/, "connect: $status";
in_time($start, 'connect: in time');

($c, $start) = ask('/first/');
my $b = $b{first}->accept;
$b->read_request;
is $c->read_response->{status}, 504, 'first: 504';
in_time($start, 'first: in time');
ok $b->closed(2), 'first: the backend is let go';

# A head that comes a byte at a time does not extend the limit.
($c, $start) = ask('/first/');
$b = $b{first}->accept;
$b->read_request;
for my $byte (split //, "HTTP/1.1 200 OK\r\n" . 'X-Slow: ' . 'x' x 100) {
    last if $b->send($byte) != 1 || now() - $start > 20;
    $c->fill(0.05);
    last if $c->{in} ne '';
}
is $c->read_response->{status}, 504, 'first: a dripping head ends too';
cmp_ok now() - $start, '<', 20, 'in time';

# Silence in the middle of a body: cut, never completed.
($c, $start) = ask('/idle/');
$b = $b{idle}->accept;
$b->read_request;
$b->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
my $res = $c->read_response;
is $res->{status}, 200, 'idle: the head had been sent';
ok !$res->{complete}, 'idle: the body is cut';
is $res->{body}, 'part', 'idle: what came is there';
in_time($start, 'idle: in time');
ok $c->closed(2), 'idle: the client is cut off';

# Bytes now and then are no silence.
($c, $start) = ask('/idle/');
$b = $b{idle}->accept;
$b->read_request;
$b->send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
for (1 .. 6) {
    $c->fill(0.6);
    $b->send('x');
}
$res = $c->read_response;
ok $res->{complete} && $res->{body} eq 'xxxxxx', 'idle: a slow body passes';

# A backend that does not take the upload.
($c, $start) = ask('/send/', "Content-Length: 50000000\r\n\r\n");
$b = $b{send}->accept;
$c->send('x' x 20_000_000, 1.5);
$res = $c->read_response(timeout => 5);
is $res->{status}, 504, 'send: 504';
cmp_ok now() - $start, '<', 20, 'send: in time';

($c, $start) = ask('/total/');
$b = $b{total}->accept;
$b->read_request;
$b->send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
while (now() - $start < 20) {
    last if !$b->send('x') || $b->closed(0.05);
}
in_time($start, 'total: ends although bytes flow');
ok !$c->read_response->{complete}, 'total: and is not whole';

($c, $start) = ask('/fcgi/');
$b = $f->accept;
read_fcgi($b);
is $c->read_response->{status}, 504, 'fastcgi first: 504';
in_time($start, 'fastcgi first: in time');
($c, $start) = ask('/fcgiidle/');
$b = $f->accept;
read_fcgi($b);
$b->send(fcgi_stdout("Content-Type: text/plain\r\n\r\npart"));
$res = $c->read_response;
ok !$res->{complete} && $res->{body} eq 'part', 'fastcgi idle: cut';

# A client that leaves: the backend is let go at once.
for my $how (qw(close reset)) {
    ($c, $start) = ask('/long/');
    $b = $b{long}->accept;
    $b->read_request;
    # Long enough to be parked.
    ok $c->quiet(0.1), 'nothing yet';
    $c->$how;
    ok $b->closed(3), "a client's $how while waiting: the backend's connection is closed";
}
$s->stop;
done_testing;
