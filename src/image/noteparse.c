/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The notes of a core, the kernel's, gcore's or ours, from bytes into struct core_notes. */
#include "image/reader.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <xxhash.h>

#include "arch/arch.h"
#include "base/buf.h"

struct note {
	const char *owner;
	size_t owner_len;       /* without its NUL */
	uint32_t type;
	const uint8_t *desc;
	size_t len;
};

static int bad_note(struct err *e, const char *name)
{
	return err_set(e, EXIT_IMAGE, "note %s: bad length", name);
}

/* A PRSTATUS opens a thread; the register notes that follow are its. */
static int take_prstatus(struct core_notes *n, const struct note *note, struct err *e)
{
	struct elf_prstatus s;

	if (note->len != sizeof(s))
		return bad_note(e, "PRSTATUS");
	memcpy(&s, note->desc, sizeof(s));
	if (!n->nthreads) {
		n->cursig = s.pr_cursig;
		n->ppid = s.pr_ppid;
		n->pgrp = s.pr_pgrp;
		n->sid = s.pr_sid;
	}
	struct thread *t = array_push(&n->threads, &n->nthreads);
	t->tid = s.pr_pid;
	t->sigmask = s.pr_sighold;
	blob_set(&t->regs, &s.pr_reg, sizeof(arch_regs));
	return 0;
}

static int take_blob(struct core_notes *n, const struct note *note, size_t where, struct err *e)
{
	if (!n->nthreads)
		return err_set(e, EXIT_IMAGE, "registers before the first PRSTATUS note");
	struct thread *t = &n->threads[n->nthreads - 1];
	blob_set((struct blob *)((char *)t + where), note->desc, note->len);
	return 0;
}

static int take_fpregs(struct core_notes *n, const struct note *note, struct err *e)
{
	if (note->len != sizeof(struct user_fpregs_struct))
		return bad_note(e, "PRFPREG");
	return take_blob(n, note, offsetof(struct thread, fpregs), e);
}

static int take_xstate(struct core_notes *n, const struct note *note, struct err *e)
{
	/* The legacy area and the xsave header at least; AMX makes it 11 KiB. */
	if (note->len < 576 || note->len > (1u << 20))
		return bad_note(e, "X86_XSTATE");
	return take_blob(n, note, offsetof(struct thread, xstate), e);
}

static int take_psinfo(struct core_notes *n, const struct note *note, struct err *e)
{
	if (note->len != sizeof(struct elf_prpsinfo))
		return bad_note(e, "PRPSINFO");
	n->psinfo = note->desc;
	return 0;
}

static int take_auxv(struct core_notes *n, const struct note *note, struct err *e)
{
	if (note->len % (2 * sizeof(uint64_t)))
		return bad_note(e, "AUXV");
	n->auxv = note->desc;
	n->auxv_len = note->len;
	return 0;
}

static int take_files(struct core_notes *n, const struct note *note, struct err *e)
{
	struct cursor c = cursor_of(note->desc, note->len);
	const uint64_t count = cursor_u64(&c), unit = cursor_u64(&c);

	if (!cursor_ok(&c) || count > note->len / 24 || n->nfiles)
		return bad_note(e, "FILE");
	struct cursor names = cursor_of(note->desc, note->len);
	cursor_seek(&names, 16 + count * 24);
	for (uint64_t i = 0; i < count; i++) {
		struct core_file *f = array_push(&n->files, &n->nfiles);
		f->start = cursor_u64(&c);
		f->end = cursor_u64(&c);
		f->off = cursor_u64(&c) * unit;
		const size_t left = cursor_left(&names);
		const char *name = left ? cursor_bytes(&names, 0) : NULL;
		const size_t len = name ? strnlen(name, left) : left;
		if (len == left || f->start >= f->end)
			return bad_note(e, "FILE");
		f->name = cursor_bytes(&names, len + 1);
	}
	return 0;
}

static int take_state(struct core_notes *n, const struct note *note, struct err *e)
{
	if (n->state)
		return err_set(e, EXIT_IMAGE, "two state notes");
	n->state = note->desc;
	n->state_len = note->len;
	return 0;
}

static int take_integrity(struct core_notes *n, const struct note *note, struct err *e)
{
	if (note->len != sizeof(struct image_integrity) || n->integrity)
		return bad_note(e, "INTEGRITY");
	n->integrity = note->desc;
	return 0;
}

static const struct note_kind {
	const char *owner;
	uint32_t type;
	int (*take)(struct core_notes *n, const struct note *note, struct err *e);
} note_kinds[] = {
	{"CORE", NT_PRSTATUS, take_prstatus},
	{"CORE", NT_PRFPREG, take_fpregs},
	{"CORE", NT_PRPSINFO, take_psinfo},
	{"CORE", NT_AUXV, take_auxv},
	{"CORE", NT_FILE, take_files},
	{"LINUX", NT_X86_XSTATE, take_xstate},
	{IMAGE_NOTE_OWNER, NOTE_STATE, take_state},
	{IMAGE_NOTE_OWNER, NOTE_INTEGRITY, take_integrity},
};

static const struct note_kind *note_kind_of(const struct note *note)
{
	for (size_t i = 0; i < ARRAY_LEN(note_kinds); i++) {
		const struct note_kind *k = &note_kinds[i];
		if (k->type == note->type && strlen(k->owner) == note->owner_len &&
			memcmp(k->owner, note->owner, note->owner_len) == 0)
			return k;
	}
	return NULL;
}

/* The next note at c. False: no more, or c failed. */
static bool note_next(struct cursor *c, struct note *note)
{
	if (cursor_left(c) < sizeof(Elf64_Nhdr))
		return false;
	const uint32_t owner_len = cursor_u32(c), len = cursor_u32(c);
	note->type = cursor_u32(c);
	note->owner = cursor_bytes(c, owner_len);
	note->owner_len = owner_len ? owner_len - 1 : 0;
	cursor_align(c, 4);
	note->desc = cursor_bytes(c, len);
	note->len = len;
	if (!cursor_ok(c))
		return false;
	/* Some writers leave out the padding of the last note. */
	if (cursor_left(c) < 4)
		cursor_seek(c, c->len);
	else
		cursor_align(c, 4);
	return true;
}

int core_notes_parse(struct core_notes *n, const void *data, size_t len, struct err *e)
{
	struct cursor c = cursor_of(data, len);
	struct note note;

	while (note_next(&c, &note)) {
		const struct note_kind *k = note_kind_of(&note);
		if (!k)
			continue;
		if (k->take(n, &note, e) < 0)
			return -1;
		if (k->take == take_integrity)
			n->integrity_xxh = XXH3_64bits(data,
				(size_t)(note.desc - (const uint8_t *)data) +
				offsetof(struct image_integrity, own_xxh));
	}
	return cursor_ok(&c) ? 0 : err_set(e, EXIT_IMAGE,
		"a note runs past the end of its segment");
}

void core_notes_deinit(struct core_notes *n)
{
	for (size_t i = 0; i < n->nthreads; i++)
		thread_deinit(&n->threads[i]);
	free(n->threads);
	free(n->files);
}
