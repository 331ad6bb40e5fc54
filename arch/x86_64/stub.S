/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The code that is copied into a tracee: position independent, in one piece, less than a page.
 * Offsets are those of struct inject_slot, struct inject_dead (arch/inject.h) and struct remote_call.
 *
 * Up to the label "home" nothing here may change the flags, use the stack or touch a vector register:
 * only mov, lea, jmp and jrcxz, and syscall, from which the kernel returns with the flags it found.
 */
#define COUNT	0
#define QUIT	8
#define PID	16
#define TID	24
#define SIG	32
#define MASK	40
#define TAIL	48
#define BUSY	56
#define DEAD	64
#define HOME	72
#define CALLS	256
#define DEAD_OFF 4096
#define D_TABLE	0
#define D_ARMED	8
#define D_DONE	16
#define D_TRIES	24
#define D_SAVED	32

	.section .rodata
	.balign 16
	.globl x86_64_stub, x86_64_stub_end, x86_64_stub_batch, x86_64_stub_told, x86_64_stub_clone
	.globl x86_64_stub_agent_told, x86_64_stub_handler, x86_64_stub_restorer

x86_64_stub:
	.ascii	"ckptview scratch"		/* the guardian knows the mapping by this */

/* In: rbx slot. */
x86_64_stub_batch:
	mov	COUNT(%rbx), %rcx
	lea	CALLS(%rbx), %rbp
next_call:
	jrcxz	tell
	mov	%rcx, %r12
	mov	0(%rbp), %rax
	mov	8(%rbp), %rdi
	mov	16(%rbp), %rsi
	mov	24(%rbp), %rdx
	mov	32(%rbp), %r10
	mov	40(%rbp), %r8
	mov	48(%rbp), %r9
	syscall
	mov	%rax, 56(%rbp)
	lea	64(%rbp), %rbp
	lea	-1(%r12), %rcx
	jmp	next_call

/* A living tracer sees the signal's delivery stop, with pc at stub_told, and takes over. */
tell:
	mov	$234, %eax			/* tgkill */
	mov	PID(%rbx), %rdi
	mov	TID(%rbx), %rsi
	mov	SIG(%rbx), %rdx
	syscall
x86_64_stub_told:
	mov	$14, %eax			/* rt_sigprocmask */
	mov	$2, %edi			/* SIG_SETMASK */
	lea	MASK(%rbx), %rsi
	mov	$0, %edx
	mov	$8, %r10d
	syscall
	mov	HOME+0(%rbx), %rax
	mov	HOME+16(%rbx), %rcx
	mov	HOME+24(%rbx), %rdx
	mov	HOME+32(%rbx), %rsi
	mov	HOME+40(%rbx), %rdi
	mov	HOME+48(%rbx), %rbp
	mov	HOME+56(%rbx), %r8
	mov	HOME+64(%rbx), %r9
	mov	HOME+72(%rbx), %r10
	mov	HOME+80(%rbx), %r11
	mov	HOME+88(%rbx), %r12
	mov	HOME+96(%rbx), %r13
	mov	HOME+104(%rbx), %r14
	mov	HOME+112(%rbx), %r15
	jmp	*TAIL(%rbx)			/* slot.code: busy = 0, rbx, rip */

/* In: the registers of a clone(2) whose child shares the memory; rbx slot, r12 the agent's slot. */
x86_64_stub_clone:
	syscall
	mov	%rax, %rcx
	jrcxz	agent
	mov	%rax, CALLS+56(%rbx)
	jmp	tell

/* The agent: has a stack and flags of its own. */
agent:
	mov	%r12, %rbx
	mov	$186, %eax			/* gettid */
	syscall
	mov	%rax, TID(%rbx)
agent_idle:
	mov	$234, %eax
	mov	PID(%rbx), %rdi
	mov	TID(%rbx), %rsi
	mov	SIG(%rbx), %rdx
	syscall
x86_64_stub_agent_told:
	mov	COUNT(%rbx), %r13
	lea	CALLS(%rbx), %rbp
	test	%r13, %r13
	jz	agent_orphan
