/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A parent that waits in vfork: no signal reaches it until its child is gone, which is when it is told to check itself. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "victim.h"

int main(int argc, char **argv)
{
	int status;
	victim_init(argc, argv);
	pid_t pid = vfork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		victim_ready();
		victim_wait();
		_exit(3);
	}
	victim_check(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	victim_pass();
}
