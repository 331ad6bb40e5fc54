/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The mappings of a process, from /proc/PID/smaps, from /proc/PID/maps (the same lines without the
 * details), or, where there is one, by the quicker query of maps_query.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "live/internal.h"

/* ---- parsing ---- */

/* The kernel writes a newline in a name as \012 and nothing else so. */
static void name_unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (strncmp(s, "\\012", 4) == 0) {
			*to++ = '\n';
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

/* Reads a hex number up to the character end, which is skipped. */
static bool hex_until(const char **at, char end, uint64_t *v)
{
	char *stop;

	*v = strtoull(*at, &stop, 16);
	if (stop == *at || *stop != end)
		return false;
	*at = stop + 1;
	return true;
}

/* "55f4-55f5 r--p 00000000 fe:00 247498       /usr/bin/head" */
static bool parse_head(const char *at, struct vma *v)
{
	uint64_t major, minor;

	*v = (struct vma){.shm_id = -1};
	if (!hex_until(&at, '-', &v->start) || !hex_until(&at, ' ', &v->end) ||
		v->start >= v->end || strlen(at) < 5)
		return false;
	v->prot = (at[0] == 'r' ? PROT_READ : 0) | (at[1] == 'w' ? PROT_WRITE : 0) |
		  (at[2] == 'x' ? PROT_EXEC : 0);
	v->shared = at[3] == 's';
	at += 5;
	if (!hex_until(&at, ' ', &v->off) || !hex_until(&at, ':', &major) ||
		!hex_until(&at, ' ', &minor))
		return false;
	v->dev_major = (uint32_t)major;
	v->dev_minor = (uint32_t)minor;
	char *stop;

	v->ino = strtoull(at, &stop, 10);
	if (stop == at)
		return false;
	while (*stop == ' ')
		stop++;
	if (*stop) {
		v->path = xstrdup(stop);
		name_unescape(v->path);
	}
	return true;
}

/* A line of smaps below a mapping's first. */
static void parse_detail(const char *line, struct vma *v)
{
	char *const value = strchr(line, ':');

	if (!value)
		return;
	const size_t len = (size_t)(value - line);
	const uint64_t bytes = strtoull(value + 1, NULL, 10) * 1024;

	if (len == 3 && memcmp(line, "Rss", 3) == 0) {
		v->rss = bytes;
	} else if ((len == 13 && memcmp(line, "Private_Dirty", 13) == 0) ||
		   (len == 9 && memcmp(line, "Anonymous", 9) == 0)) {
		v->priv = MAX(v->priv, bytes);
	} else if (len == 15 && memcmp(line, "Private_Hugetlb", 15) == 0) {
		v->priv += bytes;
		v->rss += bytes;
	} else if (len == 4 && memcmp(line, "Swap", 4) == 0) {
		v->swap = bytes;
	} else if (len == 7 && memcmp(line, "VmFlags", 7) == 0) {
		const char *flags = value + 1;

		while (*flags == ' ')
			flags++;
		free(v->vmflags);
		v->vmflags = xstrdup(flags);
		for (size_t n = strlen(v->vmflags); n && v->vmflags[n - 1] == ' '; n--)
			v->vmflags[n - 1] = 0;
	}
}

/* ---- the list ---- */

/* Moves what only smaps tells from the same mapping of the last reading. */
static void keep_flags(struct proc *p, struct vma *v)
{
	struct vma *const old = proc_vma(p, v->start);

	if (!old || old->start != v->start || old->end != v->end || old->off != v->off ||
		old->ino != v->ino || old->dev_major != v->dev_major ||
		old->dev_minor != v->dev_minor || old->shared != v->shared)
		return;
	v->vmflags = old->vmflags;
	old->vmflags = NULL;
	v->rss = old->rss;
	v->priv = old->priv;
	v->swap = old->swap;
	v->stored = old->stored;
}

/* Everything about the mappings that is not in their lines. */
static void describe(struct live *l, struct proc *p, struct vma *v, size_t n)
{
	cleanup_free const struct file_facts **facts = xcalloc(n, sizeof(struct file_facts *));

	for (size_t i = 0; i < n; i++) {
		const bool named = v[i].path && v[i].path[0] != '[' && v[i].ino;
		const struct file_facts *const f = named ? cache_facts(l, &v[i]) : NULL;

		if (f) {
			free(v[i].path);
			v[i].path = xstrdup(f->path);
			v[i].deleted = f->deleted;
			v[i].file_size = f->size;
			v[i].file_mtime_ns = f->mtime_ns;
		}
		vma_classify(p, &v[i], f);
		if (f && v[i].kind == VMA_FILE && !f->found)
			proc_warn(p, "the mapped file %s cannot be found by its name",
				text_safe(v[i].path));
		if (f && v[i].kind == VMA_FILE && (v[i].prot & PROT_EXEC))
			cache_ask_build_id(l, &v[i], f);
		facts[i] = f;
	}
	/* Its executable mapping is rarely a file's first. */
	for (size_t i = 0; i < n; i++) {
		if (facts[i] && v[i].kind == VMA_FILE)
			v[i].build_id = xstrdup(facts[i]->build_id);
	}
	cache_remember(l, v, facts, n);
}

static bool same_object(const struct vma *a, const struct vma *b)
{
	return a->ino && a->ino == b->ino && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor;
}

static void set_shm_ids(struct vma *v, size_t n)
{
	int32_t next = 0;

	for (size_t i = 0; i < n; i++) {
		v[i].shm_id = -1;
		if (v[i].store != STORE_SHARED)
			continue;
		for (size_t k = 0; k < i && v[i].shm_id < 0; k++) {
			if (v[k].store == STORE_SHARED && same_object(&v[i], &v[k]))
				v[i].shm_id = v[k].shm_id;
		}
		if (v[i].shm_id < 0)
			v[i].shm_id = next++;
	}
}

/* Splits the text into mappings without looking at anything else yet: false when a line is not as
 * proc(5) says. */
static bool parse_all(char *at, struct vma **all, size_t *n)
{
	char *line;

	while ((line = line_next(&at)) != NULL) {
		struct vma v;

		/* Details start with a capital letter, a mapping with a hex digit in lower case. */
		if (line[0] >= 'A' && line[0] <= 'Z') {
			if (*n)
				parse_detail(line, &(*all)[*n - 1]);
			continue;
		}
		if (!parse_head(line, &v))
			return false;
		/* A list read in pieces while the process maps and unmaps can repeat itself. */
		if (*n && v.start < (*all)[*n - 1].end) {
			vma_deinit(&v);
			continue;
		}
		*array_push(all, n) = v;
	}
	return true;
}

/* They are part of what the process is, but a restore does not make them again. */
static void warn_guards(struct live *l, struct proc *p, const struct vma *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!v[i].path && !v[i].shared && v[i].prot && vma_has_guards(l, &v[i]))
			proc_warn(p,
				"mapping %llx has guard pages (MADV_GUARD_INSTALL): they are not "
				"kept",
				(unsigned long long)v[i].start);
	}
}

static void vmas_free(struct vma *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vma_deinit(&v[i]);
	free(v);
}

static int read_text(struct live *l, bool smaps, struct vma **all, size_t *n, struct err *e)
{
	cleanup_buf struct buf b = {0};

	if (live_text(l, smaps ? "smaps" : "maps", &b, e) < 0)
		return -1;
	if (parse_all((char *)b.data, all, n)) {
		cache_saw_text(l, *all, *n);
		return 0;
	}
	vmas_free(*all, *n);
	return err_set(e, 0, "/proc/%d/maps is not as proc(5) says", l->pid);
}

int live_maps(struct live *l, struct proc *p, bool smaps, struct err *e)
{
	struct vma *all = NULL;
	size_t n = 0;

	if ((smaps || !maps_query(l, &all, &n)) && read_text(l, smaps, &all, &n, e) < 0)
		return -1;
	if (smaps) {
		cache_expire(l);
		warn_guards(l, p, all, n);
	}
	for (size_t i = 0; !smaps && i < n; i++)
		keep_flags(p, &all[i]);
	describe(l, p, all, n);
	set_shm_ids(all, n);
	vmas_free(p->vmas, p->nvmas);
	p->vmas = all;
	p->nvmas = n;
	return 0;
}
