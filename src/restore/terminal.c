// SPDX-License-Identifier: GPL-3.0-or-later
/* Our terminal becomes that of the restored program, as a shell gives it to a job: its group in the
 * foreground, its modes set. */
#include "restore/exec.h"

#include <asm/termbits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void set_modes(const struct proc *p)
{
	for (size_t i = 0; i < p->nfds; i++) {
		struct termios2 t;

		if (p->fds[i].kind != FD_TTY || p->fds[i].termios.len != sizeof(t))
			continue;
		memcpy(&t, p->fds[i].termios.data, sizeof(t));
		ioctl(STDIN_FILENO, TCSETS2, &t);
		return;
	}
}

void terminal_give(struct runner *r)
{
	sigset_t ttou, old;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	setpgid(r->pid, r->pid);
	set_modes(r->plan->proc);
	if (tcsetpgrp(STDIN_FILENO, r->pid) == 0)
		r->foreground = true;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
