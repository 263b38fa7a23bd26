#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# One PHP application by php-fpm, by php-cgi that mod_procd spawns and by php-cgi that somebody else has started, and as CGI:
# what the client gets is the same.
# G11 G29 G30 G37 D3
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Digest::SHA qw(sha1_hex);
use JSON::PP qw(decode_json);

use ProxyCore::Programs qw(need program curl fronts);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until start_child stop_child spew slurp is_root top_dir user_ids);

need('php-fpm' => '/usr/sbin/php-fpm*', 'php-cgi' => '/usr/bin/php-cgi', curl => 'curl');

my $dir = work_dir();
my $user = is_root() ? "user = www-data\ngroup = www-data\nlisten.owner = www-data" : '';
mkdir "$dir/sessions";
chmod 0777, "$dir/sessions";
my @ini = ("session.save_path=$dir/sessions", qw(upload_max_filesize=64M post_max_size=64M log_errors=On display_errors=Off));
spew("$dir/fpm.conf", "[global]\nerror_log = $dir/logs/fpm.log\ndaemonize = no\n[www]\n$user\nlisten = $dir/run/fpm.sock\n"
    . "pm = static\npm.max_children = 4\n");
my $fpm = start_child({ out => "$dir/logs/fpm.out" }, program('/usr/sbin/php-fpm*'), '-n', '-y', "$dir/fpm.conf", map { ('-d', $_) } @ini);
my $php = start_child({ out => "$dir/logs/php-cgi.out" }, qw(env -i PHP_FCGI_CHILDREN=4 /usr/bin/php-cgi), '-n', '-b', "$dir/run/php.sock",
    map { ('-d', $_) } @ini);
poll_until { -S "$dir/run/fpm.sock" && -S "$dir/run/php.sock" } or die slurp("$dir/logs/fpm.out");
chmod 0777, "$dir/run/php.sock";

# Which way a request goes says its field Way, which is taken off: nothing else differs.
my @ways = qw(fpm spawned outside cgi);
my $spawn_user = is_root() ? 'SpawnUser www-data' : '';
my $s = ProxyCore::Server->new(procd => 1, tls => 1, modules => ['rewrite'], conf => <<"CONF");
<Spawn spawned>
    SpawnCommand /usr/bin/php-cgi -n @{[map { "-d $_" } @ini]}
    SpawnProcesses 0 4
    $spawn_user
</Spawn>
<Spawn cgi>
    SpawnSocketType pipe
    SpawnCommand /usr/bin/php-cgi -n @{[map { "-d $_" } @ini]}
    SpawnProcesses 0 4
    $spawn_user
</Spawn>
<ProxyCore cgi>
    ProxyCoreProtocol cgi
    ProxyCoreBackend spawn:cgi
    ProxyCoreQueue 512 timeout=200s
</ProxyCore>
<ProxyCore fpm>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$dir/run/fpm.sock max=4
    ProxyCoreQueue 512 timeout=200s
</ProxyCore>
<ProxyCore outside>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$dir/run/php.sock max=4
    ProxyCoreQueue 512 timeout=200s
</ProxyCore>
<ProxyCore spawned>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:spawned
    ProxyCoreQueue 512 timeout=200s
</ProxyCore>
<Directory "$dir/server/htdocs">
    Options +ExecCGI
</Directory>
<FilesMatch "\\.php\$">
    CGIPassAuth On
    RequestHeader unset Way
@{[map { "    <If \"%{HTTP:Way} == '$_'\">\n        SetHandler proxy-core:$_\n    </If>\n" } @ways]}
</FilesMatch>
CONF
spew($s->docroot . '/app.php', slurp("$FindBin::Bin/apps/app.php"));
mkdir $s->docroot . "/$_" for qw(pretty gone);
spew($s->docroot . '/pretty/index.php', slurp("$FindBin::Bin/apps/app.php"));
spew($s->docroot . '/pretty/.htaccess', "RewriteEngine on\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)\$ index.php/\$1 [L]\n");
spew($s->docroot . '/gone/.htaccess', "ErrorDocument 404 /pretty/index.php/err?do=vars\n");
$s->start;

