/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * restore/plan: descriptors. Their numbers are foretold by the plan, so a small model of the
 * kernel's table plays its calls and must end with just the image's numbers.
 */
#include <check.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "plan_help.h"

enum { TABLE = 1024 };

/* ---- the kernel's table of descriptors, in small ---- */

struct table {
	bool used[TABLE], cloexec[TABLE];
	int from[TABLE]; /* the number it was dup'ed from first, or itself */
};

static int lowest(const struct table *t)
{
	for (int fd = 0; fd < TABLE; fd++)
		if (!t->used[fd])
			return fd;
	ck_abort_msg("table full");
	return -1;
}

static int open_one(struct table *t)
{
	const int fd = lowest(t);

	t->used[fd] = true;
	t->cloexec[fd] = false;
	t->from[fd] = fd;
	return fd;
}

static int64_t play_dup3(struct table *t, uint64_t from, uint64_t to, uint64_t flags)
{
	ck_assert(from < TABLE && to < TABLE && t->used[from] && from != to);
	t->used[to] = true;
	t->cloexec[to] = flags & O_CLOEXEC;
	t->from[to] = t->from[from];
	return (int64_t)to;
}

static int64_t play(struct table *t, const struct step_call *c)
{
	const struct call_arg *a = c->args;

	switch (c->nr) {
	case SYS_openat:
	case SYS_memfd_create:
	case SYS_socket:
	case SYS_eventfd2:
	case SYS_timerfd_create:
	case SYS_signalfd4:
	case SYS_epoll_create1:
	case SYS_inotify_init1:
	case SYS_pidfd_open:
		return open_one(t);
	case SYS_pipe2:
	case SYS_socketpair:
		open_one(t);
		open_one(t);
		return 0;
	case SYS_dup3:
		return play_dup3(t, a[0].num, a[1].num, a[2].num);
	case SYS_close:
		ck_assert(a[0].num < TABLE && t->used[a[0].num]);
		t->used[a[0].num] = false;
		return 0;
	case SYS_close_range:
		for (uint64_t fd = a[0].num; fd < TABLE && fd <= a[1].num; fd++)
			t->used[fd] = false;
		return 0;
	case SYS_fcntl:
		ck_assert(a[0].num < TABLE && t->used[a[0].num]);
		if (a[1].num == F_SETFD)
			t->cloexec[a[0].num] = a[2].num & FD_CLOEXEC;
		return 0;
	}
	return c->expect == -1 ? 0 : c->expect;
}

/* All goes well, so calls that follow a failure are not made. */
static struct table play_plan(const struct plan *plan)
{
	struct table t = {0};

	for (int i = 0; i < HIGH_FDS; i++)
		t.used[plan->high_fd + i] = true;
	for (size_t i = 0; i < plan->nsteps; i++) {
		for (size_t k = 0; k < plan->steps[i].ncalls; k++) {
			const struct step_call *c = &plan->steps[i].calls[k];

			if (c->when == CALL_IF_FAILED)
				continue;
			const int64_t ret = play(&t, c);

			ck_assert_msg(c->expect == -1 || ret == c->expect,
				"%s: call %zu gives %ld, not %ld", plan->steps[i].what, k,
				(long)ret, (long)c->expect);
		}
	}
	return t;
}

static void numbers_are_right(struct proc *p)
{
	struct plan plan = plan_of(p);
	const struct table t = play_plan(&plan);

	for (int fd = 0; fd < TABLE; fd++) {
		const struct fdesc *f = proc_fd(p, fd);

		ck_assert_msg(t.used[fd] == (f != NULL), "descriptor %d", fd);
		ck_assert_msg(!f || t.cloexec[fd] == f->cloexec, "close-on-exec of %d", fd);
	}
	plan_deinit(&plan);
	proc_free(p);
}

/* ---- tests ---- */

