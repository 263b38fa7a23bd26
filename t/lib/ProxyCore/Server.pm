# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A private httpd with the configuration that one test needs. It runs in the foreground as a child of the test, with its
# own directory and ports. stop() (also called at the end) asserts what must be true after every run: no child of httpd
# died of a signal, no sanitizer report, no process and no socket left.
#
#     my $s = ProxyCore::Server->new(modules => ['rewrite'], conf => "<ProxyCore x>...");
#     $s->start;
#     my $c = $s->connect;
package ProxyCore::Server;

use strict;
use warnings;

use File::Path qw(make_path);
use POSIX ();
use Test::More ();
use Time::HiRes qw(time sleep);

use ProxyCore::Conn;
use ProxyCore::Util qw(work_dir build_dir free_port poll_until slurp spew run_capture start_child children_of alive
    descendants cmdline mpm user_ids is_root top_dir in_background wait_background listens asan);

our $HTTPD = $ENV{PC_HTTPD} || $ENV{APACHE_TEST_HTTPD} || '/usr/sbin/apache2';
our $MODULES = $ENV{PC_MODULES} || '/usr/lib/apache2/modules';

# Small enough to be quick, large enough for the usual test. Tests about threads and children give mpm_conf themselves.
my %mpm_conf = (
    event   => "StartServers 1\nServerLimit 3\nThreadLimit 64\nThreadsPerChild 24\nMaxRequestWorkers 72\n"
             . "MinSpareThreads 1\nMaxSpareThreads 72\n",
    prefork => "StartServers 20\nServerLimit 40\nMaxRequestWorkers 40\nMinSpareServers 10\nMaxSpareServers 40\n",
);
$mpm_conf{worker} = $mpm_conf{event};

# %arg: name, conf, modules => [names], mpm, mpm_conf, tls => 1, procd => 0|1 (load mod_procd, default 0), core => 0|1
# (load mod_proxy_core, default 1), pem => FILE (certificate and key), tls_conf, loglevel, user, protocols, top => text for the very top
sub new {
    my ($class, %arg) = @_;
    my $self = bless { mpm => mpm(), procd => 0, core => 1, tls => 0, conf => '', modules => [], %arg }, $class;
    $self->{name} ||= 'server';
    $self->{dir} = work_dir() . "/$self->{name}";
    make_path(map { "$self->{dir}/$_" } qw(logs run htdocs conf));
    chmod 0755, "$self->{dir}/htdocs", $self->{dir};
    $self->{port} ||= free_port();
    $self->{tls_port} ||= free_port() if $self->{tls};
    $self->{owner} = $$;
    return $self;
}

sub dir      { return $_[0]{dir} }
sub docroot  { return "$_[0]{dir}/htdocs" }
sub port     { return $_[0]{port} }
sub tls_port { return $_[0]{tls_port} }
sub log_file { return "$_[0]{dir}/logs/error_log" }
sub pid      { return $_[0]{pid} }
sub conf_file { return "$_[0]{dir}/conf/httpd.conf" }

sub load_line {
    my ($name) = @_;
    return '' if $name =~ /^(?:core|http|so|log_config|logio|version|unixd|watchdog)$/;
    return "LoadModule ${name}_module $MODULES/mod_$name.so\n";
}

my %always = map { $_ => 1 } qw(authz_core authz_host authn_core mime dir alias env headers setenvif status http2);

