#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A log file for each virtual host without a <VirtualHost> for each: SpawnErrorLog with %{SERVER_NAME}.
# D24 D23 G9
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use JSON::PP qw(decode_json);

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir poll_until slurp spew is_root run_capture backend_program fd_count alive);

my $hosts = 1000;
my $work = work_dir();
my ($cgi, $logs) = ("$work/cgi", "$work/log");
mkdir $_, 0755 for $cgi, $logs, map { "$logs/$_" } qw(app cgi site site/known.example);
spew("$cgi/say", "#!/bin/sh\necho \"says \$QUERY_STRING\" >&2\nprintf 'Content-Type: text/plain\\n\\nok\\n'\n", 0755);
spew("$cgi/break", "#!/bin/sh\nprintf 'first\\r\\n\\033[1m[pid 1] forged\\n' >&2\nprintf 'Content-Type: text/plain\\n\\nok\\n'\n", 0755);

mkdir "$work/groups", 0755;
spew("$work/groups/dyn.conf", 'SpawnCommand ' . ProxyCore::Groups::program('fastcgi') . "\nSpawnProcesses 1\nSpawnErrorLog $logs/app/dyn-%{SERVER_NAME}.log\n");
my $s = ProxyCore::Groups::server(conf => "ServerName main.example\nUseCanonicalName Off\nProcdGroupDir $work/groups\n"
    . "<ProxyCore dyn>\n    ProxyCoreProtocol fastcgi\n    ProxyCoreBackend spawn:dyn\n</ProxyCore>\n<Location /dyn/>\n    ProxyCorePass dyn\n</Location>\n" . join '',
    ProxyCore::Groups::group('app', "SpawnProcesses 1\nSpawnErrorLog $logs/app/%{SERVER_NAME}.log"),
    ProxyCore::Groups::group('site', "SpawnProcesses 1\nSpawnErrorLog $logs/site/%{SERVER_NAME}/%{name}.log"),
    ProxyCore::Groups::group('plain', "SpawnProcesses 1\nSpawnErrorLog $logs/plain.log"),
    ProxyCore::Scripts::group('cgi', $cgi, "SpawnProcesses 1 16\nSpawnScriptRoot $cgi\nSpawnErrorLog $logs/cgi/%{SERVER_NAME}.log"),
)->start;

sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }
sub text { my ($path) = @_; return slurp("$logs/$path") || '' }
sub host_of { my ($i) = @_; return "h$i.example" }

# ------------------------------------------------------------------ which file

