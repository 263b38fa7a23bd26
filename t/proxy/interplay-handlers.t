#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Ways to an application through httpd's other modules: rewriting, handlers and actions, indexes, negotiation, aliases,
# error documents, includes, sections and access control. Each as with a handler of httpd's own.
# F26 F29 G2 G3 G12 G36
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until backend_program start_child free_port spew mpm);

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port, '-i', 'echo');
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4, '-i', 'app');
poll_until { -S $sock };
chmod 0777, $sock;

my @modules = (qw(rewrite actions negotiation autoindex speling userdir include filter deflate auth_basic authn_file authz_user
    remoteip vhost_alias alias cache proxy proxy_http proxy_fcgi proxy_balancer slotmem_shm lbmethod_byrequests fcgid),
    mpm() eq 'prefork' ? 'cgi' : 'cgid');
my $s = ProxyCore::Server->new(tls => 1, modules => \@modules, loglevel => 'info proxy_core:debug');
my ($root, $dir) = ($s->docroot, $s->dir);
$s->{tls_conf} = "RewriteEngine on\nRewriteOptions Inherit\n";
$s->{conf} = <<"CONF";
@{[mpm() eq 'prefork' ? '' : "ScriptSock $dir/run/cgisock"]}
FcgidIPCDir $dir/run
FcgidProcessTableFile $dir/run/fcgid_shm
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<ProxyCore echo>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
</ProxyCore>
<ProxyCore nobody>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[free_port()]}
</ProxyCore>
AcceptPathInfo On
DirectoryIndex index.html index.app
<FilesMatch "\\.app\$">
    SetHandler proxy-core:app
</FilesMatch>
AddHandler proxy-core:app .dyn
<Location /echo/>
    ProxyCorePass echo
</Location>
<Location /app/>
    ProxyCorePass app
</Location>
<Location /nobody/>
    ProxyCorePass nobody
</Location>

RewriteEngine on
RewriteRule ^/server/(.*) /\$1.app [H=proxy-core:app]
RewriteRule ^/late/(.*) - [E=LATE:\$1,H=proxy-core:app]
RewriteRule ^/passed/(.*) /echo/\$1 [PT,QSA]
RewriteRule ^/moved/(.*) /app/\$1 [R=302,L]
RewriteRule ^/gone/ - [G]
RewriteCond %{LA-U:REMOTE_USER} ^joe\$
RewriteRule ^/lookahead/(.*) /app/\$1?user=%{LA-U:REMOTE_USER} [PT]

Action through-app /app/action
Action through-echo /echo/action virtual
Script DELETE /app/script
AddHandler through-app .act
<Location /app/action>
    ProxyCoreScript /app/action
</Location>
Action through-file /a.app
AddHandler through-file .act2
<Location /virtual/>
    SetHandler through-echo
</Location>

<Directory $root/multi>
    Options +MultiViews
    MultiviewsMatch Handlers Filters
</Directory>
Alias /alias $dir/elsewhere
AliasMatch ^/people/([a-z]+)/(.*) $dir/elsewhere/\$1/public/\$2
<Directory $dir/elsewhere>
    Require all granted
    AllowOverride All
</Directory>
<Directory $root/spell>
    CheckSpelling on
</Directory>
<Directory $root/noslash>
    DirectorySlash off
    DirectoryIndex index.app
</Directory>
<Directory $root/fallback>
    FallbackResource /fallback/front.app
</Directory>
<Directory $root/ssi>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Location /errors/>
    ErrorDocument 403 /app/explain
    ErrorDocument 404 /app/explain
    ErrorDocument 401 /app/explain
    ErrorDocument 502 /echo/explain
    ErrorDocument 503 /echo/explain
</Location>
<Location /errors/denied>
    Require all denied
</Location>
<Location /errors/nobody>
    ProxyCorePass nobody
</Location>
<Location /errors/failing>
    ProxyCorePass nobody
    ErrorDocument 503 /nobody/again
</Location>
<Location /errors/private>
    AuthType Basic
    AuthName x
    AuthUserFile $dir/users
    Require valid-user
</Location>
<Location /auth/>
    ProxyCorePass app
    AuthType Basic
    AuthName x
    AuthUserFile $dir/users
    <RequireAny>
        Require user joe
        Require method OPTIONS
    </RequireAny>
</Location>
<Location /lookahead/>
    AuthType Basic
    AuthName x
    AuthUserFile $dir/users
    Require valid-user
</Location>
<Location /local>
    ProxyCorePass echo strip=/local check-local=on
</Location>
<Location /local/remote/>
    ProxyCorePass echo strip=/local check-local=off
</Location>
<Files "guarded.app">
    Require all denied
</Files>
<If "%{HTTP:X-Pool} == 'echo' && %{REQUEST_URI} =~ m#^/if/#">
    ProxyCorePass echo
