#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What `httpd -t` says to configurations, right and wrong: a mistake is named with the directive, the value and what would
# be accepted. Nothing is started here. F2 F3 F13 F29 G4 G6 G7 G20
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::TLS;
use ProxyCore::Util qw(build_dir work_dir spew);

my $httpd = $ENV{HTTPD} || (grep { -x } '/usr/sbin/apache2', '/usr/sbin/httpd')[0] || 'httpd';
chomp(my $libexec = `${\($ENV{APXS} || 'apxs')} -q LIBEXECDIR`);
my $build = build_dir();
my $dir = work_dir();

# @return (exit status, output) of httpd -t with these lines
sub check {
    my ($lines, %arg) = @_;
    spew("$dir/t.conf", <<"HEAD" . $lines . "\n");
ServerRoot "$dir"
ServerName localhost
PidFile "$dir/t.pid"
DefaultRuntimeDir "$dir"
ErrorLog "$dir/t.log"
DocumentRoot "$dir/htdocs"
Listen 127.0.0.1:18201
LoadModule mpm_event_module $libexec/mod_mpm_event.so
LoadModule authz_core_module $libexec/mod_authz_core.so
LoadModule mime_module $libexec/mod_mime.so
LoadModule rewrite_module $libexec/mod_rewrite.so
LoadModule dir_module $libexec/mod_dir.so
LoadModule env_module $libexec/mod_env.so
@{[ $arg{procd} ? "LoadModule procd_module $build/modules/mod_procd.so\nProcdManager /bin/true" : '' ]}
LoadModule proxy_core_module $build/modules/mod_proxy_core.so
HEAD
    my $out = `$ENV{PC_PRELOAD_CMD} $httpd -t -f $dir/t.conf 2>&1`;
    return ($?, $out);
}
$ENV{PC_PRELOAD_CMD} = $ENV{PC_PRELOAD} ? "env LD_PRELOAD=$ENV{PC_PRELOAD} ASAN_OPTIONS=detect_leaks=0" : '';

sub good {
    my ($name, $lines, %arg) = @_;
    my ($rc, $out) = check($lines, %arg);
    ok($rc == 0 && $out =~ /Syntax OK/, $name) or diag $out;
}

# Every pattern must be in what is said.
sub bad {
    my ($name, $lines, @patterns) = @_;
    my %arg = ref $patterns[-1] eq 'HASH' ? %{ pop @patterns } : ();
    my ($rc, $out) = check($lines, %arg);
    subtest $name => sub {
        isnt $rc, 0, 'is refused';
        like $out, $_, "says $_" for @patterns;
    };
}

sub pool { return "<ProxyCore app>\nProxyCoreProtocol http\nProxyCoreBackend 127.0.0.1:8001\n@_\n</ProxyCore>" }
sub backend { return "<ProxyCore app>\nProxyCoreProtocol http\nProxyCoreBackend $_[0]\n</ProxyCore>" }

# ---------------------------------------------------------------- what works

good 'two backends of one request each, a location with strip', <<'C';
<ProxyCore app>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:8001 max=1
    ProxyCoreBackend 127.0.0.1:8002 max=1
</ProxyCore>
<Location "/app/">
    ProxyCorePass app strip=/app
</Location>
C

good 'every directive of a block', <<'C';
<ProxyCore every.thing_1-a>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:/run/a.sock weight=2 max=3 retry=500ms name=one
    ProxyCoreBackend [::1]:9000 backup
    ProxyCoreBackend 127.0.0.1:9000 drain proxy-protocol=v2
    ProxyCoreBackend localhost:9001 name=named
    ProxyCoreBalancer round-robin
    ProxyCoreKeepAlive on max=4 idle=5s requests=1000
    ProxyCoreQueue 10 timeout=2min
    ProxyCoreTimeout connect=1 send=2s first=3min idle=1h total=0
    ProxyCoreRetry 2 on=connect,stale,reset,timeout,5xx
    ProxyCoreDisableTime 2s
    ProxyCoreForwarded both trust=10.0.0.0/8,2001:db8::/32 trust=192.0.2.1
    ProxyCoreExpect local
    ProxyCoreAsync off
    ProxyCoreDocumentRoot /srv/www
    ProxyCoreScript .php .phtml chroot=/srv path-info-in-filename=on
    ProxyCoreSetEnv A "b %{HTTP_HOST}"
    ProxyCoreSetEnv EMPTY ""
    ProxyCorePassEnv LANG TZ
    ProxyCoreResolve off
    ProxyCoreSticky off
    ProxyCoreHealthCheck off
    ProxyCoreRequestBuffering on spool=1M
    ProxyCoreResponseBuffering on spool=256K file=2G
    ProxyCoreXSendfile on root=/srv/files "root=/srv/more files" unescape=on
    ProxyCoreXRewrite on
    ProxyCoreMode responder
    ProxyCoreUpgrade off
    ProxyCoreErrorOverride off
