/* SPDX-License-Identifier: GPL-3.0-or-later */
/* restore/plan: steps from a struct proc, without any process: their order, mappings, data,
 * refusals, and what becomes of interrupted system calls. Descriptors: test_plan_fds.c. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "plan_help.h"
#include "restore/regs.h"

static void refused(struct proc *p, int code)
{
	struct plan plan;
	struct err e = {0};
	const struct plan_opts o = {0};

	ck_assert_int_eq(plan_build_proc(&plan, p, NULL, &o, &e), -1);
	ck_assert_int_eq(e.code, code);
	ck_assert(e.text[0] && !strchr(e.text, '\n'));
	plan_deinit(&plan);
	proc_free(p);
}

/* ---- helpers to look for things ---- */

static const struct step_call *find_call(
	const struct plan *plan, int64_t nr, const struct step **in)
{
	for (size_t i = 0; i < plan->nsteps; i++)
		for (size_t k = 0; k < plan->steps[i].ncalls; k++)
			if (plan->steps[i].calls[k].nr == nr) {
				*in = &plan->steps[i];
				return &plan->steps[i].calls[k];
			}
	return NULL;
}

static int last_of(const struct plan *plan, enum step_kind kind)
{
	int at = -1;

	for (size_t i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].kind == kind)
			at = (int)i;
	return at;
}

static int first_of(const struct plan *plan, enum step_kind kind)
{
	for (size_t i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].kind == kind)
			return (int)i;
	return (int)plan->nsteps;
}

/* ---- tests ---- */

