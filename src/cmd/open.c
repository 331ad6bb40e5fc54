/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every command shares: finding its source, and saying why it failed. */
#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "image/image.h"
#include "live/live.h"

struct source *source_open(const char *name, struct err *e)
{
	int pid;

	if (strncmp(name, "pid:", 4) != 0)
		return source_open_image(name, e);
	if (!text_parse_int(name + 4, &pid) || pid <= 0) {
		err_set(e, EXIT_USAGE, "%s: not a process id", name);
		return NULL;
	}
	return source_open_live(pid, e);
}

/* One line, whatever bytes a path or a tracee put into it. Names in it may be escaped already, so
 * backslashes stay as they are. */
static void complain(const char *text)
{
	fputs("ckptview: ", stderr);
	while (*text) {
		char safe[4096];
		const size_t len = strcspn(text, "\\");
		fputs(text_escape(safe, sizeof(safe), text, MIN(len, sizeof(safe) / 8)), stderr);
		text += MIN(len, sizeof(safe) / 8);
		if (*text == '\\')
			fputc(*text++, stderr);
	}
	fputc('\n', stderr);
}

int cmd_fail(const struct err *e, int dflt)
{
	complain(e->text);
	return e->code ? e->code : dflt;
}

int cmd_usage(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	const int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return EXIT_USAGE;
	complain(text);
	free(text);
	return EXIT_USAGE;
}
