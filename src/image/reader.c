/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening a core: ELF header, program headers, notes; then memory by address. The file is hostile:
 * every place in it is compared with its length before it is read, and read with pread, since a
 * mapped file that is cut short kills its reader.
 */
#include "image/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "arch/arch.h"
#include "base/buf.h"

int image_pread(struct image *im, void *out, size_t len, uint64_t off, struct err *e)
{
	if (!image_holds(im, off, len))
		return err_set(e, EXIT_IMAGE, "%s: 0x%zx bytes at 0x%lx are past the end", im->path,
			len, off);
	const ssize_t n = pread_all(im->fd, out, len, (off_t)off);
	if (n < 0)
		return err_sys(e, EXIT_IMAGE, "read %s", im->path);
	if ((size_t)n < len)
		return err_set(e, EXIT_IMAGE, "%s: was cut short while being read", im->path);
	return 0;
}

/* ---- headers ---- */

struct headers {
	Elf64_Phdr *ph;
	size_t n;
	struct image_part notes[8];     /* more than 8 PT_NOTEs nobody writes */
	size_t nnotes;
};

static int bad(const struct image *im, struct err *e, const char *what)
{
	return err_set(e, EXIT_IMAGE, "%s: %s", im->path, what);
}

static int check_ehdr(const struct image *im, const Elf64_Ehdr *h, struct err *e)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return bad(im, e, "not a core file (no ELF header)");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB)
		return bad(im, e, "not a 64-bit little-endian ELF file");
	if (h->e_type != ET_CORE)
		return bad(im, e, "an ELF file, but not a core");
	if (h->e_machine != arch->elf_machine)
		return err_set(e, EXIT_IMAGE,
			"%s: a core of another machine (ELF machine %u), this is %s",
			im->path, h->e_machine, arch->name);
	if (h->e_phentsize != sizeof(Elf64_Phdr))
		return bad(im, e, "program headers of an unknown size");
	return 0;
}

/* With PN_XNUM the true number stands in section header 0 (elf(5)). */
static int count_headers(struct image *im, const Elf64_Ehdr *h, size_t *n, struct err *e)
{
	Elf64_Shdr sh;

	*n = h->e_phnum;
	if (h->e_phnum != PN_XNUM)
		return 0;
	if (h->e_shentsize != sizeof(sh))
		return bad(im, e, "section header 0 of an unknown size");
	if (image_pread(im, &sh, sizeof(sh), h->e_shoff, e) < 0)
		return err_in(e, "section header 0");
	*n = sh.sh_info;
	return *n <= IMAGE_MAX_HEADERS ? 0 : bad(im, e, "absurd number of program headers");
}

static int read_headers(struct image *im, struct headers *hs, struct err *e)
{
	Elf64_Ehdr h;

	if (im->len < sizeof(h))
		return bad(im, e, "not a core file (too short)");
	if (image_pread(im, &h, sizeof(h), 0, e) < 0 || check_ehdr(im, &h, e) < 0 ||
		count_headers(im, &h, &hs->n, e) < 0)
		return -1;
	const uint64_t len = hs->n * sizeof(*hs->ph);
	if (!image_holds(im, h.e_phoff, len))
		return err_set(e, EXIT_IMAGE,
			"%s: the program headers (0x%lx bytes at 0x%lx) are past the end",
			im->path, len, h.e_phoff);
	hs->ph = xmalloc(len);
	return image_pread(im, hs->ph, len, h.e_phoff, e);
}

static int note_add_segment(struct image *im, struct headers *hs, const Elf64_Phdr *ph,
	struct err *e)
{
	if (hs->nnotes == ARRAY_LEN(hs->notes))
		return bad(im, e, "too many note segments");
	if (!image_holds(im, ph->p_offset, ph->p_filesz) || ph->p_filesz > IMAGE_MAX_NOTES)
		return err_set(e, EXIT_IMAGE,
			"%s: notes (0x%lx bytes at 0x%lx) are past the end or too long",
			im->path, ph->p_filesz, ph->p_offset);
	hs->notes[hs->nnotes++] = (struct image_part){.off = ph->p_offset, .len = ph->p_filesz};
	return 0;
}

