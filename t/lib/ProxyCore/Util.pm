# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What every test needs: a work directory, ports, polling, processes. Nothing here sleeps for a fixed time: a test waits
# with poll_until() for what it wants to see.
#
# Limits of two seconds or more, here and in ProxyCore::Conn, are for what must come: on a machine that is busy with other
# things it comes later, so they are taken times PC_PATIENCE (5). Shorter ones are what they say: they show that nothing
# comes, or let time pass.
package ProxyCore::Util;

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw(:flock O_RDWR O_CREAT);
use File::Basename qw(basename dirname);
use File::Path qw(remove_tree make_path);
use IO::Socket::INET;
use List::Util qw(max);
use POSIX ();
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(top_dir build_dir backend_program work_dir free_port poll_until slurp spew run_capture
    descendants proc_stat rss_kb fd_count thread_count alive now start_child stop_child children_of crc32 big
    in_background wait_background mpm front asan is_root user_ids cmdline listens patient let_pass best_time);

sub now { return time }

# A limit for what must come, in seconds.
sub patient { my ($seconds) = @_; return $seconds < 2 ? $seconds : $seconds * ($ENV{PC_PATIENCE} || 5) }

# No test hangs the suite.
$SIG{ALRM} = sub { die "time limit of $0\n" };
alarm($ENV{PC_TEST_TIMEOUT} || patient(200));

# The repository, found from this file.
sub top_dir {
    my $top = dirname(__FILE__) . '/../../..';
    return Cwd::abs_path($top);
}
require Cwd;

# PC_BUILD, default out: where `make` has put modules and programs.
sub build_dir {
    my $build = $ENV{PC_BUILD} || 'out';
    return $build =~ m{^/} ? $build : top_dir() . "/$build";
}

sub mpm   { return $ENV{PC_MPM}   || 'event' }
sub front { return $ENV{PC_FRONT} || 'h1' }
sub asan  { return $ENV{PC_PRELOAD} ? 1 : 0 }
sub big   { return $ENV{PC_BIG} ? 1 : 0 }
sub is_root { return $> == 0 }

# A program of t/backends, compiled when it is missing or older than its source.
my %libs = (tiny => ['-static'], fcgi_echo => ['-lfcgi', '-lpthread'], http_echo => ['-lpthread'],
    script_forger => [map({ top_dir() . "/mod_procd/$_.c" } qw(wire close_aside door script_wire line_wire)), '-D_GNU_SOURCE', '-I' . top_dir() . '/include']);
sub backend_program {
    my ($name) = @_;
    my $dir = build_dir() . '/t/bin';
    my ($src, $bin) = (top_dir() . "/t/backends/$name.c", "$dir/$name");
    my $changed = max map { (stat)[9] } $src, grep({ /\.c$/ } @{ $libs{$name} || [] }), glob top_dir() . '/{t/backends,include}/*.h';
    return $bin if -x $bin && (stat _)[9] >= $changed;
    make_path($dir);
    sysopen(my $lock, "$dir/.lock", O_RDWR | O_CREAT) or die "$dir/.lock: $!";
    flock($lock, LOCK_EX);
    if (!-x $bin || (stat $bin)[9] < $changed) {
        my @cmd = ($ENV{CC} || 'cc', qw(-std=gnu11 -O2 -Wall -Wextra -Werror -o), $bin, $src, @{ $libs{$name} || [] });
        system(@cmd) == 0 or die "cannot build $bin: @cmd\n";
    }
    return $bin;
}

# A directory for this test process, short enough for unix sockets, readable by the server's user. It is removed at the
# end unless the test failed (or PC_KEEP is set).
my $work;
my $owner = $$;
my @keep_locks;
sub work_dir {
    if (!defined $work) {
        my $name = basename($0);
        $name =~ s/\.t$//;
        $work = ($ENV{PC_WORK} || '/tmp') . '/pct-' . substr($name, 0, 24) . "-$$";
        remove_tree($work);
        make_path("$work/htdocs", "$work/logs", "$work/run");
        chmod 0755, $work, "$work/htdocs";
        chmod 0777, "$work/logs";
        if (is_root()) {
            my ($uid, $gid) = user_ids();
            chown $uid, $gid, "$work/run";
        }
    }
    return $work;
}

# uid and gid of the user that httpd's children take.
sub user_ids {
    return ($>, $) + 0) if !is_root();
    my @pw = getpwnam('www-data') or die "no user www-data\n";
    return ($pw[2], $pw[3]);
}

