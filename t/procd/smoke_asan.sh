#!/bin/bash
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# t/procd/smoke_asan.sh: smoke.sh with the build that the address and undefined behaviour sanitizers watch. Needs
# `make SANITIZE=address,undefined all` before.

cd "$(dirname "$0")/../.." || exit 1
runtime=$(realpath "$(${CC:-gcc} -print-file-name=libasan.so)")
PC_BUILD=out-asan PC_PRELOAD=$runtime exec build/with-asan t/procd/smoke.sh
