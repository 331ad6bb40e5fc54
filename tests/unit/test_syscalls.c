/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of system calls: complete, rightly named, right about effects and mappings, and not to
 * be led astray by hostile arguments. What calls write is measured in test_syswrites.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "arch/x86_64/x86_64.h"
#include "base/buf.h"

/* Younger than the headers of Debian 12. */
#ifndef SYS_getxattrat
#define SYS_getxattrat 464
#endif
#ifndef SYS_listmount
#define SYS_listmount 458
#endif

static struct ranges writes, mm;

/* Reads our own memory; below 1 MiB is nothing. */
static size_t read_own(void *ctx, uint64_t addr, void *out, size_t len)
{
	(void)ctx;
	if (addr < 1 << 20 || addr > UINT64_MAX - len)
		return 0;
	memcpy(out, (void *)(uintptr_t)addr, len);
	return len;
}

static unsigned effect_of(long nr, const uint64_t args[6])
{
	ranges_clear(&writes);
	ranges_clear(&mm);
	return x86_64_syscall_effect(nr, args, read_own, NULL, &writes, &mm);
}
#define EFFECT(nr, ...) effect_of(nr, (uint64_t[6]){__VA_ARGS__})
#define P(p) ((uintptr_t)(p))

static void one_range(const struct ranges *r, uint64_t start, uint64_t end)
{
	ck_assert_uint_eq(r->n, 1);
	ck_assert_uint_eq(r->r[0].start, start);
	ck_assert_uint_eq(r->r[0].end, end);
}

START_TEST(every_number_of_the_headers_has_its_row)
{
	FILE *f = popen("echo '#include <asm/unistd_64.h>' | cc -E -dM - 2>/dev/null", "r");
	char line[256], name[128];
	int nr, rows = 0;

	ck_assert(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "#define __NR_%127s %d", name, &nr) != 2)
			continue;
		const char *ours = x86_64_syscall_name(nr);
		/* Numbers younger than the table are unknown, and that is what it says. */
		if (nr > 469)
			continue;
		ck_assert_msg(ours && !strcmp(ours, name), "%d %s: %s", nr, name,
			ours ? ours : "no row");
		rows++;
	}
	if (pclose(f) || !rows)
		fprintf(stderr, "skipped: no C compiler to list system calls with\n");
	else
		ck_assert_int_ge(rows, 335);
}
END_TEST

START_TEST(numbers_without_a_row_are_unknown)
{
	ck_assert_uint_eq(EFFECT(-1, 0), SYS_UNKNOWN);
	ck_assert_uint_eq(EFFECT(400, 0), SYS_UNKNOWN);
	ck_assert_uint_eq(EFFECT(100000, 0), SYS_UNKNOWN);
	ck_assert_uint_eq(EFFECT(INT64_MIN, 0), SYS_UNKNOWN);
	ck_assert_uint_eq(EFFECT(0x40000000, 0), SYS_UNKNOWN);  /* x32 */
	ck_assert_ptr_null(x86_64_syscall_name(-1));
	ck_assert_str_eq(x86_64_syscall_name(462), "mseal");
	ck_assert_str_eq(x86_64_syscall_name(469), "file_setattr");
}
END_TEST

START_TEST(mappings_changed_in_whole_pages)
{
	ck_assert_uint_eq(EFFECT(SYS_munmap, 0x10000, 0x1800), SYS_MM);
	one_range(&mm, 0x10000, 0x12000);
	ck_assert_uint_eq(EFFECT(SYS_munmap, 0x10000, 0), 0);
	ck_assert_uint_eq(EFFECT(SYS_munmap, 0x10000, UINT64_MAX), SYS_MM);
	one_range(&mm, 0x10000, UINT64_MAX);
	ck_assert_uint_eq(EFFECT(SYS_mprotect, 0x10000, 1, PROT_READ), SYS_MM);
	one_range(&mm, 0x10000, 0x11000);
	ck_assert_uint_eq(EFFECT(SYS_mremap, 0x10000, 0x1000, 0x3000, MREMAP_MAYMOVE | MREMAP_FIXED,
		0x40000), SYS_MM);
	ck_assert_uint_eq(mm.n, 2);
	ck_assert(ranges_covers(&mm, 0x40000, 0x43000));
	ck_assert_uint_eq(EFFECT(SYS_shmdt, 0x20000), SYS_MM);
	one_range(&mm, 0x20000, 0x21000);
	ck_assert_uint_eq(EFFECT(SYS_brk, 0x5001), SYS_MM);
	one_range(&mm, 0x6000, UINT64_MAX);
	ck_assert_uint_eq(EFFECT(SYS_brk, 0), 0);
}
END_TEST