</If>
<If "%{HTTP:X-Denied} == 'yes'">
    Require all denied
</If>
<Location /headers/>
    ProxyCorePass app strip=/headers
    RequestHeader set X-Set "by httpd"
    RequestHeader unset X-Unset
    RequestHeader edit X-Edit ^a b
    Header set X-Answer "%{X-MOOD}e"
    Header always set X-Always 1
    Header edit Location ^http://inside/ /outside/
    SetEnvIf X-Mood (.+) X-MOOD=\$1
</Location>
RemoteIPHeader X-Client
RemoteIPInternalProxy 127.0.0.1
Alias /old $dir/elsewhere/old
<Directory $dir/elsewhere/old>
    Options +ExecCGI
    AddHandler cgi-script .cgi
    AddHandler fcgid-script .fcgid
</Directory>
<VirtualHost *:@{[$s->port]}>
    ServerName localhost
    RewriteEngine on
    RewriteOptions Inherit
</VirtualHost>
<VirtualHost *:@{[$s->port]}>
    ServerName other
    <Location /app/>
        ProxyCorePass echo
    </Location>
</VirtualHost>
CONF
spew("$root/$_", "file $_\n") for qw(a.app b.dyn ht/there.txt ht/front.app ht/x.xyz act/file.act act/other.act2 multi/page.dyn index/index.app
    spell/script.app noslash/index.app fallback/front.app fallback/there.txt local/there.txt guarded.app if/file.txt static.txt
    deep/dir/index.app deep/dir/script.app);
spew("$dir/elsewhere/$_", "file\n") for qw(x.app joe/public/x.app joe/public/index.app ht/secret.app);
mkdir "$root/neg";
spew("$root/ht/.htaccess", <<'CONF');
RewriteEngine on
RewriteRule ^h/(.*)$ front.app/$1 [H=proxy-core:app,L]
RewriteRule \.xyz$ - [H=proxy-core:app]
RewriteRule ^loop(.*)$ loop$1x [H=proxy-core:app]
RewriteRule ^secret$ ../guarded.app [H=proxy-core:app]
RewriteRule ^pass/(.*)$ /echo/$1 [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_URI} ^/ht/pretty/
RewriteRule ^pretty/(.*)$ front.app?page=$1 [B,QSA,L]
<Files "there.txt">
    ProxyCoreSetEnv WHERE there
