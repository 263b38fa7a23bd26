#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Answers that got past other gateways once: each named by the advisory, with what must not happen here. More of them are
# named in core-heads.t and core-truncated.t, which run for every front.
# F23
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi record fcgi_answer fcgi_stdout fcgi_stderr fcgi_end FCGI_STDOUT FCGI_STDERR FCGI_END_REQUEST FCGI_UNKNOWN_TYPE);
use ProxyCore::Gateway qw(take answer protocol);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until now spew rss_kb asan mpm);

my $run = work_dir() . '/run';
my @kinds = qw(http fcgi scgi uwsgi);
my @cgi = qw(fcgi scgi uwsgi);
my %b = map { $_ => $_ eq 'http' ? ProxyCore::Backend->new : ProxyCore::Backend->new(unix => "$run/$_.sock") } @kinds;
my $s = ProxyCore::Server->new(modules => ['actions', 'include', 'filter', mpm() eq 'prefork' ? 'cgi' : 'cgid', 'negotiation'], tls => 1);
my ($root, $dir) = ($s->docroot, $s->dir);
$s->{conf} = (mpm() eq 'prefork' ? '' : "ScriptSock $dir/run/cgisock\n") . join('', map { <<"CONF" } @kinds) . <<"CONF";
<ProxyCore $_>
    ProxyCoreProtocol @{[protocol($_)]}
    ProxyCoreBackend @{[$b{$_}->address]}
    ProxyCoreKeepAlive off
    ProxyCoreTimeout first=40s idle=40s
</ProxyCore>
<Location /$_/>
    ProxyCorePass $_
    Options +ExecCGI +Includes
    AddOutputFilter INCLUDES .shtml
</Location>
CONF
<LocationMatch "/merged\$">
    Header merge X-Same "value 1 of many"
    Header append X-Same ours
    Header merge X-Same more
</LocationMatch>
Action application/x-evil /http/action virtual
Action text/evil /http/action virtual
<Directory $root>
    Options +ExecCGI +Includes +FollowSymLinks
    AddHandler send-as-is .asis
