#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# FastCGI authorizers in front of files, other pools, redirects and listings: who is asked what and how often, what allows
# and what refuses, and that no failure allows.
# G10 G32 G11
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi record fcgi_stdout fcgi_stderr fcgi_end fcgi_answer FCGI_STDIN FCGI_STDOUT);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir spew now mpm poll_until);

my $f = ProxyCore::Backend->new;
my $app = ProxyCore::Backend->new;
my $dead = ProxyCore::Backend->new;
$dead->stop;
my $s = ProxyCore::Server->new(modules => [qw(rewrite include autoindex auth_basic authn_file authz_user proxy proxy_http dav dav_fs cache cache_disk)], tls => 0, conf => '');
my $root = $s->docroot;
my $users = spew($s->dir . '/conf/users', "joe:{SHA}" . 'qUqP5cyxm6YcTAhz05Hph5gvu9M=' . "\n"); # test
$s->{conf} = <<"CONF";
LogFormat "%U %s %u auth=%{proxy-core-authorizer}n/%{proxy-core-authorizer-state}n pool=%{proxy-core-pool}n" seen
CustomLog logs/access_log seen
CustomLog logs/states "%q %s %{proxy-core-authorizer-state}n"
<ProxyCore auth>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
</ProxyCore>
<ProxyCore hasty>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreMode authorizer
    ProxyCoreTimeout first=1s idle=1s
</ProxyCore>
<ProxyCore blockauth>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreMode authorizer
    ProxyCoreScript file=/srv/auth/check.php
    ProxyCoreDocumentRoot /srv/auth
    ProxyCoreKeepAlive on
</ProxyCore>
<ProxyCore deadauth>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$dead->address]}
    ProxyCoreMode authorizer
</ProxyCore>
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$app->address]}
</ProxyCore>
<ProxyCore httpd>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$app->address]}
</ProxyCore>
<ProxyCore full>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]} max=1
    ProxyCoreQueue 1 timeout=3s
    ProxyCoreTimeout first=30s
    ProxyCoreMode authorizer
</ProxyCore>
<Location /full/>
    ProxyCorePass full
</Location>
<Location /g/>
    ProxyCorePass auth
    ProxyCoreMode authorizer
    ProxyCoreSetEnv LEVEL staff
    SetEnv FROM_SETENV yes
    ErrorDocument 404 /g/404.html
</Location>
<Location /g/off/>
    ProxyCorePass off
</Location>
<Location /g/open/>
    ProxyCoreMode authorizer
    ProxyCorePass off
</Location>
<Location /g/app/>
    ProxyCorePass app
</Location>
<Location /g/handler/>
    SetHandler server-status
</Location>
<Location /g/old/>
    ProxyPass http://@{[$app->address]}/
</Location>
<Location /same/>
    ProxyCorePass app
    ProxyCorePass auth
    ProxyCoreMode authorizer
</Location>
<Location /b/>
    ProxyCorePass blockauth
    ProxyCoreScript none
</Location>
<Location /hasty/>
    ProxyCorePass hasty
</Location>
<Location /dead/>
    ProxyCorePass deadauth
    ErrorDocument 503 /dead/503.html
</Location>
<Location /served/>
    SetHandler proxy-core:blockauth
</Location>
<Location /cached/>
    ProxyCorePass blockauth
    Header set Cache-Control max-age=600
</Location>
<Location /plain/>
    Header set Cache-Control max-age=600
</Location>
CacheRoot @{[$s->dir]}/open
CacheEnable disk /cached/
CacheEnable disk /plain/
DavLockDB @{[$s->dir]}/open/davlock
<Location /dav/>
    Dav On
</Location>
<Location /dav/g/>
    ProxyCorePass auth
    ProxyCoreMode authorizer
</Location>
<Location /b/basic/>
    AuthType Basic
    AuthName x
    AuthBasicProvider file
    AuthUserFile $users
    Require valid-user
</Location>
<Location /any/>
    ProxyCorePass blockauth
    <RequireAny>
        Require all granted
        Require user nobody
    </RequireAny>
</Location>
<Directory $root/g/ssi>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Directory $root/g/list>
    Options +Indexes
