/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See trace_help.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/unit/trace_help.h"

struct board *board;

uint64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

void victim_fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (!atomic_exchange(&board->failed, 1))
		vsnprintf(board->why, sizeof(board->why), fmt, ap);
	va_end(ap);
}

pid_t victim_start(void (*body)(void))
{
	if (board)
		munmap(board, sizeof(*board));
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		body();
		_exit(board->failed);
	}
	while (!board->ready)
		usleep(100);
	return pid;
}

int victim_end(pid_t pid)
{
	int status = -1;
	board->quit = 1;
	for (int i = 0; i < 10000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		usleep(1000);
		status = -1;
	}
	if (status == -1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (status || board->failed)
		fprintf(stderr, "victim: status %#x: %s\n", (unsigned)status, board->why);
	return status ? status : board->failed;
}

bool text_in_file(const char *path, const char *text)
{
	char buf[65536];
	FILE *f = fopen(path, "r");
	const size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;
	if (f)
		fclose(f);
	buf[n] = '\0';
	return strstr(buf, text) != NULL;
}

bool catches(int pid, int sig)
{
	char path[64], line[256];
	unsigned long long mask = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "SigCgt:", 7))
			mask = strtoull(line + 7, NULL, 16);
	if (f)
		fclose(f);
	return mask >> (sig - 1) & 1;
}

/* regs_asm: every register gets a value of its own, a loop runs for a while with carry and direction flag set, then all
 * is stored. regs_out: 14 general registers, flags, red zone, 16 xmm. */
extern void regs_asm(void);
extern uint64_t regs_out[14], regs_flags, regs_red, regs_bad, regs_rsp[2];
extern uint64_t regs_xmm[32];
__asm__(
	"	.bss\n"
	"	.balign 16\n"
	"regs_xmm: .skip 256\n"
	"	.globl regs_xmm, regs_out, regs_flags, regs_red, regs_bad, regs_rsp\n"
	"regs_out: .skip 112\n"
	"regs_flags: .skip 8\n"
	"regs_red: .skip 8\n"
	"regs_bad: .skip 8\n"
	"regs_rsp: .skip 16\n"
	"regs_spin: .skip 8\n"
	"	.text\n"
	"	.globl regs_asm\n"
	"	.type regs_asm, @function\n"
	"regs_asm:\n"
	"	push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"	mov %rsp, regs_rsp(%rip)\n"
	"	movq $0, regs_spin(%rip)\n"
	"	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	mov $0x5a5a000000000000+\\n, %rax\n"
	"	movq %rax, %xmm\\n\n"
	"	movddup %xmm\\n, %xmm\\n\n"
	"	.endr\n"
	"	movabs $0x1111222233334444, %rax\n"
	"	mov %rax, -8(%rsp)\n mov %rax, -128(%rsp)\n"
	"	movabs $0xa0a0a0a0a0a0a000, %rax\n movabs $0xa0a0a0a0a0a0a001, %rbx\n movabs $0xa0a0a0a0a0a0a002, %rcx\n"
	"	movabs $0xa0a0a0a0a0a0a003, %rdx\n movabs $0xa0a0a0a0a0a0a004, %rsi\n movabs $0xa0a0a0a0a0a0a005, %rdi\n"
	"	movabs $0xa0a0a0a0a0a0a006, %rbp\n movabs $0xa0a0a0a0a0a0a007, %r8\n movabs $0xa0a0a0a0a0a0a008, %r9\n"
	"	movabs $0xa0a0a0a0a0a0a009, %r10\n movabs $0xa0a0a0a0a0a0a00a, %r11\n movabs $0xa0a0a0a0a0a0a00b, %r12\n"
	"	movabs $0xa0a0a0a0a0a0a00c, %r13\n movabs $0xa0a0a0a0a0a0a00d, %r14\n"
	"	std\n"
	"1:	stc\n"
	"	.rept 16\n nop\n .endr\n"
	"	jnc 2f\n"
	"	incq regs_spin(%rip)\n"
	"	cmpq $20000, regs_spin(%rip)\n"
	"	jb 1b\n"
	"	jmp 3f\n"
	"2:	incq regs_bad(%rip)\n"
	"3:	mov %rax, regs_out(%rip)\n mov %rbx, regs_out+8(%rip)\n mov %rcx, regs_out+16(%rip)\n"
	"	mov %rdx, regs_out+24(%rip)\n mov %rsi, regs_out+32(%rip)\n mov %rdi, regs_out+40(%rip)\n"
	"	mov %rbp, regs_out+48(%rip)\n mov %r8, regs_out+56(%rip)\n mov %r9, regs_out+64(%rip)\n"
	"	mov %r10, regs_out+72(%rip)\n mov %r11, regs_out+80(%rip)\n mov %r12, regs_out+88(%rip)\n"
	"	mov %r13, regs_out+96(%rip)\n mov %r14, regs_out+104(%rip)\n"
	"	mov %rsp, regs_rsp+8(%rip)\n"
	"	mov -8(%rsp), %rax\n and -128(%rsp), %rax\n mov %rax, regs_red(%rip)\n"
	"	pushfq\n popq regs_flags(%rip)\n"
	"	cld\n"
	"	lea regs_xmm(%rip), %rax\n"
	"	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movaps %xmm\\n, \\n*16(%rax)\n"
	"	.endr\n"
	"	mov regs_rsp(%rip), %rsp\n"
	"	pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
	"	ret\n");

void regs_round(void)
{
	regs_asm();
	for (uint64_t i = 0; i < 14; i++)
		if (regs_out[i] != 0xa0a0a0a0a0a0a000 + i)
			victim_fail("register %d is %#llx", (int)i, (unsigned long long)regs_out[i]);
	for (uint64_t i = 0; i < 32; i++)
		if (regs_xmm[i] != 0x5a5a000000000000 + i / 2)
			victim_fail("xmm%d is %#llx", (int)i / 2, (unsigned long long)regs_xmm[i]);
	if (regs_bad || !(regs_flags & 0x400))
		victim_fail("flags %#llx, carry lost %llu times", (unsigned long long)regs_flags, (unsigned long long)regs_bad);
	if (regs_red != 0x1111222233334444)
		victim_fail("red zone %#llx", (unsigned long long)regs_red);
	if (regs_rsp[0] != regs_rsp[1])
		victim_fail("sp %#llx is %#llx", (unsigned long long)regs_rsp[0], (unsigned long long)regs_rsp[1]);
}

void regs_loop(void)
{
	board->ready = 1;
	while (!board->quit && !board->failed) {
		regs_round();
		board->loops++;
	}
}
