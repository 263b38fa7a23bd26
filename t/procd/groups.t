#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Processes of a group: when they start, what they get, how they come and go with the load.
# P1 P2 P3 P4 P5 P8 P9 P10 D4 D6 D7 D8 D23 G9 G13 G14 G28 G34
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until alive cmdline slurp spew now let_pass free_port backend_program);

*group = \&ProxyCore::Groups::group;
my @ports = map { free_port() } 1 .. 2;
my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
spew("$dir/dies", "#!/bin/sh\necho never mind >&2\nexit 7\n", 0755);
spew("$dir/argv", "#!/bin/sh\nprintf '<%s>' \"\$@\" >$dir/run/argv.out\nexec $echo -i argv\n", 0755);
my $s = ProxyCore::Groups::server(conf => join '',
    group('demand', "SpawnProcesses 0 3\nSpawnIdleTimeout 3s"),
    group('last', "SpawnProcesses 0 1\nSpawnIdleTimeout 1s"),
    group('always', "SpawnProcesses 4"),
    group('one', "SpawnProcesses 1"),
    group('web', "SpawnProcesses 0 2\nSpawnConcurrency 8", protocol => 'http'),
    group('tcp', "SpawnProcesses 1\nSpawnSocketType tcp"),
    group('names', "SpawnProcesses 2\nSpawnSocketType tcp\nSpawnSocketName 127.0.0.1:$ports[0] 127.0.0.1:$ports[1]"),
    group('env', "SpawnProcesses 1\nSpawnEnvironment APP_A=1 \"APP_B=two words\"\nSpawnEnvironment APP_C=3\nSpawnCopyEnvironment PC_COPY PC_ABSENT"),
    group('args', "SpawnProcesses 1\nSpawnCommand $dir/argv -x \"two words\" -1"),
    group('says', "SpawnProcesses 1\nSpawnCommand $echo -s \"early words\""),
    group('file', "SpawnProcesses 1\nSpawnCommand $echo -s \"into a file\"\nSpawnErrorLog $dir/logs/app.log"),
    group('broken', "SpawnProcesses 0 1\nSpawnCommand $dir/dies\nSpawnRestart backoff=200ms..2s"),
    group('missing', "SpawnProcesses 0 1\nSpawnCommand /nonexistent/program\nSpawnRestart backoff=200ms..2s"),
    group('slow', "SpawnProcesses 0 1\nSpawnCommand $echo -w 700"),
    "<ProxyCore second>\n ProxyCoreProtocol fastcgi\n ProxyCoreBackend spawn:one\n</ProxyCore>\n<Location /second/>\n ProxyCorePass second\n</Location>\n");
$s->{env} = { PC_COPY => 'copied', PC_SECRET => 'secret' };
$s->start;

sub ask { my ($path) = @_; return ProxyCore::Groups::facts($s->get($path)) }
sub pids { return ProxyCore::Groups::pids($s, $_[0]) }

