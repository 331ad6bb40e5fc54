/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The guardian: a process of its own that sleeps until its tracer dies, and then takes out of the
 * tracee what is left there: protection, the SIGSEGV action, the agent, the scratch mapping;
 * signals the tracer had in its hands are given back. What must happen at once (see remote.h) has
 * happened before it comes; it may take its time. It uses the same code as the tracer.
 *
 * It knows what there is from the ledger, memory that both share, where everything is noted before
 * it is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "trace/internal.h"

enum {
	DEATH_SIGNAL = SIGUSR1,
	STACK_SCAN = 256 << 10,
	AGENT_MS = 300,
	SEIZE_MS = 5000,
	HOME_MS = 3000,
	STOP_MS = 2000,
	SETTLE_MS = 20,
	GIVE_MS = 100
};

/* ---- the ledger: written by the tracer ---- */

void ledger_flight(struct tracee *t, int tid, uint64_t slot)
{
	struct ledger *l = t->ledger;
	if (!l)
		return;
	for (int i = 0; i < LEDGER_TASKS; i++) {
		if (l->flight[i].tid)
			continue;
		l->flight[i].slot = slot;
		l->flight[i].tid = tid;
		l->nflight++;
		return;
	}
}

void ledger_home(struct tracee *t, int tid)
{
	struct ledger *l = t->ledger;
	if (!l || !l->nflight)
		return;
	for (int i = 0; i < LEDGER_TASKS; i++) {
		if (l->flight[i].tid != tid)
			continue;
		l->flight[i].tid = 0;
		l->nflight--;
	}
}

void ledger_hold(struct tracee *t, int tid, const siginfo_t *info)
{
	struct ledger *l = t->ledger;
	if (!l || is_fault(info) || (t->scratch && info->si_signo == t->scratch->sig))
		return; /* a fault comes again by itself; the telling signal does nothing */
	for (int i = 0; i < LEDGER_SIGNALS; i++) {
		if (l->held[i].tid)
			continue;
		l->held[i].info = *info;
		l->held[i].tid = tid;
		l->nheld++;
		return;
	}
}

void ledger_unhold(struct tracee *t, int tid)
{
	struct ledger *l = t->ledger;
	if (!l || !l->nheld)
		return;
	for (int i = 0; i < LEDGER_SIGNALS; i++) {
		if (l->held[i].tid != tid)
			continue;
		l->held[i].tid = 0;
		l->nheld--;
	}
}

/* ---- the guardian ---- */

void pause_ms(long ms)
{
	const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

static bool exists(int pid, int tid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
	return access(path, F_OK) == 0;
}

/* Is our mapping there? It is not when the tracer died before, or the process has made another
 * program of itself. */
static bool is_mapped(int pid, const struct scratch *s)
{
	char path[64], want[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	snprintf(want, sizeof(want), "%llx-%llx rwxp 00000000 00:00 0", (unsigned long long)s->addr,
		(unsigned long long)(s->addr + s->len));
	if (file_read(AT_FDCWD, path, &b))
		return false;
	buf_add(&b, "", 1);
	return strstr((const char *)b.data, want) != NULL;
}

static struct task *any_thread(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->stopped && !t->tasks[i]->child && !t->tasks[i]->is_agent &&
			t->tasks[i]->stop.kind != STOP_EXITING)
			return t->tasks[i];
	return NULL;
}

/* Does an address inside the scratch mapping lie on the thread's stack: a frame to return to? */
static bool on_stack(struct tracee *t, uint64_t sp)
{
	const struct scratch *s = t->scratch;
	uint64_t *stack = xmalloc(STACK_SCAN);
	const size_t n = tracee_read(t, sp & ~7ull, stack, STACK_SCAN) / 8;
	bool found = false;
	for (size_t i = 0; i < n && !found; i++)
		found = stack[i] - s->addr < s->len;
	free(stack);
	return found;
}

static bool inside(struct tracee *t, struct task *k, uint64_t bare_pc)
{
	const struct scratch *s = t->scratch;
	const arch_regs *r = task_regs(k);
	if (r && arch->pc(r) == bare_pc)
		return true; /* about to make or remove the mapping */
	return r && (arch->pc(r) - s->addr < s->len || on_stack(t, arch->sp(r)));
}

/* A fault is not delivered but tried again: its cause may be our protection, and the handler for
 * that goes now. */
static int wanted_signal(const struct task *k)
{
	return k->stop.kind == STOP_SIGNAL && !is_fault(&k->stop.info) ? k->stop.sig : 0;
}

static void drop_faults(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->stop.kind == STOP_SIGNAL)
			t->tasks[i]->stop.sig = wanted_signal(t->tasks[i]);
}

