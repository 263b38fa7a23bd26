#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProxyCoreRewriteResponse: the fields that the client gets. F18 F29
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(spew work_dir);

my %b = (http => ProxyCore::Backend->new, fcgi => ProxyCore::Backend->new(unix => work_dir() . '/run/fcgi.sock'));
my $rules = <<'C';
    ProxyCoreRewriteResponse Location "^http://internal(?::\d+)?/" "https://public.example/"
    ProxyCoreRewriteResponse Set-Cookie "(?i)(; *path=)/app" "$1/"
    ProxyCoreRewriteResponse Set-Cookie "^drop=.*" ""
    ProxyCoreRewriteResponse X-Set "^$" "by %{REQUEST_METHOD} of %{HTTP:X-Who}"
    ProxyCoreRewriteResponse X-Powered-By ".*" ""
    ProxyCoreRewriteResponse Server "^(\w+).*$" "$1"
    ProxyCoreRewriteResponse Content-Type "; *charset=latin1$" "; charset=utf-8"
    ProxyCoreRewriteResponse Link "<http://internal/" "</"
    ProxyCoreRewriteResponse X-Bad "^(.*)$" "$1\r\nX-Injected: 1"
C
my $files = work_dir() . '/files';
my $s = ProxyCore::Server->new(conf => <<"CONF");
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{fcgi}->address]}
</ProxyCore>
<Location /http/>
    ProxyCorePass http
$rules</Location>
<Location /fcgi/>
    ProxyCorePass fcgi
$rules</Location>
<Location /local/>
    ProxyCorePass fcgi
    ProxyCoreRewriteResponse Location "^https?://internal/" "/"
</Location>
<Location /sendfile/>
    ProxyCorePass http
    ProxyCoreXSendfile on root=$files
    ProxyCoreRewriteResponse X-Sendfile "^/jail/" "$files/"
    ProxyCoreRewriteResponse X-File "^.*\$" ""
</Location>
<Directory $files>
    Require all granted
</Directory>
CONF
spew("$files/sent.txt", "a file\n");
spew($s->docroot . '/page.txt', "a page\n");
$s->start;

# One request; the backend says $head and $body. %arg for ProxyCore::Client, and before => text sent before the head,
# late => seconds (the request is parked then)
sub ask {
    my ($kind, $head, $body, %arg) = @_;
    my $client = ProxyCore::Client->start($s, $arg{method} || 'GET', $arg{path} || "/$kind/x", fields => $arg{fields} || [], front => $arg{front});
    my $conn = $b{$kind}->accept or die 'nobody came';
    $head =~ s/\n/\r\n/g;
    if ($kind eq 'http') {
        $conn->read_request or die;
        select undef, undef, undef, $arg{late} if $arg{late};
        $conn->send(($arg{before} || '') . "HTTP/1.1 200 OK\r\n${head}Content-Length: " . length($body) . "\r\nConnection: close\r\n\r\n"
            . ($arg{method} && $arg{method} eq 'HEAD' ? '' : $body));
    }
    else {
        read_fcgi($conn) or die;
        $conn->send(fcgi_answer("$head\r\n$body"));
    }
    $conn->close;
    return $client->finish;
}

my $head = <<'H';
Content-Type: text/plain; charset=latin1
Location: http://internal:8080/a?b
Set-Cookie: a=1; Path=/app/x
Set-Cookie: drop=me; Path=/
Set-Cookie: b=2;path=/app
X-Powered-By: PHP/8
X-Powered-By: ASP
Server: Backend/1.2 (secret)
X-Other: http://internal/
X-Bad: value
H
for my $kind (qw(http fcgi)) {
    for my $late (0, 0.1) {
        my $res = ask($kind, $kind eq 'fcgi' ? "Status: 200 OK\n$head" : $head, 'body', fields => ['X-Who' => 'me'], late => $late);
        my $h = $res->{head};
        my $name = "$kind, " . ($late ? 'parked' : 'at once');
        is $res->{status}, 200, "$name: status";
        is $res->{body}, 'body', "$name: body";
        is $h->h('Location'), 'https://public.example/a?b', "$name: Location";
        is_deeply [$h->all('Set-Cookie')], ['a=1; Path=//x', 'b=2;path=/'], "$name: every Set-Cookie, one is gone";
        is $h->h('X-Set'), 'by GET of me', "$name: set where absent, with expressions";
        is $h->h('X-Powered-By'), undef, "$name: every instance is gone";
        is $h->h('Server'), 'Backend', "$name: Server is the backend's still";
        is $h->h('Content-Type'), 'text/plain; charset=utf-8', "$name: Content-Type";
        is $h->h('X-Other'), 'http://internal/', "$name: others are left alone";
        is $h->h('X-Bad'), undef, "$name: a value with control characters is left out";
        is $h->h('X-Injected'), undef, "$name: and splits nothing";
        is $h->h('Vary'), undef, "$name: our expressions say nothing of Vary";
        is $h->h('Content-Length'), 4, "$name: framing is as it was";
    }
}
ok $s->grep_log(qr/PXC0703: rewriting X-Bad gives control characters/), 'what was left out is logged';
my $res = ask('http', "X-Set: mine\n", '', method => 'HEAD');
is $res->{head}->h('X-Set'), 'mine', 'not set where present; HEAD';
$res = ask('http', $head, 'body', front => 'h2', fields => ['X-Who' => 'h2']);
is $res->{head}->h('x-set'), 'by GET of h2', 'HTTP/2';
is_deeply [$res->{head}->all('set-cookie')], ['a=1; Path=//x', 'b=2;path=/'], 'HTTP/2: cookies';

# An interim answer: what is there is rewritten, nothing is added.
$res = ask('http', "X-A: b\n", 'body', before => "HTTP/1.1 103 Early Hints\r\nLink: <http://internal/style.css>; rel=preload\r\n\r\n");
is scalar @{ $res->{interim} }, 1, 'an interim answer';
is $res->{interim}[0]->h('Link'), '</style.css>; rel=preload', 'its Link is rewritten';
is $res->{interim}[0]->h('X-Set'), undef, 'and nothing set';
is $res->{head}->h('X-Set'), 'by GET of', 'but in the final answer';

# Rewriting comes first: a Location that becomes a path is a local redirect of CGI.
$res = ask('fcgi', "Location: http://internal/page.txt\n", '', path => '/local/x');
is $res->{status}, 200, 'a local redirect by rule';
is $res->{body}, "a page\n", 'is followed here';

# A file's name inside of the application's chroot.
$res = ask('http', "X-Sendfile: /jail/sent.txt\nContent-Type: text/plain\n", '', path => '/sendfile/x');
is $res->{status}, 200, 'X-Sendfile by rule';
is $res->{body}, "a file\n", 'sends the file of the new name';
is $res->{head}->h('X-Sendfile'), undef, 'and does not tell the client';
$s->stop;
done_testing;
