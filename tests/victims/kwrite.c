/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls that write user memory, each into a page nobody touched for a while: in the window of `segv` it is
 * protected, and the call must do what it always does. Two threads go through the calls of one group (the variant):
 * pipe, file, time, misc, sock, wait.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "victim.h"

enum { PAGE = 4096, PAGES = 12288, STRIDE = 7919 };
static char *pool;
static volatile bool stop;
static volatile uint64_t rounds;
static __thread size_t turn, half;    /* each thread has its half of the pool */

#define must(cond) \
	do { \
		if (!(cond)) \
			victim_fail("%s: %s (errno %d)", __func__, #cond, errno); \
	} while (0)

/* Room for len bytes that begins close before the end of a cold page. */
static void *cold(size_t len)
{
	size_t page = half * (PAGES / 2) + turn++ * STRIDE % (PAGES / 2 - 20);
	size_t before = len < 8 ? 0 : len / 2 / 8 * 8 % (PAGE / 2) + 8;
	return pool + page * PAGE + PAGE - before;
}

static void fill_pipe(int p[2], const char *text, size_t len)
{
	must(!pipe(p));
	must(write(p[1], text, len) == (ssize_t)len);
}

static void close2(int p[2])
{
	close(p[0]);
	close(p[1]);
}

static void pipe_read(void)
{
	int p[2];
	char text[5000];
	victim_fill(text, sizeof(text), turn);
	fill_pipe(p, text, sizeof(text));
	char *b = cold(sizeof(text));
	must(read(p[0], b, sizeof(text)) == sizeof(text) && !memcmp(b, text, sizeof(text)));
	close2(p);
}

static void pipe_readv(void)
{
	int p[2];
	fill_pipe(p, "first second", 12);
	struct iovec *v = cold(2 * sizeof(*v));
	v[0] = (struct iovec){cold(16), 6};
	v[1] = (struct iovec){cold(16), 6};
	must(readv(p[0], v, 2) == 12 && !memcmp(v[0].iov_base, "first ", 6) && !memcmp(v[1].iov_base, "second", 6));
	close2(p);
}

static void pipe_fionread(void)
{
	int p[2], *n = cold(sizeof(int));
	fill_pipe(p, "twelve bytes", 12);
	must(!ioctl(p[0], FIONREAD, n) && *n == 12);
	close2(p);
}

static void pipe_pipe(void)
{
	int *p = cold(8);
	must(!syscall(SYS_pipe2, p, O_CLOEXEC) && p[0] > 2 && p[1] > 2);
	close2(p);
}

static void pipe_poll(void)
{
	int p[2];
	fill_pipe(p, "x", 1);
	struct pollfd *f = cold(2 * sizeof(*f));
	f[0] = (struct pollfd){p[0], POLLIN, 0x55};
	f[1] = (struct pollfd){p[1], POLLOUT, 0x55};
	must(poll(f, 2, 100) == 2 && f[0].revents == POLLIN && f[1].revents == POLLOUT);
	struct timespec *ts = cold(sizeof(*ts));
	*ts = (struct timespec){5, 0};
	f[0].revents = 0;
	must(syscall(SYS_ppoll, f, 1L, ts, NULL, 8L) == 1 && f[0].revents == POLLIN && ts->tv_sec <= 5);
	close2(p);
}

static void pipe_select(void)
{
	int p[2];
	fill_pipe(p, "x", 1);
	fd_set *r = cold(sizeof(*r));
	FD_ZERO(r);
	FD_SET(p[0], r);
	struct timeval *tv = cold(sizeof(*tv));
	*tv = (struct timeval){5, 0};
	must(select(p[0] + 1, r, NULL, NULL, tv) == 1 && FD_ISSET(p[0], r));
	struct timespec *ts = cold(sizeof(*ts));
	*ts = (struct timespec){5, 0};
	must(syscall(SYS_pselect6, p[0] + 1, r, NULL, NULL, ts, NULL) == 1 && FD_ISSET(p[0], r));
	close2(p);
}

static void pipe_epoll(void)
{
	int p[2], ep = epoll_create1(0);
	fill_pipe(p, "x", 1);
	struct epoll_event want = {EPOLLIN, {.u64 = turn}}, *got = cold(4 * sizeof(*got));
	must(!epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &want));
	must(epoll_wait(ep, got, 4, 1000) == 1 && got->data.u64 == want.data.u64);
	got = cold(4 * sizeof(*got));
	must(syscall(SYS_epoll_pwait, ep, got, 4, 1000, NULL, 8) == 1 && got->events == EPOLLIN);
	close(ep);
	close2(p);
}

