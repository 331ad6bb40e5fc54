/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Descriptors of every kind, one a variant: regular, append, deleted, dir, chardev, pipe, fifo, memfd, eventfd, timerfd,
 * signalfd, epoll, inotify, tcp, unix, flags; "all" has them all. What is built before must work the same afterwards.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include "victim.h"

#define must(cond) \
	do { \
		if (!(cond)) \
			victim_fail("%s: %s (errno %d)", __func__, #cond, errno); \
	} while (0)

/* A name beside the result file. */
static const char *beside(const char *what)
{
	static char name[4][4096];
	static int i;
	i = (i + 1) % 4;
	snprintf(name[i], sizeof(name[i]), "%s.%s", victim_result, what);
	return name[i];
}

static int fd_regular, fd_dup, fd_again;
static void make_regular(void)
{
	fd_regular = open(beside("file"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd_regular >= 0 && write(fd_regular, "0123456789", 10) == 10 && lseek(fd_regular, 4, SEEK_SET) == 4);
	fd_dup = fcntl(fd_regular, F_DUPFD, 50);
	fd_again = open(beside("file"), O_RDONLY);
	must(fd_dup >= 50 && fd_again >= 0 && lseek(fd_again, 7, SEEK_SET) == 7);
}
static void check_regular(void)
{
	char b[4] = "";
	must(read(fd_regular, b, 2) == 2 && !memcmp(b, "45", 2));
	must(read(fd_dup, b, 1) == 1 && *b == '6');     /* one offset for both */
	must(read(fd_again, b, 1) == 1 && *b == '7');   /* its own */
	must((fcntl(fd_regular, F_GETFD) & FD_CLOEXEC) && !(fcntl(fd_dup, F_GETFD) & FD_CLOEXEC));
	must(write(fd_regular, "x", 1) == 1 && lseek(fd_dup, 0, SEEK_CUR) == 8);
	must(write(fd_again, "x", 1) == -1 && errno == EBADF);
}

static int fd_append;
static void make_append(void)
{
	fd_append = open(beside("log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	must(fd_append >= 0 && write(fd_append, "one", 3) == 3 && lseek(fd_append, 1, SEEK_SET) == 1);
}
static void check_append(void)
{
	struct stat st;
	must(fcntl(fd_append, F_GETFL) & O_APPEND);
	must(write(fd_append, "two", 3) == 3 && !fstat(fd_append, &st) && st.st_size == 6);
}

static int fd_deleted, fd_deleted2;
static void make_deleted(void)
{
	static char text[300000];
	victim_fill(text, sizeof(text), 42);
	fd_deleted = open(beside("gone"), O_RDWR | O_CREAT | O_TRUNC, 0640);
	must(fd_deleted >= 0 && write(fd_deleted, text, sizeof(text)) == sizeof(text));
	must(lseek(fd_deleted, 100000, SEEK_SET) == 100000);
	fd_deleted2 = open(beside("gone"), O_RDONLY);
	must(fd_deleted2 >= 0 && !unlink(beside("gone")));
}
static void check_deleted(void)
{
	static char text[300000];
	struct stat a, b;
	must(lseek(fd_deleted, 0, SEEK_CUR) == 100000 && pread(fd_deleted, text, sizeof(text), 0) == sizeof(text));
	must(victim_filled(text, sizeof(text), 42));
	must(!fstat(fd_deleted, &a) && a.st_nlink == 0 && (a.st_mode & 0777) == 0640);
	must(!fstat(fd_deleted2, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	must(access(beside("gone"), F_OK) < 0);
	must(pwrite(fd_deleted, "new", 3, 0) == 3 && pread(fd_deleted2, text, 3, 0) == 3 && !memcmp(text, "new", 3));
}

static DIR *dir;
static int fd_dir;
static void make_dir(void)
{
	char copy[4096];
	snprintf(copy, sizeof(copy), "%s", victim_result);
	*strrchr(copy, '/') = 0;
	fd_dir = open(copy, O_RDONLY | O_DIRECTORY);
	must(fd_dir >= 0);
	dir = opendir("/usr/bin");
	must(dir && readdir(dir) && readdir(dir));
}
static void check_dir(void)
{
	int n = 0, fd = openat(fd_dir, strrchr(victim_control, '/') + 1, O_RDONLY);
	must(fd >= 0);
	close(fd);
	while (readdir(dir))
		n++;
	must(n > 10);
	rewinddir(dir);
	must(readdir(dir));
}

static int fd_null, fd_zero, fd_random;
static void make_chardev(void)
{
	fd_null = open("/dev/null", O_WRONLY);
	fd_zero = open("/dev/zero", O_RDWR);
	fd_random = open("/dev/urandom", O_RDONLY);
	must(fd_null >= 0 && fd_zero >= 0 && fd_random >= 0);
}
static void check_chardev(void)
{
	char b[8] = "xxxxxxx";
	must(write(fd_null, b, 8) == 8 && read(fd_zero, b, 8) == 8 && !memcmp(b, "\0\0\0\0\0\0\0\0", 8));
	must(read(fd_random, b, 8) == 8 && memcmp(b, "\0\0\0\0\0\0\0\0", 8));
}

static int p_data[2], p_full[2], p_half[2];
static char pipe_text[60000];
static void make_pipe(void)
{
	victim_fill(pipe_text, sizeof(pipe_text), 5);
	must(!pipe2(p_data, O_CLOEXEC) && !pipe2(p_full, O_NONBLOCK) && !pipe(p_half));
	must(fcntl(p_data[0], F_SETPIPE_SZ, 1 << 17) == 1 << 17);
	must(write(p_data[1], pipe_text, sizeof(pipe_text)) == sizeof(pipe_text));
	while (write(p_full[1], pipe_text, 4096) == 4096)
		;
	must(errno == EAGAIN && write(p_half[1], "rest", 4) == 4 && !close(p_half[1]));
}
static void check_pipe(void)
{
	static char b[100000];
	ssize_t n = 0, r;
	must(fcntl(p_data[0], F_GETPIPE_SZ) == 1 << 17);
	must(read(p_data[0], b, sizeof(pipe_text)) == sizeof(pipe_text) && !memcmp(b, pipe_text, sizeof(pipe_text)));
	must(write(p_data[1], "ab", 2) == 2 && read(p_data[0], b, 9) == 2);
	must(write(p_full[1], b, 1) == -1 && errno == EAGAIN);
	while ((r = read(p_full[0], b, 4096)) > 0) {
		must(!memcmp(b, pipe_text, (size_t)r));
		n += r;
	}
	must(n == 65536 && errno == EAGAIN);
	must(read(p_half[0], b, 100) == 4 && !memcmp(b, "rest", 4) && read(p_half[0], b, 100) == 0);
}

static int fifo_r, fifo_w;
static void make_fifo(void)
{
	must(!mkfifo(beside("fifo"), 0600));
	fifo_r = open(beside("fifo"), O_RDONLY | O_NONBLOCK);
	fifo_w = open(beside("fifo"), O_WRONLY);
	must(fifo_r >= 0 && fifo_w >= 0 && write(fifo_w, "fifo", 4) == 4);
}
static void check_fifo(void)
{
	char b[10];
	must(read(fifo_r, b, 10) == 4 && !memcmp(b, "fifo", 4));
	must(read(fifo_r, b, 10) == -1 && errno == EAGAIN);
	int other = open(beside("fifo"), O_WRONLY | O_NONBLOCK);
	must(other >= 0 && write(other, "x", 1) == 1 && read(fifo_r, b, 10) == 1);
	close(other);
}

static int fd_mem;
static void make_memfd(void)
{
	fd_mem = memfd_create("victim", MFD_ALLOW_SEALING);
	must(fd_mem >= 0 && write(fd_mem, "memory", 6) == 6 && !ftruncate(fd_mem, 100000));
	must(pwrite(fd_mem, "end", 3, 90000) == 3 && lseek(fd_mem, 2, SEEK_SET) == 2);
	must(!fcntl(fd_mem, F_ADD_SEALS, F_SEAL_SHRINK));
}
static void check_memfd(void)
{
	char b[8];
	struct stat st;
	must(read(fd_mem, b, 4) == 4 && !memcmp(b, "mory", 4) && pread(fd_mem, b, 3, 90000) == 3 && !memcmp(b, "end", 3));
	must(!fstat(fd_mem, &st) && st.st_size == 100000 && fcntl(fd_mem, F_GET_SEALS) == F_SEAL_SHRINK);
	must(ftruncate(fd_mem, 10) == -1 && errno == EPERM);
}

static int fd_event, fd_sema;
static void make_eventfd(void)
{
	fd_event = eventfd(77, EFD_NONBLOCK);
	fd_sema = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	must(fd_event >= 0 && fd_sema >= 0);
}
static void check_eventfd(void)
{
	uint64_t n;
	must(read(fd_event, &n, 8) == 8 && n == 77 && read(fd_event, &n, 8) == -1 && errno == EAGAIN);
	for (int i = 0; i < 3; i++)
		must(read(fd_sema, &n, 8) == 8 && n == 1);
	must(read(fd_sema, &n, 8) == -1 && errno == EAGAIN);
}

static int fd_tick, fd_far, fd_fired;
static void make_timerfd(void)
{
	struct itimerspec tick = {{0, 20000000}, {0, 20000000}}, far = {{0, 0}, {3000, 0}}, once = {{0, 0}, {0, 1}};
	struct pollfd f;
	fd_tick = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	fd_far = timerfd_create(CLOCK_REALTIME, 0);
	fd_fired = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	must(!timerfd_settime(fd_tick, 0, &tick, NULL) && !timerfd_settime(fd_far, 0, &far, NULL));
	must(!timerfd_settime(fd_fired, 0, &once, NULL));
	f = (struct pollfd){fd_fired, POLLIN, 0};
	must(poll(&f, 1, 1000) == 1);
}
static void check_timerfd(void)
{
	uint64_t n;
	struct itimerspec left;
	if (read(fd_tick, &n, 8) < 0)
		must(errno == EAGAIN);
	victim_sleep_ms(110);
	must(read(fd_tick, &n, 8) == 8 && n >= 4 && n <= 20);
	must(!timerfd_gettime(fd_far, &left) && left.it_value.tv_sec > 2900 && left.it_value.tv_sec <= 3000);
	must(read(fd_fired, &n, 8) == 8 && n == 1);
}

static int fd_signal;
static void make_signalfd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	must(!sigprocmask(SIG_BLOCK, &set, NULL));
	fd_signal = signalfd(-1, &set, SFD_NONBLOCK);
	must(fd_signal >= 0 && !kill(getpid(), SIGUSR1));
}
static void check_signalfd(void)
{
	struct signalfd_siginfo si;
	must(read(fd_signal, &si, sizeof(si)) == sizeof(si) && si.ssi_signo == SIGUSR1 && (pid_t)si.ssi_pid == getpid());
	must(read(fd_signal, &si, sizeof(si)) == -1 && errno == EAGAIN);
	must(!kill(getpid(), SIGUSR1) && read(fd_signal, &si, sizeof(si)) == sizeof(si));
}

static int fd_epoll, ep_event, ep_pipe[2], ep_edge;
static void make_epoll(void)
{
	struct epoll_event ev = {EPOLLIN, {.u64 = 0x1122334455667788}};
	fd_epoll = epoll_create1(EPOLL_CLOEXEC);
	ep_event = eventfd(0, EFD_NONBLOCK);
	must(!pipe(ep_pipe) && !epoll_ctl(fd_epoll, EPOLL_CTL_ADD, ep_event, &ev));
	ev = (struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 2}};
	must(!epoll_ctl(fd_epoll, EPOLL_CTL_ADD, ep_pipe[0], &ev));
	ep_edge = epoll_create1(0);     /* one in another */
	ev = (struct epoll_event){EPOLLIN, {.u64 = 3}};
	must(!epoll_ctl(ep_edge, EPOLL_CTL_ADD, fd_epoll, &ev));
}
static void check_epoll(void)
{
	struct epoll_event got[4];
	uint64_t one = 1;
	must(epoll_wait(fd_epoll, got, 4, 0) == 0);
	must(write(ep_event, &one, 8) == 8 && epoll_wait(fd_epoll, got, 4, 1000) == 1);
	must(got->data.u64 == 0x1122334455667788 && read(ep_event, &one, 8) == 8);
	must(write(ep_pipe[1], "x", 1) == 1 && epoll_wait(ep_edge, got, 4, 1000) == 1 && got->data.u64 == 3);
	must(epoll_wait(fd_epoll, got, 4, 1000) == 1 && got->data.u64 == 2);
	must(epoll_wait(fd_epoll, got, 4, 0) == 0);     /* one shot */
}

static int fd_inotify, watch;
static void make_inotify(void)
{
	char copy[4096];
	snprintf(copy, sizeof(copy), "%s", beside("watched"));
	must(!mkdir(copy, 0700));
	fd_inotify = inotify_init1(IN_NONBLOCK);
	watch = inotify_add_watch(fd_inotify, copy, IN_CREATE | IN_DELETE);
	must(watch >= 0);
}
static void check_inotify(void)
{
	char b[4096] __attribute__((aligned(8))), name[5000];
	while (read(fd_inotify, b, sizeof(b)) > 0)
		;
	snprintf(name, sizeof(name), "%s/new", beside("watched"));
	close(open(name, O_WRONLY | O_CREAT, 0600));
	must(read(fd_inotify, b, sizeof(b)) > 0);
	const struct inotify_event *ev = (struct inotify_event *)b;
	must(ev->wd == watch && ev->mask == IN_CREATE && !strcmp(ev->name, "new"));
}

static int fd_tcp;
static struct sockaddr_in tcp_addr = {.sin_family = AF_INET};
static void make_tcp(void)
{
	int one = 1;
	socklen_t len = sizeof(tcp_addr);
	tcp_addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd_tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	must(!setsockopt(fd_tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(!bind(fd_tcp, (struct sockaddr *)&tcp_addr, len) && !listen(fd_tcp, 16));
	must(!getsockname(fd_tcp, (struct sockaddr *)&tcp_addr, &len));
}
static void check_tcp(void)
{
	struct sockaddr_in now;
	socklen_t len = sizeof(now);
	int one = 0, c = socket(AF_INET, SOCK_STREAM, 0);
	must(!getsockname(fd_tcp, (struct sockaddr *)&now, &len) && now.sin_port == tcp_addr.sin_port);
	must(accept(fd_tcp, NULL, NULL) == -1 && errno == EAGAIN);
	must(!connect(c, (struct sockaddr *)&now, sizeof(now)));
	int a = accept(fd_tcp, NULL, NULL);
	must(a >= 0 && write(c, "x", 1) == 1 && read(a, &one, 1) == 1);
	len = sizeof(one);
	must(!getsockopt(fd_tcp, SOL_SOCKET, SO_REUSEADDR, &one, &len) && one == 1);
	close(a);
	close(c);
}

static int fd_unix;
static struct sockaddr_un unix_addr = {.sun_family = AF_UNIX};
static void make_unix(void)
{
	snprintf(unix_addr.sun_path, sizeof(unix_addr.sun_path), "%s", beside("sock"));
	fd_unix = socket(AF_UNIX, SOCK_STREAM, 0);
	must(!bind(fd_unix, (struct sockaddr *)&unix_addr, sizeof(unix_addr)) && !listen(fd_unix, 7));
}
static void check_unix(void)
{
	char b = 0;
	int c = socket(AF_UNIX, SOCK_STREAM, 0);
	must(!connect(c, (struct sockaddr *)&unix_addr, sizeof(unix_addr)));
	int a = accept(fd_unix, NULL, NULL);
	must(a >= 0 && write(c, "y", 1) == 1 && read(a, &b, 1) == 1 && b == 'y');
	close(a);
	close(c);
}

static void make_flags(void)
{
	int a = open("/dev/null", O_RDWR | O_NONBLOCK), b = open("/dev/null", O_PATH);
	must(a >= 0 && b >= 0 && dup2(a, 200) == 200 && dup3(b, 201, O_CLOEXEC) == 201);
	close(a);
	close(b);
}
static void check_flags(void)
{
	must((fcntl(200, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDWR) && fcntl(200, F_GETFD) == 0);
	must((fcntl(201, F_GETFL) & O_PATH) && fcntl(201, F_GETFD) == FD_CLOEXEC);
	must(write(201, "x", 1) == -1 && errno == EBADF);
	must(fcntl(199, F_GETFD) == -1 && fcntl(202, F_GETFD) == -1);
}

static const struct {
	const char *name;
	void (*make)(void), (*check)(void);
} kinds[] = {
	{"regular", make_regular, check_regular}, {"append", make_append, check_append},
	{"deleted", make_deleted, check_deleted}, {"dir", make_dir, check_dir}, {"chardev", make_chardev, check_chardev},
	{"pipe", make_pipe, check_pipe}, {"fifo", make_fifo, check_fifo}, {"memfd", make_memfd, check_memfd},
	{"eventfd", make_eventfd, check_eventfd}, {"timerfd", make_timerfd, check_timerfd},
	{"signalfd", make_signalfd, check_signalfd}, {"epoll", make_epoll, check_epoll},
	{"inotify", make_inotify, check_inotify}, {"tcp", make_tcp, check_tcp}, {"unix", make_unix, check_unix},
	{"flags", make_flags, check_flags},
};

int main(int argc, char **argv)
{
	victim_init(argc, argv);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (victim_is(kinds[i].name) || victim_is("all"))
			kinds[i].make();
	victim_ready();
	victim_wait();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (victim_is(kinds[i].name) || victim_is("all"))
			kinds[i].check();
	victim_pass();
}
