#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The same requests and answers over every protocol: the outcome is the same. (Response heads: core-heads.t; answers that
# were cut: core-truncated.t, for every MPM and front.)
# F1 F2 F23 F24 F25
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::Gateway qw(take answer protocol);
use ProxyCore::Server;
use ProxyCore::Util qw(build_dir run_capture now work_dir poll_until);

my @kinds = qw(http fcgi scgi uwsgi);
my %backend = map { $_ => ProxyCore::Backend->new($_ eq 'scgi' ? () : (unix => work_dir() . "/run/$_.sock")) } @kinds;
my $s = ProxyCore::Server->new(conf => "LimitRequestBody 100000000\n" . join '', map { <<"CONF" } @kinds)->start;
<ProxyCore $_>
    ProxyCoreProtocol @{[protocol($_)]}
    ProxyCoreBackend @{[$backend{$_}->address]}
    ProxyCoreTimeout first=40s idle=40s
</ProxyCore>
<Location /$_/>
    ProxyCorePass $_ strip=/$_
</Location>
<Location /inline/$_/>
    ProxyCorePass @{[protocol($_)]}://@{[$backend{$_}->address]}
</Location>
CONF

my $H = "Content-Type: text/plain\r\n";

# One exchange; the response, and the request as it arrived.
sub play {
    my ($kind, $bytes, %arg) = @_;
    my $f = ProxyCore::Client->start($s, $arg{method} || 'GET', ($arg{path} || "/$kind/x"), %arg);
    my $b = $backend{$kind}->accept or return ({ status => 'not asked' });
    my $req = take($kind, $b);
    $b->send($bytes);
    $b->close;
    return ($f->finish(timeout => 8), $req);
}

