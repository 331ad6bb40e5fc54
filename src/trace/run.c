/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Resuming, registers, and the signals that were taken from a task while it was ours.
 *
 * A signal whose delivery stop we see has left the kernel's queue: it is delivered by resuming with
 * its number (the kernel keeps the siginfo of that very stop), or else must be given back. After a
 * batch the task is in another delivery stop, that of the stub's signal: PTRACE_SETSIGINFO makes it
 * that of the original one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/buf.h"
#include "trace/internal.h"

/* sigval of a signal queued in place of one that only the kernel, or the process itself, may send.
 */
#define STAND_IN 0x636b70747677ull

const arch_regs *task_regs(struct task *k)
{
	if (k->regs_valid)
		return &k->regs_cache;
	if (ptrace(PTRACE_GETREGS, k->tid, NULL, &k->regs_cache))
		return NULL;
	k->regs_valid = true;
	return &k->regs_cache;
}

void task_set_regs(struct task *k, const arch_regs *r)
{
	k->regs_cache = *r;
	k->regs_valid = k->regs_dirty = true;
}

int task_put_regs(struct task *k, const arch_regs *r)
{
	if (r != &k->regs_cache)
		k->regs_cache = *r;
	k->regs_valid = true;
	k->regs_dirty = false;
	return ptrace(PTRACE_SETREGS, k->tid, NULL, r) ? -1 : 0;
}

void task_flush(struct task *k)
{
	if (k->regs_dirty)
		task_put_regs(k, &k->regs_cache);
}

int task_get_mask(struct task *k, uint64_t *mask)
{
	return ptrace(PTRACE_GETSIGMASK, k->tid, sizeof(*mask), mask) ? -1 : 0;
}

int task_set_mask(struct task *k, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, k->tid, sizeof(mask), &mask) ? -1 : 0;
}

int task_set_regset(struct task *k, int set, const void *data, size_t len, struct err *e)
{
	struct iovec iov = {(void *)data, len};
	k->regs_valid = k->regs_dirty = false;
	if (ptrace(PTRACE_SETREGSET, k->tid, set, &iov))
		return err_sys(
			e, 0, "set register set %#x of thread %d (%zu bytes)", set, k->tid, len);
	return 0;
}

void task_interrupt(struct task *k)
{
	if (!k->stopped && ptrace(PTRACE_INTERRUPT, k->tid, NULL, NULL) == 0)
		k->interrupting = true;
}

void held_add(struct task *k, const siginfo_t *info)
{
	struct held_signal *h = xcalloc(1, sizeof(*h));
	h->info = *info;
	struct held_signal **end = &k->held;
	while (*end)
		end = &(*end)->next;
	*end = h;
}

void task_hold_signal(struct task *k)
{
	if (k->stop.kind != STOP_SIGNAL || !k->stop.sig)
		return;
	struct held_signal *h = xcalloc(1, sizeof(*h));
	h->info = k->stop.info;
	/* It was taken before those that came during batches. */
	h->next = k->held;
	k->held = h;
	k->stop.sig = 0;
}

static int queue_as(int pid, int tid, const siginfo_t *info)
{
	const long r = tid ? syscall(SYS_rt_tgsigqueueinfo, pid, tid, info->si_signo, info)
			   : syscall(SYS_rt_sigqueueinfo, pid, info->si_signo, info);
	return r ? -errno : 0;
}

/* Only the process itself may send itself a siginfo of the kernel's (si_code >= 0), so it does. */
static int queue_inside(struct tracee *t, int tid, const siginfo_t *info)
{
	struct task *k = tid ? tracee_task(t, tid) : NULL;
	for (size_t i = 0; !k && i < t->ntasks; i++)
		if (t->tasks[i]->stopped && !t->tasks[i]->child && !t->tasks[i]->is_agent)
			k = t->tasks[i];
	if (!k || !k->stopped || !t->scratch)
		return -EPERM;
	const uint64_t at = t->scratch->work;
	if (tracee_write(t, at, info, sizeof(*info)) != sizeof(*info))
		return -EFAULT;
	if (tid)
		return (int)remote_syscall(t, k, SYS_rt_tgsigqueueinfo, (uint64_t)t->ns_pid,
			(uint64_t)task_ns_tid(t, k), (uint64_t)info->si_signo, at, 0, 0);
	return (int)remote_syscall(t, k, SYS_rt_sigqueueinfo, (uint64_t)t->ns_pid,
		(uint64_t)info->si_signo, at, 0, 0, 0);
}

int task_queue_signal(struct tracee *t, int tid, const siginfo_t *info)
{
	const int r = queue_as(t->pid, tid, info);
	return r == -EPERM ? queue_inside(t, tid, info) : r;
}

int process_queue_signal(struct tracee *t, const siginfo_t *info)
{
	const int r = queue_as(t->pid, 0, info);
	return r == -EPERM ? queue_inside(t, 0, info) : r;
}

/* Queues a held signal while the task is about to run: one that we may not send goes as a stand-in,
 * which held_translate puts right at its delivery stop. Its entry h is kept until then. Returns
 * whether h is done with. */
static bool queue_held(struct tracee *t, struct task *k, struct held_signal *h)
{
	if (queue_as(t->pid, k->tid, &h->info) != -EPERM)
		return true;
	siginfo_t s = {.si_signo = h->info.si_signo, .si_code = SI_QUEUE};
	s.si_pid = getpid();
	s.si_value.sival_ptr = (void *)(uintptr_t)(STAND_IN << 16 | (uintptr_t)h->info.si_signo);
	return queue_as(t->pid, k->tid, &s) != 0;
}

