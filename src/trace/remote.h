/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Remote system calls: the tracee calls, we say what.
 *
 * The scratch mapping (anonymous, private, rwx, made by one injected mmap, never in the image):
 *
 *	code     position-independent stubs of arch/CPU/stub.S
 *	dead     the dead-man's table: what is write-protected, and the program's own SIGSEGV action
 *	slots    one per task that calls: its calls {nr, args[6], ret}, and its way home
 *	data     room for arguments, scratch_data() .. + scratch_data_len()
 *
 * A batch runs in the stub: it walks the calls, then sends itself a signal that the program ignores
 * (a tracer sees its delivery stop, without a tracer nothing happens). A living tracer puts the
 * registers and the mask back at that stop. A dead one is not missed: the stub goes on, puts the
 * thread's own mask and registers back from its slot (the interrupted call rewound) and jumps home.
 * It touches neither stack, flags nor extended registers. A signal frame and rt_sigreturn would do
 * the same, but make the kernel forget how to restart a sleep.
 *
 * The agent is a thread of our own inside the tracee (clone with CLONE_THREAD, all signals blocked,
 * never runs user code). It makes calls without stopping anybody. When the tracer dies it wakes,
 * unprotects all in the dead-man's table and exits. The SIGSEGV handler stays until the guardian, a
 * process of its own, takes it and the mapping away: another thread may have a fault pending.
 */
#ifndef CKPT_TRACE_REMOTE_H
#define CKPT_TRACE_REMOTE_H

#include "trace/trace.h"

struct remote_call {
	int64_t nr;
	uint64_t args[6];
	int64_t ret; /* the kernel's own value, -errno on failure */
};

/* Makes the scratch mapping by one injected mmap in a stopped task k. max_ranges: room in the
 * dead-man's table. data_len: room for scratch_data. The guardian process is started with it.
 * Everything death-safe from here on.
 * scratch_prepare does all of it that can be done while the process runs; scratch_open with the
 * same numbers is then short. */
int scratch_prepare(struct tracee *t, size_t max_ranges, size_t data_len, struct err *e);
int scratch_open(
	struct tracee *t, struct task *k, size_t max_ranges, size_t data_len, struct err *e);
/* The same at an address that the caller knows to be free (restore); scratch_room: bytes it will
 * take there. */
int scratch_open_at(struct tracee *t, struct task *k, uint64_t at, size_t max_ranges,
	size_t data_len, struct err *e);
uint64_t scratch_room(const struct tracee *t, size_t max_ranges, size_t data_len);
/* Unmaps it by an injected munmap in the stopped task k (NULL: the process is ending, nothing is to be done). The guardian stays until the
 * process is let go. */
int scratch_close(struct tracee *t, struct task *k, struct err *e);
uint64_t scratch_addr(const struct tracee *t);
/* [addr, addr+len) is never part of an image. */
uint64_t scratch_len(const struct tracee *t);
uint64_t scratch_data(const struct tracee *t);
uint64_t scratch_data_len(const struct tracee *t);

/* Runs calls in the stopped task k (any stop kind, syscall entry included: the call it stood before
 * is entered anew later) and leaves it stopped with exactly the state it had: registers, FPU
 * untouched, mask, an interrupted call restarts as it would have. stop is as before, except that
 * STOP_ENTRY tasks come back by a new STOP_ENTRY (reported as such by tracee_wait) after being
 * resumed. Signals that arrive meanwhile are held. -1 only when the task died or the scratch is
 * missing; the calls' own errors are in ret. */
int remote_batch(
	struct tracee *t, struct task *k, struct remote_call *calls, size_t n, struct err *e);
