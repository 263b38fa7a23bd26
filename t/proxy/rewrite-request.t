#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# ProxyCoreRewriteRequest: what the backend gets, for HTTP and for CGI variables; from sections, hosts, pools, .htaccess.
# F15 F16 F17 F29 G33 G36
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Backend;
use ProxyCore::Client;
use ProxyCore::FCGI qw(read_fcgi fcgi_answer);
use ProxyCore::Gateway qw(read_scgi read_uwsgi);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until backend_program start_child free_port spew);

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port, '-i', 'http');
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4, '-i', 'app');
poll_until { -S $sock };
chmod 0777, $sock;

my $gate = ProxyCore::Backend->new;
my $s = ProxyCore::Server->new(modules => [qw(rewrite include)]);
my $root = $s->docroot;
# One <Location> for each protocol: /http/NAME/ and /app/NAME/ with the same rules.
my %rules = (
    uri => <<'C',
    ProxyCoreRewriteRequest _uri "^/proxyme(/.*)$" "$1"
    ProxyCoreRewriteRequest _uri "^/twice/" "/once/"
    ProxyCoreRewriteRequest _uri "^/once/(.*)" "/end/$1"
    ProxyCoreRewriteRequest _uri "^/query/([^?]*)\?id=([0-9]+)$" "/item/$2/$1?from=query"
    ProxyCoreRewriteRequest _uri "^/tail$" ""
    ProxyCoreRewriteRequest _uri "^/noslash/" ""
    ProxyCoreRewriteRequest _uri "^/glue/(.*)-(.*)$" "/$1$2"
    ProxyCoreRewriteRequest _uri "^/agent$" "/%{HTTP_USER_AGENT}"
    ProxyCoreRewriteRequest _uri "^/dollar$" "/a\\$1%{REQUEST_METHOD}$$"
C
    field => <<'C',
    ProxyCoreRewriteRequest Host "^localhost" "inner.example"
    ProxyCoreRewriteRequest Host "$" ":80"
    ProxyCoreRewriteRequest Host ":80$" ""
    ProxyCoreRewriteRequest Host "^$" "never.example"
    ProxyCoreRewriteRequest X-Any "^.*$" "any"
    ProxyCoreRewriteRequest X-Edit "old" "new"
    ProxyCoreRewriteRequest X-Edit "new (.*)" "$1 $0"
    ProxyCoreRewriteRequest X-Set "^$" "set by %{REQUEST_METHOD} for %{REMOTE_ADDR}"
    ProxyCoreRewriteRequest X-Gone "^remove.*" ""
    ProxyCoreRewriteRequest X-Chain "^$" "one"
    ProxyCoreRewriteRequest X-Chain "^one$" "two"
    ProxyCoreRewriteRequest X-From "^$" "%{HTTP:X-Copy}"
    ProxyCoreRewriteRequest X-Forwarded-For ".*" "10.9.8.7"
    ProxyCoreRewriteRequest Content-Type "^text/plain" "text/html"
C
);
my $conf = '';
# The other protocols that take CGI variables.
my %gateway = map { $_ => ProxyCore::Backend->new } qw(scgi uwsgi);
for my $kind (sort keys %gateway) {
    $conf .= "<Location /$kind/>\n    ProxyCorePass $kind://@{[$gateway{$kind}->address]} strip=/$kind\n"
        . "    ProxyCoreRewriteRequest _uri \"^/proxyme\" \"\"\n    ProxyCoreRewriteRequest _docroot \"^.*\" \"/srv/$kind\"\n"
        . "    ProxyCoreRewriteRequest X-Set \"^\$\" \"set\"\n    ProxyCoreScript .py\n</Location>\n";
}
for my $kind (qw(http app)) {
    for my $name (sort keys %rules) {
        $conf .= "<Location /$kind/$name/>\n    ProxyCorePass $kind strip=/$kind/$name\n$rules{$name}</Location>\n";
    }
}
$s->{conf} = <<"CONF" . $conf;
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
</ProxyCore>
<ProxyCore app>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock
</ProxyCore>
<ProxyCore gate>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend @{[$gate->address]}
    ProxyCoreMode authorizer
    ProxyCoreRewriteRequest X-Gate "^\$" "own"
