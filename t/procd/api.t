#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# include/mod_procd.h as another module sees it: mod_procd_example.c, built with apxs, defines its groups from its own
# directive and serves requests through them, without mod_proxy_core.
# P1 P2 P10 D2 D3 D8 D22 G13 G26 G28
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP qw(decode_json);
use Test::More;

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir top_dir build_dir free_port poll_until slurp spew run_capture alive is_root asan);

my $dir = work_dir();
mkdir "$dir/$_" for 'build', 'cgi';
chmod 0755, $dir, "$dir/cgi";
spew("$dir/build/$_", slurp(top_dir() . "/t/procd/$_")) for 'mod_procd_example.c';
my ($out, $rc) = run_capture('sh', '-c',
    "cd $dir/build && " . ($ENV{APXS} || 'apxs') . " -Wc,-Wall -Wc,-Werror -I" . top_dir() . '/include -c mod_procd_example.c');
is $rc, 0, 'the example is built with apxs and the public header' or diag $out;

# One line a connection: what it says of itself.
spew("$dir/app", <<'APP', 0755);
#!/usr/bin/perl
open my $listener, '+<&=', 0 or die;
while (accept my $c, $listener) {
    my $line = <$c>;
    next if !defined $line;
    exit 3 if $line =~ /^exit/;
    select undef, undef, undef, $1 if $line =~ /^sleep=([\d.]+)/;
    syswrite $c, "pid=$$\nuid=$<\nwho=$ENV{WHO}\n";
    close $c;
}
APP
spew("$dir/cgi/hello", "#!/usr/bin/perl\nprint \"Content-Type: text/x-hello\\nX-Pid: \$\$\\n\\nq=\$ENV{QUERY_STRING}\\n\", 'x' x 100000;\n", 0755);
spew("$dir/cgi/plain", "not executable\n", 0644);

my $vport = free_port();
sub conf {
    my ($who) = @_;
    return "LoadModule procd_example_module $dir/build/.libs/mod_procd_example.so\n"
        . "ProcdExample greet SpawnCommand $dir/app; SpawnProcesses 0 2; SpawnEnvironment WHO=$who; SpawnIdleTimeout 0\n"
        . "ProcdExample fails SpawnCommand $dir/app.none; SpawnProcesses 0 1; SpawnRestart backoff=20s..20s\n"
        . "ProcdExample scripts SpawnSocketType pipe; SpawnProcesses 0 2; SpawnScriptRoot $dir/cgi" . (is_root() ? '; SpawnScriptOwner root' : '') . "\n"
        . "<Spawn beside>\n    SpawnCommand $dir/app\n    SpawnEnvironment WHO=beside\n</Spawn>\n"
        . join('', map { "<Location /$_>\n    SetHandler procd-example\n    ProcdExampleGroup $_\n</Location>\n"
            . "<Location /info/$_>\n    SetHandler procd-example-info\n    ProcdExampleGroup $_\n</Location>\n" } qw(greet fails beside scripts none))
        . "Alias /cgi/ $dir/cgi/\n<Directory $dir/cgi>\n    Require all granted\n    SetHandler procd-example-cgi\n    ProcdExampleGroup scripts\n</Directory>\n"
        . "Listen 127.0.0.1:$vport\n<VirtualHost 127.0.0.1:$vport>\n    ServerName other\n"
        . "    ProcdExample greet SpawnCommand $dir/app; SpawnProcesses 0 1; SpawnEnvironment WHO=other\n</VirtualHost>\n"
        . "<Location /procd>\n    SetHandler procd-status\n</Location>\n";
}
my $s = ProxyCore::Server->new(procd => 1, core => 0, loglevel => 'info procd:debug', conf => conf('first'))->start;
sub facts { my ($res) = @_; return { status => $res->{status}, ($res->{body} || '') =~ /^(\w+)=(.*)$/mg } }
sub soon (&$) { my ($code, $what) = @_; return ok &poll_until($code, 10), $what }
sub info { my ($name) = @_; return facts($s->get("/info/$name")) }
sub ctl { return run_capture(build_dir() . '/bin/procctl', '-s', $s->dir . '/run/procd/control', @_) }

# ------------------------------------------------------------------ its own groups

is info('greet')->{processes}, 0, 'MIN 0: nothing runs before the first request';
my $f = facts($s->get('/greet'));
is "$f->{status} $f->{who}", '200 first', 'a group that a module has defined serves';
is $f->{uid}, (getpwnam('www-data'))[2], 'as httpd\'s user' if is_root();
my $first = $f->{pid};
is facts($s->get('/beside'))->{who}, 'beside', 'and one of the configuration';
is $s->get('/none')->{status}, 404, 'one that nobody has defined';

