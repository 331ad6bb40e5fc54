/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of src/trace share. The public part is trace.h and remote.h. */
#ifndef CKPT_TRACE_INTERNAL_H
#define CKPT_TRACE_INTERNAL_H

#include <sys/ptrace.h>
#include "arch/inject.h"
#include "base/clock.h"
#include "trace/remote.h"
#include "trace/trace.h"

#define inj (arch->inject)
#define SIG_BIT(n) (1ull << ((n)-1))
#define FOREVER UINT64_MAX

struct pending_event {
	struct task *k;
};

/* ---- wait.c ---- */
/* The next event of any task, pending ones not regarded. 1: *out, or NULL when only something
 * internal happened; 0: deadline (0 polls, FOREVER) or a signal of our own; -1: nothing left to
 * wait for. */
int wait_one(struct tracee *t, uint64_t deadline_ns, struct task **out);
/* The same for one task without waiting; for many tasks far cheaper, as the kernel looks at one only. */
int poll_task(struct tracee *t, struct task *k, struct task **out);
/* Keeps k's event for tracee_wait. */
void queue_event(struct tracee *t, struct task *k);
/* Waits until k has stopped, other tasks' events are queued. 0, or -1 when it died. */
int wait_for(struct tracee *t, struct task *k);
/* So long nothing is heard of a thread, then wait_for and batches look whether it is dead. */
#define LOOK_NS (100 * NS_PER_MS)
uint64_t deadline_of(int timeout_ms);
/* A stopped task of a forked child is not ours: detached and freed. */
void wait_let_go(struct tracee *t, struct task *k);

/* ---- task.c ---- */
struct task *task_add(struct tracee *t, int tid);
void task_drop(struct tracee *t, struct task *k); /* out of t->tasks; not freed */
void task_free(struct task *k);
void task_discard(struct tracee *t, struct task *k); /* both, and its queued event */
int task_ns_tid(struct tracee *t, struct task *k);
/* A line of /proc/PID/status ("SigCgt:") into *v: hexadecimal, or for NSpid the last number. */
bool status_field(int pid, int tid, const char *name, bool hex, uint64_t *v);
/* Is tid (a thread or another process) traced by us? */
bool traced_by_us(int tid);
/* A leader that has left by itself while its threads live on: it will not report anything until
 * they are gone. */
bool is_zombie_leader(struct tracee *t, const struct task *k);
/* Has this thread ended (a zombie, or not there any more)? */
bool has_left(int pid, int tid);
/* Has a leader ended without our seeing it: killed between our last look and our order to go on, which it took in its last
 * stop? It reports when the other threads are gone, and these may wait for us. From then on it is_zombie_leader. */
bool died_unseen(struct tracee *t, struct task *k);
/* tids in /proc/PID/task that are not among t->tasks; returns their number, -1 when the process is
 * gone. The list ends early when the thread it stands at exits meanwhile. */
int list_strangers(struct tracee *t, int **tids);
/* Are t->tasks, and so many more that have left, all threads there are? The kernel counts them: the links of
 * /proc/PID/task (proc_task_getattr, fs/proc/base.c). True as well when it does not tell. */
bool all_known(struct tracee *t, size_t left);

/* ---- attach.c ---- */
/* Seizes threads that are not among t->tasks. Their number, -1 with e. *left (NULL: not wanted): those of them that are dead. */
int seize_strangers(struct tracee *t, size_t *left, struct err *e);

/* ---- run.c ---- */
/* Writes registers that task_set_regs has marked. */
void task_flush(struct task *k);
int task_put_regs(struct task *k, const arch_regs *r); /* at once; -1: it died */
void task_mark_running(struct task *k);
/* A page fault's SIGSEGV. It may be dropped: the instruction is executed again and faults again
 * unless the cause is gone. */
bool is_fault(const siginfo_t *info);
/* Has a stopped task one that is not delivered yet? An interrupt's stop comes first. */
bool fault_pending(struct task *k);
/* Lets such a task run into its delivery stop. */
void run_to_fault(struct task *k);
void held_add(struct task *k, const siginfo_t *info);
/* The siginfo of a signal that we queued in place of another one, put right; called at its delivery
 * stop. */
void held_translate(struct task *k);

