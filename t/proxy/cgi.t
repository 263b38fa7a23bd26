#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# CGI through both modules: what a script is told, what becomes of what it says, both directions at once, how it ends.
# F23 P2 P3 P7
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(time sleep);

use ProxyCore::Client;
use ProxyCore::Groups;
use ProxyCore::Scripts;
use ProxyCore::Util qw(work_dir slurp spew poll_until alive fd_count mpm);

my $cgi = work_dir() . '/cgi';
my $notes = work_dir() . '/run';
mkdir $cgi;
mkdir "$cgi/sub";
chmod 0755, $cgi, "$cgi/sub";

sub perl { my ($name, $code, $mode) = @_; return ProxyCore::Scripts::perl($cgi, $name, $code, $mode) }
sub sh { my ($name, $code, $mode) = @_; return ProxyCore::Scripts::script($cgi, $name, "#!/bin/sh\n$code", $mode) }

my $head = 'print "Content-Type: text/plain\n\n";';
perl('env', "$head print qq{\$_=\$ENV{\$_}\\n} for sort keys %ENV; print qq{pid=\$\$\\nargv=[\@ARGV]\\n};"
    . 'print "cwd=", readlink("/proc/$$/cwd"), "\n"; for (0..2) { print "fd$_=", readlink("/proc/$$/fd/$_"), "\n" }'
    . 'opendir my $d, "/proc/$$/fd"; print "fds=", join(",", sort { $a <=> $b } grep { /\d/ && $_ != fileno($d) } readdir $d), "\n"; '
    . 'my @s = split " ", do { local @ARGV = ("/proc/$$/stat"); <> }; print "pgrp=$s[4]\nsession=$s[5]\n"; '
    . 'print grep { /^Sig(Ign|Blk)/ } do { local @ARGV = ("/proc/$$/status"); <> };');
perl('echo', "$head binmode STDIN; local \$/ = \\65536; my \$n = 0; while (<STDIN>) { \$n += length; print } print STDERR qq{read \$n\\n};");
sh('sh', "echo Content-Type: text/plain\necho\necho from sh\n");
perl('status', 'print "Status: 418 Short and stout\nX-A: b\nContent-Type: text/plain\n\nteapot";');
perl('redirect', 'print "Location: /cgi/sh?a\n\n";');
perl('away', 'print "Location: http://example.org/\n\n";');
perl('length', 'print "Content-Length: 5\nContent-Type: text/plain\n\nhello";');
perl('huge', $head);
perl('nothing', 'exit 3;');
perl('nohead', 'print "just text\n";');
perl('nph-raw', 'print "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nraw";');
sh('bad-interpreter', 'x');
spew("$cgi/bad-interpreter", "#!/nowhere/to/be/found\n", 0755);
spew("$cgi/no-format", "neither\n", 0755);
sh('plain', 'echo', 0644);
perl('deaf', 'close STDIN; sleep 0.5; print "Content-Type: text/plain\n\nnot read";');
perl('sits', 'select undef, undef, undef, 0.7; print "Content-Type: text/plain\n\nnever read";');
perl('big', "$head print 'x' x 1000000 for 1 .. 8;");
perl('both', "binmode STDIN; $head if (my \$k = fork) { local \$/ = \\65536; my \$n = 0; \$n += length while <STDIN>; waitpid \$k, 0; print qq{read=\$n}; } "
    . "else { print 'y' x 100000 for 1 .. 80; }");
sh('html', "echo Content-Type: text/html\necho\necho \"part of \$REQUEST_URI [\$*]\"\n");
spew(work_dir() . '/htdocs-marker', '');

