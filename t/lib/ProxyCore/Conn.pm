# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# One connection whose every byte the test reads and writes itself: the client's side of httpd, or the backend's side of
# the module. Every call has a time limit (see ProxyCore::Util); reading nothing in time returns undef instead of hanging
# the suite.
package ProxyCore::Conn;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF IPPROTO_TCP TCP_NODELAY MSG_PEEK MSG_DONTWAIT);
use Time::HiRes qw(time);

use ProxyCore::Util qw(patient);

our $TIMEOUT = 10;

# When the time of a call is over.
sub deadline { my ($timeout) = @_; return time + patient(defined $timeout ? $timeout : $TIMEOUT) }

# ProxyCore::Conn->connect(port => N [, host =>, rcvbuf => BYTES, tls => 1]) or (unix => PATH)
sub connect {
    my ($class, %arg) = @_;
    my $sock;
    if ($arg{unix}) {
        $sock = IO::Socket::UNIX->new(Peer => $arg{unix}) or die "connect $arg{unix}: $!";
    }
    elsif ($arg{rcvbuf}) {
        socket($sock = IO::Socket::INET->new, Socket::PF_INET(), Socket::SOCK_STREAM(), 0) or die "socket: $!";
        setsockopt($sock, SOL_SOCKET, SO_RCVBUF, pack('i', $arg{rcvbuf}));
        CORE::connect($sock, Socket::pack_sockaddr_in($arg{port}, Socket::inet_aton('127.0.0.1'))) or die "connect: $!";
    }
    else {
        $sock = IO::Socket::INET->new(PeerAddr => $arg{host} || '127.0.0.1', PeerPort => $arg{port}, Timeout => patient(10))
            or die "connect to port $arg{port}: $!";
    }
    setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, 1) if !$arg{unix};
    if ($arg{tls}) {
        require IO::Socket::SSL;
        IO::Socket::SSL->start_SSL($sock, SSL_verify_mode => 0, SSL_alpn_protocols => ['http/1.1'])
            or die "TLS: $IO::Socket::SSL::SSL_ERROR";
    }
    $sock->blocking(0);
    return $class->wrap($sock, tls => $arg{tls});
}

sub wrap {
    my ($class, $sock, %arg) = @_;
    $sock->blocking(0);
    return bless { sock => $sock, in => '', eof => 0, error => undef, got => 0, tls => $arg{tls} }, $class;
}

# Become a TLS server on a connection that was accepted. False: the handshake failed, $IO::Socket::SSL::SSL_ERROR says why.
sub start_tls {
    my ($self, %arg) = @_;
    require IO::Socket::SSL;
    $self->{sock}->blocking(1);
    my $ok = IO::Socket::SSL->start_SSL($self->{sock}, SSL_server => 1, SSL_version => 'SSLv23', SSL_verify_mode => 0, Timeout => patient(5), %arg);
    return 0 if !$ok;
    $self->{sock}->blocking(0);
    return $self->{tls} = 1;
}

sub sock { return $_[0]{sock} }

# Write all of it. Returns the number of bytes that the peer's kernel took within the time: less when it stopped taking
# or closed (error says why).
sub send {
    my ($self, $bytes, $timeout) = @_;
    my $end = deadline($timeout);
    my $done = 0;
    local $SIG{PIPE} = 'IGNORE';
    while ($done < length $bytes) {
        $! = 0;
        my $n = syswrite($self->{sock}, $bytes, length($bytes) - $done, $done);
        if (defined $n && $n > 0) {
            $done += $n;
            next;
        }
        if (!defined $n && !$self->again) {
            $self->{error} = "$!";
            last;
        }
        my $left = $end - time;
        last if $left <= 0;
        IO::Select->new($self->{sock})->can_write($left < 0.2 ? $left : 0.2);
    }
    return $done;
}

# Did the last call fail only because it would have to wait?
sub again {
    my ($self) = @_;
    return 1 if $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
    return $self->{tls} && ($IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_READ()
        || $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_WRITE());
}

