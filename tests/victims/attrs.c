/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a process is besides its memory: limits, umask, working directory, nice, scheduling, names, credentials (variant "nobody"
 * gives up root), personality, and the flags of prctl. */
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "victim.h"

enum { NOBODY = 65534 };
static char dir[4096], exe[4096], **args;
static pid_t pid, pgrp, sid;
static unsigned persona;
static char auxv[2048];
static ssize_t auxv_len;

static ssize_t slurp(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, len);
	close(fd);
	return n;
}

static void *other(void *arg)
{
	char name[16];
	prctl(PR_SET_NAME, "second \\ (x)");
	victim_check(!setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 9));
	*(volatile bool *)arg = true;
	victim_wait();
	victim_check(!prctl(PR_GET_NAME, name) && !strcmp(name, "second \\ (x)"));
	victim_check(getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)) == 9);
	return NULL;
}

static void build(void)
{
	struct rlimit lim = {333, 444};
	struct sched_param none = {0};
	cpu_set_t set;
	victim_check(!setrlimit(RLIMIT_NOFILE, &lim));
	lim = (struct rlimit){12 << 20, RLIM_INFINITY};
	victim_check(!setrlimit(RLIMIT_STACK, &lim) || errno == EPERM);
	lim = (struct rlimit){0, 0};
	victim_check(!setrlimit(RLIMIT_CORE, &lim));
	umask(0135);
	snprintf(dir, sizeof(dir), "%s.dir", victim_result);
	victim_check(!mkdir(dir, 0777) && !chmod(dir, 0777) && !chdir(dir));
	victim_check(!setpriority(PRIO_PROCESS, 0, 5) && !sched_setscheduler(0, SCHED_BATCH, &none));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	victim_check(!sched_setaffinity(0, sizeof(set), &set));
	victim_check(!prctl(PR_SET_NAME, "renamed victim") && !prctl(PR_SET_TIMERSLACK, 123456));
	victim_check(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	if (victim_is("flags")) {
		victim_check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_PDEATHSIG, SIGUSR1));
		victim_check(personality(ADDR_NO_RANDOMIZE) != -1 && !prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	}
	if (victim_is("nobody")) {
		gid_t groups[] = {100, 200};
		victim_check(!setgroups(2, groups) && !setresgid(NOBODY, NOBODY, NOBODY));
		victim_check(!setresuid(NOBODY, NOBODY, NOBODY) && !prctl(PR_SET_DUMPABLE, 1));
	}
	memcpy(args[0], "changed", 7);  /* as daemons do */
	persona = (unsigned)personality(0xffffffff);
	pid = getpid();
	pgrp = getpgrp();
	sid = getsid(0);
	victim_check(readlink("/proc/self/exe", exe, sizeof(exe)) > 0);
	auxv_len = slurp("/proc/self/auxv", auxv, sizeof(auxv));
}

static void check_limits(void)
{
	struct rlimit lim;
	victim_check(!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur == 333 && lim.rlim_max == 444);
	victim_check(!getrlimit(RLIMIT_CORE, &lim) && lim.rlim_cur == 0 && lim.rlim_max == 0);
	victim_check(getpriority(PRIO_PROCESS, 0) == 5 && sched_getscheduler(0) == SCHED_BATCH);
	cpu_set_t set;
	victim_check(!sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
	victim_check(prctl(PR_GET_TIMERSLACK) == 123456);
	int v = 0;
	victim_check(!prctl(PR_GET_CHILD_SUBREAPER, &v) && v == 1);
}

static void check_names(void)
{
	char b[4096], now[4096] = "";
	struct stat st;
	victim_check(umask(0) == 0135);
	victim_check(getcwd(b, sizeof(b)) && !strcmp(b, dir));
	victim_check(!prctl(PR_GET_NAME, b) && !strcmp(b, "renamed victim"));
	victim_check(readlink("/proc/self/exe", now, sizeof(now)) > 0 && !strcmp(now, exe));
	ssize_t n = slurp("/proc/self/cmdline", b, sizeof(b) - 1);
	victim_check(n > 0 && !memcmp(b, "changed", 7));
	n = slurp("/proc/self/auxv", b, 2048);
	victim_check(n == auxv_len && !memcmp(b, auxv, (size_t)n));
	victim_check(!stat("/proc/self/environ", &st));
	victim_check(getpid() == pid && syscall(SYS_gettid) == pid);
	if (getpgrp() != pgrp || getsid(0) != sid)
		victim_fail("process group %d was %d, session %d was %d", getpgrp(), pgrp, getsid(0), sid);
}

static void check_rights(void)
{
	if (victim_is("flags")) {
		int sig = 0;
		victim_check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
		victim_check(!prctl(PR_GET_PDEATHSIG, &sig) && sig == SIGUSR1);
	}
	victim_check((unsigned)personality(0xffffffff) == persona && prctl(PR_GET_DUMPABLE) == 1);
	if (!victim_is("nobody"))
		return;
	uid_t r, e, s;
	gid_t g[8];
	victim_check(!getresuid(&r, &e, &s) && r == NOBODY && e == NOBODY && s == NOBODY);
	victim_check(!getresgid(&r, &e, &s) && r == NOBODY && e == NOBODY && s == NOBODY);
	victim_check(getgroups(8, g) == 2 && g[0] == 100 && g[1] == 200);
	victim_check(setuid(0) == -1 && open("/etc/shadow", O_RDONLY) == -1);
}

int main(int argc, char **argv)
{
	volatile bool named = false;
	pthread_t t;
	victim_init(argc, argv);
	args = argv;
	build();
	victim_check(!pthread_create(&t, NULL, other, (void *)&named));
	while (!named)
		victim_sleep_ms(1);
	victim_ready();
	victim_wait();
	pthread_join(t, NULL);
	check_limits();
	check_names();
	check_rights();
	victim_pass();
}