my $conf = ProxyCore::Scripts::group('cgi', $cgi, "SpawnProcesses 1 8\nSpawnEnvironment FROM_GROUP=yes \"PATH=/bin:/usr/bin\"")
    . ProxyCore::Scripts::group('perl', work_dir() . '/cgi/sub', "SpawnCommand /usr/bin/perl -wT\n")
    . "SetEnv LD_LIBRARY_PATH /set\nSetEnv REQUEST-METHOD EVIL\n"
    . "<Location /cgi/huge>\n    SetEnv HUGE " . ('h' x 140_000) . "\n</Location>\n"
    . "<Directory $cgi>\n    AllowOverride None\n</Directory>\n"
    . "Alias /off/ $cgi/\n<Location /loc/>\n    ProxyCorePass cgi strip=/loc\n    ProxyCoreScript file=$cgi/env\n    Options +ExecCGI\n</Location>\n"
    . "<Location /loc-off/>\n    ProxyCorePass cgi strip=/loc-off\n    ProxyCoreScript file=$cgi/env\n    Options -ExecCGI\n</Location>\n"
    . "<Location /action/>\n    SetHandler via-script\n</Location>\nAction via-script /cgi/env virtual\n"
    . "<Location /missing>\n    ErrorDocument 404 /cgi/env\n</Location>\n"
    . "AddOutputFilter INCLUDES .shtml\n<Files *.shtml>\n    Options +Includes\n</Files>\n"
    . "<Directory " . work_dir() . "/server/htdocs>\n    <Files *.cgx>\n        SetHandler proxy-core:cgi\n        Options +ExecCGI\n    </Files>\n</Directory>\n";
my $s = ProxyCore::Scripts::server(modules => [qw(include actions)], conf => $conf)->start;

sub vars { my ($res) = @_; my %v = ($res->{body} || '') =~ /^(\w+)[=:]\s*(.*)$/mg; $v{status} = $res->{status}; return \%v }

# ------------------------------------------------------------------ what a script is told

my $v = vars($s->get('/cgi/env/a%20b?x=1&y=2', fields => ['X-Field' => 'f', 'Proxy' => 'evil', 'Authorization' => 'Basic x']));
is $v->{status}, 200, 'a script runs by itself (P2)';
is "$v->{SCRIPT_NAME} $v->{PATH_INFO} $v->{QUERY_STRING}", '/cgi/env /a b x=1&y=2', 'SCRIPT_NAME, PATH_INFO, QUERY_STRING';
is "$v->{GATEWAY_INTERFACE} $v->{REQUEST_METHOD} $v->{SCRIPT_FILENAME}", "CGI/1.1 GET $cgi/env", 'meta-variables, which SetEnv does not change';
is $v->{HTTP_X_FIELD}, 'f', 'fields';
ok !exists $v->{HTTP_PROXY} && !exists $v->{HTTP_AUTHORIZATION}, 'but neither Proxy nor Authorization';
is $v->{LD_LIBRARY_PATH}, '/set', 'SetEnv, since it runs as httpd\'s own user';
is "$v->{FROM_GROUP} $v->{PATH}", 'yes /bin:/usr/bin', 'SpawnEnvironment, which stands for the request\'s';
is $v->{cwd}, $cgi, 'it starts in its own directory';
is $v->{pgrp}, $v->{pid}, 'a process group of its own';
isnt $v->{session}, $v->{pid}, 'but no session, each of which would have as much of the processor as all of httpd';
is $v->{fds}, '0,1,2', 'no descriptor but the three';
like $v->{fd1}, qr/^pipe:/, 'standard output is a pipe (P3)';
like $v->{fd2}, qr/^pipe:/, 'and standard error';
is $v->{argv}, '[]', 'no arguments from a query of pairs';
like "$v->{SigIgn} $v->{SigBlk}", qr/^0{14}[08]0 0{16}$/, 'no signal ignored or blocked, but SIGFPE, which perl ignores itself';
isnt vars($s->get('/cgi/env'))->{pid}, $v->{pid}, 'another process for each request (P7)';

is vars($s->get('/cgi/env?one+tw%6F+%24x'))->{argv}, '[one two $x]', 'an indexed query becomes arguments (RFC 3875, 4.4)';
is vars($s->get('/cgi/env?-s'))->{argv}, '[]', 'but never options (CVE-2012-1823)';
is vars($s->get('/cgi/env?a+%2Ds'))->{argv}, '[]', 'however they are written';
is vars($s->request('POST', '/cgi/env?a+b', body => 'x'))->{argv}, '[]', 'nor with POST';
$v = vars($s->request('POST', '/cgi/env', body => 'x=1'));
like "$v->{fd0} $v->{CONTENT_LENGTH}", qr/^pipe:\S+ 3$/, 'with a body standard input is a pipe (P3)';

