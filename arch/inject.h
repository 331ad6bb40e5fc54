/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What src/trace needs of a CPU to make a tracee call: the stub that runs a batch, how a thread
 * enters it and how it gets home from it without us.
 *
 * The stub touches neither the stack, nor the flags, nor the extended registers: it has only
 * general registers to put back, and does so itself from its slot when no tracer is there to do it.
 * That leaves the kernel's restart block alone (rt_sigreturn would reset it), needs no signal frame
 * in the kernel's layout, and a signal handler may interrupt it anywhere.
 */
#ifndef CKPT_ARCH_INJECT_H
#define CKPT_ARCH_INJECT_H

#include "arch/arch.h"

#ifndef __ASSEMBLER__

/* One caller's place in the scratch mapping, followed by its calls (struct remote_call, 64 bytes
 * each). stub.S knows the offsets. */
struct inject_slot {
	uint64_t count; /* calls to run; for the agent 0 means: no work, so the tracer is dead (or
			   quit is set) */
	uint64_t quit;  /* agent: leave without cleaning up */
	uint64_t pid, tid, sig; /* tgkill(pid, tid, sig) tells the tracer; as the tracee's pid
				   namespace counts */
	uint64_t mask;          /* the thread's own signal mask */
	uint64_t tail;          /* address of code[] */
	uint64_t busy;          /* 1 until the thread is home by itself */
	uint64_t dead;          /* address of struct inject_dead */
	uint64_t home[17];      /* the thread's registers, in the stub's order */
	uint8_t code[48];       /* the last steps home, made for this slot */
};

/* The dead-man's header: what to undo when the tracer is gone. */
struct inject_dead {
	uint64_t table; /* address of {count, 0, 0, 0} and count times {addr, len, prot, 0} */
	uint64_t armed; /* 1: our SIGSEGV action is installed; whoever makes it 0 puts saved back */
	uint64_t done;  /* 1: somebody has undone the whole table */
	uint64_t tries; /* faults that the handler has taken for ours */
	uint64_t saved[4]; /* the program's own SIGSEGV action (struct kernel_sigaction) */
};

struct arch_bytes {
	const uint8_t *b;
	size_t len;
};

struct arch_inject {
	const uint8_t *stub, *stub_end; /* in our own memory; less than a page */
	/* Places in it: a batch's entry; where a thread stands when it has told that it is ready
	 * (its stop's pc); the entry that clones the agent; where the agent stands when idle; the
	 * dead-man's SIGSEGV handler and its restorer. */
	const uint8_t *at_batch, *at_told, *at_clone, *at_agent_told, *at_handler, *at_restorer;
	size_t dead_off; /* where the stub expects struct inject_dead, from its own start */
	/* Registers such that resuming makes the call at pc, a system call instruction. */
	void (*set_syscall)(arch_regs *r, int64_t nr, const uint64_t args[6]);
	/* Registers such that resuming enters the stub at pc with this slot. In no call any more:
	 * nothing is restarted. */
	void (*enter)(arch_regs *r, uint64_t pc, uint64_t slot);
	/* For at_clone: the call's registers; the new thread takes agent_slot. */
	void (*enter_clone)(arch_regs *r, uint64_t pc, uint64_t slot, uint64_t flags,
		uint64_t stack, uint64_t agent_slot);
	/* Fills home, code and tail of the slot that will be at addr, from the registers the thread
	 * has to go home with: an interrupted call is made again, with the kernel's restart block
	 * where it has one. */
	void (*make_home)(struct inject_slot *s, uint64_t addr, const arch_regs *r);
	/* Byte patterns in the tracee's own code: a system call followed by a return;
	 * rt_sigreturn's trampoline; a system call. */
	struct arch_bytes syscall_ret, sigreturn, syscall;
	/* A signal frame for rt_sigreturn, to lie below sp: return address (the trampoline), frame,
	 * extended state. Fills out[cap] and *at, the address it must be written to and sp be set
	 * to; returns its length, 0 when it does not fit. */
	size_t (*sigframe)(const arch_regs *r, uint64_t mask, const void *xstate, size_t xstate_len,
		uint64_t trampoline, void *out, size_t cap, uint64_t *at);
};

#endif
#endif
