/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Why a process cannot be traced, found out before anything is tried and said in one line that
 * names what would help.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "live/internal.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; field 9 of stat */
/* A thread may well be in disk sleep for a moment; only one that stays there is refused. */
#define D_STATE_WAIT_MS 1000

static bool is_ourselves(struct live *l)
{
	struct stat ours, theirs;

	if (l->pid == getpid())
		return true;
	/* The screen is the tracer's parent: stopping it would stop whoever could undo that. */
	return l->pid == getppid() && stat("/proc/self/exe", &ours) == 0 &&
	       fstatat(l->dirfd, "exe", &theirs, 0) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

static bool have_cap(int cap)
{
	cleanup_buf struct buf b = {0};

	if (file_read(AT_FDCWD, "/proc/self/status", &b) < 0)
		return false;
	buf_add(&b, "", 1);
	return text_field_u64((char *)b.data, "CapEff", 16) >> cap & 1;
}

static int yama_scope(void)
{
	cleanup_buf struct buf b = {0};

	if (file_read(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", &b) < 0 || b.len == 0)
		return 0;
	return b.data[0] - '0';
}

static int check_tracer(struct live *l, const char *status, struct err *e)
{
	const int tracer = (int)text_field_u64(status, "TracerPid", 10);

	if (!tracer)
		return 0;
	cleanup_buf struct buf comm = {0};
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/comm", tracer);
	if (file_read(AT_FDCWD, path, &comm) < 0 || comm.len == 0)
		return err_set(
			e, EXIT_UNTRACEABLE, "%d is traced already, by pid %d", l->pid, tracer);
	comm.data[comm.len - 1] = 0;
	return err_set(e, EXIT_UNTRACEABLE, "%d is traced already, by %s (pid %d): end that first",
		l->pid, text_safe((char *)comm.data), tracer);
}

/* Opening /proc/PID/mem asks the kernel the same question as attaching does. */
static int check_permission(struct live *l, const char *status, struct err *e)
{
	if (l->memfd >= 0)
		return 0;
	const unsigned int uid = (unsigned int)text_field_u64(status, "Uid", 10);
	const bool cap = have_cap(CAP_SYS_PTRACE);
	const int yama = yama_scope();

	if (yama >= 3)
		return err_set(e, EXIT_UNTRACEABLE,
			"not permitted to trace %d: Yama forbids tracing "
			"altogether (kernel.yama.ptrace_scope=%d, until the next boot)",
			l->pid, yama);
	if (!cap && uid != geteuid())
		return err_set(e, EXIT_UNTRACEABLE,
			"not permitted to trace %d: it runs as uid %u, we as "
			"uid %u without CAP_SYS_PTRACE: run as that user or as root",
			l->pid, uid, geteuid());
	if (!cap && yama > 0)
		return err_set(e, EXIT_UNTRACEABLE,
			"not permitted to trace %d: Yama allows it %s "
			"(kernel.yama.ptrace_scope=%d): run as root, or sysctl "
			"kernel.yama.ptrace_scope=0",
			l->pid,
			yama == 1 ? "for one's own children only" : "with CAP_SYS_PTRACE only",
			yama);
	if (!cap)
		return err_set(e, EXIT_UNTRACEABLE,
			"not permitted to trace %d: it is not dumpable (prctl, "
			"set-uid or capabilities): run as root (CAP_SYS_PTRACE)",
			l->pid);
	return err_set(e, EXIT_UNTRACEABLE,
		"not permitted to trace %d: a user namespace or security "
		"module forbids it although we have CAP_SYS_PTRACE",
		l->pid);
}

static int check_word_size(struct live *l, struct err *e)
{
	unsigned char head[EI_NIDENT];
	cleanup_fd int fd = openat(l->dirfd, "exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return 0;
	if (memcmp(head, ELFMAG, SELFMAG) == 0 && head[EI_CLASS] == ELFCLASS32)
		return err_set(e, EXIT_UNTRACEABLE,
			"%d is a 32-bit process: only 64-bit ones are supported", l->pid);
	return 0;
}

/* Calls that we make the process make would meet its filter, which may end it. */
static int check_seccomp(struct live *l, const char *status, struct err *e)
{
	if (text_field_u64(status, "Seccomp", 10) == 0)
		return 0;
	return err_set(e, EXIT_UNTRACEABLE,
		"%d is confined by seccomp: the system calls a checkpoint needs could end it", l->pid);
}

/* The first thread in state D, or 0. */
static int find_disk_sleeper(struct live *l)
{
	struct err ignored;
	size_t n;
	cleanup_free int32_t *tids = live_tids(l, &n, &ignored);
	cleanup_buf struct buf b = {0};

	for (size_t i = 0; tids && i < n; i++) {
		char path[48], state = 0;
		uint64_t f[4];

		snprintf(path, sizeof(path), "task/%d/stat", tids[i]);
		if (live_text_try(l, path, &b) && stat_fields((char *)b.data, f, 4, &state, NULL) &&
			state == 'D')
			return tids[i];
	}
	return 0;
}

/* How often a thread has gone to sleep in its life. */
static uint64_t sleeps_of(struct live *l, int tid)
{
	cleanup_buf struct buf b = {0};
	char path[48];

	snprintf(path, sizeof(path), "task/%d/status", tid);
	return tid && live_text_try(l, path, &b) ?
		text_field_u64((char *)b.data, "voluntary_ctxt_switches", 10) : 0;
}

static int check_disk_sleep(struct live *l, struct err *e)
{
	const uint64_t deadline = now_ns() + D_STATE_WAIT_MS * NS_PER_MS;
	const int seen = find_disk_sleeper(l);
	const uint64_t since = sleeps_of(l, seen);

	/* One that sleeps anew each time we look gets on: whether it can be stopped, attaching finds out. */
	while (seen && now_ns() < deadline) {
		if (find_disk_sleeper(l) != seen || sleeps_of(l, seen) != since)
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	if (!seen)
		return 0;
	cleanup_buf struct buf where = {0};
	char path[48];

	snprintf(path, sizeof(path), "task/%d/wchan", seen);
	if (!live_text_try(l, path, &where) || where.len <= 1)
		return err_set(e, EXIT_UNTRACEABLE,
			"thread %d is in uninterruptible sleep: it cannot be stopped "
			"until that ends",
			seen);
	/* vfork's parent waits inside kernel_clone (wait_for_vfork_done). */
	if (strstr((char *)where.data, "kernel_clone") || strstr((char *)where.data, "vfork"))
		return err_set(e, EXIT_UNTRACEABLE,
			"thread %d waits for its vfork child to exec or exit (%s): it "
			"cannot be stopped until then",
			seen, text_safe((char *)where.data));
	return err_set(e, EXIT_UNTRACEABLE,
		"thread %d is in uninterruptible sleep in %s: it cannot be stopped "
		"until that ends",
		seen, text_safe((char *)where.data));
}

int live_check(struct live *l, struct err *e)
{
	cleanup_buf struct buf stat = {0}, status = {0};
	uint64_t f[24];
	char state = 0;

	if (is_ourselves(l))
		return err_set(e, EXIT_UNTRACEABLE,
			"%d is ckptview itself: a tracer cannot stop itself", l->pid);
	if (!live_text_try(l, "stat", &stat) || !live_text_try(l, "status", &status) ||
		stat_fields((char *)stat.data, f, 24, &state, NULL) < 23)
		return err_set(e, EXIT_UNTRACEABLE, "no such process: %d", l->pid);
	if (f[9] & PF_KTHREAD)
		return err_set(e, EXIT_UNTRACEABLE,
			"%d is a kernel thread: it has no memory of its own", l->pid);
	if (state == 'Z' || state == 'X') {
		if ((int)f[20] > 1)
			return err_set(e, EXIT_UNTRACEABLE,
				"%d: its main thread has exited while %d others run on: "
				"not supported",
				l->pid, (int)f[20] - 1);
		return err_set(e, EXIT_UNTRACEABLE,
			"%d is a zombie: it has exited and waits for its parent %d", l->pid,
			(int)f[4]);
	}
	if (check_tracer(l, (char *)status.data, e) < 0 ||
		check_permission(l, (char *)status.data, e) < 0 || check_word_size(l, e) < 0 ||
		check_seccomp(l, (char *)status.data, e) < 0)
		return -1;
	return check_disk_sleep(l, e);
}
