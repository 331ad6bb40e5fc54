// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for what a process has once: file mode mask, directory and root, process group and session,
 * limits, personality and the prctl flags. Early: what opening files depends on. Late: what would
 * stand in the way of restoring itself.
 */
#include "restore/steps.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define PERSONALITY_UNKNOWN 0xffffffffu

static void plan_session(struct plan *p)
{
	const struct proc *proc = p->proc;

	if (proc->sid == proc->pid && !proc->tty_nr) {
		struct step *s = plan_step(p, STEP_FS, proc->pid, -1, "it had a session of its own",
			"become a session leader");

		CALL(s, SYS_setsid, N(0));
	} else if (proc->pgid == proc->pid) {
		struct step *s = plan_step(p, STEP_FS, proc->pid, -1,
			"it had a process group of its own", "become a process group leader");

		CALL(s, SYS_setpgid, N(0), N(0));
		if (proc->sid == proc->pid)
			plan_warn(p, "it led the session of its terminal: it comes back in ours, "
				     "as a process group");
	}
}

void plan_fs_early(struct plan *p)
{
	const struct proc *proc = p->proc;
	struct step *s = plan_step(
		p, STEP_FS, proc->pid, -1, "files are made with it", "set umask %03o", proc->umask);

	CALL(s, SYS_umask, N(proc->umask & 0777));
	if (proc->cwd) {
		s = plan_step(p, STEP_FS, proc->pid, -1, "relative names start there",
			"change directory to %s", proc->cwd);
		const uint64_t at = step_str(s, proc->cwd);

		CALL(s, SYS_chdir, D(at));
	}
	plan_session(p);
	if (proc->thp_disable) {
		s = plan_step(p, STEP_FS, proc->pid, -1, "before memory is touched",
			"disable transparent huge pages");
		call_may_fail(
			CALL(s, SYS_prctl, N(PR_SET_THP_DISABLE), N(1), N(0), N(0), N(0)), NULL);
	}
}

void plan_limits(struct plan *p)
{
	struct step *s = plan_step(
		p, STEP_LIMIT, p->proc->pid, -1, "resource limits as they were", "set limits");

	for (unsigned i = 0; i < NLIMITS; i++) {
		const struct rlimit lim = {p->proc->limits[i].cur, p->proc->limits[i].max};

		/* Never known (a core of somebody else): leave ours. */
		if (!lim.rlim_cur && !lim.rlim_max && (i == RLIMIT_STACK || i == RLIMIT_NOFILE))
			continue;
		const uint64_t at = step_data(s, &lim, sizeof(lim));

		call_may_fail(CALL(s, SYS_prlimit64, N(0), N(i), D(at), N(0)),
			"a limit cannot be raised as high as it was");
	}
}

static void plan_oom(struct plan *p)
{
	if (!p->proc->oom_score_adj)
		return;
	struct step *s = plan_step(
		p, STEP_FS, p->proc->pid, -1, "", "set oom_score_adj %d", p->proc->oom_score_adj);
	char text[16];

	snprintf(text, sizeof(text), "%d", p->proc->oom_score_adj);
	const uint64_t path = step_str(s, "/proc/self/oom_score_adj");
	const uint64_t val = step_str(s, text);

	call_may_fail(CALL(s, SYS_openat, N(AT_FDCWD), D(path), N(O_WRONLY)), "oom_score_adj");
	call_when(call_may_fail(CALL(s, SYS_write, N(p->free_fd), D(val), N(strlen(text))),
			  "oom_score_adj"),
		CALL_IF_OK, 1);
	call_when(CALL(s, SYS_close, N(p->free_fd)), CALL_IF_OK, 2);
}

void plan_fs_late(struct plan *p)
{
	const struct proc *proc = p->proc;
	struct step *s;

	plan_oom(p);
	if (proc->root && strcmp(proc->root, "/")) {
		s = plan_step(p, STEP_FS, proc->pid, -1, "after every file is open",
			"change root to %s", proc->root);
		const uint64_t at = step_str(s, proc->root);

		CALL(s, SYS_chroot, D(at));
	}
	s = plan_step(p, STEP_FS, proc->pid, -1, "flags of the process", "set personality 0x%x",
		proc->personality);
	if (proc->personality != PERSONALITY_UNKNOWN)
		CALL(s, SYS_personality, N(proc->personality));
	if (proc->child_subreaper)
		CALL(s, SYS_prctl, N(PR_SET_CHILD_SUBREAPER), N(1), N(0), N(0), N(0));
}
