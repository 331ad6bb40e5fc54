/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A restore as data: the list of steps that make a process out of an image. Pure: reads the image's
 * struct proc (and asks the file system nothing); run.h runs it.
 */
#ifndef CKPT_RESTORE_PLAN_H
#define CKPT_RESTORE_PLAN_H

#include <jansson.h>
#include "base/err.h"
#include "image/image.h"

enum step_kind {
	STEP_CHECK, /* a mapped file is what it was, cpu fits, pid free: done before anything is
		       made */
	STEP_SPAWN, /* the bare child */
	STEP_STRIP, /* its own rseq, mappings away, vdso moved */
	STEP_MAP,   /* one mapping */
	STEP_FILL,  /* pages into it */
	STEP_FD,    /* one descriptor (or open file description) */
	STEP_FS,    /* cwd, root, umask, exe */
	STEP_LIMIT,
	STEP_SIGNAL,
	STEP_TIMER,
	STEP_MM,
	STEP_CREDS,
	STEP_SCHED,
	STEP_THREAD,       /* one thread born */
	STEP_THREAD_STATE, /* robust list, rseq, altstack ... of one thread */
	STEP_PENDING,      /* signals given back */
	STEP_REGS,         /* the last: mask and registers of one thread */
	STEP_RELEASE,      /* let go */
	STEP_KINDS,
};

/* An argument of a call: a number, a place in the step's data, or the thread (or process) that in
 * the image has the number. */
enum arg_kind { ARG_NUM, ARG_DATA /* address of data + num */, ARG_TID };
struct call_arg {
	uint8_t kind;
	uint64_t num;
};
/* When a call is made: always, or by how an earlier one of the same step went. */
enum call_when { CALL_ALWAYS, CALL_IF_OK, CALL_IF_FAILED };
struct step_call {
	int64_t nr;
	struct call_arg args[6];
	bool may_fail;       /* a failure is a warning */
	bool quiet;          /* a failure is not even that */
	uint8_t when;        /* enum call_when */
	uint8_t back;        /* ... of the call this many calls before */
	int64_t expect;      /* result that must come; -1: any that is no error */
	const char *warning; /* static words for a failure that may be; NULL: the call's name */
};

struct step {
	enum step_kind kind;
	int32_t tid;             /* who does it; 0: ckptview itself */
	char *what;              /* "map 0x5560..-0x5580.. rw-p [heap]" */
	const char *why;         /* static text */
	struct step_call *calls; /* injected, in order */
	size_t ncalls;
	struct buf
		data; /* bytes the arguments point to; at most PLAN_DATA_MAX when there are calls */
	uint32_t *relocs; /* offsets in data of 8 bytes that hold an offset into data: they become
			     its address */
	size_t nrelocs;
	int32_t idx; /* of the vma, fd, thread, check it is about; -1 */
};
#define PLAN_DATA_MAX 65536u

struct plan_opts {
	bool force, detach, stopped, new_pid, lazy;
	bool foreground; /* on our terminal: a process group of its own, made the foreground one
			    before it is let go */
	void (*say)(const char *line); /* news while it runs ("waiting for pid ..."); NULL: none */
};

/* Descriptors of ours that the child holds while it is built, above all that the image has. */
enum high_fd { HIGH_STDIN, HIGH_STDOUT, HIGH_STDERR, HIGH_TTY, HIGH_IMAGE, HIGH_FDS };

struct plan {
	struct step *steps;
	size_t nsteps;
	struct image *im;  /* not owned */
	struct proc *proc; /* of im */
	struct plan_opts opts;
	int high_fd;     /* number of HIGH_STDIN; the others follow */
	int free_fd;     /* lowest number free when all descriptors stand */
	bool wants_tty;  /* a terminal is among the descriptors */
	char **warnings; /* what cannot come back as it was */
	size_t nwarnings;
};
/* Fills *p (zeroed or not) from the image. -1: EXIT_IMAGE when its content is no process that could
 * be. plan_deinit either way. */
int plan_build(struct plan *p, struct image *im, const struct plan_opts *o, struct err *e);
/* The same from a struct proc; im may be NULL (no pages then): for tests. */
int plan_build_proc(struct plan *p, struct proc *proc, struct image *im, const struct plan_opts *o,
	struct err *e);
void plan_deinit(struct plan *p);
const char *step_kind_name(int kind);
json_t *plan_to_json(const struct plan *p);

#endif
