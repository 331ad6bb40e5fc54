/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A core that is not ours: the kernel's, gcore's. Its standard notes and segments say what a
 * process was made of; the rest of struct proc stays unknown.
 */
#include "image/reader.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>

#include "arch/arch.h"
#include "base/buf.h"

static uint64_t auxv_value(const struct core_notes *n, uint64_t type)
{
	struct cursor c = cursor_of(n->auxv, n->auxv_len);

	while (cursor_left(&c) >= 16) {
		const uint64_t t = cursor_u64(&c), v = cursor_u64(&c);
		if (t == type)
			return v;
	}
	return 0;
}

static const struct core_file *file_at(const struct core_notes *n, uint64_t addr)
{
	for (size_t i = 0; i < n->nfiles; i++)
		if (n->files[i].start <= addr && addr < n->files[i].end)
			return &n->files[i];
	return NULL;
}

/* "path (deleted)" as d_path writes it: the path, and whether it was. */
static char *file_path(const char *name, bool *deleted)
{
	static const char mark[] = " (deleted)";
	const size_t len = strlen(name), mlen = sizeof(mark) - 1;

	*deleted = len > mlen && strcmp(name + len - mlen, mark) == 0;
	return xasprintf("%.*s", (int)(*deleted ? len - mlen : len), name);
}

static struct vma *vma_add(struct proc *p, uint64_t start, uint64_t end, uint32_t prot)
{
	struct vma *v = array_push(&p->vmas, &p->nvmas);

	*v = (struct vma){.start = start, .end = end, .prot = prot, .kind = VMA_ANON,
		.store = STORE_PRIVATE, .shm_id = -1};
	return v;
}

static void vma_set_file(struct vma *v, const struct core_file *f)
{
	v->path = file_path(f->name, &v->deleted);
	v->off = f->off + (v->start - f->start);
	v->kind = VMA_FILE;
}

static uint32_t prot_of(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
		(flags & PF_X ? PROT_EXEC : 0);
}

static int vma_order(const void *a, const void *b)
{
	const struct vma *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Segments are mappings, whether stored or not. gcore leaves out what it does not store; such a
 * file mapping still shows in NT_FILE. */
static void take_vmas(struct image *im, const struct core_notes *n)
{
	struct proc *p = im->proc;
	struct ranges seen = {0};

	for (size_t i = 0; i < im->nsegs; i++) {
		const struct segment *s = &im->segs[i];
		struct vma *v = vma_add(p, s->addr, s->addr + s->memsz, prot_of(s->flags));
		const struct core_file *f = file_at(n, s->addr);
		if (f)
			vma_set_file(v, f);
		ranges_add(&seen, v->start, v->end);
	}
	for (size_t i = 0; i < n->nfiles; i++) {
		const struct core_file *f = &n->files[i];
		if (ranges_touches(&seen, f->start, f->end))
			continue;
		vma_set_file(vma_add(p, f->start, f->end, PROT_READ), f);
		ranges_add(&seen, f->start, f->end);
	}
	ranges_deinit(&seen);
	if (p->nvmas)
		qsort(p->vmas, p->nvmas, sizeof(*p->vmas), vma_order);
}

static void name_special_vmas(struct proc *p, const struct core_notes *n)
{
	const arch_regs *regs = p->nthreads ? (const void *)p->threads[0].regs.data : NULL;
	struct vma *v = regs ? proc_vma(p, arch->sp(regs)) : NULL;

	if (v && v->kind == VMA_ANON) {
		v->kind = VMA_STACK;
		v->path = xstrdup("[stack]");
	}
	v = proc_vma(p, auxv_value(n, AT_SYSINFO_EHDR));
	if (v && v->kind == VMA_ANON) {
		v->kind = VMA_VDSO;
		v->store = STORE_NONE;
		v->path = xstrdup("[vdso]");
	}
}

static uint64_t reg_named(const struct thread *t, const char *name)
{
	for (size_t i = 0; i < arch->nregs; i++) {
		const struct arch_reg *r = &arch->regs[i];
		uint64_t v = 0;
		if (strcmp(r->name, name) != 0 || r->len > sizeof(v))
			continue;
		memcpy(&v, t->regs.data + r->off, r->len);
		return v;
	}
	return 0;
}

static char *fixed_text(const char *s, size_t cap)
{
	return xasprintf("%.*s", (int)strnlen(s, cap), s);
}

static void take_psinfo(struct proc *p, const struct core_notes *n, uint32_t *uid, uint32_t *gid)
{
	struct elf_prpsinfo s;

	if (!n->psinfo)
		return;
	memcpy(&s, n->psinfo, sizeof(s));
	p->pid = s.pr_pid;
	p->ppid = s.pr_ppid;
	p->pgid = s.pr_pgrp;
	p->sid = s.pr_sid;
	p->comm = fixed_text(s.pr_fname, sizeof(s.pr_fname));
	const size_t len = strnlen(s.pr_psargs, sizeof(s.pr_psargs));
	blob_set(&p->cmdline, s.pr_psargs, len);
	*uid = s.pr_uid;
	*gid = s.pr_gid;
}

static void take_threads(struct proc *p, struct core_notes *n, uint32_t uid, uint32_t gid)
{
	p->threads = n->threads;
	p->nthreads = n->nthreads;
	n->threads = NULL;
	n->nthreads = 0;
	for (size_t i = 0; i < p->nthreads; i++) {
		struct thread *t = &p->threads[i];
		t->comm = xstrdup(p->comm);
		t->state = 'T';
		t->fs_base = reg_named(t, "fs_base");
		t->gs_base = reg_named(t, "gs_base");
		for (int k = 0; k < 4; k++) {
			t->uid[k] = uid;
			t->gid[k] = gid;
		}
	}
	if (p->nthreads)
		p->threads[0].exit_signal_pending = n->cursig;
}

void foreign_proc(struct image *im, struct core_notes *n)
{
	struct proc *p = im->proc = proc_new();
	uint32_t uid = 0, gid = 0;

	p->foreign = true;
	p->ppid = n->ppid;
	p->pgid = n->pgrp;
	p->sid = n->sid;
	p->pid = n->nthreads ? n->threads[0].tid : 0;
	p->taken_ns = (uint64_t)im->mtime_ns;
	strncpy(p->arch, arch->name, sizeof(p->arch) - 1);
	take_psinfo(p, n, &uid, &gid);
	blob_set(&p->auxv, n->auxv, n->auxv_len);
	take_threads(p, n, uid, gid);
	take_vmas(im, n);
	name_special_vmas(p, n);
	const struct core_file *f = file_at(n, auxv_value(n, AT_ENTRY));
	if (f)
		p->exe = file_path(f->name, &p->exe_deleted);
}
