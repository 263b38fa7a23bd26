#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# X-Accel-Redirect: another path of the site, also one that nobody else may ask for.
# F19 F20
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Named;
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir spew poll_until);

my $dir = work_dir() . '/files';
mkdir $_ for $dir, "$dir/dir", work_dir() . '/cache';
chmod 0777, work_dir() . '/cache';
my $text = join '', map { sprintf "%06d\n", $_ } 1 .. 3000;
spew("$dir/a.txt", $text);
spew("$dir/cached.txt", 'cached');
spew("$dir/a b,%#.txt", 'odd');
spew("$dir/dir/index.html", 'index');
spew("$dir/page.html", '<p>' . 'page ' x 4000);
utime 1_000_000_000, 1_000_000_000, glob "$dir/*.txt";

my %app = map { $_ => ProxyCore::Named->new($_) } ProxyCore::Named->protocols;
my $second = ProxyCore::Named->new('http');
my $s = ProxyCore::Server->new(modules => [qw(deflate filter include cache cache_disk)], conf => (join '', map { $_->conf('ProxyCoreXSendfile on') } values %app)
    . $second->conf('ProxyCoreXSendfile on', name => 'second') . <<"CONF");
Alias /protected/ $dir/
<Directory $dir>
    Require proxy-core-internal
</Directory>
<Location /second/inner/>
    Require proxy-core-internal
</Location>
<Directory @{[work_dir()]}/server/htdocs>
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
AddOutputFilterByType DEFLATE text/html
CacheRoot @{[work_dir()]}/cache
CacheHeader on
CacheLock off
CacheEnable disk /protected/cached
CacheEnable disk /open
CacheEnable disk /second/open
LogFormat "%m %>s %<{proxy-core-state}n %{Range}i %{Host}i" accel
CustomLog logs/accel accel
CONF
spew($s->docroot . '/open.txt', 'open');
utime 1_000_000_000, 1_000_000_000, $s->docroot . '/open.txt';
spew($s->docroot . '/page.shtml', "before <!--#include virtual=\"/http/ssi\" --> after");
$s->start;
is $s->get('/protected/a.txt')->{status}, 403, 'nobody else gets in';
is $s->get('/protected/none')->{status}, 403, 'not even to a missing file';
is $s->get('/second/inner/x')->{status}, 403, 'nor to an application';