END {
    if (defined $work && $$ == $owner) {
        my $status = $?;
        my $failed = $status || (Test::More->can('builder') && !Test::More->builder->is_passing);
        if ($failed || $ENV{PC_KEEP}) {
            print STDERR "# kept: $work\n";
        }
        else {
            remove_tree($work);
        }
        $? = $status;
    }
}

# A loopback port of this test's own: a lock file holds it against tests that run at the same time, and the first user
# binds it. PC_PORTS=from-to.
sub free_port {
    my ($from, $to) = ($ENV{PC_PORTS} || '18300-18499') =~ /^(\d+)-(\d+)$/ or die "PC_PORTS: FROM-TO\n";
    my $dir = "/tmp/pct-ports-$>";
    make_path($dir);
    my $n = $to - $from + 1;
    my $first = $$ % $n;
    for my $i (0 .. $n - 1) {
        my $port = $from + ($first + $i) % $n;
        sysopen(my $lock, "$dir/$port", O_RDWR | O_CREAT) or next;
        next if !flock($lock, LOCK_EX | LOCK_NB);
        my $try = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1);
        next if !$try;
        close $try;
        push @keep_locks, $lock;
        return $port;
    }
    die "no free port in $from-$to\n";
}

# Does anybody listen on this loopback port? The kernel's table begins with the listeners; what follows may be tens of
# thousands of connections that just ended.
sub listens {
    my ($port) = @_;
    my $want = sprintf ' 0100007F:%04X ', $port;
    open(my $fh, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!";
    my $line = <$fh>;
    while (defined($line = <$fh>) && $line =~ /^\s*\d+: \S+ \S+ 0A /) {
        return 1 if index($line, $want) >= 0;
    }
    return 0;
}

# Call $code until it is true. Returns what it returned, or its last (false) value when the time is over.
sub poll_until(&;$) {
    my ($code, $timeout) = @_;
    my $end = time + patient($timeout || 10);
    my $pause = 0.002;
    my $got;
    while (!($got = $code->())) {
        return $got if time > $end;
        sleep $pause;
        $pause = $pause * 1.5 if $pause < 0.05;
    }
    return $got;
}

# Where time itself is what a test needs.
sub let_pass { my ($seconds) = @_; my $end = time + $seconds; while ((my $left = $end - time) > 0) { sleep $left } return }

# The time that $code takes when nothing else is in its way: the best of ten, or the first one below $bound.
sub best_time(&$) {
    my ($code, $bound) = @_;
    my $best;
    for (1 .. 10) {
        my $start = time;
        $code->();
        my $took = time - $start;
        $best = $took if !defined $best || $took < $best;
        last if $best < $bound;
    }
    return $best;
}

sub slurp {
    my ($file) = @_;
    open(my $fh, '<:raw', $file) or return undef;
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

sub spew {
    my ($file, $text, $mode) = @_;
    make_path(dirname($file));
    open(my $fh, '>:raw', $file) or die "$file: $!";
    print {$fh} $text;
    close $fh;
    chmod $mode, $file if defined $mode;
    return $file;
}

# Run a command; (output of both streams, exit status).
sub run_capture {
    my (@cmd) = @_;
    my $pid = open(my $fh, '-|');
    defined $pid or die "fork: $!";
    if (!$pid) {
        open(STDERR, '>&', \*STDOUT);
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }
    local $/;
    my $out = <$fh>;
    close $fh;
    return (defined $out ? $out : '', $? >> 8 || $? & 127);
}

# ------------------------------------------------------------------ processes

# Orphans of what we start come back to us instead of to init: nothing can hide from descendants().
my $reaper = eval { syscall(157, 36, 1, 0, 0, 0) };

# Process status fields: (pid, comm, state, ppid, pgrp, session).
sub proc_stat {
    my ($pid) = @_;
    my $text = slurp("/proc/$pid/stat");
    return if !defined $text || $text !~ /^(\d+) \((.*)\) (\S) (-?\d+) (-?\d+) (-?\d+)/s;
    return ($1, $2, $3, $4, $5, $6);
}

sub alive {
    my ($pid) = @_;
    my @st = proc_stat($pid);
    return @st && $st[2] ne 'Z' ? 1 : 0;
}

sub cmdline {
    my ($pid) = @_;
    my $text = slurp("/proc/$pid/cmdline");
    return '' if !defined $text;
    $text =~ s/\0/ /g;
    $text =~ s/ $//;
    return $text;
}

sub all_pids {
    opendir(my $dh, '/proc') or die;
    return grep { /^\d+$/ } readdir $dh;
}

sub children_of {
    my ($parent) = @_;
    return grep { my @st = proc_stat($_); @st && $st[3] == $parent } all_pids();
}

# Every live process below $root (default this test), zombies left out.
sub descendants {
    my ($root) = @_;
    $root ||= $$;
    my %kids;
    for my $pid (all_pids()) {
        my @st = proc_stat($pid) or next;
        push @{ $kids{ $st[3] } }, $pid if $st[2] ne 'Z';
    }
    my @found;
    my @todo = ($root);
    while (defined(my $pid = shift @todo)) {
        push @found, @{ $kids{$pid} || [] };
        push @todo,  @{ $kids{$pid} || [] };
    }
    return sort { $a <=> $b } @found;
}

sub status_field {
    my ($pid, $field) = @_;
    my $text = slurp("/proc/$pid/status");
    return defined $text && $text =~ /^\Q$field\E:\s+(\d+)/m ? $1 : undef;
}

sub rss_kb       { return status_field($_[0], 'VmRSS') }
sub thread_count { return status_field($_[0], 'Threads') }

sub fd_count {
    my ($pid) = @_;
    opendir(my $dh, "/proc/$pid/fd") or return undef;
    return scalar grep { /^\d+$/ } readdir $dh;
}

# Start a program: start_child({ cwd =>, out => FILE, env => {}, stdin => FH, user => 1 }, @cmd). Returns its pid. It ends with us.
my %started;
sub start_child {
    my $opt = ref $_[0] ? shift : {};
    my @cmd = @_;
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        POSIX::setsid();
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE CHLD);
        my $out = $opt->{out} || '/dev/null';
        open(STDIN, '<', '/dev/null') if !$opt->{stdin};
        POSIX::dup2(fileno($opt->{stdin}), 0) if $opt->{stdin};
        open(STDOUT, '>>', $out);
        open(STDERR, '>&', \*STDOUT);
        chdir $opt->{cwd} if $opt->{cwd};
        while (my ($k, $v) = each %{ $opt->{env} || {} }) {
            defined $v ? ($ENV{$k} = $v) : delete $ENV{$k};
        }
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }
    $started{$pid} = $cmd[0];
    return $pid;
}

