// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * How each kind of descriptor is opened again: one function a kind, one table. Files, memfds,
 * terminals and the small kernel objects are here; pipes, sockets and inotify have files of their
 * own.
 */
#include "restore/fdkind.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "restore/check.h"

#define MFD_ALLOW_SEALING_ 2u
#define EFD_SEMAPHORE_ 1u
#define TFD_IOC_SET_TICKS_ \
	0x40085400u /* _IOW('T', 0, u64), kernel 3.17 with CONFIG_CHECKPOINT_RESTORE */
#define KERNEL_SIGSET_LEN 8

/* ext4 begins its walk of a hashed directory where the first reading begins. When that is the end,
 * a later lseek to 0 finds nothing (ext4_dx_readdir(), seen on 6.18): so the first reading is at 0.
 */
static void begin_directory(struct fd_maker *m, int at)
{
	static const char room[1024];
	const uint64_t d = step_data(m->s, room, sizeof(room));

	call_quiet(CALL(m->s, SYS_getdents64, N(at), D(d), N(sizeof(room))));
}

static void seek(struct fd_maker *m, const struct fdesc *f, int at, bool always)
{
	if (f->kind == FD_DIR && f->pos && !(f->flags & O_PATH))
		begin_directory(m, at);
	if ((f->pos || always) && !(f->flags & O_PATH))
		call_may_fail(CALL(m->s, SYS_lseek, N(at), N(f->pos), N(SEEK_SET)),
			"its position is lost");
}

/* The stored bytes straight from the image. */
static void add_content(struct fd_maker *m, const struct fdesc *f, int at)
{
	CALL(m->s, SYS_ftruncate, N(at), N(f->size));
	if (!f->content.len)
		return;
	const uint64_t d = step_data(m->s, &f->content.off, sizeof(f->content.off));

	call_expect(CALL(m->s, SYS_sendfile, N(at), N(m->p->high_fd + HIGH_IMAGE), D(d),
			    N(f->content.len)),
		(int64_t)f->content.len);
}

/* An object stands at `at`, open for everything; f may want less. */
static int narrow(struct fd_maker *m, const struct fdesc *f, int at)
{
	if ((f->flags & O_ACCMODE) == O_RDWR && !(f->flags & O_PATH)) {
		fd_set_flags(m, f, at);
		seek(m, f, at, true);
		return at;
	}
	const int again = fd_reopen(m, f, at);

	fd_close(m, at);
	seek(m, f, again, false);
	return again;
}

static int open_again(struct fd_maker *m, const struct fdesc *f, const struct fdesc *before)
{
	const int at = fd_reopen(m, f, before->fd);

	seek(m, f, at, false);
	return at;
}

/* Which of several descriptors of one inode has the content. */
static const struct fdesc *with_content(const struct plan *p, const struct fdesc *f)
{
	for (size_t i = 0; i < p->proc->nfds; i++) {
		const struct fdesc *g = &p->proc->fds[i];

		if (g->kind == f->kind && g->ino == f->ino && g->dev == f->dev && g->content.len)
			return g;
	}
	return f;
}

/* Made again under its name, unless somebody has it now, and unlinked; or without a name in its
 * directory; or in memory. */
static int make_deleted(struct fd_maker *m, const struct fdesc *f)
{
	const struct fdesc *before = fd_made_before(m, f);

	if (before)
		return open_again(m, f, before);
	const char *slash = strrchr(f->path, '/');
	char dir[4096];

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash > f->path ? slash - f->path : 1), f->path);
	const uint64_t path = step_str(m->s, f->path), where = step_str(m->s, dir),
		       name = step_str(m->s, slash + 1);
	const uint64_t mode = f->mode & 07777;
	struct step_call *c =
		CALL(m->s, SYS_openat, N(AT_FDCWD), D(path), N(O_CREAT | O_EXCL | O_RDWR), N(mode));
	const int at = fd_expect(m, call_quiet(c));

	call_when(CALL(m->s, SYS_unlink, D(path)), CALL_IF_OK, 1);
	c = CALL(m->s, SYS_openat, N(AT_FDCWD), D(where), N(O_TMPFILE | O_RDWR), N(mode));
	call_when(call_quiet(call_expect(c, at)), CALL_IF_FAILED, 2);
	call_when(call_expect(CALL(m->s, SYS_memfd_create, D(name), N(0)), at), CALL_IF_FAILED, 1);
	add_content(m, with_content(m->p, f), at);
	return narrow(m, f, at);
}

