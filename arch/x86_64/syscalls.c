/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a system call does to user memory: walks the call's row of the table (systable.c) with the
 * arguments at hand. Here are also the few ways by which rows and resolvers add ranges; everything
 * that comes from the tracee is bounded here.
 */
#include "arch/x86_64/syscalls.h"

#include "arch/x86_64/x86_64.h"
#include "base/buf.h"

#define PAGE 4096ull

void sys_put(const struct sysview *v, uint64_t addr, uint64_t len)
{
	if (addr && len)
		ranges_add(v->writes, addr, len > UINT64_MAX - addr ? UINT64_MAX : addr + len);
}

void sys_put_n(const struct sysview *v, uint64_t addr, uint64_t count, uint64_t size)
{
	uint64_t len;

	if (__builtin_mul_overflow(count, size, &len))
		len = UINT64_MAX;
	sys_put(v, addr, len);
}

unsigned sys_map(const struct sysview *v, uint64_t addr, uint64_t len)
{
	if (!len)
		return 0;
	const uint64_t start = addr & ~(PAGE - 1);
	const bool wraps = len > UINT64_MAX - addr || addr + len > UINT64_MAX - PAGE;
	ranges_add(v->mm, start, wraps ? UINT64_MAX : (addr + len + PAGE - 1) & ~(PAGE - 1));
	return SYS_MM;
}

bool sys_get(const struct sysview *v, uint64_t addr, void *out, size_t len)
{
	return addr && v->read(v->ctx, addr, out, len) == len;
}

uint32_t sys_get_u32(const struct sysview *v, uint64_t addr, uint32_t max)
{
	uint32_t n;

	return sys_get(v, addr, &n, sizeof(n)) ? MIN(n, max) : 0;
}

/* Reads the iovec array (at most SYS_IOV_MAX elements) as address, length pairs. A call with more
 * is refused by the kernel; one that is partly readable is followed as far as it goes. */
static size_t iov_read(const struct sysview *v, uint64_t addr, uint64_t count,
	uint64_t iov[SYS_IOV_MAX][2])
{
	const size_t want = MIN(count, SYS_IOV_MAX) * sizeof(iov[0]);

	return addr && want ? v->read(v->ctx, addr, iov, want) / sizeof(iov[0]) : 0;
}

/* Takes n elements from what may be followed; a hostile recvmmsg would have us sort a million. */
static bool budget_take(struct sysview *v, size_t n)
{
	if (n > v->budget)
		return false;
	v->budget -= n;
	return true;
}

unsigned sys_put_iov(struct sysview *v, uint64_t addr, uint64_t count)
{
	uint64_t iov[SYS_IOV_MAX][2];
	const size_t n = iov_read(v, addr, count, iov);

	if (!budget_take(v, n))
		return SYS_UNKNOWN;
	for (size_t i = 0; i < n; i++)
		sys_put(v, iov[i][0], iov[i][1]);
	return 0;
}

unsigned sys_map_iov(struct sysview *v, uint64_t addr, uint64_t count)
{
	uint64_t iov[SYS_IOV_MAX][2];
	const size_t n = iov_read(v, addr, count, iov);
	unsigned effect = 0;

	if (!budget_take(v, n))
		return SYS_UNKNOWN;
	for (size_t i = 0; i < n; i++)
		effect |= sys_map(v, iov[i][0], iov[i][1]);
	return effect;
}

/* How many array elements of the tracee's (iovecs, messages) one call makes us follow. */
#define FOLLOW_MAX 8192

static unsigned out_add(struct sysview *v, const struct sys_out *o)
{
	const uint64_t addr = v->arg[o->arg], len = v->arg[o->len];

	switch (o->kind) {
	case OUT_FIX:
		sys_put(v, addr, o->size);
		break;
	case OUT_LEN:
		sys_put_n(v, addr, len, o->size);
		break;
	case OUT_CNT:
		sys_put_n(v, addr, (uint32_t)len, o->size);
		break;
	case OUT_SET:
		sys_put(v, addr, ((uint64_t)(uint32_t)len + 63) / 64 * 8);
		break;
	case OUT_PAGES:
		sys_put(v, addr, len / 4096 + 1);
		break;
	case OUT_ADDR:
		if (addr) {
			sys_put(v, addr, sys_get_u32(v, len, SYS_ADDR_MAX));
			sys_put(v, len, 4);
		}
		break;
	case OUT_VAL:
		sys_put(v, addr, sys_get_u32(v, len, INT32_MAX));
		sys_put(v, len, 4);
		break;
	case OUT_IOV:
		return sys_put_iov(v, addr, len);
	case OUT_MAP:
		return sys_map(v, addr, len);
	case OUT_MAP_AT:
		return sys_map(v, addr, 1);
	case OUT_MAP_ALL:
		return sys_map(v, 0, UINT64_MAX);
	}
	return 0;
}

unsigned x86_64_syscall_effect(int64_t nr, const uint64_t args[6], arch_reader read, void *ctx,
	struct ranges *writes, struct ranges *mm)
{
	struct sysview v = {args, read, ctx, writes, mm, FOLLOW_MAX};
	const struct sys_row *row = sys_row_of(nr);

	if (!row)
		return SYS_UNKNOWN;
	unsigned effect = row->effect;
	for (size_t i = 0; i < ARRAY_LEN(row->out) && row->out[i].kind; i++)
		effect |= out_add(&v, &row->out[i]);
	if (row->more)
		effect |= row->more(&v);
	return effect;
}

const char *x86_64_syscall_name(int64_t nr)
{
	const struct sys_row *row = sys_row_of(nr);

	return row ? row->name : NULL;
}