</ProxyCore>
<Location /guarded/>
    ProxyCorePass gate
</Location>
<Location /guarded/app/>
    ProxyCorePass http
    ProxyCoreErrorOverride on
    ProxyCoreRewriteRequest _uri "^/guarded/" "/other/"
    ProxyCoreRewriteRequest X-Section "^\$" "section"
    ProxyCoreRewriteResponse X-Said "^\$" "section"
</Location>
<ProxyCore ruled>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port
    ProxyCoreRewriteRequest X-Pool "^\$" "pool"
    ProxyCoreRewriteRequest X-Order "^\$" "pool"
</ProxyCore>
<Location /ruled/>
    ProxyCorePass ruled
    ProxyCoreRewriteRequest X-Order "\$" ",section"
</Location>
<Location /ruled/inner/>
    ProxyCoreRewriteRequest X-Order "\$" ",inner"
</Location>
<Location /ruled/inner/off/>
    ProxyCoreRewriteRequest off
    ProxyCoreRewriteRequest X-Order "^\$" "alone"
</Location>
<Location /host/>
    ProxyCorePass http
    ProxyCoreRewriteRequest Host ".*" ""
</Location>
<Location /badhost/>
    ProxyCorePass http
    ProxyCoreRewriteRequest Host ".*" "a b"
</Location>
<Location /ctl/>
    ProxyCorePass http
    ProxyCoreRewriteRequest X-A "^\$" "a\\r\\nX-Injected: 1"
</Location>
<If "%{QUERY_STRING} == 'if'">
    ProxyCoreRewriteRequest X-If "^\$" "if"
</If>
<Location /limit/>
    ProxyCorePass http
    ProxyCoreRewriteRequest X-A "(*LIMIT_MATCH=100)^(a+)+\$" "b"
</Location>
<Location /long/>
    ProxyCorePass http
    ProxyCoreRewriteRequest X-A "^(.*)\$" "\$1\$1\$1\$1\$1\$1\$1\$1"
</Location>
<Location /script/>
    ProxyCorePass app strip=/script
    ProxyCoreDocumentRoot /srv/app
    ProxyCoreRewriteRequest _scriptname "^/old/" "/new/"
    ProxyCoreRewriteRequest _pathinfo "^/v1" ""
    ProxyCoreRewriteRequest _pathinfo "^\$" "/index"
    ProxyCoreRewriteRequest _pathinfo "^/bad" "/../up"
    ProxyCoreRewriteRequest _docroot "^/srv/(.*)" "/jail/\$1"
</Location>
<Location /up/>
    ProxyCorePass app
    ProxyCoreRewriteRequest _docroot ".*" "/srv/%{HTTP_HOST}/x"
</Location>
# Prefix, docroot of a remote machine, nothing local, and a rule: index files are the remote's business (G36).
<Location /roadsend/>
    ProxyCorePass app check-local=off
    ProxyCoreDocumentRoot /remote/docs
    ProxyCoreRewriteRequest _uri "^/roadsend/\$" "/roadsend/index.php"
</Location>
<FilesMatch "\\.app\$">
    SetHandler proxy-core:app
</FilesMatch>
<Directory $root/file>
    ProxyCoreRewriteRequest _uri "^/file/(.*)" "/other/\$1"
    ProxyCoreRewriteRequest _docroot "^$root" "/chroot"
</Directory>
<VirtualHost *:@{[$s->port]}>
    ServerName localhost
    DocumentRoot $root
