#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Where things may stand: sections, virtual hosts, .htaccess; merging, switching off, the inline short form.
# F29 D4 G6
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until backend_program start_child free_port spew);

my %port = map { $_ => free_port() } qw(a b);
start_child(backend_program('http_echo'), '-l', $port{$_}, '-i', $_) for qw(a b);
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4, '-i', 'app');
poll_until { -S $sock };
chmod 0777, $sock;

my $s = ProxyCore::Server->new;
my $root = $s->docroot;
$s->{conf} = <<"CONF";
<ProxyCore pool>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port{a}
</ProxyCore>
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<Location /loc/>
    ProxyCorePass pool
</Location>
<Location /loc/off/>
    ProxyCorePass off
</Location>
<Location /loc/inner/>
    ProxyCorePass app
</Location>
<LocationMatch "^/m[0-9]+/">
    ProxyCorePass pool
</LocationMatch>
<Directory $root/dir>
    SetHandler proxy-core:app
    ProxyCoreSetEnv WHERE directory
</Directory>
<Directory $root/dir/sub>
    ProxyCoreSetEnv WHERE sub
    ProxyCoreSetEnv MORE yes
</Directory>
<Files special.txt>
    SetHandler proxy-core:app
</Files>
<FilesMatch "\\.x[0-9]\$">
    SetHandler proxy-core:app
</FilesMatch>
<If "%{QUERY_STRING} == 'if'">
    SetHandler proxy-core:app
</If>
<Location /inline/http/>
    ProxyCorePass http://127.0.0.1:$port{b} strip=/inline/http
</Location>
<Location /inline/unix/>
    ProxyCorePass fastcgi://unix:$sock
</Location>
<FilesMatch "\\.inline\$">
    SetHandler "proxy-core:fastcgi://unix:$sock"
</FilesMatch>
<VirtualHost *:@{[$s->port]}>
    ServerName localhost
    DocumentRoot $root
</VirtualHost>
<VirtualHost *:@{[$s->port]}>
    ServerName other.example
    DocumentRoot $root
    <ProxyCore pool>
        ProxyCoreProtocol http
        ProxyCoreBackend 127.0.0.1:$port{b}
    </ProxyCore>
    <ProxyCore mine>
        ProxyCoreProtocol http
        ProxyCoreBackend 127.0.0.1:$port{b}
    </ProxyCore>
    <Location /mine/>
        ProxyCorePass mine
    </Location>
    <Location /main/>
        ProxyCorePass app
    </Location>
</VirtualHost>
CONF
spew("$root/$_", "plain\n") for qw(static.txt special.txt a.x1 t.inline dir/file dir/sub/file loc/off/file.txt ht/file.app);
spew("$root/ht/.htaccess", "<Files \"*.app\">\nSetHandler proxy-core:app\n</Files>\nProxyCoreSetEnv WHERE htaccess\n");
spew("$root/$_/x.mine", "plain\n") for qw(pass set add);
spew("$root/pass/.htaccess", "ProxyCorePass mine\n");
spew("$root/set/.htaccess", "SetHandler proxy-core:mine\n");
spew("$root/add/.htaccess", "AddHandler proxy-core:mine .mine\n");
$s->start;

# path => what must be in the body; host when not the default one
my @rows = (
    ['/loc/x', qr/^app\.id=a$/m, 'Location'],
    ['/loc/off/file.txt', qr/^plain$/, 'ProxyCorePass off inside of it'],
    ['/loc/inner/x', qr/^app\.id=app$/m, 'another pool inside of it'],
    ['/m12/x', qr/^app\.id=a$/m, 'LocationMatch'],
    ['/dir/file', qr/^WHERE=directory$/m, 'Directory'],
    ['/dir/sub/file', qr/^WHERE=sub$/m, 'Directory inside: the nearer value wins'],
    ['/dir/sub/file', qr/^MORE=yes$/m, 'and adds'],
    ['/special.txt', qr/^app\.id=app$/m, 'Files'],
    ['/a.x1', qr/^app\.id=app$/m, 'FilesMatch'],
    ['/static.txt?if', qr/^app\.id=app$/m, 'If'],
    ['/static.txt', qr/^plain$/, 'what nothing names is a file'],
    ['/ht/file.app', qr/^WHERE=htaccess$/m, '.htaccess'],
    ['/inline/http/x/y', qr{^line=GET /x/y }m, 'inline: an HTTP address, with strip='],
    ['/inline/http/x', qr/^app\.id=b$/m, 'inline: its backend'],
    ['/inline/unix/x', qr/^app\.id=app$/m, 'inline: FastCGI on a unix socket'],
    ['/t.inline', qr/^app\.id=app$/m, 'inline in SetHandler'],
    ['/loc/x', qr/^app\.id=b$/m, 'a virtual host shadows a pool by name', 'other.example'],
    ['/mine/x', qr/^app\.id=b$/m, 'a pool of its own', 'other.example'],
    ['/main/x', qr/^app\.id=app$/m, 'and sees the main server\'s', 'other.example'],
);
for my $row (@rows) {
    my ($path, $want, $what, $host) = @$row;
    my $res = $s->get($path, host => $host || 'localhost');
    is $res->{status}, 200, "$what: $path";
    like $res->{body}, $want, $what;
}
is $s->get('/mine/x')->{status}, 404, 'one host\'s location is not another\'s';
# The same files by both hosts: what .htaccess names is looked for among what the host sees.
for my $how (qw(pass set add)) {
    my $mark = $s->mark;
    is $s->get("/$how/x.mine", host => 'other.example')->{status}, 200, ".htaccess, $how: its own pool";
    is $s->get("/$how/x.mine")->{status}, 500, "$how: another host\'s pool is not to be had";
    like $s->log_since($mark), qr/no <ProxyCore mine>/, 'and the log says so';
}
$s->stop;
done_testing;
