/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one clock: CLOCK_MONOTONIC through the vdso. */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int ms_until(uint64_t deadline_ns)
{
	const uint64_t now = now_ns();

	if (now >= deadline_ns)
		return 0;
	const uint64_t left = deadline_ns - now;
	const uint64_t ms = left / NS_PER_MS + (left % NS_PER_MS != 0);

	return ms > INT_MAX ? INT_MAX : (int)ms;
}
