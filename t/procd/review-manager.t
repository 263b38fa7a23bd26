#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The manager among those who mean it no good: logs that nobody reads, groups that go while requests wait, what a script, a
# process and a log program find open.
# D20 D24 D17 G31
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir build_dir poll_until alive spew slurp now is_root run_capture fd_count children_of cmdline free_port);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
my $cgi = "$dir/cgi";
mkdir $_ or die for "$dir/groups", $cgi, "$dir/wrong";
chmod 0755, "$dir/groups", $cgi, "$dir/wrong";
ProxyCore::Scripts::script("$dir/wrong", 'sh', "#!/bin/sh\necho Content-Type: text/plain\necho\necho ran\n");
ProxyCore::Scripts::script($cgi, 'limit', "#!/bin/sh\necho Content-Type: text/plain\necho\nulimit -Sn\n");
ProxyCore::Scripts::perl($cgi, 'fds', 'print "Content-Type: text/plain\n\n"; opendir my $d, "/proc/$$/fd"; print join ",", sort { $a <=> $b } grep { /\d/ && $_ != fileno $d } readdir $d;');
spew("$dir/talks", "#!/usr/bin/perl\nprint STDERR qq{\\x01} x 7000, qq{\\n} for 1 .. 60;\nexec '$echo';\n", 0755); # lines that become four times as long
sub file { my ($name, $text) = @_; spew("$dir/groups/$name.conf.new", "SpawnCommand $echo\n$text"); rename "$dir/groups/$name.conf.new", "$dir/groups/$name.conf" or die; return }
file($_, "SpawnProcesses 1\n") for qw(named placed);

my $port = free_port();
my $s = ProxyCore::Groups::server(conf => <<"CONF" . ProxyCore::Scripts::group('cgi', $cgi, 'SpawnProcesses 1 4') . ProxyCore::Scripts::group('wrong', "$dir/wrong", 'SpawnChroot /nowhere/at/all') . ProxyCore::Groups::group('logged', "SpawnCommand $dir/talks\nSpawnProcesses 1\nSpawnErrorLog \"|/bin/sleep 1000\""));
ProcdGroupDir $dir/groups
<ProxyCore named>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:named
    ProxyCoreQueue 10 timeout=200s
</ProxyCore>
<ProxyCore mass>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:%{tolower:%{HTTP_HOST}}
    ProxyCoreQueue 10 timeout=200s
</ProxyCore>
<Location /named/>
    ProxyCorePass named
</Location>
<Location /mass/>
    ProxyCorePass mass
</Location>
Listen 127.0.0.1:$port
<VirtualHost 127.0.0.1:$port>
    ServerName deaf.example
    ErrorLog "|/bin/sleep 1000"
    <Spawn deaf>
        SpawnCommand $dir/talks
        SpawnProcesses 1
    </Spawn>
</VirtualHost>
CONF
system 'prlimit', "--pid=$$", '--nofile=1000:' and die 'prlimit';
$s->start;
sub ctl { return run_capture(build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_) }
sub open_of { my ($pid) = @_; return join ',', sort { $a <=> $b } map { m{(\d+)$} } glob "/proc/$pid/fd/*" }

# What they find open.
my ($pid) = ProxyCore::Groups::pids($s, 'logged');
like open_of($pid), qr/^0,1,2(?:,|$)/, 'a process has its three descriptors';
unlike join(' ', map { readlink } glob "/proc/$pid/fd/*"), qr/memfd|eventpoll|signalfd|eventfd/, 'and none of the manager\'s';
my ($sleep) = grep { cmdline($_) =~ /sleep/ } children_of($s->manager);
is open_of($sleep), '0,1,2', 'a log program has three';
is $s->get('/cgi/fds')->{body}, '0,1,2', 'a script has three';

# Descriptors: the manager takes what it may have, everybody else has what httpd has.
sub most_open { my ($of) = @_; return join ' ', (slurp("/proc/$of/limits") =~ /^Max open files\s+(\S+)\s+(\S+)/m) }
my ($soft, $hard) = split ' ', most_open($s->pid);
cmp_ok $soft, '<', $hard, 'httpd has a soft limit';
is most_open($s->manager), "$hard $hard", 'the manager has raised its own';
is most_open($pid), "$soft $hard", 'a process has that of httpd';
is most_open($sleep), "$soft $hard", 'so has a log program';
is $s->get('/cgi/limit')->{body}, "$soft\n", 'and a script';

# A group whose definition nothing can be started from stays refused, whatever procctl says.
isnt $s->get('/wrong/sh')->{status}, 200, 'a group that is refused runs no script';
my ($out, $rc) = ctl('start', 'wrong');
isnt $rc, 0, 'procctl start does not change that' or diag $out;
isnt $s->get('/wrong/sh')->{status}, 200, 'nor does a request after it';

# Logs that nobody reads.
is $s->get("/logged/")->{status}, 200, 'a process that has written more than the pipe of its log program holds';
my $began = now();
($out, $rc) = ctl('status');
like $out, qr/^group deaf@\S+: active/m, 'the manager answers' or diag $out;
cmp_ok now() - $began, '<', 20, 'at once';

# A group that goes while a request waits for it.
for my $case (['named', '/named/', 'localhost'], ['placed', '/mass/', 'placed']) {
    my ($name, $path, $host) = @$case;
    my ($first, $second) = map { $s->connect } 1 .. 2;
    $first->send("GET $path?sleep=6000 HTTP/1.1\r\nHost: $host\r\n\r\n");
    poll_until { my $g = ProxyCore::Groups::status($s, $name); $g && $g->{busy} } 3;
    $second->send("GET $path HTTP/1.1\r\nHost: $host\r\n\r\n");
    poll_until { my $g = ProxyCore::Groups::status($s, $name); $g && $g->{waiting} } 3;
    unlink "$dir/groups/$name.conf";
    my $res = $second->read_response(timeout => 10);
    is $res->{status}, 503, "$name: the one that waits is refused";
    ok $first->quiet(0), 'before the place is free';
    is $first->read_response(timeout => 10)->{status}, 200, 'the one that is being answered is answered';
}
$s->stop;
done_testing;
