#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProxyCorePassReverse: the backend's URLs become this server's in Location and its like, the client's the backend's in
# Destination and If. F18 F27
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(is_root spew user_ids work_dir);

my %b = (http => ProxyCore::Backend->new, fcgi => ProxyCore::Backend->new(unix => work_dir() . '/run/fcgi.sock'));
my $at = $b{http}->address;
# mod_dav, which believes that it is reached without TLS.
my $dav = ProxyCore::Server->new(name => 'dav', core => 0, modules => [qw(dav dav_fs)], conf => '');
mkdir $dav->docroot . "/$_" for qw(dav other);
chown user_ids(), (map { $dav->docroot . "/$_" } qw(dav other)), $dav->dir . '/run' if is_root();
$dav->{conf} = "DavLockDB @{[$dav->dir]}/run/locks\n"
    . join '', map { "<Directory @{[$dav->docroot]}/$_>\n    Dav On\n    AllowOverride None\n</Directory>\n" } qw(dav other);
$dav->start;
my $s = ProxyCore::Server->new(tls => 1, conf => <<"CONF");
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend $at
    ProxyCoreBackend 127.0.0.1:9 name=other backup
</ProxyCore>
<ProxyCore reversing>
    ProxyCoreProtocol http
    ProxyCoreBackend $at
    ProxyCorePassReverse
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fcgi
    ProxyCoreBackend @{[$b{fcgi}->address]}
</ProxyCore>
<Location /app/>
    ProxyCorePass http strip=/app
    ProxyCorePassReverse
</Location>
<Location /plain/>
    ProxyCorePass http
    ProxyCorePassReverse
</Location>
<Location /map/>
    ProxyCorePass http strip=/map
    ProxyCorePassReverse http://app.internal:8080/base/
    ProxyCorePassReverse http://cdn.internal/ /static/
</Location>
<Location /map/off/>
    ProxyCorePassReverse off
</Location>
<Location /pool/>
    ProxyCorePass reversing strip=/pool
</Location>
<Location /fcgi/>
    ProxyCorePass fcgi strip=/fcgi
    ProxyCorePassReverse
</Location>
<ProxyCore dav>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[$dav->port]}
</ProxyCore>
<Location /dav/>
    ProxyCorePass dav
    ProxyCorePassReverse
</Location>
<Location /other/>
    ProxyCorePass dav
</Location>
<Location /host/>
    ProxyCorePass http strip=/host
    ProxyCorePassReverse
    ProxyCoreRewriteRequest Host ".*" "inner.example:8000"
</Location>
CONF
$s->{conf} =~ s/ProxyCoreProtocol fcgi$/ProxyCoreProtocol fastcgi/m;
spew($s->docroot . '/page.txt', "a page\n");
$s->start;

# @return (what the client got, what the backend saw)
sub ask {
    my ($path, $status, $head, %arg) = @_;
    my $kind = $path =~ m{^/fcgi/} ? 'fcgi' : 'http';
    my $client = ProxyCore::Client->start($s, $arg{method} || 'GET', $path, fields => $arg{fields} || [], front => $arg{front} || 'h1',
        host => $arg{host});
    my $conn = $b{$kind}->accept or die 'nobody came';
    my ($seen, $text) = (undef, '');
    for (my @h = @$head; @h; ) { my ($name, $value) = splice @h, 0, 2; $text .= "$name: $value\r\n" }
    if ($kind eq 'http') {
        $seen = $conn->read_request or die;
        $conn->send("HTTP/1.1 $status\r\n${text}Content-Length: 0\r\nConnection: close\r\n\r\n");
    }
    else {
        $seen = read_fcgi($conn) or die;
        $conn->send(fcgi_answer(($status ? "Status: $status\r\n" : '') . "$text\r\n"));
    }
    $conn->close;
    return ($client->finish, $seen);
}

sub location {
    my ($path, $said, %arg) = @_;
    my ($res) = ask($path, '302 Found', [Location => $said], %arg);
    return $res->{head}->h('Location');
}

