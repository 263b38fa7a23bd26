#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# X-Sendfile: what is sent, what is refused, and what nobody is told.
# F19 G18 G21 G22 G24
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use POSIX ();
use Time::HiRes qw(time);

use ProxyCore::Named;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir spew slurp poll_until mpm is_root user_ids);

my $dir = work_dir() . '/files';
my $private = "$dir/private";
mkdir $_ for $dir, $private, "$private/sub", "$dir/other", "$dir/nolinks", "$dir/owner";
my $text = join '', map { sprintf "%06d\n", $_ } 1 .. 5000;
my $big = 'abcdefghijklmnop' x 500_000;
spew("$private/a.txt", $text);
spew("$private/big.bin", $big);
spew("$private/empty", '');
spew("$private/x.php", "<?php never(); ?>\n");
spew("$private/page.html", '<p>' . 'page ' x 4000);
spew("$private/50%25 off, #1.txt", 'odd name');
spew("$private/unreadable", 'secret');
chmod 0, "$private/unreadable";
utime 1_000_000_000, 1_000_000_000, glob "$private/*.*"; # old enough for a strong ETag
spew("$dir/other/secret", 'secret');
spew("$dir/nolinks/target", 'target');
POSIX::mkfifo("$private/fifo", 0666);
symlink "$dir/other/secret", "$private/out";
symlink "$dir/other", "$private/outdir";
symlink 'a.txt', "$private/in";
symlink 'loop', "$private/loop";
symlink "$private", "$dir/current";
symlink 'target', "$dir/nolinks/link";
spew("$dir/owner/$_", $_) for 'mine.txt', 'theirs.txt';
spew("$dir/owner/mine.txt", 'mine');
symlink 'mine.txt', "$dir/owner/mine";
symlink 'theirs.txt', "$dir/owner/theirs";
chown((user_ids())[0], -1, "$dir/owner/theirs.txt") if is_root();
symlink "$dir/nolinks", "$private/up";
mkdir "$private/dir";

my %app = map { $_ => ProxyCore::Named->new($_) } ProxyCore::Named->protocols;
my ($off, $root, $user, $held, $over) = map { ProxyCore::Named->new('http') } 1 .. 5;
my $keep = ProxyCore::Named->new('http');
my $conf = join '', map { $_->conf("ProxyCoreXSendfile on root=$private root=$dir/nolinks root=$dir/owner") } values %app;
my $s = ProxyCore::Server->new(tls => 1, modules => [qw(deflate filter include)], conf => $conf
    . $off->conf('', name => 'without') . $root->conf("ProxyCoreXSendfile on unescape=on", name => 'root')
    . $keep->conf("ProxyCoreXSendfile on root=$dir/current", name => 'keep', keep => 1)
    . $held->conf('', name => 'held', pool => "ProxyCoreRequestBuffering on\nProxyCoreResponseBuffering on\nProxyCoreXSendfile on root=$private\n")
    . $over->conf("ProxyCoreErrorOverride on\nProxyCoreXSendfile on root=$private\nProxyCoreRewriteResponse X-Sendfile ^/app/data/(.*) $private/\$1\n"
        . 'ProxyCoreCookiePath /inside /over', name => 'over')
    . <<"CONF");
<Location /http/deflate>
    AddOutputFilterByType DEFLATE text/html
</Location>
<Directory $dir/nolinks>
    Options None
</Directory>
<Directory $dir/owner>
    Options SymLinksIfOwnerMatch
</Directory>
<Location /absent>
    Redirect gone
    ErrorDocument 410 /fastcgi/gone
</Location>
<Directory $private>
    AddOutputFilter INCLUDES .txt
    AddType application/x-by-name .bin
</Directory>
<FilesMatch "\\.php\$">
    SetHandler server-status
</FilesMatch>
<Directory @{[work_dir()]}/server/htdocs>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
ErrorDocument 404 "no such thing"
@{[$user->conf('', name => 'user')]}
CONF
spew($s->docroot . '/in.txt', 'in the document root');
spew($s->docroot . '/100%.txt', 'per cent');
spew($s->docroot . '/page.shtml', "before <!--#include virtual=\"/http/ssi\" --> after");
$s->start;

# is() that prints no thousands of lines.
sub same {
    my ($got, $want, $what) = @_;
    return ok($got eq $want, $what) || diag(map { length($_) . ' bytes: ' . substr($_, 0, 60) . "\n" } $got, $want);
}

