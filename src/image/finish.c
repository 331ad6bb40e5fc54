/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The end of an image: everything behind the pages, in file order (checksums, bulk, notes, program
 * headers), and the ELF header last of all, when the rest is on disk.
 */
#include "image/writer.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "arch/arch.h"
#include "base/buf.h"
#include "model/json.h"

struct load {
	uint64_t addr, len, off;
	uint32_t flags;
};

struct finish {
	struct image_writer *w;
	struct proc *p;
	struct load *loads;
	size_t nloads;
	uint64_t pos;                   /* where the next part goes */
	struct image_integrity in;
	uint64_t state_off, state_len;  /* the second PT_NOTE */
	bool xnum;
};

/* Writes one part behind the last and notes where it is. There are no gaps, so that no byte
 * behind the pages is without a checksum. */
static int part_write(struct finish *f, struct image_part *part, const void *data, size_t len)
{
	*part = (struct image_part){f->pos, len, XXH3_64bits(data, len)};
	f->pos += len;
	return writer_write(f->w, data, len, part->off);
}

/* ---- PT_LOADs ---- */

static uint32_t load_flags(const struct vma *v)
{
	if (!v)
		return PF_R;
	return (v->prot & PROT_READ ? PF_R : 0) | (v->prot & PROT_WRITE ? PF_W : 0) |
		(v->prot & PROT_EXEC ? PF_X : 0);
}

static void load_add(struct finish *f, struct load l)
{
	struct load *new = array_push(&f->loads, &f->nloads);

	*new = l;
	f->in.npages += l.len / PAGE_LEN;
}

/* One extent becomes one PT_LOAD per mapping it touches: a debugger takes a PT_LOAD's flags for
 * all of it. *vi walks the mappings along with the extents. */
static void extent_split(struct finish *f, const struct extent *x, size_t *vi)
{
	const struct proc *p = f->p;
	uint64_t addr = x->addr;

	while (addr < x->end) {
		while (*vi < p->nvmas && p->vmas[*vi].end <= addr)
			(*vi)++;
		struct vma *v = *vi < p->nvmas ? &p->vmas[*vi] : NULL;
		const bool inside = v && v->start <= addr;
		const uint64_t end = !v ? x->end : MIN(x->end, inside ? v->end : v->start);

		load_add(f, (struct load){addr, end - addr, x->off + (addr - x->addr),
			load_flags(inside ? v : NULL)});
		if (inside)
			v->stored += end - addr;
		addr = end;
	}
}

static void loads_build(struct finish *f)
{
	size_t vi = 0;

	for (size_t i = 0; i < f->p->nvmas; i++)
		f->p->vmas[i].stored = 0;
	for (size_t i = 0; i < f->w->next; i++)
		extent_split(f, &f->w->ext[i], &vi);
}

/* ---- the table of page checksums ---- */

/* A stream of bytes into one part, in pieces of at most so many. */
#define STREAM_LEN ((size_t)1 << 20)
struct part_stream {
	struct finish *f;
	struct image_part *part;
	XXH3_state_t *hash;
	struct buf pending;
};

static void stream_begin(struct part_stream *s, struct finish *f, struct image_part *part)
{
	*s = (struct part_stream){.f = f, .part = part, .hash = XXH3_createState()};
	*part = (struct image_part){.off = f->pos};
	XXH3_64bits_reset(s->hash);
}

static int stream_flush(struct part_stream *s)
{
	const int rc = writer_write(s->f->w, s->pending.data, s->pending.len, s->f->pos);

	XXH3_64bits_update(s->hash, s->pending.data, s->pending.len);
	s->f->pos += s->pending.len;
	s->part->len += s->pending.len;
	s->pending.len = 0;
	return rc;
}

static int stream_add(struct part_stream *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		const size_t n = MIN(len, STREAM_LEN - s->pending.len);
		buf_add(&s->pending, p, n);
		p += n;
		len -= n;
		if (s->pending.len == STREAM_LEN && stream_flush(s) < 0)
			return -1;
	}
	return 0;
}

static int stream_end(struct part_stream *s)
{
	const int rc = stream_flush(s);

	s->part->xxh = XXH3_64bits_digest(s->hash);
	XXH3_freeState(s->hash);
	buf_deinit(&s->pending);
	return rc;
}

static int sums_write(struct finish *f)
{
	struct part_stream s;

	stream_begin(&s, f, &f->in.sums);
	for (size_t i = 0; i < f->nloads; i++) {
		const struct load *l = &f->loads[i];
		for (uint64_t off = l->off; off < l->off + l->len; off += PAGE_LEN)
			stream_add(&s, writer_sum(f->w, off), sizeof(uint64_t));
	}
	return stream_end(&s);
}

/* ---- bulk ---- */

static int bulk_write(struct finish *f)
{
	static const uint8_t zeros[PAGE_LEN];
	struct part_stream s;

	stream_begin(&s, f, &f->in.bulk);
	for (size_t i = 0; i < f->p->nfds; i++) {
		struct bulk *b = &f->p->fds[i].content;
		if (!b->mem.len)
			continue;
		b->off = f->pos + s.pending.len;
		b->len = b->mem.len;
		b->xxh64 = XXH3_64bits(b->mem.data, b->mem.len);
		stream_add(&s, b->mem.data, b->mem.len);
		stream_add(&s, zeros, page_up(b->len) - b->len);
	}
	return stream_end(&s);
}

/* ---- notes ---- */

static int notes_write(struct finish *f)
{
	cleanup_buf struct buf notes = {0};

	core_notes_build(f->p, &notes);
	return part_write(f, &f->in.notes, notes.data, notes.len);
}

