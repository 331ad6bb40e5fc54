# SPDX-License-Identifier: GPL-3.0-or-later
# make, make check, make bench, make demo, make install [PREFIX= DESTDIR=], make clean
# SAN=1 builds the same under build/san with AddressSanitizer and UBSan; WERROR=1 makes warnings errors.

PREFIX ?= /usr/local
CC ?= gcc
INSTALL ?= install
ARCH := $(shell uname -m)
VERSION := 0.1
comma := ,
B := build$(if $(SAN),/san)
SAN_FLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
LIBS_PKG := jansson libxxhash
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
PKG_CFLAGS := $(shell pkg-config --cflags $(LIBS_PKG) ncursesw)
LIBS := $(shell pkg-config --libs $(LIBS_PKG))
UI_LIBS := $(shell pkg-config --libs ncursesw)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -Isrc -I. $(WARN) -pthread -fno-strict-aliasing \
	-MMD -MP $(SAN_FLAGS) $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pthread $(SAN_FLAGS) $(LDFLAGS)

# What unit tests link: everything but the screens and main.
core_src := $(wildcard src/base/*.c src/model/*.c src/report/*.c src/image/*.c src/live/*.c src/inspect/*.c \
	src/trace/*.c src/capture/*.c src/restore/*.c src/cmd/*.c arch/$(ARCH)/*.c)
core_asm := $(wildcard arch/$(ARCH)/*.S)
ui_src := $(wildcard ui/*.c)
core_obj := $(core_src:%.c=$B/%.o) $(core_asm:%.S=$B/%.o)
ui_obj := $(ui_src:%.c=$B/%.o)

all: $B/ckptview

$B/ckptview: $B/src/main.o $(ui_obj) $B/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(UI_LIBS)

$B/libcore.a: $(core_obj)
	@rm -f $@
	ar rcs $@ $^

$B/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$B/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

install: all
	$(INSTALL) -D -m 755 $B/ckptview $(DESTDIR)$(PREFIX)/bin/ckptview
	$(INSTALL) -D -m 644 contrib/completion/ckptview.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ckptview
	for page in man/*.[1-9]; do \
		$(INSTALL) -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; \
	done

clean:
	rm -rf build

.PHONY: all clean check bench install demo
include tests/rules.mk
-include $(core_obj:.o=.d) $(ui_obj:.o=.d) $B/src/main.d
