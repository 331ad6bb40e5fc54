/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who a process is: names, ids, limits, memory layout, and what else /proc says of it as a whole.
 * Files that may not be read leave their fields as they were and a warning.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/text.h"
#include "live/internal.h"

static void set_str(char **to, char *heap)
{
	free(*to);
	*to = heap;
}

/* proc(5), "stat": numbers of the fields. */
enum {
	ST_PPID = 4,
	ST_PGRP,
	ST_SESSION,
	ST_TTY,
	ST_TPGID,
	ST_STARTTIME = 22,
	ST_STARTCODE = 26,
	ST_ENDCODE,
	ST_STARTSTACK,
	ST_STARTDATA = 45,
	ST_ENDDATA,
	ST_STARTBRK,
	ST_ARGSTART,
	ST_ARGEND,
	ST_ENVSTART,
	ST_ENVEND,
	ST_FIELDS
};

static int read_stat(struct live *l, struct proc *p, struct err *e)
{
	cleanup_buf struct buf b = {0};
	uint64_t f[ST_FIELDS];
	char *comm = NULL;

	if (live_text(l, "stat", &b, e) < 0)
		return -1;
	if (stat_fields((char *)b.data, f, ST_FIELDS, NULL, &comm) <= ST_STARTTIME) {
		free(comm);
		return err_set(e, 0, "/proc/%d/stat is not as proc(5) says", l->pid);
	}
	set_str(&p->comm, comm);
	p->pid = l->pid;
	p->ppid = (int32_t)f[ST_PPID];
	p->pgid = (int32_t)f[ST_PGRP];
	p->sid = (int32_t)f[ST_SESSION];
	p->tty_nr = (int32_t)f[ST_TTY];
	p->tty_pgrp = (int32_t)f[ST_TPGID];
	p->start_ticks = f[ST_STARTTIME];
	/* Who may not look is shown 0 or 1 instead of addresses. */
	if (f[ST_STARTCODE] <= 1)
		return 0;
	struct mm_layout *const mm = &p->mm;

	if (mm->start_brk != f[ST_STARTBRK] || mm->brk < mm->start_brk)
		mm->brk = f[ST_STARTBRK];
	mm->start_code = f[ST_STARTCODE];
	mm->end_code = f[ST_ENDCODE];
	mm->start_data = f[ST_STARTDATA];
	mm->end_data = f[ST_ENDDATA];
	mm->start_brk = f[ST_STARTBRK];
	mm->start_stack = f[ST_STARTSTACK];
	mm->arg_start = f[ST_ARGSTART];
	mm->arg_end = f[ST_ARGEND];
	mm->env_start = f[ST_ENVSTART];
	mm->env_end = f[ST_ENVEND];
	mm->known = true;
	return 0;
}

static int read_status(struct live *l, struct proc *p, struct err *e)
{
	cleanup_buf struct buf b = {0};

	if (live_text(l, "status", &b, e) < 0)
		return -1;
	const char *const text = (char *)b.data;
	const char *at = text_field(text, "Groups");

	p->umask = (uint32_t)text_field_u64(text, "Umask", 8);
	if (text_field(text, "THP_enabled"))
		p->thp_disable = !text_field_u64(text, "THP_enabled", 10);
	p->ngroups = 0;
	while (at && *at && *at != '\n') {
		char *stop;
		const uint32_t gid = (uint32_t)strtoul(at, &stop, 10);

		if (stop == at)
			break;
		*array_push(&p->groups, &p->ngroups) = gid;
		for (at = stop; *at == ' ' || *at == '\t'; at++)
			;
	}
	return 0;
}

/* "Max open files            1024                 524288               files", in order of
 * RLIMIT_*. */
static void read_limits(struct live *l, struct proc *p)
{
	cleanup_buf struct buf b = {0};

	if (!live_text_try(l, "limits", &b)) {
		proc_warn(p, "limits are not known: /proc/%d/limits: %s", l->pid, strerror(errno));
		return;
	}
	char *at = (char *)b.data;

	line_next(&at);
	for (int i = 0; i < NLIMITS; i++) {
		const char *const line = line_next(&at);

		if (!line || strlen(line) < 47)
			break;
		const char *const cur = line + 26, *const max = line + 47;

		p->limits[i].cur =
			strncmp(cur, "unlimited", 9) ? strtoull(cur, NULL, 10) : RLIM_INFINITY;
		p->limits[i].max =
			strncmp(max, "unlimited", 9) ? strtoull(max, NULL, 10) : RLIM_INFINITY;
	}
}