int make_file(struct fd_maker *m, const struct fdesc *f)
{
	if (f->deleted && f->path && strchr(f->path, '/'))
		return make_deleted(m, f);
	const char *path = f->path ? f->path : "";
	const int at = fd_open(m, f, path, 0);

	if (is_own_proc(m->p->proc, path)) {
		/* It may be about a thread that is not there yet. */
		call_may_fail(&m->s->calls[m->s->ncalls - 1],
			"it cannot be opened again: /dev/null takes its place");
		const uint64_t null = step_str(m->s, "/dev/null");

		call_when(call_expect(CALL(m->s, SYS_openat, N(AT_FDCWD), D(null), N(O_RDWR)), at),
			CALL_IF_FAILED, 1);
	}
	seek(m, f, at, false);
	return at;
}

int make_memfd(struct fd_maker *m, const struct fdesc *f)
{
	const struct fdesc *before = fd_made_before(m, f);

	if (before)
		return open_again(m, f, before);
	const char *name = f->path && !strncmp(f->path, "/memfd:", 7) ? f->path + 7 : "memfd";
	const uint64_t d = step_str(m->s, name);
	/* F_SEAL_SEAL alone is what a memfd has that was made without MFD_ALLOW_SEALING. */
	const int at = fd_expect(m, CALL(m->s, SYS_memfd_create, D(d),
					    N(f->seals == F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING_)));

	add_content(m, with_content(m->p, f), at);
	return narrow(m, f, at);
}

/* Ours takes the place of the old one: opened anew, so that its flags are its own; not permitted
 * after su(1): shared then. */
static int make_tty(struct fd_maker *m, const struct fdesc *f)
{
	m->p->wants_tty = true;
	const int at = fd_reopen(m, f, m->p->high_fd + HIGH_TTY);

	call_quiet(&m->s->calls[m->s->ncalls - 1]);
	call_when(call_expect(
			  CALL(m->s, SYS_fcntl, N(m->p->high_fd + HIGH_TTY), N(F_DUPFD), N(0)), at),
		CALL_IF_FAILED, 1);
	return at;
}

static int make_eventfd(struct fd_maker *m, const struct fdesc *f)
{
	const uint64_t flags = (f->event_flags & EFD_SEMAPHORE_) | (f->flags & O_NONBLOCK);
	const int at = fd_expect(m, CALL(m->s, SYS_eventfd2, N(0), N(flags)));

	if (f->event_count) {
		const uint64_t d = step_data(m->s, &f->event_count, sizeof(f->event_count));

		CALL(m->s, SYS_write, N(at), D(d), N(sizeof(f->event_count)));
	}
	return at;
}

static int make_timerfd(struct fd_maker *m, const struct fdesc *f)
{
	const int at = fd_expect(
		m, CALL(m->s, SYS_timerfd_create, N(f->timer_clockid), N(f->flags & O_NONBLOCK)));
	/* One that has gone off starts its next round when it is read, and shows no time left until
	 * then: off it goes at once. */
	const uint64_t left = f->timer_value_ns || !f->timer_interval_ns ? f->timer_value_ns : 1;
	const struct itimerspec t = {
		.it_value = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)},
		.it_interval = {(time_t)(f->timer_interval_ns / 1000000000u),
			(long)(f->timer_interval_ns % 1000000000u)},
	};
	const uint64_t d = step_data(m->s, &t, sizeof(t));

	if (left)
		CALL(m->s, SYS_timerfd_settime, N(at), N(0), D(d), N(0));
	if (f->timer_ticks) {
		const uint64_t ticks = step_data(m->s, &f->timer_ticks, sizeof(f->timer_ticks));

		call_may_fail(CALL(m->s, SYS_ioctl, N(at), N(TFD_IOC_SET_TICKS_), D(ticks)),
			"expirations not read yet are lost");
	}
	return at;
}

