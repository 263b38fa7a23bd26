# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The backend's side of every protocol behind one pair of functions, so that a test says once what must be the same
# whatever is spoken:
#
#     my $req = take($kind, $conn);                 # { params, body, complete }; of http { head, method, target, body }
#     $conn->send(answer($kind, $head, $body));     # head without its first line and empty line; status => 404
#
# Kinds are http, fcgi, scgi and uwsgi.
package ProxyCore::Gateway;

use strict;
use warnings;

use Exporter 'import';

use ProxyCore::FCGI qw(read_fcgi fcgi_answer);

our @EXPORT_OK = qw(read_scgi read_uwsgi take answer protocol);

sub protocol { my ($kind) = @_; return $kind eq 'fcgi' ? 'fastcgi' : $kind }

# The body behind the head: CONTENT_LENGTH bytes of it, then nothing. With body => 0 it stays.
sub read_rest {
    my ($conn, $req, %arg) = @_;
    return $req if exists $arg{body} && !$arg{body};
    my $n = $req->{params}{CONTENT_LENGTH} || 0;
    my $body = $conn->read_bytes($n, $arg{timeout});
    @{$req}{qw(body complete)} = defined $body ? ($body, 1) : ($conn->{in}, 0);
    return $req;
}

# SCGI: a netstring of names and values. { params, order, body, complete } or undef.
sub read_scgi {
    my ($conn, %arg) = @_;
    my $len = $conn->read_until(qr/\A[1-9]\d*:/, $arg{timeout});
    return undef if !defined $len;
    my $text = $conn->read_bytes($len =~ s/://r, $arg{timeout});
    my $comma = $conn->read_bytes(1, $arg{timeout});
    return undef if !defined $comma || $comma ne ',' || $text !~ /\0\z/;
    my @list = split /\0/, $text, -1;
    pop @list;
    my %req = (params => { @list }, order => [map { $list[2 * $_] } 0 .. $#list / 2]);
    return read_rest($conn, \%req, %arg);
}

# uwsgi: modifier1, size, modifier2, then names and values with 16-bit sizes.
sub read_uwsgi {
    my ($conn, %arg) = @_;
    my $head = $conn->read_bytes(4, $arg{timeout});
    return undef if !defined $head;
    my ($one, $size, $two) = unpack 'CvC', $head;
    my $text = $conn->read_bytes($size, $arg{timeout});
    return undef if !defined $text;
    my @list = unpack '(v/a)*', $text;
    my %req = (params => { @list }, order => [map { $list[2 * $_] } 0 .. $#list / 2], modifiers => [$one, $two], size => $size);
    return read_rest($conn, \%req, %arg);
}

sub take {
    my ($kind, $conn, %arg) = @_;
    return $conn->read_request(%arg) if $kind eq 'http';
    return read_scgi($conn, %arg) if $kind eq 'scgi';
    return read_uwsgi($conn, %arg) if $kind eq 'uwsgi';
    my $req = read_fcgi($conn, exists $arg{body} ? (stdin => $arg{body}) : (), timeout => $arg{timeout});
    @{$req}{qw(body complete)} = @{$req}{qw(stdin stdin_end)} if $req;
    return $req;
}

# $head: field lines with CRLF. %arg: status (200), reason, line => 1: scgi and uwsgi begin with a status line.
sub answer {
    my ($kind, $head, $body, %arg) = @_;
    my $status = $arg{status} || 200;
    my $text = "$head\r\n" . (defined $body ? $body : '');
    return "HTTP/1.1 $status " . ($arg{reason} || 'Said') . "\r\n$text" if $kind eq 'http' || ($arg{line} && $kind ne 'fcgi');
    $text = "Status: $status " . ($arg{reason} || 'Said') . "\r\n$text" if $arg{status} || $arg{reason};
    return $kind eq 'fcgi' ? fcgi_answer($text) : $text;
}

1;