START_TEST(only_a_forced_place_replaces_mappings)
{
	const int how = MAP_PRIVATE | MAP_ANONYMOUS;

	ck_assert_uint_eq(EFFECT(SYS_mmap, 0x10000, 1, 0, how), 0);
	ck_assert_uint_eq(EFFECT(SYS_mmap, 0x10000, 1, 0, how | MAP_FIXED), SYS_MM);
	one_range(&mm, 0x10000, 0x11000);
	ck_assert_uint_eq(EFFECT(SYS_mmap, 0x10000, 1, 0, how | MAP_FIXED_NOREPLACE), 0);
	ck_assert_uint_eq(EFFECT(SYS_shmat, 0, 0x10000, 0), 0);
	ck_assert_uint_eq(EFFECT(SYS_shmat, 0, 0x10000, SHM_REMAP), SYS_MM | SYS_CLOSE_WINDOW);
}
END_TEST

START_TEST(advice_by_its_kind)
{
	static const int changing[] = {MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WIPEONFORK,
		MADV_DONTFORK, MADV_HUGEPAGE, 102 /* GUARD_INSTALL */, 103};

	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		ck_assert_uint_eq(EFFECT(SYS_madvise, 0x10000, 0x1000, changing[i]), SYS_MM);
		one_range(&mm, 0x10000, 0x11000);
		ck_assert_uint_eq(writes.n, 0);
	}
	ck_assert_uint_eq(EFFECT(SYS_madvise, 0x10000, 0x1000, MADV_WILLNEED), 0);
	ck_assert_uint_eq(EFFECT(SYS_madvise, 0x10000, 0x1000, MADV_POPULATE_WRITE), 0);
	one_range(&writes, 0x10000, 0x11000);

	struct iovec iov[2] = {{(void *)0x10000, 0x1000}, {(void *)0x30000, 0x1000}};
	ck_assert_uint_eq(EFFECT(SYS_process_madvise, 3, P(iov), 2, MADV_DONTNEED), SYS_MM);
	ck_assert_uint_eq(mm.n, 2);
}
END_TEST

START_TEST(files_that_shrink_have_no_range)
{
	const uint64_t how[3] = {O_TRUNC | O_WRONLY};

	ck_assert_uint_eq(EFFECT(SYS_ftruncate, 3, 0), SYS_MM);
	ck_assert_uint_eq(EFFECT(SYS_openat, 3, 0, O_RDWR | O_TRUNC), SYS_MM);
	ck_assert_uint_eq(EFFECT(SYS_openat, 3, 0, O_RDWR | O_CREAT), 0);
	ck_assert_uint_eq(EFFECT(SYS_openat2, 3, 0, P(how), sizeof(how)), SYS_MM);
	ck_assert_uint_eq(EFFECT(SYS_fallocate, 3, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
		SYS_MM);
	ck_assert_uint_eq(EFFECT(SYS_fallocate, 3, FALLOC_FL_KEEP_SIZE), 0);
	ck_assert_uint_eq(mm.n, 0);
}
END_TEST

START_TEST(children_by_their_flags)
{
	const uint64_t args[4] = {CLONE_VM | CLONE_VFORK};

	ck_assert_uint_eq(EFFECT(SYS_fork, 0), SYS_FORK);
	ck_assert_uint_eq(EFFECT(SYS_vfork, 0), SYS_SHARE);
	ck_assert_uint_eq(EFFECT(SYS_clone, SIGCHLD), SYS_FORK);
	ck_assert_uint_eq(EFFECT(SYS_clone, CLONE_VM | SIGCHLD), SYS_SHARE);
	ck_assert_uint_eq(EFFECT(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), SYS_THREAD);
	ck_assert_uint_eq(EFFECT(SYS_clone, CLONE_UNTRACED | SIGCHLD), SYS_FORK | SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_clone3, P(args), 88), SYS_SHARE);
	ck_assert_uint_eq(EFFECT(SYS_clone3, 8, 88), SYS_FORK | SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_execve, 0), SYS_EXEC);
	ck_assert_uint_eq(EFFECT(SYS_exit_group, 0), SYS_EXIT);
}
END_TEST