static int make_signalfd(struct fd_maker *m, const struct fdesc *f)
{
	const uint64_t d = step_data(m->s, &f->signal_mask, sizeof(f->signal_mask));

	return fd_expect(m, CALL(m->s, SYS_signalfd4, N(-1), D(d), N(KERNEL_SIGSET_LEN),
				    N(f->flags & O_NONBLOCK)));
}

static int make_epoll(struct fd_maker *m, const struct fdesc *f)
{
	(void)f;
	return fd_expect(m, CALL(m->s, SYS_epoll_create1, N(0)));
}

static int make_pidfd(struct fd_maker *m, const struct fdesc *f)
{
	const struct proc *proc = m->p->proc;

	if (f->pidfd_pid != proc->pid) {
		plan_warn(m->p,
			"descriptor %d: the process of its pidfd, %d, is not this one: not "
			"restored",
			f->fd, f->pidfd_pid);
		return make_placeholder(m, f);
	}
	return fd_expect(m, CALL(m->s, SYS_pidfd_open, T(proc->pid), N(f->flags & O_NONBLOCK)));
}

int make_placeholder(struct fd_maker *m, const struct fdesc *f)
{
	const uint64_t at = step_str(m->s, "/dev/null");

	(void)f;
	return fd_expect(m, CALL(m->s, SYS_openat, N(AT_FDCWD), D(at), N(O_RDWR)));
}

static int make_unknown(struct fd_maker *m, const struct fdesc *f)
{
	plan_warn(m->p, "descriptor %d: %s %s is not restored: /dev/null takes its place", f->fd,
		fd_kind_name(f->kind), f->path ? f->path : "");
	return make_placeholder(m, f);
}

static const struct {
	int (*make)(struct fd_maker *m, const struct fdesc *f);
	const char *why;
} kinds[FD_KINDS] = {
	[FD_FILE] = {make_file, "its file, at its position"},
	[FD_DIR] = {make_file, "its directory"},
	[FD_CHARDEV] = {make_file, "its device"},
	[FD_BLOCKDEV] = {make_file, "its device"},
	[FD_TTY] = {make_tty, "our terminal takes the place of its own"},
	[FD_PIPE] = {make_pipe, "both ends inside: a new pipe; else our own stdio"},
	[FD_FIFO] = {make_fifo, "its fifo"},
	[FD_SOCKET] = {make_socket, "a new socket at its address"},
	[FD_MEMFD] = {make_memfd, "memory with a descriptor"},
	[FD_EVENTFD] = {make_eventfd, "a counter"},
	[FD_TIMERFD] = {make_timerfd, "a timer with the time that was left"},
	[FD_SIGNALFD] = {make_signalfd, "a set of signals"},
	[FD_EPOLL] = {make_epoll, "its entries follow when all descriptors stand"},
	[FD_INOTIFY] = {make_inotify, "watches with their numbers"},
	[FD_PIDFD] = {make_pidfd, "a process"},
	[FD_USERFAULTFD] = {make_unknown, "cannot come back"},
	[FD_IOURING] = {make_unknown, "cannot come back"},
	[FD_OTHER] = {make_unknown, "not known to this version"},
};

int fd_make(struct fd_maker *m, const struct fdesc *f)
{
	return f->kind < FD_KINDS ? kinds[f->kind].make(m, f) : make_unknown(m, f);
}

const char *fd_why(int kind)
{
	return kind >= 0 && kind < FD_KINDS ? kinds[kind].why : "not known to this version";
}
