/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Children and threads born and dying through the checkpoint. Variants: fork (the child checks and writes its copy of
 * the memory), vfork (and exec), spawn, share (CLONE_VM without a thread), threads, exec (this program becomes itself anew
 * every few milliseconds), exit (ends with status 7 a moment after ready), children (has one that stays).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "victim.h"

enum { LEN = 24 << 20 };
static char *mem;
extern char **environ;

static void reap(pid_t pid, int want)
{
	int status;
	victim_check(pid > 0);
	while (waitpid(pid, &status, 0) != pid)
		victim_check(errno == EINTR);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
		victim_fail("%s: a child ended with wait status %x", victim_variant, status);
}

static void do_fork(void)
{
	pid_t pid = fork();
	if (!pid) {
		if (!victim_filled(mem, LEN, 1))
			_exit(9);
		for (size_t i = 0; i < LEN; i += 4096)
			mem[i] ^= 1;
		_exit(3);
	}
	for (size_t i = 0; i < LEN; i += 40960) {       /* while the child is at it */
		mem[i] ^= 1;
		mem[i] ^= 1;
	}
	reap(pid, 3);
}

static void do_vfork(void)
{
	char *const argv[] = {"sh", "-c", "exit 5", NULL};
	pid_t pid = vfork();
	if (!pid) {
		execv("/bin/sh", argv);
		_exit(99);
	}
	reap(pid, 5);
}

static void do_spawn(void)
{
	char *argv[] = {"sh", "-c", "exit 6", NULL};
	pid_t pid;
	victim_check(!posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ));
	reap(pid, 6);
}

static int sharer(void *arg)
{
	*(int *)arg += 1;
	mem[4096 * 17] ^= 1;
	mem[4096 * 17] ^= 1;
	return 8;
}

static void do_share(void)
{
	static char stack[64 << 10] __attribute__((aligned(16)));
	int count = 0;
	pid_t pid = clone(sharer, stack + sizeof(stack), CLONE_VM | SIGCHLD, &count);
	reap(pid, 8);
	victim_check(count == 1);
}

static void *thread(void *arg)
{
	char room[512];
	memset(room, 1, sizeof(room));
	mem[(uintptr_t)arg * 4096] ^= 1;
	mem[(uintptr_t)arg * 4096] ^= 1;
	return arg;
}

static void do_threads(void)
{
	pthread_t t[8];
	for (uintptr_t i = 0; i < 8; i++)
		victim_check(!pthread_create(&t[i], NULL, thread, (void *)(i + 100)));
	for (uintptr_t i = 0; i < 8; i++) {
		void *r = NULL;
		victim_check(!pthread_join(t[i], &r) && r == (void *)(i + 100));
	}
}

static void do_exec(char **argv)
{
	victim_sleep_ms(3);
	if (victim_told())
		victim_pass();
	setenv("VICTIM_AGAIN", "1", 1);
	execv("/proc/self/exe", argv);
	victim_fail("execv: %d", errno);
}

static void do_exit(void)
{
	for (int i = 0; i < 40; i++)
		victim_fill(mem, LEN, (uint64_t)i);
	exit(7);
}

static void keep_child(void)
{
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		victim_wait();
		_exit(victim_filled(mem, LEN, 1) ? 4 : 9);
	}
	victim_ready();
	victim_wait();
	reap(pid, 4);
	victim_pass();
}

int main(int argc, char **argv)
{
	victim_init(argc, argv);
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	victim_check(mem != MAP_FAILED);
	victim_fill(mem, LEN, 1);
	if (victim_is("children"))
		keep_child();
	if (!getenv("VICTIM_AGAIN"))
		victim_ready();
	if (victim_is("exit"))
		do_exit();
	if (victim_is("exec"))
		do_exec(argv);
	while (!victim_told()) {
		if (victim_is("fork"))
			do_fork();
		else if (victim_is("vfork"))
			do_vfork();
		else if (victim_is("spawn"))
			do_spawn();
		else if (victim_is("share"))
			do_share();
		else
			do_threads();
	}
	victim_check(victim_filled(mem, LEN, 1));
	victim_pass();
}