# A head must say nothing of files. Returns the response.
sub clean {
    my ($res, $what) = @_;
    unlike $res->{head}{text}, qr/send-?file|accel-redirect|\Q$private\E/i, "$what: no word of it to the client";
    return $res;
}

for my $protocol (sort keys %app) {
    my $app = $app{$protocol};
    my $ask = sub { my ($path, %arg) = @_; my ($res, $seen) = $app->ask($s, "X-Sendfile: $path\r\n", %arg); return (clean($res, $path), $seen) };
    subtest $protocol => sub {
        my ($res, $seen) = $ask->("$private/a.txt");
        is $res->{status}, 200, 'a file';
        same $res->{body}, $text, 'its bytes, not the application\'s';
        is $res->{head}->h('Content-Length'), length $text, 'its length';
        is $res->{head}->h('Content-Type'), 'text/x-app', 'the application\'s type';
        is $res->{head}->h('Accept-Ranges'), 'bytes', 'ranges are to be had';
        my ($etag, $modified) = map { $res->{head}->h($_) } qw(ETag Last-Modified);
        like $etag, qr/^"[0-9a-f]+-[0-9a-f]+"$/, 'an ETag';
        like $modified, qr/GMT$/, 'Last-Modified';
        is $seen->{field}->('X-Sendfile-Type'), 'X-Sendfile', 'the application is told that it may';

        ($res) = $ask->("$private/a.txt", status => 200, type => 'application/pdf', body => 'x' x 3000, fields => ['X-Sendfile-Type' => 'evil']);
        is $res->{head}->h('Content-Type'), 'application/pdf', 'another type';

        # The application's own fields.
        ($res) = $app->ask($s, "X-SENDFILE: $private/a.txt\r\nContent-Disposition: attachment; filename=\"b\"\r\nCache-Control: private\r\nExpires: 0\r\n"
            . "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Own: 1\r\nETag: \"mine\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
            . "Content-Encoding: gzip\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nServer: mine\r\n");
        same $res->{body}, $text, 'any case';
        is $res->{head}->h($_->[0]), $_->[1], "$_->[0] is kept"
            for ['Content-Disposition', 'attachment; filename="b"'], ['Cache-Control', 'private'], ['Expires', '0'], ['X-Own', '1'];
        is_deeply [$res->{head}->all('Set-Cookie')], ['a=1', 'b=2'], 'cookies are kept';
        is $res->{head}->h('ETag'), $etag, 'ETag is the file\'s';
        is $res->{head}->h('Last-Modified'), $modified, 'Last-Modified too';
        is $res->{head}->h('Content-Encoding'), undef, 'an encoding of the answer that was not sent is gone';
        unlike $res->{head}->h('Date') . $res->{head}->h('Server'), qr/1970|mine/, 'Date and Server are ours';

        # As a static file.
        ($res) = $ask->("$private/a.txt", method => 'HEAD');
        is $res->{status}, 200, 'HEAD';
        is $res->{head}->h('Content-Length'), length $text, 'with the length';
        ($res) = $ask->("$private/a.txt", fields => ['If-None-Match' => $etag]);
        is $res->{status}, 304, 'If-None-Match: 304';
        is $res->{head}->h('ETag'), $etag, 'with the ETag';
        ($res) = $ask->("$private/a.txt", fields => ['If-Modified-Since' => $modified]);
        is $res->{status}, 304, 'If-Modified-Since: 304';
        ($res) = $ask->("$private/a.txt", fields => ['If-Match' => '"other"']);
        is $res->{status}, 412, 'If-Match: 412';
        ($res) = $ask->("$private/a.txt", fields => ['Range' => 'bytes=7-13']);
        is $res->{status}, 206, 'Range: 206';
        is $res->{body}, "000002\n", 'those bytes';
        is $res->{head}->h('Content-Range'), 'bytes 7-13/' . length $text, 'Content-Range';
        is $res->{head}->h('Content-Type'), 'text/x-app', 'still the application\'s type';
        ($res) = $ask->("$private/a.txt", fields => ['Range' => 'bytes=0-2,-7']);
        is $res->{status}, 206, 'several ranges';
        like $res->{body}, qr/\r\n\r\n000\r\n--.*\r\n\r\n005000\n\r\n--/s, 'each of them';
        ($res) = $ask->("$private/a.txt", fields => ['Range' => 'bytes=0-2', 'If-Range' => $etag]);
        is $res->{status}, 206, 'If-Range that matches';
        ($res) = $ask->("$private/a.txt", fields => ['Range' => 'bytes=0-2', 'If-Range' => '"x"']);
        is $res->{status}, 200, 'If-Range that does not';
        ($res) = $ask->("$private/a.txt", fields => ['Range' => 'bytes=900000-']);
        is $res->{status}, 416, 'a range behind the end';
        ($res) = $ask->("$private/empty");
        is $res->{status}, 200, 'an empty file';
        is $res->{head}->h('Content-Length'), 0, 'of length 0';
        ($res) = $ask->("$private/big.bin");
        same $res->{body}, $big, 'a large file';

        # Names.
        ($res) = $app->ask($s, "X-LIGHTTPD-send-file: $private/a.txt\r\n");
        same clean($res, 'X-LIGHTTPD-send-file')->{body}, $text, 'X-LIGHTTPD-send-file'; # G22
        ($res) = $app->ask($s, "X-Accel-Redirect: /nowhere\r\nX-Sendfile: $private/a.txt\r\n");
        same $res->{body}, $text, 'X-Sendfile counts before X-Accel-Redirect';
        ($res) = $ask->("$private/50%25 off, #1.txt");
        is $res->{body}, 'odd name', 'a path is taken as it stands';
        ($res) = $ask->("$private/sub/../a.txt");
        same $res->{body}, $text, '.. within the root';
        ($res) = $ask->("$private//./a.txt");
        same $res->{body}, $text, 'slashes and dots';
        ($res) = $ask->("$private/in");
        same $res->{body}, $text, 'a link within the root';
        ($res) = $ask->("$dir/current/a.txt");
        same $res->{body}, $text, 'a link to the root itself';
        ($res) = $ask->("$private/up/target");
        is $res->{body}, 'target', 'a link from one root to another';

        # A file is bytes, whatever its name says, and runs through no filter of its directory.
        ($res) = $ask->("$private/x.php");
        is $res->{body}, "<?php never(); ?>\n", 'a script is sent, not run';
        ($res) = $ask->("$private/big.bin", type => undef);
        is $res->{head}->h('Content-Type'), 'application/x-by-name', 'no type of the application: the file\'s';

        # Refused.
        for my $case (
            ["$dir/other/secret", 403, 'outside of a root'], ["$private/../other/secret", 403, '.. out of the root'],
            ["$dir/private2", 403, 'a name that begins like the root\'s'], ["$dir/other/nothing", 403, 'missing outside: as if it were there'],
            ['/etc/passwd', 403, 'a file of the system'], ["$private/out", 403, 'a link out of the root'],
            ["$private/outdir/secret", 403, 'a linked directory'], ["$private/loop", 403, 'a link to itself'],
            ["$private/nothing", 404, 'a missing file'], ["$private/a.txt/x", 404, 'below a file'], ["$private/a.txt/", 404, 'a file with a slash'],
            ["$private/unreadable", 403, 'an unreadable file'], ["$private/dir", 403, 'a directory'], [$private, 403, 'the root itself'],
            ["$private/fifo", 403, 'a fifo'], ['/dev/zero', 403, 'a device'], ["$dir/nolinks/link", 403, 'a link where Options allow none'],
            ["$private/a.txt%00.jpg", 404, 'an encoded NUL is three bytes of a name'], ['a.txt', 502, 'a relative path'], ['', 502, 'nothing'],
            ['/' . 'a' x 5000, 502, 'a path that is too long'], ['/' . 'x/' x 1990, 403, 'a long path'], ["$private/" . 'n' x 300, 404, 'a long name'],
        ) {
            my ($path, $status, $what) = @$case;
            my $began = time;
            ($res) = $ask->($path, body => 'SECRET', fields => []);
            is $res->{status}, $status, "$what: $status";
            unlike $res->{body}, qr/SECRET|secret|root:/, "$what: no body of anybody";
            ok $res->{complete} && time - $began < 20, "$what: at once";
            is $res->{head}->h('Content-Type') || '', $res->{head}->h('Content-Type') =~ /html/ ? $res->{head}->h('Content-Type') : 'text/html', "$what: the server's own page";
        }
        ($res) = $ask->("$private/nothing");
        is $res->{body}, 'no such thing', 'ErrorDocument';

        # Other statuses.
        ($res) = $ask->("$private/a.txt", status => 404, fields => ['Range' => 'bytes=0-2']);
        is $res->{status}, 404, 'the application\'s status is kept';
        same $res->{body}, $text, 'with the whole file as its body';
        ($res) = $ask->("$private/a.txt", status => 201);
        same "$res->{status} $res->{body}", "201 $text", 'another one';
        ($res) = $ask->("$private/a.txt", status => 302);
        is "$res->{status} $res->{body}", '302 the application', 'a redirect is no file';
        ($res) = $ask->("$private/a.txt", status => 206);
        is "$res->{status} $res->{body}", '206 the application', 'nor is a part';

        # POST: done is done.
        ($res, $seen) = $ask->("$private/a.txt", method => 'POST', upload => 'hello', fields => ['Range' => 'bytes=0-2', 'If-None-Match' => $etag]);
        is $seen->{body}, 'hello', 'POST arrives';
        same "$res->{status} $res->{body}", "200 $text", 'its answer is the whole file';

        # What is said of the answer that is not sent does not matter.
        ($res) = $ask->("$private/a.txt", body => '', length => length $text, read => {}) if $protocol eq 'fastcgi';
        same $res->{body}, $text, 'the file\'s length in place of the answer\'s own';
        ($res) = $ask->("$private/a.txt", body => 'y' x 3_000_000) if $protocol eq 'http';
        same $res->{body}, $text, 'a long answer beside it';
    };
}

