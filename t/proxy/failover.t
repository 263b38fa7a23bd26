#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Failing over, resting and probing. What is answered, and what is logged, when nobody answers.
# F8 G17 G35
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_end);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir now poll_until free_port);
use JSON::PP qw(decode_json);
use Time::HiRes qw(sleep);

my %b = map { $_ => ProxyCore::Backend->new } qw(p1 p2 main spare reset1 reset2 only);
my %f = map { $_ => ProxyCore::Backend->new(unix => work_dir() . "/run/$_.sock") } qw(o1 o2);
my $dead = free_port();
my $dir = work_dir();
my $s = ProxyCore::Server->new(loglevel => 'info proxy_core:debug', conf => <<"CONF")->start;
<ProxyCore pair>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{p1}->address]}
    ProxyCoreBackend @{[$b{p2}->address]}
    ProxyCoreBalancer round-robin
    ProxyCoreKeepAlive off
    ProxyCoreDisableTime 500ms
</ProxyCore>
<ProxyCore backup>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{main}->address]}
    ProxyCoreBackend @{[$b{spare}->address]} backup
    ProxyCoreKeepAlive off
    ProxyCoreDisableTime 300ms
</ProxyCore>
<ProxyCore reset>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{reset1}->address]}
    ProxyCoreBackend @{[$b{reset2}->address]}
    ProxyCoreBalancer round-robin
    ProxyCoreKeepAlive off
    ProxyCoreRetry 1 on=connect,stale,reset
    ProxyCoreDisableTime 100ms
</ProxyCore>
<ProxyCore overloaded>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$f{o1}{unix}
    ProxyCoreBackend unix:$f{o2}{unix}
    ProxyCoreBalancer round-robin
</ProxyCore>
<ProxyCore only>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{only}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreTimeout connect=1s first=2s
    ProxyCoreDisableTime 60s
</ProxyCore>
<ProxyCore dead>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$dead
</ProxyCore>
<ProxyCore nosock>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$dir/run/nobody.sock
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(pair backup reset overloaded only dead nosock)]}
<Location /status>
    SetHandler proxy-core-status
</Location>
CONF

# The state of a pool's backend number $i, as the status page says.
sub state {
    my ($pool, $i) = @_;
    my ($p) = grep { $_->{name} eq $pool } @{ decode_json($s->get('/status?format=json')->{body})->{pools} };
    return $p->{backends}[$i]{state};
}