static int scratch_file(void)
{
	int fd = (int)syscall(SYS_memfd_create, "kwrite", 0);
	char text[9000];
	victim_fill(text, sizeof(text), 77);
	must(fd >= 0 && write(fd, text, sizeof(text)) == sizeof(text));
	return fd;
}

static void file_read(void)
{
	int fd = scratch_file();
	char *b = cold(9000);
	must(pread(fd, b, 9000, 0) == 9000 && victim_filled(b, 9000, 77));
	struct iovec v[2] = {{cold(4000), 4000}, {cold(5000), 5000}};
	must(preadv(fd, v, 2, 0) == 9000 && victim_filled(v[0].iov_base, 4000, 77) && victim_filled(v[1].iov_base, 5000, 577));
	close(fd);
}

static void file_stat(void)
{
	int fd = scratch_file();
	struct stat *st = cold(sizeof(*st));
	must(!fstat(fd, st) && st->st_size == 9000);
	st = cold(sizeof(*st));
	must(!stat("/proc/self", st) && S_ISDIR(st->st_mode));
	struct statx *sx = cold(sizeof(*sx));
	must(!statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, sx) && sx->stx_size == 9000);
	struct statfs *fs = cold(sizeof(*fs));
	must(!statfs("/proc", fs) && fs->f_type == 0x9fa0);
	close(fd);
}

static void file_names(void)
{
	char *b = cold(PAGE), link[64];
	must(getcwd(b, PAGE) && b[0] == '/');
	snprintf(link, sizeof(link), "/proc/self/fd/%d", STDOUT_FILENO);
	b = cold(PAGE);
	must(readlink(link, b, PAGE) > 0);
	int d = open("/proc/self", O_RDONLY | O_DIRECTORY);
	b = cold(PAGE);
	must(d >= 0 && syscall(SYS_getdents64, d, b, PAGE) > 0);
	close(d);
}

static void file_move(void)
{
	int a = scratch_file(), b = (int)syscall(SYS_memfd_create, "to", 0), p[2];
	off_t *off = cold(sizeof(*off));
	*off = 1000;
	must(sendfile(b, a, off, 500) == 500 && *off == 1500);
	must(!pipe(p));
	loff_t *at = cold(sizeof(*at));
	*at = 2000;
	must(splice(a, at, p[1], NULL, 700, 0) == 700 && *at == 2700);
	close2(p);
	close(a);
	close(b);
}

static void time_clocks(void)
{
	struct timespec *ts = cold(sizeof(*ts));
	must(!syscall(SYS_clock_gettime, CLOCK_MONOTONIC, ts) && ts->tv_sec > 0);
	ts = cold(sizeof(*ts));
	must(!syscall(SYS_clock_getres, CLOCK_MONOTONIC, ts) && ts->tv_nsec > 0);
	struct timeval *tv = cold(sizeof(*tv));
	must(!syscall(SYS_gettimeofday, tv, NULL) && tv->tv_sec > 1000000);
	long *t = cold(sizeof(*t));
	*t = 0;
	must(syscall(SYS_time, t) == *t && *t > 1000000);
}

static void time_timers(void)
{
	struct itimerval far = {{0, 0}, {5000, 0}}, *old = cold(sizeof(*old));
	must(!setitimer(ITIMER_VIRTUAL, &far, old) && old->it_value.tv_sec <= 5000);
	old = cold(sizeof(*old));
	must(!getitimer(ITIMER_VIRTUAL, old) && old->it_value.tv_sec > 4000);
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec soon = {{0, 0}, {0, 1}}, *was = cold(sizeof(*was));
	must(fd >= 0 && !timerfd_settime(fd, 0, &soon, was) && was->it_value.tv_nsec == 0);
	uint64_t *n = cold(PAGE);
	must(read(fd, n, 8) == 8 && *n == 1);
	was = cold(sizeof(*was));
	must(!timerfd_gettime(fd, was) && was->it_value.tv_sec == 0);
	close(fd);
}

