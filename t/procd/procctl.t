#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# procctl against a live manager: what it shows, what it orders, who may.
# D20 D21 D22 G26 P10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use IO::Socket::UNIX;
use JSON::PP qw(decode_json);
use Socket qw(SOCK_SEQPACKET);

use ProxyCore::Groups;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir build_dir top_dir poll_until alive slurp spew is_root user_ids);

my $dir = work_dir();
my $procctl = build_dir() . '/bin/procctl';
my $echo = ProxyCore::Groups::program('fastcgi');
spew("$dir/dies", "#!/bin/sh\necho no such database >&2\nexit 7\n", 0755);
my $s = ProxyCore::Groups::server(conf => join '',
    ProxyCore::Groups::group('php', "SpawnProcesses 2 4\nSpawnCommand $echo -s \"early words\""),
    ProxyCore::Groups::group('other', "SpawnProcesses 1"),
    ProxyCore::Groups::group('rests', "SpawnProcesses 0 2"),
    ProxyCore::Groups::group('broken', "SpawnProcesses 1\nSpawnCommand $dir/dies\nSpawnRestart backoff=50ms..400ms"),
    "<Location /server-status>\n    SetHandler server-status\n</Location>\n");
$s->start;
our $socket = "$dir/run/procd/control";
($socket) = glob($s->dir . '/run/procd/control') if !-S $socket;

# Output, error output and exit status.
sub ctl {
    my (@args) = @_;
    my $pid = open(my $out, '-|') // die;
    if (!$pid) {
        open STDERR, '>', "$dir/stderr";
        exec $procctl, '-s', $socket, @args;
        exit 127;
    }
    my $text = do { local $/; <$out> };
    close $out;
    return { out => $text // '', err => slurp("$dir/stderr") // '', code => $? >> 8 };
}
sub ctl_json { my $r = ctl('--json', @_); return eval { decode_json($r->{out}) } || diag "not JSON: $r->{out} $r->{err}" }
sub of { my ($name) = @_; my ($g) = grep { $_->{name} eq $name } @{ ctl_json('status')->{groups} }; return $g }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }
sub pids { return ProxyCore::Groups::pids($s, $_[0]) }

soon { -S $socket } 'there is a control socket';
is sprintf('%o', (stat $socket)[2] & 07777), '600', 'the socket is for its owner alone';

sub graceful {
    my $mark = $s->mark;
    kill 'USR1', $s->pid;
    return ok $s->wait_log(qr/configuration \d+ is in force/, 10, $mark), 'a graceful restart';
}

# status
ok ProxyCore::Groups::wait_for($s, 'php', 2), 'two processes';
my $f = ProxyCore::Groups::facts($s->get('/php/'));
my $g = of('php');
is_deeply [@$g{qw(state min max processes busy)}], ['active', 2, 4, 2, 0], 'status as JSON' or diag explain $g;
is_deeply [sort map { $_->{pid} } @{ $g->{list} }], [sort(pids('php'))], 'its processes';
is $g->{requests}, 1, 'requests are counted';
my ($p) = grep { $_->{pid} == $f->{'app.pid'} } @{ $g->{list} };
ok $p && $p->{rss} > 100 && $p->{address} =~ m{^unix:/} && $p->{state} eq 'ready' && $p->{requests} == 1, 'address, state, requests, memory and pid of each'
    or diag explain $p;
my $r = ctl('status', 'php');
like $r->{out}, qr/^group php: active, processes 2 \(2 to 4\)/m, 'status as text';
is $r->{code}, 0, 'and exit status 0';
unlike $r->{out}, qr/group other/, 'of one group';

# A crash loop shows: refused, with a reason and the application's last words.
ok $s->wait_log(qr/PRD0125: group broken: starts keep failing \(exited with status 7\).*its last output: no such database/, 10),
    'a crash loop says why, with the last output';
is $s->get('/broken/')->{status}, 503, 'requests are refused meanwhile';
$g = of('broken');
is $g->{state}, 'failing', 'the state says so';
like $g->{ends}[-1]{why}, qr/^exited with status 7$/, 'and what became of its processes';
is ctl('status', 'broken')->{code}, 4, 'exit status 4: it serves nobody';