</ProxyCore>
C

good 'directives of sections, in each kind of section (F29)', pool() . <<'C';

<Directory "/">
    ProxyCorePass app check-local=off
    ProxyCoreSetEnv A 1
</Directory>
<Files "x.php">
    ProxyCorePass off
</Files>
<FilesMatch "\.php$">
    SetHandler proxy-core:app
</FilesMatch>
<If "%{QUERY_STRING} == 'x'">
    ProxyCorePass app
</If>
<LocationMatch "^/(a|b)/">
    ProxyCorePass APP
    ProxyCoreScript none
    ProxyCoreDocumentRoot "/srv/%{HTTP_HOST}"
</LocationMatch>
AddHandler proxy-core:app .app
C

good 'the short forms', <<'C';
ProxyCorePassEnv LANG
<Location /a>
    ProxyCorePass fastcgi://unix:/run/php/php-fpm.sock
</Location>
<Location /b>
    SetHandler "proxy-core:http://127.0.0.1:3000"
</Location>
<Location /c>
    ProxyCorePass http://127.0.0.1:3000
</Location>
C

good 'a virtual host sees the main pools and has its own of the same name', pool() . <<'C';

<VirtualHost 127.0.0.1:18201>
    <ProxyCore app>
        ProxyCoreProtocol fastcgi
        ProxyCoreBackend unix:/run/x
    </ProxyCore>
    <Location /x>
        ProxyCorePass app
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.1:18201>
    ServerName other
    ProxyCorePass app
</VirtualHost>
C

good 'http has a usual port', backend('127.0.0.1');

# ---------------------------------------------------------------- blocks

bad 'F2: an unknown protocol', "<ProxyCore a>\nProxyCoreProtocol foo\n</ProxyCore>", qr/ProxyCoreProtocol: 'foo'/, qr/fastcgi, http/;
bad "a protocol of later: $_", "<ProxyCore a>\nProxyCoreProtocol $_\n</ProxyCore>", qr/$_ is not available in this version/
    for qw(app);
bad 'no protocol', "<ProxyCore a>\nProxyCoreBackend 127.0.0.1:1\n</ProxyCore>", qr/<ProxyCore a>: ProxyCoreProtocol is missing/;
bad 'no backend', "<ProxyCore a>\nProxyCoreProtocol http\n</ProxyCore>", qr/ProxyCoreBackend is missing/;
bad 'only backups', backend('127.0.0.1:1 backup'), qr/every ProxyCoreBackend is a backup/;
bad 'the protocol twice', pool('ProxyCoreProtocol fastcgi'), qr/ProxyCoreProtocol is given twice/;
bad 'the block twice', pool() . "\n" . pool(), qr/<ProxyCore app>: this server has a block of this name already, at .*t\.conf:\d+/;
bad 'G20: a typo in a block', pool('ProxyCoreBackends 127.0.0.1:1'), qr/Invalid command 'ProxyCoreBackends'/;
bad 'a directive of another module in a block', pool('DirectoryIndex x'), qr/DirectoryIndex may not stand inside <ProxyCore app>/;
bad 'a section in a block', pool("<Location /x>\n</Location>"), qr/<Location> may not stand inside/;
bad 'a directive of a block outside', 'ProxyCoreTimeout idle=5s', qr/ProxyCoreTimeout must stand inside <ProxyCore NAME>/;
bad 'a block in a section', "<Location /x>\n" . pool() . "\n</Location>", qr/<ProxyCore not allowed in <Location> context/;
bad 'a name with a slash', "<ProxyCore a/b>\n</ProxyCore>", qr{<ProxyCore a/b>: a name has};
bad 'the name off', "<ProxyCore off>\n</ProxyCore>", qr/is not 'off'/;
bad 'no name', "<ProxyCore>\n</ProxyCore>", qr/takes one name/;
bad 'two names', "<ProxyCore a b>\n</ProxyCore>", qr/takes one name/;

