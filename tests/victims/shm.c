/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared memory inside one process: two mappings of a memfd (one of them moved and read-only), MAP_SHARED|MAP_ANONYMOUS, a shared
 * file. They are written all through the checkpoint and must stay one memory, also after a restore. */
#include <pthread.h>
#include <sys/mman.h>
#include "victim.h"

enum { PAGE = 4096, PAGES = 600, LEN = PAGE * PAGES };
static char *one, *two, *anon, *file_a, *file_b;
static volatile bool stop;

static char *map(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	char *m = mmap(at, n, prot, flags, fd, off);
	victim_check(m != MAP_FAILED);
	return m;
}

static void *run(void *arg)
{
	for (uint64_t gen = 1; !stop; gen++) {
		for (size_t i = 0; i < PAGES; i++) {
			uint64_t *w = (uint64_t *)(one + i * PAGE);
			if (i >= 100 && *(volatile uint64_t *)(two + (i - 100) * PAGE) != *w)
				victim_fail("page %zu of the memfd differs between its two mappings", i);
			if (*w != gen - 1 || *(volatile uint64_t *)(anon + i * PAGE) != gen - 1)
				victim_fail("page %zu is of generation %lu, not %lu", i, *w, gen - 1);
			*w = gen;
			*(volatile uint64_t *)(anon + i * PAGE) = gen;
			*(volatile uint64_t *)(file_a + i * PAGE) = gen;
			/* After a restore the file is as the killed process left it: only both views of it must agree. */
			volatile uint64_t *a = (uint64_t *)(file_a + i * PAGE), *b = (uint64_t *)(file_b + i * PAGE);
			if (*a != *b && *a != *b)       /* twice: it may have been saved between two looks */
				victim_fail("page %zu of the shared file differs between its mappings", i);
		}
	}
	return arg;
}

int main(int argc, char **argv)
{
	char name[4096];
	pthread_t t;
	victim_init(argc, argv);
	int fd = memfd_create("shared", 0);
	victim_check(fd >= 0 && !ftruncate(fd, LEN));
	one = map(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	two = map(NULL, LEN - 100 * PAGE, PROT_READ, MAP_SHARED, fd, 100 * PAGE);
	if (!victim_is("open"))
		close(fd);
	anon = map(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(name, sizeof(name), "%s.shared", victim_result);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	victim_check(fd >= 0 && !ftruncate(fd, LEN));
	file_a = map(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	file_b = map(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	victim_check(!pthread_create(&t, NULL, run, NULL));
	victim_ready();
	victim_wait();
	stop = true;
	pthread_join(t, NULL);
	victim_pass();
}
