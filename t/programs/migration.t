#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# docs/migration.md: each "Before:" there runs in an httpd with the old modules and without ours, each "After:" in one with
# ours and without theirs, in a virtual host of its own. The same requests get the same answers, and applications are told
# the same, but for what the page says: a table "what differs" names variables of the application and fields of the answer
# in its first column. A row that is never needed is as wrong as a difference without one.
# F26 F27 D27
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Programs qw(need);
use ProxyCore::Server;
use ProxyCore::TLS;
use ProxyCore::Util qw(work_dir top_dir poll_until start_child stop_child spew slurp is_root user_ids free_port listens backend_program);

need(gunicorn => 'gunicorn', 'uwsgi-core' => 'uwsgi', 'uwsgi-plugin-python3' => '/usr/lib/uwsgi/plugins/python3*_plugin.so', 'php-cgi' => '/usr/bin/php-cgi',
    'libapache2-mod-xsendfile' => '/usr/lib/apache2/modules/mod_xsendfile.so',
    'libapache2-mod-fcgid' => '/usr/lib/apache2/modules/mod_fcgid.so');

# ------------------------------------------------------------------ what is asked, by the pair's heading

my $dir = work_dir();
my %port = map { $_ => free_port() } qw(http http2 nobody fastcgi scgi uwsgi websocket gate tls);
my $long = 'x' x 70_000;
# [method, path, fields, body, both statuses where the page says that they differ]
sub usual {
    my ($path) = @_;
    return (['GET', "$path?a=b%20c&d", ['X-Odd', 'e', 'Cookie', 'f=g', 'X-Forwarded-For', '6.6.6.6', 'X-Forwarded-Host', 'evil']],
        ['GET', $path, ['Authorization', 'Basic dTpw', 'Proxy', 'evil']], ['HEAD', $path], ['DELETE', $path],
        ['POST', $path, ['Content-Type', 'a/b'], $long], ['GET', "$path?status=404&body=gone"], ['GET', "$path?status=503&body=oh"],
        ['GET', "$path?header=Set-Cookie:a=1&header=Set-Cookie:b=2&header=X-Some:thing&header=Cache-Control:private"],
        ['GET', "$path?status=302&header=Location:http://elsewhere.example/x"]);
}
my @app = (usual('/app/some%20where/x'), ['GET', '/app'], ['GET', '/else']);
my @php = (usual('/a/t.php'), ['GET', '/a/t.php/path/info%20x?y'], ['GET', '/a/missing.php', [], undef, '200 404'], ['GET', '/a/'],
    ['GET', '/a/plain.txt']);
