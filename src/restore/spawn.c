// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * SPAWN and RELEASE: the child that becomes the process is born and, at the end, let go.
 *
 * It is a plain copy of ourselves made by clone3 with the wanted pid. It puts what it needs of our
 * descriptors out of the way (above all numbers the image has), closes the others and waits to be
 * seized. It dies with us until it is let go.
 */
#include "restore/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define PID_WAIT_MS 8000 /* an orphan of the killed process's may wait seconds to be reaped */

/* ---- in the child: plain system calls only ---- */

static int open_tty(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (isatty(fd))
			return fcntl(fd, F_DUPFD_CLOEXEC, 3);
	const int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	return fd >= 0 ? fd : open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* Room in the descriptor table for the high numbers. */
static void raise_limit(int needed)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur > (rlim_t)needed)
		return;
	lim.rlim_cur = (rlim_t)needed + 1;
	lim.rlim_max = MAX(lim.rlim_max, lim.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &lim);
}

static int arrange_fds(int image_fd, int high)
{
	int from[HIGH_FDS] = {0, 1, 2, open_tty(), image_fd};

	/* Out of the way first: a target may be another one's source. */
	for (int i = 0; i < HIGH_FDS; i++) {
		int fd = fcntl(from[i], F_DUPFD_CLOEXEC, high + HIGH_FDS);

		if (fd < 0 && i < HIGH_TTY)
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		from[i] = fd;
	}
	for (int i = 0; i < HIGH_FDS; i++)
		if (dup3(from[i], high + i, O_CLOEXEC) < 0 && from[i] != high + i)
			return errno;
	close_range(0, (unsigned)high - 1, 0);
	return 0;
}

static void child_main(int parent, int ready, int image_fd, int high)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	raise_limit(high + 4 * HIGH_FDS);
	const int moved = fcntl(ready, F_DUPFD_CLOEXEC, high + HIGH_FDS);
	const int why = moved < 0 ? errno : arrange_fds(image_fd, high);

	/* From here on it may be stopped any time; what is left above is closed with the rest of
	 * ours at the end. */
	if (write(moved >= 0 ? moved : ready, &why, sizeof(why)) != sizeof(why))
		_exit(1);
	for (;;)
		pause();
}

/* ---- ours ---- */

/* Its state letter and name from /proc/PID/stat; false: no such process. */
static bool pid_holder(int pid, char *state, char comm[64])
{
	char path[32];
	cleanup_buf struct buf b = {0};

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(AT_FDCWD, path, &b) < 0)
		return false;
	buf_add(&b, "", 1);
	const char *open_at = strchr((char *)b.data, '('), *close_at = strrchr((char *)b.data, ')');

	if (!open_at || !close_at || close_at[1] != ' ')
		return false;
	snprintf(comm, 64, "%.*s", (int)(close_at - open_at - 1), open_at + 1);
	*state = close_at[2];
	return true;
}

static bool is_dying(int pid, char state)
{
	char path[48];
	cleanup_buf struct buf b = {0};

	if (state == 'Z' || state == 'X')
		return true;
	/* Killed, and not dead yet. */
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (file_read(AT_FDCWD, path, &b) < 0)
		return true;
	buf_add(&b, "", 1);
	const char *pending = strstr((char *)b.data, "\nShdPnd:"),
		   *own = strstr((char *)b.data, "\nSigPnd:");

	return ((pending ? strtoull(pending + 8, NULL, 16) : 0) |
		       (own ? strtoull(own + 8, NULL, 16) : 0)) >>
		       (SIGKILL - 1) &
	       1;
}

