#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A client that closes its sending side behind the request (nc -N) is answered, unless the backend takes its time: then it
# has left, and the backend hears of it.
# F1 F26
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Gateway qw(take answer protocol);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until in_background wait_background);

my @kinds = qw(http fcgi scgi);
my %b = map { $_ => $_ eq 'http' ? ProxyCore::Backend->new : ProxyCore::Backend->new(unix => work_dir() . "/run/$_.sock") } @kinds;
my $s = ProxyCore::Server->new(conf => join('', map { <<"CONF" } @kinds))->start;
<ProxyCore $_>
    ProxyCoreProtocol @{[protocol($_)]}
    ProxyCoreBackend  @{[$b{$_}->address]}
    ProxyCoreTimeout  first=60s
</ProxyCore>
<Location /$_/>
    ProxyCorePass $_
</Location>
CONF

# The request, and the end of what the client has to say. Returns its connection and the backend's.
sub begin {
    my ($kind, $body) = @_;
    my $c = $s->connect;
    my $method = defined $body ? 'POST' : 'GET';
    $c->send("$method /$kind/x HTTP/1.1\r\nHost: localhost\r\n" . (defined $body ? 'Content-Length: ' . length($body) . "\r\n\r\n$body" : "\r\n"));
    $c->shutdown_write;
    my $k = $b{$kind}->accept(5) or return $c;
    take($kind, $k);
    return ($c, $k);
}

# The answer must come within half a second, which a busy machine may miss: again then.
my $large = join '', map { "line $_\n" } 1 .. 100_000;
for my $kind (@kinds) {
    for my $row (['GET', undef, 'an answer'], ['POST', 'x' x 70_000, 'an answer'], ['GET, a megabyte', undef, $large]) {
        my ($what, $body, $text) = @$row;
        ok poll_until(sub {
            my ($c, $k) = begin($kind, $body);
            return 0 if !$k;
            my $job = in_background { $k->send(answer($kind, "Content-Type: text/plain\r\n", $text), 8); $k->shutdown_write; 1 };
            my $res = $c->read_response(timeout => 10);
            wait_background($job);
            $k->close;
            $c->close;
            return ($res->{status} || 0) == 200 && $res->{complete} && $res->{body} eq $text;
        }, 30), "$kind: $what: answered, and whole";
    }
    my ($c, $k) = begin($kind);
    ok poll_until(sub { $k->read_some(0.05); $k->eof }, 10), "$kind: no answer so far: the backend hears that the client has left";
    ok $c->closed(10), 'and the connection is closed';
    $_->close for $c, $k;
}
# One that is gone altogether while an answer is under way is noticed by what is written to it.
{
    my ($c, $k) = begin('http');
    $k->send("HTTP/1.1 200 OK\r\n\r\nbegins");
    $c->close;
    ok poll_until(sub { eval { $k->send('x', 1) }; $k->read_some(0.05); $k->eof || $k->error }, 20), 'one that is gone ends the answer';
    $k->close;
}
$s->stop;
done_testing;
