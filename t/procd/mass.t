#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Mass virtual hosting: spawn:%{...} finds the group of ProcdGroupDir by the request; a host and its application come and go
# without a restart, two hundred of them, and a slow one holds up nobody else.
# D24 D25 D20 D4
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until alive spew now slurp rss_kb big asan);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
mkdir "$dir/groups" or die;
chmod 0755, "$dir/groups";
sub file { my ($name, $text) = @_; spew("$dir/groups/$name.conf.new", "SpawnCommand $echo -i $name\n$text"); rename "$dir/groups/$name.conf.new", "$dir/groups/$name.conf" or die; return }
file("host$_.example", "SpawnProcesses 0 1\nSpawnErrorLog logs/%{name}.log\n") for 1 .. 200;
# Ten lines of configuration.
my $s = ProxyCore::Groups::server(loglevel => 'info', conf => <<"CONF")->start;
ProcdGroupDir $dir/groups
UseCanonicalName Off
<ProxyCore hosts>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend  spawn:%{tolower:%{SERVER_NAME}}
    ProxyCoreQueue    20 timeout=100s
</ProxyCore>
<Location "/app/">
    ProxyCorePass hosts
</Location>
<Files "*.app">
    SetHandler proxy-core:hosts
</Files>
LogFormat "%V %s %{proxy-core-backend}n" hosts
CustomLog logs/access hosts
CONF
sub ask { my ($host, $path) = @_; return ProxyCore::Groups::facts($s->get($path || '/app/', host => $host)) }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }

# Each host has its own application.
my ($wrong, %pid) = ('');
for my $n (1 .. 200) {
    my $f = ask("host$n.example");
    $wrong .= " $n: $f->{status} " . ($f->{'app.id'} || '') if ($f->{status} || 0) != 200 || ($f->{'app.id'} || '') ne "host$n.example";
    $pid{ $f->{'app.pid'} || $n }++;
}
is $wrong, '', 'two hundred hosts, each answered by its own application';
is scalar(keys %pid), 200, 'in a process of its own';
cmp_ok rss_kb($s->manager), '<', asan() ? 80_000 : 8000, 'the manager is small: ' . rss_kb($s->manager) . ' KB';
is ask('HOST7.Example')->{'app.id'}, 'host7.example', 'the name\'s case does not matter';
$s->get('/app/?print=written', host => 'host9.example');
soon { (slurp($s->dir . '/logs/host9.example.log') || '') =~ /\[host9\.example\] written/ } 'its log is its own';
soon { (slurp($s->dir . '/logs/access') || '') =~ /^host9\.example 200 host9\.example$/m } 'the access log names the group';

# CVE-2025-66200: what a .htaccess file makes of the request chooses nobody else's process, and so no other user.
mkdir $s->docroot . '/ht';
spew($s->docroot . '/ht/x.app', 'x');
spew($s->docroot . '/ht/.htaccess', "RequestHeader set Host host5.example\nSetEnv SERVER_NAME host5.example\nSetEnvIf Host . SERVER_NAME=host5.example\n"
    . "ProxyCoreRewriteRequest Host .* host5.example\n");
is ask('host4.example', '/ht/x.app')->{'app.id'}, 'host4.example', 'a .htaccess file cannot choose another host\'s application';

# Unknown and hostile names.
is $s->get('/app/', host => 'unknown.example')->{status}, 404, 'a host without an application: 404';
is $s->get('/app/', host => $_)->{status} < 500, 1, "Host: $_" for '..', 'a' x 200 . '.example', 'hosts', '%7B';

# A new one while httpd runs, changed, and gone.
file('new.example', "SpawnProcesses 1\nSpawnEnvironment V=1\n");
soon { ask('new.example')->{status} == 200 } 'a new host without a restart';
file('new.example', "SpawnProcesses 1\nSpawnEnvironment V=2\n");
soon { (ask('new.example')->{env}{V} || 0) == 2 } 'changed';
my $c = $s->connect;
$c->send("GET /app/?sleep=4000 HTTP/1.1\r\nHost: new.example\r\n\r\n");
poll_until { my $g = ProxyCore::Groups::status($s, 'new.example'); $g && $g->{busy} } 3;
unlink "$dir/groups/new.example.conf";
soon { ask('new.example')->{status} == 404 } 'gone: 404';
is $c->read_response->{status}, 200, 'the request in flight is answered';

# Its place goes to another group: never the wrong application.
soon { !ProxyCore::Groups::status($s, 'new.example') } 'its place is free';
file("later$_.example", "SpawnProcesses 0 1\n") for 1 .. 3;
soon { ask('later3.example')->{status} == 200 } 'others come';
is join(' ', map { ask("later$_.example")->{'app.id'} } 1 .. 3), 'later1.example later2.example later3.example', 'each is itself';
is ask('new.example')->{status}, 404, 'the one that went does not answer as another';

# One host's slow application and its queue.
my @slow = map { my $c = $s->connect; $c->send("GET /app/?sleep=1500 HTTP/1.1\r\nHost: host1.example\r\n\r\n"); $c } 1 .. 4;
is ask('host2.example')->{status}, 200, 'while another host\'s requests wait for its only process';
isnt scalar(grep { $_->quiet(0) } @slow), 0, 'nobody else waits';
is scalar(grep { ($_->read_response(timeout => 10)->{status} || 0) == 200 } @slow), 4, 'they are answered in turn';

# Restarts.
my ($same) = ProxyCore::Groups::pids($s, 'host3.example');
$s->graceful;
is ask('host3.example')->{'app.pid'}, $same, 'a graceful restart leaves the applications alone';
$s->stop;

# What `httpd -t` says.
for my $bad (["ProxyCoreBackend spawn:%{SERVER_NAME}\nProxyCoreBackend 127.0.0.1:1", qr/must be the only backend/, "ProcdGroupDir $dir/groups\n"],
    ["ProxyCoreBackend spawn:%{SERVER_NAME}", qr/needs ProcdGroupDir/, ''], ["ProxyCoreBackend spawn:%{nonsense", qr/spawn:%\{nonsense|Error in expression|expression/i, "ProcdGroupDir $dir/groups\n"]) {
    my $t = ProxyCore::Groups::server(name => 'check', conf => "$bad->[2]<ProxyCore x>\nProxyCoreProtocol fastcgi\n$bad->[0]\n</ProxyCore>\n");
    my ($out, $rc) = $t->config_test;
    ok $rc, "refused: $bad->[0]";
    like $out, $bad->[1], 'with what is wrong';
}
done_testing;