$s->get('/app/?stderr=one&print=two', host => 'A.Example:8080');
soon { text('app/a.example.log') =~ /\[pid \d+\] \[app\] one$/m } 'what a request writes goes to the file of its host, in lower case, without the port';
soon { text('app/main.example.log') =~ /\[app\] two$/m } 'what the process writes of its own to that of its server';
unlike text('app/a.example.log'), qr/two/, 'and not to the host\'s';
ok !$s->grep_log(qr/one$|PXC0440/), 'nor to the error log';
$s->get('/plain/?stderr=three', host => 'a.example');
ok $s->wait_log(qr/PXC0440: plain: .* says: three/, 5), 'without %{SERVER_NAME} it is the request\'s error log, as before';
is $s->get('/cgi/say?four', host => 'B.example')->{status}, 200, 'a script';
soon { text('cgi/b.example.log') =~ /\[pid \d+\] \[cgi\] says four$/m } 'writes to the file of its host, too';
$s->get('/cgi/break', host => 'b.example');
soon { text('cgi/b.example.log') =~ /forged/ } 'control characters';
like text('cgi/b.example.log'), qr/^\[[^\n]*\] \[cgi\] first\n\[[^\n]*\] \[cgi\] \\x1b\[1m\[pid 1\] forged$/m, 'are escaped in it';
$s->get('/dyn/?stderr=five&print=six', host => 'a.example');
soon { text('app/dyn-a.example.log') =~ /five$/m && text('app/dyn-main.example.log') =~ /six$/m } 'a group of ProcdGroupDir does so, too';
is sprintf('%o', (stat "$logs/cgi/b.example.log")[2] & 07777), '640', 'which the world cannot read';

# ------------------------------------------------------------------ names that are none

for my $bad ('..', '_x.example', 'a_b', '[::1]', 'x' x 210) {
    $s->get('/app/?stderr=bad', host => $bad);
}
soon { my @n = text('app/_other.log') =~ /bad$/mg; @n >= 3 } 'what is no host\'s name goes to a file of its own';
ok !(grep { !/^(?:dyn-.*|a\.example|main\.example|_other)\.log$/ } map { m{([^/]+)$} } glob "$logs/app/*"), 'and nowhere else'
    or diag join ' ', glob "$logs/app/*";
mkdir "$logs/site/_other";
$s->get('/site/?stderr=in', host => 'known.example');
soon { text('site/known.example/site.log') =~ /in$/m } 'in a directory for each host';
$s->get('/site/?stderr=unknown', host => 'nobody.example');
soon { text('site/_other/site.log') =~ /unknown$/m } 'hosts without one share one';
ok !-e "$logs/site/nobody.example", 'directories are not made';
ok $s->wait_log(qr{PRD0320: group site: cannot open SpawnErrorLog $logs/site/\S+/site.log: No such file}, 5), 'which the log says';
spew("$work/secret", "untouched\n");
mkdir "$work/elsewhere";
symlink "$work/secret", "$logs/app/link.example.log";
symlink "$work/elsewhere", "$logs/site/linked.example";
system 'mkfifo', "$logs/app/pipe.example.log";
$s->get("/$_->[0]/?stderr=via-$_->[1]", host => "$_->[1].example") for ['app', 'link'], ['app', 'pipe'], ['site', 'linked'];
soon { text('app/_other.log') =~ /via-link$/m && text('app/_other.log') =~ /via-pipe$/m && text('site/_other/site.log') =~ /via-linked$/m }
    'a symbolic link or a pipe in the place of a log';
is slurp("$work/secret"), "untouched\n", 'is not written to';
ok !-e "$work/elsewhere/site.log", 'nor followed on the way';

# ------------------------------------------------------------------ a thousand

my $manager = $s->manager;
my $most = 0;
my $before = fd_count($manager);
my $conn = $s->connect;
my %failed;
for my $i (1 .. $hosts) {
    my $path = $i % 4 ? 'app' : 'cgi';
    $conn->send(ProxyCore::Server::request_text('GET', $path eq 'app' ? "/app/?stderr=line-$i" : "/cgi/say?line-$i", host => host_of($i)));
    my $res = $conn->read_response(method => 'GET');
    $failed{$i} = $res->{status} if $res->{status} != 200;
    my $n = fd_count($manager);
    $most = $n if $n > $most;
    if (($res->{headers}{connection} || '') =~ /close/i || $conn->{eof} || $i % 80 == 0) {
        $conn->close;
        $conn = $s->connect;
    }
}
$conn->close;
is_deeply \%failed, {}, "$hosts hosts ask";
sub missing { return grep { text(($_ % 4 ? 'app' : 'cgi') . '/' . host_of($_) . '.log') !~ /\bline-$_$/m } 1 .. $hosts }
soon { !missing() } 'and each finds its lines in its file' or diag join ' ', (missing())[0 .. 9];
cmp_ok $most, '<=', $before + 64 + 16 * 6, 'the manager holds few descriptors' or diag "$before before";
cmp_ok fd_count($manager), '<=', $before + 64, 'and no more afterwards';
$s->get('/app/?stderr=again', host => host_of(1));
soon { text('app/' . host_of(1) . '.log') =~ /line-1\n.*again\n/s } 'a file that was closed meanwhile is continued';

# ------------------------------------------------------------------ rotation, and the manager's death

rename "$logs/app/a.example.log", "$logs/app/a.example.log.1";
$s->graceful;
ok $s->wait_log(qr/configuration 2 is in force/, 10), 'a graceful restart';
$s->get('/app/?stderr=rotated', host => 'a.example');
soon { text('app/a.example.log') =~ /rotated$/m } 'opens the files anew';
unlike text('app/a.example.log.1'), qr/rotated/, 'and leaves the old ones alone';
kill 'KILL', $s->manager;
poll_until { my $pid = $s->manager; $pid && $pid != $manager } 10;
$s->get('/app/?stderr=survived', host => 'a.example');
soon { text('app/a.example.log') =~ /survived$/m } 'what was passed on while the manager was away is there, too';

# ------------------------------------------------------------------ a child that was taken over

SKIP: {
    skip 'needs root', 9 if !is_root();
    my $page = decode_json($s->get('/procd?format=json')->{body});
    my %row = map { $page->{groups}[$_]{name} => $_ } 0 .. $#{ $page->{groups} };
    my ($child) = $s->children;
    my $forge = sub { my ($out) = run_capture(backend_program('script_forger'), $child, @_); return $out };
    $manager = $s->manager;
    like $forge->($row{app}, '-l', 'forged.example', 'hello', '../../evil', 'escape', 'c.example', "x\ny", '!', 'rubbish'), qr/sent/, 'forged lines';
    soon { text('app/forged.example.log') =~ /hello$/m && text('app/_other.log') =~ /escape$/m && text('app/c.example.log') =~ /x\\x0ay$/m }
        'get no further than the files of the group';
    $forge->($row{plain}, '-l', 'a.example', 'intruder');
    $forge->($_, '-l', 'a.example', 'intruder') for 77, 4_000_000_000;
    $forge->($row{app}, '-l', 'forged.example', 'last');
    soon { text('app/forged.example.log') =~ /last$/m } 'lines for other groups';
    ok !-e "$logs/plain.log" || text('plain.log') !~ /intruder/, 'are not taken';
    is $s->manager, $manager, 'and the manager lives';
    my $said = $s->mark;
    my $i = 0;
    ok poll_until(sub { $forge->($row{app}, '-l', map({ $i++; ("f$i.invented.example", "invented-$i") } 1 .. 300)); $s->grep_log(qr/PRD0321: group app: /, $said) }, 20),
        'new hosts are not made without end';
    my $made = () = glob "$logs/app/f*.invented.example.log";
    cmp_ok $made, '<', 4300, 'there are files for so many' or diag "of $i";
    soon { $forge->($row{app}, '-l', 'one.more.example', 'invented-more'); text('app/_other.log') =~ /invented-\d+$/m } 'lines of the others are in one';
    soon { $forge->($row{app}, '-l', 'a.example', 'known'); text('app/a.example.log') =~ /known$/m } 'those that have a file keep it';
}

# ------------------------------------------------------------------ more than it can take

kill 'STOP', $s->manager;
my $mark = $s->mark;
my $line = 'z' x 2000;
my ($n, $slowest) = (0, 0);
for (1 .. 900) {
    my $t0 = ProxyCore::Util::now();
    my $res = $s->get("/app/?stderr=$line", host => 'flood.example', timeout => 10);
    my $t = ProxyCore::Util::now() - $t0;
    $slowest = $t if $t > $slowest;
    $n++ if ($res->{status} || 0) == 200;
    last if $s->grep_log(qr/PRD0330/, $mark);
}
ok $s->wait_log(qr/PRD0330: \d+ lines of applications' standard error were dropped/, 5, $mark), 'a manager that does not keep up: lines are dropped, and counted';
is scalar(my @said = $s->grep_log(qr/PRD0330/, $mark)), 1, 'in one line of the log';
cmp_ok $slowest, '<', 30, 'nobody waits for it';
kill 'CONT', $s->manager;
soon { $s->get('/app/?stderr=after', host => 'after.example'); text('app/after.example.log') =~ /after$/m } 'then it goes on';
$s->stop;
done_testing;
