/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Seizing a process and letting it go again.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "live/live.h"
#include "trace/internal.h"

enum {
	OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		  PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT,
	DETACH_MS = 2000,
	ROUNDS = 1000,
};

static void block_sigchld(void)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &s, NULL);
}

static void tracee_init(struct tracee *t, int pid)
{
	memset(t, 0, sizeof(*t));
	t->pid = t->ns_pid = pid;
	t->pidfd = t->memfd = -1;
}

static int open_files(struct tracee *t, struct err *e)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", t->pid);
	t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	if (t->pidfd < 0)
		return err_sys(e, EXIT_UNTRACEABLE, "process %d", t->pid);
	t->memfd = open(path, O_RDWR | O_CLOEXEC);
	if (t->memfd < 0)
		return err_sys(e, EXIT_UNTRACEABLE, "open memory of process %d", t->pid);
	uint64_t v;
	if (status_field(t->pid, t->pid, "NSpid:", false, &v))
		t->ns_pid = (int)v;
	char ours[64] = "", theirs[64] = "";
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", t->pid);
	t->same_ns = readlink("/proc/self/ns/pid", ours, sizeof(ours) - 1) > 0 &&
		     readlink(path, theirs, sizeof(theirs) - 1) > 0 && !strcmp(ours, theirs);
	return 0;
}

/* One thread: 1 it is ours now, 0 it has left, -1. A clone of a seized one is ours already and will
 * report its first stop by itself. */
static int seize_task(struct tracee *t, int tid, int options, struct err *e)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, (long)options)) {
		const int why = errno;
		if (why == ESRCH || has_left(t->pid, tid))
			return 0;
		errno = why;
		if (!traced_by_us(tid))
			return err_sys(
				e, EXIT_UNTRACEABLE, "trace thread %d of process %d", tid, t->pid);
	}
	task_add(t, tid);
	return 1;
}

int seize_strangers(struct tracee *t, size_t *left, struct err *e)
{
	int *tids = NULL;
	const int n = list_strangers(t, &tids);
	int added = 0;
	if (left)
		*left = 0;
	for (int i = 0; i < n && added >= 0; i++) {
		const int r = seize_task(t, tids[i], OPTIONS, e);
		added = r < 0 ? -1 : added + r;
		if (left && r == 0)
			++*left;
	}
	free(tids);
	return added;
}

/* Looks again and again until nobody new is there; twice, as a listing ends early when the thread
 * it stands at exits. */
static int seize_all(struct tracee *t, struct err *e)
{
	int quiet = 0;
	for (int round = 0; quiet < 2; round++) {
		const int added = seize_strangers(t, NULL, e);
		if (added < 0)
			return -1;
		quiet = added ? 0 : quiet + 1;
		if (round > ROUNDS)
			return err_set(e, EXIT_UNTRACEABLE,
				"process %d makes threads faster than they can be stopped", t->pid);
	}
	if (!t->ntasks)
		return err_set(e, EXIT_UNTRACEABLE, "process %d: no such process", t->pid);
	return 0;
}

static int check(int pid, struct err *e)
{
	struct live l;
	if (live_open(&l, pid, e))
		return -1;
	const int r = live_check(&l, e);
	live_close(&l);
	return r;
}

int tracee_seize(struct tracee *t, int pid, struct err *e)
{
	tracee_init(t, pid);
	if (check(pid, e))
		return err_class(e, EXIT_UNTRACEABLE);
	block_sigchld();
	if (open_files(t, e) || seize_all(t, e)) {
		tracee_detach(t);
		return err_class(e, EXIT_UNTRACEABLE);
	}
	return 0;
}

int tracee_adopt(struct tracee *t, int pid, struct err *e)
{
	tracee_init(t, pid);
	block_sigchld();
	if (open_files(t, e) || seize_task(t, pid, OPTIONS | PTRACE_O_EXITKILL, e) < 0) {
		tracee_detach(t);
		return -1;
	}
	if (!t->ntasks)
		return err_set(e, 0, "process %d has ended", pid);
	task_interrupt(t->tasks[0]);
	if (wait_for(t, t->tasks[0]))
		return err_set(e, 0, "process %d has ended", pid);
	return 0;
}

/* What a stopped task is let go with: the signal of its stop, else the first one held. False: it is being killed and has left
 * its stop; it is ours still, and stops once more on its way out. */
static bool release(struct tracee *t, struct task *k)
{
	int sig = k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0;
	task_flush(k);
	if (sig && k->moved && k->delivers)
		ptrace(PTRACE_SETSIGINFO, k->tid, NULL, &k->stop.info);
	for (const struct held_signal *h = k->held; h; h = h->next) {
		if (!sig && k->delivers && ptrace(PTRACE_SETSIGINFO, k->tid, NULL, &h->info) == 0) {
			sig = h->info.si_signo;
			continue;
		}
		siginfo_t info = h->info;
		if (info.si_code >= 0 || info.si_code == SI_TKILL)
			info.si_code = SI_QUEUE; /* nobody may send the other one */
		syscall(SYS_rt_tgsigqueueinfo, t->pid, k->tid, info.si_signo, &info);
	}
	ledger_unhold(t, k->tid);
	k->stopped = false;
	return ptrace(PTRACE_DETACH, k->tid, NULL, (long)sig) == 0;
}

/* Lets all go that are stopped (at once: others may wait for them, in vfork); the number of those
 * that are not. */
static size_t release_stopped(struct tracee *t)
{
	size_t running = 0;
	for (size_t i = t->ntasks; i-- > 0;) {
		struct task *k = t->tasks[i];
		if (k->stopped && release(t, k))
			task_discard(t, k);
		else
			running += !is_zombie_leader(t, k);
	}
	return running;
}

static void drop_pending(struct tracee *t)
{
	for (unsigned i = 0; i < t->npending; i++)
		if (t->pending[i].k->stop.kind == STOP_GONE)
			task_free(t->pending[i].k);
	t->npending = 0;
}

void tracee_detach(struct tracee *t)
{
	assert(t->gone || !t->ntasks || (!t->scratch && !t->agent));
	const uint64_t deadline = deadline_of(DETACH_MS);
	struct task *got;
	while (release_stopped(t)) {
		for (size_t i = 0; i < t->ntasks; i++)
			if (!t->tasks[i]->interrupting)
				task_interrupt(t->tasks[i]);
		const int news = wait_one(t, deadline, &got);
		if (news < 0 || (news == 0 && now_ns() >= deadline))
			break; /* one that cannot stop is let go by our own end */
		if (got && got->stop.kind == STOP_GONE)
			queue_event(t, got);
		else if (got && got->stop.kind == STOP_TRAP && fault_pending(got))
			run_to_fault(got);
		else if (got && got->stop.kind == STOP_SIGNAL && is_fault(&got->stop.info))
			got->stop.sig =
				0; /* of protection that is gone, perhaps: let it try again */
	}
	scratch_forget(t);
	guard_end(t);
	drop_pending(t);
	while (t->ntasks)
		task_discard(t, t->tasks[t->ntasks - 1]);
	task_free(t->zombie);
	free(t->tasks);
	free(t->pending);
	if (t->memfd >= 0)
		close(t->memfd);
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->tasks = NULL;
	t->pending = NULL;
	t->zombie = NULL;
	t->pidfd = t->memfd = -1;
}
