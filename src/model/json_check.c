/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the rest of the program relies on in a struct proc, whoever wrote the file it came from. */
#include "model/json_internal.h"

#include <sys/mman.h>

static int check_maps(const struct proc *p, struct err *e)
{
	uint64_t end = 0;

	for (size_t i = 0; i < p->nvmas; i++) {
		const struct vma *const v = &p->vmas[i];

		if (v->start % PAGE_LEN || v->end % PAGE_LEN || v->start >= v->end ||
			v->off % PAGE_LEN)
			return err_set(e, EXIT_IMAGE, "maps: %zu: not whole pages", i);
		if (v->start < end)
			return err_set(e, EXIT_IMAGE, "maps: %zu: out of order", i);
		if (v->prot & ~(uint32_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
			return err_set(e, EXIT_IMAGE, "maps: %zu: prot: number out of range", i);
		end = v->end;
	}
	return 0;
}

static int check_lists(const struct proc *p, struct err *e)
{
	for (size_t i = 0; i < p->nthreads; i++) {
		if (p->threads[i].tid <= 0)
			return err_set(e, EXIT_IMAGE, "threads: %zu: tid: number out of range", i);
		if (p->threads[i].affinity.len > 8192)
			return err_set(e, EXIT_IMAGE, "threads: %zu: affinity: too long", i);
	}
	for (size_t i = 0; i < p->nfds; i++) {
		const struct fdesc *const f = &p->fds[i];

		if (f->fd < 0 || (i && f->fd <= p->fds[i - 1].fd))
			return err_set(e, EXIT_IMAGE, "fds: %zu: out of order", i);
		if (f->sock_local.len > 128 || f->sock_remote.len > 128)
			return err_set(e, EXIT_IMAGE, "fds: %zu: socket address too long", i);
	}
	return 0;
}

int proc_check(const struct proc *p, struct err *e)
{
	return check_maps(p, e) < 0 ? -1 : check_lists(p, e);
}
