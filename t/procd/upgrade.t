#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Another version of mod_procd and of its manager, put in the place of those that run: both at once as a package does it, and
# one without the other. Requests in flight are answered, what does not fit together says so, and nothing stays behind.
# D3 D14
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use File::Copy ();

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir top_dir build_dir poll_until alive spew slurp run_capture children_of proc_stat);

my $dir = work_dir();
my $top = top_dir();
my $apxs = $ENV{APXS} || 'apxs';

# The same sources under other numbers.
my ($out, $rc) = run_capture('sh', '-ec', <<"SH");
mkdir $dir/next && cp -r $top/include $top/mod_procd $dir/next && cd $dir/next
sed -i 's/\\(define PROCD_RETAINED_VERSION\\) .*/\\1 1000/' mod_procd/procd_mod.h
sed -i 's/\\(define PROCD_TABLE_VERSION\\) .*/\\1 1000u/' mod_procd/table.h
sed -i 's/\\(define PROCD_WIRE_VERSION\\) .*/\\1 1000/' include/procd_wire.h
flags="-std=gnu11 -w -D_GNU_SOURCE -DPROCD_LIBEXECDIR='\\"/nowhere\\"' -Iinclude -Imod_procd \$(apr-1-config --cppflags --includes) -I\$($apxs -q INCLUDEDIR)"
eval cc \$flags -fPIC -shared -fvisibility=hidden mod_procd/*.c -o mod_procd.so
eval cc \$flags -Imod_procd/manager mod_procd/manager/*.c \$(sed -n 's/PROCD_SHARED := //p' mod_procd/sources.mk) -lpthread -o procd
SH
is $rc, 0, 'a version that is to come is built' or BAIL_OUT($out);
is scalar(grep { /VERSION 1000/ } map { split /\n/, slurp("$dir/next/$_") } 'mod_procd/procd_mod.h', 'mod_procd/table.h', 'include/procd_wire.h'), 3, 'with all three numbers';

mkdir "$dir/lib";
chmod 0755, $dir, "$dir/lib";
my %file = (now => { so => build_dir() . '/modules/mod_procd.so' }, next => { so => "$dir/next/mod_procd.so", procd => "$dir/next/procd" });
sub put { my ($from, $to) = @_; File::Copy::copy($from, "$to.new") or die "$from: $!"; chmod 0755, "$to.new"; rename "$to.new", $to or die; return }
my $s = ProxyCore::Groups::server(conf => "ProcdLease 20s\n" . ProxyCore::Groups::group('app', "SpawnProcesses 2", pool => "ProxyCoreQueue 10 timeout=1s\n"));
$file{now}{procd} = $s->manager_program;
sub install { my ($version, @what) = @_; put($file{$version}{$_}, $_ eq 'so' ? "$dir/lib/mod_procd.so" : "$dir/lib/procd") for @what; return }
install('now', qw(so procd));
my $text = $s->conf_text;
$text =~ s{^LoadModule procd_module .*$}{LoadModule procd_module $dir/lib/mod_procd.so}m;
$text =~ s{^ProcdManager .*$}{ProcdManager $dir/lib/procd}m;
spew($s->conf_file, $text);
$s->{conf_written} = 1;
$s->start;
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 30), $what }
sub answers { return (eval { $s->get('/app/', timeout => 20)->{status} } || 0) == 200 }
sub pids { return eval { ProxyCore::Groups::pids($s, 'app') } }
sub zombies { return grep { my @st = proc_stat($_); @st && $st[3] == $s->pid && $st[2] eq 'Z' } ProxyCore::Util::all_pids() }

# ------------------------------------------------------------------ both at once, there and back

for my $version (qw(next now)) {
    soon { pids() == 2 } 'two processes';
    my ($manager, @old) = ($s->manager, pids());
    my $c = $s->connect;
    $c->send("GET /app/?sleep=2000 HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until { ProxyCore::Groups::status($s, 'app')->{busy} == 1 } 20;
    my $mark = $s->mark;
    install($version, qw(so procd));
    kill 'USR1', $s->pid;
    ok $s->wait_log(qr/PRD0745: mod_procd was replaced by another version: the manager \(pid $manager\)/, 30, $mark), "version $version: said in the log";
    is $c->read_response(timeout => 30)->{status}, 200, 'the request in flight is answered';
    soon { answers() } 'served';
    soon { !grep { alive($_) } $manager, @old } 'the other version\'s manager and processes are gone';
    isnt $s->manager, $manager, 'another manager works';
    soon { !zombies() } 'nobody is left to be reaped';
}

# ------------------------------------------------------------------ one without the other

# The manager's file alone: what runs goes on, and only who has to start another manager notices.
soon { pids() == 2 } 'two processes';
my ($manager, @old) = ($s->manager, pids());
install('next', 'procd');
$s->graceful;
is_deeply [$s->manager, pids()], [$manager, @old], 'another manager in its file: a graceful restart changes nothing';
my $mark = $s->mark;
kill 'KILL', $manager;
ok $s->wait_log(qr/PRD0101: ending: mod_procd is of another version than this manager/, 30, $mark), 'killed: the other version does not take its place, and says why';
is scalar(grep { !answers() } 1 .. 10), 0, 'the processes serve meanwhile';
install('now', 'procd');
soon { $s->grep_log(qr/PRD0130: group app: process \d+ adopted/, $mark) == 2 } 'with the right file there is a manager again, which adopts them';
is_deeply [pids()], \@old, 'the same processes';

# The module alone.
$mark = $s->mark;
install('next', 'so');
kill 'USR1', $s->pid;
ok $s->wait_log(qr/PRD0101: ending: mod_procd is of another version than this manager/, 30, $mark), 'another module with this manager: said in the log';
is $s->get('/app/')->{status}, 504, 'a request waits for as long as ProxyCoreQueue has it';
ok alive($s->pid), 'httpd lives';
install('next', 'procd');
soon { answers() } 'with its manager there, it serves';
soon { !grep { alive($_) } @old } 'and the processes of before are gone';
soon { !zombies() } 'nobody is left to be reaped';
$s->stop;
done_testing;