static int segment_add(struct image *im, const Elf64_Phdr *ph, size_t idx, struct err *e)
{
	uint64_t end;

	if (__builtin_add_overflow(ph->p_vaddr, ph->p_memsz, &end) || ph->p_filesz > ph->p_memsz)
		return err_set(e, EXIT_IMAGE, "%s: program header %zu: bad size", im->path, idx);
	if (!ph->p_memsz)
		return 0;
	struct segment *s = array_push(&im->segs, &im->nsegs);
	*s = (struct segment){.addr = ph->p_vaddr, .filesz = ph->p_filesz, .memsz = ph->p_memsz,
		.off = ph->p_offset, .flags = ph->p_flags};
	return 0;
}

static int segment_order(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int sort_segments(struct image *im, struct err *e)
{
	qsort(im->segs, im->nsegs, sizeof(*im->segs), segment_order);
	for (size_t i = 1; i < im->nsegs; i++)
		if (im->segs[i - 1].addr + im->segs[i - 1].memsz > im->segs[i].addr)
			return err_set(e, EXIT_IMAGE, "%s: two segments hold 0x%lx", im->path,
				im->segs[i].addr);
	return 0;
}

static int read_segments(struct image *im, struct headers *hs, struct err *e)
{
	for (size_t i = 0; i < hs->n; i++) {
		const Elf64_Phdr *ph = &hs->ph[i];
		int rc = 0;
		if (ph->p_type == PT_NOTE)
			rc = note_add_segment(im, hs, ph, e);
		else if (ph->p_type == PT_LOAD)
			rc = segment_add(im, ph, i, e);
		if (rc < 0)
			return -1;
	}
	if (im->nsegs)
		return sort_segments(im, e);
	return 0;
}

/* ---- what the headers say, compared with the notes ---- */

/* Ours is exact: whole pages, wholly there. */
static int check_own_segments(struct image *im, struct err *e)
{
	uint64_t npages = 0;

	for (size_t i = 0; i < im->nsegs; i++) {
		struct segment *s = &im->segs[i];
		if (s->filesz != s->memsz || (s->addr | s->memsz | s->off) % PAGE_LEN ||
			!image_holds(im, s->off, s->filesz))
			return err_set(e, EXIT_IMAGE, "%s: segment at 0x%lx: bad place in the file",
				im->path, s->addr);
		s->first_page = npages;
		npages += s->memsz / PAGE_LEN;
	}
	if (npages != im->in.npages)
		return bad(im, e, "number of pages differs from what the notes say");
	return 0;
}

/* A foreign core may have been cut off by a limit or a full disk: what is there counts. */
static void clip_foreign_segments(struct image *im)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < im->nsegs; i++) {
		struct segment *s = &im->segs[i];
		const uint64_t there = s->off >= im->len ? 0 : MIN(s->filesz, im->len - s->off);
		lost += s->filesz - there;
		s->filesz = there;
	}
	if (lost)
		proc_warn(im->proc, "the core is cut short: %lu bytes of memory are missing", lost);
}

static void note_stored(struct image *im)
{
	struct proc *p = im->proc;
	size_t vi = 0;

	for (size_t i = 0; i < p->nvmas; i++)
		p->vmas[i].stored = 0;
	for (size_t i = 0; i < im->nsegs; i++) {
		const struct segment *s = &im->segs[i];
		const uint64_t end = s->addr + s->filesz;
		if (!s->filesz)
			continue;
		ranges_add(&im->stored, s->addr, end);
		while (vi < p->nvmas && p->vmas[vi].end <= s->addr)
			vi++;
		for (size_t k = vi; k < p->nvmas && p->vmas[k].start < end; k++)
			p->vmas[k].stored +=
				MIN(end, p->vmas[k].end) - MAX(s->addr, p->vmas[k].start);
	}
}

static int open_parts(struct image *im, struct err *e)
{
	struct headers hs = {0};
	int rc = read_headers(im, &hs, e);

	if (rc == 0)
		rc = read_segments(im, &hs, e);
	free(hs.ph);
	if (rc < 0 || image_read_notes(im, hs.notes, hs.nnotes, e) < 0)
		return -1;
	if (im->ours && check_own_segments(im, e) < 0)
		return -1;
	if (!im->ours)
		clip_foreign_segments(im);
	note_stored(im);
	return 0;
}

