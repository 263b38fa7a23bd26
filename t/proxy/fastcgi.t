#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# FastCGI, record by record.
# F10 G32 G37 G19
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_fcgi read_record record fcgi_stdout fcgi_stderr fcgi_end fcgi_answer
    FCGI_BEGIN_REQUEST FCGI_ABORT_REQUEST FCGI_END_REQUEST FCGI_PARAMS FCGI_STDIN FCGI_STDOUT FCGI_STDERR FCGI_UNKNOWN_TYPE
    FCGI_GET_VALUES_RESULT);
use ProxyCore::Server;
use ProxyCore::Util qw(now poll_until work_dir slurp);

my $f = ProxyCore::Backend->new(unix => work_dir() . '/run/f.sock');
my $s = ProxyCore::Server->new(conf => <<"CONF")->start;
LimitRequestBody 30000000
<ProxyCore f>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
</ProxyCore>
<Location /f/>
    ProxyCorePass f
    ProxyCoreSetEnv BIG_ONE "%{reqenv:BIG}"
</Location>
SetEnvIf Request_URI big BIG=@{['v' x 7000]}
CONF

sub ask { my ($text) = @_; my $c = $s->connect; $c->send($text); return $c }
sub get { return ask("GET /f/$_[0] HTTP/1.1\r\nHost: a\r\n\r\n") }
my $H = "Content-Type: text/plain\r\n";

# One exchange with the given answer; the response.
sub play {
    my ($bytes, %arg) = @_;
    my $c = get($arg{path} || 'x');
    my $b = $f->accept;
    read_fcgi($b);
    $b->send($_) for ref $bytes ? @$bytes : $bytes;
    $b->close;
    my $got = $c->read_response;
    $got->{client} = $c; # it stays: one that leaves is told of in place of the backend
    return $got;
}

# What the application is sent.
my $c = ask("POST /f/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nContent-Type: a/b\r\n\r\n" . 'd' x 100_000);
my $b = $f->accept;
my $req = read_fcgi($b);
is $req->{role}, 1, 'a responder is asked for';
is $req->{params}{CONTENT_LENGTH}, 100_000, 'CONTENT_LENGTH';
is $req->{params}{CONTENT_TYPE}, 'a/b', 'CONTENT_TYPE';
is length $req->{stdin}, 100_000, 'the body';
ok $req->{stdin_end}, 'ended by an empty record';
is scalar(grep { $_->{version} != 1 } @{ $req->{records} }), 0, 'version 1';
is scalar(grep { $_->{id} != $req->{id} } @{ $req->{records} }), 0, 'one request id';
ok $req->{id} > 0, 'which is not 0';
is scalar(grep { length($_->{content}) > 65535 } @{ $req->{records} }), 0, 'no record is too long';
my @types = map { $_->{type} } @{ $req->{records} };
is $types[0], FCGI_BEGIN_REQUEST, 'it begins with BEGIN_REQUEST';
$b->send(fcgi_answer("$H\r\nok"));
$b->close;
is $c->read_response->{body}, 'ok', 'answered';

# Without a body STDIN is ended all the same.
$c = get('x');
$b = $f->accept;
$req = read_fcgi($b);
ok $req->{stdin_end} && $req->{stdin} eq '', 'GET: an empty STDIN';
$b->send(fcgi_answer("$H\r\nok"));
$b->close;
$c->read_response;

# Parameters that need several records.
$c = ask("GET /f/big HTTP/1.1\r\nHost: a\r\n" . join('', map { "X-H$_: " . ('x' x 1000) . "\r\n" } 1 .. 95) . "\r\n");
$b = $f->accept;
$req = read_fcgi($b);
is scalar(grep { /^HTTP_X_H/ } keys %{ $req->{params} }), 95, 'more parameters than a record holds';
is length $req->{params}{HTTP_X_H95}, 1000, 'whole';
is length($req->{params}{BIG_ONE} || ''), 7000, 'ProxyCoreSetEnv with a long value';
cmp_ok scalar(grep { $_->{type} == FCGI_PARAMS && length $_->{content} } @{ $req->{records} }), '>', 1, 'in several records';
$b->send(fcgi_answer("$H\r\nok"));
$b->close;
is $c->read_response->{body}, 'ok', 'answered';

