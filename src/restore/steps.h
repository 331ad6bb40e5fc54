/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files that make steps share: adding a step, its calls, its data. One file per kind of
 * step. */
#ifndef CKPT_RESTORE_STEPS_H
#define CKPT_RESTORE_STEPS_H

#include "arch/arch.h"
#include "restore/plan.h"

/* Adds a step; the pointer is good until the next one is added. why: static. */
struct step *plan_step(struct plan *p, enum step_kind kind, int tid, int idx, const char *why,
	const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void plan_warn(struct plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds a call; good until the next one is added. Use the macro: CALL(s, SYS_close, N(fd)). */
struct step_call *step_call_add(struct step *s, long nr, const struct call_arg args[6]);
#define CALL(s, nr, ...) step_call_add(s, nr, (const struct call_arg[6]){__VA_ARGS__})
#define N(x)                           \
	{                              \
		ARG_NUM, (uint64_t)(x) \
	}
#define D(off)                  \
	{                       \
		ARG_DATA, (off) \
	}
#define T(tid)                           \
	{                                \
		ARG_TID, (uint64_t)(tid) \
	}
/* Marks a call as one whose failure is only a warning. */
struct step_call *call_may_fail(struct step_call *c, const char *warning);
struct step_call *call_quiet(struct step_call *c);
struct step_call *call_expect(struct step_call *c, int64_t result);
struct step_call *call_when(struct step_call *c, enum call_when when, unsigned back);
/* Puts bytes into the step's data, aligned to 8; returns their offset. */
uint64_t step_data(struct step *s, const void *data, size_t len);
uint64_t step_str(struct step *s, const char *text);
/* The 8 bytes at data + at hold an offset into data: they become an address. */
void step_reloc(struct step *s, uint64_t at);

/* Is it one of those the kernel makes and STRIP moves or leaves? */
bool vma_is_kernels(const struct vma *v);
/* A mapping of a file that is found by its path. */
bool vma_is_file(const struct vma *v);
/* An open descriptor of the image whose file is the mapping's object and lives only in the process;
 * -1: none. */
int plan_backing_fd(const struct plan *p, const struct vma *v);

/* The parts, in the order plan_build calls them. */
int plan_check_proc(const struct proc *proc, struct err *e); /* is it a process that could be? */
void plan_checks(struct plan *p);
void plan_fs_early(struct plan *p);
int plan_fds(struct plan *p, struct err *e);
void plan_maps(struct plan *p);
void plan_fills(struct plan *p);
void plan_mm(struct plan *p);
void plan_fds_late(struct plan *p); /* epoll entries, seals, locks */
void plan_signals(struct plan *p);
void plan_threads(struct plan *p); /* their births */
void plan_limits(struct plan *p);
void plan_fs_late(struct plan *p);
void plan_thread_states(struct plan *p);
void plan_creds(struct plan *p, const struct thread *th, int idx);
void plan_timers(struct plan *p);
void plan_pending(struct plan *p);
void plan_regs(struct plan *p);

/* ---- descriptors ---- */

/* Which numbers are open. An open gets the lowest free one, so every number is known beforehand. */
struct fdsim {
	uint8_t *used;
	int n, low; /* none below low is free */
};
/* What the files of descriptors share. */
struct fd_maker {
	struct plan *p;
	struct fdsim sim;
	bool *made;     /* by index into proc->fds */
	size_t *next;   /* by index: the next one of the same open file description, nfds: none */
	struct step *s; /* the step at hand */
};
/* The number the next open gets; it counts as open from now on. */
int fd_take(struct fd_maker *m);
void fd_close(struct fd_maker *m, int fd); /* adds the call, too */
/* The last call opens something: it gets the lowest number. Returns that. */
int fd_expect(struct fd_maker *m, struct step_call *c);
/* Opens path with f's own flags; extra are added. Returns the number. */
int fd_open(struct fd_maker *m, const struct fdesc *f, const char *path, int extra);
/* Opens anew what stands at number at, with f's own flags (a description of its own). */
int fd_reopen(struct fd_maker *m, const struct fdesc *f, int at);
/* An earlier descriptor that is restored already and has the same inode; NULL: none. */
const struct fdesc *fd_made_before(const struct fd_maker *m, const struct fdesc *f);
/* Puts what stands at number at to all numbers of f's open file description, with their
 * close-on-exec flags, owner and signal, and closes at unless it is one of them (at above the
 * image's numbers stays). */
void fd_place(struct fd_maker *m, const struct fdesc *f, int at);
/* F_SETFL for what was not opened with flags. */
void fd_set_flags(struct fd_maker *m, const struct fdesc *f, int at);
/* Writes the stored bytes of f's content to at: as many steps as it takes. */
void fd_refill(struct fd_maker *m, const struct fdesc *f, int at);
/* The two numbers of a pair just made, moved out of the way, above all others; fd_pair_done closes
 * them. */
void fd_pair(struct fd_maker *m, struct step_call *c, int out[2]);
void fd_pair_done(struct fd_maker *m);
/* A kind's way back: adds the calls and returns the number, or -1 when all is placed already. */
int make_socket(struct fd_maker *m, const struct fdesc *f);
int make_pipe(struct fd_maker *m, const struct fdesc *f);
int make_fifo(struct fd_maker *m, const struct fdesc *f);
int make_file(struct fd_maker *m, const struct fdesc *f);
int make_memfd(struct fd_maker *m, const struct fdesc *f);
int make_inotify(struct fd_maker *m, const struct fdesc *f);
int make_placeholder(struct fd_maker *m, const struct fdesc *f);

#endif
