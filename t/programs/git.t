#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Smart HTTP: git clones and pushes by git-http-backend, as CGI and by fcgiwrap, behind Basic authentication. A push of 50 MB that git sends chunked,
# with and without Expect, and requests that git compresses.
# F1 F11 F21 P2
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Programs qw(need run_program fronts);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir spew slurp is_root user_ids in_background wait_background);

need(git => 'git', git => '/usr/lib/git-core/git-http-backend', fcgiwrap => 'fcgiwrap', 'apache2-utils' => 'htpasswd');

my $dir = work_dir();
my $spawn_user = is_root() ? 'SpawnUser www-data' : '';
mkdir "$dir/$_" for qw(repos client);
# Nothing of the machine's or the caller's git is asked.
%ENV = (PATH => $ENV{PATH}, HOME => "$dir/client", GIT_CONFIG_NOSYSTEM => 1, GIT_TERMINAL_PROMPT => 0, map { $_ => $ENV{$_} }
    grep { /^PC_|^ASAN|^UBSAN/ } keys %ENV);
spew("$dir/client/.gitconfig", "[user]\n\tname = a\n\temail = a\@b\n[http]\n\tsslVerify = false\n\tpostBuffer = 65536\n"
    . "[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = 0\n[core]\n\tcompression = 0\n");
run_program('htpasswd', '-bc', "$dir/passwords", 'someone', 'secret');
chmod 0644, "$dir/passwords";

my %backend = (fcgiwrap => <<"CONF");
<Spawn git>
    SpawnCommand     /usr/sbin/fcgiwrap -f
    SpawnProcesses   1 4
    SpawnEnvironment GIT_PROJECT_ROOT=$dir/repos
    SpawnEnvironment GIT_HTTP_EXPORT_ALL=1
    $spawn_user
</Spawn>
<ProxyCore git>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend  spawn:git
    ProxyCoreTimeout  first=200s idle=200s
    ProxyCoreQueue    512 timeout=200s
</ProxyCore>
CONF
$backend{cgi} = <<"CONF";
<Spawn git>
    SpawnSocketType  pipe
    SpawnProcesses   1 8
    SpawnScriptRoot  /usr/lib/git-core
    SpawnScriptOwner root
    SpawnEnvironment GIT_PROJECT_ROOT=$dir/repos
    SpawnEnvironment GIT_HTTP_EXPORT_ALL=1
    $spawn_user
</Spawn>
<ProxyCore git>
    ProxyCoreProtocol cgi
    ProxyCoreBackend  spawn:git
    ProxyCoreTimeout  first=200s idle=200s
    ProxyCoreQueue    512 timeout=200s
</ProxyCore>
CONF

# The repository on the server, readable and writable for the application.
sub serve {
    my ($name) = @_;
    my $repo = "$dir/repos/$name.git";
    my $res = run_program(qw(git init -q --bare), $repo);
    run_program('git', '-C', $repo, qw(config http.receivepack true));
    my ($uid, $gid) = user_ids();
    run_program('chown', '-R', "$uid:$gid", $repo) if is_root();
    return $res->{status};
}

# git with these arguments; what it traced of its requests is {err}.
sub git {
    my $opt = ref $_[0] ? shift : {};
    return run_program({ cwd => "$dir/client", timeout => 90, %$opt, env => { GIT_TRACE_CURL => 1, GIT_TRACE_CURL_NO_DATA => 1, %{ $opt->{env} || {} } } },
        'git', @_);
}

sub whole { my ($clone) = @_; return git('-C', $clone, qw(fsck --full --strict))->{status} == 0 }
sub tip { my ($repo) = @_; return git('-C', $repo, qw(rev-parse HEAD))->{out} }

# A history with a large file and sixty branches.
git(qw(init -q work));
my $work = "$dir/client/work";
run_program('/bin/sh', '-c', "head -c 55000000 /dev/urandom >$work/large");
git('-C', $work, qw(add large));
git('-C', $work, qw(commit -qm), 'a large file');
for my $n (1 .. 60) {
    git('-C', $work, qw(commit -q --allow-empty -m), "commit $n");
    git('-C', $work, 'branch', "b$n");
}

