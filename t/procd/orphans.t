#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# httpd and the manager are killed: children of httpd that are left behind do not use a processor up.
# P11
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(alive cmdline descendants poll_until slurp);

my $s = ProxyCore::Server->new(procd => 1, conf => ProxyCore::Groups::group('one', 'SpawnProcesses 1') . ProxyCore::Groups::status_conf())->start;
# The second has to wait, so that the child listens for what happens to groups.
my @c = map { my $c = $s->connect; $c->send("GET /one/?sleep=700 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); $c } 1 .. 2;
is join(' ', map { $_->read_response->{status} } @c), '200 200', 'one process, two requests: both answered';
my @all = descendants($s->pid);
my @left = grep { cmdline($_) =~ /apache2|httpd/ } @all;
ok scalar(@left), 'children of httpd';
my @others = grep { cmdline($_) !~ /apache2|httpd/ } @all;
kill 'KILL', $s->pid;
ok poll_until(sub { !grep { alive($_) } @others }, 30), 'the manager and its processes have gone';

# Processor time of a process, in ticks.
sub ticks { my @f = split ' ', (slurp("/proc/$_[0]/stat") || '') =~ s/^.*\) //sr; return ($f[11] || 0) + ($f[12] || 0) }
my %before = map { $_ => ticks($_) } @left;
select undef, undef, undef, 2; # what is looked for is that nothing happens
my @busy = grep { ticks($_) - $before{$_} > 40 } @left;
is "@busy", '', 'nobody who is left is busy';
kill 'KILL', @left;
ok poll_until(sub { !grep { alive($_) } @left }, 10), 'and they can be ended';
done_testing;
