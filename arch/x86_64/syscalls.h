/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Between the table of system calls (syscalls.c) and the functions that work out what a row of
 * constants cannot say (syswrites.c, sysmaps.c, sysioctl.c). Nobody else includes this.
 */
#ifndef CKPT_ARCH_X86_64_SYSCALLS_H
#define CKPT_ARCH_X86_64_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"

/* One call about to be made. Arguments and everything read from the tracee are hostile. */
struct sysview {
	const uint64_t *arg;            /* six, as in the registers */
	arch_reader read;
	void *ctx;
	struct ranges *writes, *mm;
	unsigned budget;                /* array elements that may still be followed */
};

/* The most elements readv and its like accept (UIO_MAXIOV). */
#define SYS_IOV_MAX 1024
/* The largest socket address (struct sockaddr_storage). */
#define SYS_ADDR_MAX 128

/* Adds [addr, addr + len) to the memory the call writes; cut at the end of the address space. */
void sys_put(const struct sysview *v, uint64_t addr, uint64_t len);
/* The same, count * size bytes. */
void sys_put_n(const struct sysview *v, uint64_t addr, uint64_t count, uint64_t size);
/* Adds the pages of [addr, addr + len) to the changed mappings: SYS_MM, or 0 if that is empty. */
unsigned sys_map(const struct sysview *v, uint64_t addr, uint64_t len);
/* Reads all of len bytes, or says no. */
bool sys_get(const struct sysview *v, uint64_t addr, void *out, size_t len);
/* The 32 bits at addr, at most max; 0 when they cannot be read. */
uint32_t sys_get_u32(const struct sysview *v, uint64_t addr, uint32_t max);

/* The buffers of an iovec array, as memory written or as mappings changed. Effects to add: SYS_MM,
 * or SYS_UNKNOWN when there are more than we are willing to follow. */
unsigned sys_put_iov(struct sysview *v, uint64_t addr, uint64_t count);
unsigned sys_map_iov(struct sysview *v, uint64_t addr, uint64_t count);

/* Each adds what its call does to v and returns effects (enum sys_effect) to add to the row's. */
typedef unsigned sys_resolver(struct sysview *v);
/* syswrites.c */
sys_resolver resolve_fcntl, resolve_futex, resolve_futex2, resolve_futex_requeue,
	resolve_futex_waitv, resolve_get_mempolicy, resolve_getsockopt,
	resolve_getxattrat, resolve_io_submit, resolve_keyctl, resolve_msgrcv,
	resolve_name_to_handle, resolve_recvmmsg, resolve_recvmsg, resolve_restart, resolve_semctl, resolve_sendmmsg;
/* sysmaps.c */
sys_resolver resolve_arch_prctl, resolve_brk, resolve_clone, resolve_clone3, resolve_fallocate,
	resolve_madvise, resolve_mmap, resolve_mprotect, resolve_mremap, resolve_open,
	resolve_openat, resolve_openat2, resolve_personality, resolve_prctl,
	resolve_process_madvise, resolve_shmat, resolve_sigaction,
	resolve_sigaltstack;
/* sysioctl.c */
sys_resolver resolve_ioctl, resolve_tracer;

enum sys_out_kind {
	OUT_NONE,
	OUT_FIX,        /* size bytes */
	OUT_LEN,        /* argument len, an unsigned long, times size */
	OUT_CNT,        /* argument len, an int or unsigned int, times size */
	OUT_SET,        /* an fd_set of argument len bits (an int), in whole longs */
	OUT_PAGES,      /* a byte for each page of argument len */
	OUT_ADDR,       /* a socket address; argument len points to its length, also written */
	OUT_VAL,        /* the same for any value */
	OUT_IOV,        /* the buffers of an iovec array of argument len elements */
	OUT_MAP,        /* not written: the mappings of argument len bytes change */
	OUT_MAP_AT,     /* the mapping at this address goes */
	OUT_MAP_ALL,    /* every mapping changes */
};

struct sys_out {
	uint8_t kind, arg, len;
	uint16_t size;
};

struct sys_row {
	const char *name;
	uint16_t effect;
	struct sys_out out[4];
	sys_resolver *more;
};

/* The row of a call; NULL: no such call. systable.c */
const struct sys_row *sys_row_of(int64_t nr);

#endif