</Directory>
CONF
spew("$root/$_", "content of $_\n") for qw(g/x.html g/404.html g/dir/index.html g/list/a g/list/b g/list/c g/off/x.html g/open/x.html
    b/x.html b/basic/x.html hasty/x.html dead/x.html full/x.html dead/503.html any/x.html cached/x.html plain/x.html dav/x.txt dav/g/y.txt g/ssi/part.html served/x ht/x.html ht2/x.html ht3/x.html);
spew("$root/g/ssi/page.shtml", 'user=<!--#echo var="SHOWN_NAME" -->;a=<!--#include virtual="part.html" -->;b=<!--#include virtual="/b/x.html" -->;');
spew("$root/g/rewritten/.htaccess", "RewriteEngine on\nRewriteRule ^ http://elsewhere.example/ [R]\n");
spew("$root/ht/.htaccess", "ProxyCorePass auth\nProxyCoreMode authorizer\n");
spew("$root/ht2/.htaccess", "ProxyCoreMode authorizer\n");
spew("$root/ht3/.htaccess", "ProxyCorePass blockauth\n");
mkdir $s->dir . '/open';
chmod 0777, $s->dir . '/open', "$root/dav", "$root/dav/g";
$s->{conf} .= "<Directory $root/ht3>\nAllowOverride FileInfo\n</Directory>\n<Directory $root/b>\nAllowOverride FileInfo\n</Directory>\n";
$s->start;