/* glibc's fork and pthread_create: their words must be writable for the child before it runs. */
START_TEST(child_words_are_written)
{
	EFFECT(SYS_clone, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0, 0x1000, 0x2000);
	one_range(&writes, 0x2000, 0x2004);
	EFFECT(SYS_clone, CLONE_PARENT_SETTID, 0, 0x1000, 0x2000);
	one_range(&writes, 0x1000, 0x1004);
}
END_TEST

START_TEST(what_must_not_meet_us_closes_the_window)
{
	ck_assert_uint_eq(EFFECT(SYS_rt_sigaction, SIGSEGV), SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_rt_sigaction, SIGUSR1), 0);
	ck_assert_uint_eq(EFFECT(SYS_seccomp, 0), SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_unshare, 0), SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_prctl, PR_SET_SECCOMP), SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_prctl, PR_SET_MM), SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_prctl, PR_SET_NAME, 0x10000), 0);
	ck_assert_uint_eq(writes.n, 0);
	ck_assert_uint_eq(EFFECT(SYS_arch_prctl, 0x5001), SYS_CLOSE_WINDOW);
	ck_assert_uint_eq(EFFECT(SYS_personality, 0xffffffff), 0);
	ck_assert_uint_eq(EFFECT(SYS_personality, 0x0400000), SYS_CLOSE_WINDOW);
}
END_TEST

START_TEST(ioctls_not_known_to_be_flat_are_unknown)
{
	ck_assert_uint_eq(EFFECT(SYS_ioctl, 0, TIOCGWINSZ, 0x20000), 0);
	ck_assert_uint_eq(EFFECT(SYS_ioctl, 0, 0x2285 /* SG_IO */, 0x20000), SYS_UNKNOWN);
	ck_assert_uint_eq(EFFECT(SYS_ioctl, 0, _IOWR('d', 0, char[64]), 0x20000), SYS_UNKNOWN);
	one_range(&writes, 0x20000, 0x21000);
	ck_assert_uint_eq(EFFECT(SYS_ioctl, 0, _IOWR(0xaa, 0x3f, char[24]), 0x20000),
		SYS_UNKNOWN | SYS_CLOSE_WINDOW);
	EFFECT(SYS_ioctl, 0, TIOCSCTTY, 1);
	ck_assert_uint_eq(writes.n, 0);
}
END_TEST

START_TEST(hostile_lengths_end_at_the_end_of_memory)
{
	EFFECT(SYS_read, 0, 0x10000, UINT64_MAX);
	one_range(&writes, 0x10000, UINT64_MAX);
	EFFECT(SYS_listmount, 0, 0x10000, UINT64_MAX / 4);      /* count * 8 wraps */
	one_range(&writes, 0x10000, UINT64_MAX);
	EFFECT(SYS_msgrcv, 0, 0x10000, UINT64_MAX);
	one_range(&writes, 0x10000, UINT64_MAX);
	EFFECT(SYS_poll, 0x10000, 0xdeadbeef00000002);          /* an unsigned int */
	one_range(&writes, 0x10000, 0x10010);
	EFFECT(SYS_munmap, UINT64_MAX, 1);
	one_range(&mm, UINT64_MAX & ~4095ull, UINT64_MAX);
	EFFECT(SYS_mincore, 0x10000, UINT64_MAX, 0x20000);
	EFFECT(SYS_get_mempolicy, 0, 0x20000, UINT64_MAX);
	one_range(&writes, 0x20000, 0x21000);
	EFFECT(SYS_read, 0, 0, 100);                            /* NULL is not written */
	ck_assert_uint_eq(writes.n, 0);
}
END_TEST

