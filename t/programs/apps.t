#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# One Flask application by each server and protocol that can serve it: gunicorn, uWSGI's HTTP, FastCGI, SCGI and uwsgi
# sockets, and as a CGI script. What the client gets is the same, over each way in.
# F1 F10 F23 G37
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Digest::SHA qw(sha1_hex);
use JSON::PP qw(decode_json);

use ProxyCore::Programs qw(need curl fronts);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until start_child stop_child spew slurp is_root free_port listens);

need(gunicorn => 'gunicorn', 'python3-flask' => '/usr/lib/python3/dist-packages/flask/app.py', 'uwsgi-core' => 'uwsgi',
    'uwsgi-plugin-python3' => '/usr/lib/uwsgi/plugins/python3*_plugin.so', curl => 'curl');

my $dir = work_dir();
my $apps = "$dir/apps";
spew("$apps/flask_app.py", slurp("$FindBin::Bin/apps/flask_app.py"));
my %port = map { $_ => free_port() } qw(http fastcgi scgi uwsgi);
my $uwsgi = start_child({ cwd => $apps, out => "$dir/logs/uwsgi", env => { PYTHONDONTWRITEBYTECODE => 1 } },
    qw(uwsgi --plugin python3 --master --need-app --die-on-term --processes 2 --threads 4 --wsgi-file flask_app.py --http-socket),
    "127.0.0.1:$port{http}", '--fastcgi-socket', "127.0.0.1:$port{fastcgi}", '--scgi-socket', "127.0.0.1:$port{scgi}",
    '--uwsgi-socket', "127.0.0.1:$port{uwsgi}");
poll_until { listens($port{$_}) || return 0 for keys %port; slurp("$dir/logs/uwsgi") =~ /spawned uWSGI worker 2/ } 20
    or die slurp("$dir/logs/uwsgi");

# Name => protocol, backend.
my %way = (
    gunicorn => ['http', 'spawn:gunicorn'],
    cgi => ['cgi', 'spawn:script'],
    map { $_ => [$_, "127.0.0.1:$port{$_} max=8"] } qw(http fastcgi scgi uwsgi),
);
my $spawn_user = is_root() ? 'SpawnUser www-data' : '';
my $s = ProxyCore::Server->new(procd => 1, tls => 1, conf => <<"CONF" . join '', map { pool($_) } sort keys %way);
<Spawn gunicorn>
    SpawnCommand     /usr/bin/gunicorn --bind fd://0 --workers 1 --threads 4 --chdir $apps flask_app:application
    SpawnEnvironment PYTHONDONTWRITEBYTECODE=1
    SpawnEnvironment SCRIPT_NAME=/app
    SpawnProcesses   1
    SpawnConcurrency 4
    $spawn_user
</Spawn>
<Spawn script>
    SpawnSocketType  pipe
    SpawnCommand     /usr/bin/python3
    SpawnEnvironment PYTHONDONTWRITEBYTECODE=1
    SpawnScriptRoot  $apps
    SpawnProcesses   0 8
    $spawn_user
</Spawn>
<Location "/app">
    RequestHeader unset Way
    CGIPassAuth On
    Options +ExecCGI
</Location>
CONF

# A pool, and who goes there: requests that say so in their field Way.
sub pool {
    my ($name) = @_;
    my ($protocol, $backend) = @{ $way{$name} };
    # uWSGI's HTTP socket says HTTP/1.1 and closes after each answer
    $backend .= "\n    ProxyCoreKeepAlive off" if $name eq 'http';
    my $script = $protocol eq 'http' ? '' : $protocol eq 'cgi' ? "ProxyCoreScript /app file=$apps/flask_app.py\n" : "ProxyCoreScript /app\n";
    return "<ProxyCore $name>\n    ProxyCoreProtocol $protocol\n    ProxyCoreBackend $backend\n    ProxyCoreQueue 512 timeout=200s\n</ProxyCore>\n"
        . "<Location /app>\n<If \"%{HTTP:Way} == '$name'\">\n    ProxyCorePass $name\n    $script</If>\n</Location>\n";
}
$s->start;