</VirtualHost>
# A server in a chroot, document roots by host, an application outside of it (G33).
<VirtualHost *:@{[$s->port]}>
    ServerName a.example
    ServerAlias b.example
    DocumentRoot $root
    UseCanonicalName Off
    <Location />
        ProxyCorePass app
        ProxyCoreDocumentRoot "/vhosts/%{HTTP_HOST}/pages"
        ProxyCoreRewriteRequest _docroot "^/vhosts/([^/]+)/pages\$" "/srv/www/vhosts/\$1/htdocs"
    </Location>
</VirtualHost>
CONF
spew("$root/file/x.app", 'x');
spew("$root/file/y/.htaccess", "ProxyCoreRewriteRequest X-Ht \"^\$\" \"%{REQUEST_METHOD}\"\n");
spew("$root/file/y/x.app", 'x');
my %refused = (
    file => 'ProxyCoreRewriteRequest X-A "^$" "%{file:/etc/hostname}"',
    size => 'ProxyCoreRewriteRequest X-A "^$" "%{filesize:/etc/hostname}"',
    response => 'ProxyCoreRewriteResponse X-A "^$" "%{file:/etc/hostname}"',
    setenv => 'ProxyCoreSetEnv X_A "%{file:/etc/hostname}"',
    docroot => 'ProxyCoreDocumentRoot "%{file:/etc/hostname}"',
    script => 'ProxyCoreScript "file=%{file:/etc/hostname}"',
    rootrule => 'ProxyCoreRewriteRequest _docroot ".*" "/etc"',
    scriptrule => 'ProxyCoreRewriteRequest _scriptname ".*" "/x"',
    client => 'ProxyCoreRewriteRequest X-Forwarded-For ".*" "1.2.3.4"',
    alike => 'ProxyCoreRewriteRequest X_Forwarded_For "^$" "1.2.3.4"',
    dotted => 'ProxyCoreRewriteRequest X.Forwarded.For "^$" "1.2.3.4"',
    sendfile => 'ProxyCoreRewriteResponse X-Sendfile "^$" "/etc/passwd"',
);
spew("$root/ht/$_/x.app", 'x'), spew("$root/ht/$_/.htaccess", "$refused{$_}\n") for keys %refused;
$s->start;

sub seen {
    my ($path, %arg) = @_;
    my $res = $s->request($arg{method} || 'GET', $path, %arg);
    my %v = (status => $res->{status}, head => $res->{head});
    ($v{target}) = $res->{body} =~ /^line=\S+ (.*) HTTP\/1\.1$/m;
    $v{body} = $res->{body};
    while ($res->{body} =~ /^([A-Za-z_0-9.-]+)(?:=|: )(.*)$/mg) {
        $v{$1} = defined $v{$1} ? "$v{$1}|$2" : $2 if $1 ne 'line';
    }
    return \%v;
}
sub value { my ($v, $kind, $name) = @_; (my $cgi = uc "HTTP_$name") =~ tr/-/_/; return $kind eq 'http' ? $v->{$name} : $v->{$cgi} }

# ---------------------------------------------------------------- _uri (F16)

