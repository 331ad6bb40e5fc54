/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mappings of every shape at rest, with their flags: a sparse gigabyte, guard pages, huge pages, locked ones, ones that children
 * do not get, a growing stack-like one, written pages under a read-only private file mapping, an executable one that is called,
 * and one at a fixed low address.
 */
#include <sys/mman.h>
#include "victim.h"

enum { PAGE = 4096, MIB = 1 << 20 };
static char *sparse, *guarded, *huge, *locked, *nofork, *relro, *code, *down;

static char *map(size_t n, int prot, int flags)
{
	char *m = mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	victim_check(m != MAP_FAILED);
	return m;
}

static void build(void)
{
	static const unsigned char answer[] = {0xb8, 42, 0, 0, 0, 0xc3};        /* mov $42, %eax; ret */
	int rw = PROT_READ | PROT_WRITE;
	char name[4096];
	sparse = map((size_t)1024 * MIB, rw, MAP_NORESERVE);
	for (size_t i = 0; i < 1024; i += 37)
		victim_fill(sparse + i * MIB + i * PAGE % MIB, PAGE, i);
	guarded = map(100 * PAGE, rw, 0);
	victim_fill(guarded, 100 * PAGE, 2);
	for (size_t i = 0; i < 100; i += 10)
		victim_check(!mprotect(guarded + i * PAGE, PAGE, PROT_NONE));
	huge = map(16 * MIB, rw, 0);
	madvise(huge, 16 * MIB, MADV_HUGEPAGE);
	victim_fill(huge, 16 * MIB, 3);
	locked = map(8 * PAGE, rw, 0);
	victim_fill(locked, 8 * PAGE, 4);
	victim_check(!mlock(locked, 8 * PAGE));
	nofork = map(8 * PAGE, rw, 0);
	victim_fill(nofork, 8 * PAGE, 5);
	victim_check(!madvise(nofork, 4 * PAGE, MADV_DONTFORK) && !madvise(nofork, 2 * PAGE, MADV_DONTDUMP));
	victim_check(!madvise(nofork + 4 * PAGE, 4 * PAGE, MADV_WIPEONFORK));
	snprintf(name, sizeof(name), "%s.relro", victim_result);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	victim_check(fd >= 0 && write(fd, guarded + PAGE, 5 * PAGE) == 5 * PAGE);
	relro = mmap(NULL, 5 * PAGE, rw, MAP_PRIVATE, fd, 0);
	close(fd);
	victim_fill(relro + PAGE, PAGE, 6);
	victim_check(!mprotect(relro, 5 * PAGE, PROT_READ));
	code = map(PAGE, rw, 0);
	memcpy(code, answer, sizeof(answer));
	victim_check(!mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	down = map(16 * PAGE, rw, MAP_GROWSDOWN);
	victim_fill(down + 15 * PAGE, PAGE, 7);
	char *low = mmap((void *)0x200000, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	victim_check(low == (void *)0x200000);
	victim_fill(low, PAGE, 8);
}

static void check(void)
{
	for (size_t i = 0; i < 1024; i++) {
		char *p = sparse + i * MIB + i * PAGE % MIB;
		if (i % 37)
			victim_check(!memcmp(p, p + 8, PAGE - 8) && !*p);
		else
			victim_check(victim_filled(p, PAGE, i));
	}
	for (size_t i = 0; i < 100; i++) {
		char *p = guarded + i * PAGE;
		if (i % 10 == 0)
			victim_check(write(-1, p, 1) == -1 && !mprotect(p, PAGE, PROT_READ));
		victim_check(victim_filled(p, PAGE, 2 + i * PAGE / 8));
	}
	victim_check(victim_filled(huge, 16 * MIB, 3) && victim_filled(locked, 8 * PAGE, 4));
	victim_check(victim_filled(nofork, 8 * PAGE, 5));
	victim_check(victim_filled(relro, PAGE, 2 + PAGE / 8) && victim_filled(relro + PAGE, PAGE, 6));
	victim_check(victim_filled(relro + 2 * PAGE, 3 * PAGE, 2 + 3 * PAGE / 8));
	int (*call)(void) = (int (*)(void))code;
	victim_check(call() == 42);
	victim_check(victim_filled(down + 15 * PAGE, PAGE, 7) && victim_filled((void *)0x200000, PAGE, 8));
	memset(huge, 9, 16 * MIB);
	memset(locked, 9, 8 * PAGE);
	victim_check(!mprotect(relro, 5 * PAGE, PROT_READ | PROT_WRITE));
	memset(relro, 1, 5 * PAGE);
}

int main(int argc, char **argv)
{
	victim_init(argc, argv);
	build();
	victim_ready();
	victim_wait();
	check();
	victim_pass();
}