my @fronts = fronts($s);
my $h1 = $fronts[0];
my @ways = sort keys %way;
# The answer of the first, after the others turned out to be the same.
sub same {
    my ($what, $front, $path, @options) = @_;
    my (%whole, %got);
    for my $way (@ways) {
        my $res = $whole{$way} = curl($front, "/app$path", '-H', "Way: $way", @options);
        delete @{ $res->{head} }{qw(date server expires content-length accept-ranges)};
        # the head of HEAD; how much of what was cut came through is chance
        $res->{body} = '' if "@options" =~ /-I/;
        $got{$way} = $res->{exit} ? { cut => 1 } : { map { $_ => $res->{$_} } qw(exit status version head body) };
    }
    is_deeply $got{$_}, $got{ $ways[0] }, "$what: $_ as $ways[0]" for @ways[1 .. $#ways];
    return $whole{ $ways[0] };
}

my $body = join '', map { chr(33 + $_ % 90) x 997 } 1 .. 4000;
spew("$dir/body", $body);
my $sum = length($body) . ' ' . sha1_hex($body);
for my $front (@fronts) {
    my $over = "over $front->{name}";
    my $told = same("what it is told $over", $front, '/where/a%20b/c?x=1%202', '-H', 'Cookie: c=d', '-H', 'X-Odd: e', '-H', 'Proxy: evil',
        '-H', 'X-Forwarded-For: 6.6.6.6', '-H', 'X-Forwarded-Prefix: /evil');
    $told = eval { decode_json($told->{body}) } || {};
    my $base = $front->{base};
    is_deeply $told, { rest => 'a b/c', args => { x => '1 2' }, root => '/app', path => '/where/a b/c', url => "$base/app/where/x",
        client => '127.0.0.1', secure => $base =~ /^https/ ? JSON::PP::true : JSON::PP::false, method => 'GET', cookies => { c => 'd' },
        odd => 'e', proxy => undef, host => '127.0.0.1' }, 'all of it';
    is same("an upload $over", $front, '/post', '-T', "$dir/body")->{body}, $sum, 'arrived';
    my $res = same("Expect $over", $front, '/post', '-H', 'Expect: 100-continue', '--expect100-timeout', 30, '-T', "$dir/body");
    is $res->{body}, $sum, 'Expect: arrived';
    cmp_ok $res->{time}, '<', 25, 'without the pause in which nobody answers';
    like same("a form $over", $front, '/form', '-F', "f=\@$dir/body", '-F', 'g=h')->{body}, qr/"body @{[sha1_hex($body)]}"/, 'a form';
    is same("HEAD $over", $front, '/fields', '-I')->{exit}, 0, 'HEAD';
    isnt same("broken $over", $front, '/broken')->{exit}, 0, 'an answer that breaks off is cut';
}
my $res = same('fields', $h1, '/fields?status=202');
is_deeply [$res->{status}, $res->{head}{'set-cookie'}], [202, ['a=1; Path=/', 'b=2; HttpOnly; Path=/']], 'status and cookies';
is same('redirect', $h1, '/go')->{head}{location}[0], '/app/count', 'a redirect to itself';
is same('failure', $h1, '/fail')->{status}, 500, 'an exception';
is same('nothing there', $h1, '/none')->{status}, 404, 'no such page';
is same('an upload that nobody reads', $h1, '/unread', '--data-binary', "\@$dir/body")->{status}, 413, 'is refused';
my $file = slurp("$apps/flask_app.py");
is same('a file', $_, '/file')->{body}, $file, 'whole' for @fronts;
$res = same('a range', $h1, '/file', '-r', '100-199');
is "$res->{status} $res->{head}{'content-range'}[0]", '206 bytes 100-199/' . length $file, 'a range';
is $res->{body}, substr($file, 100, 100), 'of a hundred bytes';
is same('a condition', $h1, '/file', '-H', 'If-None-Match: "abc"')->{status}, 304, 'not modified';
for my $way (@ways) {
    my $jar = "$dir/jar.$way";
    is join(' ', map { curl($h1, '/app/count', '-H', "Way: $way", '-c', $jar, '-b', $jar)->{body} } 1 .. 3), '1 2 3', "$way: a session";
    my $c = $s->connect;
    my $seen = "$dir/seen.$way";
    $c->send("GET /app/stream?seen=$seen HTTP/1.1\r\nHost: a\r\nWay: $way\r\nConnection: close\r\n\r\n");
    ok $c->read_until(qr/line 1\n/, 5), "$way: lines come as they are made";
    spew($seen, '');
    ok $c->read_until(qr/line 5\n/), 'to the last';
    my @c = map { my $c = $s->connect; $c->send("GET /app/where/x HTTP/1.1\r\nHost: a\r\nWay: $way\r\n\r\n"); $c } 1 .. 20;
    is scalar(grep { ($_->read_response->{status} || 0) == 200 } @c), 20, "$way: twenty at once";
}
$s->stop;
stop_child($uwsgi);
done_testing;