for my $kind (@kinds) {
    my ($res, $req) = play($kind, answer($kind, $H, 'hello'), path => "/inline/$kind/x");
    is $res->{body}, 'hello', "$kind: the inline form of an address";

    # Statuses and bodies.
    for my $row ([GET => 200, 'body'], [GET => 404, 'body'], [GET => 204, ''], [GET => 304, ''], [HEAD => 200, ''], [POST => 500, 'body']) {
        my ($method, $status, $body) = @$row;
        my $has = $body ne '' || ($method eq 'HEAD' && $kind ne 'http');
        ($res) = play($kind, answer($kind, $H . ($has || $method eq 'HEAD' ? "Content-Length: 4\r\n" : ''), $has ? 'body' : '', status => $status),
            method => $method, $method eq 'POST' ? (body => 'x') : ());
        is $res->{status}, $status, "$kind: $method $status";
        is $res->{body}, $body, "$kind: $method $status: the body";
        ok $res->{complete}, "$kind: $method $status: whole";
        is $res->{head}->h('Content-Length'), 4, "$kind: HEAD keeps the Content-Length" if $method eq 'HEAD';
    }

    # Large parameters, below every protocol's bound.
    ($res, $req) = play($kind, answer($kind, $H, 'ok'), fields => [map { ("X-H$_" => 'v' x 1000) } 1 .. 50]);
    is $res->{body}, 'ok', "$kind: 50 KB of fields";
    my $got = $kind eq 'http' ? join '', $req->{head}->h('X-H50') : $req->{params}{HTTP_X_H50};
    is length $got, 1000, "$kind: all of them arrive";

    # Bodies, with a length and chunked, both ways.
    my $big = join '', map { chr(32 + $_ % 90) } 1 .. 1000;
    $big = $big x 3000;
    for my $chunked (0, 50_000) {
        my $c = $s->connect;
        my $text = $chunked ? "Transfer-Encoding: chunked" : 'Content-Length: ' . length $big;
        $c->send("POST /$kind/up HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\n$text\r\n\r\n");
        # The kernel's buffers hold less than this: it has to be sent while the backend reads.
        my $b;
        my $pid = fork;
        if (!$pid) {
            $c->send($chunked ? ProxyCore::Server::body_text(body => $big, chunked => $chunked) : $big);
            POSIX::_exit(0);
        }
        $b = $backend{$kind}->accept;
        my $up = take($kind, $b);
        ok $up->{body} eq $big, "$kind: 3 MB up, " . ($chunked ? 'chunked' : 'with a length');
        is $up->{params}{CONTENT_LENGTH}, length $big, "$kind: CONTENT_LENGTH" if $kind ne 'http';
        is $up->{params}{HTTP_TRANSFER_ENCODING}, undef, "$kind: no HTTP_TRANSFER_ENCODING";
        waitpid $pid, 0;
        $pid = fork;
        if (!$pid) {
            $b->send(answer($kind, $H, $big));
            $b->close;
            POSIX::_exit(0);
        }
        $b->close;
        my $down = $c->read_response;
        ok $down->{complete} && $down->{body} eq $big, "$kind: and 3 MB down";
        waitpid $pid, 0;
    }

    # What an application says in bits arrives in bits.
    my $f = ProxyCore::Client->start($s, 'GET', "/$kind/x");
    my $b = $backend{$kind}->accept;
    take($kind, $b);
    my $all = answer($kind, $H . ($kind eq 'http' ? "Content-Length: 8\r\n" : ''), 'bitsbits');
    $all = ProxyCore::FCGI::fcgi_stdout("$H\r\nbits") if $kind eq 'fcgi';
    $b->send($kind eq 'fcgi' ? $all : substr $all, 0, length($all) - 4);
    ok poll_until { $f->body_so_far =~ /bits/ } 3;
    $b->send($kind eq 'fcgi' ? ProxyCore::FCGI::fcgi_answer('bits') : 'bits');
    $b->close;
    is $f->finish->{body}, 'bitsbits', "$kind: and the rest";

    # The client leaves: the backend's connection ends.
    for my $when ('before the answer', 'in the answer', 'in the upload') {
        my $c = $s->connect;
        $c->send("POST /$kind/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n" . ($when =~ /upload/ ? 'half' : '0123456789'));
        $b = $backend{$kind}->accept;
        take($kind, $b, body => $when !~ /upload/);
        if ($when eq 'in the answer') {
            $b->send($kind eq 'fcgi' ? ProxyCore::FCGI::fcgi_stdout("$H\r\nx") : ($kind eq 'http' ? "HTTP/1.1 200 OK\r\n" : '') . "$H\r\nx");
            $c->read_until(qr/\r\n\r\n/);
        }
        my $start = now();
        $c->close;
        ok poll_until { $b->read_some(0.05); $b->eof } 3;
        cmp_ok now() - $start, '<', 20, "$kind: the client leaves $when: so does the backend's connection";
        $b->close;
    }

    # Nothing, and too late.
    ($res) = play($kind, '', method => 'POST', body => 'x');
    is $res->{status}, 502, "$kind: closed without an answer: 502";
    $backend{$kind}->stop;
    is $s->get("/$kind/x")->{status}, 503, "$kind: nothing listens: 503";
}
$s->stop;

# Codecs and balancers make no system call: what they take of others are their own rooms, strings and memory (F25).
SKIP: {
    my @objects = glob build_dir() . '/obj/mod_proxy_core/{protocols,balancers}/*.o';
    skip 'not built here', 1 if @objects < 10;
    my ($names) = run_capture('nm', '-u', @objects);
    my $fine = qr/^(?:_GLOBAL_OFFSET_TABLE_$|pc_|_*(?:asan|ubsan|sanitizer)_|__stack_chk|__\w+_chk$|v?snprintf$|mem\w+$|str\w+$|apr_p?(?:snprintf|sprintf|alloc|calloc|str\w+)$|ap_register_provider$|log$)/;
    is join(' ', sort grep { !/$fine/ } $names =~ /^\s+U (\S+)$/mg), '', 'codecs and balancers call nothing of the system, of httpd or of its requests';
}

# Unknown protocols name the known ones (F2).
my ($out, $rc) = ProxyCore::Server->new(name => 'bad', conf => "<ProxyCore x>\nProxyCoreProtocol foo\nProxyCoreBackend 127.0.0.1:1\n</ProxyCore>\n")->config_test;
isnt $rc, 0, 'an unknown protocol fails httpd -t';
like $out, qr/'foo' is not known; accepted: .*fastcgi.*http.*scgi.*uwsgi/, 'and the known ones are named';
done_testing;
