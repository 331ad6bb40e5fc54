/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A frozen copy of the tracee's memory: its child by a clone(2) made in the stub. It stands before its first instruction until
 * it is killed. Should it ever be let go it finds itself to be an agent without a master, and leaves (stub.S).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "trace/internal.h"

/* Shared descriptors: else a pipe that the program closes would not be closed before the copy is gone. No signal when it ends. */
enum { FLAGS = CLONE_FILES };
/* Fields of /proc/PID/stat, counted from the state. */
enum { STAT_STATE = 0, STAT_EXIT_SIGNAL = 35 };

/* Its first stop, and nothing of its parent's options but that it dies with us. */
static int settle(struct tracee *t)
{
	struct frozen *f = &t->frozen;
	struct task *k;
	while (!(k = tracee_task(t, f->pid)) || !k->stopped) {
		struct task *got;
		const int news = wait_one(t, now_ns() + LOOK_NS, &got);
		if (news < 0 || (news == 0 && kill(f->pid, 0) < 0))
			return -1;
		if (got && got->tid != f->pid)
			queue_event(t, got);
	}
	ptrace(PTRACE_SETOPTIONS, f->pid, NULL, PTRACE_O_EXITKILL);
	task_discard(t, k);
	return 0;
}

/* Children of the program's own that were born just before. */
static void let_others_go(struct tracee *t)
{
	for (size_t i = t->ntasks; i-- > 0;)
		if (t->tasks[i]->child && t->tasks[i]->stopped)
			wait_let_go(t, t->tasks[i]);
}

int remote_fork(struct tracee *t, struct task *k, int *pid, struct err *e)
{
	struct scratch *s = t->scratch;
	const struct inject_slot slot = {.pid = (uint64_t)t->ns_pid, .sig = (uint64_t)s->sig, .dead = s->dead};
	if (!t->agent && tracee_write(t, s->agent_slot, &slot, sizeof(slot)) != sizeof(slot))
		return err_set(e, EXIT_CAPTURE, "write into the scratch mapping of process %d", t->pid);
	int64_t ret;
	t->frozen = (struct frozen){.making = true};
	t->ledger->forks = true;
	const int r = batch_clone(t, k, FLAGS, s->work - 64, &ret);
	const bool there = t->frozen.pid && settle(t) == 0;
	t->frozen.making = false;
	let_others_go(t);
	if (r || ret < 0 || !there) {
		t->ledger->forks = t->frozen.pid != 0;
		return r || ret == -ESRCH ? err_set(e, EXIT_CAPTURE, "thread %d has ended", k->tid)
					  : err_set(e, EXIT_CAPTURE, "process %d cannot fork: %s", t->pid, strerror((int)-ret));
	}
	t->frozen.ns_pid = t->ledger->frozen = (int)ret;
	*pid = t->frozen.pid;
	return 0;
}

int remote_fork_kill(struct tracee *t)
{
	const int pid = t->frozen.pid;
	siginfo_t info;
	if (!pid || kill(pid, SIGKILL) < 0)
		return pid ? -1 : 0;
	/* Seen but not taken: until the tracer does that nobody else can. */
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | __WALL) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}

static int64_t reap(struct tracee *t, struct task *k, int ns_pid)
{
	const uint64_t args[6] = {(uint64_t)ns_pid, 0, WNOHANG | __WALL, 0};
	return remote_bare(t, k, SYS_wait4, args);
}

int remote_fork_reap(struct tracee *t, struct task *k, struct err *e)
{
	struct frozen *f = &t->frozen;
	if (!f->pid)
		return 0;
	while (!f->taken && waitpid(f->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	f->taken = true;
	const int64_t ret = k ? reap(t, k, f->ns_pid) : 0;
	if (ret == -ESRCH)
		return err_set(e, 0, "thread %d has ended", k->tid);
	/* -ECHILD: a program that waits for whatever child there is has done it. */
	t->ledger->forks = false;
	t->ledger->frozen = 0;
	*f = (struct frozen){0};
	return 0;
}

static long stat_field(int pid, int field)
{
	char path[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(AT_FDCWD, path, &b))
		return -1;
	buf_add(&b, "", 1);
	char *at = strrchr((char *)b.data, ')');
	if (!at)
		return -1;
	at += 2;
	if (field == STAT_STATE)
		return *at;
	for (; field && at; field--) {
		at = strchr(at, ' ');
		at += at != NULL;
	}
	return at ? strtol(at, NULL, 10) : -1;
}

/* A child that tells nobody of its end is ours, when it lives briefly. Its pid where the tracee is, negative: it is not dead yet;
 * 0: none. */
static int silent_child(struct tracee *t)
{
	int found = 0;
	for (size_t i = 0; i < t->ntasks; i++) {
		char path[64];
		cleanup_buf struct buf b = {0};
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", t->pid, t->tasks[i]->tid);
		if (file_read(AT_FDCWD, path, &b))
			continue;
		buf_add(&b, "", 1);
		char *end, *at = (char *)b.data;
		for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end) {
			uint64_t ns_pid;
			if (stat_field((int)pid, STAT_EXIT_SIGNAL) != 0 ||
				!status_field((int)pid, (int)pid, "NSpid:", false, &ns_pid))
				continue;
			if (stat_field((int)pid, STAT_STATE) == 'Z')
				return (int)ns_pid;
			found = -(int)ns_pid;
		}
	}
	return found;
}

void fork_undo_wait(struct tracee *t)
{
	enum { TRIES = 400 };
	for (int i = 0; i < TRIES && silent_child(t) < 0; i++)
		pause_ms(5);
}

void fork_undo(struct tracee *t, struct task *k, const struct ledger *l)
{
	const int ns_pid = l->frozen ? l->frozen : silent_child(t);
	if (ns_pid > 0)
		reap(t, k, ns_pid);
}
