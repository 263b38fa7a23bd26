#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# X-Rewrite-URI, -Host and -Backend: the application sends the request elsewhere.
# F20
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use IO::Compress::Gzip qw(gzip);
use ProxyCore::Named;
use ProxyCore::Server;
use ProxyCore::Util qw(spew);

my %app = map { $_ => ProxyCore::Named->new($_) } ProxyCore::Named->protocols;
my ($second, $hidden, $off, $cgi) = (ProxyCore::Named->new('http'), ProxyCore::Named->new('http'), ProxyCore::Named->new('http'), ProxyCore::Named->new('fastcgi'));
my ($buffered, $buffered2) = (ProxyCore::Named->new('http'), ProxyCore::Named->new('fastcgi'));
my $plain = 'plain ' x 1000;
gzip(\$plain => \my $gz) or die;
my $s = ProxyCore::Server->new(modules => [qw(include deflate proxy proxy_http)], conf => (join '', map { $_->conf('ProxyCoreXRewrite on') } values %app)
    . $second->conf('', name => 'second') . $off->conf('ProxyCoreXSendfile on', name => 'not-on') . $cgi->conf('', name => 'cgi')
    . $buffered->conf('ProxyCoreXRewrite on', name => 'buffered', pool => "    ProxyCoreRequestBuffering on\n")
    . $buffered2->conf('ProxyCoreXRewrite on', name => 'buffered2', pool => "    ProxyCoreRequestBuffering on\n") . <<"CONF");
<Location /old/>
    ProxyPass http://@{[$second->{backend}->address]}/
</Location>
<Location /buffered/gz>
    SetInputFilter DEFLATE
</Location>
<Location /second/gz>
    SetInputFilter DEFLATE
</Location>
<ProxyCore hidden>
    ProxyCoreProtocol http
    ProxyCoreBackend @{[$hidden->{backend}->address]}
    ProxyCoreKeepAlive off
</ProxyCore>
<VirtualHost 127.0.0.9>
    ServerName other.example
    <ProxyCore elsewhere>
        ProxyCoreProtocol http
        ProxyCoreBackend @{[$hidden->{backend}->address]}
    </ProxyCore>
</VirtualHost>
<Location /inline/>
    ProxyCorePass http://@{[$hidden->{backend}->address]}
</Location>
<Location /closed/>
    Require all denied
</Location>
LogFormat "%U %>s %<{proxy-core-state}n %{Host}i" rewrite
CustomLog logs/rewrite rewrite
CONF
spew($s->docroot . '/static.txt', 'static');
spew($s->docroot . '/page.shtml', 'x');
$s->start;
$hidden->{name} = 'hidden';

# A client's request, what the first application says, and who answers then. Returns the response and what each saw.
sub turn {
    my ($first, $fields, $then, %arg) = @_;
    my $f = ProxyCore::Client->start($s, $arg{method} || 'GET', "/$first->{name}" . ($arg{path} || '/x?q=1'), fields => $arg{fields} || [],
        front => $arg{front}, defined $arg{upload} ? (body => $arg{upload}) : ());
    my $seen = $first->answer($fields, %{ $arg{first} || {} });
    my $next = $then ? $then->answer('X-Second: 1' . "\r\nSet-Cookie: b=2\r\n", body => 'the other one', type => 'a/b', timeout => 5) : undef;
    return ($f->finish, $next, $seen);
}