# sent, what arrives; 400: refused
my @uris = (
    ['/proxyme/x', '/x'],
    ['/proxyme/x/y?a=b', '/x/y?a=b'],
    ['/else/x', '/else/x'],
    ['/twice/x', '/end/x', 'rules follow each other'],
    ['/query/it?id=17', '/item/17/it?from=query', 'path and query change places'],
    ['/query/it?id=x', '/query/it?id=x', 'a rule that does not fit'],
    ['/tail', '/', 'an empty path'],
    ['/proxyme/a%3fb', '/a%3fb', 'an encoded question mark stays one'],
    ['/proxyme/a%23b', '/a%23b', 'a hash too'],
    ['/proxyme/a%20b%0d%0aX:y', '/a%20b%0d%0aX:y', 'what would split the request'],
    ['/noslash/x', 400, 'a result that is no path'],
    ['/noslash/@evil.example/', 400, 'nor an authority'],
    ['/glue/.-./etc', 400, 'no way up is put together of harmless parts'],
    ['/glue/a-b', '/ab'],
    ['/dollar', '/a$1GET$$', 'escapes and expressions'],
);
for my $kind (qw(http app)) {
    for my $row (@uris) {
        my ($sent, $want, $what) = @$row;
        my $v = seen("/$kind/uri$sent");
        my $name = "$kind: $sent becomes $want" . ($what ? ": $what" : '');
        if ($want eq '400') { is $v->{status}, 400, $name; next }
        my $whole = $kind eq 'http' ? $v->{target} : $v->{REQUEST_URI};
        # what no rule has touched is what the client sent
        is $whole, $kind eq 'app' && $want eq $sent ? "/app/uri$sent" : $want, $name;
        if ($kind eq 'app') {
            my ($path, $query) = split /\?/, $want, 2;
            $path =~ s/%(0d|0a)//gi;
            is $v->{QUERY_STRING} || '', defined $query ? $query : '', "$name: QUERY_STRING";
            next if $sent =~ /%0d/;
            $path =~ s/%([0-9a-f]{2})/chr hex $1/gei;
            is $v->{SCRIPT_NAME} . (defined $v->{PATH_INFO} ? $v->{PATH_INFO} : ''), $path, "$name: the script's path";
            is $v->{SCRIPT_FILENAME}, "$root$v->{SCRIPT_NAME}", "$name: its file";
        }
    }
    my $v = seen("/$kind/uri/agent", fields => ['User-Agent' => "x y\t?q#f"]);
    is $kind eq 'http' ? $v->{target} : $v->{REQUEST_URI}, '/x%20y%09?q%23f', "$kind: what an expression gives is encoded";
    $v = seen("/$kind/uri/agent", fields => ['User-Agent' => '../../etc/passwd']);
    is $v->{status}, 400, "$kind: and cannot lead up";
    $v = seen("/$kind/uri/agent", fields => ['User-Agent' => 'a%00b']);
    is $v->{status}, 400, "$kind: nor hold NUL";
}
ok $s->grep_log(qr/PXC0704: rewriting _uri gives what cannot be sent: it does not begin with/), 'what was refused is logged';

# ---------------------------------------------------------------- fields (F17)

for my $kind (qw(http app)) {
    my $v = seen("/$kind/field/x", method => 'POST', body => 'b', fields => ['X-Edit' => 'an old thing', 'X-Gone' => 'remove me',
        'X-Copy' => 'copied', 'Content-Type' => 'text/plain; charset=x', 'X-Other' => 'old']);
    is value($v, $kind, 'Host'), 'inner.example', "$kind: Host";
    is value($v, $kind, 'X-Edit'), 'an thing new thing', "$kind: the part that fits is replaced, \$0 and \$1";
    is value($v, $kind, 'X-Set'), 'set by POST for 127.0.0.1', "$kind: set where absent, with expressions";
    is value($v, $kind, 'X-Gone'), undef, "$kind: an empty result takes the field away";
    is value($v, $kind, 'X-Chain'), 'two', "$kind: a later rule sees what an earlier one made";
    is value($v, $kind, 'X-From'), 'copied', "$kind: another field's value";
    is value($v, $kind, 'X-Any'), undef, "$kind: what is absent is set by ^\$ only";
    is value($v, $kind, 'X-Other'), 'old', "$kind: other fields are left alone";
    is $kind eq 'http' ? $v->{'Content-Type'} : $v->{CONTENT_TYPE}, 'text/html; charset=x', "$kind: Content-Type";
    is $kind eq 'http' ? $v->{'Content-Length'} : $v->{CONTENT_LENGTH}, 1, "$kind: framing is as it was";
    $v = seen("/$kind/field/x", fields => ['X-Set' => 'mine', 'X-Gone' => 'stays']);
    is value($v, $kind, 'X-Set'), 'mine', "$kind: not set where present";
    is value($v, $kind, 'X-Gone'), 'stays', "$kind: not removed where it does not fit";
    is value($v, $kind, 'X-From'), undef, "$kind: nothing is set to nothing";
}
is seen('/http/field/x')->{'X-Forwarded-For'}, '10.9.8.7', 'fields of our own can be rewritten';
is seen('/http/field/x')->{'X-Forwarded-Host'}, 'localhost', 'Host changes, X-Forwarded-Host says what it was';
my $v = seen('/http/field/x', fields => ['X-Edit' => 'old', 'X-Edit' => 'older']);
is $v->{'X-Edit'}, 'new, older', 'httpd has joined several instances: the first match of the value';
is seen('/host/x')->{status}, 400, 'Host cannot be taken away';
is seen('/badhost/x')->{status}, 400, 'nor hold a blank';
my $mark = $s->mark;
$v = seen('/ctl/x');
is $v->{status}, 400, 'control characters';
unlike $v->{body}, qr/Injected/, 'never reach the backend';
ok $s->grep_log(qr/PXC0703: rewriting X-A gives control characters: a\\+r\\+nX-Injected/, $mark), 'and are logged';
$mark = $s->mark;
is seen('/limit/x', fields => ['X-A' => 'a' x 30 . 'b'])->{status}, 400, 'a regex that gives up lets nothing through';
ok $s->grep_log(qr/PXC0700: rewriting X-A: the regex gave up on a value of 31 bytes/, $mark), 'and it is logged';
is seen('/limit/x', fields => ['X-A' => 'aa'])->{'X-A'}, 'b', 'the same regex on something easier';
is seen('/long/x', fields => ['X-A' => 'x' x 8000])->{status}, 400, 'a result beyond bounds';
is seen('/long/x', fields => ['X-A' => 'x' x 4000])->{status}, 200, 'one within';

