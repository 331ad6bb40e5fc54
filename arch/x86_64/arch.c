/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The x86-64 table: registers by name and offset, how a system call stands in them, what is restarted.
 */
#include <errno.h>
#include <elf.h>
#include <sys/syscall.h>
#include "arch/x86_64/x86_64.h"

#define REG(n) { #n, offsetof(arch_regs, n), sizeof(((arch_regs *)0)->n) }
static const struct arch_reg regs_table[] = {
	REG(rax), REG(rbx), REG(rcx), REG(rdx), REG(rsi), REG(rdi), REG(rbp), REG(rsp),
	REG(r8), REG(r9), REG(r10), REG(r11), REG(r12), REG(r13), REG(r14), REG(r15),
	REG(rip), REG(eflags), REG(orig_rax), REG(fs_base), REG(gs_base),
	REG(cs), REG(ss), REG(ds), REG(es), REG(fs), REG(gs),
};

static uint64_t get_pc(const arch_regs *r)
{
	return r->rip;
}

static uint64_t get_sp(const arch_regs *r)
{
	return r->rsp;
}

static void set_pc(arch_regs *r, uint64_t v)
{
	r->rip = v;
}

static void set_sp(arch_regs *r, uint64_t v)
{
	r->rsp = v;
}

static int64_t syscall_nr(const arch_regs *r)
{
	return (int64_t)r->orig_rax;
}

static int64_t syscall_ret(const arch_regs *r)
{
	return (int64_t)r->rax;
}

static void syscall_args(const arch_regs *r, uint64_t args[6])
{
	args[0] = r->rdi;
	args[1] = r->rsi;
	args[2] = r->rdx;
	args[3] = r->r10;
	args[4] = r->r8;
	args[5] = r->r9;
}

/* Both `syscall` and `int $0x80` are two bytes long. */
static void rewind_call(arch_regs *r)
{
	if ((int64_t)r->orig_rax < 0)
		return;
	r->rip -= 2;
	r->rax = r->orig_rax;
	r->orig_rax = (uint64_t)-1;
}

static bool restarts(const arch_regs *r)
{
	if ((int64_t)r->orig_rax < 0)
		return false;
	switch (-(int64_t)r->rax) {
	case X86_ERESTARTSYS:
	case X86_ERESTARTNOINTR:
	case X86_ERESTARTNOHAND:
	case X86_ERESTART_RESTARTBLOCK:
		return true;
	}
	return false;
}

static void finish_call(arch_regs *r, int64_t ret)
{
	if ((int64_t)r->orig_rax < 0)
		return;
	r->rax = (uint64_t)ret;
	r->orig_rax = (uint64_t)-1;
}

/* A call that was restarted before stands there as restart_syscall: what it was is gone. */
static bool needs_block(const arch_regs *r, bool *again)
{
	*again = r->orig_rax != SYS_restart_syscall;
	return (int64_t)r->orig_rax >= 0 && -(int64_t)r->rax == X86_ERESTART_RESTARTBLOCK;
}

static bool at_entry(const arch_regs *r)
{
	return (int64_t)r->orig_rax >= 0 && (int64_t)r->rax == -ENOSYS;
}

static int restart_rule(const arch_regs *r)
{
	switch (-(int64_t)r->rax) {
	case X86_ERESTARTSYS:
		return RESTART_SYS;
	case X86_ERESTARTNOINTR:
		return RESTART_ALWAYS;
	}
	return RESTART_NOHAND;
}

/* signal(7): these fail with EINTR when stopped even where no handler runs; the socket calls only under a timeout (without one
 * they say ERESTARTSYS). Each has done nothing yet when it says EINTR. */
static bool repairs_eintr(const arch_regs *r)
{
	if ((int64_t)r->rax != -EINTR)
		return false;
	switch ((int64_t)r->orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
		return true;
	}
	return false;
}

static const struct arch x86_64 = {
	.name = "x86_64",
	.elf_machine = EM_X86_64,
	.regs = regs_table,
	.nregs = sizeof(regs_table) / sizeof(regs_table[0]),
	.pc = get_pc,
	.sp = get_sp,
	.set_pc = set_pc,
	.set_sp = set_sp,
	.syscall_nr = syscall_nr,
	.syscall_ret = syscall_ret,
	.syscall_args = syscall_args,
	.rewind = rewind_call,
	.restarts = restarts,
	.finish_call = finish_call,
	.needs_block = needs_block,
	.at_entry = at_entry,
	.restart_rule = restart_rule,
	.repairs_eintr = repairs_eintr,
	.syscall_effect = x86_64_syscall_effect,
	.syscall_touches = x86_64_syscall_touches,
	.syscall_name = x86_64_syscall_name,
	.inject = &x86_64_inject,
};
const struct arch *const arch = &x86_64;