my @rows = (
    ['/app/x', "http://$at/login?a=b#c", 'http://localhost/app/login?a=b#c', 'the backend\'s address'],
    ['/app/x', '/login', '/app/login', 'a path'],
    ['/app/x', '/app/login', '/app/login', 'a path of an application that knows where it is'],
    ['/app/x', 'http://localhost/login', 'http://localhost/app/login', 'the Host that it was sent'],
    ['/app/x', 'http://localhost/app/login', 'http://localhost/app/login', 'and the path, too'],
    ['/app/x', 'http://127.0.0.1:9/x', 'http://localhost/app/x', 'another backend of the pool'],
    ['/app/x', 'http://elsewhere.example/x', 'http://elsewhere.example/x', 'another site is left alone'],
    ['/app/x', 'https://localhost/x', 'https://localhost/x', 'a redirect to TLS, too'],
    ['/app/x', "http://$at.evil.example/", "http://$at.evil.example/", 'and what only begins like a backend'],
    ['/app/x', 'next', 'next', 'a relative URL'],
    ['/plain/x', "http://$at/plain/y", 'http://localhost/plain/y', 'without strip='],
    ['/plain/x', '/y', '/y', 'without strip=: a path'],
    ['/pool/x', '/y', '/pool/y', 'said in the pool'],
    ['/map/x', 'http://app.internal:8080/base/y', 'http://localhost/map/y', 'a URL, the section\'s path'],
    ['/map/x', 'http://app.internal:8080/based', 'http://app.internal:8080/based', 'at a segment boundary only'],
    ['/map/x', 'http://cdn.internal/logo.png', 'http://localhost/static/logo.png', 'a URL, a path'],
    ['/map/x', '/base/y', '/map/y', 'a path below the mapped one'],
    ['/map/x', "http://$at/y", "http://$at/y", 'what is not mapped'],
    ['/map/off/x', 'http://cdn.internal/y', 'http://cdn.internal/y', 'off'],
    ['/host/x', 'http://inner.example:8000/y', 'http://localhost/host/y', 'a Host that was rewritten'],
    ['/fcgi/x', '/login', '/fcgi/login', 'FastCGI: a path'],
    ['/fcgi/x', 'http://localhost/login', 'http://localhost/fcgi/login', 'FastCGI: the client\'s own host'],
    ['/fcgi/x', 'http://localhost/fcgi/login', 'http://localhost/fcgi/login', 'FastCGI: made of REQUEST_URI'],
);
is location($_->[0], $_->[1]), $_->[2], "$_->[0] says $_->[1]: $_->[3]" for @rows;

# Over TLS and HTTP/2 the client's scheme and host are what it gets.
my $tls = 'localhost:' . $s->tls_port;
is location('/app/x', "http://$at/y", front => 'tls', host => $tls), "https://$tls/app/y", 'TLS: https and the client\'s port';
is location('/app/x', "http://$tls/y", front => 'tls', host => $tls), "https://$tls/app/y", 'TLS: an application that does not know of it';
is location('/app/x', "http://$at/y", front => 'h2', host => 'www.example'), 'http://www.example/app/y', 'HTTP/2';

# The other fields.
my ($res) = ask('/app/x', '200 OK', ['Content-Location' => '/a', 'URI' => "http://$at/u", 'Refresh' => "5; url='http://$at/r'",
    'Link' => "</n>; rel=\"next\"; title=\"<, >\", <http://$at/p>; rel=prev", 'Link' => '<http://else/>', 'X-Other' => "http://$at/"]);
