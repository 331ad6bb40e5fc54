/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every source has in common: reading with a check for wrapping addresses, and closing. */
#include "model/source.h"

#include <stdlib.h>

size_t source_read(struct source *s, uint64_t addr, void *out, size_t len)
{
	if (len == 0 || addr + len < addr)
		return 0;
	return s->ops->read(s, addr, out, len);
}

void source_close(struct source *s)
{
	if (!s)
		return;
	if (s->ops && s->ops->close)
		s->ops->close(s);
	proc_free(s->proc);
	free(s->name);
	free(s);
}