# scale
is ctl('scale', 'php', 3, 5)->{code}, 0, 'scale';
ok ProxyCore::Groups::wait_for($s, 'php', 3), 'three at least';
is_deeply [@{ of('php') }{qw(min max scaled)}], [3, 5, 1], 'shown as scaled';
graceful();
is of('php')->{min}, 3, 'does not end it';
is ctl('scale', 'php', 'default')->{code}, 0, 'scale to what is configured';
is_deeply [@{ of('php') }{qw(min max scaled)}], [2, 4, 0], 'is what it was';
like ctl('scale', 'php', 9, 3)->{err}, qr/MIN must not be more than MAX/, 'a wrong scale says what is wrong';

# restart: replacements first, no request fails
my @old = pids('php');
my $stop = 0;
my $conn = $s->connect;
is ctl('restart', 'php')->{code}, 0, 'restart';
my ($answered, $failed) = (0, 0);
poll_until {
    my $res = $s->get('/php/');
    ($res->{status} || 0) == 200 ? $answered++ : $failed++;
    !grep { alive($_) } @old;
} 10;
is scalar(grep { alive($_) } @old), 0, 'the old ones are gone';
is $failed, 0, "no request failed ($answered answered)";
ok ProxyCore::Groups::wait_for($s, 'php', 3), 'as many new ones';
like join('|', map { $_->{why} } @{ of('php')->{ends} }), qr/restarted by procctl/, 'which is remembered';
my @other = pids('other');

# stop and start
@old = pids('php');
is ctl('stop', 'php')->{code}, 0, 'stop';
soon { !grep { alive($_) } @old } 'its processes end';
$r = $s->get('/php/');
is $r->{status}, 503, 'requests are refused';
is of('php')->{state}, 'stopped', 'stopped';
is of('php')->{why}, 'stopped by procctl', 'by whom';
graceful();
is of('php')->{state}, 'stopped', 'does not start it';
is scalar(pids('php')), 0, 'nor does anything else';
is_deeply [pids('other')], \@other, 'other groups are left alone';
is ctl('start', 'php')->{code}, 0, 'start';
ok ProxyCore::Groups::wait_for($s, 'php', 2), 'its processes are back';
is $s->get('/php/')->{status}, 200, 'and answer';
is ctl('start', 'rests')->{code}, 0, 'start of one with MIN 0';
ok ProxyCore::Groups::wait_for($s, 'rests', 1), 'starts one';

# logs
$r = ctl('logs', 'php');
like $r->{out}, qr/\[php\] early words$/m, 'logs: the last lines';
my $pid = open(my $lines, '-|', $procctl, '-s', $socket, 'logs', 'php', '-f') or die;
my $seen = '';
sub more { my $in = ''; vec($in, fileno $lines, 1) = 1; return select($in, undef, undef, 0.1) && sysread($lines, $seen, 8192, length $seen) }
poll_until { more(); $seen =~ /early words/ } 5;
my $before = () = $seen =~ /early words/g;
ctl('restart', 'php');
soon { more(); (() = $seen =~ /early words/g) > $before } 'logs -f: and those to come';
kill 'TERM', $pid;
close $lines;

$r = ctl('-j', 'logs', 'php');
my @said = map { decode_json($_) } split /\n/, $r->{out};
ok @said > 0 && !grep({ $_->{group} ne 'php' || !$_->{pid} || $_->{time} !~ /^\w{3} \w{3} .* \d{4}$/ } @said), 'as JSON an object each: group, pid, time' or diag $r->{out};
is $said[0]{text}, 'early words', 'and what was said';
$s->get('/other/?print=caf%C3%A9%20%FF%20%22q%22%20%5C');
my $odd;
soon { ($odd) = grep { /caf/ } split /\n/, ctl('-j', 'logs', 'other')->{out} } 'any bytes';
like decode_json($odd)->{text}, qr/^caf\x{e9} \x{fffd} "q" \\/, 'are a string of JSON';

