// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for the address space as a whole: where heap, stack, arguments and environment are (what
 * /proc/PID/cmdline shows, what brk(2) goes on from), the auxiliary vector, /proc/PID/exe; locked
 * and sealed mappings, which must wait until they are full.
 */
#include "restore/steps.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define NR_MSEAL 462 /* kernel 6.10; the same on every CPU */
#define AUXV_MAX 384 /* the kernel's saved_auxv is not much longer */

static struct prctl_mm_map layout_of(const struct mm_layout *m)
{
	return (struct prctl_mm_map){
		.start_code = m->start_code,
		.end_code = m->end_code,
		.start_data = m->start_data,
		.end_data = m->end_data,
		.start_brk = m->start_brk,
		.brk = m->brk,
		.start_stack = m->start_stack,
		.arg_start = m->arg_start,
		.arg_end = m->arg_end,
		.env_start = m->env_start,
		.env_end = m->env_end,
		.exe_fd = (uint32_t)-1,
	};
}

/* Setting /proc/PID/exe needs CAP_CHECKPOINT_RESTORE: tried with it, then without. */
static void add_layout(struct plan *p, struct step *s)
{
	struct prctl_mm_map map = layout_of(&p->proc->mm);
	const bool with_exe = p->proc->exe && !p->proc->exe_deleted;

	map.auxv_size = MIN(p->proc->auxv.len, (size_t)AUXV_MAX) & ~15u;
	const uint64_t auxv = step_data(s, p->proc->auxv.data, map.auxv_size);

	map.auxv = map.auxv_size ? (void *)(uintptr_t)auxv : NULL;
	const uint64_t plain = step_data(s, &map, sizeof(map));

	map.exe_fd = p->free_fd;
	const uint64_t full = step_data(s, &map, sizeof(map));

	if (map.auxv_size) {
		step_reloc(s, plain + offsetof(struct prctl_mm_map, auxv));
		step_reloc(s, full + offsetof(struct prctl_mm_map, auxv));
	}
	if (!with_exe) {
		CALL(s, SYS_prctl, N(PR_SET_MM), N(PR_SET_MM_MAP), D(plain), N(sizeof(map)), N(0));
		return;
	}
	const uint64_t exe = step_str(s, p->proc->exe);

	call_may_fail(CALL(s, SYS_openat, N(AT_FDCWD), D(exe), N(O_RDONLY | O_CLOEXEC)),
		"open the program file");
	call_may_fail(
		CALL(s, SYS_prctl, N(PR_SET_MM), N(PR_SET_MM_MAP), D(full), N(sizeof(map)), N(0)),
		"/proc/PID/exe cannot be set");
	call_when(
		CALL(s, SYS_prctl, N(PR_SET_MM), N(PR_SET_MM_MAP), D(plain), N(sizeof(map)), N(0)),
		CALL_IF_FAILED, 1);
	call_quiet(CALL(s, SYS_close, N(p->free_fd)));
}

void plan_mm(struct plan *p)
{
	struct proc *proc = p->proc;

	if (proc->exe_deleted)
		plan_warn(p, "the program file %s was deleted: /proc/PID/exe is not restored",
			proc->exe ? proc->exe : "");
	if (proc->mm.known) {
		struct step *s = plan_step(p, STEP_MM, proc->pid, -1,
			"brk(2), /proc/PID/cmdline and exe go by it",
			"set memory layout and program file %s", proc->exe ? proc->exe : "");
		add_layout(p, s);
	} else {
		plan_warn(p, "the image does not tell the memory layout: brk(2) will not go on");
	}
	for (size_t i = 0; i < proc->nvmas; i++) {
		const struct vma *v = &proc->vmas[i];

		if (vma_is_kernels(v))
			continue;
		if (vma_has_flag(v, "lo")) {
			struct step *s =
				plan_step(p, STEP_MM, proc->pid, (int)i, "it was locked in memory",
					"lock 0x%llx", (unsigned long long)v->start);
			call_may_fail(CALL(s, SYS_mlock2, N(v->start), N(v->end - v->start),
					      N(vma_has_flag(v, "lf") ? MLOCK_ONFAULT : 0)),
				"memory cannot be locked");
		}
		if (vma_has_flag(v, "sl")) {
			struct step *s = plan_step(p, STEP_MM, proc->pid, (int)i, "it was sealed",
				"seal 0x%llx", (unsigned long long)v->start);
			call_may_fail(CALL(s, NR_MSEAL, N(v->start), N(v->end - v->start), N(0)),
				"mapping cannot be sealed");
		}
	}
}
