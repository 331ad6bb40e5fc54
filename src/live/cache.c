/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is known of mapped files, and of the mappings of the last reading. At a stop every stat(2)
 * and every path the kernel must build is felt, so both are asked before it and remembered.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live/internal.h"

struct known {
	uint64_t start, end, off;
	const struct file_facts *facts;
};
struct cache {
	struct file_facts **files;
	size_t nfiles, last;
	struct known *known; /* file mappings of the last reading, by address */
	size_t nknown;
	bool has_text;
	struct vma gate; /* [vsyscall]; start 0: none */
};

static struct cache *cache_of(struct live *l)
{
	if (!l->cache)
		l->cache = xcalloc(1, sizeof(struct cache));
	return l->cache;
}

void cache_free(void *cache)
{
	struct cache *const c = cache;

	if (!c)
		return;
	for (size_t i = 0; i < c->nfiles; i++) {
		free(c->files[i]->raw);
		free(c->files[i]->path);
		free(c->files[i]->build_id);
		free(c->files[i]);
	}
	free(c->files);
	free(c->known);
	vma_deinit(&c->gate);
	free(c);
}

/* ---- build-ids ---- */

/* The NT_GNU_BUILD_ID in a segment of notes, as hex. */
static char *notes_build_id(const void *data, size_t len)
{
	struct cursor c = cursor_of(data, len);

	while (cursor_left(&c) >= 12) {
		const uint32_t namesz = cursor_u32(&c), descsz = cursor_u32(&c),
			       type = cursor_u32(&c);
		const char *const name = cursor_bytes(&c, namesz);

		cursor_align(&c, 4);
		const uint8_t *const desc = cursor_bytes(&c, descsz);

		cursor_align(&c, 4);
		if (!name || !desc)
			return NULL;
		if (type != NT_GNU_BUILD_ID || namesz != 4 || memcmp(name, "GNU", 4) ||
			descsz == 0 || descsz > 64)
			continue;
		char *const hex = xmalloc(descsz * 2 + 1);

		for (uint32_t i = 0; i < descsz; i++)
			snprintf(hex + i * 2, 3, "%02x", desc[i]);
		return hex;
	}
	return NULL;
}

/* Only what every linker makes: notes in a PT_NOTE near the front, at most 64 program headers. */
static char *file_build_id(int fd)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph[64];
	uint8_t notes[4096];

	if (pread_all(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) ||
		memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_phentsize != sizeof(ph[0]))
		return NULL;
	const size_t n = MIN((size_t)eh.e_phnum, ARRAY_LEN(ph));

	if (pread_all(fd, ph, n * sizeof(ph[0]), (off_t)eh.e_phoff) != (ssize_t)(n * sizeof(ph[0])))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (ph[i].p_type != PT_NOTE)
			continue;
		const ssize_t len = pread_all(
			fd, notes, MIN(ph[i].p_filesz, sizeof(notes)), (off_t)ph[i].p_offset);
		char *const id = len > 0 ? notes_build_id(notes, (size_t)len) : NULL;

		if (id)
			return id;
	}
	return NULL;
}

/* ---- files ---- */

static bool facts_are_of(const struct file_facts *f, const struct vma *v)
{
	return f->ino == v->ino && f->dev_major == v->dev_major && f->dev_minor == v->dev_minor &&
	       strcmp(f->raw, v->path) == 0;
}

static struct file_facts *facts_find(struct cache *c, const struct vma *v)
{
	/* Mappings of one file lie side by side. */
	if (c->last < c->nfiles && facts_are_of(c->files[c->last], v))
		return c->files[c->last];
	for (size_t i = 0; i < c->nfiles; i++) {
		if (facts_are_of(c->files[i], v)) {
			c->last = i;
			return c->files[i];
		}
	}
	return NULL;
}

/* The file itself, also when its name is gone. */
static void map_link(const struct vma *v, char link[64])
{
	snprintf(link, 64, "map_files/%llx-%llx", (unsigned long long)v->start,
		(unsigned long long)v->end);
}