# End a program started with start_child; its exit status.
sub stop_child {
    my ($pid, $signal, $timeout) = @_;
    delete $started{$pid};
    kill $signal || 'TERM', $pid;
    my $status;
    my $gone = poll_until { my $rc = waitpid($pid, POSIX::WNOHANG()); $status = $?; $rc != 0 } $timeout || 10;
    if (!$gone) {
        kill 'KILL', $pid;
        waitpid($pid, 0);
        return undef;
    }
    return $status;
}

# A child that the caller has waited for.
sub forget_child { delete $started{ $_[0] }; return }

# Run $code in a child process; wait_background() gives what it returned (a string).
sub in_background(&) {
    my ($code) = @_;
    pipe(my $r, my $w) or die "pipe: $!";
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        close $r;
        my $text = eval { $code->() };
        $text = "died: $@" if $@;
        print {$w} defined $text ? $text : '';
        close $w;
        POSIX::_exit(0);
    }
    close $w;
    $started{$pid} = 'background';
    return { pid => $pid, fh => $r };
}

sub wait_background {
    my ($job) = @_;
    local $/;
    my $text = readline $job->{fh};
    waitpid($job->{pid}, 0);
    delete $started{ $job->{pid} };
    return $text;
}

END {
    if ($$ == $owner) {
        my $status = $?;
        kill 'KILL', keys %started if %started;
        waitpid($_, 0) for keys %started;
        $? = $status;
    }
}

# ------------------------------------------------------------------ numbers

my @crc_table = map {
    my $c = $_;
    $c = $c & 1 ? 0xEDB88320 ^ ($c >> 1) : $c >> 1 for 1 .. 8;
    $c
} 0 .. 255;

# CRC-32 as fcgi_echo and http_echo print it. zlib's when it is there, it is faster.
my $zlib = eval { require Compress::Raw::Zlib; 1 };
sub crc32 {
    my ($bytes) = @_;
    return sprintf '%08x', Compress::Raw::Zlib::crc32($bytes) if $zlib;
    my $c = 0xFFFFFFFF;
    $c = $crc_table[($c ^ $_) & 0xFF] ^ ($c >> 8) for unpack 'C*', $bytes;
    return sprintf '%08x', $c ^ 0xFFFFFFFF;
}

1;
