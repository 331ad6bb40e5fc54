/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside plan_run: the state of a restore under way, and the calls that its files make to each
 * other. Calls of steps are gathered and go to the child as batches; exec_flush sends what is
 * gathered and judges the results.
 */
#ifndef CKPT_RESTORE_EXEC_H
#define CKPT_RESTORE_EXEC_H

#include <pthread.h>
#include "restore/run.h"
#include "restore/steps.h"
#include "trace/remote.h"

struct tid_pair {
	int32_t image, real;
};
/* A gathered call: of which step, and which one there. */
struct call_ref {
	const struct step *step;
	size_t idx;
};
/* The checksums of the image, looked at by a thread of ours while the child reads the pages. */
struct verifier {
	pthread_t thread;
	struct err err;
	int rc;
	bool running;
};
struct runner {
	struct plan *plan;
	struct restored *out;
	int pid;                   /* of the child; 0: none */
	bool attached, foreground; /* the tracee is ours; it has the terminal */
	struct tracee t;
	struct tid_pair *tids; /* by thread of the image */
	size_t ntids;
	struct verifier verifier;
	int uffd; /* the child's userfaultfd, -1: none */
	/* gathered */
	struct task *who;
	struct remote_call calls[REMOTE_MAX];
	struct call_ref refs[REMOTE_MAX];
	size_t ncalls;
	uint64_t data_used;
	/* the step at hand */
	const struct step *step;
	int64_t *results;          /* of its calls */
	uint64_t data_at;          /* address of its data */
	const struct step *failed; /* whose call ended the restore; NULL: the step at hand */
};

void run_warn(struct runner *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The tracee's task for a thread of the image, NULL when there is none. */
struct task *run_task(struct runner *r, int32_t tid);
int32_t run_tid(const struct runner *r, int32_t tid);

/* exec.c */
int exec_step(struct runner *r, const struct step *s,
	struct err *e); /* gathers; sends when full or when a result is needed */
int exec_flush(struct runner *r, struct err *e);
int64_t exec_one(struct runner *r, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
	uint64_t a4);

/* Steps that ckptview itself does. */
int check_run(struct runner *r, const struct step *s, struct err *e);
int spawn_run(struct runner *r, const struct step *s, struct err *e);
int strip_run(struct runner *r, const struct step *s, struct err *e);
int release_run(struct runner *r, const struct step *s, struct err *e);
bool creds_are(const struct proc *p,
	const struct thread *th); /* has this process of ours these already? */

/* fill.c */
void fill_open(struct runner *r);
void fill_close(struct runner *r);
bool fill_is_ours(
	const struct runner *r, const struct step *s); /* done by us and not by the child */
int fill_run(struct runner *r, const struct step *s, struct err *e);
int fill_read(
	struct image *im, uint64_t addr, uint64_t off, uint8_t *buf, size_t len, struct err *e);

/* Gives it our terminal (it is still stopped). */
void terminal_give(struct runner *r);

void verify_start(struct runner *r);
int verify_end(struct runner *r, struct err *e);
#endif