# Read once what is there, waiting up to $timeout for something. False at end of file, on error, or when nothing came.
sub fill {
    my ($self, $timeout) = @_;
    return $self->fill_by(deadline($timeout));
}

sub fill_by {
    my ($self, $end) = @_;
    return 0 if $self->{eof};
    while (1) {
        $! = 0;
        my $n = sysread($self->{sock}, my $chunk, 65536);
        if (defined $n && $n > 0) {
            $self->{in} .= $chunk;
            $self->{got} += $n;
            return $n;
        }
        if (defined $n) {
            $self->{eof} = 1;
            return 0;
        }
        if (!$self->again) {
            $self->{error} = "$!";
            $self->{eof} = 1;
            return 0;
        }
        my $left = $end - time;
        return 0 if $left <= 0;
        IO::Select->new($self->{sock})->can_read($left);
    }
}

# Bytes up to and with the first match of $re, taken off the input; undef when it did not come in time.
sub read_until {
    my ($self, $re, $timeout) = @_;
    my $end = deadline($timeout);
    while ($self->{in} !~ /$re/) {
        return undef if !$self->fill_by($end);
    }
    $self->{in} =~ /$re/;
    return substr($self->{in}, 0, $+[0], '');
}

# Exactly $n bytes, or undef. $end, where it is given, is the time of a longer exchange.
sub read_bytes {
    my ($self, $n, $timeout, $end) = @_;
    $end ||= deadline($timeout);
    while (length $self->{in} < $n) {
        return undef if !$self->fill_by($end);
    }
    return substr($self->{in}, 0, $n, '');
}

# All until the peer closes, or what had come when the time was over (then eof is false).
sub read_all {
    my ($self, $timeout) = @_;
    my $end = deadline($timeout);
    1 while time < $end && $self->fill_by($end);
    my $all = $self->{in};
    $self->{in} = '';
    return $all;
}

# What has come by now; waits up to $timeout (default 0) for the first byte.
sub read_some {
    my ($self, $timeout) = @_;
    $self->fill($timeout || 0) if $self->{in} eq '';
    my $all = $self->{in};
    $self->{in} = '';
    return $all;
}

# True when the peer closes (or resets) within the time without sending another byte.
sub closed {
    my ($self, $timeout) = @_;
    return 0 if $self->{in} ne '';
    $self->fill($timeout);
    return $self->{in} eq '' && $self->{eof};
}

# True when neither a byte nor a close comes for $time: used to show that nothing happens.
sub quiet {
    my ($self, $time) = @_;
    return 0 if $self->{in} ne '' || $self->{eof};
    $self->fill_by(Time::HiRes::time() + $time);
    return $self->{in} eq '' && !$self->{eof} ? 1 : 0;
}

sub eof   { return $_[0]{eof} }
sub error { return $_[0]{error} }

sub shutdown_write { my ($self) = @_; CORE::shutdown($self->{sock}, 1); return }

sub close {
    my ($self) = @_;
    return if !$self->{sock};
    $self->{tls} ? $self->{sock}->close(SSL_no_shutdown => 0) : CORE::close($self->{sock});
    $self->{sock} = undef;
    return;
}

# Close with RST.
sub reset {
    my ($self) = @_;
    setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    CORE::close($self->{sock});
    $self->{sock} = undef;
    return;
}

# ------------------------------------------------------------------ HTTP messages

# A head as { line, fields => [[name, value]...], text }; h(name) joins values with ", ".
package ProxyCore::Head;

sub parse {
    my ($class, $text) = @_;
    my ($line, @rest) = split /\r?\n/, $text;
    my $self = bless { line => $line, text => $text, fields => [] }, $class;
    for my $row (@rest) {
        last if $row eq '';
        my ($name, $value) = $row =~ /^([^:]*):[ \t]*(.*?)[ \t]*$/s ? ($1, $2) : ($row, undef);
        push @{ $self->{fields} }, [$name, $value];
    }
    return $self;
}

