// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for descriptors: one per open file description, opened once and put to all its numbers.
 * Numbers are foretold (an open gets the lowest free one), so that all of it can go in one batch.
 * How each kind is opened stands in the table of fdkind.c; what refers to other descriptors (epoll)
 * or must wait for mappings (seals) comes late.
 */
#include "restore/steps.h"
#include "restore/fdkind.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/syscall.h>

#define SETTABLE (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC)
#define REFILL_PIECE 32768u

int fd_take(struct fd_maker *m)
{
	for (int fd = m->sim.low; fd < m->sim.n; fd++) {
		if (!m->sim.used[fd]) {
			m->sim.used[fd] = 1;
			m->sim.low = fd + 1;
			return fd;
		}
	}
	return m->sim.n; /* cannot be: there is always one more than the image has */
}

static void sim_set(struct fd_maker *m, int fd, bool used)
{
	if (fd < 0 || fd >= m->sim.n)
		return;
	m->sim.used[fd] = used;
	if (!used)
		m->sim.low = MIN(m->sim.low, fd);
}

void fd_close(struct fd_maker *m, int fd)
{
	CALL(m->s, SYS_close, N(fd));
	sim_set(m, fd, false);
}

int fd_expect(struct fd_maker *m, struct step_call *c)
{
	const int fd = fd_take(m);

	c->expect = fd;
	return fd;
}

int fd_open(struct fd_maker *m, const struct fdesc *f, const char *path, int extra)
{
	const uint64_t at = step_str(m->s, path);
	/* O_TMPFILE's own bit would make another file. */
	const uint64_t flags = f->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC |
						      O_ASYNC | (O_TMPFILE & ~O_DIRECTORY));

	return fd_expect(m,
		CALL(m->s, SYS_openat, N(AT_FDCWD), D(at), N(flags | O_NOCTTY | (uint64_t)extra)));
}

int fd_reopen(struct fd_maker *m, const struct fdesc *f, int at)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	return fd_open(m, f, path, 0);
}

const struct fdesc *fd_made_before(const struct fd_maker *m, const struct fdesc *f)
{
	const struct proc *proc = m->p->proc;

	for (size_t i = 0; i < proc->nfds; i++) {
		const struct fdesc *g = &proc->fds[i];

		if (m->made[i] && g != f && g->kind == f->kind && g->ino == f->ino &&
			g->dev == f->dev && !(g->flags & O_PATH))
			return g;
	}
	return NULL;
}

/* ---- one description, all its numbers ---- */

static void set_owner(struct fd_maker *m, const struct fdesc *f, int at)
{
	if (f->owner_pid && !m->p->opts.new_pid) {
		const struct f_owner_ex own = {.type = f->owner_type, .pid = f->owner_pid};
		const uint64_t d = step_data(m->s, &own, sizeof(own));

		call_may_fail(
			CALL(m->s, SYS_fcntl, N(at), N(F_SETOWN_EX), D(d)), "its owner is gone");
	}
	if (f->owner_sig)
		CALL(m->s, SYS_fcntl, N(at), N(F_SETSIG), N(f->owner_sig));
	if (f->flags & O_ASYNC)
		call_may_fail(CALL(m->s, SYS_fcntl, N(at), N(F_SETFL), N(f->flags & SETTABLE)),
			"no signal on input");
}

void fd_set_flags(struct fd_maker *m, const struct fdesc *f, int at)
{
	if (f->flags & SETTABLE & ~O_ASYNC)
		call_may_fail(
			CALL(m->s, SYS_fcntl, N(at), N(F_SETFL), N(f->flags & SETTABLE & ~O_ASYNC)),
			NULL);
}

