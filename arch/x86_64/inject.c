/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * x86-64 under injection: how a thread is sent into the stub (stub.S) and what takes it home
 * without us.
 */
#include <cpuid.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include "arch/x86_64/x86_64.h"

extern const uint8_t x86_64_stub[], x86_64_stub_end[], x86_64_stub_batch[], x86_64_stub_told[],
	x86_64_stub_clone[], x86_64_stub_agent_told[], x86_64_stub_handler[],
	x86_64_stub_restorer[];

_Static_assert(offsetof(struct inject_slot, mask) == 40, "stub.S: MASK");
_Static_assert(offsetof(struct inject_slot, dead) == 64, "stub.S: DEAD");
_Static_assert(offsetof(struct inject_slot, home) == 72, "stub.S: HOME");
_Static_assert(sizeof(struct inject_slot) == 256, "stub.S: CALLS");
_Static_assert(offsetof(struct inject_dead, saved) == 32, "stub.S: saved");

enum { HOME_RBX = 1, HOME_RIP = 15 };

static void set_syscall(arch_regs *r, int64_t nr, const uint64_t args[6])
{
	r->rax = (uint64_t)nr;
	r->orig_rax = (uint64_t)-1;
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
}

static void enter(arch_regs *r, uint64_t pc, uint64_t slot)
{
	r->rip = pc;
	r->rbx = slot;
	r->rax = 0;
	r->orig_rax = (uint64_t)-1;
}

static void enter_clone(arch_regs *r, uint64_t pc, uint64_t slot, uint64_t flags, uint64_t stack,
	uint64_t agent_slot)
{
	const uint64_t args[6] = {flags, stack};
	set_syscall(r, SYS_clone, args);
	r->rip = pc;
	r->rbx = slot;
	r->r12 = agent_slot;
}

/* What the kernel would do at the way back to user mode (arch_do_signal_or_restart). */
static void restart_in_place(arch_regs *r)
{
	if (!arch->restarts(r))
		return;
	const bool block = (int64_t)r->rax == -X86_ERESTART_RESTARTBLOCK;
	arch->rewind(r);
	if (block)
		r->rax = SYS_restart_syscall;
}

/* A displacement relative to the end of an instruction that goes on for `after` more bytes. */
static uint8_t *put_rel(uint8_t *p, const void *field, size_t after)
{
	const int32_t rel = (int32_t)((const uint8_t *)field - (p + 4 + after));
	memcpy(p, &rel, 4);
	return p + 4;
}

static void make_home(struct inject_slot *s, uint64_t addr, const arch_regs *found)
{
	arch_regs r = *found;
	restart_in_place(&r);
	const uint64_t home[] = {
		r.rax,
		r.rbx,
		r.rcx,
		r.rdx,
		r.rsi,
		r.rdi,
		r.rbp,
		r.r8,
		r.r9,
		r.r10,
		r.r11,
		r.r12,
		r.r13,
		r.r14,
		r.r15,
		r.rip,
	};
	memcpy(s->home, home, sizeof(home));
	uint8_t *p = s->code;
	memcpy(p, "\x48\xc7\x05", 3); /* movq $0, busy(%rip) */
	p = put_rel(p + 3, &s->busy, 4);
	memset(p, 0, 4);
	p += 4;
	memcpy(p, "\x48\x8b\x1d", 3); /* mov home.rbx(%rip), %rbx */
	p = put_rel(p + 3, &s->home[HOME_RBX], 0);
	memcpy(p, "\xff\x25", 2); /* jmp *home.rip(%rip) */
	put_rel(p + 2, &s->home[HOME_RIP], 0);
	s->tail = addr + offsetof(struct inject_slot, code);
}

/* Offsets in the XSAVE area: the legacy part's software bytes
 * (arch/x86/include/uapi/asm/sigcontext.h), the header. */
enum { SW_BYTES = 464, XSTATE_BV = 512, XSAVE_MIN = 576, FX_LEN = 512, XFEATURE_TILE = 17 };

struct sw_bytes {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, pad[7];
};

/* Makes of an NT_X86_XSTATE regset what the kernel writes into a signal frame; returns its length.
 * Without AMX tiles: a frame with them is refused for a process that never asked for them. */
