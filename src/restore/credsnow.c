// SPDX-License-Identifier: GPL-3.0-or-later
/* What credentials we have, and so our child: where they are the wanted ones already nothing is
 * set, and no privilege needed. */
#include "restore/exec.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool ids_are(const struct thread *th)
{
	uint32_t u[3], g[3];

	return getresuid(&u[0], &u[1], &u[2]) == 0 && getresgid(&g[0], &g[1], &g[2]) == 0 &&
	       !memcmp(u, th->uid, sizeof(u)) && !memcmp(g, th->gid, sizeof(g)) &&
	       (uint32_t)setfsuid((uid_t)-1) == th->uid[3] &&
	       (uint32_t)setfsgid((gid_t)-1) == th->gid[3];
}

static bool groups_are(const struct proc *p)
{
	const int n = getgroups(0, NULL);

	if (n < 0 || (size_t)n != p->ngroups)
		return false;
	cleanup_free uint32_t *g = xcalloc((size_t)n + 1, sizeof(*g));

	return getgroups(n, g) == n &&
	       !memcmp(g, p->groups ? p->groups : g, (size_t)n * sizeof(*g));
}

static bool caps_are(const struct thread *th)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	if (syscall(SYS_capget, &h, d) < 0)
		return false;
	if ((d[0].effective | (uint64_t)d[1].effective << 32) != th->cap_eff ||
		(d[0].permitted | (uint64_t)d[1].permitted << 32) != th->cap_prm ||
		(d[0].inheritable | (uint64_t)d[1].inheritable << 32) != th->cap_inh)
		return false;
	for (int cap = 0; cap < 64; cap++) {
		if ((prctl(PR_CAPBSET_READ, cap) == 1) != (th->cap_bnd >> cap & 1))
			return false;
		if ((prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) !=
			(th->cap_amb >> cap & 1))
			return false;
	}
	return true;
}

bool creds_are(const struct proc *p, const struct thread *th)
{
	return ids_are(th) && groups_are(p) && caps_are(th) &&
	       (uint32_t)prctl(PR_GET_SECUREBITS) == th->securebits;
}