# The whole configuration file.
sub conf_text {
    my ($self) = @_;
    my ($dir, $build) = ($self->{dir}, build_dir());
    my %mod = (%always, map { $_ => 1 } @{ $self->{modules} });
    @mod{qw(ssl socache_shmcb)} = (1, 1) if $self->{tls};
    delete $mod{http2} if ($self->{protocols} || '') eq 'http/1.1';
    my $text = "ServerRoot $dir\nServerName localhost\nPidFile $dir/run/httpd.pid\nDefaultRuntimeDir $dir/run\n"
        . "ErrorLog $dir/logs/error_log\nLogLevel " . ($self->{loglevel} || 'info') . "\n"
        . load_line("mpm_$self->{mpm}")
        . join('', map { load_line($_) } sort keys %mod);
    $text .= "LoadModule proxy_core_module $build/modules/mod_proxy_core.so\n" if $self->{core};
    $text .= "LoadModule procd_module $build/modules/mod_procd.so\nProcdManager " . $self->manager_program . "\n" if $self->{procd};
    $text .= "User www-data\nGroup www-data\n" if is_root();
    $text .= $self->{mpm_conf} || $mpm_conf{ $self->{mpm} };
    $text .= "Listen 127.0.0.1:$self->{port}\n";
    $text .= "Protocols " . ($self->{protocols} || 'h2c http/1.1') . "\n";
    $text .= "TypesConfig /etc/mime.types\nGracefulShutdownTimeout 60\nTimeout 60\nKeepAliveTimeout 15\n"
        . "DocumentRoot $dir/htdocs\n<Directory />\n    AllowOverride None\n    Require all denied\n</Directory>\n"
        . "<Directory $dir/htdocs>\n    AllowOverride All\n    Require all granted\n    Options FollowSymLinks\n</Directory>\n";
    $text .= "CoreDumpDirectory $dir/logs\n";
    my $conf = $self->{conf};
    if ($self->{tls}) {
        my $pem = $self->{pem} || tls_pem();
        $text .= "Listen 127.0.0.1:$self->{tls_port}\nSSLSessionCache none\n";
        $conf .= "<VirtualHost 127.0.0.1:$self->{tls_port}>\n    ServerName localhost\n    SSLEngine on\n"
            . "    SSLCertificateFile $pem\n    Protocols h2 http/1.1\n    DocumentRoot $dir/htdocs\n"
            . ($self->{tls_conf} || '') . "</VirtualHost>\n";
    }
    $text .= $conf;
    return $text;
}

# The manager. With sanitizers it is also looked at for leaks, which httpd is not; PC_VALGRIND=1 runs it under valgrind.
sub manager_program {
    my ($self) = @_;
    my $procd = build_dir() . '/bin/procd';
    return spew("$self->{dir}/conf/procd", "#!/bin/sh\nexec valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "
        . "--log-file=$self->{dir}/logs/valgrind.%p $procd \"\$\@\"\n", 0755) if $ENV{PC_VALGRIND};
    return $procd if !asan();
    return spew("$self->{dir}/conf/procd", "#!/bin/sh\nASAN_OPTIONS=\"\$ASAN_OPTIONS:detect_leaks=1\" exec $procd \"\$\@\"\n", 0755);
}

# A certificate for tests; made once for each build directory.
sub tls_pem {
    my $pem = build_dir() . '/t/tls.pem';
    if (!-s $pem) {
        make_path(build_dir() . '/t');
        my ($out, $rc) = run_capture('openssl', qw(req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost),
            '-keyout', "$pem.$$.key", '-out', "$pem.$$.crt");
        die "openssl: $out" if $rc;
        spew("$pem.$$", slurp("$pem.$$.key") . slurp("$pem.$$.crt"));
        unlink "$pem.$$.key", "$pem.$$.crt";
        rename "$pem.$$", $pem;
    }
    return $pem;
}

sub write_conf {
    my ($self) = @_;
    spew($self->conf_file, $self->conf_text);
    return $self;
}

# Change the configuration text for the next restart.
sub set_conf {
    my ($self, $conf) = @_;
    $self->{conf} = $conf;
    return $self->write_conf;
}

sub environment {
    my ($self) = @_;
    my %env = (LD_PRELOAD => $ENV{PC_PRELOAD}, PC_PRELOAD => undef);
    if ($ENV{PC_PRELOAD}) {
        my $base = $ENV{PC_ASAN_LOG} || "$self->{dir}/logs/sanitizer";
        $env{ASAN_OPTIONS} = join ':', grep { length } $ENV{ASAN_OPTIONS} || 'detect_leaks=0:abort_on_error=0', "log_path=$base";
        $env{UBSAN_OPTIONS} = join ':', grep { length } $ENV{UBSAN_OPTIONS} || 'print_stacktrace=1', "log_path=$base";
    }
    $env{$_} = $self->{env}{$_} for keys %{ $self->{env} || {} };
    return \%env;
}

# `httpd -t`: (output, exit status).
sub config_test {
    my ($self) = @_;
    $self->write_conf;
    return run_capture($HTTPD, '-t', '-f', $self->conf_file);
}

