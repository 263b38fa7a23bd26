#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Under load no request fails: ab with and without keep-alive, wrk, h2load over HTTP/2, to HTTP and FastCGI backends whose
# number of requests at once is bounded; a graceful restart in the middle. Numbers are counted, speeds are not looked at.
# F5 F9 F10 D3
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Programs qw(need run_program);
use ProxyCore::Server;
use ProxyCore::Util qw(work_dir backend_program start_child free_port poll_until in_background wait_background spew is_root
    descendants cmdline alive);

need('apache2-utils' => 'ab', wrk => 'wrk', 'nghttp2-client' => 'h2load', 'php-cgi' => '/usr/bin/php-cgi');

my $port = free_port();
start_child(backend_program('http_echo'), '-l', $port);
my $sock = work_dir() . '/run/app.sock';
start_child(backend_program('fcgi_echo'), '-l', $sock, '-t', 4);
poll_until { -S $sock };
chmod 0777, $sock;
my $spawn_user = is_root() ? 'SpawnUser www-data' : '';
my $s = ProxyCore::Server->new(procd => 1, tls => 1, loglevel => 'warn', conf => <<"CONF");
KeepAliveTimeout 20
MaxKeepAliveRequests 0
LogFormat a a
CustomLog logs/answers a
<ProxyCore http>
    ProxyCoreProtocol http
    ProxyCoreBackend 127.0.0.1:$port max=8
    ProxyCoreQueue 512 timeout=300s
</ProxyCore>
<ProxyCore fastcgi>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend unix:$sock max=4
    ProxyCoreQueue 512 timeout=300s
    ProxyCoreKeepAlive on
</ProxyCore>
<Spawn php>
    SpawnCommand /usr/bin/php-cgi -n
    SpawnProcesses 1 3
    SpawnMaxRequests 300
    $spawn_user
</Spawn>
<ProxyCore php>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:php
    ProxyCoreQueue 512 timeout=300s
</ProxyCore>
@{[map { "<Location /$_/>\n ProxyCorePass $_\n</Location>\n" } qw(http fastcgi)]}
<FilesMatch "\\.php\$">
    SetHandler proxy-core:php
</FilesMatch>
CONF
spew($s->docroot . '/t.php', '<?php echo "hello";');
$s->start;
my $base = 'http://127.0.0.1:' . $s->port;
my $tls = 'https://127.0.0.1:' . $s->tls_port;
spew(work_dir() . '/body', 'x' x 30_000);

sub answers { return -s $s->dir . '/logs/answers' || 0 }

# Run it, with a graceful restart when it has begun.
my @met;
sub load {
    my ($restart, @cmd) = @_;
    return run_program(@cmd)->{out} if !$restart;
    my $before = answers();
    my $job = in_background { run_program(@cmd)->{out} };
    poll_until { grep { cmdline($_) =~ /^$cmd[0] / } descendants($job->{pid}) };
    poll_until { answers() > $before } 5; # else a slow handshake has no answer at all before connections are ended
    $s->graceful;
    push @met, alive($job->{pid});
    return wait_background($job);
}

# What h2load says when requests were lost. At a graceful restart mod_http2 ends connections with GOAWAY, also for a static
# file: streams that it had not begun are refused, and h2load makes no new connections. Then only answers are looked at.
sub h2load_lost {
    my ($out, $restart) = @_;
    my ($line, $good, $failed) = $out =~ /^(requests: .* (\d+) succeeded, (\d+) failed.*)/m or return 'no result';
    my ($codes, $ok, @other) = $out =~ /^(status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx)/m or return 'no status codes';
    return '' if !grep({ $_ } @other) && ($restart ? $good > 0 : !$failed);
    return "$line, $codes";
}

for my $path ('/http/x', '/fastcgi/x', '/t.php') {
    for my $restart (0, 1) {
        my $what = $path . ($restart ? ', restarted meanwhile' : '');
        my $n = $restart ? 4000 : 1000;
        my @post = ('-p', work_dir() . '/body', '-T', 'a/b');
        for my $options ([], ['-k'], ['-k', @post]) {
            my $out = load($restart, 'ab', '-q', '-n', $n, '-c', 20, @$options, "$base$path");
            my ($complete) = $out =~ /^Complete requests:\s+(\d+)/m;
            # ab calls it a failure when an answer is longer than the first was, as answers with counters are
            my ($connect, $receive, $exceptions) = $out =~ /Connect: (\d+), Receive: (\d+), Length: \d+, Exceptions: (\d+)/;
            my ($other) = $out =~ /^Non-2xx responses:\s+(\d+)/m;
            is join(' ', map { $_ || 0 } $complete, $connect, $receive, $exceptions, $other), "$n 0 0 0 0", 'ab' . join(' ', '', map { m{^-.$} ? $_ : () } @$options) . ": $what"
                or diag $out;
        }
        my $out = load($restart, 'h2load', '-n', $n, '-c', 4, '-m', 10, "$base$path");
        is h2load_lost($out, $restart), '', "h2load: $what" or diag $out;
        $out = load($restart, 'h2load', '-n', $n, '-c', 4, '-m', 10, '-d', work_dir() . '/body', "$tls$path");
        is h2load_lost($out, $restart), '', "h2load, uploads over TLS: $what" or diag $out;
        # At a graceful restart httpd closes idle connections, and wrk may have begun its next request.
        next if $restart;
        $out = load(0, 'wrk', '-t', 1, '-c', 20, '-d', 1, '--timeout', 60, "$base$path");
        unlike $out, qr/Socket errors|Non-2xx/, "wrk: $what" or diag $out;
    }
}
is join("\n", $s->grep_log(qr/proxy_core:|procd:/)), '', 'nothing was worth a word';
cmp_ok scalar(grep { $_ } @met), '>', @met / 2, 'most restarts were in the middle: ' . grep({ $_ } @met) . ' of ' . @met;
$s->stop;
done_testing;
