// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps that give a thread its ids and capabilities. Linux has them per thread, so these are raw
 * system calls. The order matters: what needs a capability comes before it is given away; KEEP_CAPS
 * carries the permitted set over the change of ids. The runner skips the step when the thread has
 * these credentials already, so that no privilege is needed for nothing.
 */
#include "restore/steps.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/syscall.h>

#define CAPS 64

static void add_ids(struct step *s, const struct thread *th)
{
	CALL(s, SYS_setresgid, N(th->gid[0]), N(th->gid[1]), N(th->gid[2]));
	CALL(s, SYS_setresuid, N(th->uid[0]), N(th->uid[1]), N(th->uid[2]));
	/* These return the former id, whatever happens. */
	if (th->gid[3] != th->gid[1])
		call_quiet(CALL(s, SYS_setfsgid, N(th->gid[3])));
	if (th->uid[3] != th->uid[1])
		call_quiet(CALL(s, SYS_setfsuid, N(th->uid[3])));
}

static void add_capset(struct step *s, const struct thread *th, uint64_t eff, uint64_t inh)
{
	const struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)eff,
			.permitted = (uint32_t)th->cap_prm,
			.inheritable = (uint32_t)inh},
		{.effective = (uint32_t)(eff >> 32),
			.permitted = (uint32_t)(th->cap_prm >> 32),
			.inheritable = (uint32_t)(inh >> 32)},
	};
	const uint64_t h = step_data(s, &head, sizeof(head));
	const uint64_t d = step_data(s, data, sizeof(data));

	call_may_fail(CALL(s, SYS_capset, D(h), D(d)), "capabilities cannot be given back");
}

void plan_creds(struct plan *p, const struct thread *th, int idx)
{
	struct step *s = plan_step(p, STEP_CREDS, th->tid, idx,
		"ids and capabilities, last of what needs privilege",
		"be uid %u gid %u in thread %d", th->uid[1], th->gid[1], th->tid);
	const uint64_t groups = step_data(s, p->proc->groups, p->proc->ngroups * sizeof(uint32_t));

	CALL(s, SYS_prctl, N(PR_SET_SECUREBITS), N(SECBIT_KEEP_CAPS));
	for (unsigned cap = 0; cap < CAPS; cap++)
		if (!(th->cap_bnd >> cap & 1)) /* EINVAL: a capability this kernel has not */
			call_quiet(
				CALL(s, SYS_prctl, N(PR_CAPBSET_DROP), N(cap), N(0), N(0), N(0)));
	CALL(s, SYS_setgroups, N(p->proc->ngroups), D(groups));
	add_ids(s, th);
	/* SETPCAP may be permitted and not effective: everything effective while securebits change,
	 * then as it was. */
	add_capset(s, th, th->cap_prm, th->cap_inh);
	call_may_fail(CALL(s, SYS_prctl, N(PR_SET_SECUREBITS), N(th->securebits)),
		th->securebits ? "securebits cannot be set" : NULL)
		->quiet = !th->securebits;
	for (unsigned cap = 0; cap < CAPS; cap++)
		if (th->cap_amb >> cap & 1)
			call_may_fail(CALL(s, SYS_prctl, N(PR_CAP_AMBIENT), N(PR_CAP_AMBIENT_RAISE),
					      N(cap), N(0), N(0)),
				NULL);
	if (th->cap_eff != th->cap_prm)
		add_capset(s, th, th->cap_eff, th->cap_inh);
}