my %asked = (
    'From mod_proxy_fcgi' => \@php,
    'FastCGI: scripts of another machine' => [usual('/shop/b/s.php'), ['GET', '/shop/x.txt']],
    'FastCGI: variables, a bound, kept connections' => \@php,
    'From mod_proxy_http' => [@app, map { ['GET', "/app/x?status=302&header=Location:$_"] } "http://127.0.0.1:$port{http}/y/z?b=c", '/y', '/app/y', 'y'],
    'HTTP: a backend behind TLS' => \@app,
    'HTTP: error pages, cookies' => [@app, ['GET', '/app/x?status=500&body=mine'],
        map { ['GET', "/app/x?header=Set-Cookie:$_"] } 'a=b;Path=/;Domain=app.internal', 'a=b;Path=/;HttpOnly', 'a=b;Domain=other.example'],
    'HTTP: the whole site, but for a path' => [usual('/x/some%20where'), ['GET', '/'], ['GET', '/static/plain.txt'], ['GET', '/static/none']],
    'HTTP: bounds and times' => \@app,
    "HTTP: fields of one's own" => [@app, ['GET', '/app/x', ['X-Forwarded-Port', '666', 'X-Tenant', 'red']]],
    'HTTP: by a rewrite rule' => [['GET', '/app/x?a=b'], ['POST', '/app/x?a=', ['Content-Type', 'a/b'], $long], ['GET', '/app/x'], ['GET', '/else?a=']],
    'mod_proxy_balancer: several backends' => \@app,
    'From mod_proxy_scgi and mod_proxy_uwsgi' => [usual('/RPC2'), usual('/wiki/some%20where/x'), ['GET', '/wiki']],
    'From mod_fcgid' => [usual('/a/t.php'), ['GET', '/a/t.php/path/info?x'], ['GET', '/a/missing.php'], ['GET', '/a/plain.txt']],
    "From mod_authnz_fcgi and mod_fcgid's authorizers" => [['GET', '/members/plain.txt?noread', ['Authorization', 'Basic c29tZW9uZTpzZWNyZXQ=']],
        ['GET', '/members/plain.txt?noread&status=401', ['Authorization', 'Basic dTpw'], undef, '401 401']],
    'From mod_cgid, mod_cgi and suEXEC' => [usual('/cgi-bin/echo.cgi'), ['GET', '/cgi-bin/echo.cgi/path/info%20x?y'], ['GET', '/cgi-bin/missing.cgi'],
        ['GET', '/cgi-bin/', [], undef, '403 404']],
    'From mod_xsendfile, and from nginx and lighttpd' => [
        map({ ['GET', "/app/x?body=none&header=X-Sendfile:$dir/files/report.txt", $_] } [], [Range => 'bytes=2-5']),
        ['HEAD', "/app/x?body=none&header=X-Sendfile:$dir/files/report.txt"], ['GET', "/app/x?body=none&header=X-Sendfile:$dir/files/missing.txt"],
        ['GET', "/app/x?body=none&header=X-Sendfile:$dir/apps/echo.py", [], undef, '404 403'],
        ['GET', "/app/x?body=none&header=X-Sendfile:$dir/files/report.txt&header=Content-Disposition:attachment&header=Set-Cookie:a=b"]],
    'From mod_proxy_wstunnel' => [['WEBSOCKET', '/chat/room'], ['WEBSOCKET', '/chat/']],
    'mod_fcgid: an application, not files' => [usual('/hello'), ['GET', '/hello/path/info?x'], ['GET', '/else']],
);
# What two servers can never have in common, and what each run makes anew.
my $noise = qr/^(?:REMOTE_PORT|UNIQUE_ID|REQUEST_TIME(?:_FLOAT)?|app\.(?:pid|served)|env\..*|PATH|SERVER_SOFTWARE|Date|Server|Content-Length|Connection|Keep-Alive
    |Transfer-Encoding|Accept-Ranges|Upgrade|Last-Modified|Etag)$/x;

# ------------------------------------------------------------------ the page

