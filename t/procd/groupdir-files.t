#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What lies about in ProcdGroupDir: copies of editors and packagers, links, what is no file, names that are taken; many files
# at once; a directory that goes and comes back. And where <Spawn> may stand.
# D20 D21 D25 G20
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir build_dir poll_until alive spew slurp run_capture);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
my $groups = "$dir/groups";
sub folder { mkdir $groups or die; chmod 0755, $groups; return }
folder();
mkdir "$dir/elsewhere";
chmod 0755, $dir, "$dir/elsewhere";
sub file { my ($path, $lines) = @_; spew("$path.tmp", "SpawnCommand $echo\n" . ($lines // "SpawnProcesses 0 1\n")); chmod 0644, "$path.tmp"; rename "$path.tmp", $path or die; return }
my $with_taken = ProxyCore::Groups::group('taken', "SpawnProcesses 1\nSpawnEnvironment FROM=spawn");
my $conf = "ProcdGroupDir $groups\n<ProxyCore mass>\n ProxyCoreProtocol fastcgi\n ProxyCoreBackend spawn:%{HTTP_HOST}\n ProxyCoreQueue 10 timeout=1s\n</ProxyCore>\n<Location /mass/>\n ProxyCorePass mass\n</Location>\n" . ProxyCore::Groups::status_conf();
my $s = ProxyCore::Server->new(procd => 1, loglevel => 'info procd:debug', conf => "$conf$with_taken")->start;
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 30), $what }
sub ctl { return run_capture(build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_) }
sub names { my ($out) = ctl('status'); return sort($out =~ /^group ([^:]+): (?!removed)/mg) }
sub of { my ($host) = @_; return ProxyCore::Groups::facts($s->request('GET', '/mass/', host => $host)) }
sub look { return (ctl('reload'))[1] } # now, not within half a second

# ------------------------------------------------------------------ what is not meant

file("$groups/$_") for '#good.conf#', qw(.hidden.conf.swp .good.conf good.conf~ good.conf.dpkg-new good.conf.rpmsave good.conf.bak .conf good.CONF);
file("$groups/good.conf");
file("$dir/elsewhere/target.conf");
symlink "$dir/elsewhere/target.conf", "$groups/linked.conf" or die;
symlink "$dir/nowhere", "$groups/dangling.conf" or die;
symlink "$groups/loop.conf", "$groups/loop.conf" or die;
mkdir "$groups/folder.conf" or die;
system('mkfifo', "$groups/fifo.conf") == 0 or die;
file("$groups/two words.conf");
spew("$groups/empty.conf", '');
spew("$groups/binary.conf", pack 'C*', 0 .. 255);
spew("$groups/long.conf", "# x\n" x 100_000);
is look(), 0, 'files of all kinds are looked at';
is join(' ', names()), 'good linked taken', 'those that are meant make groups';
for my $case (['fifo', 'it is not a file, or too long'], ['folder', 'it is not a file, or too long'], ['long', 'it is not a file, or too long'],
    ['empty', 'SpawnCommand is missing'], ['binary', 'the definition contains a NUL byte'], ['two words', 'not the name of a group']) {
    ok $s->wait_log(qr/PRD0\d+: \Q$groups\E\/\Q$case->[0]\E\.conf(?::\d+)?: .*$case->[1]/, 10), "$case->[0].conf is reported: $case->[1]";
}
is scalar($s->grep_log(qr/PRD0\d+: \Q$groups\E\/.*(?:swp|~|dpkg|rpm|bak|#|CONF|dangling|loop)/)), 0, 'and copies are not';
is of('linked')->{status}, 200, 'a link is followed';
my $pid = of('linked')->{'app.pid'};
file("$dir/elsewhere/target.conf", "SpawnProcesses 0 1\nSpawnEnvironment V=2\n");
soon { (of('linked')->{env}{V} || 0) == 2 } 'what it leads to changes: so does the group';
is of($_)->{status}, 404, "no group $_" for qw(fifo empty);

# A file under another name: the group goes, another comes.
rename "$groups/good.conf", "$groups/better.conf" or die;
look();
is join(' ', names()), 'better linked taken', 'a file that is renamed';

# ------------------------------------------------------------------ a name that a <Spawn> block has

file("$groups/taken.conf", "SpawnProcesses 0 1\nSpawnEnvironment FROM=file\n");
look();
ok $s->wait_log(qr/PRD0743: \Q$groups\E\/taken\.conf: there is a <Spawn taken> already: the file is not used/, 10), 'a file with the name of a <Spawn> block is reported';
is ProxyCore::Groups::facts($s->get('/taken/'))->{env}{FROM}, 'spawn', 'and not used';
$s->set_conf($conf);
$s->graceful;
soon { (of('taken')->{env}{FROM} || '') eq 'file' } 'without that block it is';
$s->set_conf("$conf$with_taken");
$s->graceful;
soon { (ProxyCore::Groups::facts($s->get('/taken/'))->{env}{FROM} || '') eq 'spawn' } 'with it, the block is what counts';
soon { grep({ $_ eq 'taken' } names()) == 1 } 'one group of that name';

# ------------------------------------------------------------------ many at once, and the directory itself

file("$groups/m$_.conf", "SpawnProcesses 1\nSpawnEnvironment N=$_\n") for 1 .. 100;
soon { scalar(grep { /^m\d/ } names()) == 100 } 'a hundred files at once';
is join(' ', map { of("m$_")->{env}{N} // 'none' } 1, 50, 100), '1 50 100', 'are served';
my %old = map { $_ => of("m$_")->{'app.pid'} } 1, 100;
file("$groups/m$_.conf", "SpawnProcesses 0 1\nSpawnEnvironment N=x$_\n") for 1 .. 99;
unlink "$groups/m100.conf";
soon { (of('m99')->{env}{N} || '') eq 'x99' } 'ninety-nine of them changed';
soon { !alive($old{1}) && !alive($old{100}) } 'and one gone: their processes end';
my $keeps = of('m5')->{'app.pid'};
rename $groups, "$groups.old" or die;
ok $s->wait_log(qr/PRD0255: ProcdGroupDir \Q$groups\E: No such file or directory; its groups stay as they are/, 10), 'the directory is gone: reported';
is of('m5')->{'app.pid'}, $keeps, 'its groups stay';
folder();
file("$groups/m5.conf", "SpawnProcesses 0 1\nSpawnEnvironment N=x5\n");
soon { join(' ', names()) eq 'm5 taken' } 'it comes back with one file: the others\' groups end';
is of('m5')->{'app.pid'}, $keeps, 'and that one goes on';
$s->stop;

# ------------------------------------------------------------------ where <Spawn> may stand

my $spawn = "<Spawn x>\nSpawnCommand /bin/true\n</Spawn>\n";
for my $case (['in <Directory>', "<Directory />\n$spawn</Directory>\n", qr/<Spawn.*not allowed (?:here|in)|cannot occur within/],
    ['in <Location>', "<Location /a>\n$spawn</Location>\n", qr/<Spawn.*not allowed|cannot occur within/], ['in <If>', "<If true>\n$spawn</If>\n", qr/<Spawn.*not allowed|cannot occur within/],
    ['twice', $spawn x 2, qr/<Spawn x> is already defined on line \d+ of/], ['within <Spawn>', "<Spawn y>\n$spawn</Spawn>\n", qr/<Spawn> must not stand inside <Spawn>/],
    ['with two names', "<Spawn x y>\nSpawnCommand /bin/true\n</Spawn>\n", qr/<Spawn> takes one name/], ['without a name', "<Spawn>\nSpawnCommand /bin/true\n</Spawn>\n", qr/<Spawn>: "" is not a group's name/],
    ['SpawnProcesses 0', "<Spawn x>\nSpawnCommand /bin/true\nSpawnProcesses 0\n</Spawn>\n", qr/SpawnProcesses "0" is not valid/],
    ['a relative SpawnCommand', "<Spawn x>\nSpawnCommand bin/true\n</Spawn>\n", qr/SpawnCommand "bin\/true" is not valid: it takes.*absolute path/],
    ['ProcdGroupDir in a virtual host', "<VirtualHost *:80>\nProcdGroupDir /tmp\n</VirtualHost>\n", qr/ProcdGroupDir cannot occur within/]) {
    my ($what, $text, $pattern) = @$case;
    my ($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => $text)->config_test;
    ok $rc && $out =~ $pattern, "refused: <Spawn> $what" or diag $out;
}
for my $case (['in <IfDefine>, <IfModule> and <VirtualHost>', "<IfDefine !NOTHING>\n$spawn</IfDefine>\n<IfModule procd_module>\n" . ($spawn =~ s/x/y/r) . "</IfModule>\n<VirtualHost *:80>\n$spawn</VirtualHost>\n"],
    ['<IfDefine> inside of it', "<Spawn x>\nSpawnCommand /bin/true\n<IfDefine NOTHING>\nNonsense\n</IfDefine>\n</Spawn>\n"], ['five hundred of them', join '', map { $spawn =~ s/x/x$_/r } 1 .. 500]) {
    my ($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => $case->[1])->config_test;
    ok !$rc, "<Spawn>: $case->[0]" or diag $out;
}
my ($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => join '', map { $spawn =~ s/x/x$_/r } 1 .. 513)->config_test;
ok $rc && $out =~ /PRD0001: there are 513 <Spawn> groups, and 512 are possible/, 'one more than there can be' or diag $out;
my $t = ProxyCore::Groups::server(name => 'htaccess', conf => "<Directory />\nAllowOverride All\n</Directory>\n");
spew($t->docroot . '/.htaccess', $spawn);
spew($t->docroot . '/a.txt', "a\n");
$t->start;
is $t->get('/a.txt')->{status}, 500, 'in .htaccess: refused';
ok $t->wait_log(qr/\.htaccess: <Spawn.*not allowed here/, 10), 'as the log says';
$t->stop;
done_testing;
