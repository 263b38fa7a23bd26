# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# FastCGI records written and read by hand, from the application's side of the connection.
package ProxyCore::FCGI;

use strict;
use warnings;

use Exporter 'import';

use ProxyCore::Conn;

our @EXPORT_OK = qw(FCGI_BEGIN_REQUEST FCGI_ABORT_REQUEST FCGI_END_REQUEST FCGI_PARAMS FCGI_STDIN FCGI_STDOUT
    FCGI_STDERR FCGI_GET_VALUES FCGI_GET_VALUES_RESULT FCGI_UNKNOWN_TYPE
    record fcgi_stdout fcgi_stderr fcgi_end fcgi_answer read_record read_fcgi);

use constant {
    FCGI_BEGIN_REQUEST => 1, FCGI_ABORT_REQUEST => 2, FCGI_END_REQUEST => 3, FCGI_PARAMS => 4, FCGI_STDIN => 5, FCGI_STDOUT => 6, FCGI_STDERR => 7,
    FCGI_DATA => 8, FCGI_GET_VALUES => 9, FCGI_GET_VALUES_RESULT => 10, FCGI_UNKNOWN_TYPE => 11,
};

# One record. %arg: id (1), pad (0), version (1).
sub record {
    my ($type, $content, %arg) = @_;
    my $pad = $arg{pad} || 0;
    return pack('CCnnCC', defined $arg{version} ? $arg{version} : 1, $type, defined $arg{id} ? $arg{id} : 1,
        length $content, $pad, 0) . $content . ("\0" x $pad);
}

sub in_records {
    my ($type, $bytes, %arg) = @_;
    my $size = $arg{size} || 32768;
    my $out = '';
    for (my $at = 0; $at < length $bytes; $at += $size) {
        $out .= record($type, substr($bytes, $at, $size), %arg);
    }
    return $out;
}

sub fcgi_stdout { my ($bytes, %arg) = @_; return in_records(FCGI_STDOUT, $bytes, %arg) }
sub fcgi_stderr { my ($bytes, %arg) = @_; return in_records(FCGI_STDERR, $bytes, %arg) }

# END_REQUEST. %arg: app (0), protocol (0), id, pad
sub fcgi_end {
    my (%arg) = @_;
    return record(FCGI_END_REQUEST, pack('NCx3', $arg{app} || 0, $arg{protocol} || 0), %arg);
}

# A whole answer: STDOUT, its end, END_REQUEST.
sub fcgi_answer {
    my ($bytes, %arg) = @_;
    return fcgi_stdout($bytes, %arg) . record(FCGI_STDOUT, '', %arg) . fcgi_end(%arg);
}

# One record off a ProxyCore::Conn: { type, id, content, pad } or undef.
sub read_record {
    my ($conn, $timeout, $end) = @_;
    my $head = $conn->read_bytes(8, $timeout, $end);
    return undef if !defined $head;
    my ($version, $type, $id, $len, $pad) = unpack 'CCnnC', $head;
    my $content = $conn->read_bytes($len + $pad, $timeout, $end);
    return undef if !defined $content;
    return { version => $version, type => $type, id => $id, content => substr($content, 0, $len), pad => $pad };
}

sub pairs {
    my ($bytes) = @_;
    my (%v, @order);
    my $at = 0;
    my $len = sub {
        my $n = ord substr($bytes, $at, 1);
        if ($n < 128) { $at += 1; return $n }
        $n = unpack('N', substr($bytes, $at, 4)) & 0x7fffffff;
        $at += 4;
        return $n;
    };
    while ($at < length $bytes) {
        my $nl = $len->();
        my $vl = $len->();
        my $name = substr($bytes, $at, $nl);
        push @order, $name;
        $v{$name} = substr($bytes, $at + $nl, $vl);
        $at += $nl + $vl;
    }
    return (\%v, \@order);
}

# Read a request: { id, role, keep, params, order, stdin, stdin_end, aborted, records } or undef when not even the
# parameters came. With stdin => 0 it stops behind the parameters.
sub read_fcgi {
    my ($conn, %arg) = @_;
    my $end = ProxyCore::Conn::deadline($arg{timeout});
    my %req = (stdin => '', stdin_end => 0, aborted => 0, records => []);
    my $params = '';
    while (1) {
        my $rec = read_record($conn, undef, $end);
        return $req{params} ? \%req : undef if !defined $rec;
        push @{ $req{records} }, $rec;
        if ($rec->{type} == FCGI_BEGIN_REQUEST) {
            @req{qw(role flags)} = unpack 'nC', $rec->{content};
            $req{id} = $rec->{id};
            $req{keep} = $req{flags} & 1;
        }
        elsif ($rec->{type} == FCGI_PARAMS) {
            if ($rec->{content} ne '') {
                $params .= $rec->{content};
                next;
            }
            @req{qw(params order)} = pairs($params);
            return \%req if exists $arg{stdin} && !$arg{stdin};
        }
        elsif ($rec->{type} == FCGI_STDIN) {
            if ($rec->{content} eq '') {
                $req{stdin_end} = 1;
                return \%req;
            }
            $req{stdin} .= $rec->{content};
        }
        elsif ($rec->{type} == FCGI_ABORT_REQUEST) {
            $req{aborted} = 1;
            return \%req;
        }
    }
}

1;
