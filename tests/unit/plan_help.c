/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A small process to make plans of, added to by each test. */
#include "plan_help.h"

#include <check.h>
#include <stdio.h>
#include <sys/mman.h>

#include "arch/arch.h"

static void add_thread(struct proc *p, int tid)
{
	struct thread *th = array_push(&p->threads, &p->nthreads);
	const arch_regs regs = {.rip = 0x401000, .rsp = 0x7ffc00000000, .orig_rax = (uint64_t)-1};

	th->tid = tid;
	th->comm = xstrdup("victim");
	th->state = 'S';
	blob_set(&th->regs, &regs, sizeof(regs));
	th->injected_known = true;
}

struct vma *plan_add_vma(
	struct proc *p, uint64_t start, uint64_t npages, int prot, int kind, const char *path)
{
	struct vma *v = array_push(&p->vmas, &p->nvmas);

	v->start = start;
	v->end = start + npages * PAGE_LEN;
	v->prot = (uint32_t)prot;
	v->kind = (uint8_t)kind;
	v->store = STORE_PRIVATE;
	v->shm_id = -1;
	v->path = xstrdup(path);
	v->ino = path && path[0] == '/' ? 77 : 0;
	v->vmflags = xstrdup("rd mr mw me ac");
	return v;
}

struct fdesc *plan_add_fd(struct proc *p, int fd, int kind, int flags)
{
	struct fdesc *f = array_push(&p->fds, &p->nfds);

	f->fd = f->ofd = fd;
	f->kind = (uint8_t)kind;
	f->flags = (uint32_t)flags;
	f->path = xstrdup("/somewhere/file");
	f->ino = 1000 + (uint64_t)fd;
	return f;
}

struct fdesc *plan_add_pipe(struct proc *p, int fd, int flags, uint64_t ino)
{
	struct fdesc *f = plan_add_fd(p, fd, FD_PIPE, flags);

	f->ino = f->pipe_ino = ino;
	f->pipe_cap = 65536;
	return f;
}

struct proc *plan_proc(void)
{
	struct proc *p = proc_new();

	p->pid = p->pgid = PID;
	p->sid = 1;
	snprintf(p->arch, sizeof(p->arch), "%s", arch->name);
	p->cwd = xstrdup("/tmp");
	p->exe = xstrdup("/usr/bin/victim");
	p->acts_known = p->mm.known = true;
	add_thread(p, PID);
	add_thread(p, PID + 7);
	plan_add_vma(p, 0x400000, 4, PROT_READ | PROT_EXEC, VMA_FILE, "/usr/bin/victim");
	plan_add_vma(p, 0x404000, 2, PROT_READ | PROT_WRITE, VMA_FILE, "/usr/bin/victim");
	plan_add_vma(p, 0x800000, 100, PROT_READ | PROT_WRITE, VMA_HEAP, "[heap]");
	plan_add_vma(p, 0x7ffc00000000, 33, PROT_READ | PROT_WRITE, VMA_STACK, "[stack]")
		->growsdown = true;
	return p;
}

struct plan plan_of(struct proc *p)
{
	struct plan plan;
	struct err e = {0};
	const struct plan_opts o = {0};

	ck_assert_msg(plan_build_proc(&plan, p, NULL, &o, &e) == 0, "%s", e.text);
	return plan;
}
