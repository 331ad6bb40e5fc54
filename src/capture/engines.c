/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of engines, and which of them fits a process. */
#include "capture/pager.h"

#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const capture_engines[] = {"auto", "stop", "segv", "uffd", "fork", NULL};
static const struct engine *const engines[] = {&engine_stop, &engine_segv, &engine_uffd, &engine_fork};

/* Memory that the kernel writes at any time cannot be held by mprotect. NULL: it has none; else who writes. */
static const char *async_writer(const struct proc *p)
{
	for (size_t i = 0; i < p->nfds; i++)
		if (p->fds[i].kind == FD_IOURING)
			return "io_uring";
	for (size_t i = 0; i < p->nvmas; i++)
		if (p->vmas[i].path && strstr(p->vmas[i].path, "[aio]"))
			return "kernel AIO";
	return NULL;
}

int engine_memory_sharer(const struct capture *c)
{
	for (size_t i = 0; i < c->t.ntasks; i++) {
		cleanup_buf struct buf b = {0};
		char path[48];
		snprintf(path, sizeof(path), "task/%d/children", c->t.tasks[i]->tid);
		if (file_read(c->live.dirfd, path, &b) < 0)
			continue;
		buf_add(&b, "", 1);
		char *end, *at = (char *)b.data;
		for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
			if (syscall(SYS_kcmp, c->o->pid, (pid_t)pid, KCMP_VM, 0, 0) == 0)
				return (int)pid;
	}
	if (c->proc->ppid > 0 && syscall(SYS_kcmp, c->o->pid, c->proc->ppid, KCMP_VM, 0, 0) == 0)
		return c->proc->ppid;
	return 0;
}

const struct engine *engine_choose(struct capture *c, const char *name, struct err *e)
{
	const char *writer = async_writer(c->proc);
	struct err unsupported;
	if (!strcmp(name, "auto")) {
		if (c->o->after != AFTER_RUN || writer)
			return &engine_stop;
		return pager_supported(&unsupported) == 0 ? &engine_uffd : &engine_segv;
	}
	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		if (strcmp(engines[i]->name, name))
			continue;
		if (engines[i]->traces && writer) {
			err_set(e, EXIT_CAPTURE, "engine %s cannot hold back %s, which writes at any time: use --engine stop",
				name, writer);
			return NULL;
		}
		if (engines[i] == &engine_uffd && pager_supported(e) < 0)
			return NULL;
		if (c->o->after != AFTER_RUN && !engines[i]->keeps_stopped) {
			err_set(e, EXIT_USAGE, "--kill and --stop need --engine stop: the process must not run on after the image");
			return NULL;
		}
		return engines[i];
	}
	err_set(e, EXIT_USAGE, "no engine '%s'", name);
	return NULL;
}