# An answer that does not end: the file is sent after a second.
{
    my $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    my $seen = $app{http}->answer("X-Sendfile: $private/a.txt\r\n", length => 99, body => 'abc', open => 1);
    my $res = $f->finish;
    same $res->{body}, $text, 'an answer that stops half-way';
    cmp_ok $res->{elapsed}, '<', 20, 'is not waited for';
    ok poll_until { $seen->{conn}->fill(0.1); $seen->{conn}{eof} } 5;
    $seen->{conn}->close;
}

# The connection goes back before the file has gone: a client that reads nothing holds no backend. Each process of prefork
# has connections of its own.
if (mpm() ne 'prefork') {
    my $slow = ProxyCore::Conn->connect(port => $s->port, rcvbuf => 4096);
    $slow->send("GET /keep/x HTTP/1.1\r\nHost: a\r\n\r\n");
    my $seen = $keep->answer("X-Sendfile: $private/big.bin\r\n", open => 1);
    ok $slow->read_until(qr/\r\n\r\n/), 'a large file to a client that does not read';
    $keep->{conn} = $seen->{conn};
    my ($res) = $keep->ask($s, "X-Sendfile: $private/a.txt\r\n", open => 1);
    same $res->{body}, $text, 'another request on the same connection to the application';
    is $keep->{backend}->accepted, 1, 'which was given back';
    $slow->close;
    (delete $keep->{conn})->close;
}

