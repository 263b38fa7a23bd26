#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# FastCGI filters: the file goes to the application as a stream of its own behind the body.
# G10
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;

use ProxyCore::Backend;
use ProxyCore::FCGI qw(read_record fcgi_answer FCGI_BEGIN_REQUEST FCGI_PARAMS FCGI_STDIN);
use ProxyCore::Server;
use ProxyCore::Util qw(spew slurp poll_until);

my $f = ProxyCore::Backend->new;
my $s = ProxyCore::Server->new(conf => '');
my $root = $s->docroot;
$s->{conf} = <<"CONF";
CustomLog logs/seen "%U %s"
<ProxyCore f>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreTimeout first=20s send=20s
</ProxyCore>
<ProxyCore byblock>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$f->address]}
    ProxyCoreMode filter
</ProxyCore>
<FilesMatch "\\.flt\$">
    SetHandler proxy-core:f
    ProxyCoreMode filter
</FilesMatch>
<Location /block/>
    ProxyCorePass byblock check-local=on
</Location>
<Location /nofile/>
    ProxyCorePass byblock
</Location>
<Directory $root/d>
    DirectoryIndex index.flt
</Directory>
CONF
my $big = join '', map { chr(33 + $_ % 90) } 1 .. 1000;
$big = $big x 700;
spew("$root/x.flt", 'the file');
spew("$root/empty.flt", '');
spew("$root/big.flt", $big);
spew("$root/d/index.flt", 'an index');
spew("$root/block/x", 'by block');
utime 1_000_000_000, 1_000_000_000, "$root/x.flt";
$s->start;

# All that the application is sent: streams in the order in which they end.
sub read_filter {
    my ($conn) = @_;
    my (%req, $params) = (order => []);
    while (my $rec = read_record($conn, 3)) {
        if ($rec->{type} == FCGI_BEGIN_REQUEST) { $req{role} = unpack 'n', $rec->{content}; next }
        $req{ $rec->{type} } = '' if !defined $req{ $rec->{type} };
        $req{ $rec->{type} } .= $rec->{content};
        push @{ $req{order} }, $rec->{type} if $rec->{content} eq '';
        last if $rec->{type} == 8 && $rec->{content} eq '';
    }
    ($req{params}) = ProxyCore::FCGI::pairs($req{ FCGI_PARAMS() });
    return \%req;
}
sub play {
    my ($method, $path, %arg) = @_;
    my $c = $s->connect;
    $c->send(ProxyCore::Server::request_text($method, $path, %arg) . ProxyCore::Server::body_text(%arg));
    my $b = $f->accept(2) or return $c->read_response;
    my $req = read_filter($b);
    $b->send(fcgi_answer("Content-Type: text/plain\r\n\r\n" . uc(substr $req->{8}, 0, 20)));
    $b->close;
    return ($c->read_response(method => $method), $req);
}

my ($res, $req) = play('GET', '/x.flt');
is $res->{body}, 'THE FILE', "the application's answer is the answer";
is $req->{role}, 3, 'FCGI_FILTER';
is $req->{8}, 'the file', 'FCGI_DATA';
is $req->{ FCGI_STDIN() }, '', 'no body';
is_deeply $req->{order}, [FCGI_PARAMS, FCGI_STDIN, 8], 'the streams, each ended, in this order';
is $req->{params}{FCGI_DATA_LENGTH}, 8, 'FCGI_DATA_LENGTH';
is $req->{params}{FCGI_DATA_LAST_MOD}, 1_000_000_000, 'FCGI_DATA_LAST_MOD';
is $req->{params}{SCRIPT_FILENAME}, "$root/x.flt", 'SCRIPT_FILENAME';
for my $chunked (0, 10) {
    ($res, $req) = play('POST', '/x.flt', body => 'posted body', chunked => $chunked);
    is $req->{ FCGI_STDIN() }, 'posted body', 'a body is STDIN' . ($chunked ? ', also a chunked one' : '');
    is $req->{params}{CONTENT_LENGTH}, 11, 'of CONTENT_LENGTH';
    is $req->{8}, 'the file', 'and the file follows';
    is_deeply $req->{order}, [FCGI_PARAMS, FCGI_STDIN, 8], 'in order';
}
($res, $req) = play('POST', '/big.flt', body => $big . 'end');
ok $req->{ FCGI_STDIN() } eq $big . 'end', 'a large body';
ok $req->{8} eq $big, 'and a large file';
($res, $req) = play('GET', '/empty.flt');
is $req->{8}, '', 'an empty file';
is $req->{params}{FCGI_DATA_LENGTH}, 0, 'its length';
is_deeply $req->{order}, [FCGI_PARAMS, FCGI_STDIN, 8], 'both streams end';
is((play('POST', '/x.flt', body => ''))[1]{8}, 'the file', 'a body of no bytes');
is((play('HEAD', '/x.flt'))[0]{status}, 200, 'HEAD');
is((play('GET', '/d/'))[1]{8}, 'an index', 'DirectoryIndex');
is((play('GET', '/block/x'))[1]{8}, 'by block', "the pool's block says filter");
is $s->get('/missing.flt')->{status}, 404, 'no file: 404';
is $s->get('/block/missing')->{status}, 404, 'check-local=on: 404';
is $s->get('/nofile/x')->{status}, 500, 'a location without files: 500';
is $f->accept(0.05), undef, 'nobody was asked for these';

