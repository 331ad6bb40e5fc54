/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waiting: a wait status is decoded here, once, into struct stop; nobody else looks at one. Events
 * that come up while somebody waits for something else are queued for tracee_wait.
 *
 * We wait for any child of this thread with a time limit: a short spin (a wake-up across CPUs costs
 * more than most stops take), then sigtimedwait for SIGCHLD, which this thread blocks. Other
 * threads of ours must block it as well; if one does not, the slices below keep the harm small.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "trace/internal.h"

enum { SPIN_NS = 20000, SLICE_NS = 20000000 };

uint64_t deadline_of(int timeout_ms)
{
	if (timeout_ms < 0)
		return FOREVER;
	return timeout_ms == 0 ? 0 : now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

static enum stop_kind event_kind(int event, int sig)
{
	switch (event) {
	case PTRACE_EVENT_CLONE:
		return STOP_CLONE;
	case PTRACE_EVENT_FORK:
		return STOP_FORK;
	case PTRACE_EVENT_VFORK:
		return STOP_VFORK;
	case PTRACE_EVENT_VFORK_DONE:
		return STOP_VFORK_DONE;
	case PTRACE_EVENT_EXEC:
		return STOP_EXEC;
	case PTRACE_EVENT_EXIT:
		return STOP_EXITING;
	case PTRACE_EVENT_STOP:
		return sig == SIGTRAP ? STOP_TRAP : STOP_GROUP;
	}
	return STOP_TRAP;
}

struct stop stop_decode(int status, const struct task *k)
{
	struct stop s = {.kind = STOP_GONE, .sig = status};
	if (!WIFSTOPPED(status))
		return s;
	const int sig = WSTOPSIG(status);
	const int event = status >> 16;
	if (sig == (SIGTRAP | 0x80))
		s.kind = k->in_syscall ? STOP_EXIT_SYSCALL : STOP_ENTRY;
	else if (event)
		s.kind = event_kind(event, sig);
	else
		s.kind = STOP_SIGNAL;
	s.sig = s.kind == STOP_SIGNAL || s.kind == STOP_GROUP ? sig : 0;
	return s;
}

/* Which system call stop it is is a question for the kernel: batches and interrupts make counting
 * unsafe. */
static void ask_syscall_stop(struct task *k)
{
	struct __ptrace_syscall_info info = {0};
	if (ptrace(PTRACE_GET_SYSCALL_INFO, k->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		k->stop.kind = STOP_ENTRY;
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		k->stop.kind = STOP_EXIT_SYSCALL;
}

/* A call that failed with EINTR only because we interrupted it is made again. */
static void repair_eintr(struct tracee *t, struct task *k)
{
	const arch_regs *r = task_regs(k);
	if (!r || !arch->repairs_eintr(r))
		return;
	uint64_t own, shared, blocked;
	if (!status_field(t->pid, k->tid, "SigPnd:", true, &own) ||
		!status_field(t->pid, k->tid, "ShdPnd:", true, &shared) ||
		task_get_mask(k, &blocked) || ((own | shared) & ~blocked))
		return;
	arch_regs again = *r;
	arch->rewind(&again);
	task_put_regs(k, &again);
}

static void decode(struct tracee *t, struct task *k, int status)
{
	k->stop = stop_decode(status, k);
	k->stopped_ns = now_ns();
	k->regs_valid = k->regs_dirty = k->moved = k->owes_exit = false;
	k->stopped = k->stop.kind != STOP_GONE;
	const bool ours = k->interrupting;
	k->interrupting = false; /* any stop clears a pending interrupt (ptrace_stop) */
	unsigned long msg = 0;
	switch (k->stop.kind) {
	case STOP_SIGNAL:
		ptrace(PTRACE_GETSIGINFO, k->tid, NULL, &k->stop.info);
		held_translate(k);
		ledger_hold(t, k->tid, &k->stop.info);
		break;
	case STOP_ENTRY:
	case STOP_EXIT_SYSCALL:
		ask_syscall_stop(k);
		k->in_syscall = k->stop.kind == STOP_ENTRY;
		break;
	case STOP_CLONE:
	case STOP_FORK:
	case STOP_VFORK:
	case STOP_VFORK_DONE:
	case STOP_EXEC:
	case STOP_EXITING:
		ptrace(PTRACE_GETEVENTMSG, k->tid, NULL, &msg);
		k->stop.msg = msg;
		break;
	default:
		break;
	}
	if ((k->stop.kind == STOP_CLONE || k->stop.kind == STOP_FORK ||
		    k->stop.kind == STOP_VFORK) &&
		!tracee_task(t, (int)msg) && traced_by_us((int)msg))
		task_add(t, (int)msg); /* ours already, though it has not reported yet */
	k->in_signal = k->stop.kind == STOP_SIGNAL || k->stop.kind == STOP_TRAP ||
		       k->stop.kind == STOP_GROUP;
	k->delivers = k->stop.kind == STOP_SIGNAL;
	k->group_stopped = k->stop.kind == STOP_GROUP;
	if (ours && (k->stop.kind == STOP_TRAP || k->stop.kind == STOP_EXIT_SYSCALL))
		repair_eintr(t, k);
}

/* All other threads are gone and the caller has the leader's tid; the address space is new. */
static void handle_exec(struct tracee *t, struct task *k)
{
	struct task *former =
		k->stop.msg != (uint64_t)k->tid ? tracee_task(t, (int)k->stop.msg) : NULL;
	if (former && former != k && !former->child) {
		k->user = former->user;
		task_discard(t, former);
	}
	k->in_syscall = true;
	k->rseq_known = false;
	if (!k->child)
		scratch_forget(t);
}

void wait_let_go(struct tracee *t, struct task *k)
{
	const int sig = k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0;
	if (k->stopped)
		ptrace(PTRACE_DETACH, k->tid, NULL, (long)sig);
	task_discard(t, k);
}

/* A forked child is traced from birth because its parent is; it is not ours, and is let go at its
 * first stop. True when the task is no more. */
static bool let_go(struct tracee *t, struct task *k)
{
	if (!k->child)
		return false;
	/* It may be the copy that remote_fork makes, told of before its parent tells. */
	if (!t->frozen.making || !k->stopped)
		wait_let_go(t, k);
	return true;
}

/* True when the event needs nobody's attention. */
static bool handle_inside(struct tracee *t, struct task *k)
{
	if (let_go(t, k))
		return true;
	if (k->is_agent)
		return !agent_event(t, k);
	if (k->relisten && (k->stop.kind == STOP_GROUP || k->stop.kind == STOP_TRAP)) {
		k->relisten = false;
		task_run(t, k, k->trace_syscalls ? RUN_SYSCALL : RUN_CONT, 0);
		return true;
	}
	k->relisten = false;
	if (k->stop.kind == STOP_EXEC)
		handle_exec(t, k);
	if (k->stop.kind == STOP_GONE) {
		task_drop(t, k);
		t->gone = t->ntasks == 0 || (t->ntasks == 1 && t->agent);
	}
	return false;
}

static pid_t poll_any(int *status, int flags)
{
	const pid_t pid = wait4(-1, status, __WALL | __WNOTHREAD | flags, NULL);
	return pid < 0 && errno == EINTR ? 0 : pid;
}

static void sleep_for_child(uint64_t until)
{
	const uint64_t now = now_ns();
	const uint64_t left = MIN(until > now ? until - now : 0, (uint64_t)SLICE_NS);
	const struct timespec ts = {.tv_nsec = (long)left};
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigtimedwait(&chld, NULL, &ts);
}

/* A pid with news, 0 at the deadline or after a signal of our own, -1 when there is no child at
 * all. */
static pid_t wait_raw(uint64_t deadline, int *status)
{
	pid_t pid = poll_any(status, WNOHANG);
	if (pid || deadline == 0)
		return pid;
	const uint64_t spin_end = now_ns() + SPIN_NS;
	while (!pid && now_ns() < MIN(spin_end, deadline))
		pid = poll_any(status, WNOHANG);
	if (pid)
		return pid;
	if (deadline == FOREVER)
		return poll_any(status, 0);
	while (!pid && now_ns() < deadline) {
		sleep_for_child(deadline);
		pid = poll_any(status, WNOHANG);
	}
	return pid;
}

static struct task *take(struct tracee *t, pid_t pid, int status)
{
	struct task *k = tracee_task(t, pid);
	if (!k && !WIFSTOPPED(status))
		return NULL; /* no tracee: our guardian, or a newborn killed before we saw it */
	if (!k)
		k = task_add(t, pid); /* a newborn may stop before its parent's event is seen */
	decode(t, k, status);
	return handle_inside(t, k) ? NULL : k;
}

int wait_one(struct tracee *t, uint64_t deadline_ns, struct task **out)
{
	int status = 0;
	*out = NULL;
	if (t->ntasks == 0)
		return -1;
	const pid_t pid = wait_raw(deadline_ns, &status);
	if (pid <= 0)
		return pid;
	*out = take(t, pid, status);
	return 1;
}

int poll_task(struct tracee *t, struct task *k, struct task **out)
{
	int status = 0;
	*out = NULL;
	const pid_t pid = wait4(k->tid, &status, __WALL | __WNOTHREAD | WNOHANG, NULL);
	if (pid <= 0)
		return 0;
	*out = take(t, pid, status);
	return 1;
}

void queue_event(struct tracee *t, struct task *k)
{
	if (k->queued)
		return;
	k->queued = true;
	/* It may be in the list still from an event that it was resumed from without being asked for. */
	for (unsigned i = 0; i < t->npending; i++)
		if (t->pending[i].k == k)
			return;
	t->pending = xrealloc(t->pending, (t->npending + 1) * sizeof(*t->pending));
	t->pending[t->npending++].k = k;
}

int wait_for(struct tracee *t, struct task *k)
{
	while (!k->stopped && k->stop.kind != STOP_GONE) {
		struct task *got;
		const int news = wait_one(t, now_ns() + LOOK_NS, &got);
		if (news < 0 || (news == 0 && died_unseen(t, k)))
			return -1;
		if (got && (got != k || k->stop.kind == STOP_GONE))
			queue_event(t, got);
	}
	return k->stop.kind == STOP_GONE ? -1 : 0;
}

static struct task *next_pending(struct tracee *t)
{
	while (t->npending) {
		struct task *k = t->pending[0].k;
		memmove(t->pending, t->pending + 1, --t->npending * sizeof(*t->pending));
		if (k->queued) {
			k->queued = false;
			return k;
		}
	}
	return NULL;
}

int tracee_wait(struct tracee *t, int timeout_ms, struct task **out, struct err *e)
{
	const uint64_t deadline = deadline_of(timeout_ms);
	task_free(t->zombie);
	t->zombie = NULL;
	int r = 1;
	*out = next_pending(t);
	while (!*out && r == 1)
		r = wait_one(t, deadline, out);
	if (r < 0)
		return err_set(e, 0, "process %d has ended", t->pid);
	if (r == 0)
		return 0;
	if ((*out)->stop.kind == STOP_GONE)
		t->zombie = *out;
	return 1;
}
