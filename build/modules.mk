# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The two modules. A module is all the .c files of its folders, so a new codec, balancer or status page is a new file
# and no change here. What httpd looks up by name is the module structure and nothing else: the rest is hidden.

PROXY_CORE_SRC := $(sort $(wildcard mod_proxy_core/*.c mod_proxy_core/protocols/*.c mod_proxy_core/balancers/*.c))
PROCD_MOD_SRC  := $(sort $(wildcard mod_procd/*.c))

MODULES := $(if $(PROXY_CORE_SRC),$(OUT)/modules/mod_proxy_core.so) $(if $(PROCD_MOD_SRC),$(OUT)/modules/mod_procd.so)

# Where `make install` puts the manager, and where mod_procd looks for it when none is beside its own file: on Debian
# /usr/lib/apache2, elsewhere with httpd itself; prefix= says otherwise.
PROCD_LIBEXECDIR ?= $(strip $(if $(prefix),$(prefix)/lib/apache2,$(if $(filter /usr/lib/apache2/modules,$(APXS_LIBEXECDIR)),\
                      /usr/lib/apache2,$(APXS_SBINDIR))))

.PHONY: modules
modules: $(MODULES)

mod-obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(INCLUDES) -DPROCD_LIBEXECDIR='"$(PROCD_LIBEXECDIR)"' \
	    $(OUR_CFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

# Undefined symbols of a module are httpd's; with a sanitizer they are also the runtime's, which is preloaded.
$(OUT)/modules/mod_proxy_core.so: $(call mod-obj,$(PROXY_CORE_SRC))
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) -shared $(SAN_FLAGS) -Wl,-z,relro -Wl,-z,now $(LDFLAGS) -o $@ $^ $(PCRE_LIBS) $(SSL_LIBS) -lm
	@build/check-module $@ proxy_core_module

$(OUT)/modules/mod_procd.so: $(call mod-obj,$(PROCD_MOD_SRC))
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) -shared $(SAN_FLAGS) -Wl,-z,relro -Wl,-z,now $(LDFLAGS) -o $@ $^
	@build/check-module $@ procd_module

-include $(patsubst %.o,%.d,$(call mod-obj,$(PROXY_CORE_SRC) $(PROCD_MOD_SRC)))

# The same sources with nothing but apxs, for those who build modules that way.
.PHONY: apxs
apxs:
	rm -rf out-apxs && mkdir -p out-apxs
	cp -r include mod_proxy_core mod_procd out-apxs/
	cd out-apxs && $(APXS) -c -I include -I mod_proxy_core -I mod_procd -o mod_proxy_core.la $(PROXY_CORE_SRC) -lpcre2-8 -lssl -lcrypto
	cd out-apxs && $(APXS) -c -I include -I mod_procd -DPROCD_LIBEXECDIR='\"$(PROCD_LIBEXECDIR)\"' -o mod_procd.la $(PROCD_MOD_SRC)
	build/check-module out-apxs/.libs/mod_proxy_core.so proxy_core_module
	build/check-module out-apxs/.libs/mod_procd.so procd_module
