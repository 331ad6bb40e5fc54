/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `uffd`, shared between arming (uffd.c) and serving (uffd_serve.c). Private to it.
 *
 *	armed    protected, and what of it was there then is known (scanned)
 *	scanned  of which it is known what was there, protected or not writable
 *	gone     what the program has changed since the mappings were read: nothing is known of it before the stop
 *	never    where the kernel will write for a thread that dies: such a write fails instead of waiting
 */
#ifndef CKPT_CAPTURE_UFFD_H
#define CKPT_CAPTURE_UFFD_H

#include "capture/pager.h"

struct uffd {
	struct pager pager;
	struct ranges armed, scanned, gone, never;
	bool unknown;           /* a call may have changed any mapping, before T */
};

/* Acts on the stop of a task, and resumes it unless it must wait for the end of the window. */
int uffd_serve(struct capture *c, struct task *k, struct err *e);

#endif