# Another try sends the file again.
my $c = $s->connect;
$c->send("GET /big.flt HTTP/1.1\r\nHost: a\r\n\r\n");
my $b = $f->accept;
read_filter($b);
$b->send(ProxyCore::FCGI::fcgi_end(protocol => 2));
$b->close;
my ($again) = $f->accept_or($c, 5); # or the answer
if ($again && $again != $c) { # overloaded: another may be asked; there is only this one
    ok read_filter($again)->{8} eq $big, 'another try has the whole file';
    $again->close;
}
is $c->read_response->{status}, 503, 'overloaded: 503';

# The client leaves in the middle of a large file that nobody takes.
spew("$root/huge.flt", 'x' x 20_000_000);
$c = $s->connect;
$c->send("GET /huge.flt HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
$c->close;
ok +(poll_until { (slurp($s->dir . '/logs/seen') || '') =~ m{^/huge\.flt}m } 20), 'it is noticed while nobody reads';
my $got = length $b->read_all(5);
ok $b->eof, 'the client leaves: so does the connection';
cmp_ok $got, '<', 20_000_000, 'and not all was sent';

# A file that becomes shorter while it is sent is not taken for a whole one.
$c = $s->connect;
$c->send("GET /huge.flt HTTP/1.1\r\nHost: a\r\n\r\n");
$b = $f->accept;
my $begin = read_record($b, 5);
truncate "$root/huge.flt", 100 or die "truncate: $!";
$b->read_all(20);
ok $b->eof, 'a file that is cut meanwhile: the connection to the application ends';
unlike substr($b->{in}, -8), qr/^\x01\x08\0\x01\0\0/, 'without the end of FCGI_DATA';
is $c->read_response(timeout => 20)->{status}, 500, 'and the client is told';
$b->close;

# A FIFO is no file, also when it has taken a file's place since httpd looked: nobody waits for it to be written to.
POSIX::mkfifo("$root/fifo", 0666) or die "mkfifo: $!";
link "$root/fifo", "$root/fifo.flt";
is $s->get('/fifo.flt')->{status}, 403, 'a FIFO: refused';
$f->stop;
my $test = $$;
my $swapper = fork;
die "fork: $!" if !defined $swapper;
if (!$swapper) {
    while (getppid == $test) {
        for my $what ('x.flt', 'fifo') {
            link "$root/$what", "$root/next";
            rename "$root/next", "$root/swapped.flt";
            unlink "$root/next"; # the same file under both names is left alone
        }
    }
    POSIX::_exit(0);
}
my (%seen, $late);
for my $n (1 .. 20_000) {
    last if $n > 400 && $seen{503} && $seen{403};
    my $status = $s->get('/swapped.flt', timeout => 20)->{status} || 'none';
    $seen{$status}++;
    last if $late = $status !~ /^(?:403|404|500|503)$/;
}
kill 'KILL', $swapper;
waitpid $swapper, 0;
ok !$late, 'a file that becomes a FIFO: every request is answered' or diag explain \%seen;
ok $seen{503} && $seen{403}, 'some have found the file, some the FIFO' or diag explain \%seen;
$s->stop;
done_testing;
