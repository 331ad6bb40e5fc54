/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A process to make plans of: two threads, a program, a heap, a stack, no descriptors. */
#ifndef CKPT_TESTS_PLAN_HELP_H
#define CKPT_TESTS_PLAN_HELP_H

#include "restore/plan.h"

enum { PID = 4000 };

/* The caller frees (proc_free, plan_deinit). */
struct proc *plan_proc(void);
struct plan plan_of(struct proc *p);
struct vma *plan_add_vma(
	struct proc *p, uint64_t start, uint64_t npages, int prot, int kind, const char *path);
struct fdesc *plan_add_fd(struct proc *p, int fd, int kind, int flags);
struct fdesc *plan_add_pipe(struct proc *p, int fd, int flags, uint64_t ino);

#endif
