#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Many graceful restarts: nothing grows in the parent or in the manager. PC_BIG=1 makes it 1100, past the number of keys that a
# process may have.
# D3
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Groups;
use ProxyCore::Util qw(poll_until fd_count rss_kb thread_count big asan in_background wait_background patient);

# A sanitizer keeps what was freed, which would look as if it were still used.
my %small = asan() ? (env => { ASAN_OPTIONS => "$ENV{ASAN_OPTIONS}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0" }) : ();
$SIG{ALRM} = sub { die "too long\n" };
alarm(big() ? 1200 : patient(240));
my $s = ProxyCore::Groups::server(%small, conf => join '', map { ProxyCore::Groups::group("g$_", 'SpawnProcesses 1') } 1 .. 4)->start;
ok ProxyCore::Groups::wait_for($s, "g$_", 1), "group $_ runs" for 1 .. 4;
my @pids = map { ProxyCore::Groups::pids($s, "g$_") } 1 .. 4;
my $manager = $s->manager;

# What is there when the first few restarts have settled.
$s->graceful for 1 .. 5;
sub settled {
    my ($pid) = @_;
    my ($last, $same) = (-1, 0);
    poll_until { my $n = fd_count($pid); $same = $n == $last ? $same + 1 : 0; $last = $n; $same > 6 } 12;
    return $last;
}
my @before = (settled($s->pid), settled($manager), rss_kb($s->pid), rss_kb($manager));
my $n = big() ? 1100 : 40;
my $good = 0;
# Somebody asks all the while, also in the very moment of each restart.
my $load = in_background {
    my ($asked, $failed) = (0, 0);
    local $SIG{TERM} = sub { $n = 0 };
    while ($n) {
        my $r = eval { $s->get('/g2/', timeout => 10) } || {};
        last if !$n; # the signal that ends this may have cut it
        $asked++;
        $failed++ if ($r->{status} || 0) != 200 || !$r->{complete};
    }
    return "$asked $failed";
};
for (1 .. $n) {
    $s->graceful;
    $good++ if ($s->get('/g1/')->{status} || 0) == 200;
}
kill 'TERM', $load->{pid};
my ($asked, $failed) = split ' ', wait_background($load);
is $failed, 0, "under load: none of $asked requests failed";
is $good, $n, "$n graceful restarts: the application answers after each";
is_deeply [map { ProxyCore::Groups::pids($s, "g$_") } 1 .. 4], \@pids, 'no process was replaced';
is $s->manager, $manager, 'nor the manager';
# Old generations end one by one; then everything is as before.
ok poll_until(sub { $s->children <= 3 }, 15), 'the old children are gone';
cmp_ok settled($s->pid), '<=', $before[0] + 1, "descriptors of the parent: $before[0] before";
cmp_ok settled($manager), '<=', $before[1] + 1, "descriptors of the manager: $before[1] before";
SKIP: {
    skip "a sanitizer keeps freed memory", 2 if asan();
    cmp_ok rss_kb($s->pid) - $before[2], '<', 1000 + 40 * $n, 'memory of the parent: ' . (rss_kb($s->pid) - $before[2]) . ' KB more';
    cmp_ok rss_kb($manager) - $before[3], '<', 500 + $n, 'memory of the manager: ' . (rss_kb($manager) - $before[3]) . ' KB more';
}
is thread_count($s->pid), 1, 'the parent has no thread';
$s->stop;
done_testing;
