#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Answers on their way through httpd's filters: compression, caching, rate limits, substitution, ranges; whole ones, slow
# ones, cut ones, over each front.
# F24 F26
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Compress::Zlib ();

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer fcgi_stdout);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until now spew slurp mpm backend_program start_child free_port asan);

my $run = work_dir() . '/run';
my %b = (http => ProxyCore::Backend->new, fcgi => ProxyCore::Backend->new(unix => "$run/f.sock"));
my $sock = "$run/app.sock";
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4);
poll_until { -S $sock };
chmod 0777, $sock;

my $s = ProxyCore::Server->new(tls => 1, loglevel => 'info proxy_core:debug',
    modules => [qw(deflate brotli filter cache cache_disk cache_socache socache_shmcb ratelimit substitute expires buffer include
        ext_filter charset_lite sed data reflector xml2enc proxy proxy_html)]);
my ($root, $dir) = ($s->docroot, $s->dir);
mkdir "$dir/cache";
chmod 0777, "$dir/cache";
my $pools = join '', map { "<ProxyCore $_>\n ProxyCoreProtocol " . ($_ eq 'http' ? 'http' : 'fastcgi')
    . "\n ProxyCoreBackend @{[$b{$_}->address]}\n ProxyCoreKeepAlive off\n</ProxyCore>\n" } sort keys %b;
my %filters = (
    gzip => 'SetOutputFilter DEFLATE', brotli => 'SetOutputFilter BROTLI_COMPRESS',
    both => "AddOutputFilterByType DEFLATE text/plain",
    rate => "SetOutputFilter RATE_LIMIT\nSetEnv rate-limit 200",
    subst => "SetOutputFilter SUBSTITUTE\nSubstitute s/inside/outside/n",
    substgzip => "SetOutputFilter SUBSTITUTE;DEFLATE\nSubstitute s/inside/outside/n",
    plain => '', expires => "ExpiresActive on\nExpiresDefault \"access plus 1 hour\"",
    buffered => 'SetOutputFilter BUFFER', inflate => 'SetOutputFilter INFLATE',
    upper => 'SetOutputFilter upper',
);
my $sections = join '', map { my $k = $_; map { "<Location /$k/$_/>\n ProxyCorePass $k\n$filters{$_}\n</Location>\n" } sort keys %filters } sort keys %b;
$s->{conf} = <<"CONF";
CacheRoot $dir/cache
CacheQuickHandler off
CacheLock off
CacheIgnoreNoLastMod on
CacheStoreNoStore off
CacheHeader on
CacheMaxFileSize 10000000
CacheEnable disk /http/disk/
CacheEnable disk /fcgi/disk/
CacheEnable socache /http/memory/
CacheEnable socache /fcgi/memory/
CacheSocache shmcb
CacheSocacheMaxSize 102400
ExtFilterDefine upper mode=output intype=text/plain cmd="/usr/bin/tr a-z A-Z"
DeflateBufferSize 8096
$pools
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
$sections
@{[map { my $k = $_; map { "<Location /$k/$_/>\n ProxyCorePass $k\n</Location>\n" } qw(disk memory) } sort keys %b]}
<Location /app/>
    ProxyCorePass app
</Location>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName quick
    CacheQuickHandler on
</VirtualHost>
CONF
$s->start;

sub pattern { my ($n) = @_; return substr join('', map { sprintf '%07d,', $_ } 0 .. $n / 8), 0, $n }

# Begin a request, and take it at the backend: (client, connection of the backend, request).
sub begin {
    my ($kind, $path, %arg) = @_;
    my $f = ProxyCore::Client->start($s, $arg{method} || 'GET', "/$kind/$path", %arg);
    my $k = $b{$kind}->accept($arg{wait} || 5);
    my $req = $k ? $kind eq 'fcgi' ? read_fcgi($k) : $k->read_request : undef;
    return ($f, $k, $req);
}
# A whole answer.
sub whole {
    my ($kind, $head, $body) = @_;
    $head = "Content-Type: text/plain\r\n$head";
    return $kind eq 'fcgi' ? fcgi_answer("$head\r\n$body") : "HTTP/1.1 200 OK\r\n$head" . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}