START_TEST(lengths_in_memory_are_bounded)
{
	uint32_t len = UINT32_MAX;

	EFFECT(SYS_getsockname, 0, 0x10000, P(&len));
	ck_assert(ranges_covers(&writes, 0x10000, 0x10080));
	ck_assert(!ranges_has(&writes, 0x10080));
	ck_assert(ranges_covers(&writes, P(&len), P(&len) + 4));
	EFFECT(SYS_getsockname, 0, 0x10000, 0x20);              /* unreadable */
	ck_assert(!ranges_has(&writes, 0x10000));
}
END_TEST

START_TEST(unreadable_structures_write_nothing)
{
	ck_assert_uint_eq(EFFECT(SYS_recvmsg, 0, 0x20), 0);
	ck_assert_uint_eq(EFFECT(SYS_readv, 0, 0x20, UINT64_MAX), 0);
	ck_assert_uint_eq(EFFECT(SYS_getxattrat, 0, 0, 0, 0, 0x20, 16), 0);
	ck_assert_uint_eq(EFFECT(SYS_io_submit, 0, UINT64_MAX, 0x20), SYS_ASYNC);
	ck_assert_uint_eq(writes.n, 0);
}
END_TEST

/* 1024 messages of 1024 buffers each: a million ranges are not sorted for anybody. */
START_TEST(endless_messages_are_not_followed)
{
	static struct iovec iov[1024];
	static struct mmsghdr m[1024];

	for (size_t i = 0; i < 1024; i++) {
		iov[i] = (struct iovec){(void *)(0x100000 + i * 0x2000), 1};
		m[i].msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1024};
	}
	ck_assert_uint_eq(EFFECT(SYS_recvmmsg, 0, P(m), 4), 0);
	ck_assert_uint_eq(EFFECT(SYS_recvmmsg, 0, P(m), UINT32_MAX), SYS_UNKNOWN);
}
END_TEST

START_TEST(a_call_touches_what_it_may_change)
{
	ck_assert_uint_eq(arch->syscall_touches(SYS_futex), 0);
	ck_assert_uint_eq(arch->syscall_touches(SYS_read), TOUCH_FDS);
	ck_assert_uint_eq(arch->syscall_touches(SYS_mprotect), TOUCH_MAPS);
	/* Where the program break is, only the process itself can tell. */
	ck_assert_uint_eq(arch->syscall_touches(SYS_brk), TOUCH_MAPS | TOUCH_SIGNALS);
}
END_TEST

START_TEST(calls_that_are_not_known_touch_everything)
{
	static const int64_t nrs[] = {SYS_rt_sigaction, SYS_setitimer, SYS_clone, SYS_prctl, SYS_chdir, SYS_ioctl, 9999, -1};

	for (size_t i = 0; i < ARRAY_LEN(nrs); i++)
		ck_assert_uint_eq(arch->syscall_touches(nrs[i]), TOUCH_ALL);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("table");
	Suite *s = suite_create("syscalls");

	tcase_add_test(tc, every_number_of_the_headers_has_its_row);
	tcase_add_test(tc, numbers_without_a_row_are_unknown);
	tcase_add_test(tc, mappings_changed_in_whole_pages);
	tcase_add_test(tc, only_a_forced_place_replaces_mappings);
	tcase_add_test(tc, advice_by_its_kind);
	tcase_add_test(tc, files_that_shrink_have_no_range);
	tcase_add_test(tc, children_by_their_flags);
	tcase_add_test(tc, child_words_are_written);
	tcase_add_test(tc, what_must_not_meet_us_closes_the_window);
	tcase_add_test(tc, ioctls_not_known_to_be_flat_are_unknown);
	tcase_add_test(tc, hostile_lengths_end_at_the_end_of_memory);
	tcase_add_test(tc, lengths_in_memory_are_bounded);
	tcase_add_test(tc, unreadable_structures_write_nothing);
	tcase_add_test(tc, endless_messages_are_not_followed);
	tcase_add_test(tc, a_call_touches_what_it_may_change);
	tcase_add_test(tc, calls_that_are_not_known_touch_everything);
	suite_add_tcase(s, tc);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	const int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
