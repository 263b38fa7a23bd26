#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Where two rooms meet: another try of a filter, an error page in place of an answer that never ends, what a 101 says that is
# nobody's business, and nothing that spins while it waits.
# G10 F29 F20 F22 F21
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi read_record fcgi_answer fcgi_end FCGI_BEGIN_REQUEST FCGI_PARAMS FCGI_STDIN);
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until spew slurp mpm);

plan skip_all => 'one run is enough' if mpm() ne 'event';

my %b = map { $_ => ProxyCore::Backend->new } qw(one two http);
my $s = ProxyCore::Server->new(conf => '');
my $root = $s->docroot;
$s->{conf} = <<"CONF";
<ProxyCore filter>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{one}->address]}
    ProxyCoreBackend @{[$b{two}->address]}
    ProxyCoreBalancer first
    ProxyCoreMode filter
    ProxyCoreRetry 1 on=connect,stale,reset
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=30s send=30s idle=30s
</ProxyCore>
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{http}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreUpgrade any
    ProxyCoreTimeout first=40s idle=40s
</ProxyCore>
<ProxyCore again>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b{one}->address]}
    ProxyCoreBackend @{[$b{two}->address]} backup
    ProxyCoreRetry 3 on=connect,5xx
    ProxyCoreKeepAlive off
</ProxyCore>
<Location /again/>
    ProxyCorePass again
</Location>
<Location /again/over/>
    ProxyCoreErrorOverride on 503
</Location>
ErrorDocument 503 "not now"
<FilesMatch "\\.flt\$">
    SetHandler proxy-core:filter
</FilesMatch>
<Location /http/>
    ProxyCorePass http
</Location>
<Location /http/file/>
    ProxyCoreXSendfile on root=$root
</Location>
<Location /http/over/>
    ProxyCoreErrorOverride on
</Location>
<ProxyCore guard>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$b{two}->address]}
    ProxyCoreMode authorizer
</ProxyCore>
<Location /http/guarded/>
    ProxyCorePass guard
</Location>
ErrorDocument 404 "our own page"
CONF
my $big = join('', map { chr(33 + $_ % 90) } 1 .. 1000) x 300;
spew("$root/small.flt", 'the file');
spew("$root/big.flt", $big);
$s->start;

# ------------------------------------------------------------------ another try of a filter
sub read_filter {
    my ($conn) = @_;
    my %req;
    while (my $rec = read_record($conn, 3)) {
        $req{ $rec->{type} } .= $rec->{content};
        last if $rec->{type} == 8 && $rec->{content} eq '';
    }
    return \%req;
}
for my $file (['small', 'the file'], ['big', $big]) {
    my ($name, $text) = @$file;
    my $c = $s->connect;
    $c->send("GET /$name.flt HTTP/1.1\r\nHost: a\r\n\r\n");
    my $one = $b{one}->accept(5);
    my $other = 'two';
    ($one, $other) = ($b{two}->accept(5), 'one') if !$one;
    is read_filter($one)->{8}, $text, "$name: the first try has the file";
    $one->send(fcgi_end(protocol => 2));
    $one->close;
    my $two = $b{$other}->accept(5);
    ok $two, 'overloaded: another one is asked';
    my $req = $two ? read_filter($two) : {};
    is length($req->{8} || ''), length $text, 'and gets as much';
    ok(($req->{8} || '') eq $text, 'of the same');
    $two->send(fcgi_answer("Content-Type: text/plain\r\n\r\nok")) if $two;
    is $c->read_response->{body}, 'ok', 'its answer is the answer';
    poll_until { 0 } 1.1; # the first one rests no more
}

# The file becomes shorter while it is sent: nobody takes the beginning for all of it.
{
    spew("$root/less.flt", 'x' x 20_000_000);
    my $c = $s->connect;
    $c->send("GET /less.flt HTTP/1.1\r\nHost: a\r\n\r\n");
    my $bc = $b{one}->accept(5);
    read_record($bc, 3) for 1 .. 3;
    truncate "$root/less.flt", 10;
    my ($ended, $got) = (0, 0);
    while (my $rec = read_record($bc, 3)) {
        next if $rec->{type} != 8;
        $got += length $rec->{content};
        $ended = 1 if $rec->{content} eq '';
    }
    cmp_ok $got, '<', 20_000_000, "a file is cut while it is sent ($got)";
    ok !$ended && $bc->eof, 'the application sees no end of it, but that of the connection';
    is $c->read_response->{status}, 500, 'the client gets 500';
}

