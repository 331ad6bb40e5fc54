/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The measuring of sysmeasure.h. */
#include "sysmeasure.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define ARENA_PAGES 1024

static uint8_t *arena;
static uint8_t before[ARENA_PAGES * PAGE];
static size_t used;

void *block(size_t len)
{
	if (!arena) {
		arena = mmap(NULL, sizeof(before), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert(arena != MAP_FAILED);
		for (size_t i = 0; i < sizeof(before); i++)
			arena[i] = (uint8_t)(i * 37 + 0xa5);
	}
	const size_t pages = (len + 512 + PAGE - 1) / PAGE;
	ck_assert(used + pages < ARENA_PAGES);
	uint8_t *p = arena + used * PAGE + 256;
	used += pages + 1;
	return p;
}

static size_t read_self(void *ctx, uint64_t addr, void *out, size_t len)
{
	struct iovec mine = {out, len}, there = {(void *)(uintptr_t)addr, len};
	const ssize_t n = process_vm_readv(getpid(), &mine, 1, &there, 1, 0);

	(void)ctx;
	return n < 0 ? 0 : (size_t)n;
}

static void arena_protect(const struct ranges *writes)
{
	mprotect(arena, sizeof(before), PROT_READ);
	for (size_t i = 0; i < sizeof(before); i += PAGE)
		if (ranges_touches(writes, (uintptr_t)arena + i, (uintptr_t)arena + i + PAGE))
			mprotect(arena + i, PAGE, PROT_READ | PROT_WRITE);
}

static size_t arena_compare(const char *name, const struct ranges *writes)
{
	size_t changed = 0;

	for (size_t i = 0; i < sizeof(before); i++) {
		if (arena[i] == before[i])
			continue;
		changed++;
		ck_assert_msg(ranges_has(writes, (uintptr_t)arena + i),
			"%s wrote byte %zu of page %zu", name, i % PAGE, i / PAGE);
	}
	return changed;
}

long measure(long nr, unsigned want, const uint64_t args[6], size_t *changed)
{
	const char *name = x86_64_syscall_name(nr);
	struct ranges writes = {0}, mm = {0};

	if (!arena)
		block(1);
	const unsigned effect = x86_64_syscall_effect(nr, args, read_self, NULL, &writes, &mm);
	ck_assert_msg(effect == want, "%s: effect %#x instead of %#x", name, effect, want);
	memcpy(before, arena, sizeof(before));
	arena_protect(&writes);
	long ret = syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
	if (ret < 0)
		ret = -errno;
	mprotect(arena, sizeof(before), PROT_READ | PROT_WRITE);
	*changed = arena_compare(name, &writes);
	ranges_deinit(&writes);
	ranges_deinit(&mm);
	return ret;
}
