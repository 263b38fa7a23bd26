#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# How CGI scripts end: by themselves, too slow, with a client who has left, with whoever asked for them; and how many run
# at once.
# P7 P14 D3 F9
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(time sleep);

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir slurp spew poll_until alive in_background wait_background descendants cmdline mpm);

my $cgi = work_dir() . '/cgi';
my $run = work_dir() . '/run';
mkdir $cgi;
chmod 0755, $cgi;
chmod 0777, $run;
my $head = 'print "Content-Type: text/plain\n\n";';

sub perl { my ($name, $code) = @_; return ProxyCore::Scripts::perl($cgi, $name, "sub note { open my \$f, '>>', '$run/'.shift; print \$f join(' ', time, \$\$, \@_), qq{\\n}; close \$f }\nuse Time::HiRes qw(time sleep);\n"
    . "sub until_told { my \$n = 0; sleep 0.05 until -e '$run/go' || \$n++ > 3000 }\n$code") }
sub notes { my ($name) = @_; return map { [split] } split /\n/, slurp("$run/$name") || '' }
sub pid_of { my ($name) = @_; poll_until { notes($name) } 10; my @n = notes($name); unlink "$run/$name"; return $n[-1][1] }
sub waits { my ($check, $time, $what) = @_; return ok((poll_until { $check->() } $time), $what) }
sub gone { my ($pid) = @_; return poll_until { !alive($pid) } 8 }

perl('sleep', 'note("sleep"); sleep 30; ' . $head);
perl('begins', "$head print 'begun'; note('begins'); sleep 30;");
perl('stubborn', 'local $SIG{TERM} = "IGNORE"; note("stubborn"); sleep 1 while 1;');
perl('family', 'my $k = fork; if (!$k) { exec "sleep", "40" } note("family", $k); sleep 30;');
perl('busy', "note('busy', 'begin'); sleep 0.25; note('busy', 'end'); $head print \$\$;");
perl('slow', "note('slow'); until_told(); $head print 'slow one';");
perl('lives-on', "$head print 'done'; close STDOUT; note('lives'); until_told(); note('lives', 'end');");
perl('daemon', "my \$k = fork; if (!\$k) { note('daemon'); until_told(); note('daemon', 'end'); exit } print qq{Content-Type: text/plain\\nContent-Length: 5\\n\\nhello}; exit 0;");
perl('trailing', "print qq{Content-Type: text/plain\\nContent-Length: 2\\n\\nok}; note('trailing'); until_told(); note('trailing', 'end');");
perl('quick', "$head print 'quick';");

my $s = ProxyCore::Scripts::server(
    conf => ProxyCore::Scripts::group('cgi', $cgi, "SpawnProcesses 1 20\nSpawnStopTimeout 1s\n", pool => "    ProxyCoreTimeout first=3s idle=3s\n")
        . ProxyCore::Scripts::group('long', "$cgi/.", "SpawnProcesses 1 20\nSpawnStopTimeout 1s")
        . ProxyCore::Scripts::group('two', "$cgi/./.", "SpawnProcesses 1 2\n")
        . "<Location /long/>\n    SetHandler proxy-core:long\n</Location>\n<Location /two/>\n    SetHandler proxy-core:two\n</Location>\n"
        . "<Location /cgi/>\n    SetHandler proxy-core:cgi\n</Location>\n")->start;

# ------------------------------------------------------------------ too slow

my %r = map { my $c = $s->connect; $c->send("GET /cgi/$_ HTTP/1.1\r\nHost: localhost\r\n\r\n"); $_ => $c } qw(sleep stubborn family begins);
$_ = $_->read_response for values %r;
is $r{sleep}{status}, 504, 'no head in time: 504';
ok gone(pid_of('sleep')), 'and the script has ended';
is $r{stubborn}{status}, 504, 'one that does not listen to TERM';
ok gone(pid_of('stubborn')), 'is killed after SpawnStopTimeout';
ok $s->wait_log(qr/PRD0601.*has not stopped in time/), 'which the log says';
my ($n) = notes('family');
ok gone($n->[1]) && gone($n->[2]), 'its process group goes with it';
my $r = $r{begins};
ok !$r->{complete} || $r->{error}, 'what stops in the middle is cut, not completed';
ok gone(pid_of('begins')), 'and ended';

# ------------------------------------------------------------------ nobody wants it any more