# [{ title, part, before, after }], and { part => { name => 1 } } of what differs.
sub read_page {
    my ($file) = @_;
    my (@pairs, %differs, $pair);
    my ($part, $title, $side, $table) = ('', '', '', 0);
    for my $line (split /\n/, slurp($file)) {
        if ($line =~ /^(#+) +(.*)/) { $part = $2 if $1 eq '##'; ($title, $side) = ($2, '') }
        elsif ($line =~ /^(Before|After):$/) {
            $side = lc $1;
            push @pairs, $pair = { title => $title, part => $part, before => '', after => '' } if $side eq 'before';
        }
        elsif ($side && $line =~ /^(?:    (.*)|)$/) { $pair->{$side} .= ($1 // '') . "\n" }
        else {
            $side = '';
            $table = $line =~ /^\| what differs \|/ ? 1 : $line =~ /^\|/ ? $table : 0;
            $differs{$part}{$_} = 0 for $table && $line =~ /^\|([^|]*)\|/ ? $1 =~ /`([^`]+)`/g : ();
        }
    }
    return (\@pairs, \%differs);
}
my ($pairs, $differs) = read_page(top_dir() . '/docs/migration.md');
is_deeply [grep { !$asked{$_} } map { $_->{title} } @$pairs], [], 'there are requests for each pair of the page';
is_deeply [grep { my $t = $_; !grep { $_->{title} eq $t } @$pairs } sort keys %asked], [], 'and a pair for each list of requests';

# ------------------------------------------------------------------ applications and files

start_child(backend_program('fcgi_echo'), '-l', $_, '-t', 24) for ":$port{fastcgi}", "$dir/run/php-fpm.sock";
# it lets everybody in, or does what the query says
start_child(backend_program('fcgi_echo'), '-l', ":$port{gate}");
start_child('/usr/bin/python3', top_dir() . '/build/demo/ws.py', $port{websocket});
my $www = "$dir/www";
spew("$dir/apps/echo.py", slurp("$FindBin::Bin/apps/echo.py"));
spew("$www/a/t.php", '<?php $q = []; foreach (explode("&", $_SERVER["QUERY_STRING"]) as $w) { [$n, $v] = array_map("urldecode", explode("=", $w . "=", 2)); '
    . '$v = substr($v, 0, -1); if ($n == "status") http_response_code((int)$v); if ($n == "header") header($v, false); if ($n == "body") { echo $v; exit; } } '
    . 'header("Content-Type: text/plain"); echo "body=", strlen(file_get_contents("php://input")), "\n"; '
    . 'foreach ($_SERVER as $n => $v) if (is_string($v)) echo "$n=$v\n";');
spew("$www/a/index.php", '<?php echo "index";');
spew("$www/a/plain.txt", 'plain');
spew("$www/$_/plain.txt", 'plain') for qw(static members);
spew("$dir/files/report.txt", 'a report');
spew("$dir/reports/echo.cgi", slurp("$FindBin::Bin/apps/echo.cgi"), 0755);
chown user_ids(), "$dir/reports", "$dir/reports/echo.cgi";
spew("$dir/app/hello.fcgi", slurp(backend_program('fcgi_echo')), 0755);
my $uwsgi = start_child({ cwd => "$dir/apps", out => "$dir/logs/uwsgi", env => { PYTHONDONTWRITEBYTECODE => 1 } },
    qw(uwsgi --plugin python3 --master --need-app --die-on-term --processes 1 --threads 24 --wsgi-file echo.py --chmod-socket=666),
    '--scgi-socket', "127.0.0.1:$port{scgi}", '--uwsgi-socket', "127.0.0.1:$port{uwsgi}");
my $gunicorn = start_child({ cwd => "$dir/apps", out => "$dir/logs/gunicorn", env => { PYTHONDONTWRITEBYTECODE => 1 } },
    qw(gunicorn --threads 8 --keep-alive 30), map({ ('--bind', "127.0.0.1:$port{$_}") } qw(http http2)), 'echo:application');
my $ca = ProxyCore::TLS->ca('A CA');
my $pem = $ca->cert('localhost');
my $behind_tls = start_child({ cwd => "$dir/apps", out => "$dir/logs/gunicorn", env => { PYTHONDONTWRITEBYTECODE => 1 } },
    qw(gunicorn --threads 4 --keep-alive 30 --certfile), $pem, '--keyfile', $pem, '--bind', "127.0.0.1:$port{tls}", 'echo:application');
poll_until { -S "$dir/run/php-fpm.sock" };
poll_until { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $_) || return 0 for @port{qw(fastcgi gate)}; 1 };
chmod 0777, "$dir/run/php-fpm.sock";
poll_until { listens($port{$_}) || return 0 for qw(http http2 scgi uwsgi websocket tls); slurp("$dir/logs/uwsgi") =~ /spawned uWSGI worker 1/ } 20
    or die slurp("$dir/logs/uwsgi");

# What stands on the page, and what it is here.
my @here = (['127.0.0.1:3000', "127.0.0.1:$port{http}"], ['127.0.0.1:3001', "127.0.0.1:$port{http2}"], ['127.0.0.1:3009', "127.0.0.1:$port{nobody}"],
    ['127.0.0.1:9000', "127.0.0.1:$port{fastcgi}"], ['/run/php/php-fpm.sock', "$dir/run/php-fpm.sock"],
    map({ [$_ . ':10102', "127.0.0.1:$port{gate}"], [$_ . ':4000', "127.0.0.1:$port{scgi}"], [$_ . ':3031', "127.0.0.1:$port{uwsgi}"] } qw(localhost 127.0.0.1)), ['/srv/app', "$dir/app"],
    ['localhost:8443', "localhost:$port{tls}"], ['/etc/ssl/our-ca.pem', $ca->file], ['/srv/www', $www], map { ["/srv/$_", "$dir/$_"] } qw(reports files));
my $spawn_user = is_root() ? "\nSpawnUser www-data" : '';
sub localized {
    my ($text) = @_;
    $text =~ s/127\.0\.0\.1:3000/127.0.0.1:$port{websocket}/g if $text =~ /websocket/;
    $text =~ s/\Q$_->[0]\E(?!\d)/$_->[1]/g for @here;
    $text =~ s/^\s*SpawnUser .*\n//mg;
    $text =~ s/^(\s*<Spawn .*)$/$1$spawn_user/mg;
    return $text;
}

# ------------------------------------------------------------------ the two servers

# Where a directive may stand in the main server only, it does; otherwise each pair has a virtual host.
my $global = qr/^(AuthnzFcgiDefineProvider .*\n)/m;
my $n = 0;
$_->{host} = 'pair' . ++$n . '.test' for @$pairs;
sub conf {
    my ($side) = @_;
    return join '', "<Directory $dir>\n    Require all granted\n    Options FollowSymLinks\n</Directory>\nDirectoryIndex index.php\n",
        (map { localized($_->{$side}) =~ /$global/g } @$pairs), map { "# $_->{title}\n<VirtualHost *>\n    ServerName $_->{host}\n    DocumentRoot $www\n" . localized($_->{$side}) =~ s/$global//r . "</VirtualHost>\n" } @$pairs;
}
my %server = (
    before => ProxyCore::Server->new(name => 'before', core => 0, modules => [qw(proxy proxy_http proxy_fcgi proxy_scgi proxy_uwsgi proxy_wstunnel
        proxy_balancer lbmethod_byrequests slotmem_shm rewrite cgid fcgid auth_basic authnz_fcgi xsendfile ssl socache_shmcb)], conf => ''),
    after => ProxyCore::Server->new(name => 'after', procd => 1, modules => [qw(rewrite ssl socache_shmcb)], conf => conf('after')),
);
$server{before}{conf} = "ScriptSock $dir/before/run/cgisock\nFcgidIPCDir $dir/before/run\nFcgidProcessTableFile $dir/before/run/fcgid_shm\n" . conf('before');
chmod 0777, "$dir/before/run";
for my $side (qw(before after)) {
    my ($said, $status) = $server{$side}->config_test;
    is $status, 0, "$side: accepted" or BAIL_OUT($said);
    $server{$side}->start;
}

# ------------------------------------------------------------------ the same requests

# Opens a WebSocket and says something.
sub websocket {
    my ($side, $pair, $path) = @_;
    my $c = $server{$side}->connect;
    $c->send("GET $path HTTP/1.1\r\nHost: $pair->{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    my $head = ProxyCore::Head->parse($c->read_until(qr/\r\n\r\n/) // '');
    my ($status) = $head->{line} =~ / (\d+)/;
    $c->send("\x81\x85\0\0\0\0hello") if $status == 101;
    my %got = (status => $status, 'the body' => $status == 101 ? $c->read_bytes(7, 5) : '', accept => $head->h('Sec-WebSocket-Accept') // '');
    $c->close;
    return \%got;
}

# { status, and name => value of each field and of all that the application was told }
sub ask {
    my ($side, $pair, $request) = @_;
    my ($method, $path, $fields, $body) = @$request;
    return websocket($side, $pair, $path) if $method eq 'WEBSOCKET';
    my $res = $server{$side}->request($method, $path, host => $pair->{host}, fields => $fields || [], body => $body);
    my %got = (status => $res->{status});
    if ($res->{head}) {
        push @{ $got{ join "-", map { ucfirst lc } split /-/, $_->[0] } }, $_->[1] for @{ $res->{head}{fields} };
    }
    # what an application says is told apart from any other body
    my $text = $res->{body} // '';
    if ($text =~ /^(?:body|app\.pid)=/) {
        $got{$1} = $2 while $text =~ /^([\w.]+)=(.*)$/mg;
    }
    else { $got{'the body'} = $text }
    delete @got{grep { /$noise/ } keys %got};
    for my $value (map { ref $_ ? @$_ : $_ } values %got) { $value = '' if !defined $value }
    return \%got;
}

for my $pair (@$pairs) {
    my @allowed = grep { $_ } map { $differs->{$_} } 'From any of them', $pair->{part};
    for my $request (@{ $asked{ $pair->{title} } || [] }) {
        my ($old, $new) = map { ask($_, $pair, $request) } qw(before after);
        if ($request->[4]) {
            is "$old->{status} $new->{status}", $request->[4], "$pair->{title}: $request->[0] $request->[1]";
            next;
        }
        my %seen = (%$old, %$new);
        my @wrong;
        for my $name (sort keys %seen) {
            my ($was, $is) = map { my $v = $_->{$name}; ref $v ? join ' AND ', @$v : $v // '(none)' } $old, $new;
            s/\Q$dir\E/DIR/g for $was, $is;
            next if $was eq $is;
            my ($row) = grep { exists $_->{$name} } @allowed;
            $row ? $row->{$name}++ : push @wrong, "$name: before: " . substr($was, 0, 900) . "; after: " . substr($is, 0, 900);
        }
        is "@wrong", '', "$pair->{title}: $request->[0] $request->[1]: $new->{status}" or diag join "\n", @wrong;
    }
}
for my $part (sort keys %$differs) {
    is_deeply [grep { !$differs->{$part}{$_} } sort keys %{ $differs->{$part} }], [], "$part: whatever the page says to differ does";
}
$server{$_}->stop for qw(after before);
stop_child($_) for $uwsgi, $gunicorn, $behind_tls;
done_testing;
