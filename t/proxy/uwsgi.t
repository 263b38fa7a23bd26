#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# uwsgi: the packet, its bounds, the conventions of WSGI, and a real server.
# F1 F2 F23
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Gateway qw(read_uwsgi);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until spew start_child);

my $f = ProxyCore::Backend->new;
my $real = work_dir() . '/run/uwsgi.sock';
my $s = ProxyCore::Server->new(conf => <<"CONF")->start;
LimitRequestFieldSize 70000
<ProxyCore f>
    ProxyCoreProtocol uwsgi
    ProxyCoreBackend @{[$f->address]}
</ProxyCore>
<Location /f/>
    ProxyCorePass f
    ProxyCoreSetEnv UWSGI_SCHEME "%{REQUEST_SCHEME}"
    SetEnv UWSGI_FILE /tmp/evil
    SetEnv UWSGI-FILE /tmp/evil
</Location>
<Location /mounted>
    ProxyCorePass f
    ProxyCoreScript /mounted
</Location>
<Location /strip/>
    ProxyCorePass f strip=/strip
</Location>
<Location /handler>
    SetHandler proxy-core:f
</Location>
<Location /real>
    ProxyCorePass uwsgi://unix:$real
    ProxyCoreScript /real
</Location>
<Location /root/>
    ProxyCorePass uwsgi://unix:$real
</Location>
CONF
spew($s->docroot . '/ht/.htaccess', "ProxyCoreSetEnv UWSGI_FILE /tmp/evil\n");

# Ask, answer with these bytes: (response, request)
sub play {
    my ($path, $bytes, %arg) = @_;
    my $c = $s->connect;
    $c->send(ProxyCore::Server::request_text($arg{method} || 'GET', $path, %arg) . ProxyCore::Server::body_text(%arg));
    my $b = $f->accept(defined $arg{wait} ? $arg{wait} : 5);
    my $req = $b ? read_uwsgi($b) : undef;
    if ($b) { $b->send($bytes); $b->close }
    return ($c->read_response, $req);
}
my $OK = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nok";

my ($res, $req) = play('/f/a%20b/c?q=1', $OK, method => 'POST', body => 'hello');
is $res->{body}, 'ok', 'answered';
is_deeply $req->{modifiers}, [0, 0], 'modifier1 and modifier2 are 0';
is $req->{body}, 'hello', 'the body behind the packet';
my $v = $req->{params};
is $v->{CONTENT_LENGTH}, 5, 'CONTENT_LENGTH';
is $v->{SCRIPT_NAME}, '', 'SCRIPT_NAME is empty';
is $v->{PATH_INFO}, '/f/a b/c', 'PATH_INFO is the whole path, decoded';
is $v->{REQUEST_URI}, '/f/a%20b/c?q=1', 'REQUEST_URI as it was sent';
is $v->{QUERY_STRING}, 'q=1', 'QUERY_STRING';
is $v->{UWSGI_SCHEME}, 'http', 'ProxyCoreSetEnv gives a UWSGI_ variable';
is $v->{UWSGI_FILE}, undef, 'SetEnv gives none';
is $v->{SERVER_PROTOCOL}, 'HTTP/1.1', 'SERVER_PROTOCOL';
my %seen;
$seen{$_}++ for @{ $req->{order} };
is_deeply [grep { $seen{$_} > 1 } keys %seen], [], 'no name twice';
$v = (play('/mounted/page/x', $OK))[1]{params};
is "$v->{SCRIPT_NAME}|$v->{PATH_INFO}", '/mounted|/page/x', 'ProxyCoreScript /prefix: where the application is mounted';
$v = (play('/mounted', $OK))[1]{params};
is $v->{SCRIPT_NAME}, '/mounted', 'the mount point itself';
$v = (play('/strip/page', $OK))[1]{params};
is "$v->{SCRIPT_NAME}|$v->{PATH_INFO}", '|/page', 'strip=';
$v = (play('/handler/page.php/x', $OK))[1]{params};
is "$v->{SCRIPT_NAME}|$v->{PATH_INFO}", '|/handler/page.php/x', 'SetHandler in a location passes the URL, too; extensions mean nothing';
is $s->get('/ht/x')->{status}, 500, 'a .htaccess file cannot give UWSGI_ variables';

