# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Servers whose applications are spawned by mod_procd, and what can be asked of them.
package ProxyCore::Groups;

use strict;
use warnings;

use JSON::PP qw(decode_json);

use ProxyCore::Server;
use ProxyCore::Util qw(work_dir backend_program poll_until alive descendants cmdline patient);

# A request may wait for its turn for as long as a test does.
sub patient_queue { my ($lines) = @_; return $lines =~ /ProxyCoreQueue/ ? '' : '    ProxyCoreQueue 512 timeout=' . patient(20) . "s\n" }

# <Spawn NAME> with these lines, a pool of the same name and a location /NAME/ for it. %arg: protocol, pool (more lines).
sub group {
    my ($name, $lines, %arg) = @_;
    my $protocol = $arg{protocol} || 'fastcgi';
    my $command = $lines =~ /SpawnCommand/ ? '' : 'SpawnCommand ' . program($protocol) . "\n";
    return "<Spawn $name>\n$command$lines\n</Spawn>\n<ProxyCore $name>\n    ProxyCoreProtocol $protocol\n"
        . "    ProxyCoreBackend spawn:$name\n" . patient_queue($arg{pool} || '') . ($arg{pool} || '') . "</ProxyCore>\n"
        . "<Location /$name/>\n    ProxyCorePass $name\n</Location>\n";
}

sub program { my ($protocol) = @_; return backend_program($protocol eq 'http' ? 'http_echo' : 'fcgi_echo') }

sub status_conf {
    return "<Location /procd>\n    SetHandler procd-status\n</Location>\n<Location /pools>\n    SetHandler proxy-core-status\n</Location>\n";
}

# ProxyCore::Server->new with mod_procd.
sub server {
    my (%arg) = @_;
    $arg{conf} .= status_conf();
    return ProxyCore::Server->new(procd => 1, loglevel => 'info procd:debug', %arg);
}

# The group as mod_procd's status page has it.
sub status {
    my ($s, $name) = @_;
    my $page = decode_json($s->get('/procd?format=json')->{body});
    my ($g) = grep { $_->{name} eq $name } @{ $page->{groups} };
    return $g;
}

# Its live processes' ids.
sub pids {
    my ($s, $name) = @_;
    my $g = status($s, $name) or return;
    my @pids = sort { $a <=> $b } map { $_->{pid} } grep { $_->{state} =~ /ready|retiring|start/ } @{ $g->{list} };
    return @pids;
}

# Wait until the group has exactly $n processes that accept.
sub wait_for {
    my ($s, $name, $n, $timeout) = @_;
    return poll_until { my $g = status($s, $name); $g && $g->{processes} == $n } $timeout || 10;
}

# name => value of an answer of fcgi_echo or http_echo.
sub facts {
    my ($res) = @_;
    my %v = ($res->{body} || '') =~ /^((?:app|env)\.\w+)=(.*)$/mg;
    my %e = ($res->{body} || '') =~ /^env\.(\w+)=(.*)$/mg;
    $v{env} = \%e;
    $v{status} = $res->{status};
    return \%v;
}

1;
