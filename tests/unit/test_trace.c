/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tracing and injection: whatever a thread is doing, after it all it goes on as if nothing had been. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "tests/unit/trace_help.h"
#include "trace/remote.h"

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, e.text)
static struct err e;

static bool proc_has(int pid, const char *file, const char *text)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return text_in_file(path, text);
}

static void no_traces_left(int pid)
{
	ck_assert(!proc_has(pid, "maps", "rwxp"));
	ck_assert(proc_has(pid, "status", "TracerPid:\t0\n"));
	ck_assert(proc_has(pid, "status", "SigBlk:\t0000000000000000\n"));
}

static void batch_check(struct tracee *t, struct task *k)
{
	struct remote_call c[3] = { { SYS_getpid, { 0 }, 0 }, { SYS_gettid, { 0 }, 0 }, { SYS_close, { 9999 }, 0 } };
	OK(remote_batch(t, k, c, 3, &e));
	ck_assert_int_eq(c[0].ret, t->pid);
	ck_assert_int_eq(c[1].ret, k->tid);
	ck_assert_int_eq(c[2].ret, -EBADF);
}

static void pump(struct tracee *t, int ms)
{
	const uint64_t end = now_ns() + (uint64_t)ms * NS_PER_MS;
	struct task *k;
	while (now_ns() < end)
		if (tracee_wait(t, 1, &k, &e) == 1 && k->stopped)
			task_run(t, k, RUN_CONT, k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0);
}

static void run_all(struct tracee *t)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->stopped && !t->tasks[i]->is_agent)
			task_run(t, t->tasks[i], RUN_CONT, t->tasks[i]->stop.kind == STOP_SIGNAL ? t->tasks[i]->stop.sig : 0);
}

/* Seizes, stops, calls, resumes a few times, with everything that can be opened; then lets go. */
static void whole_round(int pid, int times)
{
	struct tracee t;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_open(&t, t.tasks[0], 100, 4096, &e));
	for (int i = 0; i < times; i++) {
		batch_check(&t, t.tasks[0]);
		if (i & 1)
			batch_check(&t, t.tasks[0]);
		run_all(&t);
		pump(&t, 3);
		OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	}
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
}