sub all {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{fields} };
}

sub h {
    my ($self, $name) = @_;
    my @v = $self->all($name);
    return @v ? join(', ', @v) : undef;
}

package ProxyCore::Conn;

# Read a body by its framing. Returns (body, complete, raw chunks text).
sub read_body {
    my ($self, $head, %arg) = @_;
    my $timeout = $arg{timeout};
    my $te = $head->h('Transfer-Encoding');
    my $cl = $head->h('Content-Length');
    if (defined $te && $te =~ /chunked/i) {
        my $body = '';
        while (1) {
            my $line = $self->read_until(qr/\r\n/, $timeout);
            return ($body, 0) if !defined $line;
            my ($hex) = $line =~ /^([0-9A-Fa-f]+)(?:;[^\r]*)?\r\n\z/ or return ($body, 0);
            my $n = hex $hex;
            if ($n == 0) {
                while (1) {
                    my $trailer = $self->read_until(qr/\r\n/, $timeout);
                    return ($body, 0) if !defined $trailer;
                    return ($body, 1) if $trailer eq "\r\n";
                    push @{ $self->{trailers} }, $trailer;
                }
            }
            my $data = $self->read_bytes($n, $timeout);
            if (!defined $data) {
                $body .= $self->{in};
                $self->{in} = '';
                return ($body, 0);
            }
            $body .= $data;
            my $end = $self->read_bytes(2, $timeout);
            return ($body, 0) if !defined $end || $end ne "\r\n";
        }
    }
    if (defined $cl) {
        my $data = $self->read_bytes($cl, $timeout);
        return ($data, 1) if defined $data;
        my $part = $self->{in};
        $self->{in} = '';
        return ($part, 0);
    }
    return ('', 1) if $arg{request};
    my $all = $self->read_all($timeout);
    return ($all, $self->{eof});
}

# The backend's side: one HTTP request. { head, method, target, body, complete } or undef. With body => 0 the body stays.
sub read_request {
    my ($self, %arg) = @_;
    my $text = $self->read_until(qr/\r\n\r\n/, $arg{timeout});
    return undef if !defined $text;
    my $head = ProxyCore::Head->parse($text);
    my ($method, $target) = $head->{line} =~ /^(\S+) (\S+) HTTP\/1\.[01]$/;
    my %req = (head => $head, method => $method, target => $target, text => $text);
    if (!exists $arg{body} || $arg{body}) {
        @req{qw(body complete)} = $self->read_body($head, request => 1, timeout => $arg{timeout});
    }
    return \%req;
}

# The client's side: one final response; interim ones are collected. Keys: status, reason, head, body, complete,
# interim => [heads], elapsed. status is undef when no head came.
sub read_response {
    my ($self, %arg) = @_;
    my $start = time;
    my @interim;
    while (1) {
        my $text = $self->read_until(qr/\r\n\r\n/, $arg{timeout});
        if (!defined $text) {
            return { status => undef, raw => $self->{in}, interim => \@interim, complete => 0, body => '',
                     eof => $self->{eof}, elapsed => time - $start };
        }
        my $head = ProxyCore::Head->parse($text);
        my ($status, $reason) = $head->{line} =~ /^HTTP\/1\.[01] (\d\d\d)(?: (.*))?$/;
        if (defined $status && $status < 200 && $status != 101) {
            push @interim, $head;
            next;
        }
        my %res = (status => $status, reason => $reason, head => $head, interim => \@interim, body => '', complete => 1);
        my $bare = ($arg{method} || '') eq 'HEAD' || (defined $status && ($status == 204 || $status == 304 || $status == 101));
        if (!$bare && !$arg{head_only}) {
            @res{qw(body complete)} = $self->read_body($head, timeout => $arg{timeout});
        }
        $res{elapsed} = time - $start;
        return \%res;
    }
}

1;
