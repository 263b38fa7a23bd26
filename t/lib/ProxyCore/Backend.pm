# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A backend that does what the test says, byte for byte. The test process itself listens; a connection that the module
# opens is taken with accept() and is a ProxyCore::Conn. So a test reads top to bottom as what happens on both sides:
#
#     my $b = ProxyCore::Backend->new;                  # or unix => "$dir/x.sock"
#     my $client = $server->connect;                    # ProxyCore::Conn to httpd
#     $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
#     my $conn = $b->accept;
#     my $req = $conn->read_request;
#     $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
#     my $res = $client->read_response;
#
# For load or for clients that block, serve() runs a handler for each connection in processes of their own.
package ProxyCore::Backend;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX ();
use Scalar::Util qw(weaken);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use ProxyCore::Conn;
use ProxyCore::Util qw(free_port);

# Every backend of this process: a process of serve() must not hold the listeners of the others.
my %every;

sub new {
    my ($class, %arg) = @_;
    my $self = bless { accepted => 0, %arg }, $class;
    $self->listen;
    weaken($every{ 0 + $self } = $self);
    return $self;
}

# Begin to listen (again, after stop()).
sub listen {
    my ($self) = @_;
    my $backlog = defined $self->{backlog} ? $self->{backlog} : 128;
    if ($self->{unix}) {
        unlink $self->{unix};
        $self->{sock} = IO::Socket::UNIX->new(Local => $self->{unix}, Listen => $backlog) or die "$self->{unix}: $!";
        chmod 0777, $self->{unix};
    }
    else {
        $self->{port} ||= free_port();
        $self->{host} ||= '127.0.0.1';
        $self->{sock} = IO::Socket::IP->new(LocalHost => $self->{host}, LocalPort => $self->{port},
            Listen => $backlog, ReuseAddr => 1) or die "listen on $self->{host}:$self->{port}: $@";
    }
    # IO::Socket takes 0 for "do not listen".
    CORE::listen($self->{sock}, $backlog) or die "listen: $!";
    $self->{sock}->blocking(0);
    return $self;
}

# As ProxyCoreBackend takes it.
sub address {
    my ($self) = @_;
    return "unix:$self->{unix}" if $self->{unix};
    return $self->{host} =~ /:/ ? "[$self->{host}]:$self->{port}" : "$self->{host}:$self->{port}";
}

# The next connection, or undef when none comes in time.
sub accept {
    my ($self, $timeout) = @_;
    my $end = ProxyCore::Conn::deadline($timeout);
    while (1) {
        my $sock = $self->{sock}->accept;
        if ($sock) {
            $self->{accepted}++;
            setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, 1) if !$self->{unix};
            return ProxyCore::Conn->wrap($sock);
        }
        my $left = $end - time;
        return undef if $left <= 0;
        IO::Select->new($self->{sock})->can_read($left);
    }
}

# The connection that the next request comes on: the kept one $conn, or else a new one. (connection, 1 when it is new), or
# nothing when there is none in time.
sub accept_or {
    my ($self, $conn, $timeout) = @_;
    my $end = ProxyCore::Conn::deadline($timeout);
    while (1) {
        if ($conn && $conn->sock && !$conn->eof) {
            $conn->fill(0);
            return ($conn, 0) if $conn->{in} ne '';
        }
        my $new = $self->accept(0);
        return ($new, 1) if $new;
        my $left = $end - time;
        return if $left <= 0;
        IO::Select->new($self->{sock}, $conn && $conn->sock && !$conn->eof ? $conn->sock : ())->can_read($left);
    }
}

# The first connection to any of these backends: (its connection, the backend).
sub accept_any {
    my ($timeout, @backends) = @_;
    my $end = ProxyCore::Conn::deadline($timeout);
    while (1) {
        for my $b (@backends) {
            my $conn = $b->accept(0);
            return ($conn, $b) if $conn;
        }
        my $left = $end - time;
        return if $left <= 0;
        IO::Select->new(map { $_->{sock} } @backends)->can_read($left);
    }
}

sub accepted { return $_[0]{accepted} }

# Nothing listens any more; connections that were accepted live on.
sub stop {
    my ($self) = @_;
    CORE::close($self->{sock}) if $self->{sock};
    $self->{sock} = undef;
    unlink $self->{unix} if $self->{unix};
    return;
}

# Hand the listening socket to a process that runs $handler->($conn, $number) for each connection, at most
# $arg{concurrency} (default 32) at once. stop_serving() ends it.
sub serve {
    my ($self, $handler, %arg) = @_;
    my $test = $$;
    my $pid = fork;
    defined $pid or die "fork: $!";
    if ($pid) {
        $self->{server_pid} = $pid;
        return $self;
    }
    setpgrp(0, 0);
    for my $other (grep { $_ && $_ != $self && $_->{sock} } values %every) {
        CORE::close($other->{sock});
    }
    $SIG{TERM} = 'DEFAULT';
    $SIG{PIPE} = 'IGNORE';
    my ($n, %busy) = (0);
    while (1) {
        my $conn = $self->accept(0.5);
        1 while do { my $p = waitpid(-1, POSIX::WNOHANG()); delete $busy{$p} if $p > 0; $p > 0 };
        POSIX::_exit(0) if getppid() != $test;
        next if !$conn;
        $n++;
        my $kid = fork;
        if (defined $kid && !$kid) {
            CORE::close($self->{sock});
            eval { $handler->($conn, $n); 1 } or print STDERR "# handler: $@";
            POSIX::_exit(0);
        }
        $busy{$kid} = 1;
    }
}

sub stop_serving {
    my ($self) = @_;
    my $pid = delete $self->{server_pid} or return;
    kill 'KILL', -$pid;
    kill 'KILL', $pid;
    waitpid($pid, 0);
    return;
}

my $owner = $$;

sub DESTROY {
    my ($self) = @_;
    delete $every{ 0 + $self };
    return if $$ != $owner;
    local $?;
    $self->stop_serving;
    $self->stop;
    return;
}

1;