# A chunked upload arrives with its length: small and large (spooled).
for my $size (10, 50_000, 5_000_000) {
    my $body = join '', map { chr(65 + $_ % 26) } 1 .. 1000;
    $body = substr($body x (1 + $size / 1000), 0, $size);
    $c = $s->connect;
    $c->send("POST /f/up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" . ProxyCore::Server::body_text(body => $body, chunked => 30_000));
    $b = $f->accept;
    $req = read_fcgi($b);
    is $req->{params}{CONTENT_LENGTH}, $size, "chunked upload of $size: CONTENT_LENGTH";
    is $req->{params}{HTTP_TRANSFER_ENCODING}, undef, 'no HTTP_TRANSFER_ENCODING';
    ok $req->{stdin} eq $body, 'the same bytes';
    $b->send(fcgi_answer("$H\r\nok"));
    $b->close;
    is $c->read_response->{body}, 'ok', 'answered';
}
# The spool is bounded by LimitRequestBody, and leaves no file.
my $res;
$c = $s->connect;
$c->send("POST /f/up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" . ProxyCore::Server::body_text(body => 'x' x 31_000_000, chunked => 60_000), 5);
is $c->read_response->{status}, 413, 'a chunked upload above LimitRequestBody: 413';
is $f->accept(0.1), undef, 'the application is not asked';
my @open = map { my $pid = $_; grep { (readlink $_ || '') =~ /deleted/ && (readlink $_ || '') !~ m{zero|memfd|SYSV|anon} } glob "/proc/$pid/fd/*" } $s->children;
is scalar @open, 0, 'no spool file stays open' or diag join ' ', map { readlink $_ } @open;

# Aborted upload: never completed by an empty STDIN.
for my $how ('close', 'reset') {
    $c = ask("POST /f/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" . 'x' x 400);
    $b = $f->accept;
    my $got = '';
    while (length $got < 400 and my $rec = read_record($b)) { $got .= $rec->{content} if $rec->{type} == FCGI_STDIN }
    is length $got, 400, "upload cut by $how: the part arrives";
    $c->$how;
    my ($ended, $aborted) = (0, 0);
    while (my $rec = read_record($b, 2)) {
        $ended = 1 if $rec->{type} == FCGI_STDIN && $rec->{content} eq '';
        $aborted = 1 if $rec->{type} == FCGI_ABORT_REQUEST;
    }
    ok !$ended, 'it is not completed';
    ok $aborted || $b->eof, 'the application is told: FCGI_ABORT_REQUEST or the end of the connection';
    $b->close;
}

# Answers in every legal shape.
my $text = "$H\r\nhello";
my %shape = (
    'one record' => fcgi_answer($text),
    'a record for each byte' => fcgi_answer($text, size => 1),
    'padding' => fcgi_answer($text, pad => 255),
    'no end of STDOUT' => fcgi_stdout($text) . fcgi_end(),
    'an unknown record type' => record(77, 'whatever', pad => 3) . fcgi_answer($text),
    'a management record' => record(FCGI_GET_VALUES_RESULT, "\x0f\1FCGI_MPXS_CONNS0", id => 0) . fcgi_answer($text),
    'head split over records' => fcgi_stdout("Content-Ty") . fcgi_stdout("pe: text/plain\r") . fcgi_stdout("\n\r") . fcgi_stdout("\nhel") . fcgi_answer('lo'),
    'a record split over packets' => [split /(?<=.)(?=.)/s, fcgi_answer($text)],
    'records of 64 KB' => fcgi_answer($text . 'x' x 200_000, size => 65535, pad => 1),
    'an exit status' => fcgi_stdout($text) . fcgi_end(app => 3),
    'stderr between' => fcgi_stdout("$H") . fcgi_stderr("note\n") . fcgi_stdout("\r\nhel") . fcgi_stderr('x') . fcgi_answer('lo'),
);
for my $what (sort keys %shape) {
    $res = play($shape{$what});
    is $res->{status}, 200, $what;
    like $res->{body}, qr/^hellox*\z/, "$what: the body";
    ok $res->{complete}, "$what: whole";
}

