/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Confined by a seccomp filter that lets everything pass: a checkpoint is refused, as another filter could end the process. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include "victim.h"

int main(int argc, char **argv)
{
	struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {1, &pass};
	victim_init(argc, argv);
	victim_check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	victim_check(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
	victim_ready();
	while (!victim_told())
		usleep(1000);
	victim_pass();
}
