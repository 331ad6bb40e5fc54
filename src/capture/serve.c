/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `segv`, serving: what each stop of a traced thread obliges us to. Faults on protected pages; the
 * kernel's own writes through system calls and signal frames, which would fail rather than fault; calls
 * that change the address space. A thread about to do what must not meet our presence (fork, exec,
 * exit, an unknown call) is held, the window is brought to its end at once, and detaching lets it go.
 */
#include "capture/segv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"

/* A signal frame with the largest xstate (AMX, 8 KiB) and the red zone fits below sp. */
#define FRAME_MAX (16u << 10)

static struct segv_task *note_of(struct task *k)
{
	if (!k->user) {
		struct segv_task *st = xcalloc(1, sizeof(*st));
		st->restart_nr = -1;
		k->user = st;
	}
	return k->user;
}

void segv_forget_task(struct task *k)
{
	struct segv_task *st = k->user;
	if (st)
		ranges_deinit(&st->in_flight);
	free(st);
	k->user = NULL;
}

bool segv_owns(const struct capture *c, const siginfo_t *info)
{
	return info->si_signo == SIGSEGV && info->si_code == SEGV_ACCERR &&
	       ranges_has(&c->segv->ours, (uint64_t)(uintptr_t)info->si_addr);
}

static void stall(struct capture *c, const struct task *k, uint64_t addr, enum stall_why why)
{
	capture_event(c, EV_STALL, k->tid, addr, 0, now_ns() - k->stopped_ns, why);
}

static void hold(struct capture *c, struct task *k)
{
	note_of(k)->held = true;
	c->finish_now = true;
}

/* A set of signals in a thread's status, as "SigCgt"; false: not there any more. */
static bool read_signals(const struct capture *c, int tid, const char *name, uint64_t *set)
{
	char path[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "task/%d/status", tid);
	if (file_read(c->live.dirfd, path, &b) < 0)
		return false;
	buf_add(&b, "", 1);
	snprintf(path, sizeof(path), "\n%s:", name);
	const char *line = strstr((char *)b.data, path);
	*set = line ? strtoull(line + strlen(path), NULL, 16) : 0;
	return line != NULL;
}

/* Has the kernel taken our SIGSEGV handler away? It does when it forces a SIGSEGV that is blocked. */
static bool handler_lost(const struct capture *c, const struct task *k)
{
	uint64_t caught;
	return read_signals(c, k->tid, "SigCgt", &caught) && !(caught & 1ull << (SIGSEGV - 1));
}

/* A forced SIGSEGV has unblocked itself and reset the action: both are put back (kernel/signal.c,
 * force_sig_info_to_task). Without the handler we would not survive; without the mask the program would notice. */
static int mend_mask(struct capture *c, struct task *k, struct err *e)
{
	struct segv_task *st = note_of(k);
	if (!st->mask_known) {
		st->segv_blocked = handler_lost(c, k);
		st->mask_known = true;
	}
	uint64_t mask;
	if (!st->segv_blocked)
		return 0;
	if (deadman_rearm(&c->t, e) < 0)
		return -1;
	if (task_get_mask(k, &mask) == 0)
		task_set_mask(k, mask | 1ull << (SIGSEGV - 1));
	return 0;
}

static int serve_fault(struct capture *c, struct task *k, struct err *e)
{
	struct segv_task *st = note_of(k);
	const uint64_t addr = (uint64_t)(uintptr_t)k->stop.info.si_addr;
	if (!ranges_has(&c->armed, addr)) {
		/* Released while the fault was on its way: once more. Twice at one place although nothing was armed or
		 * released in between, it is the program's own. */
		if (st->last_fault == addr && st->last_changes == c->segv->changes) {
			ranges_cut(&c->segv->ours, addr & ~(PAGE_LEN - 1), (addr & ~(PAGE_LEN - 1)) + PAGE_LEN);
			hold(c, k);
			return 0;
		}
		st->last_fault = addr;
		st->last_changes = c->segv->changes;
	} else {
		st->last_fault = 0;
	}
	if (segv_release(c, addr, addr + 1, COPY_FAULT, e) < 0 || mend_mask(c, k, e) < 0)
		return -1;
	stall(c, k, addr, STALL_FAULT);
	task_run(&c->t, k, RUN_SYSCALL, 0);
	return 0;
}

