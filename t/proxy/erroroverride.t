#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProxyCoreErrorOverride: this server's ErrorDocument in place of the backend's page. F29
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Server;
use ProxyCore::Util qw(mpm spew work_dir);

my $b = ProxyCore::Backend->new;
my $second = ProxyCore::Backend->new;
my $f = ProxyCore::Backend->new(unix => work_dir() . '/run/fcgi.sock');
my $s = ProxyCore::Server->new(modules => ['include'], conf => '');
my $root = $s->docroot;
$s->{conf} = <<"CONF";
LogFormat "%U %s %<{proxy-core-state}n" states
CustomLog logs/states states
ErrorDocument 404 /error/404.txt
ErrorDocument 401 "please log in"
ErrorDocument 403 /proxied/page
ErrorDocument 410 /proxied/again
<ProxyCore app>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b->address]}
</ProxyCore>
<ProxyCore over>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b->address]}
    ProxyCoreErrorOverride on 404
</ProxyCore>
<ProxyCore two>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$b->address]}
    ProxyCoreBackend @{[$second->address]}
    ProxyCoreBalancer first
    ProxyCoreRetry 1 on=reset
</ProxyCore>
<Location /two/>
    ProxyCorePass two
    ProxyCoreErrorOverride on
</Location>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreKeepAlive on
</ProxyCore>
<Location /all/>
    ProxyCorePass app
    ProxyCoreErrorOverride on
</Location>
<Location /all/off/>
    ProxyCoreErrorOverride off
</Location>
<Location /some/>
    ProxyCorePass app
    ProxyCoreErrorOverride on 404 500-599
</Location>
<Location /pool/>
    ProxyCorePass over
</Location>
<Location /proxied/>
    ProxyCorePass app
    ProxyCoreErrorOverride on
</Location>
<Location /fcgi/>
    ProxyCorePass fcgi
    ProxyCoreErrorOverride on
</Location>
<Location /none/>
    ProxyCorePass app
</Location>
<Files "*.shtml">
    Options +Includes
    SetOutputFilter INCLUDES
</Files>
<Directory $root/files>
    SetHandler proxy-core:app
</Directory>
CONF
spew("$root/error/404.txt", "our 404\n");
spew("$root/files/x", 'x');
spew("$root/files/.htaccess", "ProxyCoreErrorOverride on 404\n");
spew("$root/page.shtml", "before <!--#include virtual=\"/all/part\" --> after\n");
$s->start;

my $conn; # the backend's side, kept between requests

# The connection that the next request comes on: the kept one, or a new one, as another child of httpd makes it.
sub wait_request {
    my (%arg) = @_;
    my $end = time + 50;
    while (time < $end) {
        if ($conn && !$conn->eof) {
            $conn->fill(0);
            last if $conn->{in} ne '';
        }
        my $new = $b->accept(0.02) or next;
        $conn = $new;
        last;
    }
    return $conn->read_request(%arg) || die 'nobody came';
}

# A request on $client (or a new one), answered with this head and body; the backend's side stays open.
sub ask {
    my ($path, $status, $head, $body, %arg) = @_;
    my $client = $arg{client} || ProxyCore::Client->start($s, $arg{method} || 'GET', $path, front => $arg{front} || 'h1',
        fields => $arg{fields} || [], body => $arg{body});
    wait_request();
    select undef, undef, undef, $arg{late} if $arg{late};
    $conn->send($arg{before}) if $arg{before};
    my $length = defined $arg{length} ? $arg{length} : length $body;
    $conn->send("HTTP/1.1 $status\r\n${head}Content-Length: $length\r\n\r\n" . (($arg{method} || '') eq 'HEAD' ? '' : $body));
    $arg{then}->($conn) if $arg{then};
    return $client->finish;
}

# ---------------------------------------------------------------- the page, the fields, the connection

