/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A CPU is a table. Everything above asks `arch` (the one compiled in); nothing in src/ names a
 * register or a system call number of a CPU, except through these.
 */
#ifndef CKPT_ARCH_ARCH_H
#define CKPT_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/ranges.h"

typedef struct user_regs_struct arch_regs;

struct arch_reg {                       /* for show, diff and screens */
	const char *name;
	size_t off, len;                /* in arch_regs */
};

/* What a system call may do to memory and to the window, apart from the buffers it writes. */
enum sys_effect {
	SYS_MM = 1,             /* changes mappings: sys_ranges says which */
	SYS_FORK = 2,           /* makes a child with a copy of the memory */
	SYS_SHARE = 4,          /* makes a child that shares the memory (vfork, CLONE_VM) and is no thread */
	SYS_EXEC = 8,
	SYS_EXIT = 16,          /* exit_group, or exit of the last thread */
	SYS_MASK = 32,          /* may change the signal mask of the thread */
	SYS_CLOSE_WINDOW = 64,  /* must not meet our presence: unshare, setns, sigaction(SIGSEGV), seccomp, ... */
	SYS_UNKNOWN = 128,      /* not in the table: finish the copy with the process stopped */
	SYS_ASYNC = 256,        /* the kernel may write later on its own: io_uring_*, io_submit, ... */
	SYS_THREAD = 512,       /* makes a thread */
};

/* Parts of a process's state, as they are read. */
enum sys_touch {
	TOUCH_MAPS = 1,
	TOUCH_FDS = 2,          /* descriptors, their positions and contents */
	TOUCH_SIGNALS = 4,      /* what only injected calls tell: actions, timers, alternate stacks, the program break */
	TOUCH_NAMES = 8,        /* threads, credentials, limits, names, directories */
	TOUCH_ALL = 15,
};

/* Reads tracee memory: bytes read, 0 when none. */
typedef size_t (*arch_reader)(void *ctx, uint64_t addr, void *out, size_t len);

enum restart_rule { RESTART_NOHAND, RESTART_SYS, RESTART_ALWAYS };

struct arch {
	const char *name;                       /* "x86_64" */
	uint16_t elf_machine;
	const struct arch_reg *regs;
	size_t nregs;
	/* accessors */
	uint64_t (*pc)(const arch_regs *r);
	uint64_t (*sp)(const arch_regs *r);
	void (*set_pc)(arch_regs *r, uint64_t v);
	void (*set_sp)(arch_regs *r, uint64_t v);
	int64_t (*syscall_nr)(const arch_regs *r);      /* orig_rax; -1: not in a system call */
	int64_t (*syscall_ret)(const arch_regs *r);
	void (*syscall_args)(const arch_regs *r, uint64_t args[6]);
	/* Makes regs that were found at a stop in a system call (entry, or interrupted) such that resuming repeats
	 * the call from its beginning; nothing for user-mode stops. */
	void (*rewind)(arch_regs *r);
	/* Would the kernel restart the call these regs stopped in (ERESTART*)? */
	bool (*restarts)(const arch_regs *r);
	/* The call these regs stopped in is over, with this value (-errno): resuming goes on behind it. */
	void (*finish_call)(arch_regs *r, int64_t ret);
	/* restarts() and a restart block of the kernel's tells how (nanosleep, poll, futex with a timeout): a new process has none. *again:
	 * the call stands in the registers and can be made anew (rewind). */
	bool (*needs_block)(const arch_regs *r, bool *again);
	/* Stopped at the entry of a call that has not begun. */
	bool (*at_entry)(const arch_regs *r);
	/* restarts() only when no handler runs (ERESTARTNOHAND), or unless its action says no (ERESTARTSYS), or always. */
	int (*restart_rule)(const arch_regs *r);        /* enum restart_rule */
	/* The call was cut short with EINTR only because of our interruption, and repeating it is harmless (epoll_wait, ...;
	 * signal(7) "Interruption of system calls and library functions by stop signals"). */
	bool (*repairs_eintr)(const arch_regs *r);
	/* What the call does (enum sys_effect), and, added to *writes, the user memory it may write; to *mm the ranges
	 * whose mapping it changes. Both may name memory that is not mapped, up to UINT64_MAX: cut them to what is.
	 * SYS_MM with nothing added to *mm: pages of file mappings may go (truncate, hole punching). brk gives
	 * [new end, UINT64_MAX), meaning the heap only; shmdt a page of the mapping that goes whole. Memory the kernel
	 * writes later on its own account (clear_child_tid, rseq, robust futexes) counts where it is named to it, not
	 * at exit. Structures in memory are read now; another thread may change them before the kernel does. */
	unsigned (*syscall_effect)(int64_t nr, const uint64_t args[6], arch_reader read, void *ctx,
		struct ranges *writes, struct ranges *mm);
	/* What the call may have changed besides memory contents (enum sys_touch). Unknown calls: TOUCH_ALL. */
	unsigned (*syscall_touches)(int64_t nr);
	const char *(*syscall_name)(int64_t nr);        /* NULL: unknown */
	const struct arch_inject *inject;               /* arch/inject.h: for src/trace only */
};
extern const struct arch *const arch;

#endif