/* Would this signal end the process? Then the image must be whole before. */
static bool kills(const struct capture *c, int tid, int sig)
{
	static const uint64_t harmless = 1ull << (SIGCHLD - 1) | 1ull << (SIGCONT - 1) | 1ull << (SIGURG - 1) |
		1ull << (SIGWINCH - 1) | 1ull << (SIGSTOP - 1) | 1ull << (SIGTSTP - 1) | 1ull << (SIGTTIN - 1) |
		1ull << (SIGTTOU - 1);
	if (harmless & 1ull << (sig - 1))
		return false;
	uint64_t ignored = 0, caught = 0;
	read_signals(c, tid, "SigIgn", &ignored);
	read_signals(c, tid, "SigCgt", &caught);
	return !((ignored | caught) & 1ull << (sig - 1));
}

/* Our handler stands in for the program's own: that one is put in force for just this delivery. */
static int deliver_segv(struct capture *c, struct task *k, struct err *e)
{
	if (deadman_disarm(&c->t, e) < 0)
		return -1;
	task_deliver(&c->t, k);
	/* Reads the program's action anew: SA_RESETHAND may have reset it. */
	if (deadman_arm(&c->t, e) < 0)
		return -1;
	if (k->stopped && k->stop.kind == STOP_TRAP)
		task_run(&c->t, k, RUN_SYSCALL, 0);
	else if (k->stopped)
		return segv_serve(c, k, e);
	return 0;
}

static int serve_signal(struct capture *c, struct task *k, struct err *e)
{
	if (segv_owns(c, &k->stop.info))
		return serve_fault(c, k, e);
	const bool segv = k->stop.sig == SIGSEGV;
	if (segv ? deadman_saved(&c->t).handler <= 1 : kills(c, k->tid, k->stop.sig)) {
		hold(c, k);
		return 0;
	}
	const arch_regs *r = task_regs(k);
	if (r) {
		const uint64_t sp = arch->sp(r);
		if (segv_release(c, sp - MIN(sp, FRAME_MAX), sp, COPY_SYSCALL, e) < 0)
			return -1;
		ranges_add(&note_of(k)->in_flight, sp - MIN(sp, FRAME_MAX), sp);
	}
	note_of(k)->mask_known = false;
	stall(c, k, 0, STALL_SIGNAL);
	if (segv)
		return deliver_segv(c, k, e);
	task_run(&c->t, k, RUN_SYSCALL, k->stop.sig);
	return 0;
}

static size_t read_tracee(void *ctx, uint64_t addr, void *out, size_t len)
{
	return tracee_read(ctx, addr, out, len);
}

/* Where the kernel writes when the thread ends. */
static int release_robust(struct capture *c, struct task *k, struct err *e)
{
	struct ranges words = {0};
	int ret = 0;
	layout_thread_exit(c, k->tid, &words);
	for (size_t i = 0; i < words.n && ret == 0; i++)
		ret = segv_release(c, words.r[i].start, words.r[i].end, COPY_SYSCALL, e);
	ranges_deinit(&words);
	return ret;
}

