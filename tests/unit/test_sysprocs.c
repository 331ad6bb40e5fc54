/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What calls about processes, time, signals and System V objects write into the caller's memory,
 * measured: see sysmeasure.h. Files and sockets are in test_syswrites.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sysmeasure.h"

/* A child that ends at once, or waits to be killed. */
static pid_t child(bool waits)
{
	const pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		while (waits)
			pause();
		_exit(3);
	}
	return pid;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *filled(int byte, size_t len)
{
	return memset(block(len), byte, len);
}

START_TEST(children)
{
	CALL(SYS_wait4, child(false), P(block(4)), 0, P(block(144)));
	CALL(SYS_waitid, P_PID, child(false), P(block(128)), WEXITED, P(block(144)));

	/* The child writes its own word in its own memory and says so. */
	pid_t *parent = block(4), *own = block(4);
	const uint64_t flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD;
	const pid_t pid = CALL_WITH(SYS_FORK, SYS_clone, flags, 0, P(parent), P(own));
	if (!pid)
		_exit(*own == getpid() ? 0 : 1);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(*parent, pid);

	struct clone_args *a = filled(0, sizeof(*a));
	int *pidfd = block(4);
	*a = (struct clone_args){.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .exit_signal = SIGCHLD,
		.pidfd = P(pidfd), .parent_tid = P(block(4))};
	const pid_t pid3 = CALL_WITH(SYS_FORK, SYS_clone3, P(a), sizeof(*a));
	if (!pid3)
		_exit(0);
	ck_assert_int_eq(waitpid(pid3, &status, 0), pid3);
}
END_TEST

START_TEST(resources)
{
	CALL(SYS_getrusage, RUSAGE_SELF, P(block(144)));
	CALL(SYS_times, P(block(32)));
	CALL(SYS_uname, P(block(390)));
	CALL(SYS_sysinfo, P(block(112)));
	CALL(SYS_getrlimit, RLIMIT_NOFILE, P(block(16)));
	CALL(SYS_prlimit64, 0, RLIMIT_STACK, 0, P(block(16)));
	CALL(SYS_getresuid, P(block(4)), P(block(4)), P(block(4)));
	CALL(SYS_getresgid, P(block(4)), P(block(4)), P(block(4)));
	if (getgroups(0, NULL) > 0)
		CALL(SYS_getgroups, 100, P(block(400)));
	struct __user_cap_header_struct *h = filled(0, sizeof(*h));
	h->version = _LINUX_CAPABILITY_VERSION_3;
	CALL(SYS_capget, P(h), P(block(24)));
	h->version = 77;
	ck_assert(CALL_FAILS(EINVAL, 0, SYS_capget, P(h), P(block(24))));
	CALL(SYS_getcpu, P(block(4)), P(block(4)));
	CALL(SYS_get_robust_list, 0, P(block(8)), P(block(8)));
}
END_TEST

START_TEST(scheduling)
{
	CALL(SYS_sched_getparam, 0, P(block(4)));
	CALL(SYS_sched_rr_get_interval, 0, P(block(16)));
	CALL(SYS_sched_getaffinity, 0, 128, P(block(128)));
	CALL(SYS_sched_getattr, 0, P(block(100)), 100, 0);
	uint32_t *attr = filled(0xff, 256);
	attr[0] = 256;
	ck_assert(CALL_FAILS(E2BIG, 0, SYS_sched_setattr, 0, P(attr), 0));
	struct perf_event_attr *pe = filled(0xff, 512);
	pe->size = 512;
	ck_assert(CALL_FAILS(E2BIG, 0, SYS_perf_event_open, P(pe), 0, -1, -1, 0));
}
END_TEST

START_TEST(process_controls)
{
	CALL(SYS_prctl, PR_GET_NAME, P(block(16)));
	CALL(SYS_prctl, PR_GET_PDEATHSIG, P(block(4)));
	CALL(SYS_prctl, PR_GET_CHILD_SUBREAPER, P(block(4)));
	CALL(SYS_prctl, PR_GET_TSC, P(block(4)));
	CALL_IF_ANY(SYS_prctl, PR_GET_TID_ADDRESS, P(block(8)));
	CALL_IF_ANY(SYS_prctl, 0x41555856 /* PR_GET_AUXV */, P(block(512)), 512);
	CALL(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, P(block(8)));
	CALL(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, P(block(8)));
	CALL_IF_ANY(SYS_arch_prctl, 0x1021 /* ARCH_GET_XCOMP_SUPP */, P(block(8)));
	CALL_IF_ANY(SYS_arch_prctl, 0x4001 /* ARCH_GET_UNTAG_MASK */, P(block(8)));
	/* LSMs: their number may be too small a buffer's. */
	uint32_t *len = block(4);
	*len = 64;
	CALL_IF_ANY(461 /* lsm_list_modules */, P(block(64)), P(len), 0);
	*len = 512;
	CALL_IF_ANY(459 /* lsm_get_self_attr */, 100, P(block(512)), P(len), 0);
}
END_TEST