for my $protocol (sort keys %app) {
    my $app = $app{$protocol};
    subtest $protocol => sub {
        my ($res, $next, $seen) = turn($app, "X-Rewrite-URI: /second/y\r\nSet-Cookie: a=1\r\nX-Own: 1\r\nCache-Control: private\r\n", $second);
        is $res->{body}, 'the other one', 'another application answers';
        is $res->{head}->h('Expires'), undef, 'nothing is said of caching that nobody said';
        is $next->{target}, '/second/y?q=1', 'asked for the new path with the old query';
        is $res->{head}->h('Content-Type'), 'a/b', 'its type';
        is $res->{head}->h($_), undef, "$_ of the first is gone" for qw(X-Own Cache-Control X-Rewrite-URI);
        is join(' ', sort $res->{head}->all('Set-Cookie')), 'a=1 b=2', 'cookies of both are set';
        ($res, $next) = turn($app, "X-Rewrite-URI: /second/y?z=%20\r\n", $second);
        is $next->{target}, '/second/y?z=%20', 'a query of its own';
        ($res, $next) = turn($app, "X-Rewrite-URI: /second/y?\r\n", $second);
        is $next->{target} =~ s/\?$//r, '/second/y', 'or none';
        ($res) = turn($app, "X-Rewrite-URI: /static.txt\r\n");
        is $res->{body}, 'static', 'a file';
        ($res, $next) = turn($app, "X-Rewrite-URI: /cgi/a/b\r\n", $cgi);
        is $next->{target}, '/cgi/a/b?q=1', 'another protocol';

        # Host.
        ($res, $next) = turn($app, "X-Rewrite-URI: /second/y\r\nX-Rewrite-Host: Tenant.example:81\r\n", $second);
        is $next->{field}->('Host'), 'Tenant.example:81', 'another Host for it';
        is $next->{field}->('X-Forwarded-Host'), 'Tenant.example:81', 'also as the host that was asked for';
        ($res, $next) = turn($app, "X-Rewrite-Host: tenant.example\r\n", $app);
        is $next->{target} . ' ' . $next->{field}->('Host'), "/$protocol/x?q=1 tenant.example", 'the same once more, with another Host';

        # Backend.
        ($res, $next) = turn($app, "X-Rewrite-Backend: hidden\r\n", $hidden);
        is "$res->{body} $next->{target}", "the other one /$protocol/x?q=1", 'another pool, the same path';
        ($res, $next) = turn($app, "X-Rewrite-Backend: HIDDEN\r\nX-Rewrite-URI: /any/thing\r\nX-Rewrite-Host: h\r\n", $hidden);
        is $next->{target} . ' ' . $next->{field}->('Host'), '/any/thing?q=1 h', 'another pool, path and Host';
        ($res, $next) = turn($app, "X-Rewrite-Backend: cgi\r\nX-Rewrite-URI: /static.txt\r\n", $cgi);
        is $next->{target}, '/static.txt?q=1', 'a pool in place of a file';
        ($res) = turn($app, "X-Rewrite-Backend: hidden\r\nX-Rewrite-URI: /closed/x\r\n");
        is $res->{status}, 403, 'access control holds for the new path';

        # Methods and bodies.
        ($res, $next) = turn($app, "X-Rewrite-Backend: hidden\r\n", $hidden, method => 'DELETE');
        is $next->{method}, 'DELETE', 'the method is kept';
        ($res, $next) = turn($app, "X-Rewrite-Backend: hidden\r\n", $hidden, method => 'HEAD');
        is "$next->{method} $res->{body}", 'HEAD ', 'HEAD too';
        my $mark = $s->mark;
        ($res, $next) = turn($app, "X-Rewrite-Backend: hidden\r\n", undef, method => 'POST', upload => 'hello', fields => ['Content-Type' => 'a/b']);
        is $res->{status}, 502, 'a body that the first has got: 502';
        ok $s->wait_log(qr/PXC0801: pool $protocol: .*ProxyCoreRequestBuffering on keeps it/, 10, $mark), 'and the log says what to do';
        ok !$hidden->{backend}->accept(0.05), 'nobody gets half of the request';
        ($res, $next) = turn($app, "X-Rewrite-Backend: hidden\r\n", $hidden, method => 'POST', upload => '');
        is "$next->{method} $res->{body}", 'POST the other one', 'an empty body can be had again';

        for my $case (['X-Rewrite-URI', 'http://evil/', 'a URL'], ['X-Rewrite-URI', 'y', 'no slash'], ['X-Rewrite-URI', '', 'nothing'], ['X-Rewrite-URI', "/a\tb", 'a tab'],
            ['X-Rewrite-URI', '/' . 'a' x 5000, 'too long'], ['X-Rewrite-Backend', 'nobody', 'an unknown pool'], ['X-Rewrite-Backend', '', 'no pool'],
            ['X-Rewrite-Backend', 'elsewhere', 'a pool of another virtual host'], ['X-Rewrite-Backend', 'http://' . $hidden->{backend}->address, 'an address'],
            ['X-Rewrite-Host', 'a b', 'a host with a space'], ['X-Rewrite-Host', 'a/b', 'with a slash'], ['X-Rewrite-Host', 'a@b', 'with an @'], ['X-Rewrite-Host', '', 'no host'],
            ['X-Rewrite-Host', 'a' x 300, 'a long host'])
        {
            my ($name, $value, $what) = @$case;
            ($res) = turn($app, "X-Rewrite-URI: /static.txt\r\n" x ($name ne 'X-Rewrite-URI') . "$name: $value\r\n");
            is $res->{status}, 502, "$name, $what: 502";
            unlike $res->{body}, qr/the application|static/, "$what: nothing of it";
        }
        ($res) = turn($app, "X-Sendfile: /etc/passwd\r\nX-Accel-Redirect: /static.txt\r\n");
        is $res->{body}, 'the application', 'files are another directive\'s';
    };
}
is $hidden->{backend}->accept(0.1), undef, 'nobody else was asked';