/* The program changes mappings: what is unsaved there is saved, and the memory is its own again, also for a dead man. */
static int give_back(struct capture *c, uint64_t start, uint64_t end, struct err *e)
{
	start &= ~(PAGE_LEN - 1);
	end = end > UINT64_MAX - PAGE_LEN ? end & ~(PAGE_LEN - 1) : (end + PAGE_LEN - 1) & ~(PAGE_LEN - 1);
	/* Also what was never armed: read-only pages of the program can be unmapped, too. */
	if (c->after_stop && copy_now(c, start, end, COPY_SYSCALL, e) < 0)
		return -1;
	if (segv_release(c, start, end, COPY_SYSCALL, e) < 0)
		return -1;
	ranges_cut(&c->segv->want, start, end);
	ranges_cut(&c->segv->ours, start, end);
	return deadman_cut(&c->t, start, end, e);
}

static int serve_mappings(struct capture *c, const struct ranges *mm, struct err *e)
{
	c->mm_changes++;
	/* No range: pages of mapped files may go (truncate, hole punching), private copies of them included. */
	for (size_t i = 0; mm->n == 0 && c->after_stop && i < c->proc->nvmas; i++) {
		const struct vma *v = &c->proc->vmas[i];
		if (v->kind == VMA_FILE && copy_now(c, v->start, v->end, COPY_SYSCALL, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < mm->n; i++) {
		uint64_t end = mm->r[i].end;
		if (end > UINT64_MAX - 2 * PAGE_LEN)
			end = layout_heap_end(c, mm->r[i].start);
		if (end > mm->r[i].start && give_back(c, mm->r[i].start, end, e) < 0)
			return -1;
	}
	return 0;
}

/* Does the kernel write there again after the call, unasked: at the thread's end, at each preemption, at a signal? */
static bool written_later(int64_t nr, unsigned what)
{
	return (what & SYS_THREAD) || nr == SYS_set_tid_address || nr == SYS_rseq || nr == SYS_sigaltstack;
}

static int serve_call(struct capture *c, struct task *k, int64_t nr, const uint64_t args[6], struct err *e)
{
	struct ranges writes = {0}, mm = {0};
	const unsigned what = arch->syscall_effect(nr, args, read_tracee, &c->t, &writes, &mm);
	int ret = 0;
	bool held = false;
	if (what & SYS_MASK)
		note_of(k)->mask_known = false;
	for (size_t i = 0; i < writes.n && ret == 0; i++)
		ret = segv_release(c, writes.r[i].start, writes.r[i].end, COPY_SYSCALL, e);
	ranges_add_all(&note_of(k)->in_flight, &writes);
	if (written_later(nr, what))
		for (size_t i = 0; i < writes.n; i++)
			ranges_cut(&c->segv->want, writes.r[i].start & ~(PAGE_LEN - 1),
				(writes.r[i].end + PAGE_LEN - 1) & ~(PAGE_LEN - 1));
	if (ret == 0 && nr == SYS_exit && !tracee_last_thread(&c->t, k))
		ret = release_robust(c, k, e);
	else if (what & (SYS_FORK | SYS_SHARE | SYS_EXEC | SYS_EXIT | SYS_CLOSE_WINDOW | SYS_UNKNOWN | SYS_ASYNC))
		held = true;
	if (ret == 0 && !held && (what & SYS_MM))
		ret = serve_mappings(c, &mm, e);
	ranges_deinit(&writes);
	ranges_deinit(&mm);
	if (ret < 0)
		return -1;
	if (held) {
		hold(c, k);
		return 0;
	}
	stall(c, k, 0, STALL_SYSCALL);
	task_run(&c->t, k, RUN_SYSCALL, 0);
	return 0;
}

static int serve_entry(struct capture *c, struct task *k, struct err *e)
{
	const arch_regs *r = task_regs(k);
	if (!r)
		return 0;
	uint64_t args[6];
	arch->syscall_args(r, args);
	int64_t nr = arch->syscall_nr(r);
	if (nr == SYS_restart_syscall && note_of(k)->restart_nr >= 0)
		nr = note_of(k)->restart_nr;
	return serve_call(c, k, nr, args, e);
}

/* A thread halted in a call that will be restarted: remember which one restart_syscall stands for. */
static void note_restart(struct task *k)
{
	const arch_regs *r = task_regs(k);
	if (!r || !arch->restarts(r) || arch->syscall_nr(r) == SYS_restart_syscall)
		return;
	note_of(k)->restart_nr = arch->syscall_nr(r);
}

/* Is SIGSEGV blocked in this thread? At a stop that is no fault its mask tells; later, a forced fault has changed it. */
static void know_mask(struct task *k)
{
	struct segv_task *st = note_of(k);
	uint64_t mask;
	if (st->mask_known || task_get_mask(k, &mask) < 0)
		return;
	st->segv_blocked = mask & 1ull << (SIGSEGV - 1);
	st->mask_known = true;
}

int segv_serve(struct capture *c, struct task *k, struct err *e)
{
	if (!(c->segv && k->stop.kind == STOP_SIGNAL && segv_owns(c, &k->stop.info)))
		collect_note(c, k);
	/* The end of the attach stop: nothing is armed yet, calls are traced from here on. */
	if (!c->segv) {
		note_restart(k);
		/* Resuming only asks for a delivery. A SIGSEGV must have met the program's action before ours is installed. */
		if (k->stop.kind == STOP_SIGNAL && k->stop.sig == SIGSEGV)
			task_deliver(&c->t, k);
		task_run(&c->t, k, RUN_SYSCALL, k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0);
		return 0;
	}
	if (k->user)
		ranges_clear(&note_of(k)->in_flight);
	switch (k->stop.kind) {
	case STOP_NONE:
		return 0;
	case STOP_GONE:
		segv_forget_task(k);
		return 0;
	case STOP_SIGNAL:
		note_restart(k);
		return serve_signal(c, k, e);
	case STOP_ENTRY:
		know_mask(k);
		return serve_entry(c, k, e);
	case STOP_BATCH:
		return 0;
	case STOP_EXIT_SYSCALL:
		know_mask(k);
		break;
	case STOP_TRAP:
		know_mask(k);
		note_restart(k);
		break;
	default:
		break;
	}
	task_run(&c->t, k, RUN_SYSCALL, 0);
	return 0;
}

/* Is a SIGSEGV on its way that the thread has not dequeued yet? */
static bool segv_queued(const struct capture *c, const struct task *k)
{
	uint64_t queued;
	return read_signals(c, k->tid, "SigPnd", &queued) && (queued & 1ull << (SIGSEGV - 1));
}

/* Lets the thread run into the delivery of the signal that is queued: it comes before anything else. */
static int draw_signal(struct capture *c, struct task *k, struct err *e)
{
	const int tid = k->tid;
	const uint64_t deadline = now_ns() + NS_PER_S;
	task_run(&c->t, k, RUN_CONT, 0);
	while (now_ns() < deadline) {
		struct task *got;
		if (tracee_wait(&c->t, ms_until(deadline), &got, e) < 0)
			return -1;
		k = tracee_task(&c->t, tid);
		if (!k || k->stopped)
			return 0;
	}
	return err_set(e, EXIT_CAPTURE, "thread %d does not stop", tid);
}

int segv_squash(struct capture *c, bool at_stop, struct err *e)
{
	for (size_t i = 0; i < c->t.ntasks; i++) {
		struct task *k = c->t.tasks[i];
		if (k->is_agent || !k->stopped)
			continue;
		/* At T the collector drops what is queued: the page is armed still, the fault comes again. */
		if (!at_stop && k->stop.kind != STOP_SIGNAL && segv_queued(c, k) && draw_signal(c, k, e) < 0)
			return -1;
		if (i >= c->t.ntasks || k != c->t.tasks[i] || !k->stopped)
			continue;
		if (k->stop.kind == STOP_SIGNAL && segv_owns(c, &k->stop.info)) {
			if (mend_mask(c, k, e) < 0)
				return -1;
			k->stop.kind = STOP_TRAP;
			k->stop.sig = 0;
		}
	}
	return 0;
}
