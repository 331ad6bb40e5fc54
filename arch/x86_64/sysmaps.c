/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that change mappings, make children, or change how the process stands to the
 * kernel, where that depends on their arguments. Ranges go to v->mm in whole pages.
 *
 * SYS_MM without a range means: pages of file mappings may vanish (truncate, O_TRUNC, hole
 * punching); which, only the mapped files tell. A new mapping at a free address is no change.
 */
#include "arch/x86_64/syscalls.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "base/buf.h"

/* Younger than the headers of Debian 12. */
#define MY_PR_GET_SHADOW_STACK_STATUS 74
#define MY_PR_SET_MDWE 65
#define MY_PR_SET_MEMORY_MERGE 67
#define MY_PR_GET_AUXV 0x41555856
#define MY_PR_LAST 79

unsigned resolve_mmap(struct sysview *v)
{
	const uint64_t how = v->arg[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE);

	return how == MAP_FIXED ? sys_map(v, v->arg[0], v->arg[1]) : 0;
}

unsigned resolve_mprotect(struct sysview *v)
{
	unsigned effect = sys_map(v, v->arg[0], v->arg[1]);

	/* These reach to the far end of the mapping, wherever that is. */
	if (v->arg[2] & (PROT_GROWSDOWN | PROT_GROWSUP))
		effect |= SYS_CLOSE_WINDOW;
	return effect;
}

/* The old range must also be one mapping again when the call is made, else it says EFAULT. */
unsigned resolve_mremap(struct sysview *v)
{
	unsigned effect = sys_map(v, v->arg[0], v->arg[1]);

	if (v->arg[3] & MREMAP_FIXED)
		effect |= sys_map(v, v->arg[4], v->arg[2]);
	return effect;
}

/* "The heap above this address": the caller knows where the heap is and cuts there. */
unsigned resolve_brk(struct sysview *v)
{
	const uint64_t to = v->arg[0];

	if (!to || to > UINT64_MAX - 4096)
		return 0;
	return sys_map(v, (to + 4095) & ~4095ull, UINT64_MAX);
}

/* Which advice leaves mappings, their flags and their pages as they are. */
static bool advice_is_harmless(int advice)
{
	switch (advice) {
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:       /* but writes */
		return true;
	}
	return false;
}

unsigned resolve_madvise(struct sysview *v)
{
	const int advice = (int)v->arg[2];

	if (advice == MADV_POPULATE_WRITE)
		sys_put(v, v->arg[0], v->arg[1]);
	return advice_is_harmless(advice) ? 0 : sys_map(v, v->arg[0], v->arg[1]);
}

/* Whose memory it is only the pidfd tells; taken as ours. */
unsigned resolve_process_madvise(struct sysview *v)
{
	const int advice = (int)v->arg[3];

	if (advice == MADV_POPULATE_WRITE)
		return sys_put_iov(v, v->arg[1], v->arg[2]);
	return advice_is_harmless(advice) ? 0 : sys_map_iov(v, v->arg[1], v->arg[2]);
}

/* How much SHM_REMAP replaces only the segment tells. */
unsigned resolve_shmat(struct sysview *v)
{
	return v->arg[2] & SHM_REMAP ? SYS_CLOSE_WINDOW | sys_map(v, v->arg[1], 1) : 0;
}

static unsigned truncates(uint64_t flags)
{
	return flags & O_TRUNC ? SYS_MM : 0;
}

unsigned resolve_open(struct sysview *v)
{
	return truncates(v->arg[1]);
}

unsigned resolve_openat(struct sysview *v)
{
	return truncates(v->arg[2]);
}

unsigned resolve_openat2(struct sysview *v)
{
	uint64_t flags;         /* the first member of struct open_how */

	return sys_get(v, v->arg[2], &flags, sizeof(flags)) ? truncates(flags) : 0;
}

/* Every mode but plain allocation and un-sharing of extents takes pages away or moves them. */
unsigned resolve_fallocate(struct sysview *v)
{
	return v->arg[1] & ~(uint64_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE) ? SYS_MM : 0;
}

static unsigned child_effect(uint64_t flags)
{
	const unsigned copy = flags & CLONE_VM ? SYS_SHARE : SYS_FORK;
	const unsigned kind = flags & CLONE_THREAD ? SYS_THREAD : copy;

	/* A child that the tracer cannot follow keeps our protection for good. */
	return kind | (flags & CLONE_UNTRACED ? SYS_CLOSE_WINDOW : 0);
}

/* The child's own word is written in its copy of the memory, or when it ends: both before anybody
 * could give the page back, so it counts as written here. */
static void put_child_words(const struct sysview *v, uint64_t flags, uint64_t parent,
	uint64_t child)
{
	if (flags & CLONE_PARENT_SETTID)
		sys_put(v, parent, 4);
	if (flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))
		sys_put(v, child, 4);
}

unsigned resolve_clone(struct sysview *v)
{
	const uint64_t flags = v->arg[0];

	if (flags & CLONE_PIDFD)
		sys_put(v, v->arg[2], 4);
	put_child_words(v, flags, v->arg[2], v->arg[3]);
	return child_effect(flags);
}