# ---------------------------------------------------------------- addresses and keys

bad 'G7: an address of both kinds', backend('unix:/run/x:127.0.0.1:80 127.0.0.1:80'), qr/unknown key '127\.0\.0\.1:80'/;
bad 'a relative socket', backend('unix:run/x'), qr{unix:run/x must begin with '/'};
bad 'a socket whose path is too long', backend('unix:/' . 'x' x 108), qr/has 109 bytes, a socket's path has at most 107/;
bad 'an address with a scheme', backend('http://127.0.0.1:80'), qr/is not an address/, qr{host:port, \[v6\]:port, unix:/path or spawn:GROUP};
bad 'srv:', backend('srv:_http._tcp.example'), qr/srv: is not available in this version/;
bad 'IPv6 without brackets', backend('::1:80'), qr/stands in brackets/;
bad 'no IPv6 address', backend('[zz]:80'), qr/is not an IPv6 address/;
bad "port $_", backend("127.0.0.1:$_"), qr/must be a number from 1 to 65535/ for 0, 65536, 'x', '80x', -1, '';
bad 'no port where there is no usual one', "<ProxyCore a>\nProxyCoreProtocol fastcgi\nProxyCoreBackend 127.0.0.1\n</ProxyCore>",
    qr/needs a port, since fastcgi has no usual one/;
bad 'F13: a name that cannot be looked up', backend('nosuch.invalid:80'), qr/nosuch\.invalid: the name cannot be looked up/;
bad "key $_->[0]", backend("127.0.0.1:80 $_->[0]"), $_->[1]
    for ['weight=0', qr/weight=0: accepted is a number from 1 to 1000/], ['weight=x', qr/from 1 to 1000/], ['max=-1', qr/from 0 \(no bound\)/],
    ['retry=fast', qr/retry=fast: accepted is a time such as/], ['name=a/b', qr/name=a\/b: accepted/],
    ['slowstart=1s', qr/slowstart= is not available in this version/], ['wieght=1', qr/unknown key 'wieght=1'; accepted: weight=N/],
    ['proxy-protocol=v3', qr/proxy-protocol=v3: accepted is v1 or v2/], ['weight=1 weight=2', qr/weight=1 and weight=2 contradict each other/];
bad 'the same address twice', pool('ProxyCoreBackend 127.0.0.1:8001'), qr/a backend '127\.0\.0\.1:8001' already; tell them apart with name=/;
bad 'the same name twice', pool("ProxyCoreBackend 127.0.0.1:1 name=a\nProxyCoreBackend 127.0.0.1:2 name=a"), qr/a backend 'a' already/;

bad 'spawn: without mod_procd', backend('spawn:php'), qr/spawn:php needs mod_procd, which is not loaded/;
SKIP: {
    skip 'mod_procd is not built', 2 if !-e "$build/modules/mod_procd.so";
    bad 'spawn: of a group that is not there', "<Spawn other>\nSpawnCommand /bin/true\n</Spawn>\n" . backend('spawn:php'),
        qr/there is no <Spawn php>; groups: other/, { procd => 1 };
    good 'spawn: of a group that is', "<Spawn php>\nSpawnCommand /bin/true\n</Spawn>\n" . backend('spawn:php'), procd => 1;
}

# ---------------------------------------------------------------- TLS to backends (F12)