for my $protocol (sort keys %app) {
    my $app = $app{$protocol};
    my $ask = sub { my ($uri, $more, %arg) = @_; my ($res, $seen) = $app->ask($s, "X-Accel-Redirect: $uri\r\n" . ($more || ''), %arg); return ($res, $seen) };
    subtest $protocol => sub {
        my ($res) = $ask->('/protected/a.txt');
        is $res->{status}, 200, 'a protected file';
        ok $res->{body} eq $text, 'its bytes';
        unlike $res->{head}{text}, qr/accel|protected/i, 'no word of it to the client';
        is $res->{head}->h('Content-Length'), length $text, 'its length';
        is $res->{head}->h('Expires'), undef, 'no Expires, which nobody gave';
        my $etag = $res->{head}->h('ETag');
        ($res) = $ask->('/protected/a.txt', "Content-Disposition: attachment\r\nCache-Control: private\r\nExpires: 0\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            . "X-Own: 1\r\nETag: \"mine\"\r\nContent-Encoding: gzip\r\nLast-Modified: Thu, 01 Jan 1970 00:00:01 GMT\r\nVary: Cookie\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\n");
        is $res->{head}->h($_->[0]), $_->[1], "$_->[0]: $_->[1]" for ['Content-Disposition', 'attachment'], ['Cache-Control', 'private'],
            ['Expires', '0'], ['Set-Cookie', 'a=1, b=2'], ['X-Own', '1'], ['ETag', $etag], ['Content-Type', 'text/x-app'], ['Vary', 'Cookie'];
        is $res->{head}->h('Content-Encoding'), undef, 'not the encoding of what is not sent';
        unlike $res->{head}->h('Date') . $res->{head}->h('Last-Modified'), qr/1970/, 'nor its dates';
        ok $res->{body} eq $text, 'the file';
        ($res) = $ask->('/protected/a.txt', '', type => undef);
        is $res->{head}->h('Content-Type'), 'text/plain', 'no type of the application: the target\'s' if $protocol eq 'http';

        ($res) = $ask->('/protected/a.txt', "Cache-Control: private\r\n", fields => ['If-None-Match' => $etag]);
        is $res->{status}, 304, "not modified";
        is $res->{head}->h('Cache-Control'), 'private', 'with the application\'s Cache-Control';
        ($res) = $ask->('/protected/a.txt', '', fields => [Range => 'bytes=7-13']);
        is "$res->{status} $res->{body}", "206 000002\n", 'a range';
        ($res) = $ask->('/protected/a.txt', '', method => 'HEAD');
        is "$res->{status} " . $res->{head}->h('Content-Length'), '200 ' . length $text, 'HEAD';
        ($res) = $ask->('/protected/a.txt', '', method => 'POST', upload => 'abc', fields => [Range => 'bytes=7-13']);
        ok $res->{status} == 200 && $res->{body} eq $text, 'the answer to a POST';
        ($res) = $ask->('/protected/page.html', '', type => 'text/plain', fields => ['Accept-Encoding' => 'gzip']);
        is $res->{head}->h('Content-Encoding'), undef, 'filters see the type that the client is told';
        ($res) = $ask->('/protected/a.txt', '', type => 'text/html', fields => ['Accept-Encoding' => 'gzip']);
        is $res->{head}->h('Content-Encoding'), 'gzip', 'and act by it';

        ($res) = $ask->('/protected/a%20b,%25%23.txt');
        is $res->{body}, 'odd', 'a percent-encoded path';
        ($res) = $ask->('/protected/a b,%25%23.txt');
        is $res->{body}, 'odd', 'or not quite so';
        ($res) = $ask->('/protected/dir/');
        is $res->{body}, 'index', 'DirectoryIndex';
        ($res) = $ask->('/open.txt');
        is $res->{body}, 'open', 'a path that is open to all';
        ($res) = $ask->('/protected/a.txt', '', status => 404, fields => [Range => 'bytes=7-13']);
        ok $res->{status} == 404 && $res->{body} eq $text, 'the application\'s status is kept';

        for my $case (['/protected/none', 404, 'missing'], ['/protected/../../etc/passwd', 400, 'dots'], ['/protected/%2e%2e/x', 404, 'encoded dots'],
            ['/protected/a.txt%00', 404, 'NUL'], ['http://evil/', 502, 'a URL'], ['protected', 502, 'no slash'], ['', 502, 'nothing'],
            ['/a#b', 502, 'a fragment'], ['/' . 'a' x 5000, 502, 'too long'], ["/a\tb", 502, 'a tab'], ['//evil/x', 404, 'two slashes'])
        {
            my ($uri, $status, $what) = @$case;
            ($res) = $ask->($uri, "X-Own: 1\r\nCache-Control: max-age=9\r\n");
            is $res->{status}, $status, "$what: $status";
            unlike $res->{body} . $res->{head}{text}, qr/root:|the application|X-Own|max-age/, "$what: nothing of the application";
        }
    };
}

# To another application, which is asked by GET, and whose own answer counts but for what the first one said.
{
    my $f = ProxyCore::Client->start($s, 'POST', '/http/x?first=1', body => 'abc', fields => ['X-From' => 'client']);
    $app{http}->answer("X-Accel-Redirect: /second/inner/y?q=1\r\nSet-Cookie: a=1\r\nX-Own: first\r\nCache-Control: private\r\n", type => 'application/first');
    my $seen = $second->answer("Set-Cookie: b=2\r\nX-Own: second\r\nX-Second: 1\r\nCache-Control: max-age=5\r\n", body => 'the second', type => 'application/second');
    my $res = $f->finish;
    is "$seen->{method} $seen->{target} $seen->{body}", 'GET /second/inner/y?q=1 ', 'asked by GET, without the body';
    is $seen->{field}->('X-From'), 'client', 'with the client\'s fields';
    is $seen->{field}->('Content-Type'), undef, 'but those of the body';
    is "$res->{status} $res->{body}", '200 the second', 'answered by the second';
    is $res->{head}->h($_->[0]), $_->[1], "$_->[0]: $_->[1]" for ['X-Own', 'first'], ['Cache-Control', 'private'], ['X-Second', '1'], ['Content-Type', 'application/first'];
    is join(' ', sort $res->{head}->all('Set-Cookie')), 'a=1 b=2', 'cookies of both';

    # A second one that fails, and one that goes on to a file.
    $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    $app{http}->answer("X-Accel-Redirect: /second/inner/y\r\nX-Own: first\r\n");
    $second->answer('', status => 500, body => 'failed');
    $res = $f->finish;
    is "$res->{status} $res->{body}", '500 failed', 'a second one that fails';
    is $res->{head}->h('X-Own'), undef, 'is no success of the first';
    $f = ProxyCore::Client->start($s, 'GET', '/http/x', fields => [Range => 'bytes=7-13']);
    $app{http}->answer("X-Accel-Redirect: /second/inner/y\r\nX-One: 1\r\nX-Own: first\r\n", type => 'a/first');
    $second->answer("X-Accel-Redirect: /protected/a.txt\r\nX-Two: 2\r\nX-Own: second\r\n", type => undef);
    $res = $f->finish;
    is "$res->{status} $res->{body}", "206 000002\n", 'two applications, then a file';
    is join(' ', map { $res->{head}->h($_) || '-' } qw(X-One X-Two X-Own Content-Type)), '1 2 second a/first', 'fields of both, the later ones count';
    $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    $app{http}->answer("X-Accel-Redirect: /second/inner/y\r\nX-One: 1\r\n");
    $second->answer('X-Sendfile: ' . $s->docroot . "/open.txt\r\n");
    $res = $f->finish;
    is $res->{body}, 'open', 'then X-Sendfile';
    is $res->{head}->h('X-One'), 1, 'with the first one\'s field';
}

