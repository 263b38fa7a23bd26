#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What a process is given before it runs: another root directory with nothing in it but the program, the groups of its user,
# every limit by its name, and addresses of each kind.
# P4 P11 P12 D19
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::IP;
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir is_root slurp spew poll_until backend_program free_port);

plan skip_all => 'needs root' if !is_root();

my @nobody = getpwnam('nobody');
my ($games, $audio) = map { scalar getgrnam($_) } qw(games audio);

# A list of groups in which nobody is a member of two more: for this test alone, in a mount namespace of its own.
if (!$ENV{PC_OWN_GROUPS} && system('unshare -m true 2>/dev/null') == 0) {
    my $text = slurp('/etc/group') =~ s/^((?:games|audio):[^:]*:\d+:)(.*)$/$1 . ($2 ? "$2,nobody" : 'nobody')/mger;
    my $file = spew("/tmp/pct-group-$$", $text);
    $ENV{PC_OWN_GROUPS} = $file;
    exec 'unshare', '-m', 'sh', '-c', 'mount --bind "$PC_OWN_GROUPS" /etc/group || PC_OWN_GROUPS=none; exec "$@"', 'sh', $^X, $0 or die;
}
my $own_groups = ($ENV{PC_OWN_GROUPS} || 'none') ne 'none';
unlink $ENV{PC_OWN_GROUPS} if $own_groups;

my $work = work_dir();
my $tiny = backend_program('tiny');
my $jail = "$work/jail";
mkdir $_ for $jail, "$jail/bin", "$jail/home";
chmod 0755, $work, $jail, "$jail/bin", "$jail/home";
spew("$jail/bin/tiny", slurp($tiny), 0755);

my %limits = (
    as => [512 << 20, 1 << 30], core => [0, 4096], cpu => [100, 200], data => [64 << 20, 128 << 20], fsize => [1 << 20, 2 << 20],
    memlock => [32 << 10, 64 << 10], nofile => [64, 128], nproc => [5000, 6000], rss => [64 << 20, 64 << 20], stack => [1 << 20, 2 << 20],
    locks => [10, 20], sigpending => [100, 200], msgqueue => [1000, 2000], nice => [10, 20], rtprio => [5, 6], rttime => [1_000_000, 2_000_000]);
# Not above what this container may have itself: where root lacks CAP_SYS_RESOURCE nobody can.
my %said = (as => 'address space', core => 'core file size', cpu => 'cpu time', data => 'data size', fsize => 'file size', memlock => 'locked memory',
    nofile => 'open files', nproc => 'processes', rss => 'resident set', stack => 'stack size', locks => 'file locks', sigpending => 'pending signals',
    msgqueue => 'msgqueue size', nice => 'nice priority', rtprio => 'realtime priority', rttime => 'realtime timeout');