sub https {
    my ($in, $address) = @_;
    return "LoadModule ssl_module $libexec/mod_ssl.so\n<ProxyCore s>\nProxyCoreProtocol https\nProxyCoreBackend "
        . ($address || 'localhost') . "\n$in\n</ProxyCore>";
}
my $us = ProxyCore::TLS->ca('Some CA');
my $cert = $us->cert('a client');
good 'https in short', https('');
good 'https in full', https(join "\n", "ProxyCoreTLS verify=on ca=@{[$us->file]} cert=$cert key=$cert name=app.test",
    'SSLProxyProtocol TLSv1.3', 'SSLProxyCipherSuite HIGH', 'SSLProxyVerifyDepth 3', 'SSLProxyCARevocationCheck none');
good 'https: a folder of CAs', https("ProxyCoreTLS ca=/etc/ssl/certs");
good 'https inline', "LoadModule ssl_module $libexec/mod_ssl.so\n<Location /a>\nProxyCorePass https://localhost\n</Location>";
bad 'https without mod_ssl', "<ProxyCore s>\nProxyCoreProtocol https\nProxyCoreBackend localhost\n</ProxyCore>",
    qr/<ProxyCore s>: ProxyCoreProtocol https needs mod_ssl, which is not loaded/;
bad 'https inline without mod_ssl', "<Location /a>\nProxyCorePass https://localhost\n</Location>", qr/needs mod_ssl, which is not loaded/;
bad 'TLS without https', pool('ProxyCoreTLS verify=off'), qr/ProxyCoreTLS goes with ProxyCoreProtocol https, not with http/;
bad "ProxyCoreTLS $_->[0]", https("ProxyCoreTLS $_->[0]"), $_->[1]
    for ['', qr/ProxyCoreTLS takes verify=on\|off, ca=/], ['verify=maybe', qr/verify=maybe: accepted is on or off/],
    ['verfiy=off', qr/unknown argument 'verfiy=off'; accepted: verify=/], ['ca=/nowhere', qr{ca=/nowhere: accepted is a file or a folder}],
    ['cert=/etc/ssl', qr{cert=/etc/ssl: accepted is a file that can be read}], ["key=$cert", qr/cert=FILE is missing/],
    ["cert=@{[$us->file]}", qr/cert=\S+: no private key in PEM/], ["cert=$cert key=@{[$us->cert('other')]}", qr/key=\S+: no private key .* fits/],
    ['ca=/etc/passwd', qr{ca=/etc/passwd: no CA certificates in PEM}], ["verify=off ca=@{[$us->file]}", qr/nothing is verified/],
    ['name=a/b', qr{name=a/b: accepted is a host name or an IP address}], ['name=', qr/name=: accepted is/];
bad 'https to a socket without a name', https('', 'unix:/run/x'), qr/its certificate can be verified for no name; ProxyCoreTLS name=/;
good 'https to a socket with a name', https('ProxyCoreTLS name=app.test', 'unix:/run/x');
good 'https to a socket, not verified', https('ProxyCoreTLS verify=off', 'unix:/run/x');
bad 'two places to say it', https('SSLProxyVerify none'), qr/SSLProxyVerify may not stand inside <ProxyCore s>: write ProxyCoreTLS verify=/;
bad 'SSLProxyCACertificateFile in a block', https("SSLProxyCACertificateFile @{[$us->file]}"), qr/write ProxyCoreTLS ca=/;
bad 'a wrong SSLProxyProtocol', https('SSLProxyProtocol TLSv9'), qr/SSLProxyProtocol: Illegal protocol 'TLSv9'/;
bad 'other directives of mod_ssl', https('SSLEngine on'), qr/SSLEngine may not stand inside/;
bad 'SSLProxyProtocol without https', pool('SSLProxyProtocol all'), qr/SSLProxyProtocol/;

# ---------------------------------------------------------------- values