/* Many tasks at once, each with its own calls: started together, awaited together. */
struct remote_job {
	struct task *k;
	struct remote_call *calls;
	size_t n;
};
int remote_batches(struct tracee *t, struct remote_job *jobs, size_t njobs, struct err *e);
/* One call; returns the kernel's own value, -ESRCH when the task died. */
int64_t remote_syscall(struct tracee *t, struct task *k, int64_t nr, uint64_t a0, uint64_t a1,
	uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
/* Before the scratch exists, or after: one call by a syscall instruction found in the tracee's own
 * code. Death-safe where the code has an rt_sigreturn trampoline too (glibc and musl have). */
int64_t remote_bare(struct tracee *t, struct task *k, int64_t nr, const uint64_t args[6]);
/* n at most REMOTE_MAX in one batch. */
#define REMOTE_MAX 256

/* The agent. k: a stopped task that clones it. */
int agent_open(struct tracee *t, struct task *k, struct err *e);
/* Runs calls in the agent and waits for it; other tasks' events are kept for tracee_wait. */
int agent_batch(struct tracee *t, struct remote_call *calls, size_t n, struct err *e);
/* The same without waiting: STOP_BATCH comes from tracee_wait for t->agent, the results are then in
 * calls. calls must live until then. One at a time; agent_batch waits for a submitted one first and
 * keeps its event. */
int agent_submit(struct tracee *t, struct remote_call *calls, size_t n, struct err *e);
bool agent_busy(const struct tracee *t);
int agent_close(struct tracee *t, struct err *e); /* it exits; waited for */

/* The dead-man's switch: what a SIGSEGV handler of ours, the agent and the guardian undo when we
 * die. Ranges with the protection they must get back. deadman_arm also installs the SIGSEGV handler
 * (through the agent); deadman_disarm puts the program's action back. deadman_set replaces the
 * table (sorted); safe while the tracee runs: count is written last. */
struct deadman_range {
	uint64_t addr, len, prot, pad;
};
int deadman_set(struct tracee *t, const struct deadman_range *r, size_t n, struct err *e);
/* Takes one range out or shrinks ranges: what the program itself has unmapped or reprotected must
 * not be touched by a dead man. */
int deadman_cut(struct tracee *t, uint64_t start, uint64_t end, struct err *e);
int deadman_arm(struct tracee *t, struct err *e);
int deadman_disarm(struct tracee *t, struct err *e);
/* The program's own SIGSEGV action while ours is installed. */
struct sigact deadman_saved(const struct tracee *t);
/* Installs ours again after the kernel has reset it (a fault forced while SIGSEGV was blocked):
 * through the agent. */
int deadman_rearm(struct tracee *t, struct err *e);

/* All stopped: a userfaultfd(2) of the process, made by the agent, with the privilege that the process has; *fd is ours
 * (O_CLOEXEC, O_NONBLOCK, not yet UFFDIO_API), the process keeps none. EPERM (no CAP_SYS_PTRACE there and
 * vm.unprivileged_userfaultfd 0) and ENOSYS leave their errno. */
int remote_userfaultfd(struct tracee *t, int *fd, struct err *e);

/* All stopped: a child of the process that has its memory as it is now, shares its descriptors, and never runs (clone(2) made by k,
 * with no signal at its end). *pid as we see it. It is no task of t, and dies with us. One at a time. */
int remote_fork(struct tracee *t, struct task *k, int *pid, struct err *e);
/* The process may run: kills that child and waits until it is dead. Harmless without one. */
int remote_fork_kill(struct tracee *t);
/* All stopped, after remote_fork_kill: the process has no such child any more. k: who makes the call for it; NULL: the process is ending.
 * Works without a scratch mapping. */
int remote_fork_reap(struct tracee *t, struct task *k, struct err *e);

/* What only the process itself can tell, process-wide, in one batch (by k, or by the agent when k
 * is NULL): signal actions, itimers, POSIX timers' values (ids in p->timers), limits, dumpable,
 * child subreaper, thp_disable, umask is from /proc. */
int remote_collect_process(struct tracee *t, struct task *k, struct proc *p, struct err *e);
/* The same per thread, all stopped threads in parallel: sigaltstack, clear_child_tid
 * (PR_GET_TID_ADDRESS), pdeathsig, securebits. Threads that are missing in p are skipped. */
int remote_collect_threads(struct tracee *t, struct proc *p, struct err *e);

#endif