for my $way (sort keys %backend) {
    my $s = ProxyCore::Server->new(name => $way, procd => 1, tls => 1, modules => [qw(auth_basic authn_file authz_user)], conf => <<"CONF")->start;
$backend{$way}
Alias "/git" "/usr/lib/git-core/git-http-backend"
<Directory "/usr/lib/git-core">
    <Files "git-http-backend">
        SetHandler proxy-core:git
        Options +ExecCGI
        AuthType Basic
        AuthName "git"
        AuthUserFile $dir/passwords
        Require valid-user
    </Files>
</Directory>
CONF
    my @fronts = fronts($s);
    my %url = map { $_->{name} => $_->{base} =~ s{//}{//someone:secret@}r . '/git' } @fronts;
    my $url = $url{'HTTP/1.1'};
    serve("$way-$_") for qw(plain expect tls);

    my $res = git('ls-remote', "$url/$way-plain.git" =~ s/:secret/:wrong/r);
    isnt $res->{status}, 0, "$way: a wrong password";
    like $res->{err}, qr/401 Unauthorized/, 'is refused by httpd';

    $res = git(qw(-c http.version=HTTP/1.1 -C), $work, 'push', '-q', "$url/$way-plain.git", 'main');
    is $res->{status}, 0, "$way: push of 55 MB" or diag substr $res->{err}, -2000;
    like $res->{err}, qr/Send header: Transfer-Encoding: chunked/i, 'of unknown length';
    is tip("$dir/repos/$way-plain.git"), tip($work), 'arrived';
    ok whole("$dir/repos/$way-plain.git"), 'whole';
    $res = git('-C', $work, 'push', '-q', "$url/$way-plain.git", '--all');
    is $res->{status}, 0, 'sixty branches more' or diag substr $res->{err}, -2000;

    $res = git(qw(-c http.version=HTTP/1.1 -c), 'http.extraHeader=Expect: 100-continue', '-C', $work, 'push', '-q', "$url/$way-expect.git", 'main');
    is $res->{status}, 0, "$way: push with Expect" or diag substr $res->{err}, -2000;
    like $res->{err}, qr/Recv header: HTTP\/1.1 100 Continue/, 'that was answered';
    is tip("$dir/repos/$way-expect.git"), tip($work), 'arrived';

    $res = git(qw(-c http.version=HTTP/2 -C), $work, 'push', '-q', "$url{'HTTP/2 over TLS'}/$way-tls.git", 'main');
    is $res->{status}, 0, "$way: push over HTTP/2 and TLS" or diag substr $res->{err}, -2000;
    like $res->{err}, qr/Recv header: HTTP\/2 200/, 'indeed';
    is tip("$dir/repos/$way-tls.git"), tip($work), 'arrived';

    # Several at once, each over another way in; by the old protocol, whose request for all branches git compresses.
    my @jobs = map { my ($n, $version, $from) = @$_; in_background {
        my $res = git('-c', "http.version=$version", '-c', 'protocol.version=0', qw(-c http.postBuffer=1m clone), '-q', '--bare', "$from/$way-plain.git", "$way-clone$n");
        return "clone $n: $res->{err}" if $res->{status};
        return "clone $n: no compressed request" if $res->{err} !~ /Send header: content-encoding: gzip/i;
        return whole("$way-clone$n") && tip("$dir/client/$way-clone$n") eq tip($work) ? 'whole' : "clone $n is not whole";
    } } [1, 'HTTP/1.1', $url], [2, 'HTTP/1.1', $url{TLS}], [3, 'HTTP/2', $url{'HTTP/2 over TLS'}], [4, 'HTTP/1.1', $url], [5, 'HTTP/1.1', $url];
    is wait_background($_), 'whole', "$way: a clone of five at once" for @jobs;
    # and a fetch of a little by the protocol of today
    git('-C', $work, qw(commit -q --allow-empty -m), "one more for $way");
    git('-C', $work, 'push', '-q', "$url/$way-plain.git", 'main');
    $res = git('-C', "$dir/client/$way-clone1", 'fetch', '-q', "$url/$way-plain.git", 'main:main');
    is $res->{status}, 0, "$way: fetch" or diag substr $res->{err}, -2000;
    is tip("$dir/client/$way-clone1"), tip($work), 'up to date';
    $res = git('ls-remote', "$url/nothing.git");
    like $res->{err}, qr/Recv header: HTTP\/1.1 404/, "$way: no such repository";
    $s->stop;
}
done_testing;