my $c = ProxyCore::Conn->connect(port => $vport);
$c->send("GET /greet HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
like $c->read_response->{body}, qr/who=other/, 'a virtual host has its own of the same name';

my @c = map { my $c = $s->connect; $c->send("GET /greet?sleep=1 HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 6;
my %seen;
$seen{ facts($_->read_response)->{pid} || 'none' }++ for @c;
is_deeply [scalar(keys %seen), $seen{none}], [2, undef], 'six at once: two processes, and all are answered' or diag explain \%seen;

my $i = info('greet');
is "$i->{condition} $i->{processes} $i->{min} $i->{max} $i->{busy}", 'active 2 0 2 0', 'what is known of it';
cmp_ok $i->{timed}, '>=', 7, 'times are counted';
cmp_ok $i->{first_byte_us}, '>', 100_000, 'the mean until the first byte';
cmp_ok $i->{total_us}, '>=', $i->{first_byte_us}, 'and of the whole';
my ($page) = grep { $_->{key} eq 'greet' } @{ decode_json($s->get('/procd?format=json')->{body})->{groups} };
cmp_ok $page->{mean_first_byte_us}, '>', 100_000, 'the status page has it';
cmp_ok $page->{list}[0]{total_ms}, '>', 0, 'for each process as well';

# ------------------------------------------------------------------ changes

my $before = info('greet')->{changes};
is info('greet')->{changes}, $before, 'nothing happens: no change is counted';
kill 'KILL', $first;
soon { info('greet')->{changes} != $before } 'a process dies: it is';
is facts($s->get('/greet'))->{status}, 200, 'and the next request is served';
is $s->get('/greet?exit')->{status}, 502, 'one that dies with its request';
soon { facts($s->get('/greet'))->{status} == 200 } 'does no harm to those that follow';

is $s->get('/fails')->{status}, 503, 'a program that is not there: refused at once';
like info('fails')->{condition} . info('fails')->{why}, qr/^failing.*app\.none/, 'failing, and why';
ctl('stop', 'greet');
my $r = $s->get('/greet');
is $r->{status}, 503, 'stopped by procctl';
is info('greet')->{condition}, 'stopped', 'which the module is told';
ctl('start', 'greet');
$f = facts($s->get('/greet'));
is $f->{status}, 200, 'and started';
ctl('scale', 'greet', 1, 4);
soon { my $i = info('greet'); "$i->{min} $i->{max}" eq '1 4' } 'procctl scale shows';
ctl('scale', 'greet', 'default');

# ------------------------------------------------------------------ restarts

$f = facts($s->get('/greet'));
$s->graceful;
is facts($s->get('/greet'))->{pid}, $f->{pid}, 'a graceful restart: the same text, the same process';
$s->set_conf(conf('second'));
$s->graceful;
soon { facts($s->get('/greet'))->{who} eq 'second' } 'another text: another process';
soon { !alive($f->{pid}) } 'the old one ends';

# ------------------------------------------------------------------ CGI

$r = $s->get('/cgi/hello?a=1');
is $r->{status}, 200, 'a script';
is $r->{head}->h('Content-Type'), 'text/x-hello', 'with its head';
is length($r->{body}), 100_006, 'and its whole body';
is $s->get('/cgi/none')->{status}, 404, 'one that is not there';
is $s->get('/cgi/plain')->{status}, 403, 'one that must not be run';
my @five = map { my $c = $s->connect; $c->send("GET /cgi/hello HTTP/1.1\r\nHost: a\r\n\r\n"); $c } 1 .. 5;
is join(' ', map { $_->read_response->{status} } @five), '200 200 200 200 200', 'five at once where two are allowed';
soon { info('scripts')->{busy} == 0 } 'all permissions are back';
$s->stop;

# ------------------------------------------------------------------ what httpd -t says

sub says {
    my ($text, $pattern, $what) = @_;
    my ($out, $rc) = ProxyCore::Server->new(name => 'test', procd => 1, core => 0,
        conf => "LoadModule procd_example_module $dir/build/.libs/mod_procd_example.so\n$text\n")->config_test;
    ok $rc && $out =~ $pattern, $what or diag $out;
    return;
}
says("ProcdExample x SpawnCommand /bin/x;SpawnComand /bin/x", qr/Syntax error on line \d+.*<Spawn x>: "SpawnComand" is not a directive.*\(line 2 of the group's definition\)/s, 'a typo: with its line');
says("ProcdExample x SpawnProcesses 1", qr/SpawnCommand is missing/, 'no command');
says("ProcdExample x/y SpawnCommand /bin/x", qr/"x\/y" is not a group's name/, 'a bad name');
says("ProcdExample x SpawnCommand /bin/x; SpawnUser nobody-at-all", qr/no such user/, 'an unknown user');
says("<Spawn x>\nSpawnCommand /bin/x\n</Spawn>\nProcdExample x SpawnCommand /bin/x", qr/<Spawn x> is already defined on line \d+/, 'twice');
says("ProcdExample x SpawnCommand /bin/x\n<Spawn x>\nSpawnCommand /bin/x\n</Spawn>", qr/<Spawn x> is already defined on line \d+ of \S+httpd.conf/, 'or the other way round');
done_testing;
