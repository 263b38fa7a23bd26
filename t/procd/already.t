#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# An application that somebody has started already is used, and one of ours only when there is none; the smallest
# configuration that serves; processes and threads of a group as they are seen by the application.
# G8 D5 D28
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until start_child stop_child free_port backend_program);

my $port = free_port();
my $echo = backend_program('fcgi_echo');
my $there = start_child($echo, '-l', ":$port", '-i', 'there');
my $s = ProxyCore::Groups::server(conf => <<"CONF")->start;
<Spawn here>
    SpawnCommand $echo -i here
    SpawnProcesses 0 1
    SpawnIdleTimeout 1s
</Spawn>
<ProxyCore either>
    ProxyCoreProtocol    fastcgi
    ProxyCoreBackend     127.0.0.1:$port
    ProxyCoreBackend     spawn:here backup
    ProxyCoreDisableTime 200ms
</ProxyCore>
<Location /either/>
    ProxyCorePass either
</Location>
<Spawn app>
    SpawnCommand $echo
</Spawn>
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend  spawn:app
</ProxyCore>
<Location /app/>
    ProxyCorePass app
</Location>
<Spawn threads>
    SpawnCommand     $echo -t 3
    SpawnProcesses   2
    SpawnConcurrency 3
</Spawn>
<ProxyCore threads>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend  spawn:threads
    ProxyCoreQueue    50 timeout=100s
</ProxyCore>
<Location /threads/>
    ProxyCorePass threads
</Location>
CONF
sub ask { my ($path) = @_; return ProxyCore::Groups::facts($s->get($path)) }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }

is ask('/either/')->{'app.id'}, 'there', 'what runs already is used';
is scalar(ProxyCore::Groups::pids($s, 'here')), 0, 'and nothing is started';
stop_child($there);
soon { (ask('/either/')->{'app.id'} || '') eq 'here' } 'without it ours is started';
$there = start_child($echo, '-l', ":$port", '-i', 'there');
soon { (ask('/either/')->{'app.id'} || '') eq 'there' } 'it comes back and is used again';
soon { !ProxyCore::Groups::pids($s, 'here') } 'ours ends when it is idle';

is ask('/app/')->{status}, 200, 'three lines of <Spawn>, four of <ProxyCore>, three of <Location>: served';

ok ProxyCore::Groups::wait_for($s, 'threads', 2), 'two processes of three threads';
my @c = map { my $c = $s->connect; $c->send("GET /threads/?sleep=3000 HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 9;
my $both = poll_until { my $g = ProxyCore::Groups::status($s, 'threads'); $g->{busy} == 6 && $g->{waiting} == 3 };
ok $both, 'nine requests: six at once, three wait';
my %seen;
$seen{ ProxyCore::Groups::facts($_->read_response(timeout => 10))->{'app.pid'} || 'none' }++ for @c;
is scalar(keys %seen), 2, 'answered by both' or diag explain \%seen;
is $seen{none}, undef, 'all of them';
$s->stop;
done_testing;