START_TEST(clocks)
{
	CALL(SYS_clock_gettime, CLOCK_MONOTONIC, P(block(16)));
	CALL(SYS_clock_getres, CLOCK_MONOTONIC, P(block(16)));
	CALL(SYS_gettimeofday, P(block(16)), P(block(8)));
	CALL(SYS_time, P(block(8)));
	CALL(SYS_adjtimex, P(filled(0, 208)));
	CALL(SYS_clock_adjtime, CLOCK_REALTIME, P(filled(0, 208)));
}
END_TEST

START_TEST(timers)
{
	const struct itimerspec in = {.it_value.tv_sec = 100, .it_interval.tv_sec = 7};
	int *id = block(4);

	CALL(SYS_timer_create, CLOCK_MONOTONIC, 0, P(id));
	CALL(SYS_timer_settime, *id, 0, P(&in), P(block(32)));
	CALL(SYS_timer_gettime, *id, P(block(32)));
	const int t = timerfd_create(CLOCK_MONOTONIC, 0);
	CALL(SYS_timerfd_settime, t, 0, P(&in), P(block(32)));
	CALL(SYS_timerfd_gettime, t, P(block(32)));

	const struct itimerval soon = {.it_value.tv_usec = 20000, .it_interval.tv_usec = 20000};
	const struct timespec hour = {.tv_sec = 3600};
	signal(SIGALRM, on_signal);
	CALL(SYS_setitimer, ITIMER_REAL, P(&soon), P(block(32)));
	CALL(SYS_getitimer, ITIMER_REAL, P(block(32)));
	ck_assert(CALL_FAILS(EINTR, 0, SYS_nanosleep, P(&hour), P(block(16))));
	ck_assert(CALL_FAILS(EINTR, 0, SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, P(&hour),
		P(block(16))));
}
END_TEST

START_TEST(signals)
{
	const uint64_t usr1 = 1ull << (SIGUSR1 - 1);

	CALL(SYS_rt_sigaction, SIGUSR1, 0, P(block(32)), 8);
	CALL_WITH(SYS_MASK, SYS_rt_sigprocmask, SIG_BLOCK, P(&usr1), P(block(8)), 8);
	raise(SIGUSR1);
	CALL(SYS_rt_sigpending, P(block(8)), 8);
	CALL(SYS_rt_sigtimedwait, P(&usr1), P(block(128)), 0, 8);
	CALL(SYS_sigaltstack, 0, P(block(24)));
}
END_TEST

START_TEST(locks)
{
	uint32_t *w = block(4), *w2 = block(4);

	*w = *w2 = 0;
	CALL(SYS_futex, P(w), FUTEX_LOCK_PI, 0, 0, 0, 0);
	ck_assert_uint_eq(*w, (uint32_t)gettid());
	CALL(SYS_futex, P(w), FUTEX_UNLOCK_PI, 0, 0, 0, 0);
	CALL(SYS_futex, P(w), FUTEX_TRYLOCK_PI, 0, 0, 0, 0);
	CALL(SYS_futex, P(w), FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 1, P(w2),
		FUTEX_OP(FUTEX_OP_ADD, 7, FUTEX_OP_CMP_EQ, 0));
	ck_assert_uint_eq(*w2, 7);
}
END_TEST

START_TEST(system_v)
{
	const int q = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 5, 0600),
		m = shmget(IPC_PRIVATE, 4096, 0600);
	const struct {
		long type;
		char text[10];
	} msg = {1, "message"};

	ck_assert(q >= 0 && s >= 0 && m >= 0);
	ck_assert_int_eq(msgsnd(q, &msg, 10, 0), 0);
	CALL(SYS_msgrcv, q, P(block(18)), 10, 0, 0);
	CALL(SYS_msgctl, q, IPC_STAT, P(block(120)));
	CALL(SYS_msgctl, q, IPC_INFO, P(block(32)));
	CALL(SYS_semctl, s, 0, GETALL, P(block(10)));
	CALL(SYS_semctl, s, 0, IPC_STAT, P(block(104)));
	CALL(SYS_semctl, s, 0, SEM_INFO, P(block(40)));
	CALL(SYS_shmctl, m, IPC_STAT, P(block(112)));
	CALL(SYS_shmctl, m, IPC_INFO, P(block(72)));
	CALL(SYS_shmctl, m, SHM_INFO, P(block(48)));
	msgctl(q, IPC_RMID, NULL);
	semctl(s, 0, IPC_RMID);
	shmctl(m, IPC_RMID, NULL);
}
END_TEST

START_TEST(message_queues)
{
	char name[64];
	struct mq_attr a = {.mq_maxmsg = 2, .mq_msgsize = 64};

	snprintf(name, sizeof(name), "/ckptview-test-%d", getpid());
	const mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &a);
	if (q < 0) {
		fprintf(stderr, "skipped: mq_open: %s\n", strerror(errno));
		return;
	}
	mq_unlink(name);
	ck_assert_int_eq(mq_send(q, "hello", 5, 3), 0);
	CALL(SYS_mq_timedreceive, q, P(block(64)), 64, P(block(4)), 0);
	CALL(SYS_mq_getsetattr, q, 0, P(block(64)));
}
END_TEST

