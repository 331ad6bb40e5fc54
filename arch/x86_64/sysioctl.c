/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two calls that are a hundred calls each: ioctl by its command, ptrace by its request.
 *
 * Most ioctl commands say how much they move (linux Documentation/userspace-api/ioctl/
 * ioctl-number), but not whether that holds pointers to more, and some say it wrong. So memory is
 * taken generously at the argument, and only commands known to be flat escape SYS_UNKNOWN.
 */
#include "arch/x86_64/syscalls.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/sockios.h>
#include <sys/ptrace.h>

#include "base/buf.h"

/* Taken at the argument at least: TUNGETIFF claims 4 bytes and writes 40. */
#define FLAT_MIN 128
/* Taken when nothing is known. */
#define FLAT_MAX 4096
/* No pointer is below: vm.mmap_min_addr. */
#define POINTER_MIN 65536

/* Commands from before sizes were encoded. */
static const struct plain_row {
	uint16_t lo, hi, size;
	uint16_t effect;
} plain[] = {
	{0x0000, 0x00ff, 128, 0},               /* FIBMAP, FIGETBSZ */
	{0x0301, 0x031f, 512, 0},               /* HDIO_GETGEO ... */
	{0x1200, 0x12ff, 128, 0},               /* BLKROGET, BLKSSZGET ... */
	{0x2400, 0x24ff, 0, 0},                 /* PERF_EVENT_IOC_ENABLE ... */
	{0x4b00, 0x4b5f, 1024, 0},              /* KDGETMODE, KDGKBSENT ... */
	{0x4b60, 0x4bff, 8192, SYS_UNKNOWN},    /* fonts and their maps */
	{0x4c00, 0x4cff, 256, 0},               /* LOOP_GET_STATUS64 ... */
	{0x5400, 0x54ff, 128, 0},               /* TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO ... */
	{0x5600, 0x56ff, 128, 0},               /* VT_GETMODE ... */
	{0x8900, 0x8911, 128, 0},               /* SIOCATMARK, SIOCGSTAMP, SIOCGIFNAME */
	{0x8913, 0x893f, 128, 0},               /* SIOCGIFADDR ... */
	{0x8942, 0x8945, 128, 0},               /* SIOCGIFTXQLEN ... */
	{0x8947, 0x8949, 128, 0},               /* SIOCGMIIPHY ... */
	{0x8950, 0x8983, 128, 0},               /* SIOCGARP, SIOCGIFMAP, VLANs */
	{0xb700, 0xb7ff, 128, 0},               /* NS_GET_USERNS, NS_GET_OWNER_UID ... */
	{0xff00, 0xffff, 128, 0},               /* PIDFD_GET_UTS_NAMESPACE ... */
};

/* Types of encoded commands, and the numbers of those that are flat. */
static const struct flat_row {
	uint8_t type, lo, hi;
} flat[] = {
	{0x12, 0, 129},                         /* BLKGETSIZE64 ... */
	{0x15, 0, 255},                         /* FS_IOC_GETFSUUID ... */
	{'!', 0, 255},                          /* seccomp listener */
	{'$', 0, 9}, {'$', 11, 255},            /* perf; not QUERY_BPF */
	{'E', 0, 0x91}, {'E', 0x93, 255},       /* input devices; not EVIOCGMASK */
	{'T', 0, 255},                          /* TCGETS2, TIOCGPTN, TUN/TAP */
	{'W', 0, 255},                          /* watchdog */
	{'X', 31, 32}, {'X', 119, 121},         /* FS_IOC_FSGETXATTR; FIFREEZE, FITHAW, FITRIM */
	{'f', 1, 6},                            /* FS_IOC_GETFLAGS ... */
	{'j', 0, 255},                          /* joystick */
	{'p', 0, 255},                          /* real-time clock */
	{'v', 0, 2},                            /* FS_IOC_GETVERSION */
	{0x89, 0, 255},                         /* SIOCGSTAMP_NEW */
	{0x94, 9, 9}, {0x94, 13, 13},           /* FICLONE, FICLONERANGE */
	{0x94, 49, 50},                         /* FS_IOC_GETFSLABEL */
	{0xb7, 0, 255},                         /* namespaces */
	{0xff, 0, 255},                         /* PIDFD_GET_INFO */
};

static unsigned plain_ioctl(const struct sysview *v, uint32_t cmd, uint64_t addr)
{
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (cmd >= plain[i].lo && cmd <= plain[i].hi) {
			sys_put(v, addr, plain[i].size);
			return plain[i].effect;
		}
	}
	sys_put(v, addr, FLAT_MAX);
	return SYS_UNKNOWN;
}

