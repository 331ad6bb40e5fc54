/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tasks of a tracee as we know them, and what little of /proc tracing itself needs. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "trace/internal.h"

struct task *tracee_task(struct tracee *t, int tid)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->tid == tid)
			return t->tasks[i];
	return NULL;
}

static bool is_thread_of(int pid, int tid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
	return access(path, F_OK) == 0;
}

struct task *task_add(struct tracee *t, int tid)
{
	struct task *k = xcalloc(1, sizeof(*k));
	k->tid = tid;
	k->child = tid != t->pid && !is_thread_of(t->pid, tid);
	k->is_agent = t->scratch && t->scratch->agent_tid == tid;
	if (t->same_ns)
		k->ns_tid = tid;
	t->tasks = xrealloc(t->tasks, (t->ntasks + 1) * sizeof(*t->tasks));
	t->tasks[t->ntasks++] = k;
	return k;
}

void task_drop(struct tracee *t, struct task *k)
{
	for (size_t i = 0; i < t->ntasks; i++) {
		if (t->tasks[i] != k)
			continue;
		memmove(t->tasks + i, t->tasks + i + 1, (--t->ntasks - i) * sizeof(*t->tasks));
		break;
	}
	if (t->agent == k)
		t->agent = NULL;
	ledger_unhold(t, k->tid);
	ledger_home(t, k->tid);
}

void task_free(struct task *k)
{
	if (!k)
		return;
	while (k->held) {
		struct held_signal *h = k->held;
		k->held = h->next;
		free(h);
	}
	free(k);
}

void task_discard(struct tracee *t, struct task *k)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->npending; i++)
		if (t->pending[i].k != k)
			t->pending[kept++] = t->pending[i];
	t->npending = (unsigned)kept;
	task_drop(t, k);
	task_free(k);
}

bool status_field(int pid, int tid, const char *name, bool hex, uint64_t *v)
{
	char path[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	if (file_read(AT_FDCWD, path, &b))
		return false;
	buf_add(&b, "", 1);
	const char *line = strstr((const char *)b.data, name);
	if (!line)
		return false;
	line += strlen(name);
	const char *last = line;
	for (const char *p = line; *p && *p != '\n'; p++)
		if (isxdigit((unsigned char)*p) && !isxdigit((unsigned char)p[-1]))
			last = p;
	*v = strtoull(last, NULL, hex ? 16 : 10);
	return true;
}

bool traced_by_us(int tid)
{
	uint64_t tracer;
	return status_field(tid, tid, "TracerPid:", false, &tracer) &&
	       (tracer == (uint64_t)getpid() || tracer == (uint64_t)gettid());
}

bool has_left(int pid, int tid)
{
	char path[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	if (file_read(AT_FDCWD, path, &b))
		return true;
	buf_add(&b, "", 1);
	const char *end = strrchr((const char *)b.data, ')');
	return end && (end[2] == 'Z' || end[2] == 'X');
}

bool is_zombie_leader(struct tracee *t, const struct task *k)
{
	return k->exiting && k->tid == t->pid && has_left(t->pid, k->tid);
}

bool died_unseen(struct tracee *t, struct task *k)
{
	if (k->tid != t->pid || k->stopped || !has_left(t->pid, k->tid))
		return false;
	k->exiting = true;
	return true;
}

int task_ns_tid(struct tracee *t, struct task *k)
{
	uint64_t v;
	if (!k->ns_tid)
		k->ns_tid = status_field(t->pid, k->tid, "NSpid:", false, &v) ? (int)v : k->tid;
	return k->ns_tid;
}

int list_strangers(struct tracee *t, int **tids)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", t->pid);
	DIR *d = opendir(path);
	if (!d)
		return -1;
	int n = 0;
	*tids = NULL;
	for (struct dirent *de; (de = readdir(d));) {
		const int tid = atoi(de->d_name);
		if (tid <= 0 || tracee_task(t, tid))
			continue;
		*tids = xrealloc(*tids, (size_t)(n + 1) * sizeof(**tids));
		(*tids)[n++] = tid;
	}
	closedir(d);
	return n;
}

bool all_known(struct tracee *t, size_t left)
{
	char path[64];
	struct stat st;
	size_t known = left;
	snprintf(path, sizeof(path), "/proc/%d/task", t->pid);
	if (stat(path, &st) || st.st_nlink < 3)
		return true;
	for (size_t i = 0; i < t->ntasks; i++)
		known += !t->tasks[i]->child;
	return st.st_nlink - 2 <= known;
}

size_t tracee_read(struct tracee *t, uint64_t addr, void *out, size_t len)
{
	size_t done = 0;
	while (done < len) {
		const ssize_t n =
			pread(t->memfd, (uint8_t *)out + done, len - done, (off_t)(addr + done));
		if (n <= 0 && errno != EINTR)
			break; /* what came before a hole counts */
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

size_t tracee_write(struct tracee *t, uint64_t addr, const void *data, size_t len)
{
	size_t done = 0;
	while (done < len) {
		const ssize_t n = pwrite(
			t->memfd, (const uint8_t *)data + done, len - done, (off_t)(addr + done));
		if (n <= 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

bool tracee_last_thread(const struct tracee *t, const struct task *k)
{
	for (size_t i = 0; i < t->ntasks; i++) {
		const struct task *o = t->tasks[i];
		if (o != k && !o->is_agent && !o->child && !o->exiting && o->stop.kind != STOP_GONE &&
			o->stop.kind != STOP_EXITING)
			return false;
	}
	return true;
}
