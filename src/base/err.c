/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Building the one line of an error from the inside out. Names that come from a process are
 * escaped by the caller (text_safe); as a last net no control character is let into the line.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void text_tame(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = *s == '\n' || *s == '\t' ? ' ' : '?';
	}
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_tame(text);
	e->code = code;
	e->sys = 0;
	memcpy(e->text, text, sizeof(text));
	return -1;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	const int sys = errno;
	char what[sizeof(e->text)], words[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	const char *const why = strerror_r(sys, words, sizeof(words));
	const size_t room = sizeof(e->text) - strlen(why) - 3;

	/* The reason is worth more than the tail of a long name. */
	snprintf(e->text, sizeof(e->text), "%.*s: %s", (int)room, what, why);
	text_tame(e->text);
	e->code = code;
	e->sys = sys;
	return -1;
}

int err_in(struct err *e, const char *fmt, ...)
{
	char what[sizeof(e->text)], old[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	text_tame(what);
	memcpy(old, e->text, sizeof(old));
	const size_t room = sizeof(e->text) - 3;
	const size_t used = strlen(old);

	/* When both do not fit, the cause keeps its head and the caller at least a fifth. */
	if (snprintf(e->text, sizeof(e->text), "%.*s: %s",
		    (int)(used < room - 100 ? room - used : 100), what, old) < 0)
		e->text[0] = 0;
	return -1;
}

int err_class(struct err *e, int code)
{
	if (e->code == 0)
		e->code = code;
	return -1;
}