# protocolStatus and a head that never comes.
is play(fcgi_end(protocol => 1))->{status}, 503, 'FCGI_CANT_MPX_CONN, untouched and nobody else: 503';
is play(fcgi_end(protocol => 3))->{status}, 502, 'FCGI_UNKNOWN_ROLE: 502';
is play(fcgi_end(protocol => 2))->{status}, 503, 'FCGI_OVERLOADED and nobody else: 503';
is play(record(FCGI_END_REQUEST, 'xx'))->{status}, 502, 'a short END_REQUEST: 502';
is play(fcgi_stdout('not for us', id => 7) . fcgi_answer($text))->{status}, 502, 'a record of a request that is not ours: 502';
is play('x' x 100)->{status}, 502, 'no FastCGI at all: 502';
is play(fcgi_end(app => 1))->{status}, 502, 'exit without a head: 502';

# Standard error: to the log, a line each, bounded, no control characters.
my $mark = $s->mark;
play(fcgi_stderr("first line\nsecond \x1b[31mred\x07 line\nunfinished") . fcgi_answer($text));
ok $s->wait_log(qr/first line/, 3, $mark), 'stderr is in the log';
my ($esc) = $s->grep_log(qr/second .*red/, $mark);
ok $esc, 'each line by itself';
unlike $esc || '', qr/[\x00-\x08\x0b-\x1f\x7f]/, 'control characters are escaped';
ok $s->wait_log(qr/unfinished/, 3, $mark), 'also what has no line end';
$mark = $s->mark;
$res = play(fcgi_stderr('y' x 3_000_000) . fcgi_answer($text));
is $res->{status}, 200, '3 MB of stderr do not hurt';
cmp_ok $s->mark - $mark, '<', 100_000, 'and are bounded in the log';
$mark = $s->mark;
play(fcgi_stderr("evil\n[Sat Jan 01 00:00:00 2000] [core:emerg] forged\n") . fcgi_answer($text));
my @forged = $s->grep_log(qr/^\[Sat Jan 01 00:00:00 2000\]/, $mark);
is scalar @forged, 0, 'a line of the log cannot be forged';

# Status and redirects.
$res = play(fcgi_answer("Status: 404 Nope\r\n$H\r\nno"));
is $res->{status}, 404, 'Status';
$res = play(fcgi_answer("Location: http://other.example/x\r\n\r\n"));
is $res->{status}, 302, 'Location with a whole URL: 302';
is $res->{head}->h('Location'), 'http://other.example/x', 'as it is';
$res = play(fcgi_answer("Status: 301\r\nLocation: /there\r\n\r\n"));
is $res->{status}, 301, 'Location with a Status is not local';
is $res->{head}->h('Location'), '/there', 'and goes to the client';

