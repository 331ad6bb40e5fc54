/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The address space changes all the time. Each variant repeats one kind of change and checks what memory must hold
 * before and after: mmap, mremap, brk, dontneed, free, mprotect, fixed, grow (the stack), file, all.
 */
#include <sys/mman.h>
#include "victim.h"

enum { PAGE = 4096, PAGES = 1024 };
static const size_t len = (size_t)PAGES * PAGE;
static uint64_t gen;

#define must(cond) \
	do { \
		if (!(cond)) \
			victim_fail("%s, generation %lu: %s (errno %d)", __func__, gen, #cond, errno); \
	} while (0)

static char *map(size_t n, int prot)
{
	char *m = mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(m != MAP_FAILED);
	return m;
}

static bool zero(const char *m, size_t n)
{
	return !*m && !memcmp(m, m + 1, n - 1);
}

static void change_mmap(void)
{
	static char *kept[4];
	char **k = &kept[gen % 4];
	if (*k) {
		must(victim_filled(*k, len, gen - 4));
		must(!munmap(*k, len / 2));
		must(victim_filled(*k + len / 2, len / 2, gen - 4 + len / 16));
		must(!munmap(*k + len / 2, len / 2));
	}
	*k = map(len, PROT_READ | PROT_WRITE);
	must(zero(*k, len));
	victim_fill(*k, len, gen);
}

static void change_mremap(void)
{
	static char *m;
	static size_t n;
	static uint64_t seed;
	if (!m) {
		n = len;
		m = map(n, PROT_READ | PROT_WRITE);
		seed = gen;
		victim_fill(m, n, seed);
	}
	size_t to = gen % 3 == 0 ? 2 * len : gen % 3 == 1 ? len / 2 : len;
	char *r = mremap(m, n, to, MREMAP_MAYMOVE);
	must(r != MAP_FAILED);
	must(victim_filled(r, n < to ? n : to, seed));
	must(to <= n || zero(r + n, to - n));
	char *hole = map(to, PROT_NONE);
	m = mremap(r, to, to, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
	must(m == hole && victim_filled(m, n < to ? n : to, seed));
	n = to;
	seed = gen;
	victim_fill(m, n, seed);
}

static void change_brk(void)
{
	static char *top;
	if (top) {
		must(victim_filled(top, len, gen - 1));
		must(!brk(top));
	}
	top = sbrk((intptr_t)len);
	must(top != (void *)-1 && zero(top, len));
	victim_fill(top, len, gen);
}

static void change_dontneed(void)
{
	static char *m;
	if (!m) {
		m = map(len, PROT_READ | PROT_WRITE);
		victim_fill(m, len, gen - 1);
	}
	must(victim_filled(m, len, gen - 1));
	must(!madvise(m + len / 4, len / 2, MADV_DONTNEED));
	must(victim_filled(m, len / 4, gen - 1) && zero(m + len / 4, len / 2));
	must(victim_filled(m + 3 * len / 4, len / 4, gen - 1 + 3 * len / 32));
	victim_fill(m, len, gen);
}

/* After MADV_FREE a page holds what it held, or zeros. */
static void change_free(void)
{
	static char *m;
	if (!m)
		m = map(len, PROT_READ | PROT_WRITE);
	victim_fill(m, len, gen);
	must(!madvise(m, len, MADV_FREE));
	for (size_t i = 0; i < PAGES; i++) {
		char *p = m + i * PAGE;
		must(victim_filled(p, PAGE, gen + i * PAGE / 8) || zero(p, PAGE));
	}
}

static void change_mprotect(void)
{
	static char *m;
	if (!m) {
		m = map(len, PROT_READ | PROT_WRITE);
		victim_fill(m, len, gen - 1);
	}
	must(!mprotect(m, len, PROT_READ) && victim_filled(m, len, gen - 1));
	must(!mprotect(m + len / 4, len / 4, PROT_NONE));
	/* The kernel must find them as they were asked for: a read into a read-only page fails. */
	int fd = open("/dev/zero", O_RDONLY);
	must(fd >= 0 && read(fd, m, 10) == -1 && errno == EFAULT);
	must(read(fd, m + len / 4, 10) == -1 && errno == EFAULT);
	close(fd);
	must(!mprotect(m, len, PROT_READ | PROT_WRITE) && victim_filled(m, len, gen - 1));
	victim_fill(m, len, gen);
}

static void change_fixed(void)
{
	static char *m;
	if (!m) {
		m = map(len, PROT_READ | PROT_WRITE);
		victim_fill(m, len, gen - 1);
	}
	must(victim_filled(m, len, gen - 1));
	char *mid = m + len / 4;
	must(mmap(mid, len / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mid);
	must(zero(mid, len / 2) && victim_filled(m, len / 4, gen - 1));
	victim_fill(m, len, gen);
}

static uint64_t deep(int depth)
{
	volatile char room[8192];
	for (size_t i = 0; i < sizeof(room); i += 512)
		room[i] = (char)(depth + (int)i);
	uint64_t below = depth ? deep(depth - 1) : 0;
	for (size_t i = 0; i < sizeof(room); i += 512)
		must(room[i] == (char)(depth + (int)i));
	return below + 1;
}

static void change_grow(void)
{
	must(deep(100 + (int)(gen % 300)) == 101 + gen % 300);
}

/* A private mapping of a file: written pages are the process's own, others the file's. */
static void change_file(void)
{
	static char *m;
	static int fd = -1;
	if (fd < 0) {
		char name[4096];
		snprintf(name, sizeof(name), "%s.map", victim_result);
		fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
		char *text = map(len, PROT_READ | PROT_WRITE);
		victim_fill(text, len, 1);
		must(fd >= 0 && write(fd, text, len) == (ssize_t)len && !munmap(text, len));
	}
	if (m) {
		must(victim_filled(m, len / 2, gen - 1) && victim_filled(m + len / 2, len / 2, 1 + len / 16));
		must(!munmap(m, len));
	}
	m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	must(m != MAP_FAILED && victim_filled(m, len, 1));
	victim_fill(m, len / 2, gen);
	must(!mprotect(m, len, PROT_READ));
}

static const struct {
	const char *name;
	void (*run)(void);
} changes[] = {
	{"mmap", change_mmap}, {"mremap", change_mremap}, {"brk", change_brk}, {"dontneed", change_dontneed},
	{"free", change_free}, {"mprotect", change_mprotect}, {"fixed", change_fixed}, {"grow", change_grow},
	{"file", change_file},
};

int main(int argc, char **argv)
{
	victim_init(argc, argv);
	/* Something that must stay as it is besides, large enough that the window is no instant. */
	char *still = map(16 << 20, PROT_READ | PROT_WRITE);
	victim_fill(still, 16 << 20, 0xabc);
	for (gen = 100; gen == 100 || !victim_told(); gen++) {
		for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
			if (victim_is(changes[i].name) || victim_is("all"))
				changes[i].run();
		if (gen == 104)
			victim_ready();
	}
	victim_check(victim_filled(still, 16 << 20, 0xabc));
	victim_pass();
}