1:	mov	0(%rbp), %rax
	mov	8(%rbp), %rdi
	mov	16(%rbp), %rsi
	mov	24(%rbp), %rdx
	mov	32(%rbp), %r10
	mov	40(%rbp), %r8
	mov	48(%rbp), %r9
	syscall
	mov	%rax, 56(%rbp)
	add	$64, %rbp
	dec	%r13
	jnz	1b
	movq	$0, COUNT(%rbx)
	jmp	agent_idle
agent_orphan:
	cmpq	$0, QUIT(%rbx)
	jne	agent_leave
	mov	DEAD(%rbx), %rbx
	call	undo
agent_leave:
	mov	$60, %eax			/* exit: of this thread */
	xor	%edi, %edi
	syscall
	hlt

/* In: rbx struct inject_dead. Unprotects all. Any number of threads may do this at once. */
undo:
	mov	D_TABLE(%rbx), %r12
	test	%r12, %r12
	jz	3f
	mov	(%r12), %r13
1:	test	%r13, %r13
	jz	3f
	add	$32, %r12
	dec	%r13
	call	unprotect
	jmp	1b
3:	movq	$1, D_DONE(%rbx)
	ret

/* In: r12 an entry of the table. */
unprotect:
	mov	0(%r12), %rdi
	mov	8(%r12), %rsi
	mov	16(%r12), %rdx
	test	%rsi, %rsi
	jz	1f
	mov	$10, %eax			/* mprotect */
	syscall
1:	ret

/* In: rbx struct inject_dead. The program's own SIGSEGV action comes back, once. */
put_action_back:
	mov	$1, %eax
	xor	%ecx, %ecx
	lock cmpxchg %rcx, D_ARMED(%rbx)
	jne	1f
	mov	$13, %eax			/* rt_sigaction */
	mov	$11, %edi			/* SIGSEGV */
	lea	D_SAVED(%rbx), %rsi
	xor	%edx, %edx
	mov	$8, %r10d
	syscall
1:	ret

/*
 * The dead-man's handler. A fault that our protection made is gone after undo: the instruction is simply executed again. It stays
 * installed then, as other threads may have such a fault pending; the guardian removes it. For a fault of the program's own
 * its action is put back, and the instruction meets that. A signal that was sent is sent again.
 */
x86_64_stub_handler:
	mov	%rsi, %rbp			/* siginfo */
	mov	%rdx, %r15			/* ucontext */
	lea	x86_64_stub+DEAD_OFF(%rip), %rbx
	cmpq	$0, D_DONE(%rbx)
	jne	1f
	call	undo
1:	cmpl	$0, 8(%rbp)			/* si_code */
	jle	sent
	mov	16(%rbp), %r14			/* si_addr */
	mov	D_TABLE(%rbx), %r12
	test	%r12, %r12
	jz	put_action_back
	mov	(%r12), %r13
2:	test	%r13, %r13
	jz	put_action_back
	add	$32, %r12
	dec	%r13
	mov	%r14, %rax
	sub	0(%r12), %rax
	cmp	8(%r12), %rax
	jae	2b
	/* Does the entry allow what was tried? From the page fault's error code: 2 write, 16 fetch. */
	mov	192(%r15), %rax			/* REG_ERR */
	mov	$2, %ecx
	test	$2, %al
	jnz	3f
	mov	$4, %ecx
	test	$16, %al
	jnz	3f
	mov	$7, %ecx
3:	test	%cl, 16(%r12)
	jz	put_action_back
	lock incq D_TRIES(%rbx)
	cmpq	$1000000, D_TRIES(%rbx)		/* unmapped since, and nobody to remove us */
	ja	put_action_back
	jmp	unprotect
sent:	call	put_action_back
	mov	$39, %eax			/* getpid */
	syscall
	mov	%rax, %r14
	mov	$186, %eax
	syscall
	mov	%r14, %rdi
	mov	%rax, %rsi
	mov	$11, %edx
	mov	%rbp, %r10
	mov	$297, %eax			/* rt_tgsigqueueinfo */
	syscall
	ret
x86_64_stub_restorer:
	mov	$15, %rax			/* rt_sigreturn */
	syscall
	hlt
x86_64_stub_end:

	.section .note.GNU-stack, "", @progbits
