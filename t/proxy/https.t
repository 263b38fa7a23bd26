#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# TLS to backends: whom it believes, what it says when it does not, and that nobody waits for a handshake.
# F12 F10 F21 F24
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Server;
use ProxyCore::TLS;
use ProxyCore::Util qw(work_dir poll_until start_child backend_program free_port in_background wait_background slurp listens stop_child run_capture crc32 mpm now);

my $ca = ProxyCore::TLS->ca('Our CA');
my $other = ProxyCore::TLS->ca('Another CA');
my $good = $ca->cert('localhost');
my $client = $ca->cert('our client');
my $hand = ProxyCore::Backend->new;
my $at = 'localhost:' . $hand->{port};

my $unix = ProxyCore::Backend->new(unix => work_dir() . '/run/s.sock');

# What the test plays itself, each with its own way of TLS.
my %pool = (
    plain  => "ca=@{[$ca->file]}",
    wrong  => "ca=@{[$ca->file]} name=elsewhere.test",
    named  => "ca=@{[$ca->file]} name=named.test",
    system => '',
    any    => 'verify=off',
    client => "ca=@{[$ca->file]} cert=$client",
    quick  => "ca=@{[$ca->file]}",
    notkept => "ca=@{[$ca->file]}",
);
my %where = (ip => "127.0.0.1:$hand->{port}", socket => $unix->address);
@pool{qw(ip socket)} = ("ca=@{[$ca->file]}", "ca=@{[$ca->file]} name=localhost");
my %more = (quick => "ProxyCoreTimeout connect=5s\n", notkept => "ProxyCoreKeepAlive off\n");
my $conf = mpm() eq 'event' ? "AsyncRequestWorkerFactor 30\n" : '';
for my $n (sort keys %pool) {
    $conf .= "<ProxyCore $n>\n ProxyCoreProtocol https\n ProxyCoreBackend @{[$where{$n} || $at]}\n ProxyCoreRetry 0\n"
        . ($pool{$n} ? " ProxyCoreTLS $pool{$n}\n" : '') . ($more{$n} || '')
        . "</ProxyCore>\n<Location /$n/>\n ProxyCorePass $n\n</Location>\n";
}
$conf .= "<Location /inline/>\n ProxyCorePass https://$at\n</Location>\n";

# A second httpd with mod_ssl, in front of an application that echoes.
my $echo = free_port();
start_child(backend_program('http_echo'), '-l', $echo);
my $peer = ProxyCore::Server->new(name => 'peer', tls => 1, pem => $good, conf => <<"CONF")->start;
<Location />
    ProxyCorePass http://127.0.0.1:$echo
</Location>
CONF
$conf .= <<"CONF";
<ProxyCore peer>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:@{[$peer->tls_port]}
    ProxyCoreTLS ca=@{[$ca->file]}
    SSLProxyProtocol TLSv1.3
</ProxyCore>
<ProxyCore queue>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:@{[$peer->tls_port]} max=1
    ProxyCoreTLS ca=@{[$ca->file]}
</ProxyCore>
<ProxyCore once>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:@{[$peer->tls_port]}
    ProxyCoreTLS ca=@{[$ca->file]}
    ProxyCoreKeepAlive off
</ProxyCore>
<ProxyCore twelve>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:@{[$peer->tls_port]}
    ProxyCoreTLS ca=@{[$ca->file]}
    ProxyCoreKeepAlive off
    SSLProxyProtocol TLSv1.2
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_ strip=/$_\n</Location>\n" } qw(peer queue once twelve)]}
CONF
# Between the two, a relay that gathers what the backend says for a while and then sends it in one piece: session tickets
# and the answer arrive together.
my $relay = ProxyCore::Backend->new;
$relay->serve(sub {
    my ($k) = @_;
    my $up = ProxyCore::Conn->connect(port => $peer->tls_port);
    while (!$k->eof && !$up->eof) {
        $up->send($k->read_some);
        my $said = $up->read_some;
        if ($said ne '') {
            select undef, undef, undef, 0.1;
            $k->send($said . $up->read_some);
        }
        IO::Select->new($k->sock, $up->sock)->can_read(1);
    }
});
$conf .= <<"CONF";
<ProxyCore relayed>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:$relay->{port}
    ProxyCoreTLS ca=@{[$ca->file]}
    ProxyCoreTimeout first=20s idle=20s
    ProxyCoreKeepAlive off
