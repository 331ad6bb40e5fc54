/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CPU time of a process's threads, from /proc/PID/task/TID/stat. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ui/sample.h"

static int by_tid(const void *a, const void *b)
{
	const struct cpu_sample *const x = a, *const y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

const struct cpu_sample *sample_find(const struct sample *s, int32_t tid)
{
	const struct cpu_sample key = {.tid = tid};

	return s->ncpu ? bsearch(&key, s->cpu, s->ncpu, sizeof(key), by_tid) : NULL;
}

/* Fields 14 and 15, counted behind the name, which may hold anything. */
static uint64_t read_cpu_ns(int dirfd, const char *tid)
{
	cleanup_buf struct buf b = {0};
	char path[64];
	unsigned long long user = 0, sys = 0;

	snprintf(path, sizeof(path), "%.20s/stat", tid);
	if (file_read(dirfd, path, &b) < 0)
		return 0;
	buf_add(&b, "", 1);
	const char *at = strrchr((char *)b.data, ')');

	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			   &sys) != 2)
		return 0;
	return (user + sys) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void add_thread(
	struct sample *s, const struct sample *old, int dirfd, const char *tid, uint64_t passed)
{
	struct cpu_sample *const c = array_push(&s->cpu, &s->ncpu);

	c->tid = atoi(tid);
	c->used_ns = read_cpu_ns(dirfd, tid);
	const struct cpu_sample *const before = sample_find(old, c->tid);

	if (before && passed && c->used_ns > before->used_ns)
		c->permille = (unsigned)((c->used_ns - before->used_ns) * 1000 / passed);
	s->permille += c->permille;
}

void sample_take(struct sample *s, int pid, uint64_t now)
{
	const struct sample old = *s;
	struct sample new = {.at_ns = now};
	const uint64_t passed = old.at_ns ? now - old.at_ns : 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *const dir = opendir(path);

	if (!dir)
		return;
	for (const struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9')
			add_thread(&new, &old, dirfd(dir), d->d_name, passed);
	closedir(dir);
	if (new.ncpu)
		qsort(new.cpu, new.ncpu, sizeof(*new.cpu), by_tid);
	free(old.cpu);
	*s = new;
}

void sample_deinit(struct sample *s)
{
	free(s->cpu);
	*s = (struct sample){0};
}