START_TEST(the_order_holds)
{
	static const enum step_kind order[][2] = {
		{STEP_CHECK, STEP_SPAWN},
		{STEP_SPAWN, STEP_STRIP},
		{STEP_STRIP, STEP_MAP},
		{STEP_MAP, STEP_MM},
		{STEP_MM, STEP_THREAD},
		{STEP_SIGNAL, STEP_THREAD},
		{STEP_THREAD, STEP_CREDS},
		{STEP_LIMIT, STEP_CREDS},
		{STEP_CREDS, STEP_REGS},
		{STEP_THREAD_STATE, STEP_REGS},
		{STEP_REGS, STEP_RELEASE},
	};
	struct proc *p = plan_proc();
	struct plan plan = plan_of(p);

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		ck_assert_msg(last_of(&plan, order[i][0]) < first_of(&plan, order[i][1]),
			"%s before %s", step_kind_name((int)order[i][0]),
			step_kind_name((int)order[i][1]));
	ck_assert_int_eq(plan.steps[plan.nsteps - 1].kind, STEP_RELEASE);
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(every_mapping_is_made_once_at_its_place)
{
	struct proc *p = plan_proc();
	struct plan plan = plan_of(p);
	struct ranges made = {0};

	for (size_t i = 0; i < plan.nsteps; i++) {
		for (size_t k = 0; k < plan.steps[i].ncalls; k++) {
			const struct step_call *c = &plan.steps[i].calls[k];

			if (c->nr != SYS_mmap)
				continue;
			ck_assert(c->args[3].num & MAP_FIXED_NOREPLACE);
			ck_assert_int_eq(c->expect, (int64_t)c->args[0].num);
			ck_assert(!ranges_touches(
				&made, c->args[0].num, c->args[0].num + c->args[1].num));
			ranges_add(&made, c->args[0].num, c->args[0].num + c->args[1].num);
		}
	}
	for (size_t i = 0; i < p->nvmas; i++)
		ck_assert(ranges_covers(&made, p->vmas[i].start, p->vmas[i].end));
	ranges_deinit(&made);
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(what_the_kernel_made_is_not_mapped)
{
	struct proc *p = plan_proc();

	plan_add_vma(p, 0x7ffd00000000, 2, PROT_READ, VMA_VVAR, "[vvar]")->store = STORE_NONE;
	plan_add_vma(p, 0x7ffd00002000, 2, PROT_READ | PROT_EXEC, VMA_VDSO, "[vdso]");
	plan_add_vma(p, 0x7ffd00009000, 1, PROT_READ, VMA_SPECIAL, "[strange]");
	struct plan plan = plan_of(p);

	for (size_t i = 0; i < plan.nsteps; i++)
		ck_assert(plan.steps[i].kind != STEP_MAP ||
			  !vma_is_kernels(&p->vmas[plan.steps[i].idx]));
	ck_assert_uint_eq(plan.nwarnings, 1); /* the strange one */
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(shared_memory_in_one_piece_stays_anonymous)
{
	struct proc *p = plan_proc();

	for (uint64_t i = 0; i < 3; i++) {
		struct vma *v = plan_add_vma(p, 0x7ffe00000000 + i * PAGE_LEN, 1,
			i == 1 ? PROT_READ : PROT_READ | PROT_WRITE, VMA_SHM, "/dev/zero");

		v->shared = v->deleted = true;
		v->shm_id = 5;
		v->off = i * PAGE_LEN;
		v->store = STORE_SHARED;
	}
	struct plan plan = plan_of(p);
	const struct step *s;

	ck_assert_ptr_null(find_call(&plan, SYS_memfd_create, &s));
	int protects = 0;

	for (size_t i = 0; i < plan.nsteps; i++)
		for (size_t k = 0; k < plan.steps[i].ncalls; k++)
			protects += plan.steps[i].calls[k].nr == SYS_mprotect;
	ck_assert_int_eq(protects, 3);
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(shared_memory_in_two_places_is_one_object)
{
	struct proc *p = plan_proc();

	for (uint64_t i = 0; i < 2; i++) {
		struct vma *v = plan_add_vma(p, 0x7ffe00000000 + i * 0x100000, 4,
			PROT_READ | PROT_WRITE, VMA_SHM, "/memfd:x");

		v->shared = v->deleted = true;
		v->shm_id = 5;
		v->store = STORE_SHARED;
	}
	struct plan plan = plan_of(p);
	int objects = 0;

	for (size_t i = 0; i < plan.nsteps; i++)
		for (size_t k = 0; k < plan.steps[i].ncalls; k++)
			objects += plan.steps[i].calls[k].nr == SYS_memfd_create;
	ck_assert_int_eq(objects, 1);
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(addresses_in_data_are_marked)
{
	struct proc *p = plan_proc();
	const uint8_t auxv[32] = {1};

	blob_set(&p->auxv, auxv, sizeof(auxv));
	struct plan plan = plan_of(p);

	for (size_t i = 0; i < plan.nsteps; i++) {
		const struct step *s = &plan.steps[i];

		ck_assert(!s->ncalls || s->data.len <= PLAN_DATA_MAX);
		for (size_t k = 0; k < s->nrelocs; k++) {
			uint64_t at;

			ck_assert(s->relocs[k] + sizeof(at) <= s->data.len);
			memcpy(&at, s->data.data + s->relocs[k], sizeof(at));
			ck_assert(at < s->data.len);
		}
		ck_assert(s->kind != STEP_THREAD || s->nrelocs == 1);
		ck_assert(s->kind != STEP_MM || s->nrelocs == 2);
	}
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(pending_signals_go_to_whom_they_were_for)
{
	struct proc *p = plan_proc();
	const int32_t signo = SIGUSR1;

	memcpy(array_push(&p->pending, &p->npending), &signo, sizeof(signo));
	memcpy(array_push(&p->threads[1].pending, &p->threads[1].npending), &signo, sizeof(signo));
	struct plan plan = plan_of(p);
	const struct step *s;
	const struct step_call *c = find_call(&plan, SYS_rt_sigqueueinfo, &s);

	ck_assert(c && s->tid == PID && c->args[1].num == SIGUSR1);
	c = find_call(&plan, SYS_rt_tgsigqueueinfo, &s);
	ck_assert(
		c && s->tid == PID + 7 && c->args[1].num == PID + 7 && c->args[1].kind == ARG_TID);
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(a_plan_is_json)
{
	struct proc *p = plan_proc();

	free(p->cwd);
	p->cwd = xstrdup("/tmp/\xff\x1b[0m");
	struct plan plan = plan_of(p);
	json_t *j = plan_to_json(&plan);

	ck_assert_uint_eq(json_array_size(json_object_get(j, "steps")), plan.nsteps);
	char *text = json_dumps(j, 0);

	ck_assert_ptr_nonnull(text);
	free(text);
	json_decref(j);
	plan_deinit(&plan);
	proc_free(p);
}
END_TEST

START_TEST(impossible_processes_are_refused)
{
	struct proc *p = plan_proc();

	p->vmas[1].start = p->vmas[0].start;
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	p->vmas[0].start++;
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	p->vmas[3].end = 1ull << 63;
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	plan_add_fd(p, 3, FD_FILE, 0);
	plan_add_fd(p, 3, FD_FILE, 0);
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	plan_add_fd(p, 1 << 30, FD_FILE, 0);
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	p->threads[1].regs.len = 8;
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	p->threads[0].tid = 5;
	refused(p, EXIT_IMAGE);
	p = plan_proc();
	p->foreign = true;
	refused(p, EXIT_RESTORE);
	p = plan_proc();
	p->arch[0] = 'z';
	refused(p, EXIT_RESTORE);
}
END_TEST

/* ---- restarts, as signal(7) has them ---- */

static const struct {
	int64_t ret; /* what stood in the result register */
	int64_t nr;
	int handler; /* 0: none runs, 1: one without SA_RESTART, 2: one with */
	bool again;
	int64_t left; /* when not again */
} restarts[] = {
	{-512, SYS_read, 0, true, 0}, {-512, SYS_read, 1, false, -EINTR},
	{-512, SYS_read, 2, true, 0}, {-513, SYS_read, 1, true, 0}, {-514, SYS_pause, 0, true, 0},
	{-514, SYS_pause, 1, false, -EINTR}, {-514, SYS_pause, 2, false, -EINTR},
	{-516, SYS_nanosleep, 0, true, 0}, {-516, SYS_nanosleep, 2, false, -EINTR},
	{-516, SYS_restart_syscall, 0, false, -EINTR}, {-ENOSYS, SYS_write, 0, true, 0},
	{42, SYS_write, 0, false, 42}, {-EINTR, SYS_poll, 0, false, -EINTR},
	{-512, -1, 0, false, -512}, /* not in a call: a register like any other */
};

START_TEST(interrupted_calls_go_on_as_they_would)
{
	const int64_t nr = restarts[_i].nr;
	arch_regs r = {.rip = 0x1000, .orig_rax = (uint64_t)nr, .rax = (uint64_t)restarts[_i].ret};
	const struct sigact plain = {.handler = 0x5000},
			    again = {.handler = 0x5000, .flags = SA_RESTART};
	const struct sigact *h[] = {NULL, &plain, &again};

	regs_restart(&r, h[restarts[_i].handler]);
	ck_assert_int_eq(arch->syscall_nr(&r), -1);
	ck_assert_int_eq((int64_t)arch->pc(&r), restarts[_i].again ? 0xffe : 0x1000);
	ck_assert_int_eq(arch->syscall_ret(&r), restarts[_i].again ? nr : restarts[_i].left);
}
END_TEST

int main(void)
{
	Suite *const s = suite_create("plan");
	TCase *const t = tcase_create("plan");

	tcase_add_test(t, the_order_holds);
	tcase_add_test(t, every_mapping_is_made_once_at_its_place);
	tcase_add_test(t, what_the_kernel_made_is_not_mapped);
	tcase_add_test(t, shared_memory_in_one_piece_stays_anonymous);
	tcase_add_test(t, shared_memory_in_two_places_is_one_object);
	tcase_add_test(t, addresses_in_data_are_marked);
	tcase_add_test(t, pending_signals_go_to_whom_they_were_for);
	tcase_add_test(t, a_plan_is_json);
	tcase_add_test(t, impossible_processes_are_refused);
	tcase_add_loop_test(t, interrupted_calls_go_on_as_they_would, 0, (int)ARRAY_LEN(restarts));
	suite_add_tcase(s, t);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed ? 1 : 0;
}