</ProxyCore>
<Location /relayed/>
    ProxyCorePass relayed strip=/relayed
</Location>
CONF
my $four = "StartServers 1\nServerLimit 1\nThreadLimit 4\nThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\nMaxSpareThreads 4\n";
my $s = ProxyCore::Server->new(modules => ['ssl'], conf => $conf, loglevel => 'info proxy_core:debug',
    env => { SSL_CERT_FILE => $ca->file }, mpm() eq 'event' ? (mpm_conf => $four) : ())->start;

sub ask {
    my ($path) = @_;
    my $c = $s->connect;
    $c->send("GET /$path HTTP/1.1\r\nHost: www.site.test\r\n\r\n");
    return $c;
}

# A connection of the module, as a TLS server with this certificate.
sub take {
    my ($pem, %arg) = @_;
    my $from = delete $arg{from} || $hand;
    my $k = $from->accept(3) or return;
    $k->{shook} = $k->start_tls(SSL_cert_file => $pem, SSL_key_file => $pem, SSL_alpn_protocols => ['h2', 'http/1.1'], %arg);
    return $k;
}

my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

# ------------------------------------------------------------------ who it is

{
    my $c = ask('plain/x');
    my $k = take($good);
    ok $k->{shook}, 'a certificate of the CA, with the right name';
    is $k->sock->get_servername, 'localhost', 'SNI is the name of the backend';
    is $k->sock->alpn_selected, 'http/1.1', 'ALPN offers http/1.1 alone';
    like $k->read_request->{text}, qr/^GET \/plain\/x HTTP.*^Host: www\.site\.test\r$/ms, 'the request; Host is the client\'s';
    $k->send($ok);
    is $c->read_response->{body}, 'ok', 'answered';
    $c->send("GET /plain/y HTTP/1.1\r\nHost: www.site.test\r\n\r\n"); # by the same child
    my $req = $k->read_request;
    ok $req, 'the next request comes on the same connection';
    $k->send($ok);
    is $c->read_response->{body}, 'ok', 'answered';

    # An idle connection that the backend closes is not a client's trouble.
    $k->close;
    $c = ask('plain/z');
    $k = take($good);
    ok $k->{shook}, 'a connection that was closed while idle is not used again';
    $k->read_request;
    $k->send($ok);
    is $c->read_response->{status}, 200, 'answered';
    $k->close;
}

# %arg: what the log says
sub refused {
    my ($pool, $pem, $says, $what, %arg) = @_;
    my $mark = $s->mark;
    my $c = ask("$pool/x");
    my $k = take($pem, %arg);
    my $request = $k->{shook} ? $k->read_request(timeout => 0.5) : undef;
    ok !$request, "$what: no request is sent";
    is $c->read_response->{status}, 502, "$what: 502";
    my @lines = $s->grep_log(qr/PXC0451/, $mark);
    is scalar(@lines), 1, "$what: one line of ours";
    like $lines[0], $says, "$what: it says why";
    $k->close if $k->sock;
}

refused('plain', $other->cert('localhost'), qr/certificate is refused: (?:unable to get|self.signed).*expected name: localhost/, 'another CA');
refused('plain', $ca->cert('localhost', self => 1), qr/certificate is refused: self.signed/, 'self-signed');
refused('plain', $ca->cert('localhost', days => -1), qr/certificate is refused: certificate has expired/, 'expired');
refused('plain', $ca->cert('nobody.test'), qr/certificate is refused: hostname mismatch.*expected name: localhost/, 'another name');
refused('plain', $ca->cert('localhost', purpose => 'client'), qr/certificate is refused: .*purpose/, 'a certificate for clients');
refused('wrong', $good, qr/hostname mismatch.*expected name: elsewhere\.test/, 'the name that name= asks for is missing');
refused('system', $other->cert('localhost'), qr/certificate is refused/, 'not of the system\'s CAs');
refused('ip', $good, qr/IP address mismatch.*expected name: 127\.0\.0\.1/, 'an address that the certificate does not name');

