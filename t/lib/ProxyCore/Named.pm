# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Applications that answer with fields for the server in front of them: one pool for each protocol, /http/, /fastcgi/ and /scgi/,
# whose answers the test writes.
#
#     my $app = ProxyCore::Named->new('fastcgi');
#     ... $app->conf('ProxyCoreXSendfile on root=/srv') ...
#     my ($res, $req) = $app->ask($server, "X-Sendfile: /srv/file\r\n", path => '/x', fields => [Range => 'bytes=0-1']);
package ProxyCore::Named;

use strict;
use warnings;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);

sub new {
    my ($class, $protocol, %arg) = @_;
    return bless { protocol => $protocol, backend => ProxyCore::Backend->new(%arg) }, $class;
}

sub protocols { return qw(http fastcgi scgi) }

# A pool NAME (default: the protocol) with a location of the same name. $lines stand in the location.
sub conf {
    my ($self, $lines, %arg) = @_;
    my $name = $self->{name} = $arg{name} || $self->{protocol};
    my $keep = $arg{keep} ? 'on' : 'off';
    my $address = $self->{backend}->address;
    return "<ProxyCore $name>\n    ProxyCoreProtocol $self->{protocol}\n    ProxyCoreBackend $address\n"
        . "    ProxyCoreKeepAlive $keep\n    ProxyCoreTimeout first=40s idle=40s\n" . ($arg{pool} || '') . "</ProxyCore>\n"
        . "<Location /$name/>\n    ProxyCorePass $name\n$lines\n</Location>\n";
}

# Take the next request and answer it with these fields. Returns what the application saw: { field => sub, text, body }.
sub answer {
    my ($self, $fields, %arg) = @_;
    my $conn = $self->{conn} || $self->{backend}->accept($arg{timeout}) or return undef;
    my $body = defined $arg{body} ? $arg{body} : 'the application';
    my $status = $arg{status} || 200;
    my $type = exists $arg{type} ? $arg{type} : 'text/x-app';
    $type = defined $type ? "Content-Type: $type\r\n" : '';
    my %seen = (conn => $conn);
    if ($self->{protocol} eq 'http') {
        my $req = $conn->read_request(%{ $arg{read} || {} }) or return undef;
        $arg{before}->($conn) if $arg{before};
        my $length = defined $arg{length} ? $arg{length} : length $body;
        $body = '' if $req->{method} eq 'HEAD';
        $conn->send("HTTP/1.1 $status X\r\n${type}Content-Length: $length\r\n$fields\r\n$body");
        @seen{qw(text body method)} = @{$req}{qw(text body method)};
        $seen{target} = $req->{target};
        $seen{field} = sub { return $req->{head}->h($_[0]) };
    }
    else {
        my $req = $self->{protocol} eq 'scgi' ? read_scgi($conn, %{ $arg{read} || {} }) : read_fcgi($conn, %{ $arg{read} || {} });
        return undef if !$req;
        $arg{before}->($conn) if $arg{before};
        my $length = defined $arg{length} ? "Content-Length: $arg{length}\r\n" : '';
        my $line = $status == 200 ? '' : "Status: $status\r\n";
        my $answer = "$line$type$length$fields\r\n$body";
        $conn->send($self->{protocol} eq 'scgi' ? $answer : fcgi_answer($answer));
        $seen{method} = $req->{params}{REQUEST_METHOD};
        $seen{body} = $req->{stdin};
        $seen{target} = $req->{params}{SCRIPT_NAME} . ($req->{params}{QUERY_STRING} eq '' ? '' : "?$req->{params}{QUERY_STRING}");
        $seen{field} = sub { (my $n = 'HTTP_' . uc $_[0]) =~ tr/-/_/; return $req->{params}{$n} };
    }
    $conn->close if !$arg{open};
    return \%seen;
}

# Answer whatever request comes, up to twenty, with the fields that $fields->(number) says, until the client has its answer.
# Returns how many came.
sub answer_until {
    my ($self, $client, $fields) = @_;
    my $n = 0;
    while ($n < 20) {
        my ($conn) = $self->{backend}->accept_or($client->conn) or last;
        last if $conn == $client->conn;
        local $self->{conn} = $conn;
        $self->answer($fields->($n++));
    }
    return $n;
}

sub read_scgi {
    my ($conn, %arg) = @_;
    my ($n) = ($conn->read_until(qr/:/) || '') =~ /^(\d+):$/ or return undef;
    my %params = $conn->read_bytes($n) =~ /\G([^\0]*)\0([^\0]*)\0/g;
    $conn->read_bytes(1); # the comma
    return { params => \%params, stdin => exists $arg{body} ? '' : $conn->read_bytes($params{CONTENT_LENGTH} || 0) };
}

# A request from a client, answered by the application. %arg: method, path, fields, and what answer() takes.
sub ask {
    my ($self, $server, $fields, %arg) = @_;
    my $f = ProxyCore::Client->start($server, $arg{method} || 'GET', "/$self->{name}" . ($arg{path} || '/x'),
        fields => $arg{fields} || [], front => $arg{front}, $arg{upload} ? (body => $arg{upload}) : ());
    my $seen = $self->answer($fields, %arg);
    return ($f->finish(timeout => $arg{timeout}), $seen);
}

1;
