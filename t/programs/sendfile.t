#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The recipes of the cookbook with PHP itself: scripts that decide, files that nobody else may have.
# F19 G18 G23
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Programs qw(need);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir spew is_root);

need('php-cgi' => '/usr/bin/php-cgi');

my $dir = work_dir() . '/downloads';
mkdir $dir;
my $zip = join '', map { chr($_ * 7 % 256) } 0 .. 99_999;
spew("$dir/order-17.zip", $zip);
my $spawn_user = is_root() ? 'SpawnUser www-data' : '';
my $s = ProxyCore::Server->new(procd => 1, conf => <<"CONF");
<Spawn php>
    SpawnCommand /usr/bin/php-cgi -n -d zlib.output_compression=1
    SpawnProcesses 1 1
    $spawn_user
</Spawn>
<ProxyCore php>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:php
    ProxyCoreXSendfile on root=$dir
    ProxyCoreXRewrite on
</ProxyCore>
<FilesMatch "\\.php\$">
    SetHandler proxy-core:php
</FilesMatch>
Alias /protected/ $dir/
<Directory $dir>
    Require proxy-core-internal
</Directory>
CONF
# As people write it: the file's length is said as well, and something is printed.
spew($s->docroot . '/get.php', <<"PHP");
<?php
\$file = '$dir/order-' . (int)\$_GET['n'] . '.zip';
header('Content-Type: application/zip');
header('Content-Disposition: attachment; filename="order.zip"');
if (isset(\$_GET['length'])) { header('Content-Length: ' . filesize(\$file)); }
setcookie('seen', '1');
switch (\$_GET['how']) {
    case 'file': header("X-Sendfile: \$file"); break;
    case 'parts': header("X-Sendfile2: \$file 0-99, \$file 500-"); break;
    case 'path': header('X-Accel-Redirect: /protected/order-17.zip'); break;
    case 'again': header('X-Rewrite-URI: /other.php?q=' . getmypid()); break;
}
if (!isset(\$_GET['length'])) { echo "not this\n"; }
PHP
spew($s->docroot . '/other.php', '<?php echo $_GET["q"] == getmypid() ? "the same process" : "another", $_SERVER["HTTP_X_SENDFILE_TYPE"];');
$s->start;

for my $row (['file', $zip], ['file&length', $zip], ['path', $zip], ['path&length', $zip], ['parts', substr($zip, 0, 100) . substr($zip, 500)]) {
    my ($how, $want) = @$row;
    my $res = $s->get("/get.php?n=17&how=$how", fields => ['Accept-Encoding' => 'gzip']);
    is $res->{status}, 200, $how;
    ok $res->{body} eq $want, 'the bytes';
    is $res->{head}->h('Content-Type'), 'application/zip', 'PHP\'s type';
    is $res->{head}->h('Content-Encoding'), undef, 'not the encoding of what PHP had to say';
    like $res->{head}->h('Set-Cookie'), qr/^seen=1/, 'its cookie';
    like $res->{head}->h('Content-Disposition'), qr/order\.zip/, 'the name to save it by';
}
my $res = $s->get('/get.php?n=17&how=file', fields => [Range => 'bytes=100-199']);
ok $res->{status} == 206 && $res->{body} eq substr($zip, 100, 100), 'a range';
is $s->get('/get.php?n=18&how=file')->{status}, 404, 'a file that is not there';
is $s->get('/protected/order-17.zip')->{status}, 403, 'not without the script';
is $s->get('/get.php?n=17&how=again')->{body}, 'the same processX-Sendfile', 'another script, by the same process: it was free again';
$s->stop;
done_testing;