static unsigned encoded_ioctl(const struct sysview *v, uint32_t cmd, uint64_t addr)
{
	const unsigned type = _IOC_TYPE(cmd), nr = _IOC_NR(cmd), size = _IOC_SIZE(cmd);

	sys_put(v, addr, MAX(size, FLAT_MIN));
	for (size_t i = 0; i < ARRAY_LEN(flat); i++) {
		if (type == flat[i].type && nr >= flat[i].lo && nr <= flat[i].hi)
			return 0;
	}
	sys_put(v, addr, FLAT_MAX);
	/* A userfaultfd of the program's own rules over the same pages as we do. */
	return type == 0xaa ? SYS_CLOSE_WINDOW | SYS_UNKNOWN : SYS_UNKNOWN;
}

/* A header, and behind it as many extents as it has room for. */
static unsigned put_fiemap(const struct sysview *v, uint64_t addr)
{
	struct fiemap f;

	if (!sys_get(v, addr, &f, sizeof(f)))
		return 0;
	sys_put(v, addr, sizeof(f));
	sys_put_n(v, addr + sizeof(f), f.fm_extent_count, sizeof(struct fiemap_extent));
	return 0;
}

/* struct ifconf: the length of a buffer and its address. */
static unsigned put_ifconf(const struct sysview *v, uint64_t addr)
{
	struct {
		uint32_t len, pad;
		uint64_t buf;
	} c;

	if (!sys_get(v, addr, &c, sizeof(c)))
		return 0;
	sys_put(v, addr, sizeof(c));
	sys_put(v, c.buf, c.len);
	return 0;
}

unsigned resolve_ioctl(struct sysview *v)
{
	const uint32_t cmd = v->arg[1];
	const uint64_t addr = v->arg[2] >= POINTER_MIN ? v->arg[2] : 0;

	if (cmd == FS_IOC_FIEMAP)
		return put_fiemap(v, addr);
	if (cmd == SIOCGIFCONF)
		return put_ifconf(v, addr);
	return _IOC_DIR(cmd) == _IOC_NONE && cmd <= UINT16_MAX ? plain_ioctl(v, cmd, addr)
							       : encoded_ioctl(v, cmd, addr);
}

/* What a tracer gets: at its data argument size bytes, or as many as its address argument says. */
#define BY_ADDR 0xffff
static const struct trace_row {
	uint16_t request, size;
} requests[] = {
	{PTRACE_PEEKTEXT, 8},
	{PTRACE_PEEKDATA, 8},
	{PTRACE_PEEKUSER, 8},
	{PTRACE_GETREGS, 27 * 8},
	{PTRACE_GETFPREGS, 512},
	{25 /* GET_THREAD_AREA */, 16},
	{PTRACE_GETEVENTMSG, 8},
	{PTRACE_GETSIGINFO, 128},
	{PTRACE_GETSIGMASK, BY_ADDR},
	{0x420d /* SECCOMP_GET_METADATA */, BY_ADDR},
	{PTRACE_GET_SYSCALL_INFO, BY_ADDR},
	{0x420f /* GET_RSEQ_CONFIGURATION */, BY_ADDR},
	{0x4211 /* GET_SYSCALL_USER_DISPATCH_CONFIG */, BY_ADDR},
	{PTRACE_POKETEXT, 0},
	{PTRACE_POKEDATA, 0},
	{PTRACE_POKEUSER, 0},
	{PTRACE_CONT, 0},
	{PTRACE_KILL, 0},
	{PTRACE_SINGLESTEP, 0},
	{PTRACE_SETREGS, 0},
	{PTRACE_SETFPREGS, 0},
	{PTRACE_ATTACH, 0},
	{PTRACE_DETACH, 0},
	{PTRACE_SYSCALL, 0},
	{PTRACE_SETOPTIONS, 0},
	{PTRACE_SETSIGINFO, 0},
	{PTRACE_SEIZE, 0},
	{PTRACE_INTERRUPT, 0},
	{PTRACE_LISTEN, 0},
	{PTRACE_SETSIGMASK, 0},
};

/* PTRACE_GETREGSET and SETREGSET: data is an iovec whose length is written back. */
static unsigned put_regset(struct sysview *v)
{
	sys_put(v, v->arg[3], sizeof(uint64_t[2]));
	return v->arg[0] == PTRACE_GETREGSET ? sys_put_iov(v, v->arg[3], 1) : 0;
}

unsigned resolve_tracer(struct sysview *v)
{
	const uint64_t request = v->arg[0];

	/* It has a tracer: us. */
	if (request == PTRACE_TRACEME)
		return SYS_CLOSE_WINDOW;
	if (request == PTRACE_GETREGSET || request == PTRACE_SETREGSET)
		return put_regset(v);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const struct trace_row *r = &requests[i];
		if (r->request != request)
			continue;
		sys_put(v, v->arg[3], r->size == BY_ADDR ? v->arg[2] : r->size);
		return 0;
	}
	return SYS_UNKNOWN;
}