my $ALLOW = fcgi_answer("Status: 200 OK\r\n\r\n");
# A request, and what each ask is answered, in order: (response, the asks)
sub play {
    my ($path, $answers, %arg) = @_;
    my $c = ProxyCore::Client->start($s, $arg{method} || 'GET', $path, %arg);
    my @asks;
    for my $bytes (ref $answers ? @$answers : $answers) {
        my $b = $f->accept(3) or last;
        push @asks, read_fcgi($b, timeout => 3);
        $b->send($bytes);
        $b->close;
    }
    my $res = $c->finish(timeout => 6, head_only => $arg{head_only});
    my $more = $f->accept(0.02);
    push @asks, 'one more than expected' if $more;
    return ($res, @asks);
}
# What the access log says of it, which is written when the client has its answer already.
sub log_line {
    my ($path, $status) = @_;
    $status ||= qr/\d+/;
    return poll_until { my ($line) = grep { m{^\Q$path\E $status } } split /\n/, ProxyCore::Util::slurp($s->dir . '/logs/access_log') // ''; $line } || '';
}

# ---- allowed: the file as it is, and nothing of the authorizer's answer but its variables
my ($res, @asks) = play('/g/x.html?q=1', fcgi_answer("Status: 200 OK\r\nContent-Type: text/x-auth\r\nX-Auth: secret\r\nSet-Cookie: a=b\r\n"
    . "Content-Length: 4\r\nVariable-REMOTE_USER: ann\r\nVariable-SHOWN_NAME: Ann\r\n\r\nbody"), fields => ['X-Mine' => 'me', Authorization => 'Basic eDp5']);
is $res->{status}, 200, 'allowed';
is $res->{body}, "content of g/x.html\n", 'the file';
is $res->{head}->h('Content-Type'), 'text/html', 'with its own type';
is $res->{head}->h($_), undef, "$_ of the authorizer is dropped" for qw(X-Auth Set-Cookie Variable-SHOWN_NAME Variable-REMOTE_USER);
is $res->{head}->h('Content-Length'), 20, 'and its length';
is scalar @asks, 1, 'asked once';
my $ask = $asks[0];
is $ask->{role}, 2, 'FCGI_AUTHORIZER';
is $ask->{params}{$_}, undef, "no $_" for qw(CONTENT_LENGTH PATH_INFO PATH_TRANSLATED SCRIPT_NAME);
is $ask->{params}{REQUEST_URI}, '/g/x.html?q=1', 'REQUEST_URI';
is $ask->{params}{QUERY_STRING}, 'q=1', 'QUERY_STRING';
is $ask->{params}{REQUEST_METHOD}, 'GET', 'REQUEST_METHOD';
is $ask->{params}{SCRIPT_FILENAME}, "$root/g/x.html", 'the file that is asked for';
is $ask->{params}{DOCUMENT_ROOT}, $root, 'DOCUMENT_ROOT';
is $ask->{params}{HTTP_X_MINE}, 'me', "the client's fields";
is $ask->{params}{HTTP_AUTHORIZATION}, 'Basic eDp5', 'Authorization, too';
is $ask->{params}{LEVEL}, 'staff', 'ProxyCoreSetEnv';
is $ask->{params}{FROM_SETENV}, 'yes', 'SetEnv';
is $ask->{stdin}, '', 'no body';
like log_line('/g/x.html'), qr{ 200 ann auth=auth/allowed pool=-}, 'the log has the user and who allowed it';
is((play('/g/x.html', fcgi_answer("\r\n")))[0]{status}, 200, 'G32: no Status is 200 and allows');
is((play('/g/x.html', fcgi_answer("Content-Type: a/b\n\nwhatever")))[0]{body}, "content of g/x.html\n", 'its body is never sent');
is((play('/g/x.html', fcgi_stderr("note\n") . fcgi_answer("X: " . 'y' x 30000 . "\r\n\r\n" . 'z' x 300_000)))[0]{status}, 200, 'however long');
($res) = play('/g/x.html', $ALLOW, fields => ['If-Modified-Since' => $res->{head}->h('Last-Modified')]);
is $res->{status}, 304, 'conditions are about the file';
($res) = play('/g/x.html', $ALLOW, fields => [Range => 'bytes=0-6']);
is "$res->{status} $res->{body}", '206 content', 'ranges are, too';
($res) = play('/g/x.html', $ALLOW, method => 'HEAD');
is $res->{head}->h('Content-Length'), 20, 'HEAD';

# ---- refused: the answer is the client's, whole
for my $row ([403, 'Forbidden'], [401, 'Unauthorized'], [302, 'Found'], [404, 'Nope'], [500, 'Broken'], [204, 'Nothing'], [201, 'Odd']) {
    my ($status, $reason) = @$row;
    my $body = $status == 204 ? '' : 'go away';
    ($res, @asks) = play('/g/x.html', fcgi_answer("Status: $status $reason\r\nContent-Type: text/x-no\r\nX-No: 1\r\nWWW-Authenticate: Basic realm=a\r\n"
        . "Variable-REMOTE_USER: eve\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: /login\r\n\r\n$body"));
    is $res->{status}, $status, "$status refuses";
    is $res->{body}, $body, 'with its body';
    ok $res->{complete}, 'whole';
    is $res->{head}->h('X-No'), 1, 'and its fields';
    is $res->{head}->h('Set-Cookie'), 'a=1, b=2', 'all of them';
    is $res->{head}->h('Location'), '/login', 'Location as it is';
    is scalar @asks, 1, 'asked once, no ErrorDocument in its place';
}
like log_line('/g/x.html'), qr/ 200 ann /, 'log';
($res) = play('/g/x.html', fcgi_answer("Location: /login\r\n\r\n"));
is $res->{status}, 302, 'Location without a Status is a redirect and refuses';
is $res->{head}->h('Location'), '/login', 'and is not followed here';
($res) = play('/g/x.html', fcgi_answer("Status: 403\r\nContent-Length: 5\r\n\r\n"), method => 'HEAD');
is $res->{status}, 403, 'HEAD';
# Keep-alive behind a refusal; an upload that nobody reads ends the connection.
my $c = $s->connect;
for my $n (1 .. 2) {
    $c->send("GET /g/x.html HTTP/1.1\r\nHost: a\r\n\r\n");
    my $b = $f->accept; read_fcgi($b); $b->send(fcgi_answer("Status: 403\r\n\r\nno")); $b->close;
    is $c->read_response->{status}, 403, "request $n of a connection";
}
$c->send("POST /g/x.html HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
my $b = $f->accept;
$ask = read_fcgi($b);
is $ask->{params}{CONTENT_LENGTH}, undef, 'POST: no CONTENT_LENGTH';
$b->send(fcgi_answer("Status: 403\r\n\r\nno")); $b->close;
$res = $c->read_response;
is $res->{status}, 403, 'an upload is refused before it is read';
is $res->{head}->h('Connection'), 'close', 'and the connection ends';

# ---- a failure never allows
my %failure = (
    'closed without a word' => '', 'half a head' => fcgi_stdout("Status: 200 OK\r\n"), 'a head and no end' => fcgi_stdout("Status: 200 OK\r\n\r\n"),
    'a body that was cut' => fcgi_stdout("Status: 200 OK\r\nContent-Length: 10\r\n\r\nx") . record(FCGI_STDOUT, '') . fcgi_end(),
    'an exit status' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(app => 1), 'no head at all' => fcgi_end(),
    'another protocol' => "HTTP/1.1 200 OK\r\n\r\n", 'a malformed head' => fcgi_answer("Status: 200 OK\r\nnonsense\r\n\r\n"),
    'an unknown role' => fcgi_end(protocol => 3), 'an odd status' => fcgi_answer("Status: 2000\r\n\r\n"),
    'only interim heads' => fcgi_answer("Status: 103\r\nLink: a\r\n\r\n"),
    'the end of the stream and no END_REQUEST' => fcgi_stdout("Status: 200 OK\r\n\r\n") . record(FCGI_STDOUT, ''),
    'half an END_REQUEST' => fcgi_stdout("Status: 200 OK\r\n\r\n") . record(FCGI_STDOUT, '') . substr(fcgi_end(), 0, 12),
    'an END_REQUEST of four bytes' => fcgi_stdout("Status: 200 OK\r\n\r\n") . record(3, "\0" x 4),
    'the END_REQUEST of another request' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(id => 2),
    'an unknown protocol status' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(protocol => 7),
    'overloaded behind its head' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(protocol => 2),
    'cannot multiplex behind its head' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(protocol => 1),
    'an unknown role behind its head' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(protocol => 3),
    'a negative exit status' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_end(app => 0xffffffff),
    'garbage behind its head' => fcgi_stdout("Status: 200 OK\r\n\r\n") . ('?' x 100),
    'a megabyte and no end' => fcgi_stdout("Status: 200 OK\r\n\r\n" . 'z' x 1_300_000),
    'a megabyte and then a failure' => fcgi_stdout("Status: 200 OK\r\n\r\n" . 'z' x 1_300_000) . fcgi_end(app => 1),
    'a megabyte of messages and no end' => fcgi_stdout("Status: 200 OK\r\n\r\n") . fcgi_stderr("no\n" x 400_000),
);
my $case = 0;
for my $what (sort keys %failure) {
    for my $front ($what =~ /megabyte|no END_REQUEST|exit/ ? qw(http h2) : 'http') {
        ++$case;
        ($res) = play("/g/x.html?case$case", $failure{$what}, front => $front);
        is $res->{status}, 502, "$what: 502 ($front)";
        unlike $res->{body}, qr/content of/, 'nothing of the file';
        my $state = poll_until { my ($l) = ProxyCore::Util::slurp($s->dir . '/logs/states') =~ /^\?case$case 502 (\S+)/m; $l } 10;
        like $state, qr/^(?:malformed|reset|overloaded)$/, 'and no other state in the log';
    }
}
($res) = play('/g/app/x', $failure{'a megabyte and no end'}, method => 'POST', body => 'x=1');
is $res->{status}, 502, 'an upload to a pool: refused as well';
ok !$app->accept(0.05), 'and the pool is not asked';
($res) = play('/g/ssi/page.shtml', [$ALLOW, ($failure{'a megabyte and no end'}) x 1, $ALLOW]);
unlike $res->{body}, qr/content of .*part/, 'nor does a part of a page come of it';
$c = $s->connect;
$c->send("GET /hasty/x.html HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
$b->send(fcgi_stdout("Status: 200 OK\r\n\r\n"));
is $c->read_response(timeout => 8)->{status}, 504, 'a head that allows, and silence behind it: 504';
$b->close;
$c = $s->connect;
$c->send("GET /hasty/x.html HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
$b->send(fcgi_stdout("Status: 200 OK\r\n\r\n"));
my $trickle = now();
while (now() - $trickle < 30 && $c->quiet(0.2)) { $b->send(fcgi_stderr('still thinking')) }
cmp_ok now() - $trickle, '<', 25, 'who chatters on does not keep the thread';
is $c->read_response(timeout => 5)->{status}, 504, 'nor is it taken at its word: 504';
$b->close;
# One is asked, one waits until its time is over, and there is no room for the third.
$_->close for grep { $_ } $f->accept(0.02);
my @three = map { my $q = $s->connect; $q->send("GET /full/x.html HTTP/1.1\r\nHost: a\r\n\r\n"); $q } 1 .. 3;
$b = $f->accept;
poll_until { 2 == (() = ProxyCore::Util::slurp($s->dir . '/logs/access_log') =~ m{^/full/x.html 50[34] }mg) } 20;
$b->close;
is_deeply [sort map { $_->read_response(timeout => 20)->{status} } @three], [502, 503, 504],
    'cut: 502, a queue that is full: 503, too long in the queue: 504';
is((play('/g/x.html', fcgi_end(protocol => 2)))[0]{status}, 503, 'overloaded: 503');
$c = $s->connect;
$c->send("GET /hasty/x.html HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
is $c->read_response(timeout => 5)->{status}, 504, 'no answer in time: 504';
$b->close;
my $start = now();
$res = $s->get('/dead/x.html');
is $res->{status}, 503, 'nobody there: 503';
ok $res->{head}->h('Retry-After'), 'with Retry-After';
unlike $res->{body}, qr/content of/, 'and a guarded ErrorDocument is not shown either';
cmp_ok now() - $start, '<', 20, 'at once';
$c = $s->connect;
$c->send("GET /g/x.html HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
read_fcgi($b);
$c->close;
$b->read_all(3);
ok $b->eof, 'the client leaves: the authorizer is let go';

# ---- variables
my $evil = join '', map { "Variable-$_: evil\r\n" } qw(HTTP_PROXY HTTP_COOKIE SCRIPT_FILENAME REMOTE_ADDR PATH CONTENT_LENGTH LD_PRELOAD
    SSL_CLIENT_VERIFY UWSGI_FILE DOCUMENT_ROOT SERVER_NAME A-B 1A PHP_VALUE QUERY_STRING no-gzip);
sub to_app {
    my ($path, $auth) = @_;
    my $client = $s->connect;
    $client->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n");
    my $conn = $f->accept; my $ask = read_fcgi($conn); $conn->send($auth); $conn->close;
    $conn = $app->accept(3) or return {};
    my $req = read_fcgi($conn); $conn->send(fcgi_answer("\r\nfrom app")); $conn->close;
    return { %$req, res => $client->read_response, ask => $ask };
}
my $req = to_app('/g/app/x/y?z', fcgi_answer("${evil}Variable-REMOTE_USER: ann\r\nVariable-AUTH_METHOD: database test\r\nVariable-auth_level: 3\r\n\r\n"));
is $req->{res}{body}, 'from app', 'another pool behind the authorizer';
is $req->{role}, 1, 'which is a responder';
is $req->{params}{AUTH_METHOD}, 'database test', 'Variable-AUTH_METHOD';
is $req->{params}{auth_level}, 3, 'in any case';
is $req->{params}{REMOTE_USER}, 'ann', 'REMOTE_USER';
is_deeply [grep { $req->{params}{$_} =~ /evil/ } sort keys %{ $req->{params} }], [], 'nothing that is not its business';
is $req->{params}{SCRIPT_NAME}, '/g/app/x/y', 'the pool has its own variables';
is $req->{ask}{params}{DOCUMENT_URI}, '/g/app/x/y', 'the authorizer the same path';
like log_line('/g/app/x/y'), qr{ 200 ann auth=auth/allowed pool=app}, 'both are in the log';
is to_app('/same/x', $ALLOW)->{res}{body}, 'from app', 'both named in one section';

# ---- sections
($res, @asks) = play('/g/off/x.html', $ALLOW);
is scalar @asks, 1, 'ProxyCorePass off ends no authorizer';
($res, @asks) = play('/g/open/x.html', []);
is "$res->{status} @asks", '200 ', 'with ProxyCoreMode authorizer it does';
($res, @asks) = play('/g/handler/', fcgi_answer("Status: 403\r\n\r\nno"));
is $res->{status}, 403, 'any handler is guarded';
($res, @asks) = play('/g/handler/', $ALLOW);
like $res->{body}, qr/Apache Server Status|uptime|404/i, 'and serves when allowed';
($res) = play('/g/old/x', fcgi_answer("Status: 403\r\n\r\nno"));
is $res->{status}, 403, 'also mod_proxy';
($res, @asks) = play('/g/rewritten/x', fcgi_answer("Status: 403\r\n\r\nno"));
is $res->{status}, 403, 'a rewrite rule of a directory says nothing before it is allowed';
($res, @asks) = play('/g/dir', fcgi_answer("Status: 403\r\n\r\nno"));
is $res->{status}, 403, 'nor does the slash behind a directory';
($res, @asks) = play('/b/x.html', $ALLOW);
is $asks[0]{params}{SCRIPT_FILENAME}, '/srv/auth/check.php', "the pool's block says which script is asked (G11)";
is $asks[0]{params}{DOCUMENT_ROOT}, '/srv/auth', 'and where';
is $asks[0]{keep}, 1, 'over a kept connection if asked for';
is $s->get('/served/x')->{status}, 500, 'an authorizer serves nothing by itself';
($res, @asks) = play('/any/x.html', fcgi_answer("Status: 403\r\n\r\nno"));
is $res->{status}, 403, 'Require granted cannot overrule it';

# ---- beside httpd's own authentication
($res, @asks) = play('/b/basic/x.html', []);
is "$res->{status} @asks", '401 ', 'httpd asks first, and the authorizer is not asked in vain';
($res, @asks) = play('/b/basic/x.html', fcgi_answer("Variable-REMOTE_USER: eve\r\n\r\n"), fields => [Authorization => 'Basic am9lOnRlc3Q=']);
is $res->{status}, 200, 'both allow';
is $asks[0]{params}{REMOTE_USER}, 'joe', 'the authorizer knows the user';
like log_line('/b/basic/x.html', 200), qr{ 200 joe }, 'who stays who they are';

# ---- once per request
($res, @asks) = play('/g/dir/', $ALLOW);
is $res->{body}, "content of g/dir/index.html\n", 'a directory index';
is scalar @asks, 1, 'asked once';
is $asks[0]{params}{REQUEST_URI}, '/g/dir/', 'for the directory';
($res, @asks) = play('/g/list/', $ALLOW);
like $res->{body}, qr/href="a".*href="c"/s, 'a listing';
is scalar @asks, 1, 'asked once, not for each entry';
($res, @asks) = play('/g/ssi/page.shtml', [fcgi_answer("Variable-SHOWN_NAME: Ann\r\n\r\n"), $ALLOW, $ALLOW]);
is $res->{body}, "user=Ann;a=content of g/ssi/part.html\n;b=content of b/x.html\n;", 'SSI: parts are asked for';
is_deeply [map { $_->{params}{DOCUMENT_URI} } @asks], [qw(/g/ssi/page.shtml /g/ssi/part.html /b/x.html)], 'each for itself';
($res, @asks) = play('/g/ssi/page.shtml', [$ALLOW, fcgi_answer("Status: 403\r\nX-No: 1\r\n\r\nbody of a refusal"), $ALLOW]);
is $res->{status}, 200, 'SSI: a part that is refused';
unlike $res->{body}, qr/part\.html|body of a refusal/, 'is missing';
is $res->{head}->h('X-No'), undef, 'and leaves no field';
($res, @asks) = play('/g/missing', [$ALLOW, $ALLOW]);
is "$res->{status} $res->{body}", "404 content of g/404.html\n", 'an ErrorDocument';
is scalar @asks, 2, 'has a URL of its own and is asked for';

# WebDAV: what a request is about besides its URL.
my @to = (fields => [Destination => 'http://localhost/dav/g/new.txt']);
($res, @asks) = play('/dav/x.txt', fcgi_answer("Status: 403\r\n\r\nno"), method => 'COPY', @to);
cmp_ok $res->{status}, '>=', 400, 'COPY into what is guarded: refused';
ok !-e "$root/dav/g/new.txt", 'and not done';
is $asks[0]{params}{DOCUMENT_URI}, '/dav/g/new.txt', 'the destination was asked for';
($res, @asks) = play('/dav/x.txt', $ALLOW, method => 'COPY', @to);
is $res->{status}, 201, 'allowed';
ok -e "$root/dav/g/new.txt", 'and done';

# What one client was allowed to see is not cached for the next.
$s->get('/plain/x.html');
spew("$root/plain/x.html", 'changed');
is $s->get('/plain/x.html')->{body}, "content of plain/x.html\n", 'mod_cache holds what is not guarded';
is((play('/cached/x.html', $ALLOW))[0]{status}, 200, 'mod_cache: allowed');
is((play('/cached/x.html', fcgi_answer("Status: 403\r\n\r\nno")))[0]{status}, 403, 'the next one is asked for, and refused');

# A kept connection that the application closes is no answer: another one is asked, whatever the request's method.
# (It is kept for a tenth of a second only: on a busy machine the next request may be too late.)
my $used = 0;
for (1 .. 50) {
    $c = $s->connect;
    $c->send("GET /b/x.html HTTP/1.1\r\nHost: a\r\n\r\n");
    $b = $f->accept;
    read_fcgi($b);
    $b->send($ALLOW);
    is $c->read_response->{status}, 200, 'a connection is kept';
    $c->send("POST /b/x.html HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    ($b, my $new) = $f->accept_or($b);
    $used = $b && !$new && read_fcgi($b);
    last if $used;
    read_fcgi($b);
    $b->send($ALLOW);
    $c->read_response;
    $_->close for $b, $c;
}
ok $used, 'and used again';
$b->close;
$b = $f->accept(3);
ok $b && read_fcgi($b), 'closed meanwhile: another connection';
$b->send($ALLOW);
like $c->read_response->{status}, qr/^(?:200|405)$/, 'POST goes on';
$b->close;

# ---- .htaccess
($res, @asks) = play('/ht/x.html', fcgi_answer("Status: 403\r\n\r\nno"));
is $res->{status}, 403, 'AllowOverride AuthConfig: an authorizer of .htaccess';
is $s->get('/ht2/x.html')->{status}, 500, 'one that names nobody: 500, never open';
is $s->get('/ht3/x.html')->{status}, 500, 'FileInfo alone does not do';
for my $text ("ProxyCorePass off\n", "ProxyCorePass app\n") {
    spew("$root/b/.htaccess", $text);
    ($res, @asks) = play('/b/x.html', fcgi_answer("Status: 403\r\n\r\nno"));
    is $res->{status}, 403, substr($text, 0, -1) . ' cannot take it off';
}
spew("$root/b/.htaccess", "ProxyCoreMode authorizer\nProxyCorePass off\n");
is $s->get('/b/x.html')->{status}, 500, 'nor this';
unlink "$root/b/.htaccess";

# ---- HTTP/2
($res) = play('/g/x.html', $ALLOW, front => 'h2');
is "$res->{status} $res->{body}", "200 content of g/x.html\n", 'HTTP/2: allowed';
($res) = play('/g/x.html', fcgi_answer("Status: 403\r\nContent-Length: 2\r\n\r\nno"), front => 'h2');
is "$res->{status} $res->{body}", '403 no', 'HTTP/2: refused';
$s->stop;

# ---- httpd -t
sub wrong {
    my ($what, $conf, @like) = @_;
    my ($out, $rc) = ProxyCore::Server->new(name => 'bad', conf => "<ProxyCore a>\nProxyCoreProtocol fastcgi\nProxyCoreBackend 127.0.0.1:1\n</ProxyCore>\n"
        . "<ProxyCore u>\nProxyCoreProtocol uwsgi\nProxyCoreBackend 127.0.0.1:1\n</ProxyCore>\n$conf")->config_test;
    isnt $rc, 0, $what;
    like $out, $_, 'and says why' for @like;
}
wrong 'an unknown role', "<Location />\nProxyCoreMode authoriser\n</Location>\n", qr/ProxyCoreMode authoriser: accepted is responder, authorizer or filter/;
wrong 'an authorizer without a pool', "<Location />\nProxyCoreMode authorizer\n</Location>\n", qr/ProxyCorePass NAME in the same section/;
wrong 'a protocol without roles', "<Location />\nProxyCorePass u\nProxyCoreMode authorizer\n</Location>\n", qr/uwsgi knows no roles/;
wrong 'a pool without roles', "<ProxyCore x>\nProxyCoreProtocol http\nProxyCoreBackend 127.0.0.1:1\nProxyCoreMode filter\n</ProxyCore>\n", qr/http knows no roles/;
done_testing;
