# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Programs that others wrote: whether they are here, running them with a time limit, and what curl saw.
package ProxyCore::Programs;

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use Test::More ();

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir slurp spew start_child poll_until descendants patient);

our @EXPORT_OK = qw(need program run_program curl fronts);

# The program's path, in PATH or one of the given ones; undef when it is not installed.
sub program {
    my (@names) = @_;
    for my $name (@names) {
        my @at = $name =~ m{/} ? glob $name : map { "$_/$name" } qw(/usr/bin /usr/sbin /usr/local/bin /bin /sbin);
        my ($found) = grep { -x } @at;
        return $found if $found;
    }
    return undef;
}

# need('package' => 'program or file', ...): skips the whole file, naming the packages that are missing.
sub need {
    my (@pairs) = @_;
    my @missing;
    while (my ($package, $file) = splice @pairs, 0, 2) {
        push @missing, $package if !($file =~ /\.(?:so|py|pm)$/ ? (() = glob $file) : program($file));
    }
    return if !@missing;
    Test::More::plan(skip_all => 'Debian package not installed: ' . join(' ', @missing));
    return;
}

# A command to its end: { status, out, err }. %opt: cwd, env, in => FILE, user => 1 (as httpd's children), timeout.
my $number = 0;
sub run_program {
    my $opt = ref $_[0] ? shift : {};
    my @cmd = @_;
    my $base = work_dir() . "/program-$$-" . ++$number;
    my ($in, %res);
    open($in, '<', $opt->{in}) or die "$opt->{in}: $!" if $opt->{in};
    my $script = 'out=$1; err=$2; shift 2; exec "$@" >"$out" 2>"$err"';
    my $pid = start_child({ cwd => $opt->{cwd}, env => $opt->{env}, $in ? (stdin => $in) : () },
        '/bin/sh', '-c', $script, 'sh', "$base.out", "$base.err", @cmd);
    my $done = poll_until { waitpid($pid, POSIX::WNOHANG()) > 0 && defined($res{status} = $?) } $opt->{timeout} || 60;
    if (!$done) {
        kill 'KILL', $pid, descendants($pid);
        waitpid($pid, 0);
        $res{status} = 'not ended in time';
    }
    ProxyCore::Util::forget_child($pid);
    @res{qw(out err)} = map { defined $_ ? $_ : '' } slurp("$base.out"), slurp("$base.err");
    unlink "$base.out", "$base.err";
    return \%res;
}

# Name => curl's options and the server's base address, for each way into the server.
sub fronts {
    my ($s) = @_;
    my @fronts = (['HTTP/1.1', '1.1', 'http://127.0.0.1:' . $s->port, '--http1.1'],
        ['HTTP/2', '2', 'http://127.0.0.1:' . $s->port, '--http2-prior-knowledge']);
    push @fronts, ['TLS', '1.1', 'https://127.0.0.1:' . $s->tls_port, '-k', '--http1.1'],
        ['HTTP/2 over TLS', '2', 'https://127.0.0.1:' . $s->tls_port, '-k', '--http2'] if $s->{tls};
    return map { my ($name, $version, $base, @options) = @$_;
        { name => $name, version => $version, base => $base, options => \@options } } @fronts;
}

# curl(front, path, options): { exit, status, version, head, body, interim }; head holds all of a name's values, lower case.
sub curl {
    my ($front, $path, @options) = @_;
    my $base = work_dir() . "/curl-$$-" . ++$number;
    my $opt = ref $options[0] ? shift @options : {};
    my $res = run_program($opt, 'curl', '-s', @{ $front->{options} }, '--max-time', patient(40), '-D', "$base.head", '-o', "$base.body",
        '-w', '%{http_code} %{http_version} %{num_connects} %{time_total}', @options, map { $front->{base} . $_ } ref $path ? @$path : $path);
    my %got = (exit => $res->{status} =~ /^\d+$/ ? $res->{status} >> 8 : $res->{status});
    @got{qw(status version connects time)} = split / /, $res->{out};
    my @heads = split /\r?\n\r?\n/, slurp("$base.head") // '';
    my $last = pop @heads;
    $got{interim} = \@heads;
    push @{ $got{head}{ lc $1 } }, $2 while ($last // '') =~ /^([^:\s]+):[ \t]*(.*?)\r?$/mg;
    $got{body} = slurp("$base.body") // '';
    unlink "$base.head", "$base.body";
    return \%got;
}

1;
