/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pipes and fifos: capacity, and what lies in them. tee(2) copies references to the buffers into a
 * pipe of ours, so the bytes stay where they are and nobody is woken.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "live/fds.h"

static bool can_read(const struct fdesc *f)
{
	return (f->flags & O_ACCMODE) != O_WRONLY;
}

static bool can_write(const struct fdesc *f)
{
	return (f->flags & O_ACCMODE) != O_RDONLY;
}

static bool is_pipe(const struct fdesc *f)
{
	return (f->kind == FD_PIPE || f->kind == FD_FIFO) && !(f->flags & O_PATH);
}

/* Our pipe, with as many slots as theirs: tee gives one of ours for each of theirs. */
static bool own_pipe(struct fd_ctx *c, int cap)
{
	if (c->pipe[0] < 0 && pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		c->pipe[0] = c->pipe[1] = -1;
		return false;
	}
	return fcntl(c->pipe[1], F_GETPIPE_SZ) >= cap ||
	       fcntl(c->pipe[1], F_SETPIPE_SZ, cap) >= cap;
}

/* Empties our pipe into b. */
static void drain(struct fd_ctx *c, struct buf *b)
{
	for (;;) {
		uint8_t chunk[65536];
		const ssize_t n = read(c->pipe[0], chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf_add(b, chunk, (size_t)n);
	}
}

static void read_content(struct fd_ctx *c, struct fdesc *f, int fd, size_t len)
{
	cleanup_buf struct buf b = {0};

	if (!own_pipe(c, (int)f->pipe_cap)) {
		proc_warn(c->p,
			"descriptor %d: the %zu bytes in its pipe are not stored: no pipe of %u "
			"bytes: %s",
			f->fd, len, f->pipe_cap, strerror(errno));
		return;
	}
	const ssize_t n = tee(fd, c->pipe[1], f->pipe_cap, SPLICE_F_NONBLOCK);

	if (n > 0)
		drain(c, &b);
	if (n != (ssize_t)len || b.len != len) {
		proc_warn(c->p, "descriptor %d: only %zu of %zu bytes in its pipe are stored",
			f->fd, b.len, len);
	}
	if (f->flags & O_DIRECT)
		proc_warn(c->p,
			"descriptor %d: a packet pipe's data is stored without the packets' bounds",
			f->fd);
	f->content.mem = (struct blob){b.data, b.len};
	f->content.len = b.len;
	b = (struct buf){0};
}

/* Contents belong to the pipe: they stand at one read end of it only. */
static bool content_taken(struct fd_ctx *c, const struct fdesc *f)
{
	for (size_t i = 0; i < c->nfds; i++) {
		if (is_pipe(&c->fds[i]) && c->fds[i].pipe_ino == f->pipe_ino &&
			c->fds[i].dev == f->dev && can_read(&c->fds[i]))
			return true;
	}
	return false;
}

/* Has anybody the other end, in this process or not? pipe_poll() tells it of the one direction as a hangup, of the other as an error. */
static bool other_end_open(int fd, const struct fdesc *f)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) < 0 || !(p.revents & (can_read(f) ? POLLHUP : POLLERR));
}

void fd_read_pipe(struct fd_ctx *c, struct fdesc *f)
{
	int len = 0;

	f->pipe_ino = f->ino;
	if (f->flags & O_PATH)
		return;
	const int fd = ctx_dup(c, f);
	const int cap = fd < 0 ? -1 : fcntl(fd, F_GETPIPE_SZ);

	if (cap < 0) {
		proc_warn(c->p,
			"descriptor %d: capacity and contents of its pipe are not known: %s", f->fd,
			strerror(errno));
		return;
	}
	f->pipe_cap = (uint32_t)cap;
	f->other_end_closed = !other_end_open(fd, f);
	if (!c->content || !can_read(f) || content_taken(c, f))
		return;
	if (ioctl(fd, FIONREAD, &len) == 0 && len > 0)
		read_content(c, f, fd, (size_t)len);
}

static int compare_inodes(const void *a, const void *b)
{
	const struct fdesc *const x = *(struct fdesc *const *)a, *const y =
									 *(struct fdesc *const *)b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

void fds_pair_pipes(struct fdesc *fds, size_t n)
{
	struct fdesc **const pipes = xcalloc(n, sizeof(struct fdesc *));
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_pipe(&fds[i]))
			pipes[m++] = &fds[i];
	}
	qsort(pipes, m, sizeof(struct fdesc *), compare_inodes);
	for (size_t i = 0, end; i < m; i = end) {
		bool reads = false, writes = false, alone = false;

		for (end = i; end < m && compare_inodes(&pipes[i], &pipes[end]) == 0; end++) {
			reads |= can_read(pipes[end]);
			writes |= can_write(pipes[end]);
			alone |= pipes[end]->other_end_closed;
		}
		for (size_t k = i; k < end; k++)
			pipes[k]->other_end_outside = !(reads && writes) && !alone;
	}
	free(pipes);
}