</Files>
CONF
spew("$root/ssi/page.shtml", join '|', map { "<!--#include virtual=\"$_\" -->" } '/app/x?bytes=3', '/a.app?bytes=4', '/ht/h/x?bytes=5', '/nobody/x', '/echo/x?status=404&bytes=6', '/passed/x?bytes=7');
spew("$root/ssi/exists.shtml", q(<!--#if expr="-A '/auth/x'" -->yes<!--#else -->no<!--#endif --><!--#if expr="-A '/app/x'" -->yes<!--#else -->no<!--#endif -->));
spew("$dir/users", (ProxyCore::Util::run_capture('openssl', 'passwd', '-apr1', 'secret'))[0] =~ s/^/joe:/r);
spew("$dir/elsewhere/old/x.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nold cgi'\n", 0755);
$s->start;

# Fields of the answer's echo: name => value. The whole response with it as {v}.
sub ask {
    my ($path, %arg) = @_;
    my $method = delete $arg{method} || 'GET';
    my $res = $arg{front} ? ProxyCore::Client->fetch($s, $method, $path, %arg) : $s->request($method, $path, %arg);
    $res->{v} = { $res->{body} =~ /^([A-Za-z_0-9.]+)=(.*)$/mg };
    return $res;
}
sub who { my ($path, %arg) = @_; my $r = ask($path, %arg); return $r->{v}{'app.id'} || "status $r->{status}" }
my $joe = ['Authorization', 'Basic am9lOnNlY3JldA=='];
my $res;

# mod_rewrite, in the server and in .htaccess.
$res = ask('/server/a?x=1');
is "$res->{v}{'app.id'} $res->{v}{SCRIPT_NAME} $res->{v}{REQUEST_URI} $res->{v}{QUERY_STRING}", 'app /server/a /server/a?x=1 x=1', '[H=proxy-core:NAME] in the server';
is $res->{v}{SCRIPT_FILENAME}, "$root/a.app", 'the file (SCRIPT_NAME stays the path, as with mod_cgi)';
is who('/server/missing'), 'status 404', 'a file is asked for';
is ask('/late/a.app')->{status}, 404, 'also where nothing was substituted';
$res = ask('/ht/h/more/path?q');
is "$res->{v}{SCRIPT_NAME}$res->{v}{PATH_INFO}", '/ht/front.app/more/path', '[H=proxy-core:NAME] in .htaccess';
is $res->{v}{SCRIPT_FILENAME}, "$root/ht/front.app", 'the file';
is $res->{v}{REDIRECT_URL}, undef, 'and nothing that makes PHP look for another';
is who('/ht/x.xyz'), 'app', 'and without a substitution';
is who('/ht/loop'), 'status 500', 'a rule that is never done ends';
is who('/ht/secret'), 'status 403', 'access control asks of the new path';
is ask('/ht/h/x', method => 'POST', body => 'x' x 70_000)->{v}{'app.body'}, 70_000, 'with a body';
is who('/ht/pass/x'), 'echo', '.htaccess to a passed location';
$res = ask('/ht/pretty/some%20page?x=1');
is "$res->{v}{SCRIPT_NAME} $res->{v}{QUERY_STRING}", '/ht/front.app page=some+page&x=1', 'pretty addresses';
is $res->{v}{REQUEST_URI}, '/ht/pretty/some%20page?x=1', 'REQUEST_URI as asked';
is $res->{v}{REDIRECT_URL}, '/ht/pretty/some page', 'REDIRECT_URL';
$res = ask('/passed/x?y=1');
like $res->{v}{line}, qr{^GET /(?:echo|passed)/x\?y=1 }, '[PT] to a location';
$res = ask('/moved/x');
is "$res->{status} " . $res->{head}->h('Location'), '302 http://localhost/app/x', '[R] stays httpd\'s';
is ask('/gone/x')->{status}, 410, '[G] too';
is ask('/lookahead/x', fields => $joe)->{v}{QUERY_STRING}, 'user=joe', 'LA-U looks ahead through authentication';
for my $front (qw(h2 tls)) {
    is ask('/server/a', front => $front)->{v}{SCRIPT_FILENAME}, "$root/a.app", "rewritten over $front";
    is ask('/ht/h/x', front => $front)->{v}{SCRIPT_FILENAME}, "$root/ht/front.app", "in .htaccess over $front";
    is ask('/ht/pretty/x', front => $front)->{v}{QUERY_STRING}, 'page=x', "by .htaccess over $front";
}

# Handlers, actions.
is who('/b.dyn'), 'app', 'AddHandler';
is who('/b.dyn', method => 'POST', body => 'x' x 100_000), 'app', 'with a body';
is who('/missing.dyn'), 'status 404', 'of a file that is not there';
$res = ask('/act/file.act/info?q=1');
is "$res->{v}{'app.id'} $res->{v}{SCRIPT_NAME} $res->{v}{QUERY_STRING}", 'app /app/action q=1', 'Action: the application runs';
is $res->{v}{PATH_TRANSLATED}, "$root/act/file.act/info", 'PATH_TRANSLATED is the file';
$res = ask('/act/other.act2/info');
is "$res->{v}{SCRIPT_FILENAME} $res->{v}{PATH_INFO}", "$root/a.app /act/other.act2/info", 'Action with a script file';
$res = ask('/virtual/nothing/there', method => 'POST', body => 'hello');
is "$res->{v}{'app.id'} $res->{v}{'app.body'}", 'echo 5', 'Action virtual, to an HTTP backend, with the body';
is who('/static.txt', method => 'DELETE'), 'app', 'Script DELETE';

# Indexes.
$res = ask('/index/');
is "$res->{v}{SCRIPT_NAME} $res->{v}{REQUEST_URI}", '/index/index.app /index/', 'DirectoryIndex';
is ask('/index/', method => 'POST', body => 'hello')->{v}{'app.body'}, 5, 'DirectoryIndex with a body';
$res = ask('/index');
is "$res->{status} " . ($res->{head}->h('Location') || ''), '301 http://localhost/index/', 'the slash that mod_dir adds';
$res = ask('/deep/dir/?a=b');
is "$res->{v}{SCRIPT_NAME}?$res->{v}{QUERY_STRING}", '/deep/dir/index.app?a=b', 'with a query';
is ask('/deep/dir/', method => 'HEAD')->{status}, 200, 'HEAD';
is who('/noslash/'), 'app', 'DirectorySlash off';
$res = ask('/fallback/no/such');
is $res->{v}{SCRIPT_NAME}, '/fallback/front.app', 'FallbackResource';
like ask('/fallback/there.txt')->{body}, qr/^file/, 'a file that is there';
is ask('/ssi/')->{status}, 403, 'a directory without an index is no application\'s';

# Negotiation, spelling.
is who('/multi/page'), 'app', 'MultiViews finds the script';
is who('/multi/page', fields => ['Accept', 'text/plain']), 'app', 'whatever is accepted';
$res = ask('/spell/scrpt.app');
is "$res->{status} " . ($res->{head}->h('Location') || ''), '301 http://localhost/spell/script.app', 'mod_speling corrects files';
is who('/echo/scrpt'), 'echo', 'and no passed path';

# Aliases, paths of users.
is ask('/alias/x.app')->{v}{SCRIPT_FILENAME}, "$dir/elsewhere/x.app", 'Alias';
$res = ask('/people/joe/x.app/info');
is "$res->{v}{SCRIPT_FILENAME} $res->{v}{PATH_INFO}", "$dir/elsewhere/joe/public/x.app /info", 'a path of a user';
is ask('/people/joe/')->{v}{SCRIPT_FILENAME}, "$dir/elsewhere/joe/public/index.app", 'with an index';

# Error documents.
for my $row (['/errors/denied', 403, 'app'], ['/errors/missing', 404, 'app'], ['/errors/private', 401, 'app'], ['/errors/nobody', 503, 'echo']) {
    $res = ask($row->[0]);
    is "$res->{status} " . ($res->{v}{'app.id'} || ''), "$row->[1] $row->[2]", "ErrorDocument $row->[1] by an application";
    if ($row->[2] eq 'app') {
        is $res->{v}{REDIRECT_STATUS}, $row->[1], 'which is told the status';
        is $res->{v}{REDIRECT_URL}, $row->[0], 'and the path';
    }
    $res = ask($row->[0], method => 'POST', body => 'hello');
    is $res->{status}, $row->[1], 'also for POST';
}
is ask('/errors/nobody', front => 'h2')->{status}, 503, 'over HTTP/2';
$res = ask('/errors/failing');
is $res->{status}, 503, 'an ErrorDocument that fails as well';
like $res->{body}, qr/additional/i, 'is said to have';
is ask('/errors/nobody', method => 'HEAD')->{status}, 503, 'HEAD';

# Includes.
$res = ask('/ssi/page.shtml');
is $res->{status}, 200, 'a page with includes';
my @parts = split /\|/, $res->{body}, -1;
is "$parts[0] $parts[1] $parts[2]", 'abc abcd abcde', 'of applications, by location, file and rewriting';
like $parts[3], qr/error/i, 'of a backend that is down: SSI\'s own message';
is $parts[5], 'abcdefg', 'and the page goes on';
is ask('/ssi/exists.shtml')->{body}, 'noyes', '-A asks access control of an application\'s path';
$res = ask('/ssi/page.shtml', method => 'POST', body => 'hello', fields => ['Expect', '100-continue']);
is $res->{status}, 200, 'a page asked for by POST: includes have no body';

# Access control, sections.
is who('/auth/x'), 'status 401', 'Require user';
is who('/auth/x', fields => $joe), 'app', 'granted';
is who('/auth/x', method => 'OPTIONS'), 'app', 'RequireAny';
is who('/guarded.app'), 'status 403', '<Files> guards a script';
is who('/if/file.txt', fields => ['X-Pool', 'echo']), 'echo', '<If> passes';
like ask('/if/file.txt')->{body}, qr/^file/, 'or not';
is who('/echo/x', fields => ['X-Denied', 'yes']), 'status 403', '<If> guards a passed path';
is ask('/ht/there.txt')->{body}, "file ht/there.txt\n", 'what no handler is for is a file';
is who('/local/there.txt'), 'echo', 'check-local=on in <Location>: a file that is there';
is who('/local/missing.txt'), 'status 404', 'one that is not';
is who('/local/remote/x'), 'echo', 'check-local=off inside';
is ask('/app/x', host => 'other')->{v}{'app.id'}, 'echo', 'a virtual host says otherwise';
is ask('/app/x')->{v}{'app.id'}, 'app', 'than the main server';

# Fields and variables.
$res = ask('/headers/x?header=Location:%20http://inside/y&status=302', fields => ['X-Unset', 1, 'X-Edit', 'abc', 'X-Mood', 'good']);
is $res->{head}->h('X-Answer'), 'good', 'SetEnvIf and Header';
is $res->{head}->h('X-Always'), 1, 'Header always';
is $res->{head}->h('Location'), '/outside/y', 'Header edit Location';
$res = ask('/headers/x', fields => ['X-Unset', 1, 'X-Edit', 'abc']);
is $res->{v}{HTTP_X_SET}, 'by httpd', 'RequestHeader set';
is $res->{v}{HTTP_X_UNSET}, undef, 'RequestHeader unset';
is $res->{v}{HTTP_X_EDIT}, 'bbc', 'RequestHeader edit';
$res = ask('/app/remoteip', fields => ['X-Client', '192.0.2.7']);
is $res->{v}{REMOTE_ADDR}, '192.0.2.7', 'mod_remoteip';
$res = ask('/echo/x', fields => ['X-Client', '192.0.2.7']);
like $res->{body}, qr/x-forwarded-for(?::|=) ?192\.0\.2\.7$/mi, 'also in X-Forwarded-For';

# Beside mod_cgi.
is ask('/old/x.cgi')->{body}, 'old cgi', 'mod_cgi or mod_cgid beside us';

$s->stop;
done_testing;
