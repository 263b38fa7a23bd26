#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Where the lines go that processes write: a program that reads them, syslog, files by name.
# D23 D24 P5
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir poll_until alive slurp spew is_root cmdline descendants);

my $dir = work_dir();
my $syslog;
if (is_root() && !-e '/dev/log') {
    $syslog = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => '/dev/log') and chmod 0666, '/dev/log';
}
my $s = ProxyCore::Groups::server(conf => join '',
    ProxyCore::Groups::group('piped', qq(SpawnProcesses 1\nSpawnErrorLog "|/usr/bin/tee -a '$dir/piped %{name}.log'")),
    ProxyCore::Groups::group('system', "SpawnProcesses 1\nSpawnErrorLog syslog:local3:app-%{name}"),
    ProxyCore::Groups::group('named', "SpawnProcesses 1\nSpawnErrorLog logs/%{name}.log"),
    ProxyCore::Groups::group('nowhere', qq(SpawnProcesses 1\nSpawnErrorLog "|/nonexistent/logger")),
)->start;

sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }
sub says { my ($group, $word) = @_; return $s->get("/$group/?print=$word") }
sub logger { return grep { cmdline($_) =~ /^\S*tee -a/ } descendants($s->pid) }

says('piped', 'one');
soon { (slurp("$dir/piped piped.log") || '') =~ /\[pid \d+\] \[piped\] one$/m } 'a program gets the lines, with the group\'s name in its arguments';
my @loggers = logger();
is scalar(@loggers), 1, 'one program for the group';
kill 'KILL', @loggers;
soon { says('piped', 'two'); (slurp("$dir/piped piped.log") || '') =~ /\btwo$/m } 'one that was killed is started again';
ok $s->wait_log(qr/PRD0209: group piped: its log program .*tee has ended/, 5), 'which the log says';
@loggers = logger();
kill 'USR1', $s->pid;
ok $s->wait_log(qr/configuration 2 is in force/, 10), 'a graceful restart';
is_deeply [logger()], \@loggers, 'does not touch it';
says('nowhere', 'lost');
ok $s->wait_log(qr/\[nowhere\] lost/, 10), 'without its program the lines go to the server\'s log';
says('named', 'words');
soon { (slurp($s->dir . '/logs/named.log') || '') =~ /\[named\] words$/m } 'a file by the group\'s name';
SKIP: {
    skip 'there is a syslog already, or this is not root', 1 if !$syslog;
    says('system', 'for+syslog');
    my $packet = '';
    soon { my $in = ''; vec($in, fileno $syslog, 1) = 1; $syslog->recv($packet, 2048) if select($in, undef, undef, 0.1); $packet =~ /^<158>.*app-system: \[pid \d+\] for/ }
        'syslog, with facility and tag' or diag $packet;
    unlink '/dev/log';
}
$s->stop;
done_testing;
