/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From notes to struct proc: ours by the JSON note, checked first; any other core by foreign.c. */
#include "image/reader.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"
#include "model/json.h"

static int bad(const struct image *im, struct err *e, const char *what)
{
	return err_set(e, EXIT_IMAGE, "%s: %s", im->path, what);
}

/* ---- integrity ---- */

static int check_part(struct image *im, const struct image_part *part, uint64_t max,
	const char *what, struct err *e)
{
	if (!image_holds(im, part->off, part->len) || part->len > max)
		return err_set(e, EXIT_IMAGE, "%s: %s: 0x%lx bytes at 0x%lx are past the end",
			im->path, what, part->len, part->off);
	return 0;
}

static int check_part_sum(struct image *im, const struct image_part *part, uint64_t max,
	const char *what, struct err *e)
{
	if (check_part(im, part, max, what, e) < 0)
		return -1;
	cleanup_free void *data = xmalloc(part->len);
	if (image_pread(im, data, part->len, part->off, e) < 0)
		return -1;
	if (XXH3_64bits(data, part->len) != part->xxh)
		return err_set(e, EXIT_IMAGE, "%s: %s: checksum differs", im->path, what);
	return 0;
}

static int check_integrity(struct image *im, const struct core_notes *n, struct err *e)
{
	struct image_integrity *in = &im->in;

	memcpy(in, n->integrity, sizeof(*in));
	const struct image_part head = {0, PAGE_LEN, in->head_xxh};
	if (in->format != IMAGE_FORMAT)
		return err_set(e, EXIT_IMAGE, "%s: format %u, this ckptview reads format %d",
			im->path, in->format, IMAGE_FORMAT);
	if (in->own_xxh != n->integrity_xxh)
		return bad(im, e, "notes of ckptview: checksum differs");
	if (in->page_len != PAGE_LEN)
		return err_set(e, EXIT_IMAGE, "%s: pages of %u bytes", im->path, in->page_len);
	if (in->file_len != im->len)
		return err_set(e, EXIT_IMAGE, "%s: is %lu bytes long, was written as %lu", im->path,
			im->len, in->file_len);
	if (check_part_sum(im, &head, PAGE_LEN, "ELF header", e) < 0 ||
		check_part_sum(im, &in->headers, IMAGE_MAX_NOTES, "program headers", e) < 0 ||
		check_part_sum(im, &in->notes, IMAGE_MAX_NOTES, "core notes", e) < 0)
		return -1;
	if (check_part(im, &in->bulk, UINT64_MAX, "bulk area", e) < 0 ||
		check_part(im, &in->sums, UINT64_MAX, "page checksums", e) < 0)
		return -1;
	if (in->sums.len / sizeof(uint64_t) != in->npages || in->sums.len % sizeof(uint64_t))
		return bad(im, e, "page checksums: their number is not that of the pages");
	return 0;
}

/* ---- the state ---- */

/* The JSON decoder checks each value for itself; here is what only this file can contradict. */
static int check_bulk(struct image *im, struct err *e)
{
	const struct image_part *area = &im->in.bulk;
	const struct proc *p = im->proc;

	for (size_t i = 0; i < p->nfds; i++) {
		const struct bulk *b = &p->fds[i].content;
		if (b->len && (b->off < area->off || b->off - area->off > area->len ||
			b->len > area->len - (b->off - area->off)))
			return err_set(e, EXIT_IMAGE,
				"%s: descriptor %d: content outside the bulk area",
				im->path, p->fds[i].fd);
	}
	return 0;
}

static int check_vmas(struct image *im, struct err *e)
{
	const struct proc *p = im->proc;
	uint64_t last = 0;

	for (size_t i = 0; i < p->nvmas; i++) {
		const struct vma *v = &p->vmas[i];
		if (v->start < last || v->end <= v->start || (v->start | v->end) % PAGE_LEN)
			return err_set(e, EXIT_IMAGE, "%s: mapping 0x%lx-0x%lx is out of place",
				im->path, v->start, v->end);
		last = v->end;
	}
	return 0;
}

static void blob_move(struct blob *to, struct blob *from)
{
	blob_deinit(to);
	*to = *from;
	*from = (struct blob){0};
}

/* Registers stand in the standard notes only. */
static int join_registers(struct image *im, struct core_notes *n, struct err *e)
{
	struct proc *p = im->proc;

	if (n->nthreads != p->nthreads)
		return err_set(e, EXIT_IMAGE, "%s: %zu threads with registers, %zu in the state",
			im->path, n->nthreads, p->nthreads);
	for (size_t i = 0; i < n->nthreads; i++) {
		struct thread *from = &n->threads[i], *to = &p->threads[i];
		if (from->tid != to->tid)
			return err_set(e, EXIT_IMAGE, "%s: thread %d has no registers", im->path,
				to->tid);
		blob_move(&to->regs, &from->regs);
		blob_move(&to->fpregs, &from->fpregs);
		blob_move(&to->xstate, &from->xstate);
	}
	return 0;
}

static int own_proc(struct image *im, struct core_notes *n, struct err *e)
{
	json_error_t je;
	json_t *j = json_loadb(n->state, n->state_len, JSON_REJECT_DUPLICATES, &je);

	if (!j)
		return err_set(e, EXIT_IMAGE, "%s: state note: byte %d: %s", im->path, je.position,
			je.text);
	im->proc = proc_from_json(j, e);
	json_decref(j);
	if (!im->proc)
		return err_in(e, "%s: state note", im->path);
	if (!im->proc->auxv.len && n->auxv_len)
		blob_set(&im->proc->auxv, n->auxv, n->auxv_len);
	im->proc->foreign = false;
	if (check_bulk(im, e) < 0 || check_vmas(im, e) < 0)
		return -1;
	return join_registers(im, n, e);
}

/* ---- all of it ---- */

static int take_notes(struct image *im, struct core_notes *n, struct err *e)
{
	if (!n->state != !n->integrity)
		return bad(im, e, n->state ? "has no integrity note" : "has no state note");
	im->ours = n->state != NULL;
	if (im->ours)
		return check_integrity(im, n, e) < 0 ? -1 : own_proc(im, n, e);
	foreign_proc(im, n);
	return 0;
}

int image_read_notes(struct image *im, const struct image_part *notes, size_t nnotes, struct err *e)
{
	struct core_notes n = {0};
	struct blob *data = xcalloc(nnotes, sizeof(*data));
	int rc = 0;

	for (size_t i = 0; i < nnotes && rc == 0; i++) {
		data[i].data = xmalloc(notes[i].len);
		rc = image_pread(im, data[i].data, notes[i].len, notes[i].off, e);
		if (rc == 0 && core_notes_parse(&n, data[i].data, notes[i].len, e) < 0)
			rc = err_in(e, "%s", im->path);
	}
	if (rc == 0 && !n.nthreads && !n.state)
		rc = bad(im, e, "a core without any thread");
	if (rc == 0)
		rc = take_notes(im, &n, e);
	for (size_t i = 0; i < nnotes; i++)
		blob_deinit(&data[i]);
	free(data);
	core_notes_deinit(&n);
	return rc;
}
