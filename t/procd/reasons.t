#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Whatever becomes of a process, log and status say why, in words that lead to what has to be mended; and programs that do
# what they should not harm nobody but their own group.
# P10 D22 D23 G35
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use JSON::PP qw(decode_json);
use POSIX ();

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir build_dir poll_until alive spew slurp run_capture is_root children_of cmdline);

my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
mkdir "$dir/closed", 0700;
spew("$dir/$_->[0]", $_->[1], $_->[2]) for ['zero', "#!/bin/sh\nexit 0\n", 0755], ['three', "#!/bin/sh\nexit 3\n", 0755], ['plain', "exit 0\n", 0755],
    ['lacks', "#!/no/such/interpreter\n", 0755], ['data', "#!/bin/sh\n", 0644], ['deaf', "#!/bin/sh\nexec sleep 1000\n", 0755],
    ['closes', "#!/usr/bin/perl\nuse POSIX; POSIX::close(0); sleep 1000;\n", 0755],
    ['binary', "#!/usr/bin/perl\nprint STDERR pack('C*', 1 .. 255), qq{\\n}, 'x' x 100000, qq{\\n\\n\\0\\n}, 'no line feed'; exec '$echo';\n", 0755],
    ['family', "#!/bin/sh\n(trap '' TERM; exec sleep 998) &\nexec $echo\n", 0755];

