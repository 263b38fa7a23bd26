#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What docs/migration.md says of ProxyPassReverse, its cookie forms, ProxyErrorOverride and mod_headers: the same answers of
# the same backend, through mod_proxy and through us. F27
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Server;
use ProxyCore::Util qw(spew);

my $b = ProxyCore::Backend->new;
my $at = $b->address;
my %conf = (
    old => <<"CONF",
ProxyPass        "/app/" "http://$at/"
ProxyPassReverse "/app/" "http://$at/"
ProxyPassReverse "/app/" "http://app.internal/"
ProxyPassReverseCookiePath "/" "/app/"
ProxyPassReverseCookieDomain "app.internal" "www.example.org"
ProxyErrorOverride On 404 500
<Location "/app/">
    RequestHeader edit X-A old new
    Header edit X-B old new
</Location>
CONF
    new => <<"CONF",
<Location "/app/">
    ProxyCorePass http://$at strip=/app
    ProxyCorePassReverse
    ProxyCorePassReverse http://app.internal/ /app/
    ProxyCoreCookiePath / /app/
    ProxyCoreCookieDomain app.internal www.example.org
    ProxyCoreErrorOverride on 404 500
    ProxyCoreRewriteRequest X-A old new
    ProxyCoreRewriteResponse X-B old new
    ProxyCoreRewriteRequest Host "^.*\$" "$at"
</Location>
CONF
);
my %s;
for my $which (sort keys %conf) {
    $s{$which} = ProxyCore::Server->new(name => $which, core => $which eq 'new', conf => "ErrorDocument 404 /404.txt\n$conf{$which}",
        modules => $which eq 'old' ? [qw(proxy proxy_http)] : []);
    spew($s{$which}->docroot . '/404.txt', "our 404\n");
    $s{$which}->start;
}

# What the backend saw and what the client got, as far as the directives are about it.
sub ask {
    my ($which, $status, $head, $body) = @_;
    my $client = ProxyCore::Client->start($s{$which}, 'GET', '/app/x?q', front => 'h1', host => 'www.example.org',
        fields => ['X-A' => 'an old thing']);
    my $conn = $b->accept or die 'nobody came';
    my $req = $conn->read_request or die;
    $conn->send("HTTP/1.1 $status\r\n$head" . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n\r\n$body");
    $conn->close;
    my $res = $client->finish;
    return { target => $req->{target}, (map { $_ => $req->{head}->h($_) } qw(Host X-A)), status => $res->{status}, body => $res->{body},
        map { $_ => [$res->{head}->all($_)] } qw(Location Content-Location URI Set-Cookie WWW-Authenticate X-B) };
}

my @rows = (
    ['302 Found', "Location: http://$at/login?a=b\r\n", '', 'a redirect'],
    ['302 Found', "Location: http://app.internal/login\r\n", '', 'a redirect by another name'],
    ['302 Found', "Location: http://elsewhere.example/login\r\n", '', 'a redirect to another site'],
    ['201 Created', "Location: http://$at/\r\nContent-Location: http://$at/y\r\nURI: http://$at/u\r\n", '', 'other fields'],
    ['200 OK', "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/; Domain=app.internal; Secure\r\nSet-Cookie: c=3\r\n", 'page', 'cookies'],
    ['200 OK', "X-B: an old thing\r\n", 'page', 'edited fields'],
    ['404 No', '', 'theirs', 'an error page'],
    ['403 No', '', 'theirs', 'an error page that is not overridden'],
    ['401 No', "WWW-Authenticate: Basic realm=\"a\"\r\n", 'theirs', 'a password is wanted'],
);
for my $row (@rows) {
    my ($status, $head, $body, $what) = @$row;
    is_deeply ask('new', $status, $head, $body), ask('old', $status, $head, $body), "$what: the same";
}
$_->stop for values %s;
done_testing;