START_TEST(other_memory)
{
	struct iovec *mine = block(sizeof(*mine) * 2);
	const struct iovec theirs = {&(char[100]){1, 2, 3}, 100};

	mine[0] = (struct iovec){block(60), 60};
	mine[1] = (struct iovec){block(60), 60};
	CALL(SYS_process_vm_readv, getpid(), P(mine), 2, P(&theirs), 1, 0);
	const struct iovec back = {"the other way round", 20};
	CALL(SYS_process_vm_writev, getpid(), P(&back), 1, P(mine), 2, 0);
	CALL_IF_ANY(SYS_get_mempolicy, P(block(4)), P(block(128)), 1024, 0, 0);
	uint64_t *pages = block(8);
	pages[0] = P(pages);
	CALL_IF_ANY(SYS_move_pages, 0, 1, P(pages), 0, P(block(4)), 0);
}
END_TEST

START_TEST(tracing_a_child)
{
	const pid_t pid = child(true);
	struct iovec *iov = block(sizeof(*iov));
	int status;

	if (syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0)) {
		fprintf(stderr, "skipped: tracing: %s\n", strerror(errno));
		kill(pid, SIGKILL);
		return;
	}
	ck_assert_int_eq(syscall(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	CALL(SYS_ptrace, PTRACE_PEEKDATA, pid, P(&status) & ~7ull, P(block(8)));
	CALL(SYS_ptrace, PTRACE_PEEKUSER, pid, 0, P(block(8)));
	CALL(SYS_ptrace, PTRACE_GETREGS, pid, 0, P(block(sizeof(struct user_regs_struct))));
	CALL(SYS_ptrace, PTRACE_GETFPREGS, pid, 0, P(block(512)));
	CALL(SYS_ptrace, PTRACE_GETEVENTMSG, pid, 0, P(block(8)));
	CALL(SYS_ptrace, PTRACE_GETSIGINFO, pid, 0, P(block(128)));
	CALL(SYS_ptrace, PTRACE_GETSIGMASK, pid, 8, P(block(8)));
	CALL(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, pid, 88, P(block(88)));
	*iov = (struct iovec){block(4000), 4000};
	CALL(SYS_ptrace, PTRACE_GETREGSET, pid, 1, P(iov));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}
END_TEST

START_TEST(keys)
{
	const long key = syscall(SYS_add_key, "user", "ckptview:test", "secret", 6,
		KEY_SPEC_PROCESS_KEYRING);

	if (key < 0) {
		fprintf(stderr, "skipped: keys: %s\n", strerror(errno));
		return;
	}
	CALL(SYS_keyctl, KEYCTL_READ, key, P(block(10)), 10);
	CALL(SYS_keyctl, KEYCTL_DESCRIBE, key, P(block(100)), 100);
	CALL_IF_ANY(SYS_keyctl, KEYCTL_CAPABILITIES, P(block(10)), 10);
}
END_TEST

START_TEST(asynchronous_io)
{
	struct iocb *cb = filled(0, sizeof(*cb));
	struct iocb **list = block(sizeof(*list));
	uint64_t *ctx = block(8);
	size_t changed;

	*ctx = 0;
	if (measure(SYS_io_setup, SYS_ASYNC, (uint64_t[6]){4, P(ctx)}, &changed)) {
		fprintf(stderr, "skipped: kernel AIO\n");
		return;
	}
	ck_assert_uint_gt(changed, 0);
	const int fd = open("/proc/self/exe", O_RDONLY);
	*cb = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_key = 99,
		.aio_buf = P((char[64]){0}), .aio_nbytes = 64};
	list[0] = cb;
	CALL_WITH(SYS_ASYNC, SYS_io_submit, *ctx, 1, P(list));
	CALL(SYS_io_getevents, *ctx, 1, 4, P(block(128)), 0);
	uint8_t *params = filled(0, 120);
	if (measure(425 /* io_uring_setup */, SYS_ASYNC, (uint64_t[6]){4, P(params)}, &changed) < 0)
		fprintf(stderr, "skipped: io_uring\n");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("measured");
	Suite *s = suite_create("sysprocs");

	tcase_add_test(tc, children);
	tcase_add_test(tc, resources);
	tcase_add_test(tc, scheduling);
	tcase_add_test(tc, process_controls);
	tcase_add_test(tc, clocks);
	tcase_add_test(tc, timers);
	tcase_add_test(tc, signals);
	tcase_add_test(tc, locks);
	tcase_add_test(tc, system_v);
	tcase_add_test(tc, message_queues);
	tcase_add_test(tc, other_memory);
	tcase_add_test(tc, tracing_a_child);
	tcase_add_test(tc, keys);
	tcase_add_test(tc, asynchronous_io);
	suite_add_tcase(s, tc);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	const int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
