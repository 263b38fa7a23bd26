# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# The programs beside the modules. Each is the .c files of one folder and those files of mod_procd that both sides
# share (mod_procd/sources.mk names them in PROCD_SHARED).

-include mod_procd/sources.mk

PROGRAMS :=

# $(call program,NAME,FOLDER,SHARED SOURCES,LIBRARIES): a folder without sources is no program yet.
define program-rules
PROGRAMS += $$(OUT)/bin/$(1)
$(1)_OBJ := $$(patsubst %.c,$$(OUT)/obj-prog/%.o,$$(sort $$(wildcard $(2)/*.c)) $(3))
$$(OUT)/bin/$(1): $$($(1)_OBJ)
	@mkdir -p $$(@D)
	$$(call say,LINK)$$(CC) -pie $$(SAN_FLAGS) -Wl,-z,relro -Wl,-z,now $$(LDFLAGS) -o $$@ $$^ $(4)
-include $$($(1)_OBJ:.o=.d)
endef
program = $(if $(wildcard $(2)/*.c),$(eval $(call program-rules,$(1),$(2),$(3),$(4))))

$(call program,procd,mod_procd/manager,$(PROCD_SHARED),$(PROCD_LIBS) $(APR_LIBS))
$(call program,procctl,mod_procd/ctl,$(PROCD_SHARED),$(PROCD_LIBS) $(APR_LIBS))
$(call program,procd-host,mod_procd/host,$(PROCD_SHARED),$(PROCD_LIBS) $(APR_LIBS) -ldl)

# mod_procd looks beside its own file first: so a build tree works as it stands.
PROGRAM_LINKS := $(patsubst $(OUT)/bin/%,$(OUT)/modules/%,$(filter-out %/procctl,$(PROGRAMS)))

.PHONY: programs
programs: $(PROGRAMS) $(PROGRAM_LINKS)

$(PROGRAM_LINKS): $(OUT)/modules/%: | $(OUT)/bin/%
	@mkdir -p $(@D)
	$(call say,LINK)ln -sf ../bin/$* $@

$(OUT)/obj-prog/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(INCLUDES) -DPROCD_LIBEXECDIR='"$(PROCD_LIBEXECDIR)"' \
	    -DPROCD_CONTROL_SOCKET='"$(APXS_RUNTIMEDIR)/procd/control"' \
	    $(OUR_CFLAGS) $(CFLAGS) -fPIE -MMD -MP -c -o $@ $<