# Switched off: not obeyed, not shown; and client's claims are not passed on. G18
{
    my ($res, $seen) = $off->ask($s, "X-Sendfile: $private/a.txt\r\nX-Sendfile2: $private/a.txt 0-\r\nX-Accel-Redirect: /x\r\nX-LIGHTTPD-send-file: /x\r\nX-Rewrite-URI: /y\r\nX-Rewrite-Host: z\r\nX-Rewrite-Backend: without\r\n",
        fields => ['X-Sendfile-Type' => 'X-Accel-Redirect', 'X-Accel-Mapping' => '/=/', 'x_accel_mapping' => '/=/']);
    is $res->{body}, 'the application', 'off: the application\'s answer';
    unlike $res->{head}{text}, qr/x-(?:send|lighttpd|accel|rewrite)/i, 'without the fields';
    unlike $seen->{text}, qr/sendfile|accel/i, 'a client cannot say that files are served';
    ($res, $seen) = $app{http}->ask($s, '', fields => ['X-Sendfile-Type' => 'X-Accel-Redirect', 'X-Accel-Mapping' => '/=/', 'X_Sendfile_Type' => 'evil']);
    is $seen->{field}->('X-Sendfile-Type'), 'X-Sendfile', 'on: what a client says is overwritten';
    unlike $seen->{text}, qr/accel|evil/i, 'all of it';
    ($res, $seen) = $app{fastcgi}->ask($s, '', fields => ['X-Sendfile-Type' => 'X-Accel-Redirect', 'X-Accel-Mapping' => '/=/']);
    is_deeply [map { $seen->{field}->($_) } qw(X-Sendfile-Type X-Accel-Mapping)], ['X-Sendfile', undef], 'for FastCGI too';
    my $early = ProxyCore::Client->start($s, 'GET', '/http/x');
    $app{http}->answer('', before => sub { $_[0]->send("HTTP/1.1 103 Early\r\nLink: </a>\r\nX-Sendfile: $private/a.txt\r\n\r\n") });
    $res = $early->finish;
    ok !grep({ $_->h('X-Sendfile') } @{ $res->{interim} }), 'nor does an interim answer show one';
}

