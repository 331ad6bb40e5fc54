/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One call without a scratch mapping, by an instruction found in the tracee's own code.
 *
 * To be safe against our death the thread gets, below its red zone, what a signal handler's return
 * needs: after `syscall; ret` it runs into an rt_sigreturn trampoline (its address lies there) and
 * through the frame goes home:
 *
 *	sp ->   trampoline's address, ucontext, extended state  | red zone | the thread's stack
 *
 * Where either is missing (or the stack is not writable there) a plain system call instruction must
 * do, and we must not die.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/buf.h"
#include "trace/internal.h"

static uint64_t find(const uint8_t *code, size_t len, uint64_t addr, struct arch_bytes what)
{
	const uint8_t *p = memmem(code, len, what.b, what.len);
	return p ? addr + (uint64_t)(p - code) : 0;
}

/* In pieces, as what is looked for mostly comes early. They overlap by more than a pattern's
 * length. */
static void scan(struct tracee *t, uint64_t start, uint64_t end, struct gadgets *g)
{
	enum { PIECE = 128 << 10, OVERLAP = 16 };
	uint8_t *code = xmalloc(PIECE);
	for (uint64_t at = start; at < end && !(g->syscall_ret && g->sigreturn);
		at += PIECE - OVERLAP) {
		const size_t got = tracee_read(t, at, code, (size_t)MIN(end - at, (uint64_t)PIECE));
		if (!g->syscall_ret)
			g->syscall_ret = find(code, got, at, inj->syscall_ret);
		if (!g->sigreturn)
			g->sigreturn = find(code, got, at, inj->sigreturn);
		if (!g->syscall)
			g->syscall = find(code, got, at, inj->syscall);
	}
	free(code);
}

/* An executable line of maps; where is 0 for the vdso, 1 for a C library or loader, 2 for anything
 * else. */
static bool parse_map(const char *line, uint64_t *start, uint64_t *end, int *where)
{
	char *p;
	*start = strtoull(line, &p, 16);
	if (*p != '-')
		return false;
	*end = strtoull(p + 1, &p, 16);
	if (p[0] != ' ' || p[1] != 'r' || p[3] != 'x')
		return false;
	const char *nl = strchr(p, '\n');
	const size_t len = nl ? (size_t)(nl - p) : strlen(p);
	if (memmem(p, len, "[vsyscall]", 10))
		return false;
	*where = memmem(p, len, "[vdso]", 6)                              ? 0
		 : memmem(p, len, "libc", 4) || memmem(p, len, "musl", 4) ? 1
									  : 2;
	return true;
}

static void search(struct tracee *t, struct gadgets *g)
{
	char path[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	if (file_read(AT_FDCWD, path, &b))
		return;
	buf_add(&b, "", 1);
	for (int want = 0; want < 3; want++) {
		for (const char *line = (const char *)b.data; line && *line;
			line = strchr(line, '\n'), line += line ? 1 : 0) {
			uint64_t start, end;
			int where;
			if (g->syscall_ret && g->sigreturn)
				return;
			if (parse_map(line, &start, &end, &where) && where == want)
				scan(t, start, end, g);
		}
	}
}

static bool stands(struct tracee *t, uint64_t addr, struct arch_bytes what)
{
	uint8_t now[16];
	return addr && tracee_read(t, addr, now, what.len) == what.len &&
	       !memcmp(now, what.b, what.len);
}

void gadgets_find(struct tracee *t)
{
	struct gadgets *g = &t->gadgets;
	/* The code may have been unmapped since. */
	if (stands(t, g->syscall_ret, inj->syscall_ret) && stands(t, g->sigreturn, inj->sigreturn))
		return;
	if (g->syscall_ret && g->sigreturn)
		memset(g, 0, sizeof(*g));
	if (!stands(t, g->syscall, inj->syscall)) {
		memset(g, 0, sizeof(*g));
		search(t, g);
	}
}

/* Lays the way home on the thread's stack and points its registers at the call. */
static void prepare(struct tracee *t, struct task *k, const struct gadgets *g,
	const arch_regs *home, uint64_t mask, arch_regs *r)
{
	enum { CAP = 16384 };
	arch->set_pc(r, g->syscall_ret ? g->syscall_ret : g->syscall);
	if (!g->syscall_ret || !g->sigreturn)
		return;
	uint8_t *xstate = xmalloc(CAP);
	uint8_t *frame = xmalloc(CAP);
	struct iovec iov = {xstate, CAP};
	uint64_t at;
	size_t len = 0;
	if (ptrace(PTRACE_GETREGSET, k->tid, NT_X86_XSTATE, &iov) == 0 ||
		ptrace(PTRACE_GETREGSET, k->tid, NT_PRFPREG, &iov) == 0)
		len = inj->sigframe(home, mask, xstate, iov.iov_len, g->sigreturn, frame, CAP, &at);
	if (len && tracee_write(t, at, frame, len) == len)
		arch->set_sp(r, at);
	free(xstate);
	free(frame);
}

/* Resumes with how until the wanted kind of stop, a delivery stop only of sig. Foreign signals are
 * held. */
static int step(struct tracee *t, struct task *k, int how, enum stop_kind want, int sig)
{
	for (;;) {
		task_mark_running(k);
		ptrace(how, k->tid, NULL, 0);
		if (wait_for(t, k) || k->stop.kind == STOP_EXITING)
			return -1;
		const bool ours = k->stop.kind == STOP_SIGNAL && k->stop.sig == sig;
		if (k->stop.kind == STOP_SIGNAL && !(ours && k->stop.info.si_pid == getpid()))
			held_add(k, &k->stop.info);
		if (k->stop.kind == want && (want != STOP_SIGNAL || ours))
			return 0;
	}
}

/* The call itself: entry, exit, and into the delivery stop of a harmless signal, after which the
 * kernel decides about restarts, when everything is put back. */
static int make_call(struct tracee *t, struct task *k, int64_t *ret)
{
	const int sig = t->scratch ? t->scratch->sig : pick_signal(t->pid);
	if (step(t, k, PTRACE_SYSCALL, STOP_ENTRY, 0) ||
		step(t, k, PTRACE_SYSCALL, STOP_EXIT_SYSCALL, 0) || !task_regs(k))
		return -1;
	*ret = arch->syscall_ret(&k->regs_cache);
	if (task_set_mask(k, ~SIG_BIT(sig)) || syscall(SYS_tgkill, t->pid, k->tid, sig))
		return -1;
	return step(t, k, PTRACE_CONT, STOP_SIGNAL, sig);
}

int64_t remote_bare(struct tracee *t, struct task *k, int64_t nr, const uint64_t args[6])
{
	struct err e;
	uint64_t mask;
	int64_t ret = -ESRCH;
	if (!k->stopped || task_settle(t, k, &e) || !task_regs(k) || task_get_mask(k, &mask))
		return -ESRCH;
	gadgets_find(t);
	const struct gadgets g = t->gadgets;
	if (!g.syscall && !g.syscall_ret)
		return -ENOSYS;
	struct found f = task_found(k, mask);
	rseq_abort(t, k, &f.regs);
	arch_regs r = f.regs;
	inj->set_syscall(&r, nr, args);
	prepare(t, k, &g, &f.regs, mask, &r);
	if (t->ledger)
		t->ledger->bare_pc = arch->pc(&r);
	ledger_flight(t, k->tid, 0);
	if (task_put_regs(k, &r) || task_set_mask(k, ~0ull) || make_call(t, k, &ret))
		return -ESRCH;
	task_land(t, k, &f);
	return ret;
}