my $hello = sub { my ($conn) = @_; $conn->read_request or return;
    $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok") };

# A dead backend is skipped: no GET fails.
$_->serve($hello) for @b{qw(p2 spare)};
$b{p1}->serve($hello);
is $s->get('/pair/')->{status}, 200, 'both alive';
$b{p1}->stop_serving;
$b{p1}->stop;
my $mark = $s->mark;
my @status = map { $s->get('/pair/')->{status} } 1 .. 20;
is scalar(grep { $_ == 200 } @status), 20, 'one dead: every GET is answered';
is $s->request('POST', '/pair/', body => 'x')->{status}, 200, 'a POST too: nothing had been sent to the dead one';
my @refused = $s->grep_log(qr/refused/i, $mark);
cmp_ok scalar @refused, '<=', 4, 'the dead one rests: it is not asked for each request' or diag "@refused";
# It comes back: a probe finds it.
$b{p1}->listen->serve($hello);
ok poll_until(sub { $s->get('/pair/'); state('pair', 0) eq 'ok' }, 8), 'a probe finds it when it is back';
$b{p2}->stop_serving;
$b{p2}->stop;
@status = map { my $r = $s->get('/pair/'); sleep 0.05; $r->{status} } 1 .. 10;
is scalar(grep { $_ == 200 } @status), 10, 'the other one dies: the first has come back';

# backup is asked only when nobody else is alive.
$b{main}->serve($hello);
is $s->get('/backup/')->{status}, 200, 'main alive' for 1 .. 3;
is $b{spare}->accepted, 0, 'the test itself accepted none';
$b{main}->stop_serving;
$b{main}->stop;
is $s->get('/backup/')->{status}, 200, 'main dead: the backup answers' for 1 .. 3;

# Died before the head: another is asked for an idempotent method only, where the configuration says so.
my $c = $s->connect;
$c->send("GET /reset/ HTTP/1.1\r\nHost: a\r\n\r\n");
my ($first) = ProxyCore::Backend::accept_any(3, @b{qw(reset1 reset2)});
$first->read_request;
$first->close;
my ($second) = ProxyCore::Backend::accept_any(3, @b{qw(reset1 reset2)});
ok $second, 'on=reset: a GET goes to another backend';
if ($second) { $second->read_request; $second->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); }
is $c->read_response->{body}, 'ok', 'and is answered';
sleep 0.25; # longer than the rest of 100 ms
$c = $s->connect;
$c->send("POST /reset/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
my ($who) = ProxyCore::Backend::accept_any(3, @b{qw(reset1 reset2)});
$who->read_request;
$who->close;
is $c->read_response->{status}, 502, 'a POST does not';
is scalar(grep { $b{$_}->accept(0.1) } qw(reset1 reset2)), 0, 'nobody else saw it';

# FCGI_OVERLOADED: refused untouched, another is asked whatever the method; not when the body is gone.
$c = $s->connect;
$c->send("POST /overloaded/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
my ($o) = ProxyCore::Backend::accept_any(3, @f{qw(o1 o2)});
read_fcgi($o);
$o->send(fcgi_end(protocol => 2));
$o->close;
my ($o2) = ProxyCore::Backend::accept_any(3, @f{qw(o1 o2)});
ok $o2, 'FCGI_OVERLOADED: another backend is asked';
if ($o2) { read_fcgi($o2); $o2->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok")); $o2->close }
is $c->read_response->{body}, 'ok', 'and answers';

# The only backend of a pool is never refused unasked, however often it failed.
for (1 .. 3) {
    $c = $s->connect;
    $c->send("GET /only/ HTTP/1.1\r\nHost: a\r\n\r\n");
    my $conn = $b{only}->accept(3);
    ok $conn, "only backend: asked, attempt $_";
    if ($conn) { $conn->read_request; $conn->reset }
    is $c->read_response->{status}, 502, 'and answered 502';
}

# Three different failures, three different lines, each with pool, backend, stage and cause.
$mark = $s->mark;
my $res = $s->get('/dead/');
is $res->{status}, 503, 'nobody listens: 503';
like $res->{head}->h('Retry-After') || '', qr/^[1-9]\d*$/, 'with Retry-After';
my $line = $s->wait_log(qr/\bdead\b.*127\.0\.0\.1:$dead|127\.0\.0\.1:$dead.*\bdead\b/, 3, $mark);
ok $line, 'a line names pool and backend';
like $line || '', qr/connect/i, 'the stage';
like $line || '', qr/refused/i, 'and the cause';
like $line || '', qr/PXC\d{4}: /, 'with a stable tag';
is $s->get('/nosock/')->{status}, 503, 'no such socket: 503';
like $s->wait_log(qr/nobody\.sock/, 3, $mark) || '', qr/No such file/i, 'the cause is named';

$mark = $s->mark;
$c = $s->connect;
$c->send("GET /only/ HTTP/1.1\r\nHost: a\r\n\r\n");
my $conn = $b{only}->accept(3);
$conn->read_request;
$conn->close;
is $c->read_response->{status}, 502, 'accepted, then closed: 502';
$line = $s->wait_log(qr/PXC\d{4}: .*\bonly\b/, 3, $mark) || '';
like $line, qr/clos|end|before/i, 'another line';
unlike $line, qr/refused/i, 'that does not speak of refusing';

$mark = $s->mark;
$c = $s->connect;
$c->send("GET /only/ HTTP/1.1\r\nHost: a\r\n\r\n");
$conn = $b{only}->accept(3);
$conn->read_request;
my $start = now();
is $c->read_response->{status}, 504, 'no answer in time: 504';
cmp_ok now() - $start, '<', 20, 'in time';
like $s->wait_log(qr/PXC\d{4}: .*\bonly\b/, 3, $mark) || '', qr/time|no answer/i, 'a third line';
$s->stop;
done_testing;