# top
$r = ctl('top', '-n', 2, '-d', '0.2');
like $r->{out}, qr/^php\s+active\s+2\+0\/4/m, 'top: a line for each group';
is $r->{code}, 0, 'as often as it was told to';
$r = ctl('-j', 'top', '-n', 2, '-d', '0.2');
my @pictures = map { decode_json($_) } split /\n/, $r->{out};
is scalar(@pictures), 2, 'as JSON a line each';
my ($row) = grep { $_->{name} eq 'php' } @{ $pictures[1]{groups} };
is_deeply [@$row{qw(state processes max busy requests_per_second)}], ['active', 2, 4, 0, '0.0' + 0], 'with the same numbers' or diag explain $row;
SKIP: {
    skip 'no script(1) to be a terminal', 4 if system('script -qec true /dev/null </dev/null >/dev/null 2>&1') != 0;
    my $screen = "$dir/screen";
    my $term = open(my $keys, '|-', "script -qefc 'stty rows 9 cols 120; $procctl -s $socket top -d 0.2; echo left \$?; stty -a' $screen >/dev/null") // die;
    soon { (() = (slurp($screen) // '') =~ /GROUP +STATE/g) >= 2 } 'top in a terminal: drawn again and again';
    like slurp($screen), qr/\e\[H\e\[J/, 'in its place';
    select((select($keys), $| = 1)[0]);
    print {$keys} 'q';
    soon { (slurp($screen) // '') =~ /left 0/ } 'q ends it';
    soon { (slurp($screen) // '') =~ /(?<!-)\bicanon\b.*(?<!-)\becho\b/s } 'and the terminal is as it was' or diag slurp($screen);
    close $keys;
}

# mod_status
$r = $s->get('/server-status');
like $r->{body}, qr{<tr><td>php</td><td>active</td><td>\d \(2 to 4\)</td>}, 'mod_status shows the groups';
like $s->get('/server-status?auto')->{body}, qr/^ProcdGroup: broken failing processes=0 .*max=1 busy=0 waiting=0$/m, 'and for machines';

# check
spew("$dir/good.conf", "SpawnCommand /usr/bin/php-cgi\nSpawnProcesses 0 3\n");
spew("$dir/bad.conf", "SpawnCommand /usr/bin/php-cgi\nSpawnProcesses many\n");
is ctl('check', "$dir/good.conf")->{code}, 0, 'check: a good file';
$r = ctl('check', "$dir/good.conf", "$dir/bad.conf");
is $r->{code}, 1, 'and a bad one';
like $r->{err}, qr{bad\.conf:2: SpawnProcesses "many" is not valid}, 'with its line';
my %not = (user => ["SpawnUser no-such-user", qr/user\.conf:0: SpawnUser "no-such-user": there is no such user/],
    pipe => ["SpawnSocketType pipe", qr/pipe\.conf:0: SpawnSocketType pipe needs a <Spawn> block/],
    'a name' => ["SpawnNice 1", qr/a name\.conf:0: the file's name, without \.conf, must be a group's/]);
for my $name (sort keys %not) {
    spew("$dir/$name.conf", "SpawnCommand /usr/bin/php-cgi\n$not{$name}[0]\n");
    $r = ctl('check', "$dir/$name.conf");
    ok $r->{code} == 1 && $r->{err} =~ $not{$name}[1], "check: what the manager would refuse: $name" or diag $r->{err};
}
$r = decode_json(ctl('-j', 'check', "$dir/good.conf", "$dir/bad.conf", "$dir/none.conf")->{out});
is_deeply [map { $_->{valid} ? $_->{group} : "$_->{line} $_->{error}" } @{ $r->{files} }],
    ['good', '2 SpawnProcesses "many" is not valid: it takes N or MIN MAX, MIN 0 to 240 and MAX 1 to 240', '0 No such file or directory'], 'as JSON' or diag explain $r;

# mistakes
for my $case ([1, 'stop', 'nobody'], [1, 'restart', 'nobody'], [1, 'status', 'nobody'], [1, 'logs', 'nobody'], [1, 'reload', 'php'],
    [2, 'explode'], [2], [2, 'stop'], [2, 'stop', 'php', 'other'], [2, 'status', 'php', 'other'], [2, 'scale', 'php'], [2, 'scale', 'php', 9, 3],
    [2, 'scale', 'php', 0], [2, 'scale', 'php', 'many'], [2, 'logs'], [2, 'logs', 'php', 'follow'], [2, 'top', 'php'], [2, 'top', '-d', 0],
    [2, 'top', '-n', 'x'], [2, 'check'], [2, '--nonsense'], [0, '--help']) {
    my ($code, @words) = @$case;
    $r = ctl(@words);
    is $r->{code}, $code, "procctl @words: exit status $code" or diag $r->{err};
    isnt $r->{err}, '', 'with a word about it' if $code;
    is eval { decode_json(ctl('-j', @words)->{out})->{error} } && 1, 1, 'as JSON too' if $code;
}
# What bash offers for a line whose last word is not complete.
sub offered {
    my (@words) = @_;
    my $quoted = join ' ', map { "'$_'" } 'procctl', '-s', $socket, @words;
    my $shell = q{source "$1"; PATH=$2:$PATH; COMP_WORDS=(} . $quoted . q{); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _procctl; echo "${COMPREPLY[*]}"};
    open(my $out, '-|', 'bash', '-c', $shell, 'bash', top_dir() . '/build/completion/procctl', build_dir() . '/bin') or die;
    my $line = <$out> // '';
    chomp $line;
    return $line;
}
SKIP: {
    skip 'no bash', 7 if system('bash -c true') != 0;
    is offered('re'), 'restart reload', 'completion: commands';
    is offered('stop', ''), 'php other rests broken', 'groups';
    is offered('stop', 'php', ''), '', 'one of them';
    is offered('scale', 'php', ''), 'default', 'what scale takes';
    is offered('logs', '--f'), '--follow', 'options of the command';
    is offered('--j', ), '--json', 'and of all';
    is offered('check', "$dir/goo"), "$dir/good.conf", 'files';
}

is ctl('-j', 'restart', 'rests')->{out}, "{\"ok\":true}\n", 'success as JSON';
{
    local $socket = "$dir/nowhere";
    my $none = ctl('status');
    is $none->{code}, 3, 'no manager: exit status 3';
    like $none->{err}, qr/no manager at .*nowhere: No such file/, 'said so';
    is ctl('explode')->{code}, 2, 'what is wrong needs none';
    # What one that was killed leaves behind.
    IO::Socket::UNIX->new(Type => SOCK_SEQPACKET, Local => $socket, Listen => 1)->close;
    $none = ctl('status');
    is $none->{code}, 3, 'a socket that nobody listens on: 3, too';
    like $none->{err}, qr/no manager at .*nowhere: Connection refused \(nobody listens there/, 'with another reason';
}
SKIP: {
    skip 'not root: nobody else to be', 2 if !is_root();
    my ($uid, $gid) = user_ids();
    my $code = fork() // die;
    if (!$code) { $) = $( = $gid; $> = $< = $uid; open STDERR, '>', '/dev/null'; exec $procctl, '-s', $socket, 'status' or exit 99 }
    waitpid $code, 0;
    is $? >> 8, 3, 'another user, httpd\'s own included, may not speak to it';
    chmod 0666, $socket;
    $code = fork() // die;
    if (!$code) { $) = $( = $gid; $> = $< = $uid; open STDERR, '>', '/dev/null'; open STDOUT, '>', '/dev/null'; exec $procctl, '-s', $socket, 'status' or exit 99 }
    waitpid $code, 0;
    is $? >> 8, 3, 'not even where the socket\'s mode would let it';
}

# The manager's death: another one answers at the same place, and knows what was ordered.
ctl('stop', 'other');
my $manager = ctl_json('status')->{manager}{pid};
kill 'KILL', $manager;
soon { my $m = eval { decode_json(ctl('--json', 'status')->{out})->{manager}{pid} }; $m && $m != $manager } 'another manager answers';
is of('other')->{state}, 'stopped', 'what was stopped stays stopped';
$s->stop;
done_testing;