sub start {
    my ($self) = @_;
    $self->write_conf if !$self->{conf_written};
    $self->{pid} = start_child({ out => "$self->{dir}/logs/startup", cwd => '/', env => $self->environment },
        $HTTPD, '-DFOREGROUND', '-f', $self->conf_file, @{ $self->{args} || [] });
    my $ok = poll_until { $self->accepting || waitpid($self->{pid}, POSIX::WNOHANG()) > 0 } 30;
    if (!$ok || !$self->accepting) {
        die "httpd did not start:\n" . (slurp("$self->{dir}/logs/startup") || '') . (slurp($self->log_file) || '');
    }
    return $self;
}

# Does somebody listen? Asked of the kernel, so that no request is spent.
sub accepting {
    my ($self) = @_;
    return 0 if !listens($self->{port});
    # The listener is there before the children are.
    return scalar children_of($self->{pid}) > 0 && -s "$self->{dir}/run/httpd.pid" ? 1 : 0;
}

# The worker processes (not the manager).
sub children {
    my ($self) = @_;
    return grep { cmdline($_) =~ /^\Q$HTTPD\E/ } children_of($self->{pid});
}

# The process manager.
sub manager {
    my ($self) = @_;
    my ($pid) = grep { cmdline($_) =~ m{(?:^|/)procd(?: |$)} } descendants($self->{pid});
    return $pid;
}

# Processes whose command line matches, below httpd or adopted by this test.
sub processes {
    my ($self, $re) = @_;
    return grep { cmdline($_) =~ $re } descendants($$);
}

sub graceful {
    my ($self, %arg) = @_;
    my $mark = $self->mark;
    kill 'USR1', $self->{pid};
    return $self if $arg{nowait};
    $self->wait_log(qr/resuming normal operations/, 15, $mark) or die "no graceful restart\n" . $self->log_since($mark);
    return $self;
}

sub restart {
    my ($self) = @_;
    my $mark = $self->mark;
    kill 'HUP', $self->{pid};
    $self->wait_log(qr/resuming normal operations/, 25, $mark) or die "no restart\n" . $self->log_since($mark);
    return $self;
}

# ------------------------------------------------------------------ log

sub mark { my ($self) = @_; return -s $self->log_file || 0 }

sub log_since {
    my ($self, $mark) = @_;
    my $text = slurp($self->log_file);
    return defined $text ? substr($text, $mark || 0) : '';
}

# The first line since $mark that matches, waiting for it.
sub wait_log {
    my ($self, $re, $timeout, $mark) = @_;
    return poll_until { my ($line) = grep { $_ =~ $re } split /\n/, $self->log_since($mark); $line } $timeout || 5;
}

sub grep_log {
    my ($self, $re, $mark) = @_;
    return grep { $_ =~ $re } split /\n/, $self->log_since($mark);
}

# ------------------------------------------------------------------ clients

sub connect {
    my ($self, %arg) = @_;
    return ProxyCore::Conn->connect(port => $arg{tls} ? $self->{tls_port} : $self->{port}, %arg);
}

sub request_text {
    my ($method, $path, %arg) = @_;
    my @fields = @{ $arg{fields} || [] };
    my $text = "$method $path HTTP/" . ($arg{version} || '1.1') . "\r\n";
    $text .= 'Host: ' . ($arg{host} || 'localhost') . "\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    if (defined $arg{body} && $arg{chunked}) {
        $text .= "Transfer-Encoding: chunked\r\n";
    }
    elsif (defined $arg{body}) {
        $text .= 'Content-Length: ' . length($arg{body}) . "\r\n";
    }
    $text .= "Connection: close\r\n" if $arg{close};
    return "$text\r\n";
}

sub body_text {
    my (%arg) = @_;
    return '' if !defined $arg{body};
    return $arg{body} if !$arg{chunked};
    my $size = $arg{chunked} > 1 ? $arg{chunked} : 4096;
    my $out = '';
    for (my $at = 0; $at < length $arg{body}; $at += $size) {
        my $part = substr $arg{body}, $at, $size;
        $out .= sprintf("%x\r\n", length $part) . $part . "\r\n";
    }
    return $out . "0\r\n\r\n";
}