/* ---- scratch.c ---- */
struct scratch {
	uint64_t addr, len;
	uint64_t dead, table[2], agent_slot, work, work_len, arena, arena_len, data, data_len;
	size_t max_ranges;
	int sig; /* the signal that tells; see stub.S */
	int table_now;
	struct deadman_range *ranges; /* what the table in the tracee says */
	size_t nranges;
	bool armed;
	struct sigact saved; /* valid while armed */
	struct remote_call *agent_calls;
	size_t agent_n;
	bool agent_busy, agent_idle;
	int agent_tid; /* as soon as it is known, before t->agent is */
};
/* The mapping is no more (exec, or the process is dead): our part of it only. */
void scratch_forget(struct tracee *t);
/* The layout of a mapping at addr; len is filled. */
void scratch_layout(
	struct scratch *s, uint64_t addr, size_t ntasks, size_t max_ranges, size_t data_len);
int pick_signal(int pid);

/* ---- bare.c ---- */
/* Looks for the instructions remote_bare needs, once. */
void gadgets_find(struct tracee *t);

/* ---- batch.c ---- */
/* A batch that clones the agent, or the copy of remote_fork. */
int batch_clone(struct tracee *t, struct task *k, uint64_t flags, uint64_t stack, int64_t *ret);
/* Brings k from wherever it stopped to a place where its registers can be changed; -1 when there is
 * none or it died. */
int task_settle(struct tracee *t, struct task *k, struct err *e);
/* An interrupted restartable sequence must not go on as if nothing had been: it is aborted now, as
 * the kernel would have when it saw the thread elsewhere (rseq(2)). Changes r only. */
void rseq_abort(struct tracee *t, struct task *k, arch_regs *r);
/* k stands in a delivery stop of the telling signal: puts back what it was found with. */
struct found {
	arch_regs regs;
	uint64_t mask, stopped_ns;
	struct stop stop;
	bool group_stopped, owes_exit, trace_syscalls;
};
struct found task_found(const struct task *k, uint64_t mask);
void task_land(struct tracee *t, struct task *k, const struct found *f);

/* ---- agent.c ---- */
/* A stop of the agent: true when it is news (STOP_BATCH). */
bool agent_event(struct tracee *t, struct task *k);

/* ---- uffd.c ---- */
struct ledger;
/* For the guardian: closes a userfaultfd that the dead tracer had not closed yet. */
void uffd_undo(struct tracee *t, struct task *k, const struct ledger *l);

/* ---- fork.c ---- */
/* For the guardian: waits for the death of a copy that the dead tracer has left, the process running, and reaps it, stopped. */
void fork_undo_wait(struct tracee *t);
void fork_undo(struct tracee *t, struct task *k, const struct ledger *l);

/* ---- guard.c ---- */
void pause_ms(long ms);
enum { LEDGER_SIGNALS = 64, LEDGER_TASKS = 1024, LEDGER_UFFDS = 8 };
/* Shared with the guardian, which reads it when we are dead. */
struct ledger {
	struct scratch plan; /* the mapping, noted before it is made; addr 0: none. Only its layout
				counts */
	int agent;           /* tid, 0: none */
	unsigned nflight, nheld;
	uint64_t bare_pc; /* where remote_bare's call is made */
	bool forks;       /* a copy of the tracee is being made or there */
	int frozen;       /* its pid where the tracee is, 0: not known yet */
	bool takes_uffd;  /* a userfaultfd beside those in uffds is ours and not closed yet */
	int nuffds, uffds[LEDGER_UFFDS];
	struct {
		int tid;
		uint64_t slot;
	} flight[LEDGER_TASKS]; /* threads sent into the stub (slot 0: by remote_bare) */
	struct {
		int tid;
		siginfo_t info;
	} held[LEDGER_SIGNALS]; /* signals taken and not given back */
};
/* Starts the guardian unless there is one already. */
int guard_start(struct tracee *t, struct err *e);
void guard_end(struct tracee *t);
void ledger_flight(struct tracee *t, int tid, uint64_t slot);
void ledger_home(struct tracee *t, int tid);
void ledger_hold(struct tracee *t, int tid, const siginfo_t *info);
void ledger_unhold(struct tracee *t, int tid);

#endif
