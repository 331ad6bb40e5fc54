/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Makes a system call for real, with its output pointing into an arena, and compares what the
 * kernel wrote with what x86_64_syscall_effect said it would. While the call runs, every page of
 * the arena that was not named is read-only, as under the segv engine.
 */
#ifndef TESTS_SYSMEASURE_H
#define TESTS_SYSMEASURE_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/x86_64.h"

/* A fresh block of the arena on pages of its own, not at their start, filled with a pattern. */
void *block(size_t len);
/* Makes the call: its result, or -errno. Fails the test when a byte was written that was not
 * named, or when effect lacks a bit of want or has one besides. *changed: bytes written. */
long measure(long nr, unsigned want, const uint64_t args[6], size_t *changed);

#define P(p) ((uintptr_t)(p))

/* A call that succeeds and writes something. */
#define CALL(nr, ...) CALL_WITH(0, nr, __VA_ARGS__)
/* The same with effects. */
#define CALL_WITH(effect, nr, ...) ({ \
	size_t changed_; \
	const long ret_ = measure(nr, effect, (uint64_t[6]){__VA_ARGS__}, &changed_); \
	ck_assert_msg(ret_ >= 0, "%s: %s", x86_64_syscall_name(nr), \
		strerror((int)-ret_)); \
	ck_assert_msg(changed_ > 0, "%s wrote nothing", x86_64_syscall_name(nr)); \
	ret_; })
/* A call that fails with err, and what it writes nevertheless. */
#define CALL_FAILS(err, effect, nr, ...) ({ \
	size_t changed_; \
	const long ret_ = measure(nr, effect, (uint64_t[6]){__VA_ARGS__}, &changed_); \
	ck_assert_msg(ret_ == -(err), "%s: %ld", x86_64_syscall_name(nr), ret_); \
	changed_; })
/* A call that this kernel, or this file system, may not have. */
#define CALL_IF_ANY(nr, ...) ({ \
	size_t changed_; \
	const long ret_ = measure(nr, 0, (uint64_t[6]){__VA_ARGS__}, &changed_); \
	if (ret_ < 0) \
		fprintf(stderr, "skipped: %s: %s\n", x86_64_syscall_name(nr), \
			strerror((int)-ret_)); \
	ret_; })

#endif
