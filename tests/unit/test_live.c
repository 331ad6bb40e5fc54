/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * live: a child builds a state that is known here to the byte, sits in pause(), and what /proc
 * gives of it is compared. At the end the child must find everything as it left it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live/live.h"

#define PAGE ((size_t)PAGE_LEN)

/* Shared with the child: what it made, and what it found afterwards. */
struct shared {
	int pipe[2], piped, file, deleted, memfd, event, timer, signal, epoll, inotify, listen,
		ulisten, pair[2], full;
	uint8_t *priv, *none, *shm, *shm2, *guarded;
	int tid, has_guards;
	volatile int ready, again, ok;
};
static struct shared *sh;
static struct live l;
static struct proc *p;
static pid_t child;

/* ---- the child ---- */

static void *thread_main(void *arg)
{
	sigset_t s;

	(void)arg;
	prctl(PR_SET_NAME, "s)\\on\nd (x");
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &s, NULL);
	sh->tid = (int)syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static void build_files(void)
{
	char name[] = "/tmp/ckptview-live-XXXXXX", gone[] = "/tmp/ckptview-gone-XXXXXX";

	sh->file = mkostemp(name, O_APPEND);
	if (write(sh->file, "0123456789", 10) != 10)
		_exit(2);
	lseek(sh->file, 4, SEEK_SET);
	sh->piped = dup(sh->file);
	unlink(name);
	sh->deleted = mkstemp(gone);
	if (ftruncate(sh->deleted, 10000) < 0 || pwrite(sh->deleted, "end", 3, 9997) != 3)
		_exit(2);
	unlink(gone);
	sh->memfd = memfd_create("a (deleted)", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (write(sh->memfd, "mem", 3) != 3)
		_exit(2);
	fcntl(sh->memfd, F_ADD_SEALS, F_SEAL_GROW);
}

static void build_events(void)
{
	const struct itimerspec it = {{1, 5}, {1000, 0}};
	sigset_t s;

	sh->event = eventfd(7, EFD_SEMAPHORE | EFD_NONBLOCK);
	sh->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(sh->timer, 0, &it, NULL);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sh->signal = signalfd(-1, &s, 0);
	sh->epoll = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data = {.u64 = 0x1122334455667788}};

	epoll_ctl(sh->epoll, EPOLL_CTL_ADD, sh->event, &ev);
	sh->inotify = inotify_init1(IN_NONBLOCK);
	inotify_add_watch(sh->inotify, "/tmp", IN_MOVED_TO);
}

static void build_sockets(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const int one = 1;

	sh->listen = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(sh->listen, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	bind(sh->listen, (struct sockaddr *)&in, sizeof(in));
	listen(sh->listen, 77);
	sh->ulisten = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(sh->ulisten, (struct sockaddr *)&un,
		sizeof(sa_family_t)); /* autobind: an abstract name */
	listen(sh->ulisten, 33);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sh->pair) < 0)
		_exit(2);
}

static void build_pipes(void)
{
	static uint8_t zeros[65536];

	if (pipe(sh->pipe) < 0 || write(sh->pipe[1], "hello", 5) != 5)
		_exit(2);
	/* A pipe filled to the brim, of another capacity; its write end is closed. */
	int fds[2];

	if (pipe(fds) < 0 || fcntl(fds[1], F_SETPIPE_SZ, 262144) < 0)
		_exit(2);
	for (int i = 0; i < 4; i++) {
		zeros[0] = (uint8_t)i;
		if (write(fds[1], zeros, sizeof(zeros)) != sizeof(zeros))
			_exit(2);
	}
	close(fds[1]);
	sh->full = fds[0];
}

static void build_memory(void)
{
	sh->guarded =
		mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sh->guarded[0] = 1;
	/* MADV_GUARD_INSTALL, kernel 6.13. */
	sh->has_guards = madvise(sh->guarded + 4 * PAGE, PAGE, 102) == 0;
	sh->priv =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(sh->priv, 64 * PAGE, MADV_NOHUGEPAGE);
	sh->priv[3 * PAGE] = 1;
	sh->priv[4 * PAGE] = 1;
	sh->priv[63 * PAGE] = 1;
	(void)*(volatile uint8_t *)(sh->priv + 10 * PAGE); /* the zero page */
	sh->none = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(sh->none, 0x5a, PAGE);
	mprotect(sh->none, 2 * PAGE, PROT_NONE);
	sh->shm = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sh->shm[0] = 1;
	sh->shm[9 * PAGE] = 1;
	sh->shm2 = mremap(sh->shm, 0, 16 * PAGE, MREMAP_MAYMOVE);
}

