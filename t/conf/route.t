#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Which requests come to a pool and which do not, and what an HTTP backend is told: sections and how they merge, .htaccess,
# rewrite rules, aliases, access control, the request-target and the fields. F3 F13 F29 G12 G36
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until spew start_child backend_program);

my $sock = work_dir() . '/run/app.sock';
my $fcgi = work_dir() . '/run/fcgi.sock';
start_child(backend_program('http_echo'), '-l', $sock, '-i', 'app');
start_child(backend_program('fcgi_echo'), '-l', $fcgi, '-t', 2, '-i', 'fcgi');
poll_until { -S $sock && -S $fcgi } or die;
chmod 0777, $sock, $fcgi;

my $s = ProxyCore::Server->new(modules => [qw(rewrite alias negotiation autoindex)], conf => '', loglevel => 'info');
my $root = $s->docroot;
$s->{conf} = <<"CONF";
<ProxyCore app>
    ProxyCoreProtocol http
    ProxyCoreBackend unix:$sock
</ProxyCore>
<ProxyCore rfc>
    ProxyCoreProtocol http
    ProxyCoreBackend unix:$sock
    ProxyCoreForwarded forwarded
</ProxyCore>
<ProxyCore quiet>
    ProxyCoreProtocol http
    ProxyCoreBackend unix:$sock
    ProxyCoreForwarded off
</ProxyCore>
<ProxyCore fcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$fcgi
    ProxyCoreSetEnv WHO pool
    ProxyCoreSetEnv POOL yes
</ProxyCore>
<Directory "$root">
    Options +Indexes +MultiViews
    AllowOverride FileInfo Indexes
    DirectoryIndex index.html
</Directory>
Options +MultiViews
AllowEncodedSlashes NoDecode
<Location /app/>
    ProxyCorePass app strip=/app
</Location>
<Location /whole>
    ProxyCorePass app
</Location>
<Location /whole/static>
    ProxyCorePass off
</Location>
<Location /rfc>
    ProxyCorePass rfc
</Location>
<Location /quiet>
    ProxyCorePass quiet
</Location>
<Location /nodecode/>
    ProxyCorePass app strip=/nodecode
</Location>
<Location /locked>
    ProxyCorePass app
    Require all denied
</Location>
<Location /handler>
    SetHandler "proxy-core:http://unix:$sock"
</Location>
<Location /limited>
    ProxyCorePass app
    LimitRequestBody 10
</Location>
<Location /env>
    ProxyCorePass fcgi
    ProxyCoreSetEnv WHO location
    ProxyCoreScript /env/cgi/ path-info-in-filename=on
    ProxyCoreDocumentRoot /srv/jail/www
</Location>
<Location /env/jail>
    ProxyCoreScript none chroot=/srv/jail
</Location>
<Location /env/file>
    ProxyCoreScript auto file=/srv/%{REQUEST_METHOD}.php
</Location>
<If "%{QUERY_STRING} == 'viaif'">
    ProxyCorePass app
</If>
<Directory "$root/indir">
    ProxyCorePass app check-local=off
</Directory>
<Directory "$root/files">
    ProxyCorePass app
</Directory>
Alias /aliased "$root/files"
RewriteEngine on
RewriteRule ^/moved/(.*) /whole/\$1 [PT]
RewriteRule ^/evil/(.*) /whole/\$1?a=%{QUERY_STRING} [PT,NE]
CONF
spew("$root/whole/static/file.txt", 'static');
spew("$root/files/there.html", 'local');
spew("$root/files/index.html", 'local');
spew("$root/files/sub/x.html", 'local');
spew("$root/indir/x", 'local');
spew("$root/ht/x.html", 'local');
spew("$root/ht/.htaccess", "ProxyCorePass app\n");
spew("$root/inline/x.html", 'local');
spew("$root/inline/.htaccess", "ProxyCorePass http://127.0.0.1:1\n");
spew("$root/other/x.html", 'local');
spew("$root/other/.htaccess", "SetHandler proxy-core:http://127.0.0.1:1\n");
spew("$root/slip/x.html", 'source');
spew("$root/slip/.htaccess", "SetHandler proxy-core-app\n");
spew("$root/secret/x.html", 'local');
spew("$root/secret/.htaccess", qq{ProxyCorePass fcgi\nProxyCoreSetEnv LEAK "%{file:/etc/passwd}"\n});
spew("$root/unknown/x.html", 'local');
spew("$root/unknown/.htaccess", "ProxyCorePass nosuch\n");
spew("$root/rewritten/.htaccess", "RewriteEngine on\nRewriteRule ^a\$ /whole/b\n");
$s->start;