static void read_link(struct live *l, struct proc *p, const char *name, char **to, bool *deleted)
{
	char *const path = link_read(l->dirfd, name);
	struct stat st;

	if (!path) {
		proc_warn(
			p, "%s is not known: /proc/%d/%s: %s", name, l->pid, name, strerror(errno));
		return;
	}
	*deleted = fstatat(l->dirfd, name, &st, 0) == 0 && path_undelete(l, path, st.st_ino);
	set_str(to, path);
}

static void read_blob(struct live *l, struct proc *p, const char *name, struct blob *to)
{
	cleanup_buf struct buf b = {0};

	if (live_text_try(l, name, &b))
		blob_set(to, b.data, b.len);
	else
		proc_warn(
			p, "%s is not known: /proc/%d/%s: %s", name, l->pid, name, strerror(errno));
}

/* Children hang on the thread that made them, so every thread is asked. */
static void read_children(struct live *l, struct proc *p)
{
	struct err ignored;
	size_t n;
	cleanup_free int32_t *tids = live_tids(l, &n, &ignored);
	cleanup_buf struct buf b = {0};

	p->nchildren = 0;
	for (size_t i = 0; tids && i < n; i++) {
		char path[48];

		snprintf(path, sizeof(path), "task/%d/children", tids[i]);
		if (!live_text_try(l, path, &b))
			continue;
		for (char *at = (char *)b.data, *stop; *at; at = stop) {
			const long pid = strtol(at, &stop, 10);

			if (stop == at)
				break;
			*array_push(&p->children, &p->nchildren) = (int32_t)pid;
			while (*stop == ' ')
				stop++;
		}
	}
}

static void read_host(struct proc *p)
{
	struct utsname u;

	if (uname(&u) < 0)
		return;
	set_str(&p->kernel, xstrdup(u.release));
	set_str(&p->hostname, xstrdup(u.nodename));
	snprintf(p->arch, sizeof(p->arch), "%.15s", u.machine);
}

/* A restore puts the process into the namespaces it runs in itself. */
static void warn_namespaces(struct live *l, struct proc *p)
{
	static const char *const kinds[] = {"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char path[32], ours[64] = "", theirs[64] = "";

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		if (readlink(path, ours, sizeof(ours) - 1) <= 0 ||
			readlinkat(l->dirfd, path + strlen("/proc/self/"), theirs, sizeof(theirs) - 1) <= 0)
			continue;
		if (strcmp(ours, theirs) != 0)
			proc_warn(p, "it is in a %s namespace of its own, which is not saved", kinds[i]);
	}
}

int live_identity(struct live *l, struct proc *p, struct err *e)
{
	cleanup_buf struct buf b = {0};
	bool gone = false;
	const struct mm_layout was = p->mm;

	if (read_stat(l, p, e) < 0 || read_status(l, p, e) < 0)
		return -1;
	/* Since the last reading only an execve(2) can have changed these, and then the layout as
	 * well. */
	if (!p->exe || !p->auxv.len || was.start_stack != p->mm.start_stack ||
		was.start_code != p->mm.start_code) {
		read_host(p);
		warn_namespaces(l, p);
		read_link(l, p, "exe", &p->exe, &p->exe_deleted);
		read_blob(l, p, "auxv", &p->auxv);
	}
	read_link(l, p, "cwd", &p->cwd, &gone);
	if (gone)
		proc_warn(p, "the working directory %s is deleted", text_safe(p->cwd));
	read_link(l, p, "root", &p->root, &gone);
	read_blob(l, p, "cmdline", &p->cmdline);
	read_blob(l, p, "environ", &p->environ);
	if (live_text_try(l, "personality", &b))
		p->personality = (uint32_t)strtoul((char *)b.data, NULL, 16);
	if (live_text_try(l, "oom_score_adj", &b))
		p->oom_score_adj = (int32_t)strtol((char *)b.data, NULL, 10);
	read_limits(l, p);
	read_children(l, p);
	return 0;
}