static void time_timer(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_NONE};
	struct itimerspec far = {{0, 0}, {1000, 0}}, *left = cold(sizeof(*left));
	int *id = cold(sizeof(int));
	must(!syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, id));
	must(!syscall(SYS_timer_settime, *id, 0, &far, NULL));
	must(!syscall(SYS_timer_gettime, *id, left) && left->it_value.tv_sec > 900);
	must(!syscall(SYS_timer_delete, *id));
}

static void time_sleep(void)
{
	struct timespec want = {0, 200000}, *left = cold(sizeof(*left));
	int r = (int)syscall(SYS_nanosleep, &want, left);
	must(r == 0 || (errno == EINTR && left->tv_nsec <= 200000));
}

static void misc_events(void)
{
	int fd = eventfd(5, 0);
	uint64_t *n = cold(8);
	must(fd >= 0 && read(fd, n, 8) == 8 && *n == 5);
	close(fd);
	char *b = cold(300);
	memset(b, 0, 300);
	must(getrandom(b, 300, 0) == 300 && memcmp(b, b + 8, 8) && memcmp(b + 280, b + 288, 8));
}

static void misc_signals(void)
{
	sigset_t set, *old = cold(sizeof(*old));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	must(!syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, old, 8L));
	union sigval v = {.sival_int = 4711};
	must(!pthread_sigqueue(pthread_self(), SIGRTMIN + 3, v));
	sigset_t *pend = cold(sizeof(*pend));
	must(!syscall(SYS_rt_sigpending, pend, 8L) && sigismember(pend, SIGRTMIN + 3));
	int fd = signalfd(-1, &set, 0);
	struct signalfd_siginfo *si = cold(sizeof(*si));
	must(fd >= 0 && read(fd, si, sizeof(*si)) == sizeof(*si) && si->ssi_int == 4711);
	close(fd);
	must(!pthread_sigqueue(pthread_self(), SIGRTMIN + 3, v));
	siginfo_t *info = cold(sizeof(*info));
	struct timespec ts = {1, 0};
	must(syscall(SYS_rt_sigtimedwait, &set, info, &ts, 8L) == SIGRTMIN + 3 && info->si_value.sival_int == 4711);
	struct sigaction *sa = cold(sizeof(*sa));
	must(!syscall(SYS_rt_sigaction, SIGUSR2, NULL, sa, 8L));
	stack_t *ss = cold(sizeof(*ss));
	must(!sigaltstack(NULL, ss));
}

static void misc_ids(void)
{
	uid_t *u = cold(4), *v = cold(4), *w = cold(4);
	*u = *v = *w = 12345;
	must(!getresuid(u, v, w) && *u == getuid() && *v == geteuid() && *w != 12345);
	gid_t *g = cold(64 * sizeof(*g));
	must(getgroups(64, g) >= 0);
	struct rlimit *lim = cold(sizeof(*lim));
	must(!prlimit(0, RLIMIT_NOFILE, NULL, lim) && lim->rlim_cur > 0);
	struct rusage *ru = cold(sizeof(*ru));
	must(!getrusage(RUSAGE_SELF, ru) && ru->ru_maxrss > 0);
	char *name = cold(16);
	must(!syscall(SYS_prctl, 16 /* PR_GET_NAME */, name) && *name);
}

static void misc_system(void)
{
	struct utsname *un = cold(sizeof(*un));
	must(!uname(un) && !strcmp(un->sysname, "Linux"));
	struct sysinfo *in = cold(sizeof(*in));
	must(!sysinfo(in) && in->totalram > 0);
	struct tms *tm = cold(sizeof(*tm));
	must(times(tm) != -1);
	cpu_set_t *set = cold(sizeof(*set));
	must(!sched_getaffinity(0, sizeof(*set), set) && CPU_COUNT(set) > 0);
	unsigned *cpu = cold(4);
	*cpu = 99999;
	must(!syscall(SYS_getcpu, cpu, NULL, NULL) && *cpu != 99999);
	unsigned char *vec = cold(16);
	must(!mincore(pool, 16 * PAGE, vec));
	unsigned long *fs = cold(8);
	must(!syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, fs) && *fs);
	struct iovec local = {cold(100), 100}, remote = {pool, 100};
	must(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 100);
}

