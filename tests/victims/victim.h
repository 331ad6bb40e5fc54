/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A victim builds a state, says "ready", is saved (and perhaps killed and restored) by the harness, and when
 * told looks at itself from inside: PASS, or FAIL and why.
 *
 *	victim CONTROL RESULT [VARIANT [MODE]]
 *
 * CONTROL is a file that the harness makes when it is time to check (that works after a restore too),
 * RESULT is where the verdict goes. MODE is "run" when the victim will only be saved and left alone, and
 * may then be strict about what it must not notice; "restore" when it will be killed and brought back.
 */
#ifndef CKPT_VICTIM_H
#define CKPT_VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static const char *victim_control, *victim_result, *victim_variant = "";
static bool victim_strict;

/* The first verdict stands. Any thread may give it. */
static UNUSED _Noreturn void victim_end(int status, const char *text)
{
	int fd = open(victim_result, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			_exit(3);
		close(fd);
	} else {
		sleep(1);       /* another thread is about to give its verdict */
	}
	_exit(status);
}

static UNUSED _Noreturn void victim_pass(void)
{
	victim_end(0, "PASS\n");
}

static UNUSED __attribute__((format(printf, 1, 2))) _Noreturn void victim_fail(const char *fmt, ...)
{
	char text[500] = "FAIL ";
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text + 5, sizeof(text) - 6, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	victim_end(1, text);
}

#define victim_check(cond) \
	do { \
		if (!(cond)) \
			victim_fail("%s:%d: %s (errno %d)", __FILE__, __LINE__, #cond, errno); \
	} while (0)

static UNUSED void victim_init(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s CONTROL RESULT [VARIANT [run|restore]]\n", argv[0]);
		_exit(2);
	}
	victim_control = argv[1];
	victim_result = argv[2];
	if (argc > 3)
		victim_variant = argv[3];
	victim_strict = argc > 4 && !strcmp(argv[4], "run");
}

static UNUSED bool victim_is(const char *variant)
{
	return !strcmp(victim_variant, variant);
}

/* The state is built: from here on a checkpoint may come at any time. */
static UNUSED void victim_ready(void)
{
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		_exit(3);
}

static UNUSED bool victim_told(void)
{
	return access(victim_control, F_OK) == 0;
}

static UNUSED void victim_sleep_ms(int ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static UNUSED void victim_wait(void)
{
	while (!victim_told())
		victim_sleep_ms(5);
}

static UNUSED uint64_t victim_clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static UNUSED uint64_t victim_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* Fills and checks memory with a pattern that depends on seed and place. */
static UNUSED void victim_fill(void *at, size_t len, uint64_t seed)
{
	uint64_t *w = at;
	for (size_t i = 0; i < len / 8; i++)
		w[i] = victim_mix(seed + i);
}

static UNUSED bool victim_filled(const void *at, size_t len, uint64_t seed)
{
	const uint64_t *w = at;
	for (size_t i = 0; i < len / 8; i++)
		if (w[i] != victim_mix(seed + i))
			return false;
	return true;
}

#endif
