/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of this directory share. */
#ifndef CKPT_ARCH_X86_64_H
#define CKPT_ARCH_X86_64_H

#include "arch/arch.h"
#include "arch/inject.h"

/* syscalls.c: see struct arch. */
unsigned x86_64_syscall_touches(int64_t nr);
unsigned x86_64_syscall_effect(int64_t nr, const uint64_t args[6], arch_reader read, void *ctx,
	struct ranges *writes, struct ranges *mm);
const char *x86_64_syscall_name(int64_t nr);

/* inject.c */
extern const struct arch_inject x86_64_inject;

/* What the kernel leaves in rax of an interrupted call (include/linux/errno.h); user space never sees them. */
#define X86_ERESTARTSYS 512
#define X86_ERESTARTNOINTR 513
#define X86_ERESTARTNOHAND 514
#define X86_ERESTART_RESTARTBLOCK 516

#endif
