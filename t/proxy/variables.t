#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# CGI variables: what an application is told of the request, by each way of getting there, checked with php-cgi as well.
# G2 G3 G11 G12 G15 G16 G27 G28 G33 G36
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until spew start_child backend_program slurp);

my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4, '-i', 'app');
my $php = work_dir() . '/run/php.sock';
start_child({ env => { PHP_FCGI_MAX_REQUESTS => 0 } }, '/usr/bin/php-cgi', '-b', $php);
poll_until { -S $sock && -S $php } or die;
chmod 0777, $sock, $php;

my $s = ProxyCore::Server->new(tls => 1, modules => [qw(rewrite)], conf => '', loglevel => 'info');
my $root = $s->docroot;
$s->{conf} = <<"CONF";
AcceptPathInfo On
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<ProxyCore php>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$php
</ProxyCore>
<FilesMatch "\\.(?:app|app3)\$">
    SetHandler proxy-core:app
</FilesMatch>
<FilesMatch "\\.php\$">
    SetHandler proxy-core:php
</FilesMatch>
<Location /prefix/>
    ProxyCorePass app
</Location>
<Location /wiki.app>
    ProxyCorePass app
    ProxyCoreScript /wiki.app
</Location>
<Location /strip/>
    ProxyCorePass app strip=/strip
</Location>
<Location /local/>
    ProxyCorePass app check-local=on
</Location>
<Location /remote/>
    ProxyCorePass app strip=/remote
    ProxyCoreDocumentRoot /srv/remote
</Location>
<Location /host/>
    ProxyCorePass app
    ProxyCoreDocumentRoot "/srv/%{HTTP_HOST}/docs"
</Location>
<Location /env/>
    ProxyCorePass app
    ProxyCoreSetEnv APP_MODE "test %{REQUEST_METHOD}"
    SetEnv FROM_SETENV yes
    SetEnv REMOTE_ADDR 6.6.6.6
    SetEnv SCRIPT_FILENAME /etc/passwd
    SetEnv REQUEST-METHOD EVIL
    SetEnv HTTP_HOST evil
</Location>
<Location /auth/>
    ProxyCorePass app
    CGIPassAuth On
</Location>
CONF
my $vars = '<?php foreach ($_SERVER as $k => $v) if (is_string($v)) echo "$k=$v\n"; echo "PHP_BODY=", strlen(file_get_contents("php://input")), "\n";';
spew("$root/a/script.app", 'x');
spew("$root/a/other.app3", 'x');
spew("$root/a/sp ace.app", 'x');
spew("$root/t.php", $vars);
spew("$root/dir/index.php", $vars);
spew("$root/local/there", 'x');
spew("$root/dir/.htaccess", "DirectoryIndex index.php\n");
$s->start;

# The variables that came, by path.
sub vars {
    my ($path, %arg) = @_;
    my $res = $s->request($arg{method} || 'GET', $path, %arg);
    my %v = $res->{body} =~ /^([A-Za-z_0-9.]+)=(.*)$/mg;
    $v{'!status'} = $res->{status};
    return \%v;
}
# name => value: undef must be absent, '' may be either.
sub check {
    my ($path, $want, %arg) = @_;
    my $v = vars($path, %arg);
    subtest $path => sub {
        is $v->{'!status'}, $arg{status} || 200, 'status';
        for my $name (sort keys %$want) {
            my ($w, $g) = ($want->{$name}, $v->{$name});
            if (!defined $w) { is $g, undef, "$name is absent" }
            elsif (ref $w) { like defined $g ? $g : '(absent)', $w, $name }
            elsif ($w eq '') { is defined $g ? $g : '', '', "$name is empty" }
            else { is $g, $w, $name }
        }
        if (!$arg{other}) {
            my $pi = defined $v->{PATH_INFO} ? $v->{PATH_INFO} : '';
            (my $decoded = (split /\?/, $path)[0]) =~ s/%([0-9a-f]{2})/chr hex $1/gei;
            $decoded = substr $decoded, length $arg{strip} if $arg{strip};
            is $v->{SCRIPT_NAME} . $pi, $decoded, 'SCRIPT_NAME and PATH_INFO make up the path';
        }
    };
    return $v;
}

# A file by its extension (G3), two extensions with one application (G2).
check('/a/script.app?a=b%20c', { SCRIPT_NAME => '/a/script.app', PATH_INFO => '', SCRIPT_FILENAME => "$root/a/script.app",
    DOCUMENT_ROOT => $root, QUERY_STRING => 'a=b%20c', REQUEST_URI => '/a/script.app?a=b%20c', REQUEST_METHOD => 'GET',
    SERVER_PROTOCOL => 'HTTP/1.1', GATEWAY_INTERFACE => 'CGI/1.1', REMOTE_ADDR => '127.0.0.1', SERVER_PORT => 80,
    SERVER_NAME => 'localhost', HTTP_HOST => 'localhost', REDIRECT_STATUS => 200, HTTPS => undef, REMOTE_PORT => qr/^\d+$/,
    SERVER_SOFTWARE => qr/^Apache/, SERVER_ADDR => '127.0.0.1', CONTENT_LENGTH => '', REQUEST_SCHEME => 'http' });
