# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# make            modules into out/modules, programs into out/bin
# make test       everything that a change must pass (alias: check)
# make run        a private httpd with a page of demonstrations; Ctrl-C ends it
# make install    into httpd's own directories (DESTDIR= is honoured)
#
# APXS=, CC=, OUT=, WERROR=, SANITIZE=, PORT= and the like may be given on the command line; build/config.mk names them.

.DEFAULT_GOAL := all

include build/config.mk
include build/modules.mk
include build/programs.mk
include build/test.mk
include build/lint.mk
include build/docs.mk
include build/install.mk
include build/run.mk
include build/dist.mk

.PHONY: all clean

all: modules programs

clean:
	rm -rf out out-asan out-clang out-apxs
