#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProxyCoreCookiePath and ProxyCoreCookieDomain: the attributes of Set-Cookie, and nothing else of it. F18 F29
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Server;

my $b = ProxyCore::Backend->new;
my $s = ProxyCore::Server->new(conf => <<"CONF");
<ProxyCore app>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b->address]}
    ProxyCoreTimeout first=5s
</ProxyCore>
<Location /app/>
    ProxyCorePass app strip=/app
    ProxyCoreCookiePath /special /elsewhere
    ProxyCoreCookiePath / /app/
    ProxyCoreCookieDomain app.internal www.example.org
    ProxyCoreCookieDomain other.internal off
</Location>
<Location /app/inner/>
    ProxyCoreCookiePath /special /inner
</Location>
<Location /app/off/>
    ProxyCoreCookiePath off
    ProxyCoreCookieDomain off
</Location>
<Location /both/>
    ProxyCorePass app
    ProxyCoreCookieDomain * off
    ProxyCoreRewriteResponse Set-Cookie "\$" "; SameSite=Lax"
</Location>
CONF
$s->start;

sub cookies {
    my ($path, $said, %arg) = @_;
    my $client = ProxyCore::Client->start($s, 'GET', $path, front => $arg{front} || 'h1');
    my $conn = $b->accept or die 'nobody came';
    $conn->read_request or die;
    $conn->send("HTTP/1.1 200 OK\r\n" . join('', map { "Set-Cookie: $_\r\n" } @$said) . "Content-Length: 0\r\nConnection: close\r\n\r\n");
    $conn->close;
    my $res = $client->finish;
    return [$res->{head}->all('Set-Cookie')];
}

my @rows = (
    ['a=1; Path=/', 'a=1; Path=/app/'],
    ['a=1; path=/x; HttpOnly', 'a=1; path=/app/x; HttpOnly'],
    ['a=1; Path=/special/x', 'a=1; Path=/elsewhere/x'],
    ['a=1; Path=/specialist', 'a=1; Path=/app/specialist'],
    ['a=1; Domain=App.Internal; Path=/', 'a=1; Domain=www.example.org; Path=/app/'],
    ['a=1; Domain=.app.internal', 'a=1; Domain=www.example.org'],
    ['a=1; Domain=x.app.internal', 'a=1; Domain=x.app.internal'],
    ['a=1; Domain=other.internal; Secure', 'a=1; Secure'],
    ['path=/; xpath=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Path=/', 'path=/; xpath=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Path=/app/'],
    ['domain=app.internal', 'domain=app.internal'],
    ['a=1', 'a=1'],
    ['a=1; Path', 'a=1; Path'],
    [';;;=;', ';;;=;'],
);
is_deeply cookies('/app/x', [$_->[0]]), [$_->[1]], $_->[0] for @rows;
is_deeply cookies('/app/x', [map { $_->[0] } @rows]), [map { $_->[1] } @rows], 'all of them in one answer';
is_deeply cookies('/app/x', ['a=1; Path=/'], front => 'h2'), ['a=1; Path=/app/'], 'HTTP/2';
is_deeply cookies('/app/inner/x', ['a=1; Path=/special']), ['a=1; Path=/inner'], 'the inner section is asked first';
is_deeply cookies('/app/inner/x', ['a=1; Path=/']), ['a=1; Path=/app/'], 'then the outer one';
is_deeply cookies('/app/off/x', ['a=1; Path=/; Domain=app.internal']), ['a=1; Path=/; Domain=app.internal'], 'off';
is_deeply cookies('/both/x', ['a=1; Domain=x', 'b=2']), ['a=1; SameSite=Lax', 'b=2; SameSite=Lax'], 'rules come after';
my $long = 'a=1' . ('; Path=/' x 7000);
is_deeply cookies('/app/x', [$long, 'b=2; Path=/']), ['b=2; Path=/app/'], 'CVE-2026-34356: one that would grow beyond bounds is left out';
$s->stop;
done_testing;
