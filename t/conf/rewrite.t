#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What `httpd -t` says to the directives of rewriting. G20
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Server;

my $s = ProxyCore::Server->new;

sub check {
    my ($lines) = @_;
    $s->{conf} = "<ProxyCore app>\nProxyCoreProtocol http\nProxyCoreBackend 127.0.0.1:8001\n</ProxyCore>\n$lines\n";
    return $s->config_test;
}
sub good { my ($lines) = @_; my ($out, $rc) = check($lines); ok($rc == 0, $lines) or diag $out }
sub bad { my ($lines, $want) = @_; my ($out, $rc) = check($lines); ok($rc != 0, "refused: $lines"); like $out, $want, 'with the reason' }

good $_ for 'ProxyCoreRewriteRequest _uri "^/a" "/b"', 'ProxyCoreRewriteRequest _docroot a b', 'ProxyCoreRewriteRequest _SCRIPTNAME a b',
    'ProxyCoreRewriteRequest _pathinfo "^$" "/x"', 'ProxyCoreRewriteRequest X-A "^$" ""', 'ProxyCoreRewriteRequest X-A "(.)(.)" "$2$1\$9"',
    'ProxyCoreRewriteRequest X-A "^$" "%{file:/etc/hostname}"', 'ProxyCoreRewriteRequest off', 'ProxyCoreRewriteResponse off',
    'ProxyCoreRewriteResponse Location "^http:" "https:"', 'ProxyCoreRewriteResponse Set-Cookie "(?i)path=/a" "Path=/b"',
    'ProxyCorePassReverse http://a/ /b', 'ProxyCorePassReverse https://[::1]:8443/x /b/', 'ProxyCorePassReverse /a /b', 'ProxyCorePassReverse',
    'ProxyCorePassReverse off', "<Location /b/>\nProxyCorePassReverse http://a/\n</Location>",
    "<Location /b/>\n<If \"true\">\nProxyCorePassReverse http://a/\n</If>\n</Location>",
    'ProxyCoreCookiePath / /app/', 'ProxyCoreCookiePath off', 'ProxyCoreCookieDomain a.internal .example.org', 'ProxyCoreCookieDomain * off',
    'ProxyCoreErrorOverride on', 'ProxyCoreErrorOverride off', 'ProxyCoreErrorOverride on 404 500-599';
good "<ProxyCore two>\nProxyCoreProtocol http\nProxyCoreBackend 127.0.0.1:1\nProxyCoreRewriteRequest X-A a b\nProxyCorePassReverse\n"
    . "ProxyCoreCookiePath / /a\nProxyCoreErrorOverride on\n</ProxyCore>";

bad 'ProxyCoreRewriteRequest', qr/ProxyCoreRewriteRequest takes what is rewritten, a regex and a replacement/;
bad 'ProxyCoreRewriteRequest X-A "^$"', qr/takes what is rewritten/;
bad 'ProxyCoreRewriteRequest X-A a b c', qr/takes what is rewritten/;
bad 'ProxyCoreRewriteRequest _url a b', qr/ProxyCoreRewriteRequest _url: accepted is _uri, _docroot, _scriptname, _pathinfo or the name/;
bad 'ProxyCoreRewriteResponse _uri a b', qr/ProxyCoreRewriteResponse _uri: accepted is the name of a field/;
bad "ProxyCoreRewriteRequest \"$_\" a b", qr/accepted is _uri/ for 'X A', 'X:A', '';
bad "ProxyCoreRewriteRequest $_ a b", qr/$_: this field belongs to the connection or frames the message/i
    for qw(Content-Length transfer-encoding Connection Keep-Alive TE Trailer Upgrade Expect Proxy Proxy-Connection HTTP2-Settings);
bad "ProxyCoreRewriteResponse $_ a b", qr/$_: this field belongs to the connection or frames the message/
    for qw(Content-Length Transfer-Encoding Connection Status Trailer Upgrade);
bad 'ProxyCoreRewriteRequest X-A "(" b', qr/the regex '\(' cannot be compiled/;
bad 'ProxyCoreRewriteRequest X-A "(a)" "$1$2"', qr/the replacement '\$1\$2' has \$2 and the regex '\(a\)' 1 groups/;
bad 'ProxyCoreRewriteRequest X-A a "%{nosuch:x}"', qr/the expression '%\{nosuch:x\}' is wrong/;
bad 'ProxyCorePassReverse http://a/', qr/the path here must be given as well, but in a <Location>/;
bad "<LocationMatch ^/x>\nProxyCorePassReverse http://a/\n</LocationMatch>", qr/the path here must be given/;
bad "<Location ~ ^/x>\nProxyCorePassReverse http://a/\n</Location>", qr/the path here must be given/;
bad "<Directory /x>\nProxyCorePassReverse http://a/\n</Directory>", qr/the path here must be given/;
bad "ProxyCorePassReverse $_ /b", qr/ProxyCorePassReverse \Q$_\E \/b: accepted is a URL such as/ for 'ftp://a/', '//a/', 'a', 'http://a/?b', 'http://a:b/';
bad 'ProxyCorePassReverse http://a/ b', qr/accepted is a path that begins with/;
bad 'ProxyCorePassReverse http://a/ /b /c', qr/takes at most/;
bad 'ProxyCoreCookiePath a /b', qr/ProxyCoreCookiePath a \/b: accepted are two paths/;
bad 'ProxyCoreCookiePath /a', qr/ProxyCoreCookiePath \/a: accepted is off/;
bad 'ProxyCoreCookiePath /a "/b; Secure"', qr/accepted are two paths/;
bad 'ProxyCoreCookieDomain a "b; Secure"', qr/accepted are two domains/;
bad "ProxyCoreErrorOverride $_", qr/accepted is off, on, or on and statuses/ for 'maybe', 'off 404', '404';
bad "ProxyCoreErrorOverride on $_", qr/ProxyCoreErrorOverride on \Q$_\E: accepted is a status from 400 to 599/ for '399', '600', '500-499', '4xx', '404,405';
done_testing;