for (['named', $ca->cert('named.test'), 'named.test', 'name= is sent and checked'], ['any', $other->cert('x', days => -1), 'localhost', 'verify=off takes any'],
    ['ip', $ca->cert('127.0.0.1', ip => 1), undef, 'a certificate for an address'], ['socket', $good, 'localhost', 'a unix socket', $unix],
    ['system', $good, 'localhost', 'without ca= the system\'s CAs'], ['inline', $good, 'localhost', 'the inline form verifies, too']) {
    my ($pool, $pem, $sni, $what, $from) = @$_;
    my $c = ask("$pool/x");
    my $k = take($pem, from => $from);
    ok $k->{shook}, $what;
    is $k->sock->get_servername, $sni, "$what: SNI";
    $k->read_request;
    $k->send($ok);
    is $c->read_response->{status}, 200, "$what: answered";
    $k->close;
}

# The client's certificate.
my %want = (SSL_verify_mode => 3, SSL_ca_file => $ca->file);
for my $version (qw(TLSv1_2 TLSv1_3)) {
    my $c = ask('client/x');
    my $k = take($good, %want, SSL_version => $version);
    ok $k->{shook}, "$version: cert= is shown to a backend that asks" or diag $IO::Socket::SSL::SSL_ERROR;
    is $k->sock->peer_certificate('commonName'), 'our client', "$version: and is the right one";
    $k->read_request;
    $k->send($ok);
    is $c->read_response->{status}, 200, "$version: answered";
    $k->close;

    my $mark = $s->mark;
    $c = ask('plain/x');
    $k = take($good, %want, SSL_version => $version);
    ok !$k->{shook}, "$version: without cert= the backend refuses";
    is $c->read_response->{status}, 502, "$version: 502";
    like +($s->grep_log(qr/PXC0451/, $mark))[0], qr/alert (?:certificate required|handshake failure|bad certificate)/, "$version: with the backend's reason";
}

# ------------------------------------------------------------------ what is no TLS, or none in time

{
    my $mark = $s->mark;
    my $c = ask('plain/x');
    my $k = $hand->accept;
    $k->read_some(1);
    $k->send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    is $c->read_response->{status}, 502, 'a backend that speaks plain HTTP';
    like +($s->grep_log(qr/PXC0451/, $mark))[0], qr/does not speak TLS/, 'is called so';
    $k->close;

    $c = ask('plain/x');
    $k = $hand->accept;
    $k->read_some(1);
    $k->reset;
    is $c->read_response->{status}, 502, 'reset during the handshake';
}
{
    my $mark = $s->mark;
    my $begun = now();
    my @c = map { ask('quick/x') } 1 .. 8;
    my @k = map { $hand->accept } @c;
    my $static = $s->get('/nothing');
    my $took = now() - $begun;
    is $static->{status}, 404, 'eight handshakes that nobody answers do not keep others waiting';
    cmp_ok $took, '<', 4, 'not even with four threads' if mpm() eq 'event';
    is $_->read_response->{status}, 504, '504 when the time for connecting is over' for @c;
    cmp_ok now() - $begun, '<', 30, 'which is soon';
    like +($s->grep_log(qr/PXC0451/, $mark))[0], qr/did not end the TLS handshake in time/, 'said in the log';
    $_->close for @k;
}
{
    my $c = ask('plain/x');
    my $k = $hand->accept;
    my $bytes = $k->read_some(1);
    ok length $bytes > 100, 'the ClientHello';
    $c->close;
    ok $k->closed(5), 'a client that leaves during the handshake ends it';
    $k->close;
}

# ------------------------------------------------------------------ ends