# Heads: a status line or a CGI head. Transfer-Encoding and Connection of the application stay here.
is((play('/f/x', "Status: 404 Nope\nContent-Type: a/b\n\nno"))[0]{status}, 404, 'a CGI head');
is((play('/f/x', "HTTP/1.0 302 Found\r\nLocation: /elsewhere\r\n\r\n"))[0]{status}, 302, 'a redirect with a status line goes to the client');
($res) = play('/f/x', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n");
is $res->{head}->h('Transfer-Encoding'), undef, 'the application frames nothing by Transfer-Encoding';
is $res->{body}, "0\r\n\r\n", 'its bytes are a body';
is((play('/f/x', "HTTP/1.1 200 OK\r\nX-A: b\r\rX-B: c\r\n\r\n", method => 'POST', body => 'x'))[0]{status}, 502, 'a split head: 502');
is((play('/f/x', "HTTP/1.1 200 O\nK: v\r\n\r\n"))[0]{status}, 200, 'LF ends a line');
is((play('/f/x', "HTTP/2.0 200 OK\r\n\r\n", method => 'POST', body => 'x'))[0]{status}, 200, 'the version is what uWSGI was told: any');
is((play('/f/x', "HTTP/2 200 OK\r\n\r\n", method => 'POST', body => 'x'))[0]{status}, 502, 'no version: 502');

# CVE-2020-11984. 64 KB are the bound: the largest that fits arrives whole, one byte more is 431, and the backend is not harmed.
(undef, $req) = play('/f/x', $OK, fields => ['X-A' => '']);
my $room = 65535 - $req->{size};
($res, $req) = play('/f/x', $OK, fields => ['X-A' => 'v' x $room]);
is $res->{status}, 200, 'a packet of 65535 bytes';
is $req->{size}, 65535, 'exactly';
is length $req->{params}{HTTP_X_A}, $room, 'with all of the value';
($res) = play('/f/x', $OK, fields => ['X-A' => 'v' x ($room + 1)], wait => 2);
is $res->{status}, 431, 'one byte more: 431';
($res) = play('/f/x', $OK, fields => [map { ("X-$_" => 'v' x 7000) } 1 .. 20], wait => 2);
is $res->{status}, 431, 'many that are too much together: 431';
is((play('/f/x', $OK))[0]{status}, 200, 'the backend is asked as before');

# A real one.
SKIP: {
    my $uwsgi = (grep { -x } qw(/usr/bin/uwsgi-core /usr/bin/uwsgi))[0] or skip 'no uwsgi', 1;
    my $app = spew(work_dir() . '/app.py', <<'PY');
import time
def application(env, start):
    path = env['PATH_INFO']
    if path.endswith('/missing'):
        start('404 Not Found', [('Content-Type', 'text/plain')])
        return [b'missing']
    if path.endswith('/none'):
        start('204 No Content', [])
        return []
    if path.endswith('/big'):
        start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '3000000')])
        return [b'x' * 100000] * 30
    if path.endswith('/part'):
        start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '1000')])
        return [b'part']
    if path.endswith('/raise'):
        raise Exception('broken')
    body = env['wsgi.input'].read()
    start('200 OK', [('Content-Type', 'text/plain'), ('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')])
    return [('%s|%s|%s|%d|%s' % (env['REQUEST_METHOD'], env['SCRIPT_NAME'], path, len(body), env['wsgi.url_scheme'])).encode()]
PY
    start_child($uwsgi, '--plugins', 'python3', '--socket', $real, '--chmod-socket=777', '--wsgi-file', $app, '--master', '--die-on-term',
        '--buffer-size', 32768, '--processes', 2, '--manage-script-name');
    poll_until { -S $real && $s->get('/real/x')->{status} == 200 } 20;
    is $s->get('/real/x')->{body}, 'GET|/real|/x|0|http', 'a uwsgi server answers';
    is $s->get('/root/x')->{body}, 'GET||/root/x|0|http', 'at the root';
    is_deeply [$s->get('/real/x')->{head}->h('Set-Cookie')], ['a=1, b=2'], 'both cookies';
    is $s->request('POST', '/real/up', body => 'x' x 2_000_000)->{body}, 'POST|/real|/up|2000000|http', 'an upload';
    is $s->request('POST', '/real/up', body => 'x' x 30_000, chunked => 1000)->{body}, 'POST|/real|/up|30000|http', 'a chunked one';
    is $s->get('/real/missing')->{status}, 404, '404 Not Found';
    is $s->get('/real/none')->{status}, 204, '204 No Content';
    $res = $s->get('/real/big');
    ok $res->{complete} && length $res->{body} == 3_000_000, '3 MB down';
    is $s->request('HEAD', '/real/big')->{head}->h('Content-Length'), 3_000_000, 'HEAD';
    ok !$s->get('/real/part')->{complete}, 'an answer shorter than its Content-Length does not look whole';
    is $s->request('POST', '/real/raise', body => 'x')->{status}, 502, 'no answer at all: 502';
    is $s->get('/real/x', fields => [map { ("X-$_" => 'v' x 1000) } 1 .. 40])->{status}, 502, 'more than its buffer-size: it closes, 502';
    is $s->get('/real/x')->{status}, 200, 'and goes on';
}
$s->stop;
done_testing;
