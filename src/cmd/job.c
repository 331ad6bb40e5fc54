/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A checkpoint in a process of its own. ptrace works only from the thread that attached, and whoever
 * shows progress may block on a terminal: the tracer shares nothing with it but a pipe of events.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "capture/capture.h"

/* Room for the events of some 100 ms without a reader (64 bytes each). */
#define PIPE_LEN (1 << 20)

static volatile sig_atomic_t cancel;

static void on_cancel(int sig)
{
	(void)sig;
	cancel = 1;
}

/* The tracer's whole life. Its parent's death cancels: nobody is there to say where the image is. */
static _Noreturn void tracer(int fd, const struct capture_opts *opts, pid_t parent)
{
	struct capture_opts o = *opts;
	struct sigaction sa = {.sa_handler = on_cancel};
	sigset_t none;

	prctl(PR_SET_NAME, "ckptview: trace");
	setpgid(0, 0);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);       /* a file size limit is an error of write(2) */
	signal(SIGHUP, SIG_IGN);
	signal(SIGTSTP, SIG_IGN);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_CAPTURE);

	o.cancel = &cancel;
	struct event_out out = {.fd = fd};
	struct capture_result res;
	struct err e = {0};
	const int ret = capture_run(&o, &out, &res, &e);
	_exit(ret < 0 ? e.code : EXIT_DONE);
}

int job_start(struct job *j, const struct capture_opts *o, struct err *e)
{
	int fds[2];
	const pid_t me = getpid();

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, EXIT_CAPTURE, "pipe");
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	fcntl(fds[1], F_SETPIPE_SZ, PIPE_LEN);
	const pid_t pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return err_sys(e, EXIT_CAPTURE, "fork");
	}
	if (pid == 0) {
		close(fds[0]);
		tracer(fds[1], o, me);
	}
	close(fds[1]);
	*j = (struct job){.pid = pid, .fd = fds[0]};
	return 0;
}

void job_cancel(struct job *j)
{
	if (j->pid > 0)
		kill(j->pid, SIGINT);
}

int job_wait(struct job *j)
{
	int status = 0;

	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	if (j->pid <= 0)
		return EXIT_CAPTURE;
	while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
		;
	j->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_CAPTURE;
}