for my $kind (qw(http app)) {
    my $res = ProxyCore::Client->fetch($s, 'GET', "/$kind/uri/proxyme/x?y", front => 'h2');
    like $res->{body}, $kind eq 'http' ? qr{^line=GET /x\?y }m : qr{^REQUEST_URI=/x\?y$}m, "HTTP/2, $kind: _uri";
    $res = ProxyCore::Client->fetch($s, 'GET', "/$kind/field/x", front => 'h2');
    like $res->{body}, $kind eq 'http' ? qr/^X-Chain: two$/m : qr/^HTTP_X_CHAIN=two$/m, "HTTP/2, $kind: a field";
}

for my $kind (sort keys %gateway) {
    my $client = ProxyCore::Client->start($s, 'GET', "/$kind/proxyme/x.py/info?q", front => 'h1');
    my $conn = $gateway{$kind}->accept or die 'nobody came';
    my $p = ($kind eq 'scgi' ? read_scgi($conn) : read_uwsgi($conn))->{params};
    is_deeply [@$p{qw(REQUEST_URI QUERY_STRING SCRIPT_NAME PATH_INFO DOCUMENT_ROOT SCRIPT_FILENAME HTTP_X_SET)}],
        ['/x.py/info?q', 'q', '/x.py', '/info', "/srv/$kind", "/srv/$kind/x.py", 'set'], "$kind: the same";
    $conn->send("Status: 200 OK\r\n\r\n");
    $conn->close;
    is $client->finish->{status}, 200, "$kind: answered";
}

# ---------------------------------------------------------------- pools, sections

$v = seen('/ruled/x');
is $v->{'X-Pool'}, 'pool', 'rules in the pool are the default';
is $v->{'X-Order'}, 'pool,section', 'and come before the section\'s';
is seen('/ruled/inner/x')->{'X-Order'}, 'pool,section,inner', 'an inner section adds';
is seen('/ruled/inner/off/x')->{'X-Order'}, 'alone', 'off forgets what came from outside';
is seen('/ruled/inner/off/x')->{'X-Pool'}, undef, 'the pool\'s, too';

is seen('/ruled/x?if')->{'X-If'}, 'if', '<If>';
is seen('/ruled/x?other')->{'X-If'}, undef, '<If> that does not hold';

