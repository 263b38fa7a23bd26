# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# make run                                     a private httpd on 127.0.0.1:8080; Ctrl-C ends it
# make run PORT=8090                           on another port
# make run ARGS="--port 8090 --background"     and in the background
# make run ARGS=--stop                         ends that one

PORT ?= 8080
ARGS ?=

FCGI_LIBS ?= -lfcgi

.PHONY: run run-deps run-check
run: run-deps
	@+$(MAKE) -s --no-print-directory all $(OUT)/demo/hello
	@exec build/demo/run --out $(OUT) --port $(PORT) $(ARGS)

# Every demonstration used once.
run-check: run-deps
	@+$(MAKE) -s --no-print-directory all
	@build/demo/check

run-deps:
	@build/deps build run

$(OUT)/demo/hello: build/demo/hello.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(filter-out -fsanitize% -fno-sanitize%,$(OUR_CFLAGS)) $(LDFLAGS) -o $@ $< $(FCGI_LIBS)