check('/a/other.app3', { SCRIPT_FILENAME => "$root/a/other.app3" });
check('/a/script.app/more/path', { SCRIPT_NAME => '/a/script.app', PATH_INFO => '/more/path', SCRIPT_FILENAME => "$root/a/script.app",
    PATH_TRANSLATED => "$root/more/path" });
check('/a/script.app/a%20b%2e?x=/y', { PATH_INFO => '/a b.', QUERY_STRING => 'x=/y' });
check('/a/sp%20ace.app', { SCRIPT_FILENAME => "$root/a/sp ace.app", SCRIPT_NAME => '/a/sp ace.app' });
is $s->get('/a/missing.app')->{status}, 404, 'a file that is missing: 404 (G12)';
is vars('/a/script.app', tls => 1)->{HTTPS}, 'on', 'HTTPS';
is vars('/a/script.app', version => '1.0')->{SERVER_PROTOCOL}, 'HTTP/1.0', 'SERVER_PROTOCOL';
my $v = vars('/a/script.app', method => 'POST', body => 'hello', fields => ['Content-Type' => 'a/b']);
is $v->{CONTENT_LENGTH}, 5, 'CONTENT_LENGTH';
is $v->{CONTENT_TYPE}, 'a/b', 'CONTENT_TYPE';
is $v->{$_}, undef, "no $_" for qw(HTTP_CONTENT_LENGTH HTTP_CONTENT_TYPE);

# A prefix whose script is the next segment (G27), one that is the script, the root with nothing local (G16, G36).
check('/prefix/first/second', { SCRIPT_NAME => qr{^/prefix/first}, DOCUMENT_ROOT => $root });
check('/wiki.app/page/sub', { SCRIPT_NAME => '/wiki.app', PATH_INFO => '/page/sub' });
check('/wiki.app', { SCRIPT_NAME => '/wiki.app', PATH_INFO => '' });
check('/strip/x/y', { REQUEST_URI => '/strip/x/y' }, strip => '/strip');
check('/remote/app/x', { DOCUMENT_ROOT => '/srv/remote', SCRIPT_FILENAME => qr{^/srv/remote/} }, strip => '/remote');
# A docroot for each host (G33).
is vars('/host/x', host => 'one.example')->{DOCUMENT_ROOT}, '/srv/one.example/docs', 'ProxyCoreDocumentRoot by host, one';
like vars('/host/x', host => 'two.example')->{SCRIPT_FILENAME}, qr{^/srv/two\.example/docs/}, 'and two';
# check-local in a location (G12).
is $s->get('/local/there')->{status}, 200, 'check-local=on: the file is there';
is $s->get('/local/missing')->{status}, 404, 'check-local=on: it is not';
is $s->get('/prefix/missing')->{status}, 200, 'off is the default of a location';

# ProxyCoreSetEnv; no variable of CGI can be overridden.
check('/env/x', { APP_MODE => 'test GET', FROM_SETENV => 'yes', REMOTE_ADDR => '127.0.0.1', SCRIPT_FILENAME => qr{^(?!/etc/passwd)},
    REQUEST_METHOD => 'GET', HTTP_HOST => 'localhost', HTTP_PROXY => undef }, fields => [Proxy => 'http://evil/']);
is vars('/env/x', fields => [Authorization => 'Basic eDp5'])->{HTTP_AUTHORIZATION}, undef, 'Authorization stays here';
is vars('/auth/x', fields => [Authorization => 'Basic eDp5'])->{HTTP_AUTHORIZATION}, 'Basic eDp5', 'CGIPassAuth On passes it';

# php-cgi itself.
check('/t.php?x=1', { SCRIPT_FILENAME => "$root/t.php", SCRIPT_NAME => '/t.php', PHP_SELF => '/t.php', QUERY_STRING => 'x=1' });
check('/t.php/info/x', { SCRIPT_FILENAME => "$root/t.php", PHP_SELF => '/t.php/info/x', PATH_INFO => '/info/x' });
check('/dir/', { SCRIPT_NAME => '/dir/index.php', SCRIPT_FILENAME => "$root/dir/index.php", REQUEST_URI => '/dir/' }, other => 1);
is vars('/t.php', method => 'POST', body => 'x' x 70_000, chunked => 5000)->{PHP_BODY}, 70_000, 'PHP sees a chunked upload';
is $s->get('/missing.php')->{status}, 404, 'a missing script is 404 here, not "File not found." from PHP';
unlike $s->log_since(0), qr/Primary script unknown/, 'PHP is not asked for it';
$s->stop;
done_testing;
