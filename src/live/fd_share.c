/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which descriptors share one open file description (dup(2), and with it position and flags):
 * kcmp(2) answers, and as it orders, descriptors of the same inode are sorted by it.
 */
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live/fds.h"

/* For qsort_r. */
struct order {
	int pid;
	bool failed;
};

/* Only what agrees here can be the same description. */
static int compare_outside(const struct fdesc *x, const struct fdesc *y)
{
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->flags > y->flags) - (x->flags < y->flags);
}

static int compare_shared(const void *a, const void *b, void *arg)
{
	const struct fdesc *const x = *(struct fdesc *const *)a, *const y =
									 *(struct fdesc *const *)b;
	struct order *const o = arg;
	const int outside = compare_outside(x, y);

	if (outside || x == y)
		return outside;
	/* 0: the same, 1: less, 2: greater, 3: not equal and no order. */
	const long rc = syscall(SYS_kcmp, o->pid, o->pid, KCMP_FILE, x->fd, y->fd);

	if (rc < 0 || rc > 2) {
		o->failed = true;
		return (x->fd > y->fd) - (x->fd < y->fd);
	}
	return rc == 0 ? 0 : rc == 1 ? -1 : 1;
}

void fds_share(struct fd_ctx *c, struct fdesc *fds, size_t n)
{
	struct fdesc **const by = xcalloc(n, sizeof(struct fdesc *));
	struct order o = {.pid = c->l->pid};

	for (size_t i = 0; i < n; i++)
		by[i] = &fds[i];
	qsort_r(by, n, sizeof(struct fdesc *), compare_shared, &o);
	/* Equal ones stand together now; a group is called by its lowest descriptor. */
	for (size_t i = 0, end; i < n; i = end) {
		int32_t lowest = by[i]->fd;

		for (end = i + 1; end < n && compare_shared(&by[i], &by[end], &o) == 0; end++)
			lowest = MIN(lowest, by[end]->fd);
		for (size_t k = i; k < end; k++)
			by[k]->ofd = lowest;
	}
	if (o.failed)
		proc_warn(c->p, "kcmp(2) does not answer: descriptors made by dup(2) are taken for "
				"separate ones");
	free(by);
}