# ProxyCoreRequestBuffering keeps the body, and so does a protocol that needs its length.
{
    my $big = join '', map { chr(33 + $_ % 90) } 1 .. 300_000;
    for my $case (['buffered', $buffered], ['buffered, small', $buffered, 'hello'], ['chunked to a CGI-like', $app{scgi}, $big, 'chunked'], ['chunked and small', $app{fastcgi}, 'hello', 'chunked'],
        ['chunked and buffered', $buffered, $big, 'chunked'], ['chunked and empty', $buffered, '', 'chunked'])
    {
        my ($what, $first, $body, $chunked) = @$case;
        $body = $big if !defined $body;
        for my $front (qw(http h2)) {
            for my $target ([$second, '/second/y'], [$cgi, '/cgi/y'], [$buffered2, '/buffered2/y']) {
                my ($then, $uri) = @$target;
                my $f = ProxyCore::Client->start($s, 'PUT', "/$first->{name}/x", front => $front, body => $body, $chunked ? (chunked => 7000) : (),
                    fields => ['Content-Type' => 'a/b', 'X-Own' => 1]);
                my $seen = $first->answer("X-Rewrite-URI: $uri\r\n");
                my $next = $then->answer('', body => 'done', timeout => 10) || {};
                is $f->finish->{body}, 'done', "$what ($front) to $uri: answered";
                ok defined $next->{body} && $seen->{body} eq $body && $next->{body} eq $body, 'both have had the same body';
                is $next->{method}, 'PUT', 'by the same method';
                is $next->{field} && $next->{field}->('X-Own'), 1, 'with its fields';
            }
        }
    }
    # Through several turns, to somebody else's handler, to one that does not want it, and with filters in between.
    my $f = ProxyCore::Client->start($s, 'POST', '/buffered/x', body => $big);
    $buffered->answer("X-Rewrite-Backend: buffered2\r\n");
    $buffered2->answer("X-Rewrite-URI: /old/z\r\n");
    my $conn = $second->{backend}->accept(10);
    my $req = $conn->read_request;
    is "$req->{method} $req->{target}", 'POST /z', 'the second turn leads to mod_proxy';
    ok $req->{body} eq $big, 'which gets the body';
    $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    is $f->finish->{body}, 'ok', 'and answers';
    $conn->close;
    my $c = $s->connect;
    $c->send("POST /buffered/x HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n$big");
    $buffered->answer("X-Rewrite-URI: /closed/x\r\n");
    is $c->read_response->{status}, 403, 'refused: the body is of no use';
    $c->send("POST /buffered/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    $buffered->answer("X-Accel-Redirect: /nothing\r\n");
    is $c->read_response->{body}, 'the application', 'the connection goes on with the next request';
    $c->send("POST /buffered/gz HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: " . length($gz) . "\r\n\r\n$gz");
    my $seen = $buffered->answer("X-Rewrite-URI: /second/gz\r\n");
    my $next = $second->answer('', body => 'done', timeout => 10);
    is "$seen->{body} $next->{body}", "$plain $plain", 'what an input filter has made of a body';
    is $next->{field}->('Content-Length'), length $plain, 'with its length';
    is $c->read_response->{body}, 'done', 'answered';
    $c->close;
}

# 100-continue: a body that was not invited goes to the application that wants it.
{
    my $c = $s->connect;
    $c->send("POST /http/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    $app{http}->answer("X-Rewrite-URI: /second/up\r\n", read => { body => 0 });
    my $conn = $second->{backend}->accept;
    my $req = $conn->read_request(body => 0);
    is "$req->{method} $req->{target}", 'POST /second/up', '100-continue: the method is kept';
    $conn->send("HTTP/1.1 100 Continue\r\n\r\n");
    like $c->read_until(qr/\r\n\r\n/), qr/ 100 /, 'the second one invites';
    $c->send('hello');
    is $conn->read_bytes(5), 'hello', 'and gets the body';
    $conn->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    is $c->read_response->{body}, 'ok', 'and answers';
    $c->close;
    $conn->close;
}

# At most eight turns.
{
    my $mark = $s->mark;
    my $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    my $turns = $app{http}->answer_until($f, sub { "X-Rewrite-URI: /http/x$_[0]\r\n" });
    is $f->finish->{status}, 500, 'an endless chain ends';
    is $turns, 9, 'after eight turns';
    ok $s->wait_log(qr/PXC0682: .*more than 8 times/, 5, $mark), 'and the log says why';
    $f = ProxyCore::Client->start($s, 'GET', '/http/x');
    for (1 .. 8) { $app{http}->answer("X-Rewrite-URI: /http/x$_\r\nSet-Cookie: c$_=1\r\n") }
    $app{http}->answer('', body => 'at last');
    my $res = $f->finish;
    is $res->{body}, 'at last', 'eight are allowed';
    is scalar(my @all = $res->{head}->all('Set-Cookie')), 8, 'each of them may set its cookies';
}

# Over HTTP/2; off.
{
    my ($res) = turn($app{http}, "X-Rewrite-Backend: hidden\r\n", $hidden, front => 'h2');
    is $res->{body}, 'the other one', 'over HTTP/2';
    ($res) = turn($off, "X-Rewrite-URI: /static.txt\r\nX-Rewrite-Host: a\r\nX-Rewrite-Backend: hidden\r\n");
    is $res->{body}, 'the application', 'off: not obeyed';
    unlike $res->{head}{text}, qr/rewrite/i, 'nor shown';
}
ok ProxyCore::Util::poll_until(sub { ProxyCore::Util::slurp($s->dir . '/logs/rewrite') =~ m{^/http/x 200 rewrite localhost$}m }), 'the log has what the client asked for';
$s->stop;
done_testing;
