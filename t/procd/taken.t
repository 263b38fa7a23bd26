#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A child of httpd that was taken over writes garbage into all that it can: the children's half of the process table, the
# descriptors that it shares with the manager, their flags; what can be shut down it shuts down. The manager and httpd's
# parent live and go on working, other groups are served, CGI as well, nobody gets more processes than there may be, and no
# other user's rights. What was written over is put right without a restart when the attack is over.
# D1 G26 G31
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir top_dir build_dir poll_until slurp spew run_capture alive is_root descendants cmdline now patient);

plan skip_all => 'needs root' if !is_root(); # to see which descriptors are whose

my $dir = work_dir();
mkdir "$dir/build";
chmod 0755, $dir;
my $top = top_dir();
my $apxs = $ENV{APXS} || 'apxs';
my ($out, $rc) = run_capture('sh', '-c', "cc -std=gnu11 -fPIC -shared -O2 -Wall -Wextra -Werror -D_GNU_SOURCE \$(apr-1-config --cppflags --includes)"
    . " -I\$($apxs -q INCLUDEDIR) -I$top/include -I$top/mod_procd $top/t/procd/mod_procd_taken.c $top/mod_procd/door.c -o $dir/build/mod_procd_taken.so");
is $rc, 0, 'the module is built' or BAIL_OUT($out);

mkdir "$dir/cgi";
chmod 0755, "$dir/cgi";
ProxyCore::Scripts::script("$dir/cgi", 'hello', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello'\n");
my %max = (one => 3, other => 2, worn => 2);
my $s = ProxyCore::Groups::server(
    mpm_conf => "StartServers 2\nServerLimit 4\nThreadLimit 16\nThreadsPerChild 16\nMaxRequestWorkers 32\nMinSpareThreads 1\nMaxSpareThreads 32\n",
    conf => "LoadModule procd_taken_module $dir/build/mod_procd_taken.so\n<Location /taken>\n    SetHandler procd-taken\n</Location>\n"
        . join('', map { ProxyCore::Groups::group($_, "SpawnProcesses 1 $max{$_}\nSpawnConcurrency 4" . ($_ eq 'other' ? "\nSpawnUser nobody" : '') . ($_ eq 'worn' ? "\nSpawnMaxRequests 20" : '')) } sort keys %max)
        . ProxyCore::Scripts::group('cgi', "$dir/cgi", "SpawnProcesses 1 4\nSpawnScriptRoot $dir/cgi"))->start;
my $parent = $s->pid;
my ($manager) = $s->manager;
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 15), $what }
sub ctl { return run_capture('timeout', patient(10), build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_) }
sub row { my ($name) = @_; my $n = 0; for (@{ JSON::PP::decode_json($s->get('/procd?format=json')->{body})->{groups} }) { return $n if $_->{name} eq $name; $n++ } return }
is $s->get("/$_/")->{status}, 200, "$_ is served" for sort keys %max;
is $s->get('/cgi/hello')->{body}, 'hello', 'and a script';

