/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which parts of a process's state a system call may change. Whoever has read the state and then seen every call need
 * read only those parts again. A call that is not named here may change anything.
 */
#include <sys/syscall.h>
#include <stdbool.h>
#include "arch/x86_64/x86_64.h"

#define NR_EPOLL_PWAIT2 441 /* kernel 5.11 */
#define NR_FUTEX_WAITV 449  /* kernel 5.16 */

static const short nothing[] = {SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres,
	SYS_gettimeofday, SYS_time, SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
	SYS_sched_yield, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_epoll_wait, SYS_epoll_pwait, NR_EPOLL_PWAIT2,
	SYS_getrusage, SYS_times, SYS_sysinfo, SYS_uname, SYS_getcpu, SYS_restart_syscall, SYS_rt_sigprocmask,
	SYS_rt_sigpending, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_sigreturn, SYS_pause, SYS_kill, SYS_tkill, SYS_tgkill,
	SYS_membarrier, SYS_getrandom, SYS_stat, SYS_fstat, SYS_lstat, SYS_newfstatat, SYS_statx, SYS_access, SYS_faccessat,
	SYS_readlink, SYS_readlinkat, SYS_getcwd, SYS_getrlimit, SYS_getpriority, SYS_sched_getaffinity, SYS_getitimer,
	NR_FUTEX_WAITV};
static const short maps[] = {SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_mincore, SYS_msync};
static const short fds[] = {SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev,
	SYS_lseek, SYS_recvfrom, SYS_sendto, SYS_recvmsg, SYS_sendmsg, SYS_open, SYS_openat, SYS_close, SYS_socket, SYS_accept,
	SYS_accept4, SYS_connect, SYS_shutdown, SYS_dup, SYS_dup2, SYS_dup3, SYS_pipe, SYS_pipe2, SYS_eventfd2,
	SYS_epoll_create1, SYS_epoll_ctl, SYS_timerfd_create, SYS_timerfd_settime, SYS_getdents64, SYS_sendfile, SYS_fsync,
	SYS_fdatasync, SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername};

static bool in(const short *set, size_t n, int64_t nr)
{
	for (size_t i = 0; i < n; i++)
		if (set[i] == nr)
			return true;
	return false;
}

unsigned x86_64_syscall_touches(int64_t nr)
{
	if (in(nothing, sizeof(nothing) / sizeof(*nothing), nr))
		return 0;
	if (nr == SYS_brk)
		return TOUCH_MAPS | TOUCH_SIGNALS;
	if (in(fds, sizeof(fds) / sizeof(*fds), nr))
		return TOUCH_FDS;
	return in(maps, sizeof(maps) / sizeof(*maps), nr) ? TOUCH_MAPS : TOUCH_ALL;
}
