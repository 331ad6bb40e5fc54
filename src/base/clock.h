/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one clock: CLOCK_MONOTONIC in nanoseconds, and deadlines on it. */
#ifndef CKPT_BASE_CLOCK_H
#define CKPT_BASE_CLOCK_H

#include <stdint.h>

uint64_t now_ns(void);
/* Milliseconds left until deadline_ns, rounded up, 0 when it has passed: for poll(2). */
int ms_until(uint64_t deadline_ns);

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

#endif
