/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Threads spin with known values in every register: general, vector, x87 and SSE control words, flags. */
#include <pthread.h>
#include <immintrin.h>
#include "victim.h"

enum { THREADS = 4, VECTORS = 16 };
static volatile bool stop;

struct bank {
	uint8_t ymm[VECTORS][32] __attribute__((aligned(32)));
	uint64_t gpr[8];        /* rbx, r8 to r14 */
	uint64_t flags;
};

/* Loads everything from in, spins for a while, stores everything to out. */
#define LOAD(n) "vmovdqu 32*" #n "(%[in]), %%ymm" #n "\n\t"
#define STORE(n) "vmovdqu %%ymm" #n ", 32*" #n "(%[out])\n\t"
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define GPRS(X) X(0, rbx) X(1, r8) X(2, r9) X(3, r10) X(4, r11) X(5, r12) X(6, r13) X(7, r14)
#define GLOAD(n, r) "movq 512+8*" #n "(%[in]), %%" #r "\n\t"
#define GSTORE(n, r) "movq %%" #r ", 512+8*" #n "(%[out])\n\t"

__attribute__((target("avx"))) static void spin(const struct bank *in, struct bank *out)
{
	uint64_t n = 2000000;
	__asm__ volatile(ALL(LOAD) GPRS(GLOAD)
		"1: pause\n\t"
		"decq %[n]\n\t"
		"jnz 1b\n\t" ALL(STORE) GPRS(GSTORE)
		: [n] "+a"(n)
		: [in] "S"(in), [out] "D"(out)
		: "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
		"xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
		"memory", "cc");
}

static void *run(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	const uint16_t x87[] = {0x37f, 0x27f, 0x77f, 0xb7f};
	const uint32_t sse[] = {0x1f80, 0x3f80, 0x5f80, 0x7f80};
	uint16_t cw = x87[seed % 4], cw_now;
	uint32_t csr = sse[seed % 4], csr_now;
	__asm__ volatile("fldcw %0; fldpi; ldmxcsr %1" : : "m"(cw), "m"(csr));
	for (uint64_t round = 0; !stop; round++) {
		struct bank in, out;
		victim_fill(&in, sizeof(in), seed * 1000 + round);
		memset(&out, 0, sizeof(out));
		spin(&in, &out);
		if (memcmp(in.ymm, out.ymm, sizeof(in.ymm)))
			victim_fail("vector registers changed in round %lu", round);
		if (memcmp(in.gpr, out.gpr, sizeof(in.gpr)))
			victim_fail("general registers changed in round %lu", round);
		__asm__ volatile("fnstcw %0; stmxcsr %1" : "=m"(cw_now), "=m"(csr_now));
		if (cw_now != cw || (csr_now & ~0x3fu) != csr)
			victim_fail("control words: x87 %x for %x, mxcsr %x for %x", cw_now, cw, csr_now, csr);
	}
	double pi;
	__asm__ volatile("fstpl %0" : "=m"(pi));
	if (pi < 3.14159265 || pi > 3.14159266)
		victim_fail("the x87 stack lost pi: %f", pi);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[THREADS];
	victim_init(argc, argv);
	if (!__builtin_cpu_supports("avx"))
		victim_fail("this processor has no AVX");
	for (int i = 0; i < THREADS; i++)
		victim_check(!pthread_create(&t[i], NULL, run, (void *)(uintptr_t)(i + 1)));
	victim_ready();
	victim_wait();
	stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	victim_pass();
}