# Programs that never serve: what is said about each. [definition, reason]
my %never = (
    zero    => ["SpawnCommand $dir/zero", qr/^exited with status 0 before it accepted a connection: it has to stay in the foreground$/],
    three   => ["SpawnCommand $dir/three", qr/^exited with status 3$/],
    plain   => ["SpawnCommand $dir/plain", qr{^cannot run SpawnCommand \Q$dir\E/plain: Exec format error \(a script begins with #! }],
    lacks   => ["SpawnCommand $dir/lacks", qr{^cannot run SpawnCommand \Q$dir\E/lacks: No such file or directory \(it is there, its interpreter is not\)$}],
    data    => ["SpawnCommand $dir/data", qr{^cannot run SpawnCommand \Q$dir\E/data: Permission denied \(it is not executable\)$}],
    folder  => ["SpawnCommand $dir/closed", qr{^cannot run SpawnCommand \Q$dir\E/closed: Permission denied \(it is a directory\)$}],
    missing => ["SpawnCommand $dir/none", qr{^cannot run SpawnCommand \Q$dir\E/none: No such file or directory$}],
    nowhere => ["SpawnCommand $echo\nSpawnDirectory $dir/none", qr{^cannot enter SpawnDirectory \Q$dir\E/none: No such file or directory$}],
    deaf    => ["SpawnCommand $dir/deaf\nSpawnStartTimeout 1s", qr/^did not accept a connection within 1 s$/],
    closes  => ["SpawnCommand $dir/closes\nSpawnStartTimeout 1s", qr/^did not accept a connection within 1 s$/],
    is_root() ? (closed => ["SpawnCommand $echo\nSpawnDirectory $dir/closed", qr{^cannot enter SpawnDirectory \Q$dir\E/closed: Permission denied$}],
        jail  => ["SpawnCommand $echo\nSpawnChroot $dir/none", qr{^cannot enter SpawnChroot \Q$dir\E/none: No such file or directory$}]) : (),
);
my @serving = (lives => '', idles => "SpawnProcesses 0 1\nSpawnIdleTimeout 1s", wears => "SpawnProcesses 1\nSpawnMaxRequests 3", ages => "SpawnProcesses 1\nSpawnMaxAge 1s",
    stubborn => "SpawnProcesses 1\nSpawnCommand $echo -h 15\nSpawnStopTimeout 1s", binary => "SpawnProcesses 1\nSpawnCommand $dir/binary",
    family => "SpawnProcesses 1\nSpawnCommand $dir/family\nSpawnStopTimeout 1s", core => "SpawnProcesses 1\nSpawnLimit core 0");
my %serving = @serving;
sub conf {
    my ($more) = @_;
    return join '', (map { ProxyCore::Groups::group($_, "SpawnProcesses 1\nSpawnRestart backoff=100ms..20s\n$never{$_}[0]") } sort keys %never),
        (map { ProxyCore::Groups::group($_, $serving{$_} . ($_ eq 'lives' ? "SpawnProcesses 1\nSpawnEnvironment V=$more" : '')) } sort keys %serving),
        ProxyCore::Groups::status_conf();
}
my $s = ProxyCore::Server->new(procd => 1, loglevel => 'info procd:debug', conf => conf(1))->start;
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 30), $what }
sub ctl { my ($out) = run_capture(build_dir() . '/bin/procctl', '-j', '-s', $s->dir . '/run/procd/control', @_); return eval { decode_json($out) } || {} }
sub of { my ($name) = @_; return (grep { $_->{name} eq $name } @{ ctl('status', $name)->{groups} || [] })[0] || {} }
sub last_end { my ($name) = @_; my $ends = of($name)->{ends} || []; return @$ends ? $ends->[-1]{why} : '' }
sub facts { return ProxyCore::Groups::facts($s->get($_[0])) }

# ------------------------------------------------------------------ programs that never serve

for my $name (sort keys %never) {
    my $reason = $never{$name}[1];
    soon { last_end($name) =~ $reason } "$name: what became of its process" or diag last_end($name);
    soon { of($name)->{state} eq 'failing' } "$name: the group is failing";
    my $why = of($name)->{why}; # of which the table keeps 127 bytes
    ok length $why > 15 && index(last_end($name), $why) == 0, "$name: for that reason" or diag $why;
    my $text = "$reason" =~ s/\(\?\^u?:\^(.*?)\$?\)\z/$1/sr;
    ok $s->wait_log(qr/group $name: (?:process \d+ )?$text/, 10), "$name: which the log says" or diag $text;
    # one may still reach a process that was just started and is about to end
    soon { $s->get("/$name/")->{status} == 503 } "$name: requests are refused";
}

# ------------------------------------------------------------------ ends of processes that did

# group, what is done about it, what log and status say
my @ends = (
    ['lives', sub { kill 'SEGV', $_[0] }, qr/^was killed by SIGSEGV(?: \(core dumped\))?$/],
    ['core', sub { kill 'ABRT', $_[0] }, qr/^was killed by SIGABRT$/],
    ['lives', sub { $s->get('/lives/?exit=11') }, qr/^exited with status 11$/],
    ['lives', sub { $s->get('/lives/?exit=0') }, qr/^exited with status 0$/], # it has answered before
    ['idles', sub { }, qr/^idle$/],
    ['wears', sub { $s->get('/wears/') for 1 .. 4 }, qr/^retired after \d+ requests$/],
    ['ages', sub { }, qr/^age \d+ s over 1 s$/],
    ['lives', sub { $s->set_conf(conf(2)); $s->graceful }, qr/^replaced by a new definition$/],
    ['lives', sub { ctl('restart', 'lives') }, qr/^restarted by procctl$/],
    ['stubborn', sub { ctl('restart', 'stubborn') }, qr/^restarted by procctl \(killed: it did not stop in time\)$/],
    ['binary', sub { ctl('stop', 'binary') }, qr/^stopped by procctl$/],
);
for my $case (@ends) {
    my ($name, $do, $reason) = @$case;
    poll_until { facts("/$name/")->{'app.pid'} } 30;
    my $pid = facts("/$name/")->{'app.pid'};
    my $mark = $s->mark;
    $do->($pid);
    my $end;
    soon { ($end) = grep { $_->{pid} == $pid } @{ of($name)->{ends} || [] }; $end } "$name: a process ends";
    like $end->{why}, $reason, "$name: and why";
    my $words = $end->{why} =~ s/ \(killed: .*//r;
    ok $s->wait_log(qr/group $name: process $pid (?:.*\(\Q$words\E\)$|\Q$words\E)/m, 10, $mark), 'said in the log';
}

# ------------------------------------------------------------------ what they write and leave behind

my $log = slurp($s->log_file);
ok $log =~ /\[binary\] \\x01\\x02.*\n.*\[binary\] \\x0b.*\\x7f/, 'bytes of all kinds are escaped';
ok $log !~ /[\x00-\x08\x0b-\x1f]/, 'so that none of them is in the log';
ok $log =~ /\[binary\] x{8192} \[cut\]$/m, 'a line without an end is cut';
my ($sleeper) = grep { cmdline($_) =~ /sleep 998/ } map { children_of($_) } ProxyCore::Groups::pids($s, 'family');
ok $sleeper, 'a process with a child that ignores TERM';
ctl('restart', 'family');
soon { !alive($sleeper) } 'which goes with it';
is facts('/lives/')->{status}, 200, 'nobody else has suffered';
spew($s->log_file, $s->log_since(0) =~ s/was killed by SIG(?:SEGV|ABRT)/was killed by the test/gr);
$s->stop;
done_testing;