static size_t frame_xstate(uint8_t *out, size_t cap, const void *xstate, size_t len)
{
	if (len < XSAVE_MIN) {
		if (len < FX_LEN || cap < FX_LEN)
			return 0;
		memcpy(out, xstate, FX_LEN);
		memset(out + SW_BYTES, 0, sizeof(struct sw_bytes));
		return FX_LEN;
	}
	const uint64_t tiles = 3ull << XFEATURE_TILE;
	uint64_t features, present;
	memcpy(&features, (const uint8_t *)xstate + SW_BYTES, 8);
	memcpy(&present, (const uint8_t *)xstate + XSTATE_BV, 8);
	unsigned size, off = 0, ecx, edx;
	if ((features & tiles) && __get_cpuid_count(0xd, XFEATURE_TILE, &size, &off, &ecx, &edx) &&
		off && off < len)
		len = off;
	if (len + 4 > cap)
		return 0;
	memcpy(out, xstate, len);
	present &= ~tiles;
	memcpy(out + XSTATE_BV, &present, 8);
	const struct sw_bytes sw = {
		.magic1 = 0x46505853,
		.extended_size = (uint32_t)len + 4,
		.xfeatures = features & ~tiles,
		.xstate_size = (uint32_t)len,
	};
	memcpy(out + SW_BYTES, &sw, sizeof(sw));
	const uint32_t magic2 = 0x46505845;
	memcpy(out + len, &magic2, 4);
	return len + 4;
}

static void frame_gregs(greg_t *g, const arch_regs *r)
{
	const uint64_t v[] = {
		r->r8,
		r->r9,
		r->r10,
		r->r11,
		r->r12,
		r->r13,
		r->r14,
		r->r15,
		r->rdi,
		r->rsi,
		r->rbp,
		r->rbx,
		r->rdx,
		r->rax,
		r->rcx,
		r->rsp,
		r->rip,
		r->eflags,
		(r->cs & 0xffff) | (r->ss & 0xffff) << 48,
	};
	memcpy(g, v, sizeof(v));
}

static size_t sigframe(const arch_regs *found, uint64_t mask, const void *xstate, size_t xstate_len,
	uint64_t trampoline, void *out, size_t cap, uint64_t *at)
{
	enum { RED_ZONE = 128, UC_LEN = offsetof(ucontext_t, uc_sigmask) + 8, HEAD = 8 + UC_LEN };
	arch_regs r = *found;
	if (arch->restarts(&r))
		arch->rewind(&r);
	/* The extended state is 64-byte aligned, the rest lies right below it. */
	const uint64_t fp = (r.rsp - RED_ZONE - xstate_len - 64) & ~63ull;
	if (cap < HEAD)
		return 0;
	const size_t fp_len = frame_xstate((uint8_t *)out + HEAD, cap - HEAD, xstate, xstate_len);
	if (!fp_len)
		return 0;
	*at = fp - HEAD;
	memset(out, 0, HEAD);
	memcpy(out, &trampoline, 8);
	ucontext_t uc = {0};
	/* UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
	uc.uc_flags = (fp_len > FX_LEN ? 1 : 0) | 2 | 4;
	uc.uc_stack.ss_flags = 0x7fff; /* not valid: the alternate stack stays as it is */
	frame_gregs(uc.uc_mcontext.gregs, &r);
	uc.uc_mcontext.fpregs = (fpregset_t)fp;
	memcpy(&uc.uc_sigmask, &mask, 8);
	memcpy((uint8_t *)out + 8, &uc, UC_LEN);
	return HEAD + fp_len;
}

static const uint8_t syscall_ret[] = {0x0f, 0x05, 0xc3};
static const uint8_t sigreturn[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};

const struct arch_inject x86_64_inject = {
	.stub = x86_64_stub,
	.stub_end = x86_64_stub_end,
	.at_batch = x86_64_stub_batch,
	.at_told = x86_64_stub_told,
	.at_clone = x86_64_stub_clone,
	.at_agent_told = x86_64_stub_agent_told,
	.at_handler = x86_64_stub_handler,
	.at_restorer = x86_64_stub_restorer,
	.dead_off = 4096,
	.set_syscall = set_syscall,
	.enter = enter,
	.enter_clone = enter_clone,
	.make_home = make_home,
	.syscall_ret = {syscall_ret, sizeof(syscall_ret)},
	.sigreturn = {sigreturn, sizeof(sigreturn)},
	.syscall = {syscall_ret, 2},
	.sigframe = sigframe,
};
