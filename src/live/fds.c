/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The descriptors of a process. This runs while it is stopped, so each costs one readlinkat, one
 * fstatat and one reading of its fdinfo; only kinds that need it are duplicated with pidfd_getfd.
 * A duplicate shares the open file description: nothing is consumed and no position moves.
 */
#include "live/fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/text.h"

/* How a kind is known by its link, and who reads the rest of it. Looked at in order. */
static const struct {
	const char *prefix;
	uint8_t kind;
	void (*read)(struct fd_ctx *c, struct fdesc *f);
} kinds_by_name[] = {
	{"pipe:[", FD_PIPE, fd_read_pipe},
	{"socket:[", FD_SOCKET, fd_read_socket},
	{"/memfd:", FD_MEMFD, fd_read_memfd},
	{"anon_inode:[eventfd]", FD_EVENTFD, fd_read_eventfd},
	{"anon_inode:[timerfd]", FD_TIMERFD, fd_read_timerfd},
	{"anon_inode:[signalfd]", FD_SIGNALFD, fd_read_signalfd},
	{"anon_inode:[eventpoll]", FD_EPOLL, fd_read_epoll},
	{"anon_inode:inotify", FD_INOTIFY, fd_read_inotify},
	{"anon_inode:[pidfd]", FD_PIDFD, fd_read_pidfd},
	{"pidfd:[", FD_PIDFD, fd_read_pidfd},
	{"anon_inode:[userfaultfd]", FD_USERFAULTFD, fd_read_unknown},
	{"anon_inode:[io_uring]", FD_IOURING, fd_read_unknown},
};

/* And by its type, when it has a path. */
static const struct {
	uint32_t type;
	uint8_t kind;
	void (*read)(struct fd_ctx *c, struct fdesc *f);
} kinds_by_type[] = {
	{S_IFREG, FD_FILE, fd_read_file}, {S_IFDIR, FD_DIR, NULL}, {S_IFCHR, FD_CHARDEV, NULL},
	{S_IFBLK, FD_BLOCKDEV, NULL}, {S_IFIFO, FD_FIFO, fd_read_pipe},
	{S_IFSOCK, FD_SOCKET, fd_read_socket}, {S_IFLNK, FD_FILE, NULL}, /* O_PATH | O_NOFOLLOW */
};

int ctx_dup(struct fd_ctx *c, const struct fdesc *f)
{
	if (c->dup < 0)
		c->dup = live_getfd(c->l, f->fd);
	return c->dup;
}

void fd_read_unknown(struct fd_ctx *c, struct fdesc *f)
{
	f->fdinfo = xstrdup(c->fdinfo);
	proc_warn(c->p, "descriptor %d is %s: its state is not understood", f->fd,
		text_safe(f->path));
}

/* Devices.txt: 4 and 5 are consoles and serial lines, 136 to 143 pseudo-terminals. */
static bool is_tty(uint64_t rdev)
{
	const unsigned int m = major(rdev);

	return m == 4 || m == 5 || (m >= 136 && m <= 143);
}

static void read_kind(struct fd_ctx *c, struct fdesc *f)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds_by_name); i++) {
		if (strncmp(f->path, kinds_by_name[i].prefix, strlen(kinds_by_name[i].prefix)) ==
			0) {
			f->kind = kinds_by_name[i].kind;
			kinds_by_name[i].read(c, f);
			return;
		}
	}
	for (size_t i = 0; f->path[0] == '/' && i < ARRAY_LEN(kinds_by_type); i++) {
		if (kinds_by_type[i].type == (f->mode & S_IFMT)) {
			f->kind = kinds_by_type[i].kind;
			if (f->kind == FD_CHARDEV && is_tty(f->rdev)) {
				f->kind = FD_TTY;
				fd_read_tty(c, f);
			}
			if (kinds_by_type[i].read)
				kinds_by_type[i].read(c, f);
			return;
		}
	}
	f->kind = FD_OTHER;
	fd_read_unknown(c, f);
}

/* What every fdinfo begins with, and its lock lines. */
static void read_fdinfo_head(struct fd_ctx *c, struct fdesc *f)
{
	cleanup_buf struct buf locks = {0};
	const char *const pos = text_field(c->fdinfo, "pos");

	f->pos = pos ? strtoll(pos, NULL, 10) : 0;
	f->flags = (uint32_t)text_field_u64(c->fdinfo, "flags", 8);
	f->cloexec = f->flags & O_CLOEXEC;
	f->flags &= ~(uint32_t)O_CLOEXEC;
	for (const char *at = strstr(c->fdinfo, "lock:\t"); at; at = strstr(at, "lock:\t")) {
		const char *const end = strchrnul(at, '\n');

		at += strlen("lock:\t");
		buf_add(&locks, at, (size_t)(end - at));
		buf_add_str(&locks, "\n");
		at = end;
	}
	if (locks.len)
		f->locks = buf_steal_str(&locks);
}

/* Who gets SIGIO. Set on hardly any descriptor, and each question costs a duplicate. */
static void read_owner(struct fd_ctx *c, struct fdesc *f)
{
	struct f_owner_ex own;

	if (!(f->flags & O_ASYNC) && c->dup < 0)
		return;
	const int fd = (f->flags & O_PATH) ? -1 : ctx_dup(c, f);

	if (fd < 0 || fcntl(fd, F_GETOWN_EX, &own) < 0 || own.pid == 0)
		return;
	f->owner_pid = own.pid;
	f->owner_type = own.type;
	f->owner_sig = fcntl(fd, F_GETSIG);
}