ProxyCore::Scripts::script("$cgi/sub", 'taint.pl', "print \"Content-Type: text/plain\\n\\ntaint=\${^TAINT} warn=\$^W \", join(' ', split /\\0/, do { local (\@ARGV, \$/) = '/proc/self/cmdline'; <> }), qq{\\n};", 0644);
my $r = $s->get('/perl/taint.pl');
is $r->{body}, "taint=1 warn=1 /usr/bin/perl -wT $cgi/sub/taint.pl\n", 'an interpreter gets the script as its last argument (P2)';
is $s->get('/perl/none.pl')->{status}, 404, 'which must be there';

# ------------------------------------------------------------------ what it says

$r = $s->get('/cgi/status');
is "$r->{status} $r->{reason} $r->{body}", '418 Short and stout teapot', 'Status';
is $r->{head}->h('X-A'), 'b', 'and fields';
is $s->get('/cgi/redirect')->{body}, "from sh\n", 'a local redirect is followed';
is $s->get('/cgi/away')->{status}, 302, 'any other is the client\'s';
$r = $s->get('/cgi/length');
is $r->{body}, 'hello', 'Content-Length';
is $s->request('HEAD', '/cgi/big')->{status}, 200, 'HEAD';
my $mark = $s->mark;
is $s->get('/cgi/nothing')->{status}, 502, 'no answer at all: 502';
ok $s->wait_log(qr/PRD0605.*exited with status 3/, 5, $mark), 'and the log has the exit status';
is $s->get('/cgi/nohead')->{status}, 502, 'no head: 502';
is $s->get('/cgi/nph-raw')->{status}, 502, 'nph- is not honoured';
$mark = $s->mark;
is $s->get('/cgi/bad-interpreter')->{status}, 502, 'an interpreter that is not there: 502';
ok $s->wait_log(qr/PRD0603.*bad-interpreter: No such file/, 5, $mark), 'and the log says so';
is $s->get('/cgi/no-format')->{status}, 502, 'no program at all';
ok $s->wait_log(qr/PRD0603.*no-format: Exec format error/, 5, $mark), 'and the log says so, too';
is $s->get('/cgi/huge')->{status}, 431, 'an environment that the kernel does not take: 431';
is $s->get('/cgi/env')->{status}, 200, 'and nobody else minds';

# ------------------------------------------------------------------ who may run what

