/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The threads of a process with what /proc and the scheduler's calls tell of them from outside.
 * What a thread already holds from injection or from its registers is left alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live/internal.h"

/* sched_setattr(2); glibc 2.36 does not have it. */
struct sched_attr_raw {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

static int compare_tids(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

int32_t *live_tids(struct live *l, size_t *n, struct err *e)
{
	const int fd = openat(l->dirfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *const dir = fd < 0 ? NULL : fdopendir(fd);
	int32_t *tids = NULL;
	const struct dirent *d;

	*n = 0;
	if (!dir) {
		err_sys(e, 0, "list the threads of %d", l->pid);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	while ((d = readdir(dir)) != NULL) {
		const int32_t tid = (int32_t)strtol(d->d_name, NULL, 10);

		if (tid > 0)
			*array_push(&tids, n) = tid;
	}
	closedir(dir);
	if (*n == 0) {
		free(tids);
		err_set(e, 0, "process %d is gone: it has no threads", l->pid);
		return NULL;
	}
	qsort(tids, *n, sizeof(*tids), compare_tids);
	/* A leader that took over by execve(2) can have the highest number. */
	for (size_t i = *n; i-- > 1;) {
		if (tids[i] == l->pid) {
			memmove(tids + 1, tids, i * sizeof(*tids));
			tids[0] = l->pid;
			break;
		}
	}
	return tids;
}

static void read_ids(const char *text, const char *key, uint32_t out[4])
{
	const char *at = text_field(text, key);

	for (int i = 0; at && i < 4; i++) {
		char *stop;

		out[i] = (uint32_t)strtoul(at, &stop, 10);
		at = stop;
	}
}

/* The name as status has it: a newline is \n there and a backslash \\. */
static char *name_from(const char *at)
{
	cleanup_buf struct buf b = {0};

	for (; at && *at && *at != '\n'; at++) {
		if (*at == '\\' && at[1] && at[1] != '\n')
			buf_add_str(&b, *++at == 'n' ? "\n" : "\\");
		else
			buf_add(&b, at, 1);
	}
	return buf_steal_str(&b);
}

/* One file tells it all: each more would be felt at the stop, for every thread. */
static bool read_thread_status(struct live *l, struct thread *t, char *state, struct buf *b)
{
	char path[48];

	snprintf(path, sizeof(path), "task/%d/status", t->tid);
	if (!live_text_try(l, path, b))
		return false;
	const char *const text = (char *)b->data, *const at = text_field(text, "State");

	if (!at)
		return false;
	*state = *at;
	free(t->comm);
	/* An empty name would let text_field() skip to the next line. */
	t->comm = name_from(strncmp(text, "Name:\t", 6) == 0 ? text + 6 : "");
	t->sigmask = text_field_u64(text, "SigBlk", 16);
	t->cap_inh = text_field_u64(text, "CapInh", 16);
	t->cap_prm = text_field_u64(text, "CapPrm", 16);
	t->cap_eff = text_field_u64(text, "CapEff", 16);
	t->cap_bnd = text_field_u64(text, "CapBnd", 16);
	t->cap_amb = text_field_u64(text, "CapAmb", 16);
	t->no_new_privs = (uint32_t)text_field_u64(text, "NoNewPrivs", 10);
	t->seccomp = (uint32_t)text_field_u64(text, "Seccomp", 10);
	read_ids(text, "Uid", t->uid);
	read_ids(text, "Gid", t->gid);
	return true;
}

static void read_thread_sched(struct thread *t, struct buf *b)
{
	struct sched_attr_raw a = {.size = sizeof(a)};
	uint64_t mask[1024 / 8];
	char path[64];

	if (syscall(SYS_sched_getattr, t->tid, &a, sizeof(a), 0) == 0) {
		t->sched_policy = (int32_t)a.policy;
		t->sched_priority = (int32_t)a.priority;
		t->nice = a.nice;
		t->sched_flags = (uint32_t)a.flags;
		t->sched_runtime = a.runtime;
		t->sched_deadline = a.deadline;
		t->sched_period = a.period;
	}
	const long n = syscall(SYS_sched_getaffinity, t->tid, sizeof(mask), mask);

	if (n > 0)
		blob_set(&t->affinity, mask, (size_t)n);
	if (t->timerslack_ns)
		return;
	/* Whoever sets it sets it early: read once. Only process directories have it, but /proc/TID
	 * is one for every thread. */
	snprintf(path, sizeof(path), "/proc/%d/timerslack_ns", t->tid);
	b->len = 0;
	if (file_read(AT_FDCWD, path, b) == 0) {
		buf_add(b, "", 1);
		t->timerslack_ns = strtoull((char *)b->data, NULL, 10);
	}
}

static void read_wchan(struct live *l, struct thread *t, struct buf *b)
{
	char path[48];

	snprintf(path, sizeof(path), "task/%d/wchan", t->tid);
	if (!live_text_try(l, path, b))
		return;
	free(t->wchan);
	t->wchan = b->len && strcmp((char *)b->data, "0") ? xstrdup((char *)b->data) : NULL;
}

/* False: it has gone meanwhile. */
static bool read_thread(struct live *l, struct thread *t, struct buf *b)
{
	uint64_t head = 0, len = 0;
	char state = 0;

	if (!read_thread_status(l, t, &state, b))
		return false;
	/* Under a tracer's stop it does and waits for nothing; what it did before is the answer. */
	if (state != 't' || !t->state) {
		t->state = state;
		read_wchan(l, t, b);
	}
	read_thread_sched(t, b);
	if (syscall(SYS_get_robust_list, t->tid, &head, &len) == 0) {
		t->robust.head = head;
		t->robust.len = len;
	}
	return true;
}

int live_threads(struct live *l, struct proc *p, struct err *e)
{
	cleanup_buf struct buf b = {0};
	size_t n, kept = 0;
	cleanup_free int32_t *tids = live_tids(l, &n, e);

	if (!tids)
		return -1;
	struct thread *const all = xcalloc(n, sizeof(*all));

	for (size_t i = 0; i < n; i++) {
		struct thread *const old = proc_thread(p, tids[i]), *const t = &all[kept];

		if (old) {
			*t = *old;
			*old = (struct thread){0};
		}
		t->tid = tids[i];
		if (read_thread(l, t, &b))
			kept++;
		else
			thread_deinit(t);
	}
	for (size_t i = 0; i < p->nthreads; i++)
		thread_deinit(&p->threads[i]);
	free(p->threads);
	p->threads = all;
	p->nthreads = kept;
	if (kept == 0)
		return err_set(e, 0, "process %d is gone", l->pid);
	return 0;
}