static void run_all(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->stopped)
			task_run(t, t->tasks[i], RUN_CONT, wanted_signal(t->tasks[i]));
}

/* Everything stopped with nobody in our code; false when that cannot be had. */
static bool stop_outside(struct tracee *t, uint64_t bare_pc)
{
	const uint64_t deadline = deadline_of(HOME_MS);
	struct err e;
	for (;;) {
		if (tracee_stop_all(t, STOP_MS, NULL, NULL, &e))
			return false;
		bool busy = false;
		for (size_t i = 0; i < t->ntasks && !busy; i++)
			busy = t->tasks[i]->stopped && inside(t, t->tasks[i], bare_pc);
		if (!busy)
			return true;
		if (now_ns() >= deadline)
			return false;
		run_all(t);
		struct task *k;
		while (tracee_wait(t, 2, &k, &e) == 1)
			if (k->stopped)
				task_run(t, k, RUN_CONT, wanted_signal(k));
	}
}

/* The tracer's table, when the agent could not: later than at once the program may have reprotected
 * some of it itself. */
static void undo_protection(struct tracee *t, struct task *k)
{
	struct inject_dead dead;
	struct deadman_range head, r;
	struct err e;
	if (tracee_read(t, t->scratch->dead, &dead, sizeof(dead)) != sizeof(dead) || !dead.table ||
		tracee_read(t, dead.table, &head, sizeof(head)) != sizeof(head))
		return;
	struct remote_call calls[REMOTE_MAX];
	size_t n = 0;
	for (uint64_t i = 1; i <= head.addr; i++) {
		if (tracee_read(t, dead.table + i * sizeof(r), &r, sizeof(r)) == sizeof(r) && r.len)
			calls[n++] = (struct remote_call){SYS_mprotect, {r.addr, r.len, r.prot}, 0};
		if (n == REMOTE_MAX || i == head.addr) {
			remote_batch(t, k, calls, n, &e);
			n = 0;
		}
	}
}

static void undo_action(struct tracee *t, struct task *k)
{
	const uint64_t at = t->scratch->work;
	struct sigact now = {0};
	if (remote_syscall(t, k, SYS_rt_sigaction, SIGSEGV, 0, at, 8, 0, 0) ||
		tracee_read(t, at, &now, sizeof(now)) != sizeof(now))
		return;
	if (now.handler - t->scratch->addr < t->scratch->len)
		remote_syscall(t, k, SYS_rt_sigaction, SIGSEGV,
			t->scratch->dead + offsetof(struct inject_dead, saved), 0, 8, 0, 0);
}

/* They are queued in the thread and delivered with their siginfo at the delivery stop that this
 * makes. */
static void give_signals_back(struct tracee *t, const struct ledger *l)
{
	struct err e;
	struct task *k;
	for (int i = 0; i < LEDGER_SIGNALS; i++) {
		k = l->held[i].tid ? tracee_task(t, l->held[i].tid) : NULL;
		if (k && k->stopped)
			held_add(k, &l->held[i].info);
	}
	run_all(t);
	/* Signals of its own may come all the time: ours are delivered first, they need no longer than this. */
	const uint64_t deadline = deadline_of(GIVE_MS);
	while (now_ns() < deadline && tracee_wait(t, SETTLE_MS, &k, &e) == 1)
		if (k->stopped)
			task_run(t, k, RUN_CONT, wanted_signal(k));
}

/* The tracer may have died before it filled the new mapping: then nothing has been done in it, and
 * we need the stub. */
static bool stub_ready(struct tracee *t)
{
	const size_t len = (size_t)(inj->stub_end - inj->stub);
	uint8_t *now = xcalloc(1, len);
	tracee_read(t, t->scratch->addr, now, len);
	const bool there = !memcmp(now, inj->stub, len);
	free(now);
	return there || tracee_write(t, t->scratch->addr, inj->stub, len) == len;
}

static bool seize(struct tracee *t, int pid, uint64_t deadline)
{
	struct err e;
	while (tracee_seize(t, pid, &e)) {
		if (now_ns() >= deadline || kill(pid, 0))
			return false;
		pause_ms(20);
	}
	return true;
}

