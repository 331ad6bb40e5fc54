/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A tracer is killed at random instants, hundreds of times, in the middle of everything it does to a process: the
 * process must not notice, and when the guardian is done nothing may be left in it.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "tests/unit/trace_help.h"
#include "trace/remote.h"

enum { AREA = 64 * 4096, KILLS = 300 };

static void *write_area(void *arg)
{
	for (uint8_t round = 1; !board->quit && !board->failed; round++) {
		for (size_t i = 0; i < AREA; i += 256)
			board->area[i] = round;
		for (size_t i = 0; i < AREA; i += 256)
			if (board->area[i] != round)
				victim_fail("byte %zu is not what was written", i);
		board->loops++;
	}
	return arg;
}

static void *sleep_exactly(void *arg)
{
	while (!board->quit && !board->failed) {
		const struct timespec ts = { 0, 3000000 };
		const uint64_t from = clock_ns();
		if (nanosleep(&ts, NULL))
			victim_fail("nanosleep: %s", strerror(errno));
		if (clock_ns() - from < 3000000)
			victim_fail("nanosleep ended early");
	}
	return arg;
}

static void *call_exactly(void *arg)
{
	const pid_t pid = getpid();
	int fds[2];
	if (pipe(fds))
		victim_fail("pipe");
	while (!board->quit && !board->failed) {
		int v = 0;
		if (syscall(SYS_getpid) != pid)
			victim_fail("getpid is wrong");
		if (write(fds[1], &pid, sizeof(pid)) != sizeof(pid) || read(fds[0], &v, sizeof(v)) != sizeof(v) || v != pid)
			victim_fail("pipe: %s", strerror(errno));
	}
	return arg;
}

static void count(int sig)
{
	board->got[sig]++;
}

static void busy_process(void)
{
	const struct sigaction sa = { .sa_handler = count, .sa_flags = SA_RESTART };
	sigset_t rt;
	sigaction(SIGRTMIN + 2, &sa, NULL);
	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN + 2);
	pthread_sigmask(SIG_BLOCK, &rt, NULL);
	pthread_t th;
	board->area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_create(&th, NULL, sleep_exactly, NULL);
	pthread_create(&th, NULL, call_exactly, NULL);
	pthread_sigmask(SIG_UNBLOCK, &rt, NULL);
	pthread_create(&th, NULL, write_area, NULL);
	regs_loop();
}

/* ---- the tracer that is killed ---- */

static struct err e;

static void ignore(int r)
{
	(void)r;
}

static void run_all(struct tracee *t, enum run how)
{
	for (size_t i = 0; i < t->ntasks; i++)
		if (t->tasks[i]->stopped && !t->tasks[i]->is_agent)
			task_run(t, t->tasks[i], how, t->tasks[i]->stop.kind == STOP_SIGNAL ? t->tasks[i]->stop.sig : 0);
}

static void batches(struct tracee *t)
{
	struct remote_call calls[8][3];
	struct remote_job jobs[8];
	size_t n = 0;
	for (size_t i = 0; i < t->ntasks && n < 8; i++) {
		if (t->tasks[i]->is_agent)
			continue;
		for (int j = 0; j < 3; j++)
			calls[n][j] = (struct remote_call){ SYS_gettid, { 0 }, 0 };
		jobs[n] = (struct remote_job){ t->tasks[i], calls[n], 3 };
		n++;
	}
	ignore(remote_batches(t, jobs, n, &e));
}

static void protect(struct tracee *t, uint64_t prot)
{
	struct remote_call c = { SYS_mprotect, { (uint64_t)board->area, AREA, prot }, 0 };
	ignore(agent_batch(t, &c, 1, &e));
}

/* Pages are opened one by one as the process writes to them. */
static void serve_faults(struct tracee *t, int ms)
{
	const uint64_t end = now_ns() + (uint64_t)ms * NS_PER_MS;
	struct task *k;
	while (now_ns() < end) {
		if (tracee_wait(t, 1, &k, &e) != 1 || !k->stopped)
			continue;
		int sig = k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0;
		if (sig == SIGSEGV) {
			struct remote_call c = { SYS_mprotect, { (uint64_t)k->stop.info.si_addr & ~4095ull, 4096, 3 }, 0 };
			ignore(agent_batch(t, &c, 1, &e));
			sig = 0;
		}
		task_run(t, k, now_ns() & 1 ? RUN_SYSCALL : RUN_CONT, sig);
	}
}

