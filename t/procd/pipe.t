#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# CGI under another user: the manager runs what the group's configuration allows, whoever asks, and hands on no more of
# the environment than suEXEC does.
# P2 P3 P5 P11 P12 D19 G9
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir is_root slurp spew run_capture poll_until backend_program user_ids);

plan skip_all => 'needs root' if !is_root();

my $work = work_dir();
my @user = getpwnam('nobody');
my @www = getpwnam('www-data');
my ($cgi, $own, $jail) = map { "$work/$_" } qw(cgi own jail);
mkdir $_, 0755 for $cgi, $own, $jail, map({ "$cgi/$_" } 'open', 'shared', 'shared/mine', 'tmp', 'tmp/mine'), "$jail/cgi", "$jail/bin";
chmod 0755, $cgi, $own, $jail, "$jail/cgi", "$jail/bin";
chmod 0777, "$cgi/open", "$cgi/shared";
chmod 01777, "$cgi/tmp";
chown $user[2], $user[3], $cgi, map { "$cgi/$_" } 'open', 'shared', 'shared/mine', 'tmp/mine';

my $show = '$| = 1; print "Content-Type: text/plain\n\n"; print "$_=$ENV{$_}\n" for sort keys %ENV;'
    . 'my @g = split " ", $); print "uid=$<,$>\ngid=$(\n" =~ s/^gid=(\d+).*/gid=$1/mr; print "cwd=", readlink("/proc/$$/cwd"), "\numask=", sprintf("%03o", umask), "\n";'
    . 'print grep { /^(?:Cap(?:Eff|Prm)|NoNewPrivs|Groups)/ } do { local @ARGV = ("/proc/$$/status"); <> };';
sub script {
    my ($path, $mode, $owner, $code) = @_;
    spew($path, "#!/usr/bin/perl\n" . ($code || $show), $mode || 0755);
    chown $owner // $user[2], $user[3], $path;
    chmod $mode || 0755, $path; # chown takes set-user-ID away
    return $path;
}
script("$cgi/env");
script("$cgi/interpreted.pl", 0644);
script("$cgi/world", 0757);
script("$cgi/group", 0775);
script("$cgi/suid", 04755);
script("$cgi/wrong", 0755, $www[2]);
script("$cgi/roots", 0755, 0);
script("$cgi/$_/env") for 'open', 'shared/mine', 'tmp/mine';
script("$own/env", 0775, $www[2]);
symlink "$own/env", "$cgi/link";
system('cc', '-static', '-o', "$jail/cgi/c", '-x', 'c', spew("$work/c.c",
    "#include <stdio.h>\n#include <unistd.h>\nint main(void) { char d[99] = \"?\"; printf(\"Content-Type: text/plain\\n\\nuid=%d cwd=%s root=%d\\n\", getuid(), getcwd(d, 99), access(\"/etc/passwd\", 0)); return 0; }\n")) == 0 or die;

my $more = "<Location /cgi/>\n    SetEnv LD_PRELOAD /nowhere.so\n    SetEnv PERL5OPT -Mnone\n    SetEnv PASSED through\n    SetEnv SSL_X yes\n</Location>\n";
my $s = ProxyCore::Groups::server(conf => join '',
    ProxyCore::Scripts::group('cgi', $cgi, "SpawnUser nobody\nSpawnUmask 027\nSpawnScriptRoot $cgi\nSpawnEnvironment MINE=1\nSpawnCopyEnvironment PASSED"),
    ProxyCore::Scripts::group('own', $own, "SpawnProcesses 1 8"),
    ProxyCore::Scripts::group('jail', "$jail/cgi", "SpawnChroot $jail\nSpawnUser nobody\nSpawnScriptOwner root"),
    "<Spawn reports>\n    SpawnSocketType pipe\n    SpawnCommand /usr/bin/perl -wT\n    SpawnUser nobody\n</Spawn>\n"
    . "<ProxyCore reports>\n    ProxyCoreProtocol cgi\n    ProxyCoreBackend spawn:reports\n</ProxyCore>\n"
    . "<Location /reports/>\n    SetHandler proxy-core:reports\n</Location>\nScriptAlias /reports/ $cgi/\n", $more)->start;

sub vars { my ($res) = @_; my %v = ($res->{body} || '') =~ /^(\w+)[=:]\s*(.*)$/mg; $v{status} = $res->{status}; return \%v }

# ------------------------------------------------------------------ who it is

my $v = vars($s->get('/cgi/env?q=1'));
is $v->{status}, 200, 'SpawnUser (P11)';
is "$v->{uid} $v->{gid}", "$user[2],$user[2] $user[3]", 'real and effective user, and group';
like $v->{Groups}, qr/^\s*(?:$user[3])?\s*$/, 'no supplementary group of root';
is $v->{CapEff} . $v->{CapPrm}, '0' x 32, 'no capability';
is $v->{NoNewPrivs}, 1, 'and no way to get any';
is "$v->{umask} $v->{cwd}", "027 $cgi", 'SpawnUmask; the script\'s own directory';
is vars($s->get('/own/env'))->{uid}, "$www[2],$www[2]", 'without SpawnUser: httpd\'s own, never root';
is vars($s->get('/reports/interpreted.pl'))->{uid}, "$user[2],$user[2]", 'the example of the documentation: perl -wT under another user (P12)';
is $s->get('/jail/c')->{body}, "uid=$user[2] cwd=/cgi root=-1\n", 'SpawnChroot: its path and directory are those inside';

