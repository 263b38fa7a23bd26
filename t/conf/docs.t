#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What is written down is what there is: each directive that httpd knows of us has a line of help and a section, each message
# a row, and each link leads somewhere. (`make docs-check` compares word by word and tries the examples.)
# F28
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use ProxyCore::Server;
use ProxyCore::Util qw(top_dir slurp run_capture);

my $top = top_dir();
my $s = ProxyCore::Server->new(procd => 1, conf => '')->write_conf;
my ($list) = run_capture($ProxyCore::Server::HTTPD, '-L', '-f', $s->conf_file);
my %help = $list =~ /^(<?\w+) \(mod_(?:proxy_core|procd)\.c\)\n\t(.*)\n/mg;
cmp_ok scalar(keys %help), '>', 70, 'directives of ours';
is join(' ', grep { $help{$_} !~ /^\S.{9,}$/ } sort keys %help), '', 'each has a line of help';

my %section = slurp("$top/docs/reference.md") =~ /^### \\?(<?\w+)(?: \w+)*>?\n(.*?)(?=^##|\z)/msg;
delete $section{Not};
my $later = join '', slurp("$top/docs/reference.md") =~ /^### (Not available yet.*?)(?=^##|\z)/msg;
is join(' ', grep { !$section{$_} && $later !~ /\b$_\b/ } sort keys %help), '', 'and a section of the reference';
is join(' ', grep { !$help{$_} } sort keys %section), '', 'where nothing else stands';
is join(' ', grep { $section{$_} !~ /Syntax/ } sort keys %section), '', 'that says what it takes';

my %row = map { $_ => 1 } slurp("$top/docs/messages.md") =~ /^\| (P(?:XC|RD)\d{4}) \|/mg;
my %tag = map { $_ => 1 } map { slurp($_) =~ /"(P(?:XC|RD)\d{4}): /g } glob "$top/mod_{proxy_core,procd}/{,*/}*.c";
cmp_ok scalar(keys %tag), '>', 100, 'messages';
is join(' ', grep { !$row{$_} } sort keys %tag), '', 'each is explained';

for my $page ('README.md', 't/README.md', map { s{^\Q$top\E/}{}r } glob "$top/docs/*.md") {
    my ($folder) = "$top/$page" =~ m{(.*)/};
    my @dead = grep { !m{^(?:https?:|#)} && !-e "$folder/" . s/#.*//r } slurp("$top/$page") =~ /\]\(([^()\s]+)\)/g;
    is join(' ', @dead), '', "$page: every link leads to a file";
}
done_testing;
