#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProxyCoreMapExtension: files of one extension are served as those of another.
# G2 G3 G28
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(spew poll_until);

my $s = ProxyCore::Groups::server(modules => [qw(include negotiation)], conf => <<'CONF');
<Spawn php>
    SpawnCommand /usr/bin/php-cgi
    SpawnProcesses 1 1
</Spawn>
<ProxyCore php>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:php
</ProxyCore>
<FilesMatch "\.php$">
    SetHandler proxy-core:php
</FilesMatch>
AcceptPathInfo On
ProxyCoreMapExtension .php3 .php
ProxyCoreMapExtension .php4 .php
CONF
my $root = $s->docroot;
$s->{conf} .= <<"CONF";
<Directory $root/add>
    AddHandler proxy-core:php .add
    ProxyCoreMapExtension .ad3 .add
</Directory>
<Directory $root/pass>
    <Files "*.pass">
        ProxyCorePass php
    </Files>
    ProxyCoreMapExtension .pas3 .pass
</Directory>
<Directory $root/own>
    <Files "*.php3">
        SetHandler server-status
    </Files>
</Directory>
<Directory $root/denied>
    <Files "*.php">
        Require all denied
    </Files>
</Directory>
<Directory $root/index>
    DirectoryIndex index.php3
</Directory>
<Directory $root/chain>
    ProxyCoreMapExtension .x .php3
</Directory>
<Directory $root/ssi>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
CONF
my $code = '<?php echo getmypid(), "|", $_SERVER["SCRIPT_NAME"], "|", $_SERVER["SCRIPT_FILENAME"], "|", $_SERVER["PATH_INFO"] ?? "-";';
spew("$root/$_", $code) for qw(x.php x.php3 y.php4 z.php5 add/x.ad3 pass/x.pas3 own/x.php3 denied/x.php3 index/index.php3 chain/x.x ht/x.old ssi/x.php3 x.php3.txt);
spew("$root/ssi/page.shtml", '[<!--#include virtual="x.php3" -->]');
spew("$root/ht/.htaccess", "ProxyCoreMapExtension .old .php\n");
$s->start;
poll_until { $s->get('/x.php')->{status} == 200 } 20;

my ($pid) = split /\|/, $s->get('/x.php')->{body};
is $s->get('/x.php3')->{body}, "$pid|/x.php3|$root/x.php3|-", 'G2: .php3 as .php, by the same process (G28)';
is $s->get('/x.php3/a/b')->{body}, "$pid|/x.php3|$root/x.php3|/a/b", 'with PATH_INFO';
is $s->get('/y.php4')->{body}, "$pid|/y.php4|$root/y.php4|-", 'several extensions';
is $s->get('/z.php5')->{body}, $code, 'others are files';
is $s->get('/x.php3.txt')->{body}, $code, 'it is the last extension that counts';
is $s->get('/missing.php3')->{status}, 404, 'a file that is missing: 404';
is $s->get('/add/x.ad3')->{body}, "$pid|/add/x.ad3|$root/add/x.ad3|-", 'AddHandler';
is $s->get('/pass/x.pas3')->{body}, "$pid|/pass/x.pas3|$root/pass/x.pas3|-", 'ProxyCorePass';
is $s->get('/ht/x.old')->{body}, "$pid|/ht/x.old|$root/ht/x.old|-", '.htaccess';
like $s->get('/own/x.php3')->{body}, qr/Apache|Server/, 'a handler of its own comes first';
is $s->get('/denied/x.php3')->{status}, 403, 'who may not see the one may not see the other';
is $s->get('/index/')->{body}, "$pid|/index/index.php3|$root/index/index.php3|-", 'DirectoryIndex';
is $s->get('/ssi/page.shtml')->{body}, "[$pid|/ssi/x.php3|$root/ssi/x.php3|-]", 'SSI';
my $mark = $s->mark;
is $s->get('/chain/x.x')->{body}, $code, 'one step is all there is';
ok $s->wait_log(qr/PXC0615/, 3, $mark), 'and the log says so';
$s->stop;

sub wrong {
    my ($conf, @like) = @_;
    my ($out, $rc) = ProxyCore::Server->new(name => 'bad', conf => "$conf\n")->config_test;
    isnt $rc, 0, "httpd -t: $conf";
    like $out, $_, 'and why' for @like;
}
wrong "ProxyCoreMapExtension $_", qr/accepted are two different extensions with their dot, such as \.php3 \.php/
    for 'php3 .php', '.php3 php', '.php .php', '. .php', '.a.b .php', '.a/b .php';
wrong "ProxyCoreMapExtension .a .b\nProxyCoreMapExtension .b .c", qr/\.a is served as \.b already/;
wrong "ProxyCoreMapExtension .php3", qr/takes two arguments/;
done_testing;