# ------------------------------------------------------------------ what it is told

is "$v->{QUERY_STRING} $v->{SSL_X}", 'q=1 yes', 'variables of a request';
is "$v->{MINE} $v->{PASSED}", '1 through', 'those of the definition, and what SpawnCopyEnvironment lets through';
ok !exists $v->{LD_PRELOAD} && !exists $v->{PERL5OPT}, 'nothing that changes how programs run (G9)';
is $v->{PATH}, '/usr/local/bin:/usr/bin:/bin', 'a safe PATH';

# ------------------------------------------------------------------ what is not run

my %refused = (world => 'can write to it', group => 'can write to it', suid => 'set-user-ID', wrong => 'belongs neither', roots => 'belongs neither',
    'open/env' => 'its directory', 'shared/mine/env' => 'a directory above it', link => 'outside');
for my $name (sort keys %refused) {
    my $mark = $s->mark;
    is $s->get("/cgi/$name")->{status}, 403, "$name is refused";
    ok $s->wait_log(qr/PRD0610: group cgi: .*$refused{$name}/, 5, $mark), 'which the log explains';
}
is $s->get('/cgi/tmp/mine/env')->{status}, 200, 'a directory above it may be open to all when it has the sticky bit';
is $s->get('/own/env')->{status}, 200, 'of httpd\'s own user a script may belong to a group';

# ------------------------------------------------------------------ whoever asks

my %row;
{
    my $page = ProxyCore::Groups::status($s, 'cgi');
    my $groups = JSON::PP::decode_json($s->get('/procd?format=json')->{body})->{groups};
    $row{ $groups->[$_]{name} } = $_ for 0 .. $#$groups;
}
my ($child) = $s->children;
my $forger = backend_program('script_forger');
sub forge { my ($group, @more) = @_; my ($out) = run_capture($forger, $child, $group, @more); return $out }

like forge($row{cgi}, "$cgi/env"), qr/verdict 0.*uid=$user[2],$user[2]/s, 'a forged request for what is allowed is run as the group says';
like forge($row{cgi}, '-e', 'LD_PRELOAD=/x', "$cgi/env"), qr/verdict 0(?!.*LD_PRELOAD)/s, 'without variables of its choice';
like forge($row{cgi}, '-e', 'PATH=/evil', "$cgi/env"), qr/verdict 0.*PATH=\/usr\/local/s, 'nor a PATH';
like forge($row{cgi}, '/bin/sh'), qr/verdict 2 .*outside/, 'a program outside of the roots is not run';
like forge($row{cgi}, "$cgi/../own/env", "$cgi/../../../../../../bin/sh"), qr/verdict 2 .*outside.*verdict 2 .*outside/s, 'however it is written';
like forge($row{cgi}, "$cgi/link"), qr/verdict 2 .*outside/, 'nor by a link';
like forge($row{cgi}, "$cgi/$_"), qr/verdict 2 .*$refused{$_}/, "nor $_" for qw(world wrong suid open/env shared/mine/env);
like forge($row{cgi}, $cgi), qr/verdict 2 .*not a regular file/, 'nor a directory';
like forge($row{cgi}, "$cgi/none"), qr/verdict 1 /, 'nor what is not there';
like forge($row{own}, "$cgi/env"), qr/verdict 0.*uid=$www[2]/s, 'another group runs it as its own user, who is httpd\'s';
like forge(77, "$cgi/env"), qr/verdict 2 not a group/, 'a group that is not there';
like forge(4_000_000_000, "$cgi/env"), qr/verdict 2 not a group/, 'nor can be';
like forge($row{cgi}, 'env', ''), qr/verdict 2 .*not absolute.*verdict 2/s, 'a path that is none';
like forge($row{cgi}, '-s', "$cgi/env"), qr/verdict 2 .*no pipe/, 'output that is no pipe';
like forge($row{cgi}, '!', "$cgi/env"), qr/rubbish sent.*verdict 0/s, 'rubbish does no harm';
is $s->get('/cgi/env')->{status}, 200, 'and the manager still works';
$s->stop;

# ------------------------------------------------------------------ configuration

my ($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => "<Spawn x>\nSpawnSocketType pipe\nSpawnUser daemon\n</Spawn>\n")->config_test;
ok $rc && $out =~ /SpawnUser "daemon".*below 100/, 'a user of the system is refused' or diag $out;
($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => "<Spawn x>\nSpawnSocketType pipe\nSpawnScriptOwner nosuchuser\n</Spawn>\n")->config_test;
ok $rc && $out =~ /SpawnScriptOwner "nosuchuser".*no such user/, 'an owner must be known' or diag $out;
done_testing;