for my $script ('sleep', 'begins') {
    my $c = $s->connect;
    $c->send("GET /long/$script HTTP/1.1\r\nHost: localhost\r\n\r\n");
    my $pid = pid_of($script);
    ok alive($pid), "$script runs";
    $c->close;
    ok gone($pid), 'and ends when its client leaves';
}
ok $s->wait_log(qr/PRD0604.*killed by SIGTERM \(nobody waits/), 'which the log says';

# ------------------------------------------------------------------ what a script does after its answer

# They go on until the test tells them to end: what is answered does not wait for that.
sub go { return spew("$run/go", '') }
sub stay { return unlink "$run/go" }
is $s->get('/long/lives-on')->{body}, 'done', 'one that closes its output and lives on has answered';
is $s->get('/long/trailing')->{body}, 'ok', 'one that has said all it promised has answered';
is $s->get('/long/daemon')->{body}, 'hello', 'one that leaves a process behind that holds its output has answered with its last promised byte';
waits(sub { 3 == grep { (notes($_)) == 1 } qw(lives trailing daemon) }, 8, 'all of them are still there');
go();
waits(sub { (notes('lives')) == 2 }, 8, 'and end by themselves');
waits(sub { (notes('trailing')) == 2 }, 8, 'the second one, too');
waits(sub { (notes('daemon')) == 2 }, 8, 'and what the third one left behind lives on');
waits(sub { !grep { $_->{state} eq 'script' } @{ ProxyCore::Groups::status($s, 'long')->{list} } }, 5, 'and is known until it ends');

# ------------------------------------------------------------------ SpawnProcesses

unlink "$run/busy";
my @jobs = map { in_background { my $res = $s->get('/two/busy', timeout => 20); return $res->{status} } } 1 .. 10;
my @status = map { wait_background($_) } @jobs;
is join(' ', @status), join(' ', (200) x 10), '10 requests with 2 processes: all are answered';
my ($now, $most) = (0, 0);
for my $event (sort { $a->[0] <=> $b->[0] } notes('busy')) {
    $now += $event->[2] eq 'begin' ? 1 : -1;
    $most = $now if $now > $most;
}
is $most, 2, 'never more than SpawnProcesses at once';
is scalar(notes('busy')), 20, 'each of them once';

# One that lives on counts until it ends: the next ones wait, in order.
stay();
$s->get('/two/lives-on') for 1 .. 2;
my $c = $s->connect;
$c->send("GET /two/quick HTTP/1.1\r\nHost: localhost\r\n\r\n");
ok $c->quiet(0.5), 'a request waits for one that lives on';
go();
is $c->read_response->{body}, 'quick', 'until it ends';
stay();

# ------------------------------------------------------------------ restarts and deaths

my $slow = in_background { my $res = $s->get('/long/slow', timeout => 15); return $res->{body} };
pid_of('slow');
$s->graceful;
is $s->get('/long/quick')->{body}, 'quick', 'after a graceful restart';
go();
is wait_background($slow), 'slow one', 'the script that ran has finished';

stay();
my $manager = $s->manager;
$slow = in_background { my $res = $s->get('/long/slow', timeout => 15); return $res->{body} };
my $pid = pid_of('slow');
kill 'KILL', $manager;
is $s->get('/long/quick', timeout => 15)->{body}, 'quick', 'a request while there is no manager waits for the next';
isnt $s->manager, $manager, 'there is another one';
ok $s->wait_log(qr/PRD0607.*script $pid adopted/), 'which has adopted the script';
go();
is wait_background($slow), 'slow one', 'which finishes';
waits(sub { ProxyCore::Groups::status($s, 'long')->{processes} == 0 }, 8, 'until it ended');

# One that the manager has heard and not begun, since both processes live on: its end is no answer.
stay();
$s->get('/two/lives-on') for 1 .. 2;
my %lost = map { my $c = $s->connect; $c->send($_); ($_ => $c) } "GET /two/quick HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /two/quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
waits(sub { ProxyCore::Groups::status($s, 'two')->{busy} == 2 }, 10, 'two requests wait with the manager');
$manager = $s->manager;
kill 'KILL', $manager;
waits(sub { my $pid = $s->manager; $pid && $pid != $manager }, 20, 'which is replaced');
go();
for my $request (sort keys %lost) {
    my ($method) = $request =~ /^(\w+)/;
    my $res = $lost{$request}->read_response;
    is $res->{status}, $method eq 'GET' ? 200 : 502, "$method: " . ($method eq 'GET' ? 'asked again' : 'may have begun, so it is not asked again');
}
stay();

$c = $s->connect;
$c->send("GET /long/sleep HTTP/1.1\r\nHost: localhost\r\n\r\n");
$pid = pid_of('sleep');
kill 'KILL', $_ for $s->children;
ok gone($pid), 'a child of httpd that is killed takes its scripts with it';
$c->close;
waits(sub { my $res = eval { $s->get('/long/quick') }; $res && ($res->{body} || '') eq 'quick' }, 10, 'and httpd goes on');
is ProxyCore::Groups::status($s, 'long')->{busy}, 0, 'with all permissions given back';

# ------------------------------------------------------------------ the end of all

my $last = $s->connect;
$last->send("GET /long/family HTTP/1.1\r\nHost: localhost\r\n\r\n");
unlink "$run/family";
poll_until { notes('family') } 5;
($n) = notes('family');
stay();
$s->get('/long/daemon');
$s->stop(signal => 'TERM');
ok !$n || (gone($n->[1]) && gone($n->[2])), 'at the end of httpd nothing is left';
done_testing;
