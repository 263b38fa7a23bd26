# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Certificates for tests, made when a test asks for them:
#
#     my $ca = ProxyCore::TLS->ca('Our CA');              # $ca->file is what clients trust
#     my $pem = $ca->cert('host.test', days => -1);       # a file with certificate and key
package ProxyCore::TLS;

use strict;
use warnings;

use IO::Socket::SSL::Utils;

use ProxyCore::Util qw(work_dir spew);

my $number = 0;

sub ca {
    my ($class, $cn) = @_;
    my $key = KEY_create_ec();
    my ($cert) = CERT_create(CA => 1, purpose => 'keyCertSign,cRLSign', key => $key, subject => { commonName => $cn }, not_before => time - 86400 * 9);
    my $self = bless { cert => $cert, key => $key }, $class;
    $self->{file} = spew(work_dir() . '/tls/' . ++$number . '-ca.pem', PEM_cert2string($cert), 0644);
    return $self;
}

sub file { return $_[0]{file} }

# %arg: days (of validity, negative: over), ip => address instead of a name, purpose, ca => 1 (for the CA's own child)
sub cert {
    my ($self, $name, %arg) = @_;
    my $key = KEY_create_ec();
    my $days = defined $arg{days} ? $arg{days} : 2;
    my ($cert) = CERT_create(key => $key, subject => { commonName => $name },
        not_before => time - 86400 * 8, not_after => time + 86400 * $days,
        purpose => $arg{purpose} || 'server,client', subjectAltNames => [[$arg{ip} ? 'IP' : 'DNS', $name]],
        $arg{self} ? () : (issuer => [$self->{cert}, $self->{key}]));
    return spew(work_dir() . '/tls/' . ++$number . ".pem", PEM_cert2string($cert) . PEM_key2string($key), 0644);
}

1;