/* Nothing may have been consumed or moved. */
static int all_unchanged(void)
{
	char text[16];
	uint64_t count;

	return lseek(sh->file, 0, SEEK_CUR) == 4 && lseek(sh->memfd, 0, SEEK_CUR) == 3 &&
	       read(sh->pipe[0], text, sizeof(text)) == 5 && memcmp(text, "hello", 5) == 0 &&
	       read(sh->event, &count, sizeof(count)) == 8 && count == 1;
}

static void child_main(void)
{
	pthread_t t;
	timer_t timer;
	struct sigevent sev = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "a child");
	build_files();
	build_events();
	build_sockets();
	build_pipes();
	build_memory();
	timer_create(CLOCK_REALTIME, &sev, &timer);
	pthread_create(&t, NULL, thread_main, NULL);
	while (!sh->tid)
		sched_yield();
	sh->ready = 1;
	while (!sh->again)
		usleep(1000);
	sh->ok = all_unchanged() ? 1 : -1;
	for (;;)
		pause();
}

static void setup(void)
{
	struct err e = {0};

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	child = fork();
	if (child == 0) {
		child_main();
		_exit(1);
	}
	for (int i = 0; i < 5000 && !sh->ready; i++)
		usleep(1000);
	ck_assert(sh->ready);
	p = proc_new();
	ck_assert_msg(live_open(&l, child, &e) == 0, "%s", e.text);
}

static void teardown(void)
{
	live_close(&l);
	proc_free(p);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	munmap(sh, sizeof(*sh));
}

#define OK(call) ck_assert_msg((call) == 0, "%s", e.text)

/* ---- identity and threads ---- */

START_TEST(identity_is_the_childs)
{
	struct err e = {0};

	OK(live_check(&l, &e));
	OK(live_identity(&l, p, &e));
	ck_assert_int_eq(p->pid, child);
	ck_assert_int_eq(p->ppid, getpid());
	ck_assert_str_eq(p->comm, "a child");
	ck_assert_str_eq(p->arch, "x86_64");
	ck_assert_ptr_nonnull(p->exe);
	ck_assert(!p->exe_deleted);
	ck_assert(p->mm.known);
	ck_assert_uint_eq(p->auxv.len % 16, 0);
	ck_assert_uint_gt(p->auxv.len, 64);
	ck_assert_uint_gt(p->limits[7].cur, 0);
	ck_assert_uint_gt(p->start_ticks, 0);
	/* Reading twice changes nothing. */
	OK(live_identity(&l, p, &e));
	ck_assert_str_eq(p->comm, "a child");
}
END_TEST

START_TEST(threads_are_listed_leader_first)
{
	struct err e = {0};

	OK(live_threads(&l, p, &e));
	ck_assert_uint_eq(p->nthreads, 2);
	ck_assert_int_eq(p->threads[0].tid, child);
	const struct thread *const t = proc_thread(p, sh->tid);

	ck_assert_ptr_nonnull(t);
	ck_assert_str_eq(t->comm, "s)\\on\nd (x");
	ck_assert_uint_eq(t->sigmask, 1ull << (SIGUSR2 - 1));
	ck_assert_uint_gt(t->affinity.len, 0);
	ck_assert_uint_gt(t->robust.head, 0);
	ck_assert_int_eq(t->state, 'S');
	ck_assert_uint_eq(t->uid[1], geteuid());
	/* What injection found stays when the list is read again. */
	p->threads[1].injected_known = true;
	blob_set(&p->threads[1].regs, "regs", 4);
	OK(live_threads(&l, p, &e));
	ck_assert(p->threads[1].injected_known);
	ck_assert_uint_eq(p->threads[1].regs.len, 4);
}
END_TEST

START_TEST(posix_timers_are_listed)
{
	struct err e = {0};

	if (access("/proc/self/timers", R_OK) < 0) {
		printf("skipped: this kernel has no /proc/PID/timers\n");
		return;
	}
	OK(live_timers(&l, p, &e));
	ck_assert_uint_eq(p->ntimers, 1);
	ck_assert_int_eq(p->timers[0].signo, SIGUSR1);
	ck_assert_int_eq(p->timers[0].notify, SIGEV_SIGNAL);
	ck_assert_int_eq(p->timers[0].clockid, CLOCK_REALTIME);
	ck_assert_uint_eq(p->timers[0].sigev_value & 0xffffffff, 42);
}
END_TEST