START_TEST(registers_survive)
{
	const int pid = victim_start(regs_loop);
	for (int i = 0; i < 5; i++)
		whole_round(pid, 20);
	no_traces_left(pid);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

static const struct { void (*body)(void); int sig; bool byte; } blocked[] = {
	{ in_read, 0, true }, { in_nanosleep, 0, false }, { in_poll, 0, false }, { in_futex, 0, false }, { in_epoll, 0, true },
	{ in_sigsuspend, SIGUSR1, false },
};

START_TEST(interrupted_calls_go_on)
{
	const int pid = victim_start(blocked[_i].body);
	usleep(20000);
	whole_round(pid, 5);
	if (blocked[_i].sig)
		kill(pid, blocked[_i].sig);
	if (blocked[_i].byte) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, board->pipe[1]);
		const int fd = open(path, O_WRONLY);
		ck_assert_int_eq(write(fd, "x", 1), 1);
		close(fd);
	}
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(calls_at_syscall_stops)
{
	const int pid = victim_start(calls_loop);
	struct tracee t;
	struct task *k;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
	task_run(&t, t.tasks[0], RUN_SYSCALL, 0);
	enum stop_kind want = STOP_NONE;
	for (int i = 0; i < 400; i++) {
		ck_assert_int_eq(tracee_wait(&t, 2000, &k, &e), 1);
		if (want != STOP_NONE)
			ck_assert_int_eq(k->stop.kind, want);
		want = k->stop.kind == STOP_ENTRY ? STOP_EXIT_SYSCALL : STOP_ENTRY;
		if (i % 3 == 0) {
			batch_check(&t, k);
			batch_check(&t, k);
			if (k->stop.kind == STOP_ENTRY)
				want = STOP_ENTRY;      /* entered anew */
		}
		task_run(&t, k, RUN_SYSCALL, 0);
	}
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
	no_traces_left(pid);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(signals_keep_order_and_info)
{
	const int pid = victim_start(signals_loop);
	struct tracee t;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
	for (int i = 0; i < 40; i++) {
		if (i % 4 == 0)
			kill(pid, SIGURG);
		sigqueue(pid, SIGRTMIN + 1, (union sigval){ .sival_int = i });
		batch_check(&t, t.tasks[0]);
		run_all(&t);
		OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
		batch_check(&t, t.tasks[0]);
		if (i % 3 == 0)
			task_hold_signal(t.tasks[0]);
	}
	run_all(&t);
	pump(&t, 20);
	kill(pid, SIGUSR1);
	pump(&t, 20);
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
	usleep(20000);
	ck_assert_int_eq(board->norder, 40);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(board->order[i], i);
	ck_assert_int_eq(board->got[SIGUSR1], 1);
	no_traces_left(pid);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

static char state_of(int pid)
{
	char path[64], buf[512] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *f = fopen(path, "r");
	if (!f || !fgets(buf, sizeof(buf), f))
		buf[0] = '\0';
	if (f)
		fclose(f);
	const char *p = strrchr(buf, ')');
	return p ? p[2] : '?';
}

START_TEST(job_control_stop_stays)
{
	const int pid = victim_start(regs_loop);
	kill(pid, SIGTSTP);
	while (state_of(pid) != 'T')
		usleep(1000);
	struct tracee t;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	ck_assert_int_eq(t.tasks[0]->stop.kind, STOP_GROUP);
	OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
	const long loops = board->loops;
	for (int i = 0; i < 10; i++) {
		batch_check(&t, t.tasks[0]);
		run_all(&t);
		pump(&t, 5);
		OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
		ck_assert_int_eq(t.tasks[0]->stop.kind, STOP_GROUP);
	}
	OK(agent_open(&t, t.tasks[0], &e));
	struct remote_call c = { SYS_getpid, { 0 }, 0 };
	OK(agent_batch(&t, &c, 1, &e));
	ck_assert_int_eq(c.ret, pid);
	OK(agent_close(&t, &e));
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
	usleep(20000);
	ck_assert_int_eq(state_of(pid), 'T');
	ck_assert_int_eq(board->loops, loops);
	kill(pid, SIGCONT);
	while (board->loops == loops)
		usleep(1000);
	no_traces_left(pid);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(threads_being_born)
{
	const int pid = victim_start(births_loop);
	for (int i = 0; i < 30; i++) {
		struct tracee t;
		OK(tracee_seize(&t, pid, &e));
		pump(&t, 2);
		OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
		const int made = board->threads_made;
		OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
		struct remote_job jobs[64];
		struct remote_call calls[64];
		size_t n = 0;
		for (size_t j = 0; j < t.ntasks && n < 64; j++) {
			if (t.tasks[j]->stop.kind == STOP_EXITING)
				continue;
			calls[n] = (struct remote_call){ SYS_gettid, { 0 }, 0 };
			jobs[n] = (struct remote_job){ t.tasks[j], &calls[n], 1 };
			n++;
		}
		OK(remote_batches(&t, jobs, n, &e));
		for (size_t j = 0; j < n; j++)
			ck_assert_int_eq(calls[j].ret, jobs[j].k->tid);
		ck_assert_int_eq(board->threads_made, made);
		run_all(&t);
		pump(&t, 2);
		OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
		for (size_t j = 0; j < t.ntasks; j++) {
			if (t.tasks[j]->stop.kind == STOP_EXITING)
				continue;
			OK(scratch_close(&t, t.tasks[j], &e));
			break;
		}
		tracee_detach(&t);
		usleep(1000);
	}
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(vfork_parent_is_refused)
{
	const int pid = victim_start(in_vfork);
	struct tracee t;
	OK(tracee_seize(&t, pid, &e));
	board->park = 1;
	pump(&t, 20);
	ck_assert_int_eq(tracee_stop_all(&t, 100, NULL, NULL, &e), -1);
	ck_assert_int_eq(e.code, EXIT_UNTRACEABLE);
	ck_assert_ptr_nonnull(strstr(e.text, "vfork"));
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, board->pipe[1]);
	const int fd = open(path, O_WRONLY);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	tracee_detach(&t);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

static bool can_call(const struct task *k)
{
	return !k->child && k->stop.kind != STOP_VFORK && k->stop.kind != STOP_EXITING;
}

START_TEST(children_come_and_go)
{
	const int pid = victim_start(forks_loop);
	for (int i = 0; i < 40; i++) {
		struct tracee t;
		if (tracee_seize(&t, pid, &e))
			continue;
		pump(&t, 3);
		if (tracee_stop_all(&t, 2000, NULL, NULL, &e) == 0 && can_call(t.tasks[0])) {
			OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
			batch_check(&t, t.tasks[0]);
			OK(scratch_close(&t, t.tasks[0], &e));
		}
		tracee_detach(&t);
		const long loops = board->loops;
		for (int j = 0; j < 2000 && board->loops == loops; j++)
			usleep(1000);
		ck_assert(board->loops != loops);
	}
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(restartable_sequences_are_aborted)
{
	if (!__rseq_size)
		return;
	const int pid = victim_start(rseq_loop);
	struct tracee t;
	int met = 0;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
	for (int i = 0; i < 50; i++) {
		const uint64_t was = task_regs(t.tasks[0])->rip;
		const bool within = was >= (uint64_t)cs_start && was < (uint64_t)cs_end;
		met += within;
		batch_check(&t, t.tasks[0]);
		if (within)
			ck_assert_uint_eq(task_regs(t.tasks[0])->rip, (uint64_t)cs_abort);
		run_all(&t);
		pump(&t, 1);
		OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	}
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
	ck_assert_int_gt(met, 0);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(agent_and_deadman)
{
	const int pid = victim_start(regs_loop);
	const bool caught = catches(pid, SIGSEGV);      /* a sanitizer may */
	struct tracee t;
	struct task *k;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_open(&t, t.tasks[0], 10, 4096, &e));
	OK(agent_open(&t, t.tasks[0], &e));
	run_all(&t);
	struct remote_call c[2] = { { SYS_getpid, { 0 }, 0 }, { SYS_gettid, { 0 }, 0 } };
	for (int i = 0; i < 50; i++) {
		OK(agent_batch(&t, c, 2, &e));
		ck_assert_int_eq(c[0].ret, pid);
		ck_assert_int_eq(c[1].ret, t.agent->tid);
	}
	OK(agent_submit(&t, c, 2, &e));
	ck_assert_int_eq(tracee_wait(&t, 2000, &k, &e), 1);
	ck_assert_int_eq(k->stop.kind, STOP_BATCH);
	const struct deadman_range r[2] = { { 0x10000, 0x8000, 3, 0 }, { 0x20000, 0x8000, 3, 0 } };
	OK(deadman_set(&t, r, 2, &e));
	OK(deadman_arm(&t, &e));
	ck_assert(catches(pid, SIGSEGV));
	OK(deadman_cut(&t, 0x12000, 0x13000, &e));
	OK(deadman_cut(&t, 0x13000, 0x21000, &e));
	OK(deadman_disarm(&t, &e));
	ck_assert(catches(pid, SIGSEGV) == caught);
	OK(agent_close(&t, &e));
	ck_assert_ptr_null(t.agent);
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	ck_assert_uint_eq(t.ntasks, 1);
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
	no_traces_left(pid);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

START_TEST(collects)
{
	const int pid = victim_start(signals_loop);
	struct tracee t;
	struct proc *p = proc_new();
	p->threads = calloc(1, sizeof(*p->threads));
	p->nthreads = 1;
	p->threads[0].tid = pid;
	OK(tracee_seize(&t, pid, &e));
	OK(tracee_stop_all(&t, 2000, NULL, NULL, &e));
	OK(scratch_open(&t, t.tasks[0], 0, 0, &e));
	OK(remote_collect_process(&t, t.tasks[0], p, &e));
	OK(remote_collect_threads(&t, p, &e));
	OK(task_collect(t.tasks[0], &p->threads[0], p, true, &e));
	ck_assert(p->acts_known);
	ck_assert_uint_ne(p->acts[SIGUSR1 - 1].handler, 0);
	ck_assert_uint_eq(p->acts[SIGUSR2 - 1].handler, 0);
	ck_assert_uint_ne(p->limits[7].cur, 0);
	ck_assert_uint_eq(p->threads[0].regs.len, sizeof(arch_regs));
	ck_assert(p->threads[0].injected_known);
	ck_assert_uint_ne(p->threads[0].clear_child_tid, 0);
	OK(scratch_close(&t, t.tasks[0], &e));
	tracee_detach(&t);
	proc_free(p);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trace");
	TCase *c = tcase_create("trace");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, registers_survive);
	tcase_add_loop_test(c, interrupted_calls_go_on, 0, (int)ARRAY_LEN(blocked));
	tcase_add_test(c, calls_at_syscall_stops);
	tcase_add_test(c, signals_keep_order_and_info);
	tcase_add_test(c, job_control_stop_stays);
	tcase_add_test(c, threads_being_born);
	tcase_add_test(c, vfork_parent_is_refused);
	tcase_add_test(c, children_come_and_go);
	tcase_add_test(c, restartable_sequences_are_aborted);
	tcase_add_test(c, agent_and_deadman);
	tcase_add_test(c, collects);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