static void take_stat(struct fdesc *f, const struct stat *st)
{
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->rdev = st->st_rdev;
	f->mode = st->st_mode;
	f->size = (uint64_t)st->st_size;
	f->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* What cannot be renamed needs its link read only once: it is the same when its inode is. A
 * duplicate's fstat costs a tenth of the two look-ups in /proc. */
static bool is_as_before(struct fd_ctx *c, struct fdesc *f)
{
	const struct fdesc *const old = proc_fd(c->p, f->fd);
	struct stat st;

	if (!old || !old->path ||
		(old->kind != FD_PIPE && old->kind != FD_SOCKET && old->kind != FD_CHARDEV &&
			old->kind != FD_TTY))
		return false;
	if (ctx_dup(c, f) < 0 || fstat(c->dup, &st) < 0 || st.st_dev != old->dev ||
		st.st_ino != old->ino || st.st_rdev != old->rdev || st.st_mode != old->mode)
		return false;
	take_stat(f, &st);
	f->path = xstrdup(old->path);
	f->deleted = old->deleted;
	return true;
}

/* Path and inode. False: it has been closed meanwhile. */
static bool read_link_and_stat(struct fd_ctx *c, int fddir, const char *name, struct fdesc *f)
{
	struct stat st;

	if (is_as_before(c, f))
		return true;
	f->path = link_read(fddir, name);
	if (!f->path)
		return false;
	/* Follows the kernel's link: also for what has no name. */
	if (fstatat(fddir, name, &st, 0) == 0)
		take_stat(f, &st);
	f->deleted = path_undelete(c->l, f->path, f->ino);
	return true;
}

/* The kernel makes an fdinfo whole at the first read: a second is needed only when it did not fit.
 */
static bool read_fdinfo(int infodir, const char *name, struct buf *b)
{
	cleanup_fd int fd = openat(infodir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	b->len = 0;
	if (fd < 0)
		return false;
	do {
		const size_t had = b->len, room = MAX((size_t)4096, b->cap - had);

		buf_zero(b, room);
		n = read(fd, b->data + had, room);
		b->len = had + (n > 0 ? (size_t)n : 0);
		if (n < (ssize_t)room)
			break;
	} while (n > 0);
	buf_add(b, "", 1);
	return n >= 0;
}

/* One descriptor; false: it has been closed meanwhile. */
static bool read_one(
	struct fd_ctx *c, int fddir, int infodir, const char *name, struct buf *b, struct fdesc *f)
{
	f->fd = (int32_t)strtol(name, NULL, 10);
	f->ofd = f->fd;
	c->dup = -1;
	const bool there = read_link_and_stat(c, fddir, name, f) && read_fdinfo(infodir, name, b);

	if (there) {
		c->fdinfo = (char *)b->data;
		read_fdinfo_head(c, f);
		read_kind(c, f);
		read_owner(c, f);
	}
	if (c->dup >= 0)
		close(c->dup);
	return there;
}

static int compare_fds(const void *a, const void *b)
{
	const struct fdesc *const x = a, *const y = b;

	return (x->fd > y->fd) - (x->fd < y->fd);
}

static int read_all(struct fd_ctx *c, struct err *e)
{
	cleanup_buf struct buf b = {0};
	cleanup_fd int infodir = openat(c->l->dirfd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int fddir = openat(c->l->dirfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *const dir = fddir < 0 ? NULL : fdopendir(fddir);
	const struct dirent *d;

	if (!dir || infodir < 0) {
		err_sys(e, EXIT_UNTRACEABLE, "list the descriptors of %d", c->l->pid);
		if (dir)
			closedir(dir);
		else if (fddir >= 0)
			close(fddir);
		return -1;
	}
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] < '0' || d->d_name[0] > '9')
			continue;
		struct fdesc f = {0};

		if (read_one(c, fddir, infodir, d->d_name, &b, &f))
			*array_push(&c->fds, &c->nfds) = f;
		else
			fdesc_deinit(&f);
	}
	closedir(dir);
	qsort(c->fds, c->nfds, sizeof(*c->fds), compare_fds);
	return 0;
}

static void ctx_deinit(struct fd_ctx *c)
{
	const int fds[] = {c->diag, c->pipe[0], c->pipe[1]};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(c->mountinfo);
}

int live_fds(struct live *l, struct proc *p, bool content, struct err *e)
{
	struct fd_ctx c = {
		.l = l, .p = p, .content = content, .dup = -1, .diag = -1, .pipe = {-1, -1}};
	const int rc = read_all(&c, e);

	if (rc == 0) {
		fds_pair_pipes(c.fds, c.nfds);
		if (content)
			fds_share(&c, c.fds, c.nfds);
		for (size_t i = 0; i < p->nfds; i++)
			fdesc_deinit(&p->fds[i]);
		free(p->fds);
		p->fds = c.fds;
		p->nfds = c.nfds;
	}
	ctx_deinit(&c);
	return rc;
}
