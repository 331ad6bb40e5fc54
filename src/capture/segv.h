/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `segv`, shared between arming (segv.c) and serving (serve.c). Private to it.
 *
 *	want     what may be armed: private writable memory without the hot pages
 *	ours     what was ever armed and is still the program's same memory: a fault in it is ours
 *	reopened armed before T, written before T: to be armed again at T
 */
#ifndef CKPT_CAPTURE_SEGV_H
#define CKPT_CAPTURE_SEGV_H

#include "capture/session.h"

/* One mprotect holds the mmap lock for about 15 us per MiB here; a batch, as long as a fault may have to wait. */
#define ARM_PIECE (2ull << 20)
#define ARM_BATCH 4
#define RELEASE_PIECE (1ull << 20)
#define MIN_GRANULE (64ull << 10)
/* Before the stop little is opened, so that little is left for it. What is open at the stop is copied there and then if it
 * is no more than this: arming 50 granules of 128 KiB anew took 1.3 ms here, copying what was written 0.1 ms. */
#define EARLY_GRANULE (16ull << 10)
#define OPEN_MAX (1ull << 20)
/* Each released granule can split a mapping in three: stay far below vm.max_map_count (65530). */
#define MAX_GRANULES 8192

struct segv {
	struct ranges want, ours, reopened, scanned;
	struct ranges unreleased;       /* copied in the background, not yet writable */
	uint64_t granule;               /* how much one fault releases, a power of two */
	bool handler;                   /* the dead-man's handler stands */
	uint64_t changes;               /* protections that we have changed */
};

/* What serve.c notes about a task, in task.user. */
struct segv_task {
	int64_t restart_nr;             /* the call behind restart_syscall, -1: none */
	uint64_t last_fault;            /* address of the last fault on memory that was open already */
	uint64_t last_changes;          /* segv.changes then */
	bool mask_known, segv_blocked;
	bool held;                      /* waits for the end of the window */
	struct ranges in_flight;        /* what the kernel may write until its next stop: must not be armed meanwhile */
};

/* ---- protect.c ---- */
/* From the mappings and the hot pages: what may be armed, and how much one fault releases. */
void segv_find_wanted(struct capture *c);
/* Cuts a range into mprotect calls, one mapping and at most piece bytes each. Returns how many fit into calls; *at is where
 * to go on, end when all is said. */
size_t segv_calls(struct capture *c, uint64_t *at, uint64_t end, bool arm, uint64_t piece, struct remote_call *calls,
	size_t max);
/* How much one mprotect at `at` may take: piece bytes, or all up to the next populated memory, as the kernel skips what
 * has no page tables (a sanitizer's shadow is 14 TiB). */
uint64_t segv_piece(const struct capture *c, uint64_t at, uint64_t piece);
/* What an mprotect did is noted even when it failed in part: releasing what was never armed does no harm. */
void segv_note_call(struct capture *c, const struct remote_call *call, bool arm);
/* Runs mprotect over [start, end) of armed or wanted memory with the program's own protection, less PROT_WRITE when
 * arming. Splits at mappings. All stopped or not: the agent calls. */
int segv_protect(struct capture *c, const struct ranges *what, bool arm, struct err *e);
/* Makes [start, end) of armed memory writable again, copied first when T has passed, noted as reopened before. */
int segv_release(struct capture *c, uint64_t start, uint64_t end, enum copy_how how, struct err *e);
/* ---- serve.c ---- */
/* Acts on the stop of a task, and resumes it unless it must wait for the end of the window. */
int segv_serve(struct capture *c, struct task *k, struct err *e);
/* Frees what is noted about a task. */
void segv_forget_task(struct task *k);
/* All stopped: takes faults of ours that are on their way out of the picture, by letting them happen again. at_stop: for
 * collecting, pages stay armed; else everything is released already and not even a queued one may be left. */
int segv_squash(struct capture *c, bool at_stop, struct err *e);
/* Is this siginfo a fault on memory that we protected? */
bool segv_owns(const struct capture *c, const siginfo_t *info);

#endif
