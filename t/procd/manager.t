#!/usr/bin/perl
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
# P1 P4 P5 P6 P8 P9 P10 P11 P14 D1 D2 D3 D6 D7 D8 D19 D23 G9 G13 G14 G20 G34: mod_procd and its manager without
# mod_proxy_core. What is tested stands in smoke.sh, which can be run by itself and as any user.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";

use ProxyCore::Util qw(free_port);

$ENV{PC_PORT} = free_port();
$ENV{PC_PORT2} = free_port();
my $status = system "$FindBin::Bin/smoke.sh";
exit($status >> 8 || $status & 127);
