/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * System calls whose written memory hangs on a command or on structures in the tracee's memory:
 * messages, futexes, semaphores, keys. Structures are the kernel's, given by offset where the C
 * library has another one or none.
 */
#include "arch/x86_64/syscalls.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/socket.h>

#include "base/buf.h"

/* A struct mmsghdr: a struct msghdr and the length received. */
#define MMSG_LEN 64

/* What recvmsg writes for one message: the header's lengths and flags, the name, the control
 * data and the buffers. */
static unsigned put_msg(struct sysview *v, uint64_t addr)
{
	struct msghdr m;

	if (!sys_get(v, addr, &m, sizeof(m)))
		return 0;
	sys_put(v, addr, sizeof(m));
	sys_put(v, (uintptr_t)m.msg_name, MIN(m.msg_namelen, (socklen_t)SYS_ADDR_MAX));
	sys_put(v, (uintptr_t)m.msg_control, m.msg_controllen);
	return sys_put_iov(v, (uintptr_t)m.msg_iov, m.msg_iovlen);
}

unsigned resolve_recvmsg(struct sysview *v)
{
	return put_msg(v, v->arg[1]);
}

unsigned resolve_recvmmsg(struct sysview *v)
{
	const uint32_t n = MIN((uint32_t)v->arg[2], SYS_IOV_MAX);
	unsigned effect = 0;

	sys_put_n(v, v->arg[1], n, MMSG_LEN);
	sys_put(v, v->arg[4], sizeof(struct timespec));
	for (uint32_t i = 0; i < n && !effect; i++)
		effect |= put_msg(v, v->arg[1] + (uint64_t)i * MMSG_LEN);
	return effect;
}

unsigned resolve_sendmmsg(struct sysview *v)
{
	sys_put_n(v, v->arg[1], MIN((uint32_t)v->arg[2], SYS_IOV_MAX), MMSG_LEN);
	return 0;
}

/* The value itself is in the row. */
unsigned resolve_getsockopt(struct sysview *v)
{
	/* Maps received pages at an address found in the value. */
	const bool maps = (int)v->arg[1] == IPPROTO_TCP && (int)v->arg[2] == TCP_ZEROCOPY_RECEIVE;

	return maps ? SYS_UNKNOWN : 0;
}

unsigned resolve_msgrcv(struct sysview *v)
{
	const uint64_t text = v->arg[2];        /* behind a long, the type */

	sys_put(v, v->arg[1], text > UINT64_MAX - 8 ? UINT64_MAX : text + 8);
	return 0;
}

unsigned resolve_semctl(struct sysview *v)
{
	const uint64_t addr = v->arg[3];        /* union semun, by value */

	switch ((int)v->arg[2]) {
	case GETALL:
		/* 16 bits a semaphore; how many, only the set knows: SEMMSL is 32000 by default. */
		sys_put_n(v, addr, 65536, 2);
		break;
	case IPC_STAT:
	case IPC_INFO:
	case SEM_STAT:
	case SEM_INFO:
	case SEM_STAT_ANY:
		sys_put(v, addr, 128);
		break;
	}
	return 0;
}

unsigned resolve_fcntl(struct sysview *v)
{
	switch ((int)v->arg[1]) {
	case F_GETLK:
	case F_OFD_GETLK:
		sys_put(v, v->arg[2], sizeof(struct flock));
		break;
	case F_GETOWN_EX:
	case 17:                /* F_GETOWNER_UIDS */
	case F_GET_RW_HINT:
	case F_GET_FILE_RW_HINT:
	case 1039:              /* F_GETDELEG */
		sys_put(v, v->arg[2], 8);
		break;
	}
	return 0;
}

/* Only the priority-inheriting operations and WAKE_OP write the word; see futex(2). The kernel
 * writes it for a waiter as well when the owner lets go or dies. But any operation that is not
 * private wants a writable page: "a RO anonymous page will never change", so it says EFAULT
 * (get_futex_key, kernel/futex/core.c). pthread_join waits like that. */
unsigned resolve_futex(struct sysview *v)
{
	const int op = (int)v->arg[1] & FUTEX_CMD_MASK;

	if (!(v->arg[1] & FUTEX_PRIVATE_FLAG)) {
		sys_put(v, v->arg[0], 4);
		if (op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE)
			sys_put(v, v->arg[4], 4);
	}
	switch (op) {
	case FUTEX_LOCK_PI:
	case FUTEX_UNLOCK_PI:
	case FUTEX_TRYLOCK_PI:
	case 13:                /* FUTEX_LOCK_PI2, 5.14 */
		sys_put(v, v->arg[0], 4);
		break;
	case FUTEX_WAKE_OP:
	case FUTEX_WAIT_REQUEUE_PI:
	case FUTEX_CMP_REQUEUE_PI:
		sys_put(v, v->arg[4], 4);
		break;
	}
	return 0;
}