static _Noreturn void trace_for_ever(int pid)
{
	for (;;) {
		struct tracee t;
		if (tracee_seize(&t, pid, &e))
			continue;
		if (scratch_prepare(&t, 64, 4096, &e) || tracee_stop_all(&t, 1000, NULL, NULL, &e) || scratch_open(&t, t.tasks[0], 64, 4096, &e))
			_exit(3);
		batches(&t);
		if (agent_open(&t, t.tasks[t.ntasks - 1], &e))
			_exit(4);
		const struct deadman_range r = { (uint64_t)board->area, AREA, 3, 0 };
		ignore(deadman_set(&t, &r, 1, &e));
		ignore(deadman_arm(&t, &e));
		run_all(&t, RUN_SYSCALL);
		protect(&t, PROT_READ);
		serve_faults(&t, 2);
		if (tracee_stop_all(&t, 1000, NULL, NULL, &e))
			_exit(5);
		batches(&t);
		protect(&t, PROT_READ | PROT_WRITE);
		ignore(deadman_set(&t, &r, 0, &e));
		ignore(deadman_disarm(&t, &e));
		ignore(agent_close(&t, &e));
		/* Faults from before the release are ours. */
		for (size_t i = 0; i < t.ntasks; i++)
			if (t.tasks[i]->stop.kind == STOP_SIGNAL && t.tasks[i]->stop.sig == SIGSEGV)
				t.tasks[i]->stop.sig = 0;
		if (scratch_close(&t, t.tasks[0], &e))
			_exit(6);
		tracee_detach(&t);
	}
}

/* ---- */

static int count_lines(int pid, const char *file, const char *text)
{
	char path[64], line[512];
	int n = 0;
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return n;
}

static void check_untouched(int pid, int lines, bool caught, int round)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	ck_assert_msg(!board->failed, "kill %d: %s", round, board->why);
	ck_assert_msg(count_lines(pid, "maps", "rwxp") == 0, "kill %d: a mapping is left", round);
	ck_assert_msg(count_lines(pid, "maps", "-") == lines, "kill %d: %d mappings instead of %d", round,
		count_lines(pid, "maps", "-"), lines);
	ck_assert_msg(count_lines(pid, "status", "Threads:\t4\n") == 1, "kill %d: a thread is left", round);
	ck_assert_msg(count_lines(pid, "status", "TracerPid:\t0\n") == 1, "kill %d: still traced", round);
	ck_assert_msg(catches(pid, SIGSEGV) == caught, "kill %d: a handler is left", round);
	const long loops = board->loops;
	for (int i = 0; i < 5000 && board->loops < loops + 2 && !board->failed; i++)
		usleep(1000);
	ck_assert_msg(board->loops > loops, "kill %d: the process stands still", round);
}

/* The mappings of the process when all its threads run and have had what they need (a sanitizer maps late). */
static int settled_lines(int pid)
{
	int lines = 0, calm = 0;
	for (int i = 0; i < 1000 && calm < 10; i++) {
		const int now = count_lines(pid, "maps", "-");
		const bool runs = board->loops > 2 && count_lines(pid, "status", "Threads:\t4\n") == 1;
		calm = runs && now == lines ? calm + 1 : 0;
		lines = now;
		usleep(10000);
	}
	return lines;
}

START_TEST(killed_at_any_instant)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);       /* so that the guardian is ours to wait for */
	const int pid = victim_start(busy_process);
	const int lines = settled_lines(pid);
	const bool caught = catches(pid, SIGSEGV);      /* a sanitizer may */
	int sent = 0;
	const char *kills = getenv("KILLS");
	srand(getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 1);
	for (int i = 0; i < (kills ? atoi(kills) : KILLS); i++) {
		const int tracer = fork();
		if (tracer == 0)
			trace_for_ever(pid);
		const uint64_t end = clock_ns() + (uint64_t)rand() % 12000 * 1000;
		do {
			sent += sigqueue(pid, SIGRTMIN + 2, (union sigval){ 0 }) == 0;
			usleep(300);
		} while (clock_ns() < end);
		kill(tracer, SIGKILL);
		int status, child;
		while ((child = waitpid(-1, &status, 0)) > 0) {
			if (child == pid)
				ck_abort_msg("kill %d: the process died: %#x", i, (unsigned)status);
			if (child == tracer && WIFEXITED(status))
				ck_abort_msg("tracer: exit %d: %s", WEXITSTATUS(status), e.text);
			/* The victim alone is left: the guardian is done. */
			char path[64];
			snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
			FILE *f = fopen(path, "r");
			int a = 0, b = 0;
			const int n = f ? fscanf(f, "%d %d", &a, &b) : 0;
			if (f)
				fclose(f);
			if (n == 1 && a == pid)
				break;
		}
		check_untouched(pid, lines, caught, i);
	}
	/* Between taking a signal and noting that there is a gap of a microsecond. */
	ck_assert_int_le(abs(sent - board->got[SIGRTMIN + 2]), 3);
	ck_assert_int_eq(victim_end(pid), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("trace_death");
	TCase *c = tcase_create("death");
	tcase_set_timeout(c, 300);
	tcase_add_test(c, killed_at_any_instant);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
