/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tracing: stop, resume, and what happened, decoded once. Only src/trace calls ptrace(2), and only
 * the thread that seized may use a struct tracee.
 *
 * The order of a use: tracee_seize -> (tracee_stop_all | tracee_wait, task_run)* -> tracee_detach.
 * Whatever ends us, SIGKILL included, every thread runs on as if nothing had happened; remote.h
 * says how.
 */
#ifndef CKPT_TRACE_TRACE_H
#define CKPT_TRACE_TRACE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include "arch/arch.h"
#include "base/err.h"
#include "model/proc.h"

enum stop_kind {
	STOP_NONE,   /* running */
	STOP_TRAP,   /* PTRACE_EVENT_STOP: our interrupt, or the first stop of a new thread */
	STOP_GROUP,  /* a job-control stop (PTRACE_EVENT_STOP with a stopping signal) */
	STOP_SIGNAL, /* signal-delivery-stop: info holds the siginfo */
	STOP_ENTRY,
	STOP_EXIT_SYSCALL, /* system call stops (only after RUN_SYSCALL) */
	STOP_CLONE,
	STOP_FORK,
	STOP_VFORK,
	STOP_VFORK_DONE, /* msg: the new tid */
	STOP_EXEC,       /* msg: former tid */
	STOP_EXITING,    /* PTRACE_EVENT_EXIT; msg: wait status */
	STOP_BATCH,      /* the agent has finished agent_submit's batch */
	STOP_GONE,       /* exited or killed (or vanished): the task will be freed */
};

struct stop {
	enum stop_kind kind;
	int sig; /* STOP_SIGNAL, STOP_GROUP; for STOP_GONE the wait status */
	uint64_t msg;
	siginfo_t info;
};

struct held_signal {
	siginfo_t info;
	struct held_signal *next;
};

struct task {
	int tid;
	bool stopped; /* in a ptrace stop now; stop says which */
	bool is_agent;
	bool child;          /* a forked child's task, not a thread of the process */
	bool interrupting;   /* PTRACE_INTERRUPT sent, its stop not seen */
	bool group_stopped;  /* job control: resumed with PTRACE_LISTEN */
	bool in_syscall;     /* between STOP_ENTRY and STOP_EXIT_SYSCALL */
	bool trace_syscalls; /* how it was resumed last */
	bool regs_valid, regs_dirty;
	struct stop stop;
	uint64_t stopped_ns;  /* clock when its stop was seen */
	arch_regs regs_cache; /* use task_regs() */
	struct held_signal *held; /* signals taken while it was ours; given back in order */
	void *user;               /* the engine's */
	/* For src/trace only. */
	int ns_tid;         /* tid in the tracee's own pid namespace; 0: not asked yet */
	bool in_signal;     /* the ptrace stop lies in the kernel's signal delivery: restarts are
			       decided after it */
	bool moved;         /* a batch left it in another ptrace stop than stop says */
	bool delivers;      /* the ptrace stop is a signal-delivery-stop: resuming can deliver */
	bool owes_exit;     /* a batch went past the STOP_EXIT_SYSCALL that RUN_SYSCALL must still
			       report */
	bool relisten;      /* on its way back into a group stop after a batch */
	bool regroup;       /* was taken out of a group stop for a pending fault */
	bool queued;        /* its event waits in pending */
	bool in_flight;     /* runs a batch */
	bool exiting;       /* resumed from STOP_EXITING */
	bool stopped_here;  /* by the running tracee_stop_all */
	uint64_t rseq_addr; /* 0: none */
	bool rseq_known;
};

struct scratch; /* remote.h */
struct tracee {
	int pid;
	int ns_pid;          /* its pid in its own pid namespace */
	struct task **tasks; /* pointers stay valid while tasks come and go */
	size_t ntasks;
	struct task *agent;       /* in tasks too; NULL: none */
	struct scratch *scratch;  /* NULL: none */
	struct scratch *prepared; /* by scratch_prepare, not mapped yet */
	struct gadgets {
		uint64_t syscall_ret, sigreturn, syscall;
	} gadgets;             /* instructions in its code; 0: not found */
	int guardian;          /* its pid, 0: none */
	struct ledger *ledger; /* what the guardian must know; NULL: none */
	int pidfd;
	int memfd;         /* /proc/PID/mem, read and write */
	bool same_ns;      /* its pid namespace is ours: tids are the same */
	unsigned npending; /* events taken from wait4 and not yet handed out */
	struct pending_event *pending;
	struct frozen {      /* a copy of the memory, see remote_fork */
		bool making, taken;
		int pid, ns_pid; /* 0: none */
	} frozen;
	struct task *zombie; /* handed out as STOP_GONE, freed by the next tracee_wait */
	bool gone;           /* the whole process is dead */
};

enum run { RUN_CONT, RUN_SYSCALL };