/* Which call goes on here only the kernel knows (unless the caller saw it interrupted), but its arguments still stand in the
 * registers: what poll, futex, nanosleep and clock_nanosleep would write, all of it. */
unsigned resolve_restart(struct sysview *v)
{
	const uint32_t nfds = (uint32_t)v->arg[1];

	if (nfds <= 1u << 20)
		sys_put(v, v->arg[0], (uint64_t)nfds * 8);
	sys_put(v, v->arg[0], 4);
	sys_put(v, v->arg[1], 16);
	sys_put(v, v->arg[3], 16);
	return 0;
}

#define MY_FUTEX2_PRIVATE 128

/* futex_waitv(2) and futex_requeue: the words of an array of struct futex_waitv. */
static void put_waitv(struct sysview *v, uint64_t at, uint64_t n)
{
	struct {
		uint64_t val, uaddr;
		uint32_t flags, reserved;
	} w;

	for (uint64_t i = 0; i < MIN(n, 128ull) && sys_get(v, at + i * sizeof(w), &w, sizeof(w)); i++)
		if (!(w.flags & MY_FUTEX2_PRIVATE))
			sys_put(v, w.uaddr, 4);
}

unsigned resolve_futex_waitv(struct sysview *v)
{
	put_waitv(v, v->arg[0], (uint32_t)v->arg[1]);
	return 0;
}

unsigned resolve_futex_requeue(struct sysview *v)
{
	put_waitv(v, v->arg[0], 2);
	return 0;
}

/* futex_wake and futex_wait, 6.7. */
unsigned resolve_futex2(struct sysview *v)
{
	if (!(v->arg[3] & MY_FUTEX2_PRIVATE))
		sys_put(v, v->arg[0], 4);
	return 0;
}

/* The node mask, in whole longs; the kernel refuses more than a page. */
unsigned resolve_get_mempolicy(struct sysview *v)
{
	sys_put(v, v->arg[1], MIN(v->arg[2], 4096 * 8 - 63) / 64 * 8 + 8);
	return 0;
}

unsigned resolve_getxattrat(struct sysview *v)
{
	struct {
		uint64_t value;
		uint32_t size, flags;
	} a;                    /* struct xattr_args, 6.13 */

	if (sys_get(v, v->arg[4], &a, sizeof(a)))
		sys_put(v, a.value, a.size);
	return 0;
}

/* struct file_handle: a u32 with the room for the handle, a type, the handle. */
unsigned resolve_name_to_handle(struct sysview *v)
{
	sys_put(v, v->arg[2], 8 + sys_get_u32(v, v->arg[2], 128));
	return 0;
}

/* The kernel marks every iocb it is given (aio_key). What they make it write, later or at once, is
 * not followed: the row says SYS_ASYNC. */
unsigned resolve_io_submit(struct sysview *v)
{
	uint64_t iocb[SYS_IOV_MAX];
	const size_t want = MIN(v->arg[1], SYS_IOV_MAX) * sizeof(iocb[0]);
	const size_t n = want ? v->read(v->ctx, v->arg[2], iocb, want) / sizeof(iocb[0]) : 0;

	for (size_t i = 0; i < n; i++)
		sys_put(v, iocb[i], 64);
	return 0;
}

unsigned resolve_keyctl(struct sysview *v)
{
	switch ((int)v->arg[0]) {
	case KEYCTL_DESCRIBE:
	case KEYCTL_READ:
	case KEYCTL_GET_SECURITY:
	case KEYCTL_DH_COMPUTE:
		sys_put(v, v->arg[2], v->arg[3]);
		return 0;
	case KEYCTL_CAPABILITIES:
		sys_put(v, v->arg[1], v->arg[2]);
		return 0;
	case KEYCTL_PKEY_QUERY:
	case KEYCTL_PKEY_ENCRYPT:
	case KEYCTL_PKEY_DECRYPT:
	case KEYCTL_PKEY_SIGN:
		return SYS_UNKNOWN;
	}
	return (int)v->arg[0] > KEYCTL_WATCH_KEY ? SYS_UNKNOWN : 0;
}
