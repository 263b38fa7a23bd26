#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# How many processes there are while a group rolls over, starts and shrinks: at most MAX and one, sixteen on their way at
# once, and never one less that is busy.
# D3 D7 D8 D21 G13 G14
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(work_dir build_dir poll_until alive now spew slurp in_background wait_background children_of cmdline run_capture);

my $MAX = 8;
my $dir = work_dir();
my $echo = ProxyCore::Groups::program('fastcgi');
spew("$dir/release", "1\n");
spew("$dir/gated", "#!/bin/sh\nwhile [ ! -e $dir/open ]; do sleep 0.1; done\nexec $echo -i gated\n", 0755);
sub conf {
    my (%lines) = (roll => "SpawnProcesses $MAX", falls => 'SpawnProcesses 6', @_);
    return join '', ProxyCore::Groups::group('roll', "$lines{roll}\nSpawnCommand $echo -i roll\nSpawnWatch $dir/release", pool => "ProxyCoreQueue 100 timeout=100s\n"),
        ProxyCore::Groups::group('falls', "$lines{falls}\nSpawnCommand $echo -i falls"),
        ProxyCore::Groups::group('gated', "SpawnProcesses 40\nSpawnCommand $dir/gated"),
        ProxyCore::Groups::group('quick', 'SpawnProcesses 0 1'),
        ProxyCore::Groups::group('shrinks', "SpawnProcesses 1 6\nSpawnIdleTimeout 1s\nSpawnCommand $echo -i shrinks"), ProxyCore::Groups::status_conf();
}
my $s = ProxyCore::Server->new(procd => 1, loglevel => 'info procd:debug', conf => conf())->start;
sub ctl { my ($out, $rc) = run_capture(build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_); return $rc ? diag $out : 1 }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 30), $what }
# What there really is, whatever it is called. Whoever has ended while the list was made is not there at the same time as
# who has come meanwhile.
sub processes { my ($name) = @_; my @seen = grep { cmdline($_) =~ / -i $name$/ } children_of($s->manager); return grep { alive($_) } @seen }
sub slow { my ($path) = @_; my $c = $s->connect; $c->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n"); return $c }

# ------------------------------------------------------------------ starts

soon { ProxyCore::Groups::status($s, 'gated')->{starting} == 16 } 'forty processes that do not accept yet: sixteen are started';
is $s->get('/quick/')->{status}, 200, 'another group is not held up by them';
is ProxyCore::Groups::status($s, 'gated')->{started}, 16, 'nor are more started while none of them is ready';
spew("$dir/open", '');
soon { ProxyCore::Groups::status($s, 'gated')->{processes} == 40 } 'then one after the other, until there are forty';

# ------------------------------------------------------------------ rolling over

ok ProxyCore::Groups::wait_for($s, 'roll', $MAX, 30), "$MAX processes";
for my $case (['procctl restart', sub { ctl('restart', 'roll') }],
    ['a touched file', sub { spew("$dir/release", "2\n") }],
    ['a changed definition', sub { $s->set_conf(conf(roll => "SpawnProcesses $MAX\nSpawnEnvironment V=2")); $s->graceful }]) {
    my ($what, $do) = @$case;
    my @old = processes('roll');
    my @jobs = map { in_background {
        my ($ok, $bad, $stop) = (0, '', 0);
        local $SIG{TERM} = sub { $stop = 1 };
        while (!$stop) {
            my $res = eval { $s->get('/roll/?sleep=20', timeout => 30) } || {};
            last if $stop; # which may have cut it
            ($res->{status} || 0) == 200 && $res->{complete} ? $ok++ : ($bad .= ' ' . ($res->{status} || 'none'));
        }
        return "$ok|$bad";
    } } 1 .. 3;
    my $long = slow('/roll/?sleep=1200');
    my ($most, $least) = (0, 99);
    $do->();
    soon {
        my $n = processes('roll');
        $most = $n if $n > $most;
        my $ready = (eval { ProxyCore::Groups::status($s, 'roll')->{processes} }) // $MAX;
        $least = $ready if $ready < $least;
        !grep { alive($_) } @old;
    } "$what: all processes are replaced";
    cmp_ok $most, '<=', $MAX + 1, "$what: never more than MAX and one ($most)";
    cmp_ok $least, '>=', $MAX - 1, "$what: those that serve are hardly fewer ($least)";
    is $long->read_response(timeout => 30)->{status}, 200, "$what: a long request is answered";
    kill 'TERM', map { $_->{pid} } @jobs;
    my ($n, $failed) = (0, '');
    for (map { wait_background($_) } @jobs) { my ($ok, $bad) = split /\|/, $_, 2; $n += $ok; $failed .= $bad }
    is $failed, '', "$what: none of $n requests failed";
    ok ProxyCore::Groups::wait_for($s, 'roll', $MAX, 30), "$what: as many as before";
}

# ------------------------------------------------------------------ fewer

# A maximum that is less than what there is.
ok ProxyCore::Groups::wait_for($s, 'falls', 6, 30), 'six processes';
my @slow = map { slow('/falls/?sleep=6000') } 1 .. 6;
soon { ProxyCore::Groups::status($s, 'falls')->{busy} == 6 } 'all of them busy';
$s->set_conf(conf(roll => "SpawnProcesses $MAX\nSpawnEnvironment V=2", falls => 'SpawnProcesses 2'));
$s->graceful;
is join(' ', map { $_->read_response(timeout => 30)->{status} // 'none' } @slow), '200 200 200 200 200 200', 'a definition with at most two: all are answered';
soon { processes('falls') == 2 } 'two are left';

# Busy for longer than SpawnIdleTimeout, while others are idle; and then procctl wants fewer.
@slow = map { slow('/shrinks/?sleep=7000') } 1 .. 3;
soon { ProxyCore::Groups::status($s, 'shrinks')->{busy} == 3 } 'three of a group that shrinks are busy';
my @short = map { slow('/shrinks/?sleep=200') } 1 .. 3;
is join(' ', map { $_->read_response(timeout => 30)->{status} // 'none' } @short), '200 200 200', 'and three more for a moment';
ctl('scale', 'shrinks', 1, 1);
soon { processes('shrinks') <= 4 } 'idle ones end';
is join(' ', map { $_->read_response(timeout => 30)->{status} // 'none' } @slow), '200 200 200', 'busy ones do not: all are answered';
soon { processes('shrinks') == 1 } 'down to MIN afterwards';
$s->stop;
done_testing;
