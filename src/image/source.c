/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An image, or any core, as a source. */
#include "image/reader.h"

#include "base/buf.h"

static size_t read_image(struct source *s, uint64_t addr, void *out, size_t len)
{
	return image_read(s->priv, addr, out, len);
}

static void close_image(struct source *s)
{
	image_close(s->priv);
}

static const struct source_ops image_ops = {.kind = "image", .read = read_image,
	.close = close_image};
static const struct source_ops core_ops = {.kind = "core", .read = read_image,
	.close = close_image};

struct source *source_open_image(const char *path, struct err *e)
{
	struct image *im = image_open(path, e);

	if (!im)
		return NULL;
	struct source *s = xcalloc(1, sizeof(*s));
	s->ops = im->ours ? &image_ops : &core_ops;
	s->priv = im;
	s->name = xstrdup(path);
	/* The source frees its proc itself. */
	s->proc = im->proc;
	im->proc = NULL;
	return s;
}
