// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Pipes, fifos, inotify. A pipe with both ends inside is made anew and filled; one whose other end
 * another process held is replaced by our own standard input or output, by direction.
 */
#include "restore/fdkind.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#define PIPE_LEN 65536u /* a new pipe's capacity */
#define WD_GAP_MAX 1024 /* numbers of removed watches we skip over */

static bool reads(const struct fdesc *f)
{
	return (f->flags & O_ACCMODE) == O_RDONLY;
}

static int outside_pipe(struct fd_maker *m, const struct fdesc *f)
{
	const char *const names[] = {"input", "output", "error output"};
	const int which = reads(f) ? HIGH_STDIN : f->fd == 2 ? HIGH_STDERR : HIGH_STDOUT;

	if (f->fd > 2)
		plan_warn(m->p,
			"descriptor %d: its pipe led to another process: our standard %s takes its "
			"place",
			f->fd, names[which]);
	return m->p->high_fd + which;
}

/* The ends in all their descriptions: the first of each direction is the new pipe's own, others are
 * opened anew. */
static void place_ends(struct fd_maker *m, const struct fdesc *f, const int ends[2])
{
	const struct proc *proc = m->p->proc;
	bool used[2] = {false, false};

	for (size_t i = 0; i < proc->nfds; i++) {
		const struct fdesc *g = &proc->fds[i];

		if (m->made[i] || g->kind != FD_PIPE || g->pipe_ino != f->pipe_ino ||
			g->dev != f->dev)
			continue;
		const int side = reads(g) ? 0 : 1;
		const bool plain = (g->flags & O_ACCMODE) != O_RDWR && !(g->flags & O_PATH);

		if (plain && !used[side]) {
			used[side] = true;
			fd_set_flags(m, g, ends[side]);
			fd_place(m, g, ends[side]);
		} else {
			fd_place(m, g, fd_reopen(m, g, ends[side]));
		}
	}
}

static const struct fdesc *full_end(const struct fd_maker *m, const struct fdesc *f)
{
	const struct proc *proc = m->p->proc;

	for (size_t i = 0; i < proc->nfds; i++) {
		const struct fdesc *g = &proc->fds[i];

		if (g->kind == f->kind && g->pipe_ino == f->pipe_ino && g->dev == f->dev &&
			g->content.len)
			return g;
	}
	return f;
}

int make_pipe(struct fd_maker *m, const struct fdesc *f)
{
	int ends[2] = {0};

	if (f->other_end_outside)
		return outside_pipe(m, f);
	const uint64_t d = step_data(m->s, ends, sizeof(ends));

	fd_pair(m, CALL(m->s, SYS_pipe2, D(d), N(0)), ends);
	if (f->pipe_cap && f->pipe_cap != PIPE_LEN)
		call_may_fail(CALL(m->s, SYS_fcntl, N(ends[1]), N(F_SETPIPE_SZ), N(f->pipe_cap)),
			"the pipe is smaller than it was");
	fd_refill(m, full_end(m, f), ends[1]);
	place_ends(m, f, ends);
	fd_pair_done(m);
	return -1;
}

/* An open for one direction waits for the other: one for both stands meanwhile. Its bytes are there
 * still if somebody else holds it. */
int make_fifo(struct fd_maker *m, const struct fdesc *f)
{
	const uint64_t path = step_str(m->s, f->path ? f->path : "");
	const bool first = !fd_made_before(m, f);
	const int both =
		fd_expect(m, CALL(m->s, SYS_openat, N(AT_FDCWD), D(path), N(O_RDWR | O_NONBLOCK)));
	const int at = fd_open(m, f, f->path ? f->path : "", 0);

	if (first && f->pipe_cap && f->pipe_cap != PIPE_LEN)
		call_quiet(CALL(m->s, SYS_fcntl, N(both), N(F_SETPIPE_SZ), N(f->pipe_cap)));
	if (first && !f->other_end_outside)
		fd_refill(m, full_end(m, f), both);
	fd_close(m, both);
	return at;
}

/* Numbers of watches go up by one with every watch made, whatever was removed: gaps are made and
 * removed, and the events of that read away. */
static void skip_watches(struct fd_maker *m, int at, uint64_t path, int from, int to)
{
	for (int wd = from; wd < to; wd++) {
		call_quiet(call_expect(
			CALL(m->s, SYS_inotify_add_watch, N(at), D(path), N(IN_ATTRIB)), wd));
		call_quiet(CALL(m->s, SYS_inotify_rm_watch, N(at), N(wd)));
	}
}

static void add_watch(
	struct fd_maker *m, const struct fdesc *f, const struct inotify_watch *w, int at, int next)
{
	static const char room[4096];

	m->s = plan_step(m->p, STEP_FD, m->p->proc->pid, (int)(f - m->p->proc->fds),
		"under the same number", "watch %s as %d", w->path, w->wd);
	const uint64_t path = step_str(m->s, w->path);

	if (w->wd > next && w->wd - next <= WD_GAP_MAX) {
		const uint64_t drain = step_data(m->s, room, sizeof(room));

		for (int wd = next; wd < w->wd; wd += 64) {
			skip_watches(m, at, path, wd, MIN(wd + 64, w->wd));
			call_quiet(CALL(m->s, SYS_read, N(at), D(drain), N(sizeof(room))));
		}
	}
	call_may_fail(
		call_expect(CALL(m->s, SYS_inotify_add_watch, N(at), D(path), N(w->mask)), w->wd),
		"an inotify watch is lost or has another number");
}

/* The watch with the lowest number from `from` on. */
static const struct inotify_watch *next_watch(const struct fdesc *f, int from)
{
	const struct inotify_watch *best = NULL;

	for (size_t i = 0; i < f->ninotify; i++)
		if (f->inotify[i].wd >= from && (!best || f->inotify[i].wd < best->wd))
			best = &f->inotify[i];
	return best;
}

int make_inotify(struct fd_maker *m, const struct fdesc *f)
{
	const int at = fd_expect(m, CALL(m->s, SYS_inotify_init1, N(O_NONBLOCK)));
	int next = 1;

	for (const struct inotify_watch *w; (w = next_watch(f, next));) {
		if (w->path) {
			add_watch(m, f, w, at, next);
			next = w->wd + 1;
			continue;
		}
		plan_warn(m->p,
			"descriptor %d: what its inotify watch %d was on is not known: not "
			"restored",
			f->fd, w->wd);
		break;
	}
	if (!(f->flags & O_NONBLOCK))
		CALL(m->s, SYS_fcntl, N(at), N(F_SETFL), N(0));
	return at;
}
