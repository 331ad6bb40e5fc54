/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A userfaultfd of the tracee's memory in our hands. A userfaultfd belongs to the memory of whoever called
 * userfaultfd(2), so the tracee calls; we take the descriptor (pidfd_getfd(2)) and close its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "trace/internal.h"

/* The tracee's userfaultfds into fds; their number, -1: more than max, or they cannot be seen. */
static int list_uffds(int pid, int *fds, int max)
{
	char path[64], link[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	int n = 0;
	for (struct dirent *de; d && n >= 0 && (de = readdir(d));) {
		const ssize_t len = readlinkat(dirfd(d), de->d_name, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = 0;
		if (strcmp(link, "anon_inode:[userfaultfd]"))
			continue;
		if (n < max)
			fds[n++] = atoi(de->d_name);
		else
			n = -1;
	}
	if (d)
		closedir(d);
	return d ? n : -1;
}

int remote_userfaultfd(struct tracee *t, int *fd, struct err *e)
{
	struct ledger *l = t->ledger;
	*fd = -1;
	if (!l || (l->nuffds = list_uffds(t->pid, l->uffds, LEDGER_UFFDS)) < 0)
		return err_set(e, EXIT_CAPTURE, "process %d has too many userfaultfds of its own", t->pid);
	l->takes_uffd = true;
	struct remote_call call = {.nr = SYS_userfaultfd, .args = {O_CLOEXEC | O_NONBLOCK}};
	if (agent_batch(t, &call, 1, e) < 0)
		return -1;
	int cause = call.ret < 0 ? (int)-call.ret : 0;
	if (call.ret >= 0) {
		*fd = (int)syscall(SYS_pidfd_getfd, t->pidfd, (int)call.ret, 0);
		cause = *fd < 0 ? errno : 0;
		call = (struct remote_call){.nr = SYS_close, .args = {(uint64_t)call.ret}};
		if (agent_batch(t, &call, 1, e) < 0)
			return -1;
	}
	l->takes_uffd = false;
	if (*fd >= 0)
		return 0;
	errno = cause;
	return err_sys(e, EXIT_CAPTURE, "userfaultfd in process %d", t->pid);
}

void uffd_undo(struct tracee *t, struct task *k, const struct ledger *l)
{
	int now[LEDGER_UFFDS + 1];
	const int n = l->takes_uffd ? list_uffds(t->pid, now, LEDGER_UFFDS + 1) : 0;
	for (int i = 0; i < n; i++) {
		bool own = false;
		for (int j = 0; j < l->nuffds && !own; j++)
			own = l->uffds[j] == now[i];
		if (!own)
			remote_syscall(t, k, SYS_close, (uint64_t)now[i], 0, 0, 0, 0, 0);
	}
}