void held_translate(struct task *k)
{
	const siginfo_t *s = &k->stop.info;
	if (s->si_code != SI_QUEUE ||
		(uintptr_t)s->si_value.sival_ptr != (STAND_IN << 16 | (uintptr_t)s->si_signo))
		return;
	for (struct held_signal **p = &k->held; *p; p = &(*p)->next) {
		struct held_signal *h = *p;
		if (h->info.si_signo != s->si_signo)
			continue;
		k->stop.info = h->info;
		ptrace(PTRACE_SETSIGINFO, k->tid, NULL, &k->stop.info);
		*p = h->next;
		free(h);
		return;
	}
}

/* Gives held signals back as the task is resumed: the first one directly if it stands in a delivery
 * stop with nothing else to deliver. Returns the signal to resume with. */
static int give_back(struct tracee *t, struct task *k, int sig)
{
	struct held_signal *rest = k->held;
	k->held = NULL;
	if (rest && !sig && k->delivers) {
		struct held_signal *h = rest;
		rest = h->next;
		if (ptrace(PTRACE_SETSIGINFO, k->tid, NULL, &h->info) == 0)
			sig = h->info.si_signo;
		free(h);
	}
	struct held_signal **stand_ins = &k->held;
	while (rest) {
		struct held_signal *h = rest;
		rest = h->next;
		h->next = NULL;
		if (queue_held(t, k, h)) {
			free(h);
		} else {
			*stand_ins = h;
			stand_ins = &h->next;
		}
	}
	return sig;
}

/* The signal to resume with, its siginfo in the kernel; other signals queued. */
static int prepare_signal(struct tracee *t, struct task *k, int sig)
{
	if (sig && k->delivers) {
		if (k->moved && k->stop.kind == STOP_SIGNAL && sig == k->stop.sig)
			ptrace(PTRACE_SETSIGINFO, k->tid, NULL, &k->stop.info);
	} else if (sig) {
		/* Not a delivery stop: the kernel would ignore it or make up a siginfo. */
		siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};
		queue_as(t->pid, k->tid, &info);
		sig = 0;
	}
	return k->held ? give_back(t, k, sig) : sig;
}

void task_mark_running(struct task *k)
{
	if (k->stop.kind == STOP_EXITING)
		k->exiting = true;
	k->stopped = k->queued = k->regs_valid = k->moved = k->delivers = k->in_signal =
		k->owes_exit = false;
	k->stop.kind = STOP_NONE;
}

bool is_fault(const siginfo_t *info)
{
	return info->si_signo == SIGSEGV && info->si_code > 0 && info->si_code != SI_KERNEL;
}

bool fault_pending(struct task *k)
{
	siginfo_t infos[8];
	struct __ptrace_peeksiginfo_args a = {.nr = (int)ARRAY_LEN(infos)};
	const long n = ptrace(PTRACE_PEEKSIGINFO, k->tid, &a, infos);
	for (long i = 0; i < n; i++)
		if (is_fault(&infos[i]))
			return true;
	return false;
}

void run_to_fault(struct task *k)
{
	const bool group = k->stop.kind == STOP_GROUP;
	task_flush(k);
	task_mark_running(k);
	k->regroup = group;
	/* It stops for the fault by itself. Interrupted again it would trap before it, for ever where faults follow each other. */
	k->interrupting = true;
	ptrace(PTRACE_CONT, k->tid, NULL, 0);
}

/* After a batch a group-stopped task is not in its group stop any more; the process still is, so it
 * traps back at once. */
static void run_group_stopped(struct task *k)
{
	const bool moved = k->moved;
	task_mark_running(k);
	if (!moved) {
		ptrace(PTRACE_LISTEN, k->tid, NULL, NULL);
		return;
	}
	k->relisten = true;
	ptrace(PTRACE_INTERRUPT, k->tid, NULL, NULL);
	ptrace(PTRACE_CONT, k->tid, NULL, 0);
}

int task_deliver(struct tracee *t, struct task *k)
{
	if (!k->stopped || k->stop.kind != STOP_SIGNAL)
		return -1;
	task_flush(k);
	const int sig = prepare_signal(t, k, k->stop.sig);
	task_mark_running(k);
	/* Stepping, the kernel reports when the frame is laid (signal_setup_done), before anything
	 * of the handler runs. */
	ptrace(PTRACE_SINGLESTEP, k->tid, NULL, (long)sig);
	if (wait_for(t, k))
		return -1;
	if (k->stop.kind == STOP_SIGNAL && k->stop.sig == SIGTRAP) {
		k->stop = (struct stop){.kind = STOP_TRAP};
		ledger_unhold(t, k->tid);
	}
	return 0;
}

void task_run(struct tracee *t, struct task *k, enum run how, int sig)
{
	if (!k->stopped)
		return;
	k->trace_syscalls = how == RUN_SYSCALL;
	task_flush(k);
	if (k->stop.kind == STOP_GROUP && !sig && !k->held) {
		run_group_stopped(k);
		return;
	}
	if (k->owes_exit && how == RUN_SYSCALL) {
		k->owes_exit = k->in_syscall = k->queued = false;
		k->stop = (struct stop){.kind = STOP_EXIT_SYSCALL};
		queue_event(t, k);
		return;
	}
	sig = prepare_signal(t, k, sig);
	task_mark_running(k);
	if (k->regroup) {
		k->regroup = false;
		k->relisten = true;
		ptrace(PTRACE_INTERRUPT, k->tid, NULL, NULL);
	}
	ledger_unhold(t, k->tid); /* before: once it runs we may not for a while */
	ptrace(how == RUN_SYSCALL ? PTRACE_SYSCALL : PTRACE_CONT, k->tid, NULL, (long)sig);
}