/* ---- memory ---- */

static struct vma *vma_at(const void *addr)
{
	struct vma *const v = proc_vma(p, (uintptr_t)addr);

	ck_assert_ptr_nonnull(v);
	return v;
}

START_TEST(mappings_are_what_the_child_made)
{
	struct err e = {0};
	size_t files = 0;

	OK(live_maps(&l, p, true, &e));
	struct vma *v = vma_at(sh->priv);

	ck_assert_int_eq(v->kind, VMA_ANON);
	ck_assert_int_eq(v->store, STORE_PRIVATE);
	ck_assert_ptr_nonnull(strstr(v->vmflags, "nh"));
	ck_assert_uint_eq(vma_at(sh->none)->prot, PROT_NONE);
	v = vma_at(sh->shm);
	ck_assert_int_eq(v->kind, VMA_SHM);
	ck_assert_int_eq(v->store, STORE_SHARED);
	ck_assert(v->deleted && v->shared);
	ck_assert_int_ge(v->shm_id, 0);
	ck_assert_int_eq(v->shm_id, vma_at(sh->shm2)->shm_id);
	ck_assert_int_ne(v->shm_id, vma_at(sh)->shm_id);
	for (size_t i = 0; i < p->nvmas; i++) {
		v = &p->vmas[i];
		if (i)
			ck_assert_uint_ge(v->start, v[-1].end);
		if (v->kind == VMA_FILE && (v->prot & PROT_EXEC)) {
			files++;
			ck_assert_ptr_nonnull(v->build_id);
			ck_assert_uint_gt(v->file_size, 0);
			ck_assert_int_gt(v->file_mtime_ns, 0);
		}
		if (v->kind == VMA_VDSO || v->kind == VMA_VVAR || v->kind == VMA_VSYSCALL)
			ck_assert_int_eq(v->store, STORE_NONE);
		ck_assert_int_ne(v->kind, VMA_SPECIAL);
	}
	ck_assert_uint_ge(files, 2);
}
END_TEST

