# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
# What PSGI applications do.
use strict;
use warnings;
use Digest::SHA qw(sha1_hex);
use Time::HiRes qw(sleep);

sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    if ($path eq '/post') {
        my ($body, $part) = ('');
        $body .= $part while $env->{'psgi.input'}->read($part, 65536);
        return [200, ['Content-Type' => 'text/plain'], [length($body) . ' ' . sha1_hex($body)]];
    }
    if ($path eq '/stream') {
        return sub {
            my $out = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            for my $n (1 .. 5) {
                $out->write("line $n\n");
                sleep 0.1;
            }
            $out->close;
        };
    }
    if ($path eq '/file') {
        open my $fh, '<', __FILE__;
        return [200, ['Content-Type' => 'text/plain', 'Content-Length' => -s __FILE__], $fh];
    }
    return [304, [], []] if ($env->{HTTP_IF_NONE_MATCH} // '') eq '"a"';
    return [200, ['Content-Type' => 'text/plain', ETag => '"a"', 'X-Pid' => $$],
        [join '', map { "$_=$env->{$_}\n" } grep { /^[A-Z]/ } sort keys %$env]];
};
