# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# What a reader should never have to say in a review. `make lint` runs all of it; `make -k lint` goes on after a
# finding; `make format` lets clang-format have its way.

C_FILES := $(sort $(wildcard include/*.h mod_proxy_core/*.[ch] mod_proxy_core/*/*.[ch] mod_procd/*.[ch] \
                             mod_procd/*/*.[ch] t/unit/*.[ch] t/fuzz/*.[ch] t/backends/*.[ch] t/procd/*.[ch] build/*/*.[ch]))
CLANG_FORMAT ?= clang-format

LINT_STEPS := lint-format lint-style lint-cppcheck lint-spell lint-clang lint-docs

.PHONY: lint lint-tools format $(LINT_STEPS)
lint: lint-tools
	+$(MAKE) $(LINT_STEPS)
	@echo "lint: nothing to complain about"

lint-tools:
	@build/deps build run test lint

lint-format:
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

format:
	$(CLANG_FORMAT) -i $(C_FILES)

lint-style:
	build/check-style

# unknownMacro and the like come of httpd's headers, which cppcheck need not read.
lint-cppcheck:
	@mkdir -p $(OUT)/cppcheck
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j2 \
	    --cppcheck-build-dir=$(OUT)/cppcheck --suppressions-list=build/cppcheck.suppressions \
	    -Iinclude -Imod_proxy_core -Imod_procd -D__linux__ \
	    -D'APLOG_USE_MODULE(x)=extern int x' -D'APR_DECLARE_OPTIONAL_FN(r,n,a)=extern r n a' \
	    $(filter-out t/% build/%,$(filter %.c,$(C_FILES)))

lint-spell:
	codespell --quiet-level=2 --ignore-words=build/codespell.words README.md docs include mod_proxy_core mod_procd build t \
	    --skip='t/fuzz/corpus,t/logs,*.pem,*.dict'

# The other compiler sees other things. Its output stays apart.
lint-clang:
	+$(MAKE) OUT=out-clang CC=$(CLANG) WERROR=-Werror all unit-build

lint-docs: docs-check