# What a child shares with the manager: pipes, its connection for lines, and the doors.
sub links { my ($pid) = @_; return { map { (m{(\d+)$})[0] => readlink($_) // '' } glob "/proc/$pid/fd/*" } }
sub shared {
    my ($child) = @_;
    my %seqpacket = map { /^\S+ \S+ \S+ \S+ 0005 \S+ +(\d+)/ ? ("socket:[$1]" => 1) : () } split /\n/, slurp('/proc/net/unix');
    my %manager = map { $_ => 1 } values %{ links($manager) };
    my $mine = links($child);
    return sort { $a <=> $b } grep { $seqpacket{ $mine->{$_} } || $mine->{$_} =~ m{/door \(deleted\)$} || ($manager{ $mine->{$_} } && $mine->{$_} =~ /^pipe/) } keys %$mine;
}

my (%most, %uids, @other, @scripts, $slowest);
sub look {
    my %n;
    for my $pid (descendants($manager)) {
        # which is the manager's own until the program runs
        my $runs = cmdline($pid) !~ m{(?:^|/)procd(?: |$)};
        my ($uid) = (slurp("/proc/$pid/status") // '') =~ /^Uid:\t(\d+)/m or next;
        $n{total}++;
        $uids{$uid}++ if $runs;
    }
    $most{total} = $n{total} if ($n{total} || 0) > ($most{total} || 0);
    return;
}

sub attack {
    my ($what, $seconds) = @_;
    my $row = row('one');
    # Each connection may reach either child: the descriptors are the same numbers in both.
    # (After a restart the new ones are not there at once.)
    my @fds;
    poll_until { my ($child) = $s->children; @fds = $child ? shared($child) : (); @fds == 5 } 5;
    my $facts = $s->get("/taken?what=$what&row=$row&seconds=$seconds&fds=" . join('.', @fds))->{body};
    my ($pid) = $facts =~ /^pid=(\d+)/m or diag "no attack: $facts";
    like $facts, qr/^manager_half=closed$/m, "$what: the manager's half cannot be made writable";
    is scalar(@fds), 5, "$what: descriptors to misuse: @fds";
    my $until = now() + $seconds;
    while (now() < $until) {
        look();
        if ($what eq 'group') {
            my $begin = now();
            push @other, $s->get('/other/')->{status} // 'none';
            push @scripts, $s->get('/cgi/hello')->{status} // 'none';
            $slowest = now() - $begin if now() - $begin > ($slowest || 0);
        }
        select undef, undef, undef, 0.05;
    }
    my ($text, $code) = ctl('--json', 'status');
    ok $code != 124 && $text =~ /"manager"/, "$what: the manager answers while it lasts" or diag "$code $text";
    soon { !alive($pid) } "$what: it ends";
    return;
}

# Of a number of requests one after the other all must be answered, wherever they come to, in little time.
sub all_served {
    my ($when) = @_;
    for my $path (sort(map { "/$_/" } keys %max), '/cgi/hello') {
        ok poll_until(sub {
            for (1 .. 12) {
                my $begin = now();
                return 0 if ($s->get($path)->{status} // 0) != 200 || now() - $begin > 3;
            }
            return 1;
        }, 60), "$when: $path is served again";
    }
    return;
}

attack('group', 4);
is join(' ', grep { $_ ne 200 } @other), '', 'another group is served meanwhile: ' . scalar(@other) . ' requests';
# Whoever asks for a script comes through the same door as the attacker's hundreds, and may be turned out for one of them.
my $lost = grep { $_ ne 200 } @scripts;
cmp_ok $lost, '<=', 1 + @scripts / 3, 'and scripts are run: ' . (@scripts - $lost) . ' of ' . @scripts;
is scalar(grep { $_ eq 'none' } @scripts), 0, 'or refused';
soon { ($s->get('/cgi/hello')->{body} // '') eq 'hello' } 'and afterwards';
cmp_ok $slowest, '<', 30, sprintf 'without long waits (%.2f s)', $slowest;
all_served('a group');
$s->get('/taken?what=invent');
all_served('invented children');
ok $s->wait_log(qr/PRD0701: the process table was put right: \d+ rows/, 70), 'and the log tells, once a minute';
my $mark = $s->mark;
attack('all', 4);
all_served('all groups');
$mark = $s->mark;
kill 'USR1', $parent;
ok $s->wait_log(qr/configuration \d+ is in force/, 10, $mark), 'a graceful restart after it';
attack('locks', 3);
all_served('locks as well');
ok alive($parent), 'httpd\'s parent lives';
is_deeply [$s->manager], [$manager], 'and the same manager';
$mark = $s->mark;
kill 'USR1', $parent;
ok $s->wait_log(qr/configuration \d+ is in force/, 10, $mark), 'a graceful restart';

my $all = 0;
$all += $_ for values %max;
cmp_ok $most{total}, '<=', 2 * $all, "never more processes than are allowed and as many that end: $most{total}";
is_deeply [sort keys %uids], [sort((getpwnam('www-data'))[2], (getpwnam('nobody'))[2])], 'as the users of the definitions, nobody else';

# A manager that begins with such a table.
kill 'KILL', $manager;
my $new;
soon { ($new) = $s->manager; $new && $new != $manager } 'the manager is killed: another comes';
ok $s->wait_log(qr/configuration \d+ is in force/, 10, $mark), 'another manager works with what is left';
$mark = $s->mark;
kill 'HUP', $parent;
ok $s->wait_log(qr/configuration \d+ is in force/, 20, $mark), 'a restart begins anew';
for my $name (sort keys %max) {
    soon { ($s->get("/$name/")->{status} // 0) == 200 } "$name is served";
}
my @left = descendants($parent);
$s->stop(quiet => 1); # children whose locks were written over may have crashed
soon { !grep { alive($_) } @left } 'nothing is left';
done_testing;