# Without root=: the document root. unescape=on.
{
    my ($res) = $root->ask($s, 'X-Sendfile: ' . $s->docroot . "/in.txt\r\n");
    is $res->{body}, 'in the document root', 'no root=: below the document root';
    ($res) = $root->ask($s, "X-Sendfile: $private/a.txt\r\n");
    is $res->{status}, 403, 'and nowhere else';
    ($res) = $root->ask($s, 'X-Sendfile: ' . $s->docroot . "/100%25%2Etxt\r\n");
    is $res->{body}, 'per cent', 'unescape=on';
    for my $bad ('%00', '%', '%g1', '%0a') {
        ($res) = $root->ask($s, 'X-Sendfile: ' . $s->docroot . "/in.txt$bad\r\n");
        is $res->{status}, 502, "$bad is refused";
    }
}

# With filters, as part of a page, over TLS and HTTP/2, after 100-continue.
{
    my ($res) = $app{http}->ask($s, "X-Sendfile: $private/page.html\r\n", path => '/deflate', type => 'text/html', fields => ['Accept-Encoding' => 'gzip']);
    is $res->{head}->h('Content-Encoding'), 'gzip', 'mod_deflate goes by the application\'s type';
    my $page = ProxyCore::Client->start($s, 'GET', '/page.shtml', fields => ['Range' => 'bytes=0-3', 'If-None-Match' => '*']);
    $app{http}->answer("X-Sendfile: $private/in\r\nSet-Cookie: a=b\r\n");
    $res = $page->finish;
    is $res->{body}, "before $text after", 'a part of a page';
    for my $front (qw(tls h2)) {
        ($res) = $app{fastcgi}->ask($s, "X-Sendfile: $private/big.bin\r\n", front => $front);
        same $res->{body}, $big, "a large file over $front";
        ($res) = $app{http}->ask($s, "X-Sendfile: $private/a.txt\r\n", front => $front, fields => ['Range' => 'bytes=7-13']);
        same "$res->{status} $res->{body}", "206 000002\n", "a range over $front";
        ($res) = $app{http}->ask($s, "X-Sendfile: $dir/other/secret\r\n", front => $front);
        is $res->{status}, 403, "a refusal over $front";
    }
    my $c = $s->connect;
    $c->send("PUT /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
    $app{http}->answer("X-Sendfile: $private/a.txt\r\n", read => { body => 0 }, status => 403);
    $res = $c->read_response;
    same "$res->{status} $res->{body}", "403 $text", 'the answer to an upload that was not invited';
    is scalar @{ $res->{interim} }, 0, 'which it stays';
    $c->close;
}

# Files that change. A response that is short must not look whole.
for my $front (qw(h1 tls)) {
    my $file = "$private/shrinks-$front";
    spew($file, $big x 6);
    my $c = ProxyCore::Conn->connect(port => $front eq 'tls' ? $s->tls_port : $s->port, tls => $front eq 'tls');
    $c->send("GET /http/x HTTP/1.1\r\nHost: a\r\n\r\n");
    $app{http}->answer("X-Sendfile: $file\r\n");
    my $head = $c->read_until(qr/\r\n\r\n/);
    like $head, qr/200/, "$front: a file is being sent";
    truncate $file, 1000;
    my $got = length $c->read_all(10);
    cmp_ok $got, '<', 6 * length $big, "$front: it is cut short";
    ok $c->eof, "$front: and so is the connection";
    $c->close;
}
{
    my $file = "$private/shrinks-h2";
    spew($file, $big x 6);
    my $f = ProxyCore::Client->start($s, 'GET', '/http/x', front => 'h2', rate => '2M');
    $app{http}->answer("X-Sendfile: $file\r\n");
    ok poll_until(sub { length $f->body_so_far > 100_000 }), 'h2: a file is being sent';
    truncate $file, 1000;
    my $res = $f->finish;
    ok !$res->{complete}, 'h2: a stream that is cut short is reset';
    cmp_ok $res->{elapsed}, '<', 40, 'h2: at once';
}
SKIP: {
    skip 'event MPM only', 2 if mpm() ne 'event';
    # Parked: the file is sent by whatever thread comes along.
    my $f = ProxyCore::Client->start($s, 'GET', '/http/slow');
    my $conn = $app{http}{backend}->accept;
    $conn->read_request;
    select undef, undef, undef, 0.3;
    $conn->send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-Sendfile: $private/a.txt\r\nContent-Length: 0\r\n\r\n");
    my $res = $f->finish;
    same $res->{body}, $text, 'after a while without a thread';
    is $res->{head}->h('Content-Type'), 'a/b', 'as ever';
    $conn->close;
}

# After a while without a thread, another path whose application takes its time as well.
{
    my $f = ProxyCore::Client->start($s, 'GET', '/http/slow');
    my $conn = $app{http}{backend}->accept;
    $conn->read_request;
    select undef, undef, undef, 0.3;
    $conn->send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /fastcgi/y\r\nContent-Length: 0\r\n\r\n");
    my $second = $app{fastcgi}{backend}->accept;
    ok $second, 'the second application is asked';
    select undef, undef, undef, 0.3;
    $app{fastcgi}{conn} = $second;
    $app{fastcgi}->answer("X-Sendfile: $private/a.txt\r\n");
    delete $app{fastcgi}{conn};
    same $f->finish->{body}, $text, 'and names a file';
    $conn->close;
}

# An upload that is answered before it was read; with buffering; as an ErrorDocument; links of other owners.
{
    my $c = $s->connect;
    $c->send("POST /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" . 'x' x 100_000);
    $app{http}->answer("X-Sendfile: $private/a.txt\r\n", read => { body => 0 }, open => 1);
    my $res = $c->read_response;
    same $res->{body}, $text, 'a file in answer to an upload under way';
    ok $res->{elapsed} < 20, 'at once';
    $c->close;
    ($res) = $held->ask($s, "X-Sendfile: $private/a.txt\r\n", body => 'z' x 500_000, method => 'POST', upload => 'hello');
    same $res->{body}, $text, 'with buffering of requests and responses';
    my $f = ProxyCore::Client->start($s, 'GET', '/absent', fields => [Range => 'bytes=0-2']);
    $app{fastcgi}->answer("X-Sendfile: $private/a.txt\r\n");
    $res = $f->finish;
    same "$res->{status} $res->{body}", "410 $text", 'an ErrorDocument is a file';
    ($res) = $over->ask($s, "X-Sendfile: $private/a.txt\r\n", status => 404);
    is "$res->{status} $res->{body}", '404 no such thing', 'ProxyCoreErrorOverride: an error page of the application is none, as a file either';
    ($res) = $over->ask($s, "X-Sendfile: /app/data/a.txt\r\nSet-Cookie: a=b; Path=/inside\r\n");
    same $res->{body}, $text, 'ProxyCoreRewriteResponse: a path as the application knows it';
    like $res->{head}->h('Set-Cookie'), qr{^a=b; Path=/over$}i, 'ProxyCoreCookiePath';
    SKIP: {
        skip 'root only', 2 if !is_root();
        ($res) = $app{http}->ask($s, "X-Sendfile: $dir/owner/mine\r\n");
        is $res->{body}, 'mine', 'SymLinksIfOwnerMatch: a link of the owner';
        ($res) = $app{http}->ask($s, "X-Sendfile: $dir/owner/theirs\r\n");
        is $res->{status}, 403, 'one of somebody else';
    }
}

# .htaccess: off, and on where an administrator has named roots.
for my $word (qw(off on)) {
    mkdir $s->docroot . "/$word"; # an application that is reached through a file
    spew($s->docroot . "/$word/.htaccess", "SetHandler proxy-core:user\nProxyCoreXSendfile $word\n");
    spew($s->docroot . "/$word/x", '');
    my $f = ProxyCore::Client->start($s, 'GET', "/$word/x");
    $user->answer("X-Sendfile: $private/a.txt\r\n");
    is $f->finish->{body}, 'the application', ".htaccess: $word, without roots of an administrator";
}
for my $word (qw(off on)) {
    spew($s->docroot . "/$word/.htaccess", "SetHandler proxy-core:held\nProxyCoreXSendfile $word\n");
    my $f = ProxyCore::Client->start($s, 'GET', "/$word/x");
    $held->answer("X-Sendfile: $private/a.txt\r\n");
    same $f->finish->{body}, $word eq 'on' ? $text : 'the application', ".htaccess: $word, with roots of the pool";
}
spew($s->docroot . '/on/.htaccess', "SetHandler proxy-core:user\nProxyCoreXSendfile on root=/\n");
is $s->get('/on/x')->{status}, 500, '.htaccess: root= is refused';
$s->stop;
done_testing;
