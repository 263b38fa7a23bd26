#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Logs that are rotated as logrotate does it, by rename and a graceful restart: the server's, a program's that httpd ends and
# starts again at each restart, and the groups' own, of <Spawn> and of ProcdGroupDir. No line is lost, none goes to the old file.
# D3 D20 D23 D24
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until alive slurp spew cmdline children_of is_root descendants);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
mkdir $_ or die for "$dir/groups", "$dir/logs2";
chmod 0755, "$dir/groups", "$dir/logs2";
spew("$dir/groups/filed.conf", "SpawnCommand $echo\nSpawnProcesses 1\nSpawnErrorLog $dir/logs2/filed.log\n");
chmod 0644, "$dir/groups/filed.conf";
my %log = (own => "$dir/logs2/own.log", filed => "$dir/logs2/filed.log", hosts => "$dir/logs2/localhost.log", piped => "$dir/logs2/piped.log");
my $s = ProxyCore::Groups::server(conf => join '', "ProcdGroupDir $dir/groups\n",
    "<ProxyCore filed>\n ProxyCoreProtocol fastcgi\n ProxyCoreBackend spawn:filed\n</ProxyCore>\n<Location /filed/>\n ProxyCorePass filed\n</Location>\n",
    ProxyCore::Groups::group('own', "SpawnProcesses 1\nSpawnErrorLog $log{own}"),
    ProxyCore::Groups::group('hosts', "SpawnProcesses 1\nSpawnErrorLog $dir/logs2/%{SERVER_NAME}.log"),
    # a program that keeps its file until it is told to end
    "<VirtualHost *>\nServerName piped.example\nErrorLog \"|/usr/bin/tee -a $log{piped}\"\n", ProxyCore::Groups::group('piped', 'SpawnProcesses 1'), "</VirtualHost>\n",
    "<VirtualHost _default_:*>\n</VirtualHost>\n")->start;
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 30), $what }
sub says {
    my ($name, $word) = @_;
    return $s->request('GET', "/$name/?print=$word", $name eq 'piped' ? (host => 'piped.example') : ())->{status};
}
sub has { my ($file, $name, $word) = @_; return (slurp($file) // '') =~ /\[\Q$name\E\] $word$/m }
sub tee { return grep { cmdline($_) =~ /tee -a \Q$log{piped}\E/ } descendants($s->pid) }
my @names = sort keys %log;
is says($_, 'first'), 200, "$_: served" for @names;
soon { has($log{$_}, $_, 'first') } "$_: in its log" for @names;
my %pid = map { $_ => (ProxyCore::Groups::facts($s->request('GET', "/$_/", $_ eq 'piped' ? (host => 'piped.example') : ()))->{'app.pid'}) } @names;

for my $turn (1 .. 2) {
    my @tees = tee();
    rename $log{$_}, "$log{$_}.$turn" or die for grep { $_ ne 'piped' } @names;
    says($_, "between$turn") for @names;
    soon { has($_ eq 'piped' ? $log{$_} : "$log{$_}.$turn", $_, "between$turn") } "$_: between rename and restart, the old file" for @names;
    rename $log{piped}, "$log{piped}.$turn" or die;
    $s->graceful;
    soon { my %old = map { $_ => 1 } @tees; my @now = tee(); @now && !grep { $old{$_} } @now } 'httpd has started another program for the piped log';
    says($_, "after$turn") for @names;
    soon { has($log{$_}, $_, "after$turn") } "$_: after the restart, the new file" for @names;
    ok !has("$log{$_}.$turn", $_, "after$turn"), "$_: and not the old one" for @names;
}
for my $name (@names) {
    is ProxyCore::Groups::facts($s->request('GET', "/$name/", $name eq 'piped' ? (host => 'piped.example') : ()))->{'app.pid'}, $pid{$name}, "$name: by the same process";
}
# The program of the piped log is killed, which httpd itself mends at the next restart: nobody is held up until then.
kill 'KILL', tee();
soon { !tee() } 'the piped log\'s program is killed';
is says('piped', 'nowhere'), 200, 'the group is served' for 1 .. 5;
$s->graceful;
says('piped', 'still');
soon { has($log{piped}, 'piped', 'still') } 'after a restart there is another, which gets what processes write';
$s->stop;
done_testing;