</Directory>
CONF
spew("$root/script.txt", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nEXECUTED'\n", 0755);
spew("$root/page.txt", "<!--#echo var=\"DATE_LOCAL\" -->");
$s->start;

# What the client gets when the backend sends these bytes.
sub play {
    my ($kind, $bytes, %arg) = @_;
    my $f = ProxyCore::Client->start($s, $arg{method} || 'POST', $arg{path} || "/$kind/x", front => $arg{front} || 'h1', $arg{method} ? () : (body => 'b'));
    my $k = $b{$kind}->accept or return { status => 'not asked' };
    take($kind, $k);
    $k->send($bytes);
    $k->close if !$arg{open};
    my $res = $f->finish(timeout => 6);
    $k->close;
    return $res;
}
# An answer whose head is these lines.
sub head {
    my ($kind, $lines, $body) = @_;
    $body = 'body' if !defined $body;
    return "HTTP/1.1 200 OK\r\n$lines\r\n$body" if $kind eq 'http';
    return $kind eq 'fcgi' ? fcgi_answer("$lines\r\n$body") : "$lines\r\n$body";
}
my $res;

# ------------------------------------------------------------------ heads that become two

for my $kind (@kinds) {
    for my $front (qw(h1 h2)) {
        for my $row (
            ['CVE-2023-38709, CVE-2024-42516', "Content-Type: text/html\rX-Evil: 1\r\n"], ['CVE-2024-42516', "Content-Type: text/html;\x0bX-Evil: 1\r\n"],
            ['CVE-2024-42516', "Content-Type: a\0X-Evil: 1\r\n"], ['CVE-2023-27522', "X-A: 1\r\n X-Evil: 1\r\n"], ['CVE-2023-27522', "X-A: 1\rX-Evil: 1\r\n"],
            ['CVE-2023-27522', "Location: /\x0d/\r\n"], ['CVE-2023-27522', "Set-Cookie: a=1\x0d\x0d\n"], ['CVE-2022-37436', "X-A: 1\r\nbroken line\r\nX-Evil: 1\r\n"],
            ['CVE-2022-37436', "X-A\0: 1\r\nX-Evil: 1\r\n"],
        ) {
            my ($cve, $lines) = @$row;
            $res = play($kind, head($kind, $lines), front => $front);
            is $res->{status}, 502, "$cve, $kind $front: " . ($lines =~ s/[^ -~]+/?/gr);
            unlike $res->{head} ? $res->{head}{text} : '', qr/x-evil/i, 'nothing of it is passed on';
        }
    }
    # The status line and reason phrases.
    for my $reason ("OK\rX-Evil: 1", "OK\x0bX-Evil: 1", "OK\x00", "OK\x1b[2J", "\x7f") {
        my $bytes = $kind eq 'http' ? "HTTP/1.1 200 $reason\r\nContent-Length: 4\r\n\r\nbody" : head($kind, "Status: 200 $reason\r\n");
        $res = play($kind, $bytes);
        is $res->{status}, 502, "CVE-2026-33523, $kind: reason phrase " . ($reason =~ s/[^ -~]/?/gr);
        unlike $res->{head} ? $res->{head}{text} : '', qr/x-evil|\x1b|\0/i, 'nothing of it is passed on';
    }
}
for my $interim ("HTTP/1.1 103 Early\rX-Evil: 1\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: </a>\rX-Evil: 1\r\n\r\n", "HTTP/1.1 103 E\x01\r\n\r\n", "HTTP/1.1 103 E\r\nbroken\r\n\r\n",
    "HTTP/1.1 103 E\r\nX A: 1\r\n\r\n", "HTTP/1.1 199 \x7f\r\n\r\n") {
    my $res = play('http', $interim . "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    is $res->{status}, 502, 'CVE-2026-33523: an interim head ' . ($interim =~ s/\r\n.*//sr =~ s/[^ -~]/?/gr);
    is scalar @{ $res->{interim} }, 0, 'is not passed on';
}
for my $kind (@kinds) {
    my $n = 200;
    my $interim = $kind eq 'http' ? "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" : "Status: 103\r\nLink: </a>\r\n\r\n";
    my $bytes = $interim x $n . ($kind eq 'http' ? "HTTP/1.1 200 OK\r\n\r\n" : "Status: 200\r\n\r\n");
    my $start = now();
    $res = play($kind, $kind eq 'fcgi' ? fcgi_answer($bytes) : $bytes);
    is $res->{status}, 502, "CVE-2008-2364, $kind: interim heads without end";
    cmp_ok scalar @{ $res->{interim} }, '<=', 10, 'are not all passed on';
    cmp_ok now() - $start, '<', 20, 'soon';
}
# Interim heads and trailers over HTTP/2.
$res = play('http', "HTTP/1.1 103 Early Hints\r\nConnection: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", front => 'h2');
is "$res->{status} $res->{body}", '200 ok', 'an interim head with framing fields, over HTTP/2';
$res = play('http', "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
is "$res->{status} $res->{body}", '200 ok', 'and over HTTP/1.1';
unlike join('', map { $_->{text} } @{ $res->{interim} }), qr/content-length|transfer-encoding/i, 'whose fields do not frame anything';

# The same field very often, of the answer and of this server (Header, in .htaccess by anybody), put together into one or not.
for my $kind (@kinds) {
    for my $front (qw(h1 h2)) {
        my $lines = join '', map { "X-Same: value $_ of many\r\nSet-Cookie: c$_=1\r\nVary: V$_\r\n" } 1 .. 60;
        $res = play($kind, head($kind, "Content-Type: a/b\r\n$lines"), front => $front, path => "/$kind/merged");
        is $res->{status}, 200, "CVE-2026-43951, $kind $front: one field many times";
        like join(', ', $res->{head}->all('X-Same')), qr/\Avalue 1 of many, ours, more,.*value 60 of many\z/, 'all of it, and ours';
        is scalar(() = join(', ', $res->{head}->all('Set-Cookie')) =~ /c\d+=1/g), 60, 'each cookie';
    }
}

# ------------------------------------------------------------------ framing

for my $kind (@cgi) {
    for my $te ('chunked', 'gzip, chunked', 'identity') {
        $res = play($kind, head($kind, "Transfer-Encoding: $te\r\nContent-Type: text/plain\r\n", "0\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\n\r\n"));
        ok $res->{status} == 502 || $res->{body} =~ /^0\r\n\r\nHTTP/, "CVE-2024-24795, $kind: Transfer-Encoding: $te frames nothing";
        unlike $res->{head}{text}, qr/gzip|identity|X-Evil/i, 'and is not passed on';
    }
    my $c = $s->connect;
    $c->send("GET /$kind/x HTTP/1.1\r\nHost: a\r\n\r\nGET /page.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    my $k = $b{$kind}->accept;
    take($kind, $k);
    $k->send(head($kind, "Content-Length: 2\r\nContent-Type: text/plain\r\n", "okHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"));
    $k->close;
    my $all = $c->read_all(1.5);
    unlike $all, qr/evil/, "CVE-2024-24795, $kind: what is more than Content-Length is no answer";
    $res = play($kind, head($kind, "Content-Length: 10\r\n", 'short'));
    is $res->{complete}, 0, "CVE-2024-24795, $kind: less than Content-Length is cut";
}
for my $row (["Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "2\r\nok\r\n0\r\n\r\n"], ["Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n"]) {
    $res = play('http', "HTTP/1.1 200 OK\r\n$row->[0]\r\n$row->[1]");
    ok $res->{status} == 502 || ($res->{body} eq 'ok' && !($res->{head}->h('Content-Length') && $res->{head}->h('Transfer-Encoding'))), 'both framings: one counts, one is passed on';
}
for my $chunk ("2\r\nok", "2 \r\nok\r\n0\r\n\r\n", "+2\r\nok\r\n0\r\n\r\n", "0x2\r\nok\r\n0\r\n\r\n", "ffffffffffffffff2\r\nok\r\n", "2\r\nokX\r\n0\r\n\r\n", "2\nok\n0\n\n", "-1\r\n", "\r\n",
    '2;' . 'e' x 100_000 . "\r\nok\r\n0\r\n\r\n", "2\r\nok\r\n0\r\n" . "X: y\r\n" x 20_000 . "\r\n") {
    $res = play('http', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n$chunk");
    (my $show = substr $chunk, 0, 18) =~ s/[\r\n]+/|/g;
    ok !defined $res->{status} || $res->{status} == 502 || !$res->{complete} || $res->{body} eq 'ok', "CVE-2015-3183: chunks '$show' of a backend";
    ok $res->{body} eq 'ok' || $res->{status} == 502 || !$res->{complete}, 'are whole or not';
}

# ------------------------------------------------------------------ sizes

my %before = map { $_ => rss_kb($_) } $s->children;
for my $n (8189 .. 8194, 16_383 .. 16_386, 32_767, 65_535, 65_536, 200_000) {
    my $value = 'v' x $n;
    for my $kind (qw(fcgi http)) {
        my $bytes = $kind eq 'http' ? head($kind, "X-Long: $value\r\nContent-Length: 4\r\n") : fcgi_stdout("X-Long: $value\r\n\r\nbody", size => 4093, pad => 7) . fcgi_end();
        $res = play($kind, $bytes);
        ok $res->{status} == 502 || $res->{status} == 500 || ($res->{head}->h('X-Long') || '') eq $value, "CVE-2014-3583, $kind: a field of $n bytes: whole or refused";
    }
}
for my $n (8190, 8191, 8192, 8193) {
    # The line's end in the next record.
    $res = play('fcgi', fcgi_stdout('X-Long: ' . 'v' x ($n - 8)) . fcgi_stdout("\r") . fcgi_stdout("\nX-Next: 1\r\n\r") . fcgi_stdout("\nbody") . fcgi_end());
    ok $res->{status} == 502 || ($res->{body} eq 'body' && $res->{head}->h('X-Next') eq '1'), "CVE-2014-3583: a line of $n bytes over four records";
}
# Lengths that lie.
my $half = fcgi_stdout("Content-Type: text/plain\r\n\r\nhalf");
my @records = (
    ['END_REQUEST without content', $half . record(FCGI_END_REQUEST, '')], ['END_REQUEST of one byte', $half . record(FCGI_END_REQUEST, "\0")],
    ['content announced and not sent', $half . pack('CCnnCC', 1, FCGI_STDOUT, 1, 65_535, 255, 0) . 'x'], ['padding announced and not sent', $half . pack('CCnnCC', 1, FCGI_STDOUT, 1, 0, 255, 0)],
    ['an unknown version', $half . record(FCGI_STDOUT, 'x', version => 2)], ['another request\'s record', $half . record(FCGI_STDOUT, 'EVIL', id => 2) . fcgi_end(id => 2)],
    ['a record type of 255', $half . record(255, 'x' x 1000)], ['standard error without end', $half . fcgi_stderr('e' x 3_000_000)],
    ['half a record\'s head', $half . "\1\6\0"], ['65535 empty bytes of padding only', $half . record(FCGI_STDOUT, 'p', pad => 255) x 300],
);
for my $row (@records) {
    $res = play('fcgi', $row->[1]);
    ok !defined $res->{status} || $res->{status} == 502 || !$res->{complete}, "CVE-2013-4365, CVE-2010-3872: $row->[0]: never a whole answer" or diag explain [@{$res}{qw(status complete)}];
    unlike $res->{body} || '', qr/EVIL/, 'and nothing of another\'s';
}
is play('fcgi', $half . record(FCGI_END_REQUEST, "\0" x 65_535, pad => 255))->{body}, 'half', 'CVE-2013-4365: END_REQUEST of 65535 bytes is survived';
for my $pid (grep { $before{$_} } $s->children) {
    my $kb = rss_kb($pid) - $before{$pid};
    cmp_ok $kb, '<', 20_000, "the child has grown by $kb KB" if !asan();
}

# ------------------------------------------------------------------ the backend's words choose no handler

for my $kind (@kinds) {
    for my $type ('application/x-httpd-cgi', 'application/x-evil', 'text/evil', 'server-parsed', 'application/x-httpd-php', 'text/html; charset=send-as-is', 'proxy:http://evil/', 'httpd/unix-directory') {
        $res = play($kind, head($kind, "Content-Type: $type\r\n" . ($kind eq 'http' ? "Content-Length: 4\r\n" : '')));
        is "$res->{status} $res->{body}", '200 body', "CVE-2024-38476, CVE-2024-39884, CVE-2024-40725, $kind: Content-Type: $type is a type";
        is $res->{head}->h('Content-Type'), $type, 'as the backend said';
    }
}
for my $kind (@cgi) {
    # A local redirect serves what stands there, by its own handler, whatever else the application says.
    for my $more ("X-Handler: cgi-script\r\n", "Content-Type: application/x-httpd-cgi\r\n", "Content-Type: application/x-evil\r\n", "Handler: cgi-script\r\nContent-Length: 0\r\n") {
        my $f = ProxyCore::Client->start($s, 'GET', "/$kind/x", front => 'h1');
        my $k = $b{$kind}->accept;
        take($kind, $k);
        $k->send(head($kind, "Location: /script.txt\r\n$more", ''));
        $k->close;
        my $again = $b{http}->accept(0.05);
        is $again, undef, "CVE-2026-42356, $kind: a local redirect runs no action";
        $res = $f->finish;
        unlike $res->{body}, qr/\AEXECUTED/, 'and no script';
        like $res->{status}, qr/^(?:200|302)$/, 'it is a file, or the client\'s redirect';
    }
}
$res = play('http', "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 40\r\n\r\n<!--#exec cmd=\"echo EXECUTED\" -->      ", path => '/http/page.html');
unlike $res->{body}, qr/^EXECUTED/, 'includes of a backend are not run unless a filter is asked for';
for my $kind (@kinds) {
    $res = play($kind, head($kind, "X-Sendfile: $root/script.txt\r\nX-Accel-Redirect: /script.txt\r\nX-Rewrite-Backend: http\r\nX-Rewrite-URI: /script.txt\r\n"
        . ($kind eq 'http' ? "Content-Length: 4\r\n" : '')));
    is "$res->{status} $res->{body}", '200 body', "$kind: fields that would send files or move the request do nothing unless they may";
}

$s->stop;
done_testing;
