#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A group's user, groups, directory and umask: rights are given up before the program runs, for good.
# P11 P12 D19 G31
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir is_root slurp cmdline spew backend_program);

plan skip_all => 'needs root' if !is_root();

my @nobody = getpwnam('nobody');
my @www = getpwnam('www-data');
my ($games) = (getgrnam('games'))[2];
my $where = work_dir() . '/home';
mkdir $where;
chmod 0755, $where;
# P12: whatever the protocol, with nothing but a command and a user. It answers one request with who it is.
my $who = spew(work_dir() . '/who', <<'PERL', 0755);
#!/usr/bin/perl
use strict;
my $http = shift eq 'http';
while (accept my $c, STDIN) {
    sysread $c, my $request, 65536 or next; # the manager looks whether it accepts
    my $body = "app.uid=$<\napp.euid=$>\napp.gid=" . (split ' ', $()[0] . "\n";
    print $c ($http ? "HTTP/1.1 200 OK\r\nConnection: close\r\n" : "Status: 200 OK\r\n"), "Content-Type: text/plain\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    close $c;
}
PERL
my $scripts = work_dir() . '/scripts';
mkdir $scripts;
chmod 0755, $scripts;
ProxyCore::Scripts::perl($scripts, 'who', 'print "Content-Type: text/plain\n\napp.uid=$<\napp.euid=$>\napp.gid=", (split " ", $()[0], "\n";');
chown @nobody[2, 3], $scripts, "$scripts/who";
my $s = ProxyCore::Groups::server(conf => join '',
    (map { ProxyCore::Groups::group("as-$_", "SpawnProcesses 1\nSpawnUser nobody\nSpawnCommand $who $_", protocol => $_) } qw(http scgi uwsgi)),
    ProxyCore::Groups::group('as-fastcgi', "SpawnProcesses 1\nSpawnUser nobody"),
    ProxyCore::Scripts::group('as-cgi', $scripts, "SpawnProcesses 1\nSpawnUser nobody\nSpawnScriptRoot $scripts"),
    ProxyCore::Groups::group('plain', 'SpawnProcesses 1'),
    ProxyCore::Groups::group('other', "SpawnProcesses 1\nSpawnUser nobody\nSpawnDirectory $where\nSpawnUmask 027"),
    ProxyCore::Groups::group('both', "SpawnProcesses 1\nSpawnUser nobody\nSpawnGroup games"),
    ProxyCore::Groups::group('limits', "SpawnProcesses 1\nSpawnLimit nofile 64 128\nSpawnNice 5"),
)->start;

my $f = ProxyCore::Groups::facts($s->get('/plain/'));
is $f->{'app.uid'}, $www[2], 'without SpawnUser: the server\'s own user, never root';
$f = ProxyCore::Groups::facts($s->get('/other/'));
is $f->{'app.uid'}, $nobody[2], 'SpawnUser';
is $f->{'app.gid'}, $nobody[3], 'with its group';
is $f->{'app.groups'}, $nobody[3], 'and no supplementary group of root';
is $f->{'app.cwd'}, $where, 'SpawnDirectory';
is $f->{'app.umask'}, '027', 'SpawnUmask';
my $status = slurp("/proc/$f->{'app.pid'}/status");
like $status, qr/^Uid:\t$nobody[2]\t$nobody[2]\t$nobody[2]\t$nobody[2]$/m, 'real, effective and saved: no way back';
like $status, qr/^Cap(?:Eff|Prm):\t0+$/m, 'no capability';
like $status, qr/^NoNewPrivs:\t1$/m, 'no_new_privs';
for my $protocol (qw(fastcgi http scgi uwsgi cgi)) {
    $f = ProxyCore::Groups::facts($s->get("/as-$protocol/who"));
    is join(' ', map { $_ // '-' } @$f{qw(status app.uid app.gid)}), "200 $nobody[2] $nobody[3]", "$protocol: by that user";
    is $f->{'app.euid'}, $nobody[2], 'altogether' if defined $f->{'app.euid'};
}
$f = ProxyCore::Groups::facts($s->get('/both/'));
is $f->{'app.gid'}, $games, 'SpawnGroup';
$f = ProxyCore::Groups::facts($s->get('/limits/'));
my $limits = slurp("/proc/$f->{'app.pid'}/limits");
like $limits, qr/^Max open files\s+64\s+128\s/m, 'SpawnLimit';
is((split ' ', slurp("/proc/$f->{'app.pid'}/stat"))[18], 5, 'SpawnNice');

# httpd's own children cannot reach the manager's directory nor an application's socket of another user by name.
my ($dir) = glob $s->dir . '/run/procd';
is sprintf('%o', (stat $dir)[2] & 07007), '0', 'ProcdRuntimeDir is closed to others' if $dir;
$s->stop;
done_testing;
