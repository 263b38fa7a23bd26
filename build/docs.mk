# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The reference is made from the tables that httpd itself reads and from docs/directives, so that it cannot drift: `make
# docs` writes it, `make docs-check` (a part of lint) fails when it is not current or a directive has no text.

HTTPD ?= $(or $(shell command -v apache2 || command -v httpd),/usr/sbin/apache2)

.PHONY: docs docs-check
docs: $(OUT)/docs/directives.tsv
	build/docs/generate $<

docs-check: $(OUT)/docs/directives.tsv
	build/docs/generate --check $<
	@{ grep -v docs_dump $(OUT)/docs/httpd.conf; echo 'Listen 127.0.0.1:18099'; echo 'ServerRoot $(abspath $(OUT))/docs/root'; \
	    for module in alias vhost_alias mime dir authz_core authz_host ssl; do \
	        echo "LoadModule $${module}_module $(APXS_LIBEXECDIR)/mod_$$module.so"; done; } >$(OUT)/docs/examples.conf
	@openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=example -keyout $(OUT)/docs/example.key \
	    -out $(OUT)/docs/example.crt 2>/dev/null && cat $(OUT)/docs/example.key $(OUT)/docs/example.crt >$(OUT)/docs/example.pem
	build/docs/try-examples $(HTTPD) $(abspath $(OUT))/docs/examples.conf README.md docs/cookbook.md docs/migration.md

$(OUT)/docs/dump.so: build/docs/dump.c
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(OUR_CPPFLAGS) $(INCLUDES) $(OUR_CFLAGS) -fPIC -shared -o $@ $<

# proxy_core after procd, as in a real configuration; -t ends before anything is started.
$(OUT)/docs/directives.tsv: $(MODULES) $(OUT)/docs/dump.so
	@mkdir -p $(OUT)/docs/root/logs
	@printf '%s\n' 'ServerName docs' 'ErrorLog /dev/stderr' 'DefaultRuntimeDir $(abspath $(OUT))/docs/root' \
	    'LoadModule mpm_event_module $(APXS_LIBEXECDIR)/mod_mpm_event.so' \
	    'LoadModule procd_module $(abspath $(OUT))/modules/mod_procd.so' \
	    'LoadModule proxy_core_module $(abspath $(OUT))/modules/mod_proxy_core.so' \
	    'LoadModule docs_dump_module $(abspath $(OUT))/docs/dump.so' >$(OUT)/docs/httpd.conf
	@rm -f $@
	@DOCS_DUMP=$(abspath $@) $(HTTPD) -t -d $(abspath $(OUT))/docs/root -f $(abspath $(OUT))/docs/httpd.conf \
	    >$(OUT)/docs/log 2>&1 || { cat $(OUT)/docs/log; exit 1; }
	@test -s $@ || { echo "docs: httpd wrote no tables"; exit 1; }