sub play {
    my ($kind, $path, $head, $body, %arg) = @_;
    my ($f, $k) = begin($kind, $path, %arg);
    if ($k) {
        $k->send(whole($kind, $head, $body));
        $k->close;
    }
    my $res = $f->finish(timeout => 10);
    $res->{asked} = $k ? 1 : 0;
    return $res;
}
# Does mod_cache_disk have this path? It puts the head there first, then the body.
sub is_cached {
    my ($path) = @_;
    my ($files) = ProxyCore::Util::run_capture('find', "$dir/cache", '-name', '*.header', '-type', 'f');
    return grep { (slurp($_) || '') =~ /\Q$path\E\?/ && -e s/header$/data/r } split /\n/, $files;
}
my ($f, $k, $req, $res);
my $text = pattern(300_000);
my $gzip = [fields => ['Accept-Encoding', 'gzip']];

# Compressed, in one piece, over each front.
for my $kind (sort keys %b) {
    for my $front (qw(h1 tls h2)) {
        $res = play($kind, 'gzip/x', '', $text, @$gzip, front => $front);
        is $res->{head}->h('Content-Encoding'), 'gzip', "$kind $front: mod_deflate";
        ok +(Compress::Zlib::memGunzip($res->{body}) || '') eq $text, 'unpacks to the answer';
        isnt $res->{head}->h('Content-Length') || 0, length $text, 'without its length';
        like $res->{head}->h('Vary'), qr/Accept-Encoding/, 'Vary';
        $res = play($kind, 'gzip/x', '', $text, front => $front);
        ok !defined $res->{head}->h('Content-Encoding') && $res->{body} eq $text, 'as it is for who asked for no coding';
    }
    $res = play($kind, 'gzip/x', "Content-Encoding: br\r\n", 'packed', @$gzip);
    is $res->{head}->h('Content-Encoding') . $res->{body}, 'brpacked', "$kind: what the application has coded is left alone";
    $res = play($kind, 'gzip/x', "ETag: \"abc\"\r\n", $text, @$gzip);
    is $res->{head}->h('ETag'), '"abc-gzip"', 'ETag of the coded form';
    $res = play($kind, 'brotli/x', '', $text, fields => ['Accept-Encoding', 'br']);
    is $res->{head}->h('Content-Encoding'), 'br', "$kind: mod_brotli";
    cmp_ok length $res->{body}, '<', length($text) / 2, 'is smaller';
    $res = play($kind, 'both/x', '', $text, @$gzip);
    is $res->{head}->h('Content-Encoding'), 'gzip', "$kind: by type";
    $res = play($kind, 'inflate/x', "Content-Encoding: gzip\r\n", Compress::Zlib::memGzip($text));
    ok $res->{body} eq $text, "$kind: INFLATE";
    $res = play($kind, 'gzip/x', '', '', @$gzip, method => 'HEAD');
    is $res->{status}, 200, "$kind: HEAD";
    is $res->{body}, '', 'without a body';
}

# Drops: what a compressor was given is seen by the client while the application thinks. F24
for my $kind (sort keys %b) {
    for my $filter (qw(gzip brotli subst substgzip rate)) {
        ($f, $k) = begin($kind, "$filter/x", fields => ['Accept-Encoding', $filter eq 'brotli' ? 'br' : 'gzip']);
        my $first = "the first of two parts, inside\n";
        $k->send($kind eq 'fcgi' ? fcgi_stdout("Content-Type: text/plain\r\n\r\n$first")
            : "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n", length $first, $first));
        my $c = $f->conn;
        ok $c->read_until(qr/\r\n\r\n(?=[0-9a-f]+\r\n[^\r\n])/s, 3), "$kind $filter: the first part is there before the second"
            or diag $c->{in};
        $k->send($kind eq 'fcgi' ? fcgi_answer('second') : "6\r\nsecond\r\n0\r\n\r\n");
        ok $c->read_until(qr/(?:^|\n)0\r\n\r\n/, 5), 'then the rest';
        $k->close;
    }
}
is play('http', 'subst/x', '', "an inside job\n" x 1000)->{body}, "an outside job\n" x 1000, 'mod_substitute';
is play('fcgi', 'upper/x', '', "shout\n")->{body}, "SHOUT\n", 'mod_ext_filter';
ok play('http', 'buffered/x', '', $text)->{body} eq $text, 'mod_buffer';
like play('http', 'expires/x', '', 'x')->{head}->h('Cache-Control') || '', qr/max-age=3600/, 'mod_expires';

