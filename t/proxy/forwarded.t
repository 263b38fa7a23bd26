#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What a backend is told of the client, and whose word counts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Server;

my $b = ProxyCore::Backend->new;
my %how = (
    x => 'x-forwarded trust=127.0.0.0/8', rfc => 'forwarded trust=10.0.0.0/8,127.0.0.1', both => 'both trust=2001:db8::/32 trust=127.0.0.1',
    nobody => 'both', other => 'both trust=10.0.0.0/8,192.0.2.1', off => 'off');
my $s = ProxyCore::Server->new(modules => ['remoteip', 'headers'], conf => join('', map { <<"CONF" } sort keys %how) . <<'CONF')->start;
<ProxyCore to-$_>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b->address]}
    ProxyCoreForwarded $how{$_}
    ProxyCoreKeepAlive off
</ProxyCore>
<Location /$_/>
    ProxyCorePass to-$_
</Location>
CONF
<Location /own/>
    ProxyCorePass to-nobody
    RequestHeader set X-Forwarded-Proto https
    RequestHeader set X-Forwarded-Host public.test
    RequestHeader set X-Forwarded-Port 443 early
    ProxyCoreRewriteRequest X-Forwarded-Proto "^.*$" "gopher"
</Location>
RemoteIPHeader X-Client
RemoteIPInternalProxy 127.0.0.1
CONF

# The head that the backend gets for a request with these fields.
sub told {
    my ($path, $fields, %arg) = @_;
    my $f = ProxyCore::Client->start($s, 'GET', $path, fields => $fields, host => 'site.test:81', %arg);
    my $k = $b->accept(3) or return;
    my $head = $k->read_request->{head};
    $k->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    $f->finish;
    $k->close;
    return $head;
}

my @said = ('X-Forwarded-For' => '203.0.113.5, 10.1.1.1', 'X-Forwarded-Host' => 'public.test', 'X-Forwarded-Proto' => 'https',
    'X-Forwarded-Port' => '443', 'X-Real-IP' => '203.0.113.5', Forwarded => 'for="[2001:db8::5]:80";proto=https, for=_hidden');
my $ours = 'for=127.0.0.1;host="site.test:81";proto=http';

my $head = told('/x/', \@said);
is $head->h('X-Forwarded-For'), '203.0.113.5, 10.1.1.1, 127.0.0.1', 'trusted: the client is added to X-Forwarded-For';
is $head->h('X-Forwarded-Host'), 'public.test', 'X-Forwarded-Host stays';
is $head->h('X-Forwarded-Proto'), 'https', 'X-Forwarded-Proto stays';
is $head->h('X-Forwarded-Port'), '443', 'X-Forwarded-Port stays';
is $head->h('X-Real-IP'), '203.0.113.5', 'X-Real-IP stays';
is $head->h('Forwarded'), undef, 'Forwarded, which this pool does not keep up, does not';
is scalar($head->all('X-Forwarded-For')), 1, 'one field';

$head = told('/x/', []);
is join('|', map { $head->h("X-Forwarded-$_") } qw(For Host Proto)), '127.0.0.1|site.test:81|http', 'trusted, but said nothing';
$head = told('/x/', ['X-Forwarded-Host' => '', 'X-Forwarded-For' => ' , ']);
is join('|', map { $head->h("X-Forwarded-$_") } qw(For Host Proto)), '127.0.0.1|site.test:81|http', 'trusted, but said nothing in fields';

$head = told('/rfc/', \@said);
is $head->h('Forwarded'), "for=\"[2001:db8::5]:80\";proto=https, for=_hidden, $ours", 'trusted: an element is added to Forwarded';
is $head->h("X-Forwarded-$_"), undef, "X-Forwarded-$_ is not passed on" for qw(For Host Proto Port);
is told('/rfc/', [Forwarded => 'for="open'])->h('Forwarded'), $ours, 'an open quote does not hide ours';
is told('/rfc/', [Forwarded => 'for=a b'])->h('Forwarded'), $ours, 'what is malformed is replaced';
is told('/rfc/', [Forwarded => 'for=192.0.2.1', Forwarded => 'for=192.0.2.2'])->h('Forwarded'), "for=192.0.2.1, for=192.0.2.2, $ours", 'two fields are one list';

$head = told('/both/', \@said);
is $head->h('X-Forwarded-For'), '203.0.113.5, 10.1.1.1, 127.0.0.1', 'both: X-Forwarded-For';
like $head->h('Forwarded'), qr/for=_hidden, \Q$ours\E$/, 'both: Forwarded';

for my $pool (qw(nobody other)) {
    $head = told("/$pool/", \@said);
    is join('|', map { $head->h("X-Forwarded-$_") } qw(For Host Proto)), '127.0.0.1|site.test:81|http', "$pool: fields of who is not trusted are replaced";
    is $head->h('Forwarded'), $ours, "$pool: Forwarded, too";
    is $head->h($_), undef, "$pool: $_ is not passed on" for qw(X-Real-IP X-Forwarded-Port);
}
is told('/off/', \@said)->h('X-Forwarded-For'), '203.0.113.5, 10.1.1.1', 'off: as they came';

# A hop-by-hop list takes the client's copy away, never ours (CVE-2022-31813).
for my $pool (qw(both nobody)) {
    $head = told("/$pool/", [@said, Connection => 'X-Forwarded-For, Forwarded, X-Forwarded-Proto, X-Forwarded-Host']);
    is join('|', map { $head->h("X-Forwarded-$_") } qw(For Host Proto)), '127.0.0.1|site.test:81|http', "$pool: Connection cannot remove ours";
    is $head->h('Forwarded'), $ours, "$pool: nor Forwarded";
}

# The client that mod_remoteip has found counts, for what is said and for who is trusted.
$head = told('/both/', [@said, 'X-Client' => '198.51.100.9']);
is $head->h('X-Forwarded-For'), '198.51.100.9', 'mod_remoteip: a client that is not trusted';
is $head->h('Forwarded'), 'for=198.51.100.9;host="site.test:81";proto=http', 'in Forwarded, too';
$head = told('/both/', [@said, 'X-Client' => '2001:db8::9']);
is $head->h('X-Forwarded-For'), '203.0.113.5, 10.1.1.1, 2001:db8::9', 'mod_remoteip: one that is';
like $head->h('Forwarded'), qr/for=_hidden, for="\[2001:db8::9\]";host=/, 'an IPv6 address in brackets and quotes';

like told('/both/', \@said, front => 'h2')->h('Forwarded'), qr/for=_hidden, for=127\.0\.0\.1;host="site\.test:81";proto=http$/, 'HTTP/2';
# The administrator's fields: mod_headers puts them where the client's are, rules of rewriting come behind ours.
for my $fields ([], ['X-Forwarded-Proto' => 'https', 'X-Forwarded-Host' => 'evil.test', 'X-Forwarded-Port' => 1]) {
    $head = told('/own/', $fields);
    is $head->h('X-Forwarded-Proto'), 'gopher', 'ProxyCoreRewriteRequest, whatever the client says';
    is $head->h('X-Forwarded-Host'), 'site.test:81', 'RequestHeader does not set it';
    is $head->h('X-Forwarded-Port'), undef, 'nor others of the family';
}
$s->stop;
done_testing;