for my $late (0, 0.1) {
    my $name = $late ? 'parked' : 'at once';
    my $before = $b->accepted;
    my $res = ask('/all/x', '404 Not Here', "Content-Type: text/html\r\nX-Secret: 1\r\nETag: \"e\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
        'the backend says why', late => $late);
    is $res->{status}, 404, "$name: the status stays";
    is $res->{body}, "our 404\n", "$name: the page is ours";
    is $res->{head}->h('Content-Type'), 'text/plain', "$name: its type, too";
    is $res->{head}->h($_), undef, "$name: no $_ of the backend's page" for qw(X-Secret);
    is_deeply [$res->{head}->all('Set-Cookie')], ['a=1', 'b=2'], "$name: cookies are kept";
    $res = ask('/all/x', '200 OK', '', 'fine', late => $late);
    is $res->{body}, 'fine', "$name: what is no error is the backend's";
    ok $b->accepted - $before <= (mpm() eq 'prefork' ? 2 : 1), "$name: over the same connection to the backend";
}
my $res = ask('/all/x', '401 No', "WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer\r\n", 'x');
is $res->{status}, 401, 'a 401';
like $res->{body}, qr/please log in/, '401: our text';
is_deeply [$res->{head}->all('WWW-Authenticate')], ['Basic realm="a"', 'Bearer'], '401: how to go on';
$res = ask('/all/x', '503 Busy', "Retry-After: 7\r\n", 'x');
is $res->{status}, 503, 'a 503';
is $res->{head}->h('Retry-After'), 7, '503: Retry-After';
like $res->{body}, qr/Service Unavailable/, '503: httpd\'s own page where there is no ErrorDocument';
$res = ask('/all/x', '405 No', "Allow: GET, PATCH,PUT\r\n", 'x');
like $res->{head}->h('Allow'), qr/(?=.*PATCH)(?=.*PUT).*GET/, '405: Allow';
$res = ask('/all/x', '404 No', '', 'x', method => 'HEAD');
is $res->{status}, 404, 'HEAD';
is $res->{head}->h('Content-Type'), 'text/plain', 'HEAD: the fields of our page';
$res = ask('/all/x', '404 No', '', 'x', front => 'h2');
is $res->{body}, "our 404\n", 'HTTP/2';
$res = ask('/all/x', '404 No', '', 'x', before => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
is scalar @{ $res->{interim} }, 1, 'an interim answer before it';
is $res->{body}, "our 404\n", 'and then our page';
$res = ask('/all/x', '404 No', '', 'x', method => 'POST', body => 'a body');
is $res->{body}, "our 404\n", 'POST';

# A body that the backend does not want, of which not all has come.
my $client = $s->connect;
$client->send("POST /all/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome of it");
wait_request(body => 0);
$conn->send("HTTP/1.1 413 Too Large\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
$conn->close;
undef $conn;
$res = $client->read_response(timeout => 5);
is $res->{status}, 413, 'before the body was whole';
like $res->{body}, qr/Request Entity Too Large/, 'our page';
is $res->{head}->h('Connection'), 'close', 'and the connection ends';
$client->close;

# One connection of the client's for several errors.
$client = $s->connect;
for my $i (1 .. 3) {
    $client->send("GET /all/x HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_request();
    $conn->send("HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nxyz");
    is $client->read_response->{body}, "our 404\n", "keep-alive: $i";
}
$client->close;

# ---------------------------------------------------------------- which statuses, where

$res = ask('/some/x', '404 No', '', 'theirs');
is $res->{body}, "our 404\n", 'on 404 500-599: 404';
$res = ask('/some/x', '403 No', '', 'theirs');
is $res->{body}, 'theirs', '403 is the backend\'s';
$res = ask('/some/x', '599 No', '', 'theirs');
isnt $res->{body}, 'theirs', '599 is not';
$res = ask('/all/off/x', '404 No', '', 'theirs');
is $res->{body}, 'theirs', 'off in an inner section';
$res = ask('/pool/x', '404 No', '', 'theirs');
is $res->{body}, "our 404\n", 'said in the pool';
$res = ask('/pool/x', '500 No', '', 'theirs');
is $res->{body}, 'theirs', 'for 404 only';
$res = ask('/files/x', '404 No', '', 'theirs');
is $res->{body}, "our 404\n", '.htaccess';
$res = ask('/none/x', '404 No', '', 'theirs');
is $res->{body}, 'theirs', 'off is the default';
$res = ask('/all/x', '302 Found', "Location: /y\r\n", 'theirs');
is $res->{body}, 'theirs', 'a redirect is no error';

# ---------------------------------------------------------------- pages that are proxied themselves

# The ErrorDocument comes from the same pool, with a status of its own and without one: shown as it is, once.
for my $row (['404 Really', 404], ['200 OK', 403]) {
    my ($line, $status) = @$row;
    $client = ProxyCore::Client->start($s, 'POST', '/all/x', front => 'h1', body => 'some body');
    wait_request();
    $conn->send("HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx");
    my $req = wait_request();
    is "$req->{method} $req->{target}", 'GET /proxied/page', 'the ErrorDocument is asked for';
    is $req->{head}->h('Content-Length'), undef, 'without the body of what failed';
    $conn->send("HTTP/1.1 $line\r\nContent-Length: 11\r\nX-Page: 1\r\n\r\npage of 403");
    $res = $client->finish;
    is $res->{status}, $status, "a proxied ErrorDocument that says $line";
    is $res->{body}, 'page of 403', 'is shown';
}
$client = ProxyCore::Client->start($s, 'GET', '/all/x', front => 'h1');
wait_request();
$conn->send("HTTP/1.1 410 Gone\r\nContent-Length: 1\r\n\r\nx");
my $req = wait_request();
is $req->{target}, '/proxied/again', 'a proxied ErrorDocument';
$conn->send("HTTP/1.1 garbage\r\n\r\n");
$res = $client->finish;
is $res->{status}, 410, 'that fails: the first status, no circle';
undef $conn;

# A part of a page is no page.
$res = ask('/page.shtml', '404 No', '', 'the part');
is $res->{body}, "before the part after\n", 'a subrequest keeps what the backend said';

# ---------------------------------------------------------------- backends that go on and on, or die

$res = ask('/all/x', '404 No', '', 'x' x 3_000_000, then => sub { $_[0]->close });
is $res->{body}, "our 404\n", 'three megabytes of error page are not waited for';
undef $conn;
$res = ask('/all/x', '404 No', "Connection: close\r\n", 'x' x 10, length => 1000, then => sub { $_[0]->close });
is $res->{body}, "our 404\n", 'nor does it matter that one is cut short';
undef $conn;
$client = ProxyCore::Client->start($s, 'GET', '/two/x', front => 'h1');
wait_request();
$conn->send("HTTP/1.1 401 No\r\nSet-Cookie: first=1\r\nWWW-Authenticate: Basic realm=\"first\"\r\nContent-Length: 1000\r\n\r\nx");
$conn->close;
undef $conn;
$res = $client->finish;
is $res->{status}, 401, 'also where another backend could be asked: this one has answered';
is_deeply [$res->{head}->all('Set-Cookie')], ['first=1'], 'with its fields';
is $second->accept(0.05), undef, 'nobody else is';
$client = ProxyCore::Client->start($s, 'GET', '/all/x', front => 'h1');
wait_request();
$conn->send("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
$client->conn->close;
ok $conn->closed(5), 'the client leaves meanwhile: so do we';
undef $conn;

# ---------------------------------------------------------------- FastCGI

for my $row (["Status: 404 Not Here\r\nX-Secret: 1\r\n", 404, "our 404\n"], ['', 200, 'theirs']) {
    my ($head, $status, $body) = @$row;
    $client = ProxyCore::Client->start($s, 'GET', '/fcgi/x.php', front => 'h1');
    my $c = $f->accept;
    read_fcgi($c) or die;
    $c->send(fcgi_answer("${head}Content-Type: text/html\r\n\r\ntheirs"));
    $c->close;
    $res = $client->finish;
    is $res->{status}, $status, "FastCGI: $status";
    is $res->{body}, $body, "FastCGI: the page of $status";
    is $res->{head}->h('X-Secret'), undef, 'FastCGI: no fields of the other page';
}
$s->stop;
open my $log, '<', $s->dir . '/logs/states' or die;
my @states = <$log>;
ok scalar(grep { /^\/all\/x 404 error-override$/ } @states), 'the access log tells'
    or diag @states;
done_testing;
