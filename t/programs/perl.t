#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A PSGI application by Starman: an HTTP server of several processes that keeps connections and sends chunks.
# F5 F10 F11 F13
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Digest::SHA qw(sha1_hex);

use ProxyCore::Programs qw(need curl fronts);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir poll_until start_child stop_child spew slurp free_port listens);

need(starman => 'starman', curl => 'curl');

my ($dir, $port) = (work_dir(), free_port());
my $app = spew("$dir/app.psgi", slurp("$FindBin::Bin/apps/app.psgi"));
my $starman = start_child({ out => "$dir/logs/starman" }, 'starman', '--listen', "127.0.0.1:$port", '--workers', 3, '--preload-app', $app);
poll_until { listens($port) } 20 or die slurp("$dir/logs/starman");

my $s = ProxyCore::Server->new(tls => 1, conf => <<"CONF")->start;
<ProxyCore starman>
    ProxyCoreProtocol  http
    ProxyCoreBackend   127.0.0.1:$port max=3
    ProxyCoreKeepAlive on max=3
    ProxyCoreQueue     512 timeout=200s
</ProxyCore>
<Location /perl/>
    ProxyCorePass starman strip=/perl
</Location>
CONF

my $body = join '', map { chr(33 + $_ % 90) x 997 } 1 .. 3000;
my $in = spew("$dir/body", $body);
my $sum = length($body) . ' ' . sha1_hex($body);
for my $front (fronts($s)) {
    my $over = "over $front->{name}";
    my $res = curl($front, '/perl/some%20where?a=b', '-H', 'Cookie: c=d', '-H', 'X-Forwarded-For: 6.6.6.6');
    my %told = $res->{body} =~ /^(\w+)=(.*)$/mg;
    is "$told{PATH_INFO} $told{QUERY_STRING} $told{HTTP_COOKIE}", '/some where a=b c=d', "what it is told $over";
    is "$told{HTTP_X_FORWARDED_FOR} $told{HTTP_X_FORWARDED_PROTO}", '127.0.0.1 ' . ($front->{base} =~ /^(\w+)/)[0], 'who asked, and how';
    is curl($front, '/perl/post', '-T', $in)->{body}, $sum, "an upload $over";
    is curl($front, '/perl/post', { in => $in }, '-T', '-')->{body}, $sum, "of unknown length $over";
    is curl($front, '/perl/post', '-H', 'Expect: 100-continue', '-T', $in)->{body}, $sum, "with Expect $over";
    is curl($front, '/perl/file')->{body}, slurp($app), "a file $over";
    is curl($front, '/perl/stream')->{body}, join('', map { "line $_\n" } 1 .. 5), "lines $over";
    is curl($front, '/perl/', '-H', 'If-None-Match: "a"')->{status}, 304, "a condition $over";
    is curl($front, '/perl/file', '-I')->{exit}, 0, "HEAD $over";
}
my @c = map { my $c = $s->connect; $c->send("GET /perl/x HTTP/1.1\r\nHost: a\r\n\r\n" x 2); $c } 1 .. 30;
is scalar(grep { ($_->read_response->{status} || 0) == 200 } @c, @c), 60, 'thirty connections of two requests, three workers';
$s->stop;
stop_child($starman, 'TERM');
done_testing;
