# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Servers with CGI scripts that mod_procd starts: groups of SpawnSocketType pipe, and the scripts they run.
package ProxyCore::Scripts;

use strict;
use warnings;

use ProxyCore::Groups;
use ProxyCore::Util qw(spew);

# <Spawn NAME> of pipe type with these lines, its pool, and the directory $dir of scripts under /NAME/.
sub group {
    my ($name, $dir, $lines, %arg) = @_;
    return "<Spawn $name>\nSpawnSocketType pipe\n$lines\n</Spawn>\n<ProxyCore $name>\n    ProxyCoreProtocol cgi\n"
        . "    ProxyCoreBackend spawn:$name\n" . ProxyCore::Groups::patient_queue($arg{pool} || '') . ($arg{pool} || '') . "</ProxyCore>\n"
        . "ScriptAlias /$name/ $dir/\n<Directory $dir>\n    Require all granted\n    Options FollowSymLinks\n    SetHandler proxy-core:$name\n"
        . ($arg{dir} || '') . "</Directory>\n";
}

# A server with the scripts of %{$arg{scripts}}: name => text (with #!), in a directory cgi of its own.
sub server {
    my (%arg) = @_;
    return ProxyCore::Groups::server(loglevel => 'info procd:debug proxy_core:debug', %arg);
}

# Write a script. The mode is 0755 unless said otherwise.
sub script {
    my ($dir, $name, $text, $mode) = @_;
    return spew("$dir/$name", $text, $mode || 0755);
}

# A script in perl whose answer is plain text.
sub perl {
    my ($dir, $name, $code, $mode) = @_;
    return script($dir, $name, "#!/usr/bin/perl\n\$| = 1;\n$code", $mode);
}

1;