for my $name (keys %limits) {
    my ($hard) = slurp('/proc/self/limits') =~ /^Max \Q$said{$name}\E +\S+ +(\S+)/m or die $name;
    $_ = $_ > $hard ? $hard : $_ for grep { $hard ne 'unlimited' } @{ $limits{$name} };
}
my $lines = join "\n", map { "SpawnLimit $_ @{$limits{$_}}" } sort keys %limits;
my $has_six = eval { IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1)->close };
my @ports = map { free_port() } 1 .. 3;
my @tcp = ("127.0.0.1:$ports[0]", $has_six ? "[::1]:$ports[1]" : "127.0.0.1:$ports[1]", "localhost:$ports[2]");
my @unix = map { "unix:$work/$_.sock" } qw(one two);
sub group { my ($name, $lines) = @_; return ProxyCore::Groups::group($name, $lines, protocol => 'http') }
my $s = ProxyCore::Groups::server(conf => join '',
    group('jail', "SpawnCommand /bin/tiny\nSpawnChroot $jail\nSpawnDirectory /home\nSpawnUser nobody\nSpawnProcesses 1"),
    group('member', "SpawnCommand $tiny\nSpawnUser nobody\nSpawnProcesses 1"),
    group('member2', "SpawnCommand $tiny\nSpawnUser nobody\nSpawnGroup games\nSpawnProcesses 1"),
    group('limits', "SpawnCommand $tiny\nSpawnProcesses 1\n$lines"),
    group('unlimited', "SpawnCommand $tiny\nSpawnProcesses 1\nSpawnLimit core unlimited\nSpawnLimit as 1G unlimited"),
    group('tcp', "SpawnCommand $tiny\nSpawnSocketType tcp\nSpawnSocketName @tcp\nSpawnProcesses 3"),
    group('unix', "SpawnCommand $tiny\nSpawnSocketName @unix\nSpawnProcesses 2"),
)->start;
sub facts { my ($res) = @_; return { status => $res->{status} // 0, ($res->{body} || '') =~ /^(\w+)=(.*)$/mg } }
sub of { my ($name) = @_; return facts($s->get("/$name/")) }

# ------------------------------------------------------------------ SpawnChroot

my $f = of('jail');
is $f->{status}, 200, 'SpawnChroot: a program that is there alone';
is $f->{passwd}, 'none', 'sees nothing of the system';
is $f->{cwd}, '/home', 'SpawnDirectory is inside of it';
is "$f->{uid} $f->{gid}", "$nobody[2] $nobody[2] $nobody[3] $nobody[3]", 'as its user, who cannot leave it';
is readlink("/proc/$f->{pid}/root"), $jail, 'its root directory, as the system has it';

# ------------------------------------------------------------------ groups of its user

SKIP: {
    skip 'no mount namespace', 3 if !$own_groups;
    my %member = map { $_ => 1 } $games, $audio, $nobody[3];
    is_deeply { map { $_ => 1 } split ' ', of('member')->{groups} }, \%member, 'the user\'s supplementary groups';
    $f = of('member2');
    is $f->{gid}, "$games $games", 'SpawnGroup';
    is_deeply { map { $_ => 1 } grep { $_ != $nobody[3] } split ' ', $f->{groups} }, { $games => 1, $audio => 1 }, 'with the same others';
}

# ------------------------------------------------------------------ SpawnLimit

$f = of('limits');
is $f->{status}, 200, 'limits';
is $f->{$_}, "@{$limits{$_}}", "SpawnLimit $_" for sort keys %limits;
$f = of('unlimited');
is "$f->{core} $f->{as}", '-1 -1 ' . (1 << 30) . ' -1', 'unlimited';

# ------------------------------------------------------------------ SpawnSocketName

sub addresses { my ($name) = @_; return join ' ', sort map { $_->{address} } @{ ProxyCore::Groups::status($s, $name)->{list} } }
ok ProxyCore::Groups::wait_for($s, 'tcp', 3), 'three addresses, three processes';
is addresses('tcp'), join(' ', sort map { s/^localhost/127.0.0.1/r } @tcp), 'each at its own: ' . ($has_six ? 'IPv4, IPv6, localhost' : 'no IPv6 here');
my %pid;
for my $address (@tcp) {
    my ($host, $port) = $address =~ /^\[?(.*?)\]?:(\d+)$/;
    my $c = IO::Socket::IP->new(PeerHost => $host eq 'localhost' ? '127.0.0.1' : $host, PeerPort => $port) or next;
    print {$c} "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    local $/;
    my $text = <$c>;
    $pid{$1} = 1 if $text =~ /^pid=(\d+)/m;
}
is scalar(keys %pid), 3, 'whoever connects to it reaches one of its own';
is of('tcp')->{status}, 200, 'and httpd does';
my %serving;
for (1 .. 40) {
    my @c = map { my $c = $s->connect; $c->send("GET /tcp/ HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 6;
    $serving{ facts($_->read_response)->{pid} || 'none' } = 1 for @c;
    last if keys %serving >= 3;
}
is join(' ', sort keys %serving), join(' ', sort keys %pid), 'at all of them';
ok ProxyCore::Groups::wait_for($s, 'unix', 2), 'two names';
is addresses('unix'), join(' ', @unix), 'each at its own';
is of('unix')->{status}, 200, 'which serve';
$s->stop;
is scalar(grep { -e s/^unix://r } @unix), 0, 'named sockets are removed';

for my $bad (['SpawnLimit bytes 1', qr/SpawnLimit.*"?bytes"?/], ['SpawnLimit nofile 2 1', qr/soft limit must not be more/],
    ['SpawnSocketName 127.0.0.1', qr/SpawnSocketName/], ['SpawnSocketName [::1]', qr/SpawnSocketName/]) {
    my ($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => "<Spawn x>\nSpawnCommand /bin/x\nSpawnSocketType tcp\n$bad->[0]\n</Spawn>\n")->config_test;
    ok $rc && $out =~ $bad->[1], "refused: $bad->[0]" or diag $out;
}
done_testing;
