#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Where TLS to backends is configured and what it does not depend on: virtual hosts, the server's own SSLProxy directives,
# mod_proxy beside us, revocation lists, other backends, restarts.
# F12 F26 F8
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Server;
use ProxyCore::TLS;
use ProxyCore::Util qw(work_dir spew slurp run_capture free_port fd_count poll_until);

my $ca = ProxyCore::TLS->ca('Our CA');
my $other = ProxyCore::TLS->ca('Another CA');
my $good = $ca->cert('localhost');

# Backends: certificates of ours, of the other CA, and a revoked one.
my %b = map { $_ => ProxyCore::Backend->new } qw(ours other revoked);
my $revoked = $ca->cert('localhost');
my %pem = (ours => $good, other => $other->cert('localhost'), revoked => $revoked);
for my $n (sort keys %b) {
    $b{$n}->serve(sub {
        my ($k) = @_;
        $k->start_tls(SSL_cert_file => $pem{$n}, SSL_key_file => $pem{$n}) or return;
        while (my $req = $k->read_request) {
            $k->send("HTTP/1.1 200 OK\r\nContent-Length: " . length($n) . "\r\n\r\n$n");
        }
    });
}

# A list that revokes one of them.
my $dir = work_dir() . '/crl';
spew("$dir/index", '');
spew("$dir/ca.cnf", "[ca]\ndefault_ca = c\n[c]\ndatabase = $dir/index\ndefault_md = sha256\ndefault_crl_days = 2\n");
spew("$dir/ca.key", IO::Socket::SSL::Utils::PEM_key2string($ca->{key}));
for my $args (['-revoke', $revoked], ['-gencrl', '-out', "$dir/crl.pem"]) {
    my ($out, $rc) = run_capture(qw(openssl ca -config), "$dir/ca.cnf", '-cert', $ca->file, '-keyfile', "$dir/ca.key", @$args);
    is $rc, 0, "openssl ca $args->[0]" or diag $out;
}

sub pool {
    my ($name, $more, @backends) = @_;
    return "<ProxyCore $name>\n ProxyCoreProtocol https\n ProxyCoreBalancer first\n"
        . join('', map { " ProxyCoreBackend localhost:$b{$_}{port} name=$_\n" } @backends) . "$more\n</ProxyCore>\n";
}
my @ports = map { free_port() } 1 .. 2;
my $crl = "SSLProxyCARevocationFile $dir/crl.pem\nSSLProxyCARevocationCheck chain\n";
my $conf = <<"CONF";
# What the server says is for mod_proxy: neither does it trust anybody for us nor turn verification off.
SSLProxyEngine On
SSLProxyVerify none
SSLProxyCheckPeerName off
SSLProxyCheckPeerExpire off
SSLProxyCACertificateFile @{[$other->file]}
ProxyPass /old/ https://localhost:$b{other}{port}/
@{[pool('ours', "ProxyCoreTLS ca=@{[$ca->file]}", 'ours')]}
@{[pool('distrusted', "ProxyCoreTLS ca=@{[$ca->file]}", 'other')]}
@{[pool('both', "ProxyCoreTLS ca=@{[$ca->file]}\nProxyCoreDisableTime 1ms", 'other', 'ours')]}
@{[pool('listed', "ProxyCoreTLS ca=@{[$ca->file]}\n$crl", 'revoked')]}
@{[pool('unlisted', "ProxyCoreTLS ca=@{[$ca->file]}\n$crl", 'ours')]}
@{[pool('folder', "ProxyCoreTLS ca=$dir/cas", 'ours')]}
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(ours distrusted both listed unlisted folder)]}
Listen 127.0.0.1:$ports[0]
<VirtualHost 127.0.0.1:$ports[0]>
    @{[pool('mine', "ProxyCoreTLS ca=@{[$other->file]}", 'other')]}
    @{[pool('ours', "ProxyCoreTLS ca=@{[$other->file]}", 'ours')]}
    <Location /mine/>
        ProxyCorePass mine
    </Location>
</VirtualHost>
CONF
spew("$dir/cas/ca.pem", slurp($ca->file));
my ($out, $rc) = run_capture('openssl', 'rehash', "$dir/cas");
is $rc, 0, 'a folder of CAs' or diag $out;
my $s = ProxyCore::Server->new(modules => [qw(ssl proxy proxy_http)], conf => $conf)->start;

sub says {
    my ($path, $port) = @_;
    my $c = ProxyCore::Conn->connect(port => $port || $s->port);
    $c->send("GET $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    my $res = $c->read_response;
    $c->close;
    return $res->{status} == 200 ? $res->{body} : $res->{status};
}

sub everything {
    my ($when) = @_;
    is says('/ours/x'), 'ours', "$when: a pool of ours";
    is says('/distrusted/x'), 502, "$when: the server's CA and its SSLProxyVerify none are not ours";
    is says('/old/x'), 'other', "$when: mod_proxy has them";
    is says('/both/x'), 'ours', "$when: a backend that is not believed is followed by another";
    is says('/listed/x'), 502, "$when: revoked";
    is says('/unlisted/x'), 'ours', "$when: not revoked";
    is says('/folder/x'), 'ours', "$when: CAs in a folder";
    is says('/mine/x', $ports[0]), 'other', "$when: a virtual host has a pool and a CA of its own";
    is says('/ours/x', $ports[0]), 502, "$when: of the same name, too";
}

everything('started');
like +($s->grep_log(qr/PXC0451.*pool listed/))[0] || ($s->grep_log(qr/PXC045.*pool listed/))[0], qr/certificate is refused: certificate revoked/, 'and the log says so';
$s->graceful;
everything('after a graceful restart');
$s->graceful for 1 .. 3;
everything('after three more');
$s->restart;
everything('after a restart');

# Descriptors: as many as before, however many connections failed and worked.
my ($child) = $s->children;
says('/distrusted/x') for 1 .. 5;
my $before = fd_count($child);
for (1 .. 40) {
    says('/distrusted/x');
    says('/ours/x');
}
if (($s->children)[0] == $child && $s->{mpm} eq 'event') {
    my $now;
    poll_until { $now = fd_count($child); $now <= $before + 2 } 3;
    cmp_ok $now, '<=', $before + 2, 'no descriptor is lost';
}
$s->stop;
$_->stop_serving for values %b;
done_testing;