# ---------------------------------------------------------------- what a script is called

$v = seen('/script/old/x.php/v1/info');
is_deeply [@$v{qw(SCRIPT_NAME PATH_INFO DOCUMENT_ROOT SCRIPT_FILENAME)}],
    ['/new/x.php', '/info', '/jail/app', '/jail/app/new/x.php'], '_scriptname, _pathinfo and _docroot';
$v = seen('/script/x.php');
is $v->{PATH_INFO}, '/index', '_pathinfo that is absent is set with ^$';
is $v->{REQUEST_URI}, '/script/x.php', 'REQUEST_URI is the client\'s without a rule on _uri';
is seen('/script/x.php/bad')->{status}, 400, 'no way up in PATH_INFO';
is seen('/up/x', host => '..')->{status}, 400, 'nor in the document root';
$v = seen('/roadsend/');
is_deeply [@$v{qw(SCRIPT_FILENAME SCRIPT_NAME DOCUMENT_ROOT REQUEST_URI)}],
    ['/remote/docs/roadsend/index.php', '/roadsend/index.php', '/remote/docs', '/roadsend/index.php'], 'prefix, remote root and a rule';
for my $host (qw(a.example b.example)) {
    $v = seen('/p/x.php', host => $host);
    is_deeply [@$v{qw(DOCUMENT_ROOT SCRIPT_FILENAME)}],
        ["/srv/www/vhosts/$host/htdocs", "/srv/www/vhosts/$host/htdocs/p/x.php"], "_docroot by host: $host";
}

# ---------------------------------------------------------------- files, .htaccess, Vary

$v = seen('/file/x.app/info?q');
is_deeply [@$v{qw(REQUEST_URI SCRIPT_NAME PATH_INFO SCRIPT_FILENAME DOCUMENT_ROOT)}],
    ['/other/x.app/info?q', '/file/x.app', '/info', '/chroot/file/x.app', '/chroot'], 'where httpd found the file its name stays';
is seen('/file/y/x.app')->{HTTP_X_HT}, 'GET', '.htaccess';
for my $name (sort keys %refused) {
    $mark = $s->mark;
    is $s->get("/ht/$name/x.app")->{status}, 500, ".htaccess: $refused{$name}";
    ok $s->grep_log(qr/\.htaccess: .*(?:ProxyCore\w+)/, $mark), 'is refused by name';
}
is seen('/http/field/x', fields => ['X-Copy' => 'a'])->{head}->h('Vary'), undef, 'our expressions say nothing of Vary';
is seen('/p/x.php', host => 'a.example')->{head}->h('Vary'), undef, 'those of ProxyCoreDocumentRoot neither';
# ---------------------------------------------------------------- an authorizer sees what is asked for

for my $row (['200 OK', 200], ['403 No', 403]) {
    my ($says, $status) = @$row;
    my $client = ProxyCore::Client->start($s, 'GET', '/guarded/app/x', front => 'h1');
    my $conn = $gate->accept or die 'the authorizer was not asked';
    my $seen = read_fcgi($conn)->{params};
    is $seen->{REQUEST_URI}, '/guarded/app/x', "authorizer: the target that was asked for";
    is $seen->{HTTP_X_SECTION}, undef, 'authorizer: no rules of the section';
    is $seen->{HTTP_X_GATE}, 'own', 'authorizer: those of its own block';
    $conn->send(fcgi_answer("Status: $says\r\nContent-Type: text/plain\r\n\r\nits own words"));
    $conn->close;
    my $res = $client->finish;
    is $res->{status}, $status, "authorizer: $says";
    is $res->{head}->h('X-Said'), $status == 200 ? 'section' : undef, 'authorizer: the section rewrites what serves the request';
    like $res->{body}, $status == 200 ? qr{^line=GET /other/app/x }m : qr/its own words/, 'authorizer: and so what is served';
}
$s->stop;
done_testing;