# mod_ratelimit: slow, whole.
for my $kind (sort keys %b) {
    my $start = now();
    $res = play($kind, 'rate/x', '', substr($text, 0, 150_000));
    ok $res->{complete} && $res->{body} eq substr($text, 0, 150_000), "$kind: mod_ratelimit passes all of it";
    cmp_ok now() - $start, '>', 0.3, 'slowly';
}

# Cut short behind any filter: never whole. F23
for my $kind (sort keys %b) {
    for my $filter (qw(gzip brotli subst substgzip rate plain buffered)) {
        for my $front (qw(h1 h2)) {
            ($f, $k) = begin($kind, "$filter/x", fields => ['Accept-Encoding', $filter eq 'brotli' ? 'br' : 'gzip'], front => $front);
            my $part = substr $text, 0, 40_000;
            $k->send($kind eq 'fcgi' ? fcgi_stdout("Content-Type: text/plain\r\n\r\n$part")
                : "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 300000\r\n\r\n$part");
            $k->close;
            $res = $f->finish(timeout => 8);
            ok !$res->{complete} || $res->{status} == 502, "$kind $filter $front: an answer cut short is never whole";
        }
    }
}

# Caches: a whole answer is kept, one that was cut is not, whatever the protocol, the cache or the front.
for my $kind (sort keys %b) {
    for my $cache (qw(disk memory)) {
        for my $front (qw(h1 h2)) {
            my $path = "$cache/$front";
            my $short = "Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n";
            for my $cut (0, 1) {
                ($f, $k) = begin($kind, "$path-cut$cut", front => $front);
                $k->send($kind eq 'fcgi' ? fcgi_stdout($short . ($cut ? "Content-Length: 8\r\n" : '') . "\r\nhalf")
                    : "HTTP/1.1 200 OK\r\n$short" . ($cut ? "Content-Length: 8\r\n\r\nhalf" : "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"));
                $k->close;
                $res = $f->finish;
                ok !$res->{complete}, "$kind $cache $front: cut";
                $res = play($kind, "$path-cut$cut", "Cache-Control: max-age=60\r\n", 'whole', front => $front);
                is "$res->{asked} $res->{body}", '1 whole', 'is asked for again';
            }
            next if $cache eq 'memory'; # too large for that
            for my $turn (1, 2) {
                # With a length the client has all of it before the cache knows that it was all; mod_http2 calls a stream
                # aborted whose client has gone with that, and then mod_cache keeps nothing.
                for my $try (1 .. 10) {
                    $res = play($kind, "$path-whole", "Cache-Control: max-age=60\r\nETag: \"1\"\r\n", $text, wait => $turn == 1 ? 5 : 0.15,
                        front => $front);
                    last if $turn == 2 || poll_until { is_cached("/$kind/$path-whole") } 1.9;
                }
                is $res->{asked}, $turn == 1 ? 1 : 0, "$kind $cache $front: whole, request $turn: asked or not";
                ok $res->{body} eq $text, 'all of it';
            }
        }
        next if $cache eq 'memory';
        # Parts of what is cached; validation.
        $f = ProxyCore::Client->start($s, 'GET', "/$kind/$cache/h1-whole", fields => ['Range', 'bytes=8-15']);
        $res = $f->finish;
        is "$res->{status} $res->{body}", '206 0000001,', "$kind $cache: Range of a cached answer";
        $res = ProxyCore::Client->fetch($s, 'GET', "/$kind/$cache/h1-whole", fields => ['If-None-Match', '"1"']);
        is $res->{status}, 304, 'If-None-Match';
        $res = ProxyCore::Client->fetch($s, 'HEAD', "/$kind/$cache/h1-whole");
        is $res->{status}, 200, 'HEAD';
    }
    # Small ones in memory.
    for my $turn (1, 2) {
        $res = play($kind, 'memory/small', "Cache-Control: max-age=60\r\n", "turn $turn", wait => $turn == 1 ? 5 : 0.15);
        is "$res->{asked} $res->{body}", ($turn == 1 ? 1 : 0) . ' turn 1', "$kind memory: small, request $turn";
    }
    # What must not be kept.
    for my $head ("Cache-Control: private\r\n", "Cache-Control: no-store\r\n", "Set-Cookie: a=1\r\nCache-Control: no-cache=\"Set-Cookie\", max-age=0\r\n") {
        my $n = join '', map { sprintf '%x', ord } split //, $head;
        is play($kind, "disk/$n", $head, 'x')->{asked}, 1, "$kind: $_ of two" for 1, 2;
    }
    # A cached answer goes stale and is validated: the backend's 304 keeps it.
    play($kind, 'disk/stale', "Cache-Control: max-age=0\r\nETag: \"s\"\r\n", 'kept');
    ($f, $k, $req) = begin($kind, 'disk/stale');
    is $kind eq 'fcgi' ? $req->{params}{HTTP_IF_NONE_MATCH} : $req->{head}->h('If-None-Match'), '"s"', "$kind: a stale answer is validated";
    $k->send($kind eq 'fcgi' ? fcgi_answer("Status: 304 Not Modified\r\nETag: \"s\"\r\n\r\n") : "HTTP/1.1 304 Not Modified\r\nETag: \"s\"\r\n\r\n");
    $k->close;
    $res = $f->finish;
    is "$res->{status} $res->{body}", '200 kept', '304 of the application keeps it';
}