for (["Content-Length: 100\r\n\r\nsome of it", 'Content-Length'], ["Transfer-Encoding: chunked\r\n\r\n5\r\nsome \r\n", 'chunked'],
    ["Connection: close\r\n\r\nsome of it", 'until the end of the connection']) {
    my ($head, $what) = @$_;
    for my $notify (0, 1) {
        my $c = ask('plain/x');
        my $k = take($good);
        $k->read_request;
        $k->send("HTTP/1.1 200 OK\r\n$head");
        $k->sock->close(SSL_no_shutdown => !$notify);
        my $res = $c->read_response;
        my $whole = $what =~ /end of/ && $notify;
        # What has no length reaches the client chunked, so that it can tell.
        is $res->{complete}, $whole ? 1 : 0, "$what, closed " . ($notify ? 'properly' : 'without close_notify') . ($whole ? ': whole' : ': cut');
    }
}

# ------------------------------------------------------------------ a real one

is $s->get('/peer/a?bytes=10')->{status}, 200, 'httpd with mod_ssl';
for my $pool (qw(peer twelve)) {
    my $body = join '', map { chr(32 + $_ % 95) } 1 .. 3_000_000;
    my $res = $s->request('POST', "/$pool/a", body => $body);
    like $res->{body}, qr/^app\.body=3000000$/m, "$pool: a large upload";
    like $res->{body}, qr/^app\.crc=@{[crc32($body)]}$/m, "$pool: byte for byte" if $res->{body} =~ /^app\.crc=/m;
    $res = $s->request('POST', "/$pool/a", body => $body, chunked => 50_000);
    like $res->{body}, qr/^app\.body=3000000$/m, "$pool: chunked";
    $res = $s->get("/$pool/a?bytes=5000000");
    ok $res->{complete} && length $res->{body} >= 5_000_000, "$pool: a large answer";
    $res = $s->request('POST', "/$pool/a", body => 'x' x 1000, fields => [Expect => '100-continue']);
    is $res->{status}, 200, "$pool: 100-continue";
    is $s->request('HEAD', "/$pool/a?bytes=100")->{status}, 200, "$pool: HEAD";
}
{
    my $res = ProxyCore::Client->fetch($s, 'GET', '/peer/a?bytes=300000', front => 'h2');
    ok $res->{complete} && length $res->{body} >= 300_000, 'for a client of HTTP/2';
    $res = ProxyCore::Client->fetch($s, 'POST', '/peer/a', body => 'x' x 200_000, front => 'h2');
    like $res->{body}, qr/^app\.body=200000$/m, 'HTTP/2: an upload';
}

is $s->get('/relayed/a')->{status}, 200, 'tickets and an answer in one piece' for 1 .. 2;
$relay->stop_serving;

# Sessions are resumed by connections that are not kept.
for my $pool (qw(once twelve)) {
    my $mark = $s->mark;
    $s->get("/$pool/a") for 1 .. 4;
    my @shook = $s->grep_log(qr/PXC0640: pool $pool /, $mark);
    is scalar(@shook), 4, "$pool: four connections";
    my $resumed = grep { /resumed/ } @shook;
    cmp_ok $resumed, '>=', mpm() eq 'prefork' ? 0 : 3, "$pool: $resumed of them resumed a session";
}
{
    my $mark = $s->mark;
    $s->get('/peer/a') for 1 .. 20;
    my @shook = $s->grep_log(qr/PXC0640: pool peer /, $mark);
    cmp_ok scalar(@shook), '<=', mpm() eq 'prefork' ? 20 : 2, 'connections are kept';
}

# Slow answers hold no thread.
if (mpm() eq 'event') {
    my $begun = now();
    my @c = map { ask('peer/a?sleep=4000') } 1 .. 12;
    is scalar(grep { ($_->read_response->{status} || 0) == 200 } @c), 12, 'twelve slow answers';
    cmp_ok now() - $begun, '<', 11, 'at once, with four threads';
}

# A backend that takes one at a time: its connection is handed on in the queue.
{
    my $mark = $s->mark;
    my @c = map { ask('queue/a?sleep=50') } 1 .. 6;
    is scalar(grep { ($_->read_response->{status} || 0) == 200 } @c), 6, 'six requests for a backend that takes one';
    my @shook = $s->grep_log(qr/PXC0640: pool queue /, $mark);
    cmp_ok scalar(@shook), '<=', 2, 'over the same connection' if mpm() eq 'event';
}

