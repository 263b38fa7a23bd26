# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# A tarball of what is committed, named after the last tag or the commit.

VERSION := $(shell git describe --tags --always 2>/dev/null || echo unknown)

.PHONY: dist deps
dist:
	@mkdir -p $(OUT)
	git archive --prefix=mod_proxy_core-$(VERSION)/ -o $(OUT)/mod_proxy_core-$(VERSION).tar.gz HEAD
	@echo "$(OUT)/mod_proxy_core-$(VERSION).tar.gz"

deps:
	build/deps build run test lint
