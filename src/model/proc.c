/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Life and look-ups of struct proc. What owns memory is freed here and nowhere else, so a new
 * pointer in proc.h needs its line in one of the deinit functions.
 */
#include "model/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void bulk_deinit(struct bulk *b)
{
	blob_deinit(&b->mem);
}

void thread_deinit(struct thread *t)
{
	if (!t)
		return;
	free(t->comm);
	blob_deinit(&t->regs);
	blob_deinit(&t->fpregs);
	blob_deinit(&t->xstate);
	free(t->pending);
	blob_deinit(&t->affinity);
	free(t->wchan);
	*t = (struct thread){0};
}

void vma_deinit(struct vma *v)
{
	if (!v)
		return;
	free(v->path);
	free(v->vmflags);
	free(v->build_id);
	*v = (struct vma){0};
}

void fdesc_deinit(struct fdesc *f)
{
	if (!f)
		return;
	free(f->path);
	free(f->locks);
	free(f->fdinfo);
	bulk_deinit(&f->content);
	free(f->epoll);
	for (size_t i = 0; i < f->ninotify; i++)
		free(f->inotify[i].path);
	free(f->inotify);
	blob_deinit(&f->termios);
	blob_deinit(&f->sock_local);
	blob_deinit(&f->sock_remote);
	*f = (struct fdesc){0};
}

struct proc *proc_new(void)
{
	return xcalloc(1, sizeof(struct proc));
}

void proc_free(struct proc *p)
{
	if (!p)
		return;
	free(p->comm);
	free(p->exe);
	free(p->cwd);
	free(p->root);
	blob_deinit(&p->cmdline);
	blob_deinit(&p->environ);
	free(p->kernel);
	free(p->hostname);
	blob_deinit(&p->auxv);
	for (size_t i = 0; i < p->nthreads; i++)
		thread_deinit(&p->threads[i]);
	free(p->threads);
	for (size_t i = 0; i < p->nvmas; i++)
		vma_deinit(&p->vmas[i]);
	free(p->vmas);
	free(p->pending);
	free(p->timers);
	free(p->groups);
	for (size_t i = 0; i < p->nfds; i++)
		fdesc_deinit(&p->fds[i]);
	free(p->fds);
	free(p->children);
	for (size_t i = 0; i < p->nwarnings; i++)
		free(p->warnings[i]);
	free(p->warnings);
	free(p->how);
	free(p);
}

void proc_warn(struct proc *p, const char *fmt, ...)
{
	char *line;
	va_list ap;

	va_start(ap, fmt);
	const int n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	for (size_t i = 0; i < p->nwarnings; i++) {
		if (strcmp(p->warnings[i], line) == 0) {
			free(line);
			return;
		}
	}
	*array_push(&p->warnings, &p->nwarnings) = line;
}

struct vma *proc_vma(const struct proc *p, uint64_t addr)
{
	size_t lo = 0, hi = p->nvmas;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (p->vmas[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < p->nvmas && p->vmas[lo].start <= addr ? &p->vmas[lo] : NULL;
}

struct fdesc *proc_fd(const struct proc *p, int fd)
{
	size_t lo = 0, hi = p->nfds;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (p->fds[mid].fd >= fd)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < p->nfds && p->fds[lo].fd == fd ? &p->fds[lo] : NULL;
}

struct thread *proc_thread(const struct proc *p, int tid)
{
	for (size_t i = 0; i < p->nthreads; i++) {
		if (p->threads[i].tid == tid)
			return &p->threads[i];
	}
	return NULL;
}

char *vma_prot_text(const struct vma *v, char out[5])
{
	out[0] = v->prot & PROT_READ ? 'r' : '-';
	out[1] = v->prot & PROT_WRITE ? 'w' : '-';
	out[2] = v->prot & PROT_EXEC ? 'x' : '-';
	out[3] = v->shared ? 's' : 'p';
	out[4] = 0;
	return out;
}

static const char *const vma_kind_names[VMA_KINDS] = {
	[VMA_ANON] = "anon",
	[VMA_HEAP] = "heap",
	[VMA_STACK] = "stack",
	[VMA_FILE] = "file",
	[VMA_SHM] = "shm",
	[VMA_DEVICE] = "device",
	[VMA_HUGETLB] = "hugetlb",
	[VMA_VDSO] = "vdso",
	[VMA_VVAR] = "vvar",
	[VMA_VSYSCALL] = "vsyscall",
	[VMA_SPECIAL] = "special",
};

const char *vma_kind_name(int kind)
{
	return kind >= 0 && kind < VMA_KINDS ? vma_kind_names[kind] : "unknown";
}

static const char *const fd_kind_names[FD_KINDS] = {
	[FD_FILE] = "file",
	[FD_DIR] = "dir",
	[FD_CHARDEV] = "chardev",
	[FD_BLOCKDEV] = "blockdev",
	[FD_TTY] = "tty",
	[FD_PIPE] = "pipe",
	[FD_FIFO] = "fifo",
	[FD_SOCKET] = "socket",
	[FD_MEMFD] = "memfd",
	[FD_EVENTFD] = "eventfd",
	[FD_TIMERFD] = "timerfd",
	[FD_SIGNALFD] = "signalfd",
	[FD_EPOLL] = "epoll",
	[FD_INOTIFY] = "inotify",
	[FD_PIDFD] = "pidfd",
	[FD_USERFAULTFD] = "userfaultfd",
	[FD_IOURING] = "io_uring",
	[FD_OTHER] = "other",
};

const char *fd_kind_name(int kind)
{
	return kind >= 0 && kind < FD_KINDS ? fd_kind_names[kind] : "unknown";
}

bool vma_has_flag(const struct vma *v, const char *flag)
{
	for (const char *f = v->vmflags; f && *f; f++) {
		if (f[0] == flag[0] && f[1] == flag[1])
			return true;
		f = strchr(f, ' ');
		if (!f)
			return false;
	}
	return false;
}

const char *vma_name(const struct vma *v)
{
	if (v->path && *v->path)
		return v->path;
	switch (v->kind) {
	case VMA_HEAP:
		return "[heap]";
	case VMA_STACK:
		return "[stack]";
	case VMA_VDSO:
		return "[vdso]";
	case VMA_VVAR:
		return "[vvar]";
	case VMA_VSYSCALL:
		return "[vsyscall]";
	default:
		return v->kind < VMA_KINDS ? vma_kind_names[v->kind] : "unknown";
	}
}
