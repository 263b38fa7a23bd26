# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The essential tests (t/proxy/core-*.t) run against every MPM and every front. Under t/run they share one httpd, which
# Apache::Test starts with what text() says: for each of them a set of pools with backends on unix sockets that the test
# itself opens. Run by hand, `perl t/proxy/core-x.t`, the same configuration is served by a private httpd.
#
#     my $t = ProxyCore::Core->new;
#     my $b = $t->backend('http');             # ProxyCore::Backend behind $t->path('http')
#     $t->app('fcgi');                         # t/backends/fcgi_echo behind $t->path('app')
package ProxyCore::Core;

use strict;
use warnings;

use File::Basename qw(basename);

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir backend_program start_child stop_child poll_until slurp mpm front top_dir);

# kind => protocol. "echo" and "app" are programs, the others are played by the test.
my %kinds = (http => 'http', fcgi => 'fastcgi', scgi => 'scgi', uwsgi => 'uwsgi', echo => 'http', app => 'fastcgi');

sub names {
    return map { my $n = basename($_); $n =~ s/^core-|\.t$//g; $n } sort glob top_dir() . '/t/proxy/core-*.t';
}

# The configuration for tests called @names whose sockets are in $dir.
sub text {
    my ($dir, @names) = @_;
    my $text = "LogLevel proxy_core:debug\n";
    for my $name (@names) {
        for my $kind (sort keys %kinds) {
            $text .= "<ProxyCore $name-$kind>\n    ProxyCoreProtocol $kinds{$kind}\n"
                . "    ProxyCoreBackend unix:$dir/$name-$kind.sock\n    ProxyCoreTimeout first=40s idle=40s\n</ProxyCore>\n"
                . "<Location /$name/$kind/>\n    ProxyCorePass $name-$kind strip=/$name/$kind\n</Location>\n";
        }
    }
    return $text;
}

sub new {
    my ($class) = @_;
    my $name = basename($0);
    $name =~ s/^core-|\.t$//g;
    my $self = bless { name => $name }, $class;
    if ($ENV{PC_SHARED}) {
        my ($dir, $port, $tls, $pid) = split /:/, $ENV{PC_SHARED};
        $self->{run} = "$dir/run";
        $self->{server} = bless { name => 'shared', dir => $dir, port => $port, tls_port => $tls, shared => 1,
            mpm => mpm(), pid => $pid, owner => 0 }, 'ProxyCore::Server';
        $self->{server}{first_mark} = $self->{server}->mark;
    }
    else {
        $self->{run} = work_dir() . '/run';
        $self->{server} = ProxyCore::Server->new(tls => 1, conf => text($self->{run}, $name))->start;
    }
    return $self;
}

sub server { return $_[0]{server} }

sub path { my ($self, $kind) = @_; return "/$self->{name}/$kind" }

sub backend {
    my ($self, $kind) = @_;
    return ProxyCore::Backend->new(unix => "$self->{run}/$self->{name}-$kind.sock");
}

# Start the echo program of that kind; its pid.
sub app {
    my ($self, $kind) = @_;
    my $sock = "$self->{run}/$self->{name}-$kind.sock";
    unlink $sock;
    my $pid = start_child($kind eq 'app' ? (backend_program('fcgi_echo'), '-t', 8) : backend_program('http_echo'),
        '-l', $sock, '-i', $kind);
    poll_until { -S $sock } or die "$sock did not appear\n";
    poll_until { (slurp('/proc/net/unix') || '') =~ m{ 00010000 .* \Q$sock\E$}m };
    chmod 0777, $sock;
    return $pid;
}

# A request over the front of this run, to be finished by the caller.
sub ask {
    my ($self, $method, $kind, $path, %arg) = @_;
    return ProxyCore::Client->start($self->{server}, $method, $self->path($kind) . $path, %arg);
}

sub fetch {
    my ($self, $method, $kind, $path, %arg) = @_;
    return $self->ask($method, $kind, $path, %arg)->finish(%arg);
}

sub done { my ($self) = @_; $self->{server}->stop; return }

1;
