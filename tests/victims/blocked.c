/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A thread sits in a system call while the checkpoint is taken. Left running, it must notice nothing; restored, the call
 * goes on, or fails with EINTR where signal(7) lets it. Variants: read, write, nanosleep, abssleep, poll, select, futex,
 * sigsuspend, sigwait, epoll, accept, timerfd, lock, pause.
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include "victim.h"

static int pipe_fd[2], listener;
static struct sockaddr_un name = {.sun_family = AF_UNIX};
static volatile int word, hits;
static volatile bool in_call;
static uint64_t began;
static const uint64_t SLEEP_NS = 1500000000;
static pthread_t blocker;

static void on_signal(int sig)
{
	(void)sig;
	hits++;
}

/* A call may be cut short only in a restored process, and then only with EINTR. */
static bool cut_short(long r)
{
	if (r >= 0 || errno != EINTR)
		return false;
	if (victim_strict)
		victim_fail("%s: EINTR in a process that was only saved", victim_variant);
	return true;
}

static void slept(const struct timespec *left, bool cut)
{
	uint64_t took = victim_clock_ns() - began;
	if (!cut && (took < SLEEP_NS - 1000000 || took > SLEEP_NS + 8000000000ull))
		victim_fail("slept %lu ms instead of 1500", took / 1000000);
	if (cut && left && (left->tv_sec > 1 || (uint64_t)left->tv_sec * 1000000000 + (uint64_t)left->tv_nsec > SLEEP_NS))
		victim_fail("%ld.%09ld s are said to be left of 1.5", left->tv_sec, left->tv_nsec);
}

static void call_read(void)
{
	char b[8] = "";
	in_call = true;
	ssize_t r = read(pipe_fd[0], b, 8);
	if (r != 5 || memcmp(b, "hello", 5))
		victim_fail("read gave %zd, errno %d", r, errno);
}

static void call_write(void)
{
	static char big[1 << 20];
	in_call = true;
	/* The pipe takes 64 KiB. A stop makes the kernel return what was written so far, as SIGSTOP and SIGCONT do: no tracer
	 * can hide that. Nothing may be lost. */
	for (size_t n = 0; n < sizeof(big);) {
		ssize_t r = write(pipe_fd[1], big + n, sizeof(big) - n);
		if (r <= 0)
			victim_fail("write gave %zd after %zu bytes, errno %d", r, n, errno);
		n += (size_t)r;
	}
}

static void call_nanosleep(void)
{
	struct timespec want = {1, 500000000}, left = {0, 0};
	began = victim_clock_ns();
	in_call = true;
	int r = nanosleep(&want, &left);
	bool cut = cut_short(r);
	if (r && !cut)
		victim_fail("nanosleep: errno %d", errno);
	slept(&left, cut);
}

static void call_abssleep(void)
{
	struct timespec until;
	began = victim_clock_ns();
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	until.tv_nsec += 500000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	in_call = true;
	int r = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	if (r == EINTR && !victim_strict)
		return;
	if (r)
		victim_fail("clock_nanosleep gave %d", r);
	slept(NULL, false);
}

static void call_poll(void)
{
	struct pollfd f = {pipe_fd[0], POLLIN, 0};
	in_call = true;
	int r = poll(&f, 1, 30000);
	if (!cut_short(r) && (r != 1 || f.revents != POLLIN))
		victim_fail("poll gave %d, errno %d", r, errno);
}

static void call_polltime(void)
{
	began = victim_clock_ns();
	in_call = true;
	int r = poll(NULL, 0, 1500);
	if (r && !cut_short(r))
		victim_fail("poll gave %d, errno %d", r, errno);
	slept(NULL, r != 0);
}

static void call_select(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(pipe_fd[0], &set);
	in_call = true;
	int r = select(pipe_fd[0] + 1, &set, NULL, NULL, NULL);
	if (!cut_short(r) && r != 1)
		victim_fail("select gave %d, errno %d", r, errno);
}

static void call_futex(void)
{
	struct timespec ts = {60, 0};
	in_call = true;
	long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0);
	if (!cut_short(r) && r && errno != EAGAIN)
		victim_fail("futex gave %ld, errno %d", r, errno);
	victim_check(word == 1 || !victim_strict);
}