is $res->{head}->h('Content-Location'), '/app/a', 'Content-Location';
is $res->{head}->h('URI'), 'http://localhost/app/u', 'URI';
is $res->{head}->h('Refresh'), "5; url='http://localhost/app/r'", 'Refresh';
is_deeply [$res->{head}->all('Link')], ['</app/n>; rel="next"; title="<, >", <http://localhost/app/p>; rel=prev', '<http://else/>'], 'Link';
is $res->{head}->h('X-Other'), "http://$at/", 'and no others';
($res) = ask('/app/x', '200 OK', ['Link' => join ', ', ('</a>; rel=x') x 4000]);
is $res->{head}->h('Link'), undef, 'a field that would grow beyond bounds is left out';

# A local redirect is ours.
($res) = ask('/fcgi/x', '', [Location => '/page.txt']);
is $res->{body}, "a page\n", 'a local redirect of CGI is followed as it was said';

# WebDAV: the request's URLs.
my $seen;
sub sent { my ($name, $value, %arg) = @_; (undef, $seen) = ask($arg{path} || '/app/a', '201 Created', [], method => 'MOVE',
    fields => [$name => $value], %arg); return ref $seen->{head} ? $seen->{head}->h($name) : $seen->{params}{ 'HTTP_' . uc $name } }
is sent('Destination', 'http://localhost/app/b%20c'), 'http://localhost/b%20c', 'Destination';
is sent('Destination', '/app/b'), '/b', 'Destination: a path';
is sent('Destination', "https://$tls/app/b", front => 'tls', host => $tls), "http://$tls/b", 'Destination over TLS';
is sent('Destination', 'http://localhost/other/b'), 'http://localhost/other/b', 'Destination outside of the section stays';
is sent('Destination', 'http://elsewhere/app/b'), 'http://elsewhere/app/b', 'on another site, too';
is sent('Destination', 'http://localhost/host/b', path => '/host/a'), 'http://inner.example:8000/b', 'Destination with a Host that was rewritten';
is sent('If', '<http://localhost/app/b> (<urn:x> ["e"]) (Not <urn:y>)'), '<http://localhost/b> (<urn:x> ["e"]) (Not <urn:y>)', 'If';
is sent('Destination', 'http://localhost/fcgi/b', path => '/fcgi/a'), 'http://localhost/b', 'Destination for FastCGI';
is sent('Referer', 'http://localhost/app/b'), 'http://localhost/app/b', 'Referer is the client\'s';
# COPY and MOVE of a real one, over TLS, by the URLs that the client sees.
for my $row (['dav', 201], ['other', 502]) {
    my ($dir, $copied) = @$row;
    my $dav_req = sub { my ($method, $path, %arg) = @_; return $s->request($method, "/$dir$path", tls => 1, host => $tls, %arg) };
    is $dav_req->('PUT', '/a', body => 'text')->{status}, 201, "$dir: PUT";
    my $res = $dav_req->('COPY', '/a', fields => [Destination => "https://$tls/$dir/b"]);
    is $res->{status}, $copied, "$dir: COPY with " . ($copied == 201 ? 'ProxyCorePassReverse' : 'a Destination that mod_dav takes for another server\'s');
    next if $copied != 201;
    is $res->{head}->h('Location'), "https://$tls/$dir/b", "$dir: where it is now, as the client knows it";
    is $dav_req->('GET', '/b')->{body}, 'text', "$dir: the copy";
    is $dav_req->('MOVE', '/b', fields => [Destination => "https://$tls/$dir/c"])->{status}, 201, "$dir: MOVE";
    is $dav_req->('GET', '/b')->{status}, 404, "$dir: what was moved is gone";
    my $lock = $dav_req->('LOCK', '/c', fields => [Depth => 0], body => '<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
        . '<locktype><write/></locktype></lockinfo>')->{head}->h('Lock-Token');
    like $lock, qr/^<opaquelocktoken:/, "$dir: LOCK";
    is $dav_req->('PUT', '/c', body => 'new')->{status}, 423, "$dir: PUT without the token";
    is $dav_req->('PUT', '/c', body => 'new', fields => [If => "<https://$tls/$dir/c> ($lock)"])->{status}, 204, "$dir: PUT with If and a URL";
}
$s->stop;
$dav->stop;
done_testing;