static int open_file(struct image *im, struct err *e)
{
	struct stat st;

	/* O_NONBLOCK: a fifo must not hold us. */
	im->fd = open(im->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (im->fd < 0 || fstat(im->fd, &st) < 0)
		return err_sys(e, EXIT_IMAGE, "open %s", im->path);
	if (!S_ISREG(st.st_mode))
		return bad(im, e, S_ISDIR(st.st_mode) ? "a directory, not an image"
			: "not a regular file");
	im->len = (uint64_t)st.st_size;
	im->mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
	return 0;
}

struct image *image_open(const char *path, struct err *e)
{
	struct image *im = xcalloc(1, sizeof(*im));

	im->fd = -1;
	im->path = xstrdup(path);
	pthread_mutex_init(&im->lock, NULL);
	if (open_file(im, e) < 0 || open_parts(im, e) < 0) {
		err_class(e, EXIT_IMAGE);
		image_close(im);
		return NULL;
	}
	return im;
}

void image_close(struct image *im)
{
	if (!im)
		return;
	if (im->fd >= 0)
		close(im->fd);
	proc_free(im->proc);
	ranges_deinit(&im->stored);
	free(im->segs);
	free(im->sums);
	free(im->path);
	pthread_mutex_destroy(&im->lock);
	free(im);
}

/* ---- memory ---- */

static const struct segment *segment_at(const struct image *im, uint64_t addr)
{
	size_t lo = 0, hi = im->nsegs;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct segment *s = &im->segs[mid];
		if (s->addr + s->memsz <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct segment *s = lo < im->nsegs ? &im->segs[lo] : NULL;
	return s && s->addr <= addr && addr - s->addr < s->filesz ? s : NULL;
}

struct proc *image_proc(struct image *im)
{
	return im->proc;
}

const struct ranges *image_stored(struct image *im)
{
	return &im->stored;
}

int image_fd(struct image *im)
{
	return im->fd;
}

uint64_t image_locate(struct image *im, uint64_t addr, uint64_t *off)
{
	const struct segment *s = segment_at(im, addr);

	if (!s)
		return 0;
	*off = s->off + (addr - s->addr);
	return s->filesz - (addr - s->addr);
}

size_t image_read(struct image *im, uint64_t addr, void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint64_t off;
		const uint64_t there = image_locate(im, addr + done, &off);
		const size_t n = MIN(there, len - done);
		const ssize_t got = n ? pread_all(im->fd, (char *)out + done, n, (off_t)off) : 0;
		if (got <= 0)
			break;
		done += (size_t)got;
		if ((size_t)got < n)
			break;
	}
	return done;
}

/* ---- bulk and checksums ---- */

int image_bulk(struct image *im, const struct bulk *b, void *out, struct err *e)
{
	if (image_pread(im, out, b->len, b->off, e) < 0)
		return -1;
	if (XXH3_64bits(out, b->len) != b->xxh64)
		return err_set(e, EXIT_IMAGE,
			"%s: 0x%lx bytes of content at 0x%lx: checksum differs",
			im->path, b->len, b->off);
	return 0;
}

/* Reads the table of page checksums once; NULL when it is broken. */
static const uint64_t *sums_get(struct image *im)
{
	struct err e;

	pthread_mutex_lock(&im->lock);
	if (!im->sums && im->ours) {
		uint64_t *table = malloc(im->in.sums.len ? im->in.sums.len : 1);
		if (table && image_pread(im, table, im->in.sums.len, im->in.sums.off, &e) == 0 &&
			XXH3_64bits(table, im->in.sums.len) == im->in.sums.xxh)
			im->sums = table;
		else
			free(table);
	}
	pthread_mutex_unlock(&im->lock);
	return im->sums;
}

bool image_page_sum(struct image *im, uint64_t addr, uint64_t *sum)
{
	const struct segment *s = segment_at(im, addr);

	if (!s || !im->ours)
		return false;
	const uint64_t *table = sums_get(im);
	/* A broken table must not read as "no checksums": it fits no page. */
	*sum = table ? table[s->first_page + (addr - s->addr) / PAGE_LEN] : UINT64_MAX;
	return true;
}