# On demand: nothing before the first request.
is scalar(pids('demand')), 0, 'MIN 0: no process before the first request';
my $f = ask('/demand/');
is $f->{status}, 200, 'the first request starts one and is answered';
is_deeply [pids('demand')], [$f->{'app.pid'}], 'that one';
# More with the load, up to MAX, never more requests at once than processes.
my @c = map { my $c = $s->connect; $c->send("GET /demand/?sleep=2500 HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 5;
my %seen;
for my $c (@c) { my $r = ProxyCore::Groups::facts($c->read_response); $seen{ $r->{'app.pid'} || 'none' }++ }
is scalar(grep { $_ ne 'none' } keys %seen), 3, 'five slow requests: three processes' or diag explain \%seen;
is $seen{none}, undef, 'all are answered';
ok ProxyCore::Groups::wait_for($s, 'demand', 0, 8), 'idle: down to MIN again';
is scalar(grep { alive($_) } keys %seen), 0, 'the processes are gone';
# When the manager looked last every process was busy, and a lease that is given back tells nobody: it looks again.
@c = map { my $c = $s->connect; $c->send("GET /last/?sleep=400 HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 2;
is join(' ', map { $_->read_response->{status} } @c), '200 200', 'one process, two requests: both answered';
ok ProxyCore::Groups::wait_for($s, 'last', 0, 8), 'idle: down to none, though it was busy when last looked at';

# Always there.
ok ProxyCore::Groups::wait_for($s, 'always', 4), 'SpawnProcesses 4: four before the first request';
my @four = pids('always');
$f = ask('/always/');
ok scalar(grep { $_ == $f->{'app.pid'} } @four), 'one of them answers';

# Restarted when it dies.
ok ProxyCore::Groups::wait_for($s, 'one', 1), 'one process';
my ($pid) = pids('one');
kill 'KILL', $pid; # its listener still takes connections for a moment
$f = ask('/one/');
is $f->{status}, 200, 'killed: the next request is answered';
isnt $f->{'app.pid'}, $pid, 'by another';
for my $round (1 .. 10) {
    my $last = $f->{'app.pid'};
    kill 'KILL', $last;
    $f = ask('/one/');
    ok $f->{status} == 200 && $f->{'app.pid'} != $last, "killed once more ($round)" or diag $f->{status};
}
# Two pools, one group (G28).
is ask('/second/')->{'app.pid'}, $f->{'app.pid'}, 'a second pool shares the process';
# Dies inside of a request.
my $res = $s->get('/one/?exit=3');
is $res->{status}, 502, 'it dies with a request: 502';
poll_until { !alive($f->{'app.pid'}) } 3;
is ask('/one/')->{status}, 200, 'and the next is answered';

# The protocol is nobody's business here: an HTTP application.
$f = ask('/web/x');
is $f->{status}, 200, 'an HTTP application on descriptor 0';
# TCP, and a process for each address.
is ask('/tcp/')->{status}, 200, 'SpawnSocketType tcp';
ok ProxyCore::Groups::wait_for($s, 'names', 2), 'two names';
my %addr = map { $_->{pid} => $_->{address} } @{ ProxyCore::Groups::status($s, 'names')->{list} };
is join(' ', sort values %addr), join(' ', sort map { "127.0.0.1:$_" } @ports), 'SpawnSocketName: a process for each';

# What a process gets as descriptor 0 listens; the server did not just pass a connection on.
for my $kind (['one', 'unix', qr/ 00010000 \d+ \d+ +%d /], ['tcp', 'tcp', qr/^ *\d+: 0100007F:\S+ \S+ 0A .* %d /m]) {
    my ($name, $type, $pattern) = @$kind;
    my ($inode) = (readlink('/proc/' . (pids($name))[0] . '/fd/0') || '') =~ /^socket:\[(\d+)\]/;
    $pattern =~ s/%d/$inode/;
    ok scalar(grep { $_ =~ $pattern } split /\n/, slurp("/proc/net/$type")), "descriptor 0 of $name is a $type socket that listens";
}

# Its environment and arguments.
$f = ask('/env/');
is $f->{env}{APP_A}, 1, 'SpawnEnvironment';
is $f->{env}{APP_B}, 'two words', 'with a space';
is $f->{env}{APP_C}, 3, 'on a second line';
is $f->{env}{PC_COPY}, 'copied', 'SpawnCopyEnvironment';
is $f->{env}{PC_SECRET}, undef, 'nothing else of the server\'s environment';
is $f->{env}{$_}, undef, "no $_" for qw(APACHE_RUN_USER HOME LD_PRELOAD NOTIFY_SOCKET);
is ask('/args/')->{'app.id'}, 'argv', 'a script as command';
is slurp("$dir/run/argv.out"), '<-x><two words><-1>', 'its arguments';

# Descriptors: 0 the listener, 1 and 2 the log, nothing else.
($pid) = pids('one');
my %fd = map { m{/(\d+)$} ? ($1 => readlink) : () } glob "/proc/$pid/fd/*";
like $fd{0}, qr/^socket:/, 'descriptor 0 is the socket (libfcgi needs no argument)';
is join(' ', grep { $_ > 2 } sort { $a <=> $b } keys %fd), '', 'no other descriptor';
my @st = ProxyCore::Util::proc_stat($pid);
is $st[4], $pid, 'a process group of its own';
my $status = slurp("/proc/$pid/status");
like $status, qr/^NoNewPrivs:\s*1$/m, 'no_new_privs';
like $status, qr/^SigBlk:\s*0+$/m, 'no blocked signal';
like $status, qr/^SigIgn:\s*0+$/m, 'no ignored signal';

# What it says, from exec to exit.
my $line = $s->wait_log(qr/early words/, 5);
ok $line, 'said before it accepts: in the log';
my ($says) = pids('says');
like $line || '', qr/\bsays\b/, 'with the group';
like $line || '', qr/\b$says\b/, 'and the pid';
$s->get('/says/?print=in-between');
ok $s->wait_log(qr/in-between/, 5), 'between: in the log';
ok poll_until(sub { (slurp("$dir/logs/app.log") || '') =~ /into a file/ }, 5), 'SpawnErrorLog: a file';
is scalar($s->grep_log(qr/into a file/)), 0, 'and only there';

# A command that cannot run: an answer, a line, no tight loop.
for my $name (qw(broken missing)) {
    my $mark = $s->mark;
    my $start = now();
    # The first few may still reach a process that was just started and is about to die.
    my $r = $s->get("/$name/", timeout => 12);
    like $r->{status}, qr/^50[23]$/, "$name: $r->{status}";
    poll_until { $r->{status} != 502 or $r = $s->get("/$name/", timeout => 12); $r->{status} != 502 } 8;
    is $r->{status}, 503, "$name: 503";
    like $r->{head} ? $r->{head}->h('Retry-After') || '' : '', qr/^[1-9]/, "$name: Retry-After";
    cmp_ok now() - $start, '<', 60, "$name: soon";
    my $g = ProxyCore::Groups::status($s, $name);
    ok $g->{why}, "$name: the reason is shown: $g->{why}";
    my $n = $g->{started};
    my $while = now();
    let_pass(1);
    cmp_ok ProxyCore::Groups::status($s, $name)->{started} - $n, '<=', 5 * (now() - $while), "$name: not started in a tight loop";
}
ok $s->wait_log(qr/never mind/, 3), 'what it said is in the log';
is ask('/slow/')->{status}, 200, 'one that takes its time to start';
$s->stop;
done_testing;