static void sock_recv(void)
{
	int *s = cold(8);
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	must(send(s[0], "a datagram", 10, 0) == 10);
	char *b = cold(PAGE);
	struct sockaddr_un *from = cold(sizeof(*from));
	socklen_t *len = cold(sizeof(*len));
	*len = sizeof(*from);
	must(recvfrom(s[1], b, PAGE, 0, (struct sockaddr *)from, len) == 10 && !memcmp(b, "a datagram", 10));
	int *type = cold(4);
	len = cold(sizeof(*len));
	*len = 4;
	must(!getsockopt(s[0], SOL_SOCKET, SO_TYPE, type, len) && *type == SOCK_DGRAM && *len == 4);
	*len = sizeof(*from);
	must(!getsockname(s[0], (struct sockaddr *)from, len) && from->sun_family == AF_UNIX);
	close2(s);
}

static void sock_rights(void)
{
	int s[2], fd = STDOUT_FILENO;
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec v = {"x", 1};
	struct msghdr out = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&out);
	*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	must(sendmsg(s[0], &out, 0) == 1);
	struct msghdr *in = cold(sizeof(*in));
	struct iovec *iv = cold(sizeof(*iv));
	*iv = (struct iovec){cold(10), 10};
	*in = (struct msghdr){.msg_iov = iv, .msg_iovlen = 1, .msg_control = cold(64), .msg_controllen = 64};
	must(recvmsg(s[1], in, 0) == 1 && *(char *)iv->iov_base == 'x');
	c = CMSG_FIRSTHDR(in);
	must(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	must(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	close2(s);
}

static void sock_accept(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	must(!bind(l, (struct sockaddr *)&name, sizeof(sa_family_t)) && !listen(l, 5));
	socklen_t *len = cold(sizeof(*len));
	struct sockaddr_un *addr = cold(sizeof(*addr));
	*len = sizeof(*addr);
	must(!getsockname(l, (struct sockaddr *)addr, len) && *len > 3);
	must(!connect(c, (struct sockaddr *)addr, *len));
	struct sockaddr_un *peer = cold(sizeof(*peer));
	len = cold(sizeof(*len));
	*len = sizeof(*peer);
	memset(peer, 0xff, sizeof(*peer));
	int a = accept(l, (struct sockaddr *)peer, len);
	must(a >= 0 && peer->sun_family == AF_UNIX);
	*len = sizeof(*peer);
	must(!getpeername(c, (struct sockaddr *)peer, len) && peer->sun_family == AF_UNIX);
	close(a);
	close(c);
	close(l);
}

static void wait_child(void)
{
	int *status = cold(sizeof(int));
	struct rusage *ru = cold(sizeof(*ru));
	pid_t pid = fork();
	if (!pid)
		_exit(42);
	must(pid > 0 && wait4(pid, status, 0, ru) == pid && WIFEXITED(*status) && WEXITSTATUS(*status) == 42);
	pid = fork();
	if (!pid)
		_exit(7);
	siginfo_t *si = cold(sizeof(*si));
	must(pid > 0 && !waitid(P_PID, (id_t)pid, si, WEXITED) && si->si_status == 7 && si->si_pid == pid);
}

static const struct {
	const char *group;
	void (*run)(void);
} calls[] = {
	{"pipe", pipe_read}, {"pipe", pipe_readv}, {"pipe", pipe_fionread}, {"pipe", pipe_pipe}, {"pipe", pipe_poll},
	{"pipe", pipe_select}, {"pipe", pipe_epoll},
	{"file", file_read}, {"file", file_stat}, {"file", file_names}, {"file", file_move},
	{"time", time_clocks}, {"time", time_timers}, {"time", time_timer}, {"time", time_sleep},
	{"misc", misc_events}, {"misc", misc_signals}, {"misc", misc_ids}, {"misc", misc_system},
	{"sock", sock_recv}, {"sock", sock_rights}, {"sock", sock_accept},
	{"wait", wait_child},
};

static void *run(void *arg)
{
	half = (size_t)(uintptr_t)arg;
	while (!stop) {
		for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
			if (victim_is(calls[i].group))
				calls[i].run();
		rounds++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[2];
	victim_init(argc, argv);
	pool = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	victim_check(pool != MAP_FAILED);
	memset(pool, 0x11, (size_t)PAGES * PAGE);
	for (int i = 0; i < 2; i++)
		victim_check(!pthread_create(&t[i], NULL, run, (void *)(uintptr_t)i));
	while (rounds < 4)
		victim_sleep_ms(1);
	victim_ready();
	victim_wait();
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	victim_pass();
}
