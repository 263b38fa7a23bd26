#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
# echo.py as a CGI script.
use strict;
use warnings;
my ($read, $part, $status, $body, @fields) = (0);
$read += length $part while read STDIN, $part, 65536;
for my $word (split /&/, $ENV{QUERY_STRING} // '') {
    my ($name, $value) = split /=/, $word, 2;
    ($value //= '') =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    $status = $value if $name eq 'status';
    $body = $value if $name eq 'body';
    push @fields, $value =~ s/:/: /r if $name eq 'header';
}
$body //= join '', "body=$read\n", map { "$_=$ENV{$_}\n" } sort keys %ENV;
print "Status: $status\n" if $status;
print "$_\n" for @fields;
print "Content-Type: text/plain\n\n$body";
