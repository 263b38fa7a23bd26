# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Tests in three layers: C programs beside the parts that know nothing of httpd (t/unit, t/fuzz), and the suite
# against a real httpd (t/run). A C program says in its first lines what it is linked with, so that a new one is a
# new file and no change here:
#
#     /* sources: mod_proxy_core/head.c mod_proxy_core/buf.c */
#     /* libs: -lpthread */

UNIT_TESTS  := $(sort $(wildcard t/unit/test_*.c))
TSAN_TESTS  := $(sort $(wildcard t/unit/tsan_*.c))
FUZZ_TESTS  := $(sort $(wildcard t/fuzz/fuzz_*.c))
FUZZ_TIME   ?= 600
FUZZ_SHORT  ?= 10

TEST_CPPFLAGS := $(filter-out -D_FORTIFY_SOURCE%,$(APXS_CPPFLAGS)) $(INCLUDES) -It/unit -I. \
                 -DPROCD_LIBEXECDIR='"$(PROCD_LIBEXECDIR)"'
TEST_CFLAGS   := -g -O1 -std=gnu11 $(WARNINGS) -Wno-unused-function -fno-omit-frame-pointer

unit_CC    := $(CC)
unit_FLAGS := $(SAN_FLAGS)
unit_LIBS  := -lcmocka
tsan_CC    := $(CC)
tsan_FLAGS := -fsanitize=thread
tsan_LIBS  := -lpthread
fuzz_CC    := $(CLANG)
fuzz_FLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
fuzz_LIBS  :=

# What the comment `/* KEY: ... */` among the first lines of a file says.
file-says = $(shell sed -n '1,12s|^/\* *$(1): *\(.*[^ ]\) *\*/.*|\1|p' $(2))

# $(call test-program,KIND,FILE)
define test-program-rules
$(1)_PROGRAMS += $$(OUT)/$(1)/$(notdir $(basename $(2)))
$(1)_OBJ_$(2) := $$(patsubst %.c,$$(OUT)/obj-$(1)/%.o,$(2) $(call file-says,sources,$(2)))
$$(OUT)/$(1)/$(notdir $(basename $(2))): $$($(1)_OBJ_$(2))
	@mkdir -p $$(@D)
	$$(call say,LINK)$$($(1)_CC) $$($(1)_FLAGS) $$(LDFLAGS) -o $$@ $$^ $$($(1)_LIBS) $$(APU_LIBS) $$(APR_LIBS) $(call file-says,libs,$(2))
-include $$($(1)_OBJ_$(2):.o=.d)
endef

define test-kind-rules
$(1)_PROGRAMS :=
$$(OUT)/obj-$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CC)$$($(1)_CC) $$(TEST_CPPFLAGS) $$(CPPFLAGS) $$(TEST_CFLAGS) $$($(1)_FLAGS) $$(CFLAGS) -MMD -MP -c -o $$@ $$<
endef

$(foreach kind,unit tsan fuzz,$(eval $(call test-kind-rules,$(kind))))
$(foreach file,$(UNIT_TESTS),$(eval $(call test-program-rules,unit,$(file))))
$(foreach file,$(TSAN_TESTS),$(eval $(call test-program-rules,tsan,$(file))))
$(foreach file,$(FUZZ_TESTS),$(eval $(call test-program-rules,fuzz,$(file))))

# 1,100 graceful restarts under load: past the number of keys that a process may have.
.PHONY: soak
soak: all
	PC_BIG=1 t/run --quick --once t/procd/soak.t t/procd/signals.t

# The manager under valgrind. Not with what valgrind knows no system call for: adoption (pidfd_open) and CGI (clone).
.PHONY: valgrind
valgrind: all
	@if command -v valgrind >/dev/null; then \
	    PC_VALGRIND=1 PC_TEST_TIMEOUT=600 t/run --quick --once $(or $(TESTS),t/procd/groups.t t/procd/retire.t t/procd/wear.t t/procd/logs.t); \
	else echo "valgrind: not installed"; fi

.PHONY: test check deps-check unit unit-build tsan fuzz fuzz-short fuzz-build asan suite bench
check: test
test: deps-check
	+$(MAKE) all
	+$(MAKE) unit
	+$(MAKE) suite

deps-check:
	@build/deps build run test

unit-build: $(unit_PROGRAMS)

# Each program runs, failed or not; the last line says how it went.
unit: $(unit_PROGRAMS)
	@build/run-programs "unit tests" $^

tsan: $(tsan_PROGRAMS)
	@build/run-programs "thread sanitizer" $^

fuzz-build: $(fuzz_PROGRAMS)

$(fuzz_PROGRAMS): | fuzz-deps
.PHONY: fuzz-deps
fuzz-deps:
	@build/deps build lint

fuzz: $(fuzz_PROGRAMS)
	@build/run-fuzzers $(FUZZ_TIME) $(OUT) $^

fuzz-short: $(fuzz_PROGRAMS)
	@build/run-fuzzers $(FUZZ_SHORT) $(OUT) $^

# The suite against a real httpd. t/run takes PC_BUILD (where modules and programs are) and PC_PRELOAD (a library that
# httpd must be started with).
suite: all
	@if test -x t/run; then PC_BUILD=$(abspath $(OUT)) t/run $(TESTS); else echo "suite: t/run is not there yet"; fi

ASAN_RUNTIME = $(shell $(CC) -print-file-name=libasan.so)
asan:
	+$(MAKE) SANITIZE=address,undefined all unit
	@if test -x t/run; then \
	    PC_BUILD=$(CURDIR)/out-asan PC_PRELOAD=$(realpath $(ASAN_RUNTIME)) build/with-asan t/run --jobs 2 $(TESTS); \
	else echo "suite: t/run is not there yet"; fi

bench: all
	@if test -x build/bench/run; then build/bench/run $(ARGS); else echo "bench: build/bench/run is not there yet"; fi
