# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
#
# Where the tools are and with which flags everything is built. The compiler's flags are httpd's own, as apxs tells
# them, with ours behind them.

APXS      ?= apxs
CLANG     ?= clang
WERROR    ?= -Werror
# SANITIZE=address,undefined builds everything with these sanitizers, into a folder of its own.
SANITIZE  ?=
OUT       ?= $(if $(SANITIZE),out-asan,out)

apxs-q = $(shell $(APXS) -q $(1) 2>/dev/null)

APXS_INCLUDEDIR := $(call apxs-q,INCLUDEDIR)
APXS_LIBEXECDIR := $(call apxs-q,LIBEXECDIR)
APXS_SBINDIR    := $(call apxs-q,SBINDIR)
APXS_SYSCONFDIR := $(call apxs-q,SYSCONFDIR)
APXS_RUNTIMEDIR := $(call apxs-q,runtimedir)
APXS_PREFIX     := $(call apxs-q,prefix)
APXS_CPPFLAGS   := $(call apxs-q,CPPFLAGS) $(call apxs-q,EXTRA_CPPFLAGS)
APXS_CFLAGS     := $(call apxs-q,CFLAGS) $(call apxs-q,EXTRA_CFLAGS)
APR_CONFIG      ?= $(or $(call apxs-q,APR_CONFIG),apr-1-config)
APU_CONFIG      ?= $(or $(call apxs-q,APU_CONFIG),apu-1-config)
PKG_CONFIG      ?= pkg-config

# These begin with build/deps, which brings apxs, and then call make again.
WITHOUT_APXS := run run-deps run-check test check deps deps-check lint clean dist
ifeq ($(APXS_INCLUDEDIR),)
ifneq ($(filter-out $(WITHOUT_APXS),$(or $(MAKECMDGOALS),all)),)
$(error $(APXS) does not answer. "make deps" as root installs what is needed on Debian (build/packages lists it); \
APXS=/path/to/apxs names another one)
endif
endif

# make's own default is "cc"; prefer the compiler that httpd was built with.
ifeq ($(origin CC),default)
CC := $(or $(call apxs-q,CC),cc)
endif

APR_INCLUDES := $(shell $(APR_CONFIG) --includes 2>/dev/null) $(shell $(APU_CONFIG) --includes 2>/dev/null)
APR_LIBS     := $(shell $(APR_CONFIG) --link-ld 2>/dev/null)
APU_LIBS     := $(shell $(APU_CONFIG) --link-ld 2>/dev/null)
SSL_LIBS     := $(shell $(PKG_CONFIG) --libs libssl libcrypto 2>/dev/null || echo -lssl -lcrypto)
PCRE_LIBS    := $(shell $(PKG_CONFIG) --libs libpcre2-8 2>/dev/null || echo -lpcre2-8)

WARNINGS  := -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes $(WERROR)
# Headers of others are system headers: their macros need not stand our warnings.
INCLUDES  := -Iinclude -Imod_proxy_core -Imod_procd \
             $(patsubst -I%,-isystem %,$(sort -I$(APXS_INCLUDEDIR) $(filter-out -I/usr/include,$(APR_INCLUDES))))
SAN_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -fno-omit-frame-pointer)

# -D_FORTIFY_SOURCE needs -O and disagrees with the sanitizers.
OUR_CPPFLAGS := $(if $(SANITIZE),$(filter-out -D_FORTIFY_SOURCE%,$(APXS_CPPFLAGS)) -U_FORTIFY_SOURCE,$(APXS_CPPFLAGS))
OUR_CFLAGS   := $(if $(SANITIZE),-g -O1,$(APXS_CFLAGS)) -std=gnu11 $(WARNINGS) -fvisibility=hidden $(SAN_FLAGS)

# V=1 shows the commands.
V   ?=
say = $(if $(V),,@printf '%-5s %s\n' $(1) $@; )

# No rule below builds anything half: a target whose recipe failed is removed.
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
