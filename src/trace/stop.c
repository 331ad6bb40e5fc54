/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Halting a whole process, in bounded time. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "trace/internal.h"

static bool ours_to_stop(const struct task *k)
{
	return !k->stopped && !k->is_agent && !k->child;
}

static struct task *find_running(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (ours_to_stop(t->tasks[i]) && !is_zombie_leader(t, t->tasks[i]))
			return t->tasks[i];
	return NULL;
}

static void interrupt_all(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (ours_to_stop(t->tasks[i]) && !t->tasks[i]->interrupting)
			task_interrupt(t->tasks[i]);
}

static void read_line(int pid, int tid, const char *file, char *out, size_t cap)
{
	char path[80];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, file);
	out[0] = '\0';
	if (file_read(AT_FDCWD, path, &b) || !b.len)
		return;
	buf_add(&b, "", 1);
	snprintf(out, cap, "%.*s", (int)strcspn((const char *)b.data, "\n"), (const char *)b.data);
}

static int say_stuck(struct tracee *t, const struct task *k, int timeout_ms, struct err *e)
{
	char wchan[80], call[200];
	read_line(t->pid, k->tid, "wchan", wchan, sizeof(wchan));
	read_line(t->pid, k->tid, "syscall", call, sizeof(call));
	const char *name = call[0] >= '0' && call[0] <= '9'
				   ? arch->syscall_name(strtol(call, NULL, 10))
				   : NULL;
	return err_set(e, EXIT_UNTRACEABLE,
		"thread %d did not stop within %d ms: it sleeps uninterruptibly in %s (system call "
		"%s)",
		k->tid, timeout_ms,
		wchan[0] && strcmp(wchan, "0") ? text_safe(wchan) : "the kernel",
		name ? name : "unknown");
}

static void resume_those_stopped_here(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++) {
		struct task *k = t->tasks[i];
		if (k->stopped && k->stopped_here)
			task_run(t, k, k->trace_syscalls ? RUN_SYSCALL : RUN_CONT,
				k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0);
	}
}

/* Whoever has just made a vfork child sleeps in the kernel until that one is through: no injection
 * is possible before. */
static void pass_vforks(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++) {
		struct task *k = t->tasks[i];
		if (k->stopped && k->stop.kind == STOP_VFORK)
			task_run(t, k, k->trace_syscalls ? RUN_SYSCALL : RUN_CONT, 0);
	}
}

struct server {
	bool (*serve)(void *ctx, struct task *k);
	void *ctx;
};

static void see_stop(struct tracee *t, struct task *k, const struct server *sv)
{
	if (k->stop.kind == STOP_GONE || k->child || k->is_agent) {
		queue_event(t, k);
		return;
	}
	if ((k->stop.kind == STOP_TRAP || k->stop.kind == STOP_GROUP) && fault_pending(k)) {
		run_to_fault(k);
		return;
	}
	k->stopped_here = true;
	if (sv->serve && k->stop.kind == STOP_SIGNAL && is_fault(&k->stop.info))
		sv->serve(sv->ctx, k);
}

/* Looks at each running thread once; how many had news. */
static size_t sweep(struct tracee *t, const struct server *sv)
{
	size_t news = 0;
	for (size_t i = t->ntasks; i-- > 0;) {
		struct task *got = NULL;
		if (i >= t->ntasks || !ours_to_stop(t->tasks[i]))
			continue; /* the list may have become shorter */
		news += poll_task(t, t->tasks[i], &got) == 1;
		if (got)
			see_stop(t, got, sv);
	}
	return news;
}

/* All that we know are stopped: seizes who else is there. Their number, -1 with e. One that we overlooked would fault on what
 * we protect, and nobody would serve it. */
static int stop_strangers(struct tracee *t, uint64_t deadline, struct err *e)
{
	for (;;) {
		size_t left = 0;
		if (all_known(t, 0))
			return 0;
		const int added = seize_strangers(t, &left, e);
		if (added || all_known(t, left))
			return added;
		if (now_ns() >= deadline)
			return err_set(e, EXIT_UNTRACEABLE, "process %d: a thread cannot be found", t->pid);
		sched_yield();
	}
}

int tracee_stop_all(struct tracee *t, int timeout_ms, bool (*serve)(void *ctx, struct task *k),
	void *ctx, struct err *e)
{
	const uint64_t deadline = deadline_of(timeout_ms);
	const struct server sv = {serve, ctx};
	for (size_t i = 0; i < t->ntasks; i++)
		t->tasks[i]->stopped_here = false;
	for (;;) {
		pass_vforks(t);
		interrupt_all(t);
		struct task *k = find_running(t);
		if (!k) {
			const int added = stop_strangers(t, deadline, e);
			if (added > 0)
				continue;
			if (added < 0)
				resume_those_stopped_here(t);
			return t->gone ? err_set(e, 0, "process %d has ended", t->pid) : added;
		}
		if (sweep(t, &sv))
			continue;
		struct task *got = NULL;
		/* An exiting leader does not report that it has become a zombie: look. */
		const int r = wait_one(
			t, MIN(deadline, now_ns() + (k->exiting ? NS_PER_MS : LOOK_NS)), &got);
		if (r < 0)
			return err_set(e, 0, "process %d has ended", t->pid);
		if (r == 0 && died_unseen(t, k))
			continue;
		if (r == 0 && now_ns() >= deadline) {
			resume_those_stopped_here(t);
			return say_stuck(t, k, timeout_ms, e);
		}
		if (got)
			see_stop(t, got, &sv);
	}
}
