/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A 32-bit program that waits until it is killed: ckptview must refuse it. */
	.globl _start
_start:
1:	movl $29, %eax		/* pause */
	int $0x80
	jmp 1b
	.section .note.GNU-stack, "", @progbits
