# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A request over the front that PC_FRONT names: "h1" and "tls" are HTTP/1.1 on a socket of ours, "h2" is curl with prior
# knowledge. So that the same test runs over each:
#
#     my $f = ProxyCore::Client->start($server, 'GET', '/x', fields => [...], body => ...);
#     ... play the backend ...
#     my $res = $f->finish;      # status, head, body, interim, complete: 1 only when the answer was ended properly
package ProxyCore::Client;

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(time);

use ProxyCore::Conn;
use ProxyCore::Server;
use ProxyCore::Util qw(front work_dir slurp spew start_child stop_child poll_until patient);

my $number = 0;

sub start {
    my ($class, $server, $method, $path, %arg) = @_;
    my $self = bless { method => $method, front => $arg{front} || front(), started => time }, $class;
    if ($self->{front} eq 'h2') {
        $self->start_curl($server, $path, %arg);
    }
    else {
        $self->{conn} = $server->connect(tls => $self->{front} eq 'tls');
        $self->{conn}->send(ProxyCore::Server::request_text($method, $path, %arg) . ProxyCore::Server::body_text(%arg),
            $arg{send_timeout});
    }
    return $self;
}

sub start_curl {
    my ($self, $server, $path, %arg) = @_;
    my $base = $self->{base} = work_dir() . '/curl-' . ++$number;
    my @cmd = ('curl', '-s', '-N', '--http2-prior-knowledge', '--path-as-is', '-X', $self->{method}, '-D', "$base.head",
        '-o', "$base.body", '--max-time', patient($arg{max_time} || 60));
    push @cmd, '-I' if $self->{method} eq 'HEAD';
    push @cmd, '--limit-rate', $arg{rate} if $arg{rate};
    my @fields = @{ $arg{fields} || [] };
    while (my ($name, $value) = splice @fields, 0, 2) {
        push @cmd, '-H', "$name: $value";
    }
    push @cmd, '-H', "Host: $arg{host}" if $arg{host};
    if (defined $arg{body}) {
        spew("$base.in", $arg{body});
        # An upload without a length is what a chunked one becomes in HTTP/2.
        push @cmd, $arg{chunked} ? ('-T', '-', '-H', 'Expect:') : ('--data-binary', "\@$base.in", '-H', 'Content-Type:', '-H', 'Expect:');
    }
    push @cmd, 'http://127.0.0.1:' . $server->port . $path;
    my $stdin;
    open($stdin, '<', "$base.in") if defined $arg{body} && $arg{chunked};
    spew("$base.body", '');
    $self->{pid} = start_child({ $stdin ? (stdin => $stdin) : () }, @cmd);
    return;
}

sub conn { return $_[0]{conn} }

# What has come of the body so far.
sub body_so_far {
    my ($self) = @_;
    return slurp("$self->{base}.body") if $self->{pid};
    $self->{conn}->fill(0);
    return $self->{conn}{in};
}

sub finish {
    my ($self, %arg) = @_;
    if ($self->{conn}) {
        my $res = $self->{conn}->read_response(method => $self->{method}, timeout => $arg{timeout});
        $res->{elapsed} = time - $self->{started};
        return $res;
    }
    my ($pid, $base) = ($self->{pid}, $self->{base});
    my $rc;
    my $done = poll_until { waitpid($pid, POSIX::WNOHANG()) > 0 && defined($rc = $?) } $arg{timeout} || 12;
    my %res = (elapsed => time - $self->{started});
    if (!$done) {
        kill 'KILL', $pid;
        waitpid($pid, 0);
        $rc = -1;
    }
    ProxyCore::Util::forget_child($pid);
    my $heads = slurp("$base.head");
    my @heads = map { ProxyCore::Head->parse($_) } split /(?<=\r\n\r\n)/, defined $heads ? $heads : '';
    $res{head} = pop @heads;
    $res{interim} = \@heads;
    ($res{status}) = $res{head} ? $res{head}{line} =~ /^HTTP\/2 (\d\d\d)/ : ();
    $res{body} = $self->{method} eq 'HEAD' ? '' : slurp("$base.body");
    $res{exit} = $rc >> 8;
    $res{complete} = $rc == 0 ? 1 : 0;
    $res{reset} = $res{exit} == 92 ? 1 : 0;
    return \%res;
}

# Start and finish.
sub fetch {
    my ($class, $server, $method, $path, %arg) = @_;
    return $class->start($server, $method, $path, %arg)->finish(%arg);
}

sub DESTROY {
    my ($self) = @_;
    $self->{conn}->close if $self->{conn};
    return;
}

1;
