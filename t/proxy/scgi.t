#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# SCGI: every rule of the specification for a client, and a real server.
# F1 F2 F23
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Gateway qw(read_scgi);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until spew start_child);

my $f = ProxyCore::Backend->new;
my $real = work_dir() . '/run/scgi.sock';
my $s = ProxyCore::Server->new(conf => <<"CONF")->start;
<ProxyCore f>
    ProxyCoreProtocol scgi
    ProxyCoreBackend @{[$f->address]} max=1
</ProxyCore>
<Location /f/>
    ProxyCorePass f
    ProxyCoreSetEnv SCGI evil
    ProxyCoreSetEnv EMPTY ""
    SetEnv CONTENT_LENGTH 99
    SetEnv SCGI evil
    SetEnv UWSGI_FILE /tmp/evil
</Location>
<Location /real>
    ProxyCorePass scgi://unix:$real
    ProxyCoreScript /real
</Location>
CONF

# The request, checked by the letter: the netstring's length, its comma, NULs in pairs.
for my $row (['GET', undef, 0], ['POST', '', 0], ['POST', 'hello', 5], ['PUT', 'x' x 70_000, 70_000]) {
    my ($method, $body, $want) = @$row;
    my $c = $s->connect;
    $c->send(ProxyCore::Server::request_text($method, '/f/a/b?q', body => $body) . (defined $body ? $body : ''));
    my $b = $f->accept;
    my $raw = $b->read_until(qr/\A\d+:/);
    my ($len) = $raw =~ /^([1-9]\d*):$/;
    ok $len, "$method: begins with a length";
    my $vars = $b->read_bytes($len);
    is $b->read_bytes(1), ',', 'the netstring ends in a comma';
    like $vars, qr/\ACONTENT_LENGTH\x00$want\x00SCGI\x001\x00/, 'CONTENT_LENGTH comes first, always, then SCGI=1';
    my @parts = split /\0/, $vars, -1;
    is pop @parts, '', 'a NUL ends the last value';
    is @parts % 2, 0, 'names and values';
    my %seen;
    $seen{ $parts[2 * $_] }++ for 0 .. $#parts / 2;
    is_deeply [grep { $seen{$_} > 1 } keys %seen], [], 'no name twice';
    ok !exists $seen{''}, 'no empty name';
    my %v = @parts;
    is $v{REQUEST_METHOD}, $method, 'REQUEST_METHOD';
    is $v{REQUEST_URI}, '/f/a/b?q', 'REQUEST_URI';
    is $v{QUERY_STRING}, 'q', 'QUERY_STRING';
    is $v{EMPTY}, '', 'an empty value';
    is $v{UWSGI_FILE}, undef, 'SetEnv gives no UWSGI_ variable';
    is $b->read_bytes($want), defined $body ? $body : '', 'the body as it is';
    ok $b->quiet(0.05), 'and nothing behind it';
    $b->send("Status: 201 Made\r\nContent-Type: a/b\r\n\r\nmade");
    $b->close;
    my $res = $c->read_response;
    is $res->{status}, 201, 'answered';
    is $res->{body}, 'made', 'with the body until the end of the connection';
}

# One request a connection; a status line instead of a CGI head; the next request does not wait for a server that is slow
# to close when the body's length is known.
my $c = $s->connect;
for my $n (1 .. 3) {
    $c->send("GET /f/$n HTTP/1.1\r\nHost: a\r\n\r\n");
    my $b = $f->accept;
    is read_scgi($b)->{params}{REQUEST_URI}, "/f/$n", "request $n has a connection of its own";
    $b->send("HTTP/1.1 404 Nope\r\nContent-Length: 1\r\n\r\nn");
    my $res = $c->read_response(timeout => 3);
    is $res->{status}, 404, 'a status line is understood';
    is $res->{body}, 'n', 'the answer ends with its Content-Length';
    ok $b->closed(2), 'and we close';
}

# An upload that the client cuts is shorter than CONTENT_LENGTH when the connection ends.
$c = $s->connect;
$c->send("POST /f/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" . 'x' x 400);
my $b = $f->accept;
my $req = read_scgi($b, body => 0);
is $req->{params}{CONTENT_LENGTH}, 1000, 'CONTENT_LENGTH of an upload';
is length $b->read_bytes(400), 400, 'what came of it arrives';
$c->close;
is $b->read_all(3), '', 'the client leaves: no byte more';
ok $b->eof, 'and the connection ends';

# A real one.
SKIP: {
    my $uwsgi = (grep { -x } qw(/usr/bin/uwsgi-core /usr/bin/uwsgi))[0] or skip 'no uwsgi', 1;
    my $app = spew(work_dir() . '/app.py', <<'PY');
def application(env, start):
    body = env['wsgi.input'].read()
    start('200 OK', [('Content-Type', 'text/plain')])
    return [('%s|%s|%s|%d' % (env['REQUEST_METHOD'], env['SCRIPT_NAME'], env['PATH_INFO'], len(body))).encode()]
PY
    start_child($uwsgi, '--plugins', 'python3', '--scgi-socket', $real, '--chmod-socket=777', '--wsgi-file', $app, '--master', '--die-on-term');
    poll_until { -S $real && $s->get('/real/x')->{status} == 200 } 20;
    is $s->get('/real/x')->{body}, 'GET|/real|/x|0', 'a SCGI server answers';
    is $s->request('POST', '/real/up', body => 'x' x 300_000)->{body}, 'POST|/real|/up|300000', 'and takes an upload';
    is $s->request('POST', '/real/up', body => 'x' x 30_000, chunked => 1000)->{body}, 'POST|/real|/up|30000', 'also a chunked one';
}
$s->stop;
done_testing;
