#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Together with other modules: filters, error documents, indexes, rewriting, includes, caching, older gateways.
# F26 G36
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use IO::Uncompress::Gunzip qw(gunzip);

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_stdout);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until backend_program start_child free_port spew slurp now mpm);

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port, '-i', 'echo');
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4, '-i', 'app');
poll_until { -S $sock };
chmod 0777, $sock;
my $hand = ProxyCore::Backend->new(unix => work_dir() . '/run/hand.sock');
my $rest = ProxyCore::Backend->new;

# Everything old is loaded beside us.
my @modules = (qw(deflate filter rewrite include cache cache_disk cache_socache socache_shmcb proxy proxy_http proxy_fcgi proxy_scgi
    fcgid actions expires auth_basic authn_file authz_user ratelimit substitute brotli request buffer reqtimeout slotmem_shm
    negotiation autoindex log_forensic),
    mpm() eq 'prefork' ? 'cgi' : 'cgid');
my $s = ProxyCore::Server->new(modules => \@modules, loglevel => 'info proxy_core:debug');
my ($root, $dir) = ($s->docroot, $s->dir);
mkdir "$dir/cache";
chmod 0777, "$dir/cache";
$s->{conf} = <<"CONF";
@{[mpm() eq 'prefork' ? '' : "ScriptSock $dir/run/cgisock"]}
FcgidIPCDir $dir/run
FcgidProcessTableFile $dir/run/fcgid_shm
CacheRoot $dir/cache
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<ProxyCore echo>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
</ProxyCore>
<ProxyCore hand>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$hand->address]}
</ProxyCore>
<ProxyCore resting>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[free_port()]}
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(app echo hand resting)]}
<Location /zip/>
    ProxyCorePass echo strip=/zip
    SetOutputFilter DEFLATE
</Location>
<Location /zhand/>
    ProxyCorePass hand
    SetOutputFilter DEFLATE
</Location>
<Location /cached/>
    ProxyCorePass hand
</Location>
CacheEnable disk /cached/
CacheQuickHandler off
CacheIgnoreNoLastMod on
ErrorDocument 404 /errors/404.html
ErrorDocument 503 /errors/503.app
ErrorDocument 502 "it broke"
<FilesMatch "\\.app\$">
    SetHandler proxy-core:app
</FilesMatch>
AddHandler proxy-core:app .handled
<Directory $root/index>
    DirectoryIndex missing.html index.app
</Directory>
<Directory $root/ssi>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Directory $root/private>
    AuthType Basic
    AuthName x
    AuthUserFile $dir/users
    Require valid-user
</Directory>
<Location /authloc/>
    ProxyCorePass app
    AuthType Basic
    AuthName x
    AuthUserFile $dir/users
    Require valid-user
</Location>
<Location /denied/>
    ProxyCorePass app
    Require all denied
</Location>
RewriteEngine on
RewriteRule ^/h/(.*) /\$1.app [H=proxy-core:app]
RewriteRule ^/hh/ - [H=proxy-core:echo]
RewriteRule ^/moved/(.*) /hh2/\$1 [PT,H=proxy-core:echo]
RewriteRule ^/internal/(.*) /app/\$1?rewritten [PT,QSA]
<Directory $root/front>
    AllowOverride All
</Directory>
<Location /old/fcgi/>
    SetHandler "proxy:unix:$sock|fcgi://old/"
</Location>
ProxyPass /old/http/ http://127.0.0.1:$port/
<Location /sub/>
    ProxyCorePass echo
    SetOutputFilter SUBSTITUTE
    Substitute "s/app.id=echo/app.id=changed/n"
</Location>
ScriptAlias /cgi/ $root/cgi/
<Directory $root/cgi>
    Require all granted
</Directory>
CONF
spew("$root/$_", 'x') for qw(a.app file.handled index/index.app private/x.app errors/503.app front/index.app);
spew("$root/errors/404.html", "our 404\n");
spew("$root/ssi/page.shtml", "[<!--#include virtual=\"/app/inc?bytes=5\" -->|<!--#include virtual=\"/echo/inc?bytes=4\" -->|<!--#include virtual=\"/a.app?bytes=3\" -->]\n");
spew("$root/front/.htaccess", "RewriteEngine on\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ index.app [L]\n");
spew("$root/cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nold cgi'\n", 0755);
spew("$dir/users", 'joe:$apr1$x$' . "\n");
spew("$dir/users", (ProxyCore::Util::run_capture('openssl', 'passwd', '-apr1', 'secret'))[0] =~ s/^/joe:/r);
$s->start;

