/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads write every page of their share again and again, in order, as fast as they can. VARIANT is "THREADS,MIB".
 * A page holds one generation's pattern in all its words, and its writer remembers how far it is: an image that mixes instants
 * has a page of another generation, which the writer sees at its next visit, also after a restore.
 */
#include <pthread.h>
#include <sys/mman.h>
#include "victim.h"

enum { PAGE = 4096, WORDS = PAGE / 8 };
struct share {
	uint64_t *mem;
	size_t pages;
	uint64_t seed;
};
static volatile bool stop;

static uint64_t word(const struct share *s, size_t page, uint64_t gen, size_t i)
{
	return s->seed ^ (gen << 20) ^ (page << 9) ^ i;
}

static void check_page(const struct share *s, size_t page, uint64_t gen)
{
	const uint64_t *w = s->mem + page * WORDS;
	for (size_t i = 0; i < WORDS; i++)
		if (w[i] != word(s, page, gen, i))
			victim_fail("page %zu word %zu is %lx, generation %lu wants %lx", page, i, w[i], gen,
				word(s, page, gen, i));
}

static void *run(void *arg)
{
	const struct share *s = arg;
	for (uint64_t gen = 1; !stop; gen++) {
		for (size_t page = 0; page < s->pages; page++) {
			uint64_t *w = s->mem + page * WORDS;
			if (gen > 1)
				check_page(s, page, gen - 1);
			for (size_t i = 0; i < WORDS; i++)
				w[i] = word(s, page, gen, i);
		}
		if (stop)
			for (size_t page = 0; page < s->pages; page++)
				check_page(s, page, gen);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = 2, mib = 32;
	victim_init(argc, argv);
	if (*victim_variant && sscanf(victim_variant, "%d,%d", &threads, &mib) != 2)
		victim_fail("variant %s is not THREADS,MIB", victim_variant);
	size_t pages = ((size_t)mib << 20) / PAGE / (size_t)threads;
	struct share *s = calloc((size_t)threads, sizeof(*s));
	pthread_t *t = calloc((size_t)threads, sizeof(*t));
	char *mem = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	victim_check(mem != MAP_FAILED);
	memset(mem, 0xee, (size_t)mib << 20);
	for (int i = 0; i < threads; i++) {
		s[i] = (struct share){(uint64_t *)(mem + (size_t)i * pages * PAGE), pages, victim_mix((uint64_t)i)};
		victim_check(!pthread_create(&t[i], NULL, run, &s[i]));
	}
	victim_ready();
	victim_wait();
	stop = true;
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	victim_pass();
}