void fd_place(struct fd_maker *m, const struct fdesc *f, int at)
{
	struct proc *proc = m->p->proc;
	bool stays = at >= m->p->high_fd;

	if (at < m->p->high_fd || at >= m->p->high_fd + HIGH_FDS)
		set_owner(m, f, at); /* not on what is our own */
	for (size_t i = (size_t)(f - proc->fds); i < proc->nfds; i = m->next[i]) {
		const struct fdesc *g = &proc->fds[i];

		if (m->made[i])
			continue;
		m->made[i] = true;
		if (g->fd != at) {
			call_expect(CALL(m->s, SYS_dup3, N(at), N(g->fd),
					    N(g->cloexec ? O_CLOEXEC : 0)),
				g->fd);
		} else {
			stays = true;
			if (g->cloexec)
				CALL(m->s, SYS_fcntl, N(at), N(F_SETFD), N(FD_CLOEXEC));
		}
		sim_set(m, g->fd, true);
	}
	if (!stays)
		fd_close(m, at);
}

void fd_pair(struct fd_maker *m, struct step_call *c, int out[2])
{
	int low[2];

	for (int i = 0; i < 2; i++)
		low[i] = fd_take(m);
	call_expect(c, 0);
	for (int i = 0; i < 2; i++) {
		out[i] = m->p->high_fd + HIGH_FDS + i;
		CALL(m->s, SYS_dup3, N(low[i]), N(out[i]), N(O_CLOEXEC));
	}
	for (int i = 0; i < 2; i++)
		fd_close(m, low[i]);
}

void fd_pair_done(struct fd_maker *m)
{
	for (int i = 0; i < 2; i++)
		CALL(m->s, SYS_close, N(m->p->high_fd + HIGH_FDS + i));
}

void fd_refill(struct fd_maker *m, const struct fdesc *f, int at)
{
	struct err e = {0};

	if (!f->content.len || !m->p->im)
		return;
	if (f->content.len > 64u << 20) {
		plan_warn(m->p, "descriptor %d: more in it than a pipe can hold", f->fd);
		return;
	}
	cleanup_free uint8_t *bytes = xmalloc(f->content.len);

	if (image_bulk(m->p->im, &f->content, bytes, &e) < 0) {
		plan_warn(m->p, "descriptor %d: what was in it is lost: %s", f->fd, e.text);
		return;
	}
	for (uint64_t done = 0; done < f->content.len;) {
		const uint64_t len = MIN(f->content.len - done, (uint64_t)REFILL_PIECE);

		m->s = plan_step(m->p, STEP_FD, m->p->proc->pid, (int)(f - m->p->proc->fds),
			"written and not read yet", "put %llu bytes back for descriptor %d",
			(unsigned long long)len, f->fd);
		const uint64_t d = step_data(m->s, bytes + done, len);

		call_expect(CALL(m->s, SYS_write, N(at), D(d), N(len)), (int64_t)len);
		done += len;
	}
}

static void make_one(struct fd_maker *m, const struct fdesc *f)
{
	m->s = plan_step(m->p, STEP_FD, m->p->proc->pid, (int)(f - m->p->proc->fds),
		fd_why(f->kind), "open descriptor %d: %s %s", f->fd, fd_kind_name(f->kind),
		f->path ? f->path : "");
	const int at = fd_make(m, f);

	if (at >= 0)
		fd_place(m, f, at);
}

/* Chains the descriptors of each open file description. */
static void chain(struct fd_maker *m)
{
	const struct proc *proc = m->p->proc;
	size_t *last = xcalloc((size_t)m->sim.n, sizeof(*last)); /* by ofd: index + 1 */

	m->next = xcalloc(proc->nfds + 1, sizeof(*m->next));
	for (size_t i = 0; i < proc->nfds; i++) {
		const int32_t ofd = proc->fds[i].ofd;

		m->next[i] = proc->nfds;
		if (ofd < 0 || ofd >= m->sim.n)
			continue;
		if (last[ofd])
			m->next[last[ofd] - 1] = i;
		last[ofd] = i + 1;
	}
	free(last);
}

int plan_fds(struct plan *p, struct err *e)
{
	struct fd_maker m = {.p = p, .sim.n = p->high_fd};

	m.made = xcalloc(p->proc->nfds + 1, sizeof(bool));
	m.sim.used = xcalloc((size_t)p->high_fd + 1, 1);
	chain(&m);
	for (size_t i = 0; i < p->proc->nfds; i++)
		if (!m.made[i])
			make_one(&m, &p->proc->fds[i]);
	p->free_fd = fd_take(&m);
	free(m.made);
	free(m.next);
	free(m.sim.used);
	return p->free_fd < p->high_fd ? 0 : err_set(e, EXIT_IMAGE, "no descriptor number is free");
}