static void call_sigsuspend(void)
{
	sigset_t none;
	sigemptyset(&none);
	in_call = true;
	int r = sigsuspend(&none);
	victim_check(r == -1 && errno == EINTR);
	if (hits != 1)
		victim_fail("sigsuspend returned after %d signals", hits);
}

static void call_pause(void)
{
	in_call = true;
	int r = pause();
	victim_check(r == -1 && errno == EINTR);
	if (hits != 1)
		victim_fail("pause returned after %d signals", hits);
}

static void call_sigwait(void)
{
	sigset_t set;
	siginfo_t si;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	in_call = true;
	int r = sigwaitinfo(&set, &si);
	if (!cut_short(r) && r != SIGUSR2)
		victim_fail("sigwaitinfo gave %d, errno %d", r, errno);
}

static void call_epoll(void)
{
	struct epoll_event ev = {EPOLLIN, {.u64 = 0x1234567887654321}}, got = {0};
	int ep = epoll_create1(0);
	victim_check(!epoll_ctl(ep, EPOLL_CTL_ADD, pipe_fd[0], &ev));
	in_call = true;
	int r = epoll_wait(ep, &got, 1, -1);
	if (!cut_short(r) && (r != 1 || got.data.u64 != ev.data.u64))
		victim_fail("epoll_wait gave %d, errno %d", r, errno);
}

static void call_accept(void)
{
	in_call = true;
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		victim_fail("accept: errno %d", errno);
}

static void call_timerfd(void)
{
	struct itimerspec its = {{0, 0}, {1, 500000000}};
	uint64_t n;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	began = victim_clock_ns();
	timerfd_settime(fd, 0, &its, NULL);
	in_call = true;
	if (read(fd, &n, 8) != 8 || n != 1)
		victim_fail("reading a timerfd: errno %d", errno);
	slept(NULL, false);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void call_lock(void)
{
	in_call = true;
	victim_check(!pthread_mutex_lock(&lock));
}

static const struct {
	const char *name;
	void (*run)(void);
} calls[] = {
	{"read", call_read}, {"write", call_write}, {"nanosleep", call_nanosleep}, {"abssleep", call_abssleep},
	{"poll", call_poll}, {"polltime", call_polltime}, {"select", call_select}, {"futex", call_futex},
	{"sigsuspend", call_sigsuspend}, {"pause", call_pause}, {"sigwait", call_sigwait}, {"epoll", call_epoll},
	{"accept", call_accept}, {"timerfd", call_timerfd}, {"lock", call_lock},
};

static void *block(void *arg)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(victim_is("pause") ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (victim_is(calls[i].name)) {
			calls[i].run();
			return arg;
		}
	victim_fail("no variant %s", victim_variant);
}

/* What the call waits for. */
static void release(void)
{
	static char big[1 << 20];
	if (victim_is("write")) {
		for (size_t n = 0; n < sizeof(big);) {
			struct pollfd f = {pipe_fd[0], POLLIN, 0};
			if (poll(&f, 1, 500) != 1)
				break;
			ssize_t r = read(pipe_fd[0], big, sizeof(big));
			victim_check(r > 0);
			n += (size_t)r;
		}
	} else if (victim_is("accept")) {
		int c = socket(AF_UNIX, SOCK_STREAM, 0);
		socklen_t len = sizeof(name);
		victim_check(!getsockname(listener, (struct sockaddr *)&name, &len));
		victim_check(!connect(c, (struct sockaddr *)&name, len));
	} else if (victim_is("futex")) {
		word = 1;
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	} else if (victim_is("lock")) {
		pthread_mutex_unlock(&lock);
	} else if (victim_is("sigsuspend") || victim_is("sigwait") || victim_is("pause")) {
		pthread_kill(blocker, SIGUSR2);
	} else {
		victim_check(write(pipe_fd[1], "hello", 5) == 5);
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t set;
	victim_init(argc, argv);
	sigaction(SIGUSR2, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	victim_check(!pipe(pipe_fd));
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	victim_check(!bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)) && !listen(listener, 4));
	pthread_mutex_lock(&lock);
	victim_check(!pthread_create(&blocker, NULL, block, NULL));
	while (!in_call)
		victim_sleep_ms(1);
	victim_sleep_ms(30);
	victim_ready();
	victim_wait();
	victim_check(hits == 0);
	release();
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	int r = pthread_timedjoin_np(blocker, NULL, &until);
	if (r)
		victim_fail("%s did not come back: %d", victim_variant, r);
	victim_pass();
}