# mod_deflate: small pieces, whole answers, HEAD.
my $res = $s->get('/zip/?bytes=50000', fields => ['Accept-Encoding' => 'gzip']);
is $res->{head}->h('Content-Encoding'), 'gzip', 'mod_deflate compresses';
my $plain;
gunzip(\$res->{body}, \$plain);
is length($plain || ''), 50_000, 'what unpacks to the answer';
isnt $res->{head}->h('Content-Length'), 50_000, 'without the old length';
# A truncated answer stays truncated behind a filter that buffers.
my $c = $s->connect;
$c->send("GET /zhand/ HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
my $b = $hand->accept;
read_fcgi($b);
$b->send(fcgi_stdout("Content-Type: text/plain\r\n\r\n" . join '', 1 .. 20_000));
$b->close;
my $start = now();
$res = $c->read_response;
# mod_deflate may have held back even the head: then it is a 502.
ok !$res->{complete} || $res->{status} == 502, 'truncated behind mod_deflate: never a whole 200';
ok $c->closed(2), 'and the connection ends';
cmp_ok now() - $start, '<', 20, 'soon';

# mod_cache keeps a whole answer and no truncated one.
for my $whole (0, 1) {
    for my $turn (1, 2) {
        $c = $s->connect;
        $c->send("GET /cached/$whole HTTP/1.1\r\nHost: a\r\n\r\n");
        $b = $hand->accept($whole && $turn == 2 ? 0.3 : 5);
        is $b ? 1 : 0, $whole && $turn == 2 ? 0 : 1, ($whole ? 'a whole' : 'a truncated') . " answer, request $turn: asked or not";
        if ($b) {
            read_fcgi($b);
            my $text = "Content-Type: text/plain\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\nhalf";
            $b->send($whole ? fcgi_answer($text . 'half') : fcgi_stdout($text));
            $b->close;
        }
        $res = $c->read_response;
        is $res->{complete}, $whole, $whole ? 'whole' : 'cut';
    }
}

# Error documents.
$res = $s->get('/missing.app');
is "$res->{status} $res->{body}", "404 our 404\n", 'ErrorDocument for a missing script';
$res = $s->get('/resting/');
is $res->{status}, 503, 'ErrorDocument 503';
like $res->{body}, qr/^REDIRECT_URL=\/resting\/$/m, 'is an application\'s, which learns what was asked';
like $res->{head}->h('Retry-After') || '', qr/^\d+$/, 'Retry-After stays';
$res = $s->get('/app/?status=404&bytes=3');
is "$res->{status} $res->{body}", '404 abc', 'the application\'s own error page is kept';

# Indexes, handlers, rewriting.
like $s->get('/index/')->{body}, qr{^SCRIPT_NAME=/index/index\.app$}m, 'DirectoryIndex';
like $s->get('/file.handled')->{body}, qr/^app\.id=app$/m, 'AddHandler';
like $s->get('/h/a')->{body}, qr/^app\.id=app$/m, 'RewriteRule with [H=proxy-core:NAME]';
like $s->get('/hh/a?b')->{body}, qr{^line=GET /hh/a\?b HTTP}m, 'and to a pool that knows no files, where none is';
like $s->get('/moved/a?b')->{body}, qr{^line=GET /hh2/a\?b HTTP}m, 'under another path';
$res = $s->get('/internal/path?q=1');
like $res->{body}, qr/^QUERY_STRING=rewritten&q=1$/m, 'RewriteRule to a location';
like $res->{body}, qr{^REQUEST_URI=/internal/path\?q=1$}m, 'REQUEST_URI is what the client asked for';
$res = $s->get('/front/some/page?x=1');
like $res->{body}, qr{^SCRIPT_NAME=/front/index\.app$}m, 'front controller by .htaccess';
like $res->{body}, qr{^REQUEST_URI=/front/some/page\?x=1$}m, 'with the original REQUEST_URI';

# Includes: subrequests take the answers into the page.
is $s->get('/ssi/page.shtml')->{body}, "[abcde|abcd|abc]\n", 'SSI includes answers of all kinds';

# Access control of httpd stands in front.
is $s->get('/private/x.app')->{status}, 401, 'a protected file: 401';
is $s->get('/authloc/x')->{status}, 401, 'a protected location: 401';
$res = $s->get('/authloc/x', fields => [Authorization => 'Basic am9lOnNlY3JldA==']);
like $res->{body}, qr/^REMOTE_USER=joe$/m, 'REMOTE_USER';
unlike $res->{body}, qr/^HTTP_AUTHORIZATION=/m, 'the password stays here';
is $s->get('/denied/x')->{status}, 403, 'Require all denied';

# Filters on the answer.
like $s->get('/sub/x')->{body}, qr/^app\.id=changed$/m, 'mod_substitute';

# Conditional requests on an application's answer.
my $date = 'Sun, 01 Jan 2023 00:00:00 GMT';
$res = $s->get("/app/?header=Last-Modified:%20Sun,%2001%20Jan%202023%2000:00:00%20GMT&bytes=10", fields => ['If-Modified-Since' => $date]);
is $res->{status}, 304, 'If-Modified-Since against a CGI answer';
$res = $s->get('/app/?bytes=100&cl=100&header=Accept-Ranges:%20bytes', fields => [Range => 'bytes=0-9']);
like $res->{status}, qr/^20[06]$/, 'Range: whole or the part';
is length $res->{body}, $res->{status} == 206 ? 10 : 100, 'of that length';

# The older gateways work beside us.
like $s->get('/old/http/x')->{body}, qr/^app\.id=echo$/m, 'mod_proxy_http beside us';
like $s->get('/old/fcgi/x')->{body}, qr/^app\.id=app$/m, 'mod_proxy_fcgi beside us';
is $s->get('/cgi/hello')->{body}, 'old cgi', 'mod_cgid or mod_cgi beside us';
like $s->get('/echo/x')->{body}, qr/^app\.id=echo$/m, 'and we beside them';

$s->stop;
done_testing;
