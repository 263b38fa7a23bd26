#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Applications that somebody else has started: php-fpm and php-cgi, on TCP and on unix sockets; as spawn-fcgi would.
# G30 G37 F10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use IO::Socket::INET;

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until start_child stop_child free_port spew slurp is_root alive listens);

my ($fpm) = grep { -x } glob '/usr/sbin/php-fpm*';
my ($dir, $port, $cgi_port) = (work_dir(), free_port(), free_port());
plan skip_all => 'no php-fpm' if !$fpm;
spew("$dir/fpm.conf", <<"CONF");
[global]
error_log = $dir/logs/fpm.log
daemonize = no
[www]
@{[is_root() ? "user = www-data\ngroup = www-data\nlisten.owner = www-data" : '']}
listen = $dir/run/fpm.sock
pm = static
pm.max_children = 2
pm.max_requests = 50
[tcp]
@{[is_root() ? "user = www-data\ngroup = www-data" : '']}
listen = 127.0.0.1:$port
pm = static
pm.max_children = 1
CONF
my $fpm_pid = start_child({ out => "$dir/logs/fpm.out" }, $fpm, '-n', '-y', "$dir/fpm.conf");
# What spawn-fcgi does: a listening socket as descriptor 0.
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $cgi_port, Listen => 16, ReuseAddr => 1);
my $cgi_pid = start_child({ stdin => $listen, env => { PHP_FCGI_MAX_REQUESTS => 0, FCGI_WEB_SERVER_ADDRS => '127.0.0.1' } }, '/usr/bin/php-cgi');
close $listen;
poll_until { -S "$dir/run/fpm.sock" && listens($port) } or die slurp("$dir/logs/fpm.out");

my $s = ProxyCore::Server->new(conf => <<"CONF");
<ProxyCore fpm>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$dir/run/fpm.sock max=2
    ProxyCoreQueue 512 timeout=200s
    ProxyCoreKeepAlive on
</ProxyCore>
<ProxyCore tcp>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend 127.0.0.1:$port max=1
    ProxyCoreQueue 512 timeout=200s
</ProxyCore>
<ProxyCore cgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend 127.0.0.1:$cgi_port max=1
    ProxyCoreQueue 512 timeout=200s
</ProxyCore>
@{[map { "<Files \"*.$_.php\">\n SetHandler proxy-core:$_\n</Files>\n" } qw(fpm tcp cgi)]}
CONF
my $php = '<?php if (isset($_GET["slow"])) usleep(100000); if (isset($_GET["out"])) { echo str_repeat("x", (int)$_GET["out"]); exit; }
if (isset($_GET["warn"])) error_log("php says warn"); header("X-Pid: " . getmypid()); setcookie("a", "1"); setcookie("b", "2");
echo php_sapi_name(), "|", $_SERVER["SCRIPT_FILENAME"], "|", strlen(file_get_contents("php://input")), "|", $_SERVER["PATH_INFO"] ?? "", "|", count($_FILES);';
spew($s->docroot . "/t.$_.php", $php) for qw(fpm tcp cgi);
$s->start;
my $root = $s->docroot;

for my $kind (qw(fpm tcp cgi)) {
    my $sapi = $kind eq 'cgi' ? 'cgi-fcgi' : 'fpm-fcgi';
    my $r = $s->get("/t.$kind.php/info");
    is $r->{body}, "$sapi|$root/t.$kind.php|0|/info|0", "$kind: script and PATH_INFO";
    is join(' ', map { /^(\w=\d)/ } $r->{head}->all('Set-Cookie')), 'a=1 b=2', "$kind: two cookies";
    $r = $s->request('POST', "/t.$kind.php", body => 'x' x 200_000, fields => ['Content-Type' => 'application/octet-stream']);
    like $r->{body}, qr/\|200000\|/, "$kind: upload";
    my $form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\n" . 'y' x 50_000 . "\r\n--b--\r\n";
    $r = $s->request('POST', "/t.$kind.php", body => $form, chunked => 4000, fields => ['Content-Type' => 'multipart/form-data; boundary=b']);
    like $r->{body}, qr/\|1$/, "$kind: a file in a chunked form";
    $r = $s->get("/t.$kind.php?out=3000000");
    is length $r->{body}, 3_000_000, "$kind: 3 MB";
    my $mark = $s->mark;
    $s->get("/t.$kind.php?warn=1");
    # php-fpm passes it on as FCGI_STDERR when it has no log of its own for it, php-cgi always.
    ok $s->wait_log(qr/php says warn/, 3, $mark), "$kind: what PHP says is in the log" if $kind ne 'tcp';
    $r = $s->get("/missing.$kind.php");
    is $r->{status}, 404, "$kind: a missing script";
    # Twelve at once: nothing is lost.
    my @c = map { my $c = $s->connect; $c->send("GET /t.$kind.php?slow HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 12;
    is scalar(grep { ($_->read_response->{status} || 0) == 200 } @c), 12, "$kind: twelve at once";
}
# pm.max_requests: php-fpm ends a child after 50; nobody sees it.
my ($bad, %pid);
for (1 .. 160) {
    my $r = $s->get('/t.fpm.php');
    $bad++ if $r->{status} != 200;
    $pid{ $r->{head}->h('X-Pid') || 0 }++ if $r->{head};
}
is $bad, undef, 'pm.max_requests: no failed request';
cmp_ok scalar(keys %pid), '>=', 3, 'with several processes';
# It is not ours: httpd's end does not end it.
$s->stop;
ok alive($_), 'what others have started lives on' for $fpm_pid, $cgi_pid;
stop_child($_) for $fpm_pid, $cgi_pid;
done_testing;