START_TEST(flags_of_smaps_are_kept)
{
	struct err e = {0};

	OK(live_maps(&l, p, true, &e));
	const size_t n = p->nvmas;
	const uint64_t rss = vma_at(sh->priv)->rss;

	ck_assert_uint_gt(rss, 0);
	OK(live_maps(&l, p, false, &e));
	ck_assert_uint_eq(p->nvmas, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(p->vmas[i].vmflags, "%s", vma_name(&p->vmas[i]));
	ck_assert_uint_eq(vma_at(sh->priv)->rss, rss);
	ck_assert_int_eq(vma_at(sh->shm)->shm_id, vma_at(sh->shm2)->shm_id);
}
END_TEST

/* Which of a mapping's pages are present, as a string of 0 and 1. */
static void pages_of(const void *addr, size_t npages, char *out)
{
	struct err e = {0};
	struct ranges r = {0};
	const struct vma *const v = vma_at(addr);

	OK(live_present(&l, v, false, &r, &e));
	for (size_t i = 0; i < npages; i++)
		out[i] = ranges_has(&r, (uintptr_t)addr + i * PAGE) ? '1' : '0';
	out[npages] = 0;
	ranges_deinit(&r);
}

START_TEST(present_pages_are_those_written)
{
	struct err e = {0};
	char pages[65], want[65];

	OK(live_maps(&l, p, true, &e));
	pages_of(sh->priv, 64, pages);
	memset(want, '0', 64);
	want[64] = 0;
	want[3] = want[4] = want[63] = '1';
	ck_assert_str_eq(pages, want);
	pages_of(sh->none, 2, pages);
	ck_assert_str_eq(pages, "10");
	pages_of(sh->shm, 16, pages);
	ck_assert_str_eq(pages, "1000000001000000");
	pages_of(sh->shm2, 16, pages);
	ck_assert_str_eq(pages, "1000000001000000");
}
END_TEST

START_TEST(guard_pages_are_not_stored_but_named)
{
	struct err e = {0};
	char pages[9];

	if (!sh->has_guards) {
		printf("skipped: this kernel has no MADV_GUARD_INSTALL\n");
		return;
	}
	OK(live_maps(&l, p, true, &e));
	pages_of(sh->guarded, 8, pages);
	ck_assert_str_eq(pages, "10000000");
	ck_assert_uint_eq(p->nwarnings, 1);
	ck_assert_ptr_nonnull(strstr(p->warnings[0], "guard pages"));
}
END_TEST

START_TEST(pages_of_a_file_are_stored_when_written_or_asked_for)
{
	struct err e = {0};

	OK(live_maps(&l, p, true, &e));
	for (size_t i = 0; i < p->nvmas; i++) {
		struct vma *const v = &p->vmas[i];
		struct ranges some = {0}, all = {0};

		if (v->kind != VMA_FILE || v->shared)
			continue;
		OK(live_present(&l, v, false, &some, &e));
		OK(live_present(&l, v, true, &all, &e));
		ck_assert_uint_eq(ranges_total(&some), v->priv + v->swap);
		ck_assert(ranges_covers(&all, v->start, v->start + PAGE));
		ranges_deinit(&some);
		ranges_deinit(&all);
	}
}
END_TEST

START_TEST(memory_is_read_also_where_the_child_may_not)
{
	uint8_t b[2 * PAGE];

	ck_assert_uint_eq(live_read(&l, (uintptr_t)sh->none, b, 100), 100);
	ck_assert_uint_eq(b[99], 0x5a);
	ck_assert_uint_eq(live_read(&l, (uintptr_t)sh->priv + 3 * PAGE, b, sizeof(b)), sizeof(b));
	ck_assert_uint_eq(b[0], 1);
	ck_assert_uint_eq(b[PAGE], 1);
	ck_assert_uint_eq(live_read(&l, 0, b, 10), 0);
	ck_assert_uint_eq(live_read(&l, 0xdead000000000000, b, 10), 0);
}
END_TEST

/* ---- descriptors ---- */

static struct fdesc *fd_of(int fd, int kind)
{
	struct fdesc *const f = proc_fd(p, fd);

	ck_assert_ptr_nonnull(f);
	ck_assert_str_eq(fd_kind_name(f->kind), fd_kind_name(kind));
	return f;
}

START_TEST(files_and_their_contents)
{
	struct err e = {0};

	OK(live_fds(&l, p, true, &e));
	struct fdesc *f = fd_of(sh->file, FD_FILE);

	ck_assert_int_eq(f->pos, 4);
	ck_assert(f->deleted && !f->cloexec);
	ck_assert_uint_eq(f->flags & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	ck_assert_int_eq(f->ofd, fd_of(sh->piped, FD_FILE)->ofd);
	ck_assert_int_ne(f->ofd, fd_of(sh->deleted, FD_FILE)->ofd);
	ck_assert_uint_eq(f->content.mem.len, 10);
	ck_assert_mem_eq(f->content.mem.data, "0123456789", 10);
	ck_assert_uint_eq(fd_of(sh->piped, FD_FILE)->content.len, 0);
	f = fd_of(sh->deleted, FD_FILE);
	ck_assert_uint_eq(f->content.len, 10000);
	ck_assert_mem_eq(f->content.mem.data + 9997, "end", 3);
	f = fd_of(sh->memfd, FD_MEMFD);
	ck_assert(f->cloexec);
	ck_assert_str_eq(f->path, "/memfd:a (deleted)");
	ck_assert_uint_eq(f->seals, F_SEAL_GROW);
	ck_assert_mem_eq(f->content.mem.data, "mem", 3);
}
END_TEST

START_TEST(events_and_watches)
{
	struct err e = {0};

	OK(live_fds(&l, p, false, &e));
	struct fdesc *f = fd_of(sh->event, FD_EVENTFD);

	ck_assert_uint_eq(f->event_count, 7);
	ck_assert_uint_eq(f->event_flags, EFD_SEMAPHORE);
	ck_assert(f->flags & O_NONBLOCK);
	f = fd_of(sh->timer, FD_TIMERFD);
	ck_assert_int_eq(f->timer_clockid, CLOCK_MONOTONIC);
	ck_assert_uint_eq(f->timer_interval_ns, 1000000005);
	ck_assert_uint_gt(f->timer_value_ns, 900000000000);
	ck_assert_uint_eq(fd_of(sh->signal, FD_SIGNALFD)->signal_mask, 1ull << (SIGUSR1 - 1));
	f = fd_of(sh->epoll, FD_EPOLL);
	ck_assert_uint_eq(f->nepoll, 1);
	ck_assert_int_eq(f->epoll[0].fd, sh->event);
	ck_assert_uint_eq(f->epoll[0].data, 0x1122334455667788);
	ck_assert_uint_eq(f->epoll[0].events & (EPOLLIN | EPOLLET), EPOLLIN | EPOLLET);
	f = fd_of(sh->inotify, FD_INOTIFY);
	ck_assert_uint_eq(f->ninotify, 1);
	ck_assert_int_eq(f->inotify[0].wd, 1);
	ck_assert_uint_eq(f->inotify[0].mask & IN_ALL_EVENTS, IN_MOVED_TO);
	if (geteuid() == 0)
		ck_assert_str_eq(f->inotify[0].path, "/tmp");
}
END_TEST

START_TEST(pipes_are_looked_into_not_emptied)
{
	struct err e = {0};

	for (int round = 0; round < 2; round++) {
		OK(live_fds(&l, p, true, &e));
		struct fdesc *f = fd_of(sh->pipe[0], FD_PIPE);

		ck_assert_uint_eq(f->pipe_cap, 65536);
		ck_assert(!f->other_end_outside);
		ck_assert_uint_eq(f->pipe_ino, fd_of(sh->pipe[1], FD_PIPE)->pipe_ino);
		ck_assert_uint_eq(f->content.len, 5);
		ck_assert_mem_eq(f->content.mem.data, "hello", 5);
		ck_assert_uint_eq(fd_of(sh->pipe[1], FD_PIPE)->content.len, 0);
		f = fd_of(sh->full, FD_PIPE);
		ck_assert_uint_eq(f->pipe_cap, 262144);
		ck_assert(f->other_end_closed && !f->other_end_outside);
		ck_assert_uint_eq(f->content.len, 262144);
		for (size_t i = 0; i < 4; i++)
			ck_assert_uint_eq(f->content.mem.data[i * 65536], i);
	}
	sh->again = 1;
	for (int i = 0; i < 5000 && !sh->ok; i++)
		usleep(1000);
	ck_assert_int_eq(sh->ok, 1);
}
END_TEST

START_TEST(sockets_have_addresses_and_backlogs)
{
	struct err e = {0};

	OK(live_fds(&l, p, false, &e));
	struct fdesc *f = fd_of(sh->listen, FD_SOCKET);

	ck_assert_int_eq(f->sock_family, AF_INET);
	ck_assert_int_eq(f->sock_type, SOCK_STREAM);
	ck_assert_int_eq(f->sock_state, TCP_LISTEN);
	ck_assert_int_eq(f->sock_backlog, 77);
	ck_assert_int_eq(f->sock_reuseaddr, 1);
	ck_assert_uint_eq(f->sock_local.len, sizeof(struct sockaddr_in));
	f = fd_of(sh->ulisten, FD_SOCKET);
	ck_assert_int_eq(f->sock_state, TCP_LISTEN);
	ck_assert_int_eq(f->sock_backlog, 33);
	ck_assert_uint_gt(f->sock_local.len, sizeof(sa_family_t));
	f = fd_of(sh->pair[0], FD_SOCKET);
	ck_assert_int_eq(f->sock_type, SOCK_DGRAM);
	ck_assert_int_eq(f->sock_state, TCP_ESTABLISHED);
	ck_assert_uint_eq(f->sock_peer_ino, fd_of(sh->pair[1], FD_SOCKET)->ino);
}
END_TEST

/* ---- refusals ---- */

static void refused(int pid, const char *why)
{
	struct err e = {0};
	struct live other;
	const int rc = live_open(&other, pid, &e) < 0 ? -1 : live_check(&other, &e);

	live_close(&other);
	ck_assert_int_eq(rc, -1);
	ck_assert_int_eq(e.code, EXIT_UNTRACEABLE);
	ck_assert_msg(strstr(e.text, why), "%s", e.text);
}

START_TEST(what_is_no_process_is_refused)
{
	refused(0, "no such process");
	refused(-1, "no such process");
	refused(0x7ffffff0, "no such process");
	refused(getpid(), "itself");
	refused(sh->tid, "is a thread of process");
	if (kill(2, 0) == 0 && access("/proc/2/exe", F_OK) < 0)
		refused(2, "kernel thread");
}
END_TEST

START_TEST(zombies_are_refused)
{
	const pid_t pid = fork();
	siginfo_t si;

	if (pid == 0)
		_exit(0);
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	refused(pid, "zombie");
	waitpid(pid, NULL, 0);
	refused(pid, "no such process");
}
END_TEST

START_TEST(traced_ones_are_refused_with_the_tracers_name)
{
	const pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	refused(pid, "traced already, by test_live");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(parents_of_vfork_are_refused)
{
	const pid_t pid = fork();

	if (pid == 0) {
		/* The child of vfork stands still as long as its own parent lives. */
		if (vfork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		_exit(0);
	}
	struct err e = {0};
	struct live other;
	int rc = 0;

	ck_assert_int_eq(live_open(&other, pid, &e), 0);
	/* It may not have come there yet. */
	for (int i = 0; i < 200 && (rc = live_check(&other, &e)) == 0; i++)
		usleep(10000);
	ck_assert_int_eq(rc, -1);
	ck_assert_msg(strstr(e.text, "vfork"), "%s", e.text);
	live_close(&other);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(other_users_are_refused_with_the_knob)
{
	int status;

	if (geteuid() != 0) {
		printf("skipped: only root can become another user\n");
		return;
	}
	const pid_t pid = fork();

	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		refused(child, "it runs as uid 0, we as uid 65534");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_process_that_ends_is_an_error)
{
	struct err e = {0};

	OK(live_fds(&l, p, true, &e));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ck_assert_int_eq(live_identity(&l, p, &e), -1);
	ck_assert_msg(strstr(e.text, "is gone"), "%s", e.text);
	ck_assert_int_eq(live_threads(&l, p, &e), -1);
	ck_assert_int_eq(live_maps(&l, p, true, &e), -1);
	ck_assert_int_eq(live_fds(&l, p, true, &e), -1);
	ck_assert_int_eq(live_check(&l, &e), -1);
	ck_assert_uint_eq(live_read(&l, (uintptr_t)sh->priv, &e, 1), 0);
}
END_TEST

START_TEST(a_source_refreshes)
{
	struct err e = {0};
	struct source *const s = source_open_live(child, &e);
	uint8_t byte = 0;

	ck_assert_msg(s, "%s", e.text);
	ck_assert_str_eq(s->proc->comm, "a child");
	ck_assert_uint_eq(source_read(s, (uintptr_t)sh->priv + 3 * PAGE, &byte, 1), 1);
	ck_assert_uint_eq(byte, 1);
	ck_assert_uint_eq(source_read(s, UINT64_MAX, &byte, 2), 0);
	for (int i = 0; i < 20; i++)
		OK(s->ops->refresh(s, &e));
	ck_assert_uint_eq(s->proc->nthreads, 2);
	source_close(s);
	source_close(NULL);
	ck_assert_ptr_null(source_open_live(0x7ffffff0, &e));
}
END_TEST

int main(void)
{
	Suite *const s = suite_create("live");
	TCase *const t = tcase_create("live");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, identity_is_the_childs);
	tcase_add_test(t, threads_are_listed_leader_first);
	tcase_add_test(t, posix_timers_are_listed);
	tcase_add_test(t, mappings_are_what_the_child_made);
	tcase_add_test(t, flags_of_smaps_are_kept);
	tcase_add_test(t, present_pages_are_those_written);
	tcase_add_test(t, guard_pages_are_not_stored_but_named);
	tcase_add_test(t, pages_of_a_file_are_stored_when_written_or_asked_for);
	tcase_add_test(t, memory_is_read_also_where_the_child_may_not);
	tcase_add_test(t, files_and_their_contents);
	tcase_add_test(t, events_and_watches);
	tcase_add_test(t, pipes_are_looked_into_not_emptied);
	tcase_add_test(t, sockets_have_addresses_and_backlogs);
	tcase_add_test(t, what_is_no_process_is_refused);
	tcase_add_test(t, zombies_are_refused);
	tcase_add_test(t, traced_ones_are_refused_with_the_tracers_name);
	tcase_add_test(t, parents_of_vfork_are_refused);
	tcase_add_test(t, other_users_are_refused_with_the_knob);
	tcase_add_test(t, a_process_that_ends_is_an_error);
	tcase_add_test(t, a_source_refreshes);
	suite_add_tcase(s, t);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed ? 1 : 0;
}