/* The state as JSON text; only memory or a huge process could make it fail. */
static char *state_text(struct finish *f, struct err *e)
{
	json_t *j = proc_to_json(f->p);
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	if (!text || strlen(text) > IMAGE_MAX_NOTES / 2) {
		free(text);
		err_set(e, EXIT_CAPTURE, "write %s: the state does not fit a note", f->w->path);
		return NULL;
	}
	return text;
}

/* ---- headers ---- */

static void phdrs_build(const struct finish *f, struct buf *out)
{
	const Elf64_Phdr std = {.p_type = PT_NOTE, .p_flags = PF_R, .p_align = 4,
		.p_offset = f->in.notes.off, .p_filesz = f->in.notes.len};
	const Elf64_Phdr own = {.p_type = PT_NOTE, .p_flags = PF_R, .p_align = 4,
		.p_offset = f->state_off, .p_filesz = f->state_len};

	buf_add(out, &std, sizeof(std));
	buf_add(out, &own, sizeof(own));
	for (size_t i = 0; i < f->nloads; i++) {
		const struct load *l = &f->loads[i];
		const Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = l->flags, .p_align = PAGE_LEN,
			.p_offset = l->off, .p_vaddr = l->addr, .p_filesz = l->len,
			.p_memsz = l->len};
		buf_add(out, &ph, sizeof(ph));
	}
	if (f->xnum) {
		const Elf64_Shdr sh = {.sh_type = SHT_NULL, .sh_size = 1,
			.sh_info = (uint32_t)(f->nloads + 2)};
		buf_add(out, &sh, sizeof(sh));
	}
}

static Elf64_Ehdr ehdr_of(const struct finish *f)
{
	const uint64_t nheaders = f->nloads + 2;
	Elf64_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			EV_CURRENT},
		.e_type = ET_CORE, .e_machine = arch->elf_machine, .e_version = EV_CURRENT,
		.e_phoff = f->in.headers.off, .e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = f->xnum ? PN_XNUM : (uint16_t)nheaders,
	};

	if (f->xnum) {
		h.e_shoff = f->in.headers.off + nheaders * sizeof(Elf64_Phdr);
		h.e_shentsize = sizeof(Elf64_Shdr);
		h.e_shnum = 1;
	}
	return h;
}

/* Both notes of ours, the second with content still to come. The text ends in spaces that bring the
 * program headers behind it to a multiple of 8. */
static void own_notes_build(struct finish *f, const char *state, struct buf *out)
{
	cleanup_buf struct buf text = {0};

	buf_add_str(&text, state);
	for (;;) {
		note_add(out, IMAGE_NOTE_OWNER, NOTE_STATE, text.data, text.len);
		note_add(out, IMAGE_NOTE_OWNER, NOTE_INTEGRITY, &f->in, sizeof(f->in));
		if ((f->pos + out->len) % 8 == 0)
			return;
		buf_add_str(&text, text.len % 4 ? " " : "    ");
		out->len = 0;
	}
}

/* The second PT_NOTE holds the checksum of the program headers, which hold its place and length:
 * so its length is settled first, then the headers are made, then its content is filled in. */
static int tail_write(struct finish *f, const char *state, uint8_t head[PAGE_LEN])
{
	cleanup_buf struct buf own = {0}, headers = {0};
	struct image_part part;

	own_notes_build(f, state, &own);
	f->state_off = f->pos;
	f->state_len = own.len;
	f->xnum = f->nloads + 2 >= PN_XNUM;
	phdrs_build(f, &headers);
	f->in.headers = (struct image_part){f->state_off + own.len, headers.len,
		XXH3_64bits(headers.data, headers.len)};
	f->in.file_len = f->in.headers.off + headers.len;

	const Elf64_Ehdr h = ehdr_of(f);
	memcpy(head, &h, sizeof(h));
	f->in.head_xxh = XXH3_64bits(head, PAGE_LEN);
	const size_t at = own.len - sizeof(f->in);
	memcpy(own.data + at, &f->in, sizeof(f->in));
	f->in.own_xxh = XXH3_64bits(own.data, own.len - sizeof(f->in.own_xxh));
	memcpy(own.data + at, &f->in, sizeof(f->in));

	if (part_write(f, &part, own.data, own.len) < 0)
		return -1;
	return part_write(f, &part, headers.data, headers.len);
}

static int sync_file(struct image_writer *w)
{
	return fsync(w->fd) < 0 ? writer_fail(w, "sync") : 0;
}

static int finish_parts(struct finish *f, struct err *e)
{
	uint8_t head[PAGE_LEN] = {0};
	struct image_writer *w = f->w;

	f->pos = w->end;
	f->in.format = IMAGE_FORMAT;
	f->in.page_len = PAGE_LEN;
	loads_build(f);
	if (bulk_write(f) < 0 || sums_write(f) < 0 || notes_write(f) < 0)
		return -1;
	char *state = state_text(f, e);
	if (!state)
		return -1;
	const int rc = tail_write(f, state, head);
	free(state);
	if (rc < 0 || sync_file(w) < 0)
		return -1;
	if (writer_write(w, head, sizeof(head), 0) < 0 || sync_file(w) < 0)
		return -1;
	return writer_publish(w);
}

int image_finish(struct image_writer *w, struct proc *p, uint64_t *len, struct err *e)
{
	struct finish f = {.w = w, .p = p};

	e->text[0] = '\0';
	int rc = atomic_load(&w->failed) ? -1 : finish_parts(&f, e);
	if (rc < 0 && atomic_load(&w->failed))
		*e = w->err;
	*len = f.in.file_len;
	free(f.loads);
	image_abandon(w);       /* after a publish: closes and frees only */
	return rc;
}