# The same with the quick handler, which answers before any other phase.
for my $kind (sort keys %b) {
    my $short = "Cache-Control: max-age=60\r\n";
    my ($f, $k) = begin($kind, 'disk/quick', host => 'quick');
    $k->send($kind eq 'fcgi' ? fcgi_stdout("${short}Content-Length: 8\r\n\r\nhalf") : "HTTP/1.1 200 OK\r\n${short}Content-Length: 8\r\n\r\nhalf");
    $k->close;
    ok !$f->finish->{complete}, "$kind: cut";
    is play($kind, 'disk/quick', $short, 'whole', host => 'quick')->{body}, 'whole', 'is asked for again';
    poll_until { is_cached("/$kind/disk/quick") } 3;
    $res = play($kind, 'disk/quick', $short, 'again', host => 'quick', wait => 0.15);
    is "$res->{asked} $res->{body}", '0 whole', 'kept, and given by the quick handler';
    $res = ProxyCore::Client->fetch($s, 'GET', "/$kind/disk/quick", host => 'quick', fields => ['Range', 'bytes=1-2']);
    is $res->{body}, 'ho', 'a part of it';
}

# Ranges that nobody answers, of an answer with a length: httpd may cut the part out; a 206 of the backend is its own.
for my $kind (sort keys %b) {
    ($f, $k, $req) = begin($kind, 'plain/x', fields => ['Range', 'bytes=0-9']);
    is $kind eq 'fcgi' ? $req->{params}{HTTP_RANGE} : $req->{head}->h('Range'), 'bytes=0-9', "$kind: Range reaches the backend";
    $k->send($kind eq 'fcgi' ? fcgi_answer("Status: 206 Partial Content\r\nContent-Range: bytes 0-9/100\r\n\r\n0123456789")
        : "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/100\r\nContent-Length: 10\r\n\r\n0123456789");
    $k->close;
    $res = $f->finish;
    is "$res->{status} $res->{body} " . $res->{head}->h('Content-Range'), '206 0123456789 bytes 0-9/100', 'its part is passed on as it is';
}

$s->stop;
done_testing;
