/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first PT_NOTE: the notes of a Linux core in the kernel's own order (fs/binfmt_elf.c,
 * core(5)), so that every core reader finds threads, registers and mapped files. Registers stand as
 * they were found; restart rules are a restore's business.
 */
#include "image/writer.h"

#include <string.h>
#include <sys/procfs.h>

#include "arch/arch.h"
#include "base/buf.h"

void note_add(struct buf *out, const char *owner, uint32_t type, const void *desc, size_t len)
{
	const Elf64_Nhdr h = {.n_namesz = (uint32_t)strlen(owner) + 1, .n_descsz = (uint32_t)len,
		.n_type = type};

	buf_add(out, &h, sizeof(h));
	buf_add(out, owner, h.n_namesz);
	buf_align(out, 4);
	buf_add(out, desc, len);
	buf_align(out, 4);
}

static uint64_t pending_set(const struct siginfo_raw *pending, size_t n)
{
	uint64_t set = 0;

	for (size_t i = 0; i < n; i++) {
		int32_t signo;
		memcpy(&signo, pending[i].bytes, sizeof(signo));
		if (signo >= 1 && signo <= NSIGNALS)
			set |= 1ull << (signo - 1);
	}
	return set;
}

/* pr_cursig stays 0: no signal ended this process, and debuggers would say that one did. */
static void add_prstatus(const struct proc *p, const struct thread *t, struct buf *out)
{
	struct elf_prstatus s;

	memset(&s, 0, sizeof(s));
	s.pr_sigpend = pending_set(t->pending, t->npending);
	s.pr_sighold = t->sigmask;
	s.pr_pid = t->tid;
	s.pr_ppid = p->ppid;
	s.pr_pgrp = p->pgid;
	s.pr_sid = p->sid;
	s.pr_fpvalid = t->fpregs.len != 0;
	if (t->regs.len)
		memcpy(&s.pr_reg, t->regs.data, MIN(t->regs.len, sizeof(s.pr_reg)));
	note_add(out, "CORE", NT_PRSTATUS, &s, sizeof(s));
}

static void add_prpsinfo(const struct proc *p, struct buf *out)
{
	static const char states[] = "RSDTZW";
	const struct thread *t = p->nthreads ? &p->threads[0] : NULL;
	const char state = t && t->state ? t->state : 'R';
	const char *at = strchr(states, state == 't' ? 'T' : state);
	struct elf_prpsinfo s;

	memset(&s, 0, sizeof(s));
	s.pr_sname = state;
	s.pr_state = at ? (char)(at - states) : 0;
	s.pr_nice = t ? (char)t->nice : 0;
	s.pr_uid = t ? t->uid[0] : 0;
	s.pr_gid = t ? t->gid[0] : 0;
	s.pr_pid = p->pid;
	s.pr_ppid = p->ppid;
	s.pr_pgrp = p->pgid;
	s.pr_sid = p->sid;
	if (p->comm)
		memcpy(s.pr_fname, p->comm, MIN(strlen(p->comm), sizeof(s.pr_fname) - 1));
	const size_t len = MIN(p->cmdline.len, sizeof(s.pr_psargs) - 1);
	for (size_t i = 0; i < len; i++) {
		const char c = (char)p->cmdline.data[i];
		s.pr_psargs[i] = c ? c : i + 1 < p->cmdline.len ? ' ' : '\0';
	}
	note_add(out, "CORE", NT_PRPSINFO, &s, sizeof(s));
}

/* NT_FILE: count, unit; per mapping start, end, offset in units; then the names. */
static void add_files(const struct proc *p, struct buf *out)
{
	cleanup_buf struct buf desc = {0}, names = {0};
	uint64_t head[2] = {0, PAGE_LEN};

	buf_add(&desc, head, sizeof(head));
	for (size_t i = 0; i < p->nvmas; i++) {
		const struct vma *v = &p->vmas[i];
		if (!v->path || v->path[0] != '/')
			continue;
		const uint64_t entry[3] = {v->start, v->end, v->off / PAGE_LEN};
		buf_add(&desc, entry, sizeof(entry));
		buf_add_str(&names, v->path);
		if (v->deleted)
			buf_add_str(&names, " (deleted)");
		buf_zero(&names, 1);
		head[0]++;
	}
	memcpy(desc.data, head, sizeof(head));
	buf_add(&desc, names.data, names.len);
	note_add(out, "CORE", NT_FILE, desc.data, desc.len);
}

static void add_fp(const struct thread *t, struct buf *out)
{
	if (t->fpregs.len)
		note_add(out, "CORE", NT_PRFPREG, t->fpregs.data, t->fpregs.len);
	if (t->xstate.len)
		note_add(out, "LINUX", NT_X86_XSTATE, t->xstate.data, t->xstate.len);
}

void core_notes_build(const struct proc *p, struct buf *out)
{
	const struct siginfo_raw none = {{0}};

	if (p->nthreads)
		add_prstatus(p, &p->threads[0], out);
	add_prpsinfo(p, out);
	note_add(out, "CORE", NT_SIGINFO, &none, sizeof(none));
	if (p->auxv.len)
		note_add(out, "CORE", NT_AUXV, p->auxv.data, p->auxv.len);
	add_files(p, out);
	if (p->nthreads)
		add_fp(&p->threads[0], out);
	for (size_t i = 1; i < p->nthreads; i++) {
		add_prstatus(p, &p->threads[i], out);
		add_fp(&p->threads[i], out);
	}
}
