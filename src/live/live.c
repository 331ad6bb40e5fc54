/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening and closing a process by its pid, reading its memory, and the small helpers that
 * turn /proc texts into values. The directory descriptor pins the process: once it is gone
 * every later read fails with ESRCH, even when the pid has been given to somebody else.
 */
#include "live/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "live/internal.h"

int live_open(struct live *l, int pid, struct err *e)
{
	cleanup_buf struct buf status = {0};
	char path[32];

	*l = (struct live){.pid = pid, .dirfd = -1, .memfd = -1, .pagemapfd = -1, .pidfd = -1};
	snprintf(path, sizeof(path), "/proc/%d", pid);
	l->dirfd = pid > 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (l->dirfd < 0 || !live_text_try(l, "status", &status)) {
		live_close(l);
		return err_set(e, EXIT_UNTRACEABLE, "no such process: %d", pid);
	}
	const int tgid = (int)text_field_u64((char *)status.data, "Tgid", 10);

	if (tgid != pid) {
		live_close(l);
		return err_set(e, EXIT_UNTRACEABLE, "%d is a thread of process %d: give that pid",
			pid, tgid);
	}
	l->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (l->pidfd < 0) {
		err_sys(e, EXIT_UNTRACEABLE, "pidfd_open %d", pid);
		live_close(l);
		return -1;
	}
	l->memfd = openat(l->dirfd, "mem", O_RDWR | O_CLOEXEC);
	l->pagemapfd = openat(l->dirfd, "pagemap", O_RDONLY | O_CLOEXEC);
	return 0;
}

void live_close(struct live *l)
{
	const int fds[] = {l->dirfd, l->memfd, l->pagemapfd, l->pidfd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	cache_free(l->cache);
	*l = (struct live){.dirfd = -1, .memfd = -1, .pagemapfd = -1, .pidfd = -1};
}

size_t live_read(struct live *l, uint64_t addr, void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const struct iovec to = {(char *)out + done, len - done};
		const struct iovec from = {(void *)(uintptr_t)(addr + done), len - done};
		ssize_t n = process_vm_readv(l->pid, &to, 1, &from, 1, 0);

		/* What the program itself may not read (PROT_NONE), /proc/PID/mem still gives; not
		 * past this page, so that the quick way is tried again behind it. */
		if (n <= 0 && l->memfd >= 0) {
			const size_t page = PAGE_LEN - (addr + done) % PAGE_LEN;

			n = pread(
				l->memfd, to.iov_base, MIN(page, len - done), (off_t)(addr + done));
		}
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

int live_getfd(struct live *l, int rfd)
{
	return (int)syscall(SYS_pidfd_getfd, l->pidfd, rfd, 0);
}

/* ---- texts ---- */

bool live_text_try(struct live *l, const char *path, struct buf *b)
{
	b->len = 0;
	if (file_read(l->dirfd, path, b) < 0)
		return false;
	buf_add(b, "", 1);
	b->len--;
	return true;
}

int live_text(struct live *l, const char *path, struct buf *b, struct err *e)
{
	if (live_text_try(l, path, b))
		return 0;
	if (errno == ESRCH || errno == ENOENT)
		return err_sys(e, 0, "process %d is gone: read /proc/%d/%s", l->pid, l->pid, path);
	return err_sys(e, 0, "read /proc/%d/%s", l->pid, path);
}

char *line_next(char **at)
{
	char *const line = *at;

	if (!line || !*line)
		return NULL;
	char *const end = strchr(line, '\n');

	if (end)
		*end = 0;
	*at = end ? end + 1 : line + strlen(line);
	return line;
}

const char *text_field(const char *text, const char *key)
{
	const size_t len = strlen(key);

	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, len) == 0 && at[len] == ':') {
			at += len + 1;
			while (*at == ' ' || *at == '\t')
				at++;
			return at;
		}
	}
	return NULL;
}

uint64_t text_field_u64(const char *text, const char *key, int base)
{
	const char *const at = text_field(text, key);

	return at ? strtoull(at, NULL, base) : 0;
}

size_t stat_fields(const char *text, uint64_t *out, size_t max, char *state, char **comm)
{
	/* The name may hold blanks and parentheses of its own: it ends at the last one. */
	const char *const open = strchr(text, '(');
	const char *const end = strrchr(text, ')');
	size_t n = 4;

	if (!open || !end || end < open || end[1] != ' ')
		return 0;
	if (comm)
		*comm = xasprintf("%.*s", (int)(end - open - 1), open + 1);
	if (state)
		*state = end[2];
	const char *at = end[2] ? end + 3 : end + 2;

	for (size_t i = 0; i < max; i++)
		out[i] = 0;
	while (n < max && *at == ' ') {
		char *stop;

		/* Negative fields (nice, priorities, tpgid) come back by casting. */
		out[n] = at[1] == '-' ? (uint64_t)strtoll(at, &stop, 10) : strtoull(at, &stop, 10);
		if (stop == at)
			break;
		at = stop;
		n++;
	}
	return n;
}

/* ---- links and paths ---- */

char *link_read(int dirfd, const char *name)
{
	char path[4096 + 16];
	const ssize_t n = readlinkat(dirfd, name, path, sizeof(path) - 1);

	if (n < 0)
		return NULL;
	path[n] = 0;
	return xstrdup(path);
}

int live_stat(struct live *l, const char *path, struct stat *st)
{
	char full[4096 + 32];

	/* Paths from the kernel are resolved already, so no link can lead out of the root. */
	if ((size_t)snprintf(full, sizeof(full), "root%s", path) >= sizeof(full)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return fstatat(l->dirfd, full, st, 0);
}

int live_open_path(struct live *l, const char *path)
{
	char full[4096 + 32];

	if ((size_t)snprintf(full, sizeof(full), "root%s", path) >= sizeof(full)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return openat(l->dirfd, full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

bool path_undelete(struct live *l, char *path, uint64_t ino)
{
	static const char mark[] = " (deleted)";
	const size_t len = strlen(path);
	struct stat st;

	if (len < sizeof(mark) || strcmp(path + len - (sizeof(mark) - 1), mark) != 0)
		return false;
	/* Only the inode is compared: st_dev is not what maps shows on btrfs. */
	if (path[0] == '/' && live_stat(l, path, &st) == 0 && st.st_ino == ino)
		return false;
	path[len - (sizeof(mark) - 1)] = 0;
	return true;
}