START_TEST(numbers_of_plain_files)
{
	struct proc *p = plan_proc();

	plan_add_fd(p, 1, FD_FILE, O_RDWR);
	plan_add_fd(p, 5, FD_FILE, O_RDONLY)->cloexec = true;
	plan_add_fd(p, 9, FD_FILE, O_RDWR)->ofd = 1;
	plan_add_fd(p, 200, FD_EVENTFD, O_RDWR);
	numbers_are_right(p);
}
END_TEST

START_TEST(numbers_of_crossed_pipes)
{
	struct proc *p = plan_proc();

	/* The ends stand at each other's natural places, and twice. */
	plan_add_pipe(p, 0, O_WRONLY, 50);
	plan_add_pipe(p, 1, O_RDONLY, 50);
	plan_add_pipe(p, 2, O_RDONLY, 60)->cloexec = true;
	plan_add_pipe(p, 3, O_WRONLY, 60);
	plan_add_pipe(p, 4, O_RDONLY, 60);
	plan_add_pipe(p, 7, O_WRONLY, 50)->ofd = 0;
	numbers_are_right(p);
}
END_TEST

START_TEST(numbers_of_every_kind)
{
	struct proc *p = plan_proc();

	for (int kind = 0; kind < FD_KINDS; kind++) {
		struct fdesc *f =
			plan_add_fd(p, 3 * kind + 1, kind, kind == FD_FIFO ? O_RDONLY : O_RDWR);

		f->cloexec = kind % 2;
		f->pidfd_pid = PID;
		f->sock_family = AF_UNIX;
		f->sock_type = SOCK_STREAM;
	}
	numbers_are_right(p);
}
END_TEST

START_TEST(numbers_of_sockets)
{
	struct proc *p = plan_proc();
	const struct {
		sa_family_t family;
		char path[14];
	} local = {AF_UNIX, "/tmp/s"};

	for (int i = 0; i < 5; i++) {
		struct fdesc *f = plan_add_fd(p, 10 - 0 + i, FD_SOCKET, O_RDWR);

		f->sock_family = AF_UNIX;
		f->sock_type = SOCK_STREAM;
		f->sock_state = i == 2 ? TCP_LISTEN : TCP_ESTABLISHED;
		/* 10 and 11 are a pair, 12 listens, 13 and 14 are connected to nobody here. */
		f->sock_peer_ino = i == 0 ? 1011 : i == 1 ? 1010 : 99999;
		blob_set(&f->sock_local, &local, i == 2 ? sizeof(local) : 2);
	}
	numbers_are_right(p);
}
END_TEST

START_TEST(an_outside_pipe_becomes_our_stdio)
{
	struct proc *p = plan_proc();

	plan_add_pipe(p, 0, O_RDONLY, 50)->other_end_outside = true;
	plan_add_pipe(p, 1, O_WRONLY, 51)->other_end_outside = true;
	plan_add_pipe(p, 2, O_WRONLY, 52)->other_end_outside = true;
	struct plan plan = plan_of(p);
	int seen = 0;

	for (size_t i = 0; i < plan.nsteps; i++) {
		const struct step_call *c = plan.steps[i].calls;

		if (plan.steps[i].kind == STEP_FD && plan.steps[i].ncalls == 1 &&
			c->nr == SYS_dup3) {
			ck_assert_uint_eq(c->args[0].num, (uint64_t)plan.high_fd + c->args[1].num);
			seen++;
		}
	}
	ck_assert_int_eq(seen, 3);
	plan_deinit(&plan);
	numbers_are_right(p);
}
END_TEST

int main(void)
{
	Suite *const s = suite_create("plan of descriptors");
	TCase *const t = tcase_create("descriptors");

	tcase_add_test(t, numbers_of_plain_files);
	tcase_add_test(t, numbers_of_crossed_pipes);
	tcase_add_test(t, numbers_of_every_kind);
	tcase_add_test(t, numbers_of_sockets);
	tcase_add_test(t, an_outside_pipe_becomes_our_stdio);
	suite_add_tcase(s, t);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed ? 1 : 0;
}