/* ---- late ---- */

static void late_epoll(struct plan *p, const struct fdesc *f)
{
	struct step *s = plan_step(p, STEP_FD, p->proc->pid, (int)(f - p->proc->fds),
		"now that all descriptors stand", "watch %zu descriptors by epoll %d", f->nepoll,
		f->fd);

	for (size_t i = 0; i < f->nepoll; i++) {
		struct epoll_event ev = {.events = f->epoll[i].events};

		if (s->data.len + sizeof(ev) + 8 > PLAN_DATA_MAX)
			s = plan_step(p, STEP_FD, p->proc->pid, (int)(f - p->proc->fds), s->why,
				"watch more by epoll %d", f->fd);
		ev.data.u64 = f->epoll[i].data;
		const uint64_t d = step_data(s, &ev, sizeof(ev));

		call_may_fail(
			CALL(s, SYS_epoll_ctl, N(f->fd), N(EPOLL_CTL_ADD), N(f->epoll[i].fd), D(d)),
			"a descriptor is no longer watched");
	}
}

/* A line of fdinfo: "1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 0 EOF", in front of it perhaps
 * "lock:\t". */
static void late_lock(struct plan *p, struct step *s, const struct fdesc *f, const char *line)
{
	char kind[16], mode[16], end[32];
	unsigned long long start;

	if (!strncmp(line, "lock:", 5))
		line += 5;
	if (sscanf(line, " %*d: %15s %*s %15s %*d %*s %llu %31s", kind, mode, &start, end) != 4)
		return;
	const bool write = !strcmp(mode, "WRITE");

	if (!strcmp(kind, "FLOCK")) {
		call_may_fail(
			CALL(s, SYS_flock, N(f->fd), N((write ? LOCK_EX : LOCK_SH) | LOCK_NB)),
			"somebody else has its lock");
		return;
	}
	const bool ofd = !strcmp(kind, "OFDLCK");

	if (!ofd && strcmp(kind, "POSIX")) {
		plan_warn(p, "descriptor %d: a lock of kind %s is not restored", f->fd, kind);
		return;
	}
	const struct flock fl = {.l_type = write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)start,
		.l_len = strcmp(end, "EOF") ? (off_t)(strtoull(end, NULL, 10) - start + 1) : 0};
	const uint64_t d = step_data(s, &fl, sizeof(fl));

	call_may_fail(CALL(s, SYS_fcntl, N(f->fd), N(ofd ? F_OFD_SETLK : F_SETLK), D(d)),
		"somebody else has its lock");
}

static void late_locks(struct plan *p, const struct fdesc *f)
{
	struct step *s = plan_step(p, STEP_FD, p->proc->pid, (int)(f - p->proc->fds),
		"it held them", "lock the file of descriptor %d", f->fd);

	for (const char *line = f->locks; line && *line && s->data.len < PLAN_DATA_MAX / 2;) {
		late_lock(p, s, f, line);
		line = strchr(line, '\n');
		line += line != NULL;
	}
}

void plan_fds_late(struct plan *p)
{
	for (size_t i = 0; i < p->proc->nfds; i++) {
		const struct fdesc *f = &p->proc->fds[i];

		if (f->kind == FD_EPOLL && f->nepoll)
			late_epoll(p, f);
		if (f->kind == FD_MEMFD && f->seals && f->seals != F_SEAL_SEAL) {
			struct step *s = plan_step(p, STEP_FD, p->proc->pid, (int)i,
				"its mappings are made", "seal memfd %d", f->fd);

			call_may_fail(CALL(s, SYS_fcntl, N(f->fd), N(F_ADD_SEALS), N(f->seals)),
				"memfd cannot be sealed");
		}
		if (f->locks && *f->locks)
			late_locks(p, f);
	}
	struct step *s = plan_step(p, STEP_FD, p->proc->pid, -1,
		"the image is read, our terminal handed over", "close our own descriptors");

	CALL(s, SYS_close_range, N(p->high_fd), N(~0u), N(0));
}