bad "$_->[0]", pool($_->[0]), $_->[1]
    for ['ProxyCoreBalancer fair', qr/ProxyCoreBalancer: 'fair' is not known; accepted: .*least-requests.*round-robin/],
    ['ProxyCoreBalancer round-robin key=x', qr/unknown key 'key=x'/],
    ['ProxyCoreKeepAlive maybe', qr/ProxyCoreKeepAlive maybe: accepted is on or off first/],
    ['ProxyCoreKeepAlive on max=0', qr/max=0: accepted is a number from 1/],
    ['ProxyCoreKeepAlive off max=3', qr/off takes no keys/],
    ['ProxyCoreQueue many', qr/ProxyCoreQueue many: accepted is a number/],
    ['ProxyCoreQueue 1 timeout=0', qr/timeout=0: accepted is a time above 0/],
    ['ProxyCoreQueue 1 wait=5s', qr/wait=5s: accepted is N timeout=DUR/],
    ['ProxyCoreTimeout idle=5x', qr/ProxyCoreTimeout idle=5x: accepted is a time such as 500ms, 5s, 2min or 1h/],
    ['ProxyCoreTimeout 5s', qr/accepted is connect=DUR send=DUR/], ['ProxyCoreTimeout', qr/accepted is connect=DUR/],
    ['ProxyCoreTimeout idle=0', qr/idle=0: accepted is a time above 0/],
    ['ProxyCoreRetry 11', qr/from 0 to 10/], ['ProxyCoreRetry 1 on=always', qr/on=always: accepted is on= with a list of connect,stale/],
    ['ProxyCoreDisableTime 0', qr/from 1ms to 1h/], ['ProxyCoreForwarded yes', qr/accepted is x-forwarded, forwarded, both or off/],
    ['ProxyCoreRequestBuffering yes', qr/ProxyCoreRequestBuffering yes: accepted is off, or on \[spool=SIZE\]/],
    ['ProxyCoreRequestBuffering on file=1M', qr/file=1M: accepted is off, or on \[spool=SIZE\]/],
    ['ProxyCoreRequestBuffering off spool=1K', qr/spool=1K: accepted is off, or on/],
    ['ProxyCoreRequestBuffering', qr/accepted is off, or on/],
    ['ProxyCoreResponseBuffering on spool=2x', qr/spool=2x: accepted is a size such as/],
    ['ProxyCoreResponseBuffering on spool=2G', qr/spool=2G: accepted is a size up to 1G/],
    ['ProxyCoreResponseBuffering on spool=0 file=0', qr/spool=0 file=0: accepted is at least one of them above 0/],
    ['ProxyCoreResponseBuffering on size=1K', qr/size=1K: accepted is off, or on \[spool=SIZE\] \[file=SIZE\]/],
    ["ProxyCoreResponseBuffering on\nProxyCoreResponseBuffering off", qr/is given twice/],
    ['ProxyCoreForwarded both trust=everybody', qr/trust=everybody: accepted is a list of addresses and networks/],
    ['ProxyCoreForwarded both trust=', qr/trust=: accepted is/], ['ProxyCoreForwarded both trust=10.0.0.0/40', qr/accepted is a list/],
    ['ProxyCoreForwarded trust=10.0.0.1', qr/trust=10\.0\.0\.1: accepted is x-forwarded, forwarded/], ['ProxyCoreForwarded both 10.0.0.1', qr/accepted is trust=/],
    ['ProxyCoreForwarded off trust=10.0.0.1', qr/off passes on what anybody sent/], ['ProxyCoreExpect never', qr/accepted is forward or local/],
    ['ProxyCoreAsync on', qr/ProxyCoreAsync on: accepted is auto or off/],
    ['ProxyCoreDocumentRoot srv', qr/ProxyCoreDocumentRoot srv: accepted is a path/],
    ['ProxyCoreDocumentRoot "/%{nosuch:"', qr/ProxyCoreDocumentRoot: the expression .* is wrong/],
    ['ProxyCoreScript sometimes', qr/unknown argument 'sometimes'; accepted: auto, whole, none/],
    ['ProxyCoreScript auto whole', qr/how to split is said already/], ['ProxyCoreScript chroot=/', qr/is not the root/],
    ['ProxyCoreSetEnv A', qr/takes a name and one value/], ['ProxyCoreSetEnv A-B x', qr/ProxyCoreSetEnv A-B: a name has letters/],
    ['ProxyCoreSetEnv CONTENT_LENGTH 1', qr/this variable cannot be set/], ['ProxyCorePassEnv 1A', qr/no digit first/],
    ['ProxyCorePass app', qr/may not stand inside <ProxyCore>/], ['ProxyCoreMode guard', qr/accepted is responder, authorizer or filter/],
    ['ProxyCoreXSendfile', qr/ProxyCoreXSendfile : accepted is on, then root=/], ['ProxyCoreXSendfile yes', qr/ProxyCoreXSendfile yes: accepted is on, then root=/],
    ['ProxyCoreXSendfile on root=srv', qr/root=srv: accepted is a path that begins with/], ['ProxyCoreXSendfile on /srv', qr/unknown argument '\/srv'; accepted: root=/],
    ['ProxyCoreXSendfile on unescape=yes', qr/unescape=yes: accepted is on or off/], ['ProxyCoreXSendfile off root=/srv', qr/off takes no argument/],
    ['ProxyCoreXRewrite 1', qr/ProxyCoreXRewrite 1: accepted is on or off/],
    ['ProxyCoreMapExtension .php3 .php', qr/may not stand inside <ProxyCore>/];
