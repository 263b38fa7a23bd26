# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Modules and headers go where apxs says, the manager where mod_procd looks for it (PROCD_LIBEXECDIR), procctl beside
# apachectl. On Debian a2enmod and a2dismod find the modules. `make uninstall` removes exactly these files.

DESTDIR     ?=
LIBEXECDIR  ?= $(APXS_LIBEXECDIR)
INCLUDEDIR  ?= $(APXS_INCLUDEDIR)
SYSCONFDIR  ?= $(APXS_SYSCONFDIR)
SBINDIR     ?= $(APXS_SBINDIR)
DATADIR     ?= $(if $(prefix),$(prefix),$(or $(APXS_PREFIX),/usr))/share
MANDIR      ?= $(DATADIR)/man
COMPLETIONDIR ?= $(DATADIR)/bash-completion/completions

# Debian's layout, or what stands at DESTDIR of it.
MODS_AVAILABLE := $(if $(wildcard $(SYSCONFDIR)/mods-available),$(SYSCONFDIR)/mods-available)

HEADERS       := $(wildcard include/*.h)
SBIN_PROGRAMS := $(filter %/procctl,$(PROGRAMS))
LIB_PROGRAMS  := $(filter-out %/procctl,$(PROGRAMS))

installed = $(addprefix $(DESTDIR)$(LIBEXECDIR)/,$(notdir $(MODULES))) \
            $(addprefix $(DESTDIR)$(PROCD_LIBEXECDIR)/,$(notdir $(LIB_PROGRAMS))) \
            $(addprefix $(DESTDIR)$(SBINDIR)/,$(notdir $(SBIN_PROGRAMS))) \
            $(addprefix $(DESTDIR)$(INCLUDEDIR)/,$(notdir $(HEADERS))) \
            $(DESTDIR)$(MANDIR)/man8/procctl.8 $(DESTDIR)$(COMPLETIONDIR)/procctl \
            $(if $(MODS_AVAILABLE),$(foreach m,proxy_core procd,$(foreach e,load conf,$(DESTDIR)$(MODS_AVAILABLE)/$m.$e)))

.PHONY: install uninstall
install: all
	install -d $(sort $(dir $(installed)))
	install -m 644 $(MODULES) $(DESTDIR)$(LIBEXECDIR)
	$(if $(LIB_PROGRAMS),install -m 755 $(LIB_PROGRAMS) $(DESTDIR)$(PROCD_LIBEXECDIR))
	$(if $(SBIN_PROGRAMS),install -m 755 $(SBIN_PROGRAMS) $(DESTDIR)$(SBINDIR))
	install -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)
	install -m 644 docs/man/procctl.8 $(DESTDIR)$(MANDIR)/man8
	install -m 644 build/completion/procctl $(DESTDIR)$(COMPLETIONDIR)
ifneq ($(MODS_AVAILABLE),)
	for module in proxy_core procd; do \
	    echo "LoadModule $${module}_module $(LIBEXECDIR)/mod_$$module.so" >$(DESTDIR)$(MODS_AVAILABLE)/$$module.load && \
	    install -m 644 build/debian/$$module.conf $(DESTDIR)$(MODS_AVAILABLE)/$$module.conf || exit 1; \
	done
	@echo "installed; a2enmod procd proxy_core enables both"
else
	@echo "installed; load them with"
	@echo "  LoadModule procd_module $(LIBEXECDIR)/mod_procd.so"
	@echo "  LoadModule proxy_core_module $(LIBEXECDIR)/mod_proxy_core.so"
endif

# An enabled module whose file is gone would keep httpd from starting.
uninstall:
ifneq ($(MODS_AVAILABLE),)
	$(if $(DESTDIR),,-a2dismod -q -f proxy_core procd 2>/dev/null)
endif
	rm -f $(installed)
	$(if $(DESTDIR),rmdir -p $(sort $(dir $(installed))) 2>/dev/null || true)