static void facts_stat(struct live *l, const struct vma *v, struct file_facts *f)
{
	struct stat st;
	char link[64];

	free(f->path);
	f->path = xstrdup(f->raw);
	f->deleted = path_undelete(l, f->path, f->ino);
	f->found = !f->deleted && f->path[0] == '/' && live_stat(l, f->path, &st) == 0 &&
		   st.st_ino == f->ino;
	if (!f->found) {
		map_link(v, link);
		f->found = fstatat(l->dirfd, link, &st, 0) == 0;
	}
	f->mode = f->found ? st.st_mode : 0;
	f->size = f->found && !S_ISCHR(st.st_mode) ? (uint64_t)st.st_size : 0;
	f->mtime_ns = f->size ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
	f->fresh = true;
}

const struct file_facts *cache_facts(struct live *l, const struct vma *v)
{
	struct cache *const c = cache_of(l);
	struct file_facts *f = facts_find(c, v);

	if (!f) {
		f = xcalloc(1, sizeof(*f));
		f->ino = v->ino;
		f->dev_major = v->dev_major;
		f->dev_minor = v->dev_minor;
		f->raw = xstrdup(v->path);
		c->last = c->nfiles;
		*array_push(&c->files, &c->nfiles) = f;
	}
	if (!f->fresh) {
		const int64_t mtime = f->mtime_ns;

		facts_stat(l, v, f);
		/* Written anew since: another build. */
		f->build_id_asked &= mtime == f->mtime_ns;
	}
	return f;
}

void cache_expire(struct live *l)
{
	struct cache *const c = cache_of(l);

	for (size_t i = 0; i < c->nfiles; i++)
		c->files[i]->fresh = false;
}

void cache_ask_build_id(struct live *l, const struct vma *v, const struct file_facts *facts)
{
	/* The cache's own; callers only read. */
	struct file_facts *const f = (struct file_facts *)facts;
	struct stat st;
	char link[64];

	if (f->build_id_asked || !S_ISREG(f->mode))
		return;
	f->build_id_asked = true;
	free(f->build_id);
	f->build_id = NULL;
	map_link(v, link);
	cleanup_fd int fd = openat(l->dirfd, link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && !f->deleted)
		fd = live_open_path(l, f->path);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == f->ino)
		f->build_id = file_build_id(fd);
}

/* ---- mappings ---- */

void cache_remember(
	struct live *l, const struct vma *v, const struct file_facts *const *facts, size_t n)
{
	struct cache *const c = cache_of(l);

	c->nknown = 0;
	for (size_t i = 0; i < n; i++) {
		if (facts[i])
			*array_push(&c->known, &c->nknown) =
				(struct known){v[i].start, v[i].end, v[i].off, facts[i]};
	}
}

const char *cache_known_path(struct live *l, const struct vma *v)
{
	const struct cache *const c = cache_of(l);
	size_t lo = 0, hi = c->nknown;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (c->known[mid].end > v->start)
			hi = mid;
		else
			lo = mid + 1;
	}
	/* It may be a piece of what it was: protecting splits mappings. */
	const struct known *const k = lo < c->nknown ? &c->known[lo] : NULL;

	if (!k || k->start > v->start || k->end < v->end ||
		v->off - k->off != v->start - k->start || k->facts->ino != v->ino ||
		k->facts->dev_major != v->dev_major || k->facts->dev_minor != v->dev_minor)
		return NULL;
	return k->facts->raw;
}

void cache_saw_text(struct live *l, const struct vma *v, size_t n)
{
	struct cache *const c = cache_of(l);
	const struct vma *const last = n ? &v[n - 1] : NULL;

	c->has_text = true;
	if (c->gate.start || !last || !last->path || strcmp(last->path, "[vsyscall]") != 0)
		return;
	c->gate = (struct vma){.start = last->start,
		.end = last->end,
		.prot = last->prot,
		.shm_id = -1,
		.path = xstrdup(last->path)};
}

bool cache_has_text(struct live *l)
{
	return cache_of(l)->has_text;
}

void cache_add_gate(struct live *l, struct vma **all, size_t *n)
{
	const struct cache *const c = cache_of(l);

	if (!c->gate.start)
		return;
	struct vma *const v = array_push(all, n);

	*v = c->gate;
	v->path = xstrdup(c->gate.path);
}
