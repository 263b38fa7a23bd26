#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# WebDAV: litmus against a second httpd with mod_dav, directly and through us. What passes there passes here.
# F21
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Programs qw(need run_program);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir is_root user_ids);

need(litmus => '/usr/bin/litmus');

# Host stays the client's, so that the Destination of COPY and MOVE names the server that mod_dav thinks to be.
my $dav = ProxyCore::Server->new(name => 'dav', core => 0, modules => [qw(dav dav_fs)], conf => '');
my $store = $dav->docroot . '/dav';
mkdir $store;
chown user_ids(), $store, $dav->dir . '/run' if is_root();
$dav->{conf} = <<"CONF";
DavLockDB @{[$dav->dir]}/run/locks
<Directory $store>
    Dav On
    AllowOverride None
</Directory>
CONF
$dav->start;
my $s = ProxyCore::Server->new(name => 'front', conf => <<"CONF")->start;
<ProxyCore dav>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:@{[$dav->port]}
    ProxyCoreKeepAlive on
</ProxyCore>
<Location /dav/>
    ProxyCorePass dav
</Location>
CONF

# Name => what litmus says of it.
sub litmus {
    my ($server) = @_;
    my $res = run_program({ cwd => work_dir(), timeout => 100 }, 'litmus', '-k', 'http://127.0.0.1:' . $server->port . '/dav/');
    my ($suite, %said) = '';
    for my $line (map { s/.*\r//r } split /\n/, $res->{out}) {
        $suite = $1 if $line =~ /^-> running `(\w+)'/;
        $said{"$suite: $1"} = $2 if $line =~ /^\s*\d+\. (\w+)\.+ (pass|FAIL|SKIPPED|WARNING.*)/;
    }
    return \%said;
}

my ($direct, $through) = (litmus($dav), litmus($s));
cmp_ok scalar(keys %$direct), '>', 60, 'litmus asks for ' . keys(%$direct) . ' things';
is_deeply $through, $direct, 'each answered as mod_dav itself answers it';
ok !(grep { $through->{$_} =~ /FAIL/ } keys %$through), 'none failed' or diag explain $through;
$_->stop for $s, $dav;
done_testing;