# The request line that the backend got, or the status when it got none.
sub line {
    my ($path, %arg) = @_;
    my $res = $s->request($arg{method} || 'GET', $path, %arg);
    return $res->{body} =~ /^app\.id[=:]/m && $res->{body} =~ m{^line=(\S+ \S+) HTTP/1\.1\r?$}m ? $1 : $res->{status};
}
sub field {
    my ($name, $path, @fields) = @_;
    my $res = $s->request('GET', $path, fields => [@fields], close => 0);
    return join '|', $res->{body} =~ /^\Q$name\E: ?(.*?)\r?$/mgi;
}

# ---------------------------------------------------------------- targets
is line('/app/x/y?a=b'), 'GET /x/y?a=b', 'strip';
is line('/app/'), 'GET /', 'strip, the root';
is line('/whole'), 'GET /whole', 'no strip';
is line('/wholesale'), 404, 'a location ends at a segment boundary';
is line('/app/a%20b%21%C3%A4;x=(1)'), 'GET /a%20b%21%C3%A4;x=(1)', "the client's own encoding is kept";
is line('/app/a%3Fb'), 'GET /a%3Fb', 'an escaped question mark stays one';
is line('/app/a%25b'), 'GET /a%25b', 'a percent sign';
is line('/app/%2e%2e/whole/x'), 'GET /whole/x', 'dots are gone before the section is chosen';
is line('/app//a//b'), 'GET /a/b', 'slashes are merged as for httpd itself';
is line('/%61pp/x'), 'GET /x', 'a prefix that was sent encoded is stripped';
is line('/nodecode/a%2Fb/c'), 'GET /a%2Fb/c', 'AllowEncodedSlashes NoDecode keeps it';
is line('/nodecode/a%2Fb/%2e/c'), 'GET /a%2Fb/c', 'also when the rest is simplified';
is line('/moved/x%20y?z'), 'GET /whole/x%20y?z', 'a rewrite rule with [PT]: the section of the new path, encoded anew';
is line('/evil/x?b%20c'), 'GET /whole/x?a=b%20c', 'NE with a query that is still encoded';
is line('/app/x?a b'), 400, 'a space in the target';
is line('http://localhost/app/x?q'), 'GET /x?q', 'absolute-form';
is $s->request('OPTIONS', '*')->{status}, 200, 'OPTIONS * is httpd\'s own';
isnt line('/whole/x', method => 'TRACE'), 'TRACE /whole/x', 'TRACE does not reach the backend';

# How far an OPTIONS request goes (RFC 9110, 7.6.2); another method's Max-Forwards is the client's own affair.
for (['OPTIONS', 7, 6], ['OPTIONS', 1, 0], ['OPTIONS', 'x', 'x'], ['OPTIONS', '9' x 30, qr/^[0-9]+$/], ['GET', 0, 0]) {
    my ($method, $sent, $arrives) = @$_;
    my ($seen) = $s->request($method, '/whole/x', fields => ['Max-Forwards' => $sent])->{body} =~ /^Max-Forwards: (\S+)/m;
    like $seen || 0, ref $arrives ? $arrives : qr/^\Q$arrives\E$/, "$method, Max-Forwards: $sent";
}
{
    my $res = $s->request('OPTIONS', '/whole/x', fields => ['Max-Forwards' => 0], body => 'abc');
    is "$res->{status} [$res->{body}]", '200 []', 'OPTIONS that may not go further is answered here';
    like $res->{head}->h('Allow') || '', qr/OPTIONS/, 'with Allow';
}

# ---------------------------------------------------------------- sections
is line('/whole/static/file.txt'), 200, 'ProxyCorePass off in an inner section: the file';
is line('/whole/static/none'), 404, 'and nothing but files';
is line('/locked/x'), 403, 'access control works';
is line('/handler/x?y'), 'GET /handler/x?y', 'SetHandler with an address in a location: no file is looked for';
is line('/limited/x', method => 'POST', body => 'x' x 11), 413, 'LimitRequestBody works';
is line('/anything?viaif'), 'GET /anything?viaif', 'a pass in <If>';
is line('/indir/none'), 'GET /indir/none', 'a pass in <Directory> with check-local=off';
is line('/files/there.html'), 'GET /files/there.html', 'a pass in <Directory>: the file is there';
is line('/files/none.html'), 404, 'and is not';
is line('/files/'), 'GET /files/index.html', 'DirectoryIndex works';
like $s->get('/files/sub/')->{body}, qr/Index of/, 'a listing, too';
is line('/aliased/there.html'), 'GET /aliased/there.html', 'behind an Alias';