/* A job-controlled stop of the process stops the agent as well: it needs a tracer to get on. */
static void end_agent(struct tracee *t, int tid)
{
	struct err e;
	struct task *k = tracee_task(t, tid);
	if (!k)
		return;
	t->scratch->agent_tid = tid;
	k->is_agent = true;
	t->agent = k;
	task_interrupt(k);
	agent_close(t, &e);
}

static void remove_scratch(struct tracee *t, struct scratch *s, const struct ledger *l)
{
	struct err e;
	struct inject_dead dead = {0};
	const int agent = l->agent && exists(t->pid, l->agent) ? l->agent : 0;
	t->scratch = s;
	if (agent)
		end_agent(t, agent);
	const bool outside = stop_outside(t, l->bare_pc);
	struct task *k = any_thread(t);
	if (t->scratch && k && is_mapped(t->pid, s) && stub_ready(t)) {
		drop_faults(t);
		tracee_read(t, s->dead, &dead, sizeof(dead));
		/* Not again without need: the program may have reprotected some of it itself since.
		 */
		if (!dead.done || agent || l->nflight)
			undo_protection(t, k);
		undo_action(t, k);
		uffd_undo(t, k, l);
		if (outside && !t->agent)
			scratch_close(t, k, &e);
	}
	t->scratch = NULL;
}

static void remove_copy(struct tracee *t, const struct ledger *l)
{
	struct err e;
	run_all(t);
	fork_undo_wait(t);
	if (tracee_stop_all(t, STOP_MS, NULL, NULL, &e))
		return;
	struct task *k = any_thread(t);
	if (k)
		fork_undo(t, k, l);
}

static void clean_up(const struct ledger *l, int pid)
{
	const uint64_t agent_deadline = deadline_of(AGENT_MS);
	while (l->agent && exists(pid, l->agent) && now_ns() < agent_deadline)
		pause_ms(1);
	struct scratch *s = xcalloc(1, sizeof(*s));
	*s = l->plan;
	s->ranges = NULL;
	s->armed = s->agent_busy = s->agent_idle = false;
	s->agent_tid = 0;
	const bool mapped = s->addr && (is_mapped(pid, s) || l->nflight);
	struct tracee t;
	struct err e;
	if ((!mapped && !l->nheld && !l->forks) || !seize(&t, pid, deadline_of(SEIZE_MS)))
		return;
	if (mapped)
		remove_scratch(&t, s, l);
	if (l->forks)
		remove_copy(&t, l);
	if (l->nheld && tracee_stop_all(&t, STOP_MS, NULL, NULL, &e) == 0)
		give_signals_back(&t, l);
	tracee_detach(&t);
}

static _Noreturn void guard(const struct ledger *l, int pid, int tracer)
{
	sigset_t all, death;
	setsid();
	prctl(PR_SET_NAME, "ckptview: guard");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, DEATH_SIGNAL);
	syscall(SYS_close_range, 0, ~0u, 0);
	sigemptyset(&death);
	sigaddset(&death, DEATH_SIGNAL);
	/* Sent when the tracer's thread ends, after the kernel has let its tracees go. */
	siginfo_t info;
	while (getppid() == tracer)
		if (sigwaitinfo(&death, &info) == DEATH_SIGNAL && getppid() != tracer)
			break;
	clean_up(l, pid);
	_exit(0);
}

int guard_start(struct tracee *t, struct err *e)
{
	if (t->guardian)
		return 0;
	struct ledger *l =
		mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l == MAP_FAILED)
		return err_sys(e, EXIT_CAPTURE, "map the guardian's ledger");
	const int tracer = getpid();
	t->guardian = fork();
	if (t->guardian == 0)
		guard(l, t->pid, tracer);
	if (t->guardian < 0) {
		munmap(l, sizeof(*l));
		t->guardian = 0;
		return err_sys(e, EXIT_CAPTURE, "start the guardian process");
	}
	t->ledger = l;
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->stopped && t->tasks[i]->stop.kind == STOP_SIGNAL)
			ledger_hold(t, t->tasks[i]->tid, &t->tasks[i]->stop.info);
	return 0;
}

void guard_end(struct tracee *t)
{
	if (t->guardian > 0)
		kill(t->guardian, SIGKILL);
	while (t->guardian > 0 && waitpid(t->guardian, NULL, __WALL) < 0 && errno == EINTR)
		;
	t->guardian = 0;
	if (t->ledger)
		munmap(t->ledger, sizeof(*t->ledger));
	t->ledger = NULL;
}
