// SPDX-License-Identifier: GPL-3.0-or-later
/* Building steps: the list, a step's calls and data, and questions to mappings that several parts
 * ask. */
#include "restore/steps.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct step *plan_step(struct plan *p, enum step_kind kind, int tid, int idx, const char *why,
	const char *fmt, ...)
{
	struct step *s = array_push(&p->steps, &p->nsteps);
	struct buf text = {0};
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_add_str(&text, line);
	s->kind = kind;
	s->tid = tid;
	s->idx = idx;
	s->why = why;
	s->what = buf_steal_str(&text);
	return s;
}

void plan_warn(struct plan *p, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < p->nwarnings; i++)
		if (!strcmp(p->warnings[i], line))
			return;
	*array_push(&p->warnings, &p->nwarnings) = xstrdup(line);
}

struct step_call *step_call_add(struct step *s, long nr, const struct call_arg args[6])
{
	struct step_call *c = array_push(&s->calls, &s->ncalls);

	c->nr = nr;
	memcpy(c->args, args, sizeof(c->args));
	c->expect = -1;
	return c;
}

struct step_call *call_may_fail(struct step_call *c, const char *warning)
{
	c->may_fail = true;
	c->warning = warning;
	return c;
}

struct step_call *call_quiet(struct step_call *c)
{
	c->may_fail = true;
	c->quiet = true;
	return c;
}

struct step_call *call_expect(struct step_call *c, int64_t result)
{
	c->expect = result;
	return c;
}

struct step_call *call_when(struct step_call *c, enum call_when when, unsigned back)
{
	c->when = when;
	c->back = back;
	return c;
}

uint64_t step_data(struct step *s, const void *data, size_t len)
{
	buf_align(&s->data, 8);
	const uint64_t off = s->data.len;

	buf_add(&s->data, data, len);
	return off;
}

uint64_t step_str(struct step *s, const char *text)
{
	return step_data(s, text, strlen(text) + 1);
}

void step_reloc(struct step *s, uint64_t at)
{
	*array_push(&s->relocs, &s->nrelocs) = at;
}

bool vma_is_kernels(const struct vma *v)
{
	return v->kind == VMA_VDSO || v->kind == VMA_VVAR || v->kind == VMA_VSYSCALL ||
	       v->kind == VMA_SPECIAL;
}

bool vma_is_file(const struct vma *v)
{
	return v->path && v->path[0] == '/' && !v->deleted &&
	       (v->kind == VMA_FILE || v->kind == VMA_DEVICE || v->store == STORE_FILE);
}

int plan_backing_fd(const struct plan *p, const struct vma *v)
{
	if (!v->ino || !v->shared)
		return -1;
	for (size_t i = 0; i < p->proc->nfds; i++) {
		const struct fdesc *f = &p->proc->fds[i];

		if ((f->kind == FD_MEMFD || (f->kind == FD_FILE && f->deleted)) &&
			f->ino == v->ino && major(f->dev) == v->dev_major &&
			minor(f->dev) == v->dev_minor)
			return f->fd;
	}
	return -1;
}
