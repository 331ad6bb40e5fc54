// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The last step of each thread: its signal mask and registers. What the kernel would have done with
 * an interrupted system call when the thread ran on is done here (signal(7)): begun anew, or ended
 * with EINTR when a handler is about to run. A restartable sequence that was under way is aborted,
 * as after any interruption.
 *
 * The data of the step: struct regs_data (general registers, mask), then the extended ones.
 */
#include "restore/regs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const struct sigact *action_of(const struct proc *proc, const struct siginfo_raw *info)
{
	int signo;

	memcpy(&signo, info->bytes, sizeof(signo));
	return signo >= 1 && signo <= NSIGNALS ? &proc->acts[signo - 1] : NULL;
}

static bool has_handler(const struct sigact *a)
{
	return a->handler != (uint64_t)(uintptr_t)SIG_DFL &&
	       a->handler != (uint64_t)(uintptr_t)SIG_IGN;
}

static bool is_blocked(const struct thread *th, const struct siginfo_raw *info)
{
	int signo;

	memcpy(&signo, info->bytes, sizeof(signo));
	return signo < 1 || signo > NSIGNALS || (th->sigmask >> (signo - 1) & 1);
}

/* The action of the first pending signal whose handler th will run at once; NULL: none. */
static const struct sigact *handler_about_to_run(const struct proc *proc, const struct thread *th)
{
	const struct {
		const struct siginfo_raw *list;
		size_t n;
	} from[2] = {
		{th->pending, th->npending},
		/* Signals to the process go to its first thread when that does not block them. */
		{proc->pending, th == &proc->threads[0] ? proc->npending : 0},
	};

	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < from[k].n; i++) {
			const struct sigact *a = action_of(proc, &from[k].list[i]);

			if (a && !is_blocked(th, &from[k].list[i]) && has_handler(a))
				return a;
		}
	}
	return NULL;
}

void regs_restart(arch_regs *r, const struct sigact *handler)
{
	bool again;

	if (arch->at_entry(r)) {
		arch->rewind(r);
	} else if (arch->needs_block(r, &again)) {
		if (again && !handler)
			arch->rewind(r);
		else
			arch->finish_call(r, -EINTR);
	} else if (arch->restarts(r)) {
		const int rule = arch->restart_rule(r);

		if (!handler || rule == RESTART_ALWAYS ||
			(rule == RESTART_SYS && (handler->flags & SA_RESTART)))
			arch->rewind(r);
		else
			arch->finish_call(r, -EINTR);
	} else {
		arch->finish_call(r, arch->syscall_ret(r));
	}
}

/* struct rseq and struct rseq_cs of linux/rseq.h, by offset. */
#define RSEQ_CS_OFF 8
struct rseq_section {
	uint32_t version, flags;
	uint64_t start_ip, post_commit_offset, abort_ip;
};

/* Registering forgets the sequence (kernel 6.15) or would meet an old one: the thread goes to its
 * abort handler here. */
static void leave_rseq(const struct plan *p, const struct thread *th, arch_regs *r)
{
	struct rseq_section cs;
	uint64_t at = 0;

	if (!p->im || !th->rseq.addr)
		return;
	if (image_read(p->im, th->rseq.addr + RSEQ_CS_OFF, &at, sizeof(at)) != sizeof(at) || !at)
		return;
	if (image_read(p->im, at, &cs, sizeof(cs)) != sizeof(cs))
		return;
	if (arch->pc(r) - cs.start_ip < cs.post_commit_offset)
		arch->set_pc(r, cs.abort_ip);
}

void plan_regs(struct plan *p)
{
	const struct proc *proc = p->proc;

	/* The leader last: the process runs when it does. */
	for (size_t n = proc->nthreads; n-- > 0;) {
		const struct thread *th = &proc->threads[n];
		struct step *s =
			plan_step(p, STEP_REGS, th->tid, (int)n, "it goes on from that instant",
				"registers and signal mask of thread %d", th->tid);
		struct regs_data d = {.mask = th->sigmask};

		memcpy(&d.regs, th->regs.data, sizeof(d.regs));
		regs_restart(&d.regs, handler_about_to_run(proc, th));
		leave_rseq(p, th, &d.regs);
		buf_add(&s->data, &d, sizeof(d));
	}
}