my @fronts = fronts($s);
my $h1 = $fronts[0];
# The answer by php-fpm, after the others turned out to be the same: status, body and every field but the time.
sub same {
    my ($what, $front, $query, @options) = @_;
    my $opt = ref $options[0] ? shift @options : {};
    my (%whole, %got);
    for my $way (@ways) {
        my $res = $whole{$way} = curl($front, "/app.php$query", $opt, '-H', "Way: $way", @options);
        delete $res->{head}{date};
        # the head of HEAD; how much of what was cut came through is chance
        $res->{body} = '' if "@options" =~ /-I/;
        $got{$way} = $res->{exit} ? { cut => 1 } : { map { $_ => $res->{$_} } qw(exit status version body) };
        # httpd says a length itself where the answer is all there at once
        $got{$way}{head} = { %{ $res->{head} } } if !$res->{exit};
        delete @{ $got{$way}{head} }{qw(content-length transfer-encoding)};
    }
    is_deeply $got{$_}, $got{fpm}, "$what: $_ as fpm" for @ways[1 .. $#ways];
    return $whole{fpm};
}

# ------------------------------------------------------------------ what the application is told

for my $front (@fronts) {
    my $res = same("variables over $front->{name}", $front, '/some/info?do=vars&x=1%202&y[]=3', '-H', 'Cookie: c=d', '-H', 'X-Odd: e',
        '-H', 'Proxy: evil');
    my $told = eval { decode_json($res->{body}) } || {};
    my $v = $told->{server};
    is_deeply [@$told{qw(get cookie)}], [{ do => 'vars', x => '1 2', y => ['3'] }, { c => 'd' }], 'query and cookies';
    is "$v->{SCRIPT_NAME} $v->{PATH_INFO} $v->{SCRIPT_FILENAME}", "/app.php /some/info $dir/server/htdocs/app.php", 'script and PATH_INFO';
    is "$v->{PHP_SELF} $v->{REQUEST_URI}", '/app.php/some/info /app.php/some/info?do=vars&x=1%202&y[]=3', 'PHP_SELF, REQUEST_URI';
    is $v->{HTTPS} // 'off', $front->{base} =~ /^https/ ? 'on' : 'off', 'HTTPS';
    is join(' ', grep { /^HTTP_(?:PROXY|TRANSFER|CONNECTION|EXPECT)/ } keys %$v), '', 'nothing of the connection, no HTTP_PROXY';
}

# A front controller, by a rewrite rule of .htaccess and as an error page. REDIRECT_URL and PATH_TRANSLATED together make PHP
# look for the script elsewhere: "No input file specified".
for my $case (['/pretty/some/thing', '/some/thing', 200], ['/gone/x', '/err', 404]) {
    my ($path, $info, $status) = @$case;
    for my $way (@ways) {
        my $res = curl($h1, "$path?do=vars", '-H', "Way: $way");
        my $v = (eval { decode_json($res->{body}) } || {})->{server} || {};
        is "$res->{status} $v->{SCRIPT_NAME} $v->{REQUEST_URI}", "$status /pretty/index.php $path?do=vars", "$way: $path leads to the script";
        is $v->{PATH_INFO} // $v->{ORIG_PATH_INFO}, $info, "$way: with its PATH_INFO";
        is $v->{REDIRECT_URL}, $path, "$way: and the path that is missing" if $status == 404;
    }
}

# ------------------------------------------------------------------ bodies

my $body = join '', map { chr(33 + $_ % 90) x 997 } 1 .. 8000;
spew("$dir/body", $body);
my $sum = length($body) . ' ' . sha1_hex($body);
for my $front (@fronts) {
    my $res = same("8 MB over $front->{name}", $front, '?do=post', '-H', 'Content-Type: a/b', '--data-binary', "\@$dir/body");
    is $res->{body}, "$sum " . length($body) . ' none', 'arrived whole';
    $res = same("of unknown length over $front->{name}", $front, '?do=post', { in => "$dir/body" }, '-T', '-', '-X', 'POST');
    is $res->{body}, "$sum " . length($body) . ' none', 'arrived with its length';
    $res = same("form over $front->{name}", $front, '?do=form', '-F', "one=\@$dir/body;type=a/b", '-F', 'two=some text', '-F', 'three=<' . __FILE__);
    like $res->{body}, qr{^one: body a/b $sum$}m, 'a file in a form';
    like $res->{body}, qr{^two=some text$}m, 'a field beside it';
}
my $res = same('Expect', $h1, '?do=post', '-H', 'Expect: 100-continue', '--expect100-timeout', 30, '-H', 'Content-Type: a/b', '--data-binary', "\@$dir/body");
like join('', @{ $res->{interim} }), qr/ 100 /, 'the client was asked to go on';
cmp_ok $res->{time}, '<', 25, 'and asked at once';
$res = same('too large for PHP', $h1, '?do=form', '-F', "one=\@$dir/body", map { ('-F', "more$_=\@$dir/body") } 1 .. 8);
is $res->{status}, 200, 'a form larger than post_max_size is answered';
unlike $res->{body}, qr/one/, 'and not taken';

# ------------------------------------------------------------------ answers

$res = same('fields', $h1, '?do=head');
is_deeply $res->{head}{'set-cookie'}, ['a=1', 'b=2; HttpOnly'], 'each cookie by itself';
is $res->{body}, 'a body of 20 letters', 'body';
$res = same("status $_", $h1, "?do=head&status=$_") and is $res->{status}, $_, "status $_" for 201, 404, 410, 503;
$res = same("HEAD over $_->{name}", $_, '?do=head', '-I') and is "$res->{status} $res->{exit}", '200 0', 'HEAD' for @fronts;
is +(same('redirect', $h1, '?do=redirect'))->{head}{location}[0], '/elsewhere?a=b', 'a redirect for the client';
is +(same('ETag', $h1, '?do=etag', '-H', 'If-None-Match: "one"'))->{status}, 304, 'not modified, as PHP decides';
is +(same('a size', $_, '?do=size&n=3000000'))->{head}{'content-length'}[0], 3_000_000, 'its length is kept' for @fronts;
is +(same('no authorization', $h1, '?do=auth'))->{head}{'www-authenticate'}[0], 'Basic realm="php"', 'PHP asks for a password';
is +(same('authorization', $h1, '?do=auth', '-u', 'u:p'))->{body}, 'come in', 'and sees it';
is +(same('a fatal error', $h1, '?do=fatal'))->{status}, 500, 'a fatal error';
for my $front (@fronts) {
    isnt same("too short over $front->{name}", $front, '?do=short')->{exit}, 0, 'an answer shorter than it said is cut';
}
for my $way (@ways) {
    my $jar = "$dir/jar.$way";
    is join(' ', map { curl($h1, '/app.php?do=session', '-H', "Way: $way", '-c', $jar, '-b', $jar)->{body} } 1 .. 3), '1 2 3', "$way: a session";
    my $mark = $s->mark;
    curl($h1, "/app.php?do=log&word=$way", '-H', "Way: $way");
    ok $s->wait_log(qr/php says $way/, 5, $mark), "$way: what it logs is in the error log";
}

# ------------------------------------------------------------------ time

for my $way (@ways) {
    my $c = $s->connect;
    my $seen = "$dir/sessions/seen.$way";
    $c->send("GET /app.php?do=stream&seen=$seen HTTP/1.1\r\nHost: a\r\nWay: $way\r\nConnection: close\r\n\r\n");
    ok $c->read_until(qr/line 1\n/, 5), "$way: lines come as they are flushed";
    spew($seen, '');
    ok $c->read_until(qr/line 5\n/), 'to the last';
    $c->close;
}
# A client that leaves: PHP goes on to the end where it asked to, and ends early where it did not. (As CGI it is ended.)
for my $way (grep { $_ ne 'cgi' } @ways) {
    for my $ignore (0, 1) {
        my $file = "$dir/sessions/$way.$ignore";
        my $c = $s->connect;
        $c->send("GET /app.php?do=abort&ignore=$ignore&file=$file HTTP/1.1\r\nHost: a\r\nWay: $way\r\n\r\n");
        $c->read_until(qr/xxx/);
        $c->close;
        my $said = poll_until { slurp($file) } 8;
        is $said, ($ignore ? 'whole 1' : 'left 1'), "$way: ignore_user_abort " . ($ignore ? 'on' : 'off');
    }
}
# fastcgi_finish_request: the client has its answer, the script goes on.
is curl($h1, "/app.php?do=finish&file=$dir/sessions/finished&seen=$dir/sessions/seen.finish", '-H', 'Way: fpm')->{body}, 'answered', 'fastcgi_finish_request: answered';
ok !-e "$dir/sessions/finished", 'before the script ends';
spew("$dir/sessions/seen.finish", '');
ok poll_until(sub { slurp("$dir/sessions/finished") }, 5), 'which does its work';

$s->stop;
stop_child($_) for $fpm, $php;
done_testing;
