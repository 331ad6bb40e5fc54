/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * clockwatch FILE MIB WRITES: holds MIB of live data, writes WRITES pages of it a second, and has a thread that does nothing
 * but look at the clock: how long the longest moment was in which it did not run is what a checkpoint feels like.
 * FILE is mapped and shared with the one who measures.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, GAPS = 8192, NOTED_NS = 20000 };
struct shared {
	uint64_t ready;
	uint64_t beat;          /* counts while the watcher runs */
	uint64_t reset;         /* set by the measurer: forget; cleared when done */
	uint64_t longest_ns;
	uint64_t ngaps;         /* the newest is gap[(ngaps - 1) % GAPS] */
	uint64_t written;       /* pages */
	uint64_t late_ns;       /* longest delay of the writer against its plan */
	uint64_t spare;
	struct { uint64_t begin_ns, end_ns; } gap[GAPS];
};
static volatile struct shared *sh;

static uint64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void *watch(void *arg)
{
	for (uint64_t before = clock_ns();; sh->beat++) {
		uint64_t now = clock_ns(), gap = now - before;
		if (sh->reset) {
			sh->longest_ns = 0;
			sh->ngaps = 0;
			sh->late_ns = 0;
			sh->reset = 0;
			gap = 0;
		}
		if (gap > NOTED_NS) {
			uint64_t i = sh->ngaps % GAPS;
			sh->gap[i].begin_ns = before;
			sh->gap[i].end_ns = now;
			sh->ngaps++;
		}
		if (gap > sh->longest_ns)
			sh->longest_ns = gap;
		before = now;
	}
	return arg;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*sh)))
		return 3;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	size_t pages = (size_t)atol(argv[2]) * 256, rate = (size_t)atol(argv[3]);
	uint64_t *mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED || mem == MAP_FAILED)
		return 3;
	uint64_t seed = 88172645463325252u;
	for (size_t i = 0; i < pages * PAGE / 8; i++)
		mem[i] = seed += 0x9e3779b97f4a7c15;
	pthread_t t;
	if (pthread_create(&t, NULL, watch, NULL))
		return 3;
	sh->ready = 1;
	/* Every millisecond its share of the pages, against the plan and not against the last time. */
	uint64_t begin = clock_ns();
	for (uint64_t ms = 0;; ms++) {
		uint64_t due = begin + ms * 1000000, now = clock_ns();
		if (now < due) {
			struct timespec ts = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		} else if (now - due > 100000000) {
			begin = now;            /* after a long stop there is no catching up */
			ms = 0;
		}
		for (uint64_t k = ms * rate / 1000; k < (ms + 1) * rate / 1000; k++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			mem[seed % pages * (PAGE / 8)] = seed;
			sh->written++;
		}
	}
}