# A cache in front of everything keeps neither what nobody may ask for nor what an application has said to one client.
{
    my ($res) = $app{http}->ask($s, "X-Accel-Redirect: /protected/cached.txt\r\nCache-Control: max-age=100\r\nSet-Cookie: a=1\r\n") for 1 .. 2;
    ok $s->get('/protected/cached.txt')->{status} == 403, 'mod_cache has nothing of a protected path';
    poll_until { $res = $s->get('/open.txt'); ($res->{head}->h('X-Cache') || '') =~ /^HIT/ };
    like $res->{head}->h('X-Cache'), qr/^HIT/, 'mod_cache serves an open one';
    ($res) = $app{http}->ask($s, "X-Accel-Redirect: /open.txt\r\nX-Own: 1\r\n");
    is "$res->{body} " . $res->{head}->h('X-Own'), 'open 1', 'to the application\'s client as well, with its fields';
    is $s->get('/open.txt')->{head}->h('X-Own'), undef, 'and to nobody else';
    my $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    $app{http}->answer("X-Accel-Redirect: /second/open\r\nX-Own: 1\r\n");
    $second->answer("Cache-Control: max-age=100\r\n", body => 'kept');
    is $f->finish->{head}->h('X-Own'), 1, 'another application, whose answer may be kept';
    ($res) = $second->ask($s, '', path => '/open', timeout => 5);
    is $res->{head}->h('X-Own'), undef, 'is not kept with the fields of the first';
}

# Round and round.
{
    my $mark = $s->mark;
    my $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    my $turns = $app{http}->answer_until($f, sub { "X-Accel-Redirect: /http/x\r\n" });
    my $res = $f->finish;
    is $res->{status}, 500, 'an endless chain ends';
    is $turns, 9, 'after eight turns';
    ok $s->wait_log(qr/PXC0682: .*more than 8 times/, 5, $mark), 'and the log says why';
}

# In a page; over HTTP/2 and TLS; not while it is off.
{
    my $f = ProxyCore::Client->start($s, 'GET', '/page.shtml');
    $app{http}->answer("X-Accel-Redirect: /protected/a.txt\r\n");
    my $res = $f->finish;
    ok $res->{body} eq "before $text after", 'a part of a page' or diag substr $res->{body}, 0, 300;
    ($res) = $app{fastcgi}->ask($s, "X-Accel-Redirect: /protected/a.txt\r\nX-Own: 1\r\n", front => 'h2', fields => [Range => 'bytes=7-13']);
    is "$res->{status} $res->{body} " . $res->{head}->h('X-Own'), "206 000002\n 1", 'over HTTP/2';
    my $c = $s->connect;
    for (1 .. 3) {
        $c->send("GET /http/x HTTP/1.1\r\nHost: a\r\n\r\n");
        select undef, undef, undef, 0.05;
        $app{http}->answer("X-Accel-Redirect: /protected/a.txt\r\n");
        $res = $c->read_response;
        ok $res->{body} eq $text, 'again on the same connection';
    }
    $c->close;
}
ok poll_until(sub { (ProxyCore::Util::slurp($s->dir . '/logs/accel') || '') =~ /^GET 206 accel bytes=7-13 localhost$/m }), 'the log has the client\'s request and the state';
$s->stop;
done_testing;