# ------------------------------------------------------------------ an error page of ours does not wait for theirs
{
    my $c = $s->connect;
    my $start = now();
    $c->send("GET /http/over/x HTTP/1.1\r\nHost: a\r\n\r\n");
    my $bc = $b{http}->accept(5);
    $bc->read_request;
    $bc->send("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nnever all of it");
    my $r = $c->read_response;
    is $r->{status}, 404, 'the backend does not end its error page: the status is known all the same';
    is $r->{body}, 'our own page', 'and the page is ours';
    cmp_ok now() - $start, '<', 20, 'soon';
    $c = $s->connect;
    $c->send("GET /http/over/x HTTP/1.1\r\nHost: a\r\n\r\n");
    $bc = $b{http}->accept(5);
    $bc->read_request;
    $bc->send("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\ncut");
    $bc->close;
    $r = $c->read_response;
    is $r->{status}, 404, 'nor does it matter that it is cut';
    is $r->{body}, 'our own page', 'of which nothing is seen';
}

# ------------------------------------------------------------------ on=5xx
sub answers {
    my ($path, $method, @answers) = @_;
    my $c = $s->connect;
    my $body = $method eq 'GET' ? undef : 'body';
    $c->send(ProxyCore::Server::request_text($method, $path, body => $body) . ProxyCore::Server::body_text(body => $body));
    my $asked = 0;
    for my $name (qw(one two)) {
        my $bc = $b{$name}->accept($asked && $asked == @answers ? 0.1 : 5) or last;
        my $req = $bc->read_request;
        $asked++ if $req && ($req->{body} || '') eq ($body || '');
        my ($status, $text) = split / /, shift @answers;
        $bc->send("HTTP/1.1 $status X\r\nX-By: $name\r\nContent-Length: " . length($text) . "\r\n\r\n$text");
        $bc->close;
        last if !@answers;
    }
    my $r = $c->read_response;
    return join ' ', $asked, $r->{status}, $r->{head}->h('X-By') || '-', $r->{body};
}
is answers('/again/x', 'GET', '503 no', '200 yes'), '2 200 two yes', '5xx: another one is asked, nothing is left of the first';
is answers('/again/x', 'GET', '500 no', '502 never'), '2 502 two never', 'nobody is left: what the last one says is the answer';
is answers('/again/x', 'GET', '404 no'), '1 404 one no', '404 is an answer';
is answers('/again/x', 'POST', '503 no'), '1 503 one no', 'what was posted is not posted once more';
is answers('/again/over/x', 'GET', '503 no', '503 never'), '2 503 - not now', 'with an error page of ours in the end';

# ------------------------------------------------------------------ a file in place of an answer that announced trailer fields
{
    my $c = $s->connect;
    $c->send("GET /http/file/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    my $bc = $b{http}->accept(5);
    $bc->read_request;
    $bc->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nX-Sendfile: $root/small.flt\r\n\r\n"
        . "1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n");
    my $r = $c->read_response;
    is $r->{body}, 'the file', 'a file';
    is $r->{head}->h('Trailer'), undef, 'which has no trailer fields';
    is $r->{head}->h('Content-Length'), 8, 'and a length';
    $_->close for $c, $bc;
}

# ------------------------------------------------------------------ an authorizer in front of a tunnel
{
    my $c = $s->connect;
    $c->send("GET /http/guarded/x HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n");
    my $guard = $b{two}->accept(5);
    read_fcgi($guard, timeout => 3);
    $guard->send(fcgi_answer("Status: 103 Early Hints\r\nLink: </secret>\r\n\r\nStatus: 200 OK\r\n\r\n"));
    $guard->close;
    my $bc = $b{http}->accept(5);
    is $bc->read_request->{head}->h('Upgrade'), 'foo', 'allowed: the backend is offered the upgrade';
    $bc->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n");
    my $r = $c->read_response;
    is $r->{status}, 101, 'and the client has its tunnel';
    is scalar @{ $r->{interim} || [] }, 0, 'with nothing that the authorizer said before';
    $c->send('up');
    is $bc->read_bytes(2, 5), 'up', 'which works';
    $_->close for $c, $bc;

    $c = $s->connect;
    $c->send("GET /http/guarded/x HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n");
    $guard = $b{two}->accept(5);
    read_fcgi($guard, timeout => 3);
    $guard->send(fcgi_answer("Status: 403 No\r\n\r\nno"));
    $guard->close;
    is $c->read_response->{status}, 403, 'refused';
    is $b{http}->accept(0.1), undef, 'and nobody is asked';
    $c->close;
}

# ------------------------------------------------------------------ what a 101 says
{
    my $c = $s->connect;
    $c->send("GET /http/up HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n");
    my $bc = $b{http}->accept(5);
    $bc->read_request;
    $bc->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\nX-Accel-Redirect: /secret\r\nX-Sendfile: /etc/x\r\nX-Other: y\r\n\r\n");
    my $r = $c->read_response;
    is $r->{status}, 101, 'a tunnel';
    is $r->{head}->h('X-Other'), 'y', 'with the fields of the backend';
    is $r->{head}->h($_), undef, "but not $_" for qw(X-Accel-Redirect X-Sendfile);
    $_->close for $c, $bc;
}
$s->stop;
done_testing;