unsigned resolve_clone3(struct sysview *v)
{
	struct {
		uint64_t flags, pidfd, child, parent;
	} a;                    /* the head of struct clone_args */

	if (!sys_get(v, v->arg[0], &a, sizeof(a)))
		return SYS_FORK | SYS_CLOSE_WINDOW;
	if (a.flags & CLONE_PIDFD)
		sys_put(v, a.pidfd, 4);
	put_child_words(v, a.flags, a.parent, a.child);
	return child_effect(a.flags);
}

/* SIGSEGV is where our handler may stand, and even asking for the action would show it. */
unsigned resolve_sigaction(struct sysview *v)
{
	return (int)v->arg[0] == SIGSEGV ? SYS_CLOSE_WINDOW : 0;
}

/* Signal frames go there from now on, written without asking: as good as written by the call. */
unsigned resolve_sigaltstack(struct sysview *v)
{
	stack_t ss;

	if (v->arg[0] && sys_get(v, v->arg[0], &ss, sizeof(ss)) && !(ss.ss_flags & SS_DISABLE))
		sys_put(v, (uint64_t)(uintptr_t)ss.ss_sp, ss.ss_size);
	return 0;
}

/* READ_IMPLIES_EXEC would change what our mprotect does. */
unsigned resolve_personality(struct sysview *v)
{
	return (uint32_t)v->arg[0] == UINT32_MAX ? 0 : SYS_CLOSE_WINDOW;
}

unsigned resolve_arch_prctl(struct sysview *v)
{
	switch ((int)v->arg[0]) {
	case 0x1001:            /* ARCH_SET_GS */
	case 0x1002:            /* ARCH_SET_FS */
	case 0x1011:            /* ARCH_GET_CPUID */
	case 0x1012:            /* ARCH_SET_CPUID */
		return 0;
	case 0x1003:            /* ARCH_GET_FS */
	case 0x1004:            /* ARCH_GET_GS */
	case 0x1021:            /* ARCH_GET_XCOMP_SUPP */
	case 0x1022:            /* ARCH_GET_XCOMP_PERM */
	case 0x1024:            /* ARCH_GET_XCOMP_GUEST_PERM */
	case 0x4001:            /* ARCH_GET_UNTAG_MASK */
	case 0x4003:            /* ARCH_GET_MAX_TAG_BITS */
	case 0x5005:            /* ARCH_SHSTK_STATUS */
		sys_put(v, v->arg[1], 8);
		return 0;
	}
	/* Shadow stacks, tagged addresses, larger register state, another vdso, and what comes. */
	return SYS_CLOSE_WINDOW;
}

/* What a prctl option writes at its first argument, and its effect; the rest writes nothing. */
static const struct prctl_row {
	uint32_t option;
	uint16_t size, effect;
} prctls[] = {
	{PR_GET_PDEATHSIG, 4, 0},
	{PR_SET_DUMPABLE, 0, SYS_CLOSE_WINDOW},
	{PR_GET_UNALIGN, 4, 0},
	{PR_GET_FPEMU, 4, 0},
	{PR_GET_FPEXC, 4, 0},
	{PR_GET_NAME, 16, 0},
	{PR_GET_ENDIAN, 4, 0},
	{PR_SET_SECCOMP, 0, SYS_CLOSE_WINDOW},
	{PR_GET_TSC, 4, 0},
	{PR_GET_CHILD_SUBREAPER, 4, 0},
	{PR_GET_TID_ADDRESS, 8, 0},
	{PR_SET_SYSCALL_USER_DISPATCH, 0, SYS_CLOSE_WINDOW},
	{MY_PR_SET_MDWE, 0, SYS_CLOSE_WINDOW},
	{MY_PR_SET_MEMORY_MERGE, 0, SYS_CLOSE_WINDOW},
	{MY_PR_GET_SHADOW_STACK_STATUS, 8, 0},
	{PR_SET_PTRACER, 0, 0},
};

unsigned resolve_prctl(struct sysview *v)
{
	const uint32_t option = v->arg[0];

	switch (option) {
	case PR_SET_MM:
		if (v->arg[1] == PR_SET_MM_MAP_SIZE)
			sys_put(v, v->arg[2], 4);
		return SYS_CLOSE_WINDOW;
	case PR_SET_VMA:
		return sys_map(v, v->arg[2], v->arg[3]);
	case PR_SCHED_CORE:
		if (v->arg[1] == PR_SCHED_CORE_GET)
			sys_put(v, v->arg[4], 8);
		return 0;
	case MY_PR_GET_AUXV:
		sys_put(v, v->arg[1], v->arg[2]);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(prctls); i++) {
		if (prctls[i].option == option) {
			sys_put(v, v->arg[1], prctls[i].size);
			return prctls[i].effect;
		}
	}
	return option > MY_PR_LAST ? SYS_UNKNOWN : 0;
}
