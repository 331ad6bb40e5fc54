/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What moves from second to second and is no state of a process: CPU time of its threads. */
#ifndef CKPT_UI_SAMPLE_H
#define CKPT_UI_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

struct cpu_sample {
	int32_t tid;
	uint64_t used_ns;  /* user and system */
	unsigned permille; /* of one CPU since the sample before */
};
struct sample {
	struct cpu_sample *cpu; /* by tid */
	size_t ncpu;
	uint64_t at_ns;
	unsigned permille; /* all threads */
};
/* Takes the next sample of pid at now_ns; a process that is gone leaves the last one. */
void sample_take(struct sample *s, int pid, uint64_t now_ns);
const struct cpu_sample *sample_find(const struct sample *s, int32_t tid);
void sample_deinit(struct sample *s);

#endif