# One request over HTTP/1.1 on a connection of its own: the result of ProxyCore::Conn::read_response.
sub request {
    my ($self, $method, $path, %arg) = @_;
    my $conn = $self->connect(tls => $arg{tls});
    $conn->send(request_text($method, $path, close => 1, %arg) . body_text(%arg));
    my $res = $conn->read_response(method => $method, timeout => $arg{timeout});
    $conn->close;
    return $res;
}

sub get { my ($self, $path, %arg) = @_; return $self->request('GET', $path, %arg) }

# ------------------------------------------------------------------ end

# Stop; with assertions unless quiet => 1.
sub stop {
    my ($self, %arg) = @_;
    return $self->assert_log if $self->{shared};
    my $pid = delete $self->{pid} or return;
    my @left_before = descendants($pid);
    $self->quiesce($pid) if !$arg{signal};
    kill $arg{signal} || 'TERM', $pid;
    my $gone = poll_until { my $rc = waitpid($pid, POSIX::WNOHANG()); $rc != 0 } $arg{timeout} || 25;
    if (!$gone) {
        Test::More::fail("$self->{name}: httpd ends when told to");
        kill 'KILL', $pid, @left_before;
        waitpid($pid, 0);
    }
    $self->assert_clean($pid, @left_before) if !$arg{quiet};
    return;
}

# The children of a threaded MPM end gracefully first: at TERM its main thread shuts the sockets of its worker threads
# down while these may be about to free them (close_worker_sockets() against the end of a connection), which now and then
# is a crash of httpd's own. Whoever waits for a request that does not end meets TERM after a moment.
sub quiesce {
    my ($self, $pid) = @_;
    return if $self->{mpm} eq 'prefork';
    my @children = grep { cmdline($_) =~ /apache2|httpd/ } descendants($pid);
    kill 'WINCH', $pid;
    poll_until { !grep { alive($_) } @children } $self->{quiesce} || 3;
    return;
}

# Crashes, cores and sanitizer reports.
sub bad_log {
    my ($self, $mark) = @_;
    my @bad = map { "log: $_" } $self->grep_log(qr/exit signal|AddressSanitizer|runtime error:|AH00052|AH00050|assert/, $mark);
    push @bad, map { "$_:\n" . slurp($_) } glob "$self->{dir}/logs/sanitizer*";
    push @bad, map { my $text = slurp($_); $text =~ /^==\d+== \S/m ? "$_:\n$text" : () } glob "$self->{dir}/logs/valgrind*";
    push @bad, map { "core: $_" } glob "$self->{dir}/logs/core*";
    return @bad;
}

# The same for a server that others use too.
sub assert_log {
    my ($self) = @_;
    my @bad = $self->bad_log($self->{first_mark});
    Test::More::ok(!@bad, 'no child of the shared server crashed') or Test::More::diag(join "\n", @bad);
    return;
}

# What a server that has ended must not have left. (The last thread of a process may still be on its way when the first
# one, by which it is known, is gone.)
sub rest {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $unix = slurp('/proc/net/unix') || '';
    return ((map { "socket left: $_" } $unix =~ m{ (\Q$dir\E/run/\S+)$}mg), (map { "file left: $_" } glob "$dir/run/procd/*"),
        listens($self->{port}) ? "port $self->{port} is still listened on" : ());
}

# What must hold after every run, one line of TAP.
sub assert_clean {
    my ($self, @ours) = @_;
    my @bad;
    my @left;
    poll_until {
        @left = grep { alive($_) } @ours;
        !@left
    } 12;
    push @bad, map { "process left: $_ " . cmdline($_) } @left;
    kill 'KILL', @left if @left;
    push @bad, $self->bad_log;
    my @rest;
    poll_until { @rest = $self->rest; !@rest } 3;
    push @bad, @rest;
    Test::More::ok(!@bad, "$self->{name}: ended cleanly, nothing left behind")
        or Test::More::diag(join "\n", @bad);
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{pid} || $$ != $self->{owner};
    local ($?, $@, $!);
    my @ours = descendants($self->{pid});
    kill 'TERM', $self->{pid};
    my $gone = poll_until { waitpid($self->{pid}, POSIX::WNOHANG()) != 0 } 15;
    kill 'KILL', grep { alive($_) } $self->{pid}, @ours;
    waitpid($self->{pid}, 0) if !$gone;
    return;
}

1;