# A local redirect is taken here: the second request is a GET of that path.
$c = ask("POST /f/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
$b = $f->accept;
read_fcgi($b);
$b->send(fcgi_answer("Location: /f/elsewhere?q=1\r\n\r\n"));
$b->close;
$b = $f->accept(3);
$req = $b ? read_fcgi($b) : { params => {} };
is $req->{params}{REQUEST_METHOD}, 'GET', 'local redirect: a GET';
like $req->{params}{QUERY_STRING} || '', qr/^q=1$/, 'with the new query';
is $req->{params}{CONTENT_LENGTH} || 0, 0, 'without the old body';
if ($b) { $b->send(fcgi_answer("$H\r\nthere")); $b->close }
$res = $c->read_response;
is $res->{body}, 'there', 'its answer is the answer';
is $res->{head} && $res->{head}->h('Location'), undef, 'the client does not see the Location';
# One that never ends.
$c = get('loop');
my $turns = 0;
while (my $l = $f->accept(1)) {
    last if ++$turns > 40;
    read_fcgi($l);
    $l->send(fcgi_answer("Location: /f/loop\r\n\r\n"));
    $l->close;
}
cmp_ok $turns, '<=', 15, "a redirect to itself ends after $turns turns";
is $c->read_response->{status}, 500, 'with 500';

# HEAD: the body that the application sends all the same goes nowhere.
$c = ask("HEAD /f/x HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
read_fcgi($b);
$b->send(fcgi_answer("${H}Content-Length: 5\r\n\r\nhello"));
$b->close;
$res = $c->read_response(method => 'HEAD');
is $res->{head}->h('Content-Length'), 5, 'HEAD keeps the Content-Length';
ok $c->quiet(0.2), 'and has no body';

# An answer that is cut short: the log says where, and that it was cut; what is no answer at all is called something else.
my @cut = (
    ['nothing', '', 502, qr/closed the connection before it answered \(closed before the answer\)/],
    ['half a record', "\1\6\0", 502, qr/closed the connection before it answered \(closed before the answer\)/],
    ['half a head', fcgi_stdout("${H}X: "), 502, qr/closed the connection before it answered \(the output ends inside the response head\)/],
    ['an interim head', fcgi_stdout("Status: 103\r\nLink: a\r\n\r\n"), 502, qr/\(the output ends behind an interim response\)/],
    ['a body without its end', fcgi_stdout("$H\r\nhello"), 200, qr/stage body: cut its answer short after 5 bytes of the body \(closed before FCGI_END_REQUEST\)/],
    ['some of a body', fcgi_stdout("${H}Content-Length: 9\r\n\r\nhello"), 200, qr/cut its answer short after 5 of 9 bytes of the body \(closed before FCGI_END_REQUEST\)/],
    ['a body and no end', fcgi_stdout("${H}Content-Length: 5\r\n\r\nhello"), 200, qr/cut its answer short after 5 of 5 bytes of the body \(closed before FCGI_END_REQUEST\)/],
    ['END_REQUEST before a head', fcgi_end(), 502, qr/ended the request before it had answered \(the output ends before/],
    ['END_REQUEST within a head', fcgi_stdout($H) . fcgi_end(), 502, qr/ended the request before it had answered \(the output ends inside the response head\)/],
    ['END_REQUEST within a body', fcgi_answer("${H}Content-Length: 9\r\n\r\nhello"), 200, qr/cut its answer short after 5 of 9 bytes of the body \(the body is shorter/],
    ['an exit status and no head', fcgi_end(app => 3), 502, qr/ended the request before it had answered \(application exited with status 3/],
    ['what is no FastCGI', "HTTP/1.1 200 OK\r\n\r\n", 502, qr/sent what is not an answer \(FastCGI record of a version/],
    ['no FastCGI within a body', fcgi_stdout("$H\r\nhello") . '????????', 200, qr/sent what is not an answer after 5 bytes of the body \(FastCGI record of a version/],
);
for my $row (@cut) {
    my ($what, $bytes, $status, $log) = @$row;
    my $mark = $s->mark;
    my $got = play($bytes);
    is $got->{status}, $status, "$what: $status";
    ok !$got->{complete}, 'not whole' if $status == 200 && $what ne 'a body and no end';
    ok $s->wait_log(qr/PXC0451.*$log/, 10, $mark), 'and the log says what happened' or diag grep { /PXC/ } $s->log_since($mark);
}
$s->stop;
done_testing;