# ---------------------------------------------------------------- .htaccess
is line('/ht/x.html'), 'GET /ht/x.html', 'a pool by name in .htaccess';
my $mark = $s->mark;
is line('/inline/x.html'), 500, 'an address in .htaccess is refused';
like $s->log_since($mark), qr{ProxyCorePass http://127\.0\.0\.1:1: an address may not stand in \.htaccess}, 'and why';
$mark = $s->mark;
is line('/other/x.html'), 500, 'so is one in a handler';
like $s->log_since($mark), qr/PXC0201: this server has no <ProxyCore http:/, 'and why';
is line('/slip/x.html'), 500, 'a handler that is nearly one of ours: not the file, which may be a script';
like $s->log_since($mark), qr/PXC0850: there is no handler 'proxy-core-app'/, 'and why';
is line('/unknown/x.html'), 500, 'an unknown pool';
is line('/secret/x.html'), 500, 'an expression in .htaccess may not read files';
is line('/rewritten/a'), 'GET /whole/b', 'rewrite rules in .htaccess may lead to a location';

# ---------------------------------------------------------------- fields
is field('X-Forwarded-For', '/app/x', 'X-Forwarded-For', '6.6.6.6'), '127.0.0.1', 'X-Forwarded-For is set, not merged';
is field('X-Forwarded-For', '/app/x', 'Connection', 'close, X-Forwarded-For'), '127.0.0.1', 'Connection does not take it away';
is field('X-Forwarded-Host', '/app/x'), 'localhost', 'X-Forwarded-Host';
is field('X-Forwarded-Proto', '/app/x', 'X-Forwarded-Proto', 'https'), 'http', 'X-Forwarded-Proto';
is field('X-Real-IP', '/app/x', 'X-Real-IP', '6.6.6.6'), '', 'X-Real-IP of the client is dropped';
is field('Forwarded', '/rfc/x', 'Forwarded', 'for=6.6.6.6'), 'for=127.0.0.1;host=localhost;proto=http', 'Forwarded';
is field('X-Forwarded-For', '/rfc/x', 'X-Forwarded-For', '6.6.6.6'), '', 'and no X-Forwarded-For';
is field('X-Forwarded-For', '/quiet/x', 'X-Forwarded-For', '192.0.2.1'), '192.0.2.1', 'off leaves them alone';
is field('X-Gone', '/app/x', 'Connection', 'close, x-gone', 'X-Gone', '1'), '', 'fields that Connection lists end here';
is field('Host', '/app/x'), 'localhost', 'Host is passed on';
is field($_, '/app/x', $_, 'x'), '', "$_ ends here"
    for qw(TE Trailer Keep-Alive Proxy-Connection Proxy-Authorization Proxy);
is field('Upgrade', '/app/x', 'Upgrade', 'websocket', 'Connection', 'close, Upgrade'), '', 'Upgrade ends here';
is field('Authorization', '/app/x', 'Authorization', 'Basic eDp5'), 'Basic eDp5', 'Authorization goes on to an HTTP backend';
is $s->request('GET', '/app/x', close => 0, fields => ['Connection', 'close, a b'])->{status}, 400, 'a malformed Connection';

# ---------------------------------------------------------------- variables that ProxyCoreScript makes
sub vars {
    my %v = $s->get($_[0])->{body} =~ /^([A-Za-z_0-9]+)=(.*)$/mg;
    return \%v;
}
my $v = vars('/env/cgi/prog/in/fo');
is $v->{SCRIPT_NAME}, '/env/cgi/prog', 'G27: the segment behind the prefix is the script';
is $v->{PATH_INFO}, '/in/fo', 'the rest is PATH_INFO';
is $v->{SCRIPT_FILENAME}, '/srv/jail/www/env/cgi/prog/in/fo', 'G15: SCRIPT_FILENAME with PATH_INFO';
is $v->{DOCUMENT_ROOT}, '/srv/jail/www', 'G11: DOCUMENT_ROOT';
is $v->{PATH_TRANSLATED}, '/srv/jail/www/in/fo', 'PATH_TRANSLATED';
is $v->{WHO}, 'location', 'ProxyCoreSetEnv: a section overrides the pool';
is $v->{POOL}, 'yes', 'what the pool says holds otherwise';
$v = vars('/env/jail/x');
is $v->{SCRIPT_NAME}, '', 'G16: none';
is $v->{PATH_INFO}, '/env/jail/x', 'all is PATH_INFO';
is $v->{DOCUMENT_ROOT}, '/www', 'chroot= is taken off';
is vars('/env/file/x')->{SCRIPT_FILENAME}, '/srv/GET.php', 'file= is an expression';

$s->stop;
done_testing;