is $s->get('/cgi/none')->{status}, 404, 'no such script';
is $s->get('/cgi/plain')->{status}, 403, 'not executable';
ok $s->wait_log(qr/PXC0621.*not executable/), 'as the manager says';
is $s->get('/off/env')->{status}, 403, 'no ScriptAlias and no Options ExecCGI';
ok $s->wait_log(qr/PXC0620/), 'which the log explains';
is $s->get('/loc-off/x')->{status}, 403, 'by location, too';
is vars($s->get('/loc/x/y'))->{SCRIPT_FILENAME}, "$cgi/env", 'with it a location may name its script';
perl('../server/htdocs/page.cgx', "$head print 'from htdocs';");
is $s->get('/page.cgx')->{body}, 'from htdocs', 'SetHandler for files of the DocumentRoot';
my $outside = spew(work_dir() . '/outside', "#!/bin/sh\necho\necho no\n", 0755);
symlink $outside, "$cgi/link";
symlink "$cgi/sh", "$cgi/inner";
is $s->get('/cgi/link')->{status}, 403, 'a link that leads out of all roots is refused by the manager';
ok $s->wait_log(qr/PRD0610.*outside of the group's directories/), 'which says why';
is $s->get('/cgi/inner')->{body}, "from sh\n", 'one that does not is followed';

# ------------------------------------------------------------------ both directions

my $body = join '', map { chr($_ % 251) } 0 .. 65_535;
$body = $body x 64;
$mark = $s->mark;
$r = $s->request('POST', '/cgi/echo', body => $body, timeout => 30);
ok $r->{body} eq $body, '4 MB in and out through a script that echoes';
ok $s->wait_log(qr/\[procd:info\] \[pid \d+\] \[cgi\] read 4194304/, 5, $mark), 'its standard error is in the log, with group and pid';
$r = $s->request('POST', '/cgi/echo', body => $body, chunked => 50_000, timeout => 30);
ok $r->{body} eq $body, 'chunked, too';
is vars($s->request('POST', '/cgi/env', body => 'abc', chunked => 1))->{CONTENT_LENGTH}, 3, 'with its length, once it is known';
$r = $s->request('POST', '/cgi/both', body => $body, timeout => 30);
ok length $r->{body} == 8_000_000 + length('read=4194304') && $r->{body} =~ /read=4194304/, 'one that writes 8 MB while it reads 4';
is $s->request('POST', '/cgi/sits', body => $body, timeout => 10)->{body}, 'never read', 'one that never reads its input loses nothing';
is $s->request('POST', '/cgi/deaf', body => $body, timeout => 10)->{body}, 'not read', 'nor does one that closes it';
is length $s->get('/cgi/big', timeout => 20)->{body}, 8_000_000, 'a large answer';
for my $how ('h2') {
    my $res = eval { ProxyCore::Client->fetch($s, 'POST', '/cgi/echo', front => $how, body => $body) } or last;
    ok $res->{body} eq $body, 'over HTTP/2';
}

# ------------------------------------------------------------------ as a part of httpd

spew($s->docroot . '/page.shtml', "before <!--#include virtual=\"/cgi/html?a+b\" --> after", 0644);
is $s->get('/page.shtml?x+y')->{body}, "before part of /page.shtml?x+y []\n after", 'an SSI include, without arguments (CVE-2025-58098)';
$v = vars($s->get('/action/some/where?q=1'));
is "$v->{SCRIPT_NAME} $v->{PATH_INFO}", '/cgi/env /action/some/where', 'Action';
$v = vars($s->get('/missing'));
is "$v->{status} $v->{REDIRECT_STATUS} $v->{REDIRECT_URL}", '404 404 /missing', 'ErrorDocument';

# ------------------------------------------------------------------ many

my $manager = $s->manager;
my @before = (fd_count($manager), map { fd_count($_) } $s->children);
my %seen;
my $conn = $s->connect;
my $good = 0;
for my $i (1 .. 1000) {
    if ($i % 90 == 1) { $conn->close; $conn = $s->connect }
    $conn->send("GET /cgi/sh HTTP/1.1\r\nHost: localhost\r\n\r\n");
    my $res = $conn->read_response(method => 'GET');
    $good += ($res->{body} || '') eq "from sh\n";
}
$conn->close;
is $good, 1000, '1000 requests, one after another';
ok((poll_until { fd_count($manager) <= $before[0] } 5), 'the manager keeps no descriptor of them');
is ProxyCore::Groups::status($s, 'cgi')->{busy}, 0, 'no permission is out';
ok !(grep { (slurp("/proc/$_/stat") || '') =~ /\) Z $manager / } map { m{/(\d+)$} } glob '/proc/[0-9]*'), 'and there is no zombie';
$s->stop;

# ------------------------------------------------------------------ httpd -t

sub complains {
    my ($conf, $re, $what) = @_;
    my ($out, $rc) = ProxyCore::Groups::server(name => 'test', conf => $conf)->config_test;
    ok $rc && $out =~ $re, $what or diag $out;
    return;
}
my $pipe = "<Spawn x>\nSpawnSocketType pipe\n</Spawn>\n";
complains("<ProxyCore x>\nProxyCoreProtocol cgi\nProxyCoreBackend 127.0.0.1:80\n</ProxyCore>\n", qr/ProxyCoreProtocol cgi takes spawn:GROUP/, 'cgi needs a group');
complains("<Spawn x>\nSpawnCommand /bin/cat\n</Spawn>\n<ProxyCore x>\nProxyCoreProtocol cgi\nProxyCoreBackend spawn:x\n</ProxyCore>\n",
    qr/needs SpawnSocketType pipe in <Spawn x>/, 'of pipe type');
complains("$pipe<ProxyCore x>\nProxyCoreProtocol cgi\nProxyCoreBackend spawn:x proxy-protocol=v1\n</ProxyCore>\n",
    qr/spawn:x proxy-protocol=v1: a script has no connection/, 'no PROXY protocol for scripts');
complains("$pipe<ProxyCore x>\nProxyCoreProtocol fastcgi\nProxyCoreBackend spawn:x\n</ProxyCore>\n", qr/needs ProxyCoreProtocol cgi and not fastcgi/,
    'and the other way round');
complains("<Spawn x>\nSpawnSocketType pipe\nSpawnConcurrency 2\n</Spawn>\n", qr/SpawnConcurrency has no meaning/, 'what has no meaning is refused');
done_testing;