# A client that does not read holds up neither a thread nor the rest.
{
    my $c = $s->connect(rcvbuf => 4096);
    $c->send("GET /peer/a?bytes=6000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    is $s->get('/peer/a')->{status}, 200, 'another client meanwhile';
    my $res = $c->read_response(timeout => 20);
    ok $res->{complete} && length $res->{body} >= 6_000_000, 'a slow reader gets all of it';
}

# Many at once: links move between threads.
{
    my @jobs = map { in_background {
        for my $round (1 .. 12) {
            my $pool = $round % 3 ? 'peer' : 'once';
            my $res = $s->request('POST', "/$pool/a", body => 'x' x 150_000, chunked => $round % 2 ? 7000 : 0, timeout => 15);
            return "round $round: " . ($res->{status} || 'no answer') if ($res->{status} || 0) != 200;
            return "round $round: not whole" if $res->{body} !~ /^app\.body=150000$/m;
        }
        return 'all answered';
    } } 1 .. 4;
    is wait_background($_), 'all answered', 'a client of several' for @jobs;
}

# Connections that come and go, eight at once: each has a descriptor and a session of its own.
{
    my $mark = $s->mark;
    my ($out) = run_capture(qw(ab -q -n 400 -c 8), 'http://127.0.0.1:' . $s->port . '/once/a');
    like $out, qr/^Complete requests:\s+400$/m, 'four hundred connections, eight at once';
    unlike $out, qr/^Non-2xx responses/m, 'all answered';
    my @shook = $s->grep_log(qr/PXC0640: pool once /, $mark);
    my $resumed = grep { /resumed/ } @shook;
    cmp_ok $resumed, '>=', 0.9 * @shook, "$resumed of @{[scalar @shook]} resumed a session" if mpm() eq 'event';
}

# A key update on an idle connection is no stray answer, and is replied to; the end that follows one is seen.
{
    my $port = free_port();
    my ($pid, $w);
    my $serve = sub {
        pipe(my $r, $w) or die;
        $pid = start_child({ stdin => $r, out => work_dir() . '/s_server' }, qw(openssl s_server -crlf -accept), "127.0.0.1:$port",
            '-cert', $good, '-key', $good);
        close $r;
        poll_until { listens($port) };
    };
    $serve->();
    my $k = ProxyCore::Server->new(name => 'keyupdate', modules => ['ssl'], loglevel => 'info proxy_core:debug', conf => <<"CONF")->start;
<ProxyCore u>
    ProxyCoreProtocol https
    ProxyCoreBackend localhost:$port
    ProxyCoreTLS ca=@{[$ca->file]}
</ProxyCore>
<Location />
    ProxyCorePass u
</Location>
CONF
    my $c = $k->connect; # by one child
    for my $round (1 .. 4) {
        if ($round > 1) {
            syswrite $w, "K\n";
            select undef, undef, undef, 0.2;
        }
        if ($round == 4) {
            my @shook = $k->grep_log(qr/PXC0640/);
            is scalar(@shook), 1, 'one connection served all three';
            stop_child($pid, 'KILL');
            $serve->();
        }
        # not one that could be sent twice
        $c->send("POST /$round HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        my $came = poll_until { (slurp(work_dir() . '/s_server') || '') =~ m{POST /$round HTTP} };
        ok $came, "request $round";
        syswrite $w, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";
        is $c->read_response->{body}, 'ok', "answer $round";
    }
    $c->close;
    $k->stop;
    stop_child($pid, 'KILL');
}

# A graceful restart.
{
    my $c = ask('peer/a?sleep=1200');
    select undef, undef, undef, 0.2;
    $s->graceful;
    is $s->get('/peer/a')->{status}, 200, 'the new generation';
    is $c->read_response->{status}, 200, 'a request over TLS lives through a graceful restart';
}
$s->stop;
$peer->stop;
done_testing;
