/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a STEP_REGS holds, and the restart rules. */
#ifndef CKPT_RESTORE_REGS_H
#define CKPT_RESTORE_REGS_H

#include "restore/steps.h"

/* The data of a STEP_REGS; the extended registers are taken from the thread of its idx. */
struct regs_data {
	arch_regs regs;
	uint64_t mask;
};
/* Makes r, as found at the stop, such that resuming does what the kernel would have done. handler:
 * the action whose handler runs first, NULL: none. Afterwards r stands in no system call. */
void regs_restart(arch_regs *r, const struct sigact *handler);

#endif