bad "$_ is of later", pool($_), qr/is not available in this version/
    for 'ProxyCoreResolve 30s', 'ProxyCoreSticky cookie=A', 'ProxyCoreHealthCheck uri=/x';

# ---------------------------------------------------------------- passes

bad 'a pass to an unknown pool', pool() . "\n<Location /x>\nProxyCorePass other\n</Location>",
    qr/t\.conf:\d+: ProxyCorePass other: there is no <ProxyCore other>; known are: app/;
bad "$_ of an unknown pool", "<Location /x>\n$_\n</Location>", qr/there is no <ProxyCore other>; known are: none/
    for 'SetHandler proxy-core:other', 'AddHandler proxy-core:other .x';
bad "a handler that is nearly one: $_", pool() . "\n<Location /x>\n$_\n</Location>",
    qr/there is no handler '[^']+'; accepted: proxy-core:NAME, proxy-core-status/
    for 'SetHandler proxy-core-app', 'SetHandler Proxy-Core/app', 'AddHandler proxy-coreapp .x', 'SetHandler proxy-core-statsu';
good "a handler: $_", pool() . "\n<Location /x>\n$_\n</Location>"
    for 'SetHandler proxy-core:APP', 'SetHandler proxy-core-status', 'SetHandler proxy-core', 'SetHandler "%{tolower:PROXY-CORE}"';
bad 'a rewrite rule to an unknown pool', "RewriteEngine on\nRewriteRule ^/x - [L,H=proxy-core:other]", qr/there is no <ProxyCore other>/;
bad 'a pool of another virtual host', "<VirtualHost *:1>\n" . pool() . "\n</VirtualHost>\n<VirtualHost *:2>\nProxyCorePass app\n</VirtualHost>",
    qr/there is no <ProxyCore app>/;
bad 'a pass with a bad argument', pool() . "\nProxyCorePass app stirp=/x", qr/ProxyCorePass: unknown argument 'stirp=\/x'; accepted: strip=/;
bad 'strip= without a slash', pool() . "\nProxyCorePass app strip=x", qr/strip=x: accepted is a path that begins with/;
bad 'check-local=maybe', pool() . "\nProxyCorePass app check-local=maybe", qr/accepted is on or off/;
bad 'off with an argument', pool() . "\nProxyCorePass off strip=/x", qr/off takes no argument/;
bad 'no argument', 'ProxyCorePass', qr/takes the name of a <ProxyCore> pool/;
bad 'an inline address of an unknown protocol', 'ProxyCorePass ftp://127.0.0.1:1', qr/'ftp' is not known; accepted: cgi, fastcgi, http/;
bad 'an inline address with a path', 'ProxyCorePass http://127.0.0.1:1/x', qr/is not an address/;
bad 'inline addresses that differ in case only',
    "<Location /a>\nProxyCorePass fastcgi://unix:/run/A\n</Location>\n<Location /b>\nProxyCorePass fastcgi://unix:/run/a\n</Location>",
    qr/differs from this in case only/;

done_testing;