/* Seizes every thread of pid (again and again until no new one appears) with the options
 * TRACESYSGOOD, TRACECLONE, TRACEFORK, TRACEVFORK, TRACEEXEC, TRACEEXIT. Nothing is stopped yet.
 * What cannot be traced is refused here with one clear line (EXIT_UNTRACEABLE) and nothing changed.
 * Blocks SIGCHLD in the calling thread (needed for timeouts). */
int tracee_seize(struct tracee *t, int pid, struct err *e);
/* Takes a child that we made ourselves and that is in a ptrace stop already (restore). */
int tracee_adopt(struct tracee *t, int pid, struct err *e);
/* Lets everything go: held signals given back, interrupted threads resumed, scratch and agent must
 * be gone already (asserted). Group-stopped threads stay stopped for their shell. Frees all. Safe
 * on a dead process. */
void tracee_detach(struct tracee *t);
/* Halts every running thread (not the agent), those born meanwhile too. Signal-delivery stops that
 * come up on the way are kept: the task stays in that stop (stop.kind STOP_SIGNAL etc. is left for
 * the caller to handle before it resumes). Other events (CLONE, ENTRY, ...) likewise: each task is
 * stopped in whatever stop came first. Only a page fault that is pending is always brought to its
 * STOP_SIGNAL, so that it cannot be delivered unseen later. serve: NULL, or called for a
 * STOP_SIGNAL that is a SIGSEGV fault so that an engine can release a page for a thread that needs
 * it; returns true when it resumed the task. After timeout_ms everything that was stopped here is
 * resumed again and e names the thread and where it sleeps (EXIT_UNTRACEABLE). */
int tracee_stop_all(struct tracee *t, int timeout_ms, bool (*serve)(void *ctx, struct task *k),
	void *ctx, struct err *e);
/* The next event of any task: 1 with *out set (its stop filled, out->stopped), 0 timeout (0 ms
 * polls, -1 waits), -1 error. A STOP_GONE task stays valid until the next call. */
int tracee_wait(struct tracee *t, int timeout_ms, struct task **out, struct err *e);
/* Resumes a stopped task from any stop, delivering sig (0: none; to re-deliver the signal of a
 * STOP_SIGNAL pass stop.sig: its siginfo is kept by the kernel). Group stops are resumed with
 * PTRACE_LISTEN. A dead task is fine (ESRCH). Writes back dirty regs. */
void task_run(struct tracee *t, struct task *k, enum run how, int sig);
/* Delivers the signal of a STOP_SIGNAL to a handler of the program and stops the task again at the
 * handler's first instruction (as STOP_TRAP): the action in force now is the one that counts. -1:
 * the task ended. */
int task_deliver(struct tracee *t, struct task *k);
/* Sends PTRACE_INTERRUPT; its STOP_TRAP comes through tracee_wait. */
void task_interrupt(struct task *k);
/* Registers of a stopped task, cached; NULL when it died. task_set_regs only marks: they are
 * written at resume. */
const arch_regs *task_regs(struct task *k);
void task_set_regs(struct task *k, const arch_regs *r);
/* Keeps the signal of a STOP_SIGNAL to be given back (with its siginfo, in order) when the task is
 * resumed next or detached. */
void task_hold_signal(struct task *k);
struct task *tracee_task(struct tracee *t, int tid);
/* All threads of the process but k are on their way out. */
bool tracee_last_thread(const struct tracee *t, const struct task *k);

/* What only ptrace tells about a stopped thread: regs, fpregs, xstate, signal mask, pending signals
 * with siginfo (PTRACE_PEEKSIGINFO), rseq. The first call also fills p->pending (shared) when
 * with_shared. A task in the middle of a SIGNAL stop: the signal is in th->pending (first) as well:
 * it was taken from the queue and not delivered yet. */
int task_collect(
	struct task *k, struct thread *th, struct proc *p, bool with_shared, struct err *e);
int task_get_mask(struct task *k, uint64_t *mask); /* PTRACE_GETSIGMASK */
int task_set_mask(struct task *k, uint64_t mask);

/* Memory. Bytes read or written; 0 when none. Writing goes through protections (/proc/PID/mem). */
size_t tracee_read(struct tracee *t, uint64_t addr, void *out, size_t len);
size_t tracee_write(struct tracee *t, uint64_t addr, const void *data, size_t len);
/* PTRACE_SETREGSET and the like for a stopped task (restore). set: NT_PRSTATUS, NT_PRFPREG,
 * NT_X86_XSTATE. */
int task_set_regset(struct task *k, int set, const void *data, size_t len, struct err *e);
/* PTRACE_SETSIGINFO / rt_tgsigqueueinfo to give a signal to a task (tid) or the process. 0 or -1
 * errno. */
int task_queue_signal(struct tracee *t, int tid, const siginfo_t *info);
int process_queue_signal(struct tracee *t, const siginfo_t *info);
/* What a wait status of k means; reads details by ptrace. */
struct stop stop_decode(int status, const struct task *k);

#endif