static int64_t clone_child(const struct plan *p, int32_t pid)
{
	struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};

	if (!p->opts.new_pid) {
		args.set_tid = (uint64_t)(uintptr_t)&pid;
		args.set_tid_size = 1;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

/* The pid is taken: 0 to try again, -1 when there is no use. */
static int pid_taken(struct runner *r, int pid, uint64_t deadline, bool *said, struct err *e)
{
	char comm[64] = "", state = 0;
	const bool there = pid_holder(pid, &state, comm);

	if (there && !is_dying(pid, state))
		return err_set(e, EXIT_RESTORE,
			"pid %d is in use by %s: end that process, or restore with --new-pid", pid,
			text_safe(comm));
	if (now_ns() >= deadline)
		return there ? err_set(e, EXIT_RESTORE,
				       "pid %d: %s is dead, but its parent does not reap it: end "
				       "the parent, or restore with "
				       "--new-pid",
				       pid, text_safe(comm))
			     : err_set(e, EXIT_RESTORE,
				       "pid %d is still the number of a process group, session or "
				       "thread: restore with --new-pid",
				       pid);
	if (!*said && r->plan->opts.say && now_ns() + (PID_WAIT_MS - 200) * NS_PER_MS > deadline) {
		char line[64];

		snprintf(line, sizeof(line), "waiting for pid %d to become free", pid);
		r->plan->opts.say(line);
		*said = true;
	}
	usleep(2000);
	return 0;
}

static int clone_failed(int pid, int why, struct err *e)
{
	errno = why;
	if (why == EPERM)
		return err_set(e, EXIT_RESTORE,
			"choose pid %d: not permitted without CAP_CHECKPOINT_RESTORE: restore with "
			"--new-pid",
			pid);
	return err_sys(e, EXIT_RESTORE, "make a process with pid %d", pid);
}

static int await_ready(struct runner *r, int fd, struct err *e)
{
	int why = 0;
	ssize_t n;

	do {
		n = read(fd, &why, sizeof(why));
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(why))
		return err_set(e, EXIT_RESTORE, "the new process %d died at once", r->pid);
	errno = why;
	return why ? err_sys(e, EXIT_RESTORE, "give descriptors to the new process") : 0;
}

static int make_child(struct runner *r, struct err *e)
{
	const int32_t pid = r->plan->proc->pid;
	const uint64_t deadline = now_ns() + PID_WAIT_MS * NS_PER_MS;
	const int ours = getpid();
	bool said = false;
	int ready[2];

	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_sys(e, EXIT_RESTORE, "make a pipe");
	cleanup_fd int from = ready[0], to = ready[1];
	int64_t got;

	/* No handler of ours may run in the child. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while ((got = clone_child(r->plan, pid)) < 0 && errno == EEXIST) {
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (pid_taken(r, pid, deadline, &said, e) < 0)
			return -1;
		pthread_sigmask(SIG_SETMASK, &all, NULL);
	}
	const int why = errno;

	if (got == 0)
		child_main(ours, to, image_fd(r->plan->im), r->plan->high_fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (got < 0)
		return clone_failed(pid, why, e);
	r->pid = (int)got;
	close(to);
	to = -1;
	return await_ready(r, from, e);
}

int spawn_run(struct runner *r, const struct step *s, struct err *e)
{
	(void)s;
	if (make_child(r, e) < 0)
		return -1;
	r->tids[0].real = r->pid;
	if (r->plan->wants_tty && !isatty(0) && !isatty(1) && !isatty(2)) {
		cleanup_fd int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

		if (tty < 0)
			run_warn(r,
				"it had a terminal, and here is none: /dev/null takes its place");
	}
	if (tracee_adopt(&r->t, r->pid, e) < 0)
		return err_class(e, EXIT_RESTORE);
	r->attached = true;
	r->who = tracee_task(&r->t, r->pid);
	return 0;
}

/* From here on the restore has succeeded: what would end us must not make it look otherwise. They
 * are the caller's to unblock. */
static void hold_signals(void)
{
	static const int held[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		sigaddset(&set, held[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int release_run(struct runner *r, const struct step *s, struct err *e)
{
	(void)s;
	(void)e;
	hold_signals();
	if (r->plan->opts.foreground && isatty(STDIN_FILENO))
		terminal_give(r);
	if (r->plan->opts.stopped || r->plan->proc->threads[0].state == 'T')
		kill(r->pid, SIGSTOP);
	tracee_detach(&r->t);
	r->attached = false;
	/* The screen is another one: who draws on it draws it again. */
	if (r->foreground)
		kill(r->pid, SIGWINCH);
	return 0;
}
