# SPDX-License-Identifier: GPL-3.0-or-later
# What is tested and how it is built. Victims and bench programs are plain programs: never sanitized.
# ONLY=word runs the suites and cases whose name contains it; SLOW=0 leaves the long loops short.

PYTHON ?= python3
VICTIM_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g -pthread -Wall -Wextra -Wshadow $(if $(WERROR),-Werror) -Itests/victims
CHECK_LIBS := $(shell pkg-config --libs check)
VTERM_LIBS := $(shell pkg-config --libs vterm)
T := build/tests

unit_tests := $(patsubst tests/unit/%.c,$B/tests/unit/%,$(wildcard tests/unit/test_*.c))
unit_help := $(patsubst %.c,$B/%.o,$(filter-out $(wildcard tests/unit/test_*.c),$(wildcard tests/unit/*.c)))
screen_tests := $(patsubst tests/screens/%.c,$B/tests/screens/%,$(wildcard tests/screens/test_*.c))
screen_help := $(patsubst %.c,$B/%.o,$(filter-out $(wildcard tests/screens/test_*.c),$(wildcard tests/screens/*.c)))
victims := $(patsubst tests/victims/%.c,$T/victims/%,$(wildcard tests/victims/*.c))
e2e_tools := $(patsubst tests/e2e/%.c,$B/tests/e2e/%,$(wildcard tests/e2e/*.c))
bench_tools := $(patsubst tests/bench/%.c,$T/bench/%,$(wildcard tests/bench/*.c))
demo_tools := $(patsubst contrib/demo/%.c,build/contrib/demo/%,$(wildcard contrib/demo/*.c))

$(unit_tests): $B/%: $B/%.o $(unit_help) $B/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LIBS)

$(screen_tests): $B/%: $B/%.o $(screen_help) $(ui_obj) $B/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(VTERM_LIBS) $(LIBS) $(UI_LIBS)

$(e2e_tools): $B/%: $B/%.o $B/libcore.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(victims): $T/victims/%: tests/victims/%.c tests/victims/victim.h
	@mkdir -p $(@D)
	$(CC) $(VICTIM_CFLAGS) -o $@ $<

# A 32-bit program without any library: only the compiler is needed.
$T/victims/tiny32: tests/victims/tiny32.S
	@mkdir -p $(@D)
	$(CC) -m32 -nostdlib -static -o $@ $<

$(bench_tools): $T/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(VICTIM_CFLAGS) -O2 -o $@ $<

$(demo_tools): build/contrib/demo/%: contrib/demo/%.c
	@mkdir -p $(@D)
	$(CC) $(VICTIM_CFLAGS) -O2 -Wmissing-prototypes -o $@ $< $(UI_LIBS) -lm

tests: $(unit_tests) $(screen_tests) $(victims) $T/victims/tiny32 $(e2e_tools)

check: all tests
	@CKPTVIEW=$B/ckptview BUILD=$B VICTIMS=$T/victims PYTHON="$(PYTHON)" ONLY="$(ONLY)" \
		sh tests/run.sh $(unit_tests) $(screen_tests) tests/layers tests/e2e/run

bench: all $(bench_tools)
	@CKPTVIEW=$B/ckptview BUILD=$B BENCH=$T/bench $(PYTHON) tests/bench/run.py

demo: all $(demo_tools)
	@CKPTVIEW=$B/ckptview DEMO=build/contrib/demo sh contrib/demo/demo.sh

.PHONY: tests
.SECONDARY:
-include $(unit_tests:=.d) $(unit_help:.o=.d) $(screen_tests:=.d) $(screen_help:.o=.d) $(e2e_tools:=.d)
